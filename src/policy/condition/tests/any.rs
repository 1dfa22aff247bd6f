//! Any expression over any predicate: nothing panics, an answer repeats, and the parser reads what
//! another one reads.

use proptest::prelude::*;

use super::*;

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "predicate",
        "predicate.a",
        "predicate['b'].c",
        "now",
        "predicateType",
        "1",
        "0",
        "-1",
        "9223372036854775807",
        "18446744073709551615u",
        "0.0",
        "1e308",
        "'x'",
        "''",
        "null",
        "true",
        "[1, 'a']",
        "x",
        "x.a",
        "duration('1h')",
        "timestamp('0001-01-01T00:00:00Z')",
        "double('NaN')",
        "-9223372036854775808",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let operators = vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"];
        prop_oneof![
            (inner.clone(), prop::sample::select(operators), inner.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (prop::sample::select(vec!["all", "exists", "exists_one", "filter"]), inner.clone())
                .prop_map(|(f, body)| format!("predicate.a.{f}(x, {body})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (
                prop::sample::select(vec![
                    "size",
                    "int",
                    "uint",
                    "double",
                    "string",
                    "timestamp",
                    "!",
                    "-"
                ]),
                inner.clone()
            )
                .prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} == 1 ? {a} : {b})")),
        ]
    })
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "predicate",
        ".a",
        ".all(",
        ".map(x,",
        "has(",
        "x",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "?",
        ":",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "<",
        ">=",
        "==",
        "!=",
        "&&",
        "||",
        " in ",
        " ",
        "1",
        "0",
        "1.5",
        "2u",
        "0x1",
        "1e3",
        "true",
        "null",
        "'a'",
        "\"",
        "'",
        "r'",
        "b'",
        "\\",
        "`",
        "`a`",
        "é",
        "\n",
        "//",
        "if",
        ".in",
        ".if",
        "_",
        "@",
        "&",
        "=",
        "\u{0}",
    ])
}

fn predicate() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|m| json!(m)),
        ]
    })
}

proptest! {
    // A large stack is made for each.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_parsers_read_the_same(source in expression()) {
        prop_assert_eq!(check::parse(&source).ok().map(|e| unnumbered(&e)), read_otherwise(&source));
    }

    /// What this parser reads, the other reads alike, or not at all. After another sign, the minus
    /// before a number is an operation to one and a part of the number to the other; that is the
    /// same value or an overflow.
    #[test]
    fn no_text_is_read_otherwise(parts in prop::collection::vec(token(), 0..12)) {
        let source = parts.concat();
        prop_assume!(!Regex::new(r"[!-]\s*-\s*[.\d]").unwrap().is_match(&source));
        if let (Ok(read), Some(other)) = (check::parse(&source), read_otherwise(&source)) {
            prop_assert_eq!(unnumbered(&read), other);
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_an_answer_repeats(source in expression(), predicate in predicate()) {
        if let Ok(condition) = Condition::parse(&source) {
            let answer = condition.holds(&predicate, TYPE, now());
            prop_assert_eq!(answer, condition.holds(&predicate, TYPE, now()));
        }
    }

    #[test]
    fn no_text_panics(source in "\\PC{0,60}", parts in prop::collection::vec(token(), 0..30)) {
        let _ = Condition::parse(&source);
        let _ = Condition::parse(&parts.concat());
    }
}
