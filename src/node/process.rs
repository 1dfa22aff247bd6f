//! [`processes`]: those of a name that are the node's own, and no container's; [`owner`]: whose one
//! is.
//!
//! A process is the node's own when it is root's, has the process ids and the mounts of the node's
//! first process, and is below no control group of pods. All of that is told by files that need no
//! capability: the links in `/proc/PID/ns` can be read by whoever may trace the process, which the
//! gate may not. A process has one id alone (`NSpid`) where its namespace is that of `/proc`, and the
//! ids of mounts (`mountinfo`) are the kernel's, of which no two namespaces share any.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// Most processes that are looked at: what Linux has by default (`kernel.pid_max` on a small
/// machine); a node has some thousands.
const PROCESSES_MAX: usize = 32_768;
/// Most bytes of a command line.
const COMMAND_MAX: u64 = 128 << 10;
/// Most bytes of what `/proc` tells of one process: its list of groups can be long.
const FACTS_MAX: u64 = 1 << 20;

/// A process of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its command line.
    pub command: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processes {
    /// The node's own, by their ids.
    pub own: Vec<Process>,
    /// The file that would tell whether a process is the node's own, and why it does not. Such a
    /// process does not count.
    pub untold: Vec<(PathBuf, String)>,
}

/// Whose a process is, as far as that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The node's: root's, and in no namespace of its own.
    Node,
    /// A pod's.
    Pod,
    /// A container's that is no pod's, another user's, or that of a service in a sandbox.
    Other,
    /// That is not told.
    Untold,
}

/// What `/proc` tells of a process, as it stands there.
#[derive(Debug, Clone, Default)]
struct Facts {
    status: Option<String>,
    cgroup: Option<String>,
    /// The id of the first mount that it sees.
    mount: Option<String>,
}

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The node's.
    Node,
    /// A container's, or a user's.
    Other,
    /// This file does not tell.
    Untold(&'static str),
}

/// The node's own processes of these names, below `root`.
#[must_use]
pub fn processes(root: &Path, names: &[&str]) -> Processes {
    let mut found = Processes::default();
    let proc = root.join("proc");
    let Ok(entries) = fs::read_dir(&proc) else { return found };
    let mut node = None;
    for entry in entries.flatten().take(PROCESSES_MAX) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let is_named = name_of(&entry.path()).is_ok_and(|name| names.contains(&name.as_str()));
        if !is_named {
            continue;
        }
        let node = node.get_or_insert_with(|| node_mount(&proc));
        // A process may end while it is looked at.
        let Ok((process, facts)) = look(pid, &entry.path()) else { continue };
        match whose(&facts, node.as_deref()) {
            Whose::Node if names.contains(&process.name.as_str()) => found.own.push(process),
            Whose::Node | Whose::Other => {}
            Whose::Untold(file) => {
                let why = format!(
                    "whether {} is the node's own is not told; it does not count",
                    process.name
                );
                found.untold.push((PathBuf::from(format!("/proc/{pid}/{file}")), why));
            }
        }
    }
    found.own.sort_by_key(|process| process.pid);
    found.untold.sort();
    found
}

/// The name of a process, and whose it is; none when it has ended.
pub(super) fn owner(proc: &Path, pid: u32) -> Option<(String, Owner)> {
    let (process, facts) = look(pid, &proc.join(pid.to_string())).ok()?;
    let is_of_pod = facts.cgroup.as_ref().is_some_and(|groups| groups.lines().any(is_of_pods));
    let owner = match whose(&facts, node_mount(proc).as_deref()) {
        Whose::Node => Owner::Node,
        Whose::Other | Whose::Untold(_) if is_of_pod => Owner::Pod,
        Whose::Other => Owner::Other,
        Whose::Untold(_) => Owner::Untold,
    };
    Some((process.name, owner))
}

/// The first mount that the node's own processes see.
fn node_mount(proc: &Path) -> Option<String> {
    first_mount(&proc.join("1")).or_else(|_| first_mount(&proc.join("self"))).ok()
}

/// What is told of a process, all of it of the same: an id may be given to the next one.
fn look(pid: u32, folder: &Path) -> io::Result<(Process, Facts)> {
    let held = File::open(folder)?;
    let held_at = Path::new("/proc/self/fd").join(held.as_raw_fd().to_string());
    let command = bounded(&held_at.join("cmdline"), COMMAND_MAX)?;
    if command.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let command = command.split(|byte| *byte == 0);
    let command = command.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let facts = Facts {
        status: text(&held_at.join("status"))?,
        cgroup: text(&held_at.join("cgroup"))?,
        mount: known(first_mount(&held_at))?,
    };
    Ok((Process { pid, name: name_of(&held_at)?, command }, facts))
}

/// Whose a process is that these facts are told of; `node` is the first mount that the node sees.
fn whose(facts: &Facts, node: Option<&str>) -> Whose {
    let line = |key: &str| {
        let status = facts.status.as_deref()?;
        status.lines().find_map(|line| line.strip_prefix(key)).map(str::split_whitespace)
    };
    let (Some(mut users), Some(ids)) = (line("Uid:"), line("NSpid:")) else {
        return Whose::Untold("status");
    };
    if users.any(|user| user != "0") || ids.count() != 1 {
        return Whose::Other;
    }
    let Some(cgroup) = &facts.cgroup else { return Whose::Untold("cgroup") };
    if cgroup.lines().any(is_of_pods) {
        return Whose::Other;
    }
    match (facts.mount.as_deref(), node) {
        (Some(mount), Some(node)) if mount == node => Whose::Node,
        (Some(_), Some(_)) => Whose::Other,
        (None, _) | (_, None) => Whose::Untold("mountinfo"),
    }
}

/// Whether a line of `/proc/PID/cgroup` lies below a group that the kubelet makes for pods:
/// `/kubepods/…`, or as systemd names them `/kubepods.slice/kubepods-besteffort.slice/…`.
fn is_of_pods(line: &str) -> bool {
    line.split('/').any(|group| {
        let group = group.strip_suffix(".slice").unwrap_or(group);
        group.split('-').any(|part| part == "kubepods")
    })
}

fn name_of(process: &Path) -> io::Result<String> {
    let name = bounded(&process.join("comm"), FACTS_MAX)?;
    Ok(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// The id of the first mount in `mountinfo` (proc_pid_mountinfo(5)).
fn first_mount(process: &Path) -> io::Result<String> {
    let file = File::open(process.join("mountinfo"))?.take(FACTS_MAX);
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line)?;
    let id = line.split_whitespace().next();
    id.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn text(file: &Path) -> io::Result<Option<String>> {
    let bytes = known(bounded(file, FACTS_MAX))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What was read; none where it may not be, and the error where the process has ended.
fn known<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if has_ended(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

fn has_ended(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ESRCH)
}

fn bounded(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(uid: &str, ids: &str, cgroup: &str, mount: &str) -> Facts {
        let status = format!("Name:\tkubelet\nUid:\t{uid}\nGroups:\t0\nNSpid:\t{ids}\n");
        Facts { status: Some(status), cgroup: Some(cgroup.into()), mount: Some(mount.into()) }
    }

    const ROOT: &str = "0\t0\t0\t0";
    const UNIT: &str = "0::/system.slice/kubelet.service\n";

    #[test]
    fn a_process_of_the_node_is_its_own() {
        for group in [UNIT, "0::/kubelet.slice/k\n", "2:cpu:/\n0::/system.slice/k3s.service\n"] {
            assert_eq!(whose(&facts(ROOT, "9", group, "22"), Some("22")), Whose::Node, "{group}");
        }
    }

    #[test]
    fn attack_g_a_process_of_a_container_is_not_the_nodes() {
        for other in [
            facts("1000\t0\t0\t0", "9", UNIT, "22"),
            facts("100000\t100000\t100000\t100000", "9", UNIT, "22"),
            facts(ROOT, "9\t1", UNIT, "22"),
            facts(ROOT, "9", UNIT, "731"),
            facts(ROOT, "9", "0::/kubepods/besteffort/podx/y\n", "22"),
            facts(ROOT, "9", "0::/kubepods.slice/kubepods-podx.slice/cri-y.scope\n", "22"),
            facts(ROOT, "9", "3:cpu:/\n2:pids:/kubelet.slice/kubelet-kubepods.slice/y\n", "22"),
            facts(ROOT, "9", "0::/../../kubepods.slice/x\n", "22"),
        ] {
            assert_eq!(whose(&other, Some("22")), Whose::Other, "{other:?}");
        }
    }

    #[test]
    fn attack_g_a_process_of_which_nothing_is_told_does_not_count() {
        let all = facts(ROOT, "9", UNIT, "22");
        assert_eq!(whose(&all, None), Whose::Untold("mountinfo"));
        let without = |facts: Facts| whose(&facts, Some("22"));
        assert_eq!(without(Facts { mount: None, ..all.clone() }), Whose::Untold("mountinfo"));
        assert_eq!(without(Facts { cgroup: None, ..all.clone() }), Whose::Untold("cgroup"));
        assert_eq!(without(Facts { status: None, ..all }), Whose::Untold("status"));
        assert_eq!(without(Facts::default()), Whose::Untold("status"));
    }

    #[test]
    fn what_this_kernel_tells_is_understood() {
        let me = Path::new("/proc/self");
        let (process, facts) = look(std::process::id(), me).unwrap();
        assert!(!process.command.is_empty());
        let mount = first_mount(me).unwrap();
        assert!(mount.parse::<u64>().is_ok(), "{mount}");
        let expected = if nix::unistd::geteuid().is_root() { Whose::Node } else { Whose::Other };
        // A machine that builds in a pod has its own control group there.
        let facts = Facts { cgroup: Some(UNIT.to_owned()), ..facts };
        assert_eq!(whose(&facts, Some(&mount)), expected);
    }
}
