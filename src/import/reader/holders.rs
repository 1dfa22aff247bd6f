//! The identities of certificates as Sigstore's programs write them: `issuer`, `subject`, and an
//! expression in place of each.

use super::draft::{HolderName, NameMatch};
use super::regexp;
use super::tree::{Findings, Known, Tree};

/// A list of identities, of which any suffices; none where none is left. One that was left out is
/// one way less.
pub(in crate::import) fn read(at: &Tree<'_>, findings: &mut Findings) -> Option<Vec<HolderName>> {
    let mut holders: Vec<HolderName> = Vec::new();
    for item in at.filled(findings)? {
        if let Some(holder) = holder(&item, findings)
            && !holders.contains(&holder)
        {
            holders.push(holder);
        }
    }
    (!holders.is_empty()).then_some(holders)
}

fn holder(at: &Tree<'_>, findings: &mut Findings) -> Option<HolderName> {
    let fields = at.known(&["issuer", "issuerRegExp", "subject", "subjectRegExp"], findings)?;
    let issuer = name(&fields, &["issuer", "issuerRegExp"], findings);
    let subject = name(&fields, &["subject", "subjectRegExp"], findings);
    Some(HolderName { issuer: issuer?, subject: subject?, subject_kind: None })
}

fn name(
    fields: &Known<'_>,
    names: &'static [&'static str],
    findings: &mut Findings,
) -> Option<NameMatch> {
    let (name, at) = fields.one_of(names, findings)?;
    let text = at.text(findings)?;
    if !name.ends_with("RegExp") {
        return Some(NameMatch::Exact(text.to_owned()));
    }
    expression(at, findings)
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
