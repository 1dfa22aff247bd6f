//! [`files`]: the files of a log, oldest first, those that somebody has packed among them.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::super::lines::{beside, identity, open_part};
use super::input::{beginning, unpacked_length};

/// Files read at most: each is an open descriptor, and more than the log keeps by default a hundred
/// times.
const FILES_MAX: usize = 1000;
/// How the names of packed files end.
const PACKED: &str = ".gz";

/// A file that was opened, as it was called then.
pub(super) type NamedFile = (PathBuf, File);

/// The files of a log.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    /// Oldest first.
    pub(super) files: VecDeque<NamedFile>,
    /// How many older ones there are beyond [`FILES_MAX`].
    pub(super) left_out: usize,
}

/// Its files: all of them, or those that are newer than the one known.
///
/// They are opened from the newest on, since a rotation meanwhile moves each to a higher number: so
/// none is missed, and one that is met twice is known by its identity. When the known one is not
/// among them any more, those that were last written before it are left out.
pub(super) fn files(path: &Path, known: Option<&File>) -> io::Result<LogFiles> {
    let listed = rotated(path)?;
    let left_out = (listed.len() + 1).saturating_sub(FILES_MAX);
    let last = listed.last().map_or(0, |(number, _)| *number);
    let beyond = (last.saturating_add(1)..=u32::MAX).map(|number| (number, false));
    let numbered = listed.iter().copied().chain(beyond).map(|(number, is_packed)| {
        beside(path, &format!("{number}{}", if is_packed { PACKED } else { "" }))
    });
    let known_is = known.map(File::metadata).transpose()?;
    let mut found: Vec<(NamedFile, Metadata)> = Vec::new();
    for (place, name) in
        std::iter::once(path.to_owned()).chain(numbered).take(FILES_MAX).enumerate()
    {
        // Who names a file may name a link; beside it somebody may have put a pipe.
        let opened = if place == 0 { File::open(&name) } else { open_part(&name) };
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if place > listed.len() => break,
            Err(_) => continue,
        };
        let metadata = file.metadata()?;
        if known_is.as_ref().is_some_and(|known| identity(known) == identity(&metadata)) {
            let files = found.into_iter().rev().map(|(named, _)| named).collect();
            return Ok(LogFiles { files, left_out: 0 });
        }
        let is_known = found.iter().any(|(_, other)| identity(other) == identity(&metadata));
        if !is_known && !is_copy(&name, &file, found.last().map(|(named, _)| named))? {
            found.push(((name, file), metadata));
        }
    }
    let since = known_is.map(|known| known.modified()).transpose()?;
    let newer = |metadata: &Metadata| {
        since.is_none_or(|since| metadata.modified().is_ok_and(|at| at >= since))
    };
    let files = found.into_iter().rev().filter(|(_, is)| newer(is)).map(|(named, _)| named);
    Ok(LogFiles { files: files.collect(), left_out: if known.is_none() { left_out } else { 0 } })
}

/// Whether a packed file holds what the one of the same number holds, which is not packed. They may
/// also be two: of which one was packed before the other came to its number.
fn is_copy(name: &Path, file: &File, before: Option<&NamedFile>) -> io::Result<bool> {
    let text = name.to_string_lossy();
    let Some(plain) = text.strip_suffix(PACKED) else { return Ok(false) };
    let Some((_, other)) = before.filter(|(before, _)| before.as_os_str() == plain) else {
        return Ok(false);
    };
    // One that cannot be unpacked is told of when it is read.
    let Ok(first) = beginning(file) else { return Ok(false) };
    // What only begins like it hides nothing.
    let length = other.metadata()?.len() & u64::from(u32::MAX);
    let is_as_long = unpacked_length(file).is_ok_and(|packed| packed == length);
    Ok(is_as_long && first == beginning(other)?)
}

/// The names of the log's files, oldest first, and whether each is packed.
pub(in crate::audit) fn names(path: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let name = |(number, is_packed): (u32, bool)| {
        (beside(path, &format!("{number}{}", if is_packed { PACKED } else { "" })), is_packed)
    };
    let current = fs::symlink_metadata(path).is_ok().then(|| (path.to_owned(), false));
    Ok(rotated(path)?.into_iter().rev().map(name).chain(current).collect())
}

/// The numbers of the older files that are there, in rising order, and whether each is packed.
fn rotated(path: &Path) -> io::Result<Vec<(u32, bool)>> {
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let suffix = file_name.to_str().and_then(|text| text.strip_prefix(name)?.strip_prefix('.'));
        let Some(suffix) = suffix else { continue };
        let number = suffix.strip_suffix(PACKED).unwrap_or(suffix);
        // Written as the log writes it: `+7` and `01` are names of somebody else.
        let number =
            number.parse::<u32>().ok().filter(|parsed| *parsed > 0 && parsed.to_string() == number);
        numbers.extend(number.map(|number| (number, suffix.ends_with(PACKED))));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
