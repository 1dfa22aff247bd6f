//! [`failure`]: what the HTTP and TLS libraries say of a connection, as the errors that an operator
//! can do something about.

use std::error::Error as _;

use super::address::{LocalAddress, NotResolved, lacks_means};
use crate::errno;
use crate::registry::error::{Malformed, RegistryError, TlsFault, Why};
use crate::registry::printable::printable;

/// A failure of the connection, told without addresses that may hold signed query strings.
pub(in crate::registry) fn failure(error: &reqwest::Error, host: &str) -> RegistryError {
    let host = host.to_owned();
    let mut innermost: &(dyn std::error::Error + 'static) = error;
    let (mut tls, mut garbled) = (false, false);
    while let Some(source) = innermost.source() {
        innermost = source;
        if let Some(LocalAddress(address)) = source.downcast_ref() {
            return RegistryError::ForbiddenAddress { host, address: *address };
        }
        tls |= source.downcast_ref::<std::io::Error>().is_some_and(is_tls);
        garbled |= source.downcast_ref::<hyper::Error>().is_some_and(is_garbled);
    }
    if garbled {
        // It was asked and it answered: to ask again would bring the same.
        return RegistryError::Malformed { host, what: Malformed::Http };
    }
    let text = match innermost.downcast_ref::<h2::Error>() {
        // Its own words repeat what the other side sent along (`GOAWAY`), which may be our secret.
        Some(error) => error
            .reason()
            .map_or_else(|| "HTTP/2 broke".to_owned(), |reason| format!("HTTP/2: {reason}")),
        None if error.source().is_some() => {
            printable(errno::without_number(&innermost.to_string()))
        }
        None => "broken".to_owned(),
    };
    let lacks_means = innermost.downcast_ref::<std::io::Error>().is_some_and(lacks_means);
    let why = match innermost.downcast_ref::<NotResolved>() {
        Some(NotResolved { lacks_means: true, .. }) => Why::NoMeans(text),
        Some(_) => Why::Name(text),
        None if lacks_means => Why::NoMeans(text),
        None if error.is_timeout() => Why::Timeout,
        None if tls => Why::Tls(tls_fault(text)),
        None => Why::Connection(text),
    };
    RegistryError::Unreachable { host, why }
}

/// Whether what came is no HTTP/1 that can be understood: a head that is none or too long, a length
/// that is none, chunks that are not as they say. What merely ends too early is none of these.
fn is_garbled(error: &hyper::Error) -> bool {
    // The TLS library's errors are invalid data as well, and speak of no chunks.
    let is_framing = |error: &std::io::Error| {
        let is_data =
            error.kind() == std::io::ErrorKind::InvalidData && error.to_string().contains("chunk");
        is_data || error.kind() == std::io::ErrorKind::InvalidInput
    };
    error.is_parse()
        || error.source().and_then(|source| source.downcast_ref()).is_some_and(is_framing)
}

/// The TLS library's errors come as invalid data, wrapped once more by the connector.
fn is_tls(error: &std::io::Error) -> bool {
    let Some(inner) = error.get_ref() else { return false };
    match inner.downcast_ref::<std::io::Error>() {
        Some(inner) => inner.kind() == std::io::ErrorKind::InvalidData && inner.get_ref().is_some(),
        None => error.kind() == std::io::ErrorKind::InvalidData,
    }
}

/// The TLS library's words as the faults that an operator can do something about.
fn tls_fault(text: String) -> TlsFault {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["InvalidContentType"]) {
        TlsFault::NotTls
    } else if says(&["CaUsedAsEndEntity"]) {
        TlsFault::Authority
    } else if says(&["UnknownIssuer", "BadSignature"]) {
        TlsFault::Issuer
    } else if says(&["NotValidYet", "not valid yet"]) {
        TlsFault::NotYetValid
    } else if says(&["Expired", "expired"]) {
        TlsFault::Expired
    } else if says(&["NotValidForName", "not valid for name", "not valid for any names"]) {
        TlsFault::Name
    } else if says(&["InvalidPurpose", "EKU", "key usage"]) {
        TlsFault::Purpose
    } else {
        TlsFault::Other(text)
    }
}
