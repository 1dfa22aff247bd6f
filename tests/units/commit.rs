//! Which commit a build is of, as `build.rs` reads it from git's own files.

#[path = "../../src/cli/node/commit.rs"]
mod read;

use std::fs;
use std::path::Path;

const ONE: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "76543210fedcba9876543210fedcba9876543210";

fn put(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn commit(root: &Path) -> Option<String> {
    read::commit(root).map(|(commit, _)| commit)
}

#[test]
fn a_checkout_says_its_commit_and_a_tarball_does_not() {
    let root = tempfile::tempdir().unwrap();
    let (main, tree) = (root.path().join("main"), root.path().join("tree"));
    fs::create_dir_all(&main).unwrap();
    assert_eq!(commit(&main), None, "a tarball");
    put(&main.join(".git/HEAD"), "ref: refs/heads/main\n");
    assert_eq!(commit(&main), None, "a repository without a commit");
    put(&main.join(".git/packed-refs"), &format!("# pack-refs\n{OTHER} refs/heads/main\n"));
    assert_eq!(commit(&main).as_deref(), Some(OTHER));
    put(&main.join(".git/refs/heads/main"), &format!("{ONE}\n"));
    assert_eq!(commit(&main).as_deref(), Some(ONE), "what is loose is newer");
    put(&tree.join(".git"), "gitdir: ../main/.git/worktrees/tree\n");
    put(&main.join(".git/worktrees/tree/HEAD"), "ref: refs/heads/main\n");
    put(&main.join(".git/worktrees/tree/commondir"), "../..\n");
    assert_eq!(commit(&tree).as_deref(), Some(ONE), "a worktree");
    put(&main.join(".git/HEAD"), &format!("{OTHER}\n"));
    assert_eq!(commit(&main).as_deref(), Some(OTHER), "a detached head");
    put(&main.join(".git/HEAD"), "something else\n");
    assert_eq!(commit(&main), None);
}
