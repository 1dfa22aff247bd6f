//! How long the longest evaluations take, for who changes a limit.

use serde_json::json;

use super::*;

/// Prints the worst times; run by hand with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
#[allow(clippy::print_stdout, reason = "it is what a measurement is for")]
fn worst_times() {
    let ints = json!({"l": (0..VALUES_MAX - 2).collect::<Vec<_>>(), "v": "1"});
    let objects = json!({"l": vec![json!({"": 0}); VALUES_MAX / 2 - 2]});
    let loops = |weight: usize, item: Value, per: usize| json!({"l": vec![item; (predicate::WORK_MAX / weight / per).min(VALUES_MAX / per) - 3]});
    for (source, predicate) in [
        ("size(predicate.l) > 0", &ints),
        ("size(predicate.l) > 0", &objects),
        ("predicate.v == '1'", &ints),
        ("predicate.l == predicate.l", &objects),
        ("7 in predicate.l && -7 in predicate.l", &ints),
        ("predicate.l.all(x, x != 7)", &loops(8, json!(0), 1)),
        ("predicate.l.all(x, x.a != 7)", &loops(8, json!({"a": 0}), 2)),
        (
            "predicate.l.all(x, x.a.startsWith('a') && x.b == 1)",
            &loops(12, json!({"a": "a", "b": 1}), 3),
        ),
        ("predicate.l.exists(x, x.missing == 1)", &loops(8, json!({"a": {"b": {"c": {}}}}), 4)),
        ("predicate.l.all(x, x.all(y, y.all(z, z.all(w, w == 1))))", &loops(26, json!([[[1]]]), 4)),
        (
            "predicate.l.filter(x, x.a == 1).map(x, x.a).all(x, x == 1)",
            &loops(24, json!({"a": 1}), 2),
        ),
    ] {
        let condition = Condition::parse(source).unwrap();
        #[allow(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        let answer = condition.holds(predicate, TYPE, now());
        println!(
            "{:?} {source} {:?} weight {}",
            start.elapsed(),
            answer.is_ok(),
            condition.0.weight
        );
    }
}

/// How long the worst patterns over the largest texts take.
#[test]
#[ignore = "a measurement, not a check"]
#[allow(clippy::print_stdout, reason = "it is what a measurement is for")]
fn worst_times_of_patterns() {
    let whole = json!({"l": ["a".repeat(256 * 1024)]});
    let mixed = json!({"l": ["ab1 .\u{e9}".repeat(256 * 1024 / 7)]});
    let lines = json!({"l": vec!["a".repeat(64); 256 * 1024 / 64]});
    let single = json!({"l": vec!["a"; predicate::WORK_MAX / 8]});
    for pattern in [
        "^.*$",
        "^(.*a.{30})*b.*$",
        "^(a|b|.)*.{60}x$",
        "^.*(a|b|1).{40}(x|1).{40}y$",
        r"^(\\w?){20}.*(a|b|1)\\w{10}$",
        "^((a?){12}b?){12}.*[ab].{100}$",
        "^(.?){200}.*[a1].{200}$",
        "^.*[a1].*[a1].*[a1].*[a1].*[a1].{60}x.*$",
    ] {
        for (name, predicate) in
            [("whole", &whole), ("mixed", &mixed), ("lines", &lines), ("single", &single)]
        {
            let source = format!("!predicate.l.exists(x, x.matches('{pattern}') && x == '')");
            let Ok(condition) = Condition::parse(&source) else {
                println!("{pattern}: {:?}", Condition::parse(&source).unwrap_err().fault);
                break;
            };
            #[allow(clippy::disallowed_methods, reason = "a measurement")]
            let start = std::time::Instant::now();
            let answer = condition.holds(predicate, TYPE, now());
            println!("{:?} {pattern} {name} {answer:?}", start.elapsed());
        }
    }
}
