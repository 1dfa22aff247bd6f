//! The files of containers/image: `policy.json` and what `registries.d` says to it.

pub(super) mod policy_json;
pub(super) mod registries_d;
mod scope;
