//! [`DockerConfigs`]: the node's own credentials from docker `config.json` files, for checks that
//! no request with credentials stands behind (CreateContainer after a restart).
//!
//! Keys are matched as the kubelet matches them ([`super::pattern`]). Of one file a helper
//! (`credHelpers` for the host, else `credsStore`) is asked first, as docker does; the kubelet runs
//! none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::helper::Helpers;
use super::pattern::Pattern;
use super::{Secret, server_host};
use crate::image::Repository;
use crate::registry::authority::fold;
use crate::registry::credential_fault::{CredentialFault, CredentialWhy};
use crate::registry::error::RegistryError;
use crate::registry::operator_file::{config, read_capped};

/// The files, in order.
pub(in crate::registry) struct DockerConfigs {
    files: Vec<PathBuf>,
    helpers: Helpers,
}

/// What one file says about one repository.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    helper: Option<String>,
    secrets: Vec<Secret>,
    /// What is wrong with an entry that fits.
    unusable: Option<&'static str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credsStore")]
    store: String,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        for field in
            [&mut self.auth, &mut self.password, &mut self.identitytoken, &mut self.registrytoken]
        {
            field.zeroize();
        }
    }
}

impl DockerConfigs {
    pub(in crate::registry) fn new(files: Vec<PathBuf>, helpers: Helpers) -> Self {
        Self { files, helpers }
    }

    /// The secrets for a (folded) repository, in the order of the files, and what failed. A file
    /// that cannot be used is passed over, as the kubelet does: without credentials a private
    /// registry answers 401, never "not there". Waits for helpers until `until`.
    pub(in crate::registry) async fn find(
        &self,
        repository: &Repository,
        until: Instant,
    ) -> (Vec<Secret>, Vec<CredentialFault>) {
        let (files, asked) = (self.files.clone(), repository.clone());
        let read = move || {
            let of = |file: &PathBuf| (file.display().to_string(), find_in(file, &asked));
            files.iter().map(of).collect::<Vec<_>>()
        };
        let (mut secrets, mut faults) = (Vec::new(), Vec::new());
        for (file, said) in tokio::task::spawn_blocking(read).await.unwrap_or_default() {
            match said {
                Ok(said) => {
                    if let Some(helper) = said.helper {
                        match self.helpers.get(&helper, repository.host(), until).await {
                            Ok(secret) => secrets.extend(secret),
                            Err(fault) => faults.push(fault),
                        }
                    }
                    secrets.extend(said.secrets);
                    if let Some(problem) = said.unusable {
                        faults.push(CredentialFault::new(
                            file,
                            CredentialWhy::File { line: None, problem },
                        ));
                    }
                }
                Err(RegistryError::Unsafe(fault)) => {
                    faults.push(CredentialFault::new(file, CredentialWhy::Unsafe(fault)))
                }
                Err(RegistryError::Config { line, problem, .. }) => {
                    faults.push(CredentialFault::new(file, CredentialWhy::File { line, problem }));
                }
                Err(_) => {}
            }
        }
        (secrets, faults)
    }
}

fn read(path: &Path) -> Result<Option<File>, RegistryError> {
    let Some(bytes) = read_capped(path)?.map(Zeroizing::new) else { return Ok(None) };
    // The parser's own words may quote the file: only the line is told.
    let parsed = serde_json::from_slice(&bytes);
    parsed.map_err(|error| {
        config(path, Some(error.line()), "is not a docker config.json that can be understood")
    })
}

/// What is wrong with a file, or with the first entry of it that is of no use, whatever it is for.
pub(in crate::registry) fn fault(path: &Path) -> Option<CredentialFault> {
    let why = match read(path) {
        Ok(file) => {
            let problem = file
                .iter()
                .flat_map(|file| file.auths.values())
                .find_map(|entry| entry.secret().err())?;
            CredentialWhy::File { line: None, problem }
        }
        Err(RegistryError::Unsafe(fault)) => CredentialWhy::Unsafe(fault),
        Err(RegistryError::Config { line, problem, .. }) => CredentialWhy::File { line, problem },
        Err(_) => return None,
    };
    Some(CredentialFault::new(path.display().to_string(), why))
}

fn find_in(path: &Path, repository: &Repository) -> Result<Said, RegistryError> {
    let Some(file) = read(path)? else { return Ok(Said::default()) };
    let own = |key: &String| server_host(key).is_some_and(|host| fold(&host) == repository.host());
    // An empty name means that the host has none, whatever the store.
    let helper =
        file.helpers.iter().find(|(key, _)| own(key)).map_or(&file.store, |(_, helper)| helper);
    let mut fitting: Vec<(Pattern, &Entry)> = file
        .auths
        .iter()
        .map(|(key, entry)| (Pattern::new(key), entry))
        .filter(|(pattern, _)| pattern.fits(repository))
        .collect();
    fitting.sort_by(|(one, _), (other, _)| other.cmp(one));
    let mut said = Said { helper: (!helper.is_empty()).then(|| helper.clone()), ..Said::default() };
    for (_, entry) in fitting {
        match entry.secret() {
            Ok(secret) => said.secrets.extend(secret),
            Err(problem) => said.unusable = Some(problem),
        }
    }
    Ok(said)
}

impl Entry {
    /// None when the entry has nothing, as one whose secret is in a store.
    fn secret(&self) -> Result<Option<Secret>, &'static str> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Secret::Refresh(self.identitytoken.clone())));
        }
        if !self.auth.is_empty() {
            let secret = Secret::from_auth(&self.auth).map(Some);
            return secret.ok_or(
                "has an auth that is not user:password in base64; a line break in the password, as \
                 echo without -n makes it, is none either",
            );
        }
        if !self.username.is_empty() {
            let secret = Secret::password(&self.username, &self.password).map(Some);
            return secret.ok_or("has a user name or password that HTTP cannot carry");
        }
        if self.registrytoken.is_empty() {
            return Ok(None);
        }
        let visible = self.registrytoken.bytes().all(|b| b.is_ascii_graphic());
        let secret = visible.then(|| Some(Secret::Bearer(self.registrytoken.clone())));
        secret.ok_or("has a registrytoken that HTTP cannot carry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str, name: &str) -> Said {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, json).unwrap();
        let repository = crate::image::Reference::parse(name).unwrap().repository().folded();
        find_in(&file, &repository).unwrap()
    }

    fn found(json: &str, name: &str) -> Option<Secret> {
        said(json, name).secrets.first().cloned()
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
            // The kubelet's prefix ends anywhere.
            ("reg.example/team2/app", password("b")),
            ("reg.example/tea", password("a")),
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

    /// The kubelet tries all that fit, one after the other.
    #[test]
    fn all_that_fit_are_found_in_order() {
        let json = r#"{"auths":{"*.example":{"auth":"YTpw"},"reg.example":{"auth":"Yjpw"},"reg.example/t":{"auth":"Yzpw"}}}"#;
        let secrets: Vec<Option<Secret>> =
            said(json, "reg.example/t").secrets.into_iter().map(Some).collect();
        assert_eq!(secrets, [password("c"), password("b"), password("a")]);
    }

    #[test]
    fn a_helper_is_chosen_as_docker_chooses() {
        let json = r#"{"credsStore":"all","credHelpers":{"reg.example":"one","https://index.docker.io/v1/":"hub","no.example":""},
            "auths":{"reg.example":{},"r.example":{"auth":"YTpw"}}}"#;
        let helper = |name: &str| said(json, name).helper;
        assert_eq!(helper("reg.example/a").as_deref(), Some("one"));
        assert_eq!(helper("app").as_deref(), Some("hub"));
        assert_eq!(helper("reg.example:5000/a").as_deref(), Some("all"));
        assert_eq!(helper("no.example/a"), None);
        assert_eq!(found(json, "r.example/a"), password("a"), "beside the store");
        assert_eq!(said("{}", "r.example/a"), Said::default());
    }

    /// An entry that is of no use is not passed over without a word, and those beside it count.
    #[test]
    fn what_cannot_be_used_is_told() {
        let json = r#"{"auths":{"*.example":{"auth":"YTpw\n"},"reg.example":{"auth":"YTpwCg=="},"other.example":{}}}"#;
        let said = said(json, "reg.example/a");
        assert_eq!(said.secrets, Vec::from_iter(password("a")));
        assert!(
            said.unusable.is_some_and(|problem| problem.contains("base64")),
            "{:?}",
            said.unusable
        );
        for (entry, is_told) in [
            (r#"{"auth":"!"}"#, true),
            (r#"{"username":"a:b","password":"p"}"#, true),
            (r#"{"registrytoken":"a b"}"#, true),
            (r"{}", false),
            (r#"{"auth":""}"#, false),
        ] {
            let said =
                self::said(&format!(r#"{{"auths":{{"reg.example":{entry}}}}}"#), "reg.example/a");
            assert_eq!((said.secrets.len(), said.unusable.is_some()), (0, is_told), "{entry}");
        }
    }

    /// Attack E4: whoever could change a file could have a registry of his own asked with somebody
    /// else's name.
    #[test]
    fn attack_e4_a_file_that_others_can_write_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("config.json");
        std::fs::write(&file, r#"{"auths":{"reg.example":{"auth":"YTpw"}}}"#).unwrap();
        let repository = Repository::parse("reg.example/a").unwrap();
        for (mode, is_read) in [(0o600, true), (0o644, true), (0o664, false), (0o666, false)] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            let found = find_in(&file, &repository);
            assert_eq!(found.is_ok(), is_read, "{mode:o}");
            assert!(is_read || matches!(found, Err(RegistryError::Unsafe(_))), "{mode:o}");
        }
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
        assert_eq!(find_in(&folder.path().join("none"), &repository), Ok(Said::default()));
    }
}
