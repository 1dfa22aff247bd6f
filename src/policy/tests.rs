//! Tests of the whole room: documents that are refused, and cases that are judged, with real keys
//! and signatures.

mod attestations;
mod certificate_identity;
mod deny_lists;
mod denying;
mod documents;
mod exceptions;
mod fixtures;
mod hostile;
mod inline_keys;
mod judging;
mod judging_attestations;
mod judging_certificates;
mod judging_kept;
mod judging_keyless;
mod judging_times;
mod matching;
mod names;
mod pinned;
mod requirements;
mod restoring;
mod selecting;
mod shipped;
mod sifting;
mod signature_sources;
mod signers;
mod support;
mod unreachable;
mod unread_labels;
