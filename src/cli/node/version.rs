//! `sealgate version`: which version this is, of which commit, and made by which compiler.

use serde::Serialize;

use crate::cli::terminal::screen::{Exit, Screen};

/// The version.
#[derive(Serialize)]
struct Version {
    version: &'static str,
    /// None where it was not made from a checkout, and in a debug build.
    commit: Option<&'static str>,
    rustc: Option<&'static str>,
    debug: bool,
}

/// Prints it.
pub(in crate::cli) fn run(screen: &mut Screen) -> Exit {
    let known = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        commit: known(env!("SEALGATE_COMMIT")),
        rustc: known(env!("SEALGATE_RUSTC")),
        debug: cfg!(debug_assertions),
    };
    if screen.is_json() {
        screen.json(&version);
        return Exit::Done;
    }
    let debug = if version.debug { ", debug build" } else { "" };
    screen.line(&format!("sealgate {}{debug}", version.version));
    screen.line(&match version.commit {
        Some(commit) => format!("commit {commit}"),
        None => "unknown commit".to_owned(),
    });
    screen.line(version.rustc.unwrap_or("unknown compiler"));
    Exit::Done
}
