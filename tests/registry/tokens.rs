//! What token services and registries say about tokens in odd ways, and what a refusal says about
//! credentials.

use sealgate::registry::{Access, AuthConfig, Credentials, Presented, RegistryError};

use crate::rig::{Rig, push, reference, robot, session};
use crate::support::{Answer, Auth, Rule, Settings, TOKEN, TestRegistry};

const PASSWORD: &str = "hunter2-planted";

/// A registry under its own address, with an image.
fn server(auth: Auth) -> (TestRegistry, Rig, String) {
    let server = TestRegistry::start(Settings::conforming().auth(auth));
    push(&server);
    let rig = Rig::new();
    rig.hosts(&server.host(), &format!("server = \"{}\"\n", server.url()));
    let name = format!("{}/acme/app:1", server.host());
    (server, rig, name)
}

fn demand(challenge: &str) -> Answer {
    let headers = vec![("www-authenticate", challenge.to_owned())];
    Answer::Full { status: 401, headers, body: Vec::new() }
}

fn granted(body: String) -> Answer {
    Answer::Full {
        status: 200,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.into_bytes(),
    }
}

/// containerd and cosign read the time and make nothing of it; a token that has it wrong is as
/// good, and is used again.
#[tokio::test]
async fn an_odd_expiry_spoils_no_token() {
    for said in [
        "-1",
        "0",
        "0.5",
        "3600.0",
        "\"3600\"",
        "\"\"",
        "null",
        "1e30",
        "[]",
        "{}",
        "true",
        "-9223372036854775809",
    ] {
        let (server, rig, name) = server(Auth::bearer(PASSWORD));
        server.rule(Rule::new(
            "/token",
            granted(format!(r#"{{"token":"{TOKEN}","expires_in":{said}}}"#)),
        ));
        let registry = rig.registry();
        let access = robot(PASSWORD, &server.host());
        for _ in 0..2 {
            let asked = session(&registry, &access).resolve(&reference(&name)).await;
            assert!(asked.is_ok(), "{said}: {asked:?}");
        }
        assert_eq!(server.count("/token"), 1, "{said}");
    }
    // With more behind the answer, as Go reads it.
    let (server, rig, name) = server(Auth::bearer(PASSWORD));
    let body = format!("{{\"token\":\"{TOKEN}\"}}\n{{}}").into_bytes();
    server.rule(Rule::new("/token", Answer::Full { status: 200, headers: vec![], body }));
    rig.session_of(&robot(PASSWORD, &server.host())).resolve(&reference(&name)).await.unwrap();
}

/// A token that ended early is refused: with the challenge that leads to another one, or with none.
#[tokio::test]
async fn a_token_that_ends_early_is_asked_for_again_once() {
    for has_challenge in [true, false] {
        let (server, rig, name) = server(Auth::bearer(PASSWORD));
        let registry = rig.registry();
        let access = robot(PASSWORD, &server.host());
        let ask = async || session(&registry, &access).resolve(&reference(&name)).await;
        ask().await.unwrap();
        let challenge = format!(r#"Bearer realm="{}/token",error="invalid_token""#, server.url());
        let ended =
            if has_challenge { demand(&challenge) } else { Answer::Status(401, "UNAUTHORIZED") };
        server.rule(Rule::new("/manifests/", ended.clone()).calls(1..=1));
        ask().await.unwrap();
        assert_eq!(server.count("/token"), 2);
        // For good: no more than what one question may cost.
        server.clear_rules();
        server.rule(Rule::new("/manifests/", ended));
        server.clear_log();
        assert!(ask().await.is_err());
        assert!(server.requests().len() <= 6, "{:?}", server.requests());
    }
}

/// A token that is called invalid although it is new (it ended on the way, or clocks differ) is
/// asked for again, once; one that does not suffice is not.
#[tokio::test]
async fn a_new_token_that_is_invalid_is_asked_for_again_once() {
    for (error, times, fine, tokens) in [
        ("invalid_token", 1..=2, true, 2),
        ("invalid_token", 1..=9, false, 2),
        ("insufficient_scope", 1..=9, false, 1),
    ] {
        let (server, rig, name) = server(Auth::bearer(PASSWORD));
        let challenge = format!(r#"Bearer realm="{}/token",error="{error}""#, server.url());
        server.rule(Rule::new("/manifests/", demand(&challenge)).calls(times));
        let asked =
            rig.session_of(&robot(PASSWORD, &server.host())).resolve(&reference(&name)).await;
        assert_eq!(asked.is_ok(), fine, "{error}: {asked:?}");
        assert_eq!(server.count("/token"), tokens, "{error}");
    }
}

/// Whatever a Basic realm is called, the credentials at hand are what it asks for.
#[tokio::test]
async fn a_basic_realm_is_of_no_matter() {
    for challenge in ["Basic realm=/", "Basic realm=\"Z\u{fc}rich\"", "basic", "Basic realm=\"open"]
    {
        let (server, rig, name) = server(Auth::basic(PASSWORD));
        server.rule(Rule::new("/manifests/", demand(challenge)).calls(1..=1));
        let asked =
            rig.session_of(&robot(PASSWORD, &server.host())).resolve(&reference(&name)).await;
        assert!(asked.is_ok(), "{challenge}: {asked:?}");
    }
}

/// A wrong secret, none at all, one for another registry: each has words of its own.
#[tokio::test]
async fn a_refusal_says_what_became_of_the_credentials() {
    for auth in [Auth::basic(PASSWORD), Auth::bearer(PASSWORD)] {
        let (server, rig, name) = server(auth);
        let told =
            async |access: &Access| match rig.session_of(access).resolve(&reference(&name)).await {
                Err(error @ RegistryError::Unauthorized { .. }) => {
                    let text = error.to_string();
                    assert!(text.starts_with(&server.host()) && !text.contains(PASSWORD), "{text}");
                    let RegistryError::Unauthorized { credentials, .. } = error else {
                        unreachable!()
                    };
                    credentials
                }
                other => panic!("{other:?}"),
            };
        assert_eq!(told(&Access::default()).await, Presented::Nothing);
        assert_eq!(told(&robot("wrong", &server.host())).await, Presented::Refused);
        let elsewhere = AuthConfig {
            username: "robot".to_owned(),
            password: PASSWORD.to_owned(),
            server_address: "https://other.example/v1/".to_owned(),
            ..AuthConfig::default()
        };
        let access =
            Access::new(Credentials::from_auth_config(&elsewhere, &server.host()).unwrap());
        assert_eq!(
            told(&access).await,
            Presented::ForAnother { registry: "other.example".to_owned() }
        );
        // The node's own count in its place, and are told of when they do not do.
        rig.write(
            "config.json",
            &format!(r#"{{"auths":{{"{}":{{"auth":"cm9ib3Q6d3Jvbmc="}}}}}}"#, server.host()),
        );
        assert_eq!(told(&access).await, Presented::Refused);
        assert_eq!(told(&Access::default()).await, Presented::Refused);
        rig.write(
            "config.json",
            &format!(r#"{{"auths":{{"{}":{{"auth":"cm9ib3Q6\n"}}}}}}"#, server.host()),
        );
        assert_eq!(told(&Access::default()).await, Presented::Refused, "an empty password is one");
        rig.write("config.json", &format!(r#"{{"auths":{{"{}":{{"auth":"!"}}}}}}"#, server.host()));
        let error = rig.session().resolve(&reference(&name)).await.unwrap_err();
        assert!(matches!(error, RegistryError::NoCredentials { .. }), "{error:?}");
        assert!(error.to_string().contains("base64"), "{error}");
    }
}
