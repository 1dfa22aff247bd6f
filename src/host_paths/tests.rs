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

/// A place under another path is known by what it shows; a hard link stands in for a bind mount,
/// which takes a privilege that tests need not have.
#[tokio::test]
async fn attack_f_the_same_file_under_another_path_is_the_same() {
    let node = Node::new();
    fs::hard_link(node.root.join("run/containerd/c.sock"), node.root.join("srv/data/s")).unwrap();
    assert_eq!(node.below("srv/data/s").await, Some(Target::RuntimeSocket));
}

#[tokio::test]
async fn attack_f_privilege_among_the_hosts_processes_is_reached() {
    let node = Node::new();
    let got = node.paths().look(vec![Asked::HostProcesses]).await;
    assert_eq!(got.first().map(|reached| reached.what), Some(Target::HostProcesses));
}
