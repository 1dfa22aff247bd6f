//! Conditions that are refused when they are read, and what those that are read come to.

use serde_json::{Value, json};

use super::error::ConditionFault;
use super::*;

mod any;
mod times;

const TYPE: &str = "https://example.com/predicate/v1";

fn now() -> jiff::Timestamp {
    "2026-03-10T12:00:00Z".parse().unwrap()
}

fn run(source: &str, predicate: &Value) -> Result<(), Unmet> {
    Condition::parse(source).unwrap().holds(predicate, TYPE, now())
}

fn fault(source: &str) -> ConditionFault {
    Condition::parse(source).unwrap_err().fault
}

fn failed(answer: Result<(), Unmet>) -> bool {
    matches!(answer, Err(Unmet::Unable(Inability::Failed(_) | Inability::Missing(_))))
}

#[test]
fn sbom_present() {
    let wanted = r#"predicate.spdxVersion != "" && size(predicate.packages) > 0"#;
    let sbom = json!({"spdxVersion": "SPDX-2.3", "packages": [{"name": "musl"}]});
    assert_eq!(run(wanted, &sbom), Ok(()));
    let empty = json!({"spdxVersion": "SPDX-2.3", "packages": []});
    assert_eq!(run(wanted, &empty), Err(Unmet::False { found: None }));
    assert_eq!(
        run(wanted, &json!({"packages": [1]})),
        Err(Unmet::Unable(Inability::Missing("spdxVersion".into())))
    );
}

#[test]
fn scan_not_older_than_a_week() {
    let wanted = r#"timestamp(predicate.metadata.scanFinishedOn) > now - duration("168h")
        && timestamp(predicate.metadata.scanFinishedOn) <= now"#;
    let scan = |on: &str| json!({"scanner": {"uri": "pkg:example/scan"}, "metadata": {"scanFinishedOn": on}});
    assert_eq!(run(wanted, &scan("2026-03-09T00:00:00Z")), Ok(()));
    assert_eq!(run(wanted, &scan("2026-03-03T14:00:00+02:00")), Err(Unmet::False { found: None }));
    assert_eq!(run(wanted, &scan("2026-03-11T00:00:00Z")), Err(Unmet::False { found: None }));
    assert!(failed(run(wanted, &scan("garbage"))));
    assert!(failed(run(wanted, &json!({"metadata": {}}))));
}

#[test]
fn verification_summary_passed() {
    let wanted = r#"predicate.verificationResult == "PASSED" && "SLSA_BUILD_LEVEL_3" in predicate.verifiedLevels"#;
    let summary = |result: &str| json!({"verificationResult": result, "verifiedLevels": ["SLSA_BUILD_LEVEL_3"]});
    assert_eq!(run(wanted, &summary("PASSED")), Ok(()));
    let found = Comparison {
        expression: "predicate.verificationResult".into(),
        got: "\"FAILED\"".into(),
        want: "\"PASSED\"".into(),
    };
    assert_eq!(run(wanted, &summary("FAILED")), Err(Unmet::False { found: Some(found) }));
}

#[test]
fn attack_b2_another_repository_is_false_and_both_are_named() {
    let wanted = r#"predicate.buildDefinition.externalParameters["workflow"].repository == "https://github.com/acme/app""#;
    let of = |repository: &str| json!({"buildDefinition": {"externalParameters": {"workflow": {"repository": repository}}}});
    assert_eq!(run(wanted, &of("https://github.com/acme/app")), Ok(()));
    let found = Comparison {
        expression: "predicate.buildDefinition.externalParameters[\"workflow\"].repository".into(),
        got: "\"https://github.com/other/app\"".into(),
        want: "\"https://github.com/acme/app\"".into(),
    };
    assert_eq!(
        run(wanted, &of("https://github.com/other/app")),
        Err(Unmet::False { found: Some(found) })
    );
}

#[test]
fn loops_over_parts_of_the_predicate() {
    let sbom =
        json!({"p": [{"n": "a", "l": ["MIT"]}, {"n": "b", "l": ["MIT", "BSD"]}], "m": {"x": 1}});
    for wanted in [
        r#"predicate.p.all(x, x.l.exists(l, l == "MIT"))"#,
        r#"predicate.p.exists_one(x, x.n == "b" && size(x.l) == 2)"#,
        r#"predicate.p.filter(x, x.n != "a").map(x, x.n).all(n, n in ["b", "c"])"#,
        r#"predicate.p.map(x, x.n == "b", x.n).exists(n, n.matches("^(b|c)$"))"#,
        r#"predicate.p[0].l.all(l, l + "" == "MIT" && now > timestamp("2026-01-01T00:00:00Z"))"#,
        r#"predicate.m.all(k, k == "x") && "x" in predicate.m && has(predicate.m.x) && !has(predicate.m.y)"#,
        r#"predicateType == "https://example.com/predicate/v1" && (predicate.m.x == 1 ? true : false)"#,
    ] {
        assert_eq!(run(wanted, &sbom), Ok(()), "{wanted}");
    }
}

#[test]
fn attack_b2_what_is_unbounded_is_refused() {
    let outer = |name: &str| ConditionFault::OuterVariable(name.into());
    assert_eq!(fault("predicate.a.all(x, predicate.b.all(y, y == 1))"), outer("predicate"));
    assert_eq!(fault("predicate.a.all(x, x.b.all(y, y == x.c))"), outer("x"));
    assert_eq!(fault("predicate.a.all(x, x == predicateType)"), outer("predicateType"));
    for range in [
        "[1, 2].all(x, [1, 2].all(y, true))",
        "predicate.a.all(x, [x, x].all(y, true))",
        "predicate.a.map(x, x + x).all(y, true)",
        "predicate.a.map(x, [x, x]).all(y, true)",
        "(predicate.a + predicate.a).all(x, true)",
        "(true ? predicate.a : predicate.b).all(x, true)",
    ] {
        assert_eq!(fault(range), ConditionFault::Range, "{range}");
    }
    for made in [
        "[predicate]",
        "{'a': 1} == predicate",
        "size([now]) == 1",
        "b'a' == b'a'",
        "[[1]] == [[2]]",
    ] {
        assert_eq!(fault(made), ConditionFault::Construction, "{made}");
    }
    assert_eq!(fault("predicate.a.all(now, true)"), ConditionFault::Shadows("now".into()));
}

#[test]
fn unknown_names_are_told_with_their_place() {
    let error = Condition::parse("predicate.a == 1 &&\n  Predicate.b == 2").unwrap_err();
    assert_eq!(error.fault, ConditionFault::UnknownVariable("Predicate".into()));
    assert_eq!(error.position.map(|p| p.line), Some(2));
    for call in [
        "foo(1)",
        "predicate.foo()",
        "type(1)",
        "dyn(1)",
        "optional.none()",
        "now.getHours()",
        "matches('a', 'b')",
    ] {
        assert!(
            matches!(
                fault(call),
                ConditionFault::UnknownFunction(_) | ConditionFault::UnknownVariable(_)
            ),
            "{call}"
        );
    }
    for syntax in [
        "a b",
        "predicate.?a",
        "(",
        "\"",
        "predicate.`a`",
        "1 +",
        "predicate..a",
        "a.all(1, true)",
        "has(a)",
    ] {
        assert!(
            matches!(fault(syntax), ConditionFault::Syntax(_)),
            "{syntax}: {:?}",
            fault(syntax)
        );
    }
    assert_eq!(fault(" "), ConditionFault::Empty);
    assert_eq!(fault(&"a".repeat(4097)), ConditionFault::TooLong { bytes: 4097 });
}

#[test]
fn patterns_and_durations_are_constant_anchored_and_whole() {
    for open in ["a", "^a", "a$", "^a|b$", "^a\\\\$", "^(?m)a$", "^(?s:a)$", "^[a$"] {
        assert_eq!(
            fault(&format!("predicate.a.matches('{open}')")),
            ConditionFault::NotAnchored,
            "{open}"
        );
    }
    assert!(matches!(
        fault("predicate.a.matches('^(a{1000}){1000}$')"),
        ConditionFault::Pattern(_)
    ));
    assert_eq!(fault("predicate.a.matches(predicate.b)"), ConditionFault::NotConstant("matches"));
    let link = json!({"a": "https://github.com/acme/app\nx"});
    assert_eq!(
        run("predicate.a.matches('^https://github.com/acme/app$')", &link),
        Err(Unmet::False { found: None })
    );
    for rest in ["1h30", "1h garbage", "30d", "", "-", "inf", "1e9h", ".5h", "1.2.3h", "0"] {
        assert_eq!(
            fault(&format!("now - now < duration('{rest}')")),
            ConditionFault::Duration(rest.into()),
            "{rest}"
        );
    }
    assert_eq!(
        run("now - now < duration('1h30m') && duration('-1.5s') < duration('0s')", &json!({})),
        Ok(())
    );
}

#[test]
fn what_fails_is_unable_never_true_and_never_false() {
    let odd = json!({"zero": 0, "max": i64::MAX, "min": i64::MIN, "big": u64::MAX, "f": 1e308, "s": "x", "l": [1], "n": null,
        "deep": "9999999999999999999h", "t": "9999-12-31T23:59:59Z"});
    for failing in [
        "1 / predicate.zero == 1",
        "1 % predicate.zero == 1",
        "predicate.max + 1 > 0",
        "predicate.min - 1 > 0",
        "-predicate.min > 0",
        "predicate.min / -1 > 0",
        "predicate.max * 2 > 0",
        "predicate.big + 1u > 0u",
        "predicate.big + 1 > 0",
        "predicate.l[1] == 1",
        "predicate.l[-1] == 1",
        "predicate.l['a'] == 1",
        "predicate.missing == 1",
        "predicate.s.missing == 1",
        "timestamp('garbage') == now",
        "timestamp(predicate.max) == now",
        "timestamp(predicate.t) + duration('48h') > now",
        "duration('99999999999h') > duration('1s')",
        "int(predicate.f) == 1",
        "int(predicate.s) == 1",
        "double('NaN') < 1.0",
        "predicate.s < 1",
        "predicate.n.x == 1",
        "predicate.s && true",
        "predicate.l + predicate.l == predicate.l",
        "predicate.l in predicate.l",
        "1 in predicate.s",
        "predicate.s.all(x, true)",
        "predicate.l.matches('^a$')",
        "size(predicate.zero) == 0",
        "!predicate.s",
        "timestamp(predicate.s) < now || 1 / predicate.zero == 1",
        "predicate.l.all(x, x.y == 1)",
    ] {
        assert!(failed(run(failing, &odd)), "{failing}: {:?}", run(failing, &odd));
    }
    for other in ["predicate.s", "1", "predicate", "null", "predicate.l", "now"] {
        assert_eq!(run(other, &odd), Err(Unmet::Unable(Inability::NotBoolean)), "{other}");
    }
    // What could change nothing is absorbed, as CEL defines it; nothing else is.
    assert_eq!(run("1 / predicate.zero == 1 || true", &odd), Ok(()));
    assert_eq!(run("predicate.missing == 1 && false", &odd), Err(Unmet::False { found: None }));
    assert!(failed(run("predicate.missing == 1 && true", &odd)));
    assert_eq!(run("double('NaN') == double('NaN')", &odd), Err(Unmet::False { found: None }));
    assert_eq!(run("predicate.big > 9223372036854775807", &odd), Ok(()));
}

/// Attack B5: brackets inside of a class, which hide an alternative from whoever counts brackets.
#[test]
fn attack_b5_a_pattern_that_looks_anchored_is_held_at_both_ends() {
    for (pattern, inner, outer) in [
        ("^[](]a|b[])]$", "(a", "(axxxxx"),
        ("^[](]a|b[])]$", "b)", "xxxxxb)"),
        ("^[^](]a|b[])]$", "xa", "xaxxxxx"),
    ] {
        let source = format!("predicate.s.matches('{pattern}')");
        if Condition::parse(&source).is_err() {
            continue;
        }
        assert_eq!(run(&source, &json!({"s": inner})), Ok(()), "{pattern} {inner}");
        assert_eq!(
            run(&source, &json!({"s": outer})),
            Err(Unmet::False { found: None }),
            "{pattern} {outer}"
        );
    }
    assert_eq!(run("predicate.s.matches('^(a|b)$')", &json!({"s": "b"})), Ok(()));
    assert_eq!(
        run("predicate.s.matches('^a$')", &json!({"s": "a\n"})),
        Err(Unmet::False { found: None })
    );
}

#[test]
fn attack_b2_predicates_beyond_the_limits_are_unable() {
    let many = json!({"l": vec![0; VALUES_MAX], "v": "1"});
    let values = Inability::TooLarge { what: "values to look at", limit: VALUES_MAX };
    assert_eq!(run("size(predicate.l) > 0", &many), Err(Unmet::Unable(values)));
    assert_eq!(run("predicate.v == '1'", &many), Ok(()), "what is not named is not looked at");
    let looped = json!({"l": vec![0; predicate::WORK_MAX / 8]});
    let work = Inability::TooLarge { what: "steps to evaluate", limit: predicate::WORK_MAX };
    assert_eq!(
        run("predicate.l.all(x, x == 0 || x == 1 || x == 2)", &looped),
        Err(Unmet::Unable(work))
    );
    let mut deep = json!(1);
    for _ in 0..1000 {
        deep = json!([deep]);
    }
    let levels = Inability::TooLarge { what: "levels", limit: 128 };
    assert_eq!(run("predicate == 1", &deep), Err(Unmet::Unable(levels)));
    let text = json!({"l": ["a".repeat(200_000), "a".repeat(200_000)]});
    assert!(failed(run("predicate.l.all(x, x.matches('^a*$'))", &text)));
    assert!(failed(run("predicate.l[0] + 'a' != ''", &text)));
}

/// On the stack of a thread as tokio makes them, in a build without optimisation.
#[test]
fn attack_b2_deep_expressions_do_not_exhaust_the_stack() {
    let nested = [
        "(".repeat(2000) + "1" + &")".repeat(2000),
        "(".repeat(24) + "true" + &")".repeat(24),
        "!".repeat(250) + "true",
        "!".repeat(4000) + "true",
        "-".repeat(250) + "predicate.a",
        format!("predicate{}", ".a".repeat(250)),
        format!("predicate{}", "[0]".repeat(120)),
        format!("predicate{} == 1", "[0]".repeat(36)),
        format!("predicate{} == 1", "['a']".repeat(36)),
        format!("1{} == 1", "+1".repeat(36)),
        format!("predicate{} == 1", ".map(a,a)".repeat(36)),
        format!("1{} == 1", "+1".repeat(250)),
        format!("true{}", "&&true".repeat(125)),
        format!("true{}", "?true:true".repeat(120)),
        "[".repeat(24) + &"]".repeat(24),
        "{1:".repeat(24) + "1" + &"}".repeat(24),
        "predicate.all(a,".repeat(24) + "true" + &")".repeat(24),
        "size(".repeat(24) + "1" + &")".repeat(24),
        "!(".repeat(24) + "1" + &")".repeat(24),
        "true?(".repeat(24) + "1" + &"):1".repeat(24),
        format!("predicate{} == 1", ".map(a,a)".repeat(50)),
        format!("predicate{}.all(x,true)", ".a".repeat(250)),
        format!("{}true", "!-".repeat(127)),
        format!("{}(true)", "!-".repeat(126)),
        format!("(true{})", "?true:true".repeat(126)),
        format!("{}true{}", "true?".repeat(85), ":true".repeat(85)),
        format!("predicate{}{{}}", ".a".repeat(250)),
        format!("size({}true)", "!-".repeat(126)),
        "\"".repeat(4000),
        "/".repeat(4000),
    ];
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
        nested
            .iter()
            .filter(|source| {
                Condition::parse(source)
                    .is_ok_and(|c| c.holds(&json!({"a": 1}), TYPE, now()).is_ok())
            })
            .count()
    });
    assert!(thread.unwrap().join().unwrap() <= 8);
}

/// An expression without the numbers of its nodes, as the crate's other parser reads it: the one
/// that has been compared with other implementations for longest. It needs a large stack.
fn read_otherwise(source: &str) -> Option<String> {
    let source = source.to_owned();
    let parse = move || Env::stdlib().with_optional_support(false).parser().parse(&source).ok();
    let thread = std::thread::Builder::new().stack_size(64 * 1024 * 1024).spawn(parse);
    thread.unwrap().join().unwrap().map(|expression| unnumbered(&expression))
}

fn unnumbered(expression: &IdedExpr) -> String {
    Regex::new(r"\bid: \d+").unwrap().replace_all(&format!("{expression:?}"), "id").into_owned()
}

#[test]
fn both_parsers_read_the_same() {
    for source in [
        "a || b && c || d && e && f",
        "a == b && c != d || !e && -f < 3",
        "a < b == c > d",
        "a + b - c * d / e % f - -g",
        "1 - 2 - 3 == -4 && 8 / 4 / 2 == 1",
        "a ? b : c ? d : e",
        "(a ? b : c) ? d : e",
        "!a.b == c && -a.b[0].c(1) == -1.5",
        "!!a && --b == c && !(!a)",
        r#"a in b && c in ['x', "y"] || !(d in e)"#,
        r#"predicate.a['b']["c"].d.matches(r'^a\d$')"#,
        "predicate.a.all(x, x.b.exists(y, y == 1)) && a.exists_one(z, z) && a.existsOne(z, z)",
        "a.filter(x, x > 1).map(x, x.y).map(x, x.z, x.y) == []",
        "has(a.b.c) && has(a['b'].c)",
        "-9223372036854775808 < 9223372036854775807 && 0x1F == 31u && 18446744073709551615u > 0U",
        "1.5e3 > .5 && -1e-3 < 0.0 && 1e5 != 2E5",
        r#"'\n\t\x41\u00e9\U0001F600\101\\' + "\"'" + 'a\'b' + """a"b""" + '''c'd'''"#,
        r#"r'\n' + R"\" == "" || "café" != ''"#,
        "a // comment\n && b",
        "true && false || null == a",
        "size(a) > 0 && a.size() > 0 && timestamp(a) < now - duration('1h')",
        "a[b[c[0]]].d == [1, 2, [3]]",
        "a && (b || (c && ((d))))",
        "a\t+\r\nb",
    ] {
        let other = read_otherwise(source);
        assert_eq!(check::parse(source).ok().map(|e| unnumbered(&e)), other, "{source}");
        assert!(other.is_some(), "{source}");
    }
}
