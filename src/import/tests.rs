//! What the tests of the formats share: a set of policies out of an import, asked what it says of
//! an image.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use super::{Format, ImportFault, Imported, Notice, Omission, Placed, Surroundings, import};
use crate::policy::{Documents, PolicyFile};

/// A P-256 key as cosign writes it.
pub(super) const KEY: &str = include_str!("../../tests/fixtures/keys/build.pub");
/// Another one.
pub(super) const OTHER: &str = include_str!("../../tests/fixtures/keys/other.pub");

/// Imports these files, which are named `0`, `1` and so on. Files that they name are the keys
/// `/keys/build.pub` and `/keys/other.pub`, and certificates `/ca.pem`.
pub(super) fn run(
    format: Option<Format>,
    texts: &[&str],
) -> Result<Imported, Vec<Placed<ImportFault>>> {
    let files: Vec<PolicyFile> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| PolicyFile {
            name: number.to_string(),
            bytes: text.as_bytes().to_owned(),
        })
        .collect();
    let read = |path: &str| match path {
        "/keys/build.pub" => Ok(KEY.as_bytes().to_owned()),
        "/keys/other.pub" => Ok(OTHER.as_bytes().to_owned()),
        "/ca.pem" => Ok(include_bytes!("../../tests/fixtures/pki/root.pem").to_vec()),
        other => Err(format!("no {other}")),
    };
    let surroundings = Surroundings { read: &read, trust_root: &|_| None };
    import(format, &files, &surroundings)
}

/// An import that is whole, or has only these omissions.
pub(super) fn imported(texts: &[&str]) -> Imported {
    run(None, texts).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

/// The documents, each without its comments.
pub(super) fn documents(imported: &Imported) -> Vec<String> {
    let plain = imported.text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = plain.collect::<Vec<_>>().join("\n");
    let documents = text.split("---\n").map(|text| text.trim_end().to_owned());
    let documents: Vec<String> = documents.filter(|text| !text.trim().is_empty()).collect();
    assert_eq!(documents.len(), imported.documents, "{}", imported.text);
    let file = PolicyFile { name: "out".to_owned(), bytes: imported.text.clone().into_bytes() };
    if !documents.is_empty() {
        Documents::parse(&[file]).unwrap();
    }
    documents
}

/// What was left out, without the places.
pub(super) fn omissions(imported: &Imported) -> Vec<Omission> {
    imported.omissions.iter().map(|placed| placed.what.clone()).collect()
}

/// What is to be known, without the places.
pub(super) fn notices(imported: &Imported) -> Vec<Notice> {
    imported.notices.iter().map(|placed| placed.what.clone()).collect()
}

/// The faults, with line and field.
pub(super) fn faults(texts: &[&str]) -> Vec<(u64, String, ImportFault)> {
    let faults = run(None, texts).unwrap_err();
    let line = |fault: &Placed<ImportFault>| fault.origin.position.map_or(0, |at| at.line);
    faults.into_iter().map(|fault| (line(&fault), fault.origin.field.clone(), fault.what)).collect()
}
