//! [`write_new`]: drafts into a folder, each a file that was not there, or none; [`can_write`]: that it
//! could, before there is anything to write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::draft::DraftFile;
use crate::cli::terminal::command_error::{CommandError, is_folder};
use crate::cli::terminal::screen::shown;
use crate::errno::Words;

/// Who may read what is written: policies are no secret.
const MODE: u32 = 0o644;

/// That files can be made in a folder, or the folder itself where it is not there yet. Makes nothing:
/// what takes minutes asks first.
///
/// # Errors
/// It is no folder, or nobody may write there; the folder that it would be in is not there.
pub(super) fn can_write(folder: &Path) -> Result<(), CommandError> {
    let above = match folder.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => above(folder),
        Ok(_) | Err(_) => folder,
    };
    is_folder(above)?;
    access(above, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| CommandError::unwritten(above, &errno.into()))
}

/// The folder that another one is in.
fn above(folder: &Path) -> &Path {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    above.unwrap_or_else(|| Path::new("."))
}

/// Writes them, and says where to. A folder that an operator names is made where it is not there.
/// One that cannot be written takes the others back, and the folder.
///
/// # Errors
/// In words: a file of that name is there, or cannot be written.
pub(super) fn write_new(
    folder: &Path,
    files: &[DraftFile],
    may_make: bool,
) -> Result<Vec<PathBuf>, String> {
    let is_there = |file: &&DraftFile| folder.join(&file.name).symlink_metadata().is_ok();
    if let Some(file) = files.iter().find(is_there) {
        return Err(told(&folder.join(&file.name), &io::ErrorKind::AlreadyExists.into()));
    }
    let is_made = may_make && !folder.exists();
    if is_made {
        fs::create_dir(folder).map_err(|error| told(folder, &error))?;
    }
    let written = write_all(folder, files);
    if written.is_err() && is_made {
        // Empty again, or not this command's.
        drop(fs::remove_dir(folder));
    }
    written
}

fn write_all(folder: &Path, files: &[DraftFile]) -> Result<Vec<PathBuf>, String> {
    let mut written = Vec::new();
    for DraftFile { name, text } in files {
        let path = folder.join(name);
        match write(&path, text) {
            Ok(()) => written.push(path),
            Err(error) => {
                // Those alone that this run made.
                written.iter().for_each(|path| drop(fs::remove_file(path)));
                return Err(told(&path, &error));
            }
        }
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| told(folder, &error))?;
    Ok(written)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if done.is_err() {
        drop(fs::remove_file(path));
    }
    done
}

fn told(path: &Path, error: &io::Error) -> String {
    let shown = shown(path);
    if error.kind() == io::ErrorKind::AlreadyExists {
        return format!(
            "{shown} is there already, and nothing was written: name another folder with --out"
        );
    }
    format!("{shown}: {}; nothing was written", Words(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::screen::Exit;

    fn draft(name: &str) -> DraftFile {
        DraftFile { name: name.to_owned(), text: "new\n".to_owned() }
    }

    #[test]
    fn nothing_is_written_over_and_all_is_written_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.yaml"), "mine\n").unwrap();
        let why = write_new(folder.path(), &[draft("a.yaml"), draft("b.yaml")], true).unwrap_err();
        assert!(why.contains("b.yaml is there already"), "{why}");
        assert_eq!(fs::read_to_string(folder.path().join("b.yaml")).unwrap(), "mine\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        std::os::unix::fs::symlink("nowhere", folder.path().join("c.yaml")).unwrap();
        let link = write_new(folder.path(), &[draft("c.yaml")], true);
        assert!(link.is_err(), "a link is not followed");
        assert_eq!(write_new(folder.path(), &[draft("a.yaml")], true).unwrap().len(), 1);
    }

    #[test]
    fn a_folder_is_made_where_an_operator_names_it_and_goes_with_what_was_not_written() {
        let base = tempfile::tempdir().unwrap();
        let new = base.path().join("drafts");
        can_write(&new).unwrap();
        assert!(!new.exists(), "looking makes nothing");
        assert!(write_new(&new, &[draft("a.yaml")], false).is_err());
        assert!(write_new(&new, &[draft("a.yaml"), draft("no/b.yaml")], true).is_err());
        assert!(!new.exists(), "nothing is left of it");
        assert_eq!(write_new(&new, &[draft("a.yaml")], true).unwrap().len(), 1);
        can_write(&new).unwrap();
        assert_eq!(can_write(&new.join("a.yaml")).unwrap_err().exit(), Exit::Faulty);
        assert_eq!(can_write(&base.path().join("no/where")).unwrap_err().exit(), Exit::NoInput);
    }
}
