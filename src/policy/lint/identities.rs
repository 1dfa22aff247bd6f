//! Identities that no certificate has, that everybody has, and that a deny list means by mistake.
//!
//! What the public issuers write into certificates is from Fulcio's documentation ("OIDC usage",
//! "Certificate specification"): the subject of a workflow is its URI with a ref, that of a person or
//! a service account an e-mail address.

use super::note::note;
use crate::policy::document::Documents;
use crate::policy::document::deny_list::ReadEntry;
use crate::policy::position::Position;
use crate::policy::requirement::attestor::AttestorKind;
use crate::policy::requirement::certificate_identity::{CertificateIdentity, names_source};
use crate::policy::requirement::matcher::Matcher;
use crate::policy::requirement::subject_kind::SubjectKind;
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::Note;
use crate::policy::syntax::suggest::differences;

/// What a public issuer's subjects look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subjects {
    /// An e-mail address.
    Email,
    /// A workflow on GitHub.
    GitHub,
    /// A pipeline on gitlab.com.
    GitLab,
    /// Other URIs.
    Uri,
}

/// Public issuers, to the letter as certificates name them.
const ISSUERS: [(&str, Subjects); 8] = [
    ("https://token.actions.githubusercontent.com", Subjects::GitHub),
    ("https://gitlab.com", Subjects::GitLab),
    ("https://accounts.google.com", Subjects::Email),
    ("https://github.com/login/oauth", Subjects::Email),
    ("https://login.microsoftonline.com", Subjects::Email),
    ("https://oauth2.sigstore.dev/auth", Subjects::Email),
    ("https://agent.buildkite.com", Subjects::Uri),
    ("https://oidc.codefresh.io", Subjects::Uri),
];
/// Most letters in which an issuer differs from a public one that was likely meant.
const SLIP: usize = 2;

pub(super) fn lints(documents: &Documents) -> Vec<Note> {
    let mut notes = Vec::new();
    for document in &documents.documents {
        let at = (document.file.as_str(), document.position);
        for leaf in &document.require.leaves {
            for (field, identity, is_own) in identities(leaf) {
                notes.extend(of(at, &field, identity, is_own));
            }
        }
    }
    for list in &documents.deny_lists {
        let at = (list.head.file.as_str(), list.head.position);
        let named = |entry: &&ReadEntry| entry.issuer.is_some() || entry.subject.is_some();
        for (number, entry) in list.entries.iter().filter(named).enumerate() {
            notes.extend(denied(at, &format!("spec.identities[{number}]"), entry));
        }
    }
    notes
}

/// The identities that a leaf takes, with their fields, and whether an own authority vouches.
fn identities(leaf: &Leaf) -> Vec<(String, &CertificateIdentity, bool)> {
    let Some(attestor) = leaf.attestor() else { return Vec::new() };
    let (any_of, list, is_own) = match &attestor.kind {
        AttestorKind::Key(_) => return Vec::new(),
        AttestorKind::Keyless(any_of) => (any_of, "keyless.identities", false),
        AttestorKind::Certificate { subjects, .. } => (subjects, "certificate.subjects", true),
    };
    let by = match &leaf.demand {
        Demand::Attestation { .. } => "attestation.by.",
        Demand::Signature { .. } | Demand::Digest(_) => "",
    };
    let named = |(n, identity)| (format!("{}.{by}{list}[{n}]", leaf.field), identity, is_own);
    any_of.iter().enumerate().map(named).collect()
}

fn of(
    at: (&str, Position),
    field: &str,
    identity: &CertificateIdentity,
    is_own: bool,
) -> Vec<Note> {
    let mut notes = Vec::new();
    let narrows = |(extension, matcher): &(_, _)| names_source(*extension, matcher);
    let is_anyone = !is_own && identity.subject == Matcher::Any;
    if is_anyone && !identity.extensions.iter().any(narrows) {
        notes.push(note(at, field.to_owned(), Advice::AnyIdentity));
    }
    let subject = identity.kind.filter(|_| is_own).map_or("subject", own_field);
    notes.extend(never(at, field, (&identity.issuer, &identity.subject), (subject, identity.kind)));
    notes
}

/// How an own authority's subject of this kind is written.
fn own_field(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Email => "email",
        SubjectKind::Dns => "host",
        SubjectKind::Uri | SubjectKind::Other => "uri",
    }
}

fn denied(at: (&str, Position), field: &str, entry: &ReadEntry) -> Vec<Note> {
    let any = Matcher::Any;
    let (issuer, subject) =
        (entry.issuer.as_ref().unwrap_or(&any), entry.subject.as_ref().unwrap_or(&any));
    if entry.is_everyone() {
        return vec![note(at, field.to_owned(), Advice::DeniesEveryone)];
    }
    never(at, field, (issuer, subject), ("subject", None))
}

/// What of an identity no certificate says. One that no issuer has tells nothing of its subjects.
fn never(
    at: (&str, Position),
    field: &str,
    (issuer, subject): (&Matcher, &Matcher),
    (subject_field, kind): (&str, Option<SubjectKind>),
) -> Vec<Note> {
    if let Matcher::Exact(issuer) = issuer
        && let Some(advice) = no_issuer(issuer)
    {
        return vec![note(at, format!("{field}.issuer"), advice)];
    }
    let Matcher::Exact(subject) = subject else { return Vec::new() };
    let of_issuer = match issuer {
        Matcher::Exact(issuer) => subjects_of(issuer),
        Matcher::Any | Matcher::Pattern(_) => None,
    };
    let like = of_issuer
        .and_then(|subjects| no_subject(subjects, subject))
        .or_else(|| kind.and_then(|kind| no_name(kind, subject)));
    let advice = like.map(|like| Advice::SubjectNeverMatches { like });
    advice.map(|advice| note(at, format!("{field}.{subject_field}"), advice)).into_iter().collect()
}

fn subjects_of(issuer: &str) -> Option<Subjects> {
    ISSUERS.iter().find(|(known, _)| *known == issuer).map(|(_, subjects)| *subjects)
}

/// Whether no certificate names this issuer: it is no URL, or a slip of a public one.
fn no_issuer(issuer: &str) -> Option<Advice> {
    if subjects_of(issuer).is_some() {
        return None;
    }
    let bare = |url: &str| url.rsplit("://").next().unwrap_or(url).trim_end_matches('/').to_owned();
    let (plain, lower) = (bare(issuer), issuer.to_lowercase());
    // What goes on behind a public issuer is another one: that of an enterprise, or of a tenant.
    let is_near = |known: &str| {
        bare(known) == plain.to_lowercase()
            || !lower.starts_with(&format!("{known}/")) && differences(known, issuer) <= SLIP
    };
    let write = ISSUERS.iter().find(|(known, _)| is_near(known)).map(|(known, _)| *known);
    if write.is_none() && issuer.contains("://") {
        return None;
    }
    let is_host = plain.contains('.') && !plain.contains([' ', '@']);
    let write = write.map(str::to_owned).or_else(|| is_host.then(|| format!("https://{plain}")));
    Some(Advice::IssuerNeverMatches { write })
}

/// What a subject of this issuer looks like, where this is none.
fn no_subject(subjects: Subjects, subject: &str) -> Option<&'static str> {
    let (is_one, like) = match subjects {
        Subjects::Email => {
            (subject.contains('@') && !subject.contains('/'), "release@acme.example")
        }
        Subjects::GitHub => (
            subject.starts_with("https://github.com/")
                && subject.contains("/.github/workflows/")
                && subject.contains('@'),
            "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1",
        ),
        Subjects::GitLab => (
            subject.starts_with("https://gitlab.com/") && subject.contains('@'),
            "https://gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
        ),
        Subjects::Uri => (subject.contains("://"), "https://buildkite.com/acme/app"),
    };
    (!is_one).then_some(like)
}

/// What a name of this kind looks like, where this is none.
fn no_name(kind: SubjectKind, name: &str) -> Option<&'static str> {
    let (is_one, like) = match kind {
        SubjectKind::Email => (name.contains('@') && !name.contains("://"), "release@acme.example"),
        SubjectKind::Uri => (name.contains(':'), "spiffe://acme.example/build"),
        SubjectKind::Dns => (!name.contains(['/', '@', ':']), "build.acme.example"),
        SubjectKind::Other => (true, ""),
    };
    (!is_one).then_some(like)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(issuer: &str) -> Option<Option<String>> {
        no_issuer(issuer).map(|advice| advice.suggestion().map(str::to_owned))
    }

    #[test]
    fn issuers_that_no_certificate_names() {
        let google = Some(Some("https://accounts.google.com".to_owned()));
        for slip in [
            "accounts.google.com",
            "http://accounts.google.com",
            "https://accounts.google.com/",
            "https://acounts.google.com",
            "https://Accounts.Google.com",
        ] {
            assert_eq!(write(slip), google, "{slip}");
        }
        let own = Some(Some("https://login.acme.example".to_owned()));
        assert_eq!(write("login.acme.example"), own);
        assert_eq!(write("google"), Some(None));
        for good in [
            "https://accounts.google.com",
            "https://token.actions.githubusercontent.com/a",
            "https://login.acme.example/",
            "https://login.microsoftonline.com/0f8fad5b/v2.0",
        ] {
            assert_eq!(write(good), None, "{good}");
        }
    }

    #[test]
    fn subjects_that_no_certificate_of_the_issuer_names() {
        let never = |issuer: &str, subject: &str| {
            no_subject(subjects_of(issuer).unwrap(), subject).is_some()
        };
        let actions = "https://token.actions.githubusercontent.com";
        assert!(never(actions, "repo:acme/app:ref:refs/heads/main"));
        assert!(never(actions, "https://github.com/acme/app"));
        assert!(never(actions, "acme/app/.github/workflows/a.yml@refs/heads/main"));
        assert!(never(actions, "https://github.com/acme/app/.github/workflows/a.yml"));
        assert!(!never(
            actions,
            "https://github.com/acme/app/.github/workflows/a.yml@refs/heads/main"
        ));
        assert!(never("https://accounts.google.com", "release"));
        assert!(!never("https://accounts.google.com", "release@acme.example"));
        assert_eq!(no_name(SubjectKind::Dns, "build.acme.example"), None);
        assert!(no_name(SubjectKind::Dns, "https://build.acme.example").is_some());
        assert!(no_name(SubjectKind::Uri, "build").is_some());
        assert!(no_name(SubjectKind::Email, "build").is_some());
    }
}
