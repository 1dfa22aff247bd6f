//! [`Variables`]: environment variables for credential helpers and provider plugins, whose values
//! are never shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use zeroize::Zeroize as _;

/// Variables for programs; their values are never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Names and values, for the program that is started with them.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// Refuses what no environment can hold.
    pub(super) fn is_usable(&self) -> bool {
        self.0.iter().all(|(name, value)| {
            !name.is_empty()
                && !name.contains(['=', '\0'])
                && !value.contains('\0')
                && !name.starts_with("LD_")
        })
    }
}

impl From<BTreeMap<String, String>> for Variables {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|value| value.zeroize());
    }
}
