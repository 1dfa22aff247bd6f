//! `sealgate running`: has the running gate go over every container and image of the runtime, and
//! shows how each stands.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{self, Answer, Request, SweptPage};
use crate::cri::{SweepVerdict, Swept, SweptKind};

/// How often it is asked how far the gate is.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Rows that are fetched at most: as many containers and images as the gate lists.
const ROWS_MAX: usize = 1 << 17;

/// What to show.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Show what the last sweep found, without another.
    #[arg(long)]
    last: bool,
    /// Show what is admitted, too; otherwise it is only counted.
    #[arg(short, long)]
    all: bool,
}

/// What a sweep found, whole.
#[derive(Debug, Serialize)]
struct Found {
    millis: u64,
    unasked: u64,
    faults: Vec<String>,
    rows: Vec<Swept>,
}

/// Sweeps and prints; 1 where something would be refused or went around the gate, 2 where something
/// cannot be told.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            screen.complain(&format!("no runtime for the conversation: {error}"));
            return Exit::Unable;
        }
    };
    let socket = &settings.control.socket;
    let found = match runtime.block_on(sweep(options, socket, screen)) {
        Ok(found) => found,
        Err(error) => {
            screen.complain(&error);
            return Exit::Unable;
        }
    };
    if screen.is_json() {
        screen.json(&found);
    } else {
        print(options, &found, screen);
    }
    exit(&found)
}

fn exit(found: &Found) -> Exit {
    let has =
        |standings: &[SweepVerdict]| found.rows.iter().any(|row| standings.contains(&row.standing));
    if has(&[SweepVerdict::WentAround, SweepVerdict::WouldBeRefused]) {
        Exit::Refused
    } else if has(&[SweepVerdict::CannotBeTold]) || !found.faults.is_empty() {
        Exit::Unable
    } else {
        Exit::Done
    }
}

async fn sweep(options: &Options, socket: &Path, screen: &mut Screen) -> Result<Found, String> {
    let before = page(socket, Request::Swept { from: 0 }).await?;
    let mut last = before.clone();
    if !options.last || before.ended == 0 {
        // One that is under way may have passed what is asked about: another one follows it.
        let wanted = before.ended + if before.is_pending { 2 } else { 1 };
        let wanted = if options.last { 1 } else { wanted };
        last = page(socket, Request::Sweep).await?;
        while last.ended < wanted {
            if !last.is_pending {
                last = page(socket, Request::Sweep).await?;
            }
            screen.progress("judging", last.done, last.all);
            tokio::time::sleep(ASK_EVERY).await;
            last = page(socket, Request::Swept { from: 0 }).await?;
        }
        screen.end_progress();
    }
    let mut found =
        Found { millis: last.millis, unasked: last.unasked, faults: last.faults, rows: Vec::new() };
    while found.rows.len() < last.rows_in_all.min(ROWS_MAX) {
        let next = page(socket, Request::Swept { from: found.rows.len() }).await?;
        if next.ended != last.ended || next.rows.is_empty() {
            return Err("another sweep ended meanwhile; ask again".to_owned());
        }
        found.rows.extend(next.rows);
    }
    Ok(found)
}

async fn page(socket: &Path, request: Request) -> Result<SweptPage, String> {
    match control::ask(socket, request).await.map_err(|error| error.to_string())? {
        Answer::Swept(page) => Ok(*page),
        Answer::NotDone(why) => Err(why),
        Answer::Status(_)
        | Answer::Tested(_)
        | Answer::Flushed(_)
        | Answer::ClockLowered { .. }
        | Answer::Reloaded(_)
        | Answer::Faulty(_)
        | Answer::MayBring(_)
        | Answer::MayNotBring { .. }
        | Answer::Unknown(_) => {
            Err("the gate did not understand; is it of the same version?".to_owned())
        }
    }
}

fn print(options: &Options, found: &Found, screen: &mut Screen) {
    let mut shown: Option<SweepVerdict> = None;
    for row in &found.rows {
        if row.standing == SweepVerdict::Admitted && !options.all {
            continue;
        }
        if shown != Some(row.standing) {
            let title = screen.tone(tone(row.standing), title(row.standing));
            screen.line(&title);
            shown = Some(row.standing);
        }
        print_row(row, screen);
    }
    for fault in &found.faults {
        let bad = screen.tone(Tone::Bad, "not listed:");
        screen.line(&format!("{bad} {}", plain(fault)));
    }
    let count = |kind| found.rows.iter().filter(|row| row.kind == kind).count();
    let admitted = found.rows.iter().filter(|row| row.standing == SweepVerdict::Admitted).count();
    screen.line(&format!(
        "{} containers, {} sandboxes and {} images in {:.1} s; {admitted} of them admitted",
        count(SweptKind::Container),
        count(SweptKind::Sandbox),
        count(SweptKind::Image),
        Duration::from_millis(found.millis).as_secs_f64(),
    ));
    if found.unasked > 0 {
        screen.line(&format!(
            "The gate is asking the registries about {} of them; run sealgate running --last in a \
             while.",
            found.unasked
        ));
    }
}

fn print_row(row: &Swept, screen: &mut Screen) {
    let pod = match (&row.pod_namespace, &row.pod) {
        (Some(namespace), Some(pod)) => format!("{}/{}", plain(namespace), plain(pod)),
        _ => row.kind.word().to_owned(),
    };
    let container = row.container.as_deref().map_or_else(|| short(&row.id), plain);
    let image = plain(row.image.as_deref().or(row.digest.as_deref()).unwrap_or("?"));
    let signers = row.signers.iter().map(|signer| plain(signer)).collect::<Vec<_>>().join(", ");
    screen.line(format!("  {pod:<32} {container:<20} {image}  {signers}").trim_end());
    if let Some(code) = &row.code {
        let message = row.message.as_deref().unwrap_or_default();
        screen.line(&format!("    {}: {}", plain(code), plain(message)));
    } else if row.standing == SweepVerdict::WentAround {
        screen.line(&format!("    id {} in {}", plain(&row.id), plain(&row.namespace)));
    }
}

/// The first dozen letters of an id, as the runtime's own tools show it.
fn short(id: &str) -> String {
    plain(id.strip_prefix("sha256:").unwrap_or(id)).chars().take(13).collect()
}

const fn title(standing: SweepVerdict) -> &'static str {
    match standing {
        SweepVerdict::WentAround => "went around the gate",
        SweepVerdict::WouldBeRefused => "would be refused now",
        SweepVerdict::CannotBeTold => "cannot be told",
        SweepVerdict::StartedBefore => "started before the gate",
        SweepVerdict::Admitted => "admitted",
    }
}

const fn tone(standing: SweepVerdict) -> Tone {
    match standing {
        SweepVerdict::WentAround | SweepVerdict::WouldBeRefused => Tone::Bad,
        SweepVerdict::CannotBeTold | SweepVerdict::StartedBefore => Tone::Warn,
        SweepVerdict::Admitted => Tone::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::screen::Output;

    fn row(standing: SweepVerdict) -> Swept {
        Swept {
            standing,
            kind: SweptKind::Container,
            code: None,
            message: None,
            namespace: "k8s.io".to_owned(),
            id: "0123456789abcdef".to_owned(),
            pod_namespace: Some("prod".to_owned()),
            pod: Some("web\u{1b}[2J".to_owned()),
            container: None,
            image: Some("reg.test/app:1".to_owned()),
            digest: None,
            signers: vec!["build.pub".to_owned()],
        }
    }

    fn found(rows: Vec<Swept>) -> Found {
        Found { millis: 1500, unasked: 0, faults: Vec::new(), rows }
    }

    #[test]
    fn the_exit_code_keeps_three_answers_apart() {
        let of = |standing| exit(&found(vec![row(SweepVerdict::Admitted), row(standing)]));
        assert_eq!(of(SweepVerdict::Admitted), Exit::Done);
        assert_eq!(of(SweepVerdict::StartedBefore), Exit::Done);
        assert_eq!(of(SweepVerdict::CannotBeTold), Exit::Unable);
        assert_eq!(of(SweepVerdict::WouldBeRefused), Exit::Refused);
        assert_eq!(of(SweepVerdict::WentAround), Exit::Refused);
        let unlisted = Found { faults: vec!["images".to_owned()], ..found(Vec::new()) };
        assert_eq!(exit(&unlisted), Exit::Unable);
    }

    #[test]
    fn attack_e3_what_others_wrote_is_shown_harmless() {
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        let options = Options { last: false, all: false };
        print(
            &options,
            &found(vec![row(SweepVerdict::WentAround), row(SweepVerdict::Admitted)]),
            &mut screen,
        );
        let text = printed.text();
        assert!(text.starts_with("went around the gate\n  prod/web\\u{1b}[2J"), "{text}");
        assert!(text.contains("build.pub") && !text.contains('\u{1b}'), "{text}");
        assert!(
            text.ends_with("2 containers, 0 sandboxes and 0 images in 1.5 s; 1 of them admitted\n")
        );
        assert_eq!(text.matches("prod/web").count(), 1, "admitted ones are counted: {text}");
    }
}
