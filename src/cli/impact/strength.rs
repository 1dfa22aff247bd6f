//! [`Strength`]: whether an admission on record rests on what is asked about; [`Strength::filter`]:
//! which lines of the log may.

use regex::Regex;

use crate::audit::Verdict;
use crate::audit::read::{Filter, LogEntryRow, Row, SignerRow, Text};
use crate::cli::terminal::command_error::CommandError;
use crate::image::Reference;
use crate::policy::{Denied, IdentityText, ImageScope};

/// On what an admission may rest.
pub(super) struct Strength {
    of: On,
    filter: Filter,
}

enum On {
    /// One of these digests.
    Digests(Vec<String>),
    Repository(ImageScope),
    /// The fingerprint of a key or of a certificate.
    Fingerprint(String),
    Identity {
        issuer: Option<Regex>,
        subject: Option<Regex>,
    },
    LogEntry {
        index: u64,
        log: Option<String>,
    },
}

impl Strength {
    /// Of what an entry of a deny list would name.
    ///
    /// # Errors
    /// When the pattern or the expression is none.
    pub(super) fn of(denied: &Denied) -> Result<Self, CommandError> {
        let mut filter = Filter { kind: Some("decision".to_owned()), ..Filter::default() };
        let of = match denied {
            Denied::Digest { digest, manifests } => {
                if manifests.is_empty() {
                    filter.digest = digest.as_str().strip_prefix("sha256:").map(str::to_owned);
                }
                let all = std::iter::once(digest).chain(manifests);
                On::Digests(all.map(ToString::to_string).collect())
            }
            Denied::Repository { pattern } => {
                let scope = ImageScope::new(std::slice::from_ref(pattern), &[]);
                let scope = scope.map_err(|fault| CommandError::usage(fault.to_string()))?;
                filter.image = fixed_part(pattern);
                On::Repository(scope)
            }
            Denied::Key { fingerprint, .. } | Denied::Certificate { fingerprint } => {
                filter.key = Some(fingerprint.to_string());
                On::Fingerprint(fingerprint.to_string())
            }
            Denied::Identity { issuer, subject, .. } => {
                On::Identity { issuer: expression(issuer)?, subject: expression(subject)? }
            }
            Denied::LogIndex { index, log } => On::LogEntry { index: *index, log: log.clone() },
        };
        Ok(Self { of, filter })
    }

    /// Lines that are not wanted by this rest on something else.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether this decision let an image run, and rests on it.
    pub(super) fn carries(&self, row: &Row<'_>) -> bool {
        let is_admission = row.known_verdict().is_some_and(Verdict::is_admission);
        is_admission && !row.observed.is_true() && self.is_of(row)
    }

    fn is_of(&self, row: &Row<'_>) -> bool {
        let mut signers = row.policies.signers();
        match &self.of {
            On::Digests(digests) => {
                let named = [&row.digest, &row.image_id, &row.image, &row.reference];
                digests
                    .iter()
                    .any(|digest| named.iter().any(|name| name.as_str().ends_with(digest)))
            }
            On::Repository(scope) => {
                let named = [&row.reference, &row.image].into_iter().filter_map(Text::some);
                let mut named = named.filter_map(|name| Reference::parse(name).ok());
                named.any(|name| scope.has(&[name.repository()], None))
            }
            On::Fingerprint(fingerprint) => signers.any(|signer| {
                let SignerRow { key, certificate, .. } = signer;
                [key, &certificate.fingerprint].iter().any(|is| is.as_str() == fingerprint)
            }),
            On::Identity { issuer, subject } => signers.any(|signer| {
                let certificate = &signer.certificate;
                let fits = |wanted: &Option<Regex>, has: &Text<'_>| {
                    wanted.as_ref().is_none_or(|wanted| wanted.is_match(has.as_str()))
                };
                !certificate.fingerprint.is_empty()
                    && fits(issuer, &certificate.issuer)
                    && fits(subject, &certificate.subject)
            }),
            On::LogEntry { index, log } => {
                let is_it = |entry: &LogEntryRow<'_>| {
                    entry.index.some().is_some_and(|_| entry.index.number() == *index)
                        && log.as_ref().is_none_or(|log| entry.log.as_str() == log)
                };
                signers.any(|signer| signer.entries.iter().any(is_it))
            }
        }
    }
}

/// The beginning of a pattern that every name of it has.
fn fixed_part(pattern: &str) -> Option<String> {
    let fixed = pattern.split('*').next().unwrap_or_default();
    Some(fixed.trim_end_matches('/').to_owned()).filter(|fixed| !fixed.is_empty())
}

/// As a deny list takes it: to the letter but for upper and lower case, or the whole text.
fn expression(text: &Option<IdentityText>) -> Result<Option<Regex>, CommandError> {
    let expression = match text {
        None => return Ok(None),
        Some(IdentityText::Exact(text)) => format!("(?i)^(?:{})$", regex::escape(text)),
        Some(IdentityText::RegExp(text)) => format!("^(?:{text})$"),
    };
    Regex::new(&expression).map(Some).map_err(|error| CommandError::usage(error.to_string()))
}

#[cfg(test)]
mod tests;
