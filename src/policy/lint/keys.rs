//! Keys that are accepted, and shorter than is recommended today.

use super::note::note;
use crate::policy::document::Documents;
use crate::policy::requirement::material::Material;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;

/// Bits that an RSA key should have: 128 bits of security (NIST SP 800-57 part 1, table 2; BSI
/// TR-02102-1 asks for 3000).
const RSA_RECOMMENDED: usize = 3072;

pub(super) fn lints(documents: &Documents, material: &Material) -> Vec<Note> {
    let weak =
        |name: &String| material.keys.get(name)?.rsa_bits().filter(|bits| *bits < RSA_RECOMMENDED);
    documents
        .places_of_keys()
        .into_iter()
        .filter_map(|(name, (file, position, field))| {
            let bits = weak(&name)?;
            Some(note((&file, position), field, Advice::WeakKey { bits }))
        })
        .collect()
}
