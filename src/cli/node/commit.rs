//! [`commit`]: which commit a checkout is at, read from git's own files. `build.rs` includes this file;
//! the crate itself does not. No program is run, so that a machine without git builds the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a commit's name (SHA-1, SHA-256).
const DIGITS: [usize; 2] = [40, 64];

/// The commit that is checked out below `root`, and the files that said so; none where that is no
/// checkout, as in a tarball.
pub(crate) fn commit(root: &Path) -> Option<(String, Vec<PathBuf>)> {
    let folder = git_folder(&root.join(".git"))?;
    let mut read = vec![folder.join("HEAD")];
    let head = fs::read_to_string(folder.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else {
        return Some((digits(head.trim())?, read));
    };
    // A worktree has its own HEAD, and its branches where the others have theirs.
    let common = match fs::read_to_string(folder.join("commondir")) {
        Ok(common) => folder.join(common.trim()),
        Err(_) => folder,
    };
    let (loose, packed) = (common.join(reference), common.join("packed-refs"));
    read.extend([loose.clone(), packed.clone()].into_iter().filter(|file| file.exists()));
    let found = match fs::read_to_string(loose) {
        Ok(text) => digits(text.trim()),
        Err(_) => fs::read_to_string(packed).ok()?.lines().find_map(|line| {
            let (commit, name) = line.split_once(' ')?;
            (name == reference).then(|| digits(commit))?
        }),
    };
    Some((found?, read))
}

/// The folder itself, or the one that the file of a worktree names.
fn git_folder(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let text = fs::read_to_string(git).ok()?;
    let named = text.trim().strip_prefix("gitdir: ")?;
    Some(git.parent()?.join(named))
}

fn digits(text: &str) -> Option<String> {
    let is_one = DIGITS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_one.then(|| text.to_owned())
}
