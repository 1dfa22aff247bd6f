//! [`Filter`]: which lines are wanted.

use super::super::record::stamp::{DecisionId, Timestamp};
use super::super::record::verdict::Verdict;
use super::row::{Row, SignerRow};
use super::text::Text;

/// Lines of the log's own proof, which come in between all the time: wanted only by their name.
const CHECKPOINT: &str = "checkpoint";

/// Which lines are wanted: those for which all that is set holds. A line that lacks what is asked
/// about is not wanted: findings have no verdict, and notes no image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these verdicts; any where there is none.
    pub verdicts: Vec<Verdict>,
    /// Whatever did not let an image run.
    pub refused: bool,
    /// Only what was let through in observe mode, although it would have been refused.
    pub observed: bool,
    /// Nothing but findings.
    pub findings: bool,
    /// Lines of this kind.
    pub kind: Option<String>,
    /// The reference, the image string beside it, the digest or the image id contains this text.
    pub image: Option<String>,
    /// A digest that begins with this: the image's, its id, or one that it was asked for by. Without
    /// `sha256:`.
    pub digest: Option<String>,
    /// The pod's namespace is this.
    pub namespace: Option<String>,
    /// The pod's name is this.
    pub pod: Option<String>,
    /// The container's name is this, or the runtime's id of it or of the sandbox begins with it.
    pub container: Option<String>,
    /// The key file, key, name or issuer of a signer contains this text.
    pub signer: Option<String>,
    /// A signer's key, or certificate, has this fingerprint: `sha256:<hex>`.
    pub key: Option<String>,
    /// The name in a signer's certificate is this.
    pub identity: Option<String>,
    /// A policy of this name matched.
    pub policy: Option<String>,
    /// The code of the reason is this.
    pub code: Option<String>,
    /// The call, or the method of another, is this.
    pub call: Option<String>,
    /// The evidence came from there.
    pub source: Option<String>,
    /// The node that wrote it is this, as far as the log says which.
    pub node: Option<String>,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// This id, or a decision that speaks of it: repeats of it, or one that takes it back.
    pub id: Option<DecisionId>,
}

impl Filter {
    /// Whether this line is wanted; `node` is the one whose log it stands in, where that is known.
    #[must_use]
    pub fn wants(&self, row: &Row<'_>) -> bool {
        self.wants_of(row, None)
    }

    /// The same, of a log that told before which node writes it.
    #[must_use]
    pub fn wants_of(&self, row: &Row<'_>, node: Option<&str>) -> bool {
        let is = |wanted: &Option<String>, has: &Text<'_>| {
            wanted.as_ref().is_none_or(|wanted| has.as_str() == wanted)
        };
        let node = row.node.some().or(node);
        self.is_in_time(row)
            && self.is_of_kind(row)
            && self.has_verdict(row)
            && is(&self.namespace, &row.pod.namespace)
            && is(&self.pod, &row.pod.name)
            && is(&self.code, &row.reason.code)
            && is(&self.source, &row.source)
            && self.node.as_ref().is_none_or(|wanted| node == Some(wanted))
            && self.call.as_ref().is_none_or(|wanted| is_called(row, wanted))
            && self.image.as_ref().is_none_or(|wanted| names(row).any(|name| name.contains(wanted)))
            && self.digest.as_ref().is_none_or(|wanted| has_digest(row, wanted))
            && self.container.as_ref().is_none_or(|wanted| is_container(row, wanted))
            && self.policy.as_ref().is_none_or(|name| row.policies.names().any(|one| one == name))
            && self.is_signed(row)
            && self.id.is_none_or(|id| is_about(row, &id.to_string()))
    }

    fn is_in_time(&self, row: &Row<'_>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let is_between = |when| {
            self.since.is_none_or(|since| since <= when) && self.until.is_none_or(|end| when < end)
        };
        row.when().is_some_and(is_between)
    }

    fn is_of_kind(&self, row: &Row<'_>) -> bool {
        let kind = row.kind.as_str();
        match &self.kind {
            Some(wanted) => kind == wanted && (!self.findings || kind == "finding"),
            None if self.findings => kind == "finding",
            None => kind != CHECKPOINT,
        }
    }

    fn has_verdict(&self, row: &Row<'_>) -> bool {
        if self.refused && (row.verdict.is_empty() || row.was_let_through()) {
            return false;
        }
        let is_one = |verdict| self.verdicts.contains(&verdict);
        (!self.observed || row.observed.is_true())
            && (self.verdicts.is_empty() || row.known_verdict().is_some_and(is_one))
    }

    fn is_signed(&self, row: &Row<'_>) -> bool {
        let any = |is: &dyn Fn(&SignerRow<'_>) -> bool| row.policies.signers().any(is);
        let by_text = |text: &String| {
            any(&|signer| {
                let SignerRow { key, file, certificate, .. } = signer;
                let all = [key, file, &certificate.subject, &certificate.issuer];
                all.into_iter().any(|one| one.as_str().contains(text.as_str()))
            })
        };
        let by_key = |key: &String| {
            any(&|signer| {
                [&signer.key, &signer.certificate.fingerprint].iter().any(|is| is.as_str() == key)
            })
        };
        self.signer.as_ref().is_none_or(by_text)
            && self.key.as_ref().is_none_or(by_key)
            && self
                .identity
                .as_ref()
                .is_none_or(|name| any(&|signer| signer.certificate.subject.as_str() == name))
    }
}

/// Everything by which a line names its image.
fn names<'r>(row: &'r Row<'_>) -> impl Iterator<Item = &'r str> {
    [&row.reference, &row.image, &row.digest, &row.image_id].into_iter().map(Text::as_str)
}

fn has_digest(row: &Row<'_>, beginning: &str) -> bool {
    let hex =
        |name: &str| name.rsplit_once("sha256:").is_some_and(|(_, hex)| hex.starts_with(beginning));
    names(row).any(hex)
}

fn is_container(row: &Row<'_>, wanted: &str) -> bool {
    let ids = [&row.container_id, &row.sandbox_id];
    row.container.as_str() == wanted
        || ids.into_iter().any(|id| !id.is_empty() && id.as_str().starts_with(wanted))
}

fn is_called(row: &Row<'_>, wanted: &str) -> bool {
    let is = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or(name);
        last.eq_ignore_ascii_case(wanted) || name.eq_ignore_ascii_case(wanted)
    };
    is(row.call.as_str()) || is(row.method.as_str())
}

fn is_about(row: &Row<'_>, id: &str) -> bool {
    let own = [&row.id, &row.repeats_of, &row.supersedes, &row.decision];
    own.into_iter().chain(&row.also).any(|one| one.as_str() == id)
}
