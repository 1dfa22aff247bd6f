//! `sealgate policy explain`: which documents are about an image, by which field, and what they ask.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::pod::PodOptions;
use super::settings::{keys_hint, named_folders, settings, with_keys_hint};
use crate::cli::terminal::command_error::{CommandError, is_folder};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::cri::Refusal;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::policy::{
    Action, Asked, Conclusion, ExplainedDocument, ExplainedException, Explanation, OnUnreachable,
    PolicySet,
};
use crate::{daemon, loader};

/// What to explain.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The image, as a pod would name it.
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    pod: PodOptions,
    /// The folder of documents; the configured ones when left out. With it no configuration is
    /// needed. Given several times, what a later folder says replaces what an earlier one does.
    #[arg(long, value_name = "FOLDER")]
    policies: Vec<PathBuf>,
    /// The folder of keys; the configured one when left out.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    image: String,
    namespace: Option<&'a str>,
    generation: &'a str,
    message: String,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// Explains and prints; 1 where nothing that is signed could admit the image, 65 where files are
/// faulty.
pub(in crate::cli) fn run(options: &Options, config: &Path, screen: &mut Screen) -> Exit {
    explain(options, config, screen).unwrap_or_else(|error| error.say(screen))
}

fn explain(options: &Options, config: &Path, screen: &mut Screen) -> Result<Exit, CommandError> {
    let reference = Reference::parse(&options.image)
        .map_err(|error| CommandError::usage(format!("{}: {error}", options.image)))?;
    let pod = options.pod.pod().map_err(CommandError::usage)?;
    let folders = options.policies.iter().chain(&options.keys);
    folders.into_iter().try_for_each(|folder| is_folder(folder))?;
    let (mut settings, _) = settings(config, !options.policies.is_empty())?;
    let is_in_force = options.policies.is_empty();
    let hint = keys_hint(options.policies.last().map(PathBuf::as_path), options.keys.as_deref());
    let policy = &mut settings.policy;
    if !is_in_force {
        policy.policies = named_folders(&options.policies)?;
    }
    policy.keys = options.keys.clone().unwrap_or_else(|| policy.keys.clone());
    let loaded = loader::load_with_patterns(&settings.policy, &settings.trust, is_in_force);
    let (loaded, patterns) = loaded.map_err(|error| with_keys_hint(error, hint))?;
    let set = &loaded.policies;
    let now = now(&settings, is_in_force);
    let explanation = set.explain((&reference, &pod), &patterns, now);
    let message = message((&reference, &pod), set, &explanation);
    if screen.is_json() {
        screen.json(&Answer {
            image: reference.to_string(),
            namespace: pod.namespace.as_deref(),
            generation: set.generation(),
            message,
            explanation: &explanation,
        });
    } else {
        print(&explanation, &message, screen);
    }
    Ok(if explanation.outcome.is_final() { Exit::Refused } else { Exit::Done })
}

/// As of when the gate judges; of other files as of now.
fn now(settings: &Settings, is_in_force: bool) -> jiff::Timestamp {
    let known = is_in_force.then(|| daemon::known_time(settings).0).flatten();
    known.max(Some(daemon::now())).unwrap_or_default()
}

/// What it comes to, in the words of a refusal where it is one.
fn message(
    (reference, pod): (&Reference, &Pod),
    set: &PolicySet,
    explanation: &Explanation,
) -> String {
    match &explanation.outcome {
        Conclusion::StruckOff { message } => {
            format!("{message}; no signature and no exception admits it")
        }
        Conclusion::Denied { policy } => format!(
            "policy \"{policy}\" denies this digest, whoever signed it; no exception admits it"
        ),
        Conclusion::NoPolicy => {
            let elsewhere = set.elsewhere(&Name::Known(reference.clone()), pod);
            Refusal::NoPolicy { image: reference.to_string(), elsewhere }.to_string()
        }
        Conclusion::Unmatched => {
            "no policy matches, and policy.unmatched admits it without proof".to_owned()
        }
        Conclusion::Excepted { exception } => format!(
            "exception \"{exception}\" lets it through without proof, whatever policies ask"
        ),
        Conclusion::WithoutProof => {
            "the policies that match let it through without proof".to_owned()
        }
        Conclusion::NotListed { policy } => format!(
            "it does not run: policy \"{policy}\" lists digests, and this one is not among them; no \
             signature replaces that"
        ),
        Conclusion::SignersDenied { policy, by } => format!(
            "it does not run: policy \"{policy}\" asks for signatures of which none counts, since \
             their signers are denied by {by}"
        ),
        Conclusion::Demanded { policies } if policies.len() == 1 => {
            format!("it runs when it meets policy {}", policies.join(""))
        }
        Conclusion::Demanded { policies } => format!(
            "it runs when it meets every one of these policies: {}; none loosens what another \
             demands",
            policies.join(", ")
        ),
    }
}

fn print(explanation: &Explanation, message: &str, screen: &mut Screen) {
    let (matching, others): (Vec<&ExplainedDocument>, Vec<_>) =
        explanation.documents.iter().partition(|document| document.matches);
    for document in matching {
        let word = screen.tone(Tone::Good, "matches");
        screen.line(&format!("{word}  {}", head(document)));
        print_asked(document, screen);
    }
    for document in others {
        screen.line(&format!("no       {}", head(document)));
    }
    if !explanation.places.is_empty() {
        screen.line("signatures and attestations are looked for in");
        for place in &explanation.places {
            screen.line(&format!("  {}", plain(place)));
        }
    }
    if explanation.observes {
        let text = "OBSERVE: nothing is refused, whatever is missing (policy.mode)";
        screen.line(&screen.tone(Tone::Warn, text));
    }
    let tone = match &explanation.outcome {
        Conclusion::StruckOff { .. }
        | Conclusion::Denied { .. }
        | Conclusion::NotListed { .. }
        | Conclusion::SignersDenied { .. }
        | Conclusion::NoPolicy => Tone::Bad,
        Conclusion::Demanded { .. } => Tone::Good,
        Conclusion::Excepted { .. } | Conclusion::Unmatched | Conclusion::WithoutProof => {
            Tone::Warn
        }
    };
    screen.line(&screen.tone(tone, &plain(message)));
}

/// `policy production (/etc/sealgate/policies/app.yaml:1): spec.images[0] a/**`
fn head(document: &ExplainedDocument) -> String {
    let kind = if document.kind == "Exception" { "exception" } else { "policy" };
    let by: Vec<String> = document
        .by
        .iter()
        .map(|deciding| format!("{} {}", deciding.field, deciding.said))
        .collect();
    let ExplainedDocument { name, file, line, .. } = document;
    plain(&format!("{kind} {name} ({file}:{line}): {}", by.join(", ")))
}

fn print_asked(document: &ExplainedDocument, screen: &mut Screen) {
    if document.denies_digest {
        let text = screen.tone(Tone::Bad, "denies this digest, whoever signed it");
        screen.line(&format!("  {text}"));
    }
    if document.action == Some(Action::Warn) {
        let text = "only warns: an image that does not meet it runs all the same";
        screen.line(&format!("  {}", screen.tone(Tone::Warn, text)));
    }
    if document.on_unreachable == Some(OnUnreachable::InsecureAdmit) {
        let text = "while its registry cannot be reached, an image runs unchecked by it \
                    (onUnreachable)";
        screen.line(&format!("  {}", screen.tone(Tone::Warn, text)));
    }
    if document.allow_checkpoint_restore == Some(true) {
        let text = "a checkpoint may be restored, where every policy that asks for proof says so \
                    (allowCheckpointRestore)";
        screen.line(&format!("  {}", screen.tone(Tone::Warn, text)));
    }
    if let Some(ExplainedException { owner, reason, expires, in_force }) = &document.exception {
        let until = if *in_force { "lets through until" } else { "admits nothing:" };
        let text = format!("{until} {expires}, {owner} answers for it ({reason})");
        screen.line(&format!("  {}", plain(&text)));
    }
    for line in document.asks.iter().flat_map(|asked| lines(asked, 2)) {
        screen.line(&plain(&line));
    }
}

/// What is asked, one requirement a line, further in the deeper it stands.
fn lines(asked: &Asked, indent: usize) -> Vec<String> {
    match asked {
        Asked::Anything => vec![format!("{:indent$}accepts anything", "")],
        Asked::Nothing => vec![format!("{:indent$}asks nothing; it only denies", "")],
        Asked::AtLeast { count, of } => {
            let head = match (*count, of.len()) {
                (count, all) if count == all => "all of".to_owned(),
                (1, _) => "any of".to_owned(),
                (count, all) => format!("{count} of {all}, by distinct signers"),
            };
            let below = of.iter().flat_map(|asked| lines(asked, indent + 2));
            std::iter::once(format!("{:indent$}{head}", "")).chain(below).collect()
        }
        Asked::Requirement { name, wants, and, is_met, denied } => {
            let met = match is_met {
                Some(true) => " (met)",
                Some(false) => " (not met)",
                None => "",
            };
            let head = format!("{:indent$}{name}: {wants}{met}", "");
            let below = and.iter().map(|and| format!("{:indent$}  {and}", ""));
            let denied = denied.iter().map(|by| format!("{:indent$}  DENIED by {by}", ""));
            std::iter::once(head).chain(below).chain(denied).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_one_requirement_a_line() {
        let leaf = |name: &str| Asked::Requirement {
            name: name.to_owned(),
            wants: "valid signature by key a.pub".to_owned(),
            and: vec!["under trust root public-good".to_owned()],
            is_met: None,
            denied: None,
        };
        let any = Asked::AtLeast { count: 1, of: vec![leaf("b"), leaf("c")] };
        let all = Asked::AtLeast { count: 2, of: vec![leaf("a"), any] };
        let text = lines(&all, 2).join("\n");
        assert!(
            text.starts_with("  all of\n    a: valid signature by key a.pub\n      under"),
            "{text}"
        );
        assert!(text.contains("\n    any of\n      b: valid"), "{text}");
    }
}
