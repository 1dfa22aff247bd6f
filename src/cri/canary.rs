//! The image of a reserved name by which the gate tests itself: nobody may bring or run it
//! ([`not_reserved`]), and a pull of it that the gate expects from itself is recognised by its
//! digest ([`ExpectedCanary`]).
//!
//! The digest is made for one pull and known to this process alone until that pull: who answers it
//! without this gate having seen it is something else in the gate's place. Nothing here pulls.

use std::sync::{Arc, Mutex, PoisonError};

use super::Refusal;
use crate::image::{Digest, RESERVED_HOST, Reference};

/// The pull that the gate expects from itself; one at a time.
#[derive(Debug, Default)]
pub struct Canary(Mutex<Option<Expected>>);

#[derive(Debug)]
struct Expected {
    digest: Digest,
    refused: bool,
}

/// A pull that is expected, for as long as this lives.
#[derive(Debug)]
pub struct ExpectedCanary {
    canary: Arc<Canary>,
    image: String,
}

/// The expected pull came and is refused: the right to answer it without a record.
#[derive(Debug)]
pub(in crate::cri) struct CanarySeen(());

/// Refuses the names under the reserved host.
///
/// # Errors
/// [`Refusal::ReservedName`].
pub(super) fn not_reserved(reference: &Reference) -> Result<(), Refusal> {
    if reference.runtime_repository().is_reserved() {
        return Err(Refusal::ReservedName { image: reference.to_string() });
    }
    Ok(())
}

impl Canary {
    fn expected(&self) -> std::sync::MutexGuard<'_, Option<Expected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects a pull of the reserved image at this digest. Whoever expected one before it expects
    /// none any more.
    #[must_use]
    pub fn expect_pull(self: &Arc<Self>, digest: Digest) -> ExpectedCanary {
        let image = format!("{RESERVED_HOST}/canary@{digest}");
        *self.expected() = Some(Expected { digest, refused: false });
        ExpectedCanary { canary: Arc::clone(self), image }
    }

    /// Notes that a pull of a reserved image is refused; whether it is the one that is expected.
    pub(super) fn saw(&self, image: &str) -> Option<CanarySeen> {
        let reference = Reference::parse(image).ok()?;
        let mut expected = self.expected();
        let expected =
            expected.as_mut().filter(|expected| reference.digest() == Some(&expected.digest))?;
        expected.refused = true;
        Some(CanarySeen(()))
    }
}

impl ExpectedCanary {
    /// The image to pull.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Whether this gate has seen that very pull, and refused it.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.canary.expected().as_ref().is_some_and(|expected| {
            expected.refused && self.image.ends_with(expected.digest.as_str())
        })
    }
}

impl Drop for ExpectedCanary {
    fn drop(&mut self) {
        let mut expected = self.canary.expected();
        if expected.as_ref().is_some_and(|own| self.image.ends_with(own.digest.as_str())) {
            *expected = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_pull_is_recognised_and_only_while_it_is_expected() {
        let canary = Arc::new(Canary::default());
        let digest = Digest::of(b"one");
        let image = |host: &str, digest: &Digest| format!("{host}/canary@{digest}");
        assert!(canary.saw(&image(RESERVED_HOST, &digest)).is_none());
        let expected = canary.expect_pull(digest.clone());
        assert_eq!(expected.image(), image(RESERVED_HOST, &digest));
        assert!(canary.saw(&image(RESERVED_HOST, &Digest::of(b"two"))).is_none());
        assert!(canary.saw("canary.sealgate.invalid/canary:1").is_none());
        assert!(!expected.was_refused());
        assert!(canary.saw(expected.image()).is_some());
        assert!(expected.was_refused());
        // Another takes its place, and the end of the first does not end it.
        let next = canary.expect_pull(Digest::of(b"three"));
        assert!(!expected.was_refused() && !next.was_refused());
        drop(expected);
        assert!(canary.saw(next.image()).is_some() && next.was_refused());
        let image = next.image().to_owned();
        drop(next);
        assert!(canary.saw(&image).is_none());
    }

    #[test]
    fn the_reserved_name_is_refused_in_every_spelling() {
        for text in ["canary.sealgate.invalid/a", "Canary.SEALGATE.invalid:443/a/b:1"] {
            let refused = not_reserved(&Reference::parse(text).unwrap());
            assert!(matches!(refused, Err(Refusal::ReservedName { .. })), "{text}");
        }
        assert!(not_reserved(&Reference::parse("sealgate.invalid/a").unwrap()).is_ok());
    }
}
