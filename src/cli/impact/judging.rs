//! [`ImpactJudge`]: an affected image judged without what it rests on and with it, from the evidence that
//! is kept and what the record and the node say of the pod and the image.

use std::sync::Arc;

use serde::Serialize;

use super::affected::AffectedImage;
use crate::cli::deny::Prospect;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::KeptJudge;
use crate::cli::evidence::on_node::NodeContent;
use crate::config::Settings;
use crate::evidence::{ImageUse, Name, Notes, Origin, Pod, Subject, Traits};
use crate::evidence_store::Store;
use crate::image::{Digest, Reference};
use crate::policy::{PolicySet, Verdict};

/// What would become of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WithoutIt {
    /// It would be refused.
    Refused,
    /// The evidence on this node does not say.
    Untold,
    /// It would still be admitted.
    Admitted,
}

/// Why a refusal is no certain one.
const HINGES: &str = "policies go by labels or annotations of the pod, its handler, the image's use or \
                      labels, which are not on record";

/// Judges under both sets.
pub(super) struct ImpactJudge<'j> {
    judge: KeptJudge<'j>,
    catalog: &'j Catalog,
    prospect: &'j Prospect,
    /// Where some document goes by labels of images.
    node: Option<NodeContent>,
}

/// What one set says of an image by one name.
enum JudgedAs {
    Admitted,
    /// It is not; why, and whether nothing else could be said of it.
    Denied {
        why: String,
        is_struck_off: bool,
        /// It may be otherwise for a pod or image of which more is known.
        hinges: bool,
    },
}

impl<'j> ImpactJudge<'j> {
    /// From what is kept, as of now.
    pub(super) fn of(
        (store, catalog): (&'j Store, &'j Catalog),
        prospect: &'j Prospect,
        settings: &Settings,
    ) -> Self {
        let judge = KeptJudge::new(settings, Some(store));
        let sets = [&prospect.without, &prospect.with];
        let is_by_labels = sets.into_iter().any(|set| set.looks_at_image_labels());
        let node = is_by_labels.then(|| NodeContent::of(settings).ok()).flatten();
        Self { judge, catalog, prospect, node }
    }

    /// What becomes of it in each namespace and under each name that it was asked for by: all of them
    /// must pass.
    pub(super) fn standing(&self, image: &AffectedImage) -> (WithoutIt, String) {
        let Ok(digest) = Digest::parse(&image.digest) else {
            return (WithoutIt::Untold, "the record has no digest of it".to_owned());
        };
        let mut worst = (WithoutIt::Admitted, String::new());
        let mut is_named = false;
        let traits = self.traits(image);
        // Of a pull without a pod no namespace is known.
        let nowhere = image.namespaces.is_empty().then_some(None);
        for namespace in image.namespaces.iter().map(Some).chain(nowhere) {
            let pod =
                Pod { namespace: namespace.cloned(), traits: traits.clone(), ..Pod::default() };
            let names = image.names.iter().filter(|name| Digest::parse(name).is_err());
            for name in names {
                is_named = true;
                let one = self.by_name(name, &digest, &pod);
                if one.0 < worst.0 {
                    worst = one;
                }
            }
        }
        let unnamed = || (WithoutIt::Untold, "the records have no name of it".to_owned());
        if is_named { worst } else { unnamed() }
    }

    fn by_name(&self, name: &str, digest: &Digest, pod: &Pod) -> (WithoutIt, String) {
        let Ok(reference) = Reference::parse(name) else {
            return (WithoutIt::Untold, "what it was asked for by is no name".to_owned());
        };
        let of = |set| self.said(set, &reference, digest, pod);
        let JudgedAs::Denied { why, is_struck_off, hinges } = of(&self.prospect.with) else {
            return (WithoutIt::Admitted, String::new());
        };
        match is_struck_off || matches!(of(&self.prospect.without), JudgedAs::Admitted) {
            true if hinges && !is_struck_off => (WithoutIt::Untold, HINGES.to_owned()),
            true => (WithoutIt::Refused, why),
            false => (WithoutIt::Untold, why),
        }
    }

    /// Which of the manifests under an index this node would run is not looked up: one that is
    /// admitted is told.
    fn said(
        &self,
        set: &Arc<PolicySet>,
        reference: &Reference,
        digest: &Digest,
        pod: &Pod,
    ) -> JudgedAs {
        let children = self.catalog.children_of(digest);
        let all = children.iter().map(Some).chain(children.is_empty().then_some(None));
        let mut first = None;
        for child in all {
            let subject = Subject {
                name: Name::Known(reference.clone()),
                target: digest.clone(),
                child: child.cloned(),
                origin: Origin::Kept,
            };
            let hinges = set.hinges_on_unknown(&subject, pod);
            let judged = self.judge.judge(set, subject, pod, self.catalog);
            let (why, is_struck_off) = match judged.verdict {
                Verdict::Permit(_) if !judged.too_old => return JudgedAs::Admitted,
                Verdict::Permit(_) => {
                    ("the evidence on this node is older than maxOffline".to_owned(), false)
                }
                Verdict::Denial(denial) => (denial.to_string(), denial.is_struck_off()),
            };
            first.get_or_insert(JudgedAs::Denied { why, is_struck_off, hinges });
        }
        first.unwrap_or(JudgedAs::Admitted)
    }

    /// What is known of the pod and the image beside the namespace: the labels of the image by the
    /// config that the runtime has, and its use where all decisions were about sandboxes.
    fn traits(&self, image: &AffectedImage) -> Traits {
        let mut ids = image.image_ids.iter();
        let config = ids.next().filter(|_| ids.next().is_none());
        let config = config.and_then(|id| Digest::parse(id).ok());
        let labels = self.node.as_ref().zip(config).and_then(|(node, id)| node.labels(&id).ok()?);
        Traits {
            image_labels: labels.map(Notes::all).unwrap_or_default(),
            image_use: image.is_of_sandboxes.then_some(ImageUse::Sandbox),
            ..Traits::default()
        }
    }
}

#[cfg(test)]
mod tests;
