//! What becomes of a pattern, and who wins where the names are known.

use super::*;

fn glob(text: &str) -> Glob<'_> {
    Glob::new(text)
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_full_name_has_a_colon() {
    for text in ["*", "**", "*:*", "**:**"] {
        assert!(glob(text).is_everything() && glob(text).is_exact(), "{text}");
    }
    for text in ["*/*", "*/*:*"] {
        assert_eq!(glob(text).images, ["**"], "{text}");
    }
}

#[test]
fn patterns_match_anywhere_and_go_on() {
    let found = glob("docker.io/library/*:*");
    assert_eq!(
        found.images,
        ["docker.io/library/**", "*docker.io/library/**", "*/**/*docker.io/library/**"]
    );
    assert_eq!(found.literal, ["docker.io/library/**"]);
    assert!(found.is_exact());
    let found = glob("ghcr.io/acme/app");
    assert_eq!(found.literal, ["ghcr.io/acme/app*", "ghcr.io/acme/app*/**"]);
    assert!(found.images.contains(&"*/**/*ghcr.io/acme/app*/**".to_owned()) && found.is_exact());
    let found = glob("LoCaLhOst:1234/*");
    assert_eq!(found.images, ["localhost:1234/**", "*localhost:1234/**"]);
    // No image of Docker Hub has one part.
    assert_eq!(glob("docker.io/ng*").literal, ["docker.io/ng*/**"]);
    assert_eq!(glob("docker.io/nginx:*").literal, texts(&[]));
    // As Connaisseur calls it, in whole or in part.
    assert_eq!(glob("index.docker.io/library/*").literal, ["docker.io/library/**"]);
    for text in ["*index.docker.io/library/*", "x.docker.io/library/*"] {
        let found = glob(text);
        assert!(found.images.contains(&"docker.io/library/**".to_owned()), "{text}");
        assert!(found.is_exact(), "{text}");
    }
    // A folder or a wildcard in place of a host.
    for text in ["acme/app", "*.acme.io/*", "*/library/nginx"] {
        assert!(glob(text).literal.is_empty() && glob(text).is_exact(), "{text}");
    }
}

#[test]
fn what_no_pattern_says_is_about_more() {
    for (text, images) in [
        ("ghcr.io/acme/app:v1", "ghcr.io/acme/app"),
        ("ghcr.io/acme/app@sha256:*", "ghcr.io/acme/app"),
        ("ghcr.io/acme/app:co*", "ghcr.io/acme/app"),
        ("ghcr.io/acme/*:co*", "ghcr.io/acme/**"),
        ("ghcr.io/acme/a*b", "*ghcr.io/acme/**"),
        ("registry-1.docker.io/library/*", "*registry-1.docker.io/library/**"),
        ("ghcr.i*/acme", "**"),
        ("ghcr.io/*/app", "**"),
        ("ghcr.io/a?", "**"),
        ("ghcr.io/{a,b}/c", "**"),
        ("nginx", "**"),
        ("nginx:1*", "**"),
        ("@sha256:*", "**"),
        ("ghcr.io//a", "**"),
        ("*:*:*", "**"),
    ] {
        let found = glob(text);
        assert_eq!(found.images.first().map(String::as_str), Some(images), "{text}");
        assert!(found.omission.is_some() && !found.is_exact(), "{text}");
    }
    let tagged = glob("ghcr.io/acme/app:*");
    assert!(tagged.is_tagged && tagged.omission.is_none() && !tagged.is_exact());
}

/// Attack E8: a host that Sealgate takes for another one, or that a pattern meets under such a name
/// alone, is told, and takes nothing from a rule about the other one.
#[test]
fn attack_e8_a_host_that_is_folded_here_takes_nothing_from_another() {
    let hub = glob("docker.io/*");
    for (text, expected) in [
        ("registry-1.docker.io/library/nginx", "docker.io/library/nginx*"),
        ("registry-1.docker.io/nginx", "docker.io/library/nginx*"),
        ("registry.hub.docker.com/library/nginx", "docker.io/library/nginx*"),
        ("hub.docker.com/library/nginx", "docker.io/library/nginx*"),
        ("*.docker.com/library/nginx", "docker.io/library/nginx*"),
        ("docker.io:443/library/nginx", "*docker.io/library/nginx*"),
        ("docker.io:443/nginx", "*docker.io/library/nginx*"),
        ("reg.example:443/library/nginx", "*reg.example/library/nginx*"),
        ("*:443/library/nginx", "*/library/nginx*"),
        ("43/library/nginx", "*/library/nginx*"),
    ] {
        let found = glob(text);
        assert!(found.images.contains(&expected.to_owned()), "{text}: {:?}", found.images);
        assert!(found.literal.is_empty() && !found.is_exact(), "{text}");
        assert!(found.taken_from(&hub, true).is_empty(), "{text}");
    }
    assert_eq!(
        glob("hub.docker.com/acme/*").omission,
        Some(Omission::Folded { as_: "docker.io".to_owned() })
    );
}

/// The comparisons of Connaisseur's own tests of two patterns, as far as one of them can be taken
/// from the other here: the second is the more specific one.
#[test]
fn the_more_specific_of_two() {
    for (wide, narrow) in [
        ("*:*", "docker.io/*"),
        ("docker.io/*", "docker.io/securesystemsengineering/*"),
        ("*/library/*", "docker.io/library/nginx/*"),
        ("ghcr.io/s*", "ghcr.io/sample"),
        ("ghcr.io/sample", "ghcr.io/sample*"),
        ("ghcr.io/*", "ghcr.io/*:*"),
    ] {
        let (wide, narrow) = (glob(wide), glob(narrow));
        assert!(!narrow.taken_from(&wide, false).is_empty(), "{narrow:?} of {wide:?}");
        assert!(wide.taken_from(&narrow, true).is_empty(), "{wide:?} of {narrow:?}");
    }
    // The end of another host.
    let (end, whole) = (glob("acme.io/*"), glob("registry.acme.io/*"));
    assert_eq!(whole.taken_from(&end, false), ["registry.acme.io/**"]);
    let (one, two) = (glob("ghcr.io/a/*"), glob("ghcr.io/b/*"));
    assert!(one.taken_from(&two, true).is_empty() && two.taken_from(&one, true).is_empty());
    let same = glob("ghcr.io/a/*");
    assert!(same.outranks(&one, true) && !same.outranks(&one, false));
}
