//! Challenges and the tokens that answer them.

use super::*;

fn demand(realm: &str) -> Demand<'_> {
    Demand { realm, service: Some("s t"), scope: None, path: "a/b" }
}

fn ask(
    registry: &str,
    realm: &str,
    plain: bool,
    options: &Options,
) -> Result<(bool, Option<String>), RegistryError> {
    let secret = Secret::password("u", "hunter2").unwrap();
    let request =
        demand(realm).request(&Host::default_for(registry), plain, Some(&secret), options)?;
    Ok((request.authorization.is_some(), request.withheld_from))
}

/// Attack E1: a token service elsewhere does not get the credentials, whatever the registry
/// says.
#[test]
fn attack_e1_credentials_stay_with_the_registrys_own_token_service() {
    let options = Options::default();
    let yes = Ok((true, None));
    let no = |realm: &str| Ok((false, Some(realm.to_owned())));
    for (registry, realm, expected) in [
        ("reg.example", "https://reg.example/token", yes.clone()),
        ("reg.example", "https://REG.example:443/token?x=y", yes.clone()),
        ("docker.io", "https://auth.docker.io/token", yes.clone()),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", yes.clone()),
        ("reg.example", "https://auth.docker.io/token", no("auth.docker.io")),
        ("reg.example", "https://reg.example:8443/token", no("reg.example:8443")),
        ("reg.example", "https://reg.example.evil.test/token", no("reg.example.evil.test")),
        ("reg.example:5000", "https://reg.example/token", no("reg.example")),
        // Names beyond ASCII are compared as they are asked.
        ("reg.example", "https://reg.ex\u{e4}mple/token", no("reg.xn--exmple-cua")),
        ("reg.example", "https://r\u{435}g.example/token", no("xn--rg-nlc.example")),
        ("reg.example", "https://\u{ff52}eg.example/\u{e9}", yes.clone()),
    ] {
        assert_eq!(ask(registry, realm, false, &options), expected, "{registry} {realm}");
    }
    let named = [("Reg.example".to_owned(), vec!["sso.example".to_owned()])];
    let options = Options { token_realms: named.into(), ..options };
    assert_eq!(ask("reg.example", "https://sso.example/t", false, &options), yes);
    assert_eq!(ask("other.example", "https://sso.example/t", false, &options), no("sso.example"));
}

#[test]
fn attack_e1_a_realm_is_https_unless_the_registry_itself_is_plain() {
    let options = Options::default();
    let refused = |host: &str| Err(RegistryError::Realm { host: host.to_owned() });
    assert_eq!(
        ask("reg.example", "http://reg.example/token", false, &options),
        refused("reg.example")
    );
    assert_eq!(
        ask("reg.example", "http://other.example/token", true, &options),
        refused("reg.example")
    );
    assert_eq!(ask("reg.example", "http://reg.example/token", true, &options), Ok((true, None)));
    for bad in
        ["https://u@reg.example/", "https://u:p@reg.example/", "file:///etc/passwd", "token", ""]
    {
        assert_eq!(ask("reg.example", bad, true, &options), refused("reg.example"), "{bad}");
    }
}

#[test]
fn requests_are_what_token_services_read() {
    let options = Options::default();
    let host = Host::default_for("reg.example");
    let get =
        demand("https://reg.example/token?a=b").request(&host, false, None, &options).unwrap();
    assert_eq!(
        get.url.as_str(),
        "https://reg.example/token?a=b&service=s+t&scope=repository%3Aa%2Fb%3Apull"
    );
    let secret = Secret::Refresh("r&t".to_owned());
    let post =
        demand("https://reg.example/token").request(&host, false, Some(&secret), &options).unwrap();
    let body = "grant_type=refresh_token&service=s+t&client_id=sealgate&scope=repository%3Aa%2Fb%3Apull&refresh_token=r%26t";
    assert_eq!(post.form.as_deref(), Some(body));
    assert_eq!(post.url.query(), None);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
fn tokens_live_as_long_as_they_say_and_no_longer_than_we_believe() {
    let now = Instant::now();
    let life = |body: &str| {
        Grant::from_answer(body.as_bytes(), "r", None, now).map(|grant| grant.until - now)
    };
    assert_eq!(life(r#"{"token":"t"}"#).unwrap(), Duration::from_secs(50));
    assert_eq!(life(r#"{"access_token":"t","expires_in":300}"#).unwrap(), Duration::from_secs(290));
    assert_eq!(life(r#"{"token":"t","expires_in":999999999}"#).unwrap(), Duration::from_secs(3590));
    assert_eq!(
        life(r#"{"token":null,"access_token":"t","expires_in":1}"#).unwrap(),
        Duration::ZERO
    );
    for (said, seconds) in [
        ("null", 50),
        ("0", 50),
        ("-1", 50),
        ("-1.5", 50),
        ("0.9", 50),
        ("\"\"", 50),
        ("\"soon\"", 50),
        ("\"-300\"", 50),
        ("[]", 50),
        ("{\"a\":1}", 50),
        ("true", 50),
        ("300.9", 290),
        ("\"300\"", 290),
        ("\" 300.0 \"", 290),
        ("18446744073709551615", 3590),
        ("99999999999999999999999999", 3590),
        ("9223372036854775808.0", 3590),
        ("1e3", 990),
        ("\"1e99\"", 3590),
    ] {
        let body = format!(r#"{{"token":"t","expires_in":{said}}}"#);
        assert_eq!(life(&body).unwrap(), Duration::from_secs(seconds), "{said}");
    }
    assert!(life("{\"token\":\"t\"}\n{}").is_ok(), "as Go's decoder");
    for bad in [
        "",
        "{}",
        r#"{"token":""}"#,
        r#"{"token":"a b"}"#,
        r#"{"token":"a\r\nx: y"}"#,
        r#"{"token":5}"#,
    ] {
        let error = life(bad).unwrap_err();
        assert_eq!(
            error,
            RegistryError::Malformed { host: "r".to_owned(), what: Malformed::Token },
            "{bad}"
        );
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
fn of_two_tokens_containerds_counts() {
    let grant =
        Grant::from_answer(br#"{"token":"a","access_token":"b"}"#, "r", None, Instant::now())
            .unwrap();
    assert_eq!(grant.header.to_str().unwrap(), "Bearer b");
}

/// Attack E9 in small: a grant to one is no grant to another.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
fn grants_are_not_shared() {
    let (now, tokens) = (Instant::now(), Tokens::new());
    let key = |authority: &str, path: &str, who: Option<[u8; 32]>| GrantKey {
        authority: authority.to_owned(),
        path: path.to_owned(),
        who,
    };
    let grant = Grant::from_answer(br#"{"token":"t"}"#, "r", None, now).unwrap();
    tokens.put(key("r", "a", Some([1; 32])), grant);
    assert!(tokens.get(&key("r", "a", Some([1; 32])), now).is_some());
    for other in [
        key("r", "a", Some([2; 32])),
        key("r", "a", None),
        key("r", "b", Some([1; 32])),
        key("s", "a", Some([1; 32])),
    ] {
        assert!(tokens.get(&other, now).is_none());
    }
    assert!(tokens.get(&key("r", "a", Some([1; 32])), now + Duration::from_secs(50)).is_none());
}
