//! [`challenges`]: reads `WWW-Authenticate` (RFC 9110 section 11, before it RFC 7235), which a
//! hostile registry writes.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Longest header value that is read, bytes; real ones are under 500.
const VALUE_MAX: usize = 8 << 10;
/// Most challenges of one answer; real ones are one or two.
const CHALLENGES_MAX: usize = 8;
/// Most parameters of one challenge; real ones are up to four.
const PARAMETERS_MAX: usize = 16;

/// One way to authenticate that a registry offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Challenge {
    /// User name and password. What the realm is called is for people; nothing is made of it.
    Basic,
    /// A token of this token service.
    Bearer {
        /// Address of the token service, as written.
        realm: String,
        /// What the token is for.
        service: Option<String>,
        /// Which rights it must have.
        scope: Option<String>,
        /// The token that came along is not good, or not good any more (RFC 6750 section 3.1,
        /// `invalid_token`).
        is_token_invalid: bool,
    },
}

/// The challenges that can be answered, the better one (Bearer) first, as containerd prefers them.
/// As with containerd (its `ParseAuthHeader`) what was read before something that is not well
/// formed counts, and nothing after it. What cannot be answered is left out: without any, the 401
/// stands.
pub(in crate::registry) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE).iter().take(CHALLENGES_MAX) {
        let bytes = value.as_bytes();
        if bytes.len() <= VALUE_MAX {
            found.extend(Cursor { rest: bytes }.all());
        }
    }
    found.truncate(CHALLENGES_MAX);
    found.sort_by_key(|challenge| *challenge == Challenge::Basic);
    found
}

struct Cursor<'a> {
    rest: &'a [u8],
}

/// The parameters of one challenge.
#[derive(Default)]
struct Parameters {
    /// By name, in lower case.
    found: BTreeMap<Vec<u8>, Vec<u8>>,
    /// One name stands twice, or there are more than anybody sends: which one counts is nobody's to
    /// guess.
    ambiguous: bool,
    /// What follows is not well formed.
    broken: bool,
}

impl<'a> Cursor<'a> {
    fn all(&mut self) -> Vec<Challenge> {
        let mut found = Vec::new();
        while found.len() < CHALLENGES_MAX {
            self.skip(b" \t,");
            let Some(scheme) = self.token() else { break };
            let parameters = self.parameters();
            let ends = parameters.broken || parameters.ambiguous;
            found.extend(challenge(scheme, parameters));
            if ends {
                break;
            }
        }
        found
    }

    /// The parameters up to the next scheme.
    fn parameters(&mut self) -> Parameters {
        let mut parameters = Parameters::default();
        loop {
            let before = self.rest;
            self.skip(b" \t,");
            let Some(name) = self.token() else {
                return Parameters { broken: !self.rest.is_empty(), ..parameters };
            };
            self.skip(b" \t");
            if self.rest.first() != Some(&b'=') {
                // A token that no `=` follows is the next scheme.
                self.rest = before;
                return parameters;
            }
            self.take(1);
            self.skip(b" \t");
            let Some(value) = self.value() else {
                return Parameters { broken: true, ..parameters };
            };
            let twice = parameters.found.insert(name.to_ascii_lowercase(), value).is_some();
            if twice || parameters.found.len() > PARAMETERS_MAX {
                return Parameters { ambiguous: true, ..parameters };
            }
        }
    }

    /// A quoted string, or what stands before the next comma or space: some write `realm=/`, which
    /// is no token.
    fn value(&mut self) -> Option<Vec<u8>> {
        if self.rest.first() == Some(&b'"') {
            return self.quoted();
        }
        let length = self.rest.iter().take_while(|b| !b", \t\"".contains(b)).count();
        self.take(length).map(<[u8]>::to_vec)
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        self.take(1);
        let mut value = Vec::new();
        loop {
            match *self.take(1)?.first()? {
                b'"' => return Some(value),
                b'\\' => value.push(*self.take(1)?.first()?),
                byte => value.push(byte),
            }
        }
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        let length = self.rest.iter().take_while(|b| is_token(b)).count();
        if length == 0 { None } else { self.take(length) }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip(&mut self, these: &[u8]) {
        let length = self.rest.iter().take_while(|b| these.contains(b)).count();
        self.take(length);
    }
}

/// Text without control characters; other bytes than ASCII only as UTF-8, which an address writes
/// in its own way.
fn text(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

fn challenge(scheme: &[u8], mut parameters: Parameters) -> Option<Challenge> {
    if scheme.eq_ignore_ascii_case(b"basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") || parameters.ambiguous {
        return None;
    }
    let mut take =
        |name: &str| parameters.found.remove(name.as_bytes()).filter(|value| !value.is_empty());
    let (realm, service, scope, error) =
        (take("realm")?, take("service"), take("scope"), take("error"));
    Some(Challenge::Bearer {
        realm: text(realm)?,
        service: service.map_or(Some(None), |value| text(value).map(Some))?,
        scope: scope.map_or(Some(None), |value| text(value).map(Some))?,
        is_token_invalid: error.as_deref() == Some(b"invalid_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers
                .append(WWW_AUTHENTICATE, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        challenges(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (realm, service, scope) = (realm.to_owned(), owned(service), owned(scope));
        Challenge::Bearer { realm, service, scope, is_token_invalid: false }
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:a/b:pull,push"),
        );
        assert_eq!(read(&[hub]), [expected]);
        assert_eq!(read(&["basic REALM=x"]), [Challenge::Basic]);
        assert_eq!(read(&["Basic"]), [Challenge::Basic]);
        assert_eq!(
            read(&[r#"BEARER Realm = "https://a/\"t""#]),
            [bearer("https://a/\"t", None, None)]
        );
    }

    #[test]
    fn several_challenges_bearer_first() {
        let both = r#"Basic realm="x, y", Negotiate, Bearer realm="https://a/t", service="s""#;
        assert_eq!(read(&[both]), [bearer("https://a/t", Some("s"), None), Challenge::Basic]);
        assert_eq!(
            read(&["Basic realm=x", r#"Bearer realm="https://a/t""#]),
            [bearer("https://a/t", None, None), Challenge::Basic]
        );
    }

    /// What a Basic realm is called, and how, is of no use to anybody here.
    #[test]
    fn a_basic_challenge_is_one_whatever_its_realm() {
        for value in [
            "Basic realm=/",
            "Basic realm=",
            "Basic realm",
            "Basic realm=a b c",
            "Basic realm=\"Zürich\"",
            "Basic realm=Zürich",
            "Basic realm=\"unterminated",
            "Basic realm=\"a\", realm=\"b\"",
            "Basic realm=\"a\tb\", charset=\"UTF-8\"",
            "basic \"x\"",
            "Basic realm=https://reg.example:5000/, x",
        ] {
            assert_eq!(read(&[value]), [Challenge::Basic], "{value}");
        }
        let mut headers = HeaderMap::new();
        let latin = http::HeaderValue::from_bytes(b"Basic realm=\"Z\xfcrich\"").unwrap();
        headers.append(WWW_AUTHENTICATE, latin);
        assert_eq!(challenges(&headers), [Challenge::Basic]);
    }

    #[test]
    fn what_stands_before_a_flaw_counts_as_with_containerd() {
        let plain = bearer("https://a/t", None, None);
        for (value, expected) in [
            (
                r#"Bearer realm=https://a/t,service=reg.example:5000"#,
                bearer("https://a/t", Some("reg.example:5000"), None),
            ),
            (
                r#"Bearer realm="https://a/t",scope=repository:a/b:pull"#,
                bearer("https://a/t", None, Some("repository:a/b:pull")),
            ),
            (r#"Bearer realm="https://a/t";service="s""#, plain.clone()),
            (r#"Bearer realm="https://a/t",service="s"#, plain.clone()),
            (r#"Bearer realm="https://a/t",="#, plain),
            (
                "Bearer realm=\"https://a/é\",service=\"Müller\"",
                bearer("https://a/é", Some("Müller"), None),
            ),
        ] {
            assert_eq!(read(&[value]), [expected], "{value}");
        }
        let invalid = read(&[r#"Bearer realm="https://a/t",error="invalid_token""#]);
        assert!(
            matches!(invalid.as_slice(), [Challenge::Bearer { is_token_invalid: true, .. }]),
            "{invalid:?}"
        );
    }

    #[test]
    fn attack_e1_a_challenge_that_is_not_well_formed_is_none() {
        for bad in [
            "",
            "Bearer",
            r#"Bearer realm="""#,
            r#"Bearer realm="https://a"#,
            r#"Bearer realm="https://a", realm="https://b""#,
            "Bearer realm=\"https://a\u{85}\"",
            "Bearer realm=\"https://a\",service=\"a\tb\"",
            r#"Bearer realm="https://a",service="s",service="t""#,
            r#"Bearer service="s"; realm="https://a""#,
            "Bearer realm=\"https://a\tb\"",
            r#"Digest realm="x""#,
            "Bearer realm",
        ] {
            assert_eq!(read(&[bad]), [], "{bad}");
        }
        let many: String = (0..40).map(|n| format!(r#",p{n}="v""#)).collect();
        assert_eq!(read(&[&format!(r#"Bearer realm="https://a"{many}"#)]), []);
        assert_eq!(
            read(&[&format!(r#"Bearer realm="https://a",x="{}""#, "y".repeat(VALUE_MAX))]),
            []
        );
    }
}
