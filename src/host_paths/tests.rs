//! What mounts reach, on a node in a folder: links, folders above, other names, processes.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A node in a folder: a runtime's socket, policies, a log.
struct Node {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for made in ["run/containerd", "etc/sealgate/keys", "var/log/sealgate", "srv/data"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        let _bound =
            std::os::unix::net::UnixListener::bind(root.join("run/containerd/c.sock")).unwrap();
        Self { folder, root }
    }

    fn paths(&self) -> HostPaths {
        let guard = |path: &str, what| Guarded { path: self.root.join(path), what };
        let guarded = vec![
            guard("run/containerd/c.sock", Target::RuntimeSocket),
            guard("etc/sealgate", Target::Policies),
            guard("var/log/sealgate", Target::AuditLog),
        ];
        HostPaths::new(&Options::default(), guarded).unwrap()
    }

    async fn mount(&self, path: &str, read_only: bool) -> Option<Target> {
        let asked = Asked::Mount { path: path.to_owned(), read_only };
        self.paths().look(vec![asked]).await.pop().map(|reached| reached.what)
    }

    async fn below(&self, path: &str) -> Option<Target> {
        self.mount(&format!("{}/{path}", self.root.display()), false).await
    }
}

#[tokio::test]
async fn an_ordinary_mount_reaches_nothing() {
    let node = Node::new();
    assert_eq!(node.below("srv/data").await, None);
    assert_eq!(node.below("srv/not-there-yet").await, None);
    assert_eq!(node.paths().look(Vec::new()).await, []);
}

#[tokio::test]
async fn attack_f_a_link_to_the_socket_reaches_it() {
    let node = Node::new();
    symlink("../../run/containerd/c.sock", node.root.join("srv/data/innocent")).unwrap();
    symlink(node.root.join("run"), node.root.join("srv/var-run")).unwrap();
    assert_eq!(node.below("srv/data/innocent").await, Some(Target::RuntimeSocket));
    assert_eq!(node.below("srv/var-run/containerd/c.sock").await, Some(Target::RuntimeSocket));
    assert_eq!(node.below("srv/var-run").await, Some(Target::RuntimeSocket));
    drop(node.folder);
}

#[tokio::test]
async fn attack_f_every_folder_above_the_socket_reaches_it() {
    let node = Node::new();
    for path in ["run/containerd", "run", "", "srv/../run", "run//containerd/.", "srv/x/../../run"]
    {
        let got = node.below(path).await;
        assert_eq!(got, Some(Target::RuntimeSocket), "{path}");
    }
}

#[tokio::test]
async fn attack_f_the_root_is_the_whole_file_system() {
    let node = Node::new();
    for path in ["/", "//", "/.", "/..", "/usr/..", "/proc/../"] {
        assert_eq!(node.mount(path, true).await, Some(Target::WholeFileSystem), "{path}");
    }
}

#[tokio::test]
async fn attack_f_the_root_of_a_process_is_no_other_place() {
    let node = Node::new();
    symlink("/proc/1/root", node.root.join("srv/root")).unwrap();
    for path in [
        "/proc/1/root",
        "/proc/1/root/run",
        "/proc/self/root",
        "/proc//1/./cwd",
        "/proc/2/fd/3",
        "/proc",
    ] {
        assert_eq!(node.mount(path, true).await, Some(Target::Processes), "{path}");
    }
    assert_eq!(node.below("srv/root/run").await, Some(Target::Processes));
}

#[tokio::test]
async fn reading_alone_is_enough_for_a_socket_and_not_for_a_log() {
    let node = Node::new();
    let at = |path: &str| format!("{}/{path}", node.root.display());
    assert_eq!(node.mount(&at("run"), true).await, Some(Target::RuntimeSocket));
    assert_eq!(node.mount(&at("var/log"), true).await, None);
    assert_eq!(node.mount(&at("var/log"), false).await, Some(Target::AuditLog));
    assert_eq!(node.mount(&at("etc/sealgate/keys/x.pub"), false).await, Some(Target::Policies));
}

/// A folder of plugins may be read by whoever wants to; the sockets beside it may not.
#[tokio::test]
async fn what_only_writing_would_undo_is_reached_by_writing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for made in ["etc/cni/net.d", "usr/lib/modules", "run/systemd"] {
        fs::create_dir_all(root.join(made)).unwrap();
    }
    let guard = |path: &str, what| Guarded { path: root.join(path), what };
    let guarded = vec![
        guard("etc/cni", Target::Plugins),
        guard("usr", Target::Programs),
        guard("run/systemd", Target::ServiceManager),
    ];
    let paths = HostPaths::new(&Options::default(), guarded).unwrap();
    for (path, reading, writing) in [
        ("etc/cni", None, Some(Target::Plugins)),
        ("etc/cni/net.d", None, Some(Target::Plugins)),
        ("usr/lib/modules", None, Some(Target::Programs)),
        ("etc", None, Some(Target::Plugins)),
        ("run/systemd/private", Some(Target::ServiceManager), Some(Target::ServiceManager)),
    ] {
        for (read_only, expected) in [(true, reading), (false, writing)] {
            let path = root.join(path).display().to_string();
            let got = paths.look(vec![Asked::Mount { path: path.clone(), read_only }]).await;
            assert_eq!(got.first().map(|reached| reached.what), expected, "{path} {read_only}");
        }
    }
}

/// `/sys` has other file systems mounted in it, and each of them read-only is read-only.
#[tokio::test]
async fn a_file_system_that_is_mounted_by_itself_is_read_only_where_it_is_mounted_so() {
    let guarded = vec![Guarded { path: PathBuf::from("/sys"), what: Target::Kernel }];
    let paths = HostPaths::new(&Options::default(), guarded).unwrap();
    for path in ["/sys", "/sys/fs/cgroup", "/sys/fs/bpf"] {
        for (read_only, expected) in [(true, None), (false, Some(Target::Kernel))] {
            let asked = vec![Asked::Mount { path: path.to_owned(), read_only }];
            let got = paths.look(asked).await;
            assert_eq!(got.first().map(|reached| reached.what), expected, "{path} {read_only}");
        }
    }
}

/// A place under another path is known by what it shows; a hard link stands in for a bind mount,
/// which takes a privilege that tests need not have.
#[tokio::test]
async fn attack_f_the_same_file_under_another_path_is_the_same() {
    let node = Node::new();
    fs::hard_link(node.root.join("run/containerd/c.sock"), node.root.join("srv/data/s")).unwrap();
    assert_eq!(node.below("srv/data/s").await, Some(Target::RuntimeSocket));
}

/// Says to [`sub_paths_in_a_namespace_of_mounts`] where the node is.
const NODE_OF_MOUNTS: &str = "SEALGATE_TEST_NODE_OF_MOUNTS";

/// The kubelet's bind mounts, for real: the test runs itself in a namespace of mounts of its own.
#[test]
fn attack_f_a_sub_path_of_a_guarded_folder_is_seen() {
    let node = Node::new();
    fs::create_dir(node.root.join("srv/pods")).unwrap();
    for file in ["srv/pods/0", "srv/pods/1", "srv/pods/2", "srv/pods/3", "etc/beside"] {
        fs::write(node.root.join(file), "").unwrap();
    }
    fs::write(node.root.join("etc/sealgate/config.toml"), "").unwrap();
    fs::write(node.root.join("etc/gone"), "").unwrap();
    let script = "set -e; cd \"$SEALGATE_TEST_NODE_OF_MOUNTS\"
        mount --bind run/containerd/c.sock srv/pods/0
        mount --bind etc/sealgate/config.toml srv/pods/1
        mount --bind etc/beside srv/pods/2
        mount --bind etc/gone srv/pods/3
        rm etc/gone";
    let name = "host_paths::tests::sub_paths_in_a_namespace_of_mounts";
    let run = |script: String| {
        let mut run = std::process::Command::new("unshare");
        run.args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"]);
        run.arg(std::env::current_exe().unwrap()).env(NODE_OF_MOUNTS, &node.root).output()
    };
    // A container may forbid both; the list of mounts is tested as text beside this.
    if !run("mount -t tmpfs t /mnt".to_owned()).is_ok_and(|done| done.status.success()) {
        return;
    }
    let done = run(format!("{script}; exec \"$1\" --exact {name} --nocapture")).unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"), "{done:?}");
}

#[tokio::test]
async fn sub_paths_in_a_namespace_of_mounts() {
    let Some(root) = std::env::var_os(NODE_OF_MOUNTS) else { return };
    let root = PathBuf::from(root);
    let guard = |path: &str, what| Guarded { path: root.join(path), what };
    let paths = HostPaths::new(
        &Options::default(),
        vec![
            guard("run/containerd", Target::RuntimeSocket),
            guard("etc/sealgate", Target::Policies),
        ],
    )
    .unwrap();
    for (pod, read_only, expected) in [
        ("0", true, Some(Target::RuntimeSocket)),
        ("1", false, Some(Target::Policies)),
        ("1", true, None),
        ("2", false, None),
        ("3", true, Some(Target::Unknown)),
    ] {
        let path = root.join("srv/pods").join(pod).display().to_string();
        let got = paths.look(vec![Asked::Mount { path, read_only }]).await;
        assert_eq!(got.first().map(|reached| reached.what), expected, "{pod} {read_only}");
    }
}

/// What cannot be followed is guarded by its name.
#[tokio::test]
async fn a_guarded_path_that_leads_nowhere_is_guarded() {
    let node = Node::new();
    let ring = node.root.join("etc/ring");
    symlink(&ring, &ring).unwrap();
    let guarded = Guarded { path: ring.join("keys"), what: Target::Policies };
    let paths = HostPaths::new(&Options::default(), vec![guarded]).unwrap();
    let path = node.root.join("etc").display().to_string();
    let got = paths.look(vec![Asked::Mount { path, read_only: false }]).await;
    assert_eq!(got.first().map(|reached| reached.what), Some(Target::Policies));
}

#[tokio::test]
async fn attack_f_privilege_among_the_hosts_processes_is_reached() {
    let node = Node::new();
    let got = node.paths().look(vec![Asked::HostProcesses]).await;
    assert_eq!(got.first().map(|reached| reached.what), Some(Target::HostProcesses));
}
