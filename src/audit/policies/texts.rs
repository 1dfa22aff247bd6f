//! [`GenerationTexts`]: what comes in force, with its texts; [`KeptGeneration`]: the list of them that
//! stands beside the texts; and how the files of both are called.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fault::TextFault;

/// Characters of a name that is told in a fault, at most.
const TOLD_MAX: usize = 80;
/// The version of the list's form.
pub(super) const SCHEMA: u32 = 1;
/// How the list of a generation begins to be called.
pub(super) const LIST: &str = "generation-";
/// How its name ends.
pub(super) const LIST_ENDING: &str = ".json";
/// How the name of a text ends. JSON is YAML too.
pub(super) const TEXT_ENDING: &str = ".yaml";

/// What comes in force: the texts of all documents.
#[derive(Debug, Clone)]
pub struct GenerationTexts {
    /// The generation of the policies.
    pub policy_generation: String,
    /// Its files.
    pub files: Vec<PolicyText>,
}

/// One file with policies, deny lists or exceptions.
#[derive(Debug, Clone)]
pub struct PolicyText {
    /// Where it was read from.
    pub file: String,
    /// The SHA-256 of its bytes: `sha256:<hex>`.
    pub digest: String,
    /// Its documents, each by kind and name.
    pub documents: Vec<String>,
    /// Its bytes.
    pub text: Arc<[u8]>,
}

/// Which files were in force, as it is kept beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGeneration {
    /// The version of this form: 1.
    pub schema: u32,
    /// The generation of the policies.
    pub policy_generation: String,
    /// Its files.
    pub files: Vec<KeptPolicyFile>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPolicyFile {
    /// Where it was read from.
    pub file: String,
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// Its documents, each by kind and name.
    pub documents: Vec<String>,
}

impl GenerationTexts {
    pub(super) fn list(&self) -> KeptGeneration {
        let file = |text: &PolicyText| KeptPolicyFile {
            file: text.file.clone(),
            digest: text.digest.clone(),
            documents: text.documents.clone(),
        };
        KeptGeneration {
            schema: SCHEMA,
            policy_generation: self.policy_generation.clone(),
            files: self.files.iter().map(file).collect(),
        }
    }
}

/// How the file of a text is called.
pub(super) fn name_of_text(digest: &str) -> Result<String, TextFault> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && is_hex(hex));
    hex.map(|hex| format!("{hex}{TEXT_ENDING}")).ok_or_else(|| no_name(digest))
}

/// How the list of a generation is called.
pub(super) fn name_of_list(generation: &str) -> Result<String, TextFault> {
    let is_one = is_generation(generation);
    is_one.then(|| format!("{LIST}{generation}{LIST_ENDING}")).ok_or_else(|| no_name(generation))
}

/// Whether this may be a generation: what is made of it names a file.
pub(super) fn is_generation(text: &str) -> bool {
    (1..=64).contains(&text.len()) && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn no_name(name: &str) -> TextFault {
    TextFault::Name { name: name.chars().take(TOLD_MAX).collect() }
}
