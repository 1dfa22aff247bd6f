//! A runtime that lies, hangs or floods, as no real one can be made to: a stand-in behind the same
//! socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sealgate::containerd::{Options, ProofError, Runtime, RuntimeError};
use sealgate::image::Digest;
use sealgate::proto::containerd::services::content::v1 as content;
use sealgate::proto::containerd::services::content::v1::content_server::{Content, ContentServer};
use serde_json::json;
use tokio::net::UnixListener;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status};

use crate::tiny::{INDEX, MANIFEST, Tiny};

/// What the stand-in does with a digest.
#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    Endless,
    Hang,
    Fault(Status),
}

#[derive(Clone, Default)]
struct StandIn {
    answers: Arc<BTreeMap<String, Answer>>,
}

type Chunks = BoxStream<'static, Result<content::ReadContentResponse, Status>>;

#[tonic::async_trait]
impl Content for StandIn {
    type ReadStream = Chunks;

    async fn info(
        &self,
        _: Request<content::InfoRequest>,
    ) -> Result<Response<content::InfoResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn read(
        &self,
        request: Request<content::ReadContentRequest>,
    ) -> Result<Response<Chunks>, Status> {
        assert_eq!(request.metadata().get("containerd-namespace").unwrap(), "k8s.io");
        let chunk =
            |data: Vec<u8>| Ok(content::ReadContentResponse { offset: 0, data: data.into() });
        match self.answers.get(&request.get_ref().digest) {
            Some(Answer::Bytes(bytes)) => {
                Ok(Response::new(stream::iter([chunk(bytes.clone())]).boxed()))
            }
            Some(Answer::Endless) => {
                Ok(Response::new(stream::repeat_with(move || chunk(vec![0; 1 << 16])).boxed()))
            }
            Some(Answer::Hang) => Ok(Response::new(stream::pending().boxed())),
            Some(Answer::Fault(status)) => Err(status.clone()),
            None => Err(Status::not_found("no such content")),
        }
    }
}

/// Serves the answers for as long as the folder is kept.
fn serve(answers: Vec<(Digest, Answer)>) -> (Runtime, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let answers =
        answers.into_iter().map(|(digest, answer)| (digest.to_string(), answer)).collect();
    listen(&socket, StandIn { answers: Arc::new(answers) });
    (Runtime::new(Options { socket, call_timeout_ms: 500, ..Options::default() }), folder)
}

fn listen(socket: &Path, stand_in: StandIn) {
    let listener = UnixListener::bind(socket).unwrap();
    let server = ContentServer::new(stand_in);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut server = server.clone();
        async move { server.call(request.map(tonic::body::Body::new)).await }
    });
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let serving = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(connection), service.clone()));
        }
    });
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

fn index(children: &[Vec<u8>], media_type: &str) -> Vec<u8> {
    let entry = |bytes: &Vec<u8>| json!({"mediaType": media_type, "digest": digest(bytes).to_string(), "size": bytes.len()});
    let entries: Vec<_> = children.iter().map(entry).collect();
    serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
        .unwrap()
}

fn bytes(documents: &[&Vec<u8>]) -> Vec<(Digest, Answer)> {
    documents.iter().map(|bytes| (digest(bytes), Answer::Bytes((*bytes).clone()))).collect()
}

/// Attack D1: content without end is cut at the limit, content that never comes at the time limit.
#[tokio::test]
async fn attack_d1_endless_content_is_cut() {
    let (endless, never) = (digest(b"endless"), digest(b"never"));
    let (runtime, _folder) =
        serve(vec![(endless.clone(), Answer::Endless), (never.clone(), Answer::Hang)]);
    let limit = 1 << 20;
    let too_large = ProofError::ContentTooLarge { digest: endless.clone(), limit };
    assert_eq!(runtime.read_content(&endless, limit).await, Err(too_large));
    let timed_out = ProofError::Runtime(RuntimeError::TimedOut { call: "Content/Read" });
    assert_eq!(runtime.read_content(&never, limit).await, Err(timed_out.clone()));
    let id = digest(b"id");
    assert_eq!(
        runtime.prove_content(&never, &id).await,
        Err(ProofError::ContentMissing(id.clone()))
    );
    let (runtime, _folder) = serve(vec![(never.clone(), Answer::Hang), (id.clone(), Answer::Hang)]);
    assert_eq!(runtime.prove_content(&never, &id).await, Err(timed_out));
}

/// Attack D1: an index of more documents than are looked at, and one nested too deeply.
#[tokio::test]
async fn attack_d1_an_index_of_indexes_is_bounded() {
    let image = Tiny::files(&[("a", b"a", 0o644)]);
    let children: Vec<_> = (0..200_u8).map(|n| vec![n]).collect();
    let wide = index(&children, MANIFEST);
    let mut deep = index(std::slice::from_ref(&image.manifest), MANIFEST);
    let mut levels = vec![deep.clone()];
    for _ in 0..3 {
        deep = index(std::slice::from_ref(&deep), INDEX);
        levels.push(deep.clone());
    }
    let mut documents: Vec<&Vec<u8>> = vec![&wide, &image.manifest, &image.config];
    documents.extend(&levels);
    let (runtime, _folder) = serve(bytes(&documents));
    for target in [&wide, &levels[3]] {
        let target = digest(target);
        let too_many = ProofError::TooManyDocuments { target: target.clone(), limit: 128 };
        assert_eq!(runtime.prove_content(&target, &image.id()).await, Err(too_many));
    }
    let proof = runtime.prove_content(&digest(&levels[2]), &image.id()).await.unwrap();
    assert_eq!(proof.child(), Some(&image.digest()));
}

/// Attack A4, fact P15: an index with two spellings of its list proves nothing, nor does what hangs
/// under it.
#[tokio::test]
async fn attack_a4_an_index_of_two_spellings_proves_nothing() {
    let image = Tiny::files(&[("a", b"a", 0o644)]);
    let text = String::from_utf8(index(std::slice::from_ref(&image.manifest), MANIFEST)).unwrap();
    let twice = text.replacen("\"manifests\"", "\"Manifests\":[],\"manifests\"", 1).into_bytes();
    let (runtime, _folder) = serve(bytes(&[&twice, &image.manifest, &image.config]));
    let proof = runtime.prove_content(&digest(&twice), &image.id()).await;
    assert!(
        matches!(&proof, Err(ProofError::Document { digest: at, .. }) if *at == digest(&twice)),
        "{proof:?}"
    );
}

/// Fact C8: the mark of a checkpoint is seen on the manifest, on the index, on the index's entry, and
/// on the config.
#[tokio::test]
async fn a_checkpoint_is_seen_wherever_it_is_marked() {
    let image = Tiny::files(&[("a", b"a", 0o644)]);
    let mark = |document: &[u8], pointer: &str| {
        let mut document: serde_json::Value = serde_json::from_slice(document).unwrap();
        document.pointer_mut(pointer).unwrap()["annotations"] =
            json!({"org.criu.checkpoint.container.name": "x"});
        serde_json::to_vec(&document).unwrap()
    };
    let plain = index(std::slice::from_ref(&image.manifest), MANIFEST);
    let manifest = mark(&image.manifest, "");
    let (on_index, on_entry) = (mark(&plain, ""), mark(&plain, "/manifests/0"));
    let (runtime, _folder) =
        serve(bytes(&[&plain, &manifest, &on_index, &on_entry, &image.manifest, &image.config]));
    for (target, marked) in
        [(&plain, false), (&manifest, true), (&on_index, true), (&on_entry, true)]
    {
        let proof = runtime.prove_content(&digest(target), &image.id()).await.unwrap();
        assert_eq!(proof.is_checkpoint(), marked);
    }
    let mut config: serde_json::Value = serde_json::from_slice(&image.config).unwrap();
    config["config"]["Labels"] = json!({"org.criu.checkpoint.container.name": "x"});
    let config = serde_json::to_vec(&config).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"]["digest"] = json!(digest(&config).to_string());
    manifest["config"]["size"] = json!(config.len());
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let (runtime, _folder) = serve(bytes(&[&manifest, &config]));
    let proof = runtime.prove_content(&digest(&manifest), &digest(&config)).await.unwrap();
    assert!(proof.is_checkpoint());
}

/// An error of the runtime is an error, not an absence; its text cannot forge a line of a log
/// (attack E3).
#[tokio::test]
async fn attack_e3_an_error_of_the_runtime_is_printed_harmlessly() {
    let at = digest(b"fault");
    let fault = Status::internal("disk\n\u{1b}[31mbroken");
    let (runtime, _folder) = serve(vec![(at.clone(), Answer::Fault(fault))]);
    let error = runtime.read_content(&at, 1).await.unwrap_err();
    let untrusted_message = "disk\\n\\u{1b}[31mbroken".to_owned();
    let code = tonic::Code::Internal;
    let refused = RuntimeError::Refused { call: "Content/Read", code, untrusted_message };
    assert_eq!(error, ProofError::Runtime(refused));
    assert!(!error.to_string().contains(char::is_control));
    // A service that is not there (the CRI) is an answer too, and not the answer that an image is
    // absent.
    let error = runtime.identify("app").await.unwrap_err();
    assert!(
        matches!(error, RuntimeError::Refused { code: tonic::Code::Unimplemented, .. }),
        "{error:?}"
    );
}
