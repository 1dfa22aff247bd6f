//! [`What`]: the entry that the options of `sealgate deny add` name.

use clap::Args;
use jiff::Timestamp;

use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::key_file::{fingerprint, of_certificate, of_key};
use crate::image::Digest;
use crate::policy::{Denied, IdentityText};

/// What to strike off; exactly one kind of it.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct What {
    /// An image: the digest of an index or a manifest. It is refused whatever signatures it has.
    #[arg(long, value_name = "DIGEST", group = "denied", value_parser = digest)]
    digest: Option<Digest>,
    /// A manifest under the index that --digest names, which is denied with it; may be repeated.
    #[arg(long, value_name = "DIGEST", requires = "digest", value_parser = digest)]
    manifest: Vec<Digest>,
    /// Every manifest that the index lists, as it is on this node.
    #[arg(long, requires = "digest")]
    with_manifests: bool,
    /// Whatever is called so: a pattern of repositories, as in policies.
    #[arg(long, value_name = "PATTERN", group = "denied")]
    repository: Option<String>,
    /// What a key signed: its file, or the fingerprint that records show. It stops no image that has
    /// another signature that policies want.
    #[arg(long, value_name = "FILE|FINGERPRINT", group = "denied", visible_alias = "fingerprint")]
    key: Option<String>,
    /// What was signed with a certificate: its file, or the SHA-256 of it.
    #[arg(long, value_name = "FILE|FINGERPRINT", group = "denied")]
    certificate: Option<String>,
    /// What was signed by the holder of this name (the subject of the certificate).
    #[arg(long, value_name = "SUBJECT", group = "denied")]
    identity: Option<String>,
    /// The same, as a regular expression over the whole name.
    #[arg(long, value_name = "REGEXP", group = "denied", conflicts_with = "identity")]
    identity_regexp: Option<String>,
    /// What was signed by anybody for whom this issuer vouched; with an identity, both must fit.
    #[arg(long, value_name = "URL", group = "denied")]
    issuer: Option<String>,
    /// The same, as a regular expression over the whole issuer.
    #[arg(long, value_name = "REGEXP", group = "denied", conflicts_with = "issuer")]
    issuer_regexp: Option<String>,
    /// The signature that this entry of a transparency log is about.
    #[arg(long, value_name = "NUMBER", group = "denied")]
    log_index: Option<u64>,
    /// Of which log the entry is, by its URL in the trust root; of any when left out.
    #[arg(long, value_name = "URL", requires = "log_index")]
    log: Option<String>,
    /// Of a key or identity: what it is proven to have signed until then still counts.
    #[arg(long, value_name = "TIME", value_parser = time)]
    signed_after: Option<Timestamp>,
}

/// Why the options name no entry.
#[derive(Debug)]
pub(in crate::cli) enum WhatFault {
    /// The command line is wrong.
    Usage(String),
    /// A file cannot be used.
    File(CommandError),
}

impl What {
    /// The entry, without the manifests that are looked up.
    pub(in crate::cli) fn denied(&self) -> Result<Denied, WhatFault> {
        let is_identity =
            [&self.identity, &self.identity_regexp, &self.issuer, &self.issuer_regexp]
                .into_iter()
                .any(Option::is_some);
        let kinds = [
            self.digest.is_some(),
            self.repository.is_some(),
            self.key.is_some(),
            self.certificate.is_some(),
            self.log_index.is_some(),
            is_identity,
        ];
        if kinds.into_iter().filter(|is_there| *is_there).count() != 1 {
            let why = "name one thing to strike off: --digest, --repository, --key, --certificate, \
                       --log-index, or an identity";
            return Err(WhatFault::Usage(why.to_owned()));
        }
        if self.signed_after.is_some() && self.key.is_none() && !is_identity {
            let why = "--signed-after is of a key or an identity";
            return Err(WhatFault::Usage(why.to_owned()));
        }
        self.one()
    }

    fn one(&self) -> Result<Denied, WhatFault> {
        let signed_after = self.signed_after;
        if let Some(digest) = &self.digest {
            return Ok(Denied::Digest { digest: digest.clone(), manifests: self.manifest.clone() });
        }
        if let Some(pattern) = &self.repository {
            return Ok(Denied::Repository { pattern: pattern.clone() });
        }
        if let Some(key) = &self.key {
            let fingerprint = fingerprint(key, of_key).map_err(WhatFault::File)?;
            return Ok(Denied::Key { fingerprint, signed_after });
        }
        if let Some(certificate) = &self.certificate {
            let fingerprint = fingerprint(certificate, of_certificate).map_err(WhatFault::File)?;
            return Ok(Denied::Certificate { fingerprint });
        }
        if let Some(index) = self.log_index {
            return Ok(Denied::LogIndex { index, log: self.log.clone() });
        }
        let text = |exact: &Option<String>, expression: &Option<String>| {
            let expression = expression.clone().map(IdentityText::RegExp);
            exact.clone().map(IdentityText::Exact).or(expression)
        };
        let issuer = text(&self.issuer, &self.issuer_regexp);
        let subject = text(&self.identity, &self.identity_regexp);
        Ok(Denied::Identity { issuer, subject, signed_after })
    }

    /// Whether the manifests under the digest are to be looked up.
    pub(super) fn wants_manifests(&self) -> bool {
        self.with_manifests
    }
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::parse(text).map_err(|error| error.to_string())
}

/// Longest reason, in bytes, as in a deny list.
const REASON_MAX: usize = 200;

/// A reason as deny lists and records have it.
///
/// # Errors
/// It is empty, too long, or more than a line.
pub(super) fn reason(text: &str) -> Result<String, CommandError> {
    let is_line =
        !text.trim().is_empty() && text.len() <= REASON_MAX && !text.contains(char::is_control);
    match is_line {
        true => Ok(text.to_owned()),
        false => {
            Err(CommandError::usage(format!("--reason has one line of at most {REASON_MAX} bytes")))
        }
    }
}

/// A moment as documents write it.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let time = text.parse().map_err(|_| "a time like 2026-01-31T12:00:00Z".to_owned());
    time.and_then(|time: Timestamp| time.round(jiff::Unit::Second).map_err(|e| e.to_string()))
}
