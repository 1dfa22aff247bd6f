//! `sealgate evidence export`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::catalog::Catalog;
use super::fetch;
use super::finding::{self, KeptAbout, NodeRuntime, find, gathered};
use super::offline::KeptJudge;
use super::on_node::{NodeContent, tell_broken};
use super::wanted::Wanted;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, plain, shown};
use crate::config::Settings;
use crate::errno;
use crate::evidence::{Name, NoteValue, Notes, Origin, Pod, Subject};
use crate::evidence_store::layout::{self, Exported};
use crate::evidence_store::{Entry, Store};
use crate::image::{Digest, Document, Reference};
use crate::loader;

/// Room for what is written before it reaches the disk: the tar file is made of many small pieces.
const BUFFER: usize = 256 << 10;

/// What stands in a case in place of labels that are not known.
const NO_LABELS: &str = "      # imageLabels is left out: this node does not have the image's config, or it \
                         has labels that no case can have\n";

/// What to export, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Image names, digests, or first digits of digests.
    #[arg(value_name = "IMAGE", required_unless_present = "all", value_parser = Wanted::parse)]
    images: Vec<Wanted>,
    /// Everything that is kept.
    #[arg(long, conflicts_with = "images")]
    all: bool,
    /// The tar file to write; - for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file where there is one.
    #[arg(long)]
    force: bool,
    /// Ask the registries for what is not kept, under the policies of this node, and for the small
    /// files (manifests and configurations of images) that other tools want to see beside it.
    #[arg(long)]
    fetch: bool,
    /// Write NAME.yaml beside the file as well: a case for `sealgate policy test`, with what today's
    /// policies say of each image by this evidence.
    #[arg(long, value_name = "NAME", value_parser = case_name)]
    as_case: Option<String>,
    /// The namespace of the pod in that case; not known when left out.
    #[arg(long, value_name = "NAMESPACE", requires = "as_case")]
    namespace: Option<String>,
}

/// A name of a document, which is a file name too.
fn case_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges = [text.bytes().next(), text.bytes().last()];
    let is_good = edges.into_iter().all(|edge| edge.is_some_and(fits))
        && text.bytes().all(|b| fits(b) || b == b'-' || b == b'.')
        && text.len() <= 63;
    if is_good {
        return Ok(text.to_owned());
    }
    Err("not a name: at most 63 lower-case letters, digits, dashes and dots".to_owned())
}

/// What was written, for programs.
#[derive(Serialize)]
struct Answer {
    file: String,
    images: Vec<ExportedImage>,
    carriers: usize,
    blobs: usize,
    bytes: u64,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct ExportedImage {
    name: Option<String>,
    digest: String,
}

/// Writes a layout; 1 when nothing is kept about one of the images.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let out = Out::of(options)?;
    let case = case_file(options)?;
    let store = Store::open(settings.evidence.clone()).map_err(|error| error.to_string())?;
    let found = match wanted(options, &store, settings, screen)? {
        Ok(found) => found,
        Err(why) => {
            screen.complain(&why);
            return Ok(Exit::Refused);
        }
    };
    let entries = entries_of(&found);
    let names = names_of(&found);
    let extra =
        if options.fetch { fetch::complete(&found, &store, settings, screen)? } else { Vec::new() };
    let mut progress = |done, all| screen.progress("writing", done, all);
    let written = out.write(&mut |out| {
        layout::export(&store, &entries, &names, &extra, (out, &mut progress))
            .map_err(|error| error.to_string())
    })?;
    screen.end_progress();
    tell_broken(&store, screen);
    if let Some(path) = &case {
        let text = case_of(options, &found, &store, settings)?;
        fs::write(path, text).map_err(|error| CommandError::unwritten(path, &error))?;
        screen.complain(&format!("the case is in {}", path.display()));
    }
    told(&out, &found, &written, screen);
    Ok(Exit::Done)
}

/// What is kept about each image that is wanted; the inner error says of which there is nothing.
fn wanted(
    options: &Options,
    store: &Store,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Result<Vec<KeptAbout>, String>, String> {
    let catalog = Catalog::of(store)?;
    if options.all {
        let found = finding::all(&catalog);
        return Ok(if found.is_empty() { Err("nothing is kept".to_owned()) } else { Ok(found) });
    }
    let (mut found, mut fetched) = (Vec::new(), Vec::new());
    let mut node = NodeRuntime::new(settings);
    for wanted in &options.images {
        match find(wanted, &catalog, &mut node, screen) {
            Ok(one) => found.push(one),
            Err(_) if options.fetch => match fetch::admit(wanted, settings)? {
                Ok(admitted) => fetched.push(admitted),
                Err(why) => return Ok(Err(why)),
            },
            Err(why) => return Ok(Err(why)),
        }
    }
    if !fetched.is_empty() {
        let catalog = Catalog::of(store)?;
        for (reference, target) in fetched {
            match gathered(Some(reference), &target, &catalog) {
                Ok(one) => found.push(one),
                Err(why) => return Ok(Err(why)),
            }
        }
    }
    Ok(Ok(found))
}

/// Where the case goes; refuses what would be lost.
fn case_file(options: &Options) -> Result<Option<PathBuf>, String> {
    let Some(name) = &options.as_case else { return Ok(None) };
    if options.out.as_os_str() == "-" {
        return Err("a case names the file of its evidence: name one with --out".to_owned());
    }
    let path = options.out.with_file_name(format!("{name}.yaml"));
    if !options.force && fs::symlink_metadata(&path).is_ok() {
        return Err(format!("{} is there; it stays without --force", shown(&path)));
    }
    Ok(Some(path))
}

/// The document of a case for each image, with what today's policies say.
fn case_of(
    options: &Options,
    found: &[KeptAbout],
    store: &Store,
    settings: &Settings,
) -> Result<String, String> {
    let loaded =
        loader::load(&settings.policy, &settings.trust).map_err(|error| error.to_string())?;
    let (set, catalog) = (Arc::new(loaded.policies), Catalog::of(store)?);
    let judge = KeptJudge::new(settings, Some(store));
    let document = options.as_case.as_deref().unwrap_or_default();
    let evidence = options.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut text = format!(
        "apiVersion: sealgate/v1\nkind: PolicyTest\nmetadata: {{name: {document}}}\nspec:\n  cases:\n"
    );
    let mut node = NodeContent::of(settings).ok();
    for about in found {
        let own = about.entries.first().map(|entry| entry.place.repository.at(&about.target));
        let Some(image) = about.names.first().cloned().or(own) else { continue };
        let reference = Reference::parse(&image).map_err(|error| format!("{image}: {error}"))?;
        let subject = |child: Option<&Digest>| Subject {
            name: Name::Known(reference.clone()),
            target: about.target.clone(),
            child: child.cloned(),
            origin: Origin::Registry,
        };
        let mut pod = Pod { namespace: options.namespace.clone(), ..Pod::default() };
        let children = catalog.children_of(&about.target);
        let labels = labels_of(children.iter().chain([&about.target]), &mut node);
        if let Some(labels) = &labels {
            pod.traits.image_labels = Notes::all(labels.clone());
        }
        // Of the manifests under an index that one which is admitted, as in a decision.
        let told =
            |child: Option<&Digest>| judge.judge(&set, subject(child), &pod, &catalog).told();
        let admitted = children.iter().find(|child| told(Some(child)).0.is_admission());
        let child = admitted.or_else(|| children.first());
        let (verdict, code) = told(child);
        let fields = [
            ("image", Some(image.as_str())),
            ("digest", Some(about.target.as_str())),
            ("platformManifest", child.map(Digest::as_str)),
            ("namespace", options.namespace.as_deref()),
            ("at", Some(&*judge.now().to_string())),
            ("evidence", Some(evidence.as_str())),
            ("verdict", Some(verdict.word())),
            ("code", Some(code.as_str())),
        ]
        .map(|(name, value)| value.map(|value| format!("      {name}: {}\n", quoted(value))));
        text.push_str(&format!("    - name: {}\n", quoted(&image)));
        text.extend(fields.into_iter().flatten());
        text.push_str(&match labels {
            Some(labels) => format!("      imageLabels: {}\n", serde_json::json!(labels)),
            None => NO_LABELS.to_owned(),
        });
    }
    Ok(text)
}

/// The labels of the image of the first of these manifests whose config the runtime has; none where
/// it has none, or where a case cannot have them all. A runtime that does not answer is not asked
/// again.
fn labels_of<'d>(
    manifests: impl Iterator<Item = &'d Digest>,
    node: &mut Option<NodeContent>,
) -> Option<BTreeMap<String, String>> {
    for manifest in manifests {
        let read = node.as_ref()?.document(manifest).and_then(|document| match document {
            Some(Document::Manifest(manifest)) => {
                node_labels(node.as_ref(), &manifest.config.digest)
            }
            Some(Document::Index(_)) | None => Ok(None),
        });
        match read {
            Ok(Some(labels)) => return Some(labels).filter(are_whole),
            Ok(None) => {}
            Err(_) => *node = None,
        }
    }
    None
}

fn node_labels(
    node: Option<&NodeContent>,
    config: &Digest,
) -> Result<Option<BTreeMap<String, String>>, String> {
    node.map_or(Ok(None), |node| node.labels(config))
}

/// Whether a case can have these labels: not too many, and none with too long a value.
fn are_whole(labels: &BTreeMap<String, String>) -> bool {
    let notes = Notes::all(labels.clone());
    labels.iter().all(|(key, value)| notes.get(key) == NoteValue::Is(value))
}

/// A text as YAML has it in double quotes, which is as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Each entry once, in the order of the images.
fn entries_of(found: &[KeptAbout]) -> Vec<Entry> {
    let mut places = HashSet::new();
    let entries = found.iter().flat_map(|found| &found.entries);
    entries.filter(|entry| places.insert(&entry.place)).cloned().collect()
}

/// Every name once.
fn names_of(found: &[KeptAbout]) -> Vec<(String, Digest)> {
    let named = found
        .iter()
        .flat_map(|found| found.names.iter().map(|name| (name.clone(), found.target.clone())));
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Where a layout is written.
enum Out {
    /// Standard output.
    Stream,
    /// A file; whatever goes wrong, it is as it was.
    File(PathBuf),
}

impl Out {
    /// Refuses what would be lost, or what nobody can read.
    fn of(options: &Options) -> Result<Self, String> {
        if options.out.as_os_str() == "-" {
            let terminal = io::stdout().is_terminal();
            return if terminal {
                Err("a tar file is not for a terminal: name a file with --out".to_owned())
            } else {
                Ok(Self::Stream)
            };
        }
        let shown = shown(&options.out);
        match fs::symlink_metadata(&options.out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{shown}: {}", errno::told(&error))),
            Ok(there) if !there.is_file() => {
                return Err(format!("{shown} is there and is no plain file; it stays"));
            }
            Ok(_) if !options.force => {
                return Err(format!("{shown} is there; it stays without --force"));
            }
            Ok(_) => {}
        }
        Ok(Self::File(options.out.clone()))
    }

    fn write(
        &self,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<Exported, String>,
    ) -> Result<Exported, String> {
        let Self::File(path) = self else {
            let mut out = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
            let written = write(&mut out)?;
            return out
                .flush()
                .map(|()| written)
                .map_err(|error| format!("standard output: {}", errno::told(&error)));
        };
        let beside = beside(path);
        let failed = |error: io::Error| format!("{}: {}", shown(&beside), errno::told(&error));
        let file = OpenOptions::new().write(true).create_new(true).open(&beside).map_err(failed)?;
        let written = fill(file, write, &failed)
            .and_then(|written| fs::rename(&beside, path).map(|()| written).map_err(failed));
        if written.is_err() {
            drop(fs::remove_file(&beside));
        }
        written
    }
}

/// Durably: an archive that is carried away must not be empty after a power cut.
fn fill(
    file: File,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<Exported, String>,
    failed: &dyn Fn(io::Error) -> String,
) -> Result<Exported, String> {
    let mut out = io::BufWriter::with_capacity(BUFFER, file);
    let written = write(&mut out)?;
    let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(written)
}

/// A name in the same folder that nothing else has.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

fn told(out: &Out, found: &[KeptAbout], written: &Exported, screen: &mut Screen) {
    let Exported { carriers, blobs, bytes, left_out, .. } = written;
    let sum = format!("{carriers} signature manifests, {blobs} files, {bytes} bytes");
    for digest in left_out {
        screen.complain(&format!("left out, since it is not kept whole: {digest}"));
    }
    let Out::File(path) = out else {
        return screen.complain(&format!("written to standard output: {sum}"));
    };
    let file = path.display().to_string();
    if screen.is_json() {
        let names = |found: &KeptAbout| match found.names.is_empty() {
            true => vec![None],
            false => found.names.iter().cloned().map(Some).collect(),
        };
        let image = |found: &KeptAbout| {
            let digest = found.target.to_string();
            names(found).into_iter().map(move |name| ExportedImage { name, digest: digest.clone() })
        };
        let images = found.iter().flat_map(image).collect();
        let left_out = left_out.iter().map(ToString::to_string).collect();
        return screen.json(&Answer {
            file,
            images,
            carriers: *carriers,
            blobs: *blobs,
            bytes: *bytes,
            left_out,
        });
    }
    for found in found {
        screen.line(&found.target.to_string());
        for name in &found.names {
            screen.line(&format!("  as {}", plain(name)));
        }
    }
    screen.line(&format!("{}: {sum}", plain(&file)));
}
