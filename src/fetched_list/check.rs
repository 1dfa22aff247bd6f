//! [`SignerCheck`]: who must have signed a list, as the gate's own judge sees it: a policy of one
//! document about one name, which the configuration makes and no policy file touches.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fault::bounded_words;
use super::options::{ListSource, Options};
use crate::evidence::{Evidence, Name, Origin, Pod, Subject};
use crate::image::{Digest, Reference, Repository};
use crate::policy::{
    Applicable, Case, Class, PUBLIC_GOOD, Plan, PolicyFile, PolicySet, Report, Sifted, Verdict,
};
use crate::verify::{Budget, PublicKey, VerificationCache};

/// By what name a list is judged that is a file at a URL: no registry has it.
const URL_HOST: &str = "lists.sealgate.invalid";

/// Who must have signed a list.
#[derive(Debug)]
pub struct SignerCheck {
    set: PolicySet,
    reference: Reference,
    applicable: Applicable,
}

/// What came of the evidence on a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerVerdict {
    /// It is signed by whom it must be: who that is.
    Signed(String),
    /// It is not, or that is not known.
    Not {
        /// Which of the three.
        class: Class,
        /// Why.
        why: String,
    },
}

impl SignerCheck {
    /// The policy that says who must have signed a list; its keys and roots are to be read like
    /// those of any other.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn policy(options: &Options) -> Result<PolicyFile, String> {
        let mut leaf = Map::new();
        let mut by = Map::new();
        let root = options.trust_root.clone();
        let kind = match (&options.issuer, &options.subject) {
            (Some(issuer), Some(subject)) => {
                by.insert("identities".to_owned(), json!([{"issuer": issuer, "subject": subject}]));
                let root = root.unwrap_or_else(|| PUBLIC_GOOD.to_owned());
                by.insert("trustRoot".to_owned(), json!(root));
                "keyless"
            }
            (_, _) => {
                by.insert("files".to_owned(), json!(options.keys));
                by.extend(root.map(|root| ("trustRoot".to_owned(), json!(root))));
                "key"
            }
        };
        leaf.insert("name".to_owned(), json!("signer"));
        leaf.insert(kind.to_owned(), Value::Object(by));
        let document = json!({
            "apiVersion": "sealgate/v1",
            "kind": "ImagePolicy",
            "metadata": {"name": options.name},
            "spec": {"images": [reference(options)?.repository().to_string()], "require": leaf},
        });
        let name = format!("policy.deny_lists ({})", options.name);
        Ok(PolicyFile { name, bytes: document.to_string().into_bytes() })
    }

    /// Of the set that was made of [`Self::policy`].
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn new(options: &Options, set: PolicySet) -> Result<Self, String> {
        let reference = reference(options)?;
        let applicable = set.applicable(&Name::Known(reference.clone()), &Pod::default());
        Ok(Self { set, reference, applicable })
    }

    /// The keys of which any must have signed it, each with the file that it is named by; none where
    /// the configuration names an identity.
    pub fn keys(&self) -> impl Iterator<Item = (Option<&str>, &PublicKey)> {
        self.set.key_files()
    }

    /// What can count.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.set.plan(&self.applicable)
    }

    /// The repository that signatures are about.
    #[must_use]
    pub fn repository(&self) -> Repository {
        self.reference.repository()
    }

    /// Judges what there is, and says what of it helps.
    #[must_use]
    pub fn sift(
        &self,
        target: &Digest,
        evidence: &[&Evidence],
        now: Timestamp,
        proofs: &VerificationCache,
    ) -> (SignerVerdict, Sifted) {
        let subject = Subject {
            name: Name::Known(self.reference.clone()),
            target: target.clone(),
            child: None,
            origin: Origin::Registry,
        };
        let applicable = &self.applicable;
        let case = Case { subject: &subject, applicable, evidence, now, proofs };
        let sifted = self.set.sift(&case, Budget::DEFAULT);
        let judged = match &sifted.verdict {
            Verdict::Permit(permit) => SignerVerdict::Signed(signers(permit.report())),
            Verdict::Denial(denial) => {
                SignerVerdict::Not { class: denial.class(), why: denial.to_string() }
            }
        };
        (judged, sifted)
    }
}

/// Who signed, in words.
fn signers(report: &Report) -> String {
    let requirements = report.documents.iter().flat_map(|document| &document.requirements);
    let signers = requirements.flat_map(|requirement| &requirement.signers);
    let mut words: Vec<String> = signers.map(ToString::to_string).collect();
    words.dedup();
    bounded_words(words.join(", "))
}

/// The name by which the list is judged.
fn reference(options: &Options) -> Result<Reference, String> {
    match options.place()? {
        ListSource::Registry(reference) => Ok(reference),
        ListSource::Url { .. } => {
            let name = format!("{URL_HOST}/{}:list", options.name);
            Reference::parse(&name).map_err(|error| error.to_string())
        }
    }
}
