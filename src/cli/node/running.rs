//! `sealgate running`: has the running gate go over every container and image of the runtime, and
//! shows how each stands.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::terminal::field::counted;
use crate::cli::terminal::gate::NOT_UNDERSTOOD;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{self, Answer, Request, SweptPage};
use crate::cri::{SweepVerdict, Swept, SweptKind};
use crate::errno;

/// How often it is asked how far the gate is.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Rows that are fetched at most: as many containers and images as the gate lists.
const ROWS_MAX: usize = 1 << 17;
/// How many reports are begun to be fetched: a sweep publishes two, and takes longer than it takes
/// to fetch one.
const REPORTS_MAX: u32 = 5;

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
            let why = errno::told(&error);
            screen.complain(&format!("no runtime for the conversation: {why}"));
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
    let mut last = page(socket, Request::Swept { from: 0 }).await?;
    if !options.last || last.version == 0 {
        let number = page(socket, Request::Sweep).await?.asked;
        let is_there = |page: &SweptPage| {
            if options.last { page.version > 0 } else { page.ended_for >= number }
        };
        last = page(socket, Request::Swept { from: 0 }).await?;
        while !is_there(&last) {
            if last.asked < number {
                return Err("the gate was started anew meanwhile; ask again".to_owned());
            }
            screen.progress("judging", last.done, last.all);
            tokio::time::sleep(ASK_EVERY).await;
            last = page(socket, Request::Swept { from: 0 }).await?;
        }
        screen.end_progress();
    }
    whole(last, async |from| page(socket, Request::Swept { from }).await).await
}

/// The report that this is the first page of, or a later one: all of it is of one report.
async fn whole(
    mut first: SweptPage,
    fetch: impl AsyncFn(usize) -> Result<SweptPage, String>,
) -> Result<Found, String> {
    for _ in 0..REPORTS_MAX {
        let mut rows = first.rows;
        let newer = loop {
            if rows.len() >= first.rows_in_all.min(ROWS_MAX) {
                break None;
            }
            let next = fetch(rows.len()).await?;
            if next.version != first.version {
                break Some(fetch(0).await?);
            }
            if next.rows.is_empty() {
                return Err("the gate left out what its sweep found; ask again".to_owned());
            }
            rows.extend(next.rows);
        };
        match newer {
            Some(newer) => first = newer,
            None => {
                let SweptPage { millis, unasked, faults, .. } = first;
                return Ok(Found { millis, unasked, faults, rows });
            }
        }
    }
    Err("one sweep after the other ended meanwhile; ask again".to_owned())
}

async fn page(socket: &Path, request: Request) -> Result<SweptPage, String> {
    match control::ask(socket, request).await.map_err(|error| error.to_string())? {
        Answer::Swept(page) => Ok(*page),
        Answer::NotDone(why) | Answer::Refused(why) => Err(why),
        Answer::Status(_)
        | Answer::Tested(_)
        | Answer::Flushed(_)
        | Answer::ClockLowered { .. }
        | Answer::Reloaded(_)
        | Answer::DenyLists(_)
        | Answer::Faulty(_)
        | Answer::MayBring { .. }
        | Answer::MayNotBring { .. }
        | Answer::Unknown(_) => Err(NOT_UNDERSTOOD.to_owned()),
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
        "{}, {} sandboxes and {} in {:.1} s; {admitted} of them admitted",
        counted(count(SweptKind::Container), "container"),
        count(SweptKind::Sandbox),
        counted(count(SweptKind::Image), "image"),
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

    fn part(version: u64, rows_in_all: usize, names: &[&str]) -> SweptPage {
        let named = |name: &&str| Swept { id: (*name).to_owned(), ..row(SweepVerdict::Admitted) };
        SweptPage {
            asked: 1,
            ended_for: 1,
            version,
            done: 0,
            all: 0,
            unasked: 0,
            millis: 0,
            faults: Vec::new(),
            rows_in_all,
            rows: names.iter().map(named).collect(),
        }
    }

    #[tokio::test]
    async fn all_rows_are_of_one_report() {
        let fetched = async |from: usize| match from {
            0 => Ok(part(2, 2, &["b"])),
            1 => Ok(part(2, 2, &["a"])),
            _ => Err("there is no more".to_owned()),
        };
        let found = whole(part(1, 2, &["a"]), fetched).await.unwrap();
        let ids: Vec<&str> = found.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["b", "a"], "what was sorted anew meanwhile is fetched anew");
        assert!(whole(part(1, 2, &["a"]), async |_| Ok(part(1, 2, &[]))).await.is_err());
        let version = std::cell::Cell::new(1);
        let restless = async |_| {
            version.set(version.get() + 1);
            Ok(part(version.get(), 2, &["a"]))
        };
        assert!(whole(part(1, 2, &["a"]), restless).await.is_err(), "not for ever");
    }
}
