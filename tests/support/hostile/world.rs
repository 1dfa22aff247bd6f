//! The truth of one cell: a signed image and its evidence, by path. A document fault changes one of
//! the documents before anything is said about its digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::faults::{Fault, Kind};
use super::table::Step;
use super::tls::scheme;
use super::{Places, serve::Role};
use crate::fixtures;
use crate::signing::{self, IMAGE_SIGNATURE, Signer};

/// Folder of the images that need a signature.
pub const SIGNED: &str = "signed";
/// Folder of the images that need an attestation of the type [`PREDICATE`].
pub const ATTESTED: &str = "attested";
/// The attestation's predicate type.
pub(crate) const PREDICATE: &str = "https://slsa.dev/provenance/v1";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// A true answer.
#[derive(Debug, Clone)]
pub(crate) struct Good {
    /// The step of which this is the answer.
    pub(crate) step: Option<Step>,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

/// A world and the image in it.
pub(crate) struct Made {
    pub(crate) image: String,
    pub(crate) world: BTreeMap<String, Good>,
}

struct Maker<'a> {
    step: Step,
    fault: &'a Fault,
    places: &'a Places,
    repository: String,
    world: BTreeMap<String, Good>,
}

/// A descriptor's three words.
struct Put {
    media_type: &'static str,
    digest: String,
    size: usize,
}

/// Makes the world of a cell.
pub(crate) fn make(
    step: Step,
    fault: &Fault,
    signer: &Signer,
    places: &Places,
    number: usize,
) -> Made {
    let folder = if step == Step::Att { ATTESTED } else { SIGNED };
    let repository = format!("{folder}/{}/{}/c{number}", step.name(), fault.name);
    let mut maker = Maker { step, fault, places, repository, world: BTreeMap::new() };
    let image = maker.image(number);
    let name = format!("{}/{}", places.registry, maker.repository);
    match step {
        Step::Dig => {
            let bytes =
                maker.world[&maker.path(&format!("manifests/{}", image.digest))].body.clone();
            let hash = hex::decode(image.digest.trim_start_matches("sha256:")).unwrap();
            let bundle = signer.message_bundle(&bytes, "SHA2_256", &hash);
            maker.referrers(&image, &bundle);
        }
        Step::Sig | Step::Pay => {
            maker.older(&image, "sig", &signing::payload(&image.digest, &name), signer)
        }
        Step::Att => {
            let bundle = signer.statement_bundle(&signing::statement(&image.digest, PREDICATE));
            let bundle: Value = serde_json::from_str(&bundle).unwrap();
            maker.older(&image, "att", &bundle["dsseEnvelope"].to_string(), signer);
        }
        _ => {
            let bundle =
                signer.statement_bundle(&signing::statement(&image.digest, IMAGE_SIGNATURE));
            maker.referrers(&image, &bundle);
        }
    }
    let image =
        if step == Step::Dig { format!("{name}@{}", image.digest) } else { format!("{name}:v1") };
    Made { image, world: maker.world }
}

impl Maker<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    /// The document, changed if this is the step and the fault is one of documents.
    fn changed(&self, step: Step, document: String) -> String {
        match self.fault.kind {
            Kind::Document(change) if step == self.step => change(&document),
            _ => document,
        }
    }

    fn put(
        &mut self,
        path: String,
        step: Option<Step>,
        media_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Put {
        let body = body.into();
        let digest = sealgate::image::Digest::of(&body).to_string();
        self.put_as(digest, path, step, media_type, body)
    }

    fn put_as(
        &mut self,
        digest: String,
        path: String,
        step: Option<Step>,
        media_type: &'static str,
        body: Bytes,
    ) -> Put {
        let headers = vec![
            ("Content-Type", media_type.to_owned()),
            ("Docker-Content-Digest", digest.clone()),
        ];
        let size = body.len();
        self.world.insert(path, Good { step, status: 200, headers, body });
        Put { media_type, digest, size }
    }

    fn manifest(
        &mut self,
        tag: Option<(&str, Step)>,
        by_digest: Option<Step>,
        media_type: &'static str,
        body: &str,
    ) -> Put {
        let (digest, body) = (
            sealgate::image::Digest::of(body.as_bytes()).to_string(),
            Bytes::from(body.to_owned()),
        );
        if let Some((tag, step)) = tag {
            let path = self.path(&format!("manifests/{tag}"));
            self.put_as(digest.clone(), path, Some(step), media_type, body.clone());
        }
        let path = self.path(&format!("manifests/{digest}"));
        self.put_as(digest, path, by_digest, media_type, body)
    }

    fn blob(
        &mut self,
        step: Option<Step>,
        media_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Put {
        let body = body.into();
        let digest = sealgate::image::Digest::of(&body).to_string();
        let path = self.path(&format!("blobs/{digest}"));
        Put { media_type, ..self.put_as(digest, path, step, "application/octet-stream", body) }
    }

    /// An image that really runs, and is no other cell's.
    fn image(&mut self, number: usize) -> Put {
        let source = fixtures::prod("signed-v2");
        let mut document: Value = serde_json::from_slice(source.tagged("v1")).unwrap();
        for (digest, bytes) in &source.blobs {
            let path = self.path(&format!("blobs/{digest}"));
            self.put_as(
                digest.clone(),
                path,
                None,
                "application/octet-stream",
                bytes.clone().into(),
            );
        }
        document["layers"][0]["annotations"] = serde_json::json!({ "cell": number.to_string() });
        let (config, layers) = (&document["config"], &document["layers"]);
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":{layers},"annotations":{{}}}}"#
        );
        let step = if self.step == Step::Ups { Step::Ups } else { Step::Tag };
        let text = self.changed(step, text);
        self.manifest(Some(("v1", step)), Some(Step::Dig), MANIFEST, &text)
    }

    /// A bundle, listed at the referrers endpoint or under the fallback tag.
    fn referrers(&mut self, image: &Put, bundle: &str) {
        let bundle = self.changed(Step::Blo, bundle.to_owned());
        let blob = self.blob(Some(Step::Blo), BUNDLE, bundle);
        if self.step == Step::Tar {
            self.redirect(&blob);
        }
        let config = self.blob(None, "application/vnd.oci.empty.v1+json", "{}");
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{BUNDLE}","config":{},"layers":[{}],"subject":{},"annotations":{{}}}}"#,
            config.descriptor(""),
            blob.descriptor(""),
            image.descriptor("")
        );
        let manifest = self.changed(Step::Bma, manifest);
        let manifest = self.manifest(None, Some(Step::Bma), MANIFEST, &manifest);
        let entry =
            manifest.descriptor(&format!(r#","artifactType":"{BUNDLE}","annotations":{{}}"#));
        let page = list(&entry);
        let path = self.path(&format!("referrers/{}", image.digest));
        match self.step {
            Step::Fal => {
                let page = self.changed(Step::Fal, page);
                let tag = image.digest.replace(':', "-");
                self.manifest(Some((&tag, Step::Fal)), None, INDEX, &page);
            }
            Step::Re2 => {
                let other = config.descriptor(r#","artifactType":"application/spdx+json""#);
                self.put(path.clone(), Some(Step::Ref), INDEX, list(&other));
                let next = format!("<{path}?page=2>; rel=\"next\"");
                self.world.get_mut(&path).unwrap().headers.push(("Link", next));
                let page = self.changed(Step::Re2, page);
                self.put(format!("{path}?page=2"), Some(Step::Re2), INDEX, page);
            }
            _ => {
                let page = self.changed(Step::Ref, page);
                self.put(path, Some(Step::Ref), INDEX, page);
            }
        }
    }

    /// The blob is elsewhere.
    fn redirect(&mut self, blob: &Put) {
        let path = self.path(&format!("blobs/{}", blob.digest));
        let there = self.world[&path].clone();
        let scheme = scheme(Role::Target, self.fault, self.step);
        let location = format!("{scheme}://{}/target", self.places.target);
        let here = Good {
            status: 307,
            headers: vec![("Location", location)],
            body: Bytes::new(),
            ..there.clone()
        };
        self.world.insert(path, here);
        self.world.insert("/target".to_owned(), Good { step: Some(Step::Tar), ..there });
    }

    /// One of the older forms; there is an endpoint, and its list is empty.
    fn older(&mut self, image: &Put, ending: &str, content: &str, signer: &Signer) {
        let empty = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
        self.put(self.path(&format!("referrers/{}", image.digest)), None, INDEX, empty);
        let content = self.changed(Step::Pay, content.to_owned());
        let (kind, step, annotations) = match ending {
            "sig" => (SIMPLE_SIGNING, Step::Sig, signer.annotations(content.as_bytes())),
            _ => (ENVELOPE, Step::Att, BTreeMap::new()),
        };
        let layer = self.blob(Some(Step::Pay), kind, content);
        let config = self.blob(None, "application/vnd.oci.image.config.v1+json", "{}");
        let annotations =
            serde_json::to_string(&annotations).unwrap().replace("{}", r#"{"none":""}"#);
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}],"annotations":{{}}}}"#,
            config.descriptor(""),
            layer.descriptor(&format!(r#","annotations":{annotations}"#))
        );
        let manifest = self.changed(step, manifest);
        let tag = format!("{}.{ending}", image.digest.replace(':', "-"));
        self.manifest(Some((&tag, step)), None, MANIFEST, &manifest);
    }
}

impl Put {
    fn descriptor(&self, more: &str) -> String {
        let Self { media_type, digest, size } = self;
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{more}}}"#)
    }
}

fn list(entry: &str) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#)
}
