//! A portal, a login page or a proxy answers in a registry's place, with status 200.

use sealgate::image::Digest;
use sealgate::registry::{Class, Malformed, RegistryError};

use crate::rig::{NAME, Rig, push, repository};
use crate::support::{Answer, OCI_MANIFEST, Rule, Settings, TestRegistry};

fn page(kind: Option<&str>, body: &str) -> Answer {
    let headers = kind.map(|kind| ("content-type", kind.to_owned())).into_iter().collect();
    Answer::Full { status: 200, headers, body: body.as_bytes().to_vec() }
}

const HTML: &str = "<!doctype html><title>Log in</title>\n";

#[tokio::test]
async fn a_page_is_no_image_and_names_its_host() {
    for (kind, body, told) in [
        (Some("text/html"), HTML, "text/html"),
        (Some("Text/HTML; charset=utf-8"), HTML, "text/html"),
        (Some("application/xhtml+xml"), HTML, "application/xhtml+xml"),
        (Some(OCI_MANIFEST), HTML, "said to be a manifest"),
        (Some("text/plain"), "404 page not found\n", "text/plain"),
        (Some("application/json"), r#"{"message":"log in"}"#, "application/json"),
        (Some("application/json"), r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#, "application/json"),
        (Some("application/json"), "[]", "application/json"),
        (Some("application/hunter2"), " \n", "another content type"),
        (None, "", "no content type"),
    ] {
        let server = TestRegistry::start(Settings::conforming());
        let (_, digest) = push(&server);
        server.rule(Rule::new("/manifests/", page(kind, body)));
        let rig = Rig::serving(&server);
        let session = rig.session();
        let error = session.tag(&repository(), "1").await.unwrap_err();
        let page = RegistryError::Malformed { host: server.host(), what: Malformed::Page(told) };
        assert_eq!((error.class(), &error), (Class::Unable, &page), "{body}");
        let text = error.to_string();
        assert!(
            text.contains(&server.host()) && text.contains(told) && !text.contains("hunter2"),
            "{text}"
        );
        // By digest, what is no web page is other content, and told as such.
        let error = session.manifest(&repository(), &digest).await.unwrap_err();
        let is_web = told.ends_with("html") || told.ends_with("xhtml+xml");
        assert_eq!(error == page, is_web, "{error:?}");
        assert_eq!(matches!(error, RegistryError::DigestMismatch { .. }), !is_web, "{error:?}");
    }
}

/// What the registry itself says it has is what it has, and so is what hashes to what was asked
/// for: no page.
#[tokio::test]
async fn what_a_registry_stands_by_is_its_content() {
    let server = TestRegistry::start(Settings::conforming());
    let digest =
        Digest::parse(&server.put_manifest("acme/app", Some("1"), HTML.as_bytes(), "text/html"))
            .unwrap();
    let rig = Rig::serving(&server);
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().digest, digest);
    server.rule(Rule::new("/manifests/", page(Some("text/html"), HTML)));
    assert_eq!(rig.session().manifest(&repository(), &digest).await.unwrap().digest, digest);
    // Other content than was asked for is no page where it could be a manifest.
    server.clear_rules();
    server.rule(Rule::new("/manifests/", page(Some("text/html"), r#"{"schemaVersion":2}"#)));
    let error = rig.session().manifest(&repository(), &digest).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    assert!(
        rig.session().tag(&repository(), "1").await.is_ok(),
        "how it is called does not matter"
    );
}

#[tokio::test]
async fn the_next_host_is_asked() {
    let (portal, server) =
        (TestRegistry::start(Settings::conforming()), TestRegistry::start(Settings::conforming()));
    let (_, digest) = push(&server);
    portal.rule(Rule::new("/v2/", page(Some("text/html"), HTML)));
    let rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"{}\"\n[host.\"{}\"]\n", server.url(), portal.url()));
    let session = rig.session();
    assert_eq!(session.tag(&repository(), "1").await.unwrap().digest, digest);
    assert_eq!(session.manifest(&repository(), &digest).await.unwrap().digest, digest);
    let blob = Digest::parse(&server.put_blob("acme/app", b"payload")).unwrap();
    assert_eq!(session.blob(&repository(), &blob, 7, 100).await.unwrap().as_ref(), b"payload");
    // Nobody else has it: what the portal hides is not absent.
    let error = session.tag(&repository(), "2").await.unwrap_err();
    assert_eq!(
        error,
        RegistryError::Malformed { host: portal.host(), what: Malformed::Page("text/html") }
    );
    let missing = Digest::of(b"none");
    let error = session.blob(&repository(), &missing, 100, 100).await.unwrap_err();
    assert_eq!(
        error,
        RegistryError::Malformed { host: portal.host(), what: Malformed::Page("text/html") }
    );
}

#[tokio::test]
async fn where_a_redirect_led_is_named() {
    let (server, portal) =
        (TestRegistry::start(Settings::conforming()), TestRegistry::start(Settings::conforming()));
    server.rule(Rule::new("/manifests/", Answer::Redirect(302, format!("{}/login", portal.url()))));
    portal.rule(Rule::new("/login", page(Some("text/html"), HTML)));
    let mut rig = Rig::serving(&server);
    rig.options.allow_local_hosts = vec![portal.host()];
    let error = rig.session().tag(&repository(), "1").await.unwrap_err().to_string();
    assert!(error.contains(&portal.host()) && error.contains(&server.host()), "{error}");
}
