//! Interceptor methods: framing, what the deciding side is given, and what it can answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use sealgate::proxy::{Answer, Call, Code, OwnedMethod, UpstreamError};

use crate::{
    client::{VERSION, request, streaming},
    eventually,
    gate::{Answering, Gate},
    soon,
    standin::{frame, long_error},
};

const OWNED: [OwnedMethod; 4] = [
    OwnedMethod::PullImage,
    OwnedMethod::RunPodSandbox,
    OwnedMethod::CreateContainer,
    OwnedMethod::StartContainer,
];
const PULL: &str = "/runtime.v1.ImageService/PullImage";

/// Passes the call on to another method of the runtime, and its reply back.
fn forwarding(path: &'static str) -> impl Fn(Call) -> Answering {
    move |call| {
        Box::pin(async move {
            match call.upstream.unary(path, &call.headers, &call.message, call.deadline).await {
                Ok(reply) => Answer::Reply(reply),
                Err(error) => error.into(),
            }
        })
    }
}

#[tokio::test]
async fn the_deciding_side_gets_one_message_and_the_deadline() {
    let gate =
        Gate::with(|_| {}, |_| Box::pin(async { Answer::status(Code::Unknown, "100% no\n") }));
    let standin = gate.standin();
    let mut client = gate.client().await;
    for method in OWNED {
        let mut sent = request(method.path(), frame(b"\x0a\x00message"));
        sent.headers_mut().insert("grpc-timeout", HeaderValue::from_static("2M"));
        sent.headers_mut().insert("x-caller", HeaderValue::from_static("kubelet"));
        let answer = client.send(sent).await;
        assert_eq!(answer.status(), (2, "100%25 no%0A".to_owned()));
        assert!(answer.body.is_empty() && answer.trailers.is_none());
    }
    let calls = gate.calls.lock().unwrap();
    assert_eq!(calls.iter().map(|call| call.method).collect::<Vec<_>>(), OWNED);
    for call in calls.iter() {
        assert_eq!(
            (&call.message[..], call.deadline),
            (&b"\x0a\x00message"[..], Some(Duration::from_secs(120)))
        );
        assert_eq!(call.headers["x-caller"], "kubelet");
    }
    assert_eq!(standin.paths(), [""; 0]);
}

#[tokio::test]
async fn a_reply_of_the_runtime_is_answered_unchanged() {
    let gate = Gate::with(|_| {}, forwarding(PULL));
    let standin = gate.standin();
    standin.script(PULL, Arc::new(|message| Ok([message, b" pulled"].concat())));
    let mut sent = request(PULL, frame(b"image"));
    sent.headers_mut().insert("grpc-timeout", HeaderValue::from_static("7S"));
    sent.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("gzip"));
    sent.headers_mut().insert("x-caller", HeaderValue::from_static("kubelet"));
    let answer = gate.client().await.send(sent).await;
    assert_eq!(answer.body, frame(b"image pulled"));
    assert_eq!(
        (answer.code(), &answer.headers["x-from-runtime"]),
        (0, &HeaderValue::from_static("yes"))
    );
    let received = &standin.received()[0];
    assert_eq!((received.path.as_str(), &received.body[..]), (PULL, &frame(b"image")[..]));
    assert_eq!(received.headers["x-caller"], "kubelet");
    assert_eq!(received.headers["te"], "trailers");
    assert_eq!(
        received.headers.get("grpc-accept-encoding"),
        None,
        "a compressed reply could not be read"
    );
    assert_eq!(received.headers.get_all("grpc-timeout").iter().count(), 1);
}

#[tokio::test]
async fn an_error_of_the_runtime_is_answered_unchanged_however_long() {
    for path in ["/runtime.v1.RuntimeService/Fail", "/runtime.v1.RuntimeService/FailAtOnce"] {
        let gate = Gate::with(|_| {}, forwarding(path));
        let _standin = gate.standin();
        let answer = gate.client().await.call(PULL, b"x").await;
        let said = answer.trailers.as_ref().unwrap_or(&answer.headers);
        for (name, value) in &long_error() {
            assert_eq!(said.get(name), Some(value), "{path}");
        }
        assert_eq!(answer.trailers.is_some(), path.ends_with("Fail"));
    }
}

#[tokio::test]
async fn the_largest_message_is_taken_and_forwarded() {
    let gate = Gate::with(|_| {}, forwarding(VERSION));
    let _standin = gate.standin();
    let message = vec![7; 16 << 20];
    let answer = gate.client().await.call(PULL, &message).await;
    assert_eq!(answer.code(), 0);
    assert!(answer.body == frame(&message));
}

/// Bodies that are not exactly one plain message, with the gRPC code of their refusal.
fn bad_bodies() -> Vec<(&'static str, Bytes, i32)> {
    let one = frame(b"\x0a\x01x");
    let mut compressed = one.to_vec();
    compressed[0] = 1;
    vec![
        ("none", Bytes::new(), 13),
        ("two", [&one[..], &one[..]].concat().into(), 13),
        ("trailing bytes", [&one[..], &[0]].concat().into(), 13),
        ("truncated", one.slice(..one.len() - 1), 13),
        ("half a prefix", one.slice(..3), 13),
        ("compressed", compressed.into(), 12),
        ("too large", frame(&vec![0; (16 << 20) + 1]), 8),
        ("says to be too large", Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]), 8),
    ]
}

#[tokio::test]
async fn attack_d2_bodies_that_are_not_one_plain_message_are_never_forwarded() {
    let gate = Gate::with(|_| {}, forwarding(VERSION));
    let standin = gate.standin();
    let mut client = gate.client().await;
    for method in OWNED {
        for (what, body, code) in bad_bodies() {
            let answer = client.send(request(method.path(), body)).await;
            assert_eq!((answer.code(), answer.body.len()), (code, 0), "{method:?} with {what}");
        }
    }
    assert_eq!(client.call(VERSION, b"after").await.code(), 0, "the connection is whole");
    assert_eq!(standin.paths(), [VERSION]);
    assert!(gate.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn attack_d2_headers_that_make_a_message_something_else_are_refused() {
    let gate = Gate::with(|_| {}, forwarding(VERSION));
    let standin = gate.standin();
    let mut client = gate.client().await;
    let cases = [
        ("grpc-encoding", "gzip", 12),
        ("content-type", "application/grpc+json", 13),
        ("content-type", "application/json", 13),
        ("grpc-timeout", "soon", 13),
        ("grpc-timeout", "123456789S", 13),
    ];
    for (name, value, code) in cases {
        let mut sent = request(PULL, frame(b"x"));
        sent.headers_mut().insert(name, HeaderValue::from_static(value));
        assert_eq!(client.send(sent).await.code(), code, "{name}: {value}");
    }
    assert_eq!(standin.paths(), [""; 0]);
    assert!(gate.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn attack_d2_a_body_that_breaks_off_is_never_forwarded() {
    let gate = Gate::with(|_| {}, forwarding(VERSION));
    let standin = gate.standin();
    let mut client = gate.client().await;
    let (sender, sent) = streaming(PULL);
    let mut half = client.clone();
    let call = tokio::spawn(async move { half.open(sent).await.map(drop) });
    sender.send(frame(b"whole")).await.unwrap();
    tokio::task::yield_now().await;
    call.abort();
    let _ = call.await;
    assert_eq!(client.call(VERSION, b"").await.code(), 0);
    assert_eq!(standin.paths(), [VERSION]);
    assert!(gate.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn attack_d1_large_requests_held_together_are_bounded() {
    let gate = Gate::with(|options| options.held_mib = 20, |_| Box::pin(std::future::pending()));
    let mut client = gate.client().await;
    let mut waiting = client.clone();
    let held = tokio::spawn(async move { waiting.call(PULL, &vec![0; 15 << 20]).await });
    eventually("the first is held", || gate.calls.lock().unwrap().len() == 1).await;
    assert_eq!(client.call(PULL, &vec![0; 15 << 20]).await.code(), 8);
    held.abort();
    let _ = held.await;
}

struct Told(Arc<std::sync::atomic::AtomicBool>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_cancelled_call_drops_the_future() {
    let dropped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let answer = move |_| -> Answering {
        let told = Told(Arc::clone(&flag));
        Box::pin(async move {
            let _told = told;
            std::future::pending().await
        })
    };
    let gate = Gate::with(|_| {}, answer);
    let mut client = gate.client().await;
    let call = tokio::spawn(async move { client.call(PULL, b"x").await });
    eventually("the call is there", || gate.calls.lock().unwrap().len() == 1).await;
    call.abort();
    eventually("the future is dropped", || dropped.load(std::sync::atomic::Ordering::SeqCst)).await;
}

/// An [`sealgate::proxy::Upstream`] for the test's own calls.
async fn upstream(gate: &Gate) -> sealgate::proxy::Upstream {
    gate.client().await.call(PULL, b"x").await;
    gate.calls.lock().unwrap().last().unwrap().upstream.clone()
}

#[tokio::test]
async fn an_upstream_call_ends_at_its_deadline_and_is_cancelled() {
    let gate = Gate::start();
    let upstream = upstream(&gate).await;
    let standin = gate.standin();
    let limit = Some(Duration::from_millis(50));
    let headers = HeaderMap::new();
    let call = upstream.unary("/runtime.v1.RuntimeService/Hang", &headers, b"", limit);
    assert_eq!(soon("the deadline", call).await.map(drop), Err(UpstreamError::Deadline));
    eventually("the runtime's call is cancelled", || standin.canceled() == 1).await;
    assert_eq!(standin.received()[0].headers["grpc-timeout"], "50000000n");
}

#[tokio::test]
async fn an_upstream_call_without_a_deadline_sends_none() {
    let gate = Gate::start();
    let upstream = upstream(&gate).await;
    let standin = gate.standin();
    let headers =
        HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), HeaderValue::from_static("1S"))]);
    assert!(upstream.unary(VERSION, &headers, b"", None).await.is_ok());
    assert_eq!(standin.received()[0].headers.get("grpc-timeout"), None);
}

#[tokio::test]
async fn an_upstream_call_says_what_went_wrong() {
    let gate = Gate::start();
    let upstream = upstream(&gate).await;
    let headers = HeaderMap::new();
    let call = async |path| upstream.unary(path, &headers, b"x", None).await;
    let missing = UpstreamError::Unreachable {
        socket: gate.runtime.clone(),
        kind: std::io::ErrorKind::NotFound,
    };
    assert_eq!(call(VERSION).await.map(drop), Err(missing));

    let standin = gate.standin();
    let reply = call(VERSION).await.unwrap();
    assert_eq!((reply.code(), &reply.message()[..]), (Code::Ok, &b"x"[..]));
    let reply = call("/runtime.v1.RuntimeService/Missing").await.unwrap();
    assert_eq!(
        (reply.code(), reply.status_text().as_str()),
        (Code::Unimplemented, "no such method")
    );
    assert_eq!(call("/runtime.v1.RuntimeService/Reset").await.map(drop), Err(UpstreamError::Reset));
    assert!(
        matches!(call("/runtime.v1.RuntimeService/Many").await, Err(UpstreamError::Reply(_))),
        "no message at all"
    );
    let large = upstream.unary(VERSION, &headers, &vec![0; (16 << 20) + 1], None).await;
    assert_eq!(large.map(drop), Err(UpstreamError::TooLarge { length: (16 << 20) + 1 }));

    let hanging = tokio::spawn({
        let upstream = upstream.clone();
        async move {
            upstream
                .unary("/runtime.v1.RuntimeService/Hang", &HeaderMap::new(), b"", None)
                .await
                .map(drop)
        }
    });
    eventually("the call hangs", || {
        standin.paths().last().is_some_and(|path| path.ends_with("Hang"))
    })
    .await;
    standin.kill().await;
    let broken = UpstreamError::Broken { socket: gate.runtime.clone() };
    assert_eq!(soon("the broken call", hanging).await.unwrap(), Err(broken));
}

#[tokio::test]
async fn a_half_sent_request_waits_without_a_decision() {
    let gate = Gate::start();
    let (sender, sent) = streaming(PULL);
    let mut client = gate.client().await;
    let mut other = client.clone();
    let call = tokio::spawn(async move { other.send(sent).await });
    sender.send(frame(b"whole").slice(..7)).await.unwrap();
    let refused = client.call("/runtime.v1.RuntimeService/RestorePod", b"").await;
    assert_eq!(refused.code(), 12);
    assert!(gate.calls.lock().unwrap().is_empty());
    sender.send(frame(b"whole").slice(7..)).await.unwrap();
    drop(sender);
    assert_eq!(call.await.unwrap().code(), 10);
    assert_eq!(gate.calls.lock().unwrap()[0].message, b"whole"[..]);
    let body = client.open(request(PULL, Bytes::new())).await.unwrap().into_body();
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
}
