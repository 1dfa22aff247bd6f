//! Tags, digests, blobs: what comes was hashed here.

use sealgate::image::Digest;
use sealgate::registry::{Class, RegistryError, Why};

use crate::rig::{NAME, Rig, push, reference, repository};
use crate::support::{Answer, Auth, Rule, Settings, TestRegistry};

/// Another manifest.
const OTHER: &[u8] = br#"{"schemaVersion":2,"other":1}"#;

#[tokio::test]
async fn a_tag_and_a_digest_give_the_same_bytes() {
    let server = TestRegistry::start(Settings::conforming());
    let (bytes, digest) = push(&server);
    let rig = Rig::serving(&server);
    let session = rig.session();
    let by_tag = session.resolve(&reference(&format!("{NAME}/acme/app:1"))).await.unwrap();
    let by_digest =
        session.resolve(&reference(&format!("{NAME}/acme/app:other@{digest}"))).await.unwrap();
    for fetched in [&by_tag, &by_digest] {
        assert_eq!((fetched.bytes.as_ref(), &fetched.digest), (bytes.as_slice(), &digest));
        assert!(!fetched.docker_distribution);
    }
    assert_eq!(session.requests(), 2);
    assert_eq!(session.bytes(), 2 * u64::try_from(bytes.len()).unwrap());
    assert!(server.requests().iter().all(|entry| entry.query == "ns=reg.example.test"));
    assert!(server.requests().iter().all(|entry| entry.user_agent.starts_with("sealgate/")));
}

#[tokio::test]
async fn a_blob_is_hashed_and_its_size_is_the_limit() {
    let server = TestRegistry::start(Settings::conforming());
    let digest = Digest::parse(&server.put_blob("acme/app", b"payload")).unwrap();
    let rig = Rig::serving(&server);
    let session = rig.session();
    assert_eq!(session.blob(&repository(), &digest, 7, 100).await.unwrap().as_ref(), b"payload");
    let before = session.requests();
    assert!(matches!(
        session.blob(&repository(), &digest, 101, 100).await,
        Err(RegistryError::TooLarge { .. })
    ));
    assert_eq!(session.requests(), before, "nothing is asked for what is too large anyway");
    assert!(matches!(
        session.blob(&repository(), &digest, 6, 100).await,
        Err(RegistryError::TooLarge { limit: 6, .. })
    ));
}

#[tokio::test]
async fn what_is_not_there_is_absent() {
    let server = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&server);
    let rig = Rig::serving(&server);
    let session = rig.session();
    let other = Digest::of(b"other");
    for error in [
        session.tag(&repository(), "2").await.unwrap_err(),
        session.manifest(&repository(), &other).await.unwrap_err(),
        session.blob(&repository(), &digest, 5, 5).await.unwrap_err(),
    ] {
        assert_eq!(error.class(), Class::Absent, "{error:?}");
    }
    let error = session.tag(&repository(), "2").await.unwrap_err();
    assert_eq!(error, RegistryError::NotFound { name: format!("{NAME}/acme/app:2") });
}

/// Attacks A1 and A7: what the registry says about digests counts for nothing.
#[tokio::test]
async fn attack_a7_the_digest_is_of_the_bytes_that_came() {
    let server = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&server);
    let lie = Answer::Full {
        status: 200,
        headers: vec![("docker-content-digest", digest.to_string())],
        body: OTHER.to_vec(),
    };
    server.rule(Rule::new("/manifests/", lie));
    let rig = Rig::serving(&server);
    let session = rig.session();
    let got = Digest::of(OTHER);
    let tagged = session.tag(&repository(), "1").await.unwrap();
    assert_eq!((tagged.digest, tagged.bytes.as_ref()), (got.clone(), OTHER));
    let error = session.manifest(&repository(), &digest).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::DigestMismatch { expected, got: came, .. } if *expected == digest && *came == got)
    );
    assert_eq!(error.class(), Class::Unable);
}

/// Attack A1: the second answer differs; each is known by its own bytes.
#[tokio::test]
async fn attack_a1_a_second_answer_is_another_digest() {
    let server = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&server);
    let moved = Answer::Full { status: 200, headers: vec![], body: OTHER.to_vec() };
    server.rule(Rule::new("/manifests/1", moved).calls(2..=2));
    let rig = Rig::serving(&server);
    let session = rig.session();
    assert_eq!(session.tag(&repository(), "1").await.unwrap().digest, digest);
    assert_eq!(session.tag(&repository(), "1").await.unwrap().digest, Digest::of(OTHER));
}

#[tokio::test]
async fn localhost_needs_no_configuration() {
    for settings in [Settings::conforming(), Settings::conforming().tls()] {
        let server = TestRegistry::start(settings);
        let (_, digest) = push(&server);
        let rig = Rig::new();
        let session = rig.session();
        let fetched =
            session.resolve(&reference(&format!("{}/acme/app:1", server.host()))).await.unwrap();
        assert_eq!(fetched.digest, digest);
        let again =
            session.resolve(&reference(&format!("{}/acme/app:1", server.host()))).await.unwrap();
        assert_eq!(again.digest, digest);
        assert_eq!(server.requests()[0].query, "", "the registry itself is told no namespace");
    }
}

#[tokio::test]
async fn https_trusts_the_authority_in_hosts_toml_and_no_other() {
    let server = TestRegistry::start(Settings::conforming().tls());
    let (_, digest) = push(&server);
    let rig = Rig::serving(&server);
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().digest, digest);
    rig.hosts(NAME, &format!("server = \"{}\"\n", server.url()));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Tls(_), .. }), "{error:?}");
    rig.hosts(NAME, &format!("server = \"{}\"\nskip_verify = true\n", server.url()));
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().digest, digest);
    rig.hosts(NAME, &format!("server = \"{}\"\nca = \"broken.crt\"\n", server.url()));
    rig.write(
        &format!("{NAME}/broken.crt"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Config { .. }), "{error:?}");
}

/// A plain host with TLS settings is tried with TLS first and remembered as plain; with a wrong
/// certificate it never is.
#[tokio::test]
async fn a_wrong_certificate_is_no_reason_to_speak_plainly() {
    let server = TestRegistry::start(Settings::conforming().tls());
    push(&server);
    let rig = Rig::new();
    rig.hosts(NAME, &format!("[host.\"http://{}\"]\nskip_verify = false\n", server.host()));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Tls(_), .. }), "{error:?}");
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn unauthorized_is_not_absent_and_failing_is_not_absent() {
    for (answer, class) in [
        (Answer::Status(403, "DENIED"), Class::Unable),
        (Answer::Status(401, "UNAUTHORIZED"), Class::Unable),
        (Answer::Status(400, "TAG_INVALID"), Class::Unable),
        (Answer::Status(500, "UNKNOWN"), Class::Unreachable),
        (Answer::Status(502, "UNKNOWN"), Class::Unreachable),
        (Answer::Status(503, "UNKNOWN"), Class::Unreachable),
        (Answer::Status(429, "TOOMANYREQUESTS"), Class::Unreachable),
        (Answer::Drop, Class::Unreachable),
        (Answer::Truncated(b"{".to_vec()), Class::Unreachable),
    ] {
        let server = TestRegistry::start(Settings::conforming());
        push(&server);
        server.rule(Rule::new("/manifests/", answer.clone()));
        let error = Rig::serving(&server).session().tag(&repository(), "1").await.unwrap_err();
        assert_eq!(error.class(), class, "{answer:?}: {error:?}");
    }
    let server = TestRegistry::start(Settings::conforming().auth(Auth::basic("x")));
    push(&server);
    let error = Rig::serving(&server).session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { status: 401, .. }), "{error:?}");
}

#[tokio::test]
async fn an_encoded_body_is_refused() {
    let server = TestRegistry::start(Settings::conforming());
    let gzip = Answer::Full {
        status: 200,
        headers: vec![("content-encoding", "gzip".to_owned())],
        body: vec![31, 139],
    };
    server.rule(Rule::new("/manifests/", gzip));
    let error = Rig::serving(&server).session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable() {
    let rig = Rig::new();
    let error = rig.session().resolve(&reference("no-such-host.invalid/a:1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Name(_), .. }), "{error:?}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rig.hosts(NAME, &format!("server = \"http://{free}\"\n"));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { why: Why::Connection(_), .. }),
        "{error:?}"
    );
}

/// Attack E2: what is no tag goes into no address.
#[tokio::test]
async fn attack_e2_only_tags_go_into_addresses() {
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    let rig = Rig::serving(&server);
    for bad in [
        "../../../token",
        "1?x=y",
        "1#x",
        "a/b",
        "",
        ".hidden",
        "a b",
        "%2e%2e",
        "1\r\nx: y",
        &"t".repeat(129),
    ] {
        let error = rig.session().tag(&repository(), bad).await.unwrap_err();
        assert_eq!(error.class(), Class::Absent, "{bad}");
    }
    assert_eq!(server.requests(), []);
}
