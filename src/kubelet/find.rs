//! [`find`]: the kubelets of this node, by their processes and by the files that start them.

use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::configuration::Files;
use super::setting::{Found, Place, Setting, Source, Unread, View};
use crate::node::{self, Process};

/// Names of processes that are a kubelet, or have one in them.
pub const NAMES: [&str; 6] = ["kubelet", "kubelite", "hyperkube", "k3s", "k3s-server", "k3s-agent"];
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

/// What the kubelets of the node below `root` are told: those of other nodes and of pods, which run in
/// containers of this machine, are not this node's. Reads files, some for each process.
#[must_use]
pub fn find(root: &Path) -> Found {
    let processes = node::processes(root, &NAMES);
    let untold = processes.untold.into_iter().map(|(file, why)| Unread { file, why });
    let mut files = Files { root, unread: untold.collect() };
    let mut views = Vec::new();
    for process in processes.own {
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

#[cfg(test)]
mod tests;
