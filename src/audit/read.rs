//! [`Reader`] goes through the files of a log from the oldest line to the newest and, when asked
//! again, on to what was added since; [`Reader::back_up`] begins near the end instead, [`about`]
//! looks for one decision, and [`Filter`] says which entries are wanted.
//!
//! Lines that cannot be read are reported in their place, never skipped in silence. No file is held
//! in memory: at most one line of it. Reading needs no lock and disturbs no writer.

mod back;
mod filter;
mod find;

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

pub use filter::Filter;
use filter::Sieve;
pub use find::about;

use super::encode::RECORD_MAX;
use super::error::{Action, AuditError};
use super::file::{beside, identity};
use super::record::{Entry, SCHEMA, SCHEMA_OLDEST};
use crate::errno::Words;

/// Files read at most: each is an open descriptor, and more than the log keeps by default a hundred
/// times.
const FILES_MAX: usize = 1000;
/// The longest line that is read: twice what is ever written.
const LINE_MAX: usize = 2 * RECORD_MAX;
/// Bytes that are read at once: a few dozen lines.
const BUFFER: usize = 64 << 10;

/// The lines of a log, oldest first.
///
/// [`next`](Iterator::next) answers `None` at the end of the newest file; asked again later it goes
/// on with what was added meanwhile, through any number of rotations, as far as the files are still
/// there.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    ahead: VecDeque<(PathBuf, File)>,
    tail: Option<Tail>,
    sieve: Sieve,
}

/// One line that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its text as it stands in the file, without the newline. Control characters are escaped in
    /// it, since the log wrote it; a line that someone else wrote could hold any.
    pub text: String,
    /// What it says.
    pub entry: Entry,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// In which file, as it was called when it was opened.
    pub file: PathBuf,
    /// Which line of it, from 1.
    pub line: u64,
    /// Why.
    pub why: Why,
}

/// Why a line could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is no JSON object of the documented schema; what the parser said.
    Malformed(String),
    /// It has another schema version than this program knows.
    Schema(u64),
    /// It is longer than any that is written.
    TooLong,
    /// The file goes on with another and this line has no end.
    Torn,
    /// The system refused to read on.
    Io(io::ErrorKind),
}

/// The file that is being read.
#[derive(Debug)]
struct Tail {
    name: PathBuf,
    file: BufReader<File>,
    identity: (u64, u64),
    /// Where reading began, and how many lines lie before it.
    begin: u64,
    before: OnceCell<u64>,
    /// Lines read so far.
    lines: u64,
    /// Bytes of it read so far, the unfinished line included.
    offset: u64,
    partial: Vec<u8>,
    /// The rest of the present line is not wanted.
    skipping: bool,
    /// Nothing is added to it any more.
    finished: bool,
}

/// What one attempt to read a line came to.
enum Step {
    Line(Vec<u8>),
    TooLong,
    End,
}

impl Reader {
    /// Opens the log at `path` with its older files.
    ///
    /// # Errors
    /// [`AuditError::Io`] when there is no such file, or one of them cannot be opened.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let failed = |error: io::Error| AuditError::io(Action::Read, path, &error);
        let ahead = files(path, None).map_err(failed)?;
        if ahead.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        Ok(Self { path: path.into(), ahead, tail: None, sieve: Sieve::default() })
    }

    /// Leaves out lines that the log wrote and that this filter surely does not want, unread. What
    /// is left may still not be wanted: ask [`Filter::wants`].
    #[must_use]
    pub fn sifting(mut self, filter: &Filter) -> Self {
        self.sieve = Sieve::of(filter);
        self
    }

    /// Goes to the end of the newest file: only what is added from now on will be read.
    ///
    /// # Errors
    /// [`AuditError::Io`] when the file cannot be read.
    pub fn skip_to_end(&mut self) -> Result<(), AuditError> {
        let failed = |error: io::Error| AuditError::io(Action::Read, &self.path, &error);
        if let Some((name, file)) = self.ahead.pop_back() {
            self.ahead.clear();
            self.tail = Some(Tail::new(name, file).map_err(failed)?);
        }
        self.tail.as_mut().map_or(Ok(()), |tail| tail.skip_to_end().map_err(failed))
    }

    /// The next line, or the next file's first.
    fn advance(&mut self) -> Result<Option<Line>, Unreadable> {
        loop {
            let Some(tail) = &mut self.tail else {
                let Some((name, file)) = self.ahead.pop_front() else { return Ok(None) };
                let failed = |error: io::Error| Unreadable {
                    file: name.clone(),
                    line: 0,
                    why: Why::Io(error.kind()),
                };
                self.tail = Some(Tail::new(name.clone(), file).map_err(failed)?);
                continue;
            };
            match tail.step().map_err(|error| tail.unreadable(Why::Io(error.kind())))? {
                Step::Line(bytes) if !self.sieve.may_pass(&bytes) => {}
                Step::Line(bytes) => return tail.parse(bytes).map(Some),
                Step::TooLong => return Err(tail.unreadable(Why::TooLong)),
                Step::End if tail.finished || !self.ahead.is_empty() => {
                    let torn = (!tail.partial.is_empty()).then(|| tail.unreadable(Why::Torn));
                    self.tail = None;
                    torn.map_or(Ok(()), Err)?;
                }
                Step::End => {
                    let successors = files(&self.path, Some(tail))
                        .map_err(|error| tail.unreadable(Why::Io(error.kind())))?;
                    if successors.is_empty() {
                        tail.wait().map_err(|error| tail.unreadable(Why::Io(error.kind())))?;
                        return Ok(None);
                    }
                    // A last line may have come between its end being seen and its name being given
                    // to another: read on, and only then leave it.
                    tail.finished = true;
                    self.ahead = successors;
                }
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Line, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Tail {
    fn new(name: PathBuf, file: File) -> io::Result<Self> {
        Self::at(name, file, 0)
    }

    /// Begins at this offset, which must be the start of a line.
    fn at(name: PathBuf, file: File, begin: u64) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        let (mut file, partial, before) =
            (BufReader::with_capacity(BUFFER, file), Vec::new(), OnceCell::new());
        file.seek(SeekFrom::Start(begin))?;
        let (lines, offset) = (0, begin);
        Ok(Self {
            name,
            file,
            identity,
            begin,
            before,
            lines,
            offset,
            partial,
            skipping: false,
            finished: false,
        })
    }

    /// Reads to the end of a line, or of the file.
    fn step(&mut self) -> io::Result<Step> {
        loop {
            let room = LINE_MAX.saturating_sub(self.partial.len());
            let most = u64::try_from(room).unwrap_or(0);
            let read = (&mut self.file).take(most).read_until(b'\n', &mut self.partial)?;
            self.offset += u64::try_from(read).unwrap_or(0);
            if self.partial.last() == Some(&b'\n') {
                self.lines += 1;
                let mut line = std::mem::take(&mut self.partial);
                line.pop();
                if !std::mem::take(&mut self.skipping) {
                    return Ok(Step::Line(line));
                }
            } else if self.partial.len() >= LINE_MAX {
                self.partial.clear();
                if !std::mem::replace(&mut self.skipping, true) {
                    return Ok(Step::TooLong);
                }
            } else if read == 0 {
                return Ok(Step::End);
            }
        }
    }

    /// Forgets an unfinished line, to read it again from its start: a writer that failed in it
    /// takes it out and may put another there. And goes back to where the file ends, should someone
    /// have cut it further.
    fn wait(&mut self) -> io::Result<()> {
        let unfinished = u64::try_from(self.partial.len()).unwrap_or(0);
        let start = self.offset.saturating_sub(unfinished);
        self.offset = self.file.get_ref().metadata()?.len().min(start);
        self.partial.clear();
        self.file.seek(SeekFrom::Start(self.offset)).map(|_| ())
    }

    fn skip_to_end(&mut self) -> io::Result<()> {
        self.offset = self.file.seek(SeekFrom::End(0))?;
        (self.begin, self.before, self.lines) = (self.offset, OnceCell::new(), 0);
        self.partial.clear();
        Ok(())
    }

    fn parse(&self, bytes: Vec<u8>) -> Result<Line, Unreadable> {
        parse(bytes).map_err(|why| self.locate(self.lines, why))
    }

    /// The line after those that were read.
    fn unreadable(&self, why: Why) -> Unreadable {
        self.locate(self.lines + 1, why)
    }

    fn locate(&self, line: u64, why: Why) -> Unreadable {
        let before =
            *self.before.get_or_init(|| lines_before(self.file.get_ref(), self.begin).unwrap_or(0));
        Unreadable { file: self.name.clone(), line: before + line, why }
    }
}

/// How many lines end before this offset. Only asked where a line of a file that was begun in its
/// middle is no good.
fn lines_before(file: &File, end: u64) -> io::Result<u64> {
    let (mut at, mut lines, mut block) = (0, 0, vec![0; BUFFER]);
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let read = file.read_at(block.get_mut(..most).unwrap_or_default(), at)?;
        if read == 0 {
            break;
        }
        let newlines = block.iter().take(read).filter(|byte| **byte == b'\n').count();
        lines += u64::try_from(newlines).unwrap_or(0);
        at += u64::try_from(read).unwrap_or(0);
    }
    Ok(lines)
}

/// What a line says, its newline taken off.
fn parse(bytes: Vec<u8>) -> Result<Line, Why> {
    let text = String::from_utf8(bytes).map_err(|error| Why::Malformed(error.to_string()))?;
    let known = SCHEMA_OLDEST..=SCHEMA;
    match serde_json::from_str::<Entry>(&text) {
        Ok(entry) if known.contains(&entry.schema()) => Ok(Line { text, entry: entry.renewed() }),
        Ok(entry) => Err(Why::Schema(u64::from(entry.schema()))),
        Err(error) => match serde_json::from_str::<Version>(&text) {
            Ok(Version { schema })
                if !known.contains(&u32::try_from(schema).unwrap_or(u32::MAX)) =>
            {
                Err(Why::Schema(schema))
            }
            Ok(_) | Err(_) => Err(Why::Malformed(error.to_string())),
        },
    }
}

/// All that is asked of a line that this program does not know.
#[derive(serde::Deserialize)]
struct Version {
    schema: u64,
}

/// The log's files, oldest first: all of them, or those that are newer than the one known.
///
/// They are opened from the newest on, since a rotation meanwhile moves each to a higher number: so
/// none is missed, and one that is met twice is known by its identity. When the known one is not
/// among them any more, those that were last written before it are left out.
fn files(path: &Path, known: Option<&Tail>) -> io::Result<VecDeque<(PathBuf, File)>> {
    let listed = rotated(path)?;
    let beyond = listed.last().copied().unwrap_or(0).saturating_add(1)..=u32::MAX;
    let numbered =
        listed.iter().copied().chain(beyond).map(|number| beside(path, &number.to_string()));
    let mut found: Vec<(PathBuf, File, Metadata)> = Vec::new();
    for (place, name) in
        std::iter::once(path.to_owned()).chain(numbered).take(FILES_MAX).enumerate()
    {
        let file = match File::open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if place > listed.len() => break,
            Err(_) => continue,
        };
        let metadata = file.metadata()?;
        if known.is_some_and(|known| known.identity == identity(&metadata)) {
            return Ok(found.into_iter().rev().map(|(name, file, _)| (name, file)).collect());
        }
        if found.iter().all(|(_, _, other)| identity(other) != identity(&metadata)) {
            found.push((name, file, metadata));
        }
    }
    let since = known.map(|known| known.file.get_ref().metadata()?.modified()).transpose()?;
    let newer = |metadata: &Metadata| {
        since.is_none_or(|since| metadata.modified().is_ok_and(|at| at >= since))
    };
    Ok(found
        .into_iter()
        .rev()
        .filter(|(_, _, is)| newer(is))
        .map(|(name, file, _)| (name, file))
        .collect())
}

/// The numbers of the older files that are there, in rising order.
fn rotated(path: &Path) -> io::Result<Vec<u32>> {
    let (Some(folder), Some(name)) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let suffix = file_name.to_str().and_then(|text| text.strip_prefix(name)?.strip_prefix('.'));
        numbers.extend(
            suffix.and_then(|suffix| suffix.parse::<u32>().ok()).filter(|number| *number > 0),
        );
    }
    numbers.sort_unstable();
    numbers.truncate(FILES_MAX);
    Ok(numbers)
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, why } = self;
        write!(f, "{}, line {line}, {why}", file.display())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "is no record: {why}"),
            Self::Schema(version) => {
                write!(
                    f,
                    "has schema {version}, this program reads {SCHEMA}: use the one that wrote it"
                )
            }
            Self::TooLong => write!(f, "is longer than {LINE_MAX} bytes"),
            Self::Torn => f.write_str("has no end"),
            Self::Io(kind) => write!(f, "cannot be read: {}", Words(*kind)),
        }
    }
}
