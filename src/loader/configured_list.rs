//! [`ConfiguredList`]: a deny list of the configuration, as the place of a fault; reads nothing.

use std::path::PathBuf;

/// A deny list of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredList {
    /// The file that says `deny_lists`, where it is known.
    pub file: Option<PathBuf>,
    /// Which of `deny_lists`, from 0, where it is known.
    pub number: Option<usize>,
    /// Its name.
    pub name: String,
}

impl ConfiguredList {
    /// The option that a field of the made policy comes from: `deny_lists[0].keys[1]`.
    pub(super) fn option(&self, field: &str) -> String {
        let list = match self.number {
            Some(number) => format!("deny_lists[{number}]"),
            None => format!("deny_lists (\"{}\")", self.name.escape_default()),
        };
        let key = SIGNER_FIELDS.iter().find_map(|(made, option)| {
            Some(format!(
                ".{option}{}",
                field.strip_prefix("spec.").and_then(|f| f.strip_prefix(made))?
            ))
        });
        format!("policy.{list}{}", key.unwrap_or_default())
    }
}

/// The fields below `spec` of the policy that is made of a list's options, and the options.
const SIGNER_FIELDS: [(&str, &str); 6] = [
    ("require.key.files", "keys"),
    ("require.key.trustRoot", "trust_root"),
    ("require.keyless.trustRoot", "trust_root"),
    ("require.keyless.identities[0].issuer", "issuer"),
    ("require.keyless.identities[0].subject", "subject"),
    ("images[0]", "source"),
];
