//! The node's own credentials in decisions: helpers, plugins, their order and their failures, and
//! the shapes of the large clouds.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealgate::registry::{
    Access, AuthConfig, Class, CredentialWhy, Credentials, Presented, RegistryError,
};

use crate::rig::{NAME, Rig, push, reference, repository, robot, session};
use crate::support::{Answer, Auth, REFRESH_TOKEN, Rule, Settings, TestRegistry};

const PASSWORD: &str = "hunter2-planted";

/// A registry under its own address, a client that knows it, and a folder of programs that belongs
/// to nobody else.
struct Stage {
    server: TestRegistry,
    rig: Rig,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(auth: Auth) -> Self {
        let server = TestRegistry::start(Settings::conforming().auth(auth));
        push(&server);
        let mut rig = Rig::new();
        rig.hosts(&server.host(), &format!("server = \"{}\"\n", server.url()));
        let folder = tempfile::tempdir().unwrap();
        rig.options.credential_helper_dirs = vec![folder.path().to_owned()];
        Self { server, rig, folder }
    }

    fn name(&self) -> String {
        format!("{}/acme/app:1", self.server.host())
    }

    /// A script that notes each call; written by another process, so that nothing here holds it
    /// open.
    fn program(&self, name: &str, body: &str) {
        let text =
            format!("#!/bin/sh\necho \"$@ $(cat)\" >> {}\n{body}\n", self.log(name).display());
        let path = self.folder.path().join(name);
        let mut install = Command::new("install");
        let mut child = install
            .args(["-m", "755", "/dev/stdin"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn calls(&self, name: &str) -> usize {
        std::fs::read_to_string(self.log(name)).unwrap_or_default().lines().count()
    }

    /// One plugin for every image of the registry.
    fn plugin(&mut self, body: &str) {
        let text = format!(
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- \
             name: plugin\n  \
             matchImages: ['{}']\n  defaultCacheDuration: 1h\n  apiVersion: \
             credentialprovider.kubelet.k8s.io/v1\n",
            self.server.host()
        );
        self.program("plugin", body);
        let file = self.folder.path().join("plugins.yaml");
        std::fs::write(&file, text).unwrap();
        self.rig.options.credential_provider_config = Some(file);
        self.rig.options.credential_provider_bin_dir = Some(self.folder.path().to_owned());
    }

    /// What a plugin says that has these for the registry.
    fn says(&self, user: &str, password: &str) -> String {
        format!(
            r#"echo '{{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","auth":{{"{}":{{"username":"{user}","password":"{password}"}}}}}}'"#,
            self.server.host()
        )
    }

    async fn resolve(&self) -> Result<(), RegistryError> {
        self.rig.session().resolve(&reference(&self.name())).await.map(drop)
    }
}

/// A user's password for every way of a cloud: Amazon's ECR asks for Basic, Google's Artifact
/// Registry has its token service on its own host, Azure's registry takes its refresh token from a
/// user of zeros.
#[tokio::test]
async fn the_shapes_of_the_clouds() {
    let bearer = |user: &str| Auth::Bearer {
        user: user.to_owned(),
        password: PASSWORD.to_owned(),
        anonymous: false,
        realm: None,
    };
    for (user, auth) in [
        ("AWS", Auth::Basic { user: "AWS".to_owned(), password: PASSWORD.to_owned() }),
        ("oauth2accesstoken", bearer("oauth2accesstoken")),
        ("_dcgcloud_token", bearer("_dcgcloud_token")),
        ("00000000-0000-0000-0000-000000000000", bearer("00000000-0000-0000-0000-000000000000")),
    ] {
        let mut stage = Stage::new(auth.clone());
        stage.plugin(&stage.says(user, PASSWORD));
        stage.resolve().await.unwrap();
        let stage = Stage::new(auth);
        let given = AuthConfig {
            username: user.into(),
            password: PASSWORD.into(),
            ..AuthConfig::default()
        };
        let access =
            Access::new(Credentials::from_auth_config(&given, &stage.server.host()).unwrap());
        stage.rig.session_of(&access).resolve(&reference(&stage.name())).await.unwrap();
    }
}

#[tokio::test]
async fn a_helper_gives_passwords_and_identity_tokens() {
    for (user, secret) in [("robot", PASSWORD), ("<token>", REFRESH_TOKEN)] {
        let stage = Stage::new(Auth::bearer(PASSWORD));
        let answer = format!(r#"{{"ServerURL":"x","Username":"{user}","Secret":"{secret}"}}"#);
        stage.program("docker-credential-test", &format!("echo '{answer}'"));
        stage.rig.write("config.json", r#"{"credsStore":"test"}"#);
        stage.resolve().await.unwrap();
        let called = std::fs::read_to_string(stage.log("docker-credential-test")).unwrap();
        assert_eq!(called, format!("get {}\n", stage.server.host()));
    }
}

/// What decisions ask at the same time is asked of a helper, of a plugin and of a token service
/// once.
#[tokio::test]
async fn programs_and_tokens_are_shared() {
    let mut stage = Stage::new(Auth::bearer(PASSWORD));
    stage.plugin(&stage.says("robot", PASSWORD));
    stage.program(
        "docker-credential-none",
        "echo 'credentials not found in native keychain'; exit 1",
    );
    stage.rig.write("config.json", r#"{"credsStore":"none"}"#);
    let registry = stage.rig.registry();
    let asked = reference(&stage.name());
    let sessions: Vec<_> = (0..8).map(|_| session(&registry, &Access::default())).collect();
    let all = sessions.iter().map(|session| session.resolve(&asked));
    for outcome in futures_util::future::join_all(all).await {
        outcome.unwrap();
    }
    session(&registry, &Access::default()).resolve(&asked).await.unwrap();
    assert_eq!((stage.calls("plugin"), stage.calls("docker-credential-none")), (1, 1));
    stage.server.clear_log();
    session(&registry, &Access::default()).resolve(&asked).await.unwrap();
    assert_eq!(stage.server.count("/token"), 0, "a token is used until it ends");
}

/// The kubelet's order: files, then plugins; one after the other until one is taken.
#[tokio::test]
async fn secrets_are_tried_in_the_kubelets_order() {
    let mut stage = Stage::new(Auth::basic(PASSWORD));
    let host = stage.server.host();
    stage.plugin(&stage.says("robot", PASSWORD));
    let file = |user: &str, password: &str| {
        format!(r#"{{"auths":{{"{host}":{{"username":"{user}","password":"{password}"}}}}}}"#)
    };
    stage.rig.write("config.json", &file("robot", PASSWORD));
    stage.resolve().await.unwrap();
    assert_eq!(stage.calls("plugin"), 0, "a file's was taken");
    stage.rig.write("config.json", &file("robot", "old"));
    let session = stage.rig.session();
    let asked = reference(&stage.name());
    session.resolve(&asked).await.unwrap();
    assert_eq!(stage.calls("plugin"), 1);
    let before = session.requests();
    session.resolve(&asked).await.unwrap();
    assert_eq!(session.requests(), before + 1, "what was taken comes first");
}

/// A registry may say by a 404 that a secret is not good enough: the kubelet tries the next one,
/// and so do we.
#[tokio::test]
async fn a_secret_that_is_denied_by_a_404_is_not_the_last_one() {
    let stage = Stage::new(Auth::basic(PASSWORD));
    let host = stage.server.host();
    stage.rig.write(
        "config.json",
        &format!(
            r#"{{"auths":{{"{host}/acme":{{"username":"weak","password":"p"}},"{host}":{{"username":"robot","password":"{PASSWORD}"}}}}}}"#
        ),
    );
    // The first request shows nothing and is answered 401, the second shows the first secret.
    stage.server.rule(Rule::new("/manifests/", Answer::Status(404, "DENIED")).calls(2..=2));
    stage.resolve().await.unwrap();
    stage.server.clear_rules();
    stage.server.rule(Rule::new("/manifests/", Answer::Status(404, "DENIED")));
    let error = stage.resolve().await.unwrap_err();
    assert_eq!(
        error,
        RegistryError::Unauthorized { host, status: 404, credentials: Presented::Refused }
    );
}

#[tokio::test]
async fn a_refusal_names_the_source_that_failed() {
    let host = |stage: &Stage| stage.server.host();
    let mut stage = Stage::new(Auth::basic(PASSWORD));
    stage.plugin(&format!("echo {PASSWORD}; echo {PASSWORD} >&2; exit 3"));
    let error = stage.resolve().await.unwrap_err();
    let expected = RegistryError::NoCredentials {
        host: host(&stage),
        status: 401,
        source: "plugin".to_owned(),
        why: CredentialWhy::Exit(Some(3)),
    };
    assert_eq!(error, expected);
    assert_eq!(error.class(), Class::Unable);
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");

    let stage = Stage::new(Auth::basic(PASSWORD));
    stage.rig.write("config.json", r#"{"credsStore":"absent"}"#);
    let RegistryError::NoCredentials { source, why, .. } = stage.resolve().await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!((source.as_str(), why), ("docker-credential-absent", CredentialWhy::Missing));
    stage.rig.write("config.json", &format!("{{\"auths\": {PASSWORD}"));
    let error = stage.resolve().await.unwrap_err();
    let RegistryError::NoCredentials { why: CredentialWhy::File { line, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*line, Some(1));
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");

    // Where nobody asks who we are, a failure is nothing but a warning.
    let mut open = Stage::new(Auth::Anonymous);
    open.plugin("exit 3");
    open.resolve().await.unwrap();
}

/// A plugin that hangs takes half of a decision's time at most; then the registry is asked without.
#[tokio::test]
async fn a_source_that_hangs_does_not_hold_up_the_decision() {
    let mut stage = Stage::new(Auth::basic(PASSWORD));
    stage.plugin("exec sleep 1000");
    let registry = stage.rig.registry();
    let deadline = crate::rig::clock().steady() + std::time::Duration::from_secs(4);
    let error = registry
        .session(&Access::default(), deadline)
        .resolve(&reference(&stage.name()))
        .await
        .unwrap_err();
    let expected = RegistryError::NoCredentials {
        host: stage.server.host(),
        status: 401,
        source: "plugin".to_owned(),
        why: CredentialWhy::Slow,
    };
    assert_eq!(error, expected);

    let mut stage = Stage::new(Auth::basic(PASSWORD));
    stage.program("docker-credential-hang", "exec sleep 1000");
    stage.rig.write("config.json", r#"{"credsStore":"hang"}"#);
    stage.rig.options.credential_helper_ms = 1000;
    let RegistryError::NoCredentials { why, .. } = stage.resolve().await.unwrap_err() else {
        panic!()
    };
    assert_eq!(why, CredentialWhy::Time(1));
}

/// Credentials of a request are for its registry; another one, such as that of a separate signature
/// repository, is asked with the node's own.
#[tokio::test]
async fn another_registry_is_asked_with_the_nodes_own_credentials() {
    let stage = Stage::new(Auth::basic(PASSWORD));
    let host = stage.server.host();
    let file =
        format!(r#"{{"auths":{{"{host}":{{"username":"robot","password":"{PASSWORD}"}}}}}}"#);
    stage.rig.write("config.json", &file);
    let other = robot("of-another", "images.example");
    stage.rig.session_of(&other).resolve(&reference(&stage.name())).await.unwrap();
    // Its own, where it has some, are the only ones: an answer to them is an answer about them
    // (fact P17).
    let wrong = robot("wrong", &host);
    let error = stage.rig.session_of(&wrong).resolve(&reference(&stage.name())).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error:?}");
}

/// Attack E1: the node's own credentials are for no mirror, whatever their source.
#[tokio::test]
async fn attack_e1_a_mirror_gets_no_credentials_of_the_node() {
    let mirror = TestRegistry::start(Settings::conforming().auth(Auth::basic(PASSWORD)));
    push(&mirror);
    let mut stage = Stage::new(Auth::basic(PASSWORD));
    stage.rig.hosts(NAME, &format!("server = \"{}\"\n[host.\"{}\"]\n", mirror.url(), mirror.url()));
    let answer = format!(r#"{{"Username":"robot","Secret":"{PASSWORD}"}}"#);
    stage.program("docker-credential-test", &format!("echo '{answer}'"));
    stage.rig.write("config.json", r#"{"credsStore":"test"}"#);
    assert!(stage.rig.session().tag(&repository(), "1").await.is_err());
    assert!(mirror.requests().iter().all(|entry| entry.authorization.is_none()));
    stage.rig.options.credential_hosts = [(NAME.to_owned(), vec![mirror.host()])].into();
    stage.rig.session().tag(&repository(), "1").await.unwrap();
}
