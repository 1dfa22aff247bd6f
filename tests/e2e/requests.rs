//! Beside the real cosign: how many requests a cold decision makes, counted in the registry's log
//! for both, and signatures that cosign keeps in a repository of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::access::{DockerRegistry, lead};
use crate::ensure;
use crate::fixtures;
use crate::means::{admitted, digest_of, no, prod, refused};
use crate::registry::{Settings, TestRegistry};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, usual_policy};

/// The older form and the default of the newer cosign, each with the cosign whose own form it is.
const FORMS: [(&str, &str, &str); 2] =
    [("older form", "signed-v2", "trixie"), ("bundle", "signed-v3", "sid")];

/// A registry with a log of who asked.
enum Logged<'a> {
    Docker(&'a DockerRegistry),
    StandIn(&'a TestRegistry),
}

impl Logged<'_> {
    fn host(&self) -> String {
        match self {
            Self::Docker(docker) => docker.address.to_string(),
            Self::StandIn(registry) => registry.host(),
        }
    }

    /// The requests so far of the gate, and those of all who are neither the gate nor the runtime.
    fn counts(&self) -> Result<(usize, usize), Failure> {
        let agents: Vec<String> = match self {
            Self::Docker(docker) => docker
                .log()?
                .lines()
                .filter(|line| line.contains("/v2/"))
                .map(str::to_owned)
                .collect(),
            Self::StandIn(registry) => {
                registry.requests().into_iter().map(|entry| entry.user_agent).collect()
            }
        };
        let ours = agents.iter().filter(|agent| agent.contains("sealgate/")).count();
        let runtime = agents.iter().filter(|agent| agent.contains("containerd/")).count();
        Ok((ours, agents.len() - ours - runtime))
    }

    /// The same once the log is quiet: it is written after the answer.
    async fn settled(&self) -> Result<(usize, usize), Failure> {
        let mut before = self.counts()?;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.counts()?;
            if now == before {
                return Ok(now);
            }
            before = now;
        }
    }
}

/// The cosign of a suite, unpacked beside the machine's own tools.
fn cosign(suite: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("target/runtimes/{suite}/usr/bin/cosign"));
    ensure!(
        path.is_file(),
        "this scenario needs the cosign of {suite} in {path:?}: `make runtimes` unpacks it"
    );
    Ok(path)
}

fn done(what: &str, output: &Output) -> Outcome {
    let said = [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat();
    ensure!(output.status.success(), "{what} ended with {}: {said}", output.status);
    Ok(())
}

pub async fn requests() -> Outcome {
    println!(
        "   {:<42} {:>7} {:>9} {:>18}",
        "one cold decision, by tag", "cosign", "sealgate", "with known form"
    );
    let docker = DockerRegistry::start().await?;
    for (_, name, _) in FORMS {
        docker.push(&fixtures::load()[&format!("{HOST}/prod/{name}")]).await?;
    }
    for (form, name, suite) in FORMS {
        let stage = Stage::usual().await?;
        lead(&stage, HOST, &format!("http://{}", docker.address))?;
        let row = Row { what: format!("{form}, docker-registry"), name, suite, less: 1 };
        row.count(&stage, &Logged::Docker(&docker)).await?;
    }
    for (form, name, suite) in FORMS {
        let stage =
            Stage::set(Props { registry: Settings::conforming(), ..Props::usual()? }).await?;
        let row =
            Row { what: format!("{form}, a registry with the endpoint"), name, suite, less: 1 };
        row.count(&stage, &Logged::StandIn(&stage.registry)).await?;
    }
    Ok(())
}

/// One image in one registry, asked for by both.
struct Row {
    what: String,
    name: &'static str,
    suite: &'static str,
    /// How many less than cosign's are wanted once the registry is known.
    less: usize,
}

impl Row {
    async fn count(&self, stage: &Stage, logged: &Logged<'_>) -> Outcome {
        let start = logged.settled().await?;
        let mut verify = Command::new(cosign(self.suite)?);
        verify.args([
            "verify",
            "--insecure-ignore-tlog",
            "--allow-insecure-registry",
            "--allow-http-registry",
            "--key",
        ]);
        verify.arg(stage.folder().join("keys/build.pub")).arg(format!(
            "{}/prod/{}:v1",
            logged.host(),
            self.name
        ));
        verify.env("HOME", stage.folder()).stdin(Stdio::null());
        done("cosign verify", &verify.output()?)?;
        let cosigns = logged.settled().await?.1 - start.1;

        // A process of its own knows nothing yet.
        done("sealgate verify", &stage.sealgate(&["verify", &prod(self.name)])?)?;
        let cold = logged.settled().await?.0 - start.0;
        // The gate has admitted it once, and then forgets everything but what it knows of the
        // registry.
        let mut known = 0;
        for _ in 0..2 {
            done("sealgate cache flush", &stage.sealgate(&["cache", "flush"])?)?;
            let before = logged.settled().await?.0;
            stage.cri().pull(&prod(self.name)).await?;
            known = logged.settled().await?.0 - before;
        }

        println!("   {:<42} {cosigns:>7} {cold:>9} {known:>18}", self.what);
        ensure!(cold > 0 && known > 0, "nothing was asked");
        ensure!(cold <= cosigns, "{}: {cold} requests, cosign makes {cosigns}", self.what);
        ensure!(
            known + self.less <= cosigns,
            "{}: {known} requests once known, cosign makes {cosigns}",
            self.what
        );
        Ok(())
    }
}

/// The policy of images whose signatures are in a repository of their own.
fn elsewhere() -> String {
    let policy = usual_policy().replace("files: [build.pub]", "files: [elsewhere.pub]");
    policy.replacen(
        "  require:",
        &format!("  signatureRepository: {HOST}/signatures/all\n  require:"),
        1,
    )
}

pub async fn signature_repository() -> Outcome {
    for (settings, what) in [
        (Settings::without_referrers(), "no endpoint"),
        (Settings::conforming(), "a referrers endpoint"),
    ] {
        for suite in ["trixie", "sid"] {
            println!("   signed by the cosign of {suite}, {what}:");
            signed_elsewhere(settings.clone(), suite).await?;
        }
    }
    Ok(())
}

async fn signed_elsewhere(settings: Settings, suite: &str) -> Outcome {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &[&str], repository: Option<String>| -> Outcome {
        let mut command = Command::new(cosign(suite)?);
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
        command.env("COSIGN_PASSWORD", "").env("HOME", folder.path());
        command.envs(repository.map(|repository| ("COSIGN_REPOSITORY", repository)));
        done("cosign", &command.output()?)
    };
    run(&["generate-key-pair"], None)?;
    let mut stage = Stage::set(Props { registry: settings, ..Props::usual()? }).await?;
    fs::copy(folder.path().join("cosign.pub"), stage.folder().join("keys/elsewhere.pub"))?;
    stage.write_policy(&elsewhere())?;
    stage.kill_gate()?;
    stage.start_gate().await?;
    refused(&stage, &prod("unsigned"), no("unsigned"), &["absent"]).await?;
    let asked = |part: &str| crate::means::asked_by(&stage.registry, "sealgate/", part);
    ensure!(
        asked("/signatures/all/") > 0 && asked("/prod/unsigned/manifests/sha256-") == 0,
        "asked elsewhere"
    );
    let (place, digest) = (stage.registry.host(), digest_of("unsigned", "v1"));
    let image = format!("{place}/prod/unsigned@{digest}");
    let identity = format!("{HOST}/prod/unsigned");
    let mut arguments =
        vec!["sign", "-y", "--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry"];
    match suite {
        "trixie" => arguments.extend(["--sign-container-identity", identity.as_str()]),
        _ => arguments.push("--use-signing-config=false"),
    }
    arguments.push(&image);
    run(&arguments, Some(format!("{place}/signatures/all")))?;
    let beside: Vec<String> = stage
        .registry
        .requests()
        .into_iter()
        .filter(|entry| entry.method == "PUT")
        .map(|entry| entry.path)
        .collect();
    ensure!(
        beside.iter().any(|path| path.contains("/signatures/all/manifests/")),
        "cosign wrote elsewhere: {beside:#?}"
    );
    // A refusal is remembered shortly.
    done("sealgate cache flush", &stage.sealgate(&["cache", "flush"])?)?;
    admitted(&stage, &prod("unsigned"), "hello from unsigned").await?;
    // What is signed in its own repository, and not there, does not count.
    refused(&stage, &prod("signed-other"), no("unsigned"), &["absent"]).await?;
    Ok(())
}
