//! `sealgate policy schema` and `sealgate audit schema`: the form of documents and of the log's lines, for
//! editors and programs.

use serde_json::Value;

use crate::audit;
use crate::cli::terminal::screen::{Exit, Screen};
use crate::policy;

/// Prints that of the documents.
pub(in crate::cli) fn policies(screen: &mut Screen) -> Exit {
    print(&policy::json_schema(), screen)
}

/// Prints that of the log's lines.
pub(in crate::cli) fn log(screen: &mut Screen) -> Exit {
    print(&audit::schema::json_schema(), screen)
}

/// Prints a schema, in lines or as one value for a program.
fn print(schema: &Value, screen: &mut Screen) -> Exit {
    if screen.is_json() {
        screen.json(schema);
        return Exit::Done;
    }
    screen.document(&format!("{schema:#}"));
    Exit::Done
}
