//! The server of a test registry: accept, TLS, log, rules, then the true answer.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, Body, response};
use super::{Shared, api, auth, lock};

/// Why a connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

/// Serves until `stopped`; runs on its own thread.
pub(crate) fn run(
    listener: std::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        tokio::select! {
            _ = stopped => {}
            () = accept(listener, acceptor, shared) => {}
        }
    });
}

/// What a registry that serves HTTPS tells its clients.
pub(crate) struct Certified {
    /// The certificate of the authority, PEM.
    pub(crate) ca: String,
    /// A client's certificate by the same authority and its key, PEM.
    pub(crate) client: (String, String),
    pub(crate) acceptor: TlsAcceptor,
}

/// A certificate for `localhost`, `*.example.test` and 127.0.0.1, the authority that signed it, and
/// a client of it, which every client must be when `wants_client` says so.
pub(crate) fn certificate(wants_client: bool) -> Certified {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "authority of the test registry");
    let ca_certificate = ca.self_signed(&ca_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = ["localhost", "*.example.test", "127.0.0.1"].map(str::to_owned);
    let own = rcgen::CertificateParams::new(names)
        .expect("names")
        .signed_by(&key, &issuer)
        .expect("a certificate");
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let client_key = rcgen::KeyPair::generate().expect("a key");
    let mut client =
        rcgen::CertificateParams::new(vec!["node.example.test".to_owned()]).expect("names");
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client = client.signed_by(&client_key, &issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("protocol versions");
    let builder = match wants_client {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(ca_certificate.der().clone()).expect("a root");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let config =
        builder.with_single_cert(vec![own.der().clone()], private).expect("a server configuration");
    Certified {
        ca: ca_certificate.pem(),
        client: (client.pem(), client_key.serialize_pem()),
        acceptor: TlsAcceptor::from(Arc::new(config)),
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        match acceptor.clone() {
            None => drop(tokio::spawn(connection(stream, shared))),
            Some(acceptor) => drop(tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    connection(stream, shared).await;
                }
            })),
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| one(request, Arc::clone(&shared)));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Logs a request from its beginning to its answer, also when the client goes away first.
struct Logged {
    shared: Arc<Shared>,
    index: usize,
    status: Option<u16>,
}

impl Drop for Logged {
    fn drop(&mut self) {
        lock(&self.shared.log).end(self.index, self.status);
    }
}

async fn one(
    request: http::Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<http::Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let index = lock(&shared.log).begin(&head);
    let mut logged = Logged { shared: Arc::clone(&shared), index, status: None };
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let rule = lock(&shared.rules).iter_mut().find_map(|armed| armed.fits(&head));
    let response = match rule {
        None => truth(&shared, &head, &body, index),
        Some(Answer::Hang) => std::future::pending::<Result<_, Infallible>>()
            .await
            .unwrap_or_else(|never| match never {}),
        Some(Answer::Drop) => return Err(Dropped),
        Some(Answer::Late(after)) => {
            tokio::time::sleep(after).await;
            truth(&shared, &head, &body, index)
        }
        Some(answer) => response(answer).ok_or(Dropped)?,
    };
    logged.status = Some(response.status().as_u16());
    Ok(response)
}

fn truth(
    shared: &Shared,
    head: &http::request::Parts,
    body: &Bytes,
    index: usize,
) -> http::Response<Body> {
    let authorization =
        head.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let mut response = if head.uri.path() == "/token" {
        let form = String::from_utf8_lossy(body).into_owned();
        lock(&shared.log).form(index, form.clone());
        auth::token(shared, authorization, &form)
    } else {
        match auth::refusal(shared, authorization, head.uri.path()) {
            Some(refusal) => refusal,
            None => api::answer(shared, head, body),
        }
    };
    if shared.settings.docker_header {
        response.headers_mut().insert(
            "docker-distribution-api-version",
            http::HeaderValue::from_static("registry/2.0"),
        );
    }
    response
}
