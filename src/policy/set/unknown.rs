//! Whether a verdict hinges on what is not known of a pod or an image, for who judges what is on record:
//! a record has neither labels nor annotations.

use super::PolicySet;
use super::applicable::Index;
use crate::evidence::{Pod, Subject};
use crate::image::Digest;
use crate::policy::scope::pinned::Digests;
use crate::policy::scope::selectors::Selection;

impl PolicySet {
    /// Whether some document or exception is about this image in this namespace, and goes by labels,
    /// annotations, a handler, a use or labels of the image that are not known. Such a document counts
    /// where it demands, and does not where it lets through; of the pod that asked it may have been
    /// otherwise.
    #[must_use]
    pub fn hinges_on_unknown(&self, subject: &Subject, pod: &Pod) -> bool {
        let digests: Vec<&Digest> =
            std::iter::once(&subject.target).chain(&subject.child).collect();
        let hinges = |index: &Index| is_unknown(index, subject, Some(&digests), pod);
        hinges(&self.index) || hinges(self.exceptions.index())
    }
}

fn is_unknown(index: &Index, subject: &Subject, digests: Digests<'_>, pod: &Pod) -> bool {
    let mut about = index.about(&subject.name, digests);
    about.keep(&index.inside(pod));
    about.iter().any(|number| {
        let selectors = index.selectors().of(number);
        selectors.is_some_and(|one| one.says(&pod.traits) == Selection::Unknown)
    })
}
