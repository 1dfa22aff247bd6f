//! [`Filter`]: which entries are wanted; [`Sieve`]: which lines need not be parsed to know that
//! they are not.

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use super::super::record::stamp::{DecisionId, Timestamp};
use super::super::record::verdict::Verdict;
use super::super::record::{Entry, Finding, Record, SCHEMA};

/// Which entries are wanted: those for which all that is set holds. Findings have no verdict; notes
/// have no reference or pod either. They are wanted when nothing is asked for that they lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// This verdict.
    pub verdict: Option<Verdict>,
    /// Whatever did not let an image run.
    pub refused: bool,
    /// The reference, the image string beside it, the digest or the image id contains this text.
    pub image: Option<String>,
    /// The pod's namespace is this.
    pub namespace: Option<String>,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Only what was let through in observe mode, although it would have been refused.
    pub observed: bool,
    /// Nothing but findings.
    pub findings: bool,
    /// This id, or a decision that speaks of it: repeats of it, or one that takes it back.
    pub id: Option<DecisionId>,
}

/// What of a [`Filter`] can be told from the text of a line. It knows the lines that a log writes
/// by their beginning, and lets every other one pass.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    since: Option<Timestamp>,
    /// Each must be found.
    needles: Option<RegexSet>,
    /// Must be found in a line of the present schema: before, verdicts had other words.
    verdict: Option<Regex>,
}

/// How the log begins each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) schema: u32,
    /// When its id was given out, which is its time.
    pub(super) time: Timestamp,
}

impl Filter {
    /// Whether this entry is wanted.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        if self.since.is_some_and(|since| entry.time() < since) {
            return false;
        }
        match entry {
            Entry::Decision(record) => !self.findings && self.wants_record(record),
            Entry::Finding(finding) => self.wants_finding(finding),
            Entry::Note(note) => {
                let asks_for_others = self.asks_for_verdicts()
                    || self.findings
                    || self.image.is_some()
                    || self.namespace.is_some();
                !asks_for_others && self.id.is_none_or(|id| note.id == id)
            }
        }
    }

    fn asks_for_verdicts(&self) -> bool {
        self.verdict.is_some() || self.refused || self.observed
    }

    fn wants_finding(&self, finding: &Finding) -> bool {
        let named = |text: &String| {
            let names = [finding.image.as_ref(), finding.digest.as_ref()];
            names.into_iter().flatten().any(|name| name.contains(text.as_str()))
        };
        let namespace = finding.pod.namespace.as_ref();
        !self.asks_for_verdicts()
            && self.image.as_ref().is_none_or(named)
            && self.namespace.as_ref().is_none_or(|wanted| namespace == Some(wanted))
            && self.id.is_none_or(|id| finding.id == id || finding.repeats_of == Some(id))
    }

    fn wants_record(&self, record: &Record) -> bool {
        let about =
            |id| record.id == id || record.repeats_of == Some(id) || record.supersedes == Some(id);
        let names = [
            Some(&record.reference),
            record.image.as_ref(),
            record.digest.as_ref(),
            record.image_id.as_ref(),
        ];
        let named =
            |text: &String| names.into_iter().flatten().any(|name| name.contains(text.as_str()));
        self.verdict.is_none_or(|verdict| record.verdict == verdict)
            && !(self.refused && record.was_let_through())
            && (!self.observed || record.observed)
            && self.image.as_ref().is_none_or(named)
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| record.pod.namespace.as_ref() == Some(namespace))
            && self.id.is_none_or(about)
    }
}

impl Sieve {
    pub(super) fn of(filter: &Filter) -> Self {
        let mut needles: Vec<String> = Vec::new();
        needles.extend(filter.id.map(|id| id.to_string()));
        needles.extend(filter.observed.then(|| "\"observed\":true".to_owned()));
        needles.extend(filter.image.iter().filter(|text| is_written_as_it_is(text)).cloned());
        let namespace = filter.namespace.iter().filter(|text| is_written_as_it_is(text));
        needles.extend(namespace.map(|name| format!("\"namespace\":\"{name}\"")));
        let needles = needles.iter().map(|needle| regex::escape(needle));
        let words = Verdict::ALL
            .into_iter()
            .filter(|verdict| filter.verdict.is_none_or(|wanted| wanted == *verdict));
        let words =
            words.filter(|verdict| !(filter.refused && verdict.is_admission())).map(Verdict::word);
        let words = words.collect::<Vec<_>>().join("|");
        let asks = filter.verdict.is_some() || filter.refused;
        Self {
            since: filter.since,
            needles: RegexSetBuilder::new(needles)
                .unicode(false)
                .build()
                .ok()
                .filter(|needles| !needles.is_empty()),
            verdict: asks
                .then(|| Regex::new(&format!("\"verdict\":\"(?:{words})\"")).ok())
                .flatten(),
        }
    }

    /// Whether an entry that is wanted may stand in this line.
    pub(super) fn may_pass(&self, line: &[u8]) -> bool {
        let Some(head) = Head::of(line) else { return true };
        let in_time = self.since.is_none_or(|since| head.time >= since);
        let decided = || {
            let verdict = self.verdict.as_ref().filter(|_| head.schema == SCHEMA);
            verdict.is_none_or(|verdict| verdict.is_match(line))
        };
        let named = || {
            self.needles.as_ref().is_none_or(|all| all.matches(line).iter().count() == all.len())
        };
        in_time && decided() && named()
    }
}

impl Head {
    /// The beginning of a line, if the log wrote it.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"kind\":\"")?;
        let kinds: [&[u8]; 3] = [b"decision", b"note", b"finding"];
        let rest = kinds.into_iter().find_map(|kind| rest.strip_prefix(kind))?;
        let rest = rest.strip_prefix(b"\",\"schema\":")?;
        let (digit, rest) = rest.split_first()?;
        let schema = char::from(*digit).to_digit(10)?;
        let hex = rest.strip_prefix(b",\"id\":\"")?.get(..12)?;
        let millis = u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?;
        Some(Self { schema, time: Timestamp::from_unix(std::time::Duration::from_millis(millis)) })
    }
}

/// Whether a text stands in the file as it is, unescaped.
fn is_written_as_it_is(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/:@+".contains(&byte))
}
