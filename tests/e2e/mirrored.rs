//! Registries as they are: a mirror that has the images and not their signatures, an upstream
//! behind a certificate authority of its own that serves known clients alone, credentials that only
//! a plugin of the kubelet's can tell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use sealgate::proto::cri::AuthConfig;

use crate::acts::push;
use crate::ensure;
use crate::kept::anew;
use crate::making::{Form, made};
use crate::means::{admitted, asked_by, no, prod, refusal_of, refused, unreachable};
use crate::registry::{Answer, Auth, Rule, Settings, TestRegistry};
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, fill, usual_policy};
use crate::tiny::{MANIFEST, Tiny};

const PASSWORD: &str = "planted-77ab02-password";

/// How the upstream is reached, beside its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    /// With its authority and a client's certificate.
    Whole,
    /// Without a client's certificate.
    NoClient,
    /// Without its authority.
    NoAuthority,
}

async fn stage(registry: Settings, alpha: &Signer, config: String) -> Result<Stage, Failure> {
    let keys = vec![("alpha.pub".to_owned(), alpha.pem())];
    let policy = usual_policy().replace("files: [build.pub]", "files: [alpha.pub]");
    Stage::set(Props { registry, policy, keys, config, ..Props::usual()? }).await
}

pub async fn mirror_signatures() -> Outcome {
    let alpha = Signer::p256();
    let mut stage =
        stage(Settings::conforming().client_certificates(), &alpha, String::new()).await?;
    let mirror = TestRegistry::start(Settings::conforming());
    fill(&mirror);
    hosts(&stage, &mirror, Upstream::Whole)?;
    // The gate has looked at the image of sandboxes already, without that file.
    anew(&mut stage).await?;

    for (name, form) in [("older", Form::Older), ("bundle", Form::Bundle)] {
        bring(&stage, &mirror, name, form, &[&alpha]);
        mirror.clear_log();
        let (_, cost) = admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
        let blobs = asked_by(&mirror, "containerd/", "/blobs/");
        println!(
            "   {blobs} blobs from the mirror, {} requests of the gate at the upstream",
            cost.gate
        );
        ensure!(blobs > 0 && cost.runtime == 0 && cost.gate > 0, "{cost}");
    }
    bring(&stage, &mirror, "nobodys", Form::Older, &[]);
    refused(&stage, &prod("nobodys"), no("unsigned"), &["absent"]).await?;

    // The mirror's places of signatures fail: they are not the last word either.
    bring(&stage, &mirror, "beside", Form::Older, &[&alpha]);
    mirror.rule(Rule::new("/referrers/", Answer::Status(500, "UNKNOWN")));
    mirror.rule(Rule::new(".sig", Answer::Status(500, "UNKNOWN")));
    admitted(&stage, &prod("beside"), "hello from beside").await?;
    mirror.clear_rules();

    println!("   the upstream is not reached: never unsigned");
    bring(&stage, &mirror, "alone", Form::Bundle, &[&alpha]);
    stage.registry.rule(Rule::new("/v2/", Answer::Drop));
    refused(&stage, &prod("alone"), unreachable("signatures-unreachable"), &["production"]).await?;
    stage.registry.clear_rules();
    for upstream in [Upstream::NoClient, Upstream::NoAuthority] {
        // Restarted, since the gate may go by a file that it read a moment ago.
        hosts(&stage, &mirror, upstream)?;
        anew(&mut stage).await?;
        println!("   {upstream:?}:");
        let refusal = refusal_of("alone", stage.cri().pull(&prod("alone")).await)?;
        println!("   {}", refusal.message());
        let records = stage.records();
        let record = records.last().ok_or("no record")?;
        let told =
            ["unreachable", "unable"].contains(&record["verdict"].as_str().unwrap_or_default());
        ensure!(told && record["reference"] == prod("alone").as_str(), "{record:#}");
    }
    hosts(&stage, &mirror, Upstream::Whole)?;
    anew(&mut stage).await?;
    admitted(&stage, &prod("alone"), "hello from alone").await.map(|_| ())
}

/// Puts an image into both registries, its signatures into the upstream alone.
fn bring(stage: &Stage, mirror: &TestRegistry, name: &str, form: Form, signers: &[&Signer]) {
    made(stage, name, form, signers);
    let (path, image) = (format!("prod/{name}"), Tiny::saying(&format!("hello from {name}")));
    for blob in image.layers.iter().chain([&image.config]) {
        mirror.put_blob(&path, blob);
    }
    mirror.put_manifest(&path, Some("v1"), &image.manifest, MANIFEST);
}

/// Writes `hosts.toml` for the mirror first, the upstream behind it.
fn hosts(stage: &Stage, mirror: &TestRegistry, upstream: Upstream) -> Outcome {
    let folder = stage.containerd.folder().join("certs.d").join(HOST);
    let file = |name: &str, text: &str| -> Result<PathBuf, Failure> {
        let path = folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    };
    let ca = file("ca.pem", stage.registry.ca_pem().ok_or("no authority")?)?;
    let (certificate, key) = stage.registry.client_pem().ok_or("no client")?;
    let client = (file("client.pem", certificate)?, file("client.key", key)?);
    let mut text = format!("server = \"{}\"\n", stage.registry.url());
    if upstream != Upstream::NoAuthority {
        text.push_str(&format!("ca = {ca:?}\n"));
    }
    if upstream != Upstream::NoClient {
        text.push_str(&format!("client = [[{:?}, {:?}]]\n", client.0, client.1));
    }
    text.push_str(&format!(
        "\n[host.\"{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
        mirror.url()
    ));
    file("hosts.toml", &text).map(|_| ())
}

/// The password comes with the pull; after a restart with nothing kept, from a plugin of the
/// kubelet's alone.
pub async fn credential_plugin() -> Outcome {
    let alpha = Signer::p256();
    for auth in [Auth::basic(PASSWORD), Auth::bearer(PASSWORD)] {
        println!("   {}:", if matches!(auth, Auth::Basic { .. }) { "Basic" } else { "Bearer" });
        plugin_tells(&alpha, auth).await?;
    }
    Ok(())
}

async fn plugin_tells(alpha: &Signer, auth: Auth) -> Outcome {
    let folder = tempfile::Builder::new().prefix("sealgate-plugin-").tempdir()?;
    let config = format!(
        "registry.credential_hosts.\"{HOST}\" = \
         [\"{{registry}}\"]\nregistry.credential_provider_config = {:?}\n\
         registry.credential_provider_bin_dir = {:?}\n",
        folder.path().join("providers.yaml"),
        folder.path().join("bin")
    );
    plugin(folder.path())?;
    let mut stage = stage(Settings::conforming().auth(auth), alpha, config).await?;
    let robot = || {
        Some(AuthConfig {
            username: "robot".to_owned(),
            password: PASSWORD.to_owned(),
            ..AuthConfig::default()
        })
    };
    stage.cri().pull_as(&format!("{HOST}/pause:1"), robot()).await?;
    let pod = stage.pod().await?;
    made(&stage, "private", Form::Bundle, &[alpha]);
    let name = prod("private");
    let id = stage.cri().pull_as(&name, robot()).await?;
    // The gate looks at the image of sandboxes by itself, with what the node has.
    let calls = || {
        let all = fs::read_to_string(folder.path().join("calls")).unwrap_or_default();
        let of_pods = all.lines().filter(|line| !line.contains(&format!("{HOST}/pause")));
        of_pods.map(|line| format!("{line}\n")).collect::<String>()
    };
    ensure!(
        calls().is_empty(),
        "the plugin was asked although the pull had credentials: {}",
        calls()
    );

    stage.kill_gate()?;
    fs::remove_dir_all(crate::kept::folder(&stage))?;
    stage.start_gate().await?;
    let (exit, output) = stage.cri().run(&pod, by_id(&id, &name)).await?;
    ensure!(exit == 0 && output.contains("hello from private"), "exit code {exit}: {output}");
    let record = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    ensure!(record["source"] == "registry", "from where? {record:#}");
    let asked = calls();
    ensure!(
        asked.lines().count() == 1 && asked.contains(&format!("{HOST}/prod/private")),
        "asked: {asked:?}"
    );
    println!(
        "   after a restart with nothing kept: created with what the plugin told, asked once: {}",
        asked.trim()
    );

    push(&stage, "prod/nobodys", Some("v1"), &Tiny::saying("hello from nobodys"));
    let refusal = refusal_of("nobodys", stage.cri().pull_as(&prod("nobodys"), robot()).await)?;
    ensure!(refusal.message().starts_with("SignatureValidationFailed: "), "{refusal}");
    for (what, text) in
        [("journal", stage.gate_log()), ("audit log", format!("{:?}", stage.records()))]
    {
        ensure!(!text.contains(PASSWORD), "the password is in the {what}");
    }
    Ok(())
}

/// A plugin as the kubelet runs them: a request on its standard input, the answer on its standard
/// output.
fn plugin(folder: &std::path::Path) -> Outcome {
    let providers = format!(
        "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n  - \
         name: tell\n    \
         matchImages: [\"{HOST}\"]\n    defaultCacheDuration: 1h\n    apiVersion: \
         credentialprovider.kubelet.k8s.io/v1\n"
    );
    fs::write(folder.join("providers.yaml"), providers)?;
    fs::create_dir(folder.join("bin"))?;
    let answer = format!(
        "{{\"kind\":\"CredentialProviderResponse\",\"apiVersion\":\"credentialprovider.kubelet.k8s.io/v1\",\
         \"cacheKeyType\":\"Registry\",\"auth\":{{\"{HOST}\":{{\"username\":\"robot\",\"password\":\"{PASSWORD}\"}}}}}}"
    );
    let script = format!(
        "#!/bin/sh\ntr -d '\\n' >>{}/calls\necho >>{0}/calls\ncat <<'END'\n{answer}\nEND\n",
        folder.display()
    );
    let program = folder.join("bin/tell");
    fs::write(&program, script)?;
    Ok(fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?)
}
