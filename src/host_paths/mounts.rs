//! [`Mounts`]: the kernel's list of mounts; [`Spot`]: which file of which file system a path shows.
//!
//! A bind mount has a path of its own, and nothing in that path says what it shows. The list does:
//! it names the file system and the path in it. Two paths that show the same are told by that.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Longest list of mounts that is read: a node with 110 pods has some thousand, of 200 bytes.
const MOUNTS_MAX: u64 = 8 << 20;
/// What the kernel writes behind the path of a mounted file that has been removed since; no path
/// has two slashes.
const DELETED: &[u8] = b"//deleted";
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

/// The mounts of this process.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    all: Vec<Mount>,
    /// By the mount that it stands on and where: its place in the list.
    on: HashMap<(u64, PathBuf), usize>,
    /// The one that paths start from; none when the list could not be read to its end.
    root: Option<usize>,
}

/// A line of the list.
#[derive(Debug)]
struct Mount {
    id: u64,
    /// The mount that it stands on.
    parent: u64,
    /// `major:minor`; one number for all subvolumes of a btrfs, unlike that of stat(2).
    device: Vec<u8>,
    /// What of the file system is shown.
    root: PathBuf,
    /// Whether that was removed since.
    is_deleted: bool,
    /// Where.
    point: PathBuf,
    /// The type of the file system.
    kind: String,
}

/// A file or folder by its file system and its path in that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot<'a> {
    device: &'a [u8],
    kind: &'a str,
    /// Where it is in the file system, or was before it was removed.
    path: PathBuf,
    /// Whether it was removed since: then its path says nothing of what is there now.
    pub(super) is_deleted: bool,
}

impl Spot<'_> {
    /// Whether one is in the other, or they are the same.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.is_on_the_device_of(other)
            && (self.path.starts_with(&other.path) || other.path.starts_with(&self.path))
    }

    /// Whether both are in one file system.
    pub(super) fn is_on_the_device_of(&self, other: &Self) -> bool {
        self.device == other.device
    }

    /// The path below `/dev` or `/proc` that it has on the host, if it is in the file system that
    /// stands there: what is in those is told by name.
    pub(super) fn system_path(&self) -> Option<PathBuf> {
        let place = match self.kind {
            "devtmpfs" => "/dev",
            "proc" => "/proc",
            _ => return None,
        };
        let inside = self.path.strip_prefix("/").ok()?;
        Some(Path::new(place).join(inside).components().collect())
    }
}

impl Mounts {
    /// Those of now.
    pub(super) fn of_now() -> Self {
        let mut text = Vec::new();
        let read = std::fs::File::open("/proc/self/mountinfo")
            .and_then(|list| list.take(MOUNTS_MAX).read_to_end(&mut text));
        let is_whole = read.is_ok() && u64::try_from(text.len()).is_ok_and(|len| len < MOUNTS_MAX);
        let mounts = Self::parse(&text);
        // The mount that says what a path shows may be among those that were not read.
        if is_whole { mounts } else { Self { root: None, ..mounts } }
    }

    /// Reads the list, `proc_pid_mountinfo(5)`.
    pub(super) fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n');
        let all: Vec<Mount> = lines.filter_map(Mount::parse).collect();
        let ids: HashSet<u64> = all.iter().map(|mount| mount.id).collect();
        let is_root = |mount: &Mount| {
            mount.point == Path::new("/")
                && (mount.parent == mount.id || !ids.contains(&mount.parent))
        };
        let root = all.iter().rposition(is_root);
        let on = all.iter().enumerate().filter(|(_, mount)| !mount.is_replacement());
        let on = on.map(|(at, mount)| ((mount.parent, mount.point.clone()), at)).collect();
        Self { on, root, all }
    }

    /// What a path without links shows, also where the service manager put another folder over it
    /// for this process; `None` when it cannot be told.
    pub(super) fn spot(&self, path: &Path) -> Option<Spot<'_>> {
        let mut mount = self.all.get(self.root?)?;
        let mut hops = 0;
        let mut ways: Vec<&Path> = path.ancestors().collect();
        // What is mounted over the root is not on the way of a path that starts there.
        ways.pop();
        while let Some(way) = ways.pop() {
            // Mounts on one point stand on one another.
            while let Some(above) = self.on.get(&(mount.id, way.to_owned())) {
                mount = self.all.get(*above)?;
                hops += 1;
                if hops > self.all.len() {
                    return None;
                }
            }
        }
        Some(mount.shows(path.strip_prefix(&mount.point).ok()?))
    }

    /// What is mounted below a path.
    pub(super) fn below<'a>(&'a self, path: &Path) -> impl Iterator<Item = Spot<'a>> {
        let begin = path.as_os_str().as_bytes().to_owned();
        let path = path.to_owned();
        let is_below = move |mount: &&Mount| {
            // The bytes are compared first because most mounts are elsewhere.
            mount.point.as_os_str().as_bytes().starts_with(&begin)
                && mount.point.starts_with(&path)
                && mount.point != path
                && !mount.is_replacement()
        };
        self.all.iter().filter(is_below).map(|mount| mount.shows(Path::new("")))
    }

    /// Mount points of file systems that a server answers for.
    pub(super) fn remote(&self) -> HashSet<PathBuf> {
        let is_remote = |kind: &str| kind.starts_with("fuse") || REMOTE.contains(&kind);
        let remote = self.all.iter().filter(|mount| is_remote(&mount.kind));
        remote.map(|mount| mount.point.clone()).collect()
    }

    /// Mount points that systemd put other folders over.
    pub(super) fn hidden(&self) -> Vec<PathBuf> {
        let replaced = self.all.iter().filter(|mount| mount.is_replacement());
        replaced.map(|mount| mount.point.clone()).collect()
    }
}

impl Mount {
    /// Reads a line: the mount and the one that it stands on, the device, what is shown and where,
    /// and behind the lone hyphen the type.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
        let (id, parent) = (number(fields.next()?)?, number(fields.next()?)?);
        let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        let shown = root.strip_suffix(DELETED);
        Some(Self {
            id,
            parent,
            device: device.to_owned(),
            root: unescaped(shown.unwrap_or(root)),
            is_deleted: shown.is_some(),
            point: unescaped(point),
            kind: String::from_utf8_lossy(kind).into_owned(),
        })
    }

    /// Whether it stands where systemd hides a folder of the host from this process.
    fn is_replacement(&self) -> bool {
        let root = self.root.to_string_lossy();
        root.contains("systemd-private-") || root.contains("/systemd/inaccessible")
    }

    /// What is at a path below its point.
    fn shows(&self, rest: &Path) -> Spot<'_> {
        // A path joined to nothing would end in a slash, which is no other path.
        let path = if rest == Path::new("") { self.root.clone() } else { self.root.join(rest) };
        Spot { device: &self.device, kind: &self.kind, path, is_deleted: self.is_deleted }
    }
}

/// A path of the list: space, tab, newline and backslash are three octal digits behind a backslash.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
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

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUMES: &str = "/var/lib/kubelet/pods/0a/volume-subpaths";

    #[test]
    fn a_path_shows_what_the_mount_on_top_of_it_shows() {
        let mounts = Mounts::parse(
            b"29 1 8:1 /@ / rw - btrfs /dev/sda1 rw\n\
            30 29 0:24 / /run rw shared:5 - tmpfs tmpfs rw\n\
            31 29 0:25 / /mnt/a rw - tmpfs tmpfs rw\n\
            32 29 0:26 / /mnt rw - tmpfs tmpfs rw\n\
            33 30 0:27 / /run rw - tmpfs tmpfs rw\n\
            34 34 8:2 / /loop rw - ext4 /dev/sda2 rw\n\
            35 29 0:28 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n\
            no line\n",
        );
        let shown = |path: &str| {
            let spot = mounts.spot(Path::new(path)).unwrap();
            (String::from_utf8_lossy(spot.device).into_owned(), spot.path.display().to_string())
        };
        for (path, device, inside) in [
            ("/", "8:1", "/@"),
            ("/etc/x", "8:1", "/@/etc/x"),
            ("/runner", "8:1", "/@/runner"),
            ("/run/x", "0:27", "/x"),
            // What is mounted over its folder is in the way.
            ("/mnt/a", "0:26", "/a"),
            // The host's folder, which this process does not see.
            ("/home/x", "8:1", "/@/home/x"),
        ] {
            assert_eq!(shown(path), (device.to_owned(), inside.to_owned()), "{path}");
        }
        assert_eq!(Mounts::parse(b"").spot(Path::new("/")), None);
    }

    /// The kubelet mounts the `subPath` of a volume under a path of its own.
    #[test]
    fn attack_f_a_sub_path_of_a_guarded_folder_is_seen() {
        let list = format!(
            "29 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 29 0:24 / /run rw shared:5 - tmpfs tmpfs rw\n\
            31 30 0:31 / /run/containerd/task/c/rootfs rw - overlay overlay rw\n\
            40 29 0:24 /containerd/containerd.sock {VOLUMES}/v/c/0 rw - tmpfs tmpfs rw\n\
            41 29 8:1 /etc/sealgate/config.toml {VOLUMES}/v/c/1 rw - ext4 /dev/sda1 rw\n\
            42 29 8:1 /etc/sealgate.d {VOLUMES}/v/c/2 rw - ext4 /dev/sda1 rw\n\
            43 29 8:1 /etc/sealgate/a\\040b {VOLUMES}/v\\040w/c/0 rw - ext4 /dev/sda1 rw\n\
            44 29 0:24 /containerd/old.sock//deleted {VOLUMES}/v/c/4 rw - tmpfs tmpfs rw\n\
            45 29 0:31 /bin {VOLUMES}/v/c/5 rw - overlay overlay rw\n\
            46 29 0:21 /1 {VOLUMES}/v/c/6 rw - proc proc rw\n\
            47 29 0:6 /sda {VOLUMES}/v/c/7 rw - devtmpfs devtmpfs rw\n\
            48 29 8:1 /etc {VOLUMES}/v/c/8 rw - ext4 /dev/sda1 rw\n\
            49 29 0:99 /containerd {VOLUMES}/v/c/9 rw - tmpfs tmpfs rw\n"
        );
        let mounts = Mounts::parse(list.as_bytes());
        let at = |path: &str| mounts.spot(&Path::new(VOLUMES).join(path)).unwrap();
        let runtime = mounts.spot(Path::new("/run/containerd")).unwrap();
        let policies = mounts.spot(Path::new("/etc/sealgate")).unwrap();
        for (path, of_runtime, of_policies) in [
            ("v/c/0", true, false),
            ("v/c/1", false, true),
            ("v/c/2", false, false),
            ("v w/c/0", false, true),
            ("v/c/8", false, true),
            ("v/c/8/sealgate/keys/x.pub", false, true),
            ("v/c/8/ssl", false, false),
            // The same path in another file system.
            ("v/c/9", false, false),
        ] {
            let got = (at(path).meets(&runtime), at(path).meets(&policies));
            assert_eq!(got, (of_runtime, of_policies), "{path}");
            assert!(!at(path).is_deleted);
        }
        assert!(at("v/c/4").is_deleted && at("v/c/4").is_on_the_device_of(&runtime));
        let below: Vec<Spot<'_>> = mounts.below(Path::new("/run/containerd")).collect();
        assert_eq!(below.len(), 1);
        assert!(below.iter().all(|spot| at("v/c/5").meets(spot) && !at("v/c/0").meets(spot)));
        assert_eq!(at("v/c/6").system_path(), Some(PathBuf::from("/proc/1")));
        assert_eq!(at("v/c/7").system_path(), Some(PathBuf::from("/dev/sda")));
        assert_eq!(at("v/c/0").system_path(), None);
    }
}
