//! The public instance of Sigstore, which other programs mean where they name none: its addresses
//! ([`FULCIO`], [`REKOR`]), whether a field names it ([`must_be_public`]), and what its signatures
//! are held to ([`witnesses`]).

use super::draft::Witnesses;
use super::fault::Omission;
use super::tree::{Findings, Tree};
use crate::policy::PUBLIC_GOOD;

/// Its certificate authority.
pub(in crate::import) const FULCIO: &str = "https://fulcio.sigstore.dev";
/// Its transparency log.
pub(in crate::import) const REKOR: &str = "https://rekor.sigstore.dev";

/// Nothing but `public` may stand there: another instance is an omission.
pub(in crate::import) fn must_be_public(
    at: &Tree<'_>,
    public: &str,
    findings: &mut Findings,
) -> Option<()> {
    let url = at.text(findings)?;
    if url.trim_end_matches('/') == public {
        return Some(());
    }
    findings.omit(at.origin(), Omission::Instance { url: url.to_owned() });
    None
}

/// An entry in its log.
pub(in crate::import) fn witnesses() -> Witnesses {
    Witnesses { trust_root: Some(PUBLIC_GOOD.to_owned()), log_entries: 1, timestamps: 0 }
}
