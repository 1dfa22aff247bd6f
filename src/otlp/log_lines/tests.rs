//! Which lines come next, across rotations, restarts and other hands.

use std::fs;
use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;

struct TestLog {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl TestLog {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        Self { _folder: folder, path }
    }

    fn write(&self, text: &str) {
        let mut how = OpenOptions::new();
        let mut file = how.append(true).create(true).open(&self.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&self) {
        for number in (1..5).rev() {
            if self.older(number).exists() {
                fs::rename(self.older(number), self.older(number + 1)).unwrap();
            }
        }
        fs::rename(&self.path, self.older(1)).unwrap();
    }

    fn lines(&self, cursor: Option<ExportCursor>) -> LogLines {
        LogLines::new(&self.path, cursor)
    }
}

/// Takes everything, and says where it ended.
fn all(lines: &mut LogLines) -> (Vec<String>, Vec<Unforeseen>) {
    let (mut texts, mut unforeseen) = (Vec::new(), Vec::new());
    loop {
        let batch = lines.next_batch().unwrap();
        unforeseen.extend(batch.unforeseen);
        let Some(cursor) = batch.cursor else { return (texts, unforeseen) };
        texts.extend(batch.lines.into_iter().map(|line| line.text));
        lines.advance(cursor);
    }
}

#[test]
fn a_line_comes_when_it_has_its_end() {
    let log = TestLog::new();
    let mut lines = log.lines(None);
    assert_eq!(all(&mut lines), (vec![], vec![]), "no log yet");
    log.write("one\ntw");
    assert_eq!(all(&mut lines).0, ["one"]);
    log.write("o\n");
    assert_eq!(all(&mut lines).0, ["two"]);
}

#[test]
fn what_was_not_sent_comes_again() {
    let log = TestLog::new();
    log.write("one\n");
    let mut lines = log.lines(None);
    let first = lines.next_batch().unwrap();
    assert_eq!(lines.next_batch().unwrap(), first);
}

#[test]
fn rotations_lose_nothing() {
    let log = TestLog::new();
    log.write("one\n");
    let mut lines = log.lines(None);
    assert_eq!(all(&mut lines).0, ["one"]);
    log.write("two\n");
    log.rotate();
    log.write("three\n");
    log.rotate();
    log.write("four\n");
    assert_eq!(all(&mut lines).0, ["two", "three", "four"]);
    // Of a restart.
    let kept = lines.cursor.clone();
    log.rotate();
    log.write("five\n");
    assert_eq!(all(&mut log.lines(kept)), (vec!["five".to_owned()], vec![]));
}

#[test]
fn what_has_no_end_in_an_older_file_comes_as_it_is() {
    let log = TestLog::new();
    log.write("one\ntor");
    log.rotate();
    log.write("two\n");
    assert_eq!(all(&mut log.lines(None)).0, ["one", "tor", "two"]);
}

#[test]
fn a_file_that_is_gone_or_another_is_told() {
    let log = TestLog::new();
    log.write("one\ntwo\n");
    let mut lines = log.lines(None);
    all(&mut lines);
    let kept = lines.cursor.clone();
    // Cut, and written on with something as long.
    OpenOptions::new().write(true).open(&log.path).unwrap().set_len(4).unwrap();
    log.write("owt\nmore\n");
    let changed = vec![Unforeseen::Changed(log.path.clone())];
    let (texts, unforeseen) = all(&mut log.lines(kept.clone()));
    assert_eq!((texts.join(" "), unforeseen), ("one owt more".to_owned(), changed));
    // Another file in its place.
    log.rotate();
    fs::rename(log.older(1), log.path.with_extension("away")).unwrap();
    log.write("new\n");
    assert_eq!(all(&mut log.lines(kept)), (vec!["new".to_owned()], vec![Unforeseen::Gone]));
}

#[test]
fn batches_are_bounded() {
    let log = TestLog::new();
    let line = format!("{}\n", "x".repeat(4000));
    log.write(&line.repeat(1000));
    let mut lines = log.lines(None);
    let batch = lines.next_batch().unwrap();
    assert_eq!(batch.lines.len(), BYTES_MAX / line.len());
    assert_eq!(all(&mut lines).0.len(), 1000);
    log.write(&"x\n".repeat(LINES_MAX + 1));
    assert_eq!(lines.next_batch().unwrap().lines.len(), LINES_MAX);
}

#[test]
fn a_line_without_an_end_holds_nothing_up() {
    let log = TestLog::new();
    log.write(&"y".repeat(BYTES_MAX + 10));
    log.write("\nnext\n");
    let (texts, unforeseen) = all(&mut log.lines(None));
    assert_eq!(texts[0], "y".repeat(SHOWN));
    assert_eq!(texts.last().map(String::as_str), Some("next"));
    assert_eq!(unforeseen, [Unforeseen::TooLong(log.path.clone())]);
}
