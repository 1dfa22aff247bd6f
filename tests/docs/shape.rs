//! Lengths, links and words of the documents: they stay short enough to be read, and every link
//! leads somewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::{documents, files, read};

/// Most lines of a document that is read at three in the morning.
const LINES_MAX: [(&str, usize); 3] =
    [("README.md", 180), ("ARCHITECTURE.md", 250), ("SECURITY.md", 100)];
/// Most words of a cell of the threat model, and most words that the glossary explains.
const CELL_MAX: usize = 40;
const GLOSSARY_MAX: usize = 40;

#[test]
fn the_documents_at_the_root_are_short() {
    for (document, most) in LINES_MAX {
        let lines = read(document).lines().count();
        assert!(lines <= most, "{document} has {lines} lines, {most} at most");
    }
}

#[test]
fn no_cell_of_the_threat_model_is_long() {
    let document = read("docs/design/threat-model.md");
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for cell in rows.iter().flat_map(|row| row.split('|')) {
        let words = cell.split_whitespace().count();
        assert!(words <= CELL_MAX, "{words} words: {cell}");
    }
}

#[test]
fn the_glossary_is_short_and_no_word_stands_twice() {
    let architecture = read("ARCHITECTURE.md");
    let (_, section) = architecture.split_once("\n## Glossary\n").expect("there is a glossary");
    let rows =
        section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with('|')).skip(2);
    let words: Vec<&str> =
        rows.map(|row| row.trim_start_matches('|').split('|').next().unwrap().trim()).collect();
    let distinct: BTreeSet<String> = words.iter().map(|word| word.to_lowercase()).collect();
    assert!((20..=GLOSSARY_MAX).contains(&words.len()), "{} words", words.len());
    assert_eq!(distinct.len(), words.len(), "{words:?}");
}

/// "Whoever" hides who acts; in two parts, so that this file does not say it.
#[test]
fn every_sentence_says_who_acts() {
    let pages = [files("packaging/man", ".5"), files("packaging/man", ".8")].concat();
    for document in documents().into_iter().chain(pages) {
        for (number, line) in read(&document).lines().enumerate() {
            let lower = line.to_lowercase();
            for word in [concat!("who", "ever"), concat!("whom", "ever")] {
                assert!(!lower.contains(word), "{document}:{}: {line}", number + 1);
            }
        }
    }
}

/// Links between files, and to headings in them.
#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        for target in targets(&read(&document)) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let folder = Path::new(&document).parent().unwrap();
            let file =
                if path.is_empty() { PathBuf::from(&document) } else { joined(folder, path) };
            let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
            assert!(whole.is_file(), "{document}: {target} leads nowhere");
            if !anchor.is_empty() {
                let there = anchors(&read(file.to_str().unwrap()));
                assert!(there.contains(anchor), "{document}: {target}: there are {there:?}");
            }
            followed += 1;
        }
    }
    assert!(followed > 50, "few links were found: {followed}");
}

/// Every document below `docs/` is reached by a link from another one.
#[test]
fn no_document_is_lost() {
    let mut reached = BTreeSet::new();
    for document in documents() {
        for target in targets(&read(&document)) {
            let path = target.split('#').next().unwrap();
            reached.insert(joined(Path::new(&document).parent().unwrap(), path));
        }
    }
    for document in files("docs", ".md") {
        assert!(reached.contains(Path::new(&document)), "no document links to {document}");
    }
}

/// Where the links of a document lead, outside of fenced blocks.
fn targets(document: &str) -> Vec<String> {
    let prose: String = document.split("```").step_by(2).collect();
    let after = prose.split("](").skip(1);
    after.filter_map(|after| after.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// `a/b` and `../c` make `a/c`.
fn joined(folder: &Path, path: &str) -> PathBuf {
    let mut whole = folder.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => assert!(whole.pop(), "{path} leads out of the repository"),
            Component::Normal(part) => whole.push(part),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    whole
}

/// The anchors that a forge makes of headings: lower case, words joined by hyphens, no other signs.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut is_fenced = false;
    let mut anchors = BTreeSet::new();
    for line in document.lines() {
        is_fenced ^= line.trim_start().starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_fenced) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    anchors
}
