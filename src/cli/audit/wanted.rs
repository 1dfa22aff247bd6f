//! [`WantedLines`]: the options that say which lines of the log are wanted, the same for every command
//! that reads it.

use clap::Args;
use jiff::tz::TimeZone;

use super::when::moment;
use crate::audit::Verdict;
use crate::audit::read::Filter;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::key_file;
use crate::daemon;

/// Digits of a digest that are enough to ask for it: with fewer nearly any image fits.
const DIGITS_LEAST: usize = 4;

/// Which lines are wanted: those for which all that is given holds.
#[derive(Debug, Default, Args)]
pub(super) struct WantedLines {
    /// Only what was not let through.
    #[arg(long, conflicts_with = "verdict")]
    refused: bool,
    /// Only what was let through in observe mode, although it would have been refused.
    #[arg(long)]
    observed: bool,
    /// Only these verdicts, separated by commas: admitted, warned, unmatched, unverified, excepted,
    /// unchecked, refused, unable or unreachable.
    #[arg(long, value_name = "VERDICT", value_delimiter = ',', value_parser = verdict)]
    verdict: Vec<Verdict>,
    /// Only what the gate saw beside decisions, like a container that it did not admit.
    #[arg(long, conflicts_with_all = ["verdict", "refused"])]
    findings: bool,
    /// Only lines of this kind: decision, outcome, finding, note, and what else the log has.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only images whose reference, digest or id contains this.
    #[arg(long, value_name = "TEXT")]
    image: Option<String>,
    /// Only images of this digest, or of one that begins so.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    digest: Option<String>,
    /// Only pods of this namespace.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only this pod, by its name or as NAMESPACE/NAME.
    #[arg(long, value_name = "POD")]
    pod: Option<String>,
    /// Only this container, by its name or by the beginning of its id or of its sandbox's.
    #[arg(long, value_name = "NAME|ID")]
    container: Option<String>,
    /// Only what somebody signed whose key file, key, name or issuer contains this.
    #[arg(long, value_name = "TEXT")]
    signer: Option<String>,
    /// Only what this key signed: its file, or the fingerprint that records show.
    #[arg(long, value_name = "FILE|FINGERPRINT")]
    key: Option<String>,
    /// Only what the holder of this name signed (the subject of the certificate).
    #[arg(long, value_name = "SUBJECT")]
    identity: Option<String>,
    /// Only where this policy matched.
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Only this reason code.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only this call: PullImage, CreateContainer and so on.
    #[arg(long, value_name = "CALL")]
    call: Option<String>,
    /// Only where the evidence came from there: memory, evidence or registry.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only what this node wrote, as far as its log says which node that is.
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Not before this time: 2h, yesterday, 'fri 18:00', '2026-01-31 12:00', or as the records
    /// write it.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Take and show times in UTC; without it in the time zone of the node, or that of TZ.
    #[arg(long)]
    pub(super) utc: bool,
}

impl WantedLines {
    /// Whether it is said from when on.
    pub(super) fn has_beginning(&self) -> bool {
        self.since.is_some()
    }

    /// In which zone times are taken and shown.
    pub(super) fn zone(&self) -> TimeZone {
        if self.utc { TimeZone::UTC } else { daemon::time_zone() }
    }

    /// The filter that these make.
    ///
    /// # Errors
    /// When a time is none, or the key's file cannot be read.
    pub(super) fn filter(&self, zone: &TimeZone) -> Result<Filter, CommandError> {
        let now = daemon::now();
        let time = |option: &str, text: &Option<String>| {
            let at = text.as_ref().map(|text| moment(text, now, zone)).transpose();
            at.map_err(|why| CommandError::usage(format!("{option}: {why}")))
        };
        let (since, until) = (time("--since", &self.since)?, time("--until", &self.until)?);
        if since.zip(until).is_some_and(|(since, until)| until <= since) {
            return Err(CommandError::usage("--until is not after --since: nothing lies between"));
        }
        let (namespace, pod) = match self.pod.as_deref().and_then(|pod| pod.split_once('/')) {
            Some((namespace, pod)) => match self.namespace.as_deref() {
                Some(other) if other != namespace => {
                    let why = "--pod and --namespace name two namespaces";
                    return Err(CommandError::usage(why));
                }
                Some(_) | None => (Some(namespace.to_owned()), Some(pod.to_owned())),
            },
            None => (self.namespace.clone(), self.pod.clone()),
        };
        let key = self.key.as_deref().map(key_file::of_signer).transpose()?;
        Ok(Filter {
            verdicts: self.verdict.clone(),
            refused: self.refused,
            observed: self.observed,
            findings: self.findings,
            kind: self.kind.clone(),
            image: self.image.clone(),
            digest: self.digest.clone(),
            namespace,
            pod,
            container: self.container.clone(),
            signer: self.signer.clone(),
            key: key.map(|key| key.to_string()),
            identity: self.identity.clone(),
            policy: self.policy.clone(),
            code: self.code.clone(),
            call: self.call.clone(),
            source: self.source.clone(),
            node: self.node.clone(),
            since,
            until,
            id: None,
        })
    }
}

fn verdict(text: &str) -> Result<Verdict, String> {
    let found = Verdict::ALL.into_iter().find(|verdict| verdict.word() == text);
    found.ok_or_else(|| format!("one of {}", Verdict::ALL.map(Verdict::word).join(", ")))
}

/// The digits of a digest, or some of its first.
fn digest(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let is_one = (DIGITS_LEAST..=64).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let why = "expected sha256: and 64 hexadecimal digits, or at least the first four of them";
    is_one.then_some(digits).ok_or_else(|| why.to_owned())
}
