//! TLS: what is wrong with a certificate is told, HTTP/2 is spoken where it is offered, and
//! connections are used again.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sealgate::registry::{Access, Class, RegistryError, TlsFault, Why};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::rig::{NAME, Rig, repository, session};

/// A server that answers everything with the same manifest, over HTTP/2 and HTTP/1.1 or the latter
/// alone.
struct Standin {
    url: String,
    connections: Arc<AtomicUsize>,
    over_h2: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An authority, and a certificate by it that is made after `change`.
fn certificate(
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> (String, rcgen::Certificate, rcgen::KeyPair) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut own = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    change(&mut own);
    (pem, own.signed_by(&key, &issuer).unwrap(), key)
}

fn acceptor(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    protocols: &[&str],
    clients: Option<&str>,
) -> TlsAcceptor {
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], private).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn start(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    protocols: &[&str],
) -> Standin {
    start_for(certificate, key, protocols, None).await
}

/// As [`start`], for those alone who have a certificate by this authority.
async fn start_for(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    protocols: &[&str],
    clients: Option<&str>,
) -> Standin {
    start_with(
        acceptor(certificate, key, protocols, clients),
        Bytes::from_static(br#"{"schemaVersion":2}"#),
    )
    .await
}

/// Answers everything with this body.
async fn start_with(acceptor: TlsAcceptor, body: Bytes) -> Standin {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let counts: [Arc<AtomicUsize>; 3] = Default::default();
    let [connections, over_h2, requests] = counts.clone();
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, [connections, over_h2, requests]) = (acceptor.clone(), counts.clone());
            let body = body.clone();
            drop(tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                connections.fetch_add(1, Ordering::SeqCst);
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |_| {
                    requests.fetch_add(1, Ordering::SeqCst);
                    // Long enough for requests side by side to be side by side.
                    let body = body.clone();
                    async {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        Ok::<_, Infallible>(http::Response::new(Full::new(body)))
                    }
                });
                let io = TokioIo::new(stream);
                if is_h2 {
                    over_h2.fetch_add(1, Ordering::SeqCst);
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                }
            }));
        }
    });
    Standin { url, connections, over_h2, requests, accepting }
}

fn rig(standin: &Standin, ca: &str) -> Rig {
    let rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"{}\"\nca = \"ca.crt\"\n", standin.url));
    rig.write(&format!("{NAME}/ca.crt"), ca);
    rig
}

#[tokio::test]
async fn connections_are_used_again_and_http2_is_spoken_where_offered() {
    let (ca, certificate, key) = certificate(|_| {});
    for (protocols, h2, most) in
        [(vec!["h2", "http/1.1"], 1, 1), (vec!["http/1.1"], 0, 4), (vec![], 0, 4)]
    {
        let standin = start(&certificate, &key, &protocols).await;
        let rig = rig(&standin, &ca);
        let registry = rig.registry();
        let (session, repository) = (session(&registry, &Access::default()), repository());
        session.tag(&repository, "1").await.unwrap();
        for _ in 0..3 {
            let asked =
                futures_util::future::join_all((0..4).map(|_| session.tag(&repository, "1"))).await;
            assert!(asked.iter().all(Result::is_ok), "{asked:?}");
        }
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        assert_eq!(count(&standin.requests), 13);
        assert_eq!(count(&standin.over_h2), h2, "{protocols:?}");
        assert!(
            count(&standin.connections) <= most,
            "{protocols:?}: {}",
            count(&standin.connections)
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told() {
    type Change = fn(&mut rcgen::CertificateParams);
    let expired: Change = |own| {
        own.not_before = rcgen::date_time_ymd(2001, 1, 1);
        own.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    let early: Change = |own| {
        own.not_before = rcgen::date_time_ymd(2100, 1, 1);
        own.not_after = rcgen::date_time_ymd(2101, 1, 1);
    };
    let elsewhere: Change = |own| {
        own.subject_alt_names = vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())]
    };
    for (change, fault) in
        [(expired, TlsFault::Expired), (early, TlsFault::NotYetValid), (elsewhere, TlsFault::Name)]
    {
        let (ca, certificate, key) = certificate(change);
        let standin = start(&certificate, &key, &[]).await;
        told(&rig(&standin, &ca), fault).await;
        assert_eq!(standin.requests.load(Ordering::SeqCst), 0);
    }
    let (_, by_another, key) = certificate(|_| {});
    let (ca, ..) = certificate(|_| {});
    told(&rig(&start(&by_another, &key, &[]).await, &ca), TlsFault::Issuer).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let own =
        rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    told(&rig(&start(&own, &key, &[]).await, &ca), TlsFault::Issuer).await;
}

/// A certificate as `openssl req -x509` makes it, and as Docker's manual does: its own issuer, an
/// authority's.
fn own_authority(
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> (rcgen::Certificate, rcgen::KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    (own_parameters(change).self_signed(&key).unwrap(), key)
}

fn own_parameters(change: impl FnOnce(&mut rcgen::CertificateParams)) -> rcgen::CertificateParams {
    let mut own = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    own.distinguished_name.push(rcgen::DnType::CommonName, "registry of a test");
    change(&mut own);
    own
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_taken_where_it_is_named() {
    type Change = fn(&mut rcgen::CertificateParams);
    let (other, ..) = certificate(|_| {});
    let unchanged: Change = |_| {};
    for change in [
        unchanged,
        |own| own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0)),
        |own| {
            own.key_usages =
                vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign]
        },
        |own| own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth],
        |own| own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::Any],
        |own| own.is_ca = rcgen::IsCa::NoCa,
        |own| own.is_ca = rcgen::IsCa::ExplicitNoCa,
    ] {
        let (own, key) = own_authority(change);
        let standin = start(&own, &key, &["h2", "http/1.1"]).await;
        // Alone, and among others in one file.
        for named in [own.pem(), format!("{other}{}", own.pem())] {
            let answer = rig(&standin, &named).session().tag(&repository(), "1").await;
            assert!(answer.is_ok(), "{answer:?}");
        }
        // In docker's layout, for a registry that is asked under its own name.
        let rig = Rig::new();
        let host = standin.url.trim_start_matches("https://");
        rig.hosts(host, "");
        rig.write(&format!("{host}/ca.crt"), &own.pem());
        let name = format!("{host}/acme/app:1");
        let answer = rig.session().resolve(&crate::rig::reference(&name)).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
    // What it signs is taken as before: it is an authority.
    let (own, own_key) = own_authority(|_| {});
    let issuer = rcgen::Issuer::new(own_parameters(|_| {}), own_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let standin = start(&leaf, &key, &[]).await;
    assert!(rig(&standin, &own.pem()).session().tag(&repository(), "1").await.is_ok());
}

/// Attack E1: nothing but that certificate gains by it, and it must be good in itself.
#[tokio::test]
async fn attack_e1_only_the_very_certificate_that_is_named_need_have_no_authority() {
    let (named, named_key) = own_authority(|_| {});
    // Another one of the same name, as whoever is between would make it.
    let (twin, twin_key) = own_authority(|_| {});
    refused(
        &start(&twin, &twin_key, &[]).await,
        &named.pem(),
        &[TlsFault::Issuer, TlsFault::Authority],
    )
    .await;
    // One with the same key: not the same bytes.
    let mut again = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    again.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
    let again = again.self_signed(&named_key).unwrap();
    refused(&start(&again, &named_key, &[]).await, &named.pem(), &[TlsFault::Authority]).await;
    // An authority's by the named one, which may sign others but is no server's.
    let same_key = rcgen::KeyPair::try_from(named_key.serialize_der()).unwrap();
    let issuer = rcgen::Issuer::new(own_parameters(|_| {}), same_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut below = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    below.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let below = below.signed_by(&key, &issuer).unwrap();
    refused(&start(&below, &key, &[]).await, &named.pem(), &[TlsFault::Authority]).await;
    // The very one, out of its time, for other names, for other uses.
    type Change = fn(&mut rcgen::CertificateParams);
    let ended: Change = |own| {
        own.not_before = rcgen::date_time_ymd(2001, 1, 1);
        own.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    for (change, fault) in [
        (ended, TlsFault::Expired),
        (
            |own| {
                own.not_before = rcgen::date_time_ymd(2100, 1, 1);
                own.not_after = rcgen::date_time_ymd(2101, 1, 1);
            },
            TlsFault::NotYetValid,
        ),
        (
            |own| {
                own.subject_alt_names =
                    vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())]
            },
            TlsFault::Name,
        ),
        // Go does not look at the common name either.
        (
            |own| {
                own.subject_alt_names = Vec::new();
                own.distinguished_name.push(rcgen::DnType::CommonName, "127.0.0.1");
            },
            TlsFault::Name,
        ),
        (
            |own| own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth],
            TlsFault::Purpose,
        ),
    ] {
        let (own, key) = own_authority(change);
        refused(&start(&own, &key, &[]).await, &own.pem(), &[fault]).await;
    }
    // Shown by somebody who has not its key.
    let stolen = start_with(impostor(&named, &twin_key), Bytes::from_static(b"{}")).await;
    let error = rig(&stolen, &named.pem()).session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "{error:?}");
    assert_eq!(stolen.requests.load(Ordering::SeqCst), 0);
}

async fn refused(standin: &Standin, named: &str, faults: &[TlsFault]) {
    let error = rig(standin, named).session().tag(&repository(), "1").await.unwrap_err();
    let RegistryError::Unreachable { why: Why::Tls(found), .. } = &error else {
        panic!("{error:?}")
    };
    assert!(faults.contains(found), "{found:?}, expected {faults:?}");
    assert_eq!(standin.requests.load(Ordering::SeqCst), 0);
}

/// Shows a certificate and signs with another key.
fn impostor(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> TlsAcceptor {
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(private).unwrap();
    let shown = Arc::new(rustls::sign::CertifiedKey::new(vec![certificate.der().clone()], key));
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver)))
}

#[tokio::test]
async fn a_host_without_tls_is_told() {
    let server = crate::support::TestRegistry::start(crate::support::Settings::conforming());
    let rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"https://{}\"\n", server.host()));
    told(&rig, TlsFault::NotTls).await;
    assert_eq!(server.requests(), []);
}

async fn told(rig: &Rig, fault: TlsFault) {
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "{error:?}");
    let RegistryError::Unreachable { why: Why::Tls(found), .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*found, fault, "{error}");
    assert!(error.to_string().contains(&fault.to_string()));
}

/// `client` in every form that names one certificate; with none, and with two, nobody is let in.
#[tokio::test]
async fn client_certificates_are_shown_in_every_form_that_hosts_toml_knows() {
    let (ca, own, key) = certificate(|_| {});
    let (clients, client, client_key) = certificate(|own| {
        own.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let standin = start_for(&own, &key, &[], Some(&clients)).await;
    let both = format!("{}{}", client.pem(), client_key.serialize_pem());
    for (form, fine) in [
        ("\"both.pem\"", true),
        ("[\"both.pem\"]", true),
        ("[[\"c.cert\", \"c.key\"]]", true),
        ("[[\"both.pem\", \"\"]]", true),
        ("[]", false),
        ("[[\"c.cert\", \"c.key\"], [\"both.pem\", \"\"]]", false),
        ("\"c.cert\"", false),
    ] {
        let rig = rig(&standin, &ca);
        rig.write(&format!("{NAME}/both.pem"), &both);
        rig.write(&format!("{NAME}/c.cert"), &client.pem());
        rig.write(&format!("{NAME}/c.key"), &client_key.serialize_pem());
        rig.hosts(
            NAME,
            &format!("server = \"{}\"\nca = \"ca.crt\"\nclient = {form}\n", standin.url),
        );
        let answer = rig.session().tag(&repository(), "1").await;
        assert_eq!(answer.is_ok(), fine, "{form}: {answer:?}");
    }
}

/// What the operator trusts for a host counts where it redirects to, as with containerd; where a
/// token service stands elsewhere, its certificate is looked at even so.
#[tokio::test]
async fn the_authorities_of_a_host_count_where_it_leads() {
    let settings = || crate::support::Settings::conforming().tls();
    let (server, storage) = (
        crate::support::TestRegistry::start(settings()),
        crate::support::TestRegistry::start(settings()),
    );
    let (_, digest) = crate::rig::push(&storage);
    let to = format!("{}/v2/acme/app/manifests/1", storage.url());
    server
        .rule(crate::support::Rule::new("/manifests/", crate::support::Answer::Redirect(307, to)));
    let mut rig = Rig::new();
    rig.options.allow_local_hosts = vec![storage.host()];
    let with =
        |settings: &str| rig.hosts(NAME, &format!("server = \"{}\"\n{settings}\n", server.url()));
    with("ca = [\"server.crt\", \"storage.crt\"]");
    rig.write(&format!("{NAME}/server.crt"), server.ca_pem().unwrap());
    rig.write(&format!("{NAME}/storage.crt"), storage.ca_pem().unwrap());
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().digest, digest);
    with("ca = \"server.crt\"");
    told(&rig, TlsFault::Issuer).await;
    with("skip_verify = true");
    assert_eq!(rig.session().tag(&repository(), "1").await.unwrap().digest, digest);
    server.clear_rules();
    storage.clear_log();
    let challenge = format!("Bearer realm=\"{}/token\",service=\"s\"", storage.url());
    server.rule(crate::support::Rule::new(
        "/manifests/",
        crate::support::Answer::Full {
            status: 401,
            headers: vec![("www-authenticate", challenge)],
            body: Vec::new(),
        },
    ));
    told(&rig, TlsFault::Issuer).await;
    assert_eq!(storage.requests(), []);
}

/// Attack D1: what a server may send over HTTP/2 before anybody reads it, to each of as many as may
/// be asked at once, is a fraction of what a decision may hold.
#[tokio::test]
async fn attack_d1_little_comes_over_http2_before_it_is_read() {
    let (ca, certificate, key) = certificate(|_| {});
    let acceptor = acceptor(&certificate, &key, &["h2"], None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::new();
    rig.hosts(
        NAME,
        &format!("server = \"https://{}\"\nca = \"ca.crt\"\n", listener.local_addr().unwrap()),
    );
    rig.write(&format!("{NAME}/ca.crt"), &ca);
    let server = async {
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        // RFC 9113: the preface, then SETTINGS, then as a rule a WINDOW_UPDATE for the connection.
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let (mut stream_window, mut connection_window) = (65_535, 65_535);
        for _ in 0..2 {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            stream.read_exact(&mut payload).await.unwrap();
            let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
            match head[3] {
                4 => payload
                    .chunks(6)
                    .filter(|one| one[..2] == [0, 4])
                    .for_each(|one| stream_window = number(&one[2..])),
                8 => connection_window += number(&payload),
                _ => {}
            }
        }
        (stream_window, connection_window)
    };
    let session = rig.session();
    let repository = repository();
    tokio::select! {
        _ = session.tag(&repository, "1") => panic!("nobody answers"),
        (stream, connection) = server => assert!(stream <= 128 << 10 && connection <= 1 << 20, "{stream} {connection}"),
    }
}

/// A manifest's beginning, and 4 MiB in all.
fn large() -> Bytes {
    let mut body = br#"{"schemaVersion":2}"#.to_vec();
    body.resize(4 << 20, b' ');
    body.into()
}

/// Attack D1: of large answers on one connection some wait for room, and do not keep the others
/// from coming.
#[tokio::test]
async fn attack_d1_large_answers_over_one_connection_do_not_wait_for_each_other() {
    let (ca, certificate, key) = certificate(|_| {});
    let standin = start_with(acceptor(&certificate, &key, &["h2"], None), large()).await;
    let mut rig = rig(&standin, &ca);
    // Whoever waits for each other waits this long.
    rig.options.request_ms = 60_000;
    let registry = rig.registry();
    // Those who ask later find the connection.
    session(&registry, &Access::default()).tag(&repository(), "1").await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let session = registry.session(
                &Access::default(),
                crate::rig::clock().steady() + Duration::from_secs(100),
            );
            tokio::spawn(async move {
                session.tag(&repository(), "1").await.map(|fetched| fetched.bytes.len())
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(4 << 20));
    }
    assert_eq!(standin.connections.load(Ordering::SeqCst), 1);
}

/// Attack E6: a server may say anything when it ends a connection over HTTP/2, also what it was
/// sent: nobody repeats it.
#[tokio::test]
async fn attack_e6_last_words_over_http2_are_not_repeated() {
    let (ca, certificate, key) = certificate(|_| {});
    let acceptor = acceptor(&certificate, &key, &["h2"], None);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::new();
    rig.hosts(
        NAME,
        &format!("server = \"https://{}\"\nca = \"ca.crt\"\n", listener.local_addr().unwrap()),
    );
    rig.write(&format!("{NAME}/ca.crt"), &ca);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            // RFC 9113: empty SETTINGS, then GOAWAY: no stream was looked at, INTERNAL_ERROR, and
            // words.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            stream.write_all(&[0, 0, 15, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]).await.unwrap();
            stream.write_all(b"hunter2").await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert_eq!(error.class(), Class::Unreachable, "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    assert!(error.to_string().contains("HTTP/2"), "{error}");
    serving.abort();
}
