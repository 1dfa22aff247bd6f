//! [`Report`]: what was asked of an image and what came of it, for the audit log.
//!
//! Every document that matched, every requirement, every signature with what became of it. Texts in
//! it are bounded and escaped (attack E3). A report decides nothing.

use std::fmt;

use serde::Serialize;

use crate::image::Digest;

use super::finding::Finding;
use super::serialize::display;
use super::signer::Signer;
use crate::policy::document::action::Action;
use crate::policy::set::exceptions::ExceptionUsed;

/// Everything that was judged for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No document matched; the verdict is the set's `unmatched`.
    pub unmatched: bool,
    /// The exception by which the image was let through; none where it did not need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExceptionUsed>,
    /// That the image was let through unchecked, since its registry could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unchecked: Option<Unchecked>,
    /// The documents that matched, in the order of the files.
    pub documents: Vec<DocumentReport>,
}

/// That an image was let through though nobody could check it: its registry could not be reached,
/// and every document that is not met says `onUnreachable: insecureAdmit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unchecked {
    /// The documents that are not met.
    pub policies: Vec<String>,
    /// What would have refused the image, in the words of that refusal.
    pub refusal: String,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentReport {
    /// Its name.
    pub policy: String,
    /// What it does.
    pub action: Action,
    /// Whether it was met.
    pub satisfied: bool,
    /// `insecureAcceptAnything`: nothing was asked.
    pub accepts_anything: bool,
    /// Each requirement that is no threshold, in the order written.
    pub requirements: Vec<RequirementReport>,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequirementReport {
    /// Its name.
    pub name: String,
    /// Whether it was met, by itself; a threshold around it may still count it not, for lack of a
    /// key of its own.
    pub satisfied: bool,
    /// Who met it, each once, at most [`SIGNERS_MAX`].
    pub signers: Vec<Signer>,
    /// How many signers are left out.
    #[serde(skip_serializing_if = "is_none")]
    pub signers_omitted: usize,
    /// The digests on which it rests: the target's, the child's or both.
    #[serde(rename = "rests_on")]
    pub signed_objects: Vec<SignedObject>,
    /// What became of each signature that was looked at, at most [`SIGNATURE_RESULTS_MAX`].
    #[serde(rename = "fates")]
    pub signature_results: Vec<SignatureResult>,
    /// How many of these are left out.
    #[serde(rename = "fates_omitted")]
    pub signature_results_omitted: usize,
}

/// Most signature results that one requirement's report lists: a record stays readable and small.
pub const SIGNATURE_RESULTS_MAX: usize = 16;

/// Most signers that one requirement's report lists. With a certificate and all that stands in it
/// one takes some two kilobytes, and a whole record has 64.
pub const SIGNERS_MAX: usize = 8;

/// Longest that signers and signature results may be as JSON, in bytes, all requirements together:
/// a record of the audit log has 64 KiB, and what does not fit there is cut whole. Each requirement
/// has an equal share.
const REPORT_MAX: usize = 48 * 1024;

/// Which of the subject's two digests a signature is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum SignedObject {
    /// What the name points at: an index, or a manifest.
    #[serde(rename = "target")]
    Target,
    /// The platform manifest under an index.
    #[serde(rename = "child")]
    PlatformManifest,
}

/// What became of one signature for one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignatureResult {
    /// The digest of the layer that carried it.
    #[serde(serialize_with = "display")]
    pub item: Digest,
    /// Where it was found.
    pub place: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: SignatureOutcome,
}

/// A signature counts, or says why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum SignatureOutcome {
    /// It counts. The signer without what stands in the certificate beside the name: the
    /// requirement's signers have it.
    Signed(Signer),
    /// It does not, and this is the most telling reason over all whom the requirement names.
    Refused(Finding),
    /// It could not be told whether it does.
    Unable(Finding),
}

impl Report {
    /// Of these documents.
    pub(in crate::policy) fn of(unmatched: bool, documents: Vec<DocumentReport>) -> Self {
        Self { unmatched, exception: None, unchecked: None, documents }
    }

    /// The report with no more signers and signature results than fit a record. Whoever adds
    /// signatures to an image lengthens its report; what counted stays before what did not, and of
    /// each requirement its first signer stays in any case.
    pub(in crate::policy) fn bounded(mut self) -> Self {
        let requirements = || self.documents.iter().map(|document| document.requirements.len());
        let share = REPORT_MAX.checked_div(requirements().sum()).unwrap_or(REPORT_MAX);
        for document in &mut self.documents {
            document.requirements.iter_mut().for_each(|requirement| requirement.fit(share));
            document.requirements.shrink_to_fit();
        }
        self.documents.shrink_to_fit();
        self
    }
}

impl RequirementReport {
    fn fit(&mut self, mut room: usize) {
        let (signers, signature_results) = (self.signers.len(), self.signature_results.len());
        let mut number = 0;
        self.signers.retain(|signer| {
            number += 1;
            takes(&mut room, signer) || number == 1
        });
        let counts =
            |result: &SignatureResult| matches!(result.outcome, SignatureOutcome::Signed(_));
        let mut kept: Vec<bool> = self
            .signature_results
            .iter()
            .map(|result| counts(result) && takes(&mut room, result))
            .collect();
        for (result, kept) in self.signature_results.iter().zip(&mut kept) {
            *kept |= !counts(result) && takes(&mut room, result);
        }
        let mut kept = kept.into_iter();
        self.signature_results.retain(|_| kept.next().unwrap_or(false));
        // A report is remembered as long as its verdict; vectors grow by fours.
        self.signers.shrink_to_fit();
        self.signature_results.shrink_to_fit();
        self.signed_objects.shrink_to_fit();
        self.signers_omitted += signers - self.signers.len();
        self.signature_results_omitted += signature_results - self.signature_results.len();
    }
}

/// Takes what it needs as JSON out of the room, or nothing where it does not fit.
fn takes(room: &mut usize, value: &impl Serialize) -> bool {
    let size = serde_json::to_vec(value).map_or(usize::MAX, |json| json.len());
    let left = room.checked_sub(size);
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// `let through unchecked, as policy "app" says (onUnreachable: insecureAdmit); otherwise: ...`.
impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.policies.iter().map(|name| format!("\"{name}\"")).collect();
        let (policies, say) = match named.len() {
            1 => ("policy", "says"),
            _ => ("policies", "say"),
        };
        write!(
            f,
            "let through unchecked, as {policies} {} {say} (onUnreachable: insecureAdmit); \
             otherwise: {}",
            named.join(", "),
            self.refusal
        )
    }
}

fn is_none(count: &usize) -> bool {
    *count == 0
}
