//! What `sealgate policy check` warns of, held against the table that explains it.

use std::collections::BTreeSet;

use crate::{files, read};

/// The codes of the advice that documents get: those of its one match.
fn advised() -> BTreeSet<String> {
    let source = read("src/policy/syntax/advice.rs");
    let (_, after) = source.split_once("pub fn code(&self)").expect("advice has codes");
    let (body, _) = after.split_once("\n    }\n").expect("the function ends");
    body.split("=> \"")
        .skip(1)
        .filter_map(|arm| arm.split_once('"'))
        .map(|(code, _)| code.into())
        .collect()
}

/// The codes of remarks that are no document's: `Remark::warning("registry", …)`.
fn remarked() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for file in files("src/cli/policy", ".rs").into_iter().chain(files("src/loader", ".rs")) {
        let source = read(&file);
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let calls = source.split("Remark::warning(\"").skip(1);
        codes
            .extend(calls.filter_map(|call| call.split_once('"')).map(|(code, _)| code.to_owned()));
    }
    codes
}

#[test]
fn the_table_of_warnings_has_every_code_of_a_warning_and_no_other() {
    let document = read("docs/operate/policies.md");
    let (_, after) = document.split_once("## Check policies").expect("the section is there");
    let section = after.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once(" |").map(|(cell, _)| cell));
    let written: BTreeSet<String> = cells
        .flat_map(|cell| cell.split(','))
        .map(|code| code.trim().trim_matches('`').to_owned())
        .collect();
    let mut there = advised();
    there.extend(remarked());
    assert!(there.len() > 15, "{there:?}");
    assert_eq!(written, there);
}

/// Every lint has a case of its own in `tests/policy/lints`.
#[test]
fn every_advice_has_a_case() {
    let cases: BTreeSet<String> = files("tests/policy/lints", ".expected")
        .iter()
        .filter_map(|file| file.rsplit('/').next()?.strip_suffix(".expected").map(str::to_owned))
        .collect();
    let without: Vec<String> = advised().difference(&cases).cloned().collect();
    assert!(without.is_empty(), "no case of {without:?}");
}
