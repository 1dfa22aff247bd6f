//! Attack D1: endless data. One test per limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sealgate::image::Digest;
use sealgate::registry::{Access, Budget, Class, Malformed, RedirectFault, RegistryError, Why};

use crate::rig::{Raw, Rig, clock, push, reference, repository, robot, session};
use crate::support::{Answer, Auth, Rule, Settings, TestRegistry};

fn serving(answer: Answer) -> (TestRegistry, Rig) {
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    server.rule(Rule::new("/v2/", answer));
    let rig = Rig::serving(&server);
    (server, rig)
}

#[tokio::test]
async fn attack_d1_manifests_end_at_4_mib() {
    let (_server, rig) = serving(Answer::Huge(5 << 20));
    let session = rig.session();
    let error = session.tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 4_194_304, .. }), "{error:?}");
    assert!(session.bytes() < 5 << 20, "reading stops at the limit");
}

#[tokio::test]
async fn attack_d1_a_length_above_the_limit_is_not_read() {
    let body = vec![b' '; (4 << 20) + 1];
    let (_server, rig) = serving(Answer::Full { status: 200, headers: vec![], body });
    let session = rig.session();
    let error = session.tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error:?}");
    assert_eq!(session.bytes(), 0);
}

#[tokio::test]
async fn attack_d1_a_page_of_referrers_ends_at_4_mib() {
    let body = vec![b' '; (4 << 20) + 1];
    let headers = vec![("content-type", crate::support::OCI_INDEX.to_owned())];
    let (_server, rig) = serving(Answer::Full { status: 200, headers, body });
    let error = rig.session().referrers(&repository(), &Digest::of(b"")).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 4_194_304, .. }), "{error:?}");
}

#[tokio::test]
async fn attack_d1_blobs_end_at_their_size() {
    let (_server, rig) = serving(Answer::Huge(1 << 20));
    let session = rig.session();
    let error = session.blob(&repository(), &Digest::of(b""), 1000, 2000).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 1000, .. }), "{error:?}");
}

#[tokio::test]
async fn attack_d1_error_bodies_are_cut() {
    let (_server, rig) =
        serving(Answer::Full { status: 418, headers: vec![], body: vec![b'x'; 8 << 20] });
    let session = rig.session();
    let error = session.tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Refused { status: 418, code: None, .. }), "{error:?}");
    assert!(session.bytes() < 1 << 20);
}

#[tokio::test]
async fn attack_d1_five_redirects_and_no_more() {
    let server = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&server);
    let to = |n: usize| Answer::Redirect(307, format!("/v2/acme/app/manifests/1?hop={n}"));
    server.rule(Rule::new("/manifests/", to(5)).calls(1..=5));
    let rig = Rig::serving(&server);
    let session = rig.session();
    assert_eq!(session.tag(&repository(), "1").await.unwrap().digest, digest);
    assert_eq!(session.requests(), 6);
    let (_server, rig) = serving(to(0));
    let session = rig.session();
    let error = session.tag(&repository(), "1").await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Redirect { fault: RedirectFault::TooMany, .. }),
        "{error:?}"
    );
    assert_eq!(session.requests(), 6);
}

#[tokio::test]
async fn attack_d1_tokens_end_at_64_kib() {
    let server = TestRegistry::start(Settings::conforming().auth(Auth::bearer("p")));
    push(&server);
    server.rule(Rule::new("/token", Answer::Huge(1 << 20)));
    let mut rig = Rig::serving(&server);
    rig.options.credential_hosts = [(crate::rig::NAME.to_owned(), vec![server.host()])].into();
    let error =
        rig.session_of(&robot("p", crate::rig::NAME)).tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 65_536, .. }), "{error:?}");
}

#[tokio::test]
async fn attack_d1_requests_of_a_session_are_counted() {
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    let mut rig = Rig::serving(&server);
    rig.options.session_requests = 3;
    let registry = rig.registry();
    let first = session(&registry, &Access::default());
    for _ in 0..3 {
        first.tag(&repository(), "1").await.unwrap();
    }
    let error = first.tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error, RegistryError::BudgetSpent(Budget::Requests));
    assert_eq!(error.class(), Class::Unable);
    assert_eq!(server.requests().len(), 3);
    session(&registry, &Access::default()).tag(&repository(), "1").await.unwrap();
}

#[tokio::test]
async fn attack_d1_bytes_of_a_session_are_counted() {
    let server = TestRegistry::start(Settings::conforming());
    let (bytes, _) = push(&server);
    let mut rig = Rig::serving(&server);
    rig.options.session_bytes = 2 * u64::try_from(bytes.len()).unwrap() + 1;
    let session = rig.session();
    session.tag(&repository(), "1").await.unwrap();
    session.tag(&repository(), "1").await.unwrap();
    let error = session.tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error, RegistryError::BudgetSpent(Budget::Bytes));
}

/// A body that trickles and an answer that never comes end at the session's deadline.
#[tokio::test]
async fn attack_d1_time_of_a_session_ends() {
    for answer in [Answer::Endless(Duration::from_millis(5)), Answer::Hang] {
        let (_server, rig) = serving(answer.clone());
        let session = rig
            .registry()
            .session(&Access::default(), clock().steady() + Duration::from_millis(200));
        let error = session.tag(&repository(), "1").await.unwrap_err();
        assert_eq!(error, RegistryError::BudgetSpent(Budget::Time), "{answer:?}");
        assert_eq!(error.class(), Class::Unreachable);
        let error = session.tag(&repository(), "1").await.unwrap_err();
        assert_eq!(error, RegistryError::BudgetSpent(Budget::Time), "and stays so");
    }
}

/// One host that hangs does not take the next one's time.
#[tokio::test]
async fn attack_d1_time_of_a_request_ends_before_the_sessions() {
    let (slow, mut rig) = serving(Answer::Hang);
    let server = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&server);
    rig.hosts(
        crate::rig::NAME,
        &format!("server = \"{}\"\n[host.\"{}\"]\n", server.url(), slow.url()),
    );
    rig.options.request_ms = 200;
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().digest, digest);
    server.rule(Rule::new("/v2/", Answer::Hang));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Timeout, .. }), "{error:?}");
}

/// Attack E10: however many sessions there are, a host sees so many requests at once.
#[tokio::test]
async fn attack_e10_requests_in_flight_are_bounded_per_host() {
    let server = TestRegistry::start(Settings::conforming());
    push(&server);
    server.rule(Rule::new("/v2/", Answer::Late(Duration::from_millis(20))));
    let mut rig = Rig::serving(&server);
    rig.options.concurrent_requests_per_host = 2;
    let registry = rig.registry();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let session = session(&registry, &Access::default());
            tokio::spawn(async move { session.tag(&repository(), "1").await.map(drop) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(server.requests().len(), 10);
    assert!(server.most_in_flight() <= 2, "{}", server.most_in_flight());
}

/// What is no HTTP is an answer that cannot be used, and a second one would be no better.
#[tokio::test]
async fn attack_d1_what_is_no_http_is_asked_for_once() {
    let head = "HTTP/1.1 200 OK\r\n";
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        format!("{head}content-length: -1\r\n\r\n"),
        format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n"),
        format!("{head}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
        format!("{head}x: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("{head}{}\r\n", "x: y\r\n".repeat(200)),
    ] {
        let server = Raw::start(bytes.clone().into_bytes(), false).await;
        let mut rig = Rig::new();
        rig.options.retries = 3;
        rig.hosts(crate::rig::NAME, &format!("server = \"{}\"\n", server.url));
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        let shown: String = bytes.chars().take(60).collect();
        assert!(
            matches!(error, RegistryError::Malformed { what: Malformed::Http, .. }),
            "{shown:?}: {error:?}"
        );
        assert_eq!((error.class(), server.asked()), (Class::Unable, 1), "{shown:?}");
    }
    // What ends too early may come whole the next time.
    let server = Raw::start(format!("{head}content-length: 9\r\n\r\n{{").into_bytes(), true).await;
    let mut rig = Rig::new();
    rig.options.retries = 1;
    rig.hosts(crate::rig::NAME, &format!("server = \"{}\"\n", server.url));
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!((error.class(), server.asked()), (Class::Unreachable, 2), "{error:?}");
}

/// Attack D1: connections to hosts without number, each asked once, do not stay open side by side.
#[tokio::test]
async fn attack_d1_connections_to_many_hosts_are_bounded() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            drop(tokio::spawn(async move {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = service_fn(|_| async {
                    Ok::<_, Infallible>(http::Response::new(r#"{"schemaVersion":2}"#.to_owned()))
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                count.fetch_sub(1, Ordering::SeqCst);
            }));
        }
    });
    let registry = Rig::new().registry();
    for number in 0..300 {
        let image =
            reference(&format!("127.77.{}.{}:{port}/acme/app:1", number / 100, number % 100 + 1));
        session(&registry, &Access::default()).resolve(&image).await.unwrap();
    }
    for _ in 0..1000 {
        if open.load(Ordering::SeqCst) <= 64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!((1..=64).contains(&open.load(Ordering::SeqCst)), "{open:?}");
    accepting.abort();
}

/// Attack D1: a host that begins large answers and does not go on does not keep those of others
/// from being read.
#[tokio::test]
async fn attack_d1_a_host_that_stalls_leaves_room_for_others() {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 4 << 20).into_bytes();
    bytes.resize(bytes.len() + (128 << 10), b' ');
    let stalling = Raw::start(bytes, false).await;
    let mut body = br#"{"schemaVersion":2}"#.to_vec();
    body.resize(1 << 20, b' ');
    let large = Answer::Full { status: 200, headers: Vec::new(), body };
    let (_server, rig) = serving(large);
    rig.hosts("stalling.example.test", &format!("server = \"{}\"\n", stalling.url));
    let registry = rig.registry();
    let sessions: Vec<_> =
        (0..4).map(|_| Arc::new(session(&registry, &Access::default()))).collect();
    let tasks: Vec<_> = sessions
        .iter()
        .map(|session| {
            let session = Arc::clone(session);
            tokio::spawn(async move {
                session.resolve(&reference("stalling.example.test/acme/app:1")).await
            })
        })
        .collect();
    // One host holds the memory of two large answers at most; the others wait for it.
    while sessions.iter().filter(|session| session.bytes() >= 100 << 10).count() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    session(&registry, &Access::default()).tag(&repository(), "1").await.unwrap();
    assert!(tasks.iter().all(|task| !task.is_finished()), "it waited for them");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}
