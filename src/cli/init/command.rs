//! What `sealgate policy init` takes: the names of ready sets, or `--from-node`.

use std::path::PathBuf;

use clap::Args;

use super::files::write_new;
use super::from_node::{self, DraftOptions};
use super::sets::{SETS, files};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;

/// Which policies, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Ready sets; lists them when left out.
    #[arg(value_name = "SET", conflicts_with = "from_node")]
    sets: Vec<String>,
    /// Draft documents from the images that are on this node: by who signed them, as the evidence on
    /// the node says, and by digest where nobody is known to have.
    #[arg(long)]
    from_node: bool,
    #[command(flatten)]
    draft: DraftOptions,
    /// Write into this folder, and never over a file. Sets go to the operator's folder of policies
    /// when left out, drafts to standard output.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Writes sets or drafts; 2 when something on the node is in no document, or nothing was written.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let done = match (options.from_node, options.sets.as_slice()) {
        (true, _) => from_node::run(&options.draft, options.out.as_ref(), settings, screen),
        (false, []) => Ok(list(screen)),
        (false, names) => match files(names) {
            Ok(files) => {
                let own = settings.policy.policies.written();
                let folder = options.out.as_deref().unwrap_or(own);
                write_new(folder, &files).map(|written| told(&written, screen))
            }
            Err(why) => {
                screen.complain(&why);
                return Exit::Usage;
            }
        },
    };
    done.unwrap_or_else(|why| {
        screen.complain(&why);
        Exit::Unable
    })
}

fn list(screen: &mut Screen) -> Exit {
    for set in SETS {
        if screen.is_json() {
            screen.json(&serde_json::json!({"name": set.name, "about": set.about}));
        } else {
            screen.line(&format!("{:<12} {}", set.name, set.about));
        }
    }
    Exit::Done
}

fn told(written: &[PathBuf], screen: &mut Screen) -> Exit {
    if screen.is_json() {
        screen.json(&serde_json::json!({"files": written}));
        return Exit::Done;
    }
    for file in written {
        let word = screen.tone(Tone::Good, "written");
        screen.line(&format!("{word} {}", plain(&file.display().to_string())));
    }
    screen.line("next: read them; sealgate policy check");
    Exit::Done
}
