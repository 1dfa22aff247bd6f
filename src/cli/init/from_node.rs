//! Drafts from the images of this node: asks the runtime what there is, the evidence on the node and
//! then, where it may, the registries who signed it, and tries what it drafts before it gives it out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::attestor::DraftAttestor;
use super::draft::{DraftFile, draft};
use super::files::write_new;
use super::found::{FoundImage, FoundImages, add};
use super::probe::Probe;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::KeptJudge;
use crate::cli::evidence::on_node::{existing, tokio_runtime};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::cli::trial::item::{Items, TrialQuestion};
use crate::cli::trial::node::NodeImages;
use crate::config::Settings;
use crate::cri::ask::PullRequest;
use crate::cri::{Ending, Gate, Refusal, Timings};
use crate::daemon::{self, CLOCK};
use crate::evidence::{Pod, Subject};
use crate::image::Reference;
use crate::loader::{Check, CheckSource, Severity};
use crate::policy::{ImageScope, PolicyFile, PolicySet, Report, Verdict};

/// How long registries are asked in all: a node has some hundred images, and each takes seconds at
/// most where its registry answers.
const NETWORK_MAX: Duration = Duration::from_secs(600);

/// How to draft.
#[derive(Debug, Args)]
pub(super) struct DraftOptions {
    /// Ask the registries about images of which the evidence on the node does not say who signed
    /// them; for ten minutes at most.
    #[arg(long, requires = "from_node")]
    network: bool,
    /// The folder of keys that may have signed; the configured one when left out.
    #[arg(long, value_name = "FOLDER", requires = "from_node")]
    keys: Option<PathBuf>,
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct Summary<'s> {
    images: usize,
    signed: usize,
    /// Admitted by their digests.
    by_digest: usize,
    /// On the node and in no document, and why.
    left_out: Vec<String>,
    /// What was drafted, where it was not written.
    drafts: &'s [DraftFile],
    files: Vec<PathBuf>,
}

/// What the node has.
struct OnNode<'n> {
    found: FoundImages,
    left_out: Vec<String>,
    judge: KeptJudge<'n>,
    catalog: &'n Catalog,
}

/// Drafts what is in a scope, or everything, into a folder or to standard output; 2 when something of
/// it is in no document.
///
/// # Errors
/// In words when nothing could be drafted or written.
pub(super) fn run(
    options: &DraftOptions,
    (scope, out): (Option<&ImageScope>, Option<&PathBuf>),
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, String> {
    let probe = Probe::new(settings, options.keys.as_ref().unwrap_or(&settings.policy.keys))?;
    let runtime = tokio_runtime()?;
    let gate = {
        let _within = runtime.enter();
        daemon::gate(&probe.settings).map_err(|error| error.to_string())?.0
    };
    let mut items = Items::default();
    runtime.block_on(async {
        let images = NodeImages::listed(&gate).await;
        let images = images.map_err(|error| format!("the runtime cannot be asked: {error}"))?;
        images.add((&gate, false), &mut items).await;
        Ok::<(), String>(())
    })?;
    let store = existing(&settings.evidence)?;
    let catalog = store.as_ref().map_or_else(|| Ok(Catalog::empty()), Catalog::of)?;
    let judge = KeptJudge::new(&probe.settings, store.as_ref());
    let mut node =
        OnNode { found: FoundImages::new(), left_out: Vec::new(), judge, catalog: &catalog };
    node.add(&items, scope);
    if scope.is_some() && node.found.is_empty() && node.left_out.is_empty() {
        return Err("none of these images is on this node, and nothing was written".to_owned());
    }
    if probe.asks {
        node.ask_evidence(&gate.policy(), screen);
        if options.network {
            runtime.block_on(node.ask_registries(&gate, screen));
        }
    }
    let files = node.sound_drafts(&probe.settings)?;
    let written = match out {
        Some(folder) if !files.is_empty() => write_new(folder, &files, true)?,
        Some(_) | None => Vec::new(),
    };
    Ok(node.told((&files, written), (out, options.network), screen))
}

impl OnNode<'_> {
    /// Everything of a scope that runs or is there, under every name that it must pass under.
    fn add(&mut self, items: &Items, scope: Option<&ImageScope>) {
        let asked = items.iter().map(|item| &item.asked);
        for asked in asked.filter(|asked| scope.is_none_or(|scope| is_in(scope, asked))) {
            let why = match &asked.fault {
                Some(fault) => Some(fault.clone()),
                None if asked.names.is_empty() => Some("it has no name".to_owned()),
                None if add(&mut self.found, &asked.names) > 0 => {
                    Some("one of its names is no reference".to_owned())
                }
                None => None,
            };
            self.left_out.extend(why.map(|why| format!("{}: {why}", asked.image)));
        }
    }

    fn ask_evidence(&mut self, set: &Arc<PolicySet>, screen: &mut Screen) {
        let all = u64::try_from(self.found.len()).unwrap_or(u64::MAX);
        for (image, done) in self.found.values_mut().zip(1..) {
            screen.progress("asking the evidence on this node", done, all);
            for subject in image.asked.iter().flatten() {
                let judged = self.judge.judge(set, subject.clone(), &Pod::default(), self.catalog);
                image.signers.extend(match &judged.verdict {
                    Verdict::Permit(permit) => attestors(permit.report()),
                    Verdict::Denial(denial) => attestors(denial.report()),
                });
            }
        }
        screen.end_progress();
    }

    async fn ask_registries(&mut self, gate: &Gate, screen: &mut Screen) {
        let until = CLOCK.steady() + NETWORK_MAX;
        let unknown = |image: &FoundImage| image.signers.is_empty();
        let all = self.found.values().filter(|image| unknown(image)).count();
        let all = u64::try_from(all).unwrap_or(u64::MAX);
        let asked = self.found.iter_mut().filter(|(_, image)| unknown(image));
        for (((repository, digest), image), done) in asked.zip(1..) {
            screen.progress("asking the registries", done, all);
            if CLOCK.steady() >= until {
                image.why =
                    Some("the registry was not asked: the time for that was over".to_owned());
                continue;
            }
            match ask(gate, format!("{repository}@{digest}"), until).await {
                Ok(signers) => image.signers = signers.into_iter().collect(),
                Err(why) => image.why = Some(why),
            }
        }
        screen.end_progress();
    }

    /// Drafts that the gate would take, and that admit what the evidence on this node tells: what one
    /// of them does not is in it by its digest.
    fn sound_drafts(&mut self, settings: &Settings) -> Result<Vec<DraftFile>, String> {
        let day: String = daemon::now().to_string().chars().take(10).collect();
        let drafts = draft(&self.found, &day);
        let set = Arc::new(sound(&drafts, settings)?);
        let (judge, catalog) = (&self.judge, self.catalog);
        let refuses = |subjects: &Vec<Subject>| {
            let is_refused = |subject: &Subject| {
                let judged = judge.judge(&set, subject.clone(), &Pod::default(), catalog);
                matches!(judged.verdict, Verdict::Denial(denial)
                    if denial.class() == crate::policy::Class::Refused)
            };
            subjects.iter().all(is_refused)
        };
        let mut is_changed = false;
        for image in self.found.values_mut().filter(|image| !image.signers.is_empty()) {
            if image.asked.iter().any(refuses) {
                image.signers.clear();
                let why = "its signature is not one that a policy by its signer admits";
                image.why = Some(why.to_owned());
                is_changed = true;
            }
        }
        if !is_changed {
            return Ok(drafts);
        }
        let drafts = draft(&self.found, &day);
        sound(&drafts, settings).map(|_| drafts)
    }

    fn told(
        self,
        (drafts, files): (&[DraftFile], Vec<PathBuf>),
        (out, network): (Option<&PathBuf>, bool),
        screen: &mut Screen,
    ) -> Exit {
        let signed = self.found.values().filter(|image| !image.signers.is_empty()).count();
        let by_digest = self.found.len() - signed;
        let is_whole = self.left_out.is_empty() && !drafts.is_empty();
        let exit = if is_whole { Exit::Done } else { Exit::Unable };
        let is_written = out.is_some();
        if drafts.is_empty() && !screen.is_json() {
            tell_left_out(&self.left_out, screen);
            screen.complain("nothing is drafted: this node has no image that a policy could name");
            return exit;
        }
        if !is_written && !screen.is_json() {
            let texts: Vec<&str> = drafts.iter().map(|file| file.text.trim_end()).collect();
            // Every character of it was made harmless when it was drafted.
            screen.document(&texts.join("\n---\n"));
            tell_left_out(&self.left_out, screen);
            return exit;
        }
        let left_out = self.left_out;
        let drafts = if is_written { &[] } else { drafts };
        let summary =
            Summary { images: self.found.len(), signed, by_digest, left_out, drafts, files };
        if screen.is_json() {
            screen.json(&summary);
            return exit;
        }
        for file in &summary.files {
            let word = screen.tone(Tone::Good, "drafted");
            screen.line(&format!("{word} {}", plain(&file.display().to_string())));
        }
        for image in &summary.left_out {
            let word = screen.tone(Tone::Warn, "left out");
            screen.line(&format!("{word} {}", plain(image)));
        }
        screen.line(&format!(
            "{} images: {signed} by who signed them, {by_digest} by digest, {} left out",
            summary.images,
            summary.left_out.len()
        ));
        if by_digest > 0 && !network {
            screen.line("--network asks the registries who signed those that are there by digest");
        }
        if let Some(folder) = out {
            let folder = plain(&folder.display().to_string());
            screen.line(&format!(
                "next: read them; sealgate policy check {folder}; sealgate policy diff {folder}"
            ));
        }
        exit
    }
}

/// Whether an image has one name at least in a scope.
fn is_in(scope: &ImageScope, asked: &TrialQuestion) -> bool {
    let subjects = asked.names.iter().filter_map(|subjects| subjects.first());
    let named = subjects.filter_map(|subject| subject.name.repository());
    let shown = Reference::parse(&asked.image).ok().map(|name| name.repository());
    named.chain(shown).any(|name| scope.has(&[name], None))
}

fn tell_left_out(left_out: &[String], screen: &mut Screen) {
    for image in left_out {
        screen.complain(&format!("left out: {}", plain(image)));
    }
}

/// Who signed, as a registry shows it; why nobody is known to have.
async fn ask(gate: &Gate, image: String, until: Instant) -> Result<Vec<DraftAttestor>, String> {
    let within = CLOCK.steady() + gate.limits().decision() + Duration::from_secs(1);
    let ask = PullRequest { image, pod: Pod::default(), auth: None, deadline: within.min(until) };
    match gate.admit_pull(&ask, &mut Timings::start(CLOCK)).await {
        Ok(permit) => Ok(attestors(permit.admission().permit().report())),
        Err(refusal) => match (&refusal, refusal.ending()) {
            (_, Ending::Refused) => {
                Err("its registry shows no signature by anybody whom this node \
                                         knows"
                    .to_owned())
            }
            (Refusal::Denied(denial), Ending::Unable | Ending::Unreachable) => {
                Err(format!("its registry did not say who signed it ({})", denial_code(denial)))
            }
            (_, Ending::Unable | Ending::Unreachable) => {
                Err(format!("its registry did not say who signed it ({})", refusal.code()))
            }
        },
    }
}

fn denial_code(denial: &Arc<crate::policy::Denial>) -> &'static str {
    Refusal::Denied(Arc::clone(denial)).code()
}

/// The set of drafts that the gate would take.
fn sound(drafts: &[DraftFile], settings: &Settings) -> Result<PolicySet, String> {
    let source = |draft: &DraftFile| {
        let (name, bytes) = (draft.name.clone(), draft.text.clone().into_bytes());
        CheckSource::Read(PolicyFile { name, bytes })
    };
    let check = Check {
        sources: drafts.iter().map(source).collect(),
        keys: Some(&settings.policy.keys),
        trust: &settings.trust,
        options: &settings.policy,
        is_in_force: false,
        now: daemon::now(),
    };
    let checked = check.run();
    let is_error = |remark: &&crate::loader::Remark| remark.severity == Severity::Error;
    if let Some(error) = checked.remarks.iter().find(is_error) {
        return Err(format!(
            "what was drafted is faulty, and nothing was written: {}",
            error.message
        ));
    }
    checked.set.ok_or_else(|| "what was drafted could not be put together".to_owned())
}

/// The signers that met a requirement of a report, as far as a document can name them.
fn attestors(report: &Report) -> Vec<DraftAttestor> {
    let requirements = report.documents.iter().flat_map(|document| &document.requirements);
    requirements
        .flat_map(|requirement| &requirement.signers)
        .filter_map(DraftAttestor::of)
        .collect()
}
