//! Leaves nothing of a test's containerd behind: pods, shims, mounts, cgroups, sockets.
//!
//! First by the CRI, when containerd still answers; then by force, and only what belongs to the test's own folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use super::Cri;

/// How long the CRI may take to remove every pod before force is used.
const POLITE: Duration = Duration::from_secs(20);

/// Stops and removes every pod through the CRI. Runs on a thread of its own, since a drop may happen inside a runtime.
pub fn remove_pods(socket: &Path) {
    let socket = socket.to_owned();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let cri = Cri::new(&socket, Path::new("/nonexistent"));
            let _ = tokio::time::timeout(POLITE, cri.remove_all_pods()).await;
        });
    };
    let _ = std::thread::spawn(work).join();
}

/// Kills, unmounts and removes whatever still belongs to this folder.
pub fn sweep(folder: &Path) {
    let ids = containers(folder);
    let sockets = shim_sockets(folder);
    kill_shims(folder);
    unmount(folder);
    for id in &ids {
        remove_cgroups(id);
    }
    for socket in sockets {
        let _ = fs::remove_file(socket);
    }
}

/// The ids of runc's containers, from its state.
fn containers(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder.join("runc/k8s.io")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The sockets that shims listen on, outside of the folder, from the shims' own notes.
fn shim_sockets(folder: &Path) -> Vec<PathBuf> {
    let tasks = fs::read_dir(folder.join("state/io.containerd.runtime.v2.task/k8s.io")).into_iter().flatten().flatten();
    let note = |task: fs::DirEntry| {
        let address = fs::read_to_string(task.path().join("address")).ok();
        let bootstrap = fs::read_to_string(task.path().join("bootstrap.json")).ok();
        let text = address.or(bootstrap)?;
        let path = text.split("unix://").nth(1)?.split('"').next()?.trim();
        Some(PathBuf::from(path))
    };
    tasks.filter_map(note).collect()
}

/// Kills every process whose command line names the folder (containerd's shims, with `-address`), and all below them.
fn kill_shims(folder: &Path) {
    let needle = folder.to_string_lossy().into_owned();
    for _ in 0..50 {
        let parents = parents();
        let ours = parents.keys().filter(|pid| command_line(**pid).contains(&needle)).copied();
        let mut doomed: BTreeSet<u32> = ours.collect();
        doomed.remove(&std::process::id());
        loop {
            let below = parents.iter().filter(|(_, parent)| doomed.contains(parent)).map(|(pid, _)| *pid);
            let more: Vec<u32> = below.filter(|pid| !doomed.contains(pid)).collect();
            if more.is_empty() {
                break;
            }
            doomed.extend(more);
        }
        if doomed.is_empty() {
            return;
        }
        for pid in doomed {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        sleep(Duration::from_millis(20));
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
    fs::read(format!("/proc/{pid}/cmdline")).map(|line| String::from_utf8_lossy(&line).into_owned()).unwrap_or_default()
}

/// Unmounts everything below the folder, the deepest first.
fn unmount(folder: &Path) {
    let needle = format!("{}/", folder.display());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&needle));
    let mut points: Vec<_> = points.collect();
    points.sort_unstable();
    for point in points.iter().rev() {
        let _ = Command::new("umount").args(["-l", point]).status();
    }
}

/// Removes the cgroups of a container, in every hierarchy: runc puts them under `k8s.io/<id>`.
fn remove_cgroups(id: &str) {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let _ = fs::remove_dir(hierarchy.join("k8s.io").join(id));
    }
}
