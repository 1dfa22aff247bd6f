//! [`Options`]: what becomes of a container that reaches what the gate rests on, and which
//! containers may.

use std::path::PathBuf;

use serde::Deserialize;

use crate::policy::{ImageScope, ScopeFault};

/// What an operator sets about host paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What becomes of such a container. Default `report`.
    pub action: Action,
    /// Which containers may, where others are refused: agents of the node such as those of a CNI
    /// plugin. Default: none.
    pub allow: Vec<Allowed>,
    /// Further paths that are guarded. Default: none.
    pub also: Vec<PathBuf>,
}

/// What becomes of a container that reaches what the gate rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is made, and recorded.
    #[default]
    Report,
    /// It is refused, and recorded.
    Refuse,
}

/// Containers that may; both must fit where both are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowed {
    /// In these namespaces; patterns as in a policy's `spec.namespaces`.
    pub namespaces: Vec<String>,
    /// Of these images; patterns as in a policy's `spec.images`.
    pub images: Vec<String>,
}

impl Options {
    /// The allow-list, read.
    ///
    /// # Errors
    /// [`ScopeFault`] for the first entry that cannot be meant.
    pub fn scopes(&self) -> Result<Vec<ImageScope>, ScopeFault> {
        self.allow.iter().map(|entry| ImageScope::new(&entry.images, &entry.namespaces)).collect()
    }

    /// Whether it can be meant.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn check(&self) -> Result<(), String> {
        if let Some(path) = self.also.iter().find(|path| !path.is_absolute()) {
            return Err(format!("host_paths.also: {} is not absolute", path.display()));
        }
        self.scopes().map(drop).map_err(|fault| format!("host_paths.allow: {fault}"))
    }
}
