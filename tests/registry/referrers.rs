//! Referrers: listed, no such endpoint, and could not be asked are three answers.

use sealgate::image::Digest;
use sealgate::registry::{Access, Budget, Class, Referrers, RegistryError, Support};

use crate::rig::{Rig, push, repository, session};
use crate::support::{self, Answer, OCI_MANIFEST, Rule, Settings, TestRegistry};

/// A registry with an image and this many manifests that refer to it.
fn with_referrers(settings: Settings, count: usize) -> (TestRegistry, Digest, Vec<String>) {
    let server = TestRegistry::start(settings);
    let (_, digest) = push(&server);
    let names = (0..count).map(|n| {
        let json = format!(
            r#"{{"schemaVersion":2,"artifactType":"application/x","subject":{{"digest":"{digest}"}},"annotations":{{"n":"{n}"}}}}"#
        );
        server.put_manifest("acme/app", None, json.as_bytes(), OCI_MANIFEST)
    });
    let names = names.collect();
    (server, digest, names)
}

fn listed(referrers: &Referrers) -> Vec<String> {
    match referrers {
        Referrers::Listed(list) => list.iter().map(|entry| entry.digest.to_string()).collect(),
        Referrers::NoEndpoint => panic!("no endpoint"),
    }
}

#[tokio::test]
async fn the_endpoint_lists() {
    let (server, digest, names) = with_referrers(Settings::conforming(), 2);
    let rig = Rig::serving(&server);
    let registry = rig.registry();
    assert_eq!(registry.referrers_support(&repository()), Support::Unknown);
    let list =
        session(&registry, &Access::default()).referrers(&repository(), &digest).await.unwrap();
    assert_eq!(listed(&list), names);
    let Referrers::Listed(list) = list else { panic!("a list") };
    assert_eq!(list[1].artifact_type.as_deref(), Some("application/x"));
    assert_eq!(list[1].annotations["n"], "1");
    assert_eq!(registry.referrers_support(&repository()), Support::Endpoint);
    assert_eq!(
        server.requests()[0].query,
        "ns=reg.example.test",
        "all types are asked for at once"
    );
}

#[tokio::test]
async fn pages_are_followed() {
    let (server, digest, names) =
        with_referrers(Settings::conforming().referrers(support::Referrers::Pages(2)), 5);
    let rig = Rig::serving(&server);
    let session = rig.session();
    assert_eq!(listed(&session.referrers(&repository(), &digest).await.unwrap()), names);
    assert_eq!(session.requests(), 3);
}

#[tokio::test]
async fn registries_without_the_endpoint() {
    let missing = [404, 400, 405, 406].map(support::Referrers::Missing);
    for referrers in missing.into_iter().chain([support::Referrers::WebPage]) {
        let (server, digest, _) = with_referrers(Settings::conforming().referrers(referrers), 1);
        let rig = Rig::serving(&server);
        let registry = rig.registry();
        let answer = session(&registry, &Access::default()).referrers(&repository(), &digest).await;
        assert_eq!(answer, Ok(Referrers::NoEndpoint), "{referrers:?}");
        assert_eq!(registry.referrers_support(&repository()), Support::None);
    }
}

#[tokio::test]
async fn an_unknown_repository_teaches_nothing_about_the_endpoint() {
    let (server, digest, _) = with_referrers(Settings::conforming(), 0);
    server.rule(Rule::new("/referrers/", Answer::Status(404, "NAME_UNKNOWN")));
    let rig = Rig::serving(&server);
    let registry = rig.registry();
    let answer = session(&registry, &Access::default()).referrers(&repository(), &digest).await;
    assert_eq!(answer, Ok(Referrers::NoEndpoint));
    assert_eq!(registry.referrers_support(&repository()), Support::Unknown);
}

#[tokio::test]
async fn a_failing_endpoint_is_neither_empty_nor_missing() {
    for (answer, class) in [
        (Answer::Status(500, "UNKNOWN"), Class::Unreachable),
        (Answer::Status(503, "UNKNOWN"), Class::Unreachable),
        (Answer::Status(429, "TOOMANYREQUESTS"), Class::Unreachable),
        (Answer::Drop, Class::Unreachable),
        (Answer::Status(401, "UNAUTHORIZED"), Class::Unable),
        (Answer::Status(403, "DENIED"), Class::Unable),
        (index(b"{\"manifests\":5}"), Class::Unable),
        (index(b"{\"manifests\":["), Class::Unable),
        (index(b""), Class::Unable),
    ] {
        let (server, digest, _) = with_referrers(Settings::conforming(), 1);
        server.rule(Rule::new("/referrers/", answer.clone()));
        let rig = Rig::serving(&server);
        let registry = rig.registry();
        let error = session(&registry, &Access::default())
            .referrers(&repository(), &digest)
            .await
            .unwrap_err();
        assert_eq!(error.class(), class, "{answer:?}: {error:?}");
        assert_eq!(registry.referrers_support(&repository()), Support::Unknown);
    }
}

/// Attack D1: a list that never ends, in pages and in entries.
#[tokio::test]
async fn attack_d1_referrers_are_bounded() {
    let (server, digest, _) =
        with_referrers(Settings::conforming().referrers(support::Referrers::Pages(1)), 4);
    let mut rig = Rig::serving(&server);
    rig.options.referrers_pages = 3;
    let answer = rig.session().referrers(&repository(), &digest).await;
    assert_eq!(answer, Err(RegistryError::BudgetSpent(Budget::Pages)));
    rig.options.referrers_pages = 16;
    rig.options.referrers_entries = 3;
    let answer = rig.session().referrers(&repository(), &digest).await;
    assert_eq!(answer, Err(RegistryError::BudgetSpent(Budget::Entries)));
    rig.options.referrers_entries = 4;
    assert_eq!(listed(&rig.session().referrers(&repository(), &digest).await.unwrap()).len(), 4);
}

/// Attack E1: the next page may not lead elsewhere.
#[tokio::test]
async fn attack_e1_the_next_page_stays_on_the_host() {
    let (server, digest, _) = with_referrers(Settings::conforming(), 1);
    let other = TestRegistry::start(Settings::conforming());
    let Answer::Full { status, mut headers, body } = index(b"{\"manifests\":[]}") else {
        panic!("a full answer")
    };
    headers.push(("link", format!("<{}/x>; rel=\"next\"", other.url())));
    server.rule(Rule::new("/referrers/", Answer::Full { status, headers, body }));
    let error =
        Rig::serving(&server).session().referrers(&repository(), &digest).await.unwrap_err();
    assert_eq!(error.class(), Class::Unable);
    assert_eq!(other.requests(), []);
}

fn index(body: &[u8]) -> Answer {
    let headers = vec![("content-type", support::OCI_INDEX.to_owned())];
    Answer::Full { status: 200, headers, body: body.to_vec() }
}
