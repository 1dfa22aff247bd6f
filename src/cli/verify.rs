//! `sealgate verify IMAGE`: the gate's own decision, made from here, with every signature's result.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::terminal::screen::{Exit, Screen, Tone, plain};
use super::terminal::signer;
use crate::config::Settings;
use crate::cri::ask::PullRequest;
use crate::cri::{self, Ending, PullPermit, Refusal, Timings};
use crate::daemon::{self, CLOCK};
use crate::evidence::Pod;
use crate::policy::{Action, DocumentReport, Report, SignatureOutcome};

/// What to decide on.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The image, as a pod would name it.
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The namespace of the pod; without it every policy that is limited to namespaces counts.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a str,
    verdict: &'static str,
    code: String,
    message: String,
    pinned: Option<String>,
    policies: Vec<&'a DocumentReport>,
    timings: std::collections::BTreeMap<&'static str, u64>,
}

/// Decides and prints.
pub(super) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            screen.complain(&format!("no runtime to decide in: {error}"));
            return Exit::Unable;
        }
    };
    runtime.block_on(decide(options, settings, screen))
}

async fn decide(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let gate = match daemon::gate(settings) {
        Ok((gate, _)) => gate,
        Err(error) => {
            screen.complain(&error.to_string());
            return Exit::Unable;
        }
    };
    let mut timings = Timings::start(CLOCK);
    let ask = PullRequest {
        image: options.image.clone(),
        pod: Pod { namespace: options.namespace.clone(), ..Pod::default() },
        auth: None,
        deadline: CLOCK.steady() + gate.limits().decision() + Duration::from_secs(1),
    };
    let decided = gate.admit_pull(&ask, &mut timings).await;
    print(&options.image, &decided, &timings, screen);
    match &decided {
        Ok(_) => Exit::Done,
        Err(refusal) => match refusal.ending() {
            Ending::Refused => Exit::Refused,
            Ending::Unable | Ending::Unreachable => Exit::Unable,
        },
    }
}

fn print(
    image: &str,
    decided: &Result<PullPermit, Refusal>,
    timings: &Timings,
    screen: &mut Screen,
) {
    let report = report_of(decided);
    let (verdict, code, message) = said(decided);
    let pinned = decided.as_ref().ok().map(PullPermit::pinned);
    if screen.is_json() {
        let policies = report.map(|report| report.documents.iter().collect()).unwrap_or_default();
        screen.json(&Answer {
            image,
            verdict,
            code,
            message,
            pinned,
            policies,
            timings: timings.phases(),
        });
        return;
    }
    let tone = match (decided.is_ok(), verdict) {
        (true, "admitted") => Tone::Good,
        (true, _) => Tone::Warn,
        (false, _) => Tone::Bad,
    };
    let verdict = screen.tone(tone, verdict);
    screen.line(&format!("{verdict}  {}", plain(pinned.as_deref().unwrap_or(image))));
    if !message.is_empty() {
        screen.line(&format!("  {}", plain(&message)));
    }
    for document in report.into_iter().flat_map(|report| &report.documents) {
        print_document(document, screen);
    }
}

/// The verdict, its code and what there is to say, as the audit log would have them: an image that
/// runs without proof is not called satisfied. Of one that is there is nothing to say beside its
/// policies.
fn said(decided: &Result<PullPermit, Refusal>) -> (&'static str, String, String) {
    match decided {
        Ok(permit) => {
            let (verdict, reason) = cri::admitted(std::iter::once(permit.admission().permit()));
            let message = if reason.code == "satisfied" { String::new() } else { reason.message };
            (verdict.word(), reason.code.into_owned(), message)
        }
        Err(refusal) => (word(refusal.ending()), refusal.code().to_owned(), refusal.to_string()),
    }
}

fn print_document(document: &DocumentReport, screen: &mut Screen) {
    let (tone, word) = match (document.satisfied, document.action) {
        (true, _) => (Tone::Good, "satisfied"),
        (false, Action::Warn) => (Tone::Warn, "not satisfied, warns only"),
        (false, Action::Enforce) => (Tone::Bad, "not satisfied"),
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

fn report_of(decided: &Result<PullPermit, Refusal>) -> Option<&Report> {
    match decided {
        Ok(permit) => Some(permit.admission().permit().report()),
        Err(Refusal::Denied(denial) | Refusal::NoChild { denial, .. }) => Some(denial.report()),
        Err(_) => None,
    }
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Refused => "refused",
        Ending::Unable => "unable",
        Ending::Unreachable => "unreachable",
    }
}
