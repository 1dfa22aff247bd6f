//! [`Comparison`]: how two patterns stand to each other: whether one matches every name that the other
//! does, and whether there is a name that both match.
//!
//! Both read patterns as `pattern` writes them down. A pattern is a small automaton whose places are
//! its bytes; the two walk side by side over the texts that the one can stand for. For people who
//! look over their policies; nothing is decided by it.

use std::collections::{BTreeSet, VecDeque};

use super::pattern::{ANY_PARTS, ANY_TEXT, END_OF_PART};
use super::pinned::split_pin;

/// Most places that are looked at, all comparisons together: some hundred thousand comparisons of
/// usual patterns, and a second of patterns that were made to take long.
const WORK_MAX: usize = 4_000_000;
/// Most pairs of sets of places that one comparison looks at: patterns as long as they may be take
/// some hundred, unless their wildcards combine.
const STEPS_MAX: usize = 2_000;
/// A byte that stands in no pattern: any character that none of the two names.
const OTHER: u8 = 2;

/// Where a pattern has been read up to, and whether that is inside of a part that `**` stands for.
type Spot = (usize, bool);
/// Where one pattern can be after the same text.
type Spots = BTreeSet<Spot>;

/// Compares patterns, with so much work left.
#[derive(Debug)]
pub(in crate::policy) struct Comparison {
    left: usize,
}

impl Default for Comparison {
    fn default() -> Self {
        Self { left: WORK_MAX }
    }
}

impl Comparison {
    /// Whether every image that `narrow` matches is matched by `wide`. False where it cannot be told
    /// in reasonable time.
    pub(in crate::policy) fn covers(&mut self, wide: &str, narrow: &str) -> bool {
        let ((wide, image), (narrow, other)) = (split_pin(wide), split_pin(narrow));
        if image.is_some() && image != other {
            return false;
        }
        let goes_on = |of_narrow: &Spots, _: &Spots| !of_narrow.is_empty();
        let missed =
            |of_narrow: &Spots, of_wide: &Spots| ends(narrow, of_narrow) && !ends(wide, of_wide);
        self.walk((narrow, wide), goes_on, missed) == Some(false)
    }

    /// Whether there is an image that both match. True where it cannot be told in reasonable time.
    pub(in crate::policy) fn meets(&mut self, one: &str, other: &str) -> bool {
        let ((one, image), (other, another)) = (split_pin(one), split_pin(other));
        if image.is_some() && another.is_some() && image != another {
            return false;
        }
        let goes_on = |of_one: &Spots, of_other: &Spots| !of_one.is_empty() && !of_other.is_empty();
        let both = |of_one: &Spots, of_other: &Spots| ends(one, of_one) && ends(other, of_other);
        self.walk((one, other), goes_on, both) != Some(false)
    }

    /// Whether the two come to places that are looked for, over all texts in which they go on; none
    /// where it takes too long.
    fn walk(
        &mut self,
        (one, other): (&str, &str),
        goes_on: impl Fn(&Spots, &Spots) -> bool,
        is_wanted: impl Fn(&Spots, &Spots) -> bool,
    ) -> Option<bool> {
        let (one, other) = (one.as_bytes(), other.as_bytes());
        let start = (closed(one, [(0, false)]), closed(other, [(0, false)]), true);
        let mut seen = BTreeSet::from([start.clone()]);
        let mut open = VecDeque::from([start]);
        while let Some((of_one, of_other, is_new_part)) = open.pop_front() {
            self.left = self.left.saturating_sub(of_one.len() + of_other.len());
            if seen.len() > STEPS_MAX || self.left == 0 {
                return None;
            }
            if is_wanted(&of_one, &of_other) {
                return Some(true);
            }
            for byte in bytes(&[(one, &of_one), (other, &of_other)]) {
                // No name has an empty part.
                if is_new_part && byte == END_OF_PART {
                    continue;
                }
                let (on, beside) = (step(one, &of_one, byte), step(other, &of_other, byte));
                if goes_on(&on, &beside) {
                    let next = (on, beside, byte == END_OF_PART);
                    if seen.insert(next.clone()) {
                        open.push_back(next);
                    }
                }
            }
        }
        Some(false)
    }
}

/// Whether a pattern matches a name, written as `host/part/part/`.
pub(in crate::policy) fn fits(pattern: &str, name: &str) -> bool {
    let mut at = closed(pattern.as_bytes(), [(0, false)]);
    for byte in name.bytes() {
        at = step(pattern.as_bytes(), &at, byte);
        if at.is_empty() {
            return false;
        }
    }
    ends(pattern, &at)
}

/// The bytes that tell these places apart: those that are written there, the end of a part, and one
/// that stands nowhere.
fn bytes(patterns: &[(&[u8], &Spots)]) -> BTreeSet<u8> {
    let written = patterns.iter().flat_map(|(pattern, places)| {
        places.iter().filter_map(|(at, _)| pattern.get(*at).copied())
    });
    let literal = written.filter(|byte| !matches!(*byte, ANY_TEXT | ANY_PARTS));
    literal.chain([END_OF_PART, OTHER]).collect()
}

/// The places after one more byte of a name.
fn step(pattern: &[u8], places: &Spots, byte: u8) -> Spots {
    let is_end = byte == END_OF_PART;
    let next = places.iter().filter_map(|(at, is_inside)| match pattern.get(*at)? {
        &ANY_PARTS if is_inside & is_end => Some((*at, false)),
        &ANY_PARTS if !is_end => Some((*at, true)),
        &ANY_TEXT if !is_end => Some((*at, false)),
        literal if *literal == byte && !matches!(byte, ANY_TEXT | ANY_PARTS) => {
            Some((*at + 1, false))
        }
        _ => None,
    });
    closed(pattern, next)
}

/// These places, and those behind wildcards that stand for nothing.
fn closed(pattern: &[u8], places: impl IntoIterator<Item = Spot>) -> Spots {
    let mut all = BTreeSet::new();
    for (mut at, is_inside) in places {
        all.insert((at, is_inside));
        while !is_inside && matches!(pattern.get(at), Some(&ANY_TEXT | &ANY_PARTS)) {
            at += 1;
            all.insert((at, false));
        }
    }
    all
}

fn ends(pattern: &str, places: &Spots) -> bool {
    places.contains(&(pattern.len(), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::scope::pattern::{Hosts, RepositoryPattern};

    fn encoded(pattern: &str) -> String {
        RepositoryPattern::parse(pattern, &mut Hosts::default()).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_pattern_covers_another() {
        let covers = |wide: &str, narrow: &str| {
            Comparison::default().covers(&encoded(wide), &encoded(narrow))
        };
        for (wide, narrow) in [
            ("a.test/**", "a.test/**"),
            ("a.test/**", "a.test/x"),
            ("a.test/**", "a.test/x/*"),
            ("a.test/**", "a.test/x/**"),
            ("a.test/x/**", "a.test/x/*/y"),
            ("a.test/*", "a.test/x*"),
            ("a.test/*x*", "a.test/x*"),
            ("*.test/**", "a.test/x"),
            ("**", "a.test/x"),
            ("**/x", "a.test/x"),
            ("a.test/**/x", "a.test/b/c/x"),
            ("a.test/**/x", "a.test/x"),
            ("docker.io/**", "docker.io/nginx"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("a.test/x", "a.test/**"),
            ("a.test/*", "a.test/**"),
            ("a.test/x/**", "a.test/x"),
            ("a.test/*", "a.test/x/y"),
            ("a.test/x*", "a.test/*"),
            ("b.test/**", "a.test/x"),
            ("a.test/*/y", "a.test/**"),
            ("a.test/**/x", "a.test/**"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_pattern_fits_a_name() {
        for (pattern, name, is_one) in [
            ("a.test/**", "a.test/x/y/", true),
            ("a.test/*", "a.test/x/y/", false),
            ("a.test/**/y", "a.test/y/", true),
            ("a.test/*-b", "a.test/a-b/", true),
            ("a.test/**", "a.test/", false),
            ("**", "a.test/x/", true),
        ] {
            assert_eq!(fits(&encoded(pattern), name), is_one, "{pattern} {name}");
        }
    }

    #[test]
    fn two_patterns_meet_in_a_name() {
        let meets = |one: &str, other: &str| {
            let (one, other) = (encoded(one), encoded(other));
            let mut compare = Comparison::default();
            assert_eq!(compare.meets(&one, &other), compare.meets(&other, &one));
            compare.meets(&one, &other)
        };
        for (one, other) in [
            ("a.test/**", "a.test/x"),
            ("a.test/x*", "a.test/*y"),
            ("*.test/x", "a.*/x"),
            ("**/x", "a.test/**"),
            ("a.test/*/y", "a.test/x/*"),
        ] {
            assert!(meets(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("a.test/x", "a.test/y"),
            ("a.test/*", "a.test/x/y"),
            ("a.test/**", "b.test/**"),
            ("a.test/x*", "a.test/y*"),
            ("a.test/x/**", "a.test/x"),
        ] {
            assert!(!meets(one, other), "{one} {other}");
        }
    }

    /// Attack D3: patterns that were made to take long.
    #[test]
    fn attack_d3_wildcards_that_combine_come_to_an_end() {
        let many = encoded(&format!("a.test/{}", "*x".repeat(100)));
        let other = encoded(&format!("a.test/{}", "*y".repeat(100)));
        // A tenth of the work: all of it takes half a minute in a debug build.
        let mut compare = Comparison { left: WORK_MAX / 10 };
        for _ in 0..10 {
            assert!(compare.meets(&many, &other), "it cannot be told that they do not");
            assert!(!compare.covers(&many, &other));
        }
        assert_eq!(compare.left, 0);
        assert!(!compare.covers("a.test/x/", "a.test/x/"), "nothing is said any more");
    }
}
