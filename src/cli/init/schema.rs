//! `sealgate policy schema`: the form of the documents, for editors.

use crate::cli::terminal::screen::{Exit, Screen};
use crate::policy;

/// Prints the schema, in lines or as one value for a program.
pub(in crate::cli) fn run(screen: &mut Screen) -> Exit {
    let schema = policy::json_schema();
    if screen.is_json() {
        screen.json(&schema);
        return Exit::Done;
    }
    screen.document(&format!("{schema:#}"));
    Exit::Done
}
