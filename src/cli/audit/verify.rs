//! `sealgate audit verify`: whether the log is what was written.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::audit::check::{self, Against, CheckPlan, Found, LogFiles, LogReport};
use crate::audit::{KeyFault, NoteVerifier, Timestamp, TreeHead};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::config::Settings;
use crate::daemon::CLOCK;
use crate::errno;

/// Bytes of a checkpoint's file at most: a note.
const NOTE_MAX: u64 = 16 << 10;

/// What no check of the log on its node can show.
const NOT_SHOWN: [&str; 4] = [
    "records that were cut off behind the last checkpoint that the gate remembers, unless a later \
     checkpoint is given with --checkpoint",
    "records that were changed or added behind the last checkpoint, before the next one",
    "a log that somebody with the node's key wrote anew: only a checkpoint that left the node \
     before (journal, monitor, --checkpoint) shows that",
    "what the gate did not record",
];

/// What to check, and against what.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// A checkpoint that was kept elsewhere: the log must go on from it.
    #[arg(long, value_name = "FILE", conflicts_with = "since_checkpoint")]
    checkpoint: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the command reports only what came after it.
    #[arg(long, value_name = "FILE")]
    since_checkpoint: Option<PathBuf>,
    /// The node's public key, as NAME+ID+KEY, or its key's file. Without it the node's own is taken,
    /// and for --file what the log says.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Check these files in place of the node's log, as from another node. Their order is found.
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Verify {
    /// Whether it is about other logs than this node's.
    pub(in crate::cli) fn is_elsewhere(&self) -> bool {
        !self.files.is_empty()
    }
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'r> {
    sound: bool,
    lines: u64,
    covered: u64,
    before_checkpoints: u64,
    after_last_checkpoint: u64,
    checkpoints: u64,
    first_entry: Option<u64>,
    entries: Option<u64>,
    root: Option<String>,
    time: Option<String>,
    checkpoint: Option<&'r str>,
    key: Option<String>,
    key_is_known: bool,
    newer_schema: u64,
    unfinished_bytes: u64,
    unsettled: u64,
    given_checkpoint: Option<&'static str>,
    findings: Vec<ToldFinding>,
    findings_omitted: u64,
    overdue_since: Option<String>,
    time_is_signed: bool,
    not_shown: [&'static str; 4],
}

/// One finding for programs.
#[derive(Serialize)]
struct ToldFinding {
    code: &'static str,
    message: String,
    file: String,
    line: u64,
    entry: Option<u64>,
    shown_at: Option<u64>,
}

/// Checks the log: 1 where something is wrong with it, 2 where nothing can be told.
pub(in crate::cli) fn run(options: &Verify, settings: &Settings, screen: &mut Screen) -> Exit {
    verified(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn verified(
    options: &Verify,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let files = files(&options.files, settings)?;
    let audit = &settings.audit;
    let is_own = options.files.is_empty() && options.key.is_none();
    let own = audit.checkpoint_key.as_path();
    let remembered = if is_own { remembered(own, &audit.path, screen) } else { None };
    if files.is_empty() {
        super::log::tell_none(&audit.path, screen);
        let Some(head) = remembered else { return Ok(Exit::Unable) };
        let size = head.size;
        screen.complain(&format!("the gate had signed {size} entries of it: they were removed"));
        return Ok(Exit::Refused);
    }
    for path in files.packed() {
        let why = "is packed and counts as missing: unpack it first";
        screen.complain(&format!("{}: {why}", shown(path)));
    }
    let key = key(options.key.as_deref(), options.files.is_empty().then_some(own))?;
    let lacks_key = is_own && key.is_none() && !own.as_os_str().is_empty();
    let given = options.checkpoint.as_deref().or(options.since_checkpoint.as_deref());
    let note = given.map(|path| checkpoint(path, key.as_ref()).map(|read| (path, read)));
    let note = note.transpose()?;
    let against = note.as_ref().map(|(_, (_, head))| head.clone());
    let patience = audit.checkpoint_seconds.get().saturating_mul(2);
    let plan = CheckPlan {
        key,
        against,
        since: options.since_checkpoint.is_some(),
        remembered,
        covered_before: is_own.then(|| before_now(patience)),
    };
    let all = files.bytes();
    let report = check::check(&files, &plan, &mut |done| screen.progress("checking", done, all));
    screen.end_progress();
    let report = report.map_err(|error| {
        CommandError::unable(format!("the log cannot be read: {}", errno::told(&error)))
    })?;
    if let (None, Some((path, (note, _))), Some(key)) = (&plan.key, &note, &report.key) {
        signed(path, note, key)?;
    }
    if screen.is_json() {
        screen.json(&answer(&report));
    } else {
        print(&report, &files, given, screen);
    }
    if lacks_key {
        tell_no_key(own, screen);
    }
    Ok(match (report.is_sound(), report.is_told() && !lacks_key) {
        (false, _) => Exit::Refused,
        (true, false) => Exit::Unable,
        (true, true) => Exit::Done,
    })
}

/// What it means that the node's key is gone.
fn tell_no_key(own: &Path, screen: &mut Screen) {
    let path = shown(own);
    screen.complain(&format!(
        "the node's key {path} is not there: the log was checked with the key that it names itself, \
         which proves nothing; --key takes the public key where it was kept"
    ));
}

/// What the gate remembers of its log. Where that cannot be read, the log is checked without.
fn remembered(key: &Path, log: &Path, screen: &mut Screen) -> Option<TreeHead> {
    if key.as_os_str().is_empty() {
        return None;
    }
    crate::audit::remembered_head(key, log).unwrap_or_else(|error| {
        let (key, why) = (shown(key), errno::told(&error));
        screen.complain(&format!("what is remembered beside {key} cannot be read: {why}"));
        None
    })
}

/// So many seconds before now.
fn before_now(seconds: u64) -> Timestamp {
    Timestamp::from_unix(CLOCK.unix().saturating_sub(Duration::from_secs(seconds)))
}

/// The files to look at: those that are named, or the node's log.
pub(super) fn files(named: &[PathBuf], settings: &Settings) -> Result<LogFiles, CommandError> {
    let path = named.first().unwrap_or(&settings.audit.path);
    let found = match named {
        [] => check::files_of(&settings.audit.path),
        named => check::listed(named),
    };
    match found {
        Err(error) if named.is_empty() && error.kind() == ErrorKind::NotFound && !path.exists() => {
            Ok(LogFiles::default())
        }
        found => found.map_err(|error| CommandError::unread(path, &error)),
    }
}

/// The key to check with: the one that is named, or the node's own where it is there.
pub(super) fn key(
    named: Option<&Path>,
    own: Option<&Path>,
) -> Result<Option<NoteVerifier>, CommandError> {
    let is_absent = |fault: &KeyFault| match fault {
        KeyFault::Io { kind, .. } => *kind == ErrorKind::NotFound,
        KeyFault::Unsafe(_) | KeyFault::Readable { .. } | KeyFault::Malformed { .. } => false,
    };
    let read = match (named, own.filter(|path| !path.as_os_str().is_empty())) {
        (Some(path), _) => crate::audit::verifier(path).map(Some),
        (None, Some(path)) => match crate::audit::public(path) {
            Err(fault) if is_absent(&fault) => Ok(None),
            read => read.map(Some),
        },
        (None, None) => Ok(None),
    };
    read.map_err(|fault| {
        let why = fault.to_string();
        if is_absent(&fault) {
            CommandError::no_input(why)
        } else if matches!(fault, KeyFault::Malformed { .. }) {
            CommandError::faulty(why)
        } else {
            CommandError::unable(why)
        }
    })
}

/// A checkpoint that was kept: its note and what it says. With a key it must be signed with that.
pub(super) fn checkpoint(
    path: &Path,
    key: Option<&NoteVerifier>,
) -> Result<(String, TreeHead), CommandError> {
    let length = path.metadata().map_err(|error| CommandError::unread(path, &error))?.len();
    let bytes = if length > NOTE_MAX {
        Vec::new()
    } else {
        std::fs::read(path).map_err(|error| CommandError::unread(path, &error))?
    };
    let faulty = |why: &str| CommandError::faulty(format!("{}: {why}", shown(path)));
    let none = "no checkpoint (c2sp.org/tlog-checkpoint)";
    let note = String::from_utf8(bytes).map_err(|_| faulty(none))?;
    let text = crate::audit::note_text(&note).map_err(|error| faulty(&error.to_string()))?;
    let head: TreeHead = text.parse().map_err(|_| faulty(none))?;
    if let Some(key) = key {
        signed(path, &note, key)?;
    }
    Ok((note, head))
}

fn signed(path: &Path, note: &str, key: &NoteVerifier) -> Result<(), CommandError> {
    let holds = key.open(note).map(drop);
    holds.map_err(|error| CommandError::faulty(format!("{}: {error}", shown(path))))
}

const fn word(against: Against) -> &'static str {
    match against {
        Against::Continues => "continues",
        Against::Differs => "differs",
        Against::CutOff => "cut-off",
        Against::Unknown => "unknown",
    }
}

fn answer(report: &LogReport) -> Answer<'_> {
    let told = |found: &Found| ToldFinding {
        code: found.fault.code(),
        message: found.fault.to_string(),
        file: found.file.display().to_string(),
        line: found.line,
        entry: found.entry,
        shown_at: found.shown_at,
    };
    Answer {
        sound: report.is_sound(),
        lines: report.lines,
        covered: report.covered,
        before_checkpoints: report.before,
        after_last_checkpoint: report.behind,
        checkpoints: report.checkpoints,
        first_entry: report.first,
        entries: report.last.as_ref().map(|head| head.size),
        root: report.last.as_ref().map(|head| head.root.to_string()),
        time: report.last_time.map(|time| time.to_string()),
        checkpoint: report.note.as_deref(),
        key: report.key.as_ref().map(ToString::to_string),
        key_is_known: report.key_is_known,
        newer_schema: report.newer,
        unfinished_bytes: report.unfinished,
        unsettled: report.unsettled,
        given_checkpoint: report.against.map(word),
        findings: report.found.iter().map(told).collect(),
        findings_omitted: report.omitted,
        overdue_since: report.overdue.map(|time| time.to_string()),
        time_is_signed: report.time_is_signed,
        not_shown: NOT_SHOWN,
    }
}

fn print(report: &LogReport, files: &LogFiles, given: Option<&Path>, screen: &mut Screen) {
    let verdict = match (report.is_sound(), report.checkpoints) {
        (false, _) => screen.tone(Tone::Bad, "NOT AS WRITTEN"),
        (true, 0) => screen.tone(Tone::Warn, "not covered"),
        (true, _) => screen.tone(Tone::Good, "as written"),
    };
    let LogReport { lines, covered, checkpoints, .. } = report;
    let count = files.count();
    screen.line(&format!(
        "log          {verdict}: {covered} of {lines} lines in {count} files are what {checkpoints} \
         checkpoints say"
    ));
    if let (Some(head), Some(time)) = (&report.last, report.last_time) {
        let first = report.first.unwrap_or(0);
        screen.line(&format!(
            "checkpoint   {} entries, root {}, of {time}{}; the first line that is there is entry \
             {first}",
            head.size,
            head.root,
            if report.time_is_signed { "" } else { " (not signed)" }
        ));
    }
    if let Some(key) = &report.key {
        let from = if report.key_is_known { "" } else { ", as the log itself says" };
        screen.line(&format!("key          {}{from}", plain(&key.to_string())));
    }
    print_against(report, given, screen);
    print_limits(report, screen);
    for found in &report.found {
        let place = match found.line {
            0 => shown(&found.file),
            line => format!("{}, line {line}", shown(&found.file)),
        };
        let code = screen.tone(Tone::Bad, found.fault.code());
        screen.line(&format!("{code}  {place}: {}", plain(&found.fault.to_string())));
    }
    if report.omitted > 0 {
        screen.line(&format!("and {} more findings", report.omitted));
    }
    screen.line("This does not show:");
    for one in NOT_SHOWN {
        screen.line(&format!("  {one}"));
    }
}

fn print_against(report: &LogReport, given: Option<&Path>, screen: &mut Screen) {
    let (Some(against), Some(path)) = (report.against, given) else { return };
    let (tone, said) = match against {
        Against::Continues => (Tone::Good, "the log goes on from it"),
        Against::Differs => (Tone::Bad, "the log has something else there: it was written anew"),
        Against::CutOff => (Tone::Bad, "the log has fewer entries: its end was cut off"),
        Against::Unknown => {
            (Tone::Warn, "cannot be compared: the records and hashes of its time are gone")
        }
    };
    screen.line(&format!("given        {}: {}", shown(path), screen.tone(tone, said)));
}

fn print_limits(report: &LogReport, screen: &mut Screen) {
    let mut told = |count: u64, what: &str| {
        if count > 0 {
            screen.line(&format!("not covered  {count} {what}"));
        }
    };
    told(report.before, "lines from before the first checkpoint");
    told(report.behind, "records behind the last checkpoint; the next one covers them");
    told(report.unfinished, "bytes behind the last newline: being written, or left by a crash");
    told(
        report.unsettled,
        "records that were removed; only the last checkpoint says that retention did, the next one \
         covers that",
    );
    if let Some(since) = report.overdue {
        screen.line(&format!(
            "overdue      records since {since} should have a checkpoint: the gate does not run or \
             cannot seal, or somebody cut it off"
        ));
    }
    if let Some((file, line)) = &report.found_newer {
        let newer = report.newer;
        screen.line(&format!(
            "newer        {newer} lines are by a newer version, the first in {}, line {line}: use \
             that version",
            shown(file)
        ));
    }
}
