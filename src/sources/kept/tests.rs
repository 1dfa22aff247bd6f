//! Evidence to disk and back, and entries that say what is not so.

use super::*;
use crate::evidence::{Content, Format};
use crate::image::Reference;

const ALL: Plan =
    Plan { signatures: true, certificates: true, attestations: true, names_tag: false };
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Bytes by digest, as a store has them.
#[derive(Default)]
struct Files(BTreeMap<Digest, Bytes>, BTreeSet<Digest>);

impl Files {
    fn put(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.0.insert(digest.clone(), Bytes::copy_from_slice(bytes));
        self.1.insert(digest.clone());
        digest
    }

    fn kept(&self, entry: &Entry, plan: Plan) -> Evidence {
        let within =
            |bytes: &&Bytes, limit| u64::try_from(bytes.len()).is_ok_and(|size| size <= limit);
        let read = |digest: &Digest, limit| {
            Ok(self.0.get(digest).filter(|bytes| within(bytes, limit)).cloned())
        };
        let blobs = self.1.clone();
        read_kept(&read, &Entry { blobs, ..entry.clone() }, plan, Sizes::All).0
    }

    /// A manifest with these layers: media type, bytes, size as it says.
    fn manifest(&mut self, layers: &[(&str, &[u8], usize)]) -> Digest {
        let layers: Vec<String> = layers
            .iter()
            .map(|(kind, bytes, size)| {
                let digest = self.put(bytes);
                format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size},"annotations":{{"a":"b"}}}}"#)
            })
            .collect();
        let (config, layers) = (Digest::of(b"{}"), layers.join(","));
        self.put(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{layers}]}}"#
            )
            .as_bytes(),
        )
    }
}

fn entry(source: Source, manifests: Vec<Digest>) -> Entry {
    let repository = Reference::parse("reg.example/app:1").unwrap().runtime_repository().clone();
    let place = Place { repository, subject: Digest::of(b"image"), source };
    let (fetched, blobs, targets) = (Timestamp::UNIX_EPOCH, BTreeSet::new(), BTreeSet::new());
    Entry { place, fetched, manifests, blobs, targets, names: Vec::new() }
}

fn outcomes(evidence: &Evidence) -> Vec<&Outcome> {
    evidence.looked.iter().map(|(_, outcome)| outcome).collect()
}

#[test]
fn a_missing_signature_leaves_the_others_and_is_said() {
    let mut files = Files::default();
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    let manifest =
        files.manifest(&[(kind, b"one", 3), (kind, b"two", 3), ("text/plain", b"else", 4)]);
    let entry = entry(Source::SignatureTag, vec![manifest.clone()]);
    let whole = files.kept(&entry, ALL);
    assert_eq!(outcomes(&whole), [&Outcome::Found(2)]);
    assert_eq!(whole.carriers.len(), 1);
    files.0.remove(&Digest::of(b"one"));
    let part = files.kept(&entry, ALL);
    assert!(
        matches!(outcomes(&part).as_slice(), [Outcome::Unable(_), Outcome::Found(1)]),
        "{:?}",
        part.looked
    );
    assert_eq!(part.items[0].digest, Digest::of(b"two"));
    files.0.remove(&manifest);
    let none = files.kept(&entry, ALL);
    assert!(
        matches!(outcomes(&none).as_slice(), [Outcome::Unable(_), Outcome::Unable(_)]),
        "{:?}",
        none.looked
    );
}

/// Of a manifest with many layers those that helped are kept: what is not is not missing, and
/// not absent either.
#[test]
fn what_did_not_help_is_not_missed() {
    let mut files = Files::default();
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    let manifest = files.manifest(&[(kind, b"one", 3), (kind, b"two", 3), (kind, b"six", 3)]);
    files.1 = BTreeSet::from([Digest::of(b"two")]);
    let found = files.kept(&entry(Source::SignatureTag, vec![manifest]), ALL);
    assert!(
        matches!(outcomes(&found).as_slice(), [Outcome::Unable(_), Outcome::Found(1)]),
        "{:?}",
        found.looked
    );
    assert_eq!(found.items[0].digest, Digest::of(b"two"));
}

/// What is on the node's disk is never proof that there is nothing.
#[test]
fn a_place_on_disk_is_never_absent() {
    let mut files = Files::default();
    let junk = files.put(b"junk");
    let bare = files.manifest(&[("text/plain", b"else", 4)]);
    for source in
        [Source::Referrers, Source::FallbackTag, Source::SignatureTag, Source::AttestationTag]
    {
        for manifests in [
            vec![],
            vec![junk.clone()],
            vec![bare.clone()],
            vec![Digest::of(b"gone"), bare.clone()],
        ] {
            let found = files.kept(&entry(source, manifests.clone()), ALL);
            assert!(found.items.is_empty() && found.carriers.is_empty());
            assert!(!found.looked.is_empty());
            let unable = |outcome: &&Outcome| matches!(outcome, Outcome::Unable(_));
            assert!(
                outcomes(&found).iter().all(unable),
                "{source:?} {manifests:?} {:?}",
                found.looked
            );
        }
    }
}

/// Attack D1: the bounds are those of what a registry gives.
#[test]
fn attack_d1_what_is_on_disk_has_the_same_bounds() {
    let mut files = Files::default();
    let bundles: Vec<Digest> = (0..=MANIFESTS_MAX)
        .map(|number| {
            let bundle = format!("{{\"bundle\": {number}}}");
            files.manifest(&[(BUNDLE, bundle.as_bytes(), bundle.len())])
        })
        .collect();
    assert_eq!(files.kept(&entry(Source::Referrers, bundles), ALL).items.len(), MANIFESTS_MAX);
    let large: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 2 << 20]).collect();
    let large = large.iter().map(|bytes| files.manifest(&[(BUNDLE, bytes, bytes.len())])).collect();
    let entry = entry(Source::Referrers, large);
    assert_eq!(files.kept(&entry, ALL).items.len(), 3, "6 MiB of large ones");
    assert_eq!(files.kept(&entry, Plan { attestations: false, ..ALL }).items.len(), 0);
}

/// A layer that says of itself that it is shorter than it is was never evidence, and is none on
/// disk.
#[test]
fn a_layer_of_another_size_is_not_read() {
    let mut files = Files::default();
    let manifest = files.manifest(&[(BUNDLE, b"{\"bundle\": 1}", 5)]);
    assert_eq!(files.kept(&entry(Source::Referrers, vec![manifest]), ALL).items.len(), 0);
}

#[test]
fn what_is_kept_is_everything_that_was_found_and_each_piece_once() {
    let mut files = Files::default();
    let bundle = files.manifest(&[(BUNDLE, b"{\"bundle\": 1}", 13)]);
    let found = files.kept(&entry(Source::Referrers, vec![bundle.clone()]), ALL);
    let subject = Bytes::from_static(b"image");
    let keeps = to_keep(&found, Some(&subject));
    let [keep] = keeps.as_slice() else { panic!("{keeps:?}") };
    assert_eq!(keep.manifests, [bundle]);
    assert_eq!(keep.blobs, BTreeSet::from([Digest::of(b"{\"bundle\": 1}"), Digest::of(b"image")]));
    assert!(keep.contents.iter().all(|(digest, bytes)| Digest::of(bytes) == *digest));
    assert_eq!(keep.contents.len(), 3);
    let other = to_keep(&found, Some(&Bytes::from_static(b"another image")));
    assert_eq!(other[0].contents.len(), 2, "the bytes of another image are not kept beside it");
}

#[test]
fn a_bundle_over_the_images_bytes_takes_them_with_it() {
    let place = entry(Source::Referrers, vec![]).place;
    let bundle = Content::new(Format::Bundle, Bytes::from_static(b"bundle"), BTreeMap::new());
    let content = Content { artifact: Some(Bytes::from_static(b"image")), ..bundle };
    let item = Item { place: place.clone(), digest: Digest::of(b"bundle"), content };
    let carrier =
        Carrier { place, digest: Digest::of(b"around"), bytes: Bytes::from_static(b"around") };
    let evidence = Evidence { items: vec![item], carriers: vec![carrier], looked: Vec::new() };
    let keeps = to_keep(&evidence, None);
    assert_eq!(keeps[0].blobs, BTreeSet::from([Digest::of(b"bundle"), Digest::of(b"image")]));
}
