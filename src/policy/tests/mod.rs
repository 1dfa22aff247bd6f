//! Tests of the whole room: documents that are refused, and cases that are judged, with real keys and signatures.

mod documents;
mod hostile;
mod judging;
mod names;
mod requirements;
mod shipped;
mod support;
