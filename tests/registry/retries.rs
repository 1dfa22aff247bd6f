//! Asking again: what is asked again and what is not, who is asked before anybody is waited for,
//! and who is left alone.

use std::time::Duration;

use sealgate::registry::{Access, Budget, Class, List, Referrers, RegistryError, Why};

use crate::rig::{NAME, Rig, clock, push, reference, repository, robot, session};
use crate::support::{Answer, Auth, Rule, Settings, TestRegistry};

fn server() -> (TestRegistry, Rig) {
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    let mut rig = Rig::serving(&server);
    rig.options.retries = 3;
    (server, rig)
}

/// A mirror before a server, both with the image.
fn two() -> (TestRegistry, TestRegistry, Rig) {
    let (mirror, server) =
        (TestRegistry::start(Settings::conforming()), TestRegistry::start(Settings::conforming()));
    push(&mirror);
    push(&server);
    let mut rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"{}\"\n[host.\"{}\"]\n", server.url(), mirror.url()));
    rig.options.retries = 3;
    (mirror, server, rig)
}

fn wait(status: u16, after: &str) -> Answer {
    Answer::Full { status, headers: vec![("retry-after", after.to_owned())], body: Vec::new() }
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let (server, rig) = server();
    let statuses = [408, 425, 500, 502, 503, 504].map(|status| Answer::Status(status, "UNKNOWN"));
    for answer in
        statuses.into_iter().chain([Answer::Drop, wait(429, "0"), Answer::Truncated(b"{".to_vec())])
    {
        server.clear_rules();
        server.clear_log();
        server.rule(Rule::new("/manifests/", answer.clone()).calls(1..=2));
        let session = rig.session();
        session
            .tag(&repository(), "1")
            .await
            .unwrap_or_else(|error| panic!("{answer:?}: {error:?}"));
        assert_eq!((server.requests().len(), session.requests()), (3, 3), "{answer:?}");
    }
}

#[tokio::test]
async fn no_more_often_than_told() {
    let (server, mut rig) = server();
    server.rule(Rule::new("/manifests/", Answer::Status(503, "UNKNOWN")));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Status(503), .. }), "{error:?}");
    assert_eq!(server.requests().len(), 4);
    server.clear_log();
    rig.options.retries = 0;
    rig.session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_refusal_stands() {
    let (server, rig) = server();
    for (answer, class) in [
        (Answer::Status(400, "UNSUPPORTED"), Class::Unable),
        (Answer::Status(403, "DENIED"), Class::Unable),
        (Answer::Status(404, "MANIFEST_UNKNOWN"), Class::Absent),
        (Answer::Status(410, "UNKNOWN"), Class::Unable),
        (Answer::Status(451, "UNKNOWN"), Class::Unable),
        (Answer::Status(501, "UNSUPPORTED"), Class::Unreachable),
    ] {
        server.clear_rules();
        server.clear_log();
        server.rule(Rule::new("/manifests/", answer.clone()));
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        assert_eq!((error.class(), server.requests().len()), (class, 1), "{answer:?}: {error:?}");
    }
}

/// Attack D1: asking again is part of the same budget.
#[tokio::test]
async fn attack_d1_asking_again_counts() {
    let (server, mut rig) = server();
    rig.options.session_requests = 2;
    server.rule(Rule::new("/manifests/", Answer::Drop));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error, RegistryError::BudgetSpent(Budget::Requests));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_next_host_is_asked_before_anybody_is_waited_for() {
    let (mirror, server, rig) = two();
    mirror.rule(Rule::new("/manifests/", wait(429, "3600")));
    let fetched = rig.session().tag(&repository(), "1").await.unwrap();
    assert_eq!((fetched.host, mirror.requests().len()), (server.host(), 1));
    // What one says is absent, the other may yet say is there: it is waited for, and only it is
    // asked again.
    mirror.clear_rules();
    mirror.clear_log();
    server.clear_log();
    mirror.rule(Rule::new("/manifests/", Answer::Status(502, "UNKNOWN")).calls(1..=1));
    server.rule(Rule::new("/manifests/", Answer::Status(404, "MANIFEST_UNKNOWN")));
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().host, mirror.host());
    assert_eq!((mirror.requests().len(), server.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_time_beyond_the_decisions_own_is_told_at_once() {
    let (server, rig) = server();
    for (status, after) in [(429, "3600"), (503, "3600"), (429, "Fri, 01 Jan 2100 00:00:00 GMT")] {
        server.clear_rules();
        server.clear_log();
        server.rule(Rule::new("/manifests/", wait(status, after)));
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        let RegistryError::Unreachable { why: Why::Wait { status: said, seconds }, .. } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((*said, *seconds >= 3600, error.class()), (status, true, Class::Unreachable));
        assert!(error.to_string().contains(&seconds.to_string()), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

/// A host that said 429 is left alone by all, the lookups side by side too.
#[tokio::test]
async fn attack_e10_a_host_that_is_overrun_is_left_alone() {
    let (server, rig) = server();
    let registry = rig.registry();
    server.rule(Rule::new("/manifests/", wait(429, "40")));
    session(&registry, &Access::default()).tag(&repository(), "1").await.unwrap_err();
    let other = session(&registry, &Access::default());
    let repository = repository();
    let asked = futures_util::future::join_all((0..8).map(|_| other.tag(&repository, "1"))).await;
    for answer in asked {
        let error = answer.unwrap_err();
        assert!(
            matches!(error, RegistryError::Unreachable { why: Why::Wait { status: 429, .. }, .. }),
            "{error:?}"
        );
    }
    assert_eq!((server.requests().len(), other.requests()), (1, 0));
}

/// Attack E10: who redirects to another registry's host, and to what is refused there, does not
/// have it left alone.
#[tokio::test]
async fn attack_e10_a_redirect_silences_nobody_else() {
    let (server, mut rig) = server();
    let victim = TestRegistry::start(Settings::conforming());
    push(&victim);
    rig.hosts("victim.example.test", &format!("server = \"{}\"\n", victim.url()));
    rig.options.allow_local_hosts = vec![victim.host()];
    victim.rule(Rule::new("/limited", wait(429, "60")));
    server
        .rule(Rule::new("/manifests/", Answer::Redirect(307, format!("{}/limited", victim.url()))));
    let registry = rig.registry();
    let error = session(&registry, &Access::default()).tag(&repository(), "1").await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { why: Why::Wait { status: 429, .. }, .. }),
        "{error:?}"
    );
    let image = reference("victim.example.test/acme/app:1");
    session(&registry, &Access::default()).resolve(&image).await.unwrap();
    // It is left alone where it was said.
    victim.clear_log();
    session(&registry, &Access::default()).tag(&repository(), "1").await.unwrap_err();
    assert_eq!(victim.requests(), []);
}

#[tokio::test]
async fn a_token_service_that_is_overrun_is_asked_again_too() {
    let server = TestRegistry::start(Settings::conforming().auth(Auth::bearer("p")));
    push(&server);
    let mut rig = Rig::new();
    rig.options.retries = 3;
    rig.hosts(&server.host(), &format!("server = \"{}\"\n", server.url()));
    server.rule(Rule::new("/token", Answer::Status(503, "UNKNOWN")).calls(1..=2));
    let image = reference(&format!("{}/acme/app:1", server.host()));
    rig.session_of(&robot("p", &server.host())).resolve(&image).await.unwrap();
    assert_eq!(server.count("/token"), 3);
}

/// One slow mirror costs its share once; for the next minute it is asked last.
#[tokio::test]
async fn a_slow_mirror_does_not_hold_up_the_next() {
    let (mirror, server, mut rig) = two();
    for answer in [Answer::Hang, Answer::Endless(Duration::from_secs(1))] {
        mirror.clear_rules();
        mirror.clear_log();
        server.clear_log();
        mirror.rule(Rule::new("/v2/", answer.clone()));
        rig.options.request_ms = 60_000;
        let registry = rig.registry();
        // Two hosts: the first has half of what is left.
        let first =
            registry.session(&Access::default(), clock().steady() + Duration::from_millis(1200));
        assert_eq!(first.tag(&repository(), "1").await.unwrap().host, server.host(), "{answer:?}");
        assert_eq!(mirror.requests().len(), 1, "{answer:?}");
        let second = session(&registry, &Access::default());
        assert_eq!(second.tag(&repository(), "1").await.unwrap().host, server.host(), "{answer:?}");
        assert_eq!(
            (mirror.requests().len(), server.requests().len()),
            (1, 2),
            "{answer:?}: not asked at all"
        );
        // It is still the one that is left when the other has nothing.
        mirror.clear_rules();
        server.rule(Rule::new("/manifests/", Answer::Status(404, "MANIFEST_UNKNOWN")));
        let third = session(&registry, &Access::default());
        assert_eq!(third.tag(&repository(), "1").await.unwrap().host, mirror.host(), "{answer:?}");
        server.clear_rules();
    }
}

/// A host that sends a byte now and then does not hold a decision for as long as it likes.
#[tokio::test]
async fn attack_d1_a_trickle_is_too_slow() {
    let (server, mut rig) = server();
    rig.options.request_ms = 60_000;
    server.rule(Rule::new("/manifests/", Answer::Endless(Duration::from_millis(300))));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Slow, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1, "there is no time to lose it twice");
}

#[tokio::test]
async fn a_list_that_fails_once_is_no_empty_list() {
    let (server, rig) = server();
    let (_, digest) = push(&server);
    server.rule(Rule::new("/referrers/", Answer::Status(500, "UNKNOWN")).calls(1..=1));
    assert_eq!(
        rig.session().referrers(&repository(), &digest).await,
        Ok(Referrers::Listed(List::default()))
    );
    assert_eq!(server.count("/referrers/"), 2);
}
