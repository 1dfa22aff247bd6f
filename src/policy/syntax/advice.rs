//! [`Advice`]: what is odd in a policy, and no error; and what it is called by programs.

use std::fmt;

use crate::policy::sanitize::escaped;

/// What is odd in a policy. Each is sound: the set loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// A regular expression without `^` and `$` of its own: upstream would match it anywhere in the
    /// text.
    AnchoredHere,
    /// A dot between letters, which any character matches.
    BareDot,
    /// A character that may be repeated, where a glob would have any text.
    GlobInRegExp,
    /// A `*` in a text that is compared to the letter.
    NoWildcard,
    /// A field about evidence in a policy that asks for none: it does nothing.
    NoEvidenceAsked {
        /// The field.
        name: &'static str,
    },
    /// `maxOffline` in a policy that only warns: it refuses nothing, so it does nothing.
    RefusesNothing,
    /// `maxOffline` in a policy that admits what it cannot ask the registry about: evidence that is
    /// too old refuses nothing.
    AdmitsUnreachable,
    /// `refreshAfter` is more than `maxOffline`: evidence ends before the registry is asked again
    /// in the background, so that a start waits for the registry, or is refused.
    RefreshBeyondOffline,
    /// A policy that accepts anything.
    AcceptsAnything,
    /// A pattern that accepts anything, of images that another policy demands something of.
    Overridden {
        /// The other policy.
        by: String,
    },
    /// An entry of `exclude` that excludes none of the images.
    DeadExclude,
    /// A pattern of images that `exclude` takes out whole.
    DeadPattern {
        /// The pattern that does.
        exclude: String,
    },
    /// A policy that demands something of pods with a label, an annotation or a runtime handler
    /// alone, or of images with a label, of images that no other policy demands anything of: the
    /// author of the pod or of the image leaves it by not writing that.
    LeftByAuthors {
        /// The field.
        field: &'static str,
    },
    /// An issuer that no certificate names.
    IssuerNeverMatches {
        /// What to write instead, where that can be told.
        write: Option<String>,
    },
    /// A subject that no certificate of its issuer or its kind names.
    SubjectNeverMatches {
        /// What such a subject looks like.
        like: &'static str,
    },
    /// An identity that everybody meets who has a certificate.
    AnyIdentity,
    /// An entry of a deny list that denies everybody.
    DeniesEveryone,
    /// An RSA key that is accepted, and shorter than is recommended today.
    WeakKey {
        /// Its bits.
        bits: usize,
    },
    /// An exception that ends within seven days.
    ExceptionEndsSoon {
        /// When.
        end: jiff::Timestamp,
    },
    /// An exception that has ended, and admits nothing.
    ExceptionEnded {
        /// When.
        end: jiff::Timestamp,
    },
    /// A digest that an exception lists and a deny list denies: nothing admits it.
    ExceptionDenied {
        /// The deny list.
        by: String,
    },
    /// An exception that ends later than it may, and admits nothing.
    ExceptionTooLong {
        /// How many days ahead its end may be.
        days: i64,
    },
}

impl Advice {
    /// Whether the document does not do what it is there for: the set loads all the same.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::ExceptionEnded { .. } | Self::ExceptionTooLong { .. })
    }

    /// A fixed word, for programs: `dead-exclude`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AnchoredHere => "anchored-here",
            Self::BareDot => "bare-dot",
            Self::GlobInRegExp => "glob-in-regexp",
            Self::NoWildcard => "no-wildcard",
            Self::NoEvidenceAsked { .. } => "no-evidence-asked",
            Self::RefusesNothing | Self::AdmitsUnreachable => "refuses-nothing",
            Self::RefreshBeyondOffline => "refresh-beyond-offline",
            Self::AcceptsAnything => "accepts-anything",
            Self::Overridden { .. } => "overridden-exemption",
            Self::DeadExclude => "dead-exclude",
            Self::DeadPattern { .. } => "dead-pattern",
            Self::LeftByAuthors { .. } => "left-by-authors",
            Self::IssuerNeverMatches { .. } => "issuer-never-matches",
            Self::SubjectNeverMatches { .. } => "subject-never-matches",
            Self::AnyIdentity => "any-identity",
            Self::DeniesEveryone => "denies-everyone",
            Self::WeakKey { .. } => "weak-key",
            Self::ExceptionEndsSoon { .. } => "exception-ends-soon",
            Self::ExceptionEnded { .. } => "exception-ended",
            Self::ExceptionTooLong { .. } => "exception-too-long",
            Self::ExceptionDenied { .. } => "exception-denied",
        }
    }

    /// What to write instead, where that can be told.
    #[must_use]
    pub fn suggestion(&self) -> Option<&str> {
        if let Self::IssuerNeverMatches { write } = self {
            return write.as_deref();
        }
        matches!(self, Self::GlobInRegExp).then_some(".*")
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnchoredHere => f.write_str(
                "the expression is anchored at both ends here; cosign and policy-controller would \
                 match it anywhere: write ^(?:...)$ if they are to mean the same",
            ),
            Self::BareDot => f.write_str("a dot matches any character; write \\. for a dot"),
            Self::GlobInRegExp => f.write_str(
                "* repeats the character before it here, it does not stand for any text as in a \
                 glob; write .* for any text",
            ),
            Self::NoWildcard => f.write_str(
                "* is no wildcard here, the text is compared to the letter; a RegExp field has \
                 patterns",
            ),
            Self::NoEvidenceAsked { name } => {
                write!(
                    f,
                    "{name} does nothing here: the policy asks for no signature and no \
                     attestation; remove it"
                )
            }
            Self::RefusesNothing => f.write_str(
                "maxOffline does nothing in a policy that only warns: nothing is refused by it",
            ),
            Self::AdmitsUnreachable => f.write_str(
                "maxOffline does nothing here: onUnreachable: insecureAdmit lets the image through \
                 when the registry cannot be asked, however old the evidence is",
            ),
            Self::RefreshBeyondOffline => f.write_str(
                "refreshAfter is more than maxOffline: evidence ends before the registry is asked \
                 again in the background; make refreshAfter the smaller one",
            ),
            Self::AcceptsAnything
            | Self::Overridden { .. }
            | Self::DeadExclude
            | Self::DeadPattern { .. }
            | Self::LeftByAuthors { .. } => self.fmt_scope(f),
            Self::IssuerNeverMatches { .. }
            | Self::SubjectNeverMatches { .. }
            | Self::AnyIdentity
            | Self::DeniesEveryone
            | Self::WeakKey { .. } => self.fmt_signer(f),
            Self::ExceptionEndsSoon { end } => write!(f, "the exception ends at {end}"),
            Self::ExceptionEnded { end } => {
                write!(f, "the exception ended at {end} and admits nothing: remove it, or renew it")
            }
            Self::ExceptionDenied { by } => write!(
                f,
                "does nothing: deny list \"{}\" denies this digest, and no exception admits what is \
                 denied",
                escaped(by)
            ),
            Self::ExceptionTooLong { days } => write!(
                f,
                "the exception ends more than {days} days ahead (policy.max_exception_days), and \
                 admits nothing"
            ),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "parts of one match; Display above lists every variant"
)]
impl Advice {
    fn fmt_scope(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptsAnything => f.write_str(
                "the policy accepts anything: these images run without proof; a digest rule admits \
                 unsigned images that are known, an Exception ends by itself",
            ),
            Self::Overridden { by } => write!(
                f,
                "does nothing for these images: policy \"{}\" matches them as well, and every \
                 policy that matches must be met; exclude them there",
                escaped(by)
            ),
            Self::LeftByAuthors { field } => write!(
                f,
                "{} author can leave this policy by not writing what {field} names, and no policy \
                 without podLabels, podAnnotations, runtimeHandlers and imageLabels demands anything \
                 of these images: add one, or select by images and namespaces",
                if *field == "imageLabels" { "an image's" } else { "a pod's" }
            ),
            Self::DeadExclude => f.write_str(
                "excludes nothing: no name that it matches is matched by images; correct or remove \
                 it",
            ),
            Self::DeadPattern { exclude } => write!(
                f,
                "matches nothing: exclude takes all of it out again (\"{}\")",
                escaped(exclude)
            ),
            _ => Ok(()),
        }
    }

    fn fmt_signer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IssuerNeverMatches { write } => {
                f.write_str("no certificate names this issuer")?;
                match write {
                    Some(write) => write!(f, "; did you mean \"{}\"?", escaped(write)),
                    None => f.write_str(": an issuer is a URL, https://accounts.google.com"),
                }
            }
            Self::SubjectNeverMatches { like } => {
                write!(f, "no certificate names this subject; it would look like {like}")
            }
            Self::AnyIdentity => f.write_str(
                "everybody to whom the issuer gives a certificate meets this; name a subject, or an \
                 extension that names the source",
            ),
            Self::DeniesEveryone => f.write_str(
                "denies the signatures of everybody: strangers fit as well as those who are meant",
            ),
            Self::WeakKey { bits } => write!(
                f,
                "an RSA key with {bits} bits: it is accepted, and BSI TR-02102 today and NIST SP \
                 800-57 from 2031 on ask for 3072"
            ),
            _ => Ok(()),
        }
    }
}
