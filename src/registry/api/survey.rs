//! [`survey`]: what an operator should know of the node's registry files before an image needs
//! them. It asks nobody and shows no secret.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::registry::authority::fold;
use crate::registry::credential_fault::CredentialFault;
use crate::registry::credentials::{docker_config, provider_config};
use crate::registry::error::RegistryError;
use crate::registry::hosts::host::Host;
use crate::registry::hosts::hosts_file;
use crate::registry::options::Options;
use crate::registry::printable::printable;

/// Most folders of one `certs.d` that are looked at: a node knows tens of registries.
const FOLDERS_MAX: usize = 1024;
/// The folder for all registries that have none.
const DEFAULT: &str = "_default";

/// What there is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A file, or what it names, cannot be used: until it can, what is asked by it is *unable*.
    Hosts(RegistryError),
    /// A source of credentials cannot be used: until it can, there are none of it.
    Credentials(CredentialFault),
    /// A mirror is not shown the credentials of the registry that it mirrors.
    Mirror {
        /// The registry; none for all that have no folder of their own.
        registry: Option<String>,
        /// The mirror.
        host: String,
    },
}

/// Looks at the `hosts.toml` files, the docker configurations and the configuration of credential
/// provider plugins that these options name. Reads from the disk.
#[must_use]
pub fn survey(options: &Options) -> Vec<Notice> {
    let mut seen = BTreeSet::new();
    let mut notices = Vec::new();
    for root in &options.certs_dirs {
        let Ok(entries) = std::fs::read_dir(root) else { continue };
        let mut names: Vec<String> = entries
            .take(FOLDERS_MAX)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| root.join(name).is_dir())
            .collect();
        names.sort();
        // As for a pull: of several folders for one registry the first counts.
        for name in names.into_iter().filter(|name| seen.insert(name.clone())) {
            notices.extend(of_folder(&root.join(&name), &registry(&name), options));
        }
    }
    notices.extend(
        options
            .docker_configs
            .iter()
            .filter_map(|file| docker_config::fault(file))
            .map(Notice::Credentials),
    );
    let plugins = options.credential_provider_config.as_deref().map(provider_config::read);
    notices.extend(plugins.and_then(Result::err).map(Notice::Credentials));
    notices
}

fn of_folder(folder: &Path, registry: &str, options: &Options) -> Vec<Notice> {
    let read = match hosts_file::read(folder, registry) {
        Ok(read) => read,
        Err(error) => return vec![Notice::Hosts(error)],
    };
    let allowed = |host: &Host| {
        let of = options.credential_hosts.iter().filter(|(name, _)| fold(name) == fold(registry));
        of.flat_map(|(_, hosts)| hosts).any(|named| host.is_called(named))
    };
    let mirrors = read.hosts.into_iter().filter(|host| host.mirror && !host.is_called(registry));
    let silent = mirrors.filter(|host| registry == DEFAULT || !allowed(host));
    silent
        .map(|host| {
            let registry = (registry != DEFAULT).then(|| printable(registry));
            Notice::Mirror { registry, host: host.authority }
        })
        .collect()
}

/// The registry that a folder is for: `host_port_` is `host:port`.
fn registry(folder: &str) -> String {
    let port = folder.strip_suffix('_').and_then(|rest| rest.rsplit_once('_'));
    match port {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{host}:{port}")
        }
        _ => folder.to_owned(),
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(error) => {
                write!(f, "{error}; until it is mended, images by it are refused as unable")
            }
            Self::Credentials(fault) => {
                write!(f, "{fault}; until it is mended, there are no credentials by it")
            }
            Self::Mirror { registry: Some(registry), host } => write!(
                f,
                "hosts.toml has {host} for images of {registry}; the gate shows it no credentials: \
                 if it needs those of {registry}, set in [registry]: credential_hosts = \
                 {{ \"{registry}\" = [\"{host}\"] }}"
            ),
            Self::Mirror { registry: None, host } => write!(
                f,
                "hosts.toml has {host} for every registry without a folder of its own; the gate \
                 shows it no credentials: if it needs those of a registry, set in [registry]: \
                 credential_hosts = {{ \"REGISTRY\" = [\"{host}\"] }}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_registries() {
        for (folder, name) in [
            ("reg.example", "reg.example"),
            ("reg.example_5000_", "reg.example:5000"),
            ("reg.example:5000", "reg.example:5000"),
            ("a_b_", "a_b_"),
            ("_default", "_default"),
        ] {
            assert_eq!(registry(folder), name);
        }
    }

    #[test]
    fn what_must_be_set_for_a_mirror_is_said_and_what_is_broken() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(root.path().join(name), text).unwrap();
        };
        write(
            "certs.d/docker.io/hosts.toml",
            "[host.\"https://mirror.example\"]\n[host.\"https://named.example\"]\n",
        );
        write("certs.d/reg.example_5000_/hosts.toml", "server = \"https://reg.example:5000\"\n");
        write("certs.d/bad.example/hosts.toml", "server = [\"hunter2\"]\n");
        write("certs.d/_default/hosts.toml", "[host.\"https://all.example\"]\n");
        write("good.json", r#"{"auths":{"reg.example":{"auth":"YTpw"}}}"#);
        write("bad.json", r#"{"auths":{"reg.example":{"auth":"hunter2!"}}}"#);
        let path = |name: &str| root.path().join(name);
        let options = Options {
            certs_dirs: vec![path("certs.d"), path("none")],
            docker_configs: vec![path("good.json"), path("bad.json"), path("none.json")],
            credential_hosts: [("index.docker.io".to_owned(), vec!["named.example".to_owned()])]
                .into(),
            ..Options::default()
        };
        let found = survey(&options);
        let mirror = |registry: Option<&str>, host: &str| Notice::Mirror {
            registry: registry.map(str::to_owned),
            host: host.to_owned(),
        };
        assert_eq!(found[0], mirror(None, "all.example"));
        assert!(
            matches!(&found[1], Notice::Hosts(RegistryError::Config { line: Some(1), .. })),
            "{found:?}"
        );
        assert_eq!(found[2], mirror(Some("docker.io"), "mirror.example"));
        assert!(
            matches!(&found[3], Notice::Credentials(fault) if fault.source.ends_with("bad.json")),
            "{found:?}"
        );
        assert_eq!(found.len(), 4, "{found:?}");
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            said[2].contains(r#"credential_hosts = { "docker.io" = ["mirror.example"] }"#),
            "{said:?}"
        );
        assert!(!said.concat().contains("hunter2"), "{said:?}");
    }
}
