//! Typed members of a JSON object that [`super::json`] has read: present and of the right type, or
//! a reason.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::digest::Digest;
use super::error::DocumentError;
use super::json::fold;

/// One object of a document.
#[derive(Clone, Copy)]
pub(super) struct Fields<'v>(&'v Map<String, Value>);

impl<'v> Fields<'v> {
    pub(super) fn of(value: &'v Value, name: &'static str) -> Result<Self, DocumentError> {
        value.as_object().map(Self).ok_or(DocumentError::Field(name))
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn required(self, name: &'static str) -> Result<&'v Value, DocumentError> {
        self.0.get(name).ok_or(DocumentError::Missing(name))
    }

    /// A member that may be missing or, as Go writes an empty pointer, `null`.
    pub(super) fn optional(self, name: &str) -> Option<&'v Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &'static str) -> Result<&'v str, DocumentError> {
        self.required(name)?.as_str().ok_or(DocumentError::Field(name))
    }

    /// A string; missing, `null` and empty are the same, as they are to Go.
    pub(super) fn optional_text(
        self,
        name: &'static str,
    ) -> Result<Option<&'v str>, DocumentError> {
        let text = self
            .optional(name)
            .map(|value| value.as_str().ok_or(DocumentError::Field(name)))
            .transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    pub(super) fn digest(self, name: &'static str) -> Result<Digest, DocumentError> {
        Digest::parse(self.text(name)?).map_err(DocumentError::Digest)
    }

    /// A size in bytes. Go holds it in 63 bits.
    pub(super) fn size(self, name: &'static str) -> Result<u64, DocumentError> {
        let size = self.required(name)?.as_u64().filter(|size| i64::try_from(*size).is_ok());
        size.ok_or(DocumentError::Field(name))
    }

    /// A list; `null` is an empty one, as Go writes it and as it reads it.
    pub(super) fn list(
        self,
        name: &'static str,
        most: usize,
    ) -> Result<&'v [Value], DocumentError> {
        let value = self.required(name)?;
        let list = if value.is_null() {
            &[]
        } else {
            value.as_array().ok_or(DocumentError::Field(name))?.as_slice()
        };
        if list.len() > most { Err(DocumentError::TooManyEntries(name, most)) } else { Ok(list) }
    }

    pub(super) fn text_map(
        self,
        name: &'static str,
    ) -> Result<BTreeMap<String, String>, DocumentError> {
        let Some(value) = self.optional(name) else { return Ok(BTreeMap::new()) };
        let map = value.as_object().ok_or(DocumentError::Field(name))?;
        let pair =
            |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        map.iter().map(|member| pair(member).ok_or(DocumentError::Field(name))).collect()
    }

    /// Refuses a key that Go would take for one of these names although it is spelled otherwise.
    pub(super) fn spelled_as(self, names: &[&'static str]) -> Result<(), DocumentError> {
        for key in self.0.keys() {
            if names.contains(&key.as_str()) {
                continue;
            }
            // The names are ASCII, so a key that folds to one is one of them in another case.
            let folded = fold(key);
            let taken_for = names.iter().find(|name| name.eq_ignore_ascii_case(&folded));
            if let Some(name) = taken_for {
                return Err(DocumentError::Misspelt { written: key.clone(), read_as: name });
            }
        }
        Ok(())
    }
}
