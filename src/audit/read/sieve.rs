//! [`Sieve`]: which lines need not be parsed to know that a [`Filter`] does not want them; [`Head`]:
//! how the log begins each line.

use std::str;
use std::time::Duration;

use regex::bytes::Regex;

use super::super::record::stamp::Timestamp;
use super::super::record::verdict::Verdict;
use super::filter::Filter;

/// Longest name of a kind of lines, in bytes; the longest that there is has some ten.
const KIND_MAX: usize = 32;

/// What of a [`Filter`] can be told from the text of a line. It knows the lines that a log writes
/// by their beginning, and lets every other one pass.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Each must be found.
    needles: Vec<Regex>,
    /// Must be found in a line of schema 2 or later: before, verdicts had other words.
    verdict: Option<Regex>,
}

/// How the log begins each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head<'l> {
    pub(super) kind: &'l [u8],
    pub(super) schema: u32,
    /// When its id was given out, which is its time.
    pub(super) time: Timestamp,
}

impl Sieve {
    pub(super) fn of(filter: &Filter) -> Self {
        // The longest first: it is the rarest.
        let mut needles = needles(filter);
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        let words = Verdict::ALL.into_iter().filter(|verdict| {
            (filter.verdicts.is_empty() || filter.verdicts.contains(verdict))
                && !(filter.refused && verdict.is_admission())
        });
        let words = words.map(Verdict::word).collect::<Vec<_>>().join("|");
        let asks = !filter.verdicts.is_empty() || filter.refused;
        let verdict = asks.then(|| Regex::new(&format!("\"verdict\":\"(?:{words})\"")).ok());
        Self {
            since: filter.since,
            until: filter.until,
            needles: needles
                .iter()
                .filter_map(|one| Regex::new(&regex::escape(one)).ok())
                .collect(),
            verdict: verdict.flatten(),
        }
    }

    /// Whether a wanted line may be this one.
    pub(super) fn may_pass(&self, line: &[u8]) -> bool {
        let Some(head) = Head::of(line) else { return true };
        // It says which node wrote what follows.
        if head.kind == b"head" {
            return true;
        }
        let verdict = self.verdict.as_ref().filter(|_| head.schema >= 2);
        self.since.is_none_or(|since| since <= head.time)
            && self.until.is_none_or(|until| head.time < until)
            && self.needles.iter().all(|needle| needle.is_match(line))
            && verdict.is_none_or(|verdict| verdict.is_match(line))
    }
}

/// What must stand in a line, as the log writes it.
fn needles(filter: &Filter) -> Vec<String> {
    let Filter { image, digest, namespace, pod, container, signer, key, .. } = filter;
    let Filter { identity, policy, code, source, id, observed, findings, kind, .. } = filter;
    let parts = [image, digest, container, signer, key];
    let wholes = [namespace, pod, identity, policy, code, source, kind];
    let parts = parts.into_iter().flatten().filter(|text| is_written_as_it_is(text)).cloned();
    let wholes = wholes.into_iter().flatten().filter(|text| is_written_as_it_is(text));
    let mut needles: Vec<String> = parts.chain(wholes.map(|text| format!("\"{text}\""))).collect();
    needles.extend(id.map(|id| id.to_string()));
    needles.extend(observed.then(|| "\"observed\":true".to_owned()));
    needles.extend(findings.then(|| "{\"kind\":\"finding\"".to_owned()));
    needles
}

impl<'l> Head<'l> {
    /// The beginning of a line, if the log wrote it.
    pub(super) fn of(line: &'l [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"kind\":\"")?;
        let length = rest.iter().take(KIND_MAX).position(|byte| *byte == b'"')?;
        let (kind, rest) = rest.split_at_checked(length)?;
        let rest = rest.strip_prefix(b"\",\"schema\":")?;
        let (digit, rest) = rest.split_first()?;
        let schema = char::from(*digit).to_digit(10)?;
        let hex = rest.strip_prefix(b",\"id\":\"")?.get(..12)?;
        let millis = u64::from_str_radix(str::from_utf8(hex).ok()?, 16).ok()?;
        let time = Timestamp::from_unix(Duration::from_millis(millis));
        Some(Self { kind, schema, time })
    }
}

/// Whether a text stands in the file as it is, unescaped.
fn is_written_as_it_is(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/:@+".contains(&byte))
}
