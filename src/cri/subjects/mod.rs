//! What a decision on an image of the runtime's would be about ([`LocalSubjects`]), without the
//! decision: for those who judge it under other documents, with no network.
//!
//! The names and the proof are those of a decision; nothing is judged or remembered here.

mod image_labels;

use super::ask::{LocalImageRequest, asked_names, names_to_pass};
use super::{Gate, Refusal};
use crate::evidence::{Notes, Subject};
use crate::image::{Digest, Reference};

/// One image that is in the runtime's store and was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSubjects {
    /// For each name under which it must pass the subjects of which one must be admitted. Those of
    /// which the runtime's content proves that they are this image; none where none is.
    pub names: Vec<Vec<Subject>>,
    /// The image's id and every digest that the runtime lists it under: a deny list that names one
    /// of them refuses it.
    pub digests: Vec<Digest>,
    /// The labels of the image's config; not known where no content was proven.
    pub labels: Notes,
}

impl Gate {
    /// The subjects of a decision on an image that the runtime has.
    ///
    /// # Errors
    /// [`Refusal`] when the image cannot be told, as a decision would be refused.
    pub async fn local_subjects(&self, ask: &LocalImageRequest) -> Result<LocalSubjects, Refusal> {
        let asked = asked_names(ask).map_err(Refusal::BadReference)?;
        let image = self.runtime.identify(&ask.image).await?;
        let image = image.ok_or_else(|| Refusal::NotPresent { image: ask.image.clone() })?;
        let (mut names, mut labels) = (Vec::new(), Notes::default());
        for name in names_to_pass(&asked, &image)? {
            let (targets, origin) = self.targets(&image, &name).await?;
            let mut subjects = Vec::new();
            for target in targets {
                match self.prove_content(&target, &image.id).await {
                    Ok(content) => {
                        labels = content.labels().clone();
                        subjects.push(Subject {
                            name: name.clone(),
                            target: content.target().clone(),
                            child: content.child().cloned(),
                            origin,
                        });
                    }
                    Err(error @ (Refusal::Runtime(_) | Refusal::Checkpoint)) => return Err(error),
                    // A digest that is not this image's: another under the name may be.
                    Err(_) => {}
                }
            }
            names.push(subjects);
        }
        let listed = image.digests.iter().filter_map(|name| Reference::parse(name).ok());
        let listed = listed.filter_map(|name| name.digest().cloned());
        Ok(LocalSubjects { names, digests: listed.chain([image.id]).collect(), labels })
    }
}
