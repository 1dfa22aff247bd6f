//! The one door from a signature to [`Signed`]: [`Untrusted::prove`], by key, by a Sigstore instance's certificate, or by
//! an own authority's.
//!
//! What costs nothing is compared first: the claim, the digest, the way it was signed. Then signature and evidence.

use jiff::Timestamp;

use super::crypto::Message;
use super::leaf::Leaf;
use super::log::{self, By};
use super::untrusted::{ArtifactDigest, Content, Material, Signed, Signer, Untrusted};
use super::witness::Witnessed;
use super::{About, Authority, Budget, Claim, Demands, Fault, PublicKey, Trust, TrustRoot, sigstore};
use crate::image::Digest;

/// What is known of what was signed, what is asked of the evidence, and as of when.
#[derive(Clone, Copy)]
struct Ask<'a> {
    /// What the signature covers.
    signed: Message<'a>,
    /// What a statement is about; otherwise the same.
    artifact: Message<'a>,
    demands: Demands,
    now: Timestamp,
}

impl<'a> Ask<'a> {
    fn covered(&self) -> sigstore::Covered<'a> {
        sigstore::Covered { signed: self.signed, artifact: self.artifact }
    }
}

impl Untrusted {
    /// Whether somebody whom `trust` vouches for says `about.claim` of `about.digest`, with at least the evidence that
    /// is demanded. `now` is when a certificate without a proven time is judged, and what no log entry may be later
    /// than.
    ///
    /// Costs about a dozen checks of the budget for a signature with a certificate.
    ///
    /// # Errors
    /// [`Fault`] when nobody does, or when that cannot be told.
    #[allow(clippy::too_many_arguments, reason = "the door: each is another matter, and none may be forgotten")]
    pub fn prove(
        &self,
        about: &About<'_>,
        trust: &Trust<'_>,
        demands: Demands,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        self.says(about.claim)?;
        let sha256 = sha256(about.digest)?;
        let (signed, artifact) = self.messages(about, &sha256)?;
        let ask = Ask { signed, artifact, demands, now };
        let (signer, witnessed) = match trust {
            Trust::Key { key, root } => (Signer::Key(key.id().clone()), self.by_key(key, *root, ask, budget)?),
            Trust::Keyless { root } => {
                let leaf = self.leaf()?;
                (Signer::Certificate(leaf.claims.clone()), self.keyless(leaf, root, ask, budget)?)
            }
            Trust::Authority { authority, root } => {
                let leaf = self.leaf()?;
                let witnessed = self.by_authority(leaf, (authority, *root), ask, budget)?;
                (Signer::Certificate(leaf.claims.clone()), witnessed)
            }
        };
        Ok(self.signed(about.digest.clone(), signer, witnessed))
    }

    /// Whether it is what is asked for, if it holds (attack B2).
    pub(super) fn says(&self, claim: Claim<'_>) -> Result<(), Fault> {
        match (claim, &self.content) {
            (Claim::ImageSignature, Content::Statement { statement, .. }) if !statement.is_image_signature() => {
                Err(Fault::NotImageSignature)
            }
            (Claim::ImageSignature, _) => Ok(()),
            (Claim::Attestation(types), Content::Statement { statement, .. }) => {
                if types.iter().any(|wanted| wanted == statement.predicate_type()) {
                    Ok(())
                } else if statement.is_image_signature() {
                    Err(Fault::NotAttestation)
                } else {
                    Err(Fault::OtherPredicate)
                }
            }
            (Claim::Attestation(_), Content::Payload { .. } | Content::Artifact { .. }) => Err(Fault::NotAttestation),
        }
    }

    /// What was signed and what that is about, where it is about this digest.
    fn messages<'m>(&'m self, about: &About<'m>, sha256: &'m [u8; 32]) -> Result<(Message<'m>, Message<'m>), Fault> {
        if about.artifact.is_some_and(|artifact| Digest::of(artifact) != *about.digest) {
            return Err(Fault::OtherDigest);
        }
        match (&self.content, about.artifact) {
            (Content::Payload { digest, .. }, _) if digest != about.digest => Err(Fault::OtherDigest),
            (Content::Payload { bytes, .. }, _) => Ok((Message::Bytes(bytes), Message::Bytes(bytes))),
            (Content::Statement { subjects, .. }, _) if !subjects.contains(about.digest) => Err(Fault::OtherDigest),
            (Content::Statement { signed, .. }, _) => Ok((Message::Bytes(signed), Message::Sha256(sha256))),
            (Content::Artifact { digest: Some(said) }, Some(artifact)) if !said.is_of(artifact) => {
                Err(Fault::OtherDigest)
            }
            (Content::Artifact { .. }, Some(artifact)) => Ok((Message::Bytes(artifact), Message::Bytes(artifact))),
            (Content::Artifact { digest: Some(ArtifactDigest::Sha256(said)) }, None) if said != sha256 => {
                Err(Fault::OtherDigest)
            }
            (Content::Artifact { digest: None | Some(ArtifactDigest::Sha256(_)) }, None) => {
                Ok((Message::Sha256(sha256), Message::Sha256(sha256)))
            }
            (Content::Artifact { digest: Some(ArtifactDigest::Sha384(_) | ArtifactDigest::Sha512(_)) }, None) => {
                Err(Fault::NeedsArtifact)
            }
        }
    }

    fn by_key(
        &self,
        key: &PublicKey,
        root: Option<&TrustRoot>,
        ask: Ask<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        match (&self.material, &self.content) {
            // An older signature may have a certificate beside it that the key does not need.
            (Material::Key, _) | (Material::Certificate(_), Content::Payload { .. }) => {}
            (Material::Certificate(_), Content::Statement { .. } | Content::Artifact { .. }) => {
                return Err(Fault::NotKeySigned);
            }
        }
        key.verifier().check(ask.signed, &self.signature, budget)?;
        let spki = key.verifier().spki();
        let witnessed = self.witnessed(root, By::Key(spki), ask, budget)?;
        if let (Some(root), Some(bundle), Material::Key) = (root, &self.bundle, &self.material)
            && has_evidence(bundle)
        {
            sigstore::managed_key(root, bundle, ask.covered(), spki, ask.demands)?;
        }
        Ok(witnessed)
    }

    fn keyless(&self, leaf: &Leaf, root: &TrustRoot, ask: Ask<'_>, budget: &mut Budget) -> Result<Witnessed, Fault> {
        // Fulcio names one holder; of several it could not be told which one was asked for (attack B8).
        match leaf.claims.names {
            1 if leaf.claims.sans.len() == 1 => {}
            0 | 1 => return Err(Fault::NoName),
            several => return Err(Fault::SeveralNames(u8::try_from(several).unwrap_or(u8::MAX))),
        }
        let bundle = self.bundle.as_deref().ok_or(Fault::Malformed)?;
        // The signature, the certificate's chain and its log.
        budget.take(4)?;
        let witnessed = self.witnessed(Some(root), By::Certificate(&leaf.der), ask, budget)?;
        // The library asks the same of its times; that it was the certificate's time, only this tells.
        let (from, to) = leaf.claims.validity();
        if witnessed.times.iter().any(|proven| proven.time < from || proven.time > to) {
            return Err(Fault::CertificateExpired);
        }
        sigstore::keyless(root, bundle, ask.covered(), ask.demands)?;
        Ok(witnessed)
    }

    fn by_authority(
        &self,
        leaf: &Leaf,
        (authority, root): (&Authority, Option<&TrustRoot>),
        ask: Ask<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        leaf.verifier()?.check(ask.signed, &self.signature, budget)?;
        let witnessed = self.witnessed(root, By::Certificate(&leaf.der), ask, budget)?;
        let mut times: Vec<_> = witnessed.times.iter().map(|proven| proven.time).collect();
        if times.is_empty() {
            times.push(ask.now);
        }
        let chain: Vec<_> = leaf.intermediates.iter().map(Vec::as_slice).collect();
        for at in times {
            budget.take(2)?;
            authority.vouches(&leaf.der, &chain, at, ask.now)?;
        }
        Ok(witnessed)
    }

    /// Proves all evidence that there is, where a root is given, and that it is of this signature.
    fn witnessed(
        &self,
        root: Option<&TrustRoot>,
        by: By<'_>,
        ask: Ask<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        let Some(root) = root else {
            let nothing = ask.demands.log_entries == 0 && ask.demands.timestamps == 0;
            return if nothing { Ok(Witnessed::default()) } else { Err(Fault::NeedsTrustRoot) };
        };
        let mut witnessed = match self.bundle.as_deref() {
            Some(bundle) => {
                let entries = &bundle.verification_material.tlog_entries;
                let stamps = &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
                // Promise and tree head of an entry; signature and chain of a timestamp; each is checked twice.
                let checks = entries.len().saturating_add(stamps.len()).saturating_mul(4);
                budget.take(u32::try_from(checks).unwrap_or(u32::MAX))?;
                for entry in entries {
                    log::is_by(entry, by, ask.signed)?;
                }
                root.witnesses().of_bundle(bundle, ask.now)?
            }
            None => Witnessed::default(),
        };
        if let Some((token, envelope)) = self.envelope_stamp.as_deref() {
            budget.take(4)?;
            root.witnesses().stamp(&mut witnessed, token, envelope)?;
        }
        witnessed.meets(ask.demands)?;
        Ok(witnessed)
    }

    fn leaf(&self) -> Result<&Leaf, Fault> {
        match &self.material {
            Material::Certificate(leaf) => Ok(leaf),
            Material::Key => Err(Fault::NotCertificateSigned),
        }
    }
}

fn has_evidence(bundle: &sigstore_types::Bundle) -> bool {
    let material = &bundle.verification_material;
    !material.tlog_entries.is_empty() || !material.timestamp_verification_data.rfc3161_timestamps.is_empty()
}

/// The bytes of a digest. It was validated as hexadecimal; should it not be, nothing is proven.
fn sha256(digest: &Digest) -> Result<[u8; 32], Fault> {
    let bytes = hex::decode(digest.hex()).map_err(|_| Fault::Malformed)?;
    bytes.try_into().map_err(|_| Fault::Malformed)
}
