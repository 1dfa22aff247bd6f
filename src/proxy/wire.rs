//! Protobuf on the wire: reads and patches one field of a message and leaves every other byte as it
//! came, fields that nobody here knows and their order included ([`string_at`], [`replace`],
//! [`put`], [`remove`]).
//!
//! Parsers differ in what they make of odd bytes: one takes the last of two fields and another
//! merges them, one cuts a long field number down and another refuses it, one takes a wrong wire
//! type for an unknown field (attack D2). So every message on the way to the field is read whole,
//! and whatever two parsers could read differently is refused: a field of the path that may stand
//! once and stands twice, a wrong wire type, a group, a varint that is cut, too long or longer than
//! it need be, a length beyond the end. Fields off the path are not looked into.
//!
//! Source: protobuf.dev, "Encoding".

use std::{fmt, ops::Range, str};

use bytes::{BufMut as _, Bytes, BytesMut};

/// Deepest path; the CRI's deepest string that matters is at depth 4.
const DEPTH_LIMIT: usize = 8;

/// Most fields that one message on a path may have: a request of 16 MiB has room for millions, none
/// has need of them.
const FIELD_LIMIT: usize = 100_000;

/// Largest field number ("Assigning Field Numbers").
const NUMBER_LIMIT: u64 = (1 << 29) - 1;

/// One step of a path into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldStep {
    field: u32,
    which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The field may stand once.
    Only,
    /// The field repeats; this one of its values, from 0.
    Nth(usize),
}

impl FieldStep {
    /// A field that may stand once; a message with two of it is refused.
    #[must_use]
    pub const fn only(field: u32) -> Self {
        Self { field, which: Which::Only }
    }

    /// One value of a repeated field, counted from 0.
    #[must_use]
    pub const fn nth(field: u32, nth: usize) -> Self {
        Self { field, which: Which::Nth(nth) }
    }
}

/// Why a message cannot be read or patched on this path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The message ends within a field.
    Truncated,
    /// A varint of more than ten bytes or 64 bits.
    VarintTooLong,
    /// A key or length that is written in more bytes than it needs.
    NotMinimal,
    /// A field number of 0 or above 2^29 - 1.
    FieldNumber,
    /// A group, which proto3 does not have, or a wire type that does not exist.
    WireType,
    /// A field of the path that is not length-delimited.
    WrongType {
        /// Its number.
        field: u32,
    },
    /// A field of the path that may stand once and stands again.
    Twice {
        /// Its number.
        field: u32,
    },
    /// A field of the path that is not there.
    Missing {
        /// Its number.
        field: u32,
    },
    /// A string that is not UTF-8.
    NotUtf8,
    /// A message of more fields than the limit.
    TooManyFields,
    /// The path is empty or deeper than the limit.
    Path,
}

/// The string at the path; none when the last step's field, or one on the way to it, is not there.
///
/// # Errors
/// [`WireError`] for a message that parsers could read differently on this path.
pub fn string_at<'a>(message: &'a [u8], path: &[FieldStep]) -> Result<Option<&'a str>, WireError> {
    let value = bytes_at(message, path)?;
    value.map(|bytes| str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)).transpose()
}

/// The bytes or submessage at the path; none when it, or a field on the way to it, is not there.
///
/// # Errors
/// As [`string_at`].
pub fn bytes_at<'a>(message: &'a [u8], path: &[FieldStep]) -> Result<Option<&'a [u8]>, WireError> {
    match locate(message, path) {
        Ok(found) => Ok(found.leaf.and_then(|leaf| message.get(leaf.content))),
        Err(WireError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many values the field has in the message at `parent`; the empty path is the whole message. A
/// parent that is not there has none.
///
/// # Errors
/// As [`string_at`].
pub fn count(message: &[u8], parent: &[FieldStep], field: u32) -> Result<usize, WireError> {
    let content = if parent.is_empty() { Some(message) } else { bytes_at(message, parent)? };
    Ok(content
        .map(|content| occurrences(content, 0..content.len(), field))
        .transpose()?
        .map_or(0, |all| all.len()))
}

/// Every value that the field has in the message at `parent`, in order; the empty path is the whole
/// message. One pass, however many there are.
///
/// # Errors
/// As [`string_at`].
pub fn all_at<'a>(
    message: &'a [u8],
    parent: &[FieldStep],
    field: u32,
) -> Result<Vec<&'a [u8]>, WireError> {
    let content = if parent.is_empty() { Some(message) } else { bytes_at(message, parent)? };
    let content = content.unwrap_or_default();
    let places = occurrences(content, 0..content.len(), field)?;
    Ok(places.into_iter().filter_map(|place| content.get(place.content)).collect())
}

/// The message with the value at the path replaced; lengths up the path are written anew, all else
/// is as it was.
///
/// # Errors
/// As [`string_at`], and [`WireError::Missing`] when there is nothing to replace.
pub fn replace(message: &[u8], path: &[FieldStep], value: &[u8]) -> Result<Bytes, WireError> {
    let found = locate(message, path)?;
    let leaf = found.leaf.ok_or(WireError::Missing { field: last(path)?.field })?;
    let mut with = BytesMut::new();
    put_varint(&mut with, value.len());
    with.put_slice(value);
    Ok(splice(message, &found.parents, leaf.length..leaf.content.end, &with))
}

/// As [`replace`], but a field that may stand once and is not there is added at the end of its
/// parent, which must be there.
///
/// # Errors
/// As [`replace`].
pub fn put(message: &[u8], path: &[FieldStep], value: &[u8]) -> Result<Bytes, WireError> {
    let found = locate(message, path)?;
    let step = last(path)?;
    if found.leaf.is_some() {
        return replace(message, path, value);
    }
    if step.which != Which::Only {
        return Err(WireError::Missing { field: step.field });
    }
    let end = found.parents.last().map_or(message.len(), |parent| parent.content.end);
    let mut with = BytesMut::new();
    put_varint(&mut with, usize::try_from(step.field).unwrap_or(0) << 3 | LENGTH_DELIMITED);
    put_varint(&mut with, value.len());
    with.put_slice(value);
    Ok(splice(message, &found.parents, end..end, &with))
}

/// The message without the field at the path.
///
/// # Errors
/// As [`replace`].
pub fn remove(message: &[u8], path: &[FieldStep]) -> Result<Bytes, WireError> {
    let found = locate(message, path)?;
    let leaf = found.leaf.ok_or(WireError::Missing { field: last(path)?.field })?;
    Ok(splice(message, &found.parents, leaf.key..leaf.content.end, &[]))
}

/// Where a length-delimited field stands in the whole message.
#[derive(Debug, Clone)]
struct FieldSpan {
    /// Where its key begins.
    key: usize,
    /// Where its length begins.
    length: usize,
    /// Its bytes.
    content: Range<usize>,
}

/// The messages on the way, outermost first, and the field at the end of the path where there is
/// one.
struct LocatedField {
    parents: Vec<FieldSpan>,
    leaf: Option<FieldSpan>,
}

fn last(path: &[FieldStep]) -> Result<FieldStep, WireError> {
    path.last().copied().ok_or(WireError::Path)
}

/// Walks the path; [`WireError::Missing`] for a message on the way that is not there.
fn locate(message: &[u8], path: &[FieldStep]) -> Result<LocatedField, WireError> {
    let (leaf, way) =
        path.split_last().filter(|_| path.len() <= DEPTH_LIMIT).ok_or(WireError::Path)?;
    let mut parents = Vec::with_capacity(way.len());
    let mut within = 0..message.len();
    for step in way {
        let place =
            choose(message, within, *step)?.ok_or(WireError::Missing { field: step.field })?;
        within = place.content.clone();
        parents.push(place);
    }
    Ok(LocatedField { leaf: choose(message, within, *leaf)?, parents })
}

fn choose(
    message: &[u8],
    within: Range<usize>,
    step: FieldStep,
) -> Result<Option<FieldSpan>, WireError> {
    let all = occurrences(message, within, step.field)?;
    match step.which {
        Which::Only if all.len() > 1 => Err(WireError::Twice { field: step.field }),
        Which::Only => Ok(all.into_iter().next()),
        Which::Nth(nth) => Ok(all.into_iter().nth(nth)),
    }
}

/// Reads the whole message within the range and gives the places of one field.
fn occurrences(
    message: &[u8],
    within: Range<usize>,
    field: u32,
) -> Result<Vec<FieldSpan>, WireError> {
    let mut reader = WireReader { message, at: within.start, end: within.end };
    let mut places = Vec::new();
    for _ in 0..FIELD_LIMIT {
        if reader.at == reader.end {
            return Ok(places);
        }
        let (number, place) = reader.field()?;
        if number == field {
            places.push(place.ok_or(WireError::WrongType { field })?);
        }
    }
    if reader.at == reader.end { Ok(places) } else { Err(WireError::TooManyFields) }
}

/// Wire types ("Message Structure").
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: usize = 2;
const FIXED32: u64 = 5;

/// Reads fields one after the other, within the bounds of one message.
struct WireReader<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl WireReader<'_> {
    /// The number of the next field, and its place where it is length-delimited.
    fn field(&mut self) -> Result<(u32, Option<FieldSpan>), WireError> {
        let key = self.at;
        let tag = self.minimal()?;
        let number = Some(tag >> 3).filter(|number| (1..=NUMBER_LIMIT).contains(number));
        let number =
            number.and_then(|number| u32::try_from(number).ok()).ok_or(WireError::FieldNumber)?;
        match tag & 7 {
            VARINT => self.varint().map(|_| (number, None)),
            FIXED64 => self.skip(8).map(|_| (number, None)),
            FIXED32 => self.skip(4).map(|_| (number, None)),
            2 => {
                let length = self.at;
                let size = usize::try_from(self.minimal()?).map_err(|_| WireError::Truncated)?;
                let content = self.skip(size)?;
                Ok((number, Some(FieldSpan { key, length, content })))
            }
            _ => Err(WireError::WireType),
        }
    }

    fn skip(&mut self, bytes: usize) -> Result<Range<usize>, WireError> {
        let end = self
            .at
            .checked_add(bytes)
            .filter(|end| *end <= self.end)
            .ok_or(WireError::Truncated)?;
        let passed = self.at..end;
        self.at = end;
        Ok(passed)
    }

    /// A varint written in as few bytes as it needs: what every encoder writes for keys and
    /// lengths.
    fn minimal(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let value = self.varint()?;
        let last = self.at.checked_sub(1).and_then(|at| self.message.get(at));
        if self.at - start > 1 && last == Some(&0) { Err(WireError::NotMinimal) } else { Ok(value) }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self
                .message
                .get(self.at)
                .filter(|_| self.at < self.end)
                .ok_or(WireError::Truncated)?;
            self.at += 1;
            // The tenth byte has room for the 64th bit alone.
            if shift == 63 && byte > 1 {
                return Err(WireError::VarintTooLong);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::VarintTooLong)
    }
}

/// Puts `with` in the place of `at` and writes the lengths of the messages around it anew.
fn splice(message: &[u8], parents: &[FieldSpan], at: Range<usize>, with: &[u8]) -> Bytes {
    let lengths = new_lengths(parents, at.len(), with.len());
    let mut out = BytesMut::with_capacity(message.len() + with.len() + 2 * parents.len());
    let mut copied = 0;
    for (parent, length) in parents.iter().zip(lengths) {
        out.put_slice(message.get(copied..parent.length).unwrap_or_default());
        put_varint(&mut out, length);
        copied = parent.content.start;
    }
    out.put_slice(message.get(copied..at.start).unwrap_or_default());
    out.put_slice(with);
    out.put_slice(message.get(at.end..).unwrap_or_default());
    out.freeze()
}

/// The lengths of the parents, outermost first, after `removed` bytes in the innermost became
/// `added`.
fn new_lengths(parents: &[FieldSpan], removed: usize, added: usize) -> Vec<usize> {
    let (mut removed, mut added) = (removed, added);
    let mut lengths = Vec::with_capacity(parents.len());
    for parent in parents.iter().rev() {
        let length = parent.content.len() - removed + added;
        removed = parent.content.end - parent.length;
        added = varint_size(length) + length;
        lengths.push(length);
    }
    lengths.reverse();
    lengths
}

fn varint_size(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(1)
}

fn put_varint(out: &mut BytesMut, value: usize) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            return out.put_u8(low);
        }
        out.put_u8(low | 0x80);
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the message ends within a field"),
            Self::VarintTooLong => f.write_str("a number in the message is longer than 64 bits"),
            Self::NotMinimal => {
                f.write_str("a key or length in the message is written longer than it need be")
            }
            Self::FieldNumber => f.write_str("a field number in the message is not one"),
            Self::WireType => f.write_str("the message has a group or an unknown wire type"),
            Self::WrongType { field } => {
                write!(f, "field {field} of the message has the wrong type")
            }
            Self::Twice { field } => {
                write!(f, "field {field} of the message may stand once and stands twice")
            }
            Self::Missing { field } => write!(f, "field {field} of the message is missing"),
            Self::NotUtf8 => f.write_str("a string in the message is not UTF-8"),
            Self::TooManyFields => write!(f, "the message has more than {FIELD_LIMIT} fields"),
            Self::Path => write!(f, "a path into a message has no step or more than {DEPTH_LIMIT}"),
        }
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests;
