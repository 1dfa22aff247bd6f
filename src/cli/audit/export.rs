//! `sealgate audit export`: the log, to a collector.

use clap::Args;

use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen};
use crate::config::Settings;
use crate::daemon;
use crate::otlp::{
    Collector, CollectorError, CursorFile, ExportError, ExportEvent, ExportMode, Exporter,
    HeadersError, Resource,
};

/// Where Linux says what this machine is called.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// How long to go on.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// Go on with what is added, for ever. What sealgate-export.service runs.
    #[arg(short, long)]
    follow: bool,
}

/// Sends what the collector has not yet.
pub(in crate::cli) fn run(options: &Export, settings: &Settings, screen: &mut Screen) -> Exit {
    exported(options, settings, screen).unwrap_or_else(|error| error.say(screen))
}

fn exported(
    options: &Export,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let collector = Collector::new(&settings.otlp).map_err(of_collector)?;
    let resource = Resource::new(&hostname(), &settings.otlp.resource);
    let cursor = CursorFile::new(&settings.otlp.cursor);
    let mut exporter =
        Exporter::new(&settings.audit.path, cursor, collector, resource, daemon::now)
            .map_err(|error| CommandError::unable(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::unable(error.to_string()))?;
    let mode = if options.follow { ExportMode::Follow } else { ExportMode::Once };
    let mut sent = 0_usize;
    let ended = runtime.block_on(exporter.run(mode, |event| match event {
        ExportEvent::Sent { lines } => sent = sent.saturating_add(lines),
        ExportEvent::NotTaken { .. }
        | ExportEvent::LeftOut { .. }
        | ExportEvent::Partial { .. }
        | ExportEvent::Log(_) => screen.complain(&event.to_string()),
    }));
    told(sent, screen);
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(error @ (ExportError::Cursor(_) | ExportError::Log(_) | ExportError::NotTaken(_))) => {
            Err(CommandError::unable(error.to_string()))
        }
    }
}

fn told(sent: usize, screen: &mut Screen) {
    if screen.is_json() {
        screen.json(&serde_json::json!({ "sent": sent }));
    } else {
        screen.line(&ExportEvent::Sent { lines: sent }.to_string());
    }
}

/// What cannot be sent as it is configured.
fn of_collector(error: CollectorError) -> CommandError {
    let why = error.to_string();
    match error {
        CollectorError::NotConfigured
        | CollectorError::Options(_)
        | CollectorError::Headers(HeadersError::Line { .. } | HeadersError::TooLarge(_))
        | CollectorError::Authorities(_) => CommandError::faulty(why),
        CollectorError::Headers(HeadersError::Unsafe(_) | HeadersError::Unread(..))
        | CollectorError::UnsafeAuthorities(_)
        | CollectorError::Client(_) => CommandError::unable(why),
    }
}

/// What this machine is called; empty where it does not say.
fn hostname() -> String {
    let name = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
    name.trim().to_owned()
}
