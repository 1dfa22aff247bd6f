//! Layouts written, read back, and read from others.

mod attacks;
mod imports;
mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::*;
use crate::evidence::{Place, Source as Way};
use crate::evidence_store::{BLOB_MAX, Entry, Options, Store};
use crate::image::{Digest, Repository};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A folder with a store in it, and room for archives beside it.
struct Home {
    dir: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        Self::bounded(64 << 20)
    }

    fn bounded(max_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("evidence");
        Self { dir, store: Store::open(Options { path, max_bytes, ..Options::default() }).unwrap() }
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("layout.tar");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn import(&self, bytes: &[u8]) -> Result<Imported, LayoutError> {
        import(&self.store, &self.file(bytes), None, time(0))
    }

    fn import_from(&self, bytes: &[u8], repository: &str) -> Imported {
        import(
            &self.store,
            &self.file(bytes),
            Some(&Repository::parse(repository).unwrap()),
            time(0),
        )
        .unwrap()
    }

    fn export(&self, entries: &[Entry], names: &[(String, Digest)]) -> (Vec<u8>, Exported) {
        let mut out = Vec::new();
        let exported =
            export(&self.store, entries, names, &[], (&mut out, &mut |_, _| {})).unwrap();
        (out, exported)
    }

    /// Everything that is in the folder but the store and the archive.
    fn strangers(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path()).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| !path.ends_with("evidence") && !path.ends_with("layout.tar")).collect()
    }

    fn is_whole(&self, entry: &Entry) -> bool {
        entry.contents().all(|digest| self.store.read(digest, BLOB_MAX).unwrap().is_some())
    }
}

fn time(hours: i64) -> Timestamp {
    "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn blob(text: impl Into<String>) -> (Digest, Bytes) {
    let bytes = Bytes::from(text.into());
    (Digest::of(&bytes), bytes)
}

fn descriptor(media_type: &str, (digest, bytes): &(Digest, Bytes)) -> Value {
    json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()})
}

fn annotated(media_type: &str, blob: &(Digest, Bytes), annotations: &[(&str, &str)]) -> Value {
    let mut value = descriptor(media_type, blob);
    value["annotations"] = annotations
        .iter()
        .map(|(key, value)| (*key, *value))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect();
    value
}

/// An image's manifest; its config and layer are nowhere.
fn image(name: &str) -> (Digest, Bytes) {
    let layer = blob(format!("layer of {name}"));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &blob(format!("config of {name}"))),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
    });
    blob(manifest.to_string())
}

/// An index of images.
fn image_index(images: &[&(Digest, Bytes)]) -> (Digest, Bytes) {
    let manifests: Vec<Value> =
        images.iter().map(|image| descriptor(OCI_MANIFEST, image)).collect();
    blob(json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string())
}

/// A manifest with one layer about an image, and the layer.
fn carrier(
    layer_type: &str,
    text: &str,
    subject: Option<&(Digest, Bytes)>,
) -> [(Digest, Bytes); 2] {
    let layer = blob(text);
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": layer_type,
        "config": descriptor("application/vnd.oci.empty.v1+json", &blob("{}")),
        "layers": [descriptor(layer_type, &layer)],
    });
    if let Some(subject) = subject {
        manifest["subject"] = descriptor(OCI_MANIFEST, subject);
    }
    [blob(manifest.to_string()), layer]
}

/// An entry with an image, kept in a store.
fn keep(home: &Home, name: &str, source: Way) -> Entry {
    let image = image(name);
    let parent = image_index(&[&image]);
    let [manifest, layer] = carrier(BUNDLE, &format!("bundle of {name}"), Some(&image));
    let entry = Entry {
        place: Place {
            repository: Repository::parse(&format!("registry.example:5000/{name}")).unwrap(),
            subject: image.0.clone(),
            source,
        },
        fetched: time(-48),
        manifests: vec![manifest.0.clone()],
        blobs: BTreeSet::from([layer.0.clone(), image.0.clone()]),
        targets: BTreeSet::from([parent.0.clone()]),
        names: vec![format!("registry.example:5000/{name}:1")],
    };
    home.store.put(&entry, &[manifest, layer, image]).unwrap();
    entry
}

/// A layout as others would write it.
fn layout(listed: &[Value], blobs: &[&(Digest, Bytes)]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": listed}).to_string();
    let mut members = vec![
        member("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#),
        member("index.json", index.as_bytes()),
    ];
    members.extend(
        blobs
            .iter()
            .map(|(digest, bytes)| member(&format!("blobs/sha256/{}", digest.hex()), bytes)),
    );
    archive(&members)
}

/// A member of an archive, its header as it will stand.
type Member = (Header, Vec<u8>);

fn member(name: &str, bytes: &[u8]) -> Member {
    named(name.as_bytes(), EntryType::Regular, bytes)
}

/// Any name and kind, also those that a decent writer refuses.
fn named(name: &[u8], kind: EntryType, bytes: &[u8]) -> Member {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(u64::try_from(bytes.len()).unwrap());
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.set_cksum();
    (header, bytes.to_vec())
}

fn archive(members: &[Member]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (header, bytes) in members {
        tar.append(header, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The members of an archive, by name.
fn unpacked(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    entries.collect()
}

/// The same layout as a folder.
fn as_folder(bytes: &[u8], folder: &Path) {
    for (name, bytes) in unpacked(bytes) {
        let path = folder.join(name);
        if path.to_string_lossy().ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn what_one_node_exports_another_imports() {
    let (one, other) = (Home::new(), Home::new());
    let sources = [Way::Referrers, Way::FallbackTag, Way::SignatureTag, Way::AttestationTag];
    let entries: Vec<Entry> = sources
        .into_iter()
        .enumerate()
        .map(|(n, source)| keep(&one, &format!("app{n}"), source))
        .collect();
    let names: Vec<_> =
        entries.iter().map(|entry| (entry.names[0].clone(), entry.place.subject.clone())).collect();
    let (bytes, exported) = one.export(&entries, &names);
    assert_eq!(
        (exported.images, exported.carriers, exported.blobs),
        (4, 4, 13),
        "with the empty config"
    );
    assert_eq!(exported.left_out, BTreeSet::new());
    assert_eq!(bytes, one.export(&entries, &names).0, "the same entries make the same file");
    let imported = other.import(&bytes).unwrap();
    assert_eq!((imported.entries.len(), imported.skipped.as_slice()), (4, [].as_slice()));
    for entry in &entries {
        assert_eq!(other.store.entry(&entry.place).unwrap().as_ref(), Some(entry));
        assert!(other.is_whole(entry));
    }
    let again = other.import(&bytes).unwrap();
    assert_eq!(again, imported, "importing twice is as once");
}

#[test]
fn a_folder_is_read_as_an_archive_is() {
    let (one, other) = (Home::new(), Home::new());
    let entry = keep(&one, "app", Way::Referrers);
    let (bytes, _) = one.export(std::slice::from_ref(&entry), &[]);
    let folder = tempfile::tempdir().unwrap();
    as_folder(&bytes, folder.path());
    let imported = import(&other.store, folder.path(), None, time(0)).unwrap();
    assert_eq!(imported.entries, [Entry { names: Vec::new(), ..entry }]);
}

#[test]
fn the_layout_is_one_that_others_read() {
    let home = Home::new();
    let entry = keep(&home, "app", Way::SignatureTag);
    let name = "registry.example:5000/app:1".to_owned();
    let (bytes, _) =
        home.export(std::slice::from_ref(&entry), &[(name.clone(), entry.place.subject.clone())]);
    let files = unpacked(&bytes);
    let read = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    assert_eq!(read("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    let index = read("index.json");
    assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(OCI_INDEX)));
    let [image, carrier] = index["manifests"].as_array().unwrap().as_slice() else {
        panic!("{index}")
    };
    assert_eq!(image["digest"], entry.place.subject.as_str());
    assert_eq!(
        image["annotations"],
        json!({"kind": KIND_IMAGE, "org.opencontainers.image.ref.name": name})
    );
    assert_eq!(
        carrier["annotations"],
        json!({
            "kind": KIND_SIGNATURES,
            "org.opencontainers.image.ref.name": format!("sha256-{}.sig", entry.place.subject.hex()),
            "io.sealgate.evidence.repository": "registry.example:5000/app",
            "io.sealgate.evidence.subject": entry.place.subject.as_str(),
            "io.sealgate.evidence.source": "signature-tag",
            "io.sealgate.evidence.fetched": "2026-02-27T00:00:00Z",
            "io.sealgate.evidence.targets": entry.targets.first().unwrap().as_str(),
        })
    );
    for listed in [image, carrier] {
        let hex = listed["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        assert_eq!(
            files[&format!("blobs/sha256/{hex}")].len(),
            usize::try_from(listed["size"].as_u64().unwrap()).unwrap()
        );
    }
    let empty = format!("blobs/sha256/{}", Digest::of(b"{}").hex());
    assert_eq!(files[&empty], b"{}");
    for (path, bytes) in
        files.iter().filter(|(path, _)| path.starts_with("blobs/sha256/") && path.len() > 13)
    {
        assert_eq!(format!("blobs/sha256/{}", Digest::of(bytes).hex()), *path);
    }
}

#[test]
fn what_the_store_lost_is_left_out_and_told() {
    let (home, other) = (Home::new(), Home::new());
    let (whole, broken) =
        (keep(&home, "whole", Way::Referrers), keep(&home, "broken", Way::Referrers));
    let lost = broken.manifests[0].clone();
    fs::write(home.store.options().path.join("blobs/sha256").join(lost.hex()), "x").unwrap();
    let (bytes, exported) = home.export(&[whole.clone(), broken], &[]);
    assert_eq!((exported.carriers, exported.left_out), (1, BTreeSet::from([lost])));
    let imported = other.import(&bytes).unwrap();
    assert_eq!(
        imported.entries.iter().map(|entry| &entry.place).collect::<Vec<_>>(),
        [&whole.place]
    );
}

#[test]
fn the_callers_manifests_are_in_it_under_all_their_names() {
    let (home, other) = (Home::new(), Home::new());
    let entry = keep(&home, "app", Way::Referrers);
    let parent = image_index(&[&image("app")]);
    assert!(entry.targets.contains(&parent.0));
    let names = ["registry.example:5000/app:1", "registry.example:5000/app:2"]
        .map(|name| (name.to_owned(), parent.0.clone()));
    let mut out = Vec::new();
    let exported = export(
        &home.store,
        std::slice::from_ref(&entry),
        &names,
        std::slice::from_ref(&parent),
        (&mut out, &mut |_, _| {}),
    )
    .unwrap();
    assert_eq!((exported.images, exported.carriers), (2, 1), "the index, and the image in it");
    let imported = other.import(&out).unwrap();
    assert_eq!(
        imported.entries[0].names,
        ["registry.example:5000/app:1", "registry.example:5000/app:2"]
    );
    let wrong = [(parent.0.clone(), Bytes::from_static(b"other"))];
    let refused = export(&home.store, &[entry], &[], &wrong, (&mut Vec::new(), &mut |_, _| {}));
    assert!(matches!(
        refused,
        Err(LayoutError::Store(crate::evidence_store::StoreError::Unfit(_)))
    ));
}

#[test]
fn what_this_node_has_newer_is_not_made_older() {
    let (one, other) = (Home::new(), Home::new());
    let entry = keep(&one, "app", Way::Referrers);
    keep(&other, "app", Way::Referrers);
    let newer = Entry { fetched: time(-1), ..entry.clone() };
    other.store.put(&newer, &[]).unwrap();
    let (bytes, _) = one.export(std::slice::from_ref(&entry), &[]);
    let imported = other.import(&bytes).unwrap();
    assert_eq!(
        (imported.entries.len(), imported.skipped),
        (0, vec![(entry.place.subject.to_string(), Skipped::Older)])
    );
    assert_eq!(other.store.entry(&entry.place).unwrap().unwrap().fetched, time(-1));
    one.store.put(&newer, &[]).unwrap();
    let (bytes, _) = one.export(&[one.store.entry(&entry.place).unwrap().unwrap()], &[]);
    assert_eq!(other.import(&bytes).unwrap().entries.len(), 1);
}

#[test]
fn a_full_output_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let home = Home::new();
    let entry = keep(&home, "app", Way::Referrers);
    let refused = export(&home.store, &[entry], &[], &[], (&mut Full, &mut |_, _| {}));
    assert_eq!(refused, Err(LayoutError::Output(std::io::ErrorKind::StorageFull)));
}
