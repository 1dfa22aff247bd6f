//! The configuration: [`load`] reads the file and its drop-ins and answers with [`Settings`], or
//! with the first [`ConfigError`] and its place.
//!
//! Files become trees whose every value knows its line (`tree`), trees become one (later files win,
//! key by key), and that one becomes the options of each room (`de`), strictly: an unknown key, a
//! wrong type or a value out of its range is an error, in a value that a later file replaces too.
//! Each room owns its options and their defaults; nothing here reads the environment.

mod de;
mod error;
mod tree;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use error::{ConfigError, Place};

use crate::file_trust::{self, Above};
use crate::{
    audit, canary, containerd, control, cri, evidence_store, floor, host_paths, loader, metrics,
    nri, otlp, proxy, registry,
};

/// Where the configuration is unless the command line says otherwise. Drop-ins are in the folder of
/// that name with `.d` added.
pub const DEFAULT_PATH: &str = "/etc/sealgate/config.toml";
/// The largest file that is read, in bytes: fifty times the shipped example.
const FILE_MAX: u64 = 1 << 20;
/// The most drop-ins that are read: more are a mistake of whatever writes them.
const FILES_MAX: usize = 200;

/// Everything that can be configured: one field, and one table of the file, for each room that has
/// options.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The socket that the kubelet connects to.
    pub listen: proxy::Options,
    /// The socket of `sealgate status`.
    pub control: control::Options,
    /// The container runtime behind the gate.
    pub runtime: containerd::Options,
    /// The registries.
    pub registry: registry::Options,
    /// Where policies and keys are.
    pub policy: loader::Options,
    /// Trust roots and their refresh.
    pub trust: loader::TrustOptions,
    /// Evidence on disk.
    pub evidence: evidence_store::Options,
    /// Limits of one decision.
    pub limits: cri::Limits,
    /// What is remembered.
    pub memory: cri::MemoryOptions,
    /// The audit log.
    pub audit: audit::Options,
    /// Which containers count as the gate's.
    pub sweep: cri::SweepOptions,
    /// Where containers that nobody asked the gate about raise an alert.
    pub drift: cri::DriftOptions,
    /// What becomes of calls about what the gate did not admit.
    pub unadmitted: cri::UnadmittedOptions,
    /// Where the latest time on record is kept.
    pub clock: floor::Options,
    /// What of this node containers may reach.
    pub host_paths: host_paths::Options,
    /// The tripwire in the runtime.
    pub nri: nri::Options,
    /// How the gate tests itself.
    pub canary: canary::Options,
    /// Numbers for a monitor.
    pub metrics: metrics::Options,
    /// Where the audit log is sent.
    pub otlp: otlp::Options,
    /// The words for the journal.
    pub log: LogOptions,
}

/// What the daemon says to the journal.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// Which of its words: `error`, `warn`, `info`, `debug`, `trace`, or directives of
    /// tracing-subscriber's `EnvFilter`.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { filter: "info".to_owned() }
    }
}

/// Reads the file at `path` and, in the order of their names, every `*.toml` in the folder `path`
/// with `.d` added. Tables are merged key by key, anything else in a later file replaces what was
/// before. Hidden files and other names are not read.
///
/// # Errors
/// [`ConfigError`] for the first thing that is wrong, in the order in which the files are read: not
/// there, not safe from others (attack E4), too large, no TOML, an unknown key, a value that does
/// not fit.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let mut fragments = vec![(path.to_owned(), read(path)?)];
    for path in drop_ins(path)? {
        let text = read(&path)?;
        fragments.push((path, text));
    }
    parse(&fragments)
}

/// The settings that these files make, given as names and texts in the order in which they are
/// read.
///
/// # Errors
/// [`ConfigError`] for the first thing that is wrong in any of them.
pub fn parse(fragments: &[(PathBuf, String)]) -> Result<Settings, ConfigError> {
    let mut whole = tree::Node::empty();
    for (path, text) in fragments {
        let fragment = tree::parse(path, text)?;
        de::settings::<Settings>(&fragment)?;
        whole.merge(fragment);
    }
    let mut settings: Settings = de::settings(&whole)?;
    let lists = whole.file_of(&["policy", "deny_lists"]);
    settings.policy.deny_lists_file = lists.map(Path::to_owned);
    settings.check().map_err(|message| ConfigError::Unfit { message })?;
    Ok(settings)
}

impl Settings {
    /// What types cannot say about the values, room by room.
    fn check(&self) -> Result<(), String> {
        self.policy.check()?;
        self.trust.check()?;
        self.host_paths.check()?;
        self.canary.check()?;
        self.sweep.check()?;
        self.drift.check()?;
        self.otlp.check().map_err(|error| error.to_string())?;
        self.audit.check().map_err(|error| error.to_string())
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |error: io::Error| ConfigError::Read { path: path.into(), kind: error.kind() };
    file_trust::check(path, Above::NobodyElse).map_err(|fault| {
        if let file_trust::OwnershipFault::Unreadable { kind, .. } = fault {
            ConfigError::Read { path: path.into(), kind }
        } else {
            ConfigError::Unsafe(fault)
        }
    })?;
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(ConfigError::TooLarge { path: path.into(), limit: FILE_MAX });
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::NotText { path: path.into() })
}

fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    let folder = PathBuf::from(folder);
    let failed = |error: io::Error| ConfigError::Read { path: folder.clone(), kind: error.kind() };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(ConfigError::TooMany { folder, limit: FILES_MAX });
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
