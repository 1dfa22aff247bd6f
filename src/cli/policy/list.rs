//! `sealgate policy list`: every document that counts, of all folders.

use std::path::Path;

use crate::cli::terminal::field::kinds;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::loader::{self, FolderRead};
use crate::policy::{Does, ListedDocument, Mode};

/// Where the second line of a document begins.
const INDENT: usize = 2;

/// Prints every document of the files; 65 where they are faulty.
pub(in crate::cli) fn run(settings: &Settings, screen: &mut Screen) -> Exit {
    let (documents, folders) = match loader::documents(&settings.policy) {
        Ok(read) => read,
        Err(faults) => {
            screen.complain(&faults.to_string());
            screen.complain("nothing can be listed while this is wrong: sealgate policy check");
            return Exit::Faulty;
        }
    };
    let mut listing = documents.listing();
    listing.sort_by_key(|listed| (folder_of(&folders, listed), listed.file.clone(), listed.line));
    if screen.is_json() {
        listing.iter().for_each(|listed| screen.json(listed));
        return Exit::Done;
    }
    if settings.policy.mode == Mode::Observe {
        let what = "OBSERVE mode: nothing is refused (policy.mode)";
        screen.line(&screen.tone(Tone::Bad, what));
    }
    // Whole in a pipe, where a program looks for something.
    let width = screen.width();
    if !listing.is_empty() {
        screen.line(&row(["NAME", "KIND", "DOES", "IMAGES"], width));
    }
    for listed in &listing {
        print(listed, width, screen);
    }
    for folder in &folders {
        screen.line(&found(folder));
    }
    Exit::Done
}

/// The number of the folder that a document is of.
fn folder_of(folders: &[FolderRead], listed: &ListedDocument) -> usize {
    let folder = Path::new(&listed.file).parent();
    folders.iter().position(|read| Some(read.folder.as_path()) == folder).unwrap_or(folders.len())
}

fn print(listed: &ListedDocument, width: Option<usize>, screen: &mut Screen) {
    let does = match &listed.does {
        Does::Enforce => "enforces".to_owned(),
        Does::Warn => "warns".to_owned(),
        Does::AcceptAnything => "accepts all".to_owned(),
        Does::DenyDigests => "denies".to_owned(),
        Does::StrikeOff { entries } => format!("{entries} entries"),
        Does::Except { expires, .. } => {
            format!("to {}", expires.chars().take(10).collect::<String>())
        }
    };
    let (images, only) = match listed.images.is_empty() {
        true => (&listed.digests, &listed.images),
        false => (&listed.images, &listed.digests),
    };
    let (name, images) = (plain(&listed.name), plain(&images.join(", ")));
    screen.line(&row([&name, listed.kind, &does, &images], width));
    let mut below = vec![format!("{}:{}", listed.file, listed.line)];
    let lists = [("but not", &listed.exclude), ("only", only), ("in", &listed.namespaces)];
    for (word, patterns) in lists {
        if !patterns.is_empty() {
            below.push(format!("{word} {}", patterns.join(", ")));
        }
    }
    if let Does::Except { owner, .. } = &listed.does {
        below.push(format!("{owner} answers for it"));
    }
    below.extend(listed.replaces.iter().map(|place| format!("replaces {place}")));
    for line in below {
        let line = plain(&line);
        let line = width.map_or_else(|| line.clone(), |width| shortened(&line, width - INDENT));
        screen.line(&format!("{:INDENT$}{line}", ""));
    }
}

/// `/etc/sealgate/policies: 3 policies, 1 deny list`
fn found(read: &FolderRead) -> String {
    let folder = plain(&read.folder.to_string_lossy());
    if !read.is_there {
        return format!("{folder}: there is no such folder");
    }
    let kinds = kinds(read.documents);
    let kinds = if kinds.is_empty() { "no documents".to_owned() } else { kinds };
    format!("{folder}: {kinds}")
}

/// One line of the table; within the width, where there is one.
fn row([name, kind, does, images]: [&str; 4], width: Option<usize>) -> String {
    let front = format!("{name:<24}  {kind:<11}  {does:<13}  ");
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(front.chars().count()).max(8));
    format!("{front}{}", shortened(images, room)).trim_end().to_owned()
}

/// At most so many characters, the end left out.
fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::field::WIDTH;
    use crate::cli::terminal::screen::Output;
    use crate::policy::DocumentCounts;

    fn listed() -> ListedDocument {
        ListedDocument {
            kind: "ImagePolicy",
            name: "production".to_owned(),
            file: "/etc/p/a.yaml".to_owned(),
            line: 3,
            does: Does::Enforce,
            images: vec!["registry.example.com/prod/**".to_owned(); 4],
            exclude: Vec::new(),
            digests: Vec::new(),
            namespaces: vec!["prod-*".to_owned()],
            replaces: vec!["/usr/lib/p/\u{1b}[2J.yaml:1".to_owned()],
        }
    }

    #[test]
    fn a_row_fits_a_terminal_and_is_whole_in_a_pipe() {
        for (width, is_whole) in [(Some(WIDTH), false), (None, true)] {
            let (mut screen, printed) = Screen::into_memory(Output::Text);
            print(&listed(), width, &mut screen);
            let text = printed.text();
            assert_eq!(
                text.matches("registry.example.com/prod/**").count() == 4,
                is_whole,
                "{text}"
            );
            assert!(is_whole || text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!(text.contains("\n  /etc/p/a.yaml:3\n  in prod-*\n  replaces /usr/lib/p/"));
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn a_folder_says_what_it_has() {
        let counts = |policies, deny_lists| DocumentCounts { policies, deny_lists, exceptions: 0 };
        let of = |is_there, documents| {
            found(&FolderRead {
                folder: "/p".into(),
                is_there,
                device: None,
                documents,
                files: Vec::new(),
            })
        };
        assert_eq!(of(true, counts(2, 1)), "/p: 2 policies, 1 deny list");
        assert_eq!(of(true, counts(0, 0)), "/p: no documents");
        assert_eq!(of(false, counts(0, 0)), "/p: there is no such folder");
    }
}
