//! When a 404 is a registry's word that something is not there, and when it is no word at all.

use sealgate::image::Digest;
use sealgate::registry::{Class, Malformed, Referrers, RegistryError};

use crate::rig::{NAME, Raw, Rig, push, repository};
use crate::support::{Answer, OCI_INDEX, Rule, Settings, TestRegistry};

fn answering(path: &str, answer: Answer) -> (TestRegistry, Rig) {
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    server.rule(Rule::new(path, answer));
    let rig = Rig::serving(&server);
    (server, rig)
}

fn page(headers: &[(&'static str, &str)], body: &str) -> Answer {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Answer::Full { status: 404, headers, body: body.as_bytes().to_vec() }
}

#[tokio::test]
async fn what_registries_say_of_what_is_not_there() {
    let docker = [("docker-distribution-api-version", "registry/2.0")];
    for (who, answer) in [
        ("docker, ghcr, ECR, GAR, ACR", Answer::Status(404, "MANIFEST_UNKNOWN")),
        ("a repository that is not there", Answer::Status(404, "NAME_UNKNOWN")),
        ("Harbor", Answer::Status(404, "NOT_FOUND")),
        ("no body", page(&[], "")),
        ("docker's distribution with a page", page(&docker, "404 page not found\n")),
    ] {
        let (_server, rig) = answering("/manifests/", answer);
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        assert!(matches!(error, RegistryError::NotFound { .. }), "{who}: {error:?}");
    }
}

#[tokio::test]
async fn who_may_be_no_registry_says_nothing() {
    for (who, answer) in [
        (
            "a gateway without a route",
            page(&[("content-type", "text/plain")], "404 page not found\n"),
        ),
        ("a portal", page(&[("content-type", "text/html")], "<html>please log in</html>")),
        (
            "another gateway",
            page(&[("content-type", "application/json")], r#"{"message":"no Route matched"}"#),
        ),
        ("nonsense", page(&[], r#"{"errors":[]}"#)),
    ] {
        let (_server, rig) = answering("/manifests/", answer);
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        assert!(
            matches!(error, RegistryError::Malformed { what: Malformed::NotFound, .. }),
            "{who}: {error:?}"
        );
        assert_eq!(error.class(), Class::Unable);
    }
}

/// Attack D2: a 404 whose body breaks off, or does not come, may be anybody's: it does not count as
/// one without a body.
#[tokio::test]
async fn attack_d2_a_body_that_did_not_come_is_not_an_empty_one() {
    for (body, closes) in [("", true), ("", false), ("<html>", true)] {
        let answer = format!("HTTP/1.1 404 Not Found\r\ncontent-length: 500\r\n\r\n{body}");
        let server = Raw::start(answer.into_bytes(), closes).await;
        let rig = Rig::new();
        rig.hosts(NAME, &format!("server = \"{}\"\n", server.url));
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        assert!(
            matches!(error, RegistryError::Malformed { what: Malformed::NotFound, .. }),
            "{body:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn who_may_not_know_does_not_say_absent() {
    for code in ["DENIED", "UNAUTHORIZED"] {
        let (_server, rig) = answering("/v2/", Answer::Status(404, code));
        let session = rig.session();
        for error in [
            session.tag(&repository(), "1").await.unwrap_err(),
            session.referrers(&repository(), &Digest::of(b"")).await.unwrap_err(),
        ] {
            assert!(
                matches!(error, RegistryError::Unauthorized { status: 404, .. }),
                "{code}: {error:?}"
            );
            assert_eq!(error.class(), Class::Unable);
        }
    }
}

/// For the referrers endpoint a page means that there is none: the fallback tag is looked at, by
/// the rules above.
#[tokio::test]
async fn a_page_in_place_of_the_referrers_endpoint_is_no_endpoint() {
    let (_server, rig) = answering("/referrers/", page(&[("content-type", "text/html")], "<html>"));
    assert_eq!(
        rig.session().referrers(&repository(), &Digest::of(b"")).await,
        Ok(Referrers::NoEndpoint)
    );
}

#[tokio::test]
async fn attack_d1_a_page_that_leads_back_is_found_out_at_once() {
    for to in ["", "?page=2"] {
        let list = |next: &str| Answer::Full {
            status: 200,
            headers: vec![
                ("content-type", OCI_INDEX.to_owned()),
                ("link", format!("<{next}>; rel=\"next\"")),
            ],
            body: br#"{"manifests":[]}"#.to_vec(),
        };
        let path = format!("/v2/acme/app/referrers/{}", Digest::of(b""));
        let (server, rig) = answering("/referrers/", list(&format!("{path}{to}")));
        let error = rig.session().referrers(&repository(), &Digest::of(b"")).await.unwrap_err();
        assert!(
            matches!(error, RegistryError::Malformed { what: Malformed::Loop, .. }),
            "{error:?}"
        );
        assert!(server.requests().len() <= 2, "{to}");
    }
}
