//! A container that is restored from a checkpoint (fact C8), on a containerd that does so: only of a
//! checkpoint that is signed and that policies let be restored, and of a base image that is on the
//! node and passes by itself. Images are named by the registry's address, since containerd asks for
//! the base image by itself, and without TLS only there. Without CRIU on the machine the processes
//! of the archive do not start; all before that is containerd's own.

use std::fs;

use serde_json::{Value, json};
use tonic::Status;

use crate::acts::{containers, push};
use crate::containerd::{Flavour, Missing, Pod};
use crate::ensure;
use crate::making::{Form, made, sign};
use crate::nri::connected;
use crate::registry::{OCI_INDEX, OCI_MANIFEST, Settings};
use crate::signing::Signer;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};
use crate::tiny::{Tiny, architecture};

/// What a checkpoint is, by what its manifest says of it and what is in its archive.
#[derive(Clone, Copy)]
struct Checkpoint<'c> {
    name: &'c str,
    /// The base image that the manifest names.
    told: Option<&'c str>,
    /// And the one that the archive does.
    archived: &'c str,
    is_signed: bool,
}

/// A node that has a signed base image.
struct Node {
    stage: Stage,
    signer: Signer,
    pod: Pod,
    /// `repository@digest` of the base image.
    base: String,
}

/// A containerd that restores: 2.1 to 2.3.
fn restoring_flavour() -> Result<Flavour, Missing> {
    let restores = |flavour: &Flavour| flavour.version >= (2, 1) && flavour.version < (2, 4);
    Flavour::all().into_iter().find(restores).ok_or(Missing::Containerd(2, 1))
}

/// The usual policy about images of the registry by its address.
fn policy(host: &str, permission: &str) -> String {
    let usual = usual_policy().replace("build.pub", "own.pub");
    let usual = usual.replacen(&format!("{HOST}/prod"), &format!("{host}/prod"), 1);
    usual.replacen("  require:", &format!("{permission}  require:"), 1)
}

impl Node {
    async fn set() -> Result<Self, Failure> {
        let signer = Signer::p256();
        let stage = Stage::set(Props {
            flavour: restoring_flavour()?,
            registry: Settings::conforming(),
            keys: vec![("own.pub".to_owned(), signer.pem())],
            nri: true,
            ..Props::usual()?
        })
        .await?;
        let (host, url) = (stage.registry.host(), stage.registry.url());
        let folder = stage.containerd.folder().join("certs.d").join(&host);
        fs::create_dir_all(&folder)?;
        let hosts = format!("server = \"{url}\"\n[host.\"{url}\"]\n");
        fs::write(folder.join("hosts.toml"), hosts)?;
        let digest = made(&stage, "base", Form::Bundle, &[&signer]);
        let pod = stage.pod().await?;
        let base = format!("{host}/prod/base@{digest}");
        let mut node = Self { stage, signer, pod, base };
        node.under("").await?;
        node.stage.cri().pull(&node.named("base")).await?;
        Ok(node)
    }

    /// An image of the registry by its address.
    fn named(&self, name: &str) -> String {
        format!("{}/prod/{name}:v1", self.stage.registry.host())
    }

    /// The gate started anew, with this line in its policy.
    async fn under(&mut self, permission: &str) -> Outcome {
        self.stage.write_policy(&policy(&self.stage.registry.host(), permission))?;
        self.stage.kill_gate()?;
        self.stage.start_gate().await?;
        // The tripwire takes a restored container for the gate's own too.
        connected(&self.stage).await?;
        Ok(())
    }

    /// A checkpoint as `checkpointctl build` makes it.
    fn image(&self, checkpoint: &Checkpoint<'_>) -> Result<Tiny, Failure> {
        let Checkpoint { name, told, archived, .. } = *checkpoint;
        let image = archived.split('@').next().unwrap_or_default();
        let config = json!({
            "id": "before", "name": "main", "rootfsImage": image, "rootfsImageName":
            format!("{image}:v1"), "rootfsImageRef": archived, "runtime": "io.containerd.runc.v2",
            "createdTime": "2026-01-01T00:00:00Z", "checkpointedTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({
            "id": "before", "metadata": {"name": "main"}, "image": {"image": format!("{image}:v1")},
        });
        let spec =
            json!({"ociVersion": "1.1.0", "annotations": {"io.kubernetes.cri.sandbox-id": "s"}});
        let [config, status, spec] = [config, status, spec].map(|it| it.to_string().into_bytes());
        let mut image = Tiny::files(&[
            // No two have the same id.
            ("name", name.as_bytes(), 0o600),
            ("config.dump", &config, 0o600),
            ("status.dump", &status, 0o600),
            ("spec.dump", &spec, 0o600),
        ]);
        let mut manifest: Value = serde_json::from_slice(&image.manifest)?;
        manifest["annotations"] = json!({"org.criu.checkpoint.container.name": "main"});
        if let Some(told) = told {
            manifest["annotations"]["org.criu.checkpoint.rootfsImageID"] = json!(told);
        }
        image.manifest = serde_json::to_vec(&manifest)?;
        Ok(image)
    }

    /// Puts a checkpoint into the registry; its name.
    fn put(&self, checkpoint: &Checkpoint<'_>) -> Result<String, Failure> {
        let Checkpoint { name, is_signed, .. } = *checkpoint;
        let image = self.image(checkpoint)?;
        let path = format!("prod/{name}");
        push(&self.stage, &path, Some("v1"), &image);
        if is_signed {
            sign(&self.stage, &path, &image, Form::Bundle, &[&self.signer]);
        }
        Ok(self.named(name))
    }

    /// Restores a container of it: pulled and created as a kubelet does.
    async fn restore(&self, checkpoint: &Checkpoint<'_>) -> Result<String, Status> {
        let name = self.put(checkpoint).map_err(|why| Status::internal(why.0))?;
        let id = self.stage.cri().pull(&name).await?;
        self.stage.cri().create(&self.pod, by_id(&id, &name)).await
    }

    /// It must be refused at this call for this reason.
    async fn refuses(&self, what: &str, checkpoint: &Checkpoint<'_>, on: (&str, &str)) -> Outcome {
        let refusal = self.restore(checkpoint).await.err();
        let refusal = refusal.ok_or_else(|| Failure(format!("restored: {what}")))?;
        self.stage.expect_record(on.0, "refused", on.1)?;
        println!("   {what}: {}", refusal.message());
        Ok(())
    }
}

pub async fn restoring() -> Outcome {
    let mut node = Node::set().await?;
    let base = node.base.clone();
    let good = Checkpoint { name: "good", told: Some(&base), archived: &base, is_signed: true };
    let on_pull = ("PullImage", "checkpoint-image");
    node.refuses("no policy lets it be restored", &good, on_pull).await?;
    node.under("  allowCheckpointRestore: true\n").await?;

    let bare = Checkpoint { name: "bare", is_signed: false, ..good };
    node.refuses("nobody signed it", &bare, ("PullImage", "unsigned")).await?;
    let untold = Checkpoint { name: "untold", told: None, ..good };
    let on_create = ("CreateContainer", "checkpoint-unproven");
    node.refuses("it names no base image", &untold, on_create).await?;
    let by_tag = node.named("base");
    let tagged = Checkpoint { name: "tagged", told: Some(&by_tag), ..good };
    node.refuses("it names its base image by a tag", &tagged, on_create).await?;
    index_of_two(&node, &good).await?;
    restored(&mut node, &good).await?;
    other_base(&node, &good).await
}

/// What is signed and may be restored, of a base image that passes.
async fn restored(node: &mut Node, good: &Checkpoint<'_>) -> Outcome {
    let container = node.restore(good).await?;
    let records = node.stage.records();
    let of_create: Vec<&Value> =
        records.iter().rev().filter(|record| record["call"] == "CreateContainer").take(2).collect();
    let is_admitted = |reference: &str| {
        of_create.iter().any(|it| it["verdict"] == "admitted" && it["reference"] == reference)
    };
    ensure!(is_admitted(&node.named("good")) && is_admitted(&node.base), "{of_create:#?}");
    let status = node.stage.containerd.cri().container(&container).await?;
    ensure!(status.annotations.contains_key("restored"), "not restored: {status:?}");
    println!("   signed, allowed, of a signed base image: made of {}", status.image_ref);
    swept(node, &container)?;
    // Whether its processes start is CRIU's business; the gate lets it.
    let started = node.stage.cri().start(&container).await;
    let refused = node
        .stage
        .records()
        .into_iter()
        .find(|it| it["call"] == "StartContainer" && it["container_id"] == container.as_str());
    ensure!(refused.is_none(), "the gate refused the start: {refused:#?}");
    println!("   its start reaches containerd: {started:?}");
    // A gate that saw nothing of it cannot tell what was restored.
    node.stage.kill_gate()?;
    node.stage.start_gate().await?;
    let refusal = node.stage.cri().start(&container).await.err().ok_or("started again")?;
    node.stage.expect_record("StartContainer", "refused", "checkpoint-unproven")?;
    println!("   after a restart of the gate: {}", refusal.message());
    Ok(())
}

/// A sweep judges a checkpoint as a create does, and not as an image that would run.
fn swept(node: &Node, container: &str) -> Outcome {
    let output = node.stage.sealgate(&["running", "--output", "json"])?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let rows = found["rows"].as_array().ok_or("no rows")?;
    let row = |what: &str, is_it: &dyn Fn(&Value) -> bool| {
        let row = rows.iter().find(|row| is_it(row)).cloned();
        row.ok_or_else(|| Failure(format!("no row of {what}: {rows:#?}")))
    };
    let of_image = |name: &str| {
        let name = format!("/prod/{name}");
        row(&name, &|row| {
            row["kind"] == "image" && row["image"].as_str().is_some_and(|it| it.contains(&name))
        })
    };
    let (good, untold) = (of_image("good")?, of_image("untold")?);
    ensure!(good["standing"] == "admitted", "{good:#}");
    ensure!(
        untold["standing"] == "would-be-refused" && untold["code"] == "checkpoint-unproven",
        "{untold:#}"
    );
    let made = row("the container", &|row| row["id"] == container)?;
    // Its base image passes; the checkpoint cannot be judged again.
    ensure!(
        made["standing"] == "cannot-be-told" && made["code"] == "checkpoint-unproven",
        "{made:#}"
    );
    Ok(())
}

/// An index that is signed as a whole, with a checkpoint for another platform beside: whose archive
/// would be restored is the runtime's choice.
async fn index_of_two(node: &Node, good: &Checkpoint<'_>) -> Outcome {
    let image = |name| node.image(&Checkpoint { name, ..*good });
    let (own, other) = (image("two")?, image("other")?);
    let entry = |image: &Tiny, architecture: &str| {
        json!({
            "mediaType": OCI_MANIFEST, "digest": image.digest().to_string(),
            "size": image.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let elsewhere = if architecture() == "s390x" { "ppc64le" } else { "s390x" };
    let index = json!({
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [entry(&other, elsewhere), entry(&own, architecture())],
        "annotations": {
            "org.criu.checkpoint.container.name": "main",
            "org.criu.checkpoint.rootfsImageID": good.told,
        },
    });
    let index = serde_json::to_vec(&index)?;
    for image in [&other, &own] {
        push(&node.stage, "prod/two", None, image);
    }
    node.stage.registry.put_manifest("prod/two", Some("v1"), &index, OCI_INDEX);
    let mut whole = own.clone();
    whole.manifest = index;
    sign(&node.stage, "prod/two", &whole, Form::Bundle, &[&node.signer]);
    let name = node.named("two");
    let id = node.stage.cri().pull(&name).await?;
    let refusal = node.stage.cri().create(&node.pod, by_id(&id, &name)).await.err();
    let refusal = refusal.ok_or("restored: of an index of two")?;
    node.stage.expect_record("CreateContainer", "refused", "checkpoint-unproven")?;
    println!("   its index has two manifests: {}", refusal.message());
    Ok(())
}

/// A base image that is absent, that nobody signed, and another in the archive than is told.
async fn other_base(node: &Node, good: &Checkpoint<'_>) -> Outcome {
    let unsigned = made(&node.stage, "unsigned-base", Form::Bundle, &[]);
    let unsigned = format!("{}/prod/unsigned-base@{unsigned}", node.stage.registry.host());
    let absent = Checkpoint { name: "absent", told: Some(&unsigned), archived: &unsigned, ..*good };
    let refusal = node.restore(&absent).await.err().ok_or("of a base image that is absent")?;
    node.stage.expect_record("CreateContainer", "unable", "checkpoint-base")?;
    let brought = node.stage.containerd.cri().image(&unsigned).await?;
    ensure!(brought.is_none(), "containerd brought it: {brought:?}");
    println!("   its base image is not on the node: {}", refusal.message());
    node.stage.containerd.cri().pull(&unsigned).await?;
    let bad = Checkpoint { name: "bad", ..absent };
    node.refuses("nobody signed its base image", &bad, ("CreateContainer", "checkpoint-base"))
        .await?;
    let lies = Checkpoint { name: "lies", archived: &unsigned, ..*good };
    let refusal = node.restore(&lies).await.err().ok_or("of another base image than it tells")?;
    node.stage.expect_record("CreateContainer", "refused", "other-root-filesystem")?;
    let left = containers(&node.stage).await?;
    ensure!(left.len() == 1, "one was restored, and these are there: {left:?}");
    println!("   its archive names another base image: {}", refusal.message());
    Ok(())
}
