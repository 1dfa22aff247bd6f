//! [`ListedKey`]: every key by which the policies of a set take signatures, and what a deny list says
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::denials::DeniedBy;
use super::{PolicySet, Rule};
use crate::policy::requirement::trust::RuleKey;
use crate::verify::{KeyId, PublicKey};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedKey {
    /// The SHA-256 of its SubjectPublicKeyInfo, DER: `sha256:<hex>`.
    pub fingerprint: String,
    /// `ECDSA P-256`, `ECDSA P-384`, `RSA` or `Ed25519`.
    pub algorithm: &'static str,
    /// Bits of the curve or of the modulus; none where the modulus cannot be told.
    pub bits: Option<usize>,
    /// The files that policies name it by, as written.
    pub files: BTreeSet<String>,
    /// A policy has the key itself.
    pub inline: bool,
    /// The policies that take signatures by it.
    pub policies: BTreeSet<String>,
    /// The fetched deny lists that are taken where it signed them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub deny_lists: BTreeSet<String>,
    /// The deny lists that name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<DeniedKey>,
}

/// What a deny list says of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeniedKey {
    /// Which list, why and since when.
    #[serde(flatten)]
    pub by: DeniedBy,
    /// What the key signed until then still counts; none where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_after: Option<String>,
}

impl PolicySet {
    /// Every key that a policy names, in the order of their fingerprints.
    #[must_use]
    pub fn keys(&self) -> Vec<ListedKey> {
        let mut keys: BTreeMap<&KeyId, ListedKey> = BTreeMap::new();
        for (rule, named, key) in self.named_keys() {
            let listed = keys.entry(&named.id).or_insert_with(|| self.listed_key(key));
            listed.files.extend(named.file.clone());
            listed.inline |= named.file.is_none();
            listed.policies.insert(rule.document.name.clone());
        }
        keys.into_values().collect()
    }

    /// Every key that a policy names, each time, and the file that it is named by.
    pub fn key_files(&self) -> impl Iterator<Item = (Option<&str>, &PublicKey)> {
        self.named_keys().map(|(_, named, key)| (named.file.as_deref(), key))
    }

    fn named_keys(&self) -> impl Iterator<Item = (&Rule, &RuleKey, &PublicKey)> {
        self.rules.iter().flat_map(move |rule| {
            let trials = rule.trusts.iter().flat_map(|trust| &trust.trials);
            trials.filter_map(move |trial| {
                let named = trial.key.as_ref()?;
                Some((rule, named, self.trusts.key_of(&named.id)?))
            })
        })
    }

    /// A key, whether a policy names it or not, without files and policies.
    #[must_use]
    pub fn listed_key(&self, key: &PublicKey) -> ListedKey {
        let denied = self.denials.key(key.id().bytes()).map(|(listed, signed_after)| DeniedKey {
            by: listed.by(),
            signed_after: signed_after.map(|until| until.to_string()),
        });
        let (algorithm, bits) = key.algorithm();
        ListedKey {
            fingerprint: key.id().to_string(),
            algorithm,
            bits,
            files: BTreeSet::new(),
            inline: false,
            policies: BTreeSet::new(),
            deny_lists: BTreeSet::new(),
            denied: denied.collect(),
        }
    }
}
