//! [`CertificateIdentity`]: whose certificate a signature is to be made with, and
//! [`IdentityMismatch`]: what differs in another's.
//!
//! Issuer and subject are matched together, and the subject with its kind: an e-mail address is
//! never a URI, though the text is the same, and what one issuer vouches for another does not
//! (attack B8).

use std::fmt;

use crate::verify::{Certificate, Extension, San};

use super::matcher::Matcher;
use super::overbroad_identity;
use super::subject_kind::SubjectKind;
use crate::policy::sanitize::escaped;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};

/// The fields of an identity.
pub(in crate::policy) const FIELDS: &[&str] = &[
    "issuer",
    "issuerRegExp",
    "insecureAnyIssuer",
    "subject",
    "subjectRegExp",
    "insecureAnySubject",
    "subjectKind",
    "extensions",
    "extensionsRegExp",
];
/// The three ways to say an issuer, and the three to say a subject: to the letter, as an
/// expression, anyone.
pub(in crate::policy) const ISSUER: &[&str] = &["issuer", "issuerRegExp", "insecureAnyIssuer"];
pub(in crate::policy) const SUBJECT: &[&str] = &["subject", "subjectRegExp", "insecureAnySubject"];
/// The ways to say the subject of an own authority's certificate.
pub(in crate::policy) const OWN: &[&str] =
    &["email", "host", "uri", "emailRegExp", "hostRegExp", "uriRegExp"];
/// The words of `subjectKind`.
pub(in crate::policy) const SUBJECT_KINDS: &[&str] = &["email", "uri", "dns", "otherName"];
/// [`Extension::name`] of each.
pub(in crate::policy) const EXTENSIONS: &[&str] = &[
    "buildSignerURI",
    "buildSignerDigest",
    "runnerEnvironment",
    "sourceRepositoryURI",
    "sourceRepositoryDigest",
    "sourceRepositoryRef",
    "sourceRepositoryIdentifier",
    "sourceRepositoryOwnerURI",
    "sourceRepositoryOwnerIdentifier",
    "buildConfigURI",
    "buildConfigDigest",
    "buildTrigger",
    "runInvocationURI",
    "sourceRepositoryVisibilityAtSigning",
    "deploymentEnvironment",
    "tokenSubject",
    "githubWorkflowTrigger",
    "githubWorkflowSha",
    "githubWorkflowName",
    "githubWorkflowRepository",
    "githubWorkflowRef",
];

/// The holder of a certificate, as a policy wants it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::policy) struct CertificateIdentity {
    /// Who vouched for the holder (the OIDC issuer); not asked ([`Matcher::Any`]) of an own
    /// authority's certificates.
    pub(in crate::policy) issuer: Matcher,
    /// The holder's name.
    pub(in crate::policy) subject: Matcher,
    /// Of which kind the name is to be; any where it is left out.
    pub(in crate::policy) kind: Option<SubjectKind>,
    /// What Fulcio's extensions are to say.
    pub(in crate::policy) extensions: Vec<(Extension, Matcher)>,
}

/// What differs in a certificate that holds. Its texts are bounded and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct IdentityMismatch {
    /// Which part.
    pub(in crate::policy) part: IdentityField,
    /// What the certificate says; none where it says nothing.
    pub(in crate::policy) got: Option<String>,
    /// What the policy wants.
    pub(in crate::policy) wanted: String,
}

/// A part of an identity. Ordered: the first tells most, since everything before it fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum IdentityField {
    /// One of Fulcio's extensions; issuer and subject fit.
    Extension(Extension),
    /// The kind of the subject's name; its text fits.
    SubjectKind,
    /// The subject's name; the issuer fits.
    Subject,
    /// The issuer; the subject fits.
    Issuer,
    /// The subject's name, and the issuer as well.
    Stranger,
}

impl CertificateIdentity {
    /// Reads one of `identities`.
    pub(in crate::policy) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let fields = reader.fields(at, FIELDS)?;
        let issuer = three(&fields, ISSUER, reader);
        let subject = three(&fields, SUBJECT, reader);
        let kind = match fields.get("subjectKind") {
            Some(at) => reader.word(at, SUBJECT_KINDS).map(|word| Some(SubjectKind::of(word))),
            None => Some(None),
        };
        let extensions = extensions(&fields, reader);
        let identity =
            Self { issuer: issuer?, subject: subject?, kind: kind?, extensions: extensions? };
        identity.check_anyone(&fields, reader);
        Some(identity)
    }

    /// Whoever has a certificate of an authority; `insecureAnySubject` says so.
    pub(in crate::policy) fn anyone() -> Self {
        Self { issuer: Matcher::Any, subject: Matcher::Any, kind: None, extensions: Vec::new() }
    }

    /// Whether this is the certificate of the holder that is wanted.
    ///
    /// # Errors
    /// What differs; of several things the one that tells most.
    pub(in crate::policy) fn fits(
        &self,
        certificate: &Certificate,
    ) -> Result<(), IdentityMismatch> {
        let issuer = self.issuer_fits(certificate);
        let subject = self.subject_fits(certificate.sans());
        match (issuer, subject) {
            (Ok(()), Ok(())) => self.extensions_fit(certificate),
            (Ok(()), Err(mismatch)) | (Err(mismatch), Ok(())) => Err(mismatch),
            (Err(_), Err(subject)) => {
                Err(IdentityMismatch { part: IdentityField::Stranger, ..subject })
            }
        }
    }

    /// The identity in words, raw: whoever prints it escapes and bounds it.
    pub(in crate::policy) fn describe(&self) -> String {
        let kind = self.kind.map(|kind| format!("{} ", kind.word())).unwrap_or_default();
        let mut text = format!("{kind}{}", self.subject.wanted());
        if !matches!(self.issuer, Matcher::Any) {
            text.push_str(" of ");
            text.push_str(self.issuer.wanted());
        }
        for (extension, matcher) in &self.extensions {
            text.push_str(&format!(", {} {}", extension.name(), matcher.wanted()));
        }
        text
    }

    /// Attack B8: an identity that strangers have too.
    fn check_anyone(&self, fields: &Fields<'_>, reader: &mut Reader) {
        // An extension is what the issuer says: it narrows no issuer.
        if let (Matcher::Pattern(pattern), Some(at)) = (&self.issuer, fields.get("issuerRegExp")) {
            anyone(at, "issuer", overbroad_identity::issuer(pattern), "insecureAnyIssuer", reader);
        }
        if self.extensions.iter().any(|(extension, matcher)| names_source(*extension, matcher)) {
            return;
        }
        let at = fields.get("subject").or_else(|| fields.get("subjectRegExp"));
        let stranger = match &self.subject {
            Matcher::Any => None,
            Matcher::Exact(name) => {
                overbroad_identity::is_public_workflow(name).then(|| name.clone())
            }
            Matcher::Pattern(pattern) => overbroad_identity::holder(pattern, self.kind),
        };
        if let Some(at) = at {
            anyone(at, "subject", stranger, "insecureAnySubject", reader);
        }
    }

    fn issuer_fits(&self, certificate: &Certificate) -> Result<(), IdentityMismatch> {
        let fits = match (&self.issuer, certificate.issuer()) {
            (Matcher::Any, _) => true,
            (Matcher::Exact(_) | Matcher::Pattern(_), None) => false,
            (matcher, Some(issuer)) => matcher.fits(issuer),
        };
        if fits {
            Ok(())
        } else {
            Err(mismatch(IdentityField::Issuer, certificate.issuer(), &self.issuer))
        }
    }

    /// Any of the certificate's names: each is the holder's.
    fn subject_fits(&self, sans: &[San]) -> Result<(), IdentityMismatch> {
        let is_kind = |san: &San| self.kind.is_none_or(|kind| kind.is(san));
        if sans.iter().any(|san| is_kind(san) && self.subject.fits(san.as_str())) {
            return Ok(());
        }
        let kind = self.kind.zip(sans.iter().find(|san| self.subject.fits(san.as_str())));
        if let Some((kind, san)) = kind {
            let got = Some(escaped(&format!("{} {}", san.kind(), san.as_str())));
            return Err(IdentityMismatch {
                part: IdentityField::SubjectKind,
                got,
                wanted: kind.word().to_owned(),
            });
        }
        let named: Vec<&str> = sans.iter().map(San::as_str).collect();
        let got = (!named.is_empty()).then(|| named.join(" and "));
        Err(mismatch(IdentityField::Subject, got.as_deref(), &self.subject))
    }

    fn extensions_fit(&self, certificate: &Certificate) -> Result<(), IdentityMismatch> {
        for (extension, matcher) in &self.extensions {
            let got = certificate.extension(*extension);
            if !got.is_some_and(|value| matcher.fits(value)) {
                return Err(mismatch(IdentityField::Extension(*extension), got, matcher));
            }
        }
        Ok(())
    }
}

/// Reads one of `subjects`: the subject of an own authority's certificate.
pub(in crate::policy) fn subject(at: &At<'_>, reader: &mut Reader) -> Option<CertificateIdentity> {
    let fields = reader.fields(at, OWN)?;
    let name = reader.one_of(&fields, OWN)?;
    let at = fields.get(name)?;
    let (kind, subject) = match name {
        "email" => (SubjectKind::Email, Matcher::exact(at, reader)),
        "host" => (SubjectKind::Dns, Matcher::exact(at, reader)),
        "uri" => (SubjectKind::Uri, Matcher::exact(at, reader)),
        "emailRegExp" => (SubjectKind::Email, Matcher::pattern(at, reader)),
        "hostRegExp" => (SubjectKind::Dns, Matcher::pattern(at, reader)),
        _ => (SubjectKind::Uri, Matcher::pattern(at, reader)),
    };
    let identity = CertificateIdentity {
        subject: subject?,
        kind: Some(kind),
        ..CertificateIdentity::anyone()
    };
    if let Matcher::Pattern(pattern) = &identity.subject {
        anyone(
            at,
            "subject",
            overbroad_identity::holder(pattern, Some(kind)),
            "insecureAnySubject",
            reader,
        );
    }
    Some(identity)
}

/// Exactly one of three fields: to the letter, an expression, anyone.
fn three(
    fields: &Fields<'_>,
    names: &'static [&'static str],
    reader: &mut Reader,
) -> Option<Matcher> {
    let [exact, pattern, any] = names else { return None };
    let found: Vec<&'static str> =
        names.iter().copied().filter(|name| fields.get(name).is_some()).collect();
    match (found.as_slice(), found.first().and_then(|name| fields.get(name))) {
        ([one], Some(at)) if one == exact => Matcher::exact(at, reader),
        ([one], Some(at)) if one == pattern => Matcher::pattern(at, reader),
        ([_], Some(_)) => reader.is_true(fields, any).then_some(Matcher::Any),
        ([], _) if fields.means(names) => None,
        ([], _) => {
            let fault = PolicyFault::MatchesAnyone { part: exact, stranger: None, spell: any };
            reader.note(Some(fields.position()), fields.field().to_owned(), fault);
            None
        }
        _ => {
            let fault = PolicyFault::OneOf { expected: names, found };
            reader.note(Some(fields.position()), fields.field().to_owned(), fault);
            None
        }
    }
}

/// `extensions` and `extensionsRegExp`; none in both.
fn extensions(fields: &Fields<'_>, reader: &mut Reader) -> Option<Vec<(Extension, Matcher)>> {
    let mut read = Vec::new();
    let exact = fields.get("extensions").map(|at| values(at, Matcher::exact, &mut read, reader));
    let pattern =
        fields.get("extensionsRegExp").map(|at| values(at, Matcher::pattern, &mut read, reader));
    (exact != Some(None) && pattern != Some(None)).then_some(read)
}

/// One of the two maps; none when anything in it cannot be used.
fn values(
    at: &At<'_>,
    matcher: fn(&At<'_>, &mut Reader) -> Option<Matcher>,
    read: &mut Vec<(Extension, Matcher)>,
    reader: &mut Reader,
) -> Option<()> {
    let values = reader.some_fields(at, EXTENSIONS)?;
    let mut whole = Some(());
    for (name, at) in values.iter() {
        let Some(extension) = Extension::ALL.into_iter().find(|extension| extension.name() == name)
        else {
            continue;
        };
        if read.iter().any(|(other, _)| *other == extension) {
            reader
                .fault(at, PolicyFault::Excludes { name: "extensions", with: "extensionsRegExp" });
        }
        match matcher(at, reader) {
            Some(matcher) => read.push((extension, matcher)),
            None => whole = None,
        }
    }
    whole
}

/// Whether an extension says whose source it was built from, in words that no stranger's build has.
pub(in crate::policy) fn names_source(extension: Extension, matcher: &Matcher) -> bool {
    let is_source = matches!(
        extension,
        Extension::SourceRepositoryUri
            | Extension::SourceRepositoryIdentifier
            | Extension::SourceRepositoryOwnerUri
            | Extension::SourceRepositoryOwnerIdentifier
            | Extension::BuildSignerUri
            | Extension::BuildConfigUri
            | Extension::TokenSubject
            | Extension::GithubWorkflowRepository
    );
    is_source
        && match matcher {
            Matcher::Any => false,
            Matcher::Exact(value) => !overbroad_identity::is_public_workflow(value),
            Matcher::Pattern(pattern) => overbroad_identity::value(pattern).is_none(),
        }
}

fn anyone(
    at: &At<'_>,
    part: &'static str,
    stranger: Option<String>,
    spell: &'static str,
    reader: &mut Reader,
) {
    if stranger.is_some() {
        reader.fault(at, PolicyFault::MatchesAnyone { part, stranger, spell });
    }
}

impl IdentityMismatch {
    /// How telling it is among others: the lowest says most.
    pub(in crate::policy) fn rank(&self) -> u8 {
        match self.part {
            IdentityField::Extension(_) => 0,
            IdentityField::SubjectKind => 1,
            IdentityField::Subject => 2,
            IdentityField::Issuer => 3,
            IdentityField::Stranger => 4,
        }
    }
}

impl IdentityField {
    /// The part in the words of policies.
    pub(in crate::policy) fn name(self) -> &'static str {
        match self {
            Self::Extension(extension) => extension.name(),
            Self::SubjectKind => "subjectKind",
            Self::Subject | Self::Stranger => "subject",
            Self::Issuer => "issuer",
        }
    }
}

impl fmt::Display for IdentityMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.part.name();
        match &self.got {
            Some(got) => {
                write!(f, "its {name} is {got}, wanted is {}", self.wanted)?;
                // Invisible to tired eyes, and another issuer all the same.
                let slash = got.trim_end_matches('/') == self.wanted.trim_end_matches('/')
                    && *got != self.wanted;
                if slash { f.write_str(" (they differ in the slash at the end)") } else { Ok(()) }
            }
            None => write!(f, "it has no {name}, wanted is {}", self.wanted),
        }
    }
}

fn mismatch(part: IdentityField, got: Option<&str>, wanted: &Matcher) -> IdentityMismatch {
    IdentityMismatch { part, got: got.map(escaped), wanted: escaped(wanted.wanted()) }
}
