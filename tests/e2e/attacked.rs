//! The audit log of a real gate, attacked in every way that somebody thought of: `sealgate audit
//! verify` names each, and two programs that know the format alone agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::containerd::Missing;
use crate::ensure;
use crate::stage::{Failure, HOST, Outcome, Props, Stage};

/// Images that nobody has: each leaves a record.
const ASKED: usize = 240;

/// One way to attack a log.
struct Attack {
    what: &'static str,
    /// What `verify` must find, as its codes; others may come with it.
    found: &'static str,
    /// Whether the lines of the files show it, so that the other reader must say so too.
    in_lines: bool,
    act: fn(&Log) -> Outcome,
}

/// A copy of the log.
struct Log {
    folder: PathBuf,
    other: PathBuf,
}

impl Log {
    fn at(&self, number: usize) -> PathBuf {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        self.folder.join(format!("audit.jsonl{suffix}"))
    }

    /// Changes the lines of the file before the current one.
    fn lines(&self, change: impl FnOnce(&mut Vec<String>, usize)) -> Outcome {
        let path = self.at(1);
        let mut lines: Vec<String> =
            fs::read_to_string(&path)?.lines().map(str::to_owned).collect();
        let is_record = |line: &String| !line.starts_with("{\"kind\":\"checkpoint\"");
        let two = |at: &usize| is_record(&lines[*at]) && is_record(&lines[at + 1]);
        let place = (5..lines.len() - 1).find(two).ok_or("no two records in a row")?;
        change(&mut lines, place);
        Ok(fs::write(path, lines.join("\n") + "\n")?)
    }

    fn exchange(&self, one: usize, two: usize) -> Outcome {
        let aside = self.folder.join("aside");
        fs::rename(self.at(one), &aside)?;
        fs::rename(self.at(two), self.at(one))?;
        Ok(fs::rename(aside, self.at(two))?)
    }
}

fn checkpoint_of(lines: &[String]) -> usize {
    lines.iter().rposition(|line| line.starts_with("{\"kind\":\"checkpoint\"")).unwrap_or(0)
}

const ATTACKS: &[Attack] = &[
    Attack {
        what: "a refusal becomes an admission",
        found: "changed",
        in_lines: true,
        act: |log| {
            log.lines(|all, at| all[at] = all[at].replace("\"verdict\":\"", "\"verdict\":\"un"))
        },
    },
    Attack {
        what: "a record is cut out",
        found: "missing",
        in_lines: true,
        act: |log| log.lines(|all, at| drop(all.remove(at))),
    },
    Attack {
        what: "two records change places",
        found: "reordered",
        in_lines: true,
        act: |log| log.lines(|all, at| all.swap(at, at + 1)),
    },
    Attack {
        what: "a record stands there twice",
        found: "doubled",
        in_lines: true,
        act: |log| log.lines(|all, at| all.insert(at + 1, all[at].clone())),
    },
    Attack {
        what: "a line is added by hand",
        found: "added",
        in_lines: true,
        act: |log| log.lines(|all, at| all.insert(at, all[at].replace("0", "1"))),
    },
    Attack {
        what: "a record of another node",
        found: "changed",
        in_lines: true,
        act: |log| {
            let theirs = fs::read_to_string(log.other.join("audit.jsonl"))?;
            let line = theirs.lines().find(|line| !line.contains("\"checkpoint\""));
            let line = line.ok_or("the other node has no record")?.to_owned();
            log.lines(|all, at| all[at] = line)
        },
    },
    Attack {
        what: "a record claims a newer version",
        found: "changed",
        in_lines: true,
        act: |log| log.lines(|all, at| all[at] = all[at].replace("\"schema\":", "\"schema\":9")),
    },
    Attack {
        what: "a checkpoint is edited",
        found: "checkpoint-invalid",
        in_lines: true,
        act: |log| {
            log.lines(|all, _| {
                let at = checkpoint_of(all);
                all[at] = all[at].replacen("\\n\\n", "1\\n\\n", 1);
            })
        },
    },
    Attack {
        what: "a checkpoint says that retention removed more",
        found: "checkpoint-invalid",
        in_lines: true,
        act: |log| {
            log.lines(|all, _| {
                let at = checkpoint_of(all);
                all[at] = all[at].replace("\"kept_from\":", "\"kept_from\":9");
            })
        },
    },
    Attack {
        what: "an earlier checkpoint is put there again",
        found: "doubled",
        in_lines: true,
        act: |log| log.lines(|all, at| all.insert(at, all[0].clone())),
    },
    Attack {
        what: "a checkpoint of another node",
        found: "foreign-checkpoint",
        in_lines: true,
        act: |log| {
            let theirs = fs::read_to_string(log.other.join("audit.jsonl"))?;
            let line = theirs.lines().rfind(|line| line.contains("\"checkpoint\""));
            let line = line.ok_or("the other node has no checkpoint")?.to_owned();
            log.lines(|all, at| all.insert(at, line))
        },
    },
    Attack {
        what: "all checkpoints of a file are cut out",
        found: "missing",
        in_lines: true,
        act: |log| log.lines(|all, _| all.retain(|line| !line.contains("\"kind\":\"checkpoint\""))),
    },
    Attack {
        what: "a file ends early",
        found: "missing",
        in_lines: true,
        act: |log| log.lines(|all, at| all.truncate(at)),
    },
    Attack {
        what: "a file ends within a line",
        found: "torn",
        in_lines: true,
        act: |log| {
            let bytes = fs::read(log.at(1))?;
            Ok(fs::write(log.at(1), &bytes[..bytes.len() - 100])?)
        },
    },
    Attack {
        what: "two files change places",
        found: "exchanged",
        in_lines: false,
        act: |log| log.exchange(1, 2),
    },
    Attack {
        what: "a file is removed",
        found: "missing",
        in_lines: true,
        act: |log| Ok(fs::remove_file(log.at(1))?),
    },
    Attack {
        what: "the oldest file is removed before its time",
        found: "missing",
        in_lines: false,
        act: |log| {
            let oldest = (1..).take_while(|number| log.at(*number).exists()).last();
            Ok(fs::remove_file(log.at(oldest.ok_or("no older file")?))?)
        },
    },
    Attack {
        what: "a file is copied over another",
        found: "file-doubled",
        in_lines: true,
        act: |log| fs::copy(log.at(2), log.at(1)).map(drop).map_err(Into::into),
    },
    Attack {
        what: "the log of another node in place of a file",
        found: "foreign-checkpoint",
        in_lines: true,
        act: |log| fs::copy(log.other.join("audit.jsonl"), log.at(1)).map(drop).map_err(Into::into),
    },
    Attack {
        what: "the newest file is removed",
        found: "no-current-file",
        in_lines: false,
        act: |log| Ok(fs::remove_file(log.at(0))?),
    },
    Attack {
        what: "hashes of removed records that nobody removed",
        found: "hashes-changed",
        in_lines: false,
        act: |log| Ok(fs::write(log.folder.join("audit.jsonl.hashes"), "{\"schema\":1}\n")?),
    },
];

/// Every attack is named, and nothing else is.
pub async fn audit_attacked() -> Outcome {
    let (stage, other) = (log_of(ASKED).await?, log_of(20).await?);
    let own = stage.folder().join("audit");
    let whole = Log { folder: own.clone(), other: other.folder().join("audit") };
    let key = verify(&stage, &whole, 0)?["key"].as_str().unwrap_or_default().to_owned();
    ensure!(whole.at(2).exists(), "three files are to be attacked");
    println!("   {:<48} {:<20} the script of fifty lines", "attack", "verify");
    println!("   {:<48} {:<20} {}", "none", "as written", script(&whole, &key)?.1);
    ensure!(script(&whole, &key)?.0, "the script must agree");
    for attack in ATTACKS {
        let copy = tempfile::tempdir()?;
        for entry in fs::read_dir(&own)? {
            let entry = entry?;
            // The texts of policies beside the log are no part of what is verified.
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), copy.path().join(entry.file_name()))?;
            }
        }
        let log = Log { folder: copy.path().to_owned(), other: whole.other.clone() };
        (attack.act)(&log)?;
        let answer = verify(&stage, &log, 1)?;
        let codes: Vec<&str> = answer["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|found| found["code"].as_str())
            .collect();
        let (agrees, said) = script(&log, &key)?;
        println!("   {:<48} {:<20} {said}", attack.what, attack.found);
        ensure!(codes.contains(&attack.found), "{}: {answer:#}", attack.what);
        ensure!(!attack.in_lines || !agrees, "{}: the script finds nothing", attack.what);
    }
    println!("   {} attacks, each named", ATTACKS.len());
    proven(&stage, &key)
}

/// The stage of a gate that has recorded so many decisions and ended.
async fn log_of(asked: usize) -> Result<Stage, Failure> {
    let config = "audit.max_bytes = 65536\naudit.keep_files = 100\naudit.checkpoint_records = 16\n";
    let mut stage = Stage::set(Props { config: config.to_owned(), ..Props::usual()? }).await?;
    let cri = stage.cri();
    for number in 0..asked {
        let image = format!("{HOST}/prod/nobody-has-{number}:v1");
        ensure!(cri.pull(&image).await.is_err(), "{image} was pulled");
    }
    stage.end_gate()?;
    Ok(stage)
}

/// What `sealgate audit verify` says of a log, with this exit code.
fn verify(stage: &Stage, log: &Log, code: i32) -> Result<Value, Failure> {
    let config = fs::read_to_string(stage.config())?;
    let own = stage.folder().join("audit/audit.jsonl").display().to_string();
    let path = log.folder.join("config.toml");
    fs::write(&path, config.replace(&own, &log.at(0).display().to_string()))?;
    let ran = Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .arg("--config")
        .arg(&path)
        .args(["-o", "json", "audit", "verify"])
        .output()?;
    fs::remove_file(path)?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.code() == Some(code), "{}: {said}", ran.status);
    Ok(serde_json::from_slice(&ran.stdout)?)
}

/// Whether the script that knows the manual alone finds nothing, and what it says last.
fn script(log: &Log, key: &str) -> Result<(bool, String), Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/respond/check_log.py");
    let numbers = (1..100).filter(|number| log.at(*number).exists());
    let mut files: Vec<PathBuf> = numbers.map(|number| log.at(number)).collect();
    files.reverse();
    files.extend(Some(log.at(0)).filter(|path| path.exists()));
    let ran = Command::new("python3").arg(script).arg(key).args(files).output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let missing = String::from_utf8_lossy(&ran.stderr);
    ensure!(
        !missing.contains("ModuleNotFoundError"),
        "python3-cryptography is not there: {missing}"
    );
    Ok((ran.status.success(), said.lines().last().unwrap_or_default().to_owned()))
}

/// A proof of a record, which a program of other authors checks.
fn proven(stage: &Stage, key: &str) -> Outcome {
    let records = stage.records();
    let id = records.last().and_then(|record| record["id"].as_str()).ok_or("no record")?;
    let at = |name: &str| stage.folder().join(name);
    let (proof, line) = (at("record.tlog-proof"), at("record.json"));
    let words = [Path::new("--out"), &proof, Path::new("--line"), &line];
    let words = words.map(|word| word.display().to_string());
    let ran = stage
        .sealgate(&[&["audit", "prove", id], &words.each_ref().map(String::as_str)[..]].concat())?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = fs::read_to_string(&proof)?;
    let without = text.split_once('\n').map(|(_, rest)| rest).unwrap_or_default();
    fs::write(at("record.json.spicy"), without)?;
    let program = spicy()?;
    let check = || Command::new(&program).args(["-verify", key]).arg(&line).output();
    let ran = check()?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    println!("   spicy-litetlog: {}", String::from_utf8_lossy(&ran.stderr).trim());
    fs::write(&line, fs::read_to_string(&line)? + " ")?;
    ensure!(!check()?.status.success(), "a changed line must not be proven");
    Ok(())
}

/// Where Debian's `spicy-litetlog` is: unpacked, or installed.
fn spicy() -> Result<PathBuf, Missing> {
    let name = "spicy-litetlog";
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/runtimes/trixie/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(unpacked).chain(std::env::split_paths(&path));
    let found = folders.map(|folder| folder.join(name)).find(|path| path.exists());
    found.ok_or(Missing::Program(name))
}
