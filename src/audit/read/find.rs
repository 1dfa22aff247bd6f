//! [`about`]: one decision and the records that speak of it, found from the time in its id.
//!
//! Files are searched as text, and only lines that have the id in them are parsed. The search
//! begins where the log was when the id was given out, since no record of it is older; where the
//! log's clock was wrong it may begin too late, so that the rest is searched when nothing was
//! found.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use regex::bytes::Regex;

use super::super::error::{Action, AuditError};
use super::super::record::stamp::{DecisionId, Timestamp};
use super::files::files;
use super::filter::Filter;
use super::input::is_packed;
use super::row::Row;
use super::sieve::Head;
use super::unreadable::LINE_MAX;

/// Bytes that are searched at once: few enough to be still in the processor's own memory.
const BLOCK: usize = 256 << 10;
/// How close to the place the search comes by halving.
const NEAR: u64 = 256 << 10;
/// A decision that began this long before those around it is not looked for: a pull that takes an
/// hour is on record an hour after those that began with it.
const SLACK: Duration = Duration::from_secs(3600);

/// Calls `tell` with the text of each line about this decision, oldest first: its own, repeats of
/// it, what came of it, what takes it back. Whether there are packed files, which are not searched.
///
/// # Errors
/// [`AuditError::Io`] when there is no log, or a file of it cannot be read.
pub fn about(path: &Path, id: DecisionId, tell: &mut dyn FnMut(&str)) -> Result<bool, AuditError> {
    let failed = |error: io::Error| AuditError::io(Action::Read, path, &error);
    let all = files(path, None).map_err(failed)?.files;
    if all.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    let (mut files, mut has_packed) = (Vec::new(), false);
    for (_, file) in all {
        if is_packed(&file).map_err(failed)? {
            has_packed = true;
        } else {
            files.push(file);
        }
    }
    let Ok(needle) = Regex::new(&id.to_string()) else { return Ok(has_packed) };
    let filter = Filter { id: Some(id), ..Filter::default() };
    let search = LogSearch { needle, filter, name: id.to_string() };
    let (first, offset) = beginning(&files, id).map_err(failed)?;
    let late = files.iter().enumerate().skip(first);
    let late: Vec<FilePart<'_>> = late
        .map(|(number, file)| FilePart {
            file,
            bytes: if number == first { offset } else { 0 }..u64::MAX,
        })
        .collect();
    let mut found = search.all(&late).map_err(failed)?;
    if !found.iter().any(|part| part.is_there) {
        let early = files.iter().enumerate().take(first.saturating_add(1));
        let early: Vec<FilePart<'_>> = early
            .map(|(number, file)| FilePart {
                file,
                bytes: 0..if number == first { offset } else { u64::MAX },
            })
            .collect();
        found.splice(..0, search.all(&early).map_err(failed)?);
    }
    found.iter().flat_map(|part| &part.lines).for_each(|line| tell(line));
    Ok(has_packed)
}

struct LogSearch {
    needle: Regex,
    filter: Filter,
    name: String,
}

/// Bytes of a file; they begin with a line.
struct FilePart<'f> {
    file: &'f File,
    bytes: Range<u64>,
}

/// What was found in one part.
#[derive(Default)]
struct FoundLines {
    /// The lines that are about the decision.
    lines: Vec<String>,
    /// Whether its own is among them.
    is_there: bool,
}

impl LogSearch {
    /// What is in these parts, in their order. They are searched side by side: most of the time is
    /// the kernel's, which copies them.
    fn all(&self, parts: &[FilePart<'_>]) -> io::Result<Vec<FoundLines>> {
        let next = AtomicUsize::new(0);
        let search = || -> io::Result<Vec<_>> {
            let mut found = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(number) else { return Ok(found) };
                found.push((number, self.lines(part)?));
            }
        };
        let processors = thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
        let found: io::Result<Vec<_>> = thread::scope(|scope| {
            // Where there is no other thread to be had, this one does it all.
            let others: Vec<_> = (1..processors)
                .filter_map(|_| thread::Builder::new().spawn_scoped(scope, search).ok())
                .collect();
            let mut found = search()?;
            for other in others {
                found.append(&mut other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(found)
        });
        let mut found = found?;
        found.sort_unstable_by_key(|(number, _)| *number);
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    fn lines(&self, part: &FilePart<'_>) -> io::Result<FoundLines> {
        let (mut at, mut kept, mut found) = (part.bytes.start, 0, FoundLines::default());
        let mut buffer = vec![0; BLOCK + LINE_MAX];
        loop {
            let most = BLOCK.min(usize::try_from(part.bytes.end - at).unwrap_or(BLOCK));
            let room = buffer.get_mut(kept..kept + most).unwrap_or_default();
            let read = part.file.read_at(room, at)?;
            at += u64::try_from(read).unwrap_or(0);
            let filled = buffer.get(..kept + read).unwrap_or_default();
            let whole = filled.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            self.among(filled.get(..whole).unwrap_or_default(), &mut found);
            buffer.copy_within(whole..kept + read, 0);
            kept = kept + read - whole;
            if read == 0 {
                return Ok(found);
            }
            if kept > LINE_MAX {
                // None that a log wrote.
                kept = 0;
            }
        }
    }

    fn among(&self, lines: &[u8], found: &mut FoundLines) {
        let mut from = 0;
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
            let text = lines.get(start..end).and_then(|line| str::from_utf8(line).ok());
            let row = text.and_then(|text| Row::parse(text).ok().map(|row| (text, row)));
            if let Some((text, row)) = row.filter(|(_, row)| self.filter.wants(row)) {
                found.is_there |= row.id.as_str() == self.name;
                found.lines.push(text.to_owned());
            }
        }
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
