//! Fact P18: a pull's secret that names no registry is shown by containerd to every mirror that
//! asks. The gate has it name the registry, so that no mirror sees it that the operator did not
//! name, and the registry does.

use std::fs;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealgate::proto::cri::AuthConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::containerd::Flavour;
use crate::ensure;
use crate::kept::anew;
use crate::making::{Form, made};
use crate::registry::{Auth, Entry, REFRESH_TOKEN, Settings, TOKEN, TestRegistry};
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage};
use crate::tiny::{MANIFEST, Tiny};

const PASSWORD: &str = "planted-c2881e-password";
/// The repository, wherever it is.
const PATH: &str = "prod/private";
/// Where Docker Hub is, whatever its images are called.
const DOCKER_HUB_API: &str = "registry-1.docker.io:443";

/// A secret, and what of it may be seen in requests.
struct Secret {
    what: &'static str,
    auth: AuthConfig,
    /// containerd leaves registry tokens out, and then fails at a private registry.
    taken: bool,
}

fn secrets() -> Vec<Secret> {
    let encoded = STANDARD.encode(format!("robot:{PASSWORD}"));
    let none = AuthConfig::default;
    let secret = |what, auth, taken| Secret { what, auth, taken };
    vec![
        secret(
            "user and password",
            AuthConfig { username: "robot".to_owned(), password: PASSWORD.to_owned(), ..none() },
            true,
        ),
        secret("auth", AuthConfig { auth: encoded, ..none() }, true),
        secret(
            "identity_token",
            AuthConfig { identity_token: REFRESH_TOKEN.to_owned(), ..none() },
            true,
        ),
        secret("registry_token", AuthConfig { registry_token: TOKEN.to_owned(), ..none() }, false),
    ]
}

/// Whether any of the secrets stands in a request.
fn shows(entry: &Entry) -> bool {
    let encoded = STANDARD.encode(format!("robot:{PASSWORD}"));
    let said = format!(
        "{}\n{}\n{}",
        entry.authorization.as_deref().unwrap_or_default(),
        entry.form,
        entry.query
    );
    [PASSWORD, &encoded, REFRESH_TOKEN, TOKEN].iter().any(|secret| said.contains(secret))
}

fn showed(registry: &TestRegistry, agent: &str) -> usize {
    registry
        .requests()
        .iter()
        .filter(|entry| entry.user_agent.contains(agent) && shows(entry))
        .count()
}

/// A mirror that has the image, and gives it to whoever shows the registry's secret.
fn mirror(auth: Auth) -> TestRegistry {
    let mirror = TestRegistry::start(Settings::conforming().auth(auth));
    let image = Tiny::saying("hello from private");
    for blob in image.layers.iter().chain([&image.config]) {
        mirror.put_blob(PATH, blob);
    }
    mirror.put_manifest(PATH, Some("v1"), &image.manifest, MANIFEST);
    mirror
}

/// A stage with an image under `prod/private` in its private registry, signed in the form that
/// names no repository.
async fn stage(
    props: Props,
    registry: Settings,
    image_host: Option<&str>,
) -> Result<Stage, Failure> {
    let alpha = Signer::p256();
    let keys = vec![("alpha.pub".to_owned(), alpha.pem())];
    let mut stage = Stage::set(Props { registry, keys, ..props }).await?;
    let host = image_host.map_or_else(|| stage.registry.host(), str::to_owned);
    stage.write_policy(&format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{host}/prod/**\"]\n  \
         require: {{name: alpha, key: {{files: [alpha.pub]}}}}\n"
    ))?;
    made(&stage, "private", Form::Bundle, &[&alpha]);
    anew(&mut stage).await?;
    Ok(stage)
}

/// `hosts.toml` in a folder of `certs.d`: what the head says, and the mirror before all. A gate may
/// go by what it read a moment ago, so it is started anew.
async fn hosts(stage: &mut Stage, folder: &str, head: &str, mirror: &TestRegistry) -> Outcome {
    let folder = stage.containerd.folder().join("certs.d").join(folder);
    fs::create_dir_all(&folder)?;
    let text =
        format!("{head}\n[host.\"{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n", mirror.url());
    fs::write(folder.join("hosts.toml"), text)?;
    anew(stage).await
}

/// Pulls with secrets: the mirror is asked and shown none, the registry is shown each.
async fn pull_with(
    stage: &Stage,
    image: &str,
    mirror: &TestRegistry,
    secrets: Vec<Secret>,
) -> Outcome {
    for Secret { what, auth, taken } in secrets {
        for each in [mirror, &stage.registry] {
            each.clear_log();
        }
        let pulled = stage.cri().pull_as(image, Some(auth)).await;
        let leaked = showed(mirror, "");
        ensure!(leaked == 0, "{what}: the mirror saw it {leaked} times: {:#?}", mirror.requests());
        let asked = mirror
            .requests()
            .iter()
            .filter(|entry| entry.user_agent.contains("containerd/"))
            .count();
        ensure!(
            asked > 0,
            "{what}: the runtime did not ask the mirror, so this attacks nothing ({pulled:?})"
        );
        let (runtime, gate) =
            (showed(&stage.registry, "containerd/"), showed(&stage.registry, "sealgate/"));
        ensure!(gate > 0, "{what}: the gate did not show it to the registry ({pulled:?})");
        match pulled {
            Ok(_) => ensure!(taken && runtime > 0, "{what}: pulled, shown {runtime} times"),
            Err(error) => ensure!(!taken && runtime == 0, "{what}: {error}"),
        }
        println!(
            "     {what:<18} mirror: asked {asked} times, shown 0; registry: shown {runtime} + \
             {gate} times"
        );
    }
    Ok(())
}

/// A registry by its own name, with a mirror before it that asks in either way.
async fn by_its_own_name(props: Props) -> Outcome {
    let mut stage = stage(props, Settings::conforming().auth(Auth::bearer(PASSWORD)), None).await?;
    let (address, server) =
        (stage.registry.address(), format!("server = \"{}\"\n", stage.registry.url()));
    let folder = format!("{}_{}_", address.ip(), address.port());
    for (challenge, auth) in [("Bearer", Auth::bearer(PASSWORD)), ("Basic", Auth::basic(PASSWORD))]
    {
        let mirror = mirror(auth);
        hosts(&mut stage, &folder, &server, &mirror).await?;
        println!("   a registry by its own name, a mirror that asks with {challenge}:");
        pull_with(&stage, &format!("{address}/{PATH}:v1"), &mirror, secrets()).await?;
    }
    Ok(())
}

/// A registry that another host stands for, which alone may have the secrets; then the mirror may
/// have them too.
async fn by_another_name(props: Props) -> Outcome {
    let config = format!("registry.credential_hosts.\"{HOST}\" = [\"{{registry}}\"]\n");
    let props = Props { config, ..props };
    let mut stage =
        stage(props, Settings::conforming().auth(Auth::bearer(PASSWORD)), Some(HOST)).await?;
    let mirror = mirror(Auth::basic(PASSWORD));
    let server = format!("server = \"{}\"\n", stage.registry.url());
    hosts(&mut stage, HOST, &server, &mirror).await?;
    println!("   a registry that another host stands for, which is named in credential_hosts:");
    let image = format!("{HOST}/{PATH}:v1");
    pull_with(&stage, &image, &mirror, secrets()).await?;

    let (registry, named) = (stage.registry.host(), mirror.host());
    let config = fs::read_to_string(stage.config())?;
    let both =
        config.replace(&format!("[\"{registry}\"]\n"), &format!("[\"{registry}\", \"{named}\"]\n"));
    ensure!(config != both, "credential_hosts is not where it was: {config}");
    fs::write(stage.config(), both)?;
    anew(&mut stage).await?;
    let password = secrets().swap_remove(0).auth;
    stage.cri().pull_as(&image, Some(password)).await?;
    let shown = showed(&mirror, "containerd/");
    println!("   the mirror named beside it: shown {shown} times");
    ensure!(shown > 0, "a mirror that is named was shown nothing");
    Ok(())
}

/// Docker Hub, whose images and whose API have different names: behind a proxy, so that the names
/// are the real ones.
async fn docker_hub(props: Props) -> Outcome {
    let registry = Settings::conforming().tls().auth(Auth::basic(PASSWORD));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = format!("http://{}", listener.local_addr()?);
    let config = format!("registry.https_proxy = \"{proxy}\"\n");
    let env =
        vec![("HTTPS_PROXY".to_owned(), proxy), ("NO_PROXY".to_owned(), "127.0.0.1".to_owned())];
    let mut stage = stage(Props { config, env, ..props }, registry, Some("docker.io")).await?;
    let tunnels = tokio::spawn(tunnel(listener, stage.registry.address()));
    let mirror = mirror(Auth::basic(PASSWORD));
    hosts(&mut stage, "docker.io", "skip_verify = true\n", &mirror).await?;
    println!("   docker.io, whose API is {DOCKER_HUB_API}:");
    let basic = secrets().into_iter().take(2).collect();
    pull_with(&stage, &format!("docker.io/{PATH}:v1"), &mirror, basic).await?;
    tunnels.abort();
    Ok(())
}

/// A proxy that knows Docker Hub's API alone.
async fn tunnel(listener: TcpListener, to: SocketAddr) {
    while let Ok((mut client, _)) = listener.accept().await {
        drop(tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
                head.push(client.read_u8().await?);
            }
            if !head.starts_with(format!("CONNECT {DOCKER_HUB_API} ").as_bytes()) {
                return client
                    .write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
            let mut server = TcpStream::connect(to).await?;
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
        }));
    }
}

pub async fn mirror_secrets() -> Outcome {
    let flavours = Flavour::all();
    let versions: Vec<(u32, u32)> = flavours.iter().map(|flavour| flavour.version).collect();
    ensure!(
        versions.len() >= 3,
        "this scenario wants containerd 1.6, 1.7 and 2.x, here are {versions:?}: make runtimes"
    );
    for flavour in flavours {
        let props = || Ok::<_, Failure>(Props { flavour: flavour.clone(), ..Props::usual()? });
        println!("   containerd {}.{}", flavour.version.0, flavour.version.1);
        by_its_own_name(props()?).await?;
        by_another_name(props()?).await?;
        docker_hub(props()?).await?;
    }
    Ok(())
}
