//! k3s and RKE2 keep a containerd of their own, with its files in places of their own: whether the
//! gate is told of them.

use std::path::Path;

use super::check::Check;
use crate::config::Settings;

/// A distribution: its name, and the configuration that it writes for its containerd.
const DISTRIBUTIONS: [(&str, &str); 2] = [
    ("k3s", "/var/lib/rancher/k3s/agent/etc/containerd"),
    ("RKE2", "/var/lib/rancher/rke2/agent/etc/containerd"),
];
/// The socket of the containerd of both.
const SOCKET: &str = "/run/k3s/containerd/containerd.sock";

/// One line where the node below `root` has such a distribution, none where it has not.
#[must_use]
pub fn distribution(root: &Path, settings: &Settings) -> Option<Check> {
    let (name, folder) = DISTRIBUTIONS
        .into_iter()
        .find(|(_, folder)| root.join(folder.trim_start_matches('/')).is_dir())?;
    let folder = Path::new(folder);
    let (config, certs) = (folder.join("config.toml"), folder.join("certs.d"));
    let runtime = &settings.runtime;
    let wrong = if runtime.socket != Path::new(SOCKET) {
        Some(("runtime.socket", runtime.socket.as_path(), Path::new(SOCKET)))
    } else if runtime.config != config {
        Some(("runtime.config", runtime.config.as_path(), config.as_path()))
    } else {
        None
    };
    let id = "distribution";
    let check = match wrong {
        Some((key, is, expected)) => {
            let seen = format!("{name} is here, and {key} is {}", is.display());
            let file = format!("/etc/sealgate/config.toml.d/40-{}.toml", name.to_lowercase());
            let mend = format!("set {key} = {:?} in {file}: sealgate.toml(5)", expected.display());
            Check::fail(id, seen, mend)
        }
        None if !settings.registry.certs_dirs.contains(&certs) => {
            let seen = format!("{name} is here, and the gate does not read its mirrors");
            Check::warn(id, seen, format!("add {} to registry.certs_dirs", certs.display()))
        }
        None => Check::ok(id, format!("{name}, whose containerd the gate is told of")),
    };
    Some(check.at(folder.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_distribution_needs_its_own_paths() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        assert_eq!(distribution(root.path(), &settings), None);
        for (_, folder) in DISTRIBUTIONS {
            let here = root.path().join(folder.trim_start_matches('/'));
            fs::create_dir_all(&here).unwrap();
            let outcome =
                |settings: &Settings| distribution(root.path(), settings).unwrap().outcome;
            settings = Settings::default();
            assert_eq!(outcome(&settings), Outcome::Fail);
            settings.runtime.socket = PathBuf::from(SOCKET);
            assert_eq!(outcome(&settings), Outcome::Fail);
            settings.runtime.config = PathBuf::from(format!("{folder}/config.toml"));
            assert_eq!(outcome(&settings), Outcome::Warn);
            settings.registry.certs_dirs = vec![PathBuf::from(format!("{folder}/certs.d"))];
            assert_eq!(outcome(&settings), Outcome::Ok);
            fs::remove_dir_all(here).unwrap();
        }
    }
}
