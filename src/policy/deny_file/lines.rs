//! [`Lines`]: the lines of a YAML file, and which of them a block is made of, told by how far they
//! are indented. Whoever changes lines reads the result again: a text that is indented in another
//! way comes out wrong here, and is noticed there.

use crate::policy::position::Position;

/// The lines of a file, each with its end.
pub(super) struct Lines(Vec<String>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        if let Some(last) = lines.last_mut().filter(|line| !line.ends_with('\n')) {
            last.push('\n');
        }
        Self(lines)
    }

    /// All of them.
    pub(super) fn whole(&self) -> String {
        self.0.concat()
    }

    /// With more lines before the one of this number.
    pub(super) fn with(&self, at: usize, more: &[String]) -> String {
        let (before, after) = self.0.split_at(at.min(self.0.len()));
        [before, more, after].concat().concat()
    }

    /// Without the lines from one to before another.
    pub(super) fn without(&self, first: usize, end: usize) -> String {
        let kept = self.0.iter().enumerate();
        let kept = kept.filter(|(number, _)| !(first..end).contains(number));
        kept.map(|(_, line)| line.as_str()).collect()
    }

    /// The line of an item whose first key is here, and how far its dash is indented; none where
    /// something else stands before it.
    pub(super) fn item(&self, at: Position) -> Option<(usize, usize)> {
        let (number, before) = self.before(at)?;
        let indent = indent(&before);
        let after = before.get(indent..)?.strip_prefix('-')?;
        (!after.is_empty() && after.trim().is_empty()).then_some((number, indent))
    }

    /// The line of a key, and how far it is indented; none where something else stands before it.
    pub(super) fn key(&self, at: Position) -> Option<(usize, usize)> {
        let (number, before) = self.before(at)?;
        (indent(&before) == before.len()).then_some((number, before.len()))
    }

    /// The line after the block that begins in this one, whose lines are indented further than this.
    /// Empty lines and comments that follow it are not its.
    pub(super) fn end_of_block(&self, first: usize, indented: usize) -> usize {
        let lines = self.0.iter().enumerate().skip(first + 1);
        let mut end = first + 1;
        for (number, line) in lines {
            let is_further = indent(line) > indented;
            let is_comment = line.trim_start().starts_with('#');
            match line.trim().is_empty() {
                true => {}
                false if is_further => end = number + 1,
                false if is_comment => {}
                false => break,
            }
        }
        end
    }

    /// The lines of the document that has a value here: from its `---`, where it has one, to before
    /// the next.
    pub(super) fn document(&self, at: Position) -> Option<(usize, usize)> {
        let line = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let is_marker = |line: &str| {
            let rest = line.strip_prefix("---");
            rest.is_some_and(|rest| rest.trim().is_empty() || rest.starts_with([' ', '\t']))
        };
        let markers: Vec<usize> = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, line)| is_marker(line))
            .map(|(number, _)| number)
            .collect();
        // Without one it begins where its first value does: what is above is the file's.
        let first = markers.iter().rev().find(|marker| **marker <= line).copied().unwrap_or(line);
        let end = markers.iter().find(|marker| **marker > line).copied().unwrap_or(self.0.len());
        Some((first, end))
    }

    /// The number of the line, and what stands in it before this place.
    fn before(&self, at: Position) -> Option<(usize, String)> {
        let number = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let columns = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let line = self.0.get(number)?;
        Some((number, line.chars().take(columns).collect()))
    }
}

/// How many spaces a line begins with.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}
