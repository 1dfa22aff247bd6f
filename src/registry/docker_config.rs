//! [`DockerConfigs`]: the node's own credentials from docker `config.json` files, for checks that no request with
//! credentials stands behind (CreateContainer after a restart).
//!
//! Matched as the kubelet matches them: the host, with `*` for whole labels, and the longest path that is a prefix of
//! the repository's. Credential helpers (`credsStore`, `credHelpers`) are not run in this version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::credentials::{Credentials, Secret};
use super::error::RegistryError;
use super::host::{fold, split_port};
use super::hosts_file::{config, read_capped};
use crate::image::Repository;

/// The files, in order.
pub(super) struct DockerConfigs {
    files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl DockerConfigs {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// The credentials for a repository, from the first file that has some. A file that cannot be used is warned of
    /// and passed over, as the kubelet does: without credentials a private registry answers 401, never "not there".
    pub(super) async fn find(&self, repository: &Repository) -> Option<Credentials> {
        let (files, repository) = (self.files.clone(), repository.folded());
        let usable = |found: Result<Option<Credentials>, RegistryError>| {
            found.unwrap_or_else(|error| {
                tracing::warn!(%error, "docker credentials passed over");
                None
            })
        };
        let task =
            tokio::task::spawn_blocking(move || files.iter().find_map(|file| usable(find_in(file, &repository))));
        task.await.ok().flatten()
    }
}

fn find_in(path: &Path, repository: &Repository) -> Result<Option<Credentials>, RegistryError> {
    let Some(bytes) = read_capped(path)? else { return Ok(None) };
    // The parser's own words may quote the file: only the line is told.
    let file: File = serde_json::from_slice(&bytes)
        .map_err(|error| config(path, Some(error.line()), "is not a docker config.json that can be understood"))?;
    let mut fitting: Vec<(String, &Entry)> =
        file.auths.iter().filter_map(|(key, entry)| Some((fits(key, repository)?, entry))).collect();
    fitting.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    match fitting.into_iter().find_map(|(_, entry)| entry.secret()) {
        Some(secret) => Ok(Some(Credentials::new(repository.host(), secret))),
        None => Ok(None),
    }
}

impl Entry {
    fn secret(&self) -> Option<Secret> {
        if !self.identitytoken.is_empty() {
            return Some(Secret::Refresh(self.identitytoken.clone()));
        }
        if !self.auth.is_empty() {
            return Secret::from_auth(&self.auth);
        }
        if !self.username.is_empty() {
            return Secret::password(&self.username, &self.password);
        }
        let visible = !self.registrytoken.is_empty() && self.registrytoken.bytes().all(|b| b.is_ascii_graphic());
        visible.then(|| Secret::Bearer(self.registrytoken.clone()))
    }
}

/// The path of a key when the key is for this (folded) repository.
fn fits(key: &str, repository: &Repository) -> Option<String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| key.strip_prefix(scheme)).unwrap_or(key);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Old keys end in the API's version, `https://index.docker.io/v1/`.
    let path = path.trim_end_matches('/');
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    if !host_fits(&fold(host), repository.host()) {
        return None;
    }
    let below = repository.path().strip_prefix(path);
    let whole = below.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'));
    whole.then(|| path.to_owned())
}

/// Equal, or label by label where a label of the pattern is `*`; the port must be equal.
fn host_fits(pattern: &str, host: &str) -> bool {
    let ((pattern, pattern_port), (host, port)) = (split_port(pattern), split_port(host));
    let (labels, own): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    pattern_port == port
        && labels.len() == own.len()
        && labels.iter().zip(&own).all(|(pattern, label)| pattern == label || *pattern == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, name: &str) -> Option<Secret> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, json).unwrap();
        let repository = crate::image::Reference::parse(name).unwrap().repository();
        let credentials = find_in(&file, &repository).unwrap()?;
        credentials.secret_for(repository.host()).cloned()
    }

    fn password(user: &str) -> Option<Secret> {
        Secret::password(user, "p")
    }

    #[test]
    fn the_host_and_the_longest_path_count() {
        // "YTpw" is a:p, "Yjpw" b:p, "Yzpw" c:p.
        let json = r#"{"auths":{
            "reg.example": {"auth":"YTpw"},
            "reg.example/team": {"auth":"Yjpw"},
            "https://index.docker.io/v1/": {"auth":"Yzpw"},
            "*.cloud.example:5000": {"username":"d","password":"p"}
        }}"#;
        for (name, expected) in [
            ("reg.example/app", password("a")),
            ("REG.example:443/app", password("a")),
            ("reg.example/team/app", password("b")),
            ("reg.example/team2/app", password("a")),
            ("app", password("c")),
            ("registry-1.docker.io/library/app", password("c")),
            ("eu.cloud.example:5000/app", password("d")),
            ("eu.cloud.example/app", None),
            ("a.eu.cloud.example:5000/app", None),
            ("other.example/app", None),
            ("reg.example:5000/app", None),
        ] {
            assert_eq!(found(json, name), expected, "{name}");
        }
    }

    #[test]
    fn other_keys_of_the_file_do_not_matter() {
        assert_eq!(found(r#"{"credsStore":"x","auths":{"r.example":{}}}"#, "r.example/a"), None);
        assert_eq!(found("{}", "r.example/a"), None);
    }

    /// Attack E6: a broken file is named, its content is not repeated.
    #[test]
    fn attack_e6_a_broken_file_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, "{\"auths\":\n{\"r\":\"hunter2\"}}").unwrap();
        let repository = Repository::parse("r.example/a").unwrap();
        let error = find_in(&file, &repository).unwrap_err();
        assert!(matches!(error, RegistryError::Config { line: Some(2), .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert_eq!(find_in(&folder.path().join("none"), &repository), Ok(None));
    }
}
