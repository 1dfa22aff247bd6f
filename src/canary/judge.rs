//! [`Judge`]: a key, a policy and a signature made at the start, by which the node's own judge is
//! put to the test: what is signed must pass, and what is not must not.
//!
//! The key is in no policy of the node and leaves no memory; the policy is a set of its own, about a
//! name that only this test asks for.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_crypto::KeyPair;

use super::pull::fresh_digest;
use crate::evidence::{
    Content, Evidence, Format, Item, Name, Origin, Outcome, Place, Pod, Source, Subject,
};
use crate::image::{Digest, Reference, Repository};
use crate::policy::{Case, Documents, Material, PolicyFile, PolicySet, Reason, Unmatched, Verdict};
use crate::verify::{PublicKey, VerificationCache};

/// The repository that the test is about; no registry has it either.
const REPOSITORY: &str = "signed.sealgate.invalid/canary";
/// The policy of the test.
const POLICY: &str = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: canary}\nspec:\n  \
    images: [\"signed.sealgate.invalid/canary\"]\n  \
    require: {name: canary, key: {files: [canary.pub]}}\n";

/// What the node's judge is tested with.
#[derive(Debug)]
pub struct Judge {
    set: PolicySet,
    signed: Digest,
    unsigned: Digest,
    signature: Item,
}

impl Judge {
    /// Makes a new key, and a signature by it.
    ///
    /// # Errors
    /// What could not be made.
    pub fn new() -> Result<Self, String> {
        let pair = KeyPair::generate_ecdsa_p256().map_err(|error| error.to_string())?;
        let public = pair.public_key_der().map_err(|error| error.to_string())?.to_pem();
        let key = PublicKey::parse_pem(public.as_bytes()).map_err(|error| error.to_string())?;
        let file = PolicyFile { name: "canary.yaml".to_owned(), bytes: POLICY.as_bytes().to_vec() };
        let material = Material {
            keys: BTreeMap::from([("canary.pub".to_owned(), key)]),
            ..Material::default()
        };
        let words = |errors: Vec<crate::policy::PolicyError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let documents = Documents::parse(&[file]).map_err(words)?;
        let set = PolicySet::build(documents, material, Unmatched::Deny).map_err(words)?;
        let (signed, unsigned) = (fresh_digest()?, fresh_digest()?);
        let signature = signature(&pair, &signed)?;
        Ok(Self { set, signed, unsigned, signature })
    }

    /// Has the signed image judged, the same image without its signature, and another one with the
    /// signature of the first.
    ///
    /// # Errors
    /// Which verdict is not as it must be.
    pub fn check(&self, now: jiff::Timestamp) -> Result<(), String> {
        if let Verdict::Denial(denial) = self.verdict(&self.signed, true, now)? {
            return Err(format!("a good signature was not proven: {denial}"));
        }
        for (digest, is_signed, why) in [
            (&self.signed, false, "an image without a signature was admitted"),
            (&self.unsigned, true, "an image was admitted by the signature of another"),
        ] {
            match self.verdict(digest, is_signed, now)? {
                Verdict::Permit(_) => return Err(why.to_owned()),
                Verdict::Denial(denial)
                    if matches!(denial.reason(), Reason::Unsigned | Reason::NoneCounts { .. }) => {}
                Verdict::Denial(denial) => {
                    return Err(format!(
                        "a missing signature was refused for something else: {denial}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn verdict(
        &self,
        digest: &Digest,
        is_signed: bool,
        now: jiff::Timestamp,
    ) -> Result<Verdict, String> {
        let place = |source| place(digest, source);
        let items: Vec<Item> = if is_signed {
            vec![Item { place: place(Source::SignatureTag)?, ..self.signature.clone() }]
        } else {
            Vec::new()
        };
        let outcome = if is_signed { Outcome::Found(items.len()) } else { Outcome::Absent };
        let looked = vec![
            (place(Source::Referrers)?, Outcome::Absent),
            (place(Source::SignatureTag)?, outcome),
        ];
        let evidence = Evidence { items, looked, carriers: Vec::new() };
        let name =
            Reference::parse(&format!("{REPOSITORY}:1")).map_err(|error| error.to_string())?;
        let name = Name::Known(name);
        let applicable = self.set.applicable(&name, &Pod::default());
        let subject =
            Subject { name, target: digest.clone(), child: None, origin: Origin::Registry };
        let case = Case {
            subject: &subject,
            applicable: &applicable,
            evidence: &[&evidence],
            now,
            // Nothing may be answered from what was proven before.
            proofs: &VerificationCache::default(),
        };
        Ok(self.set.judge(&case))
    }
}

fn place(digest: &Digest, source: Source) -> Result<Place, String> {
    let repository = Repository::parse(REPOSITORY).map_err(|error| error.to_string())?;
    Ok(Place { repository, subject: digest.clone(), source })
}

/// A signature of cosign's older form over a digest.
fn signature(pair: &KeyPair, digest: &Digest) -> Result<Item, String> {
    let payload = serde_json::json!({
        "critical": {
            "identity": {"docker-reference": REPOSITORY},
            "image": {"docker-manifest-digest": digest.as_str()},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let signature = pair.sign(&payload).map_err(|error| error.to_string())?;
    let signature = STANDARD.encode(signature.as_bytes());
    let annotations =
        BTreeMap::from([("dev.cosignproject.cosign/signature".to_owned(), signature)]);
    let of_layer = Digest::of(&payload);
    let content = Content::new(Format::SimpleSigning, payload.into(), annotations);
    Ok(Item { place: place(digest, Source::SignatureTag)?, digest: of_layer, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_judge_passes_and_each_start_has_a_key_of_its_own() {
        let (one, two) = (Judge::new().unwrap(), Judge::new().unwrap());
        one.check(jiff::Timestamp::UNIX_EPOCH).unwrap();
        assert_ne!(one.set.trust_generation(), two.set.trust_generation());
        // The signature of another start is one by a key that is not known.
        let mixed = Judge { signature: two.signature, signed: two.signed, ..one };
        let error = mixed.check(jiff::Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.starts_with("a good signature was not proven"), "{error}");
    }

    #[test]
    fn a_judge_that_takes_another_images_signature_is_found_out() {
        let judge = Judge::new().unwrap();
        // Both digests the same: then the "other" image has a signature that counts.
        let fooled = Judge { unsigned: judge.signed.clone(), ..judge };
        let error = fooled.check(jiff::Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error, "an image was admitted by the signature of another");
    }
}
