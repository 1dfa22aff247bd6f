//! [`VerifiedImage`]: what the gate would say of one image, in its own words, and how that is
//! printed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::advice::advice;
use crate::audit::Verdict;
use crate::cli::terminal::field::counted;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::cli::terminal::signer;
use crate::cri::{self, Ending, LocalPermit, PullPermit, Refusal, Timings};
use crate::evidence::Name;
use crate::image::Reference;
use crate::policy::{
    Action, DeniedBy, DocumentReport, Permit, PolicySet, Report, SignatureOutcome,
};

/// What the gate decided, on the way of a pull or of a create.
pub(super) enum GateDecision {
    Pull(Result<PullPermit, Refusal>),
    Local(Result<LocalPermit, Refusal>),
}

/// How an image that lacks a signature would come to have it, for programs.
#[derive(Debug, Clone, Serialize)]
struct ToSign {
    policy: String,
    requirement: String,
    /// None where no signature would count.
    command: Option<String>,
    by: Option<String>,
    /// The deny list that denies every signer.
    denied: Option<DeniedBy>,
}

/// The answer for programs.
#[derive(Debug, Serialize)]
pub(super) struct VerifiedImage {
    image: String,
    /// Where manifests name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    named_in: Vec<String>,
    namespace: Option<String>,
    verdict: Verdict,
    code: String,
    message: String,
    digest: Option<String>,
    /// What would be pulled; of what is admitted on its way to a pull.
    pinned: Option<String>,
    policies: Vec<DocumentReport>,
    sign: Option<ToSign>,
    timings: BTreeMap<&'static str, u64>,
}

/// How many of each verdict there are.
#[derive(Debug, Default)]
pub(super) struct VerdictTally(BTreeMap<&'static str, usize>);

impl GateDecision {
    fn permits(&self) -> Vec<&Permit> {
        match self {
            Self::Pull(Ok(permit)) => vec![permit.admission().permit()],
            Self::Local(Ok(permit)) => {
                permit.admissions().iter().map(|admission| admission.permit()).collect()
            }
            Self::Pull(Err(_)) | Self::Local(Err(_)) => Vec::new(),
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Pull(Err(refusal)) | Self::Local(Err(refusal)) => Some(refusal),
            Self::Pull(Ok(_)) | Self::Local(Ok(_)) => None,
        }
    }

    fn reports(&self) -> Vec<&Report> {
        match self.refusal() {
            None => self.permits().into_iter().map(Permit::report).collect(),
            Some(
                Refusal::Denied(denial)
                | Refusal::NoChild { denial, .. }
                | Refusal::ImageLabels { denial, .. },
            ) => vec![denial.report()],
            Some(_) => Vec::new(),
        }
    }

    /// The verdict, its code and what there is to say, as the audit log would have them: an image
    /// that runs without proof is not called satisfied. Of one that is there is nothing to say
    /// beside its policies.
    fn said(&self) -> (Verdict, String, String) {
        match self.refusal() {
            None => {
                let permits = self.permits();
                let (verdict, reason) = cri::admitted(permits.iter().copied());
                let is_satisfied = verdict == Verdict::Admitted;
                let message = if is_satisfied { String::new() } else { reason.message };
                (verdict, reason.code.into_owned(), message)
            }
            Some(refusal) => {
                let verdict = match refusal.ending() {
                    Ending::Refused => Verdict::Refused,
                    Ending::Unable => Verdict::Unable,
                    Ending::Unreachable => Verdict::Unreachable,
                };
                (verdict, refusal.code().to_owned(), refusal.to_string())
            }
        }
    }
}

impl VerifiedImage {
    /// What there is to say.
    pub(super) fn new(
        (image, namespace, places): (&str, Option<&str>, &[String]),
        decided: GateDecision,
        (timings, set): (&Timings, &PolicySet),
    ) -> Self {
        let (verdict, code, message) = decided.said();
        let digest = match &decided {
            GateDecision::Pull(Ok(permit)) => {
                Some(permit.admission().permit().subject().target.clone())
            }
            GateDecision::Local(Ok(permit)) => Some(permit.content().target().clone()),
            GateDecision::Pull(Err(_)) | GateDecision::Local(Err(_)) => timings.target().cloned(),
        };
        let pinned = match &decided {
            GateDecision::Pull(Ok(permit)) => Some(permit.pinned()),
            GateDecision::Pull(Err(_)) | GateDecision::Local(_) => None,
        };
        let reports = decided.reports();
        let policies = reports.iter().flat_map(|report| report.documents.clone()).collect();
        let digest = digest.map(|digest| digest.to_string());
        let sign = to_sign(image, digest.as_deref(), (&decided, set));
        Self {
            image: image.to_owned(),
            named_in: places.to_vec(),
            namespace: namespace.map(str::to_owned),
            verdict,
            code,
            message,
            digest,
            pinned,
            policies,
            sign,
            timings: timings.phases(),
        }
    }

    /// The exit code for it alone.
    pub(super) fn exit(&self) -> Exit {
        match self.verdict {
            Verdict::Admitted
            | Verdict::Warned
            | Verdict::Unmatched
            | Verdict::Unverified
            | Verdict::Excepted => Exit::Done,
            Verdict::Refused => Exit::Refused,
            // The gate would let it run, and nobody could say whether it should.
            Verdict::Unchecked | Verdict::Unable | Verdict::Unreachable => Exit::Unable,
        }
    }

    /// Prints it; of one of several with where it was named.
    pub(super) fn print(&self, is_one_of_several: bool, screen: &mut Screen) {
        if screen.is_json() {
            return screen.json(self);
        }
        let tone = match self.verdict {
            Verdict::Admitted => Tone::Good,
            Verdict::Warned
            | Verdict::Unmatched
            | Verdict::Unverified
            | Verdict::Excepted
            | Verdict::Unchecked => Tone::Warn,
            Verdict::Refused | Verdict::Unable | Verdict::Unreachable => Tone::Bad,
        };
        let verdict = screen.tone(tone, &head(self.verdict.word(), &self.code));
        screen.line(&format!("{verdict}  {}", plain(&self.named())));
        if is_one_of_several {
            for place in &self.named_in {
                screen.line(&format!("  in {}", plain(place)));
            }
            if let Some(namespace) = self.namespace.as_deref().filter(|_| !self.named_in.is_empty())
            {
                screen.line(&format!("  namespace {}", plain(namespace)));
            }
        }
        let proves_nothing =
            matches!(self.verdict, Verdict::Unmatched | Verdict::Unverified | Verdict::Unchecked);
        if proves_nothing {
            screen.line(&format!("  {}", screen.tone(Tone::Warn, "nothing was verified")));
        }
        if !self.message.is_empty() {
            screen.line(&format!("  {}", plain(&self.message)));
        }
        for document in &self.policies {
            print_document(document, screen);
        }
        if let Some(sign) = &self.sign {
            sign.print(screen);
        }
    }

    /// The image as it was asked for, with the digest that was decided on.
    fn named(&self) -> String {
        if let Some(pinned) = &self.pinned {
            return pinned.clone();
        }
        match &self.digest {
            Some(digest) if !self.image.contains(digest.as_str()) => {
                format!("{}@{digest}", self.image)
            }
            Some(_) | None => self.image.clone(),
        }
    }
}

impl VerdictTally {
    /// VerdictTally one.
    pub(super) fn add(&mut self, verified: &VerifiedImage) {
        *self.0.entry(verified.verdict.word()).or_default() += 1;
    }

    /// Prints how many there are; for people.
    pub(super) fn print(&self, screen: &mut Screen) {
        if screen.is_json() {
            return;
        }
        let all = counted(self.0.values().sum::<usize>(), "image");
        let each: Vec<String> =
            self.0.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        screen.line(&format!("{all}: {}", each.join(", ")));
    }
}

/// `refused unsigned`; a code that is the verdict's own word stands once.
fn head(verdict: &str, code: &str) -> String {
    if verdict == code { verdict.to_owned() } else { format!("{verdict} {code}") }
}

/// How the image would come to have what the denial misses: for one that a policy refused for lack
/// of a signature, under a digest that is known.
fn to_sign(
    image: &str,
    digest: Option<&str>,
    (decided, set): (&GateDecision, &PolicySet),
) -> Option<ToSign> {
    let (Refusal::Denied(denial) | Refusal::NoChild { denial, .. }) = decided.refusal()? else {
        return None;
    };
    let is_missing = matches!(
        decided.refusal().map(Refusal::code),
        Some("unsigned" | "no-signature-counts" | "no-single-platform")
    );
    let digest = digest.filter(|_| is_missing)?;
    let reference = Reference::parse(image).ok()?;
    let pinned = format!("{}@{digest}", reference.runtime_repository());
    let missing =
        |document: &&DocumentReport| !document.satisfied && document.action == Action::Enforce;
    let document = denial.report().documents.iter().find(missing)?;
    let policy = denial.policy().unwrap_or(&document.policy);
    let first = document.requirements.iter().find(|one| !one.satisfied);
    let requirement = denial.requirement().or_else(|| first.map(|one| one.name.as_str()))?;
    let way = set.signing_way(&Name::Known(reference), policy, requirement)?;
    let (command, by, denied) = match advice(&way, &pinned) {
        Ok(said) => (Some(said.command), Some(said.by), None),
        Err(denied) => (None, None, Some(denied)),
    };
    Some(ToSign { policy: way.policy, requirement: way.requirement, command, by, denied })
}

impl ToSign {
    fn print(&self, screen: &mut Screen) {
        let Self { policy, requirement, command, by, denied } = self;
        if let (Some(command), Some(by)) = (command, by) {
            screen.line(&format!("  what would meet {requirement} of policy {policy}, {by}:"));
            screen.line(&format!("    {}", plain(command)));
        }
        if let Some(denied) = denied {
            let what = format!("no new signature would meet {requirement} of policy {policy}");
            let text = format!("{what}: every signer that it takes is denied, by {denied}");
            screen.line(&format!("  {}", screen.tone(Tone::Bad, &plain(&text))));
        }
    }
}

fn print_document(document: &DocumentReport, screen: &mut Screen) {
    let (tone, word) = match (document.satisfied, document.accepts_anything, document.action) {
        (true, true, _) => (Tone::Warn, "accepts anything"),
        (true, false, _) => (Tone::Good, "satisfied"),
        (false, _, Action::Warn) => (Tone::Warn, "not satisfied, warns only"),
        (false, _, Action::Enforce) => (Tone::Bad, "not satisfied"),
    };
    let word = screen.tone(tone, word);
    screen.line(&format!("  policy {}: {word}", plain(&document.policy)));
    for requirement in &document.requirements {
        let word = if requirement.satisfied { "met" } else { "not met" };
        screen.line(&format!("    {}: {word}", plain(&requirement.name)));
        for signer in &requirement.signers {
            signer::print(&serde_json::to_value(signer).unwrap_or_default(), 6, screen);
        }
        for result in &requirement.signature_results {
            let outcome = match &result.outcome {
                SignatureOutcome::Signed(signer) => format!("counts, signed by {signer}"),
                SignatureOutcome::Refused(finding) | SignatureOutcome::Unable(finding) => {
                    finding.to_string()
                }
            };
            screen.line(&format!("      {}", result.item));
            screen.line(&format!("        in {}", plain(&result.place)));
            screen.line(&format!("        {}", plain(&outcome)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::screen::Output;

    fn verified(verdict: Verdict, code: &str) -> VerifiedImage {
        VerifiedImage {
            image: "reg.test/a:1".to_owned(),
            named_in: vec!["Pod a, container c".to_owned()],
            namespace: Some("prod".to_owned()),
            verdict,
            code: code.to_owned(),
            message: String::new(),
            digest: Some("sha256:11".to_owned()),
            pinned: None,
            policies: Vec::new(),
            sign: None,
            timings: BTreeMap::new(),
        }
    }

    fn printed(verified: &VerifiedImage) -> String {
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        verified.print(true, &mut screen);
        printed.text()
    }

    #[test]
    fn the_headline_has_verdict_code_and_digest() {
        let text = printed(&verified(Verdict::Refused, "unsigned"));
        assert!(text.starts_with("refused unsigned  reg.test/a:1@sha256:11\n"), "{text}");
        assert!(text.contains("in Pod a, container c") && text.contains("namespace prod"));
    }

    #[test]
    fn what_runs_without_proof_is_said_to_be_unverified() {
        for (verdict, code) in
            [(Verdict::Unmatched, "unmatched"), (Verdict::Unverified, "unverified")]
        {
            let text = printed(&verified(verdict, code));
            assert!(text.starts_with(&format!("{code}  reg.test/a:1@")), "{text}");
            assert!(text.contains("nothing was verified"), "{text}");
        }
        assert!(!printed(&verified(Verdict::Admitted, "satisfied")).contains("nothing"));
    }

    #[test]
    fn of_several_the_worst_is_the_exit_code() {
        let exit = |verdict| verified(verdict, "x").exit();
        let (done, unable) = (exit(Verdict::Excepted), exit(Verdict::Unreachable));
        assert_eq!((done, unable), (Exit::Done, Exit::Unable));
        assert_eq!(done.worse(unable), Exit::Unable);
        assert_eq!(exit(Verdict::Refused).worse(unable), Exit::Refused);
        let mut counts = VerdictTally::default();
        [Verdict::Refused, Verdict::Admitted, Verdict::Refused]
            .iter()
            .for_each(|verdict| counts.add(&verified(*verdict, "x")));
        let (mut screen, text) = Screen::into_memory(Output::Text);
        counts.print(&mut screen);
        assert_eq!(text.text(), "3 images: 1 admitted, 2 refused\n");
    }
}
