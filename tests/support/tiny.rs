//! [`Tiny`]: the smallest images that really run, made in the test from a static busybox and a few
//! files.

#![allow(dead_code, reason = "shared by several test binaries, each uses a part")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test support fails loudly"
)]
#![allow(unreachable_pub, reason = "pub marks what tests use; a test binary has no outside")]

use std::fs;

use sealgate::image::Digest;
use serde_json::json;

/// Media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image with one layer per call of [`Tiny::on`], the lowest first.
#[derive(Debug, Clone)]
pub struct Tiny {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The layers' bytes, uncompressed.
    pub layers: Vec<Vec<u8>>,
    command: Vec<String>,
}

impl Tiny {
    /// busybox, and `/words` with these words in it, which it prints when it runs.
    pub fn saying(words: &str) -> Self {
        Self::new(
            &[busybox(), tar(&[("words", format!("{words}\n").as_bytes(), 0o644)])],
            &["/bin/busybox", "cat", "/words"],
        )
    }

    /// busybox that sleeps, for a pod's sandbox.
    pub fn pause() -> Self {
        Self::new(&[busybox()], &["/bin/busybox", "sleep", "1000000"])
    }

    /// Files alone, for an image volume.
    pub fn files(files: &[(&str, &[u8], u32)]) -> Self {
        Self::new(&[tar(files)], &[])
    }

    /// This image with one more layer on top.
    pub fn on(&self, files: &[(&str, &[u8], u32)]) -> Self {
        let mut layers = self.layers.clone();
        layers.push(tar(files));
        let command: Vec<&str> = self.command.iter().map(String::as_str).collect();
        Self::new(&layers, &command)
    }

    /// An image of these layers.
    pub fn new(layers: &[Vec<u8>], command: &[&str]) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Entrypoint": command},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).expect("JSON");
        let layer = |bytes: &Vec<u8>| descriptor("application/vnd.oci.image.layer.v1.tar", bytes);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        });
        let manifest = serde_json::to_vec(&manifest).expect("JSON");
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Self { manifest, config, layers: layers.to_vec(), command }
    }

    /// The manifest's digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// The image's id: its config's digest.
    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    /// An index that has this image for the node's platform, and an absent one for another.
    pub fn index(&self) -> Vec<u8> {
        let other = if architecture() == "s390x" { "ppc64le" } else { "s390x" };
        let mut here = descriptor(MANIFEST, &self.manifest);
        here["platform"] = json!({"os": "linux", "architecture": architecture()});
        let mut there = descriptor(MANIFEST, b"never pushed");
        there["platform"] = json!({"os": "linux", "architecture": other});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [there, here]});
        serde_json::to_vec(&index).expect("JSON")
    }

    /// An OCI layout as a tar archive for `ctr image import`, with these names.
    pub fn archive(&self, names: &[&str]) -> Vec<u8> {
        let entry = |name: &&str| {
            let mut entry = descriptor(MANIFEST, &self.manifest);
            entry["annotations"] = json!({"io.containerd.image.name": name});
            entry
        };
        let index =
            json!({"schemaVersion": 2, "manifests": names.iter().map(entry).collect::<Vec<_>>()});
        let index = serde_json::to_vec(&index).expect("JSON");
        let mut files: Vec<(String, &[u8])> = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
            ("index.json".to_owned(), &index),
        ];
        for blob in [&self.manifest, &self.config].into_iter().chain(&self.layers) {
            files.push((format!("blobs/sha256/{}", Digest::of(blob).hex()), blob));
        }
        let files: Vec<_> =
            files.iter().map(|(name, bytes)| (name.as_str(), *bytes, 0o644)).collect();
        tar(&files)
    }
}

/// The architecture of this machine as images spell it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// A layer with a static busybox in it.
fn busybox() -> Vec<u8> {
    // `make deps` unpacks it where the machine has another busybox, which is not static as a rule.
    let unpacked = ["bin", "usr/bin"]
        .map(|folder| format!("{}/target/deps/{folder}/busybox", env!("CARGO_MANIFEST_DIR")));
    let unpacked = unpacked.into_iter().find_map(|path| fs::read(path).ok());
    let busybox = unpacked.or_else(|| fs::read("/bin/busybox").ok());
    let busybox = busybox.expect("/bin/busybox (Debian: busybox-static; `make deps` installs it)");
    tar(&[("bin/busybox", &busybox, 0o755)])
}

/// A tar archive (POSIX ustar) of these files; folders are implied.
pub fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes, mode) in files {
        let mut header = [0_u8; 512];
        let mut field =
            |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        field(0, name);
        field(100, &format!("{mode:07o}\0"));
        field(108, "0000000\0");
        field(116, "0000000\0");
        field(124, &format!("{:011o}\0", bytes.len()));
        field(136, "00000000000\0");
        field(148, "        ");
        field(156, "0");
        field(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().div_ceil(512) * 512, 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
