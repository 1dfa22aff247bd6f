//! `sealgate audit replay`: decisions on record, judged again by the evidence that is kept on this
//! node under the policies and the trust of today, and where they come out otherwise.
//!
//! It asks neither the gate nor a registry, and changes nothing. The texts of the policies of then
//! are not read here: a record names them by their generation.

use clap::Args;
use serde::Serialize;

use super::history::{self, History};
use super::item::{Item, Items, Prospect, Then};
use super::node::NodeImages;
use super::said::{Trial, TrialVerdict};
use crate::audit::DecisionId;
use crate::audit::read::Filter;
use crate::cli::audit::when::moment;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::KeptJudge;
use crate::cli::evidence::on_node::{existing, tokio_runtime};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::field::{counted, field, some};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::cri::Gate;
use crate::daemon;
use crate::image::Digest;
use crate::loader;

/// Which decisions to judge again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The id of one decision; all that are on record when left out.
    #[arg(value_name = "RECORD", value_parser = id, conflicts_with = "since")]
    record: Option<DecisionId>,
    /// Not before this time: 2h, yesterday, 'fri 18:00', or as the records write it.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

fn id(text: &str) -> Result<DecisionId, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

/// One image in one namespace, as it was decided on last, and as it would be now.
#[derive(Debug, Serialize)]
struct Replayed<'i> {
    image: &'i str,
    digest: Option<&'i str>,
    namespace: Option<&'i str>,
    pods: &'i std::collections::BTreeSet<String>,
    more_pods: bool,
    decisions: u64,
    then: &'i Then,
    now: TrialVerdict,
    /// The evidence on this node does not say, so that it may not differ.
    untold: bool,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Report<'i> {
    /// The generations of today, by which it is judged.
    policy_generation: String,
    decisions: u64,
    judged: usize,
    differ: Vec<Replayed<'i>>,
    untold: Vec<Replayed<'i>>,
    /// Decisions that no policy took.
    decided_otherwise: u64,
    decisions_left_out: u64,
    unreadable_lines: u64,
    older_files_left_out: usize,
}

/// Judges again and prints what differs; 1 where something does, 2 where that cannot be told, or
/// there is no such decision.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    replayed(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn replayed(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let zone = daemon::time_zone();
    let since = options.since.as_ref().map(|text| moment(text, daemon::now(), &zone)).transpose();
    let since = since.map_err(|why| CommandError::usage(format!("--since: {why}")))?;
    let filter = Filter { since, id: options.record, ..Filter::default() };
    let today = loader::load(&settings.policy, &settings.trust).map_err(|error| {
        CommandError::from(error).after("today's policies are faulty, so that nothing is judged:")
    })?;
    let today = std::sync::Arc::new(today.policies);
    let store = existing(&settings.evidence)?;
    let catalog = store.as_ref().map_or_else(|| Ok(Catalog::empty()), Catalog::of)?;
    let (mut items, node) = (Items::default(), Node::of(settings, screen)?);
    let history = history::read(settings, &filter, (&catalog, &node.images), (&mut items, screen))?;
    if let Some(record) = options.record.filter(|_| history.decisions == 0) {
        screen.complain(&format!("no decision {record} in the log and its older files"));
        return Ok(Exit::Refused);
    }
    if today.looks_at_image_labels() {
        node.note_labels(&mut items);
    }
    let trial = Trial::new(KeptJudge::new(settings, store.as_ref()), &catalog);
    let all = u64::try_from(items.iter().len()).unwrap_or(u64::MAX);
    let (mut differ, mut untold) = (Vec::new(), Vec::new());
    for (item, done) in items.iter().zip(1..) {
        screen.progress("judging", done, all);
        let Some(replayed) = Replayed::of(item, trial.judge(&today, &item.asked)) else { continue };
        if replayed.untold { &mut untold } else { &mut differ }.push(replayed);
    }
    screen.end_progress();
    let report = Report::new(today.generation().to_string(), (&history, &items), differ, untold);
    match screen.is_json() {
        true => screen.json(&report),
        false => report.print(screen),
    }
    Ok(report.exit())
}

/// What the runtime lists, by which images are known of which a record has the id alone, and what it
/// says of their labels. Without it fewer decisions can be told.
struct Node {
    runtime: tokio::runtime::Runtime,
    gate: Gate,
    images: NodeImages,
}

impl Node {
    fn of(settings: &Settings, screen: &mut Screen) -> Result<Self, CommandError> {
        let runtime = tokio_runtime()?;
        // Within, since the client of the runtime is made for it.
        let gate = {
            let _within = runtime.enter();
            daemon::gate(settings).map_err(|error| error.to_string())?.0
        };
        let images = runtime.block_on(NodeImages::listed(&gate)).unwrap_or_else(|error| {
            screen.complain(&format!("the runtime's names of images are not known: {error}"));
            NodeImages::default()
        });
        Ok(Self { runtime, gate, images })
    }

    fn note_labels(&self, items: &mut Items) {
        self.runtime.block_on(self.images.note_labels(&self.gate, items));
    }
}

impl<'i> Replayed<'i> {
    /// None where it comes out as it did.
    fn of(item: &'i Item, now: TrialVerdict) -> Option<Self> {
        let then = item.last.as_ref()?;
        let untold = now.prospect == Prospect::Untold && then.prospect != Prospect::Untold;
        let is_same = match now.prospect {
            // With proof or without is a difference, too.
            Prospect::Admitted => now.verdict == then.verdict,
            Prospect::Refused | Prospect::Untold => now.prospect == then.prospect,
        };
        (!is_same).then(|| Self {
            image: &item.asked.image,
            digest: item.asked.digest.as_ref().map(Digest::as_str),
            namespace: item.asked.pod.namespace.as_deref(),
            pods: &item.pods,
            more_pods: item.more_pods,
            decisions: item.decisions,
            then,
            now,
            untold,
        })
    }

    fn print(&self, screen: &mut Screen) {
        let (then, now) = (self.then, &self.now);
        let tone = match now.prospect {
            Prospect::Admitted | Prospect::Untold => Tone::Warn,
            Prospect::Refused => Tone::Bad,
        };
        let change = screen.tone(tone, &format!("{} then, {} now", then.verdict, now.verdict));
        screen.line(&format!("{change}  {}", plain(self.image)));
        field("digest", self.digest.unwrap_or_default(), screen);
        let told = format!("{} {}, {} ({})", then.verdict, then.code, then.time, then.decision);
        field("then", &told, screen);
        field("now", &format!("{} {}", now.verdict, now.code), screen);
        field("why", &now.message, screen);
        field("namespace", self.namespace.unwrap_or("not known"), screen);
        if !self.pods.is_empty() {
            field("pods", &some(self.pods, self.more_pods), screen);
        }
        field("decisions", &self.decisions.to_string(), screen);
        screen.line("");
    }
}

impl<'i> Report<'i> {
    fn new(
        policy_generation: String,
        (history, items): (&History, &Items),
        differ: Vec<Replayed<'i>>,
        untold: Vec<Replayed<'i>>,
    ) -> Self {
        Self {
            policy_generation,
            decisions: history.decisions,
            judged: items.iter().len(),
            differ,
            untold,
            decided_otherwise: history.elsewise.values().sum(),
            decisions_left_out: items.left_out,
            unreadable_lines: history.unreadable,
            older_files_left_out: history.files_left_out,
        }
    }

    fn exit(&self) -> Exit {
        let is_whole = self.untold.is_empty()
            && self.decisions_left_out == 0
            && self.unreadable_lines == 0
            && self.older_files_left_out == 0;
        match (self.differ.is_empty(), is_whole) {
            (false, _) => Exit::Refused,
            (true, false) => Exit::Unable,
            (true, true) => Exit::Done,
        }
    }

    fn print(&self, screen: &mut Screen) {
        self.differ.iter().for_each(|replayed| replayed.print(screen));
        let (decisions, images) =
            (counted(self.decisions, "decision"), counted(self.judged, "image"));
        let tone = if self.differ.is_empty() { Tone::Good } else { Tone::Bad };
        let differ = screen.tone(tone, &format!("{} of {images}", self.differ.len()));
        screen.line(&format!(
            "{differ} would be decided otherwise today; judged by the latest of {decisions} about each"
        ));
        let mut warn = |count: u64, text: &str| {
            if count > 0 {
                screen.line(&screen.tone(Tone::Warn, &format!("{count} {text}")));
            }
        };
        let untold = u64::try_from(self.untold.len()).unwrap_or(u64::MAX);
        warn(untold, "cannot be told: the evidence is not on this node (--output json lists them)");
        warn(self.decided_otherwise, "decisions rest on no policy");
        warn(self.decisions_left_out, "decisions are not judged: too many different images");
        warn(self.unreadable_lines, "lines of the log cannot be read");
        let files = u64::try_from(self.older_files_left_out).unwrap_or(u64::MAX);
        warn(files, "older files of the log are not read, since there are too many");
    }
}
