//! [`Places`]: where a field of a document stands, for what is found only after the file was read.
//!
//! Documents keep the place of few of their values: there may be some hundred thousand patterns of
//! a set. What is said of one of them names its field, and its file is read once more for its place.

use super::yaml::{Node, Value, documents};
use crate::policy::position::Position;

/// The places of everything in one file.
#[derive(Debug)]
pub(in crate::policy) struct Places(Vec<Node>);

impl Places {
    /// Of a file that can be read; none of one that cannot.
    pub(in crate::policy) fn of(text: &str) -> Option<Self> {
        documents(text).ok().map(Self)
    }

    /// Where a field (`spec.exclude[1]`) of the document at this place stands; the innermost value
    /// around it where the field itself is not written.
    pub(in crate::policy) fn find(&self, document: Position, field: &str) -> Option<Position> {
        let mut node = self.0.iter().find(|node| node.position == document)?;
        for part in
            field.split('.').flat_map(|part| part.split('[')).filter(|part| !part.is_empty())
        {
            let inner = match (&node.value, part.strip_suffix(']')) {
                (Value::List(list), Some(number)) => {
                    number.parse::<usize>().ok().and_then(|number| list.get(number))
                }
                (Value::Map(entries), None) => {
                    entries.iter().find(|(key, _)| key.name == part).map(|(_, node)| node)
                }
                _ => None,
            };
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        Some(node.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_and_one_that_is_not_there_by_what_is_around_it() {
        let places = Places::of("a: 1\n---\nspec:\n  b: [x, {c: y}]\n").unwrap();
        let at = |line, column| Position { line, column };
        let find = |field: &str| places.find(at(3, 1), field);
        assert_eq!(find(""), Some(at(3, 1)));
        assert_eq!(find("spec.b[0]"), Some(at(4, 7)));
        assert_eq!(find("spec.b[1].c"), Some(at(4, 14)));
        assert_eq!(find("spec.b[1].d"), Some(at(4, 10)));
        assert_eq!(find("spec.b[9]"), find("spec.b"));
        assert_eq!(places.find(at(9, 9), "spec"), None);
        assert!(Places::of("{").is_none());
    }
}
