//! [`generations`]: which generations of policies the lines of a log name.

use std::collections::BTreeSet;
use std::path::Path;

use super::texts::is_generation;
use crate::audit::error::AuditError;
use crate::audit::read::{Next, Reader, Why};

/// How a line names one. In a text that somebody else wrote the quotes are escaped.
const NAMED: &str = "\"policy_generation\":\"";

/// Those that any file of the log names, packed ones among them; none where not every line could be
/// looked at, so that nothing may go.
pub(super) fn generations(log: &Path) -> Result<Option<BTreeSet<String>>, AuditError> {
    let mut reader = Reader::open(log)?;
    if reader.files_left_out() > 0 {
        return Ok(None);
    }
    let mut named = BTreeSet::new();
    loop {
        match reader.next_text() {
            Ok(Next::Line(line)) => named.extend(of_line(&line).map(str::to_owned)),
            Ok(Next::Passed) => {}
            Ok(Next::End) => return Ok(Some(named)),
            Err(unreadable) => match unreadable.why {
                // No line that a log wrote.
                Why::Malformed(_) | Why::Schema(_) | Why::TooLong | Why::Torn => {}
                Why::Io(_) | Why::Packed(_) => return Ok(None),
            },
        }
    }
}

fn of_line(line: &str) -> impl Iterator<Item = &str> {
    let rest = line.split(NAMED).skip(1);
    rest.filter_map(|rest| Some(rest.split_once('"')?.0)).filter(|name| is_generation(name))
}
