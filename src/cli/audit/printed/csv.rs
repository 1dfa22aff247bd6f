//! [`header`] and [`line`]: lines of the log as CSV (RFC 4180), for spreadsheets.
//!
//! What others wrote is one cell and no formula: a text that a spreadsheet would compute has an
//! apostrophe before it (CWE-1236), and control characters are escapes.

use super::cells::{signers, words_of};
use crate::audit::read::Row;
use crate::cli::terminal::screen::plain;

/// With what a formula begins, in one spreadsheet or another; the last four are full-width.
const FORMULA: [char; 10] =
    ['=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
/// What may stand beside letters and digits in a cell without quotes: nothing that separates cells in
/// a spreadsheet of any country.
const UNQUOTED: [char; 6] = ['-', '_', '.', ':', '/', '@'];
/// Between two names in one cell.
const BETWEEN: &str = "; ";

/// The columns, in their order. They stay as they are; new ones come behind them.
const COLUMNS: [&str; 26] = [
    "time",
    "node",
    "kind",
    "id",
    "verdict",
    "observed",
    "call",
    "code",
    "message",
    "namespace",
    "pod",
    "container",
    "container_id",
    "sandbox_id",
    "reference",
    "image",
    "digest",
    "image_id",
    "signers",
    "policies",
    "source",
    "evidence_age_seconds",
    "outcome",
    "repeats",
    "repeats_of",
    "supersedes",
];

/// The first line.
pub(super) fn header() -> String {
    format!("{}\r\n", COLUMNS.join(","))
}

/// One line of the log.
pub(super) fn line(row: &Row<'_>, node: Option<&str>, out: &mut String) {
    let names = |names: &mut dyn Iterator<Item = &str>| {
        let mut all: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        all.sort_unstable();
        all.dedup();
        all.join(BETWEEN)
    };
    let signers = signers(row);
    let signers = names(&mut signers.iter().map(String::as_str));
    let policies = names(&mut row.policies.names());
    let note = row.note.as_object().and_then(|note| note.keys().next());
    let call = [row.call.some(), row.finding.some(), note.map(String::as_str)];
    let said = note.map(|_| words_of(&row.note)).unwrap_or_default();
    let message = row.reason.message.some().unwrap_or(&said);
    let cells: [&str; COLUMNS.len()] = [
        row.time.as_str(),
        row.node.some().or(node).unwrap_or_default(),
        row.kind.as_str(),
        row.id.as_str(),
        row.verdict.as_str(),
        row.observed.as_str(),
        call.into_iter().flatten().next().unwrap_or_default(),
        row.reason.code.as_str(),
        message,
        row.pod.namespace.as_str(),
        row.pod.name.as_str(),
        row.container.as_str(),
        row.container_id.as_str(),
        row.sandbox_id.as_str(),
        row.reference.as_str(),
        row.image.as_str(),
        row.digest.as_str(),
        row.image_id.as_str(),
        &signers,
        &policies,
        row.source.as_str(),
        row.evidence_age_seconds.as_str(),
        row.outcome.as_str(),
        row.repeats.as_str(),
        row.repeats_of.as_str(),
        row.supersedes.as_str(),
    ];
    for (number, text) in cells.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        cell(text, out);
    }
    out.push_str("\r\n");
}

fn cell(text: &str, out: &mut String) {
    let text = plain(text);
    // Blanks before it do not keep a spreadsheet from it.
    let is_formula = text.trim_start().starts_with(FORMULA);
    let is_quiet = |c: char| c.is_ascii_alphanumeric() || UNQUOTED.contains(&c);
    if !is_formula && text.chars().all(is_quiet) {
        out.push_str(&text);
        return;
    }
    out.push('"');
    if is_formula {
        out.push('\'');
    }
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let mut out = String::new();
        cell(text, &mut out);
        out
    }

    #[test]
    fn what_others_wrote_is_one_cell_and_no_formula() {
        assert_eq!(of("reg.test/a:1"), "reg.test/a:1");
        assert_eq!(of("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(of("a\r\nb"), "\"a\\u{d}\\u{a}b\"");
        assert_eq!(of("x;=1+1"), "\"x;=1+1\"", "a semicolon separates cells in some countries");
        for formula in
            ["=1+1", "+1", "-1", "@SUM(A1)", "|calc", "%0A", " =1", "\u{a0}=1", "\u{ff1d}1"]
        {
            assert!(of(formula).starts_with("\"'"), "{formula}: {}", of(formula));
        }
        assert_eq!(of("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(of("\t=1"), "\"\\u{9}=1\"", "an escape is no blank");
    }

    #[test]
    fn a_line_has_as_many_cells_as_the_header() {
        let hostile = r#"{"kind":"note","schema":2,"id":"019aa3f5c6d1-00000001-5b1e22c4","time":"x","note":{"a":{"b":"=1"}},"pod":{"name":"=1"}}"#;
        let mut out = String::new();
        line(&Row::parse(hostile).unwrap(), None, &mut out);
        assert_eq!(out.matches(',').count(), header().matches(',').count(), "{out}");
        assert!(out.contains("\"'=1\"") && out.contains("\"b =1\""), "{out}");
    }
}
