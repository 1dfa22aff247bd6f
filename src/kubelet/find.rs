//! [`find`]: the kubelets of this node, by their processes and by the files that start them.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::configuration::Files;
use super::setting::{Found, Place, Setting, Source, View};

/// Names of processes that are a kubelet, or have one in them.
const NAMES: [&str; 6] = ["kubelet", "kubelite", "hyperkube", "k3s", "k3s-server", "k3s-agent"];
/// Most processes that are looked at: what Linux has by default (`kernel.pid_max` on a small
/// machine); a node has some thousands.
const PROCESSES_MAX: usize = 32_768;
/// Most bytes of a command line.
const COMMAND_MAX: u64 = 128 << 10;
/// What the kubelet uses where nothing is set (KubeletConfiguration, `containerRuntimeEndpoint`).
const DEFAULT: &str = "unix:///run/containerd/containerd.sock";
/// The same for the containerd inside of k3s.
const DEFAULT_OF_K3S: &str = "unix:///run/k3s/containerd/containerd.sock";
/// Where kubeadm and packages put the kubelet's arguments, in the order in which they count.
const ENVIRONMENTS: [&str; 3] =
    ["/etc/sysconfig/kubelet", "/etc/default/kubelet", "/var/lib/kubelet/kubeadm-flags.env"];
/// Where kubeadm puts the kubelet's configuration.
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// Configurations of k3s and RKE2, and the drop-ins that they make for their kubelet.
const K3S: (&str, &str) =
    ("/etc/rancher/k3s/config.yaml", "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d");
const RKE2: (&str, &str) =
    ("/etc/rancher/rke2/config.yaml", "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d");

/// A process that is a kubelet.
struct Process {
    pid: u32,
    name: String,
    command: Vec<String>,
}

/// What the kubelets of the node below `root` are told. Reads files, some for each process.
#[must_use]
pub fn find(root: &Path) -> Found {
    let mut files = Files { root, unread: Vec::new() };
    let mut views = Vec::new();
    for process in processes(root) {
        views.push(view_of(&process, &mut files));
    }
    views.extend(next_start(views.is_empty(), &mut files));
    Found { views, unread: files.unread }
}

/// What a running kubelet is told: its arguments over its drop-ins over its file.
fn view_of(process: &Process, files: &mut Files<'_>) -> View {
    let command = PathBuf::from(format!("/proc/{}/cmdline", process.pid));
    let place = Place { file: command, line: None };
    let mut said = Arguments::read(process.command.iter().map(String::as_str), &place);
    let is_k3s = process.name.starts_with("k3s");
    if is_k3s {
        said = said.over(files.distribution(Path::new(K3S.0)));
        said.config_dir.get_or_insert_with(|| PathBuf::from(K3S.1));
    }
    if let Some(folder) = said.config_dir.clone() {
        said = said.over(files.drop_ins(&folder));
    }
    if let Some(config) = said.config.clone() {
        said = said.over(files.kubelet_config(&config, true));
    }
    let default = if is_k3s { DEFAULT_OF_K3S } else { DEFAULT };
    let place = said.config.map_or(place, |file| Place { file, line: None });
    let runtime = said.runtime.unwrap_or_else(|| Setting {
        endpoint: default.to_owned(),
        place,
        is_default: true,
    });
    let source = Source::Process { pid: process.pid, name: process.name.clone() };
    View { source, runtime, images: said.images }
}

/// What files will tell the next kubelet that starts, where they say anything about the runtime;
/// its configuration only where no kubelet runs that says which it is.
fn next_start(none_runs: bool, files: &mut Files<'_>) -> Option<View> {
    let mut said = Arguments::default();
    for path in ENVIRONMENTS {
        said = said.over(files.environment(Path::new(path)));
    }
    if none_runs {
        said = said.over(files.kubelet_config(Path::new(CONFIG), false));
    }
    for (config, drop_ins) in [K3S, RKE2] {
        said = said.over(files.distribution(Path::new(config)));
        if none_runs {
            said = said.over(files.drop_ins(Path::new(drop_ins)));
        }
    }
    let (runtime, images) = match (said.runtime, said.images) {
        (Some(runtime), images) => (runtime, images),
        (None, Some(images)) => (images, None),
        (None, None) => return None,
    };
    Some(View { source: Source::Files, runtime, images })
}

/// The kubelets that run in this process' own space of process ids: those of other nodes, which run
/// in containers of this machine, are not this node's.
fn processes(root: &Path) -> Vec<Process> {
    let Ok(entries) = fs::read_dir(root.join("proc")) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten().take(PROCESSES_MAX) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        let name = name.trim_end().to_owned();
        if !NAMES.contains(&name.as_str()) || !is_in_own_space(&entry.path()) {
            continue;
        }
        let mut command = Vec::new();
        let read = fs::File::open(entry.path().join("cmdline"))
            .and_then(|file| file.take(COMMAND_MAX).read_to_end(&mut command));
        if read.is_ok_and(|length| length > 0) {
            let words = command.split(|byte| *byte == 0);
            let command = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            found.push(Process { pid, name, command });
        }
    }
    found.sort_by_key(|process| process.pid);
    found
}

/// Whether a process has one id alone, as those of nested spaces do not (proc(5), `NSpid`).
fn is_in_own_space(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.is_none_or(|ids| ids.split_whitespace().count() == 1)
}

#[cfg(test)]
mod tests;
