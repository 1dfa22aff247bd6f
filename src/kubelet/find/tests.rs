//! Nodes as trees of files, and what their kubelets are told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::kubelet::Standing;

const OURS: &str = "unix:///run/sealgate/cri.sock";

struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    fn process(self, pid: u32, name: &str, command: &str) -> Self {
        let status = format!("Name:\t{name}\nUid:\t0\t0\t0\t0\nNSpid:\t{pid}\n");
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        self.with("proc/1/mountinfo", mounts)
            .with(&format!("proc/{pid}/mountinfo"), mounts)
            .with(&format!("proc/{pid}/cgroup"), "0::/system.slice/kubelet.service\n")
            .with(&format!("proc/{pid}/comm"), &format!("{name}\n"))
            .with(&format!("proc/{pid}/status"), &status)
            .with(&format!("proc/{pid}/cmdline"), &command.replace(' ', "\0"))
    }

    fn standing(&self) -> Standing {
        find(self.0.path()).standing(Path::new("/run/sealgate/cri.sock"))
    }

    fn elsewhere(&self) -> (String, String) {
        let standing = self.standing();
        let Standing::Elsewhere(setting) = standing else { panic!("{standing:?}") };
        (setting.endpoint, setting.place.to_string())
    }
}

fn config(runtime: &str) -> String {
    format!(
        "kind: KubeletConfiguration\nclusterDNS: [10.0.0.10]\ncontainerRuntimeEndpoint: {runtime}\n"
    )
}

#[test]
fn arguments_win_over_drop_ins_and_these_over_the_file() {
    let node = Node::new()
        .process(9, "kubelet", "/usr/bin/kubelet --config=/etc/k.yaml --config-dir=/etc/k.d")
        .with("etc/k.yaml", &config(OURS));
    assert_eq!(node.standing(), Standing::Ours);
    let node = node.with("etc/k.d/10-a.conf", &config("unix:///a")).with("etc/k.d/note.txt", "x");
    assert_eq!(node.elsewhere(), ("unix:///a".to_owned(), "/etc/k.d/10-a.conf:3".to_owned()));
    let node = node.with("etc/k.d/20-b.conf", &config(OURS));
    assert_eq!(node.standing(), Standing::Ours);
    let node = node.process(
        9,
        "kubelet",
        "kubelet --config /etc/k.yaml --config-dir /etc/k.d --container-runtime-endpoint=/c.sock",
    );
    assert_eq!(node.elsewhere(), ("/c.sock".to_owned(), "/proc/9/cmdline".to_owned()));
}

#[test]
fn an_image_endpoint_of_its_own_counts_as_well() {
    let text = format!("{}imageServiceEndpoint: unix:///i.sock\n", config(OURS));
    let node = Node::new().process(9, "kubelet", "kubelet --config=/k.yaml").with("k.yaml", &text);
    assert_eq!(node.elsewhere(), ("unix:///i.sock".to_owned(), "/k.yaml:4".to_owned()));
}

#[test]
fn a_kubelet_that_nothing_is_told_uses_containerd() {
    let node = Node::new().process(9, "kubelet", "kubelet --v=2");
    assert_eq!(node.elsewhere(), (DEFAULT.to_owned(), "/proc/9/cmdline".to_owned()));
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent() {
    let node = Node::new().process(9, "kubelet", "kubelet --config=/gone.yaml");
    assert!(matches!(node.standing(), Standing::Unknown(unread) if unread.why == "not there"));
    let node = node.with("gone.yaml", "containerRuntimeEndpoint: [");
    assert!(matches!(node.standing(), Standing::Unknown(_)));
}

#[test]
fn the_next_start_counts_as_well_as_the_process_that_runs() {
    let node = Node::new()
        .process(9, "kubelet", &format!("kubelet --container-runtime-endpoint={OURS}"))
        .with("var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"--v=1\"\n");
    assert_eq!(node.standing(), Standing::Ours);
    let flags = "# x\nKUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///c --v=1\"\n";
    let node = node.with("var/lib/kubelet/kubeadm-flags.env", flags);
    let place = "/var/lib/kubelet/kubeadm-flags.env:2".to_owned();
    assert_eq!(node.elsewhere(), ("unix:///c".to_owned(), place));
}

#[test]
fn k3s_is_told_by_its_own_file_and_drop_ins() {
    let node = Node::new().process(9, "k3s-server", "/usr/local/bin/k3s server");
    assert_eq!(node.elsewhere().0, DEFAULT_OF_K3S);
    let node = node.with(
        "etc/rancher/k3s/config.yaml",
        &format!("token: x\ncontainer-runtime-endpoint: {OURS}\n"),
    );
    assert_eq!(node.standing(), Standing::Ours);
    let text = "kubelet-arg:\n  - v=1\n  - image-service-endpoint=unix:///c\n";
    let node = node.with("etc/rancher/k3s/config.yaml.d/9.yaml", text);
    let place = "/etc/rancher/k3s/config.yaml.d/9.yaml:3".to_owned();
    assert_eq!(node.elsewhere(), ("unix:///c".to_owned(), place));
}

#[test]
fn kubelets_of_other_nodes_in_containers_are_not_this_nodes() {
    let node = Node::new()
        .process(9, "kubelet", "kubelet")
        .with("proc/9/status", "Uid:\t0\t0\t0\t0\nNSpid:\t9\t1\n")
        .process(10, "bash", "bash -c kubelet");
    assert_eq!(node.standing(), Standing::Absent);
}

#[test]
fn attack_g_a_kubelet_of_a_pod_says_nothing_and_its_files_hold_nobody_up() {
    let node = Node::new().process(9, "kubelet", "kubelet --config=/pipe");
    let pipe = node.0.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(
        matches!(node.standing(), Standing::Unknown(unread) if unread.why == "not a regular file")
    );
    let node = node.with("proc/9/cgroup", "0::/kubepods.slice/kubepods-podx.slice/y.scope\n");
    assert_eq!(node.standing(), Standing::Absent);
    let node = node
        .with("proc/9/cgroup", "0::/\n")
        .with("proc/9/mountinfo", "731 1 0:9 / / rw - overlay overlay rw\n");
    assert_eq!(node.standing(), Standing::Absent);
    fs::remove_file(node.0.path().join("proc/9/mountinfo")).unwrap();
    assert!(matches!(
        node.standing(),
        Standing::Unknown(unread) if unread.file == Path::new("/proc/9/mountinfo")
    ));
}
