//! [`Explanation`]: of every document whether it is about an image, which field decided that, and what
//! it asks, in the words of the refusal.
//!
//! For people who were refused, or want to know beforehand. It asks no registry and proves nothing:
//! whether an image has what is asked, only a decision says.

mod asked;
mod denied;
pub(super) mod listing;
mod scope;
mod signing;

use jiff::Timestamp;
use serde::Serialize;

use super::document::action::{Action, OnUnreachable};
use super::set::applicable::Applicable;
use super::set::denials::DeniedBy;
use super::set::exceptions::{ExceptionStanding, standing};
use super::set::mode::Mode;
use super::set::{PolicySet, Rule, Unmatched};
use crate::evidence::{Name, Origin, Pod, Source, Subject};
use crate::image::{Digest, Reference};

pub use asked::Asked;
pub use scope::{Deciding, Patterns};
pub use signing::{SigningParty, SigningWay};

/// What there is to say of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Every policy and exception, in the order of the files.
    pub documents: Vec<ExplainedDocument>,
    /// Where signatures and attestations are looked for, all documents that match together.
    pub places: Vec<String>,
    /// What it comes to.
    pub outcome: Conclusion,
    /// Nothing is refused: the set is in observe mode.
    pub observes: bool,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedDocument {
    /// Its kind: `ImagePolicy` or `Exception`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: u64,
    /// Whether it is about this image and pod.
    pub matches: bool,
    /// The fields that decided that.
    pub by: Vec<Deciding>,
    /// What it does about an image that does not meet it; of a policy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What it does about an image whose registry cannot be reached; of a policy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_unreachable: Option<OnUnreachable>,
    /// It lets the runtime restore a container from the image, where that is a checkpoint; of a
    /// policy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_checkpoint_restore: Option<bool>,
    /// What it asks, where it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asked>,
    /// It denies this very digest.
    pub denies_digest: bool,
    /// Until when an exception lets through, and whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExplainedException>,
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedException {
    /// Who answers for it.
    pub owner: String,
    /// Why there is one.
    pub reason: String,
    /// When it ends.
    pub expires: String,
    /// Whether it counts now.
    pub in_force: bool,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Conclusion {
    /// A deny list names it: nothing admits it.
    StruckOff {
        /// The words of the refusal.
        message: String,
    },
    /// A policy denies this digest: nothing admits it.
    Denied {
        /// The policy.
        policy: String,
    },
    /// An exception lets it through, whatever else is missing.
    Excepted {
        /// The exception.
        exception: String,
    },
    /// No policy demands anything of it: it is refused.
    NoPolicy,
    /// No policy demands anything of it: it runs without proof.
    Unmatched,
    /// This policy lists digests, and the one that was named is not among them.
    NotListed {
        /// The policy.
        policy: String,
    },
    /// This policy asks for signatures, and deny lists deny those who may make them.
    SignersDenied {
        /// The policy.
        policy: String,
        /// The deny list, why and since when.
        #[serde(flatten)]
        by: DeniedBy,
    },
    /// Every one of these policies must be met.
    Demanded {
        /// Their names.
        policies: Vec<String>,
    },
    /// The policies that match let it through without proof.
    WithoutProof,
}

impl Conclusion {
    /// Whether nothing that is signed could admit the image.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::StruckOff { .. }
                | Self::Denied { .. }
                | Self::NotListed { .. }
                | Self::SignersDenied { .. }
                | Self::NoPolicy
        )
    }
}

impl PolicySet {
    /// Says of every document whether it is about this image and pod and why, what those that are
    /// ask, and what it comes to now. `patterns` are those of the documents that the set was made
    /// of.
    #[must_use]
    pub fn explain(
        &self,
        (reference, pod): (&Reference, &Pod),
        patterns: &Patterns,
        now: Timestamp,
    ) -> Explanation {
        let name = Name::Known(reference.clone());
        let digest = reference.digest();
        let digests: Option<Vec<&Digest>> = digest.map(|digest| vec![digest]);
        let digests = digests.as_deref();
        let applicable = self.applicable_by(&name, digests, pod);
        let about = scope::About::new(&self.index, (&name, digests), pod);
        let mut documents = self.policies_about(&about, patterns, digest);
        let about = scope::About::new(self.exceptions.index(), (&name, digests), pod);
        documents.extend(self.exceptions_about(&about, patterns, now));
        let outcome = self.outcome((reference, digest), &applicable, &documents, now);
        Explanation {
            places: self.places(reference, &applicable),
            documents,
            outcome,
            observes: self.mode() == Mode::Observe,
        }
    }

    fn policies_about(
        &self,
        about: &scope::About<'_>,
        patterns: &Patterns,
        digest: Option<&Digest>,
    ) -> Vec<ExplainedDocument> {
        let of = |(number, rule): (usize, &Rule)| {
            let document = &rule.document;
            let (matches, by) =
                about.decides(number, patterns.policies.get(number), &document.namespaces);
            ExplainedDocument {
                kind: "ImagePolicy",
                name: document.name.clone(),
                file: document.file.clone(),
                line: document.position.line,
                matches,
                by,
                action: Some(document.action),
                on_unreachable: Some(document.on_unreachable),
                allow_checkpoint_restore: Some(document.lets_restore),
                asks: matches.then(|| asked::of(self, rule, digest)),
                denies_digest: digest.is_some_and(|digest| document.denies(digest)),
                exception: None,
            }
        };
        self.rules.iter().enumerate().map(of).collect()
    }

    fn exceptions_about(
        &self,
        about: &scope::About<'_>,
        patterns: &Patterns,
        now: Timestamp,
    ) -> Vec<ExplainedDocument> {
        let documents = self.exceptions.documents().iter().enumerate();
        let of = |(number, exception): (usize, &crate::policy::document::exception::Exception)| {
            let (matches, by) =
                about.decides(number, patterns.exceptions.get(number), &exception.namespaces);
            let in_force = match standing(exception.expires, now, self.exceptions.span()) {
                ExceptionStanding::InForce | ExceptionStanding::EndsSoon => true,
                ExceptionStanding::Ended | ExceptionStanding::TooLong => false,
            };
            ExplainedDocument {
                kind: "Exception",
                name: exception.head.name.clone(),
                file: exception.head.file.clone(),
                line: exception.head.position.line,
                matches,
                by,
                action: None,
                on_unreachable: None,
                allow_checkpoint_restore: None,
                asks: None,
                denies_digest: false,
                exception: Some(ExplainedException {
                    owner: exception.owner.clone(),
                    reason: exception.reason.clone(),
                    expires: exception.expires.to_string(),
                    in_force,
                }),
            }
        };
        documents.map(of).collect()
    }

    fn outcome(
        &self,
        (reference, digest): (&Reference, Option<&Digest>),
        applicable: &Applicable,
        documents: &[ExplainedDocument],
        now: Timestamp,
    ) -> Conclusion {
        let name = Name::Known(reference.clone());
        let struck_off = match digest {
            Some(digest) => {
                let target = digest.clone();
                self.struck_off(&Subject { name, target, child: None, origin: Origin::Registry })
            }
            None => self.struck_off_name(&name),
        };
        if let Some(denial) = struck_off {
            return Conclusion::StruckOff { message: denial.to_string() };
        }
        let matching = || documents.iter().filter(|document| document.matches);
        let enforces = |document: &&ExplainedDocument| document.action == Some(Action::Enforce);
        if let Some(document) = matching().filter(enforces).find(|d| d.denies_digest) {
            return Conclusion::Denied { policy: document.name.clone() };
        }
        if let Some(exception) = self.exceptions.in_force(applicable.exceptions(), now) {
            return Conclusion::Excepted { exception: exception.head.name.clone() };
        }
        if !applicable.demands() {
            return match self.unmatched {
                Unmatched::Deny => Conclusion::NoPolicy,
                Unmatched::Admit => Conclusion::Unmatched,
            };
        }
        let demands = |document: &&ExplainedDocument| {
            !matches!(document.asks, None | Some(Asked::Anything | Asked::Nothing))
        };
        let cannot = |d: &&ExplainedDocument| d.asks.as_ref().is_some_and(|a| !a.can_be_met());
        if let Some(document) = matching().filter(enforces).find(cannot) {
            return Conclusion::NotListed { policy: document.name.clone() };
        }
        let denied =
            |d: &ExplainedDocument| Some((d.name.clone(), d.asks.as_ref()?.denied()?.clone()));
        if let Some((policy, by)) = matching().filter(enforces).find_map(denied) {
            return Conclusion::SignersDenied { policy, by };
        }
        let policies: Vec<String> =
            matching().filter(enforces).filter(demands).map(|d| d.name.clone()).collect();
        if policies.is_empty() {
            Conclusion::WithoutProof
        } else {
            Conclusion::Demanded { policies }
        }
    }

    /// Where signatures would be looked for. Without a digest the tags have its place in them.
    fn places(&self, reference: &Reference, applicable: &Applicable) -> Vec<String> {
        let plan = self.plan(applicable);
        if !plan.asks_for_evidence() {
            return Vec::new();
        }
        let sources = Source::ALL.into_iter().filter(|source| match source {
            Source::Referrers | Source::FallbackTag => true,
            Source::SignatureTag => plan.signatures,
            Source::AttestationTag => plan.attestations,
        });
        let hex = reference.digest().map_or("<digest>", Digest::hex);
        let repositories = self.signature_repositories(applicable, &reference.repository());
        let of = |source: Source, repository: &crate::image::Repository| match source {
            Source::Referrers => format!("referrers of {repository}@sha256:{hex}"),
            Source::FallbackTag | Source::SignatureTag | Source::AttestationTag => {
                format!("{repository}:sha256-{hex}{}", source.tag_suffix().unwrap_or_default())
            }
        };
        let sources: Vec<Source> = sources.collect();
        repositories
            .iter()
            .flat_map(|repository| sources.iter().map(move |source| of(*source, repository)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
