//! From a signature to [`Signed`], for the formats of cosign and Sigstore: [`by_any`] proves by key,
//! by a Sigstore instance's certificate, or by an own authority's. The one door is
//! [`Untrusted::prove`].
//!
//! What costs nothing is compared first: the claim, the digest, the way it was signed. Then
//! signature and evidence.

use jiff::Timestamp;

use super::pki::Authority;
use super::primitives::budget::Budget;
use super::primitives::content::{ArtifactDigest, Content};
use super::primitives::crypto::Message;
use super::primitives::demands::Demands;
use super::primitives::fault::Fault;
use super::primitives::key::PublicKey;
use super::primitives::leaf::Leaf;
use super::signature::log::{Entry, EntrySigner};
use super::signature::untrusted::{Material, Signed, Signer, Untrusted};
use super::sigstore;
use super::sigstore::root::TrustRoot;
use super::sigstore::witness::Witnessed;
use super::trust::{About, Claim, Trust};
use crate::image::Digest;

/// What is known of what was signed, what is asked of the evidence, and as of when.
#[derive(Clone, Copy)]
pub(in crate::verify) struct ProofRequest<'a> {
    /// What the signature covers.
    pub(super) signed: Message<'a>,
    /// What a statement is about; otherwise the same.
    pub(super) artifact: Message<'a>,
    pub(super) demands: Demands,
    pub(super) now: Timestamp,
}

/// Proves a signature made with a key or a certificate, with Sigstore's log entries and timestamps
/// beside: by a key, a Sigstore instance or an own authority.
///
/// # Errors
/// [`Fault`] when nobody of them signed, or when that cannot be told.
pub(in crate::verify) fn by_any(
    item: &Untrusted,
    about: &About<'_>,
    (trust, demands): (&Trust<'_>, Demands),
    now: Timestamp,
    budget: &mut Budget,
) -> Result<Signed, Fault> {
    item.contradiction(trust.root())?;
    item.says(about.claim)?;
    let sha256 = sha256(about.digest)?;
    let (signed, artifact) = item.messages(about, &sha256)?;
    let request = ProofRequest { signed, artifact, demands, now };
    let (signer, witnessed) = match trust {
        Trust::Key { key, root } => {
            (Signer::Key(key.id().clone()), item.by_key(key, *root, request, budget)?)
        }
        Trust::Keyless { root } => {
            let leaf = item.leaf()?;
            (Signer::Certificate(leaf.claims.clone()), item.keyless(leaf, root, request, budget)?)
        }
        Trust::Authority { authority, root } => {
            let leaf = item.leaf()?;
            let witnessed = item.by_authority(leaf, (authority, *root), request, budget)?;
            (Signer::Certificate(leaf.claims.clone()), witnessed)
        }
    };
    Ok(item.signed(about.digest.clone(), signer, (witnessed.times, witnessed.entries)))
}

impl Untrusted {
    /// Whether the holder of `key` signed `subject`, the digest of a manifest or an index: an image
    /// signature, by the key alone.
    ///
    /// What the signature says it is about is compared first, for that costs nothing; then each
    /// scheme that the key may use is tried, each at the cost of one check.
    ///
    /// # Errors
    /// [`Fault`] when it did not, or when that cannot be told from the digest alone
    /// ([`Fault::NeedsArtifact`]).
    pub fn verify(
        &self,
        subject: &Digest,
        key: &PublicKey,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        self.verify_about(
            &About { digest: subject, artifact: None, claim: Claim::ImageSignature },
            key,
            budget,
        )
    }

    /// As [`Untrusted::verify`], with the manifest's bytes at hand: their digest is the subject,
    /// and signatures that cover the bytes themselves can be checked.
    ///
    /// # Errors
    /// [`Fault`] when the holder of `key` did not sign these bytes.
    pub fn verify_artifact(
        &self,
        artifact: &[u8],
        key: &PublicKey,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        let about = About {
            digest: &Digest::of(artifact),
            artifact: Some(artifact),
            claim: Claim::ImageSignature,
        };
        self.verify_about(&about, key, budget)
    }

    fn verify_about(
        &self,
        about: &About<'_>,
        key: &PublicKey,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        // No time plays a part where there is no root.
        self.prove(
            about,
            &Trust::Key { key, root: None },
            Demands::NONE,
            Timestamp::UNIX_EPOCH,
            budget,
        )
    }

    /// Whether it is what is asked for, if it holds (attack B2).
    pub(in crate::verify) fn says(&self, claim: Claim<'_>) -> Result<(), Fault> {
        match (claim, &self.content) {
            (Claim::ImageSignature, Content::Statement { statement, .. })
                if !statement.is_image_signature() =>
            {
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
            (Claim::Attestation(_), Content::Payload { .. } | Content::Artifact { .. }) => {
                Err(Fault::NotAttestation)
            }
        }
    }

    /// What was signed and what that is about, where it is about this digest.
    pub(in crate::verify) fn messages<'m>(
        &'m self,
        about: &About<'m>,
        sha256: &'m [u8; 32],
    ) -> Result<(Message<'m>, Message<'m>), Fault> {
        if about.artifact.is_some_and(|artifact| Digest::of(artifact) != *about.digest) {
            return Err(Fault::OtherDigest);
        }
        match (&self.content, about.artifact) {
            (Content::Payload { digest, .. }, _) if digest != about.digest => {
                Err(Fault::OtherDigest)
            }
            (Content::Payload { bytes, .. }, _) => {
                Ok((Message::Bytes(bytes), Message::Bytes(bytes)))
            }
            (Content::Statement { signed, subjects, .. }, _)
                if subjects.sha256.contains(about.digest) =>
            {
                Ok((Message::Bytes(signed), Message::Sha256(sha256)))
            }
            (Content::Statement { signed, subjects, .. }, Some(artifact))
                if subjects.has_bytes(artifact) =>
            {
                Ok((Message::Bytes(signed), Message::Bytes(artifact)))
            }
            (Content::Statement { subjects, .. }, artifact) => {
                Err(subjects.misfit(artifact.is_some()))
            }
            (Content::Artifact { digest: Some(said) }, Some(artifact)) if !said.is_of(artifact) => {
                Err(Fault::OtherDigest)
            }
            (Content::Artifact { .. }, Some(artifact)) => {
                Ok((Message::Bytes(artifact), Message::Bytes(artifact)))
            }
            (Content::Artifact { digest: Some(ArtifactDigest::Sha256(said)) }, None)
                if said != sha256 =>
            {
                Err(Fault::OtherDigest)
            }
            (Content::Artifact { digest: None | Some(ArtifactDigest::Sha256(_)) }, None) => {
                Ok((Message::Sha256(sha256), Message::Sha256(sha256)))
            }
            (
                Content::Artifact {
                    digest: Some(ArtifactDigest::Sha384(_) | ArtifactDigest::Sha512(_)),
                },
                None,
            ) => Err(Fault::NeedsArtifact),
        }
    }

    /// Refuses an entry that is about something else: of a log of the root, or of any where there
    /// is no root to tell whose word counts (attack B1). An entry of another log is nobody's word.
    fn contradiction(&self, root: Option<&TrustRoot>) -> Result<(), Fault> {
        self.attached.entries.iter().try_for_each(|entry| match root {
            Some(root) if root.witnesses().know(entry) => entry.agrees(),
            Some(_) => Ok(()),
            None => entry.contradicts(),
        })
    }

    fn by_key(
        &self,
        key: &PublicKey,
        root: Option<&TrustRoot>,
        request: ProofRequest<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        match (&self.material, &self.content) {
            // An older signature may have a certificate beside it that the key does not need.
            (Material::Key, _) | (Material::Certificate(_), Content::Payload { .. }) => {}
            (Material::Certificate(_), Content::Statement { .. } | Content::Artifact { .. }) => {
                return Err(Fault::NotKeySigned);
            }
        }
        key.verifier().check(request.signed, &self.signature, budget)?;
        let spki = key.verifier().spki();
        let witnessed = self.witnessed(root, EntrySigner::Key(spki), request, budget)?;
        let held = &witnessed.held;
        if let (Some(root), Material::Key) = (root, &self.material)
            && !(held.entries.is_empty() && held.timestamps.is_empty())
        {
            match sigstore::shown(self, held, request.artifact) {
                Some(shown) => sigstore::managed_key(root, &shown, spki, request.demands)?,
                None => self.attached.is_whole(held, request.demands)?,
            }
        }
        Ok(witnessed)
    }

    fn keyless(
        &self,
        leaf: &Leaf,
        root: &TrustRoot,
        request: ProofRequest<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        // Fulcio names one holder; of several it could not be told which one was asked for (attack
        // B8).
        match leaf.claims.names {
            1 if leaf.claims.sans.len() == 1 => {}
            0 | 1 => return Err(Fault::NoName),
            several => return Err(Fault::SeveralNames(u8::try_from(several).unwrap_or(u8::MAX))),
        }
        // The signature, the certificate's chain and its log.
        budget.take(4)?;
        let witnessed =
            self.witnessed(Some(root), EntrySigner::Certificate(&leaf.der), request, budget)?;
        witnessed.has_time()?;
        // The library asks the same of its times; that it was the certificate's time, only this
        // tells.
        let (from, to) = leaf.claims.validity();
        if witnessed.times.iter().any(|proven| proven.time < from || proven.time > to) {
            return Err(Fault::CertificateExpired);
        }
        match sigstore::shown(self, &witnessed.held, request.artifact) {
            Some(shown) => sigstore::keyless(root, &shown, request.demands)?,
            None => self.keyless_unshown((leaf, root), &witnessed, request, budget)?,
        }
        Ok(witnessed)
    }

    /// As [`sigstore::keyless`], of what the library is not shown: its log entries and timestamps
    /// were proven before, as they always are.
    pub(in crate::verify) fn keyless_unshown(
        &self,
        (leaf, root): (&Leaf, &TrustRoot),
        witnessed: &Witnessed,
        request: ProofRequest<'_>,
        budget: &mut Budget,
    ) -> Result<(), Fault> {
        self.attached.is_whole(&witnessed.held, request.demands)?;
        let chain: Vec<_> = leaf.intermediates.iter().map(Vec::as_slice).collect();
        for proven in &witnessed.times {
            budget.take(2)?;
            let issuer = root.issuers().of_certificate(&leaf.der, &chain, proven.time)?;
            if request.demands.sct {
                root.certificate_logs().check(&leaf.der, &issuer)?;
            }
        }
        leaf.verifier()?.check(request.signed, &self.signature, budget)
    }

    fn by_authority(
        &self,
        leaf: &Leaf,
        (authority, root): (&Authority, Option<&TrustRoot>),
        request: ProofRequest<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        leaf.verifier()?.check(request.signed, &self.signature, budget)?;
        let witnessed =
            self.witnessed(root, EntrySigner::Certificate(&leaf.der), request, budget)?;
        let mut times: Vec<_> = witnessed.times.iter().map(|proven| proven.time).collect();
        if times.is_empty() {
            times.push(request.now);
        }
        let chain: Vec<_> = leaf.intermediates.iter().map(Vec::as_slice).collect();
        for at in times {
            budget.take(2)?;
            authority.vouches(&leaf.der, &chain, at, request.now)?;
        }
        Ok(witnessed)
    }

    /// Proves all evidence that there is, where a root is given, and that it is of this signature.
    pub(in crate::verify) fn witnessed(
        &self,
        root: Option<&TrustRoot>,
        by: EntrySigner<'_>,
        request: ProofRequest<'_>,
        budget: &mut Budget,
    ) -> Result<Witnessed, Fault> {
        let Some(root) = root else {
            let nothing = request.demands.log_entries == 0 && request.demands.timestamps == 0;
            return if nothing { Ok(Witnessed::default()) } else { Err(Fault::NeedsTrustRoot) };
        };
        // Promise and tree head of an entry; signature and chain of a timestamp; each is checked
        // twice.
        let proofs = self.attached.entries.len().saturating_add(self.attached.timestamps.len());
        budget.take(u32::try_from(proofs.saturating_mul(4)).unwrap_or(u32::MAX))?;
        let is_by = |entry: &Entry| entry.is_by(by, request.signed);
        let witnessed =
            root.witnesses().prove(&self.attached, &self.signature, request.now, &is_by)?;
        witnessed.meets(request.demands)?;
        Ok(witnessed)
    }

    fn leaf(&self) -> Result<&Leaf, Fault> {
        match &self.material {
            Material::Certificate(leaf) => Ok(leaf),
            Material::Key => Err(Fault::NotCertificateSigned),
        }
    }
}

/// The bytes of a digest. It was validated as hexadecimal; should it not be, nothing is proven.
fn sha256(digest: &Digest) -> Result<[u8; 32], Fault> {
    let bytes = hex::decode(digest.hex()).map_err(|_| Fault::Malformed)?;
    bytes.try_into().map_err(|_| Fault::Malformed)
}
