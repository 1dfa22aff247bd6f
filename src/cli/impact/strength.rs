//! [`Strength`]: whether an admission on record rests on what is asked about; [`Strength::filter`]:
//! which lines of the log may.

use std::collections::BTreeSet;

use regex::Regex;

use super::carries::{Beside, Carries, WantedStrength};
use crate::audit::Verdict;
use crate::audit::read::{Filter, Row, Text};
use crate::cli::terminal::command_error::CommandError;
use crate::image::{Digest, Reference};
use crate::policy::{Denied, IdentityText, ImageScope};

/// On what an admission may rest.
pub(super) struct Strength {
    of: On,
    filter: Filter,
}

enum On {
    /// One of these digests.
    Digests(BTreeSet<Digest>),
    Repository(ImageScope),
    /// The fingerprint of a key.
    Key(String),
    /// The fingerprint of a certificate.
    Certificate(String),
    Identity {
        issuer: Option<Regex>,
        subject: Option<Regex>,
    },
    LogEntry {
        index: u64,
        log: Option<String>,
    },
}

/// What stands in every line whose record leaves something out of its signers.
const LEFT_OUT: [&str; 3] = ["\"policies\":{", "\"signers_omitted\":", "\"fates_omitted\":"];

impl Strength {
    /// Of what an entry of a deny list would name.
    ///
    /// # Errors
    /// When the pattern or the expression is none.
    pub(super) fn of(denied: &Denied) -> Result<Self, CommandError> {
        let mut filter = Filter { kind: Some("decision".to_owned()), ..Filter::default() };
        let of = match denied {
            Denied::Digest { digest, manifests } => {
                On::Digests(std::iter::once(digest).chain(manifests).cloned().collect())
            }
            Denied::Repository { pattern } => {
                let scope = ImageScope::new(std::slice::from_ref(pattern), &[]);
                let scope = scope.map_err(|fault| CommandError::usage(fault.to_string()))?;
                filter.image = fixed_part(pattern);
                On::Repository(scope)
            }
            Denied::Key { fingerprint, .. } => On::Key(fingerprint.to_string()),
            Denied::Certificate { fingerprint } => On::Certificate(fingerprint.to_string()),
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

    /// The digests that are asked about; none where it is something else.
    pub(super) fn digests(&self) -> Option<&BTreeSet<Digest>> {
        match &self.of {
            On::Digests(digests) => Some(digests),
            On::Repository(_)
            | On::Key(_)
            | On::Certificate(_)
            | On::Identity { .. }
            | On::LogEntry { .. } => None,
        }
    }

    /// Whether a line need be read: no other rests on it, or leaves open whether it does.
    pub(super) fn may_be(&self, line: &str) -> bool {
        match &self.of {
            On::Key(fingerprint) | On::Certificate(fingerprint) => {
                line.contains(fingerprint.as_str())
                    || LEFT_OUT.iter().any(|field| line.contains(field))
            }
            On::Digests(_) | On::Repository(_) | On::Identity { .. } | On::LogEntry { .. } => true,
        }
    }

    /// Whether this decision let an image run, and rests on it. `line` is the text of the row.
    pub(super) fn carries(&self, row: &Row<'_>, line: &str) -> Carries {
        let is_admission = row.known_verdict().is_some_and(Verdict::is_admission);
        if !is_admission || row.observed.is_true() {
            return Carries::No;
        }
        let beside = Beside(line);
        match &self.of {
            On::Digests(digests) => of_digests(digests, row, &beside),
            On::Repository(scope) => {
                let named = [&row.reference, &row.image].into_iter().filter_map(Text::some);
                let mut named = named.filter_map(|name| Reference::parse(name).ok());
                let is_it = named.any(|name| scope.has(&[name.repository()], None));
                if is_it { Carries::Yes } else { Carries::No }
            }
            On::Key(key) => beside.signed(&WantedStrength::Key(key)),
            On::Certificate(fingerprint) => {
                beside.signed(&WantedStrength::Certificate(fingerprint))
            }
            On::Identity { issuer, subject } => {
                let fits = |wanted: &Option<Regex>, has: &str| {
                    wanted.as_ref().is_none_or(|wanted| wanted.is_match(has))
                };
                let is_holder = |name: &str, by: &str| fits(subject, name) && fits(issuer, by);
                beside.signed(&WantedStrength::Holder(&is_holder))
            }
            On::LogEntry { index, log } => {
                beside.signed(&WantedStrength::Entry { index: *index, log: log.as_deref() })
            }
        }
    }
}

/// By what the image is called, and by the manifest that ran.
fn of_digests(digests: &BTreeSet<Digest>, row: &Row<'_>, beside: &Beside<'_>) -> Carries {
    let named = [&row.digest, &row.image_id, &row.image, &row.reference];
    let is_named =
        |digest: &Digest| named.iter().any(|name| name.as_str().ends_with(digest.as_str()));
    if digests.iter().any(is_named) {
        return Carries::Yes;
    }
    match beside.manifest() {
        Some(ran) if digests.iter().any(|digest| digest.as_str() == ran) => Carries::Yes,
        Some(ran) => Carries::OtherManifest(ran),
        None => Carries::UntoldManifest,
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
