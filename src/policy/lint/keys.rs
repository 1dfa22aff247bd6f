//! Keys that are accepted, and shorter than is recommended today.

use super::note::note;
use crate::policy::document::Documents;
use crate::policy::requirement::Leaf;
use crate::policy::requirement::attestor::AttestorKind;
use crate::policy::requirement::keys::KeySource;
use crate::policy::requirement::material::Material;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;
use crate::verify::PublicKey;

/// Bits that an RSA key should have: 128 bits of security (NIST SP 800-57 part 1, table 2; BSI
/// TR-02102-1 asks for 3000).
const RSA_RECOMMENDED: usize = 3072;

pub(super) fn lints(documents: &Documents, material: &Material) -> Vec<Note> {
    let in_files = documents.places_of_keys().into_iter();
    let in_files = in_files.filter_map(|(name, (file, position, field))| {
        let bits = weak(material.keys.get(&name)?)?;
        Some(note((&file, position), field, Advice::WeakKey { bits }))
    });
    in_files.chain(inline(documents)).collect()
}

/// Those that a policy has written out.
fn inline(documents: &Documents) -> Vec<Note> {
    let mut notes = Vec::new();
    for document in &documents.documents {
        for attestor in document.require.leaves.iter().filter_map(Leaf::attestor) {
            let AttestorKind::Key(keys) = &attestor.kind else { continue };
            for key in keys {
                if let KeySource::Inline(at, key) = &key.source
                    && let Some(bits) = weak(key)
                {
                    let place = (document.file.as_str(), at.position);
                    notes.push(note(place, at.field.clone(), Advice::WeakKey { bits }));
                }
            }
        }
    }
    notes
}

fn weak(key: &PublicKey) -> Option<usize> {
    key.rsa_bits().filter(|bits| *bits < RSA_RECOMMENDED)
}
