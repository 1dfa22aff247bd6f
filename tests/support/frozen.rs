//! A disk that can be made to hang: a file system of its own in a file, frozen (`fsfreeze`) so that
//! whoever writes to it waits in the kernel until it is thawed. Nothing else on the machine is held
//! up.
#![allow(dead_code, unreachable_pub, reason = "each suite uses a part")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of the disk: ext4 with its journal, and room for some ten thousand records.
const BYTES: u64 = 64 << 20;

/// A mounted file system; thawed and unmounted when this is dropped.
#[derive(Debug)]
pub struct Frozen {
    at: PathBuf,
    /// Holds the file of the file system.
    _image: tempfile::TempDir,
}

impl Frozen {
    /// Over this folder.
    ///
    /// # Errors
    /// What the tool that failed said: making and mounting one needs root, loop devices and
    /// `mkfs.ext4`.
    pub fn over(folder: &Path) -> Result<Self, String> {
        let image = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = image.path().join("disk");
        let sized = fs::File::create(&file).and_then(|disk| disk.set_len(BYTES));
        sized.map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&file))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(folder))?;
        Ok(Self { at: folder.to_owned(), _image: image })
    }

    /// From now on whoever writes waits.
    pub fn freeze(&self) -> Result<(), String> {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.at))
    }

    /// The disk is back.
    pub fn thaw(&self) -> Result<(), String> {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.at))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Always, and first: a process that waits for it cannot be ended otherwise. It may not be
        // frozen.
        drop(Command::new("fsfreeze").arg("--unfreeze").arg(&self.at).output());
        drop(Command::new("umount").arg("--lazy").arg(&self.at).output());
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error: io::Error| format!("{program}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {words}")) }
}
