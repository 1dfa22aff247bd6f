//! `sealgate policy observed`: what would break if the gate enforced, out of the records that it
//! wrote in observe mode.
//!
//! It reads the log alone; it judges nothing, and asks neither the gate nor a registry.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;

use super::next_step::next_step;
use crate::audit::read::Filter;
use crate::audit::{Entry, Record, Timestamp, Verdict};
use crate::cli::audit::log;
use crate::cli::terminal::field::{counted, field, some};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::policy::Mode;

/// Most pairs of image and reason that are told apart: a node has some hundred images. What comes
/// beyond is counted and said.
const GROUPS_MAX: usize = 10_000;
/// Most pods of one pair that are held; what comes beyond is said.
const PODS_MAX: usize = 1000;

/// Which records to sum up.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Not before this time, as the records write it (2026-01-31T12:00:00.000Z).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error: crate::audit::StampError| error.to_string())
}

/// What would be refused of one image for one reason.
#[derive(Debug, Serialize)]
struct WouldBreak {
    image: String,
    code: String,
    verdict: Verdict,
    /// How many calls.
    calls: u64,
    methods: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    pods: BTreeSet<String>,
    /// There were more pods, or namespaces, than are listed.
    more_pods: bool,
    first: Timestamp,
    last: Timestamp,
    /// The id and the words of the latest.
    decision: String,
    message: String,
    next_step: Option<String>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    calls: u64,
    images: usize,
    would_break: Vec<WouldBreak>,
    /// Calls of images and reasons beyond those that are told apart.
    calls_left_out: u64,
    /// Lines of the log that could not be read.
    unreadable_lines: u64,
    /// Whether the configuration has the gate observe: where it enforces, it records nothing here.
    observing: bool,
}

/// Images with their reasons, as they come.
#[derive(Debug, Default)]
struct Groups {
    groups: BTreeMap<(String, String), WouldBreak>,
    /// The names under which images of an id were asked for: a start may tell the id alone.
    names: BTreeMap<String, String>,
    left_out: u64,
}

/// Prints what would be refused; 1 when something would be.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let filter = Filter { observed: true, since: options.since, ..Filter::default() };
    let path = &settings.audit.path;
    let opened = match log::opened(path) {
        Ok(opened) => opened,
        Err(error) => return error.say(screen),
    };
    if opened.is_none() {
        log::tell_none(path, screen);
    }
    let lines = opened.into_iter().flat_map(|reader| reader.sifting(&filter));
    let (mut groups, mut unreadable) = (Groups::default(), 0u64);
    for line in lines {
        match line {
            Ok(line) if !filter.wants(&line.row()) => {}
            Ok(line) => {
                if let Entry::Decision(record) = &line.entry {
                    groups.add(record);
                }
            }
            Err(error) => {
                unreadable = unreadable.saturating_add(1);
                screen.complain(&error.to_string());
            }
        }
    }
    let observing = settings.policy.mode == Mode::Observe;
    let summary = Summary { observing, ..groups.summary(unreadable) };
    if screen.is_json() {
        screen.json(&summary);
    } else {
        print(&summary, screen);
    }
    if summary.calls == 0 { Exit::Done } else { Exit::Refused }
}

impl Groups {
    fn add(&mut self, record: &Record) {
        // A record that stands for repeats speaks of those alone; the first has one of its own.
        let calls = record.repeats.max(1);
        let image = self.image_of(record);
        let key = (image.clone(), record.reason.code.to_string());
        let full = self.groups.len() >= GROUPS_MAX;
        if full && !self.groups.contains_key(&key) {
            self.left_out = self.left_out.saturating_add(calls);
            return;
        }
        let code = key.1.clone();
        self.groups
            .entry(key)
            .or_insert_with(|| WouldBreak::new(image, code, record))
            .add(record, calls);
    }

    /// The image by the name that was asked for; by the name that its id was asked for by before;
    /// or by what there is instead.
    fn image_of(&mut self, record: &Record) -> String {
        let asked = image_of(record);
        if !asked.starts_with("sha256:") {
            if let Some(id) = record.image_id.clone().filter(|_| self.names.len() < GROUPS_MAX) {
                self.names.insert(id, asked.clone());
            }
            return asked;
        }
        self.names.get(&asked).cloned().unwrap_or(asked)
    }

    fn summary(self, unreadable_lines: u64) -> Summary {
        let mut would_break: Vec<WouldBreak> = self.groups.into_values().collect();
        would_break.sort_by(|one, two| two.calls.cmp(&one.calls).then(one.image.cmp(&two.image)));
        let calls = would_break.iter().map(|group| group.calls).sum::<u64>();
        let images: BTreeSet<&str> = would_break.iter().map(|group| group.image.as_str()).collect();
        Summary {
            calls: calls.saturating_add(self.left_out),
            images: images.len(),
            would_break,
            calls_left_out: self.left_out,
            unreadable_lines,
            observing: false,
        }
    }
}

/// The image by the name that was asked for, or by what there is instead.
fn image_of(record: &Record) -> String {
    let names = [Some(&record.reference), record.image.as_ref(), record.digest.as_ref()];
    let named = names.into_iter().flatten().find(|name| !name.is_empty());
    named.cloned().unwrap_or_else(|| "(no image named)".to_owned())
}

impl WouldBreak {
    fn new(image: String, code: String, record: &Record) -> Self {
        Self {
            image,
            next_step: next_step(&code),
            code,
            verdict: record.verdict,
            calls: 0,
            methods: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            pods: BTreeSet::new(),
            more_pods: false,
            first: record.time,
            last: record.time,
            decision: String::new(),
            message: String::new(),
        }
    }

    fn add(&mut self, record: &Record, calls: u64) {
        self.calls = self.calls.saturating_add(calls);
        self.methods.insert(record.call.to_string());
        let namespace = record.pod.namespace.as_deref();
        if let Some(namespace) = namespace {
            self.more_pods |= !insert(&mut self.namespaces, namespace.to_owned());
        }
        if let Some(name) = &record.pod.name {
            let pod = format!("{}/{name}", namespace.unwrap_or("?"));
            self.more_pods |= !insert(&mut self.pods, pod);
        }
        self.first = self.first.min(record.time);
        if record.time >= self.last {
            self.last = record.time;
            self.verdict = record.verdict;
            self.decision = record.id.to_string();
            self.message.clone_from(&record.reason.message);
        }
    }
}

/// Whether the name is among the others; it is not where there are too many of them.
fn insert(names: &mut BTreeSet<String>, name: String) -> bool {
    if names.len() >= PODS_MAX && !names.contains(&name) {
        return false;
    }
    names.insert(name);
    true
}

fn print(summary: &Summary, screen: &mut Screen) {
    for group in &summary.would_break {
        print_group(group, screen);
    }
    if summary.calls_left_out > 0 {
        let left_out = summary.calls_left_out;
        let warn = format!("{left_out} more calls, of further images and reasons, are not listed");
        screen.line(&screen.tone(Tone::Warn, &warn));
    }
    if summary.calls == 0 {
        screen.line("no call on record was let through that would have been refused");
        if !summary.observing {
            let why = "policy.mode is \"enforce\": the gate refuses such calls, and records none as \
                       observed; sealgate audit tail --refused lists them";
            screen.line(&screen.tone(Tone::Warn, why));
        }
    } else {
        screen.line(&format!(
            "enforced, {} of {} would have been refused",
            counted(summary.calls, "call"),
            counted(summary.images, "image")
        ));
    }
}

fn print_group(group: &WouldBreak, screen: &mut Screen) {
    screen.line(&plain(&group.image));
    let reason = format!("{} {}", group.verdict, plain(&group.code));
    let tone = screen.tone(Tone::Bad, &reason);
    screen.line(&format!("  {tone}, {} calls, the last {}", group.calls, group.last));
    let methods: Vec<String> = group.methods.iter().cloned().collect();
    field("calls", &methods.join(", "), screen);
    field("namespaces", &some(&group.namespaces, false), screen);
    field("pods", &some(&group.pods, group.more_pods), screen);
    field("why", &group.message, screen);
    field("next", group.next_step.as_deref().unwrap_or("see the message"), screen);
    field("decision", &group.decision, screen);
    screen.line("");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Call, DecisionId, Reason};
    use crate::cli::terminal::field::WIDTH;
    use crate::cli::terminal::screen::Output;

    fn record(second: u32, image: &str, code: &'static str, pod: &str) -> Record {
        let id: DecisionId = format!("019aa3f5c6d1-{second:08x}-5b1e22c4").parse().unwrap();
        let reason = Reason::new(code, format!("{image} is {code}"));
        let mut record = Record::new(id, Call::CreateContainer, Verdict::Refused, reason);
        image.clone_into(&mut record.reference);
        record.observed = true;
        record.pod.namespace = Some("prod".to_owned());
        record.pod.name = Some(pod.to_owned());
        record
    }

    #[test]
    fn records_are_summed_up_by_image_and_reason() {
        let mut groups = Groups::default();
        groups.add(&record(1, "reg.test/a:1", "unsigned", "one"));
        groups.add(&record(2, "reg.test/a:1", "unsigned", "two"));
        groups.add(&Record { repeats: 5, ..record(3, "reg.test/a:1", "unsigned", "two") });
        groups.add(&record(4, "reg.test/b:1", "no-policy", "three"));
        let summary = groups.summary(0);
        let [first, second] = summary.would_break.as_slice() else { panic!("{summary:?}") };
        assert_eq!((first.image.as_str(), first.calls), ("reg.test/a:1", 7));
        assert_eq!(
            first.pods.iter().map(String::as_str).collect::<Vec<_>>(),
            ["prod/one", "prod/two"]
        );
        assert_eq!((second.code.as_str(), second.calls), ("no-policy", 1));
        assert!(second.next_step.as_deref().unwrap().contains("write a policy"));
        assert_eq!((summary.calls, summary.images), (8, 2));
    }

    #[test]
    fn what_is_beyond_the_limits_is_said() {
        let mut groups = Groups::default();
        for number in 0..u32::try_from(PODS_MAX + 2).unwrap() {
            groups.add(&record(number, "reg.test/a:1", "unsigned", &format!("pod-{number}")));
        }
        for number in 0..u32::try_from(GROUPS_MAX).unwrap() {
            groups.add(&record(number, &format!("reg.test/{number}:1"), "unsigned", "pod"));
        }
        let summary = groups.summary(0);
        assert!(summary.would_break[0].more_pods);
        assert_eq!(summary.calls_left_out, 1);
        assert_eq!(summary.calls, u64::try_from(PODS_MAX + 2 + GROUPS_MAX).unwrap());
    }

    /// Attack E3: a pod's own words have no power over the terminal, and lines fit it.
    #[test]
    fn attack_e3_what_pods_wrote_is_shown_escaped_and_fits() {
        let mut groups = Groups::default();
        let mut hostile = record(1, "reg.test/a:1\u{1b}[2J", "unsigned", "a\u{202e}b\nc");
        hostile.reason.message = "word ".repeat(100);
        groups.add(&hostile);
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        print(&groups.summary(0), &mut screen);
        let text = printed.text();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }
}
