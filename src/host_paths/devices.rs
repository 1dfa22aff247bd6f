//! [`SystemDisks`]: the disks that what is guarded is on, and whether a device is one of them, or
//! the node's memory.
//!
//! The service manager may hide the host's `/dev` from the gate (`PrivateDevices=`); what a device
//! is, is then told by its name from `/sys`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::resolve::Resolved;
use super::target::Target;

/// Most disks that are looked at: a node has tens, and a RAID a few below each.
const DISKS_MAX: usize = 256;
/// Character devices that are memory: `mem`, `kmem` and `port` (devices.txt of Linux, major 1).
const MEMORY_NAMES: [&str; 3] = ["mem", "kmem", "port"];
const MEMORY_MAJOR: u64 = 1;
const MEMORY_MINORS: [u64; 3] = [1, 2, 4];
/// Folders under `/dev` that hold other names of disks.
const DISK_FOLDERS: [&str; 3] = ["block", "disk", "mapper"];
/// The device mapper's own control device, which is in such a folder.
const MAPPER_CONTROL: &str = "mapper/control";

/// The disks of the guarded places, by the kernel's names.
#[derive(Debug)]
pub(super) struct SystemDisks<'a> {
    sys: &'a Path,
    /// None of them when the kernel names no disk, as for btrfs: then every disk may be it.
    names: BTreeSet<String>,
}

impl<'a> SystemDisks<'a> {
    /// Those of these places; `sys` is where sysfs is.
    pub(super) fn of<'p>(sys: &'a Path, places: impl Iterator<Item = &'p Resolved>) -> Self {
        let devices: BTreeSet<u64> =
            places.flat_map(|place| place.ways.iter().map(|inode| inode.device)).collect();
        let mut disks = Self { sys, names: BTreeSet::new() };
        for device in devices {
            if let Some(found) = disks.block(device) {
                disks.add(&found);
            }
        }
        disks
    }

    /// The folder of a block device in sysfs.
    fn block(&self, device: u64) -> Option<PathBuf> {
        let number = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
        self.sys.join("dev/block").join(number).canonicalize().ok()
    }

    /// Adds a disk, the whole one that it is a part of, and those that it is made of.
    fn add(&mut self, found: &Path) {
        let mut open = vec![found.to_owned()];
        while let Some(folder) = open.pop() {
            let Some(name) = folder.file_name().map(|name| name.to_string_lossy().into_owned())
            else {
                continue;
            };
            if self.names.len() >= DISKS_MAX || !self.names.insert(name) {
                continue;
            }
            if let Some(whole) = folder.parent().filter(|_| folder.join("partition").exists()) {
                open.push(whole.to_owned());
            }
            let below = fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten();
            open.extend(below.take(DISKS_MAX).filter_map(|entry| entry.path().canonicalize().ok()));
        }
    }

    /// What this device, a path below `/dev`, reaches.
    pub(super) fn reached(&self, path: &Path) -> Option<Target> {
        let name = path.strip_prefix("/dev").ok()?.to_string_lossy().into_owned();
        let Ok(metadata) = path.metadata() else { return self.by_name(&name) };
        let kind = metadata.file_type();
        if kind.is_block_device() {
            let folder = self.block(metadata.rdev());
            return self.disk(folder.as_deref().and_then(Path::file_name));
        }
        if kind.is_char_device() {
            let number = metadata.rdev();
            let is_memory = nix::sys::stat::major(number) == MEMORY_MAJOR
                && MEMORY_MINORS.contains(&nix::sys::stat::minor(number));
            return is_memory.then_some(Target::Memory);
        }
        // Every device in the folder is asked for.
        (kind.is_dir() && DISK_FOLDERS.contains(&name.as_str())).then_some(Target::Disk)
    }

    /// A disk that has this name in the kernel.
    fn disk(&self, name: Option<&std::ffi::OsStr>) -> Option<Target> {
        match name.map(|name| name.to_string_lossy()) {
            _ if self.names.is_empty() => Some(Target::Unknown),
            Some(name) => self.names.contains(name.as_ref()).then_some(Target::Disk),
            None => Some(Target::Unknown),
        }
    }

    /// What a name under `/dev` is that cannot be seen from here.
    fn by_name(&self, name: &str) -> Option<Target> {
        if MEMORY_NAMES.contains(&name) {
            return Some(Target::Memory);
        }
        if name == MAPPER_CONTROL {
            return None;
        }
        // The kernel writes `!` for a slash.
        let known = name.replace('/', "!");
        if self.sys.join("class/block").join(&known).exists() {
            return self.disk(Some(known.as_ref()));
        }
        let first = name.split('/').next().unwrap_or_default();
        let mapped = self.mapped(name);
        if mapped.is_none() && DISK_FOLDERS.contains(&first) {
            return Some(Target::Unknown);
        }
        mapped.and_then(|name| self.disk(Some(name.as_ref())))
    }

    /// The kernel's name of a disk of the device mapper: `mapper/NAME`, or `GROUP/VOLUME`, which
    /// the mapper calls `GROUP-VOLUME` with every hyphen of the two doubled (lvm(8)).
    fn mapped(&self, name: &str) -> Option<String> {
        let wanted = match name.split_once('/')? {
            ("mapper", name) => name.to_owned(),
            (group, volume) => {
                format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
            }
        };
        let disks = fs::read_dir(self.sys.join("class/block")).into_iter().flatten().flatten();
        disks
            .take(DISKS_MAX)
            .find(|disk| {
                let name = fs::read_to_string(disk.path().join("dm/name"));
                name.is_ok_and(|name| name.trim_end() == wanted)
            })
            .map(|disk| disk.file_name().to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs with a disk `sda`, its part `sda2`, a volume `vg0-root` on that, and `sdb`.
    fn sysfs() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        for made in ["block/sda/sda2", "block/dm-0/slaves", "block/dm-0/dm", "block/sdb"] {
            fs::create_dir_all(sys.join("devices").join(made)).unwrap();
        }
        for made in ["class/block", "dev/block"] {
            fs::create_dir_all(sys.join(made)).unwrap();
        }
        fs::write(sys.join("devices/block/sda/sda2/partition"), "2\n").unwrap();
        fs::write(sys.join("devices/block/dm-0/dm/name"), "vg0-ro--ot\n").unwrap();
        let link = |to: &str, from: &str| {
            std::os::unix::fs::symlink(sys.join("devices/block").join(to), sys.join(from)).unwrap();
        };
        link("sda/sda2", "devices/block/dm-0/slaves/sda2");
        link("dm-0", "dev/block/254:0");
        for (to, name) in [("sda", "sda"), ("sda/sda2", "sda2"), ("dm-0", "dm-0"), ("sdb", "sdb")] {
            link(to, &format!("class/block/{name}"));
        }
        folder
    }

    fn disks(sys: &Path) -> SystemDisks<'_> {
        let mut disks = SystemDisks::of(sys, std::iter::empty());
        let found = disks.block(nix::sys::stat::makedev(254, 0)).unwrap();
        disks.add(&found);
        disks
    }

    #[test]
    fn attack_f_the_disk_of_the_root_is_known_by_each_of_its_names() {
        let folder = sysfs();
        let disks = disks(folder.path());
        for (name, expected) in [
            ("dm-0", Some(Target::Disk)),
            ("sda2", Some(Target::Disk)),
            ("sda", Some(Target::Disk)),
            ("mapper/vg0-ro--ot", Some(Target::Disk)),
            ("vg0/ro-ot", Some(Target::Disk)),
            ("disk/by-id/x", Some(Target::Unknown)),
            ("mapper/other", Some(Target::Unknown)),
            ("mem", Some(Target::Memory)),
            ("sdb", None),
            ("mapper/control", None),
            ("nvidia0", None),
            ("dri/card0", None),
        ] {
            assert_eq!(disks.by_name(name), expected, "{name}");
        }
    }

    #[test]
    fn any_disk_may_be_the_roots_where_the_kernel_does_not_say() {
        let folder = sysfs();
        let disks = SystemDisks::of(folder.path(), std::iter::empty());
        assert_eq!(disks.by_name("sdb"), Some(Target::Unknown));
        assert_eq!(disks.by_name("nvidia0"), None);
    }
}
