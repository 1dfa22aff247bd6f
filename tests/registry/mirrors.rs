//! Mirrors: their order, what they may say, and that silence of one is never absence.

use sealgate::registry::{Class, Referrers, RegistryError};

use crate::rig::{NAME, Rig, push, reference, repository};
use crate::support::{Answer, Rule, Settings, TestRegistry};

/// A mirror and the registry behind it.
fn two(capabilities: &str) -> (TestRegistry, TestRegistry, Rig) {
    let (mirror, server) =
        (TestRegistry::start(Settings::conforming()), TestRegistry::start(Settings::conforming()));
    let rig = Rig::new();
    let toml = format!(
        "server = \"{}\"\n[host.\"{}\"]\ncapabilities = {capabilities}\n",
        server.url(),
        mirror.url()
    );
    rig.hosts(NAME, &toml);
    (mirror, server, rig)
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_told_whose_content_it_is() {
    let (mirror, server, rig) = two(r#"["pull", "resolve"]"#);
    let (_, digest) = push(&mirror);
    let fetched = rig.session().tag(&repository(), "1").await.unwrap();
    assert_eq!((fetched.digest, fetched.host), (digest, mirror.host()));
    assert_eq!(mirror.requests()[0].query, format!("ns={NAME}"));
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn a_mirror_that_may_not_resolve_is_asked_for_digests_alone() {
    let (mirror, server, rig) = two(r#"["pull"]"#);
    let (_, digest) = push(&mirror);
    push(&server);
    let session = rig.session();
    assert_eq!(session.tag(&repository(), "1").await.unwrap().host, server.host());
    assert_eq!(mirror.requests(), []);
    assert_eq!(session.manifest(&repository(), &digest).await.unwrap().host, mirror.host());
}

#[tokio::test]
async fn what_a_mirror_has_not_the_server_may_have() {
    let (mirror, server, rig) = two(r#"["pull", "resolve"]"#);
    for (answer, expected) in [
        (Answer::Status(404, "NAME_UNKNOWN"), Class::Absent),
        (Answer::Status(500, "UNKNOWN"), Class::Unreachable),
        (Answer::Status(429, "TOOMANYREQUESTS"), Class::Unreachable),
        (Answer::Status(403, "DENIED"), Class::Unable),
        (Answer::Drop, Class::Unreachable),
    ] {
        mirror.clear_rules();
        server.clear_rules();
        let (_, digest) = push(&server);
        mirror.rule(Rule::new("/manifests/", answer.clone()));
        let fetched = rig.session().tag(&repository(), "1").await.unwrap();
        assert_eq!((fetched.digest, fetched.host), (digest, server.host()), "{answer:?}");
        server.rule(Rule::new("/manifests/", Answer::Status(404, "MANIFEST_UNKNOWN")));
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        assert_eq!(error.class(), expected, "{answer:?}: {error:?}");
    }
}

/// Attack A1: a hostile mirror's content is named, and the server's is taken.
#[tokio::test]
async fn attack_a1_a_mirror_with_other_content_is_passed_over() {
    let (mirror, server, rig) = two(r#"["pull", "resolve"]"#);
    let (_, digest) = push(&server);
    let other = Answer::Full { status: 200, headers: vec![], body: b"other".to_vec() };
    mirror.rule(Rule::new("/manifests/", other));
    let session = rig.session();
    assert_eq!(session.manifest(&repository(), &digest).await.unwrap().host, server.host());
    server.rule(Rule::new("/manifests/", Answer::Status(503, "UNKNOWN")));
    let error = session.manifest(&repository(), &digest).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::DigestMismatch { host, .. } if *host == mirror.host()),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_empty_list_of_a_mirror_is_not_the_last_word() {
    let (mirror, server, rig) = two(r#"["pull", "resolve"]"#);
    let (_, digest) = push(&server);
    push(&mirror);
    let signature =
        format!(r#"{{"schemaVersion":2,"artifactType":"t","subject":{{"digest":"{digest}"}}}}"#);
    server.put_manifest("acme/app", None, signature.as_bytes(), crate::support::OCI_MANIFEST);
    let session = rig.session();
    let list = session.referrers(&repository(), &digest).await.unwrap();
    assert!(matches!(list, Referrers::Listed(list) if list.len() == 1));
    server.rule(Rule::new("/referrers/", Answer::Status(502, "UNKNOWN")));
    let error = session.referrers(&repository(), &digest).await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "{error:?}");
    server.clear_rules();
    server.rule(Rule::new("/referrers/", Answer::Status(404, "NOT_FOUND")));
    assert_eq!(session.referrers(&repository(), &digest).await, Ok(Referrers::NoEndpoint));
}

#[tokio::test]
async fn a_broken_hosts_toml_is_told_and_nothing_is_asked() {
    let server = TestRegistry::start(Settings::conforming());
    let rig = Rig::new();
    rig.hosts(NAME, "server = \"unfinished\n");
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Config { file, .. } if file.ends_with("hosts.toml")),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::Unable);
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn no_host_may_resolve() {
    let server = TestRegistry::start(Settings::conforming());
    let rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"{}\"\ncapabilities = [\"pull\"]\n", server.url()));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error, RegistryError::NoHost { host: NAME.to_owned() });
}

#[tokio::test]
async fn headers_of_hosts_toml_are_sent_to_that_host_alone() {
    let (mirror, server, rig) = two(r#"["pull", "resolve"]"#);
    push(&server);
    let toml = format!(
        "server = \"{}\"\n[host.\"{}\"]\n[host.\"{}\".header]\nauthorization = \"Basic \
         cGxhbnRlZA==\"\n",
        server.url(),
        mirror.url(),
        mirror.url()
    );
    rig.hosts(NAME, &toml);
    rig.session().resolve(&reference(&format!("{NAME}/acme/app:1"))).await.unwrap();
    assert_eq!(mirror.requests()[0].authorization.as_deref(), Some("Basic cGxhbnRlZA=="));
    assert_eq!(server.requests()[0].authorization, None);
}
