//! How `sealgate audit show` shows a finding.

use crate::audit::Finding;
use crate::cli::terminal::screen::{Screen, Tone, plain};

/// A finding with everything that the log has of it.
pub(super) fn print_whole(finding: &Finding, screen: &mut Screen) {
    let tone = if finding.alert { Tone::Bad } else { Tone::Warn };
    let kind = screen.tone(tone, finding.finding.word());
    screen.line(&format!("{kind}  {}", plain(&finding.reason.code)));
    let mut field = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            screen.line(&format!("  {name:<14} {}", plain(value)));
        }
    };
    field("finding", Some(&finding.id.to_string()));
    field("time", Some(&finding.time.to_string()));
    field("why", Some(&finding.reason.message));
    field("alert", finding.alert.then_some("yes"));
    field("method", finding.method.as_deref());
    field("image", finding.image.as_deref());
    field("digest", finding.digest.as_deref());
    field("namespace", finding.pod.namespace.as_deref());
    field("pod", finding.pod.name.as_deref());
    field("pod uid", finding.pod.uid.as_deref());
    field("container", finding.container.as_deref());
    field("container id", finding.container_id.as_deref());
    field("sandbox id", finding.sandbox_id.as_deref());
    for (name, value) in &finding.detail {
        field(&plain(name), Some(value));
    }
    let repeats = finding.repeats_of.map(|id| format!("{} more like {id}", finding.repeats));
    field("repeats", repeats.as_deref());
}
