//! [`Probe`]: a set of policies that admits whatever anybody whom this node knows has signed, to ask
//! who that was. It is in force nowhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::attestor::quoted;
use crate::cli::terminal::screen::shown;
use crate::cli::trial::scratch::Scratch;
use crate::config::Settings;
use crate::loader;
use crate::policy::Mode;

/// Keys of one requirement of the probe: as many as one may have.
const KEYS_MAX: usize = 32;
/// Requirements of the probe: a policy may have 64. Half of them are left for trust roots.
const REQUIREMENTS_MAX: usize = 60;
/// What is for trying Sigstore, and vouches for nobody.
const STAGING: &str = "staging";

/// The settings of a gate that asks, with the folder that they name.
pub(super) struct Probe {
    pub(super) settings: Settings,
    /// Who may have signed is known at all.
    pub(super) asks: bool,
    _scratch: Scratch,
}

impl Probe {
    /// Of these settings, with the keys of a folder and every trust root of the node.
    ///
    /// # Errors
    /// In words when the folder of keys cannot be read or nothing can be written.
    pub(super) fn new(settings: &Settings, keys: &Path) -> Result<Self, String> {
        let found = match keys.is_dir() {
            true => loader::keys_in(keys).map_err(|fault| format!("{}: {fault}", shown(keys)))?,
            false => Vec::new(),
        };
        let files: Vec<String> = found.into_iter().map(|(file, _)| file).collect();
        // A root that cannot be used vouches for nobody; sealgate trust list says so.
        let roots = loader::survey(&settings.trust).unwrap_or_default();
        let roots = roots.into_iter().filter(|root| root.root.is_ok() && root.name != STAGING);
        let roots: Vec<String> = roots.map(|root| root.name).collect();
        let scratch = Scratch::new().map_err(|error| format!("no folder of its own: {error}"))?;
        let text = document(&files, &roots);
        if let Some(text) = &text {
            let file = scratch.path().join("probe.yaml");
            fs::write(&file, text).map_err(|error| format!("{}: {error}", shown(&file)))?;
        }
        let mut settings = settings.clone();
        settings.policy.policies = scratch.path().to_owned().into();
        settings.policy.keys = keys.to_owned();
        settings.policy.mode = Mode::Enforce;
        Ok(Self { settings, asks: text.is_some(), _scratch: scratch })
    }
}

/// The document; none where nobody is known who may have signed.
fn document(keys: &[String], roots: &[String]) -> Option<String> {
    let mut text = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: probe}\nspec:\n  \
                    images: [\"**\"]\n  require:\n    any:\n"
        .to_owned();
    let mut number = 0;
    for keys in keys.chunks(KEYS_MAX).take(REQUIREMENTS_MAX - roots.len().min(REQUIREMENTS_MAX / 2))
    {
        number += 1;
        let files: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
        let files = files.join(", ");
        let _ = writeln!(text, "      - {{name: s{number}, key: {{files: [{files}]}}}}");
    }
    for root in roots.iter().take(REQUIREMENTS_MAX / 2) {
        number += 1;
        let _ = writeln!(
            text,
            "      - {{name: s{number}, keyless: {{trustRoot: {}, identities: [{{insecureAnyIssuer: \
             true, insecureAnySubject: true}}]}}}}",
            quoted(root)
        );
    }
    (number > 0).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Documents, PolicyFile};

    #[test]
    fn it_asks_for_every_key_and_root() {
        assert_eq!(document(&[], &[]), None);
        let names = |many: usize, what: &str| (0..many).map(|n| format!("{what}{n}")).collect();
        for (keys, roots) in [(1, 1), (100, 3), (5000, 200)] {
            let (keys, roots): (Vec<String>, Vec<String>) = (names(keys, "k"), names(roots, "r"));
            let bytes = document(&keys, &roots).unwrap().into_bytes();
            let documents =
                Documents::parse(&[PolicyFile { name: "p".to_owned(), bytes }]).unwrap();
            assert!(documents.key_files().contains("k0"));
            assert!(documents.places_of_roots().contains_key("r0"));
        }
    }
}
