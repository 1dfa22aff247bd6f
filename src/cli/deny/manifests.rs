//! [`denied_on_node`]: the entry that options name, with the manifests that are looked up on this node.

use super::entry::{What, WhatFault};
use crate::cli::evidence::on_node::NodeContent;
use crate::cli::terminal::command_error::CommandError;
use crate::config::Settings;
use crate::image::{Digest, Document};
use crate::policy::Denied;

/// What options name; of an index with `--with-manifests` whatever the runtime's copy of it lists.
///
/// # Errors
/// When the options name no entry, or the index is not on this node or cannot be read.
pub(in crate::cli) fn denied_on_node(
    what: &What,
    settings: &Settings,
) -> Result<Denied, CommandError> {
    let mut denied = match what.denied() {
        Ok(denied) => denied,
        Err(WhatFault::Usage(why)) => return Err(CommandError::usage(why)),
        Err(WhatFault::File(error)) => return Err(error),
    };
    if let Denied::Digest { digest, manifests } = &mut denied
        && what.wants_manifests()
    {
        let under = manifests_under(digest, settings)?;
        let new: Vec<Digest> = under.into_iter().filter(|one| !manifests.contains(one)).collect();
        manifests.extend(new);
    }
    Ok(denied)
}

/// The manifests that an index on this node lists.
fn manifests_under(index: &Digest, settings: &Settings) -> Result<Vec<Digest>, String> {
    let document = NodeContent::of(settings)?.document(index)?.ok_or_else(|| {
        format!("{index} is not on this node: name what is under it with --manifest")
    })?;
    match document {
        Document::Index(index) => Ok(index.manifests.into_iter().map(|one| one.digest).collect()),
        Document::Manifest(_) => Ok(Vec::new()),
    }
}
