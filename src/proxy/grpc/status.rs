//! gRPC statuses as headers and trailers say them (gRPC over HTTP/2, "Responses").

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Code;

pub(in crate::proxy) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a call is told that the end of the gate ends.
pub(in crate::proxy) const STOPPING: &str =
    "sealgate is stopping; ask again, the next process answers";

/// The two headers that say a status.
pub(in crate::proxy) fn trailers(code: Code, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(GRPC_STATUS, HeaderValue::from(i32::from(code)));
    if let Ok(value) = HeaderValue::try_from(encode(message)) {
        headers.insert(GRPC_MESSAGE, value);
    }
    headers
}

/// The status that these headers or trailers say; none when they say none.
pub(in crate::proxy) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// The status text that these headers or trailers carry, decoded; empty when there is none.
pub(in crate::proxy) fn text_of(headers: &HeaderMap) -> String {
    headers.get(GRPC_MESSAGE).map_or_else(String::new, |value| decode(value.as_bytes()))
}

/// Percent-encodes as gRPC's `Percent-Encoded` says: printable ASCII but `%` stands for itself.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// The reverse of [`encode`]; what is not well encoded stands for itself, as gRPC demands of
/// readers.
fn decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let decoded = escaped.and_then(|(digits, tail)| Some((hex::decode(digits).ok()?, tail)));
        if let Some((decoded, tail)) = decoded {
            out.extend(decoded);
            rest = tail;
        } else {
            out.push(byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_survive_the_wire() {
        for text in ["", "plain", "50% of\nthe naïve\r\n🦀 \u{7f}", "%41%", "%", "%zz"] {
            let headers = trailers(Code::Unknown, text);
            assert_eq!(text_of(&headers), text);
            assert_eq!(code_of(&headers), Some(Code::Unknown));
        }
    }

    #[test]
    fn attack_e3_line_breaks_never_reach_a_header() {
        assert_eq!(encode("a\r\nb%"), "a%0D%0Ab%25");
    }

    #[test]
    fn badly_encoded_text_stands_for_itself() {
        assert_eq!(decode(b"%zz %4 %"), "%zz %4 %");
        assert_eq!(decode(b"%FF"), "\u{fffd}");
    }

    #[test]
    fn nothing_says_no_status() {
        assert_eq!(code_of(&HeaderMap::new()), None);
    }
}
