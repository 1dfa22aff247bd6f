//! How `sealgate audit show` shows what came of a call.

use crate::audit::{CallOutcome, OutcomeWord};
use crate::cli::terminal::screen::{Screen, Tone, plain};

/// An outcome with everything that the log has of it.
pub(super) fn print_whole(outcome: &CallOutcome, screen: &mut Screen) {
    let told = toned(outcome.outcome, outcome.outcome.word(), screen);
    let call = outcome.call.map_or_else(String::new, |call| call.to_string());
    screen.line(&format!("{told}  {call}  {}", plain(&outcome.reference)));
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            screen.line(&format!("  {name:<14} {}", plain(value)));
        }
    };
    field("outcome", Some(&outcome.id.to_string()));
    field("time", Some(&outcome.time.to_string()));
    let why = outcome.reason.as_ref();
    field("why", why.map(|why| format!("{}: {}", why.code, why.message)).as_deref());
    field("decision", outcome.decision.map(|id| id.to_string()).as_deref());
    let also = outcome.also.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    field("and decisions", Some(&also));
    field("digest", outcome.digest.as_deref());
    field("image id", outcome.image_id.as_deref());
    field("manifest", outcome.platform_manifest.as_deref());
    field("namespace", outcome.pod.namespace.as_deref());
    field("pod", outcome.pod.name.as_deref());
    field("pod uid", outcome.pod.uid.as_deref());
    field("container", outcome.container.as_deref());
    field("container id", outcome.container_id.as_deref());
    field("sandbox id", outcome.sandbox_id.as_deref());
    let repeats = outcome.repeats_of.map(|id| format!("{} more like {id}", outcome.repeats));
    field("repeats", repeats.as_deref());
}

/// That something was made says nothing good of it: the decision does.
fn toned(word: OutcomeWord, text: &str, screen: &Screen) -> String {
    match word {
        OutcomeWord::Pulled
        | OutcomeWord::Created
        | OutcomeWord::Started
        | OutcomeWord::Removed => text.to_owned(),
        OutcomeWord::Failed | OutcomeWord::Unanswered => screen.tone(Tone::Warn, text),
    }
}
