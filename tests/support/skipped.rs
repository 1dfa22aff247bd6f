//! [`skipped`]: how a test says that it did not run, because the machine lacks what it needs. It
//! passes, and the last line of `make test` names it (`tests/skipped.sh`).
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]
#![allow(clippy::print_stdout, reason = "a test that cannot run must say so")]

use std::fs::{OpenOptions, create_dir_all};
use std::io::Write;
use std::path::Path;

/// The folder in which the file `skipped` has one line for each test that did not run: name and
/// reason. `make test` takes it away before it begins.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tmp");

/// Says that the test that calls this does not run, and why: what the machine lacks.
///
/// # Panics
/// When that cannot be written down: it would be a skip in silence.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    // A test runs in a thread of its name, a scenario in a process whose last argument is its name.
    let name = match thread.name().filter(|name| *name != "main") {
        Some(name) => name.to_owned(),
        None => std::env::args().next_back().unwrap_or_default(),
    };
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("{}::{name}: {why}\n", env!("CARGO_CRATE_NAME"));
    print!("SKIPPED {line}");
    let written = create_dir_all(FOLDER).and_then(|()| {
        let path = Path::new(FOLDER).join("skipped");
        OpenOptions::new().append(true).create(true).open(path)?.write_all(line.as_bytes())
    });
    assert!(written.is_ok(), "{FOLDER}/skipped cannot be written: {written:?}");
}
