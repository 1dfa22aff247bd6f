//! [`documents_of`]: the policies that a decision rests on, each with its text as it was in force then,
//! or why that cannot be shown.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::audit::policies::{KeptGeneration, KeptPolicyFile, KeptText, kept_of};
use crate::cli::terminal::signer::{list, text};
use crate::policy::PolicyFile;

/// One document that decided.
#[derive(Debug, Default, Serialize)]
pub(super) struct ThenDocument {
    /// Its kind and name.
    pub(super) document: String,
    /// What it does where it is not met; none of an exception.
    pub(super) action: Option<String>,
    /// Whether it was met; none of an exception.
    pub(super) satisfied: Option<bool>,
    /// The file that it stood in.
    pub(super) file: Option<String>,
    /// The SHA-256 of that file.
    pub(super) digest: Option<String>,
    /// Whether the log's own note of what came in force names that hash; none where there is no such
    /// note any more, or it leaves files out.
    pub(super) named_in_log: Option<bool>,
    /// Its lines in the file, from 1.
    pub(super) lines: Option<(usize, usize)>,
    /// Those lines.
    pub(super) text: Option<String>,
    /// Why there is no text.
    pub(super) no_text: Option<String>,
}

/// Those of a decision; `in_force` is the note of the log that names the files of that time.
pub(super) fn documents_of(
    log: &Path,
    decision: &Value,
    in_force: Option<&Value>,
) -> Vec<ThenDocument> {
    let Some(generation) = text(decision, "policy_generation") else { return Vec::new() };
    let kept = kept_of(log, generation).map_err(|fault| fault.to_string()).and_then(|kept| {
        let none = format!("no texts are kept of the policies of generation {generation}");
        kept.ok_or(none)
    });
    let note = in_force.and_then(|line| line.get("note")?.get("policies_in_force"));
    let note = note.filter(|note| text(note, "policy_generation") == Some(generation));
    let mut documents: Vec<ThenDocument> = Vec::new();
    for mut document in named(decision) {
        if documents.iter().any(|known| known.document == document.document) {
            continue;
        }
        match kept.as_ref().map(|kept| file_of(kept, &document.document)) {
            Ok(Some(file)) => document.fill(log, file, note),
            Ok(None) => document.no_text = Some("no file that is kept has it".to_owned()),
            Err(why) => document.no_text = Some(why.clone()),
        }
        documents.push(document);
    }
    documents
}

/// The documents that a report names.
fn named(decision: &Value) -> Vec<ThenDocument> {
    let mut all = Vec::new();
    for report in list(decision, "policies") {
        all.extend(list(report, "documents").iter().map(|document| ThenDocument {
            document: format!("ImagePolicy {}", text(document, "policy").unwrap_or("?")),
            action: text(document, "action").map(str::to_owned),
            satisfied: document.get("satisfied").and_then(Value::as_bool),
            ..ThenDocument::default()
        }));
        let exception = report.get("exception").and_then(|used| text(used, "exception"));
        all.extend(exception.map(|name| ThenDocument {
            document: format!("Exception {name}"),
            ..ThenDocument::default()
        }));
    }
    all
}

/// The file that a document counts of: that of the last folder.
fn file_of<'k>(kept: &'k KeptGeneration, document: &str) -> Option<&'k KeptPolicyFile> {
    kept.files.iter().rfind(|file| file.documents.iter().any(|name| name == document))
}

impl ThenDocument {
    fn fill(&mut self, log: &Path, file: &KeptPolicyFile, note: Option<&Value>) {
        self.file = Some(file.file.clone());
        self.digest = Some(file.digest.clone());
        self.named_in_log = note.and_then(|note| is_named(note, &file.digest));
        let bytes = match file.text(log) {
            KeptText::Whole(bytes) => bytes,
            KeptText::Changed => {
                let why = "what is kept does not have this hash: it was changed, and is not shown";
                self.no_text = Some(why.to_owned());
                return;
            }
            KeptText::Gone => {
                self.no_text = Some("its text is not there any more".to_owned());
                return;
            }
            KeptText::Unreadable(fault) => {
                self.no_text = Some(fault.to_string());
                return;
            }
        };
        let whole = String::from_utf8_lossy(&bytes);
        let (first, lines) = document_in(&whole, &self.document);
        self.lines = Some((first, (first + lines.len()).saturating_sub(1)));
        self.text = Some(lines.join("\n"));
    }
}

/// Whether a note of what came in force names this hash; none where it may have left it out.
fn is_named(note: &Value, digest: &str) -> Option<bool> {
    let files = list(note, "files").iter().filter_map(Value::as_str);
    let is_there = files.map(|file| file.split(' ').next()).any(|named| named == Some(digest));
    let is_whole = note.get("omitted").and_then(Value::as_u64) == Some(0);
    // Of a list that is fetched the note has no file.
    (is_there || is_whole).then_some(is_there)
}

/// The lines of a document in a file, and the number of the first; the whole file where it is not found by
/// itself.
fn document_in<'t>(whole: &'t str, document: &str) -> (usize, Vec<&'t str>) {
    let mut part: (usize, Vec<&str>) = (1, Vec::new());
    for (number, line) in whole.lines().enumerate() {
        // How YAML begins a document; within one no text begins so at the margin.
        if line.starts_with("---") {
            if is_document(&part.1, document) {
                return part;
            }
            part = (number + 2, Vec::new());
        } else {
            part.1.push(line);
        }
    }
    if part.0 > 1 && is_document(&part.1, document) {
        return part;
    }
    (1, whole.lines().collect())
}

fn is_document(lines: &[&str], document: &str) -> bool {
    let bytes = lines.join("\n").into_bytes();
    let parsed = PolicyFile { name: String::new(), bytes }.parse();
    parsed.documents().iter().any(|name| name == document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_found_among_others_with_the_numbers_of_its_lines() {
        let policy = |name: &str| {
            format!(
                "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  images: \
                 [\"r.example/**\"]\n  require: {{insecureAcceptAnything: true}}\n"
            )
        };
        let (one, two) = (policy("one"), policy("two"));
        let whole = format!("# first\n---\n{one}---\n{two}");
        let (first, lines) = document_in(&whole, "ImagePolicy two");
        assert_eq!((first, lines.join("\n") + "\n"), (10, two), "{whole}");
        assert_eq!(document_in(&whole, "ImagePolicy one").0, 3);
        assert_eq!(document_in(&whole, "ImagePolicy gone"), (1, whole.lines().collect()));
    }

    #[test]
    fn a_note_that_leaves_files_out_says_nothing_of_what_it_does_not_name() {
        let note = |omitted: u64| serde_json::json!({"files": ["sha256:1 /etc/a b.yaml"], "omitted": omitted});
        assert_eq!(is_named(&note(0), "sha256:1"), Some(true));
        assert_eq!(is_named(&note(0), "sha256:2"), Some(false));
        assert_eq!(is_named(&note(3), "sha256:2"), None);
    }
}
