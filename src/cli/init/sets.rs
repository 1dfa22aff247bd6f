//! Ready sets: policies for what many clusters run, with the identities that its publishers document.
//! Those that come with the program; the same files are in `packaging/sets`.

use super::draft::DraftFile;

/// A ready set.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadySet {
    /// By what it is asked for.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    text: &'static str,
}

/// All of them.
pub(super) const SETS: [ReadySet; 3] = [
    ReadySet {
        name: "kubernetes",
        about: "registry.k8s.io: Kubernetes, ingress-nginx, CoreDNS, CSI sidecars",
        text: include_str!("../../../packaging/sets/kubernetes.yaml"),
    },
    ReadySet {
        name: "cilium",
        about: "quay.io/cilium: agent, operator, Hubble relay, clustermesh",
        text: include_str!("../../../packaging/sets/cilium.yaml"),
    },
    ReadySet {
        name: "chainguard",
        about: "cgr.dev/chainguard: the public images",
        text: include_str!("../../../packaging/sets/chainguard.yaml"),
    },
];

/// The files of these sets.
///
/// # Errors
/// In words for a name that no set has.
pub(super) fn files(names: &[String]) -> Result<Vec<DraftFile>, String> {
    let mut files: Vec<DraftFile> = Vec::new();
    for name in names {
        let set = SETS.iter().find(|set| set.name == name).ok_or_else(|| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::{Check, CheckSource, Options, TrustOptions};
    use crate::policy::PolicyFile;

    /// Each by itself and all together: sound, with nothing to remark.
    #[test]
    fn every_set_is_sound_and_there_is_nothing_to_remark() {
        let all = SETS.map(|set| set.name.to_owned());
        let each = all.iter().map(std::slice::from_ref).chain([all.as_slice()]);
        for names in each {
            let source = |file: DraftFile| {
                let (name, bytes) = (file.name, file.text.into_bytes());
                CheckSource::Read(PolicyFile { name, bytes })
            };
            let sources = files(names).unwrap().into_iter().map(source).collect();
            let (options, trust) = (Options::default(), TrustOptions::default());
            let keys = Some(std::path::Path::new("/nonexistent"));
            let now = "2026-02-01T00:00:00Z".parse().unwrap();
            let check =
                Check { sources, keys, trust: &trust, options: &options, is_in_force: false, now };
            let checked = check.run();
            assert!(checked.remarks.is_empty(), "{names:?}: {:?}", checked.remarks);
            assert_eq!(checked.set.map(|set| set.len()), Some(names.len()));
        }
        assert!(files(&["nothing".to_owned()]).is_err());
        for set in SETS {
            assert!(set.text.contains("\n# Source: "), "{}", set.name);
        }
    }
}
