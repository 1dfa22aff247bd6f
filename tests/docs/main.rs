//! The documents are true: what they name exists, what they show is read by the program, and what
//! should be in them is.
//!
//! [`names`] and [`metrics`] hold them against the code, [`limits`] writes one of them from it, [`samples`] feeds
//! what they show to the program, [`shape`] looks at lengths and links, [`words`] for what must not
//! be in any committed file. Whether the prose is right is for people.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod limits;
mod lints;
mod metrics;
mod names;
mod samples;
mod shape;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

/// The documents: those at the root of the repository, and all below `docs/`.
fn documents() -> Vec<String> {
    let root = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"];
    let below = files("docs", ".md");
    assert!(below.len() > 10, "{below:?}");
    root.map(str::to_owned).into_iter().chain(below).collect()
}

/// A committed file.
fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder of the repository whose name ends so, as a path from the root.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.to_str().is_some_and(|path| path.ends_with(ending)) {
                found.push(shown(root, &path));
            }
        }
    }
    found.sort();
    found
}

fn shown(root: &Path, path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root).unwrap().into();
    path.to_str().unwrap().to_owned()
}

/// The texts between single backticks, outside of fenced blocks.
fn code_words(document: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in document.split("```").enumerate() {
        if number % 2 == 0 {
            words.extend(part.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

/// The fenced blocks, each with its language.
fn fenced(document: &str) -> Vec<(&str, &str)> {
    let blocks = document.split("```").skip(1).step_by(2);
    blocks.map(|block| block.split_once('\n').expect("a block has a first line")).collect()
}
