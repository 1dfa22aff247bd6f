//! [`Story`]: everything that the log has of one container, as one document for programs.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::documents::{ThenDocument, documents_of};
use super::found::{FoundLines, is};
use crate::cli::terminal::signer::{list, text};

/// The story of a container.
#[derive(Debug, Default, Serialize)]
pub(super) struct Story {
    /// `container`, or `sandbox` for the container of a pod itself.
    pub(super) of: &'static str,
    /// The runtime's id of the container; none of a sandbox.
    pub(super) container_id: Option<String>,
    /// The runtime's id of the pod's sandbox.
    pub(super) sandbox_id: Option<String>,
    /// The container's name in the pod.
    pub(super) container: Option<String>,
    /// The pod, as the log has it.
    pub(super) pod: Value,
    /// The image as it was asked for.
    pub(super) reference: Option<String>,
    /// The digest that was decided on.
    pub(super) digest: Option<String>,
    /// The digest of the image's config.
    pub(super) image_id: Option<String>,
    /// The decision that it was made by, or else one that it was started by.
    pub(super) decision: Option<String>,
    /// What was decided.
    pub(super) verdict: Option<String>,
    /// That was not carried out: the gate was in observe mode.
    pub(super) observed: bool,
    /// Why.
    pub(super) reason: Option<Value>,
    /// Where the evidence came from.
    pub(super) source: Option<String>,
    /// How old it was.
    pub(super) evidence_age_seconds: Option<u64>,
    /// Who signed it, as the record has them.
    pub(super) signers: Vec<ThenSigner>,
    /// What was looked at.
    pub(super) looked_at: Vec<LookedAt>,
    /// The generation of the policies that it was judged by.
    pub(super) policy_generation: Option<String>,
    /// The generation of the keys.
    pub(super) trust_generation: Option<String>,
    /// Those policies, with their texts of then.
    pub(super) policies: Vec<ThenDocument>,
    /// What happened, oldest first.
    pub(super) events: Vec<Event>,
    /// How many lines more there are.
    pub(super) left_out: usize,
}

/// Who signed, for which requirement.
#[derive(Debug, Serialize)]
pub(super) struct ThenSigner {
    policy: String,
    requirement: String,
    /// As the record has it: key or certificate, times, log entries.
    pub(super) signer: Value,
}

/// A signature that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct LookedAt {
    policy: String,
    requirement: String,
    /// Where it was.
    pub(super) place: Option<String>,
    /// Which.
    pub(super) item: Option<String>,
    /// What came of it.
    pub(super) outcome: Option<String>,
    /// Why it does not count.
    pub(super) finding: Option<String>,
}

/// Something that happened.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) time: String,
    /// The line of the log.
    pub(super) id: String,
    /// `decision`, `outcome` or `finding`.
    pub(super) kind: String,
    /// Of which call.
    pub(super) call: Option<String>,
    /// The verdict, what came of the call, or which finding.
    pub(super) what: String,
    /// The decision that it came of.
    pub(super) decision: Option<String>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    /// For how many more it stands.
    pub(super) repeats: u64,
}

impl Story {
    /// Puts together what was found.
    pub(super) fn of(found: &FoundLines, log: &Path) -> Self {
        let field = |name: &str| found.first(name).map(str::to_owned);
        let pods = found.lines.iter().filter_map(|line| line.get("pod"));
        let pod = pods.max_by_key(|pod| pod.as_object().map_or(0, named)).cloned();
        let mut story = Self {
            of: if found.is_sandbox { "sandbox" } else { "container" },
            container_id: Some(found.id.clone()).filter(|_| !found.is_sandbox),
            sandbox_id: if found.is_sandbox { Some(found.id.clone()) } else { field("sandbox_id") },
            container: field("container"),
            pod: pod.unwrap_or(Value::Null),
            events: found.lines.iter().map(Event::of).collect(),
            left_out: found.left_out,
            ..Self::default()
        };
        let Some(decision) = found.decision() else {
            let own = found.lines.iter().find(|line| text(line, "call") != Some("RunPodSandbox"));
            story.name(own.unwrap_or(&Value::Null));
            return story;
        };
        story.name(decision);
        story.judge(decision);
        story.policies = documents_of(log, decision, found.in_force.as_ref());
        story
    }

    /// Which image, by a line.
    fn name(&mut self, line: &Value) {
        let field = |name: &str| text(line, name).map(str::to_owned);
        self.reference = field("reference");
        self.digest = field("digest");
        self.image_id = field("image_id");
    }

    /// What was decided, and on what that rests.
    fn judge(&mut self, decision: &Value) {
        let field = |name: &str| text(decision, name).map(str::to_owned);
        self.decision = field("id");
        self.verdict = field("verdict");
        self.observed = decision.get("observed").and_then(Value::as_bool).unwrap_or(false);
        self.reason = decision.get("reason").cloned();
        self.source = field("source");
        self.evidence_age_seconds = decision.get("evidence_age_seconds").and_then(Value::as_u64);
        self.policy_generation = field("policy_generation");
        self.trust_generation = field("trust_generation");
        let documents = list(decision, "policies").iter().flat_map(|one| list(one, "documents"));
        for document in documents {
            for requirement in list(document, "requirements") {
                self.meet(text(document, "policy").unwrap_or("?"), requirement);
            }
        }
    }

    fn meet(&mut self, policy: &str, requirement: &Value) {
        let name = text(requirement, "name").unwrap_or("?");
        let (policy, requirement_name) = (policy.to_owned(), name.to_owned());
        self.signers.extend(list(requirement, "signers").iter().map(|signer| ThenSigner {
            policy: policy.clone(),
            requirement: requirement_name.clone(),
            signer: signer.clone(),
        }));
        self.looked_at.extend(list(requirement, "fates").iter().map(|fate| {
            let field = |name: &str| text(fate, name).map(str::to_owned);
            LookedAt {
                policy: policy.clone(),
                requirement: requirement_name.clone(),
                place: field("place"),
                item: field("item"),
                outcome: field("outcome"),
                finding: field("finding"),
            }
        }));
    }
}

/// How much a pod says of itself.
fn named(pod: &serde_json::Map<String, Value>) -> usize {
    pod.values().filter(|value| !value.is_null()).count()
}

impl Event {
    fn of(line: &Value) -> Self {
        let field = |name: &str| text(line, name).map(str::to_owned);
        let reason = line.get("reason").unwrap_or(&Value::Null);
        let verdict = || {
            let observed = line.get("observed").and_then(Value::as_bool).unwrap_or(false);
            let verdict = field("verdict")?;
            Some(if observed { format!("observed {verdict}") } else { verdict })
        };
        let what = if is(line, "decision") { verdict() } else { None };
        Self {
            time: field("time").unwrap_or_default(),
            id: field("id").unwrap_or_default(),
            kind: field("kind").unwrap_or_default(),
            call: field("call").or_else(|| field("method")),
            what: what
                .or_else(|| field("outcome"))
                .or_else(|| field("finding"))
                .unwrap_or_default(),
            decision: field("decision"),
            code: text(reason, "code").map(str::to_owned),
            message: text(reason, "message").map(str::to_owned),
            repeats: line.get("repeats").and_then(Value::as_u64).unwrap_or(0),
        }
    }
}
