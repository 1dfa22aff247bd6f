//! [`Hosts`]: which places are asked for a registry's content, from containerd's `certs.d`, read
//! again when a file changes.

pub(super) mod host;
pub(super) mod host_table;
pub(super) mod hosts_file;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use lru::LruCache;

use crate::clock::Clock;
use crate::registry::authority::{fold, is_localhost};
use crate::registry::error::RegistryError;
use crate::registry::lock::lock;
use crate::registry::operator_file::config;
use host::Host;
use hosts_file::Folder;

/// How long a plan is used before the files are looked at again: one decision asks for it several
/// times.
const FRESH: Duration = Duration::from_secs(1);
/// How long unchanged files are not read again; certificates beside `hosts.toml` are noticed within
/// this.
const REREAD: Duration = Duration::from_secs(30);
/// Registries whose plan is remembered.
const PLANS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Where a registry's content is asked for.
#[derive(Debug)]
pub(super) struct Plan {
    /// In order; the registry itself, or what stands for it, comes last.
    pub(super) hosts: Vec<Host>,
    /// Places that the operator, or the reference by a loopback name, named: they may be local.
    pub(super) named: BTreeSet<String>,
}

/// All registries' plans.
pub(super) struct Hosts {
    roots: Vec<PathBuf>,
    clock: Clock,
    plans: Mutex<LruCache<String, Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    plan: Arc<Plan>,
    looked: Instant,
    read: Instant,
    stamp: Stamp,
}

/// What tells that a folder changed: its path, and when it and its `hosts.toml` were last written,
/// and how long.
type Stamp = Option<(PathBuf, [Option<(SystemTime, u64)>; 2])>;

impl Hosts {
    pub(super) fn new(roots: Vec<PathBuf>, clock: Clock) -> Self {
        Self { roots, clock, plans: Mutex::new(LruCache::new(PLANS_MAX)) }
    }

    /// The plan for a registry (a reference's host as it is written).
    pub(super) async fn plan(&self, registry: &str) -> Result<Arc<Plan>, RegistryError> {
        let now = self.clock.steady();
        let remembered = lock(&self.plans).get(registry).cloned();
        if let Some(known) = &remembered
            && now.saturating_duration_since(known.looked) < FRESH
        {
            return Ok(Arc::clone(&known.plan));
        }
        let (roots, name) = (self.roots.clone(), registry.to_owned());
        let task = tokio::task::spawn_blocking(move || look(&roots, &name, now, remembered));
        let fresh =
            task.await.map_err(|_| config(Path::new("certs.d"), None, "could not be read"))??;
        lock(&self.plans).put(registry.to_owned(), fresh.clone());
        Ok(fresh.plan)
    }
}

/// Reads the registry's folder unless it is as it was.
fn look(
    roots: &[PathBuf],
    registry: &str,
    now: Instant,
    remembered: Option<Remembered>,
) -> Result<Remembered, RegistryError> {
    let folder = roots
        .iter()
        .map(|root| folder_of(root, registry))
        .find_map(Result::transpose)
        .transpose()?;
    let stamp = folder.as_deref().map(|folder| {
        (folder.to_owned(), [folder.to_owned(), folder.join("hosts.toml")].map(stat))
    });
    if let Some(known) = remembered
        && known.stamp == stamp
        && now.saturating_duration_since(known.read) < REREAD
    {
        return Ok(Remembered { looked: now, ..known });
    }
    let plan = match &folder {
        None => plan(
            Folder { hosts: vec![Host::default_for(registry)], named: Vec::new() },
            registry,
            false,
        ),
        Some(folder) => {
            let own = folder.file_name().is_some_and(|name| name != "_default");
            plan(hosts_file::read(folder, registry)?, registry, own)
        }
    };
    Ok(Remembered { plan: Arc::new(plan), looked: now, read: now, stamp })
}

fn plan(folder: Folder, registry: &str, own_folder: bool) -> Plan {
    let mut named: BTreeSet<String> = folder.named.into_iter().collect();
    if own_folder || is_localhost(registry) {
        named.insert(fold(registry));
    }
    Plan { hosts: folder.hosts, named }
}

/// The folder for a host: `host_port_`, `host:port`, then `_default` (containerd's `hostPaths`).
///
/// One that cannot be looked at is an error, as for containerd: to go on would be to ask whom the
/// operator did not mean.
fn folder_of(root: &Path, registry: &str) -> Result<Option<PathBuf>, RegistryError> {
    let with_port = registry.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let escaped = with_port.map(|(host, port)| format!("{host}_{port}_"));
    let names = [escaped.as_deref(), Some(registry), Some("_default")];
    for folder in names.into_iter().flatten().map(|name| root.join(name)) {
        match folder.try_exists() {
            Ok(false) => {}
            Ok(true) => return Ok(Some(folder)),
            Err(_) => return Err(config(&folder, None, "cannot be looked at")),
        }
    }
    Ok(None)
}

fn stat(path: PathBuf) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    fn clock() -> Clock {
        Clock::new(SystemTime::now, Instant::now)
    }

    fn write(root: &Path, folder: &str, toml: &str) {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        std::fs::write(root.join(folder).join("hosts.toml"), toml).unwrap();
    }

    fn first(root: &Path, registry: &str) -> String {
        let now = clock().steady();
        look(&[root.to_owned()], registry, now, None).unwrap().plan.hosts[0].authority.clone()
    }

    #[test]
    fn folders_are_tried_in_containerds_order() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(first(root.path(), "r.example:5000"), "r.example:5000");
        write(root.path(), "_default", "server = \"https://default.example\"");
        assert_eq!(first(root.path(), "r.example:5000"), "default.example");
        write(root.path(), "r.example:5000", "server = \"https://colon.example\"");
        assert_eq!(first(root.path(), "r.example:5000"), "colon.example");
        write(root.path(), "r.example_5000_", "server = \"https://underscore.example\"");
        assert_eq!(first(root.path(), "r.example:5000"), "underscore.example");
        assert_eq!(first(root.path(), "other.example"), "default.example");
    }

    #[test]
    fn the_first_root_with_a_folder_counts() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(b.path(), "r.example", "server = \"https://b.example\"");
        let roots = [a.path().to_owned(), b.path().to_owned()];
        let found = look(&roots, "r.example", clock().steady(), None).unwrap();
        assert_eq!(found.plan.hosts[0].authority, "b.example");
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_broken_one_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "r.example", "server = \"https://one.example\"");
        let now = clock().steady();
        let roots = [root.path().to_owned()];
        let one = look(&roots, "r.example", now, None).unwrap();
        let later = now + Duration::from_secs(2);
        let same = look(&roots, "r.example", later, Some(one.clone())).unwrap();
        assert!(Arc::ptr_eq(&one.plan, &same.plan));
        write(root.path(), "r.example", "server = \"https://number-two.example\"");
        let two = look(&roots, "r.example", later, Some(same.clone())).unwrap();
        assert_eq!(two.plan.hosts[0].authority, "number-two.example");
        write(root.path(), "r.example", "server = ");
        assert!(matches!(
            look(&roots, "r.example", later, Some(two)),
            Err(RegistryError::Config { .. })
        ));
    }

    #[test]
    fn who_is_named() {
        let root = tempfile::tempdir().unwrap();
        let named = |registry: &str| {
            look(&[root.path().to_owned()], registry, clock().steady(), None).unwrap()
        };
        assert!(named("r.example").plan.named.is_empty());
        assert!(named("127.0.0.1:5000").plan.named.contains("127.0.0.1:5000"));
        assert!(named("169.254.169.254").plan.named.is_empty());
        write(root.path(), "_default", "[host.\"http://10.0.0.1:5000\"]");
        let plan = named("r.example").plan;
        assert!(plan.named.contains("10.0.0.1:5000") && !plan.named.contains("r.example"));
        write(root.path(), "r.example", "");
        assert!(named("r.example").plan.named.contains("r.example"));
    }
}
