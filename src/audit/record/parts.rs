//! What records and findings both have: the version of the schema, a [`Reason`] and a [`Pod`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::evidence;

/// The version of the schema. It rises when a field changes its meaning or goes; a new field leaves
/// it.
pub const SCHEMA: u32 = 3;
/// The oldest version that is still read: there every image that was let through was *admitted*,
/// and the reason's code alone said whether with proof. In version 2 nothing said what the runtime
/// made of a call.
pub const SCHEMA_OLDEST: u32 = 1;

/// Why, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A short code that does not change between versions.
    pub code: Cow<'static, str>,
    /// One line for people.
    pub message: String,
}

/// The pod that asked; what the request did not say is `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its namespace.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its uid.
    #[serde(default)]
    pub uid: Option<String>,
}

impl Reason {
    /// A reason with a fixed code.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into() }
    }
}

impl From<&evidence::Pod> for Pod {
    fn from(pod: &evidence::Pod) -> Self {
        Self { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
    }
}
