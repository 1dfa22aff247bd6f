//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` is needed.
//!
//! Clients and servers are generated: the gate is a client of containerd, its tests also stand in
//! for it. What `sealgate version` says of commit and compiler is told from here, too.

#[path = "src/cli/node/commit.rs"]
mod commit;

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::Command;

/// The folder of our protocol files.
const FOLDER: &str = "proto";

/// Every protocol file, each with a package of its own.
const FILES: [&str; 13] = [
    "cri.proto",
    "asked.proto",
    "nri.proto",
    "wellknown.proto",
    "otlp_logs.proto",
    "containerd_types.proto",
    "containerd_images.proto",
    "containerd_content.proto",
    "containerd_containers.proto",
    "containerd_snapshots.proto",
    "containerd_namespaces.proto",
    "containerd_events.proto",
    "containerd_event_types.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={FOLDER}");
    tell_version();
    let descriptors = protox::compile(FILES, [FOLDER])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        // Maps in key order: the same message is always the same bytes.
        .btree_map(".")
        // Content is read in large pieces: share them rather than copy.
        .bytes(".containerd.services.content.v1")
        // Holds secrets: `src/proto.rs` prints it without them.
        .skip_debug([".runtime.v1.AuthConfig"])
        .include_file("protocols.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Says of which commit this is and which compiler makes it. `SEALGATE_COMMIT` is for who builds from
/// a tarball. Only a release build looks at the checkout: otherwise each commit would build everything
/// anew.
fn tell_version() {
    println!("cargo:rerun-if-env-changed=SEALGATE_COMMIT");
    println!("cargo:rerun-if-changed=src/cli/node/commit.rs");
    let is_release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    let looked = || commit::commit(Path::new(".")).filter(|_| is_release);
    let commit = env::var_os("SEALGATE_COMMIT").and_then(|commit| commit.into_string().ok());
    let commit = commit.filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| {
        let (commit, files) = looked()?;
        for file in files {
            println!("cargo:rerun-if-changed={}", file.display());
        }
        Some(commit)
    });
    println!("cargo:rustc-env=SEALGATE_COMMIT={}", commit.unwrap_or_default());
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let version = version.ok().and_then(|said| String::from_utf8(said.stdout).ok());
    println!("cargo:rustc-env=SEALGATE_RUSTC={}", version.unwrap_or_default().trim());
}
