//! [`about`]: one decision and the records that speak of it, found from the time in its id.
//!
//! Files are searched as text, and only lines that have the id in them are parsed. The search
//! begins where the log was when the id was given out, since no record of it is older; where the
//! log's clock was wrong it may begin too late, so that the rest is searched when nothing was
//! found.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use regex::bytes::Regex;

use super::super::error::{Action, AuditError};
use super::super::stamp::{DecisionId, Timestamp};
use super::filter::Head;
use super::{Filter, LINE_MAX, Line, files, parse};

/// Bytes that are searched at once.
const BLOCK: usize = 1 << 20;
/// How close to the place the search comes by halving.
const NEAR: u64 = 256 << 10;
/// A decision that began this long before those around it is not looked for: a pull that takes an
/// hour is on record an hour after those that began with it.
const SLACK: Duration = Duration::from_secs(3600);

/// Calls `tell` with each line about this decision, oldest first: its own, repeats of it, what
/// takes it back.
///
/// # Errors
/// [`AuditError::Io`] when there is no log, or a file of it cannot be read.
pub fn about(path: &Path, id: DecisionId, tell: &mut dyn FnMut(&Line)) -> Result<(), AuditError> {
    let failed = |error: io::Error| AuditError::io(Action::Read, path, &error);
    let files: Vec<File> =
        files(path, None).map_err(failed)?.into_iter().map(|(_, file)| file).collect();
    if files.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    let Ok(needle) = Regex::new(&id.to_string()) else { return Ok(()) };
    let search = LogSearch { needle, filter: Filter { id: Some(id), ..Filter::default() }, id };
    let (first, offset) = beginning(&files, id).map_err(failed)?;
    let mut late = Vec::new();
    let mut is_there = false;
    for (number, file) in files.iter().enumerate().skip(first) {
        let from = if number == first { offset } else { 0 };
        is_there |=
            search.lines(file, from..u64::MAX, &mut |line| late.push(line)).map_err(failed)?;
    }
    if !is_there {
        for (number, file) in files.iter().enumerate().take(first.saturating_add(1)) {
            let to = if number == first { offset } else { u64::MAX };
            search.lines(file, 0..to, &mut |line| tell(&line)).map_err(failed)?;
        }
    }
    late.iter().for_each(tell);
    Ok(())
}

struct LogSearch {
    needle: Regex,
    filter: Filter,
    id: DecisionId,
}

impl LogSearch {
    /// The lines of this part of a file, which begins with a line, that are about the decision.
    /// Whether its own is among them.
    fn lines(
        &self,
        file: &File,
        part: std::ops::Range<u64>,
        tell: &mut dyn FnMut(Line),
    ) -> io::Result<bool> {
        let (mut at, mut is_there) = (part.start, false);
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let (kept, most) =
                (buffer.len(), BLOCK.min(usize::try_from(part.end - at).unwrap_or(BLOCK)));
            buffer.resize(kept + most, 0);
            let read = file.read_at(buffer.get_mut(kept..).unwrap_or_default(), at)?;
            buffer.truncate(kept + read);
            at += u64::try_from(read).unwrap_or(0);
            let whole = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            is_there |= self.among(buffer.get(..whole).unwrap_or_default(), tell);
            buffer.drain(..whole);
            if read == 0 {
                return Ok(is_there);
            }
            if buffer.len() > LINE_MAX {
                // None that a log wrote.
                buffer.clear();
            }
        }
    }

    fn among(&self, lines: &[u8], tell: &mut dyn FnMut(Line)) -> bool {
        let (mut from, mut is_there) = (0, false);
        while let Some(hit) = self.needle.find_at(lines, from) {
            let newline = |byte: &u8| *byte == b'\n';
            let start =
                lines.iter().take(hit.start()).rposition(newline).map_or(0, |before| before + 1);
            let end = lines
                .iter()
                .skip(hit.end())
                .position(newline)
                .map_or(lines.len(), |after| hit.end() + after);
            from = end;
            let line = lines.get(start..end).map(|line| parse(line.to_vec()));
            if let Some(Ok(line)) =
                line.filter(|line| line.as_ref().is_ok_and(|line| self.filter.wants(&line.entry)))
            {
                is_there |= line.entry.id() == self.id;
                tell(line);
            }
        }
        is_there
    }
}

/// In which file, and from where on, the record of this decision may be.
fn beginning(files: &[File], id: DecisionId) -> io::Result<(usize, u64)> {
    let soon = Duration::from_millis(id.time().millis()).saturating_sub(SLACK);
    let soon = Timestamp::from_unix(soon);
    let mut first = 0;
    for (number, file) in files.iter().enumerate().skip(1) {
        if head_after(file, 0)?.is_some_and(|time| time < soon) {
            first = number;
        }
    }
    let Some(file) = files.get(first) else { return Ok((0, 0)) };
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high.saturating_sub(low) > NEAR {
        let middle = low + (high - low) / 2;
        match head_after(file, middle)? {
            Some(time) if time < soon => low = middle,
            Some(_) | None => high = middle,
        }
    }
    Ok((first, if low == 0 { 0 } else { start_after(file, low)?.unwrap_or(low) }))
}

/// The time of the first whole line after this offset; of the first line of all for 0.
fn head_after(file: &File, offset: u64) -> io::Result<Option<Timestamp>> {
    let start = if offset == 0 { Some(0) } else { start_after(file, offset)? };
    let Some(start) = start else { return Ok(None) };
    let mut head = [0; 128];
    let read = file.read_at(&mut head, start)?;
    Ok(head.get(..read).and_then(Head::of).map(|head| head.time))
}

/// Where the first line begins after this offset.
fn start_after(file: &File, offset: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; LINE_MAX];
    let read = file.read_at(&mut block, offset)?;
    let newline = block.iter().take(read).position(|byte| *byte == b'\n');
    Ok(newline.and_then(|newline| u64::try_from(newline).ok()).map(|newline| offset + newline + 1))
}
