//! [`gather`]: the lines of the log that speak of a container: its own, those of its pod's sandbox, the
//! decisions by which they were let through, and the last pull of its image before.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::audit::read::{Filter, Next, Reader, Row};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::Screen;
use crate::cli::terminal::signer::{list, text};

/// Lines of one container that are told; what is alike has one line and a count, so that one that
/// was started again and again for days has some hundreds.
const EVENTS_MAX: usize = 1000;
/// Containers that are named where an id is the beginning of several.
pub(super) const ALIKE_MAX: usize = 16;
/// Decisions on sandboxes of pods of one name that are remembered until it shows which of them made
/// the sandbox: each is followed by its outcome within a minute.
const SANDBOXES_MAX: usize = 64;

/// What the log has of a container.
#[derive(Debug, Default)]
pub(super) struct FoundLines {
    /// Its id, whole.
    pub(super) id: String,
    /// It is a pod's sandbox itself.
    pub(super) is_sandbox: bool,
    /// The lines, in the order of their ids.
    pub(super) lines: Vec<Value>,
    /// How many more there are.
    pub(super) left_out: usize,
    /// The note that names the policy files in force at the decision, and its id.
    pub(super) in_force: Option<Value>,
}

/// What an id leads to.
#[derive(Debug)]
pub(super) enum Sought {
    /// One container.
    One(FoundLines),
    /// None.
    None,
    /// Several, of which some are named.
    Several(BTreeSet<String>),
}

/// Reads the log twice: for the lines of the container, and for what they lead to.
pub(super) fn gather(path: &Path, id: &str, screen: &mut Screen) -> Result<Sought, CommandError> {
    let mut own = match own_lines(path, id, screen)? {
        Sought::One(own) => own,
        other @ (Sought::None | Sought::Several(_)) => return Ok(other),
    };
    let mut around = Around::of(&own);
    let words: Vec<String> = around.words().map(regex::escape).collect();
    if let Ok(needle) = Regex::new(&words.join("|")) {
        let wants = |line: &str| needle.is_match(line);
        each_line(opened(path)?, screen, &mut |line| {
            if wants(line)
                && let Ok(value) = serde_json::from_str::<Value>(line)
            {
                around.meet(value);
            }
        });
    }
    around.settle(&mut own);
    Ok(Sought::One(own))
}

/// The lines that have the id, or one that begins so.
fn own_lines(path: &Path, id: &str, screen: &mut Screen) -> Result<Sought, CommandError> {
    let filter = Filter { container: Some(id.to_owned()), ..Filter::default() };
    let (mut containers, mut sandboxes) = (FoundLines::default(), FoundLines::default());
    let (mut ids, mut sandbox_ids) = (BTreeSet::new(), BTreeSet::new());
    each_line(opened(path)?.sifting(&filter), screen, &mut |line| {
        let Some(row) = Row::parse(line).ok().filter(|row| filter.wants(row)) else { return };
        let is_of = |known: &str| !known.is_empty() && known.starts_with(id);
        let (lines, ids, known) = if is_of(row.container_id.as_str()) {
            (&mut containers, &mut ids, row.container_id.as_str())
        } else if row.container_id.is_empty() && is_of(row.sandbox_id.as_str()) {
            (&mut sandboxes, &mut sandbox_ids, row.sandbox_id.as_str())
        } else {
            return;
        };
        if ids.len() < ALIKE_MAX {
            ids.insert(known.to_owned());
        }
        lines.add(line);
    });
    sandboxes.is_sandbox = true;
    let (mut found, ids) =
        if ids.is_empty() { (sandboxes, sandbox_ids) } else { (containers, ids) };
    let mut all = ids.into_iter();
    Ok(match (all.next(), all.next()) {
        (None, _) => Sought::None,
        (Some(one), None) => {
            found.id = one;
            Sought::One(found)
        }
        (Some(one), Some(two)) => Sought::Several([one, two].into_iter().chain(all).collect()),
    })
}

impl FoundLines {
    fn add(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(value) if self.lines.len() < EVENTS_MAX => self.lines.push(value),
            Ok(_) => self.left_out += 1,
            Err(_) => {}
        }
    }

    /// The first of the lines that has this field, with its text.
    pub(super) fn first(&self, field: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| text(line, field))
    }

    /// The decision by which it was made; where that is not on record any more, one by which it was
    /// started.
    pub(super) fn decision(&self) -> Option<&Value> {
        let made = if self.is_sandbox { "RunPodSandbox" } else { "CreateContainer" };
        let of_call = |call: &'static str| {
            self.lines
                .iter()
                .find(move |line| is(line, "decision") && text(line, "call") == Some(call))
        };
        of_call(made).or_else(|| of_call("StartContainer"))
    }
}

/// What the lines of a container lead to.
#[derive(Debug, Default)]
struct Around {
    /// The decisions of which something came.
    decisions: BTreeSet<String>,
    sandbox: Option<String>,
    /// The pod's uid, or else its name.
    pod: Option<String>,
    digest: Option<String>,
    reference: Option<String>,
    /// When it was made, or the first that is known of it.
    made: String,
    found: Vec<Value>,
    /// The last pull before that, and what came of it.
    pull: Vec<Value>,
    /// Decisions on sandboxes of which nothing is known yet.
    sandboxes: VecDeque<Value>,
    /// The last note of what is in force before that.
    in_force: Option<Value>,
}

impl Around {
    fn of(own: &FoundLines) -> Self {
        let decided = own.lines.iter().filter(|line| is(line, "outcome"));
        let decisions = decided.flat_map(|line| {
            let also = list(line, "also").iter().filter_map(Value::as_str);
            text(line, "decision").into_iter().chain(also)
        });
        let pod = |name: &str| {
            own.lines.iter().find_map(|line| text(line.get("pod")?, name)).map(str::to_owned)
        };
        let field = |name: &str| own.first(name).map(str::to_owned);
        Self {
            decisions: decisions.map(str::to_owned).collect(),
            sandbox: field("sandbox_id"),
            pod: pod("uid").or_else(|| pod("name")),
            digest: field("digest"),
            reference: field("reference"),
            made: field("id").unwrap_or_default(),
            ..Self::default()
        }
    }

    /// One of these stands in each line that is wanted.
    fn words(&self) -> impl Iterator<Item = &str> {
        let texts = [&self.sandbox, &self.pod, &self.digest, &self.reference];
        let texts = texts.into_iter().flatten().chain(&self.decisions).map(String::as_str);
        texts.filter(|word| !word.is_empty()).chain(["\"policies_in_force\""])
    }

    /// Looks at one more line of the log.
    fn meet(&mut self, line: Value) {
        let id = text(&line, "id").unwrap_or_default().to_owned();
        let is_before = id <= self.made;
        match (text(&line, "kind"), text(&line, "call")) {
            (Some("note"), _) if is_before => {
                if line.get("note").is_some_and(|note| note.get("policies_in_force").is_some()) {
                    self.in_force = Some(line);
                }
            }
            (Some("decision"), _) if self.decisions.contains(&id) => self.found.push(line),
            (Some("decision"), Some("PullImage")) if is_before && self.is_image(&line) => {
                self.pull = vec![line];
            }
            (Some("decision"), Some("RunPodSandbox")) if self.is_pod(&line) => {
                self.sandboxes.push_back(line);
                if self.sandboxes.len() > SANDBOXES_MAX {
                    self.sandboxes.pop_front();
                }
            }
            (Some("outcome"), Some("PullImage")) => {
                let of = self.pull.first().and_then(|pull| text(pull, "id"));
                if of.is_some() && of == text(&line, "decision") {
                    self.pull.truncate(1);
                    self.pull.push(line);
                }
            }
            (Some("outcome"), Some("RunPodSandbox")) => {
                if self.sandbox.is_some() && text(&line, "sandbox_id") == self.sandbox.as_deref() {
                    let of = text(&line, "decision");
                    let place = self.sandboxes.iter().position(|one| text(one, "id") == of);
                    self.found.extend(place.and_then(|place| self.sandboxes.remove(place)));
                    self.found.push(line);
                }
            }
            (_, _) => {}
        }
    }

    /// By its digest where the container has one, and else by its name.
    fn is_image(&self, line: &Value) -> bool {
        let is_let_through = line.get("observed").and_then(Value::as_bool).unwrap_or(false)
            || !matches!(text(line, "verdict"), Some("refused" | "unable" | "unreachable") | None);
        let (field, wanted) = match &self.digest {
            Some(digest) => ("digest", Some(digest)),
            None => ("reference", self.reference.as_ref()),
        };
        is_let_through && wanted.is_some_and(|wanted| text(line, field) == Some(wanted))
    }

    fn is_pod(&self, line: &Value) -> bool {
        let pod = line.get("pod").unwrap_or(&Value::Null);
        let names = [text(pod, "uid"), text(pod, "name")];
        self.pod.is_some() && names.contains(&self.pod.as_deref())
    }

    /// Puts what was found among the container's own lines, each once.
    fn settle(self, own: &mut FoundLines) {
        let id = |line: &Value| text(line, "id").unwrap_or_default().to_owned();
        let mut known: BTreeSet<String> = own.lines.iter().map(id).collect();
        let more = self.found.into_iter().chain(self.pull);
        own.lines.extend(more.filter(|line| known.insert(id(line))));
        own.lines.sort_by_key(id);
        own.in_force = self.in_force;
    }
}

/// Whether a line is of this kind.
pub(super) fn is(line: &Value, kind: &str) -> bool {
    text(line, "kind") == Some(kind)
}

fn opened(path: &Path) -> Result<Reader, CommandError> {
    Reader::open(path).map_err(|error| CommandError::unable(error.to_string()))
}

/// Goes through all lines, and says which cannot be read.
fn each_line(mut reader: Reader, screen: &mut Screen, look: &mut dyn FnMut(&str)) {
    loop {
        match reader.next_text() {
            Ok(Next::Line(line)) => look(&line),
            Ok(Next::Passed) => {
                let (done, all) = reader.progress();
                screen.progress("searching", done, all);
            }
            Ok(Next::End) => break,
            Err(unreadable) => screen.complain(&unreadable.to_string()),
        }
    }
    screen.end_progress();
}
