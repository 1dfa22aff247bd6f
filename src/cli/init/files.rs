//! [`write_new`]: drafts into a folder, each a file that was not there, or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::draft::DraftFile;
use crate::errno::Words;

/// Who may read what is written: policies are no secret.
const MODE: u32 = 0o644;

/// Writes them, and says where to. One that cannot be written takes the others back.
///
/// # Errors
/// In words: a file of that name is there, or cannot be written.
pub(super) fn write_new(folder: &Path, files: &[DraftFile]) -> Result<Vec<PathBuf>, String> {
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
    let shown = path.display();
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

    fn draft(name: &str) -> DraftFile {
        DraftFile { name: name.to_owned(), text: "new\n".to_owned() }
    }

    #[test]
    fn nothing_is_written_over_and_all_is_written_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.yaml"), "mine\n").unwrap();
        let why = write_new(folder.path(), &[draft("a.yaml"), draft("b.yaml")]).unwrap_err();
        assert!(why.contains("b.yaml is there already"), "{why}");
        assert_eq!(fs::read_to_string(folder.path().join("b.yaml")).unwrap(), "mine\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        std::os::unix::fs::symlink("nowhere", folder.path().join("c.yaml")).unwrap();
        assert!(write_new(folder.path(), &[draft("c.yaml")]).is_err(), "a link is not followed");
        assert_eq!(write_new(folder.path(), &[draft("a.yaml")]).unwrap().len(), 1);
    }
}
