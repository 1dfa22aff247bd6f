//! What the runtime made: the proof that a new container's root filesystem and image volumes are
//! those of the images that were decided on (fact C6), and the memory of containers so proven.

use super::local_image::LocalPermit;
use super::{Gate, PolicyMark, ProvenUnder, Refusal};
use crate::containerd::{Expected, ExpectedVolume, Proven};

/// A container with what was decided for it.
#[derive(Debug)]
pub struct CreatedContainer<'a> {
    /// Its id, as the runtime answered it.
    pub id: &'a str,
    /// The permit of its own image.
    pub image: &'a LocalPermit,
    /// The sandbox that it must be in, where that is known.
    pub sandbox: Option<&'a str>,
    /// Its image volumes; it may have no other.
    pub volumes: Vec<CreatedVolume<'a>>,
}

/// An image volume with what was decided for it.
#[derive(Debug)]
pub struct CreatedVolume<'a> {
    /// Where it goes in the container.
    pub container_path: String,
    /// The permit of its image.
    pub permit: &'a LocalPermit,
}

/// A container that this process proved: its admission is on record.
#[derive(Debug)]
pub struct ProvenBefore(());

impl Gate {
    /// Proves that what was made is what was decided on. [`Gate::remember_proven`] lets it start;
    /// the decision must be recorded before.
    ///
    /// # Errors
    /// [`Refusal::Differs`] when it is not, [`Refusal::Runtime`] when that could not be seen. The
    /// container must then not be started: it is not remembered, and [`Gate::remove_container`]
    /// removes it.
    pub async fn verify_container(&self, made: &CreatedContainer<'_>) -> Result<Proven, Refusal> {
        let volume = |volume: &CreatedVolume<'_>| ExpectedVolume {
            container_path: volume.container_path.clone(),
            chain_id: volume.permit.content().chain_id().clone(),
        };
        let expected = Expected {
            image: made.image.content().id().clone(),
            sandbox: made.sandbox.map(str::to_owned),
            root: made.image.content().chain_id().clone(),
            volumes: made.volumes.iter().map(volume).collect(),
        };
        self.runtime.prove_container(made.id, &expected).await.map_err(Refusal::from)
    }

    /// Lets a proven container start from now on, without another look, as long as the documents
    /// that it was admitted under are in force and no admission of it has ended. What it rests on
    /// must be on record: a start of it writes no other.
    pub fn remember_proven(&self, proven: &Proven, under: ProvenUnder) {
        self.made.note(proven);
        self.proven.remember(proven.container(), under);
    }

    /// Whether this process proved the container, after its admission was recorded. One that was
    /// admitted under other documents than are in force is decided on again: what it runs may have
    /// been struck off since. So is one that was let through until a day which has come.
    #[must_use]
    pub fn proven_before(&self, container: &str) -> Option<ProvenBefore> {
        let in_force = PolicyMark::of(&self.policy());
        let holds = self.proven.holds(container, &in_force, || self.now());
        holds.then_some(ProvenBefore(()))
    }

    /// Removes a container that could not be proven; whether the runtime did.
    pub async fn remove_container(&self, container: &str) -> bool {
        self.made.note_removed(container, self.clock().unix());
        let removed = self.runtime.remove_container(container).await;
        removed
            .inspect_err(|error| {
                tracing::error!(container, %error, "a container that was not proven could not be \
                    removed; it will not be started");
            })
            .is_ok()
    }
}
