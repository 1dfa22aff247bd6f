//! Credentials: who gets them, who does not, and that they show nowhere.

use std::sync::Arc;

use sealgate::registry::{
    Access, AuthConfig, Class, Credentials, Presented, RedirectFault, RegistryError,
};

use crate::rig::{NAME, Rig, push, reference, repository, robot, session};
use crate::support::{Answer, Auth, Rule, Settings, TestRegistry};

/// The password that must appear nowhere, and its base64 with the user's name before it.
const PASSWORD: &str = "hunter2-planted";
const ENCODED: &str = "cm9ib3Q6aHVudGVyMi1wbGFudGVk";

/// A registry under its own address, with an image.
fn server(auth: Auth) -> (TestRegistry, Rig, String) {
    let server = TestRegistry::start(Settings::conforming().auth(auth));
    push(&server);
    let rig = Rig::new();
    rig.hosts(&server.host(), &format!("server = \"{}\"\n", server.url()));
    let name = format!("{}/acme/app:1", server.host());
    (server, rig, name)
}

fn leaked(server: &TestRegistry) -> bool {
    server.requests().iter().any(|entry| {
        let all = format!("{entry:?}");
        all.contains(PASSWORD) || all.contains(ENCODED)
    })
}

#[tokio::test]
async fn basic() {
    let (server, rig, name) = server(Auth::basic(PASSWORD));
    let session = rig.session_of(&robot(PASSWORD, &server.host()));
    session.resolve(&reference(&name)).await.unwrap();
    assert_eq!(session.requests(), 2);
    session.resolve(&reference(&name)).await.unwrap();
    assert_eq!(session.requests(), 3, "what worked is remembered");
    let wrong = rig
        .session_of(&robot("wrong", &server.host()))
        .resolve(&reference(&name))
        .await
        .unwrap_err();
    assert!(
        matches!(
            wrong,
            RegistryError::Unauthorized { status: 401, credentials: Presented::Refused, .. }
        ),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn bearer_tokens_are_fetched_once_and_never_shared() {
    let (server, rig, name) = server(Auth::bearer(PASSWORD));
    let registry = rig.registry();
    let right = robot(PASSWORD, &server.host());
    for _ in 0..3 {
        session(&registry, &right).resolve(&reference(&name)).await.unwrap();
    }
    assert_eq!(server.count("/token"), 1);
    let token = server.requests().into_iter().find(|entry| entry.path == "/token").unwrap();
    assert_eq!(
        token.query,
        "service=test+registry&scope=repository%3Aacme%2Fapp%3Apull&account=robot"
    );
    for access in [Access::default(), robot("wrong", &server.host())] {
        let error = session(&registry, &access).resolve(&reference(&name)).await.unwrap_err();
        assert_eq!(error.class(), Class::Unable, "{error:?}");
    }
}

#[tokio::test]
async fn anonymous_tokens() {
    let (server, rig, name) = server(Auth::open_bearer());
    rig.session().resolve(&reference(&name)).await.unwrap();
    let asked: Vec<_> =
        server.requests().into_iter().map(|entry| (entry.path, entry.status)).collect();
    let manifest = "/v2/acme/app/manifests/1".to_owned();
    assert_eq!(
        asked,
        [(manifest.clone(), Some(401)), ("/token".to_owned(), Some(200)), (manifest, Some(200))]
    );
}

#[tokio::test]
async fn refresh_tokens_and_registry_tokens() {
    let (server, rig, name) = server(Auth::bearer(PASSWORD));
    let given = |auth: AuthConfig| {
        Access::new(Credentials::from_auth_config(&auth, &server.host()).unwrap())
    };
    let refresh = AuthConfig {
        identity_token: crate::support::REFRESH_TOKEN.to_owned(),
        ..AuthConfig::default()
    };
    rig.session_of(&given(refresh)).resolve(&reference(&name)).await.unwrap();
    assert_eq!(server.requests()[1].method, "POST");
    server.clear_log();
    let token =
        AuthConfig { registry_token: crate::support::TOKEN.to_owned(), ..AuthConfig::default() };
    rig.session_of(&given(token)).resolve(&reference(&name)).await.unwrap();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_fetched_again() {
    let (server, rig, name) = server(Auth::bearer(PASSWORD));
    let session = rig.session_of(&robot(PASSWORD, &server.host()));
    session.resolve(&reference(&name)).await.unwrap();
    let challenge = format!(r#"Bearer realm="{}/token""#, server.url());
    let expired =
        Answer::Full { status: 401, headers: vec![("www-authenticate", challenge)], body: vec![] };
    server.rule(Rule::new("/manifests/", expired).calls(1..=1));
    session.resolve(&reference(&name)).await.unwrap();
    assert_eq!(server.count("/token"), 2);
}

#[tokio::test]
async fn the_nodes_own_credentials_are_used_when_the_request_brings_none() {
    let (server, rig, name) = server(Auth::basic(PASSWORD));
    let json = format!(r#"{{"auths":{{"{}":{{"auth":"{ENCODED}"}}}}}}"#, server.host());
    rig.write("config.json", &json);
    rig.session().resolve(&reference(&name)).await.unwrap();
    let wrong = rig
        .session_of(&robot("wrong", &server.host()))
        .resolve(&reference(&name))
        .await
        .unwrap_err();
    assert_eq!(wrong.class(), Class::Unable);
    rig.write("config.json", "broken");
    assert_eq!(rig.session().resolve(&reference(&name)).await.unwrap_err().class(), Class::Unable);
    rig.write("config.json", &json.replace(&server.host(), "other.example"));
    server.clear_log();
    assert_eq!(rig.session().resolve(&reference(&name)).await.unwrap_err().class(), Class::Unable);
    assert!(!leaked(&server));
}

/// Attack E1, fact P18: credentials for a registry are not for its mirrors, unless the operator
/// says so.
#[tokio::test]
async fn attack_e1_a_mirror_gets_no_credentials() {
    let mirror = TestRegistry::start(Settings::conforming().auth(Auth::basic(PASSWORD)));
    push(&mirror);
    let mut rig = Rig::new();
    rig.hosts(NAME, &format!("[host.\"{}\"]\n", mirror.url()));
    let access = robot(PASSWORD, NAME);
    assert!(rig.session_of(&access).tag(&repository(), "1").await.is_err());
    assert_eq!(mirror.requests().len(), 1);
    assert!(!leaked(&mirror));
    // The refusal says what must be set, whosever credentials they are.
    rig.write("config.json", &format!(r#"{{"auths":{{"{NAME}":{{"auth":"{ENCODED}"}}}}}}"#));
    let setting = format!("credential_hosts = {{ \"{NAME}\" = [\"{}\"] }}", mirror.host());
    let error = rig.session_of(&access).tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "the registry itself is not there: {error:?}");
    assert!(error.to_string().contains(&setting), "{error}");
    rig.hosts(NAME, &format!("server = \"{}\"\n", mirror.url()));
    for access in [&access, &Access::default()] {
        let error = rig.session_of(access).tag(&repository(), "1").await.unwrap_err();
        let credentials = Presented::NotForMirror { registry: NAME.to_owned() };
        assert_eq!(
            error,
            RegistryError::Unauthorized { host: mirror.host(), status: 401, credentials }
        );
        assert!(error.to_string().contains(&setting), "{error}");
    }
    assert!(!leaked(&mirror));
    rig.write("config.json", "{}");
    rig.options.credential_hosts = [(NAME.to_owned(), vec![mirror.host()])].into();
    rig.session_of(&access).tag(&repository(), "1").await.unwrap();
    let other = robot(PASSWORD, "other.example");
    assert!(rig.session_of(&other).tag(&repository(), "1").await.is_err());
}

/// Attack E1, fact P18: whom the runtime is told that a secret is for which names no registry. It
/// compares the host of the address that it asks, letter by letter.
#[tokio::test]
async fn attack_e1_a_secret_for_no_registry_in_particular_is_for_the_registry() {
    let mirror = "[host.\"http://mirror.example:5000\"]\n";
    let elsewhere = "server = \"https://inside.example:8443/v2\"\n";
    let (both, upstream) =
        (format!("{elsewhere}{mirror}"), format!("server = \"https://{NAME}:443\"\n{mirror}"));
    let cases: [(&str, &str, &[&str], Option<&str>); 12] = [
        ("", NAME, &[], Some("https://reg.example.test")),
        ("", "REG.example.test:5000", &[], Some("https://REG.example.test:5000")),
        ("", "docker.io", &[], Some("https://registry-1.docker.io")),
        (mirror, "docker.io", &[], Some("https://registry-1.docker.io")),
        (mirror, NAME, &[], Some("https://reg.example.test")),
        (&upstream, NAME, &[], Some("https://reg.example.test:443")),
        (elsewhere, NAME, &[], Some("https://reg.example.test")),
        (elsewhere, NAME, &["inside.example:8443"], Some("https://inside.example:8443")),
        (&both, NAME, &["inside.example:8443"], Some("https://inside.example:8443")),
        (&both, NAME, &["mirror.example:5000"], Some("https://mirror.example:5000")),
        (&both, NAME, &["mirror.example:5000", "inside.example:8443"], None),
        ("server = ", NAME, &["mirror.example:5000"], Some("https://reg.example.test")),
    ];
    for (hosts, registry, named, address) in cases {
        let mut rig = Rig::new();
        if !hosts.is_empty() {
            rig.hosts(registry, hosts);
        }
        let named = named.iter().map(|host| (*host).to_owned()).collect();
        rig.options.credential_hosts = [(NAME.to_owned(), named)].into();
        let repository =
            sealgate::image::Repository::parse(&format!("{registry}/acme/app")).unwrap();
        let told = rig.registry().secret_address(&repository).await;
        assert_eq!(told.as_deref(), address, "{registry}: {hosts:?}");
    }
}

/// Attack E1: whoever a registry redirects to does not make us show the registry, or any place on
/// it, a secret.
#[tokio::test]
async fn attack_e1_where_a_redirect_leads_nobody_asks_for_secrets() {
    let (server, mut rig, name) = server(Auth::Anonymous);
    let other = TestRegistry::start(Settings::conforming());
    rig.options.allow_local_hosts = vec![other.host()];
    server.rule(Rule::new(
        "/manifests/",
        Answer::Redirect(307, format!("{}/elsewhere", other.url())),
    ));
    for challenge in [
        format!(r#"Bearer realm="{}/token?by=another""#, server.url()),
        "Basic realm=\"x\"".to_owned(),
    ] {
        let demand = Answer::Full {
            status: 401,
            headers: vec![("www-authenticate", challenge)],
            body: vec![],
        };
        other.clear_rules();
        other.rule(Rule::new("/elsewhere", demand));
        server.clear_log();
        let session = rig.session_of(&robot(PASSWORD, &server.host()));
        let error = session.resolve(&reference(&name)).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized { status: 401, .. }), "{error:?}");
        assert_eq!((session.requests(), server.requests().len()), (2, 1));
        assert!(!leaked(&server) && !leaked(&other));
    }
}

/// Attack E1: the token service of a registry is another host.
#[tokio::test]
async fn attack_e1_a_realm_elsewhere_gets_no_credentials() {
    let (server, mut rig, name) = server(Auth::bearer(PASSWORD));
    let access = robot(PASSWORD, &server.host());
    let plain = TestRegistry::start(Settings::conforming().auth(Auth::bearer("x")));
    let challenge = format!(r#"Bearer realm="{}/token""#, plain.url());
    let demand =
        Answer::Full { status: 401, headers: vec![("www-authenticate", challenge)], body: vec![] };
    server.rule(Rule::new("/manifests/", demand));
    let error = rig.session_of(&access).resolve(&reference(&name)).await.unwrap_err();
    assert_eq!(error, RegistryError::Realm { host: server.host() });
    assert_eq!(plain.requests(), []);
    // Named by the operator for this registry, it gets them.
    rig.options.token_realms = [(server.host(), vec![plain.host()])].into();
    let error = rig.session_of(&access).resolve(&reference(&name)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error:?}");
    assert!(leaked(&plain));
}

/// Attack E1: a redirect to another host takes no credentials along.
#[tokio::test]
async fn attack_e1_a_redirect_elsewhere_carries_no_credentials() {
    let other = TestRegistry::start(Settings::conforming());
    let (bytes, digest) = push(&other);
    for status in [301, 302, 303, 307, 308] {
        let (server, mut rig, name) = server(Auth::basic(PASSWORD));
        server.rule(
            Rule::new(
                "/manifests/",
                Answer::Redirect(status, format!("{}/v2/acme/app/manifests/1", other.url())),
            )
            .calls(2..=2),
        );
        server.rule(Rule::new("/manifests/", Answer::Status(500, "UNKNOWN")).calls(3..=9));
        rig.options.allow_local_hosts = vec![other.host()];
        let access = robot(PASSWORD, &server.host());
        let fetched = rig.session_of(&access).resolve(&reference(&name)).await.unwrap();
        assert_eq!((fetched.digest, fetched.bytes.as_ref()), (digest.clone(), bytes.as_slice()));
        assert!(leaked(&server), "the registry itself gets them");
    }
    assert!(other.requests().iter().all(|entry| entry.authorization.is_none()));
    assert!(!other.requests().is_empty());
}

#[tokio::test]
async fn attack_e1_https_is_not_left() {
    let plain = TestRegistry::start(Settings::conforming());
    let server = TestRegistry::start(Settings::conforming().tls());
    server.rule(Rule::new(
        "/manifests/",
        Answer::Redirect(307, format!("{}/v2/acme/app/manifests/1", plain.url())),
    ));
    let mut rig = Rig::serving(&server);
    rig.options.allow_local_hosts = vec![plain.host()];
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Redirect { fault: RedirectFault::Downgrade, .. }),
        "{error:?}"
    );
    assert_eq!(plain.requests(), []);
}

/// Attack E6: whatever goes wrong, and whatever the registry echoes, no secret is in an error or a
/// Debug output.
#[tokio::test]
async fn attack_e6_no_secret_in_errors() {
    let echo = |status| Answer::Full {
        status,
        headers: vec![
            ("www-authenticate", format!("Basic realm=\"{PASSWORD}\"")),
            ("location", format!("ftp://{PASSWORD}@x/")),
        ],
        body: format!(r#"{{"errors":[{{"code":"{ENCODED}","message":"{PASSWORD}"}}]}}"#)
            .into_bytes(),
    };
    let mut answers: Vec<Answer> = [400, 401, 403, 404, 409, 429, 500, 302, 307].map(echo).to_vec();
    answers.extend([Answer::Drop, Answer::Truncated(PASSWORD.as_bytes().to_vec())]);
    for auth in [Auth::basic(PASSWORD), Auth::bearer(PASSWORD)] {
        for answer in &answers {
            for path in ["/manifests/", "/token"] {
                let (server, rig, name) = server(auth.clone());
                server.rule(Rule::new(path, answer.clone()).calls(2..=9));
                server.rule(Rule::new("/token", answer.clone()));
                let access = robot(PASSWORD, &server.host());
                let registry = rig.registry();
                let session = session(&registry, &access);
                let told = match session.resolve(&reference(&name)).await {
                    Ok(fetched) => format!("{fetched:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                let all = format!("{told} {session:?} {registry:?} {access:?} {:?}", access.key());
                assert!(!all.contains(PASSWORD) && !all.contains(ENCODED), "{all}");
            }
        }
    }
}

/// Attack E6: nor in a log at the finest level.
#[tokio::test]
async fn attack_e6_no_secret_in_logs() {
    #[derive(Clone, Default)]
    struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let sink = Sink::default();
    let for_log = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || for_log.clone())
        .finish();
    // For the whole process: what the other tests write is looked through as well.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let (server, rig, name) = server(Auth::bearer(PASSWORD));
    rig.session_of(&robot(PASSWORD, &server.host())).resolve(&reference(&name)).await.unwrap();
    let log = String::from_utf8_lossy(&sink.0.lock().unwrap()).into_owned();
    assert!(log.contains("asking a registry"), "{log}");
    assert!(
        !log.contains(PASSWORD) && !log.contains(ENCODED) && !log.contains(crate::support::TOKEN),
        "{log}"
    );
}
