//! What is not owned passes as it came.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tonic_prost::ProstCodec;

use crate::{
    client::{Client, EVENTS, VERSION, read, request, streaming},
    eventually,
    gate::Gate,
    soon,
    standin::{frame, long_error},
};

fn runtime(name: &str) -> String {
    format!("/runtime.v1.RuntimeService/{name}")
}

/// The messages of a body.
fn messages(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        all.push(rest[..length].to_vec());
        body = &rest[length..];
    }
    all
}

#[tokio::test]
async fn a_unary_call_passes_byte_for_byte() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    let mut sent = request(VERSION, frame(b"\x0a\x02v1\xfa\x07\x01x"));
    sent.headers_mut().insert("grpc-timeout", HeaderValue::from_static("1234m"));
    sent.headers_mut().insert("user-agent", HeaderValue::from_static("kubelet"));
    sent.headers_mut().append("x-bin-bin", HeaderValue::from_static("AAEC"));
    sent.headers_mut().append("x-bin-bin", HeaderValue::from_static("AwQF"));
    let headers = sent.headers().clone();
    let answer = client.send(sent).await;

    assert_eq!(answer.body, frame(b"\x0a\x02v1\xfa\x07\x01x"));
    assert_eq!(answer.code(), 0);
    let expected: HeaderMap = [("content-type", "application/grpc"), ("x-from-runtime", "yes")]
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .into_iter()
        .collect();
    assert_eq!(answer.headers, expected);
    let received = standin.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].path, VERSION);
    assert_eq!(received[0].body, frame(b"\x0a\x02v1\xfa\x07\x01x").to_vec());
    let without_length = |mut headers: HeaderMap| {
        headers.remove("content-length");
        headers
    };
    assert_eq!(
        without_length(received[0].headers.clone()),
        headers,
        "the client's own library adds the length alone"
    );
    assert!(gate.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_added_to_a_stream() {
    let gate = Gate::start();
    let standin = gate.standin();
    let (sender, sent) = streaming(&runtime("Gather"));
    let headers = sent.headers().clone();
    let mut client = gate.client().await;
    let answer = tokio::spawn(async move { client.send(sent).await });
    for _ in 0..500 {
        sender.send(frame(b"part")).await.unwrap();
    }
    drop(sender);
    let answer = answer.await.unwrap();
    assert_eq!(messages(&answer.body), [4500_u64.to_be_bytes()]);
    assert_eq!(standin.received()[0].headers, headers);
    assert_eq!(standin.received()[0].body.len(), 4500);
}

#[tokio::test]
async fn a_server_stream_of_very_many_small_messages_passes() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let answer = gate.client().await.call(&runtime("Many"), &30_000_u32.to_be_bytes()).await;
    assert_eq!(answer.code(), 0);
    assert_eq!(messages(&answer.body).len(), 30_000);
}

#[tokio::test]
async fn a_bidirectional_stream_passes_message_by_message() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let (sender, sent) = streaming(&runtime("Stream"));
    let mut body = gate.client().await.open(sent).await.unwrap().into_body();
    for turn in 0..20_u8 {
        sender.send(frame(&[turn])).await.unwrap();
        let back = soon("the echo", body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(back, frame(&[turn]));
    }
    drop(sender);
    let trailers =
        soon("the trailers", body.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn long_errors_pass_in_trailers_and_in_headers() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let mut client = gate.client().await;
    let answer = client.call(&runtime("Fail"), b"").await;
    assert_eq!(answer.trailers, Some(long_error()));
    assert!(answer.status().1.len() > 60_000);
    let answer = client.call(&runtime("FailAtOnce"), b"").await;
    assert_eq!((answer.trailers.is_none(), answer.code()), (true, 5));
    for (name, value) in &long_error() {
        assert_eq!(answer.headers.get(name), Some(value));
    }
}

#[tokio::test]
async fn messages_of_15_mib_pass_both_ways() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    let mut message = BytesMut::zeroed(15 << 20);
    message.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8);
    let answer = client.call(VERSION, &message).await;
    assert_eq!(answer.code(), 0);
    assert!(answer.body == frame(&message), "the answer differs");
    assert!(standin.received()[0].body == frame(&message).to_vec(), "the request differs");
}

#[tokio::test]
async fn hundreds_of_streams_at_once_pass() {
    let gate = Gate::start();
    let standin = gate.standin();
    let client = gate.client().await;
    let mut open = Vec::new();
    for _ in 0..400 {
        let mut client = client.clone();
        let mut body = client.open(request(EVENTS, frame(b""))).await.unwrap().into_body();
        assert_eq!(
            soon("an event", body.frame()).await.unwrap().unwrap().into_data().unwrap(),
            frame(b"an event")
        );
        open.push(body);
    }
    let calls = (0..400_u32).map(|number| {
        let mut client = client.clone();
        tokio::spawn(async move { (number, client.call(VERSION, &number.to_be_bytes()).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (number, answer) = call.await.unwrap();
        assert_eq!((answer.code(), answer.body), (0, frame(&number.to_be_bytes()).to_vec()));
    }
    assert_eq!((standin.connections(), standin.canceled()), (1, 0));
    drop(open);
    eventually("every stream is cancelled at the runtime", || standin.canceled() == 400).await;
}

#[tokio::test]
async fn cancellation_reaches_the_runtime() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;

    let mut waiting = client.clone();
    let hanging =
        tokio::spawn(
            async move { waiting.open(request(&runtime("Hang"), frame(b""))).await.map(drop) },
        );
    eventually("the call is there", || standin.received().len() == 1).await;
    hanging.abort();
    eventually("a call without an answer is cancelled", || standin.canceled() == 1).await;

    let body = client.open(request(EVENTS, frame(b""))).await.unwrap().into_body();
    drop(body);
    eventually("an open stream is cancelled", || standin.canceled() == 2).await;
    assert_eq!(client.call(VERSION, b"").await.code(), 0);
    assert_eq!(standin.connections(), 1);
}

#[tokio::test]
async fn attack_d1_thousands_of_cancelled_calls_leave_the_connection_whole() {
    let gate = Gate::start();
    let standin = gate.standin();
    let client = gate.client().await;
    for _ in 0..30 {
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let mut client = client.clone();
                tokio::spawn(async move {
                    client.open(request(VERSION, frame(&[0; 1000]))).await.map(drop)
                })
            })
            .collect();
        tokio::task::yield_now().await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
    }
    assert_eq!(client.clone().call(VERSION, b"after").await.body, frame(b"after"));
    assert_eq!(standin.connections(), 1);
}

#[tokio::test]
async fn what_the_runtime_says_of_unknown_methods_passes() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    assert_eq!(
        client.call(&runtime("Missing"), b"").await.status(),
        (12, "no such method".to_owned())
    );
    assert_eq!(client.call(&runtime("NotYetInvented"), b"x").await.body, frame(b"x"));
    assert_eq!(standin.paths(), [runtime("Missing"), runtime("NotYetInvented")]);
}

#[tokio::test]
async fn a_reset_of_the_runtime_keeps_its_reason() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let error = gate
        .client()
        .await
        .open(request(&runtime("Reset"), frame(b"")))
        .await
        .map(drop)
        .unwrap_err();
    let cause = std::error::Error::source(&error)
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .unwrap();
    assert_eq!(cause.reason(), Some(h2::Reason::REFUSED_STREAM));
}

#[tokio::test]
async fn attack_d1_one_client_that_does_not_read_leaves_the_others_their_window() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut lazy = gate.client().await;
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(
            lazy.open(request(&runtime("Large"), frame(&(15_u32 << 20).to_be_bytes())))
                .await
                .unwrap(),
        );
    }
    let mut other = gate.client().await;
    let answer = other.call(&runtime("Large"), &(15_u32 << 20).to_be_bytes()).await;
    assert_eq!(answer.body.len(), (15 << 20) + 5);
    assert_eq!(standin.connections(), 2);
    drop(unread);
}

#[tokio::test]
async fn a_body_that_is_read_slowly_is_held_back_and_not_lost() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let mut client = gate.client().await;
    let slow = client
        .open(request(&runtime("Large"), frame(&(15_u32 << 20).to_be_bytes())))
        .await
        .unwrap();
    assert_eq!(client.call(VERSION, b"meanwhile").await.body, frame(b"meanwhile"));
    assert_eq!(read(slow).await.unwrap().body.len(), (15 << 20) + 5);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Version {
    #[prost(string, tag = "1")]
    version: String,
}

#[tokio::test]
async fn a_tonic_client_is_served() {
    let gate = Gate::start();
    let _standin = gate.standin();
    let socket = gate.socket.clone();
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let endpoint =
        tonic::transport::Endpoint::from_static("http://any").http2_max_header_list_size(16 << 20);
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    for _ in 0..3 {
        grpc.ready().await.unwrap();
        let message = tonic::Request::new(Version { version: "v1".to_owned() });
        let codec = ProstCodec::<Version, Version>::default();
        let answer = grpc
            .unary(message, http::uri::PathAndQuery::from_static(VERSION), codec)
            .await
            .unwrap();
        assert_eq!(answer.into_inner().version, "v1");
    }
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/runtime.v1.RuntimeService/Fail");
    let status = grpc.unary(
        tonic::Request::new(Version::default()),
        path,
        ProstCodec::<Version, Version>::default(),
    );
    let status = status.await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn an_empty_stream_gets_no_length() {
    let gate = Gate::start();
    let standin = gate.standin();
    let (sender, sent) = streaming(&runtime("Gather"));
    drop(sender);
    let mut client: Client = gate.client().await;
    assert_eq!(messages(&client.send(sent).await.body), [0_u64.to_be_bytes()]);
    client.send(request(&runtime("Gather"), Bytes::new())).await;
    assert_eq!(standin.received()[0].headers.get("content-length"), None);
}
