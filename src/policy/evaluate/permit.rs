//! [`Verdict`], [`Permit`] and [`Denial`]: what the judge says. Only this room can make a permit,
//! and only a permit lets anything through.

use std::fmt;

use serde::Serialize;

use crate::evidence::Subject;
use crate::image::Digest;

use super::finding::Finding;
use super::report::Report;
use crate::policy::document::action::Action;
use crate::policy::sanitize::{LINE_MAX, bounded, escaped};
use crate::policy::set::denials::DeniedBy;

/// Longest note at the end of a denial's line, in bytes.
const NOTE_MAX: usize = 300;

/// Most documents that only warn of which a permit says why: it is remembered, and each line has up
/// to a kilobyte.
const WARNINGS_MAX: usize = 4;

/// What came of a judgement.
#[derive(Debug, Clone)]
#[must_use = "a verdict that nobody looks at lets nothing through and refuses nothing"]
pub enum Verdict {
    /// The image may run.
    Permit(Permit),
    /// It may not.
    Denial(Denial),
}

/// An image may run: every enforcing document that matched was met. Only the judge makes one.
#[derive(Debug, Clone)]
#[must_use = "a permit is to be acted under"]
pub struct Permit {
    subject: Subject,
    pinned: Digest,
    report: Report,
    until: Option<jiff::Timestamp>,
    warned: Vec<Warning>,
}

/// What a document that only warns would have refused the image for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The document.
    pub policy: String,
    /// Why, for programs.
    pub reason: Reason,
    /// The line that the refusal would have printed.
    pub message: String,
}

/// An image may not run.
#[derive(Debug, Clone)]
#[must_use = "a denial is to be answered"]
pub struct Denial {
    pub(in crate::policy) reason: Reason,
    pub(in crate::policy) class: Class,
    pub(in crate::policy) policy: Option<String>,
    pub(in crate::policy) requirement: Option<String>,
    pub(in crate::policy) message: String,
    /// The documents that are not met, where all of them admit what they cannot check and nothing
    /// else speaks against the image; empty otherwise.
    pub(in crate::policy) unreachable_for: Vec<String>,
    pub(in crate::policy) report: Report,
}

/// Which of three different answers a denial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Evaluated and refused: everything was looked at and does not suffice.
    Refused,
    /// A place would not let us look, or what is there cannot be read in full: nothing is known.
    Unable,
    /// A place could not be reached: nothing is known.
    Unreachable,
}

/// Why an image may not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase")]
pub enum Reason {
    /// No policy matches the name.
    NoPolicy,
    /// The documents that matched belong to another set than the one that judges: match again.
    StaleSet,
    /// Every place was looked in and there is no signature.
    Unsigned,
    /// There are signatures and none counts; this is the most telling reason.
    NoneCounts {
        /// Why.
        why: Finding,
    },
    /// There is a signature or an attestation of which it could not be told whether it counts: a
    /// condition that cannot be evaluated, a certificate of which no current list says whether it
    /// was revoked.
    NotTold {
        /// Why.
        why: Finding,
    },
    /// Each requirement is met, but not by keys of their own: one key counts once.
    KeysNotDistinct,
    /// The digest is none of those that the policy lists.
    DigestNotListed,
    /// The digest is one that the policy denies, whoever signed it.
    DigestDenied {
        /// The digest: the target's, or the platform manifest's under it.
        digest: String,
        /// The deny list that names it; none where the policy's own `deny` does.
        by: Option<Box<DeniedBy>>,
    },
    /// The image's name is in a repository that a deny list names.
    RepositoryDenied {
        /// The pattern.
        pattern: String,
        /// The deny list.
        by: Box<DeniedBy>,
    },
    /// The image was not brought from a registry (imported, renamed); signatures cannot speak for
    /// it.
    NoOrigin,
    /// The image has no name, so that no repository can be asked.
    NoName,
    /// A place where the signature may be could not be reached.
    Unreachable {
        /// The place.
        place: String,
        /// What happened.
        said: String,
    },
    /// A place where the signature may be would not let us look or could not be read.
    Unable {
        /// The place.
        place: String,
        /// What happened.
        said: String,
    },
    /// A digest on which a signature may be was not looked for at all.
    NotLooked {
        /// The digest.
        digest: String,
    },
    /// There are more signatures than one decision looks at, and those that were looked at do not
    /// suffice.
    TooManySignatures,
    /// The policies that match name more repositories for signatures than one decision looks in.
    TooManyRepositories {
        /// The limit.
        limit: usize,
    },
    /// The thresholds combine in more ways than are searched.
    TooComplex,
}

impl Permit {
    /// The one door: called by the judge alone.
    pub(in crate::policy) fn new(
        subject: Subject,
        pinned: Digest,
        report: Report,
        until: Option<jiff::Timestamp>,
    ) -> Self {
        Self { subject, pinned, report, until, warned: Vec::new() }
    }

    /// The same, with what documents that only warn would have refused the image for.
    pub(in crate::policy) fn warned_by(mut self, mut warned: Vec<Warning>) -> Self {
        warned.truncate(WARNINGS_MAX);
        self.warned = warned;
        self
    }

    /// Why the first few documents that only warn would have refused the image.
    #[must_use]
    pub fn warned(&self) -> &[Warning] {
        &self.warned
    }

    /// What was judged.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The digest to pull and name: the target's, or the child's when any requirement rests on the
    /// child (fact P15).
    #[must_use]
    pub fn pinned(&self) -> &Digest {
        &self.pinned
    }

    /// What was asked and what came of it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Until when it holds: the earliest moment at which one of the signatures that counted ends to
    /// do so, by a key's window, the age of a signature, a certificate or revocation list that was
    /// judged at now; and an hour where a condition asks for the time. None where nothing ends. No
    /// signature that a threshold could have done without is left out: a permit may end early,
    /// never late.
    #[must_use]
    pub fn valid_until(&self) -> Option<jiff::Timestamp> {
        self.until
    }

    /// Whether it rests on proof alone: every policy that enforces was met, one of them at least by
    /// proof, and neither an exception nor a registry that could not be reached let the image
    /// through.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        let Report { unmatched, exception, unchecked, documents } = &self.report;
        let mut enforcing = documents.iter().filter(|it| it.action == Action::Enforce);
        !unmatched
            && exception.is_none()
            && unchecked.is_none()
            && enforcing.clone().any(|document| !document.accepts_anything)
            && enforcing.all(|document| document.satisfied)
    }

    /// The names of the policies that were not met and only warn.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let failed = self.report.documents.iter().filter(|document| !document.satisfied);
        failed
            .filter(|document| document.action == Action::Warn)
            .map(|document| document.policy.as_str())
    }
}

impl Denial {
    /// Why, for programs.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether a digest or a repository is denied: no signature would help.
    #[must_use]
    pub fn is_struck_off(&self) -> bool {
        matches!(self.reason, Reason::DigestDenied { .. } | Reason::RepositoryDenied { .. })
    }

    /// Which of three different answers it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The policy that refused; none when no policy matched.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The requirement that was not met; none when none matched or the thresholds together were not
    /// met.
    #[must_use]
    pub fn requirement(&self) -> Option<&str> {
        self.requirement.as_deref()
    }

    /// What was asked and what came of it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether a call would let the image through all the same while its registry cannot be
    /// reached: `onUnreachable: insecureAdmit`.
    #[must_use]
    pub fn is_admitted_unchecked(&self) -> bool {
        !self.unreachable_for.is_empty()
    }

    /// The same denial, with more to say at the end of its line: what is known beside what was
    /// judged. At most 300 bytes of it are shown, and what else the line says gives way to them.
    pub fn noting(mut self, note: &str) -> Self {
        let note = bounded(escaped(note), NOTE_MAX);
        let room = LINE_MAX.saturating_sub(note.len() + "; ".len());
        self.message = format!("{}; {note}", bounded(self.message, room));
        self
    }
}

/// One line of printable ASCII, at most a kilobyte: which policy, which requirement, what was
/// looked for and where, what was found.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bounded(self.message.clone(), LINE_MAX))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy => {
                f.write_str("no policy matches, and what no policy matches is denied")
            }
            Self::StaleSet => {
                f.write_str("the policies changed while this image was judged; try again")
            }
            Self::Unsigned => f.write_str("no signature there"),
            Self::NoneCounts { why } | Self::NotTold { why } => why.fmt(f),
            Self::KeysNotDistinct => {
                f.write_str("signed, but the threshold needs distinct signers and each counts once")
            }
            Self::DigestNotListed => f.write_str("the digest is none of those listed"),
            Self::DigestDenied { digest, by: None } => {
                write!(f, "{digest} is denied, whoever signed it")
            }
            Self::DigestDenied { digest, by: Some(by) } => {
                write!(f, "{digest} is denied by {by}")
            }
            Self::RepositoryDenied { pattern, by } => {
                write!(f, "the repository is denied ({pattern}) by {by}")
            }
            Self::NoOrigin => f.write_str(
                "the image was not brought from a registry (imported or renamed) and there is no \
                 evidence on it on this node; bring its signatures with sealgate evidence import, \
                 or admit it by a digest rule",
            ),
            Self::NoName => f.write_str(
                "the image has no name to look for signatures under; only a digest rule can admit \
                 it",
            ),
            Self::Unreachable { place, said } => write!(f, "{place} could not be reached: {said}"),
            Self::Unable { place, said } => write!(f, "{place} could not be read: {said}"),
            Self::NotLooked { digest } => write!(f, "signatures on {digest} were not looked for"),
            Self::TooManySignatures => {
                f.write_str("there are more signatures than one decision looks at")
            }
            Self::TooManyRepositories { limit } => {
                write!(
                    f,
                    "the policies that match name more than {limit} repositories for signatures"
                )
            }
            Self::TooComplex => {
                f.write_str("the thresholds combine in more ways than are searched")
            }
        }
    }
}
