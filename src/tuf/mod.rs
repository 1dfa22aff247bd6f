//! Refreshing a trust root over TUF (The Update Framework, specification 1.0): [`update`] fetches,
//! checks and installs one `trusted_root.json`.
//!
//! What is checked is `sigstore-tuf`'s: the chain of roots, thresholds of signatures, versions,
//! expiry, hashes. Ours are the requests (`transport`), what is kept between runs (`memory`) and
//! the file that replaces another whole (`install`). Nothing here judges an image, and no
//! verification waits for it.

mod error;
mod install;
mod memory;
mod target;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use sigstore_tuf::{Updater, UpdaterConfig};

pub use error::{FetchError, StateFault, UpdateError};
pub use target::TARGET;

use install::Folder;
use memory::Memory;
use transport::Mirror;

/// Most bytes of it, as the reader of trust roots has it.
const TARGET_MAX: u64 = 1 << 20;

/// What to refresh, from where, to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The root's name: `NAME.json` in `state`. The caller has checked that it is a plain file
    /// name.
    pub name: String,
    /// The repository's URL: metadata is there, targets in `targets/` below it. HTTPS, or HTTP
    /// where it says so.
    pub mirror: String,
    /// The TUF root that everything is checked from.
    pub root: Vec<u8>,
    /// The folder that is written to.
    pub state: PathBuf,
    /// `http://host:port` of a proxy for every request, perhaps with `user:password@`; the
    /// environment is not read.
    pub proxy: Option<String>,
    /// How long all of it may take.
    pub limit: Duration,
}

/// What became of the installed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// There was none.
    Installed,
    /// It was another one.
    Replaced,
    /// It is what is published already; nothing was written.
    Unchanged,
}

/// A root that is in place as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// What became of the file.
    pub change: Change,
    /// The file.
    pub file: PathBuf,
    /// Version of the repository's root metadata.
    pub root_version: u64,
    /// Version of its timestamp metadata.
    pub timestamp_version: u64,
    /// When the first of the metadata expires: without an update until then, updates are overdue.
    pub fresh_until: Timestamp,
}

/// Fetches, checks and installs. `accept` says whether what was fetched can be used; only then it
/// replaces what is there.
///
/// What is kept between runs, in `STATE/tuf/NAME`: each root of the chain as soon as it is
/// verified, the other metadata after all of it was. So nothing older than what was in force is
/// accepted again (attack C3).
///
/// # Errors
/// [`UpdateError`]; the root in place stays whatever it was.
pub async fn update<A>(ask: &Ask, accept: A, now: Timestamp) -> Result<Updated, UpdateError>
where
    A: Fn(&[u8]) -> Result<(), String>,
{
    let folder = Folder::open(&ask.state, &ask.name)?;
    let memory = Memory::load(folder.metadata())?;
    let mirror = Mirror::new(&ask.mirror, ask.proxy.as_deref())?;
    let fetched = tokio::time::timeout(ask.limit, fetch(ask, &folder, mirror, &memory, now)).await;
    let FetchedRoot { bytes, updated, known } =
        fetched.unwrap_or(Err(UpdateError::Deadline { seconds: ask.limit.as_secs() }))?;
    memory.fault().map_or(Ok(()), |fault| Err(UpdateError::State(fault)))?;
    if !known {
        accept(&bytes).map_err(UpdateError::Unusable)?;
    }
    // The versions first: were it the other way round, a crash in between would let an older root
    // come back.
    memory.commit()?;
    if !known {
        folder.install(&bytes)?;
    }
    Ok(updated)
}

struct FetchedRoot {
    bytes: Vec<u8>,
    updated: Updated,
    known: bool,
}

async fn fetch(
    ask: &Ask,
    folder: &Folder,
    mirror: Mirror,
    memory: &Memory,
    now: Timestamp,
) -> Result<FetchedRoot, UpdateError> {
    let mut limits = UpdaterConfig::default();
    limits.target_max_length = TARGET_MAX;
    let updater =
        Updater::new(mirror, &ask.root).map_err(|error| UpdateError::Root(error::chain(&error)))?;
    let mut updater = updater.with_config(limits).with_store(memory.clone());
    let first = updater.trusted().root().version;
    if let Err(error) = updater.refresh(now).await {
        let root_version = updater.trusted().root().version;
        let behind = root_version.saturating_sub(first) >= u64::from(limits.max_root_rotations);
        return Err(if behind {
            UpdateError::Behind { root_version }
        } else {
            UpdateError::from_tuf(error)
        });
    }
    let target = updater.get_target_info(TARGET, now).await.map_err(UpdateError::from_tuf)?;
    let target = target.ok_or(UpdateError::NoTarget)?;
    let before = folder.installed(TARGET_MAX)?;
    let change = if before.is_some() { Change::Replaced } else { Change::Installed };
    let known = before.filter(|bytes| is_target(bytes, &target));
    let change = if known.is_some() { Change::Unchanged } else { change };
    let (bytes, known) = match known {
        Some(bytes) => (bytes, true),
        None => {
            (updater.download_target(&target, TARGET).await.map_err(UpdateError::from_tuf)?, false)
        }
    };
    let set = updater.trusted();
    let ends = [
        Some(set.root().expires),
        set.timestamp().map(|role| role.expires),
        set.snapshot().map(|role| role.expires),
        set.targets_role("targets").map(|role| role.expires),
    ];
    let updated = Updated {
        change,
        file: folder.file().to_owned(),
        root_version: set.root().version,
        timestamp_version: set.timestamp().map(|role| role.version).unwrap_or_default(),
        fresh_until: ends.into_iter().flatten().min().unwrap_or(now),
    };
    Ok(FetchedRoot { bytes, updated, known })
}

/// Whether these bytes are the target: its length and its SHA-256. A target that names no SHA-256
/// is fetched anew.
fn is_target(bytes: &[u8], target: &sigstore_tuf::TargetFile) -> bool {
    let same = |hash: &String| hash.eq_ignore_ascii_case(&sigstore_crypto::sha256(bytes).to_hex());
    u64::try_from(bytes.len()) == Ok(target.length) && target.hashes.get("sha256").is_some_and(same)
}
