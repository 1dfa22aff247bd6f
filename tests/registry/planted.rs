//! The real program with planted secrets: nothing that it says or writes has one of them (attack
//! E6), and its memory is hidden.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use sealgate::proto::cri::image_service_client::ImageServiceClient;
use sealgate::proto::cri::{AuthConfig, ImageSpec, PullImageRequest};

use crate::skipped::skipped;
use crate::support::{Answer, Auth, Rule, Settings, TestRegistry};

/// In every planted secret, and nowhere else.
const PLANTED: &str = "hunter2";
/// How long anything may take before the test fails.
const WAIT: Duration = Duration::from_secs(60);

/// By which way a secret comes to the gate.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Password,
    Auth,
    IdentityToken,
    RegistryToken,
    DockerConfig,
    Helper,
    HelperToken,
    Plugin,
    Proxy,
}

const WAYS: [Way; 9] = [
    Way::Password,
    Way::Auth,
    Way::IdentityToken,
    Way::RegistryToken,
    Way::DockerConfig,
    Way::Helper,
    Way::HelperToken,
    Way::Plugin,
    Way::Proxy,
];

/// The program; killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn secret(way: Way) -> String {
    format!("{way:?}-{PLANTED}")
}

/// Everything that a registry can do wrong, with what it was sent in its words.
fn faults(way: Way) -> Vec<Vec<Rule>> {
    let secret = secret(way);
    let echo = |status| Answer::Full {
        status,
        headers: vec![
            (
                "www-authenticate",
                format!("Basic realm=\"{secret}\", Bearer realm=\"ftp://{secret}/\""),
            ),
            ("location", format!("ftp://robot:{secret}@x/{secret}")),
            ("retry-after", secret.clone()),
        ],
        body: format!(r#"{{"errors":[{{"code":"{secret}","message":"{secret}"}}]}}"#).into_bytes(),
    };
    // From the second request on: the first one must make the gate bring what it has.
    let later = |path: &str, answer: Answer| vec![Rule::new(path, answer).calls(2..=usize::MAX)];
    vec![
        later("/manifests/", echo(401)),
        later("/manifests/", echo(403)),
        later("/manifests/", echo(404)),
        later("/manifests/", echo(500)),
        later("/manifests/", echo(307)),
        later("/manifests/", Answer::Truncated(secret.clone().into_bytes())),
        vec![Rule::new("/token", echo(400))],
        vec![Rule::new("/token", echo(503))],
        vec![Rule::new(
            "/token",
            Answer::Full { status: 200, headers: vec![], body: secret.clone().into_bytes() },
        )],
    ]
}

/// A node's folder, and the registries that its images are in.
struct Stage {
    folder: tempfile::TempDir,
    registries: Vec<(Way, TestRegistry)>,
    metrics: SocketAddr,
}

impl Stage {
    fn new() -> Self {
        let mut registries = Vec::new();
        for way in WAYS {
            for rules in faults(way) {
                let basic = matches!(way, Way::Auth | Way::Plugin);
                let auth =
                    if basic { Auth::basic(&secret(way)) } else { Auth::bearer(&secret(way)) };
                let registry = TestRegistry::start(Settings::conforming().auth(auth));
                crate::rig::push(&registry);
                rules.into_iter().for_each(|rule| registry.rule(rule));
                registries.push((way, registry));
            }
        }
        let stage = Self { folder: tempfile::tempdir().unwrap(), registries, metrics: unused() };
        stage.write_all();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn program(&self, name: &str, body: &str) {
        let mut install = Command::new("install");
        let mut child = install
            .args(["-D", "-m", "755", "/dev/stdin"])
            .arg(self.path(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{body}\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn hosts(&self, way: Way) -> Vec<String> {
        self.registries
            .iter()
            .filter(|(own, _)| *own == way)
            .map(|(_, registry)| registry.host())
            .collect()
    }

    fn write_all(&self) {
        for (way, registry) in &self.registries {
            let proxied = *way == Way::Proxy;
            let proxy =
                format!("proxy = \"http://robot:{}@{}\"\n", secret(Way::Proxy), registry.host());
            let proxy = if proxied { proxy } else { String::new() };
            let toml = format!(
                "server = \"{url}\"\n[host.\"{url}\"]\n{proxy}[host.\"{url}\".header]\nx-planted \
                 = \"Header-{PLANTED}\"\n",
                url = registry.url()
            );
            self.write(&format!("certs/{}/hosts.toml", registry.host()), &toml);
        }
        let auths: Vec<String> = self
            .hosts(Way::DockerConfig)
            .iter()
            .map(|host| {
                let auth = STANDARD.encode(format!("robot:{}", secret(Way::DockerConfig)));
                format!(r#""{host}":{{"auth":"{auth}"}}"#)
            })
            .collect();
        let helpers: Vec<String> = [(Way::Helper, "password"), (Way::HelperToken, "token")]
            .iter()
            .flat_map(|(way, helper)| {
                self.hosts(*way).into_iter().map(move |host| format!(r#""{host}":"{helper}""#))
            })
            .collect();
        self.write(
            "docker.json",
            &format!(
                r#"{{"auths":{{{}}},"credHelpers":{{{}}}}}"#,
                auths.join(","),
                helpers.join(",")
            ),
        );
        for (name, user, way) in
            [("password", "robot", Way::Helper), ("token", "<token>", Way::HelperToken)]
        {
            let answer = format!(r#"{{"Username":"{user}","Secret":"{}"}}"#, secret(way));
            self.program(
                &format!("bin/docker-credential-{name}"),
                &format!("echo '{answer}'; echo '{answer}' >&2"),
            );
        }
        self.write_plugins();
        self.write_config();
    }

    /// One plugin that answers, and one that fails with its secret in its mouth.
    fn write_plugins(&self) {
        let hosts = self.hosts(Way::Plugin);
        let images: String = hosts.iter().map(|host| format!("  - '{host}'\n")).collect();
        let plugins: String = ["good", "bad"]
            .iter()
            .map(|name| {
                format!(
                    "- name: {name}\n  matchImages:\n{images}  defaultCacheDuration: 1h\n  \
                     apiVersion: credentialprovider.kubelet.k8s.io/v1\n  env: [{{name: KEY, value: \
                     Env-{PLANTED}}}]\n"
                )
            })
            .collect();
        let head =
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n";
        self.write("plugins.yaml", &format!("{head}{plugins}"));
        let password = secret(Way::Plugin);
        let auths: Vec<String> = hosts
            .iter()
            .map(|host| format!(r#""{host}":{{"username":"robot","password":"{password}"}}"#))
            .collect();
        let answer = format!(
            r#"{{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Global","auth":{{{}}}}}"#,
            auths.join(",")
        );
        self.program("bin/good", &format!("echo '{answer}'; echo \"$KEY\" >&2"));
        self.program(
            "bin/bad",
            &format!("echo \"$KEY {password}\"; echo \"$KEY {password}\" >&2; exit 9"),
        );
    }

    fn write_config(&self) {
        let at = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "[listen]\nconnections = 256\nsocket = {:?}\n[control]\nsocket = \
             {:?}\n[runtime]\nsocket = {:?}\n[audit]\npath = {:?}\ncheckpoint_key = \"\"\n[clock]\nfile = {:?}\n\
             [policy]\npolicies = {:?}\nkeys = {:?}\n[trust]\nroots = [{trust:?}]\nupdate = \
             []\nstate = {trust:?}\n\
             [evidence]\npath = {:?}\n[limits]\ndecision_seconds = 6\ndecisions_at_once = \
             256\n[metrics]\nlisten = \"{}\"\n\
             [registry]\ncerts_dirs = [{:?}]\ndocker_configs = [{:?}]\ncredential_helper_dirs = \
             [{bin:?}]\n\
             credential_provider_config = {:?}\ncredential_provider_bin_dir = {bin:?}\n\
             credential_env = {{TOKEN = \"Variable-{PLANTED}\"}}\nconcurrent_requests = 256\n\
             [log]\nfilter = \"trace\"\n",
            at("cri.sock"),
            at("control.sock"),
            at("none.sock"),
            at("log/audit.jsonl"),
            at("clock"),
            at("policies"),
            at("keys"),
            at("state/evidence"),
            self.metrics,
            at("certs"),
            at("docker.json"),
            at("plugins.yaml"),
            bin = at("bin"),
            trust = at("trust"),
        );
        self.write("config.toml", &text);
        let policy = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: all}\nspec:\n  \
            images: [\"**\"]\n  \
                      require: {name: build, key: {files: [build.pub]}}\n";
        self.write("policies/policy.yaml", policy);
        self.write("keys/build.pub", &fs::read_to_string(fixture("keys/build.pub")).unwrap());
        for folder in ["log", "state", "trust"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
    }

    fn start(&self, prepare: impl FnOnce(&mut Command)) -> Program {
        let journal = fs::File::create(self.path("journal")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("run")
            .env_clear()
            .stderr(journal);
        prepare(&mut command);
        let mut program = Program(command.spawn().unwrap());
        let end = crate::rig::clock().steady() + WAIT;
        while !self.journal().contains("ready") {
            assert!(program.0.try_wait().unwrap().is_none(), "{}", self.journal());
            assert!(crate::rig::clock().steady() < end, "{}", self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    fn journal(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("journal")).unwrap()).into_owned()
    }

    /// What the program answers to a command.
    fn ask(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        let output = command
            .arg("--config")
            .arg(self.path("config.toml"))
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    fn numbers(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A connection for all pulls: one process has no more than its share of them.
    async fn channel(&self) -> tonic::transport::Channel {
        let socket = self.path("cri.sock");
        let connector = tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
        endpoint.connect_with_connector(connector).await.unwrap()
    }

    /// Pulls the image of one registry; the refusal.
    async fn pull(&self, channel: tonic::transport::Channel, way: Way, host: String) -> String {
        let image = ImageSpec { image: format!("{host}/acme/app:1"), ..ImageSpec::default() };
        let request =
            PullImageRequest { image: Some(image), auth: auth(way), ..PullImageRequest::default() };
        let refusal = ImageServiceClient::new(channel).pull_image(request).await.unwrap_err();
        format!("{refusal} {refusal:?}")
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn auth(way: Way) -> Option<AuthConfig> {
    let secret = secret(way);
    let none = AuthConfig::default();
    match way {
        Way::Password => {
            Some(AuthConfig { username: "robot".to_owned(), password: secret, ..none })
        }
        Way::Auth => Some(AuthConfig { auth: STANDARD.encode(format!("robot:{secret}")), ..none }),
        Way::IdentityToken => Some(AuthConfig { identity_token: secret, ..none }),
        Way::RegistryToken => Some(AuthConfig { registry_token: secret, ..none }),
        Way::DockerConfig | Way::Helper | Way::HelperToken | Way::Plugin | Way::Proxy => None,
    }
}

/// A planted secret in a text, as it is or in base64, wherever in a base64 text it stands.
fn leak(text: &str) -> Option<&str> {
    let at = |before: &str, from: usize| {
        let encoded = STANDARD.encode(format!("{before}{PLANTED}"));
        encoded[from..encoded.len() / 4 * 4 - 4].to_owned()
    };
    let needles =
        [PLANTED.to_owned(), at("", 0), at("x", 4), at("xx", 4), crate::support::TOKEN.to_owned()];
    let found = needles.iter().find_map(|needle| text.find(needle.as_str()))?;
    text.get(found.saturating_sub(200)..(found + 60).min(text.len()))
        .or(Some("where it is not ASCII"))
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for before in ["", "a", "ab", "abc", "robot:Password-"] {
        for after in ["", "x", "xy"] {
            let plain = format!("{before}{PLANTED}{after}");
            assert!(leak(&plain).is_some() && leak(&STANDARD.encode(&plain)).is_some(), "{plain}");
        }
    }
    assert_eq!(leak("nothing to see"), None);
}

/// Every file below a folder, read.
fn below(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        } else if path.is_file() {
            found.push((
                path.clone(),
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
            ));
        }
    }
    found
}

/// Attack E6: secrets by every way that there is, registries that fail in every way and repeat what
/// they were sent, the log at its finest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_e6_no_planted_secret_comes_out_of_the_program() {
    let stage = Stage::new();
    let _program = stage.start(|_| {});
    let channel = stage.channel().await;
    let pulls = stage
        .registries
        .iter()
        .map(|(way, registry)| stage.pull(channel.clone(), *way, registry.host()));
    let refusals = futures_util::future::join_all(pulls).await;
    assert_eq!(refusals.len(), 81);
    for ((way, registry), refusal) in stage.registries.iter().zip(&refusals) {
        assert_eq!(leak(refusal), None, "{way:?}: {refusal}");
        assert!(refusal.contains("message: \"") && !refusal.contains("message: \"\""), "{refusal}");
        // The registries did get what was planted: it was there to be leaked.
        let asked = registry.requests();
        assert!(
            *way == Way::Proxy
                || asked
                    .iter()
                    .any(|entry| entry.authorization.is_some() || entry.method == "POST"),
            "{way:?}: {asked:?}"
        );
    }
    let one = format!("{}/acme/app:1", stage.hosts(Way::Plugin)[0]);
    let said = [
        ("status", stage.ask(&["status"])),
        ("status", stage.ask(&["status", "--output", "json"])),
        ("verify", stage.ask(&["verify", &one])),
        ("audit", stage.ask(&["audit", "tail"])),
        ("metrics", stage.numbers()),
        ("journal", stage.journal()),
    ];
    for (what, text) in &said {
        assert!(!text.is_empty(), "{what} is empty");
        assert_eq!(leak(text), None, "{what}");
    }
    let journal = stage.journal();
    for seen in [
        "asking a registry",
        "asking a credential provider",
        "asking a credential helper",
        "bad ended with code 9",
        "TRACE",
    ] {
        assert!(journal.contains(seen), "the journal does not say {seen:?}");
    }
    let files: Vec<_> =
        ["log", "state"].iter().flat_map(|folder| below(&stage.path(folder))).collect();
    assert!(files.iter().any(|(path, text)| path.ends_with("audit.jsonl") && !text.is_empty()));
    for (path, text) in files {
        assert_eq!(leak(&text), None, "{}", path.display());
    }
}

/// Attack E6: the process leaves no core, and others of its user cannot read its memory. What the
/// kernel then does is to give its files in `/proc` to root.
#[test]
fn attack_e6_the_memory_of_the_program_is_hidden() {
    /// Nobody.
    const USER: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        skipped("only root starts a program as another user");
        return;
    }
    let stage = Stage {
        folder: tempfile::tempdir_in("/tmp").unwrap(),
        registries: vec![],
        metrics: unused(),
    };
    stage.write_all();
    let chown =
        |name: &str| std::os::unix::fs::chown(stage.path(name), Some(USER), Some(USER)).unwrap();
    for entry in ["log", "state", "trust", ""] {
        chown(entry);
    }
    let config = fs::read_to_string(stage.path("config.toml")).unwrap();
    let config = config.replacen("[listen]\n", &format!("[listen]\nallowed_uids = [{USER}]\n"), 1);
    stage.write("config.toml", &config);
    // The program's own folder may be one that only root enters.
    let copy = stage.path("bin/sealgate");
    fs::copy(env!("CARGO_BIN_EXE_sealgate"), &copy).unwrap();
    let program = stage.start(|command| {
        let journal = fs::File::create(stage.path("journal")).unwrap();
        *command = Command::new(&copy);
        command
            .arg("--config")
            .arg(stage.path("config.toml"))
            .arg("run")
            .env_clear()
            .stderr(journal);
        command.uid(USER).gid(USER);
    });
    let of = |name: &str| fs::metadata(format!("/proc/{}/{name}", program.0.id())).unwrap().uid();
    let status = fs::read_to_string(format!("/proc/{}/status", program.0.id())).unwrap();
    assert!(status.contains(&format!("Uid:\t{USER}\t")), "{status}");
    assert_eq!((of("environ"), of("maps")), (0, 0), "a process that is dumpable owns them");
    let other_program = Program(Command::new("sleep").arg("100").uid(USER).spawn().unwrap());
    let other = fs::metadata(format!("/proc/{}/environ", other_program.0.id())).unwrap().uid();
    assert_eq!(other, USER, "the kernel shows it by the owner");
}

fn unused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
