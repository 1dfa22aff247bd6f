//! [`xml`]: results in the XML of JUnit, as build servers read it.

use super::tested::Tested;

/// The report.
pub(super) fn xml(tested: &[Tested]) -> String {
    let failures = tested.iter().filter(|case| !case.passed).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
         <testsuite name=\"sealgate policy test\" tests=\"{}\" failures=\"{failures}\">\n",
        tested.len()
    );
    for case in tested {
        let (document, name) = case.case.split_once('/').unwrap_or(("", &case.case));
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
            escaped(document),
            escaped(name),
            escaped(&case.file),
            case.line
        );
        if case.passed {
            out.push_str(&format!("{head}/>\n"));
            continue;
        }
        let what = format!("expected {}, got {}", case.expected, case.got);
        out.push_str(&format!(
            "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
            escaped(&what),
            escaped(&case.message)
        ));
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text that is no markup; what XML 1.0 cannot hold is shown as an escape.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_unicode()),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_messages_are_no_markup() {
        let case = |passed| Tested {
            case: "production/a<b>\"&\u{1b}".to_owned(),
            file: "case.yaml".to_owned(),
            line: 5,
            passed,
            expected: "admitted".to_owned(),
            got: "refused unsigned".to_owned(),
            message: "<script>".to_owned(),
        };
        let xml = xml(&[case(true), case(false)]);
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("name=\"a&lt;b&gt;&quot;&amp;\\u{1b}\""), "{xml}");
        assert!(xml.contains("expected admitted, got refused unsigned"), "{xml}");
        assert!(xml.contains("&lt;script&gt;") && !xml.contains("<script>"), "{xml}");
    }
}
