//! Certificates that are good and bad, who shows which, and the `hosts.toml` of a cell.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::faults::{Fault, Kind};
use super::serve::Role;
use super::table::Step;
use super::{HEADER, Places, http2};

/// How a listener does TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// As it should be.
    Good,
    /// With a certificate that nobody vouches for.
    SelfSigned,
    /// With one that ended long ago.
    Expired,
    /// With one for another name.
    OtherName,
    /// Not at all, where it is expected.
    NotSpoken,
    /// As it should be, and then HTTP/2.
    Http2(http2::Attack),
}

/// An authority and the configurations of all that it vouches for, made once.
struct Made {
    ca: String,
    good: TlsAcceptor,
    self_signed: TlsAcceptor,
    expired: TlsAcceptor,
    other_name: TlsAcceptor,
    http2: TlsAcceptor,
}

static MADE: LazyLock<Made> = LazyLock::new(make);

/// How a listener of a cell does TLS; not at all as a rule.
pub(crate) fn of(role: Role, fault: &Fault, step: Step) -> Option<Tls> {
    match fault.kind {
        Kind::Tls(kind) if role == step.role() => Some(kind),
        Kind::WireOverTls(_) if role == step.role() => Some(Tls::Good),
        Kind::Tls(_)
        | Kind::WireOverTls(_)
        | Kind::Wire(_)
        | Kind::Challenge(_)
        | Kind::Document(_)
        | Kind::Refused => None,
    }
}

/// The scheme under which a listener of a cell is known.
pub(crate) fn scheme(role: Role, fault: &Fault, step: Step) -> &'static str {
    if of(role, fault, step).is_some() { "https" } else { "http" }
}

pub(crate) fn acceptor(kind: Tls) -> TlsAcceptor {
    match kind {
        Tls::Good | Tls::NotSpoken => MADE.good.clone(),
        Tls::SelfSigned => MADE.self_signed.clone(),
        Tls::Expired => MADE.expired.clone(),
        Tls::OtherName => MADE.other_name.clone(),
        Tls::Http2(_) => MADE.http2.clone(),
    }
}

/// Leads gate and runtime to a cell's registry, with a header that is for the registry alone.
pub(crate) fn write_hosts(certs: &Path, places: &Places, fault: &Fault, step: Step) {
    let folder = certs.join(places.registry.to_string().replace(':', "_") + "_");
    std::fs::create_dir_all(&folder).unwrap();
    let ca = |role| match of(role, fault, step) {
        None | Some(Tls::SelfSigned) => "",
        Some(_) => "ca = \"ca.pem\"\n",
    };
    let server = format!("{}://{}", scheme(Role::Registry, fault, step), places.registry);
    let mut text = format!(
        "server = \"{server}\"\n{}[header]\nx-planted = \"{HEADER}\"\n",
        ca(Role::Registry)
    );
    if let Some(mirror) = places.mirror {
        let mirror = format!("{}://{mirror}", scheme(Role::Mirror, fault, step));
        text += &format!(
            "[host.\"{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n{}",
            ca(Role::Mirror)
        );
    }
    std::fs::write(folder.join("ca.pem"), &MADE.ca).unwrap();
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
}

fn make() -> Made {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of the hostile registries");
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let named = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
    let mut old = named("127.0.0.1");
    (old.not_before, old.not_after) =
        (rcgen::date_time_ymd(2019, 1, 1), rcgen::date_time_ymd(2020, 1, 1));
    let config = |certificate: rcgen::Certificate, protocols: &[&[u8]]| {
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    };
    let signed = |params: CertificateParams| params.signed_by(&key, &issuer).unwrap();
    Made {
        ca,
        good: config(signed(named("127.0.0.1")), &[b"http/1.1"]),
        self_signed: config(named("127.0.0.1").self_signed(&key).unwrap(), &[b"http/1.1"]),
        expired: config(signed(old), &[b"http/1.1"]),
        other_name: config(signed(named("other.example")), &[b"http/1.1"]),
        http2: config(signed(named("127.0.0.1")), &[b"h2"]),
    }
}
