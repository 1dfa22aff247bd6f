//! [`Resolver`]: where a path of the host leads, symbolic links and all, and by which folders.
//!
//! Files and folders are told by device and inode too, so that a bind mount is known for what it
//! shows. What this process cannot see of the host is an error, never "not there".

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// `/proc`, where a process shows its own root.
pub(super) const PROC: &str = "/proc";
/// Most symbolic links on one way: as many as the kernel follows (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// Most parts of one way: a path has at most 4096 bytes (`PATH_MAX`).
const STEPS_MAX: usize = 4096;

/// Longest list of mounts that is read: a node with 110 pods has some thousand, of 200 bytes.
const MOUNTS_MAX: u64 = 8 << 20;
/// Types of file systems that a server or another process answers for, which may never do so; and
/// all that begin with `fuse`.
const REMOTE: &[&str] = &[
    "9p",
    "afs",
    "autofs",
    "beegfs",
    "ceph",
    "cifs",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "virtiofs",
];

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
        Self { hidden: hidden(&mounts()), remote: HashSet::new() }
    }

    /// The same, with the file systems that are mounted now: a pod's volumes come and go.
    pub(super) fn with_mounts_of_now(&self) -> Self {
        Self { hidden: self.hidden.clone(), remote: remote(&mounts()) }
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
fn is_process(part: &OsString) -> bool {
    let name = part.to_string_lossy();
    name == "self" || name == "thread-self" || name.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The kernel's list of this process's mounts, proc_pid_mountinfo(5).
fn mounts() -> String {
    let mut mounts = Vec::new();
    if let Ok(list) = std::fs::File::open("/proc/self/mountinfo") {
        let _what_came_is_read = list.take(MOUNTS_MAX).read_to_end(&mut mounts);
    }
    String::from_utf8_lossy(&mounts).into_owned()
}

/// Mount points of file systems that a server answers for: field 5 is where, and the first field
/// behind the lone hyphen the type.
fn remote(mounts: &str) -> HashSet<PathBuf> {
    let is_remote = |kind: &str| kind.starts_with("fuse") || REMOTE.contains(&kind);
    let point = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let kind = source.split(' ').next()?;
        is_remote(kind).then(|| mount.split(' ').nth(4).map(unescaped)).flatten()
    };
    mounts.lines().filter_map(point).collect()
}

/// A path of the list: space, tab, newline and backslash are three octal digits behind a backslash.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let octal = more.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Mount points that systemd put other folders over, by the kernel's list of mounts: fields 4 and 5
/// of a line are what is shown and where (proc_pid_mountinfo(5)).
fn hidden(mounts: &str) -> Vec<PathBuf> {
    let is_replaced =
        |root: &str| root.contains("systemd-private-") || root.contains("/systemd/inaccessible");
    let fields = mounts.lines().map(|line| line.split(' ').skip(3));
    fields
        .filter_map(|mut fields| Some((fields.next()?, fields.next()?)))
        .filter(|(root, _)| is_replaced(root))
        .map(|(_, point)| PathBuf::from(point))
        .collect()
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
        assert_eq!(hidden(mounts), [PathBuf::from("/tmp"), PathBuf::from("/home")]);
        let resolver = Resolver { hidden: hidden(mounts), ..Resolver::default() };
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
        let resolver = Resolver { remote: remote(&mounts), ..Resolver::default() };
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
