//! Manifests and indexes that one party reads in one way and another in another (attacks A4, A10,
//! fact P15).

use proptest::prelude::*;
use sealgate::image::json::JsonError;
use sealgate::image::{
    CHECKPOINT_ANNOTATION, ChooseError, DOCUMENT_MAX, Descriptor, DigestError, Document,
    DocumentError, ENTRIES_MAX, Index, Manifest, Platform,
};

fn hex(fill: &str) -> String {
    format!("sha256:{}", fill.repeat(64))
}

fn descriptor(fill: &str) -> String {
    format!(r#"{{"mediaType":"x","digest":"{}","size":1}}"#, hex(fill))
}

fn entry(fill: &str, platform: &str) -> String {
    format!(r#"{{"mediaType":"x","digest":"{}","size":1,"platform":{platform}}}"#, hex(fill))
}

fn manifest_text() -> String {
    format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, descriptor("a"), descriptor("b"))
}

fn index_text(entries: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","))
}

fn manifest(text: &str) -> Result<Manifest, DocumentError> {
    Document::parse(text.as_bytes()).map(|document| match document {
        Document::Manifest(manifest) => manifest,
        Document::Index(index) => panic!("{index:?}"),
    })
}

fn index(text: &str) -> Result<Index, DocumentError> {
    Document::parse(text.as_bytes()).map(|document| match document {
        Document::Index(index) => index,
        Document::Manifest(manifest) => panic!("{manifest:?}"),
    })
}

fn refused(text: &str) -> DocumentError {
    Document::parse(text.as_bytes()).expect_err(text)
}

/// The manifest with one more member in front.
fn with(member: &str) -> String {
    manifest_text().replacen('{', &format!("{{{member},"), 1)
}

#[test]
fn reads_what_it_should() {
    let read = manifest(&manifest_text()).unwrap();
    assert_eq!(read.media_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!((read.config.digest.as_str(), read.config.size), (hex("a").as_str(), 1));
    assert_eq!((read.layers.len(), read.subject, read.artifact_type), (1, None, None));
    let docker = with(r#""mediaType":"application/vnd.docker.distribution.manifest.v2+json""#);
    assert_eq!(
        manifest(&docker).unwrap().media_type,
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    let full = with(&format!(
        r#""subject":{},"artifactType":"t","annotations":{{"mediatype":"kept","k":"v"}},"extension":{{"x":[null]}}"#,
        descriptor("c")
    ));
    let read = manifest(&full).unwrap();
    assert_eq!(read.subject.unwrap().digest.as_str(), hex("c"));
    assert_eq!(
        (read.artifact_type.as_deref(), read.annotations["mediatype"].as_str()),
        (Some("t"), "kept")
    );
    assert_eq!(manifest(&with(r#""subject":null,"annotations":null"#)), manifest(&manifest_text()));
}

/// Go writes an empty list as `null` and reads `null` as one; so does containerd, whose reading is
/// the only one there is.
#[test]
fn null_is_what_go_reads_it_as() {
    let without = format!(r#"{{"schemaVersion":2,"config":{}}}"#, descriptor("a"));
    for text in [without.replacen("}}", r#"},"layers":null}"#, 1), without] {
        assert_eq!(manifest(&text).unwrap().layers, [], "{text}");
    }
    let index = index(r#"{"schemaVersion":2,"manifests":null}"#).unwrap();
    assert_eq!(index.choose(&node("amd64")), Err(ChooseError::None));
    assert_eq!(manifest(&with(r#""mediaType":null"#)), manifest(&manifest_text()));
    // What Go reads as nothing and cannot be without is not there.
    for (from, to, error) in [
        ("\"config\":{", "\"config\":null,\"c\":{", DocumentError::Field("config")),
        ("\"size\":1", "\"size\":null", DocumentError::Field("size")),
        ("\"mediaType\":\"x\"", "\"mediaType\":null", DocumentError::Field("mediaType")),
        ("\"layers\":[", "\"layers\":[null,", DocumentError::Field("layers")),
    ] {
        assert_eq!(refused(&manifest_text().replacen(from, to, 1)), error, "{to}");
    }
}

#[test]
fn attack_a4_an_image_and_an_index_in_one() {
    assert_eq!(refused(&with(r#""manifests":[]"#)), DocumentError::TwoShapes);
    assert_eq!(refused(&with(r#""manifests":null"#)), DocumentError::TwoShapes);
    for member in ["config", "layers", "blobs"] {
        let text = index_text(&[]).replacen('{', &format!(r#"{{"{member}":null,"#), 1);
        assert_eq!(refused(&text), DocumentError::TwoShapes, "{member}");
    }
    assert_eq!(refused(r#"{"schemaVersion":2}"#), DocumentError::NoShape);
    for (kind, text) in [
        ("application/vnd.oci.image.index.v1+json", manifest_text()),
        ("application/vnd.docker.distribution.manifest.list.v2+json", manifest_text()),
        ("application/vnd.oci.image.manifest.v1+json", index_text(&[])),
        ("application/vnd.docker.distribution.manifest.v1+json", manifest_text()),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", manifest_text()),
        ("", manifest_text()),
    ] {
        let text = text.replacen('{', &format!(r#"{{"mediaType":"{kind}","#), 1);
        assert_eq!(refused(&text), DocumentError::MediaType(kind.to_owned()));
    }
}

#[test]
fn attack_a4_keys_that_containerd_reads_and_a_strict_reader_does_not() {
    for (member, written, read_as) in [
        (r#""Manifests":[]"#, "Manifests", "manifests"),
        (r#""MANIFESTS":[]"#, "MANIFESTS", "manifests"),
        ("\"manife\u{17f}ts\":[]", "manife\u{17f}ts", "manifests"),
        (r#""manife\u017fts":[]"#, "manife\u{17f}ts", "manifests"),
        (r#""FSLayers":[]"#, "FSLayers", "fsLayers"),
        (r#""mediatype":"x""#, "mediatype", "mediaType"),
        (r#""SUBJECT":{}"#, "SUBJECT", "subject"),
        (r#""x":[{"y":{"Digest":"d"}}]"#, "Digest", "digest"),
    ] {
        let misspelt = DocumentError::Misspelt { written: written.to_owned(), read_as };
        assert_eq!(refused(&with(member)), misspelt, "{member}");
    }
    let both = |one: &str, other: &str| {
        DocumentError::Json(JsonError::EqualFold(one.to_owned(), other.to_owned()))
    };
    assert_eq!(refused(&with("\"Layers\":[]")), both("Layers", "layers"));
    assert_eq!(refused(&with(r#""Annotations":{"K":"","k":""}"#)), both("K", "k"));
    assert_eq!(
        refused(&with(r#""annotations":{},"Annotations":{}"#)),
        both("annotations", "Annotations")
    );
    let twice = DocumentError::Json(JsonError::DuplicateKey("k".to_owned()));
    assert_eq!(refused(&with(r#""annotations":{"k":"","k":""}"#)), twice);
    assert_eq!(
        refused(&with("\"layers\":[]")),
        DocumentError::Json(JsonError::DuplicateKey("layers".to_owned()))
    );
    let twice = manifest_text().replacen("\"size\":1", "\"size\":1,\"Size\":2", 1);
    assert_eq!(refused(&twice), both("size", "Size"));
}

/// Annotations are the author's: what the gate and containerd look for in them, both look for under
/// one spelling.
#[test]
fn annotations_may_differ_by_case() {
    for (one, other) in
        [("K", "k"), ("k", "\u{212a}"), ("org.acme.Team", "org.acme.team"), ("\u{df}", "\u{1e9e}")]
    {
        let member = format!(r#""annotations":{{"{one}":"1","{other}":"2"}}"#);
        let read = manifest(&with(&member)).unwrap();
        assert_eq!((read.annotations[one].as_str(), read.annotations[other].as_str()), ("1", "2"));
        let layer = manifest_text().replacen("\"size\":1}]", &format!("\"size\":1,{member}}}]"), 1);
        assert_eq!(manifest(&layer).unwrap().layers[0].annotations.len(), 2, "{layer}");
        assert_eq!(
            index(&index_text(&[]).replacen('{', &format!("{{{member},"), 1))
                .unwrap()
                .annotations
                .len(),
            2
        );
    }
    let upper = CHECKPOINT_ANNOTATION.to_uppercase();
    assert!(
        !manifest(&with(&format!(r#""annotations":{{"{upper}":"x"}}"#))).unwrap().is_checkpoint()
    );
    let both = format!(r#""annotations":{{"{upper}":"x","{CHECKPOINT_ANNOTATION}":""}}"#);
    assert!(manifest(&with(&both)).unwrap().is_checkpoint());
}

#[test]
fn attack_a9_schema_one_is_not_read() {
    for member in
        [r#""fsLayers":[]"#, r#""history":[{"v1Compatibility":"{}"}]"#, r#""signatures":[]"#]
    {
        assert_eq!(refused(&with(member)), DocumentError::SchemaOne);
    }
    for (version, error) in [
        ("1", DocumentError::SchemaVersion),
        ("2.0", DocumentError::SchemaVersion),
        ("\"2\"", DocumentError::SchemaVersion),
        ("null", DocumentError::SchemaVersion),
    ] {
        let text =
            manifest_text().replace("\"schemaVersion\":2", &format!("\"schemaVersion\":{version}"));
        assert_eq!(refused(&text), error, "{version}");
    }
    let missing = manifest_text().replace("\"schemaVersion\":2,", "");
    assert_eq!(refused(&missing), DocumentError::Missing("schemaVersion"));
}

#[test]
fn fields_of_the_wrong_type() {
    let good = manifest_text();
    for (from, to, error) in [
        ("sha256:", "sha512:", DocumentError::Digest(DigestError::Algorithm)),
        ("sha256:a", "sha256:A", DocumentError::Digest(DigestError::Encoding)),
        ("\"size\":1", "\"size\":-1", DocumentError::Field("size")),
        ("\"size\":1", "\"size\":1.5", DocumentError::Field("size")),
        ("\"size\":1", "\"size\":\"1\"", DocumentError::Field("size")),
        ("\"size\":1", "\"size\":9223372036854775808", DocumentError::Field("size")),
        (",\"size\":1", "", DocumentError::Missing("size")),
        ("\"mediaType\":\"x\",", "", DocumentError::Missing("mediaType")),
        ("\"layers\":[", "\"layers\":[[],", DocumentError::Field("layers")),
        ("\"config\":{", "\"config\":[],\"c\":{", DocumentError::Field("config")),
    ] {
        assert_eq!(refused(&good.replacen(from, to, 1)), error, "{to}");
    }
    assert_eq!(refused(&with(r#""annotations":{"a":1}"#)), DocumentError::Field("annotations"));
    assert_eq!(refused("[]"), DocumentError::Field("document"));
    assert!(matches!(
        refused(&format!("{good}{good}")),
        DocumentError::Json(JsonError::Syntax { .. })
    ));
}

#[test]
fn attack_d3_documents_without_end() {
    let many = |count: usize| index_text(&vec![descriptor("a"); count]);
    assert_eq!(index(&many(ENTRIES_MAX)).unwrap().manifests.len(), ENTRIES_MAX);
    assert_eq!(
        refused(&many(ENTRIES_MAX + 1)),
        DocumentError::TooManyEntries("manifests", ENTRIES_MAX)
    );
    let good = manifest_text();
    let long = format!("{good}{}", " ".repeat(DOCUMENT_MAX - good.len()));
    assert!(manifest(&long).is_ok());
    assert_eq!(refused(&format!("{long} ")), DocumentError::Json(JsonError::TooLong(DOCUMENT_MAX)));
    let deep = with(&format!("\"x\":{}{}", "[".repeat(16), "]".repeat(16)));
    assert_eq!(refused(&deep), DocumentError::Json(JsonError::TooDeep(16)));
    let wide = with(&format!("\"x\":[{}0]", "0,".repeat(1_000_000)));
    assert_eq!(refused(&wide), DocumentError::Json(JsonError::TooMany(64 * ENTRIES_MAX)));
}

#[test]
fn checkpoint_images_are_known() {
    let annotation = format!(r#""annotations":{{"{CHECKPOINT_ANNOTATION}":"c"}}"#);
    assert!(manifest(&with(&annotation)).unwrap().is_checkpoint());
    assert!(!manifest(&manifest_text()).unwrap().is_checkpoint());
    let text = index_text(&[]).replacen('{', &format!("{{{annotation},"), 1);
    assert!(index(&text).unwrap().is_checkpoint());
    assert!(!index(&index_text(&[])).unwrap().is_checkpoint());
}

fn node(architecture: &str) -> Platform {
    Platform { os: "linux".into(), architecture: architecture.into(), variant: None }
}

fn chosen(entries: &[String], architecture: &str) -> Result<String, ChooseError> {
    let index = index(&index_text(entries)).unwrap();
    index.choose(&node(architecture)).map(|entry: &Descriptor| entry.digest.hex()[..1].to_owned())
}

const AMD64: &str = r#"{"os":"linux","architecture":"amd64"}"#;
const ARM64: &str = r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#;
const I386: &str = r#"{"os":"linux","architecture":"386"}"#;
const ATTESTATION: &str = r#"{"os":"unknown","architecture":"unknown"}"#;

#[test]
fn the_entry_for_a_platform() {
    let usual = [entry("a", AMD64), entry("b", ARM64), entry("c", I386), entry("d", ATTESTATION)];
    assert_eq!(chosen(&usual, "amd64"), Ok("a".into()));
    assert_eq!(chosen(&usual, "arm64"), Ok("b".into()));
    assert_eq!(chosen(&usual, "386"), Ok("c".into()));
    assert_eq!(chosen(&usual, "s390x"), Err(ChooseError::None));
    assert_eq!(chosen(&usual[1..], "amd64"), Ok("c".into()));
    assert_eq!(chosen(&[descriptor("e")], "amd64"), Ok("e".into()));
    assert_eq!(chosen(&[], "amd64"), Err(ChooseError::None));
    let windows = entry("f", r#"{"os":"windows","architecture":"amd64","os.version":"10.0"}"#);
    assert_eq!(chosen(&[windows, entry("a", AMD64)], "amd64"), Ok("a".into()));
}

#[test]
fn attack_a10_two_entries_for_one_platform() {
    for second in [
        entry("b", AMD64),
        entry("b", r#"{"os":"Linux","architecture":"x86_64"}"#),
        entry("b", r#"{"os":"linux","architecture":"amd64","variant":"v1"}"#),
        entry("b", r#"{"os":"","architecture":"amd64"}"#),
        entry("b", r#"{"architecture":"amd64"}"#),
        entry("b", "null"),
        descriptor("b"),
        // The same child, and yet not the same: of another kind, of another size, marked as a
        // checkpoint.
        entry("a", AMD64).replace("\"x\"", "\"y\""),
        entry("a", AMD64).replace("\"size\":1", "\"size\":2"),
        entry("a", AMD64).replacen(
            '{',
            &format!(r#"{{"annotations":{{"{CHECKPOINT_ANNOTATION}":"c"}},"#),
            1,
        ),
    ] {
        assert_eq!(
            chosen(&[entry("a", AMD64), second.clone()], "amd64"),
            Err(ChooseError::Several(2)),
            "{second}"
        );
    }
}

/// As in indexes that a tool joined, or that buildx wrote twice: whichever entry containerd takes,
/// it runs that child.
#[test]
fn one_child_that_is_named_twice_is_one() {
    let noted =
        entry("a", AMD64).replacen('{', r#"{"annotations":{"k":"v"},"urls":["https://x"],"#, 1);
    for second in [
        entry("a", AMD64),
        entry("a", r#"{"os":"Linux","architecture":"x86_64","os.version":"1"}"#),
        entry("a", r#"{"architecture":"amd64","variant":"v1"}"#),
        entry("a", "null"),
        noted,
    ] {
        for entries in [[entry("a", AMD64), second.clone()], [second.clone(), entry("a", AMD64)]] {
            assert_eq!(chosen(&entries, "amd64"), Ok("a".into()), "{second}");
        }
        let third = [entry("a", AMD64), second.clone(), entry("b", ARM64), entry("b", AMD64)];
        assert_eq!(chosen(&third, "amd64"), Err(ChooseError::Several(3)), "{second}");
    }
    assert_eq!(chosen(&[entry("a", I386), entry("a", AMD64)], "amd64"), Ok("a".into()));
}

/// A reader as Go's: keys match by folding, the last one wins.
fn as_go_reads(members: &[(String, usize)], name: &str) -> Option<usize> {
    let fold = |key: &str| key.replace('\u{17f}', "s").to_lowercase();
    members.iter().rev().find(|(key, _)| fold(key) == fold(name)).map(|(_, value)| *value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What is accepted is read by Go as it is read here.
    #[test]
    fn attack_a4_accepted_means_read_alike(
        keys in prop::collection::vec(
            prop::sample::select(&[
                "layers", "Layers", "LAYERS", "layer\u{17f}", "config", "Config", "manifests", "manife\u{17f}ts",
                "Manifests", "other", "Other", "schemaVersion", "schemaversion",
            ][..]),
            0..6,
        )
    ) {
        let members: Vec<_> = keys.iter().enumerate().map(|(n, key)| ((*key).to_owned(), n)).collect();
        let fills = ["0", "1", "2", "3", "4", "5"];
        let value = |key: &str, n: usize| match key.chars().next().unwrap() {
            's' => "2".to_owned(),
            'c' | 'C' => descriptor(fills[n]),
            _ => format!("[{}]", descriptor(fills[n])),
        };
        let body: Vec<_> = members.iter().map(|(key, n)| format!("\"{key}\":{}", value(key, *n))).collect();
        match Document::parse(format!("{{{}}}", body.join(",")).as_bytes()) {
            Ok(Document::Manifest(read)) => {
                let n = |descriptor: &Descriptor| descriptor.digest.hex()[..1].parse().ok();
                prop_assert_eq!(n(&read.config), as_go_reads(&members, "config"));
                prop_assert_eq!(read.layers.first().and_then(n), as_go_reads(&members, "layers"));
                prop_assert_eq!(as_go_reads(&members, "manifests"), None);
            }
            Ok(Document::Index(read)) => {
                let n = read.manifests[0].digest.hex()[..1].parse().ok();
                prop_assert_eq!(n, as_go_reads(&members, "manifests"));
                prop_assert_eq!(as_go_reads(&members, "layers"), None);
                prop_assert_eq!(as_go_reads(&members, "config"), None);
            }
            Err(_) => {}
        }
    }
}
