//! [`item`]: an entry of a deny list as lines of YAML.

use crate::policy::document::deny_entry::{Denied, DenyEntry, IdentityText};

/// The lines of the entry, the dash indented so far. Texts are quoted as JSON quotes them, which
/// YAML reads alike.
pub(super) fn item(entry: &DenyEntry, indent: usize) -> Vec<String> {
    let mut fields = denied(&entry.denied);
    fields.push(("reason", quoted(&entry.reason)));
    fields.push(("date", entry.date.to_string()));
    let mut lines = Vec::new();
    for (number, (name, value)) in fields.into_iter().enumerate() {
        let dash = if number == 0 { "- " } else { "  " };
        let separator = if value.starts_with('\n') { "" } else { " " };
        let value = value.replace('\n', &format!("\n{:indent$}    ", ""));
        lines.push(format!("{:indent$}{dash}{name}:{separator}{value}\n", ""));
    }
    lines
}

/// What it denies, field by field. A line break in a value stands before an item of a list.
fn denied(denied: &Denied) -> Vec<(&'static str, String)> {
    let after = |time: &Option<jiff::Timestamp>| {
        time.iter().map(|time| ("signedAfter", time.to_string())).collect::<Vec<_>>()
    };
    match denied {
        Denied::Digest { digest, manifests } => {
            let mut fields = vec![("digest", quoted(digest.as_str()))];
            if !manifests.is_empty() {
                let items =
                    manifests.iter().map(|digest| format!("\n- {}", quoted(digest.as_str())));
                fields.push(("manifests", items.collect()));
            }
            fields
        }
        Denied::Repository { pattern } => vec![("pattern", quoted(pattern))],
        Denied::Key { fingerprint, signed_after } => {
            let mut fields = vec![("fingerprint", quoted(&fingerprint.to_string()))];
            fields.extend(after(signed_after));
            fields
        }
        Denied::Identity { issuer, subject, signed_after } => {
            let issuer = issuer.iter().map(|text| identity(("issuer", "issuerRegExp"), text));
            let subject = subject.iter().map(|text| identity(("subject", "subjectRegExp"), text));
            issuer.chain(subject).chain(after(signed_after)).collect()
        }
        Denied::Certificate { fingerprint } => {
            vec![("fingerprint", quoted(&fingerprint.to_string()))]
        }
        Denied::LogIndex { index, log } => {
            let mut fields = vec![("index", index.to_string())];
            fields.extend(log.iter().map(|log| ("log", quoted(log))));
            fields
        }
    }
}

fn identity(
    (exact, expression): (&'static str, &'static str),
    text: &IdentityText,
) -> (&'static str, String) {
    match text {
        IdentityText::Exact(text) => (exact, quoted(text)),
        IdentityText::RegExp(text) => (expression, quoted(text)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
