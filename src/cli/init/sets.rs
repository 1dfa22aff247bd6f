//! Ready sets: policies for what many clusters run, with the identities that its publishers document.
//! Those that come with the program; the same files are in `packaging/sets`.

use std::fmt;
use std::path::Path;

use super::draft::DraftFile;

/// A ready set.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadySet {
    /// By what it is asked for.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    text: &'static str,
    key: Option<PublishedKey>,
}

/// A key that a set names and that its publisher has on a page: it is for people to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PublishedKey {
    /// Its name in the folder of keys.
    file: &'static str,
    /// Where its publisher has it.
    url: &'static str,
}

/// All of them.
pub(super) const SETS: [ReadySet; 5] = [
    ReadySet {
        name: "kubernetes",
        about: "registry.k8s.io: Kubernetes, ingress-nginx, CoreDNS, CSI sidecars",
        text: include_str!("../../../packaging/sets/kubernetes.yaml"),
        key: None,
    },
    ReadySet {
        name: "ingress-nginx",
        about: "registry.k8s.io/ingress-nginx: the controller alone",
        text: include_str!("../../../packaging/sets/ingress-nginx.yaml"),
        key: None,
    },
    ReadySet {
        name: "cert-manager",
        about: "quay.io/jetstack: cert-manager, by the key that it publishes",
        text: include_str!("../../../packaging/sets/cert-manager.yaml"),
        key: Some(PublishedKey {
            file: "cert-manager-pubkey-2021-09-20.pem",
            url: "https://cert-manager.io/public-keys/cert-manager-pubkey-2021-09-20.pem",
        }),
    },
    ReadySet {
        name: "cilium",
        about: "quay.io/cilium: agent, operator, Hubble relay, clustermesh",
        text: include_str!("../../../packaging/sets/cilium.yaml"),
        key: None,
    },
    ReadySet {
        name: "chainguard",
        about: "cgr.dev/chainguard: the public images",
        text: include_str!("../../../packaging/sets/chainguard.yaml"),
        key: None,
    },
];

/// The files of these sets.
///
/// # Errors
/// In words for a name that no set has.
pub(super) fn files(names: &[String]) -> Result<Vec<DraftFile>, String> {
    let mut files: Vec<DraftFile> = Vec::new();
    for name in names {
        let set = named(name).ok_or_else(|| {
            let known = SETS.map(|set| set.name).join(", ");
            format!("there is no set {name}; there are: {known}")
        })?;
        let file = DraftFile { name: format!("30-{name}.yaml"), text: set.text.to_owned() };
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(files)
}

/// The keys of these sets that are not in the folder of keys.
pub(super) fn absent_keys(names: &[String], keys: &Path) -> Vec<PublishedKey> {
    let mut absent = Vec::new();
    for key in names.iter().filter_map(|name| named(name)).filter_map(|set| set.key) {
        if !keys.join(key.file).exists() && !absent.contains(&key) {
            absent.push(key);
        }
    }
    absent
}

fn named(name: &str) -> Option<&'static ReadySet> {
    SETS.iter().find(|set| set.name == name)
}

impl PublishedKey {
    /// How to fetch it into this folder.
    pub(super) fn fetching(self, keys: &Path) -> Fetching<'_> {
        Fetching { key: self, keys }
    }
}

/// A command line that fetches a key.
pub(super) struct Fetching<'k> {
    key: PublishedKey,
    keys: &'k Path,
}

impl fmt::Display for Fetching<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.keys.join(self.key.file);
        write!(f, "sudo curl -fsSo {} {}", path.display(), self.key.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::{Check, CheckSource, Checked, Options, TrustOptions};
    use crate::policy::PolicyFile;

    /// Any key: whose it is, no lint asks.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESIxcEHJsf703BVcfd2WH4y1SUFUf\n\
        2zf1IuUfaUVItZd+AUTdc1GaRujWV+L2wmCz2Owsn8AL3MC7088KcZXv+Q==\n\
        -----END PUBLIC KEY-----\n";

    fn checked(names: &[String], keys: &Path) -> Checked {
        let source = |file: DraftFile| {
            let (name, bytes) = (file.name, file.text.into_bytes());
            CheckSource::Read(PolicyFile { name, bytes })
        };
        let sources = files(names).unwrap().into_iter().map(source).collect();
        let (options, trust) = (Options::default(), TrustOptions::default());
        let (keys, now) = (Some(keys), "2026-02-01T00:00:00Z".parse().unwrap());
        Check { sources, keys, trust: &trust, options: &options, is_in_force: false, now }.run()
    }

    /// Each by itself and all together: sound, with nothing to remark, once the published keys are
    /// there.
    #[test]
    fn every_set_is_sound_and_there_is_nothing_to_remark() {
        let all = SETS.map(|set| set.name.to_owned());
        let keys = tempfile::tempdir().unwrap();
        for key in absent_keys(&all, keys.path()) {
            std::fs::write(keys.path().join(key.file), KEY).unwrap();
        }
        assert_eq!(absent_keys(&all, keys.path()), []);
        let each = all.iter().map(std::slice::from_ref).chain([all.as_slice()]);
        for names in each {
            let checked = checked(names, keys.path());
            assert!(checked.remarks.is_empty(), "{names:?}: {:?}", checked.remarks);
            assert_eq!(checked.set.map(|set| set.len()), Some(names.len()));
        }
        assert!(files(&["nothing".to_owned()]).is_err());
        for set in SETS {
            assert!(set.text.contains("\n# Source: "), "{}", set.name);
        }
    }

    /// The key is nobody's to invent: without it the set is faulty, and the file says where it is.
    #[test]
    fn a_set_by_a_published_key_is_faulty_until_it_is_there() {
        let keys = tempfile::tempdir().unwrap();
        for set in SETS {
            let names = [set.name.to_owned()];
            let checked = checked(&names, keys.path());
            assert_eq!(checked.set.is_some(), set.key.is_none(), "{}", set.name);
            let absent = absent_keys(&names, keys.path());
            assert_eq!(absent.first().copied(), set.key);
            for key in absent {
                assert!(set.text.contains(key.url) && set.text.contains(key.file));
                assert!(key.url.ends_with(key.file));
            }
        }
    }
}
