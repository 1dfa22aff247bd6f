//! Leaves nothing of a test's containerd behind: containers, shims, mounts, cgroups, sockets.
//!
//! By force, and only what belongs to the test's own folder. Asking containerd to remove pod after
//! pod takes minutes where there are hundreds of containers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often to look again for what was killed and has not ended, or was started meanwhile.
const ROUNDS: usize = 50;
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Mounts that one `umount` takes away.
const AT_ONCE: usize = 100;

/// Kills, unmounts and removes whatever still belongs to a containerd in this folder, which must
/// have ended.
pub fn sweep(folder: &Path) {
    let ids = containers(folder);
    let sockets = shim_sockets(folder);
    kill_all(folder);
    unmount(folder);
    remove_cgroups(ids);
    for socket in sockets {
        let _ = fs::remove_file(socket);
    }
}

/// [`sweep`] for each folder in this one, and whatever else runs or is mounted there: the temporary
/// folder of a test that was killed.
pub fn sweep_scratch(scratch: &Path) {
    let folders = fs::read_dir(scratch).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter(|path| path.is_dir()).for_each(|folder| sweep(&folder));
    kill_all(scratch);
    unmount(scratch);
}

/// The ids of runc's containers, from its state.
fn containers(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join("runc/k8s.io")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The sockets that shims listen on, outside of the folder, from the shims' own notes.
fn shim_sockets(folder: &Path) -> Vec<PathBuf> {
    let tasks = fs::read_dir(folder.join("state/io.containerd.runtime.v2.task/k8s.io"))
        .into_iter()
        .flatten()
        .flatten();
    let note = |task: fs::DirEntry| {
        let address = fs::read_to_string(task.path().join("address")).ok();
        let bootstrap = fs::read_to_string(task.path().join("bootstrap.json")).ok();
        let text = address.or(bootstrap)?;
        let path = text.split("unix://").nth(1)?.split('"').next()?.trim();
        Some(PathBuf::from(path))
    };
    tasks.filter_map(note).collect()
}

/// Kills every process whose command line names the folder (containerd's shims, with `-address`),
/// and all below them: these first, so that a shim reaps its containers before it is killed itself.
fn kill_all(folder: &Path) {
    for _ in 0..ROUNDS {
        let (named, below) = processes_of(folder);
        if named.is_empty() {
            return;
        }
        for pid in if below.is_empty() { named } else { below } {
            kill_process(pid);
        }
        sleep(PAUSE);
    }
}

/// The processes whose command line names the folder, and those below them, this process left out.
fn processes_of(folder: &Path) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let needle = folder.to_string_lossy().into_owned();
    let parents = parents();
    let own = std::process::id();
    let named: BTreeSet<u32> = parents
        .keys()
        .copied()
        .filter(|pid| *pid != own && command_line(*pid).contains(&needle))
        .collect();
    let mut below: BTreeSet<u32> = BTreeSet::new();
    loop {
        let is_new = |pid: u32| !named.contains(&pid) && !below.contains(&pid);
        let children =
            parents.iter().filter(|(_, parent)| named.contains(parent) || below.contains(parent));
        let more: Vec<u32> = children.map(|(pid, _)| *pid).filter(|pid| is_new(*pid)).collect();
        if more.is_empty() {
            return (named, below);
        }
        below.extend(more);
    }
}

/// Kills a process and all below it: a test that hangs.
pub fn kill_tree(root: u32) {
    let parents = parents();
    let mut doomed = vec![root];
    let mut at = 0;
    while let Some(parent) = doomed.get(at).copied() {
        doomed.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    doomed.into_iter().for_each(kill_process);
}

fn kill_process(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Every live process and its parent.
fn parents() -> BTreeMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in brackets: state, parent.
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        (state != "Z").then_some((pid, parent))
    };
    pids.filter_map(parent).collect()
}

fn command_line(pid: u32) -> String {
    fs::read(format!("/proc/{pid}/cmdline"))
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .unwrap_or_default()
}

/// Unmounts everything below the folder, the deepest first.
fn unmount(folder: &Path) {
    let needle = format!("{}/", folder.display());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| point.starts_with(&needle));
    let mut points: Vec<_> = points.collect();
    points.sort_unstable();
    points.reverse();
    for some in points.chunks(AT_ONCE) {
        let _ = Command::new("umount").arg("-l").args(some).status();
    }
}

/// Removes the cgroups of containers, in every hierarchy: runc puts them under `k8s.io/<id>`. One
/// in which a process has not quite ended is tried again.
fn remove_cgroups(ids: BTreeSet<String>) {
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let hierarchies: Vec<PathBuf> = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).collect();
    let all = hierarchies
        .iter()
        .flat_map(|hierarchy| ids.iter().map(|id| hierarchy.join("k8s.io").join(id)));
    let mut left: Vec<PathBuf> = all.filter(|path| path.is_dir()).collect();
    for _ in 0..ROUNDS {
        left.retain(|path| fs::remove_dir(path).is_err() && path.is_dir());
        if left.is_empty() {
            return;
        }
        sleep(PAUSE);
    }
}
