//! Evidence on disk about many images, each with a signature of its own: [`fill`].
#![allow(unreachable_pub, missing_docs, reason = "each benchmark uses a part")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use sealgate::evidence::{Place, Source};
use sealgate::evidence_store::{Entry, Options, Store};
use sealgate::image::{Digest, Repository};
use serde_json::json;

use crate::signing::{self, Signer};

/// Threads that write it.
const WRITERS: usize = 16;
/// The repository of the images.
pub const REPOSITORY: &str = "registry.example.test/prod/bulk";

/// The digest of an image.
pub fn subject(number: usize) -> Digest {
    Digest::of(format!("image {number}").as_bytes())
}

/// The name by which an image was asked for.
pub fn name(number: usize) -> String {
    format!("{REPOSITORY}:v{number}")
}

/// Writes the evidence about so many images.
pub fn fill(path: &Path, signer: &Signer, images: usize) {
    let options = Options { path: path.to_owned(), ..Options::default() };
    let store = Store::open(options).unwrap();
    // Side by side: each waits for the disk.
    std::thread::scope(|scope| {
        for part in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                (part..images).step_by(WRITERS).for_each(|number| put(store, signer, number))
            });
        }
    });
}

fn put(store: &Store, signer: &Signer, number: usize) {
    let subject = subject(number);
    let payload = Bytes::from(signing::payload(subject.as_str(), REPOSITORY));
    let layer = json!({"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": Digest::of(&payload).to_string(), "size": payload.len(),
            "annotations": signer.annotations(&payload)});
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
                "digest": Digest::of(b"{}").to_string()}, "layers": [layer]});
    let manifest = Bytes::from(serde_json::to_vec(&manifest).unwrap());
    let repository = Repository::parse(REPOSITORY).unwrap();
    let entry = Entry {
        place: Place { repository, subject: subject.clone(), source: Source::SignatureTag },
        fetched: jiff::Timestamp::now(),
        manifests: vec![Digest::of(&manifest)],
        blobs: BTreeSet::from([Digest::of(&payload)]),
        targets: BTreeSet::from([subject]),
        names: vec![name(number)],
    };
    store
        .put(&entry, &[(Digest::of(&manifest), manifest), (Digest::of(&payload), payload)])
        .unwrap();
}
