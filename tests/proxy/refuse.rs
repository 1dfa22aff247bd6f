//! What never reaches the runtime: other paths, other services, methods that bring content.

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    client::{VERSION, request},
    gate::Gate,
    soon,
    standin::{Standin, frame},
};

/// That the runtime saw nothing but one good call made now, on the same gate.
async fn only_a_good_call_arrives(gate: &Gate, standin: &Standin) {
    assert_eq!(gate.client().await.call(VERSION, b"good").await.code(), 0);
    assert_eq!(standin.paths(), [VERSION]);
}

#[tokio::test]
async fn attack_h6_other_paths_are_answered_unimplemented_and_never_forwarded() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    for path in [
        "/containerd.services.images.v1.Images/Create",
        "/containerd.services.content.v1.Content/Write",
        "/containerd.services.tasks.v1.Tasks/Start",
        "/containerd.services.transfer.v1.Transfer/Transfer",
        "/runtime.v1alpha2.ImageService/PullImage",
        "/runtime.v1alpha2.RuntimeService/CreateContainer",
        "/runtime.v1.ImageService//PullImage",
        "//runtime.v1.ImageService/PullImage",
        "/runtime.v1.ImageService/PullImage/",
        "/runtime.v1.ImageService/PullImage?x=y",
        "/runtime.v1.ImageService/Pull%49mage",
        "/runtime.v1.ImageService/pullImage2",
        "/runtime.v1.imageservice/PullImage",
        "/x/../runtime.v1.ImageService/PullImage",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/",
    ] {
        let answer = client.call(path, b"x").await;
        assert_eq!(
            (answer.http, answer.code(), answer.body.len()),
            (StatusCode::OK, 12, 0),
            "{path}"
        );
    }
    only_a_good_call_arrives(&gate, &standin).await;
}

#[tokio::test]
async fn attack_f_methods_that_bring_content_are_never_forwarded() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut client = gate.client().await;
    for path in [
        "/runtime.v1.RuntimeService/RestorePod",
        "/runtime.v1.RuntimeService/CheckpointPod",
        "/runtime.v1.ImageService/PullSecurityProfileArtifact",
        "/runtime.v1.RuntimeService/PullSecurityProfileArtifact",
    ] {
        let answer = client.call(path, b"x").await;
        assert_eq!(answer.code(), 12);
        let name = path.rsplit('/').next().unwrap();
        assert!(answer.status().1.contains(name), "the refusal names the method");
    }
    only_a_good_call_arrives(&gate, &standin).await;
}

#[tokio::test]
async fn attack_h6_only_post_is_answered_as_grpc() {
    let gate = Gate::start();
    let standin = gate.standin();
    for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::HEAD] {
        let mut sent = request(VERSION, frame(b""));
        *sent.method_mut() = method.clone();
        assert_eq!(
            gate.client().await.send(sent).await.http,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method}"
        );
    }
    let mut sent = request("", "");
    *sent.method_mut() = Method::CONNECT;
    *sent.uri_mut() = "localhost:1".parse().unwrap();
    sent.headers_mut().clear();
    assert_eq!(gate.client().await.send(sent).await.http, StatusCode::METHOD_NOT_ALLOWED);
    only_a_good_call_arrives(&gate, &standin).await;
}

/// A HEADERS frame that ends its stream, with header fields as literals that no library checked.
fn raw_headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    out.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes()[1..]);
    out.extend_from_slice(&[1, 5, 0, 0, 0, 1]);
    out.extend(block);
    out
}

/// The type of the first frame on stream 1, or none when the connection was closed without one.
async fn first_frame(stream: &mut UnixStream) -> Option<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        if head[8] == 1 {
            return Some(head[3]);
        }
        if head[3] == 7 {
            return None;
        }
    }
}

#[tokio::test]
async fn attack_h6_paths_that_no_library_would_send_are_never_forwarded() {
    const PULL: &str = "/runtime.v1.ImageService/PullImage";
    let gate = Gate::start();
    let standin = gate.standin();
    let good =
        [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", VERSION)];
    let with = |index: usize, value: &'static str| {
        let mut fields = good.to_vec();
        fields[index].1 = value;
        fields
    };
    let mut cases: Vec<Vec<_>> = [
        "runtime.v1.ImageService/PullImage",
        "runtime.v1.RuntimeService/Version",
        "containerd.services.images.v1.Images/Create",
        "*",
        "",
        " /runtime.v1.RuntimeService/Version",
        "/runtime.v1.RuntimeService/Version ",
        "/runtime.v1.RuntimeService/Version\t",
        "http://localhost/containerd.services.images.v1.Images/Create",
        "http://localhost/runtime.v1.RuntimeService/Version",
        "/runtime.v1.RuntimeService\\Version",
        "/runtime.v1.RuntimeService/Versi\u{f6}n",
    ]
    .map(|path| with(3, path))
    .to_vec();
    cases.push([good.to_vec(), vec![(":path", PULL)]].concat());
    cases.push(vec![good[0], good[1], good[2]]);
    cases.push([vec![("x-first", "y")], good.to_vec()].concat());
    cases.push(with(0, "CONNECT"));
    cases.push([with(0, "CONNECT"), vec![(":protocol", "websocket")]].concat());
    for fields in cases {
        let mut stream = UnixStream::connect(&gate.socket).await.unwrap();
        stream.write_all(&raw_headers(&fields)).await.unwrap();
        soon("an answer or a reset", first_frame(&mut stream)).await;
    }
    only_a_good_call_arrives(&gate, &standin).await;

    let mut stream = UnixStream::connect(&gate.socket).await.unwrap();
    stream.write_all(&raw_headers(&good)).await.unwrap();
    assert_eq!(
        soon("headers", first_frame(&mut stream)).await,
        Some(1),
        "the same frames with a good path are answered"
    );
    assert_eq!(standin.paths(), [VERSION, VERSION]);
}

#[tokio::test]
async fn attack_h6_what_is_decided_on_is_the_path_that_would_be_sent() {
    let gate = Gate::start();
    let standin = gate.standin();
    // A fragment is cut off by the parser of paths, here and so in what is sent: it must not hide
    // an owned method.
    for path in [
        "/runtime.v1.ImageService/PullImage#x",
        "/runtime.v1.ImageService/PullImage#/../ListImages",
    ] {
        let mut stream = UnixStream::connect(&gate.socket).await.unwrap();
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
        ];
        stream.write_all(&raw_headers(&fields)).await.unwrap();
        soon("an answer or a reset", first_frame(&mut stream)).await;
    }
    only_a_good_call_arrives(&gate, &standin).await;
}

#[tokio::test]
async fn scheme_and_authority_never_reach_the_runtime() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut stream = UnixStream::connect(&gate.socket).await.unwrap();
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "containerd.test:99"),
        (":path", VERSION),
    ];
    stream.write_all(&raw_headers(&fields)).await.unwrap();
    assert_eq!(soon("headers", first_frame(&mut stream)).await, Some(1));
    assert_eq!(standin.received()[0].origin, "http://localhost");
    assert_eq!(standin.received()[0].headers.get("host"), None);
    assert_eq!(standin.paths(), [VERSION]);
}

#[tokio::test]
async fn an_http1_client_is_closed() {
    let gate = Gate::start();
    let standin = gate.standin();
    let mut stream = UnixStream::connect(&gate.socket).await.unwrap();
    let text = format!("POST {VERSION} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut back = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut back)).await;
    assert!(!back.starts_with(b"HTTP/1"), "{back:?}");
    only_a_good_call_arrives(&gate, &standin).await;
}
