//! [`refusal`]: the one line that a refusal prints. Which policy, which requirement, what was
//! looked for and where, what was found; printable ASCII, and no part so long that it pushes the
//! others out (attack E3).

use std::fmt::Write as _;
use std::sync::Arc;

use crate::evidence::{Name, Outcome, Place, Pod, Source, Subject};
use crate::image::Digest;

use super::context::EvaluationContext;
use super::finding::Finding;
use super::permit::{Denial, Reason};
use super::policy_result::Failure;
use super::report::DocumentReport;
use crate::policy::document::action::Action;
use crate::policy::requirement::attestor::Attestor;
use crate::policy::requirement::certificate_identity::CertificateIdentity;
use crate::policy::requirement::trust::{LeafTrust, RuleKey};
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::sanitize::{LINE_MAX, VALUE_MAX, bounded, escaped};
use crate::policy::set::{PolicySet, Rule};
use crate::verify::Fault;

/// Most keys or identities that the line names.
const NAMED: usize = 2;
/// Longest reason in the line, in bytes: it names two repositories or identities.
const REASON_MAX: usize = 460;
/// Longest identity in the line, in bytes; a workflow with its issuer has some 150.
const IDENTITY_SHOWN: usize = 170;
/// Longest predicate type in the line, in bytes.
const TYPE_SHOWN: usize = 100;
/// Longest word about what is in a place and is no signature, in bytes: a media type and how many.
const OTHER_SHOWN: usize = 120;
/// Longest name of a key file in the line, in bytes.
const FILE_SHOWN: usize = 80;
/// What is said of attestations that are not there for an image that was asked for by digest.
const BY_DIGEST: &str = " (where the digest is an index's, attestations on the manifests under it \
    do not count: attest the index, or ask by tag)";
/// Hexadecimal digits of a digest where its beginning suffices: what git and docker show.
const SHORT: usize = 12;

impl PolicySet {
    /// The same denial, with what there is to say of this pod: by which of its fields the policy that
    /// refuses is about it, or which policy would be about another pod where none matches. That is
    /// this pod's to know: the denial itself is remembered for every pod that the same documents are
    /// about.
    #[must_use]
    pub fn told_of(&self, denial: Arc<Denial>, (name, pod): (&Name, &Pod)) -> Arc<Denial> {
        let note = match denial.policy() {
            Some(policy) => self.selected(policy, pod),
            None if *denial.reason() == Reason::NoPolicy => {
                self.elsewhere(name, pod).map(|elsewhere| elsewhere.to_string())
            }
            None => None,
        };
        match note {
            Some(note) => Arc::new(denial.as_ref().clone().noting(&note)),
            None => denial,
        }
    }

    /// Whether every policy that refuses by this denial goes by labels of the image: then labels that
    /// are not known may be all that refuses it. What another policy or a deny list refuses stays
    /// refused whatever the labels are.
    #[must_use]
    pub fn rests_on_image_labels(&self, denial: &Denial) -> bool {
        let refuses =
            |document: &&DocumentReport| !document.satisfied && document.action == Action::Enforce;
        let mut refusing = denial.report().documents.iter().filter(refuses).peekable();
        !denial.is_struck_off()
            && refusing.peek().is_some()
            && refusing.all(|document| self.is_by_image_labels(&document.policy))
    }
}

/// Writes the line.
pub(in crate::policy) fn refusal(
    rule: &Rule,
    failure: &Failure,
    subject: &Subject,
    context: &EvaluationContext<'_>,
) -> String {
    let mut message = format!("policy \"{}\"", rule.document.name);
    let require = &rule.document.require;
    let leaf = failure
        .leaf
        .and_then(|number| Some((require.leaves.get(number)?, rule.trusts.get(number)?)));
    if let Some((leaf, trust)) = leaf {
        let _ =
            write!(message, ", requirement \"{}\": {}", escaped(&leaf.name), wanted(leaf, trust));
    } else if matches!(failure.reason, Reason::DigestDenied { .. }) {
        message.push_str(": denied");
    } else {
        message.push_str(": the requirements together are not met");
    }
    let _ = write!(message, " on {}", about(subject));
    let mut reason = bounded(failure.reason.to_string(), REASON_MAX);
    if leaf.is_some_and(|(leaf, _)| is_attested_below(leaf, failure, subject)) {
        reason.push_str(BY_DIGEST);
    }
    if failure.others > 0 {
        let _ = write!(reason, " (and {} more requirements not met)", failure.others);
    }
    if leaf.is_some_and(|(leaf, _)| leaf.asks_for_signature()) && !context.looked().is_empty() {
        // The reason comes last and says most: where it was looked gives way.
        let beside = "; looked in ; ".len();
        let room = LINE_MAX.saturating_sub(message.len() + reason.len() + beside);
        let _ = write!(message, "; looked in {}", bounded(looked(context), room.max(SHORT)));
    }
    let _ = write!(message, "; {reason}");
    message
}

/// Whether what is missing may be where it does not count: on a manifest under the index whose
/// digest was asked for. Bills of materials are commonly there. Nobody who vouches for the index
/// would vouch for them (attack A10).
fn is_attested_below(leaf: &Leaf, failure: &Failure, subject: &Subject) -> bool {
    let by_digest = matches!(&subject.name, Name::Known(reference) if reference.digest().is_some());
    let is_none = matches!(
        &failure.reason,
        Reason::Unsigned
            | Reason::NoneCounts {
                why: Finding::Fault { fault: Fault::NotAttestation }
                    | Finding::OtherPredicateType { .. }
            }
    );
    by_digest && is_none && matches!(leaf.demand, Demand::Attestation { .. })
}

/// What is not there.
fn wanted(leaf: &Leaf, trust: &LeafTrust) -> String {
    let missing = if leaf.asks_for_signature() { "no" } else { "none of" };
    format!("{missing} {}", named_demand(leaf, trust))
}

/// What a requirement asks, before anything was looked at.
pub(in crate::policy) fn asked(leaf: &Leaf, trust: &LeafTrust) -> String {
    let one_of = if leaf.asks_for_signature() { "" } else { "one of " };
    format!("{one_of}{}", named_demand(leaf, trust))
}

fn named_demand(leaf: &Leaf, trust: &LeafTrust) -> String {
    match &leaf.demand {
        Demand::Digest(digests) => format!("the {} digests listed", digests.len()),
        Demand::Signature { attestor, .. } => {
            format!("{} by {}", attestor.kind.signature(), whom(attestor, trust))
        }
        Demand::Attestation { attestor, constraint } => {
            let types = constraint.predicate_types.join(" or ");
            format!(
                "attestation {} by {}",
                bounded(escaped(&types), TYPE_SHOWN),
                whom(attestor, trust)
            )
        }
    }
}

/// By whom a signature is wanted.
fn whom(attestor: &Attestor, trust: &LeafTrust) -> String {
    let Some(identities) = attestor.kind.identities() else {
        let keys: Vec<&RuleKey> =
            trust.trials.iter().filter_map(|trial| trial.key.as_ref()).collect();
        let named = |key: &&RuleKey| {
            let id = key.id.to_string();
            match &key.file {
                Some(file) => {
                    format!("{} ({}...)", bounded(escaped(file), FILE_SHOWN), shortened(&id))
                }
                None => id,
            }
        };
        return format!("key {}", some(keys.len(), keys.iter().map(named)));
    };
    let holders = some(identities.any_of.len(), identities.any_of.iter().map(described));
    match identities.authority {
        Some(authority) => {
            format!("{holders} under {}", bounded(escaped(&authority.name), FILE_SHOWN))
        }
        None => holders,
    }
}

fn described(identity: &CertificateIdentity) -> String {
    bounded(escaped(&identity.describe()), IDENTITY_SHOWN)
}

/// The first of so many, and how many more there are.
fn some(count: usize, named: impl Iterator<Item = String>) -> String {
    let mut text = named.take(NAMED).collect::<Vec<_>>().join(" or ");
    if count > NAMED {
        let _ = write!(text, " or {} more", count - NAMED);
    }
    text
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
fn looked(context: &EvaluationContext<'_>) -> String {
    let places = context
        .looked()
        .iter()
        .map(|(place, outcome)| format!("{}: {}", named(place), found(outcome)));
    bounded(places.collect::<Vec<_>>().join(", "), VALUE_MAX)
}

fn named(place: &Place) -> String {
    match place.source {
        Source::Referrers => format!("referrers of {}...", short(&place.subject)),
        source @ (Source::FallbackTag | Source::SignatureTag | Source::AttestationTag) => {
            let suffix = source.tag_suffix().unwrap_or_default();
            format!("tag sha256-{}...{suffix}", short_hex(&place.subject))
        }
    }
}

fn found(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Found(count) => format!("{count} found"),
        Outcome::Absent => "absent".to_owned(),
        Outcome::Other(what) => bounded(escaped(what), OTHER_SHOWN),
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
