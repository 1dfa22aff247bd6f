//! [`Head`]: what every kind of document has, its name and its place; and that no two of one set
//! have one name.

use std::collections::BTreeMap;

use crate::policy::position::Position;
use crate::policy::syntax::error::{PolicyError, PolicyFault};

/// What every kind of document has.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Head {
    pub(in crate::policy) name: String,
    pub(in crate::policy) file: String,
    pub(in crate::policy) position: Position,
}

/// Documents of one name, in one file or in two.
pub(super) fn named_twice<'d>(
    heads: impl Iterator<Item = (&'d str, &'d str, Position)>,
) -> Vec<PolicyError> {
    let mut first: BTreeMap<&str, (&str, Position)> = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, file, position) in heads {
        let Some((other, at)) = first.get(name) else {
            first.insert(name, (file, position));
            continue;
        };
        errors.push(PolicyError {
            file: file.to_owned(),
            position: Some(position),
            field: "metadata.name".to_owned(),
            fault: PolicyFault::DuplicateName {
                name: name.to_owned(),
                first: format!("{other}:{}", at.line),
            },
        });
    }
    errors
}
