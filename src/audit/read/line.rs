//! [`Line`]: one line with what it says, as our own types; [`UnknownKinds`]: the lines that there is
//! no type for, counted.

use std::collections::BTreeMap;
use std::fmt;

use super::super::record::{Entry, SCHEMA, SCHEMA_OLDEST};
use super::row::Row;
use super::unreadable::Why;

/// Most kinds that are told apart: the log has some ten. What comes beyond is counted together.
const KINDS_MAX: usize = 32;

/// One line that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its text as it stands in the file, without the newline. Control characters are escaped in
    /// it, since the log wrote it; a line that someone else wrote could hold any.
    pub text: String,
    /// What it says.
    pub entry: Entry,
}

/// How many lines of which kinds there is no type for: a later version wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnknownKinds {
    kinds: BTreeMap<String, u64>,
    others: u64,
}

impl Line {
    /// What it says by the names of its fields.
    #[must_use]
    pub fn row(&self) -> Row<'_> {
        Row::parse(&self.text).unwrap_or_default()
    }
}

impl UnknownKinds {
    /// Counts one more.
    pub fn count(&mut self, kind: &str) {
        let has_room = self.kinds.len() < KINDS_MAX;
        let count = match self.kinds.get_mut(kind) {
            Some(count) => count,
            None if has_room => self.kinds.entry(kind.to_owned()).or_default(),
            None => &mut self.others,
        };
        *count = count.saturating_add(1);
    }

    /// How many lines in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds.values().fold(self.others, |sum, count| sum.saturating_add(*count))
    }
}

impl fmt::Display for UnknownKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kind, count)) in self.kinds.iter().enumerate() {
            write!(f, "{}{kind} ({count})", if number > 0 { ", " } else { "" })?;
        }
        if self.others > 0 {
            write!(f, ", others ({})", self.others)?;
        }
        Ok(())
    }
}

/// What a line says, its newline taken off; none where it is of a kind that there is no type for,
/// which is counted.
pub(super) fn parse(bytes: Vec<u8>, unknown: &mut UnknownKinds) -> Result<Option<Line>, Why> {
    let text = String::from_utf8(bytes).map_err(|error| Why::Malformed(error.to_string()))?;
    let known = SCHEMA_OLDEST..=SCHEMA;
    let error = match serde_json::from_str::<Entry>(&text) {
        Ok(entry) if known.contains(&entry.schema()) => {
            return Ok(Some(Line { text, entry: entry.renewed() }));
        }
        Ok(entry) => return Err(Why::Schema(u64::from(entry.schema()))),
        Err(error) => Why::Malformed(error.to_string()),
    };
    let Ok(row) = Row::parse(&text) else { return Err(error) };
    if row.schema.is_empty() || row.id.is_empty() {
        return Err(error);
    }
    match u32::try_from(row.schema.number()) {
        Ok(schema) if known.contains(&schema) && row.is_typed() => Err(error),
        Ok(schema) if known.contains(&schema) => {
            unknown.count(row.kind.as_str());
            Ok(None)
        }
        Ok(_) | Err(_) => Err(Why::Schema(row.schema.number())),
    }
}
