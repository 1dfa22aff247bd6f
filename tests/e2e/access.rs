//! Who asks, and of whom: private registries, two pods at once, short names, docker's own registry.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealgate::proto::cri::AuthConfig;
use tonic::Code;

use crate::ensure;
use crate::fixtures::{self, Repository};
use crate::kept::{anew, folder};
use crate::means::{
    admitted, asked_by, cost, digest_of, no, prod, refusal_of, refused, target_of, until,
};
use crate::outage::held;
use crate::registry::{Answer, Auth, Rule, Settings};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_refusal};

/// A password that must appear nowhere (attack E6).
const PASSWORD: &str = "planted-5f1c0a-password";

fn robot(password: &str) -> Option<AuthConfig> {
    Some(AuthConfig {
        username: "robot".to_owned(),
        password: password.to_owned(),
        ..AuthConfig::default()
    })
}

/// A stage whose registry wants the password; `hosts.toml` leads to another host than the
/// reference's, and the operator says that this one may have the credentials.
async fn private(auth: Auth) -> Result<Stage, Failure> {
    let config = format!("registry.credential_hosts.\"{HOST}\" = [\"{{registry}}\"]\n");
    let registry = Settings::without_referrers().auth(auth);
    let stage = Stage::set(Props { registry, config, ..Props::usual()? }).await?;
    // The sandbox image too is in the private registry, and RunPodSandbox brings no credentials.
    stage.cri().pull_as(&format!("{HOST}/pause:1"), robot(PASSWORD)).await?;
    Ok(stage)
}

pub async fn private_registry() -> Outcome {
    for auth in [Auth::basic(PASSWORD), Auth::bearer(PASSWORD)] {
        println!("   {}:", if matches!(auth, Auth::Basic { .. }) { "Basic" } else { "Bearer" });
        let mut stage = private(auth).await?;
        let image = prod("signed-v2");
        without_credentials(&stage, &image).await?;
        stage.registry.clear_log();
        let began = Instant::now();
        let id = stage.cri().pull_as(&image, robot(PASSWORD)).await?;
        println!("   {image}: admitted ({})", cost(&stage.registry, began));
        stage.expect_record("PullImage", "admitted", "satisfied")?;
        for agent in ["sealgate/", "containerd/"] {
            let entries = stage.registry.requests();
            let good = |entry: &&crate::registry::Entry| {
                entry.user_agent.contains(agent) && entry.status == Some(200)
            };
            let with =
                entries.iter().filter(good).filter(|entry| entry.authorization.is_some()).count();
            ensure!(with > 0, "{agent} showed no credentials");
        }
        another_pods_answer(&stage).await?;
        after_a_restart(&mut stage, &id, &image).await?;
        for (what, text) in
            [("journal", stage.gate_log()), ("audit log", format!("{:?}", stage.records()))]
        {
            let leaked = text.contains(PASSWORD)
                || text.contains(&STANDARD.encode(format!("robot:{PASSWORD}")));
            ensure!(!leaked, "the password is in the {what}");
        }
    }
    Ok(())
}

/// No credentials, and wrong ones: unable, never unsigned and never NOT_FOUND.
async fn without_credentials(stage: &Stage, image: &str) -> Outcome {
    for auth in [None, robot("wrong")] {
        let refusal = refusal_of(image, stage.cri().pull_as(image, auth).await)?;
        println!("   {}", refusal.message());
        expect_refusal(&refusal, Code::Unknown, "", &["401"])?;
        stage.expect_record("PullImage", "unable", "registry-unable")?;
    }
    Ok(())
}

/// Fact P17, attack E9: that one pod may have an image is no answer to another's question. The
/// verdict about the digest is in memory; the pull is forwarded with the asker's own credentials
/// all the same, and fails at the registry.
async fn another_pods_answer(stage: &Stage) -> Outcome {
    let image = prod(&format!("signed-v2@{}", digest_of("signed-v2", "v1")));
    for auth in [None, robot("wrong")] {
        stage.registry.clear_log();
        let refusal = refusal_of(&image, stage.cri().pull_as(&image, auth).await)?;
        println!("   another pod: {:?} {}", refusal.code(), refusal.message());
        ensure!(
            asked_by(&stage.registry, "containerd/", "/v2/prod/signed-v2/") > 0,
            "the pull was not forwarded"
        );
        ensure!(!refusal.message().starts_with("SignatureValidationFailed"), "{refusal:?}");
        let record = stage.expect_record("PullImage", "admitted", "satisfied")?;
        ensure!(record["reference"] == image.as_str() && record["cached"] == true, "{record:#}");
    }
    Ok(())
}

/// After a restart a create has no credentials with it. What is kept on the node needs none; where
/// nothing is kept, none are to be had at first, then those of the node.
async fn after_a_restart(stage: &mut Stage, id: &str, image: &str) -> Outcome {
    anew(stage).await?;
    let pod = stage.pod().await?;
    let (exit, _) = stage.cri().run(&pod, by_id(id, image)).await?;
    let record = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    ensure!(exit == 0 && record["source"] == "evidence", "exit code {exit}: {record:#}");
    stage.kill_gate()?;
    fs::remove_dir_all(folder(stage))?;
    stage.start_gate().await?;
    let refusal = stage
        .cri()
        .create(&pod, by_id(id, image))
        .await
        .err()
        .ok_or("created without credentials")?;
    println!("   after a restart: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["production"])?;
    stage.expect_record("CreateContainer", "unable", "signatures-unable")?;
    let auth = STANDARD.encode(format!("robot:{PASSWORD}"));
    let text = format!("{{\"auths\":{{\"{HOST}\":{{\"auth\":\"{auth}\"}}}}}}");
    fs::write(stage.folder().join("docker.json"), text)?;
    let (exit, output) = stage.cri().run(&pod, by_id(id, image)).await?;
    println!("   with the node's docker config: {}", output.trim());
    ensure!(exit == 0 && output.contains("hello from"), "exit code {exit}: {output}");
    stage.expect_record("CreateContainer", "admitted", "satisfied").map(|_| ())
}

/// One verification however many ask at once, counted where it costs: in the registry.
pub async fn two_pods() -> Outcome {
    let stage = Stage::usual().await?;
    let image = prod("signed-v2");
    stage.registry.rule(Rule::new(".sig", Answer::Late(std::time::Duration::from_millis(400))));
    let (one, two) = (stage.cri(), stage.cri());
    let began = Instant::now();
    let (first, second) = tokio::join!(one.pull(&image), two.pull(&image));
    let (first, second) = (first?, second?);
    let (searches, resolved) = (
        asked_by(&stage.registry, "sealgate/", ".sig"),
        asked_by(&stage.registry, "sealgate/", "manifests/v1"),
    );
    println!(
        "   two pulls: {searches} search for the signature, {resolved} resolutions ({})",
        cost(&stage.registry, began)
    );
    ensure!(first == second, "two images of one name: {first}, {second}");
    ensure!(searches == 1 && resolved == 2, "{searches} searches, {resolved} resolutions");
    let blobs = fixtures::prod("signed-v2").signatures(&digest_of("signed-v2", "v1")).len();
    let read = asked_by(&stage.registry, "sealgate/", "/blobs/");
    ensure!(read == blobs, "{read} payloads read, there are {blobs}");
    let pulls = stage.records().iter().filter(|record| record["call"] == "PullImage").count();
    // Neither names a pod, so they are told apart by nothing: the second is counted with the first.
    ensure!(pulls == 1, "{pulls} records of two equal pulls");

    let (pod, other) = tokio::try_join!(stage.pod(), stage.pod())?;
    stage.registry.clear_log();
    let (left, right) = tokio::try_join!(
        one.run(&pod, by_id(&first, &image)),
        two.run(&other, by_id(&first, &image))
    )?;
    ensure!(left.0 == 0 && right.0 == 0, "{left:?}, {right:?}");
    ensure!(asked_by(&stage.registry, "sealgate/", "") == 0, "a create asked the registry");
    Ok(())
}

/// Attack E8: the policy for `docker.io/library/*` decides, however the name is written.
pub async fn short_name() -> Outcome {
    let usual = crate::stage::usual_policy();
    let policy = usual.replace(&format!("{HOST}/prod/**"), "docker.io/library/*");
    let stage = Stage::set(Props { policy, ..Props::usual()? }).await?;
    for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
        lead(&stage, host, &stage.registry.url())?;
    }
    let unsigned = fixtures::prod("unsigned");
    for bytes in unsigned.blobs.values() {
        stage.registry.put_blob("library/unsigned", bytes);
    }
    stage.registry.put_manifest(
        "library/unsigned",
        Some("v1"),
        unsigned.tagged("v1"),
        crate::registry::OCI_MANIFEST,
    );
    let name = "sealgate-hello:v1";
    admitted(&stage, name, "hello from sealgate-hello").await?;
    let known = target_of(&stage, &format!("docker.io/library/{name}"));
    ensure!(known.is_some(), "containerd does not know the image by its full name");
    admitted(&stage, &format!("docker.io/{name}"), "hello from sealgate-hello").await?;
    admitted(&stage, &format!("docker.io/library/{name}"), "hello from sealgate-hello").await?;
    for prefix in
        ["", "docker.io/library/", "index.docker.io/library/", "registry-1.docker.io/library/"]
    {
        refused(
            &stage,
            &format!("{prefix}unsigned:v1"),
            no("unsigned"),
            &["production", "docker.io/library/unsigned"],
        )
        .await?;
    }
    Ok(())
}

/// Attack E8: a host in capitals or with the usual port is the same host for the policy; attacks
/// E2, E3 and A8: what is no reference is asked of nobody, and its control characters reach neither
/// log nor screen.
pub async fn other_spellings() -> Outcome {
    let stage = Stage::usual().await?;
    for host in [HOST.to_uppercase(), format!("{HOST}:443")] {
        lead(&stage, &host, &stage.registry.url())?;
        refused(&stage, &format!("{host}/prod/unsigned:v1"), no("unsigned"), &["production", HOST])
            .await?;
    }
    stage.registry.clear_log();
    let digest = digest_of("signed-v2", "v1");
    for image in [
        format!("{HOST}/prod/\u{1b}[2Jsigned-v2:v1"),
        format!("{HOST}/prod/signed-v2\n:v1"),
        format!("{HOST}/prod/../prod/signed-v2:v1"),
        format!("{HOST}/prod/Signed-v2:v1"),
        format!("{HOST}/prod/signed-v2@sha256:../../blobs/x"),
        format!("{HOST}/prod/signed-v2@{}", &digest[..20]),
        "/etc/passwd".to_owned(),
        "../etc/passwd".to_owned(),
        "a".repeat(100_000),
        String::new(),
    ] {
        let refusal = refusal_of(&image, stage.cri().pull(&image).await)?;
        println!("   {:?} {}", refusal.code(), refusal.message());
        expect_refusal(&refusal, Code::InvalidArgument, "", &[])?;
        ensure!(
            !refusal.message().contains(char::is_control),
            "control characters: {:?}",
            refusal.message()
        );
        ensure!(refusal.message().len() < 1000, "a message of {} bytes", refusal.message().len());
    }
    stage.expect_record("PullImage", "refused", "bad-reference")?;
    let log = fs::read_to_string(stage.folder().join("audit/audit.jsonl"))?;
    ensure!(
        !log.contains(|c: char| c.is_control() && c != '\n'),
        "control characters in the audit log"
    );
    ensure!(!stage.gate_log().contains('\u{1b}'), "escapes in the journal");
    ensure!(stage.registry.requests().is_empty(), "asked: {:#?}", stage.registry.requests());
    Ok(())
}

/// Points a host's `hosts.toml` at a registry.
pub fn lead(stage: &Stage, host: &str, url: &str) -> Outcome {
    let folder = stage.containerd.folder().join("certs.d").join(host);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join("hosts.toml"), format!("server = \"{url}\"\n\n[host.\"{url}\"]\n"))?)
}

/// Docker's own registry; killed when dropped.
pub struct DockerRegistry {
    child: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl DockerRegistry {
    pub async fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        // Bound and not listened on: nobody else gets the port before the registry has it.
        let taken = held((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = taken.local_addr()?;
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
             {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, config)?;
        let log = fs::File::create(folder.path().join("requests.log"))?;
        let spawned = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        let child = spawned.map_err(|error| {
            format!(
                "this scenario needs docker-registry ({error}): `make test` installs it (Debian: \
                 docker-registry)"
            )
        })?;
        let registry = Self { child, address, folder };
        until("docker-registry", || async move {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await?;
        drop(taken);
        Ok(registry)
    }

    /// Its log of requests, a line each; written after the answer.
    pub fn log(&self) -> std::io::Result<String> {
        fs::read_to_string(self.folder.path().join("requests.log"))
    }

    /// Pushes a repository byte for byte: blobs, manifests, then what refers to them, then tags.
    pub async fn push(&self, repository: &Repository) -> Outcome {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let root = format!("http://{}/v2/{}", self.address, repository.path);
        for (digest, bytes) in &repository.blobs {
            let begun = client.post(format!("{root}/blobs/uploads/")).send().await?;
            let location =
                begun.headers().get("location").ok_or("no location")?.to_str()?.to_owned();
            let done = client
                .put(format!("{location}&digest={digest}"))
                .body(bytes.clone())
                .send()
                .await?;
            ensure!(done.status() == 201, "{digest}: {}", done.status());
        }
        let is_index =
            |media_type: &str| media_type.contains("index") || media_type.contains("list");
        let (indexes, images): (Vec<_>, Vec<_>) =
            repository.manifests.iter().partition(|(_, (media_type, _))| is_index(media_type));
        for (digest, (media_type, bytes)) in images.into_iter().chain(indexes) {
            let tags =
                repository.tags.iter().filter(|(_, target)| *target == digest).map(|(tag, _)| tag);
            for reference in tags.chain([digest]) {
                let put = client
                    .put(format!("{root}/manifests/{reference}"))
                    .header("content-type", media_type);
                let done = put.body(bytes.clone()).send().await?;
                ensure!(
                    done.status() == 201,
                    "{reference}: {} {}",
                    done.status(),
                    done.text().await?
                );
            }
        }
        Ok(())
    }
}

pub async fn docker_registry() -> Outcome {
    let docker = DockerRegistry::start().await?;
    let all = fixtures::load();
    for name in [
        "prod/signed-v2",
        "prod/signed-v3",
        "prod/signed-docker",
        "prod/index-child-v3",
        "prod/unsigned",
        "pause",
    ] {
        docker.push(&all[&format!("{HOST}/{name}")]).await?;
    }
    let stage = Stage::usual().await?;
    lead(&stage, HOST, &format!("http://{}", docker.address))?;
    for name in ["signed-v2", "signed-v3", "signed-docker", "index-child-v3"] {
        let began = Instant::now();
        admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
        println!(
            "   pulled and ran in {:.0} ms, from docker-registry",
            began.elapsed().as_secs_f64() * 1e3
        );
    }
    refused(&stage, &prod("unsigned"), no("unsigned"), &["production", "absent"]).await?;
    let gone = refusal_of("v9", stage.cri().pull(&prod("signed-v2:v9")).await)?;
    expect_refusal(&gone, Code::NotFound, "", &["signed-v2:v9"])?;
    ensure!(stage.registry.requests().is_empty(), "the other registry was asked");
    Ok(())
}
