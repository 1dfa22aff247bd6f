//! `sealgate audit tail`: the latest lines of this node's log, and those to come.

use std::time::Duration;

use clap::Args;

use super::faults::Faults;
use super::log;
use super::printed::Printed;
use super::wanted::WantedLines;
use crate::audit::read::{Before, Filter, Next, Reader, Row, Why};
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::field::counted;
use crate::cli::terminal::screen::{Exit, Screen};
use crate::config::Settings;
use crate::daemon;

/// How often a followed log is looked at.
pub(super) const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// How many are listed when nothing else is said: a screenful.
const LINES: usize = 20;

/// Which lines to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// How many of the latest; 20 when left out, and with --since all.
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Go on printing lines as they come.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    wanted: WantedLines,
}

/// Prints the latest lines, and those to come when asked.
pub(in crate::cli) fn tail(options: &Tail, settings: &Settings, screen: &mut Screen) -> Exit {
    tailed(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn tailed(options: &Tail, settings: &Settings, screen: &mut Screen) -> Result<Exit, CommandError> {
    let zone = options.wanted.zone();
    let filter = options.wanted.filter(&zone)?;
    // Without a number, everything since a time is wanted.
    let most = options.lines.or_else(|| (!options.wanted.has_beginning()).then_some(LINES));
    let path = &settings.audit.path;
    let mut opened = log::opened(path)?;
    if opened.is_none() {
        log::tell_none(path, screen);
    }
    while options.follow && opened.is_none() {
        std::thread::sleep(FOLLOW_EVERY);
        opened = log::opened(path)?;
    }
    let Some(reader) = opened else { return Ok(Exit::Done) };
    let mut reader = reader.sifting(&filter);
    let backed = most.map_or_else(|| Ok(Before::default()), |most| reader.back_up(most, &filter));
    let before = backed.map_err(|error| error.to_string())?;
    let mut printed = Printed::new(screen.output(), zone, daemon::now(), screen);
    let mut faults = Faults::default();
    faults.left_out(if most.is_none() { reader.files_left_out() } else { 0 });
    print_all(&mut reader, &filter, (&mut printed, &mut faults), screen);
    tell_before(before, most.unwrap_or_default(), screen);
    // What is odd in the log is told, and is no fault of what was asked for.
    faults.told(screen);
    printed.tell_dropped(screen);
    let mut goes_on = options.follow;
    while goes_on {
        std::thread::sleep(FOLLOW_EVERY);
        goes_on = print_all(&mut reader, &filter, (&mut printed, &mut faults), screen);
    }
    Ok(Exit::Done)
}

/// Prints what there is up to the end; whether somebody reads on.
fn print_all(
    reader: &mut Reader,
    filter: &Filter,
    (printed, faults): (&mut Printed, &mut Faults),
    screen: &mut Screen,
) -> bool {
    let mut is_read = true;
    while is_read {
        let text = match reader.next_text() {
            Ok(Next::Line(text)) => text,
            Ok(Next::Passed) => continue,
            Ok(Next::End) => break,
            Err(unreadable) => {
                printed.flush(screen);
                faults.unreadable(&unreadable, screen);
                continue;
            }
        };
        match Row::parse(&text) {
            Ok(row) if !filter.wants(&row) => {}
            Ok(row) => {
                faults.look_at(&row);
                is_read = printed.add((&text, &row), None, screen);
            }
            Err(why) => {
                printed.flush(screen);
                faults.unreadable(&reader.unreadable(Why::Malformed(why)), screen);
            }
        }
    }
    printed.flush(screen);
    is_read
}

/// Says how many there are before those that are shown.
fn tell_before(before: Before, most: usize, screen: &mut Screen) {
    let Before { lines, there_may_be_more } = before;
    if lines == 0 && !there_may_be_more {
        return;
    }
    let more = match (lines, there_may_be_more) {
        (0, _) => "there may be more".to_owned(),
        (_, true) => format!("there are more than {lines}"),
        (1, false) => "there is 1 more".to_owned(),
        (_, false) => format!("there are {lines} more"),
    };
    let shown = counted(most, "line");
    screen.complain(&format!(
        "{more} before the latest {shown}: -n N, --since TIME or sealgate audit query shows them"
    ));
}
