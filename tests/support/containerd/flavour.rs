//! [`Flavour`]: which containerd there is, by the folder of its programs. [`Missing`]: what this
//! machine lacks.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A containerd that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavour {
    /// The folder of its programs; `None` for the machine's own.
    pub folder: Option<PathBuf>,
    /// Major and minor version.
    pub version: (u32, u32),
}

/// What a test wants and this machine lacks. Tests fail with it: it says what to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Missing {
    /// Containers, mounts and snapshots need root.
    Root,
    /// A program that is not in PATH.
    Program(&'static str),
    /// No containerd of at least this version.
    Containerd(u32, u32),
}

impl Flavour {
    /// The machine's own containerd.
    ///
    /// # Errors
    /// [`Missing::Program`].
    pub fn system() -> Result<Self, Missing> {
        Self::at(None).ok_or(Missing::Program("containerd"))
    }

    /// The newest containerd there is, if it is at least this version: the machine's own, or one of
    /// those unpacked as `target/runtimes/<name>/usr/bin`.
    ///
    /// # Errors
    /// [`Missing::Containerd`].
    pub fn at_least(major: u32, minor: u32) -> Result<Self, Missing> {
        let newest = Self::all().into_iter().max_by_key(|flavour| flavour.version);
        newest
            .filter(|flavour| flavour.version >= (major, minor))
            .ok_or(Missing::Containerd(major, minor))
    }

    /// Every containerd there is, the machine's own first.
    pub fn all() -> Vec<Self> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes");
        let folders = std::fs::read_dir(unpacked).into_iter().flatten().flatten();
        let mut folders: Vec<_> = folders.map(|entry| entry.path().join("usr/bin")).collect();
        folders.sort();
        let unpacked = folders.into_iter().filter_map(|folder| Self::at(Some(folder)));
        Self::at(None).into_iter().chain(unpacked).collect()
    }

    /// One of its programs, with its folder first in PATH: containerd finds its shim there.
    pub fn command(&self, program: &str) -> Command {
        let mut path: Vec<PathBuf> = self.folder.iter().cloned().collect();
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let own = self.folder.as_ref().map(|folder| folder.join(program).into_os_string());
        let mut command = Command::new(own.unwrap_or_else(|| OsString::from(program)));
        command.env("PATH", env::join_paths(path).expect("a PATH"));
        command
    }

    fn at(folder: Option<PathBuf>) -> Option<Self> {
        let unversioned = Self { folder, version: (0, 0) };
        let output = unversioned.command("containerd").arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find_map(version)?;
        Some(Self { version, ..unversioned })
    }
}

/// Whether the machine can run containers at all.
pub fn check_machine() -> Result<(), Missing> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Missing::Root);
    }
    for program in ["runc", "mount", "umount"] {
        let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|dir| dir.join(program).is_file());
        if !found {
            return Err(Missing::Program(program));
        }
    }
    Ok(())
}

/// `1.6.20~ds1` and `v2.1.9`; nothing else has a dot between numbers.
fn version(word: &str) -> Option<(u32, u32)> {
    let mut parts = word.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("this test starts containers: run it as root"),
            Self::Program(name) => {
                write!(
                    f,
                    "this test needs {name}: `make test` installs what is missing (Debian: \
                     containerd, runc)"
                )
            }
            Self::Containerd(major, minor) => write!(
                f,
                "this test needs containerd {major}.{minor} or newer in PATH or unpacked as \
                 target/runtimes/<name>/usr/bin: `make test` does that"
            ),
        }
    }
}

/// As [`fmt::Display`]: it is what `unwrap` shows.
impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
