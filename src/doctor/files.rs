//! What the files of the node let others do: the two sockets, the audit log, the evidence store, and
//! whether there is room on their disks.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::check::Check;
use crate::config::Settings;
use crate::file_trust::{self, Above, OwnershipFault};

/// Free bytes below which the log and the evidence will soon not be written.
const FREE_LEAST: u64 = 64 << 20;
/// Permission of others, and of the group, to connect to a socket.
const OTHERS: u32 = 0o006;
const GROUP: u32 = 0o060;

/// The two sockets: the kubelet's and the runtime's.
#[derive(Debug, Clone, Copy)]
pub struct Sockets<'s> {
    /// The gate's.
    pub gate: &'s Path,
    /// The runtime's.
    pub runtime: &'s Path,
}

/// What mends a socket that is not there, and one that others may open.
#[derive(Debug, Clone, Copy)]
struct SocketCures {
    start: &'static str,
    close: &'static str,
}

/// Who may connect to the sockets: to the gate's nobody who may not connect to the runtime's, and to
/// the runtime's nobody but root.
#[must_use]
pub fn sockets(sockets: Sockets<'_>) -> Vec<Check> {
    let gate = SocketCures {
        start: "systemctl enable --now sealgate.socket",
        close: "systemctl restart sealgate.socket; see listen.mode, or SocketMode= in its unit",
    };
    let runtime = SocketCures {
        start: "systemctl start containerd",
        close: "set uid, gid and mode of [grpc] in containerd's configuration, and restart it",
    };
    vec![
        socket("socket", sockets.gate, gate),
        socket("containerd-socket", sockets.runtime, runtime),
    ]
}

fn socket(id: &'static str, path: &Path, cures: SocketCures) -> Check {
    let SocketCures { start, close: mend } = cures;
    let check = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Check::fail(id, "does not exist", start)
        }
        Err(error) => Check::fail(id, format!("cannot be looked at: {error}"), mend),
        Ok(metadata) if !metadata.file_type().is_socket() => Check::fail(id, "is no socket", mend),
        Ok(metadata) => {
            let (mode, uid, gid) = (metadata.mode() & 0o777, metadata.uid(), metadata.gid());
            let seen = format!("mode {mode:04o}, owner {uid}:{gid}");
            if uid != 0 || mode & OTHERS != 0 {
                Check::fail(id, format!("others than root may connect: {seen}"), mend)
            } else if gid != 0 && mode & GROUP != 0 {
                Check::warn(id, format!("a group may connect that is not root's: {seen}"), mend)
            } else {
                Check::ok(id, format!("root alone may connect: {seen}"))
            }
        }
    };
    check.at(path.display())
}

/// Whether nobody else can change the audit log.
#[must_use]
pub fn audit_log(settings: &Settings) -> Check {
    let path = &settings.audit.path;
    let folder = path.parent().unwrap_or(path);
    owned("log", path, folder, Above::GroupToo)
}

/// Whether nobody else can put evidence into the store.
#[must_use]
pub fn evidence(settings: &Settings) -> Check {
    let path = &settings.evidence.path;
    owned("evidence", path, path.parent().unwrap_or(path), Above::NobodyElse)
}

/// Checks a path, or where there is none yet the folder that it will be in.
fn owned(id: &'static str, path: &Path, folder: &Path, above: Above) -> Check {
    let there = if path.exists() { path } else { folder };
    let check = match file_trust::check(there, above) {
        Ok(()) => Check::ok(id, "root's alone to write"),
        Err(OwnershipFault::Unreadable { path, kind }) => Check::fail(
            id,
            format!("{} cannot be looked at: {kind}", path.display()),
            "make the folder, owned by root; run this as root",
        ),
        Err(fault) => {
            let mend = format!("chown root:root {0} && chmod go-w {0}", there.display());
            Check::fail(id, fault.to_string(), mend)
        }
    };
    check.at(there.display())
}

/// Whether there is room for the log and for evidence.
#[must_use]
pub fn disk(settings: &Settings) -> Vec<Check> {
    [("disk-log", &settings.audit.path), ("disk-evidence", &settings.evidence.path)]
        .map(|(id, path)| room(id, path))
        .to_vec()
}

fn room(id: &'static str, path: &Path) -> Check {
    let folder = path.ancestors().find(|folder| folder.exists()).unwrap_or(path);
    let check = match statvfs(folder) {
        Err(error) => {
            Check::warn(id, format!("the free space cannot be told: {error}"), "run this as root")
        }
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            let seen = format!("{} MiB free", free >> 20);
            if free < FREE_LEAST || (disk.files() > 0 && disk.files_available() == 0) {
                let mend = "free space on this file system, or move the path to another";
                Check::fail(id, format!("{seen}, or no file can be made"), mend)
            } else {
                Check::ok(id, seen)
            }
        }
    };
    check.at(folder.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_socket_that_others_may_open_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let cures = SocketCures { start: "start it", close: "close it" };
        let absent = Check::fail("socket", "does not exist", "start it").at(path.display());
        assert_eq!(socket("socket", &path, cures), absent);
        fs::write(&path, "").unwrap();
        assert_eq!(socket("socket", &path, cures).seen, "is no socket");
        fs::remove_file(&path).unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        let with = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            socket("socket", &path, cures).outcome
        };
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(with(0o600) == Outcome::Ok, is_root);
        assert_eq!(with(0o666), Outcome::Fail);
    }

    #[test]
    fn what_others_may_write_fails_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().canonicalize().unwrap().join("log");
        fs::create_dir(&log).unwrap();
        let of = || owned("log", &log.join("audit.jsonl"), &log, Above::GroupToo);
        assert_eq!(of().outcome, Outcome::Ok);
        fs::set_permissions(&log, fs::Permissions::from_mode(0o777)).unwrap();
        let check = of();
        assert_eq!(check.outcome, Outcome::Fail);
        assert!(check.mend.unwrap().contains("chmod go-w"));
    }
}
