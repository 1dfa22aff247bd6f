//! What containerd's image verifier asks before the runtime brings an image, no matter who told it
//! to: [`verify_image`].
//!
//! A pull that the gate itself has forwarded was decided on already, with the pod that it is for,
//! which the verifier is not told. It is answered from what is noted, and waits for nothing that the
//! pull holds.

use std::time::Instant;

use crate::cri::ask::{Call, PullRequest};
use crate::cri::{ForwardedAs, Gate, Recorder, Refusal, Refused};
use crate::evidence::Pod;
use crate::image::{Digest, Reference};

/// Why the runtime may bring an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayBring {
    /// It was decided on now, and that is on record; what it came to.
    Decided(ForwardedAs),
    /// It is what the gate has just told the runtime to pull, which has its own record.
    Forwarded,
}

/// Decides whether the runtime may bring the image of this digest, which it resolved `name` to, and
/// records the decision. The pod is not known, so that every policy that enforces and matches the
/// image in some namespace counts.
///
/// # Errors
/// [`Refused`], which says where it is on record.
pub async fn verify_image(
    (gate, recorder): (&Gate, &Recorder),
    (name, digest): (&str, &str),
    deadline: Instant,
) -> Result<MayBring, Refused> {
    let policy = gate.policy();
    let image = pinned(name, digest);
    if image.as_ref().is_ok_and(|image| gate.pending_pulls.has(image)) {
        return Ok(MayBring::Forwarded);
    }
    let shown = image.as_deref().unwrap_or(name).to_owned();
    let ask = PullRequest { image: shown, pod: Pod::default(), auth: None, deadline };
    let mut event = recorder.pull(&ask, &policy);
    event.call(Call::ImageVerifier);
    let decided = match image {
        // Boxed, since it is many times larger than all that is around it.
        Ok(_) => Box::pin(gate.forward_pull(&ask, &policy, None, &mut event.timings)).await,
        Err(refusal) => Err(refusal),
    };
    match decided {
        Ok(pull) => event.forwarded_pull(&pull),
        Err(refusal) => return Err(recorder.refuse(&event, refusal).await),
    }
    let _on_record = recorder.admit(std::slice::from_ref(&event)).await?;
    Ok(MayBring::Decided(event.standing()))
}

/// The image by the digest that the runtime resolved it to, whatever the name says today.
fn pinned(name: &str, digest: &str) -> Result<String, Refusal> {
    let bad = |why: String| Refusal::BadRequest { why };
    let digest = Digest::parse(digest).map_err(|error| bad(format!("the digest: {error}")))?;
    let reference = Reference::parse(name).map_err(Refusal::BadReference)?;
    match reference.digest() {
        Some(named) if *named != digest => {
            Err(bad(format!("{name} was resolved to another digest, {digest}")))
        }
        Some(_) | None => Ok(reference.runtime_repository().at(&digest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_decided_on_by_the_digest_that_the_runtime_resolved() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let expected = format!("reg.example/app@{one}");
        for name in ["reg.example/app:1", &expected] {
            assert_eq!(pinned(name, one.as_str()).unwrap(), expected, "{name}");
        }
        // A digest that is already pinned stays as it is: by that a forwarded pull is recognised.
        assert_eq!(pinned(&expected, one.as_str()).unwrap(), expected);
        assert!(pinned(&expected, other.as_str()).is_err());
        assert!(pinned("reg.example/app:1", "sha256:12").is_err());
        assert!(pinned("/tmp/app", one.as_str()).is_err());
    }
}
