//! Asking the log, with the real program: what is printed, what is said of what is not, and the exit
//! codes; over packed files, other nodes' and pipes.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use sealgate::audit::{
    Call, DecisionId, Entry, Finding, FindingKind, Pod, Reason, Record, Verdict,
};

use crate::folder;

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: u64 = 1_767_225_600_000;

/// What a run came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn program(folder: &Path) -> Command {
    let config = folder.join("config.toml");
    fs::write(&config, format!("audit.path = {:?}\n", folder.join("audit.jsonl"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    command.env("SEALGATE_CONFIG", config).env("TZ", "UTC").env_remove("NO_COLOR").arg("audit");
    command
}

fn ran(command: &mut Command) -> Ran {
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: ran.status.code(), out: text(ran.stdout), err: text(ran.stderr) }
}

fn asked(folder: &Path, arguments: &[&str]) -> Ran {
    ran(program(folder).args(arguments))
}

/// A decision, so many seconds after the new year.
fn decision(second: u64, reference: &str, verdict: Verdict) -> Record {
    let id = id(second);
    let code = if verdict == Verdict::Admitted { "satisfied" } else { "unsigned" };
    let mut record =
        Record::new(id, Call::CreateContainer, verdict, Reason::new(code, "in a test"));
    reference.clone_into(&mut record.reference);
    record.digest = Some(format!("sha256:{:064x}", second + 0xabc0));
    record.pod = Pod {
        namespace: Some("prod".into()),
        name: Some(format!("pod-{second}")),
        uid: Some("u".into()),
    };
    record
}

fn id(second: u64) -> DecisionId {
    format!("{:012x}-{second:08x}-5b1e22c4", NEW_YEAR + second * 1000).parse().unwrap()
}

fn line(record: Record) -> String {
    serde_json::to_string(&Entry::Decision(Box::new(record))).unwrap() + "\n"
}

/// Lines of decisions at these seconds.
fn lines(seconds: impl IntoIterator<Item = u64>) -> String {
    seconds
        .into_iter()
        .map(|second| line(decision(second, "reg.test/a:1", Verdict::Admitted)))
        .collect()
}

fn packed(text: &str) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

/// The seconds of the lines that were printed, of JSON.
fn seconds(ran: &Ran) -> Vec<u64> {
    let second = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = line.get("id").unwrap().as_str().unwrap().to_owned();
        (u64::from_str_radix(&id[..12], 16).unwrap() - NEW_YEAR) / 1000
    };
    ran.out.lines().map(second).collect()
}

/// A signed image, one that is refused, one that was only observed, and a finding.
fn of_every_kind() -> String {
    let mut signed = decision(1, "reg.test/shop/app:1", Verdict::Admitted);
    (signed.container, signed.container_id) = (Some("web".into()), Some("c0ffee".repeat(10)));
    signed.policies = serde_json::json!([{"documents": [{"policy": "signed", "requirements": [{"signers": [
        {"key": format!("sha256:{}", "ab".repeat(32)), "file": "build.pub"},
        {"certificate": {"subject": "ci@acme.test", "issuer": "https://issuer.test", "fingerprint": format!("sha256:{}", "cd".repeat(32))}}
    ]}]}]}]);
    let mut refused = decision(2, "reg.test/evil:1", Verdict::Refused);
    refused.pod.namespace = Some("dev".into());
    refused.source = Some(sealgate::evidence::EvidenceSource::Registry);
    let observed = Record { observed: true, ..decision(3, "reg.test/odd:1", Verdict::Refused) };
    let mut drift =
        Finding::new(id(4), FindingKind::Drift, Reason::new("no-decision", "nobody asked"));
    drift.container_id = Some("deadbeef".into());
    let drift = serde_json::to_string(&Entry::Finding(Box::new(drift))).unwrap() + "\n";
    [line(signed), line(refused), line(observed), drift].concat()
}

#[test]
fn every_filter_finds_its_lines_and_the_code_tells_nothing_found_from_a_fault() {
    let dir = folder();
    fs::write(dir.path().join("audit.jsonl"), of_every_kind()).unwrap();
    let key = format!("sha256:{}", "ab".repeat(32));
    let cases: &[(&[&str], &[u64])] = &[
        (&[], &[1, 2, 3, 4]),
        (&["--since", "2026-01-01T00:00:02Z"], &[2, 3, 4]),
        (&["--since", "2026-01-01 00:00:02", "--until", "2026-01-01T01:00:04+01:00"], &[2, 3]),
        (&["--refused"], &[2]),
        (&["--observed"], &[3]),
        (&["--verdict", "admitted,refused"], &[1, 2, 3]),
        (&["--findings"], &[4]),
        (&["--kind", "finding"], &[4]),
        (&["--image", "shop/app"], &[1]),
        (&["--digest", "sha256:0000"], &[1, 2, 3]),
        (&["--digest", &format!("sha256:{:064x}", 0xabc2)], &[2]),
        (&["--namespace", "prod"], &[1, 3]),
        (&["--namespace", "pro"], &[]),
        (&["--pod", "pod-2"], &[2]),
        (&["--pod", "dev/pod-2"], &[2]),
        (&["--pod", "prod/pod-2"], &[]),
        (&["--container", "web"], &[1]),
        (&["--container", "c0ffeec0ff"], &[1]),
        (&["--container", "deadbeef"], &[4]),
        (&["--signer", "build"], &[1]),
        (&["--signer", "issuer.test"], &[1]),
        (&["--key", &key], &[1]),
        (&["--key", &"CD".repeat(32)], &[1]),
        (&["--key", &"ef".repeat(32)], &[]),
        (&["--identity", "ci@acme.test"], &[1]),
        (&["--identity", "ci@acme"], &[]),
        (&["--policy", "signed"], &[1]),
        (&["--code", "unsigned"], &[2, 3]),
        (&["--call", "createcontainer"], &[1, 2, 3]),
        (&["--source", "registry"], &[2]),
        (&["--node", "n1"], &[]),
        (&["--code", "unsigned", "--observed"], &[3]),
    ];
    for (arguments, wanted) in cases {
        let ran = asked(dir.path(), &[&["query", "-o", "json"][..], arguments].concat());
        assert_eq!(seconds(&ran), *wanted, "{arguments:?}: {ran:?}");
        assert_eq!(ran.code, Some(i32::from(wanted.is_empty())), "{arguments:?}: {ran:?}");
        assert_eq!(ran.err.is_empty(), !wanted.is_empty(), "{arguments:?}: {ran:?}");
    }
    for wrong in [
        &["--since", "tomorrow"][..],
        &["--since", "2026-01-02", "--until", "2026-01-01"],
        &["--digest", "sha256:xyz0"],
        &["--verdict", "pondered"],
        &["--pod", "a/b", "--namespace", "c"],
        &["--limit", "0"],
    ] {
        assert_eq!(
            asked(dir.path(), &[&["query"][..], wrong].concat()).code,
            Some(64),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_has_a_code_of_its_own() {
    let dir = folder();
    let gone = dir.path().join("gone").display().to_string();
    for missing in ["--file", "--key"] {
        assert_eq!(asked(dir.path(), &["query", missing, &gone]).code, Some(66), "{missing}");
    }
}

#[test]
fn a_limit_says_what_it_leaves_out_and_how_to_see_it() {
    let dir = folder();
    fs::write(dir.path().join("audit.jsonl"), lines(0..37)).unwrap();
    let query = asked(dir.path(), &["query", "-o", "json", "--limit", "20"]);
    assert_eq!(seconds(&query), (0..20).collect::<Vec<_>>());
    assert!(query.err.contains("20 of 37 lines shown") && query.code == Some(0), "{query:?}");
    let whole = asked(dir.path(), &["query", "-o", "json", "--limit", "37"]);
    assert!(whole.err.is_empty() && seconds(&whole).len() == 37, "{whole:?}");
    let tail = asked(dir.path(), &["tail", "-o", "json"]);
    assert_eq!(seconds(&tail), (17..37).collect::<Vec<_>>());
    assert!(tail.err.contains("17 more before the latest 20 lines"), "{tail:?}");
    for since in ["2026-01-01", "2026-01-01T00:00:00.000Z"] {
        let tail = asked(dir.path(), &["tail", "-o", "json", "--since", since]);
        assert!(tail.err.is_empty() && seconds(&tail).len() == 37, "{tail:?}");
    }
    let tail = asked(dir.path(), &["tail", "-o", "json", "--since", "2026-01-01", "-n", "36"]);
    assert!(tail.err.contains("there is 1 more"), "{tail:?}");
}

#[test]
fn packed_files_and_other_nodes_and_pipes_are_read_as_one_in_the_order_of_time() {
    let dir = folder();
    let (ours, theirs) = (dir.path().join("audit.jsonl"), dir.path().join("b"));
    fs::create_dir(&theirs).unwrap();
    fs::write(&ours, lines(40..50)).unwrap();
    fs::write(dir.path().join("audit.jsonl.1"), lines(30..40)).unwrap();
    // Of two of one number the packed one was there before; a copy of the other is none of its own.
    fs::write(dir.path().join("audit.jsonl.1.gz"), packed(&lines(20..30))).unwrap();
    fs::write(dir.path().join("audit.jsonl.2.gz"), packed(&lines(10..20))).unwrap();
    fs::write(dir.path().join("audit.jsonl.3"), lines(0..10)).unwrap();
    fs::write(dir.path().join("audit.jsonl.3.gz"), packed(&lines(0..10))).unwrap();
    let one = asked(dir.path(), &["query", "-o", "json"]);
    assert_eq!((seconds(&one), one.code), ((0..50).collect(), Some(0)), "{}", one.err);

    // One that only begins like it is no copy: it must not hide what the packed one holds.
    fs::write(dir.path().join("audit.jsonl.3"), lines(0..1)).unwrap();
    assert_eq!(seconds(&asked(dir.path(), &["query", "-o", "json"])).len(), 51);
    fs::write(dir.path().join("audit.jsonl.3"), lines(0..10)).unwrap();
    fs::write(theirs.join("audit.jsonl"), lines(0..50)).unwrap();
    let (first, second) = (ours.display().to_string(), theirs.display().to_string());
    let both = asked(dir.path(), &["query", "-o", "json", "--file", &first, &second]);
    assert_eq!(seconds(&both), (0..50).flat_map(|n| [n, n]).collect::<Vec<_>>());

    // Two members behind each other are one file, as gzip has it.
    let members = [packed(&lines(0..3)), packed(&lines(3..5))].concat();
    for bytes in [members, lines(0..5).into_bytes()] {
        let mut child = program(dir.path())
            .args(["query", "-o", "json", "--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let piped = child.wait_with_output().unwrap();
        assert_eq!(piped.stdout.iter().filter(|byte| **byte == b'\n').count(), 5);
        assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");
    }
    // One decision is found in what is packed, too.
    let shown = asked(dir.path(), &["-o", "json", "show", &id(15).to_string()]);
    assert_eq!((seconds(&shown), shown.code), (vec![15], Some(0)), "{}", shown.err);
    let tail = asked(dir.path(), &["tail", "-n", "25", "-o", "json"]);
    assert_eq!(seconds(&tail).len(), 20, "packed files are not gone back over");
    assert!(tail.err.contains("there may be more"), "{}", tail.err);
}

/// Attack E3: what somebody else wrote into the files hides nothing that the log wrote, and a file
/// that is cut or packs a line without end is said to be so.
#[test]
fn attack_e3_garbage_is_told_and_counted_and_the_code_says_so() {
    let dir = folder();
    let good = packed(&lines(0..1000));
    let cut = good.get(..good.len() / 2).unwrap();
    let bomb = packed(&format!("{}{}\n{}", lines(0..1), "x".repeat(64 << 20), lines(1..2)));
    let mut flood = String::new();
    for number in 0..500 {
        let _ = writeln!(flood, "garbage {number}\u{1b}[2J");
    }
    for (bytes, least, why) in [
        (cut.to_vec(), 0, "it ends early"),
        ([&good[..], b"trailing garbage"].concat(), 1000, "cannot be unpacked"),
        (bomb, 2, "is longer than"),
        (flood.clone().into_bytes(), 0, "and 480 more lines that cannot be read"),
        ([lines(0..3), flood.clone()].concat().into_bytes(), 3, "line 4, is no record"),
        (b"\x00\xff\xfe\n".to_vec(), 0, "is no record"),
        (lines(0..2).trim_end().as_bytes().to_vec(), 1, ""),
    ] {
        fs::write(dir.path().join("audit.jsonl"), bytes).unwrap();
        let ran = asked(dir.path(), &["query", "-o", "json"]);
        assert!(seconds(&ran).len() >= least, "{why}: {}", ran.err);
        assert!(ran.err.contains(why), "{why}: {}", ran.err);
        let expected = if why.is_empty() { 0 } else { 2 };
        assert_eq!(ran.code, Some(expected), "{why}: {}", ran.err);
        assert!(ran.err.lines().count() < 40 && !ran.err.contains('\u{1b}'), "{why}: {}", ran.err);
    }
}

#[test]
fn lines_of_kinds_and_schemas_that_nobody_knows_are_read_counted_and_said() {
    let dir = folder();
    let known = lines([1]);
    let later = known
        .replace("\"kind\":\"decision\"", "\"kind\":\"later\"")
        .replace("\"repeats\":0", "\"new\":{\"a\":[1,2]},\"repeats\":0");
    let newer = known
        .replace("\"schema\":3", "\"schema\":9")
        .replace("\"verdict\":\"admitted\"", "\"verdict\":\"pondered\"");
    let checkpoint = known.replace("\"kind\":\"decision\"", "\"kind\":\"checkpoint\"");
    fs::write(dir.path().join("audit.jsonl"), [known, later, newer, checkpoint].concat()).unwrap();
    let ran = asked(dir.path(), &["query", "-o", "json", "--pod", "pod-1"]);
    assert_eq!((seconds(&ran).len(), ran.code), (3, Some(0)), "{}", ran.err);
    assert!(ran.err.contains("1 line of kinds that this version does not know"), "{}", ran.err);
    assert!(
        ran.err.contains("later (1)") && ran.err.contains("1 line of a schema other"),
        "{}",
        ran.err
    );
    let text = asked(dir.path(), &["tail"]).out;
    assert!(
        text.contains("later") && text.contains("pondered") && !text.contains("checkpoint"),
        "{text}"
    );
    assert_eq!(
        seconds(&asked(dir.path(), &["query", "-o", "json", "--kind", "checkpoint"])).len(),
        1
    );
    // A page for people has no colour for a word that nobody knows.
    let colours = asked(dir.path(), &["--color", "always", "query"]).out;
    assert_eq!(colours.matches("\u{1b}[32m").count(), 1, "{colours}");
}

/// Attack E3: hostile text in every column of every form.
#[test]
fn attack_e3_what_others_wrote_has_no_power_over_terminals_and_spreadsheets() {
    let dir = folder();
    let evil = "=cmd|' /C calc'!A1\n\u{1b}[2J\u{202e}\u{9b}31m,\"x\"";
    let mut record = decision(1, evil, Verdict::Refused);
    record.pod =
        Pod { namespace: Some(evil.into()), name: Some(evil.into()), uid: Some(evil.into()) };
    (record.container, record.container_id) = (Some(evil.into()), Some(evil.into()));
    (record.image, record.digest, record.image_id) =
        (Some(evil.into()), Some(evil.into()), Some(evil.into()));
    record.reason = Reason::new("unsigned", evil);
    record.policies = serde_json::json!([{"documents": [{"policy": evil, "requirements": [{"signers": [{"file": evil}]}]}]}]);
    fs::write(dir.path().join("audit.jsonl"), line(record)).unwrap();
    for form in ["text", "json", "csv"] {
        let ran = asked(dir.path(), &["query", "-o", form]);
        let harmful = |c: char| (c.is_control() && !"\r\n".contains(c)) || c == '\u{202e}';
        assert!(!ran.out.chars().any(harmful), "{form}: {:?}", ran.out);
        let rows = if form == "json" { 1 } else { 2 };
        assert_eq!((ran.out.lines().count(), ran.code), (rows, Some(0)), "{form}: {:?}", ran.out);
        if form == "csv" {
            assert!(!ran.out.contains(",=") && !ran.out.contains(",\"="), "{}", ran.out);
            assert!(ran.out.contains("\"'=cmd"), "{}", ran.out);
        }
    }
    // The line says the same to who reads it back.
    let said: serde_json::Value =
        serde_json::from_str(&asked(dir.path(), &["query", "-o", "json"]).out).unwrap();
    assert_eq!(said["reference"], evil);
}

/// A clock that was set back wrote earlier times behind later ones, and lines may be out of order:
/// each is judged by itself, and none is missed.
#[test]
fn attack_c4_lines_out_of_order_are_all_found_in_the_order_of_the_file() {
    let dir = folder();
    let order = [50, 3, 70, 1, 99, 2];
    fs::write(dir.path().join("audit.jsonl"), lines(order)).unwrap();
    let ran = asked(dir.path(), &["query", "-o", "json"]);
    assert_eq!(seconds(&ran), order);
    let since = [
        "query",
        "-o",
        "json",
        "--since",
        "2026-01-01T00:00:03Z",
        "--until",
        "2026-01-01T00:01:10Z",
    ];
    assert_eq!(seconds(&asked(dir.path(), &since)), [50, 3]);
    // Beside another log each stays in its own order.
    let other = dir.path().join("other");
    fs::write(&other, lines([60, 4])).unwrap();
    let (own, other) =
        (dir.path().join("audit.jsonl").display().to_string(), other.display().to_string());
    let both =
        seconds(&asked(dir.path(), &["query", "-o", "json", "--file", &own, "--file", &other]));
    assert_eq!(both.iter().filter(|n| order.contains(n)).copied().collect::<Vec<_>>(), order);
    assert_eq!(both.len(), 8);
}

/// A program that follows the log; it ends with the test.
struct Follower {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
}

impl Follower {
    fn new(folder: &Path, command: &str) -> Self {
        let mut child = program(folder)
            .args([command, "--follow", "-o", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().map(BufReader::new);
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut text = String::new();
        self.out.as_mut().unwrap().read_line(&mut text).unwrap();
        text
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_readers_follow_one_writer_over_rotations_and_both_have_every_line() {
    let dir = folder();
    let path = dir.path().join("audit.jsonl");
    fs::write(&path, lines(0..5)).unwrap();
    let mut readers = [Follower::new(dir.path(), "query"), Follower::new(dir.path(), "tail")];
    let mut expect = |all: std::ops::Range<u64>| {
        for second in all {
            for reader in &mut readers {
                assert_eq!(reader.line(), lines([second]));
            }
        }
    };
    expect(0..5);
    for burst in 0..5_u64 {
        let (from, to) = (5 + burst * 11, 5 + burst * 11 + 11);
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let text = lines(from..to);
        // A line comes in two parts.
        let (first, second) = text.as_bytes().split_at(text.len() - 100);
        file.write_all(first).unwrap();
        file.write_all(second).unwrap();
        expect(from..to);
        for number in (0..burst).rev() {
            let name = |number: u64| match number {
                0 => path.clone(),
                older => crate::beside(&path, &older.to_string()),
            };
            fs::rename(name(number), name(number + 1)).unwrap();
        }
    }
}

#[test]
fn a_reader_that_went_away_ends_the_program() {
    let dir = folder();
    fs::write(dir.path().join("audit.jsonl"), lines(0..20_000)).unwrap();
    let mut reader = Follower::new(dir.path(), "query");
    assert_eq!(reader.line(), lines([0]));
    reader.out = None;
    assert!(reader.child.wait().unwrap().code().is_some(), "it would follow for ever");
}
