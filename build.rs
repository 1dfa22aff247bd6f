//! Compiles `proto/` with a protobuf compiler written in Rust, so that no `protoc` is needed.
//!
//! Clients and servers are generated: the gate is a client of containerd, its tests also stand in
//! for it.

use std::error::Error;

/// The folder of our protocol files.
const FOLDER: &str = "proto";

/// Every protocol file, each with a package of its own.
const FILES: [&str; 12] = [
    "cri.proto",
    "asked.proto",
    "nri.proto",
    "wellknown.proto",
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
