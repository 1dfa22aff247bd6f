//! Expressions that match a whole text, and those that are refused.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn fits(written: &str, text: &str) -> bool {
    Pattern::parse(written).unwrap().fits(text)
}

/// Attack B5: what upstream would find somewhere in the text.
#[test]
fn attack_b5_an_expression_matches_the_whole_text() {
    for written in [
        "acme",
        "^acme",
        "acme$",
        "^acme$",
        r"\Aacme\z",
        "(?i)acme",
        "(?m)acme",
        "(?m)^acme$",
        "(?s)acme",
    ] {
        assert!(fits(written, "acme"), "{written}");
        for text in
            ["acmes", "xacme", "acme\n", "\nacme", "acme\nx", "x\nacme", "acme/x", "x/acme/y", ""]
        {
            assert!(!fits(written, text), "{written} {text:?}");
        }
    }
    assert!(
        fits("a|ab", "ab") && !fits("a|ab", "abc") && !fits("^a|b$", "ax") && !fits("^a|b$", "xb")
    );
    assert!(!fits("acme.*", "x acme") && !fits(".*acme", "acme\nx"));
}

/// Attack B5: an expression that is written to break out of the anchors.
#[test]
fn attack_b5_no_bracket_comment_or_flag_undoes_the_anchors() {
    for written in [
        "acme)|(?:.*",
        "acme)(",
        ")",
        "(",
        "acme\\",
        "[acme",
        "acme)|.*(?:x",
        "(?x) acme # )|(?:.*",
    ] {
        assert!(Pattern::parse(written).is_err(), "{written}");
    }
    assert_eq!(Pattern::parse("(?x) acme # company").unwrap_err(), RegExpFault::Unanchored);
    assert!(fits("(?x) acme # company\n", "acme"));
    for written in [
        "(?x) acme # )|(?:.*\n",
        "(?mR)acme",
        "(?U)acme",
        "(?x:acme)",
        "(?s-m)acme",
        "(?m)acme$|^acme",
    ] {
        let pattern = Pattern::parse(written).unwrap();
        assert!(pattern.fits("acme"), "{written}");
        for text in ["acmes", "xacme", "acme\r\n", "acme\nx", "x\r\nacme"] {
            assert!(!pattern.fits(text), "{written} {text:?}");
        }
    }
}

/// Attack B5: a dot matches any character; whoever writes one is told.
#[test]
fn attack_b5_bare_dots_and_missing_anchors_are_told() {
    let advice = |written: &str| Pattern::parse(written).unwrap().advice();
    assert_eq!(advice(r"^https://github\.com/acme/.*$"), []);
    assert_eq!(advice(r"(?i)^a\.b$"), []);
    assert_eq!(advice(r"\Aa[.]b\z"), []);
    assert_eq!(advice("^https://github.com/acme/.*$"), [Advice::BareDot]);
    for written in ["a", "^a", "a$", r"^a\$", "^a|b$", r"\Aa\\z", "(?i)a"] {
        assert_eq!(advice(written), [Advice::AnchoredHere], "{written}");
    }
    assert_eq!(advice("^(a|b)$"), []);
    assert_eq!(advice("(?x) ^ a $ # that is all\n"), []);
    assert_eq!(advice("a.b"), [Advice::AnchoredHere, Advice::BareDot]);
}

#[test]
fn what_is_too_much_is_refused() {
    assert_eq!(
        Pattern::parse(&"a".repeat(1025)).unwrap_err(),
        RegExpFault::TooLong { limit: 1024 }
    );
    assert!(Pattern::parse(&"a".repeat(1024)).is_ok());
    for written in [r"\w{5000}", "(?:a{100}){100}", "((a{50}){50}){50}"] {
        assert_eq!(
            Pattern::parse(written).unwrap_err(),
            RegExpFault::TooLarge { limit: 256 * 1024 },
            "{written}"
        );
    }
    let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
    assert!(matches!(Pattern::parse(&deep).unwrap_err(), RegExpFault::Syntax(_)));
    assert!(!fits("a*", &"a".repeat(4097)) && fits("a*", &"a".repeat(4096)));
}

#[test]
fn runs_are_what_stands_for_itself() {
    let runs = |written: &str| Pattern::parse(written).unwrap().runs();
    assert_eq!(runs(r"^https://github\.com/acme.*$"), ["https://github.com/acme"]);
    assert_eq!(runs("https://github.com/(a|b)/x"), ["https://github.com/", "a", "b", "/x"]);
    assert_eq!(runs(r".*@acme\.com"), ["@acme.com"]);
    // Written in other ways, as the compiler reads them.
    assert_eq!(runs(r"github\x2Ecom/\x{61}cme"), ["github.com/acme"]);
    assert_eq!(runs(r"a\pLb[[x]y]c\p{Greek}d"), ["a", "b", "c", "d"]);
    assert_eq!(runs("(?x) a c m e # company\n /x"), ["acme/x"]);
}

/// A small expression, to be matched without the crate.
#[derive(Debug, Clone)]
enum Small {
    Letter(char),
    Dot,
    Both(Box<Self>, Box<Self>),
    Either(Box<Self>, Box<Self>),
    Many(Box<Self>),
}

impl Small {
    /// As it is written, without brackets around an alternation at the top.
    fn written(&self) -> String {
        match self {
            Self::Letter(c) => c.to_string(),
            Self::Dot => ".".to_owned(),
            Self::Both(a, b) => format!("{}{}", a.inner(), b.inner()),
            Self::Either(a, b) => format!("{}|{}", a.inner(), b.inner()),
            Self::Many(a) => format!("(?:{})*", a.written()),
        }
    }

    fn inner(&self) -> String {
        match self {
            Self::Either(..) => format!("({})", self.written()),
            Self::Letter(_) | Self::Dot | Self::Both(..) | Self::Many(_) => self.written(),
        }
    }

    /// Where matches end that begin at these places.
    fn ends(&self, text: &[char], starts: &BTreeSet<usize>) -> BTreeSet<usize> {
        let step = |fits: &dyn Fn(char) -> bool| {
            starts
                .iter()
                .filter(|n| text.get(**n).is_some_and(|c| fits(*c)))
                .map(|n| n + 1)
                .collect()
        };
        match self {
            Self::Letter(wanted) => step(&|c| c == *wanted),
            Self::Dot => step(&|c| c != '\n'),
            Self::Both(a, b) => b.ends(text, &a.ends(text, starts)),
            Self::Either(a, b) => {
                a.ends(text, starts).union(&b.ends(text, starts)).copied().collect()
            }
            Self::Many(a) => {
                let more: BTreeSet<usize> = a.ends(text, starts).union(starts).copied().collect();
                if more == *starts { more } else { self.ends(text, &more) }
            }
        }
    }
}

fn small() -> impl Strategy<Value = Small> {
    let leaf = prop_oneof![Just(Small::Letter('a')), Just(Small::Letter('b')), Just(Small::Dot)];
    leaf.prop_recursive(4, 12, 2, |inner| {
        let (a, b) = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
        prop_oneof![
            (a.clone(), b.clone()).prop_map(|(a, b)| Small::Both(a, b)),
            (a.clone(), b).prop_map(|(a, b)| Small::Either(a, b)),
            a.prop_map(Small::Many),
        ]
    })
}

proptest! {
    /// Attack B5: what fits is what the expression by itself matches whole, to the last
    /// character and no longer, with anchors and flags of its own or without.
    #[test]
    fn attack_b5_nothing_fits_that_is_not_matched_whole(
        small in small(),
        flags in prop_oneof![Just(""), Just("(?m)"), Just("(?U)"), Just("(?mR)")],
        before in prop_oneof![Just(""), Just("^"), Just("\\A")],
        behind in prop_oneof![Just(""), Just("$"), Just("\\z")],
        text in "[ab\n]{0,6}",
    ) {
        let written = format!("{flags}{before}{}{behind}", small.inner());
        let chars: Vec<char> = text.chars().collect();
        let whole = small.ends(&chars, &BTreeSet::from([0])).contains(&chars.len());
        prop_assert_eq!(fits(&written, &text), whole, "{} {:?}", written, text);
        let bare = format!("{flags}{}", small.written());
        prop_assert_eq!(fits(&bare, &text), whole, "{} {:?}", bare, text);
    }

    /// Attack B5: nothing that can be written reaches beyond the ends.
    #[test]
    fn attack_b5_nothing_written_reaches_beyond_the_ends(
        written in "(\\(\\?[imsxUR]\\))?([ab^$|#*+]|\\(|\\)|\\[ab\\]|\\\\[AzbBQE]|\n|\\(\\?[:mx]){0,10}",
        text in "[ab\n#]{0,6}",
    ) {
        // None of these expressions can match the marker: it is at either end only if the ends
        // are not held.
        let Ok(pattern) = Pattern::parse(&written) else { return Ok(()) };
        for longer in [format!("{text}\u{1}"), format!("\u{1}{text}")] {
            prop_assert!(!pattern.fits(&longer), "{} {:?}", written, longer);
        }
    }
}
