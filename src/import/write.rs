//! Writes a [`Draft`] down as a document, and the comments above it.

use std::fmt::Write as _;

use crate::import::reader::draft::{
    By, Draft, DraftDemand, HolderName, NameMatch, SignedName, Witnesses,
};

/// A digest that no content has: what is asked for where nothing is to be admitted.
const NO_CONTENT: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The document, without the line that parts it from the next.
pub(super) fn document(draft: &Draft, name: &str) -> String {
    let mut out = comment(&format!("from {}", draft.origin));
    draft.remarks.iter().for_each(|remark| out.push_str(&comment(remark)));
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line("apiVersion: sealgate/v1");
    line("kind: ImagePolicy");
    line(&format!("metadata: {{name: {}}}", quoted(name)));
    line("spec:");
    for (field, patterns) in
        [("images", &draft.images), ("exclude", &draft.exclude), ("namespaces", &draft.namespaces)]
    {
        if !patterns.is_empty() {
            line(&format!("  {field}:"));
            patterns.iter().for_each(|pattern| line(&format!("    - {}", quoted(pattern))));
        }
    }
    if draft.warns {
        line("  action: warn");
    }
    if let Some(repository) = &draft.signature_repository {
        line(&format!("  signatureRepository: {}", quoted(repository)));
    }
    line("  require:");
    lines(&draft.demand).iter().for_each(|text| line(&format!("    {text}")));
    out
}

/// Comment lines; what is said may come from a file that anybody wrote.
pub(super) fn comment(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let plain: String = line
            .chars()
            .flat_map(|c| {
                let escape = c.is_control() || !(c.is_ascii() || c.is_alphanumeric());
                let escaped = escape.then(|| c.escape_unicode()).into_iter().flatten();
                escaped.chain((!escape).then_some(c))
            })
            .collect();
        out.push_str(format!("# {plain}").trim_end());
        out.push('\n');
    }
    out
}

/// The lines of a requirement.
fn lines(demand: &DraftDemand) -> Vec<String> {
    match demand {
        DraftDemand::Accept => vec!["insecureAcceptAnything: true".to_owned()],
        DraftDemand::Reject => vec![
            "# no content has this digest: nothing is admitted".to_owned(),
            "name: \"rejected\"".to_owned(),
            format!("digest: {{anyOf: [{}]}}", quoted(NO_CONTENT)),
        ],
        DraftDemand::All(demands) => listed("all:", 2, demands),
        DraftDemand::Any(demands) => listed("any:", 2, demands),
        DraftDemand::AtLeast(count, demands) => {
            let mut out = vec!["atLeast:".to_owned(), format!("  count: {count}")];
            out.extend(listed("  of:", 4, demands));
            out
        }
        DraftDemand::Signed { name, by, identity } => {
            let mut out = vec![format!("name: {}", quoted(name)), attestor(by)];
            out.extend(signed_name(identity));
            out
        }
        DraftDemand::Attested { name, by, predicate_type } => vec![
            format!("name: {}", quoted(name)),
            "attestation:".to_owned(),
            format!("  predicateType: {}", quoted(predicate_type)),
            format!("  by: {{{}}}", attestor(by)),
        ],
    }
}

fn listed(head: &str, indent: usize, demands: &[DraftDemand]) -> Vec<String> {
    let mut out = vec![head.to_owned()];
    for demand in demands {
        for (number, line) in lines(demand).into_iter().enumerate() {
            let mark = if number == 0 { "- " } else { "  " };
            out.push(format!("{}{mark}{line}", " ".repeat(indent)));
        }
    }
    out
}

fn attestor(by: &By) -> String {
    match by {
        By::Key { files, witnesses } => {
            format!("key: {{files: {}{}}}", flow(files), witnessed(witnesses, false))
        }
        By::Keyless { identities, witnesses, ignores_log, ignores_sct } => {
            let identities: Vec<String> = identities.iter().map(holder).collect();
            let mut text = format!("keyless: {{identities: [{}]", identities.join(", "));
            text.push_str(&witnessed(witnesses, true));
            if *ignores_log {
                text.push_str(", insecureIgnoreTlog: true");
            }
            if *ignores_sct {
                text.push_str(", insecureIgnoreSCT: true");
            }
            text.push('}');
            text
        }
        By::Certificate { roots, intermediates, subject: (kind, subject) } => {
            let mut text = format!("certificate: {{roots: {}", flow(roots));
            if !intermediates.is_empty() {
                let _ = write!(text, ", intermediates: {}", flow(intermediates));
            }
            let _ = write!(text, ", subjects: [{{{kind}: {}}}]}}", quoted(subject));
            text
        }
    }
}

/// What is asked beside; of keyless signatures one log entry is asked for anyway.
fn witnessed(witnesses: &Witnesses, keyless: bool) -> String {
    let mut text = String::new();
    if let Some(root) = &witnesses.trust_root {
        let _ = write!(text, ", trustRoot: {}", quoted(root));
    }
    if witnesses.log_entries > u8::from(keyless) {
        let _ = write!(text, ", minLogEntries: {}", witnesses.log_entries);
    }
    if witnesses.timestamps > 0 {
        let _ = write!(text, ", minTimestamps: {}", witnesses.timestamps);
    }
    text
}

fn holder(holder: &HolderName) -> String {
    let part = |what: &str, any: &str, name: &NameMatch| match name {
        NameMatch::Exact(text) => format!("{what}: {}", quoted(text)),
        NameMatch::RegExp(text) => format!("{what}RegExp: {}", quoted(text)),
        NameMatch::Any => format!("{any}: true"),
    };
    let mut text = format!(
        "{{{}, {}",
        part("issuer", "insecureAnyIssuer", &holder.issuer),
        part("subject", "insecureAnySubject", &holder.subject)
    );
    if let Some(kind) = holder.subject_kind {
        let _ = write!(text, ", subjectKind: {kind}");
    }
    text.push('}');
    text
}

fn signed_name(name: &SignedName) -> Option<String> {
    let text = match name {
        SignedName::Repository => return None,
        SignedName::Exact => "matchExact".to_owned(),
        SignedName::RepoDigestOrExact => "matchRepoDigestOrExact".to_owned(),
        SignedName::ExactReference(name) => format!("{{exactReference: {}}}", quoted(name)),
        SignedName::ExactRepository(name) => format!("{{exactRepository: {}}}", quoted(name)),
        SignedName::Named { host } => {
            let host = quoted(host);
            format!("{{remap: {{prefix: {host}, signedPrefix: {host}}}}}")
        }
    };
    Some(format!("signedIdentity: {text}"))
}

fn flow(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// As text in double quotes, which YAML and JSON share.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
