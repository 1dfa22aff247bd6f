//! The identities of certificates as Sigstore's programs and those around them write them: `issuer`,
//! `subject`, and an expression in place of each, whose name differs.

use super::draft::{HolderName, NameMatch};
use super::regexp;
use super::tree::{Findings, Known, Tree};

/// The fields of the issuer, and of the subject.
const ISSUER: [&str; 2] = ["issuer", "issuerRegExp"];
const SUBJECT: [&str; 2] = ["subject", "subjectRegExp"];

/// A list of identities, of which any suffices; none where none is left. One that was left out is
/// one way less.
pub(in crate::import) fn read(at: &Tree<'_>, findings: &mut Findings) -> Option<Vec<HolderName>> {
    let mut holders: Vec<HolderName> = Vec::new();
    for item in at.filled(findings)? {
        if let Some(holder) = holder(&item, (&ISSUER, &SUBJECT), findings)
            && !holders.contains(&holder)
        {
            holders.push(holder);
        }
    }
    (!holders.is_empty()).then_some(holders)
}

/// One identity. Issuer and subject each stand in one of two fields, of which the second holds an
/// expression.
pub(in crate::import) fn holder(
    at: &Tree<'_>,
    (issuer, subject): (&'static [&'static str; 2], &'static [&'static str; 2]),
    findings: &mut Findings,
) -> Option<HolderName> {
    let fields = at.known(&[*issuer, *subject].concat(), findings)?;
    let (issuer, subject) = (name(&fields, issuer, findings), name(&fields, subject, findings));
    Some(HolderName { issuer: issuer?, subject: subject?, subject_kind: None })
}

fn name(
    fields: &Known<'_>,
    names: &'static [&'static str; 2],
    findings: &mut Findings,
) -> Option<NameMatch> {
    let (name, at) = fields.one_of(names, findings)?;
    let [_, expressions] = names;
    if name == *expressions {
        return expression(at, findings);
    }
    Some(NameMatch::Exact(at.text(findings)?.to_owned()))
}

/// An expression of Go.
pub(in crate::import) fn expression(at: &Tree<'_>, findings: &mut Findings) -> Option<NameMatch> {
    match regexp::whole(at.text(findings)?) {
        Ok(name) => Some(name),
        Err(omission) => {
            findings.omit(at.origin(), omission);
            None
        }
    }
}

/// A whole text in which `*` stands for anything and `?` for one character.
pub(in crate::import) fn wildcard(text: &str) -> NameMatch {
    let mut out = String::from("^");
    for c in text.chars() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            other => {
                // What an expression would read as more than itself.
                if r".+()[]{}|^$\#&~-".contains(other) {
                    out.push('\\');
                }
                out.push(other);
            }
        }
    }
    out.push('$');
    NameMatch::RegExp(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_becomes_an_expression_of_the_whole_text() {
        for (text, expected) in [
            ("*@acme.example", r"^.*@acme\.example$"),
            ("https://github.com/acme/*", r"^https://github\.com/acme/.*$"),
            ("a?(b)|é", r"^a.\(b\)\|é$"),
        ] {
            assert_eq!(wildcard(text), NameMatch::RegExp(expected.to_owned()), "{text}");
        }
    }
}
