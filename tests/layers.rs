//! The import direction of the crate, as a test: a room may name only the rooms listed for it, and
//! a pure room only the outside crates of the allow-list and the parts of `std` that touch nothing.
//!
//! It reads the syntax of every file under `src/` (`support/source.rs`), and leaves out what is
//! compiled for tests alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails loudly"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "support/source.rs"]
mod source;

use source::{Paths, is_test, paths_of, rust_files};

/// Whether a room may touch the world.
#[derive(PartialEq)]
enum Kind {
    /// Parsing and judging: no files, sockets, clocks, environment, threads.
    Pure,
    /// An edge, or above the edges.
    World,
}
use Kind::{Pure, World};

/// (room, what it may import, kind). Read top to bottom: arrows point up.
const ROOMS: &[(&str, &[&str], Kind)] = &[
    ("image", &[], Pure),
    ("verify", &["image"], Pure),
    ("evidence", &["image", "verify"], Pure),
    ("policy", &["evidence", "image", "verify"], Pure),
    ("import", &["image", "policy", "verify"], Pure),
    ("cache", &[], Pure),
    ("tlog", &[], Pure),
    ("aside", &["budget"], World),
    ("budget", &["clock", "share"], World),
    ("clock", &[], World),
    ("errno", &[], Pure),
    ("file_trust", &["errno"], World),
    ("proto", &[], World),
    ("share", &["clock"], World),
    ("floor", &["file_trust"], World),
    // The edges never import each other.
    ("registry", &["aside", "budget", "clock", "errno", "image", "file_trust", "share"], World),
    ("fetched_list", &["errno", "evidence", "file_trust", "image", "policy", "verify"], World),
    ("loader", &["errno", "fetched_list", "file_trust", "image", "policy", "verify"], World),
    ("audit", &["clock", "errno", "evidence", "file_trust", "tlog"], World),
    ("containerd", &["aside", "errno", "evidence", "image", "proto"], World),
    ("evidence_store", &["clock", "errno", "evidence", "image", "file_trust"], World),
    ("systemd", &["errno"], World),
    ("tuf", &["errno", "file_trust"], World),
    ("node", &["errno", "file_trust"], World),
    ("kubelet", &["node"], World),
    ("canary", &["evidence", "image", "policy", "proto", "verify"], World),
    ("metrics", &[], World),
    ("nri", &["proto"], World),
    ("otlp", &["audit", "file_trust", "proto"], World),
    ("host_paths", &["image", "policy"], World),
    (
        "sources",
        &[
            "aside",
            "budget",
            "cache",
            "clock",
            "evidence",
            "evidence_store",
            "image",
            "policy",
            "registry",
            "share",
            "verify",
        ],
        World,
    ),
    (
        "deny_fetch",
        &[
            "aside",
            "clock",
            "evidence",
            "fetched_list",
            "image",
            "loader",
            "policy",
            "registry",
            "sources",
            "verify",
        ],
        World,
    ),
    (
        "decision",
        &[
            "aside",
            "cache",
            "clock",
            "containerd",
            "evidence",
            "evidence_store",
            "floor",
            "image",
            "policy",
            "registry",
            "share",
            "sources",
            "verify",
        ],
        World,
    ),
    ("proxy", &["aside", "clock", "errno", "proto"], World),
    (
        "cri",
        &[
            "aside",
            "audit",
            "cache",
            "clock",
            "containerd",
            "decision",
            "evidence",
            "evidence_store",
            "file_trust",
            "floor",
            "host_paths",
            "image",
            "policy",
            "proto",
            "proxy",
            "registry",
            "share",
            "sources",
        ],
        World,
    ),
    ("control", &["cri", "errno", "proxy"], World),
    (
        "config",
        &[
            "audit",
            "canary",
            "control",
            "errno",
            "floor",
            "cri",
            "host_paths",
            "metrics",
            "nri",
            "otlp",
            "file_trust",
            "proxy",
            "registry",
            "containerd",
            "evidence_store",
            "loader",
        ],
        World,
    ),
    (
        "daemon",
        &[
            "aside",
            "audit",
            "canary",
            "clock",
            "config",
            "control",
            "floor",
            "cri",
            "host_paths",
            "image",
            "kubelet",
            "metrics",
            "nri",
            "policy",
            "proxy",
            "registry",
            "containerd",
            "deny_fetch",
            "evidence_store",
            "fetched_list",
            "systemd",
            "loader",
        ],
        World,
    ),
    (
        "doctor",
        &[
            "config",
            "containerd",
            "control",
            "evidence",
            "file_trust",
            "image",
            "kubelet",
            "loader",
            "node",
            "policy",
            "registry",
        ],
        World,
    ),
    (
        "cli",
        &[
            "audit",
            "config",
            "control",
            "daemon",
            "decision",
            "doctor",
            "errno",
            "evidence",
            "cri",
            "image",
            "import",
            "kubelet",
            "node",
            "otlp",
            "policy",
            "registry",
            "sources",
            "containerd",
            "evidence_store",
            "loader",
            "tuf",
            "verify",
        ],
        World,
    ),
];

/// A folder of a room, or a file of it that the folders use, and what it may import of that room.
type Part = (&'static str, &'static [&'static str]);

/// (room, its parts). Read top to bottom: a part imports only parts above it. A part `.` stands for
/// the files of the room that no row names, its `mod.rs` among them: these may import every part.
const PARTS: &[(&str, &[Part])] = &[
    (
        "audit",
        &[
            ("record", &[]),
            ("schema", &["record"]),
            ("lines", &[]),
            ("checkpoints", &["lines", "record"]),
            ("read", &[".", "lines", "record"]),
            ("check", &["checkpoints", "lines", "read", "record"]),
            ("policies", &[".", "lines", "read"]),
        ],
    ),
    (
        "cli",
        &[
            ("terminal", &[]),
            ("evidence", &["terminal"]),
            ("node", &["terminal"]),
            ("audit/printed", &["terminal"]),
            ("audit/story", &["terminal"]),
            ("audit", &["audit/printed", "audit/story", "terminal"]),
            ("policy", &["audit", "node", "terminal"]),
            ("trial", &["terminal", "audit", "evidence", "policy"]),
            ("verify", &["terminal", "evidence", "policy"]),
            ("init", &["terminal", "evidence", "trial"]),
            ("deny", &["evidence", "terminal"]),
            ("impact", &["audit", "deny", "evidence", "terminal"]),
        ],
    ),
    (
        "cri",
        &[
            ("made", &[]),
            ("record", &["."]),
            ("restore", &["."]),
            ("sandbox", &["."]),
            ("calls", &[".", "made", "record", "restore", "sandbox"]),
            ("watch", &[".", "made", "record"]),
            ("subjects", &["."]),
        ],
    ),
    (
        "decision",
        &[("cache", &["."]), ("evaluate", &["."]), ("decide", &[".", "cache", "evaluate"])],
    ),
    ("daemon", &[("reload", &["."]), ("status", &["."])]),
    ("evidence_store", &[("layout", &["."])]),
    (
        "import",
        &[
            ("reader", &[]),
            ("connaisseur", &["reader"]),
            ("containers", &["reader"]),
            ("kyverno", &["reader"]),
        ],
    ),
    (
        "policy",
        &[
            ("position", &[]),
            ("sanitize", &[]),
            ("condition", &["position", "sanitize"]),
            ("syntax", &["condition", "position", "sanitize"]),
            ("scope", &["syntax"]),
            ("requirement/keys", &["position", "syntax"]),
            ("requirement", &["condition", "position", "sanitize", "syntax"]),
            ("document", &["position", "requirement", "sanitize", "scope", "syntax"]),
            ("deny_file", &["document", "position", "syntax"]),
            ("schema", &["document", "requirement", "syntax"]),
            ("set", &["document", "requirement", "sanitize", "scope", "syntax"]),
            ("lint", &["document", "position", "requirement", "scope", "set", "syntax"]),
            ("evaluate/judge", &["requirement", "set"]),
            ("evaluate", &["condition", "document", "requirement", "sanitize", "set"]),
            (
                "explain",
                &["condition", "document", "evaluate", "requirement", "sanitize", "scope", "set"],
            ),
        ],
    ),
    ("proxy", &[("connection", &[]), ("grpc", &[]), ("methods", &["."]), ("wire", &["."])]),
    (
        "registry",
        &[
            ("hosts", &["."]),
            ("http", &[".", "hosts"]),
            ("credentials", &[".", "hosts", "http"]),
            ("session", &[".", "credentials", "hosts", "http"]),
            ("api", &[".", "credentials", "hosts", "http", "session"]),
        ],
    ),
    ("sources", &[("search", &[])]),
    (
        "verify",
        &[
            ("primitives", &[]),
            ("signature", &["primitives"]),
            ("pki", &["primitives"]),
            ("sigstore", &["primitives", "signature"]),
            ("cosign", &["primitives", "signature"]),
        ],
    ),
];

/// Outside crates that pure rooms may name: data structures, formats, hashing and signatures.
const PURE_CRATES: &[&str] = &[
    "aws_lc_rs",
    "base64",
    "bytes",
    "cel",
    "cms",
    "ed25519_dalek",
    "hex",
    "jiff",
    "lru",
    "regex",
    "regex_syntax",
    "rustls_pki_types",
    "serde",
    "serde_json",
    "serde_saphyr",
    "sha2",
    "sigstore_crypto",
    "sigstore_merkle",
    "sigstore_trust_root",
    "sigstore_tsa",
    "sigstore_types",
    "sigstore_verify",
    "webpki",
    "x509_cert",
];

/// Parts of `std` that touch the world or a clock.
const IMPURE_STD: &[&str] = &[
    "std::fs",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
];

#[test]
fn imports_point_one_way() {
    let outside = dependencies();
    let mut faults = Vec::new();
    for (room, may, kind) in ROOMS {
        for file in files_of(room) {
            let name = file.display();
            for path in paths_of(&file) {
                let path = path.as_str();
                if let Some(to) =
                    path.strip_prefix("crate::").and_then(|rest| rest.split("::").next())
                    && to != *room
                    && is_room(to)
                    && !may.contains(&to)
                {
                    faults.push(format!("{name}: {room} may not import {to}"));
                }
                let first = path.split("::").next().unwrap();
                if *kind == Pure && outside.contains(first) && !PURE_CRATES.contains(&first) {
                    faults.push(format!("{name}: {room} is pure but names the crate {first}"));
                }
                let impure =
                    |part: &&&str| path == **part || path.starts_with(&format!("{part}::"));
                if *kind == Pure && IMPURE_STD.iter().any(|part| impure(&part)) {
                    faults.push(format!("{name}: {room} is pure but names {path}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_room_is_listed() {
    let listed: BTreeSet<String> = ROOMS.iter().map(|(room, ..)| (*room).to_owned()).collect();
    let found: BTreeSet<String> = fs::read_dir("src")
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "lib" && name != "main")
        .collect();
    assert_eq!(listed, found);
}

#[test]
fn imports_within_a_room_point_one_way() {
    let mut faults = Vec::new();
    for (room, parts) in PARTS {
        let part_of = |name: &str| {
            parts.iter().map(|(part, _)| *part).find(|part| *part == name).unwrap_or(".")
        };
        for file in files_of(room) {
            // `src/room.rs` is a file of the room itself.
            let inside = file.strip_prefix(Path::new("src").join(room)).unwrap_or(&file);
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
            let from = part_of(first.trim_end_matches(".rs"));
            for path in paths_of(&file) {
                let Some(rest) = path.strip_prefix(&format!("crate::{room}::")) else { continue };
                let to = part_of(rest.split("::").next().unwrap());
                let may = parts.iter().find(|(part, _)| *part == from).map(|(_, may)| *may);
                if from != to && may.is_some_and(|may| !may.contains(&to)) {
                    faults.push(format!(
                        "{}: {room}/{from} may not import {room}/{to}",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_parts_of_a_room_stand_in_order() {
    for (room, parts) in PARTS {
        for (number, (part, may)) in parts.iter().enumerate() {
            let above: Vec<&str> = parts[..number].iter().map(|(part, _)| *part).collect();
            for other in may.iter().filter(|other| **other != ".") {
                assert!(
                    above.contains(other),
                    "{room}/{part} imports {room}/{other}, which is not above it"
                );
            }
        }
    }
}

#[test]
fn every_folder_of_a_room_is_listed() {
    let listed: BTreeSet<PathBuf> = PARTS
        .iter()
        .flat_map(|(room, parts)| {
            parts.iter().map(move |(part, _)| Path::new("src").join(room).join(part))
        })
        .collect();
    for (room, ..) in ROOMS {
        for file in files_of(room) {
            let folder = file.parent().unwrap();
            let is_inner = folder.components().count() > 2;
            assert!(!is_inner || listed.contains(folder), "{} has no row", folder.display());
        }
    }
    for part in &listed {
        let single = part.with_extension("rs");
        assert!(part.is_dir() || single.is_file(), "{} is listed and is not there", part.display());
    }
}

#[test]
fn only_policy_makes_a_permit_and_only_the_daemon_reads_the_clock() {
    for file in rust_files(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let name = file.display().to_string();
        if !name.starts_with("src/policy/") {
            let is_whole =
                |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let makes = code.match_indices("Permit::new(").any(|(at, _)| is_whole(at));
            assert!(!makes, "{name} makes a Permit");
        }
        // An answer needs the record of its decision: `RecordedAnswer` alone makes one.
        if name.starts_with("src/cri/") && name != "src/cri/record/answer.rs" {
            let answers = ["Answer::Reply", "Answer::Status", "Answer::status"]
                .iter()
                .any(|made| code.contains(made));
            assert!(!answers, "{name} makes an Answer");
        }
        let reads = code.contains("SystemTime::now") || code.contains("Instant::now");
        assert!(!reads || name == "src/daemon.rs" || is_test(&file), "{name} reads the clock");
    }
}

#[test]
fn every_file_opens_with_what_it_is() {
    for file in rust_files(Path::new("src")).into_iter().chain(rust_files(Path::new("tests"))) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not open with //!", file.display());
    }
}

/// The checker itself: what it must see through.
#[test]
fn the_checker_resolves_what_imports_hide_behind() {
    let seen = |text: &str| {
        Paths::of(vec!["policy".into(), "judge".into()], &syn::parse_file(text).unwrap()).all()
    };
    assert!(seen("use super::super::registry::Session;").contains("crate::registry::Session"));
    assert!(seen("use super::Permit;").contains("crate::policy::Permit"));
    assert!(seen("fn f() { self::g(); crate::cri::h() }").contains("crate::cri::h"));
    assert!(
        seen("use crate::{image::Digest, cri::{self, Refusal as R}};")
            .contains("crate::cri::Refusal")
    );
    assert!(seen("fn f() { assert!(crate::containerd::x()) }").contains("crate::containerd::x"));
    assert!(
        seen("fn f() { assert!(a, super::super::containerd::x()) }")
            .contains("crate::containerd::x")
    );
    assert!(seen("use std::{fmt, fs::File};").contains("std::fs::File"));
    assert!(!seen("#[cfg(test)] mod tests { use crate::cri::Gate; }").contains("crate::cri::Gate"));
}

fn is_room(name: &str) -> bool {
    ROOMS.iter().any(|(room, ..)| *room == name)
}

/// The names of all dependencies, as code spells them.
fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let tables =
        ["dependencies", "dev-dependencies"].map(|name| manifest[name].as_table().unwrap().clone());
    tables
        .into_iter()
        .flat_map(|table| table.into_iter().map(|(name, _)| name.replace('-', "_")))
        .collect()
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let folder = Path::new("src").join(room);
    let single = folder.with_extension("rs");
    let mut files = rust_files(&folder);
    files.extend(single.is_file().then_some(single));
    assert!(!files.is_empty(), "{room} has no file");
    files.into_iter().filter(|file| !is_test(file)).collect()
}
