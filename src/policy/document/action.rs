//! [`Action`]: what becomes of an image that does not meet a document; [`OnUnreachable`]: what
//! becomes of one of which that cannot be told, since no registry answers.

use serde::{Deserialize, Serialize};

use crate::policy::scope::regional::HostScope;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{Fields, Reader};

/// The fields that select by what is not always known of pods and images, beside `namespaces`.
const SELECTORS: [&str; 6] =
    ["excludeNamespaces", "podLabels", "podAnnotations", "runtimeHandlers", "imageLabels", "kinds"];

/// The words of `action`.
pub(in crate::policy) const ACTIONS: &[&str] = &["enforce", "warn"];
/// The words of `onUnreachable`.
pub(in crate::policy) const ON_UNREACHABLE: &[&str] = &["deny", "insecureAdmit"];

/// What a document does with an image that does not meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Refuse it.
    Enforce,
    /// Admit it and say so.
    Warn,
}

/// What a document does with an image of which nothing is known but that a place where its
/// signatures may be could not be reached. A signature that was found and does not count is never
/// its business.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnUnreachable {
    /// Refuse it.
    #[default]
    Deny,
    /// Admit it and say so: an attacker who can cut the node off from the registry gets it in.
    InsecureAdmit,
}

impl OnUnreachable {
    /// Reads `onUnreachable` of `spec`; none where it is there and is no such word.
    pub(super) fn read(spec: &Fields<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(at) = spec.get("onUnreachable") else { return Some(Self::Deny) };
        reader.word(at, ON_UNREACHABLE).map(|word| match word {
            "insecureAdmit" => Self::InsecureAdmit,
            _ => Self::Deny,
        })
    }

    /// Whether a document with this action lets through what it could not ask a registry about. It
    /// enforces all the same.
    pub(in crate::policy) fn admits(self, action: Action) -> bool {
        self == Self::InsecureAdmit && action == Action::Enforce
    }

    /// Tells that the field does not go with another, does nothing, or undoes what another is there
    /// for. `asks` says whether the document asks for a signature or an attestation.
    pub(super) fn check(
        self,
        (action, hosts): (Action, HostScope),
        asks: bool,
        spec: &Fields<'_>,
        reader: &mut Reader,
    ) {
        let Some(at) = spec.get("onUnreachable") else { return };
        // Attack E8: what lets something through says where, to the letter.
        let is_open = self.admits(action) && hosts != HostScope::Literal;
        if let Some(at) = spec.get("images").filter(|_| is_open) {
            reader.fault(at, PolicyFault::PermissiveHost);
        }
        // What is not known of a pod or an image counts for every document that demands something, and for none
        // that lets something through (attack E8).
        for with in SELECTORS.into_iter().filter(|_| self == Self::InsecureAdmit) {
            if spec.get(with).is_some() {
                reader.fault(at, PolicyFault::Excludes { name: "onUnreachable", with });
            }
        }
        if !asks {
            reader.advise(at, Advice::NoEvidenceAsked { name: "onUnreachable" });
        } else if self.admits(action) {
            let offline = spec.get("maxOffline");
            offline.into_iter().for_each(|at| reader.advise(at, Advice::AdmitsUnreachable));
        }
    }
}
