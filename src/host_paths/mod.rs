//! What of this node a container would reach: [`HostPaths`] looks at the host paths and devices
//! that a container asks for, and says which of them lead to what the gate rests on.
//!
//! It is told what is guarded ([`Guarded`]) and what is asked for ([`Asked`]), and answers with
//! what is reached ([`Reached`]). It refuses nothing: that is its caller's.

mod devices;
mod mounts;
mod options;
mod resolve;
mod target;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::image::Repository;
use crate::policy::{ImageScope, ScopeFault};
use devices::SystemDisks;
use mounts::Spot;
use resolve::{PROC, Resolved, Resolver};

pub use options::{Action, Allowed, Options};
pub use target::{Guarded, Target};

/// How long paths are looked at. Each takes microseconds, unless it is on a file system that does
/// not answer; containerd would wait for that too.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most containers whose paths are looked at side by side: a file system that does not answer holds
/// a thread for each, and the process may have 1024 (`TasksMax`).
const TURNS: usize = 64;

/// What a container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A path of the host, mounted.
    Mount {
        /// As written.
        path: String,
        /// Whether it is mounted read-only.
        read_only: bool,
    },
    /// A device of the host.
    Device {
        /// As written.
        path: String,
    },
    /// To be privileged, or capable of the same, among the host's process ids.
    HostProcesses,
}

/// Something that a container would reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The path as the request has it; empty for [`Target::HostProcesses`].
    pub path: String,
    /// Where that leads, when that is another path.
    pub leads_to: Option<String>,
    /// What is there.
    pub what: Target,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what.words();
        match &self.leads_to {
            _ if self.path.is_empty() => write!(f, "privilege with host PID reaches {what}"),
            Some(real) => write!(f, "host path {:?} (that is {real:?}) reaches {what}", self.path),
            None => write!(f, "host path {:?} reaches {what}", self.path),
        }
    }
}

/// Looks at what containers ask for.
#[derive(Debug)]
pub struct HostPaths {
    action: Action,
    allowed: Vec<ImageScope>,
    eye: Arc<Eye>,
    turns: Arc<Semaphore>,
}

/// What a look needs, on a thread of its own.
#[derive(Debug)]
struct Eye {
    guarded: Vec<Guarded>,
    resolver: Resolver,
    sys: PathBuf,
}

impl HostPaths {
    /// Guards these, and whatever `options` add.
    ///
    /// # Errors
    /// [`ScopeFault`] for an entry of the allow-list that cannot be meant.
    pub fn new(options: &Options, mut guarded: Vec<Guarded>) -> Result<Self, ScopeFault> {
        let also = |path: &PathBuf| Guarded { path: path.clone(), what: Target::Added };
        guarded.extend(options.also.iter().map(also));
        Ok(Self {
            action: options.action,
            allowed: options.scopes()?,
            eye: Arc::new(Eye {
                guarded,
                resolver: Resolver::of_this_process(),
                sys: PathBuf::from("/sys"),
            }),
            turns: Arc::new(Semaphore::new(TURNS)),
        })
    }

    /// What the operator wants done about it.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Whether a container of these images in this namespace may reach what it asks for.
    #[must_use]
    pub fn allows(&self, images: &[Repository], namespace: Option<&str>) -> bool {
        self.allowed.iter().any(|scope| scope.has(images, namespace))
    }

    /// What a container that asks for these would reach. Waits at most a second; what could not be
    /// looked at by then cannot be told.
    pub async fn look(&self, asked: Vec<Asked>) -> Vec<Reached> {
        if asked.is_empty() {
            return Vec::new();
        }
        let (turns, eye, wanted) = (Arc::clone(&self.turns), Arc::clone(&self.eye), asked.clone());
        let looking = async move {
            let turn = turns.acquire_owned().await.ok()?;
            let looked = tokio::task::spawn_blocking(move || {
                // Until the thread is done with it, however long its caller waits.
                let _turn = turn;
                eye.look(&wanted)
            });
            looked.await.ok()
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Some(reached)) => reached,
            Ok(None) | Err(_) => asked.iter().map(Asked::untold).collect(),
        }
    }
}

impl Asked {
    fn untold(&self) -> Reached {
        let (path, what) = match self {
            Self::Mount { path, .. } | Self::Device { path } => (path.clone(), Target::Unknown),
            Self::HostProcesses => (String::new(), Target::HostProcesses),
        };
        Reached { path, leads_to: None, what }
    }
}

impl Eye {
    fn look(&self, asked: &[Asked]) -> Vec<Reached> {
        let resolver = self.resolver.with_mounts_of_now();
        let place = |guarded| Place::of(guarded, &resolver);
        let places: Vec<Place<'_>> = self.guarded.iter().map(place).collect();
        let look_at = |asked| self.look_at(asked, &resolver, &places);
        asked.iter().filter_map(look_at).collect()
    }

    fn look_at(&self, asked: &Asked, resolver: &Resolver, places: &[Place<'_>]) -> Option<Reached> {
        let (path, read_only) = match asked {
            Asked::HostProcesses => return Some(asked.untold()),
            Asked::Mount { path, read_only } => (path, *read_only),
            Asked::Device { path } => (path, false),
        };
        let Ok(place) = resolver.resolve(Path::new(path)) else {
            return Some(asked.untold());
        };
        let spot = resolver.mounts.spot(&place.path);
        let named = spot.as_ref().and_then(Spot::system_path);
        let is_device = |path: &&Path| path.starts_with("/dev") && *path != Path::new("/dev");
        let device = [Some(place.path.as_path()), named.as_deref()].into_iter().flatten();
        let device = device.filter(is_device).find_map(|path| {
            SystemDisks::of(&self.sys, places.iter().map(|place| &place.at)).reached(path)
        });
        let process = || named.as_deref().is_some_and(is_processes).then_some(Target::Processes);
        let what = device
            .or_else(process)
            .or_else(|| reached(&place, spot.as_ref(), read_only, places))
            .or_else(|| spot.is_none().then_some(Target::Unknown));
        let leads_to = (place.path != Path::new(path)).then(|| place.path.display().to_string());
        what.map(|what| Reached { path: path.clone(), leads_to, what })
    }
}

/// A guarded place, as it is now.
struct Place<'a> {
    what: Target,
    at: Resolved,
    /// What it shows: its own file system, and those that are mounted in it.
    spots: Vec<Spot<'a>>,
}

impl<'a> Place<'a> {
    fn of(guarded: &Guarded, resolver: &'a Resolver) -> Self {
        // What cannot be followed is guarded all the same, by its name.
        let at = resolver.resolve(&guarded.path);
        let at = at.unwrap_or_else(|_| Resolved::by_name(&guarded.path));
        let mounts = &resolver.mounts;
        let spots = mounts.spot(&at.path).into_iter().chain(mounts.below(&at.path)).collect();
        Self { what: guarded.what, at, spots }
    }
}

/// What of the guarded places a mount of this one reaches: because it is in it, or it is in that.
fn reached(
    mounted: &Resolved,
    spot: Option<&Spot<'_>>,
    read_only: bool,
    places: &[Place<'_>],
) -> Option<Target> {
    if mounted.is_root() {
        return Some(Target::WholeFileSystem);
    }
    if mounted.in_process || mounted.path == Path::new(PROC) {
        return Some(Target::Processes);
    }
    let removed = spot.filter(|spot| spot.is_deleted);
    let shown = spot.filter(|spot| !spot.is_deleted);
    let is_shown = |place: &Place<'_>| {
        shown.is_some_and(|shown| place.spots.iter().any(|spot| shown.meets(spot)))
    };
    // A file system that is mounted below a read-only one need not be read-only itself; what is
    // mounted by itself is.
    let counts = |place: &Place<'_>| {
        !read_only
            || place.what.works_read_only()
            || !(mounted.path.starts_with(&place.at.path) || mounted.is_on_the_disk_of(&place.at))
    };
    let met = places
        .iter()
        .find(|place| (mounted.meets(&place.at) || is_shown(place)) && counts(place))
        .map(|place| place.what);
    // What was removed may have been anything of the guarded file systems.
    let may_be = |place: &Place<'_>| {
        removed.is_some_and(|gone| place.spots.iter().any(|spot| gone.is_on_the_device_of(spot)))
    };
    met.or_else(|| places.iter().any(may_be).then_some(Target::Unknown))
}

/// Whether a path below `/proc` leads into processes.
fn is_processes(path: &Path) -> bool {
    let inside = path.strip_prefix(PROC).ok();
    inside.is_some_and(|inside| inside.iter().next().is_none_or(resolve::is_process))
}

#[cfg(test)]
mod tests;
