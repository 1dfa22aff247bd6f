//! [`read`]: the kubelet's own configuration of credential provider plugins
//! (`CredentialProviderConfig`, `kubelet.config.k8s.io/v1`), a file or a folder of files.
//!
//! Judged as the kubelet judges it (its `pkg/credentialprovider/plugin/config.go`): one fault and
//! nothing counts. Two differences: fields that are not known are passed over, because a newer
//! kubelet may know them; and the file must be root's alone, because it says which programs are
//! run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::pattern::Pattern;
use crate::registry::credential_fault::{CredentialFault, CredentialWhy};
use crate::registry::error::RegistryError;
use crate::registry::operator_file::read_capped;

/// Versions of the file.
const FILE_VERSIONS: [&str; 3] =
    ["kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1beta1", "kubelet.config.k8s.io/v1alpha1"];
/// Versions of the protocol.
const PROTOCOLS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
];
/// Most files of a folder, and most plugins in all: clouds have one each.
const FILES_MAX: usize = 64;
const PROVIDERS_MAX: usize = 64;
/// Most nodes and levels of the YAML: a plugin takes about twenty.
const NODES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 16;

/// One plugin, as configured.
pub(in crate::registry) struct Provider {
    pub(in crate::registry) name: String,
    pub(in crate::registry) images: Vec<Pattern>,
    /// How long an answer is good that does not say so; zero for not at all.
    pub(in crate::registry) life: Duration,
    /// The protocol's version.
    pub(in crate::registry) protocol: String,
    pub(in crate::registry) args: Vec<String>,
    pub(in crate::registry) env: Vec<(String, String)>,
    /// It asks for a pod's service account token, and does nothing without one.
    pub(in crate::registry) needs_service_account: bool,
    /// Says whether two configurations of a plugin are the same: answers to one are no answers to
    /// another.
    pub(in crate::registry) id: [u8; 32],
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    kind: String,
    api_version: String,
    #[serde(default)]
    providers: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    name: String,
    #[serde(default)]
    match_images: Vec<String>,
    default_cache_duration: Option<String>,
    api_version: String,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<Variable>>,
    token_attributes: Option<TokenAttributes>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAttributes {
    require_service_account: Option<bool>,
}

/// Reads the plugins, in the order in which they are asked. Looks at the disk.
pub(in crate::registry) fn read(path: &Path) -> Result<Vec<Provider>, CredentialFault> {
    let mut found: Vec<Provider> = Vec::new();
    let mut names = BTreeSet::new();
    for file in files(path)? {
        for provider in read_file(&file)? {
            if !names.insert(provider.name.clone()) {
                return Err(fault(&file, None, "names a plugin that was named before"));
            }
            found.push(provider);
        }
        if found.len() > PROVIDERS_MAX {
            return Err(fault(path, None, "names more than 64 plugins"));
        }
    }
    Ok(found)
}

/// Longest duration that Go knows, seconds: about 292 years (`math.MaxInt64` nanoseconds). A point
/// in time so far off can still be told; one that is much further cannot, and to reckon it would
/// end the gate.
const DURATION_MAX: f64 = 9_223_372_036.0;

/// A duration as Go writes it (`time.ParseDuration`): `12h`, `1h30m`, `0s`, `1.5m`; none for
/// anything else, for what is negative and for what is too long for Go.
pub(in crate::registry) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, left) = after.split_at_checked(length)?;
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = left;
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| total <= DURATION_MAX)
}

fn fault(file: &Path, line: Option<usize>, problem: &'static str) -> CredentialFault {
    CredentialFault::new(file.display().to_string(), CredentialWhy::File { line, problem })
}

/// A file itself; of a folder its `*.json`, `*.yaml` and `*.yml` in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, CredentialFault> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |_| fault(path, None, "cannot be read");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_one = file
            .extension()
            .is_some_and(|end| ["json", "yaml", "yml"].iter().any(|one| end == *one));
        if is_one && !file.is_dir() {
            files.push(file);
        }
        if files.len() > FILES_MAX {
            return Err(fault(path, None, "has more than 64 files"));
        }
    }
    files.sort();
    if files.is_empty() { Err(fault(path, None, "has no configuration in it")) } else { Ok(files) }
}

fn read_file(path: &Path) -> Result<Vec<Provider>, CredentialFault> {
    let bytes = match read_capped(path) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => return Err(fault(path, None, "is not there")),
        Err(RegistryError::Unsafe(why)) => {
            return Err(CredentialFault::new(
                path.display().to_string(),
                CredentialWhy::Unsafe(why),
            ));
        }
        Err(RegistryError::Config { problem, .. }) => return Err(fault(path, None, problem)),
        Err(_) => return Err(fault(path, None, "cannot be read")),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| fault(path, None, "is not UTF-8"))?;
    let file =
        parse(text).map_err(|line| fault(path, line, "is not a configuration of plugins"))?;
    if file.kind != "CredentialProviderConfig"
        || !FILE_VERSIONS.contains(&file.api_version.as_str())
    {
        return Err(fault(
            path,
            None,
            "is of another kind or version than CredentialProviderConfig, v1",
        ));
    }
    if file.providers.is_empty() {
        return Err(fault(path, None, "names no plugin"));
    }
    file.providers
        .into_iter()
        .map(|written| written.judged().map_err(|problem| fault(path, None, problem)))
        .collect()
}

/// The parser's own words may quote the file, which may hold secrets in `env`: only the line is
/// told.
fn parse(text: &str) -> Result<File, Option<usize>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_anchors: 0,
            max_aliases: 0,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line =
            error.location().map(|location| usize::try_from(location.line()).unwrap_or_default());
        line.filter(|line| *line > 0)
    })
}

impl Written {
    fn judged(self) -> Result<Provider, &'static str> {
        if self.match_images.is_empty() || self.match_images.iter().any(String::is_empty) {
            return Err("has a plugin without matchImages");
        }
        let Some(life) = self.default_cache_duration.as_deref().and_then(duration) else {
            return Err("has a plugin without a usable defaultCacheDuration");
        };
        if !PROTOCOLS.contains(&self.api_version.as_str()) {
            return Err("has a plugin with an apiVersion that is not known");
        }
        let env: Vec<(String, String)> = self
            .env
            .unwrap_or_default()
            .into_iter()
            .map(|variable| (variable.name, variable.value))
            .collect();
        let usable = |(name, value): &(String, String)| {
            !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
        };
        let args = self.args.unwrap_or_default();
        if !env.iter().all(usable) || args.iter().any(|argument| argument.contains('\0')) {
            return Err("has a plugin with args or env that no program can be given");
        }
        let needs_service_account = self
            .token_attributes
            .is_some_and(|attributes| attributes.require_service_account != Some(false));
        let mut provider = Provider {
            name: self.name,
            images: self.match_images.iter().map(|image| Pattern::new(image)).collect(),
            life,
            protocol: self.api_version,
            args,
            env,
            needs_service_account,
            id: [0; 32],
        };
        provider.id = provider.fingerprint();
        Ok(provider)
    }
}

impl Provider {
    fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        };
        [&self.name, &self.protocol].into_iter().chain(&self.args).for_each(|text| part(text));
        for (name, value) in &self.env {
            part(name);
            part(value);
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests;
