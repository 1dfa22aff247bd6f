//! Texts beside a log: what is kept, what goes, and what others put there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use sha2::{Digest as _, Sha256};

use super::folder::TextFolder;
use super::scan::generations;
use super::*;
use crate::audit::{Log, Options};
use crate::clock::Clock;

const OLD: &str = "0123456789abcdef";
const NEW: &str = "fedcba9876543210";

fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn log_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("audit.jsonl")
}

fn texts(generation: &str, all: &[&str]) -> GenerationTexts {
    let file = |text: &&str| PolicyText {
        file: format!("/etc/p/{}.yaml", text.len()),
        digest: format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes()))),
        documents: vec!["ImagePolicy a".to_owned()],
        text: Arc::from(text.as_bytes()),
    };
    GenerationTexts {
        policy_generation: generation.to_owned(),
        files: all.iter().map(file).collect(),
    }
}

fn kept(log: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder_of(log)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn texts_of(log: &Path, generation: &str) -> Vec<KeptText> {
    let list = kept_of(log, generation).unwrap().unwrap();
    list.files.iter().map(|file| file.text(log)).collect()
}

fn whole(text: &str) -> KeptText {
    KeptText::Whole(text.as_bytes().to_vec())
}

#[test]
fn texts_are_read_back_and_go_when_no_line_names_their_generation() {
    let dir = dir();
    let (log, folder) = (log_in(&dir), TextFolder::of(&log_in(&dir)));
    assert_eq!(kept_of(&log, OLD), Ok(None), "nothing is kept yet");
    folder.keep(&texts(OLD, &["shared", "old only"])).unwrap();
    folder.keep(&texts(NEW, &["shared", "of the new one"])).unwrap();
    assert_eq!(texts_of(&log, OLD), [whole("shared"), whole("old only")]);
    assert_eq!(kept(&log).len(), 5, "three texts and two lists: {:?}", kept(&log));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder_of(&log)), 0o750);
    assert!(kept(&log).iter().all(|name| mode(&folder_of(&log).join(name)) == 0o640));

    let line = |generation: &str| {
        format!("{{\"kind\":\"head\",\"policy_generation\":\"{generation}\"}}\n")
    };
    let quoted = "{\"kind\":\"note\",\"x\":\"\\\"policy_generation\\\":\\\"aa\\\"\"}\n";
    fs::write(log.with_extension("jsonl.1"), line(OLD)).unwrap();
    fs::write(&log, line(NEW) + quoted).unwrap();
    let named = generations(&log).unwrap().unwrap();
    assert_eq!(
        named.iter().collect::<Vec<_>>(),
        [OLD, NEW],
        "a text that quotes a line names none"
    );
    folder.sweep(&named).unwrap();
    assert_eq!(texts_of(&log, OLD), [whole("shared"), whole("old only")], "an older file names it");

    fs::remove_file(log.with_extension("jsonl.1")).unwrap();
    folder.sweep(&generations(&log).unwrap().unwrap()).unwrap();
    assert_eq!(kept_of(&log, OLD), Ok(None));
    assert_eq!(texts_of(&log, NEW), [whole("shared"), whole("of the new one")]);
    assert_eq!(kept(&log).len(), 3);
}

#[test]
fn nothing_goes_while_a_file_of_the_log_or_a_list_cannot_be_read() {
    let dir = dir();
    let (log, folder) = (log_in(&dir), TextFolder::of(&log_in(&dir)));
    folder.keep(&texts(OLD, &["old"])).unwrap();
    fs::write(&log, "{}\n").unwrap();
    fs::write(log.with_extension("jsonl.1.gz"), [0x1f, 0x8b, 8, 0, 0]).unwrap();
    assert_eq!(generations(&log), Ok(None), "what is packed there cannot be told");
    let list = folder_of(&log).join(format!("generation-{NEW}.json"));
    fs::write(&list, "{").unwrap();
    let named = [OLD.to_owned(), NEW.to_owned()].into();
    assert!(matches!(folder.sweep(&named), Err(TextFault::Malformed { .. })));
    assert_eq!(texts_of(&log, OLD), [whole("old")]);
}

#[test]
fn attack_e4_a_text_that_was_changed_or_is_a_link_is_not_shown() {
    let dir = dir();
    let (log, folder) = (log_in(&dir), TextFolder::of(&log_in(&dir)));
    let set = texts(OLD, &["as it was", "a link"]);
    folder.keep(&set).unwrap();
    let path = |number: usize| {
        let digest = &set.files[number].digest["sha256:".len()..];
        folder_of(&log).join(format!("{digest}.yaml"))
    };
    fs::write(path(0), "as it wa5").unwrap();
    fs::rename(path(1), dir.path().join("elsewhere")).unwrap();
    symlink(dir.path().join("elsewhere"), path(1)).unwrap();
    let found = texts_of(&log, OLD);
    assert_eq!(found[0], KeptText::Changed);
    assert!(matches!(found[1], KeptText::Unreadable(TextFault::Io { .. })), "{found:?}");
    folder.keep(&set).unwrap();
    assert_eq!(texts_of(&log, OLD), [whole("as it was"), whole("a link")], "it is put right");
    assert_eq!(fs::read(dir.path().join("elsewhere")).unwrap(), b"a link", "not through the link");
    fs::remove_file(path(0)).unwrap();
    assert_eq!(texts_of(&log, OLD)[0], KeptText::Gone);
}

#[test]
fn attack_e4_texts_go_into_no_folder_that_is_a_link_or_that_others_can_write() {
    let dir = dir();
    let (log, folder) = (log_in(&dir), TextFolder::of(&log_in(&dir)));
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    symlink(&other, folder_of(&log)).unwrap();
    let refused = folder.keep(&texts(OLD, &["text"]));
    assert!(matches!(refused, Err(TextFault::NotAFolder { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    fs::remove_file(folder_of(&log)).unwrap();
    fs::create_dir(folder_of(&log)).unwrap();
    fs::set_permissions(folder_of(&log), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = folder.keep(&texts(OLD, &["text"]));
    assert!(matches!(refused, Err(TextFault::Unsafe(_))), "{refused:?}");
}

#[test]
fn attack_e4_what_a_line_claims_as_generation_leads_to_no_other_file() {
    let dir = dir();
    for name in ["../../etc/shadow", "", "ABCDEF", "0/1", &"0".repeat(65)] {
        let found = kept_of(&log_in(&dir), name);
        assert!(matches!(found, Err(TextFault::Name { .. })), "{name}: {found:?}");
    }
}

#[test]
fn attack_d1_the_folder_has_a_bound() {
    let dir = dir();
    let folder = TextFolder::of(&log_in(&dir));
    folder.keep(&texts(OLD, &["text"])).unwrap();
    let filler = fs::File::create(folder_of(&log_in(&dir)).join("filler")).unwrap();
    filler.set_len(FOLDER_MAX).unwrap();
    let refused = folder.keep(&texts(NEW, &["another"]));
    assert!(matches!(refused, Err(TextFault::TooMuch { .. })), "{refused:?}");
    assert_eq!(folder.keep(&texts(OLD, &["text"])), Ok(()), "what is there takes no more");
}

#[tokio::test]
async fn the_keeper_writes_what_it_is_given_and_says_what_it_cannot() {
    let dir = dir();
    let options = Options { path: log_in(&dir), reserve_bytes: 0, ..Options::default() };
    #[allow(clippy::disallowed_methods, reason = "a test makes its own clock")]
    let clock = Clock::new(SystemTime::now, Instant::now);
    let log = Log::open(options, clock).unwrap();
    let keeper = PolicyKeeper::start(&log, &log_in(&dir));
    assert_eq!(keeper.keep(texts(OLD, &["text"])).await, Ok(()));
    assert_eq!(texts_of(&log_in(&dir), OLD), [whole("text")]);
    fs::remove_dir_all(folder_of(&log_in(&dir))).unwrap();
    fs::write(folder_of(&log_in(&dir)), "in the way").unwrap();
    let refused = keeper.keep(texts(OLD, &["text"])).await;
    assert!(matches!(refused, Err(TextFault::NotAFolder { .. })), "{refused:?}");
    log.close().await.unwrap();
}
