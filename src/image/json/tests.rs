//! What is read alike by every reader, what is refused, and what of a document is kept.

use super::*;

const LIMITS: Limits = Limits { bytes: 1000, depth: 4, values: 10, free: &["labels"] };

fn refused(text: &str) -> JsonError {
    parse(text.as_bytes(), LIMITS).unwrap_err()
}

#[test]
fn reads_what_serde_json_reads() {
    let text = r#"{"a":[1,-2,3.5,null,true],"b":{"c":"d\n"}}"#;
    assert_eq!(
        parse(text.as_bytes(), LIMITS).unwrap(),
        serde_json::from_str::<Value>(text).unwrap()
    );
}

#[test]
fn attack_d3_limits_are_exact() {
    assert!(parse(b"[[[1]]]", LIMITS).is_ok());
    assert_eq!(refused("[[[[1]]]]"), JsonError::TooDeep(4));
    assert!(parse(b"[1,1,1,1,1,1,1,1,1]", LIMITS).is_ok());
    assert_eq!(refused("[1,1,1,1,1,1,1,1,1,1]"), JsonError::TooMany(10));
    assert!(parse(format!("\"{}\"", "a".repeat(998)).as_bytes(), LIMITS).is_ok());
    assert_eq!(refused(&format!("\"{}\"", "a".repeat(999))), JsonError::TooLong(1000));
}

/// Attack D3: a document of brackets alone must cost neither stack nor memory.
#[test]
fn attack_d3_nesting_does_not_reach_the_stack() {
    let limits = Limits { bytes: 10_000_000, ..LIMITS };
    assert_eq!(parse("[".repeat(5_000_000).as_bytes(), limits), Err(JsonError::TooDeep(4)));
    assert_eq!(parse("{\"a\":".repeat(1_000_000).as_bytes(), limits), Err(JsonError::TooDeep(4)));
}

#[test]
fn attack_a4_keys_that_go_takes_for_one() {
    assert_eq!(refused(r#"{"a":1,"a":1}"#), JsonError::DuplicateKey("a".into()));
    assert_eq!(refused(r#"{"a":1,"\u0061":1}"#), JsonError::DuplicateKey("a".into()));
    for (one, other) in
        [("ab", "aB"), ("k", "\u{212a}"), ("s", "\u{17f}"), ("k", "K"), ("µ", "Μ"), ("ß", "ẞ")]
    {
        let text = format!(r#"{{"x":{{"{one}":1,"{other}":2}}}}"#);
        assert_eq!(refused(&text), JsonError::EqualFold(one.into(), other.into()), "{one} {other}");
    }
    assert!(parse(r#"{"a":{"b":1},"b":{"A":1}}"#.as_bytes(), LIMITS).is_ok());
}

/// The orbits of Unicode's simple folding with more than two members, and those where no single
/// mapping suffices.
#[test]
fn folding_is_never_finer_than_simple_folding() {
    for orbit in [
        "Kk\u{212a}",
        "Ssſ",
        "ÅåÅ",
        "µΜμ",
        "ΘθϑϴΘ",
        "Ωωω",
        "Σσς",
        "Ṡṡẛ",
        "ΙιΙ\u{345}\u{1fbe}",
        "\u{1c4}\u{1c5}\u{1c6}",
        "ᾈᾀ",
    ] {
        let mut folded: Vec<_> = orbit.chars().map(|c| fold(&c.to_string())).collect();
        folded.dedup();
        assert_eq!(folded.len(), 1, "{orbit}: {folded:?}");
    }
    assert_eq!(fold("\u{390}"), fold("\u{1fd3}"));
    assert_eq!(fold("\u{fb05}"), fold("\u{fb06}"));
    assert_eq!(fold("\u{13a0}"), fold("\u{ab70}"));
}

#[test]
fn free_data_may_have_keys_that_differ_by_case() {
    assert!(parse(br#"{"labels":{"A":"1","a":"2"}}"#, LIMITS).is_ok());
    assert!(parse(br#"{"labels":{"x":{"A":"1","a":"2"}}}"#, LIMITS).is_ok());
    assert!(parse(br#"{"labels":[{"A":"1","a":"2"}]}"#, LIMITS).is_ok());
    assert_eq!(refused(r#"{"labels":{"a":"1","a":"2"}}"#), JsonError::DuplicateKey("a".into()));
    // Beside it, and below what only looks like it.
    assert_eq!(
        refused(r#"{"labels":{},"Labels":{}}"#),
        JsonError::EqualFold("labels".into(), "Labels".into())
    );
    assert_eq!(refused(r#"{"x":{"A":1,"a":2}}"#), JsonError::EqualFold("A".into(), "a".into()));
    assert_eq!(
        refused(r#"{"Labels":{"A":1,"a":2}}"#),
        JsonError::EqualFold("A".into(), "a".into())
    );
}

/// Attack A4: what is read stands once and under its own spelling, whatever stands beside it.
#[test]
fn attack_a4_what_is_kept_is_never_ambiguous() {
    let mut keep = Keep::nothing();
    keep.add(&["a".to_owned(), "b".to_owned()]);
    keep.add(&["l".to_owned()]);
    let kept = |text: &str| parse_kept(text.as_bytes(), LIMITS, &keep);
    let read = |text: &str| serde_json::from_str::<Value>(text);
    assert_eq!(
        kept(r#"{"A":{"b":1},"a":{"B":2,"b":3,"c":4}}"#).ok(),
        read(r#"{"a":{"b":3}}"#).ok()
    );
    assert_eq!(kept(r#"{"A":{"b":1}}"#).ok(), read("{}").ok());
    assert_eq!(kept(r#"{"x":1,"x":2,"a":{"c":1,"c":2}}"#).ok(), read(r#"{"a":{}}"#).ok());
    assert_eq!(kept(r#"{"a":{"b":1,"b":1}}"#), Err(JsonError::DuplicateKey("b".into())));
    assert_eq!(kept(r#"{"a":{"b":1},"\u0061":{}}"#), Err(JsonError::DuplicateKey("a".into())));
    assert_eq!(kept(r#"{"l":[{"x":1,"x":1}]}"#), Err(JsonError::DuplicateKey("x".into())));
    assert!(kept(r#"{"l":[{"x":1,"X":1}]}"#).is_ok());
    // What is passed over counts for no limit, and is JSON all the same.
    assert!(
        kept(&format!(
            r#"{{"x":{}1{},"y":[{}1]}}"#,
            "[".repeat(99),
            "]".repeat(99),
            "1,".repeat(99)
        ))
        .is_ok()
    );
    for broken in [r#"{"x":{]}}"#, r#"{"x":[1,]}"#, r#"{"x":"\q"}"#, r#"{"x":01}"#, r#"{"x":1}}"#] {
        assert!(matches!(kept(broken), Err(JsonError::Syntax { .. })), "{broken}");
    }
    assert_eq!(kept(r#"{"l":[1,1,1,1,1,1,1,1,1]}"#), Err(JsonError::TooMany(10)));
    assert_eq!(kept(r#"{"l":[[[1]]]}"#), Err(JsonError::TooDeep(4)));
}

#[test]
fn one_value_and_nothing_after_it() {
    for text in
        ["", "{}{}", "{} x", "{\"a\":1,}", "\u{feff}{}", "{\"a\":\"\\ud800\"}", "nul", "1e999"]
    {
        assert!(matches!(refused(text), JsonError::Syntax { .. }), "{text:?}");
    }
    assert!(parse(b"\"\xff\"", LIMITS).is_err());
    assert!(parse(b" {} \n", LIMITS).is_ok());
}

#[test]
fn attack_e3_errors_escape_what_they_show() {
    let text = refused("{\"\\u001b[31m\\n\":1,\"\\u001b[31m\\n\":1}").to_string();
    assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text}");
}
