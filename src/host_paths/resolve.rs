//! [`Resolver`]: where a path of the host leads, symbolic links and all, and by which folders.
//!
//! Files and folders are told by device and inode too, so that a bind mount is known for what it
//! shows. What this process cannot see of the host is an error, never "not there".

use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::mounts::Mounts;

/// `/proc`, where a process shows its own root.
pub(super) const PROC: &str = "/proc";
/// Most symbolic links on one way: as many as the kernel follows (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// Most parts of one way: a path has at most 4096 bytes (`PATH_MAX`).
const STEPS_MAX: usize = 4096;

/// A file or folder, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode {
    pub(super) device: u64,
    number: u64,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Without links, `.` and `..`; its end need not exist.
    pub(super) path: PathBuf,
    /// What exists of it, from the root on.
    pub(super) ways: Vec<Inode>,
    /// Whether all of it exists.
    exists: bool,
    /// Whether it leads into the folder of a process under `/proc`, where more than a path says
    /// can be reached.
    pub(super) in_process: bool,
}

/// Why it cannot be told where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unseen {
    /// The service manager hides this folder of the host from the gate.
    Hidden(PathBuf),
    /// It is inside a file system that a server answers for: looking there could take for ever, and
    /// what the server says may be another thing at the next look.
    Remote(PathBuf),
    /// More links or parts than are followed.
    TooLong,
    /// The system does not say.
    Failed(ErrorKind),
}

/// Follows paths.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    /// Folders that are others here than on the host.
    hidden: Vec<PathBuf>,
    /// Where file systems are mounted that a server answers for.
    remote: HashSet<PathBuf>,
    /// What is mounted.
    pub(super) mounts: Mounts,
}

impl Resolved {
    /// Whether it is the root of the host.
    pub(super) fn is_root(&self) -> bool {
        self.path == Path::new("/") || (self.exists && self.ways.last() == self.ways.first())
    }

    /// Whether one is in the other, or they are the same: by their paths, or by what these show.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let is_above = |above: &Self, below: &Self| {
            let same = above.ways.last().filter(|_| above.exists);
            below.path.starts_with(&above.path)
                || same.is_some_and(|inode| below.ways.contains(inode))
        };
        is_above(self, other) || is_above(other, self)
    }

    /// Where a path leads by its names alone, for one that cannot be followed.
    pub(super) fn by_name(path: &Path) -> Self {
        let root = Way { at: PathBuf::from("/"), ways: Vec::new() };
        let mut names: VecDeque<OsString> = parts(path).collect();
        match names.pop_front() {
            Some(first) => root.absent(&first, names),
            None => root.whole(false),
        }
    }

    /// Whether both are on one file system, as far as they exist.
    pub(super) fn is_on_the_disk_of(&self, other: &Self) -> bool {
        let device = |place: &Self| place.ways.last().map(|inode| inode.device);
        device(self) == device(other)
    }
}

impl Resolver {
    /// As this process sees the host: folders that systemd replaced for it (`PrivateTmp=`,
    /// `ProtectHome=`) are not the host's.
    pub(super) fn of_this_process() -> Self {
        Self { hidden: Mounts::of_now().hidden(), ..Self::default() }
    }

    /// The same, with the file systems that are mounted now: a pod's volumes come and go.
    pub(super) fn with_mounts_of_now(&self) -> Self {
        let mounts = Mounts::of_now();
        Self { hidden: self.hidden.clone(), remote: mounts.remote(), mounts }
    }

    /// Follows a path from the root, as the runtime would.
    pub(super) fn resolve(&self, path: &Path) -> Result<Resolved, Unseen> {
        let mut walk = Way { at: PathBuf::from("/"), ways: vec![inode(Path::new("/"))?] };
        let mut left: VecDeque<OsString> = parts(path).collect();
        let (mut links, mut steps) = (0, 0);
        while let Some(part) = left.pop_front() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err(Unseen::TooLong);
            }
            if part == ".." {
                walk.up();
                continue;
            }
            let next = walk.at.join(&part);
            if walk.at == Path::new(PROC) && is_process(&part) {
                return Ok(Resolved { path: next, in_process: true, ..walk.whole(false) });
            }
            if self.hidden.contains(&next) {
                return Err(Unseen::Hidden(next));
            }
            if self.remote.contains(&next) {
                // A volume is mounted as a whole: nothing of the node is in it. It is not touched.
                return if left.is_empty() {
                    Ok(walk.absent(&part, left))
                } else {
                    Err(Unseen::Remote(next))
                };
            }
            match next.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Unseen::TooLong);
                    }
                    let target = next.read_link().map_err(|error| Unseen::Failed(error.kind()))?;
                    if target.is_absolute() {
                        walk.restart();
                    }
                    parts(&target).rev().for_each(|part| left.push_front(part));
                }
                Ok(metadata) => walk.down(next, Inode::of(&metadata)),
                Err(error) if is_absence(error.kind()) => return Ok(walk.absent(&part, left)),
                Err(error) => return Err(Unseen::Failed(error.kind())),
            }
        }
        Ok(walk.whole(true))
    }
}

/// A way, as far as it went.
struct Way {
    at: PathBuf,
    ways: Vec<Inode>,
}

impl Way {
    fn up(&mut self) {
        if self.at.pop() {
            self.ways.pop();
        }
    }

    fn down(&mut self, next: PathBuf, inode: Inode) {
        self.at = next;
        self.ways.push(inode);
    }

    fn restart(&mut self) {
        self.at = PathBuf::from("/");
        self.ways.truncate(1);
    }

    fn whole(self, exists: bool) -> Resolved {
        Resolved { path: self.at, ways: self.ways, exists, in_process: false }
    }

    /// The rest of the way is not there: the runtime would make folders of these names.
    fn absent(self, part: &OsString, left: VecDeque<OsString>) -> Resolved {
        let mut path = self.at.join(part);
        for part in left {
            if part == ".." {
                path.pop();
            } else {
                path.push(part);
            }
        }
        Resolved { path, ways: self.ways, exists: false, in_process: false }
    }
}

impl Inode {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), number: metadata.ino() }
    }
}

fn inode(path: &Path) -> Result<Inode, Unseen> {
    let metadata = path.symlink_metadata().map_err(|error| Unseen::Failed(error.kind()))?;
    Ok(Inode::of(&metadata))
}

/// The names of a path; `//` and `.` are none.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// A process's own folder, whose `root`, `cwd` and `fd` lead anywhere.
pub(super) fn is_process(part: &OsStr) -> bool {
    let name = part.to_string_lossy();
    name == "self" || name == "thread-self" || name.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_the_service_manager_replaced_are_known() {
        let mounts = "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            40 29 8:1 /tmp/systemd-private-0a-sealgate.service-x/tmp /tmp rw - ext4 /dev/sda1 rw\n\
            41 29 0:24 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n\
            42 29 0:24 / /run rw - tmpfs tmpfs rw\n";
        let hidden = Mounts::parse(mounts.as_bytes()).hidden();
        assert_eq!(hidden, [PathBuf::from("/tmp"), PathBuf::from("/home")]);
        let resolver = Resolver { hidden, ..Resolver::default() };
        let got = resolver.resolve(Path::new("//tmp/../tmp/./x"));
        assert_eq!(got, Err(Unseen::Hidden(PathBuf::from("/tmp"))));
    }

    /// Attack D1: a volume whose server does not answer is not looked into, and keeps no thread.
    #[test]
    fn attack_d1_a_volume_of_a_server_is_not_touched() {
        let pods = "/var/lib/kubelet/pods/0a/volumes";
        let mounts = format!(
            "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            50 29 0:50 / {pods}/kubernetes.io~nfs/a\\040b rw shared:9 - nfs4 evil.test:/ rw\n\
            51 29 0:51 / {pods}/kubernetes.io~csi/c rw - fuse.s3 s3 rw\n"
        );
        let remote = Mounts::parse(mounts.as_bytes()).remote();
        let resolver = Resolver { remote, ..Resolver::default() };
        let volume = PathBuf::from(format!("{pods}/kubernetes.io~nfs/a b"));
        assert_eq!(resolver.remote.len(), 2);
        assert!(resolver.remote.contains(&volume));
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let resolver = Resolver { remote: HashSet::from([real.join("nfs")]), ..resolver };
        // It would be a link into the node, if anybody looked.
        std::os::unix::fs::symlink("/run", real.join("nfs")).unwrap();
        let whole = resolver.resolve(&real.join("nfs")).unwrap();
        assert_eq!((whole.path, whole.exists), (real.join("nfs"), false));
        let inside = resolver.resolve(&real.join("nfs/containerd"));
        assert_eq!(inside, Err(Unseen::Remote(real.join("nfs"))));
    }

    #[test]
    fn a_ring_of_links_is_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let ring = folder.path().join("ring");
        std::os::unix::fs::symlink(&ring, &ring).unwrap();
        assert_eq!(Resolver::default().resolve(&ring), Err(Unseen::TooLong));
    }

    #[test]
    fn what_is_not_there_yet_is_where_the_runtime_would_make_it() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let got = Resolver::default().resolve(&real.join("a/../b//c/.")).unwrap();
        assert_eq!((got.path, got.exists), (real.join("b/c"), false));
    }
}
