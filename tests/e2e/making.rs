//! Images made and signed on the spot, by keys that no fixture has: [`Form`], [`made`]; what became
//! of them on the node: [`Known`], [`admit`], [`runs`].

use sealgate::image::Digest;
use serde_json::{Value, json};

use crate::acts::push;
use crate::containerd::Pod;
use crate::ensure;
use crate::means::prod;
use crate::signing::{IMAGE_SIGNATURE, Signer, payload, statement};
use crate::stage::{Failure, HOST, Stage, by_id};
use crate::tiny::{MANIFEST, Tiny};

/// What a bundle's manifest and layer say that they are.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What a layer of the older form is.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// How a signature hangs on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Under the tag `sha256-<hex>.sig`.
    Older,
    /// As a referrer, so the registry must have that endpoint.
    Bundle,
}

/// An image that is on the node.
#[derive(Debug, Clone)]
pub struct Known {
    /// The reference that it was asked for by.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The digest of its manifest.
    pub digest: String,
}

/// Makes an image, pulls it through the gate and runs it.
pub async fn admit(
    stage: &Stage,
    pod: &Pod,
    name: &str,
    form: Form,
    signers: &[&Signer],
) -> Result<Known, Failure> {
    let digest = made(stage, name, form, signers).to_string();
    let name = prod(name);
    let id = stage.cri().pull(&name).await.map_err(|error| format!("pulling {name}: {error}"))?;
    let known = Known { name, id, digest };
    runs(stage, pod, &known).await?;
    Ok(known)
}

/// Creates and runs one, which must say its name; the record of the create.
pub async fn runs(stage: &Stage, pod: &Pod, known: &Known) -> Result<Value, Failure> {
    let ran = stage.cri().run(pod, by_id(&known.id, &known.name)).await;
    let (exit, output) = ran.map_err(|error| format!("running {}: {error}", known.name))?;
    let short = known.name.rsplit_once('/').map_or("", |(_, name)| name).trim_end_matches(":v1");
    ensure!(
        exit == 0 && output.contains(&format!("hello from {short}")),
        "{short}: exit code {exit}: {output}"
    );
    stage.expect_record("CreateContainer", "admitted", "satisfied")
}

/// As [`runs`]; the admission must rest on what is on the node, and say how old that is. The age,
/// in seconds.
pub async fn runs_from_evidence(stage: &Stage, pod: &Pod, known: &Known) -> Result<u64, Failure> {
    let record = runs(stage, pod, known).await?;
    let from_here = ["evidence", "memory"].contains(&record["source"].as_str().unwrap_or_default());
    let age = record["evidence_age_seconds"].as_u64().filter(|_| from_here);
    age.ok_or_else(|| Failure(format!("{}: not from evidence with an age: {record:#}", known.name)))
}

/// Puts `prod/<name>:v1` into the registry, which says its name when it runs, signed by each of
/// these; its digest.
pub fn made(stage: &Stage, name: &str, form: Form, signers: &[&Signer]) -> Digest {
    let path = format!("prod/{name}");
    let image = Tiny::saying(&format!("hello from {name}"));
    push(stage, &path, Some("v1"), &image);
    sign(stage, &path, &image, form, signers);
    image.digest()
}

/// Signs an image that is in the registry, in place of whoever signed it in this form before.
pub fn sign(stage: &Stage, path: &str, image: &Tiny, form: Form, signers: &[&Signer]) {
    let digest = image.digest().to_string();
    match form {
        Form::Older if signers.is_empty() => {}
        Form::Older => older(stage, path, &digest, signers),
        Form::Bundle => {
            signers.iter().for_each(|signer| bundle(stage, path, image, &digest, signer))
        }
    }
}

fn older(stage: &Stage, path: &str, digest: &str, signers: &[&Signer]) {
    let payload = payload(digest, &format!("{HOST}/{path}"));
    let blob = stage.registry.put_blob(path, payload.as_bytes());
    let layer = |signer: &&Signer| {
        json!({
            "mediaType": SIMPLE_SIGNING, "digest": blob, "size": payload.len(),
            "annotations": signer.annotations(payload.as_bytes()),
        })
    };
    let config = stage.registry.put_blob(path, b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": signers.iter().map(layer).collect::<Vec<_>>(),
    });
    let tag = format!("{}.sig", digest.replace(':', "-"));
    stage.registry.put_manifest(path, Some(&tag), manifest.to_string().as_bytes(), MANIFEST);
}

fn bundle(stage: &Stage, path: &str, image: &Tiny, digest: &str, signer: &Signer) {
    let bundle = signer.statement_bundle(&statement(digest, IMAGE_SIGNATURE));
    let layer = stage.registry.put_blob(path, bundle.as_bytes());
    let config = stage.registry.put_blob(path, b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": layer, "size": bundle.len()}],
        "subject": {"mediaType": MANIFEST, "digest": digest, "size": image.manifest.len()},
    });
    stage.registry.put_manifest(path, None, manifest.to_string().as_bytes(), MANIFEST);
}
