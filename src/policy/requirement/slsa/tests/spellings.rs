//! Spellings of repositories, refs and values that are no text.

use super::*;

#[test]
fn a_short_name_of_a_ref_is_no_ref() {
    let mut short = buildkit_v0_2();
    short["invocation"]["configSource"]["uri"] = json!("https://github.com/acme/app.git#main");
    assert_eq!(
        wanted(&[("branch", "main")]).check(V0_2, &short),
        Err(SlsaFault::Missing { field: "branch" })
    );
    assert_eq!(wanted(&[SOURCE]).check(V0_2, &short), Ok(()));
}

#[test]
fn attack_b2_only_dependencies_or_materials_are_no_source() {
    let mut bare = attested();
    bare["buildDefinition"]["externalParameters"] = json!({});
    assert_eq!(wanted(&[SOURCE]).check(V1, &bare), Err(SlsaFault::Missing { field: "source" }));
    let mut bare = generator();
    bare["invocation"] = json!({});
    assert_eq!(wanted(&[SOURCE]).check(V0_2, &bare), Err(SlsaFault::Missing { field: "source" }));
}

#[test]
fn attack_b2_spellings_that_hide_a_repository() {
    for same in [
        "https://github.com/acme/app",
        "git+https://GitHub.com/acme/app.git@refs/heads/x",
        "https://github.com/acme/app/",
        "https://github.com/acme/app.git#refs/heads/x",
    ] {
        assert_eq!(repository(same).as_deref(), Some(SOURCE.1), "{same}");
    }
    for other in [
        "https://github.com@evil.example/acme/app",
        "https://github.com/acme/app2",
        "https://github.com/acme/app/../x",
        "https://github.com/acme/App",
        "http://github.com/acme/app",
        "https://evil.example/github.com/acme/app",
        "https://github.com/acme/app?x",
        "https://github.com/acme/app%00",
        "https://github.com//acme/app",
        "github.com/acme/app",
        "https://github.com/acme",
        "https://github.com/acme/app/.git",
        "https://github.com/acme/x@/app",
        "https:///acme/app",
        "https://github.com\\@evil/acme/app",
        " https://github.com/acme/app",
    ] {
        assert_ne!(repository(other).as_deref(), Some(SOURCE.1), "{other}");
        let mut predicate = attested();
        predicate["buildDefinition"]["externalParameters"]["workflow"]["repository"] = json!(other);
        assert!(differs(wanted(&[SOURCE]).check(V1, &predicate), "source"), "{other}");
    }
    assert_eq!(
        wanted(&[("source", "acme/app")]).check(V1, &attested()),
        Err(SlsaFault::Malformed { field: "source" })
    );
}

#[test]
fn attack_b2_a_branch_is_not_a_tag_of_the_same_name() {
    let mut branch = attested();
    branch["buildDefinition"]["externalParameters"]["workflow"]["ref"] = json!("refs/heads/v1");
    assert!(differs(wanted(&[("tag", "v1")]).check(V1, &branch), "tag"));
    let both = wanted(&[("tag", "main"), ("branch", "main")]).check(V1, &attested());
    assert!(differs(both, "tag"));
}

#[test]
fn what_is_no_text_or_no_provenance_is_never_met() {
    for odd in [json!(1), json!(["https://github.com/acme/app"]), json!({}), json!(true)] {
        let mut predicate = attested();
        predicate["buildDefinition"]["externalParameters"]["workflow"]["repository"] = odd;
        assert_eq!(
            wanted(&[SOURCE]).check(V1, &predicate),
            Err(SlsaFault::Malformed { field: "source" })
        );
    }
    let mut predicate = attested();
    predicate["buildDefinition"]["resolvedDependencies"] = json!("none");
    assert_eq!(
        wanted(&[SOURCE]).check(V1, &predicate),
        Err(SlsaFault::Malformed { field: "source" })
    );
    for odd in [json!(null), json!([]), json!("x"), json!({"buildDefinition": 1})] {
        assert_eq!(wanted(&[SOURCE]).check(V1, &odd), Err(SlsaFault::Missing { field: "source" }));
    }
    let other = "https://slsa.dev/provenance/v0.1";
    assert_eq!(
        wanted(&[SOURCE]).check(other, &attested()),
        Err(SlsaFault::OtherPredicate { got: other.into() })
    );
    assert_eq!(Slsa::default().check(V1, &attested()), Err(SlsaFault::NothingWanted));
    assert!(wanted(&[SOURCE]).check(V0_2, &attested()).is_err());
}
