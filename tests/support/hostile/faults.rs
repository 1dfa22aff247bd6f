//! Every [`Fault`]: what is answered at a step in place of the truth.

use bytes::Bytes;

use super::act::{Act, Script};
use super::http2::Attack;
use super::tls::Tls;
use super::world::{Good, INDEX, MANIFEST};
use super::{Places, TOKEN, bodies};

/// One thing that a registry can do wrong.
#[derive(Debug)]
pub struct Fault {
    /// Its name in tables and images.
    pub name: &'static str,
    pub(crate) kind: Kind,
}

/// Where a fault comes in.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Nobody listens (any more).
    Refused,
    /// Every connection to the host of the step.
    Tls(Tls),
    /// The answer to the request of the step.
    Wire(fn(&Moment<'_>) -> Script),
    /// The same, also before the gate has authenticated itself.
    Challenge(fn(&Moment<'_>) -> Script),
    /// The same over TLS that is as it should be.
    WireOverTls(fn(&Moment<'_>) -> Script),
    /// The document of the step, of which the digest is right.
    Document(fn(&str) -> String),
}

/// A request at the step.
pub(crate) struct Moment<'a> {
    /// The truth.
    pub(crate) good: &'a Good,
    /// Which request at this step it is, from 1.
    pub(crate) asked: usize,
    pub(crate) places: &'a Places,
    /// Scheme and authority of who is asked.
    pub(crate) origin: String,
    pub(crate) path: &'a str,
}

/// The fault of this name.
pub fn fault(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).unwrap_or_else(|| panic!("no fault {name}"))
}

impl Fault {
    /// Whether reading and hashing it takes a processor's time, which others then wait for.
    pub fn is_heavy(&self) -> bool {
        let heavy = [
            "gzip-bomb",
            "gzip-bomb-said",
            "many-entries",
            "long-list",
            "annotations",
            "many-headers",
            "huge-header",
        ];
        heavy.contains(&self.name) || matches!(self.name, "endless-body" | "endless-head")
    }

    /// Whether it keeps a processor busy for as long as it lasts, at both ends.
    pub fn is_noisy(&self) -> bool {
        ["h2-continuation", "h2-pings", "h2-settings", "endless-interim"].contains(&self.name)
    }
}

macro_rules! faults {
    ($($name:literal: $kind:expr,)+) => {
        /// All faults.
        pub(crate) const FAULTS: &[Fault] = &[$(Fault { name: $name, kind: $kind }),+];
    };
}

use Kind::{Challenge, Document, Refused, Tls as Handshake, Wire, WireOverTls};

faults! {
    // The connection.
    "refused": Refused,
    "closed": Wire(|_| vec![]),
    "silent": Wire(|_| vec![Act::Hang]),
    "hangs-in-head": Wire(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Ty"), Act::Hang]),
    "hangs-in-body": Wire(|m| vec![Act::Send(head(m.good)), half(m.good), Act::Hang]),
    "slow-head": Wire(|m| vec![Act::Drip(head(m.good))]),
    "slow-body": Wire(|m| vec![Act::Send(head(m.good)), Act::Drip(m.good.body.clone())]),
    "ends-early": Wire(|m| vec![Act::Send(head(m.good)), half(m.good)]),
    "ends-in-head": Wire(|_| vec![send("HTTP/1.1 200 OK\r\nContent-Ty")]),
    "length-short": Wire(length_short),
    "length-long": Wire(|m| vec![Act::Send(sized(m.good, m.good.body.len() + 9)), Act::Send(m.good.body.clone())]),
    "length-negative": Wire(|m| with(m.good, "Content-Length: -1")),
    "length-twice": Wire(|m| with(m.good, &format!("Content-Length: {}\r\nContent-Length: \
     7", m.good.body.len()))),
    "chunk-broken": Wire(|m| chunked(m.good, "zz\r\n")),
    "chunk-overflow": Wire(|m| chunked(m.good, "fffffffffffffffff\r\n")),
    "chunk-extension": Wire(|m| flooded(chunked(m.good, "5;"), &"x=y;".repeat(4096))),
    "chunk-trailers": Wire(|m| flooded(chunked(m.good, "1\r\n{\r\n0\r\n"), &"X-Trailer: y\r\n".repeat(1024))),
    "endless-body": Wire(|m| flooded(chunked(m.good, ""), &format!("10000\r\n{}\r\n", " ".repeat(0x1_0000)))),
    "endless-head": Wire(|_| vec![send("HTTP/1.1 200 OK\r\nX-Endless: "), Act::Flood(vec![b'x'; 0x1_0000].into())]),
    "endless-interim": Wire(|_| vec![Act::Stream("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(256).into())]),
    "huge-header": Wire(|m| with_header(m.good, &format!("X-Huge: {}", "x".repeat(1 << 20)))),
    "many-headers": Wire(|m| with_header(m.good, bodies::many_headers())),
    "no-http": Wire(|_| vec![send("SSH-2.0-OpenSSH_9.2p1\r\n"), Act::Hang]),
    // TLS and HTTP/2.
    "self-signed": Handshake(Tls::SelfSigned),
    "expired": Handshake(Tls::Expired),
    "other-name": Handshake(Tls::OtherName),
    "no-tls": Handshake(Tls::NotSpoken),
    "h2-reset": Handshake(Tls::Http2(Attack::Reset)),
    "h2-goaway": Handshake(Tls::Http2(Attack::GoAway)),
    "h2-continuation": Handshake(Tls::Http2(Attack::Continuation)),
    "h2-pings": Handshake(Tls::Http2(Attack::Pings)),
    "h2-settings": Handshake(Tls::Http2(Attack::Settings)),
    // The status.
    "204": Wire(|_| raw(204, &[], "")),
    "206": Wire(|m| status(206, m.good)),
    "304": Wire(|_| raw(304, &[], "")),
    "400": Wire(|_| error(400, "NAME_INVALID")),
    "401-loop": Wire(|m| challenged(&format!("{}/token", m.origin))),
    "401-bare": Wire(|_| error(401, "UNAUTHORIZED")),
    "403": Wire(|_| error(403, "DENIED")),
    "404": Wire(|_| error(404, "MANIFEST_UNKNOWN")),
    "404-web-page": Wire(|_| raw(404, &[("Content-Type", "text/html")], PAGE)),
    "404-denied": Wire(|_| error(404, "DENIED")),
    "418": Wire(|_| error(418, "UNKNOWN")),
    "429": Wire(|_| error(429, "TOOMANYREQUESTS")),
    "429-second": Wire(|_| raw(429, &[("Retry-After", "1")], "")),
    "429-year": Wire(|_| raw(429, &[("Retry-After", "31536000")], "")),
    "429-words": Wire(|_| raw(429, &[("Retry-After", "-1e99 fortnights")], "")),
    "429-then-good": Wire(|m| if m.asked == 1 { raw(429, &[("Retry-After", "0")], "") } else { answer(m.good) }),
    "500": Wire(|_| error(500, "UNKNOWN")),
    "500-then-good": Wire(|m| if m.asked == 1 { error(500, "UNKNOWN") } else { answer(m.good) }),
    "503": Wire(|_| raw(503, &[("Retry-After", "120"), ("Content-Type", "text/html")], PAGE)),
    // Other places.
    "redirect-endless": Wire(|m| redirect(&format!("{}/again/{}", m.origin, m.asked))),
    "redirect-loop": Wire(|m| redirect(&format!("{}{}?again", m.origin, m.path))),
    "redirect-nowhere": Wire(|_| raw(307, &[], "")),
    "redirect-user": Wire(|m| redirect(&format!("http://{TOKEN}:x@{}/forbidden", m.places.elsewhere))),
    "redirect-file": Wire(|_| redirect("file:///etc/shadow")),
    "redirect-loopback": Wire(|m| redirect(&format!("http://{}/forbidden", m.places.unnamed))),
    "redirect-name": Wire(|m| redirect(&format!("http://localhost:{}/forbidden", m.places.unnamed.port()))),
    "redirect-metadata": Wire(|_| redirect("http://169.254.169.254/latest/meta-data/iam/")),
    "redirect-elsewhere": Wire(|m| redirect(&format!("http://{}/there", m.places.elsewhere))),
    "redirect-plain": WireOverTls(|m| redirect(&format!("http://{}/forbidden", m.places.elsewhere))),
    // Where it leads is the truth, and it must be told nothing: for content that its digest proves
    // alone.
    "redirect-downgrade": WireOverTls(|m| redirect(&format!("http://{}/there", m.places.elsewhere))),
    "realm-plain": Challenge(|m| challenged(&format!("http://{}/forbidden", m.places.elsewhere))),
    "realm-elsewhere": Challenge(|m| challenged(&format!("https://{}/token", m.places.elsewhere))),
    "realm-loopback": Challenge(|m| challenged(&format!("https://{}/forbidden", m.places.unnamed))),
    "realm-metadata": Challenge(|_| challenged("https://169.254.169.254/token")),
    "realm-file": Challenge(|_| challenged("file:///etc/shadow")),
    // Lists.
    "page-elsewhere": Wire(|m| page(m.good, &format!("http://{}/forbidden", m.places.elsewhere))),
    "page-loop": Wire(|m| page(m.good, &format!("{}{}?again", m.origin, m.path))),
    "pages-endless": Wire(|m| page(m.good, &format!("{}{}?again={}", m.origin, m.path, m.asked))),
    "pages-full": Wire(pages_full),
    "many-entries": Wire(|m| body(m.good, bodies::endless_list())),
    "long-list": Wire(|m| body(m.good, bodies::long_list())),
    // Content.
    "empty": Wire(|m| body(m.good, Bytes::new())),
    "web-page": Wire(|_| raw(200, &[("Content-Type", "text/html")], PAGE)),
    "other-type": Wire(|m| typed(m.good, "application/octet-stream")),
    "no-type": Wire(|m| typed(m.good, "")),
    "other-bytes": Wire(|m| body(m.good, other(&m.good.body))),
    "second-differs": Wire(|m| if m.asked == 1 { answer(m.good) } else { body(m.good, other(&m.good.body)) }),
    "digest-lies": Wire(digest_lies),
    "gzip-bomb": Wire(|m| body(m.good, bodies::gzip_bomb())),
    "gzip-bomb-said": Wire(|m| encoded(m.good, "gzip", bodies::gzip_bomb())),
    "other-encoding": Wire(|m| encoded(m.good, "br, zstd", m.good.body.clone())),
    "deep": Document(bodies::deep),
    "annotations": Document(bodies::annotated),
    "dual": Document(bodies::dual),
    "two-spellings": Document(bodies::two_spellings),
    "twice": Document(bodies::twice),
    // Tokens.
    "token-huge": Wire(|_| token(&"x".repeat(1 << 20), ",\"expires_in\":300")),
    "token-long": Wire(|_| token(&format!("{TOKEN}{}", "x".repeat(30_000)), "")),
    "token-newline": Wire(|_| token(&format!("{TOKEN}\\r\\nX-Injected: y"), "")),
    "token-for-ever": Wire(|_| token(TOKEN, ",\"expires_in\":18446744073709551615")),
    "token-over": Wire(|_| token(TOKEN, ",\"expires_in\":0")),
    "token-empty": Wire(|_| token("", "")),
    "token-number": Wire(|_| raw(200, &[("Content-Type", "application/json")], r#"{"token":5}"#)),
}

const PAGE: &str = "<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>";

/// The truth as it is said.
pub(crate) fn answer(good: &Good) -> Script {
    vec![Act::Send(head(good)), Act::Send(good.body.clone()), Act::Keep]
}

/// An error of the distribution-spec.
pub(crate) fn error(status: u16, code: &str) -> Script {
    let body =
        format!(r#"{{"errors":[{{"code":"{code}","message":"said by a hostile registry"}}]}}"#);
    raw(status, &[("Content-Type", "application/json")], &body)
}

fn raw(status: u16, headers: &[(&'static str, &str)], body: &str) -> Script {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    answer(&Good { step: None, status, headers, body: body.to_owned().into() })
}

fn status(status: u16, good: &Good) -> Script {
    answer(&Good { status, ..good.clone() })
}

fn body(good: &Good, body: Bytes) -> Script {
    answer(&Good { body, ..good.clone() })
}

fn other(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(b"\n");
    bytes.into()
}

fn typed(good: &Good, media_type: &str) -> Script {
    let mut good = good.clone();
    good.headers.retain(|(name, _)| *name != "Content-Type");
    if !media_type.is_empty() {
        good.headers.push(("Content-Type", media_type.to_owned()));
    }
    answer(&good)
}

fn encoded(good: &Good, encoding: &str, body: Bytes) -> Script {
    let mut good = Good { body, ..good.clone() };
    good.headers.push(("Content-Encoding", encoding.to_owned()));
    answer(&good)
}

fn digest_lies(m: &Moment<'_>) -> Script {
    let mut good = m.good.clone();
    good.headers.retain(|(name, _)| *name != "Docker-Content-Digest");
    good.headers.push(("Docker-Content-Digest", format!("sha256:{}", "0".repeat(64))));
    answer(&good)
}

fn redirect(to: &str) -> Script {
    raw(307, &[("Location", to)], "")
}

fn challenged(realm: &str) -> Script {
    raw(401, &[("WWW-Authenticate", &format!(r#"Bearer realm="{realm}",service="hostile""#))], "{}")
}

fn token(token: &str, more: &str) -> Script {
    raw(200, &[("Content-Type", "application/json")], &format!(r#"{{"token":"{token}"{more}}}"#))
}

/// An empty page of a list, and where the next one is.
fn page(good: &Good, next: &str) -> Script {
    let mut good = Good { body: bodies::document_of(0).into(), ..good.clone() };
    good.headers.push(("Link", format!("<{next}>; rel=\"next\"")));
    answer(&good)
}

/// Pages without end, each of a hundred entries.
fn pages_full(m: &Moment<'_>) -> Script {
    let mut good = Good { body: bodies::document_of(100).into(), ..m.good.clone() };
    good.headers
        .push(("Link", format!("<{}{}?again={}>; rel=\"next\"", m.origin, m.path, m.asked)));
    answer(&good)
}

/// The length of half the body, all of it, and then another answer that nobody asked for.
fn length_short(m: &Moment<'_>) -> Script {
    let length = m.good.body.len() / 2;
    let stowaway = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: 2\r\n\r\n{{}}HTTP/1.1 200 \
         OK\r\nContent-Type: {INDEX}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    vec![
        Act::Send(sized(m.good, length)),
        Act::Send(m.good.body.clone()),
        send(&stowaway),
        Act::Keep,
    ]
}

fn with(good: &Good, lines: &str) -> Script {
    vec![Act::Send(lines_of(good, lines)), Act::Send(good.body.clone())]
}

fn with_header(good: &Good, lines: &str) -> Script {
    with(good, &format!("Content-Length: {}\r\n{lines}", good.body.len()))
}

fn chunked(good: &Good, first: &str) -> Script {
    vec![Act::Send(lines_of(good, "Transfer-Encoding: chunked")), send(first)]
}

fn flooded(mut script: Script, with: &str) -> Script {
    script.push(Act::Flood(with.to_owned().into()));
    script
}

fn half(good: &Good) -> Act {
    Act::Send(good.body.slice(..good.body.len() / 2))
}

fn head(good: &Good) -> Bytes {
    sized(good, good.body.len())
}

fn sized(good: &Good, length: usize) -> Bytes {
    if matches!(good.status, 204 | 304) {
        lines_of(good, "X-No-Body: yes")
    } else {
        lines_of(good, &format!("Content-Length: {length}"))
    }
}

fn lines_of(good: &Good, lines: &str) -> Bytes {
    let headers: String =
        good.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {} Said\r\n{headers}{lines}\r\n\r\n", good.status).into()
}

fn send(text: &str) -> Act {
    Act::Send(text.to_owned().into())
}
