//! [`ImageConfig`]: what an image's config blob says about its layers and platform.
//!
//! Only what the gate decides on is read; how the container is started is the runtime's business.

use std::collections::BTreeMap;

use super::digest::Digest;
use super::document::CHECKPOINT_ANNOTATION;
use super::error::DocumentError;
use super::fields::Fields;
use super::json::{self, Limits};
use super::platform::Platform;

/// Longest image config, in bytes: containerd reads it whole into memory as it does a manifest, so
/// the same limit.
pub const CONFIG_MAX: usize = super::document::DOCUMENT_MAX;
/// Most layers, as in a manifest.
const LAYERS_MAX: usize = super::document::ENTRIES_MAX;

/// Depth: deepest in use is six (`config.Healthcheck.Test`, build caches in extensions). Values:
/// history, environment and labels of 1024 layers. Keys below these members are the author's data:
/// `MAINTAINER` beside `maintainer` is common.
const LIMITS: Limits =
    Limits { bytes: CONFIG_MAX, depth: 32, values: 64 * LAYERS_MAX, free: &FREE };
const FREE: [&str; 5] = ["Labels", "labels", "annotations", "Volumes", "ExposedPorts"];

/// The fields on which a decision rests: Go must not find them under another spelling.
const NAMES: [&str; 10] = [
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "rootfs",
    "config",
    "history",
    "author",
    "created",
];
const ROOTFS_NAMES: [&str; 2] = ["type", "diff_ids"];

/// The part of an image config (OCI image-spec, config.md) that binds an image to its root
/// filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    platform: Platform,
    diff_ids: Vec<Digest>,
    chain_id: Digest,
    is_checkpoint: bool,
    labels: Option<BTreeMap<String, String>>,
}

impl ImageConfig {
    /// Parses a config blob.
    ///
    /// # Errors
    /// [`DocumentError`] when it could be read in two ways, lacks a required field, or names no
    /// layers.
    pub fn parse(untrusted: &[u8]) -> Result<Self, DocumentError> {
        let value = json::parse(untrusted, LIMITS).map_err(DocumentError::Json)?;
        let fields = Fields::of(&value, "config")?;
        fields.spelled_as(&NAMES)?;
        let platform = Platform {
            os: fields.text("os")?.to_owned(),
            architecture: fields.text("architecture")?.to_owned(),
            variant: fields.optional_text("variant")?.map(str::to_owned),
        };
        let rootfs = Fields::of(fields.required("rootfs")?, "rootfs")?;
        rootfs.spelled_as(&ROOTFS_NAMES)?;
        if rootfs.text("type")? != "layers" {
            return Err(DocumentError::Field("type"));
        }
        let ids = rootfs.list("diff_ids", LAYERS_MAX)?.iter();
        let text = |id: &serde_json::Value| {
            id.as_str().map(Digest::parse).ok_or(DocumentError::Field("diff_ids"))
        };
        let diff_ids: Vec<_> = ids
            .map(|id| text(id)?.map_err(DocumentError::Digest))
            .collect::<Result<_, DocumentError>>()?;
        let chain_id = chain_id(&diff_ids).ok_or(DocumentError::NoLayers)?;
        let config = fields.optional("config");
        let is_checkpoint = config.is_some_and(says_checkpoint);
        let labels = labels(config);
        Ok(Self { platform, diff_ids, chain_id, is_checkpoint, labels })
    }

    /// The platform that the image says it is for.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The digests of the uncompressed layers, lowest first; at least one.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// The name of the snapshot that all layers together make (config.md, "Layer ChainID").
    #[must_use]
    pub fn chain_id(&self) -> &Digest {
        &self.chain_id
    }

    /// Whether the image says of itself that it is a checkpoint. containerd does not look here.
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.is_checkpoint
    }

    /// `config.Labels`, which the image's author wrote; empty where there are none. `None` where two
    /// readers could find others, or none at all: a value that is no text, the member in another
    /// spelling.
    #[must_use]
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.labels.as_ref()
    }
}

/// Whether a label says that the image is a checkpoint, in whatever spelling Go would find the labels
/// under.
fn says_checkpoint(config: &serde_json::Value) -> bool {
    let members = config.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| json::fold(name) == "labels")
        .any(|(_, labels)| labels.get(CHECKPOINT_ANNOTATION).is_some())
}

/// The labels, where every reader finds the same. Go takes the member in any spelling, others in this
/// one alone; two that differ by case are refused by the parser.
fn labels(config: Option<&serde_json::Value>) -> Option<BTreeMap<String, String>> {
    let Some(config) = config.filter(|config| !config.is_null()) else {
        return Some(BTreeMap::new());
    };
    let mut members = config.as_object()?.iter();
    let Some((name, labels)) = members.find(|(name, _)| json::fold(name) == "labels") else {
        return Some(BTreeMap::new());
    };
    if name != "Labels" {
        return None;
    }
    if labels.is_null() {
        return Some(BTreeMap::new());
    }
    let text = |(key, value): (&String, &serde_json::Value)| {
        Some((key.clone(), value.as_str()?.to_owned()))
    };
    labels.as_object()?.iter().map(text).collect()
}

/// `ChainID(L0) = DiffID(L0)`, `ChainID(L0|…|Ln) = digest(ChainID(L0|…|Ln-1) + " " + DiffID(Ln))`.
fn chain_id(diff_ids: &[Digest]) -> Option<Digest> {
    let (lowest, above) = diff_ids.split_first()?;
    Some(
        above
            .iter()
            .fold(lowest.clone(), |chain, id| Digest::of(format!("{chain} {id}").as_bytes())),
    )
}

#[cfg(test)]
mod tests {
    use super::super::json::JsonError;
    use super::*;

    fn config(diff_ids: &str) -> String {
        format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{diff_ids}]}}}}"#
        )
    }

    fn id(fill: &str) -> Digest {
        Digest::parse(&format!("sha256:{}", fill.repeat(64))).unwrap()
    }

    #[test]
    fn chains_layers() {
        let one = ImageConfig::parse(config(&format!("\"{}\"", id("a"))).as_bytes()).unwrap();
        assert_eq!(one.chain_id(), &id("a"));
        let three = config(&format!("\"{}\",\"{}\",\"{}\"", id("a"), id("b"), id("c")));
        // sha256("sha256:aa… sha256:bb…"), and that with sha256:cc… behind it.
        let two = Digest::of(format!("{} {}", id("a"), id("b")).as_bytes());
        let expected = Digest::of(format!("{two} {}", id("c")).as_bytes());
        assert_eq!(ImageConfig::parse(three.as_bytes()).unwrap().chain_id(), &expected);
    }

    #[test]
    fn attack_a9_a_config_that_binds_no_layers() {
        assert_eq!(ImageConfig::parse(config("").as_bytes()), Err(DocumentError::NoLayers));
        let null = config("").replace("[]", "null");
        assert_eq!(ImageConfig::parse(null.as_bytes()), Err(DocumentError::NoLayers));
    }

    #[test]
    fn attack_a4_a_config_of_two_meanings() {
        let good = config(&format!("\"{}\"", id("a")));
        for (from, to, error) in [
            (
                "\"rootfs\"",
                "\"Rootfs\"",
                DocumentError::Misspelt { written: "Rootfs".into(), read_as: "rootfs" },
            ),
            (
                "diff_ids",
                "Diff_IDs",
                DocumentError::Misspelt { written: "Diff_IDs".into(), read_as: "diff_ids" },
            ),
            (
                "\"os\"",
                "\"o\u{17f}\"",
                DocumentError::Misspelt { written: "o\u{17f}".into(), read_as: "os" },
            ),
            (
                "{\"arch",
                "{\"OS\":\"x\",\"arch",
                DocumentError::Json(JsonError::EqualFold("OS".into(), "os".into())),
            ),
            ("layers", "layer", DocumentError::Field("type")),
            ("sha256:", "sha512:", DocumentError::Digest(super::super::DigestError::Algorithm)),
        ] {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            assert_eq!(ImageConfig::parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    /// Fact C8: a config too may say that the image is a checkpoint.
    #[test]
    fn attack_f_a_config_that_says_checkpoint() {
        let good = config(&format!("\"{}\"", id("a")));
        for (member, expected) in [
            (r#""config":{"Labels":{"org.criu.checkpoint.container.name":"c"}}"#, true),
            (r#""config":{"labels":{"org.criu.checkpoint.container.name":""}}"#, true),
            (r#""config":{"LABEL\u017f":{"org.criu.checkpoint.container.name":null}}"#, true),
            (r#""config":{"Labels":{"org.criu.checkpoint.container":"c"}}"#, false),
            (r#""config":{"Labels":null}"#, false),
            (r#""config":null"#, false),
        ] {
            let text = good.replacen('{', &format!("{{{member},"), 1);
            let parsed = ImageConfig::parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.is_checkpoint(), expected, "{member}");
        }
    }

    /// Attack A4: labels that two readers would find different are none that a policy can go by.
    #[test]
    fn attack_a4_labels_are_told_or_not_known() {
        let none = Some(BTreeMap::new());
        let one = |key: &str, value: &str| Some([(key.to_owned(), value.to_owned())].into());
        for (member, expected) in [
            (r#""config":{"Labels":{"tier":"pci"}}"#, one("tier", "pci")),
            (r#""config":{"Labels":{"tier":""}}"#, one("tier", "")),
            (r#""config":{"Labels":{}}"#, none.clone()),
            (r#""config":{"Labels":null}"#, none.clone()),
            (r#""config":{}"#, none.clone()),
            (r#""config":null"#, none.clone()),
            (r#""x":{"Labels":{"tier":"pci"}}"#, none),
            (r#""config":{"labels":{"tier":"pci"}}"#, None),
            (r#""config":{"Label\u017f":{"tier":"pci"}}"#, None),
            (r#""config":{"Labels":{"tier":1}}"#, None),
            (r#""config":{"Labels":{"tier":null}}"#, None),
            (r#""config":{"Labels":["tier"]}"#, None),
            (r#""config":"Labels""#, None),
        ] {
            let good = config(&format!("\"{}\"", id("a")));
            let text = good.replacen('{', &format!("{{{member},"), 1);
            let parsed = ImageConfig::parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.labels(), expected.as_ref(), "{member}");
        }
    }

    #[test]
    fn labels_may_differ_by_case() {
        let labels = r#"{"config":{"Labels":{"MAINTAINER":"a","maintainer":"b"},"Volumes":{"/D":{},"/d":{}}},"arch"#;
        let text = config(&format!("\"{}\"", id("a"))).replacen("{\"arch", labels, 1);
        assert!(ImageConfig::parse(text.as_bytes()).is_ok());
        for (member, is_ok) in [
            (r#""config":{"Labels":{"a":"1","a":"2"}}"#, false),
            (r#""config":{"Labels":{},"labels":{}}"#, false),
            (r#""annotations":{"A":"1","a":"2"}"#, true),
            (r#""container_config":{"Labels":{"x":{"A":"1","a":"2"}}}"#, true),
            (r#""OS":"windows""#, false),
            (r#""x":{"A":1,"a":2}"#, false),
        ] {
            let text =
                config(&format!("\"{}\"", id("a"))).replacen('{', &format!("{{{member},"), 1);
            assert_eq!(ImageConfig::parse(text.as_bytes()).is_ok(), is_ok, "{member}");
        }
    }
}
