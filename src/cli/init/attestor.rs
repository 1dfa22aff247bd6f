//! [`DraftAttestor`]: by whom a drafted document has images signed, as its lines.

use crate::policy::{CertificateInfo, PUBLIC_GOOD, Signer, SignerId};

/// What stands before the tag in the identity of a workflow that ran for one (Fulcio's SAN of GitHub
/// and GitLab).
const TAG: &str = "@refs/tags/";

/// By whom an image is signed. In the order in which one is taken rather than another: a key was given
/// by the operator, an identity was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DraftAttestor {
    /// A key, by its file.
    Key {
        /// As a document names it.
        file: String,
    },
    /// An identity of a Sigstore instance.
    Keyless { issuer: String, subject: DraftSubject, root: String },
}

/// Whose certificate it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DraftSubject {
    /// This one's, to the letter.
    Exact(String),
    /// A workflow's, for whichever tag: the next version has another.
    AnyTag {
        /// What stands before the tag.
        workflow: String,
    },
}

impl DraftAttestor {
    /// Of a proven signer; none for one that a document cannot name: a key that another document has
    /// written out, and a certificate without an issuer or a name, or with characters that were
    /// escaped.
    pub(super) fn of(signer: &Signer) -> Option<Self> {
        match &signer.id {
            SignerId::Key { file, .. } => file.clone().map(|file| Self::Key { file }),
            SignerId::Certificate { certificate } => Self::of_certificate(certificate),
        }
    }

    fn of_certificate(certificate: &CertificateInfo) -> Option<Self> {
        let (issuer, root) = (certificate.issuer.clone()?, certificate.trust_root.clone()?);
        let subject = &certificate.subject;
        let is_plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'*'))
        };
        if !is_plain(&issuer) || !is_plain(subject) {
            return None;
        }
        let subject = match subject.split_once(TAG) {
            Some((workflow, _)) if certificate.subject_kind == "uri" => {
                DraftSubject::AnyTag { workflow: workflow.to_owned() }
            }
            Some(_) | None => DraftSubject::Exact(subject.clone()),
        };
        Some(Self::Keyless { issuer, subject, root })
    }

    /// The requirement of this name, as lines without indentation.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let mut lines = vec![format!("name: {name}")];
        match self {
            Self::Key { file } => lines.push(format!("key: {{files: [{}]}}", quoted(file))),
            Self::Keyless { issuer, subject, root } => {
                lines.push("keyless:".to_owned());
                if root != PUBLIC_GOOD {
                    lines.push(format!("  trustRoot: {}", quoted(root)));
                }
                lines.push("  identities:".to_owned());
                lines.push(format!("    - issuer: {}", quoted(issuer)));
                lines.push(match subject {
                    DraftSubject::Exact(subject) => format!("      subject: {}", quoted(subject)),
                    DraftSubject::AnyTag { workflow } => {
                        let expression = format!("^{}{TAG}.+$", literal(workflow));
                        format!("      subjectRegExp: {}", quoted(&expression))
                    }
                });
            }
        }
        lines
    }

    /// In a sentence; not made harmless.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Key { file } => format!("key {file}"),
            Self::Keyless { issuer, subject: DraftSubject::Exact(subject), .. } => {
                format!("{subject} ({issuer})")
            }
            Self::Keyless { issuer, subject: DraftSubject::AnyTag { workflow }, .. } => {
                format!("{workflow} for a tag ({issuer})")
            }
        }
    }

    /// What a reader of the document does with it.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Key { .. } => {
                "One of your keys made these signatures. Tighten: ask for a second signer with atLeast."
            }
            Self::Keyless { subject: DraftSubject::AnyTag { .. }, .. } => {
                "This workflow signed them, for one tag each; any tag of its repository is admitted. Make sure \
                 that it is the publisher's. Tighten: a pattern of the tags that you run, extensions of the \
                 certificate, an attestation."
            }
            Self::Keyless { .. } => {
                "This identity signed them. Make sure that it is the publisher's, and not somebody else who may \
                 write to the registry. Tighten: extensions of the certificate, an attestation."
            }
        }
    }
}

/// A text in double quotes, as YAML and JSON have it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An expression that matches this text alone.
fn literal(text: &str) -> String {
    let mut expression = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !matches!(c, '/' | ':' | '_' | '-' | '@' | '%') {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression
}
