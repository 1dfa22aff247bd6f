//! [`challenges`]: reads `WWW-Authenticate` (RFC 9110 section 11, before it RFC 7235), which a hostile registry writes.

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
pub(super) enum Challenge {
    /// User name and password.
    Basic,
    /// A token of this token service.
    Bearer {
        /// Address of the token service, as written.
        realm: String,
        /// What the token is for.
        service: Option<String>,
        /// Which rights it must have.
        scope: Option<String>,
    },
}

/// The challenges that can be answered, the better one (Bearer) first, as containerd prefers them. What cannot be
/// read is left out: without any, the 401 stands.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
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

impl<'a> Cursor<'a> {
    fn all(&mut self) -> Vec<Challenge> {
        let mut found = Vec::new();
        while found.len() < CHALLENGES_MAX {
            self.skip(b" \t,");
            let Some(scheme) = self.token() else { break };
            let Some(parameters) = self.parameters() else { break };
            found.extend(challenge(scheme, parameters));
        }
        found
    }

    /// The parameters up to the next scheme; none when they are not well formed or a name comes twice.
    fn parameters(&mut self) -> Option<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        loop {
            let before = self.rest;
            self.skip(b" \t,");
            let Some(name) = self.token() else { return self.rest.is_empty().then_some(found) };
            self.skip(b" \t");
            if self.rest.first() != Some(&b'=') {
                // A token that no `=` follows is the next scheme.
                self.rest = before;
                return Some(found);
            }
            self.take(1);
            self.skip(b" \t");
            let value = if self.rest.first() == Some(&b'"') { self.quoted()? } else { text(self.token()?)? };
            if found.len() >= PARAMETERS_MAX || found.insert(text(name)?.to_ascii_lowercase(), value).is_some() {
                return None;
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        self.take(1);
        let mut value = Vec::new();
        loop {
            match *self.take(1)?.first()? {
                b'"' => return text(&value),
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

/// Visible ASCII and spaces only: nothing else belongs into an address or a scope.
fn text(bytes: &[u8]) -> Option<String> {
    let fits = bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    fits.then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn challenge(scheme: &[u8], mut parameters: BTreeMap<String, String>) -> Option<Challenge> {
    if scheme.eq_ignore_ascii_case(b"basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let filled = |value: &String| !value.is_empty();
    Some(Challenge::Bearer {
        realm: parameters.remove("realm").filter(filled)?,
        service: parameters.remove("service").filter(filled),
        scope: parameters.remove("scope").filter(filled),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        challenges(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"));
        assert_eq!(read(&[hub]), [expected]);
        assert_eq!(read(&["basic REALM=x"]), [Challenge::Basic]);
        assert_eq!(read(&["Basic"]), [Challenge::Basic]);
        assert_eq!(read(&[r#"BEARER Realm = "https://a/\"t""#]), [bearer("https://a/\"t", None, None)]);
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

    #[test]
    fn attack_e1_a_challenge_that_is_not_well_formed_is_none() {
        for bad in [
            "",
            "Bearer",
            r#"Bearer realm="""#,
            r#"Bearer realm="https://a"#,
            r#"Bearer realm="https://a", realm="https://b""#,
            "Bearer realm=\"https://a\u{e9}\"",
            "Bearer realm=\"https://a\tb\"",
            r#"Digest realm="x""#,
            "Bearer realm",
        ] {
            assert_eq!(read(&[bad]), [], "{bad}");
        }
        let many: String = (0..40).map(|n| format!(r#",p{n}="v""#)).collect();
        assert_eq!(read(&[&format!(r#"Bearer realm="https://a"{many}"#)]), []);
        assert_eq!(read(&[&format!(r#"Bearer realm="https://a",x="{}""#, "y".repeat(VALUE_MAX))]), []);
    }
}
