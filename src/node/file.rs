//! [`read`]: a configuration file of the node, read by root although others may have named it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::errno::Words;
use crate::file_trust::{self, OwnershipFault};

/// Most bytes of one file; those of the kubelet and of containerd have some kilobytes.
const FILE_MAX: u64 = 1 << 20;

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It is not there.
    Absent,
    /// It is a pipe, a device, a folder or a socket.
    NotRegular,
    /// Someone other than root could have written it.
    Ownership(OwnershipFault),
    /// It is too long.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// The system did not let it be read.
    Failed(io::ErrorKind),
}

/// Reads a file; links are followed, since configuration is often a link.
///
/// # Errors
/// [`Unusable`] when it is not a regular file of root's alone, with at most 1 MiB of text.
pub fn read(path: &Path) -> Result<String, Unusable> {
    let is_regular = |metadata: &fs::Metadata| {
        if metadata.is_file() { Ok(()) } else { Err(Unusable::NotRegular) }
    };
    // Before it is opened: for a device, opening is doing (`/dev/watchdog`).
    is_regular(&fs::metadata(path).map_err(failed)?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file =
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(failed)?;
    // And again: it may be another one by now.
    let metadata = file.metadata().map_err(failed)?;
    is_regular(&metadata)?;
    file_trust::check_open(path, &metadata).map_err(Unusable::Ownership)?;
    if metadata.len() > FILE_MAX { Err(Unusable::TooLong) } else { bounded(file) }
}

/// The text of a file that may grow while it is read, and whose length may be told wrong.
fn bounded(file: File) -> Result<String, Unusable> {
    let mut bytes = Vec::new();
    let length = file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(Unusable::TooLong);
    }
    String::from_utf8(bytes).map_err(|_| Unusable::NotText)
}

#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn failed(error: io::Error) -> Unusable {
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound { Unusable::Absent } else { Unusable::Failed(kind) }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("not there"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Ownership(fault) => fault.fmt(f),
            Self::TooLong => write!(f, "longer than {FILE_MAX} bytes"),
            Self::NotText => f.write_str("not text in UTF-8"),
            Self::Failed(kind) => Words(*kind).fmt(f),
        }
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use nix::sys::stat::Mode;

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.yaml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_regular_file_is_read_and_so_is_a_link_to_one() {
        let (dir, path) = file("kind: KubeletConfiguration\n");
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            assert_eq!(read(path).as_deref(), Ok("kind: KubeletConfiguration\n"));
        }
        assert_eq!(read(&dir.path().join("gone")), Err(Unusable::Absent));
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read(&path), Err(Unusable::NotText));
    }

    #[test]
    fn attack_g_a_pipe_for_configuration_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("fifo"), dir.path().join("link"));
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        symlink(&pipe, &link).unwrap();
        // A test that hangs here is one that fails.
        for path in [&pipe, &link] {
            assert_eq!(read(path), Err(Unusable::NotRegular));
        }
    }

    #[test]
    fn attack_g_a_device_for_configuration_is_not_opened() {
        for path in ["/dev/null", "/dev/zero", "/dev", "/proc/self/fd"] {
            assert_eq!(read(Path::new(path)), Err(Unusable::NotRegular), "{path}");
        }
    }

    #[test]
    fn attack_g_configuration_that_others_may_write_is_not_used() {
        let (_dir, path) = file("x");
        for mode in [0o664, 0o646, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let fault = OwnershipFault::Writable { path: path.clone(), mode };
            assert_eq!(read(&path), Err(Unusable::Ownership(fault)));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        // Only root can give a file away; `file_trust` judges the owner for everyone.
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(12345), None).unwrap();
            let fault = OwnershipFault::Owner { path: path.clone(), uid: 12345 };
            assert_eq!(read(&path), Err(Unusable::Ownership(fault)));
        }
    }

    #[test]
    fn attack_g_a_huge_file_for_configuration_is_not_read() {
        let (_dir, path) = file("");
        let sparse = OpenOptions::new().write(true).open(&path).unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert_eq!(read(&path), Err(Unusable::TooLong));
        sparse.set_len(FILE_MAX + 1).unwrap();
        assert_eq!(bounded(File::open(&path).unwrap()), Err(Unusable::TooLong), "it grew");
        sparse.set_len(FILE_MAX).unwrap();
        assert!(read(&path).is_ok());
    }
}
