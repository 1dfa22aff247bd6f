//! `sealgate audit query`: every line that is wanted, of this node's log or of other files.

use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::Args;

use super::faults::Faults;
use super::log;
use super::printed::Printed;
use super::tail::FOLLOW_EVERY;
use super::wanted::WantedLines;
use crate::audit::read::{Filter, LogText, Logs, NextOf, Reader, Row, Unreadable, Why};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::field::counted;
use crate::cli::terminal::global_options::forms;
use crate::cli::terminal::screen::{Exit, Output, Screen};
use crate::config::Settings;
use crate::daemon;

/// What stands for standard input.
const PIPE: &str = "-";
/// How the log is called in a folder.
const FILE: &str = "audit.jsonl";
/// After so many lines is looked how far reading is.
const LINES_STEP: u64 = 4096;

/// What to ask.
#[derive(Debug, Args)]
pub(in crate::cli) struct Query {
    #[command(flatten)]
    wanted: WantedLines,
    /// Read these logs instead of this node's, each with its older files (FILE.1, FILE.2.gz and so
    /// on): files, packed ones (gzip) as well, folders with an audit.jsonl, or - for standard input.
    /// Lines of several come in the order of their times.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    file: Vec<PathBuf>,
    /// Print no more than N lines, and say how many more there are.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<NonZeroU64>,
    /// Go on printing lines as they come.
    #[arg(short, long, conflicts_with = "limit")]
    follow: bool,
    /// How to print: as a table, each line as it stands in the log, or as CSV for spreadsheets.
    #[arg(
        short,
        long,
        value_name = "FORM",
        default_value = "text",
        value_parser = forms(["text", "json", "csv"])
    )]
    output: Output,
}

impl Query {
    /// Whether it is about other logs than this node's.
    pub(in crate::cli) fn is_elsewhere(&self) -> bool {
        !self.file.is_empty()
    }
}

/// How many lines were wanted, and how many of them printed.
#[derive(Debug, Default)]
struct QueryCounts {
    wanted: u64,
    printed: u64,
}

/// Prints what is asked for; 0 when there was a line, 1 when there was none, 2 when something could
/// not be read.
pub(in crate::cli) fn query(options: &Query, settings: &Settings, screen: &mut Screen) -> Exit {
    queried(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn queried(
    options: &Query,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let zone = options.wanted.zone();
    let filter = options.wanted.filter(&zone)?;
    let Some(mut logs) = logs(options, settings, &filter, screen)? else {
        return Ok(Exit::Refused);
    };
    let mut printed = Printed::new(options.output, zone, daemon::now(), screen);
    let (mut faults, mut counts) = (Faults::default(), QueryCounts::default());
    faults.left_out(logs.files_left_out());
    let most = options.limit.map(NonZeroU64::get);
    let mut on = Asking { filter: &filter, most, printed: &mut printed, faults: &mut faults };
    let mut is_read = on.go_through(&mut logs, &mut counts, screen);
    while options.follow && is_read {
        std::thread::sleep(FOLLOW_EVERY);
        is_read = on.go_through(&mut logs, &mut counts, screen);
    }
    Ok(told(&counts, &printed, &faults, screen))
}

/// Says what was not printed.
fn told(counts: &QueryCounts, printed: &Printed, faults: &Faults, screen: &mut Screen) -> Exit {
    let QueryCounts { wanted, printed: shown } = counts;
    if shown < wanted {
        let wanted_lines = counted(*wanted, "line");
        screen.complain(&format!(
            "{shown} of {wanted_lines} shown: without --limit all are, and a filter or a later \
             --since leaves fewer"
        ));
    }
    printed.tell_dropped(screen);
    let read = faults.told(screen);
    if *wanted > 0 || read != Exit::Done {
        return read;
    }
    screen.complain("no line of the log is like that");
    Exit::Refused
}

/// What is asked, and where the answers go.
struct Asking<'q> {
    filter: &'q Filter,
    most: Option<u64>,
    printed: &'q mut Printed,
    faults: &'q mut Faults,
}

impl Asking<'_> {
    /// Goes on to the end; whether somebody reads on.
    fn go_through(
        &mut self,
        logs: &mut Logs,
        counts: &mut QueryCounts,
        screen: &mut Screen,
    ) -> bool {
        let (mut is_read, mut lines) = (true, 0_u64);
        while is_read {
            match logs.next_text() {
                NextOf::Line(line) => {
                    is_read = match self.print(&line, counts, screen) {
                        Ok(is_read) => is_read,
                        Err(why) => {
                            let of = |reader: &Reader| reader.unreadable(Why::Malformed(why));
                            if let Some(unreadable) = logs.reader(line.log).map(of) {
                                self.complain(&unreadable, screen);
                            }
                            true
                        }
                    };
                    lines += 1;
                    if lines.is_multiple_of(LINES_STEP) {
                        show_progress(logs, screen);
                    }
                }
                NextOf::Unreadable(unreadable) => self.complain(&unreadable, screen),
                NextOf::Passed => show_progress(logs, screen),
                NextOf::End => break,
            }
        }
        screen.end_progress();
        self.printed.flush(screen);
        is_read
    }

    fn complain(&mut self, unreadable: &Unreadable, screen: &mut Screen) {
        self.printed.flush(screen);
        self.faults.unreadable(unreadable, screen);
    }

    /// Prints a line, if it is wanted; whether somebody reads on, or why it is none.
    fn print(
        &mut self,
        line: &LogText,
        counts: &mut QueryCounts,
        screen: &mut Screen,
    ) -> Result<bool, String> {
        let (row, node) = (Row::parse(&line.text)?, line.node.as_deref());
        if !self.filter.wants_of(&row, node) {
            return Ok(true);
        }
        self.faults.look_at(&row);
        counts.wanted += 1;
        if self.most.is_some_and(|most| counts.printed >= most) {
            return Ok(true);
        }
        counts.printed += 1;
        Ok(self.printed.add((&line.text, &row), node, screen))
    }
}

fn show_progress(logs: &mut Logs, screen: &mut Screen) {
    let (done, all) = logs.progress();
    let megabyte = |bytes: u64| bytes.div_ceil(1_000_000);
    screen.progress("reading MB", megabyte(done), megabyte(all));
}

/// The logs that are asked; none where the gate has recorded nothing yet.
fn logs(
    options: &Query,
    settings: &Settings,
    filter: &Filter,
    screen: &mut Screen,
) -> Result<Option<Logs>, CommandError> {
    if options.file.is_empty() {
        let path = &settings.audit.path;
        let opened = log::opened(path)?;
        if opened.is_none() {
            log::tell_none(path, screen);
        }
        return Ok(opened.map(|reader| Logs::new(vec![reader.sifting(filter)])));
    }
    let mut readers = Vec::new();
    for file in &options.file {
        readers.push(opened(file)?.sifting(filter));
    }
    Ok(Some(Logs::new(readers)))
}

fn opened(file: &Path) -> Result<Reader, CommandError> {
    let unable = |error: crate::audit::AuditError| CommandError::unable(error.to_string());
    if file.as_os_str() == PIPE {
        return Reader::of_pipe("standard input", io::stdin()).map_err(unable);
    }
    let is = file.metadata().map_err(|error| CommandError::unread(file, &error))?;
    let path = if is.is_dir() { file.join(FILE) } else { file.to_owned() };
    path.metadata().map_err(|error| CommandError::unread(&path, &error))?;
    Reader::open(&path).map_err(unable)
}
