//! [`refusal`]: the one line that a refusal prints. Which policy, which requirement, what was looked for and where,
//! what was found; printable ASCII, and no part so long that it pushes the others out (attack E3).

use std::fmt::Write as _;

use crate::evidence::{Outcome, Place, Source, Subject};
use crate::image::Digest;

use super::bench::Bench;
use super::requirement::{Demand, Leaf};
use super::ruling::Failure;
use super::set::{Rule, RuleKey};
use super::words::{VALUE_MAX, bounded, escaped};

/// Most keys that the line names; the report has them all.
const KEYS_NAMED: usize = 2;
/// Longest name of a key file in the line, in bytes.
const FILE_SHOWN: usize = 80;
/// Hexadecimal digits of a digest where its beginning suffices: what git and docker show.
const SHORT: usize = 12;

/// Writes the line.
pub(super) fn refusal(rule: &Rule, failure: &Failure, subject: &Subject, bench: &Bench<'_>) -> String {
    let mut line = format!("policy \"{}\"", rule.document.name);
    let require = &rule.document.require;
    let leaf = failure.leaf.and_then(|number| Some((require.leaves.get(number)?, rule.keys.get(number)?)));
    if let Some((leaf, keys)) = leaf {
        let _ = write!(line, ", requirement \"{}\": {}", escaped(&leaf.name), wanted(leaf, keys));
    } else {
        line.push_str(": the requirements together are not met");
    }
    let _ = write!(line, " on {}", about(subject));
    if leaf.is_some_and(|(leaf, _)| leaf.asks_for_signature()) && !bench.looked().is_empty() {
        let _ = write!(line, "; looked in {}", looked(bench));
    }
    let _ = write!(line, "; {}", failure.reason);
    if failure.others > 0 {
        let _ = write!(line, " (and {} more requirements not met)", failure.others);
    }
    line
}

fn wanted(leaf: &Leaf, keys: &[RuleKey]) -> String {
    match &leaf.demand {
        Demand::Digest(digests) => format!("none of the {} digests listed", digests.len()),
        Demand::Signature { .. } | Demand::Attestation { .. } => {
            let named = keys.iter().take(KEYS_NAMED).map(|key| {
                let id = key.signer.key.to_string();
                format!("{} ({}...)", bounded(escaped(&key.signer.file), FILE_SHOWN), shortened(&id))
            });
            let mut text = format!("no valid signature by key {}", named.collect::<Vec<_>>().join(" or "));
            if keys.len() > KEYS_NAMED {
                let _ = write!(text, " or {} more", keys.len() - KEYS_NAMED);
            }
            text
        }
    }
}

/// The name and the digests in question.
fn about(subject: &Subject) -> String {
    let mut text = match subject.name.repository() {
        Some(repository) => repository.at(&subject.target),
        None => subject.target.to_string(),
    };
    if let Some(child) = subject.candidates().nth(1) {
        let _ = write!(text, " or its platform manifest {}...", short(child));
    }
    text
}

/// The places and what came of each.
fn looked(bench: &Bench<'_>) -> String {
    let places = bench.looked().iter().map(|(place, outcome)| format!("{}: {}", named(place), found(outcome)));
    bounded(places.collect::<Vec<_>>().join(", "), VALUE_MAX)
}

fn named(place: &Place) -> String {
    match place.source {
        Source::Referrers => format!("referrers of {}...", short(&place.subject)),
        Source::FallbackTag => format!("tag sha256-{}...", short_hex(&place.subject)),
        Source::SignatureTag => format!("tag sha256-{}....sig", short_hex(&place.subject)),
        Source::AttestationTag => format!("tag sha256-{}....att", short_hex(&place.subject)),
    }
}

fn found(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Found(count) => format!("{count} found"),
        Outcome::Absent => "absent".to_owned(),
        Outcome::Unreachable(_) => "unreachable".to_owned(),
        Outcome::Unable(_) => "not readable".to_owned(),
    }
}

fn short(digest: &Digest) -> String {
    shortened(digest.as_str()).to_owned()
}

fn short_hex(digest: &Digest) -> &str {
    digest.hex().get(..SHORT).unwrap_or_default()
}

/// `sha256:` and the first digits.
fn shortened(text: &str) -> &str {
    text.get(.."sha256:".len() + SHORT).unwrap_or(text)
}
