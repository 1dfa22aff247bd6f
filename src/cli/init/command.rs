//! What `sealgate policy init` takes: the names of ready sets, or `--from-node`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::files::{can_write, write_new};
use super::from_node::{self, DraftOptions};
use super::sets::{self, SETS};
use super::unsigned::{self, UNSIGNED};
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;

/// Which policies, and where to.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Ready sets; lists them when left out. Beside --from-node: draft no more than the images of
    /// these, which nobody signs.
    #[arg(value_name = "SET")]
    sets: Vec<String>,
    /// Draft documents from the images that are on this node: by who signed them, as the evidence on
    /// the node says, and by digest where nobody is known to have.
    #[arg(long)]
    from_node: bool,
    #[command(flatten)]
    draft: DraftOptions,
    /// Write into this folder, which is made where it is not there, and never over a file. Sets go to
    /// the operator's folder of policies when left out, drafts to standard output.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Writes sets or drafts; 2 when something on the node is in no document, or nothing was written.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let writes = options.from_node || !options.sets.is_empty();
    if let Some(folder) = options.out.as_deref().filter(|_| writes)
        && let Err(error) = can_write(folder)
    {
        return error.say(screen);
    }
    let done = match (options.from_node, options.sets.as_slice()) {
        (true, names) => match unsigned::scope(names) {
            Ok(scope) => {
                let to = (scope.as_ref(), options.out.as_ref());
                from_node::run(&options.draft, to, settings, screen)
            }
            Err(why) => {
                screen.complain(&why);
                return Exit::Usage;
            }
        },
        (false, []) => Ok(list(screen)),
        (false, names) => return ready(names, options.out.as_deref(), settings, screen),
    };
    done.unwrap_or_else(|why| {
        screen.complain(&why);
        Exit::Unable
    })
}

/// Writes sets: all that are named, or none.
fn ready(names: &[String], out: Option<&Path>, settings: &Settings, screen: &mut Screen) -> Exit {
    if let Some(set) = names.iter().find_map(|name| unsigned::named(name)) {
        screen.complain(&set.to_string());
        return Exit::Unable;
    }
    let files = match sets::files(names) {
        Ok(files) => files,
        Err(why) => {
            screen.complain(&why);
            return Exit::Usage;
        }
    };
    let keys = &settings.policy.keys;
    let absent = sets::absent_keys(names, keys);
    let fetch: Vec<String> = absent.iter().map(|key| key.fetching(keys).to_string()).collect();
    if out.is_none() && !fetch.is_empty() {
        // In the operator's folder it would be in force, and a gate does not start on a set whose
        // key is not there.
        screen
            .complain("nothing was written: a set names a key that is not there. Fetch it first:");
        fetch.iter().for_each(|line| screen.complain(&format!("  {line}")));
        return Exit::Unable;
    }
    let into = out.unwrap_or_else(|| settings.policy.policies.written());
    match write_new(into, &files, out.is_some()) {
        Ok(written) => told(&written, &fetch, screen),
        Err(why) => {
            screen.complain(&why);
            Exit::Unable
        }
    }
}

fn list(screen: &mut Screen) -> Exit {
    if screen.is_json() {
        for set in SETS {
            let about = set.about;
            screen.json(&serde_json::json!({"name": set.name, "about": about, "ready": true}));
        }
        for set in &UNSIGNED {
            screen.json(&serde_json::json!({
                "name": set.name, "about": set.about, "ready": false, "why": set.why
            }));
        }
        return Exit::Done;
    }
    for set in SETS {
        screen.line(&format!("{:<14} {}", set.name, set.about));
    }
    screen.line("");
    screen
        .line("without a signature to ask for; --from-node NAME drafts the digests on this node:");
    for set in &UNSIGNED {
        screen.line(&format!("{:<14} {}", set.name, set.about));
    }
    Exit::Done
}

fn told(written: &[PathBuf], fetch: &[String], screen: &mut Screen) -> Exit {
    if screen.is_json() {
        screen.json(&serde_json::json!({"files": written, "fetch": fetch}));
        return Exit::Done;
    }
    for file in written {
        let word = screen.tone(Tone::Good, "written");
        screen.line(&format!("{word} {}", plain(&file.display().to_string())));
    }
    if !fetch.is_empty() {
        screen.line("a key is not there yet; fetch it before these files are in force:");
        fetch.iter().for_each(|line| screen.line(&format!("  {}", plain(line))));
    }
    screen.line("next: read them; sealgate policy check");
    Exit::Done
}
