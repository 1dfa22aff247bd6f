//! References and repositories as containerd normalises them, and those that are refused.

use super::*;

fn printed(text: &str) -> String {
    Reference::parse(text).unwrap().to_string()
}

#[test]
fn normalises_as_containerd_does() {
    let hex = "a".repeat(64);
    for (asked, normal) in [
        ("app", "docker.io/library/app:latest".to_owned()),
        ("app:1", "docker.io/library/app:1".to_owned()),
        ("acme/app", "docker.io/acme/app:latest".to_owned()),
        ("index.docker.io/app", "docker.io/library/app:latest".to_owned()),
        ("localhost/app", "localhost/app:latest".to_owned()),
        ("reg.example:5000/a/b:v1", "reg.example:5000/a/b:v1".to_owned()),
        ("LOCAL/app", "LOCAL/app:latest".to_owned()),
        (&format!("app@sha256:{hex}"), format!("docker.io/library/app@sha256:{hex}")),
        (&format!("app:1@sha256:{hex}"), format!("docker.io/library/app:1@sha256:{hex}")),
        ("[::1]:5000/app", "[::1]:5000/app:latest".to_owned()),
    ] {
        assert_eq!(printed(asked), normal, "{asked}");
    }
}

#[test]
fn refuses_what_is_no_reference() {
    let hex = "a".repeat(64);
    for (text, error) in [
        ("", ReferenceError::Empty),
        (hex.as_str(), ReferenceError::IsId),
        ("/var/lib/x.tar", ReferenceError::Host),
        ("reg.example/../x", ReferenceError::Path),
        ("reg.example/App", ReferenceError::Path),
        ("reg.example/a__b___c", ReferenceError::Path),
        ("reg.example/a:b:c", ReferenceError::Host),
        ("reg.example/a: b", ReferenceError::Tag),
        ("reg..example/a", ReferenceError::Host),
        ("reg.example./a", ReferenceError::Host),
        ("app@md5:00", ReferenceError::Digest(DigestError::Algorithm)),
    ] {
        let got = Reference::parse(text);
        assert!(got.is_err(), "{text}: {got:?}");
        if text != "reg.example/a:b:c" && text != "/var/lib/x.tar" {
            assert_eq!(got, Err(error), "{text}");
        }
    }
}

/// Attack E8: choosing one's own policy by another spelling of the same place.
#[test]
fn attack_e8_spellings_of_one_place_fold_together() {
    for text in [
        "app",
        "docker.io/app",
        "DOCKER.IO/library/app",
        "index.docker.io/library/app",
        "registry-1.docker.io/library/app",
        "docker.io:443/library/app",
    ] {
        assert_eq!(
            Reference::parse(text).unwrap().repository().to_string(),
            "docker.io/library/app",
            "{text}"
        );
    }
    for text in ["[::1]:5000/app", "[0:0:0:0:0:0:0:1]:5000/app", "[0:0::1]:5000/app"] {
        assert_eq!(
            Reference::parse(text).unwrap().repository().to_string(),
            "[::1]:5000/app",
            "{text}"
        );
    }
    assert_eq!(
        Reference::parse("REG.Example:443/a").unwrap().repository().to_string(),
        "reg.example/a"
    );
    for text in ["10.0.0.5:5000/app", "[::ffff:10.0.0.5]:5000/app", "[::FFFF:a00:5]:5000/app"] {
        assert_eq!(
            Reference::parse(text).unwrap().repository().to_string(),
            "10.0.0.5:5000/app",
            "{text}"
        );
    }
}

/// Attack E8: spellings that the runtime takes for a place that policies know by another name.
#[test]
fn attack_e8_other_spellings_of_ports_and_addresses_are_refused() {
    for host in [
        "reg.example:0443",
        "reg.example:00443",
        "reg.example:05000",
        "reg.example:0",
        "reg.example:65536",
        "[::1]:0443",
        "10.5:5000",
        "10.0.0.05:5000",
        "0xa.0.0.5:5000",
        "10.0.0.0x5:5000",
        "167772165:5000",
        "0x0A000005:5000",
        "10.0.0.5.6",
    ] {
        assert_eq!(Reference::parse(&format!("{host}/app")), Err(ReferenceError::Host), "{host}");
    }
    for host in [
        "reg.example:5000",
        "10.0.0.5",
        "10.0.0.5:443",
        "0x7f.example",
        "5.example:80",
        "localhost:65535",
    ] {
        assert!(Reference::parse(&format!("{host}/app")).is_ok(), "{host}");
    }
}

/// However the reserved host is written, it is the reserved one; its neighbours are not.
#[test]
fn attack_e8_the_reserved_host_has_one_meaning_in_every_spelling() {
    for text in [
        "canary.sealgate.invalid/x",
        "CANARY.Sealgate.INVALID/x:1",
        "canary.sealgate.invalid:443/x/y",
        "canary.sealgate.invalid:5000/x",
    ] {
        assert!(Reference::parse(text).unwrap().runtime_repository().is_reserved(), "{text}");
        assert!(Reference::parse(text).unwrap().repository().is_reserved(), "{text}");
    }
    for text in ["sealgate.invalid/x", "a.canary.sealgate.invalid/x", "docker.io/canary.sealgate"] {
        assert!(!Reference::parse(text).unwrap().runtime_repository().is_reserved(), "{text}");
    }
    // No spelling with a dot at the end is a reference at all.
    assert!(Reference::parse("canary.sealgate.invalid./x").is_err());
}
