//! A node that no registry reaches: images come as archives, and so does the evidence on them.

use std::fs;
use std::path::{Path, PathBuf};

use sealgate::image::Digest;

use crate::acts::{No, create_refused};
use crate::containerd::Pod;
use crate::ensure;
use crate::fixtures;
use crate::kept::{done_by, folder};
use crate::means::{digest_of, prod};
use crate::outage::take_away;
use crate::registry::Settings;
use crate::signers::{Group, policies};
use crate::stage::{Failure, Outcome, Props, Stage, by_id};
use crate::tiny::Tiny;

/// Images in both forms, by keys and by identities, with an attestation and as an index.
const IMAGES: [&str; 6] =
    ["signed-v2", "signed-v3", "keyless", "keyless-v2", "provenance", "index-v3"];

/// Two nodes under the same policy.
struct Nodes {
    /// Has a registry, and admitted the images.
    connected: Stage,
    /// Has none.
    apart: Stage,
    pod: Pod,
}

pub async fn air_gap() -> Outcome {
    let mut nodes = Nodes::set().await?;
    let archives = nodes.archives()?;
    for (name, archive) in IMAGES.iter().zip(&archives) {
        nodes.bring(archive)?;
        let message = nodes.refused(name).await?;
        ensure!(message.contains("sealgate evidence import"), "no word of what to do: {message}");
    }
    println!("   {} images were brought, and are refused without evidence", IMAGES.len());

    // One after the other: what one brings is nothing to the others.
    for (done, name) in IMAGES.iter().enumerate() {
        let file = nodes.exported(&[*name])?;
        nodes.tampered(name, &file).await?;
        done_by(&nodes.apart, &["evidence", "import", &text(&file)])?;
        nodes.runs(name).await?;
        for other in &IMAGES[done + 1..] {
            nodes.refused(other).await?;
        }
    }
    ensure!(
        nodes.apart.registry.requests().is_empty(),
        "asked: {:#?}",
        nodes.apart.registry.requests()
    );

    let whole = nodes.exported(&IMAGES)?;
    done_by(&nodes.apart, &["evidence", "import", &text(&whole)])?;
    let verified = done_by(&nodes.apart, &["evidence", "verify"])?;
    println!(
        "   all in one file, {} bytes; verify says: {}",
        fs::metadata(&whole)?.len(),
        verified.lines().last().unwrap_or_default()
    );
    for name in IMAGES {
        nodes.runs(name).await?;
    }
    nodes.unsigned().await?;
    // The unsigned image has the names of these now.
    nodes.mislabelled("signed-v2").await?;
    nodes.mislabelled("signed-v3").await
}

impl Nodes {
    async fn set() -> Result<Self, Failure> {
        let props = || {
            Ok::<_, Failure>(Props {
                registry: Settings::conforming(),
                policy: policies(&Group::ALL),
                ..Props::usual()?
            })
        };
        let connected = Stage::set(props()?).await?;
        let mut apart = Stage::set(props()?).await?;
        // Its sandboxes' image comes while there is a registry; after this nobody listens where
        // hosts.toml points.
        let pod = apart.pod().await?;
        take_away(&mut apart);
        Ok(Self { connected, apart, pod })
    }

    /// Admits every image on the connected node, and writes each as an archive.
    fn archives(&self) -> Result<Vec<PathBuf>, Failure> {
        let folder = self.connected.folder().join("archives");
        fs::create_dir(&folder)?;
        let archive = |name: &&str| {
            let image = prod(name);
            let file = folder.join(format!("{name}.tar"));
            let pulled = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(self.connected.pull_and_run(&image))
            })?;
            ensure!(pulled.0 == 0, "{image}: exit code {}", pulled.0);
            self.connected.containerd.ctr(&["images", "export", &text(&file), &image]);
            Ok(file)
        };
        IMAGES.iter().map(archive).collect()
    }

    fn bring(&self, archive: &Path) -> Outcome {
        self.apart.containerd.ctr(&["images", "import", &text(archive)]);
        Ok(())
    }

    /// What the connected node knows of these images, in a file.
    fn exported(&self, names: &[&str]) -> Result<PathBuf, Failure> {
        let file =
            self.connected.folder().join(format!("evidence-{}-{}.tar", names.len(), names[0]));
        if file.exists() {
            return Ok(file);
        }
        let images: Vec<String> = names.iter().map(|name| prod(name)).collect();
        let mut args = vec!["evidence", "export"];
        args.extend(images.iter().map(String::as_str));
        let path = text(&file);
        args.extend(["--out", &path]);
        done_by(&self.connected, &args)?;
        Ok(file)
    }

    async fn id(&self, name: &str) -> Result<String, Failure> {
        let image = self.apart.containerd.cri().image(&prod(name)).await?;
        Ok(image.ok_or_else(|| Failure(format!("{name} is not on the node")))?.id)
    }

    async fn runs(&self, name: &str) -> Outcome {
        let id = self.id(name).await?;
        let ran = self.apart.cri().run(&self.pod, by_id(&id, &prod(name))).await;
        let (exit, output) = ran.map_err(|error| format!("{name}, with its evidence: {error}"))?;
        ensure!(
            exit == 0 && output.contains(&format!("hello from {name}")),
            "{name}: exit code {exit}: {output}"
        );
        let record = self.apart.expect_record("CreateContainer", "admitted", "satisfied")?;
        let told = ["evidence", "memory"].contains(&record["source"].as_str().unwrap_or_default());
        ensure!(told && record["evidence_age_seconds"].is_u64(), "{record:#}");
        println!(
            "   {name}: said {:?}, from {}, {} s old",
            output.trim(),
            record["source"],
            record["evidence_age_seconds"]
        );
        Ok(())
    }

    /// The message.
    async fn refused(&self, name: &str) -> Result<String, Failure> {
        let id = self.id(name).await?;
        create_refused(&self.apart, &self.pod, by_id(&id, &prod(name)), No::refused("no-origin"))
            .await
    }

    /// Takes all evidence from the node without a registry.
    async fn forget(&mut self) -> Outcome {
        self.apart.kill_gate()?;
        fs::remove_dir_all(folder(&self.apart))?;
        self.apart.start_gate().await
    }

    /// Evidence of a signed image with the digest of an unsigned one written over that of the
    /// signed one.
    async fn mislabelled(&mut self, name: &str) -> Outcome {
        let unsigned = Tiny::saying("hello from nobody");
        let archive = self.apart.folder().join("nobody.tar");
        fs::write(&archive, unsigned.archive(&[&prod(name)]))?;
        self.bring(&archive)?;
        let good = fs::read(self.exported(&[name])?)?;
        let (from, to) = (digest_of(name, "v1"), unsigned.digest().to_string());
        let index = tar::Archive::new(&good[..]).entries()?.find_map(|entry| {
            let entry = entry.ok()?;
            let begin = usize::try_from(entry.raw_file_position()).ok()?;
            let size = usize::try_from(entry.size()).ok()?;
            (entry.path().ok()?.as_ref() == Path::new("index.json")).then_some(begin..begin + size)
        });
        // In the index alone, where all that is signed stays as it was; then wherever it stands.
        for range in [index.ok_or("no index")?, 0..good.len()] {
            let mut bytes = good.clone();
            let places =
                range.filter(|at| good[*at..].starts_with(from.as_bytes())).collect::<Vec<usize>>();
            ensure!(!places.is_empty(), "the export does not name {name}");
            for at in places {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
            self.helps_not(name, &bytes).await?;
        }
        Ok(())
    }

    /// Evidence made of that of a signed image does not admit an unsigned one.
    async fn helps_not(&self, name: &str, bytes: &[u8]) -> Outcome {
        let path = self.connected.folder().join("mislabelled.tar");
        fs::write(&path, bytes)?;
        let output = self.apart.sealgate(&["evidence", "import", &text(&path)])?;
        let id = self.id(name).await?;
        let refusal = self.apart.cri().create(&self.pod, by_id(&id, &prod(name))).await.err();
        let refusal = refusal.ok_or_else(|| {
            Failure(format!("unsigned, admitted by the evidence of {name}: {output:?}"))
        })?;
        println!(
            "   labelled as another image's, the import says {:?}: {}",
            output.status.code(),
            refusal.message()
        );
        Ok(())
    }

    /// A changed export is refused, or what is missing of it leaves the image refused. What may be
    /// changed at will is what proves nothing: words for people, and the image's own manifest,
    /// which is on the node.
    async fn tampered(&mut self, name: &str, file: &Path) -> Outcome {
        let good = fs::read(file)?;
        let mut changed = vec![("an early end".to_owned(), good[..good.len() / 2].to_vec())];
        let mut index = String::new();
        for entry in tar::Archive::new(&good[..]).entries()? {
            let mut entry = entry?;
            let (path, at) =
                (entry.path()?.display().to_string(), usize::try_from(entry.raw_file_position())?);
            let middle = at + usize::try_from(entry.size())? / 2;
            if path == "index.json" {
                std::io::Read::read_to_string(&mut entry, &mut index)?;
            } else if path.starts_with("blobs/") && entry.size() > 0 {
                let mut bytes = good.clone();
                bytes[middle] ^= 1;
                changed.push((path, bytes));
            }
        }
        changed.extend(relabelled(&good, &index)?);
        let (path, id) = (self.connected.folder().join("tampered.tar"), self.id(name).await?);
        let idle = proves_nothing(name)?;
        let (mut refused, mut harmless) = (0, 0);
        for (what, bytes) in &changed {
            fs::write(&path, bytes)?;
            let output = self.apart.sealgate(&["evidence", "import", &text(&path)])?;
            refused += usize::from(!output.status.success());
            if self.apart.cri().create(&self.pod, by_id(&id, &prod(name))).await.is_ok() {
                let proves =
                    what.starts_with("blobs/") && !idle.iter().any(|digest| what.ends_with(digest));
                ensure!(!proves, "{name} was admitted although {what} was changed: {output:?}");
                harmless += 1;
                self.forget().await?;
            }
        }
        self.forget().await?;
        println!(
            "   {name}: evidence changed in {} ways: {refused} times refused by the import, \
             {harmless} times nothing that proves",
            changed.len()
        );
        Ok(())
    }

    /// An unsigned image, also under the name of one that runs.
    async fn unsigned(&self) -> Outcome {
        let image = Tiny::saying("hello from nobody");
        for name in ["unsigned", "signed-v2"] {
            let file = self.apart.folder().join("unsigned.tar");
            fs::write(&file, image.archive(&[&prod(name)]))?;
            self.bring(&file)?;
            self.refused(name).await?;
        }
        Ok(())
    }
}

/// Digests, without algorithm, of what an export holds and no signature depends on: the image's own
/// manifests, which are on the node, and the empty document that stands where a config must.
fn proves_nothing(name: &str) -> Result<Vec<String>, Failure> {
    let target = digest_of(name, "v1");
    let document: serde_json::Value =
        serde_json::from_slice(&fixtures::prod(name).manifests[&target].1)?;
    let children = document["manifests"].as_array().into_iter().flatten();
    let children = children.filter_map(|child| child["digest"].as_str().map(str::to_owned));
    let all = children.chain([target, Digest::of(b"{}").to_string()]);
    Ok(all.map(|digest| digest.trim_start_matches("sha256:").to_owned()).collect())
}

/// The archive with other digests in its index: each that stands in it, in turn, one digit off.
fn relabelled(good: &[u8], index: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let at =
        good.windows(index.len()).position(|part| part == index.as_bytes()).ok_or("no index")?;
    let digests: std::collections::BTreeSet<usize> =
        index.match_indices("sha256:").map(|(found, prefix)| found + prefix.len()).collect();
    let one = |digit: usize| {
        let mut bytes = good.to_vec();
        bytes[at + digit] = if bytes[at + digit] == b'0' { b'1' } else { b'0' };
        (format!("index.json at {digit}"), bytes)
    };
    Ok(digests.into_iter().map(one).collect())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
