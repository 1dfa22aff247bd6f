//! `sealgate policy test`: cases that say what the policies must say of an image, judged with no
//! network, no node and no clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::item::TrialQuestion;
use super::junit;
use super::said::{Trial, TrialVerdict};
use super::scratch::Scratch;
use super::tested::Tested;
use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::KeptJudge;
use crate::cli::policy::settings::{keys_hint, named_folders, with_keys_hint};
use crate::cli::terminal::command_error::{CommandError, is_folder};
use crate::cli::terminal::field::counted;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::config::Settings;
use crate::errno;
use crate::evidence::{Name, Origin, Subject};
use crate::evidence_store::{self, Store, layout};
use crate::loader;
use crate::policy::{CaseEvidence, FILE_MAX, PolicyFile, PolicySet, TestCase, test_cases};

/// Most files of cases in one folder.
const FILES_MAX: usize = 1000;

/// Which cases, and which policies.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The folder of cases: every *.yaml and *.yml in it.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The folder of documents; the configured ones when left out. Given several times, what a later
    /// folder says replaces what an earlier one does.
    #[arg(long, value_name = "FOLDER")]
    policies: Vec<PathBuf>,
    /// The folder of keys; the configured one when left out.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Write the results to this file as JUnit XML, too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// All of them, for programs.
#[derive(Debug, Serialize)]
struct Results<'r> {
    passed: usize,
    failed: usize,
    cases: &'r [Tested],
}

/// Tests and prints; 1 when a case comes out otherwise, 65 when cases, evidence or policies are
/// faulty.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    match test(options, settings, screen) {
        Ok(tested) => told(&tested, screen),
        Err(error) => error.say(screen),
    }
}

fn test(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Vec<Tested>, CommandError> {
    let folders = options.policies.iter().chain(&options.keys).chain([&options.folder]);
    folders.into_iter().try_for_each(|folder| is_folder(folder))?;
    let cases = cases(&options.folder)?;
    let hint = keys_hint(options.policies.last().map(PathBuf::as_path), options.keys.as_deref());
    let mut policy = settings.policy.clone();
    if !options.policies.is_empty() {
        policy.policies = named_folders(&options.policies)?;
    }
    policy.keys = options.keys.clone().unwrap_or(policy.keys);
    let loaded = loader::load(&policy, &settings.trust)
        .map_err(|error| with_keys_hint(error, hint).after("the policies are faulty:"))?;
    let set = Arc::new(loaded.policies);
    let all = u64::try_from(cases.len()).unwrap_or(u64::MAX);
    let mut tested = Vec::new();
    for (case, done) in cases.iter().zip(1..) {
        let said = judged(case, &options.folder, settings, &set)?;
        tested.push(Tested::new(case, said));
        screen.progress("testing", done, all);
    }
    screen.end_progress();
    if let Some(file) = &options.junit {
        let failed = |error| CommandError::unwritten(file, &error);
        fs::write(file, junit::xml(&tested)).map_err(failed)?;
    }
    Ok(tested)
}

/// The cases of a folder, in the order of the files' names.
fn cases(folder: &Path) -> Result<Vec<TestCase>, CommandError> {
    let failed = |path: &Path, error: std::io::Error| CommandError::unread(path, &error);
    let faulty =
        |path: &Path, why: &str| Err(CommandError::faulty(format!("{}: {why}", shown(path))));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, error))? {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let is_hidden =
            path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if is_yaml && !is_hidden {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return faulty(folder, &format!("more than {FILES_MAX} files"));
        }
    }
    files.sort();
    let (mut cases, mut errors) = (Vec::new(), Vec::new());
    for path in files {
        let length = fs::metadata(&path).map_err(|error| failed(&path, error))?.len();
        if length > u64::try_from(FILE_MAX).unwrap_or(u64::MAX) {
            return faulty(&path, &format!("larger than {FILE_MAX} bytes"));
        }
        let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
        match test_cases(&PolicyFile { name: path.display().to_string(), bytes }) {
            Ok(more) => cases.extend(more),
            Err(faults) => errors.extend(faults.iter().map(ToString::to_string)),
        }
    }
    if !errors.is_empty() {
        let errors = errors.join("\n");
        return Err(CommandError::faulty(format!("the cases are faulty:\n{errors}")));
    }
    if cases.is_empty() {
        return faulty(folder, "no *.yaml with a case");
    }
    Ok(cases)
}

/// What the set says of a case, from what is recorded with it.
fn judged(
    case: &TestCase,
    folder: &Path,
    settings: &Settings,
    set: &Arc<PolicySet>,
) -> Result<TrialVerdict, CommandError> {
    let subject = Subject {
        name: Name::Known(case.image.clone()),
        target: case.digest.clone(),
        child: case.platform_manifest.clone(),
        origin: Origin::Registry,
    };
    let asked = TrialQuestion {
        image: case.image.to_string(),
        digest: Some(case.digest.clone()),
        pod: case.pod.clone(),
        names: vec![vec![subject]],
        digests: Vec::new(),
        fault: None,
    };
    let CaseEvidence::Recorded(file) = &case.evidence else {
        let catalog = Catalog::empty();
        let judge = KeptJudge::at(settings, None, case.at);
        let judge = match case.evidence {
            CaseEvidence::Unsigned => judge.of_unsigned(),
            CaseEvidence::Nothing if case.unreachable => judge.of_unreachable(),
            CaseEvidence::Nothing | CaseEvidence::Recorded(_) => judge,
        };
        return Ok(Trial::new(judge, &catalog).judge(set, &asked));
    };
    let unable = |why: String| CommandError::unable(format!("a folder for evidence: {why}"));
    let scratch = Scratch::new().map_err(|error| unable(errno::told(&error)))?;
    let options = evidence_store::Options {
        path: scratch.path().join("evidence"),
        ..settings.evidence.clone()
    };
    let store = Store::open(options).map_err(|error| unable(error.to_string()))?;
    let path = folder.join(file);
    let line = case.position.line;
    let faulty = |why: String| {
        let (file, path) = (&case.file, shown(&path));
        CommandError::faulty(format!("{file}:{line}: evidence {path}: {why}"))
    };
    let imported = layout::import(&store, &path, None, case.at);
    let imported = imported.map_err(|error| faulty(error.to_string()))?;
    if imported.entries.is_empty() {
        return Err(faulty("holds no signature that can be kept".to_owned()));
    }
    let catalog = Catalog::of(&store).map_err(unable)?;
    let judge = KeptJudge::at(settings, Some(&store), case.at);
    let judge = if case.unreachable { judge.of_unreachable() } else { judge };
    Ok(Trial::new(judge, &catalog).judge(set, &asked))
}

fn told(tested: &[Tested], screen: &mut Screen) -> Exit {
    let passed = tested.iter().filter(|case| case.passed).count();
    let failed = tested.len().saturating_sub(passed);
    if screen.is_json() {
        screen.json(&Results { passed, failed, cases: tested });
    } else {
        tested.iter().for_each(|case| print(case, screen));
        let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
        screen.line(
            &screen.tone(tone, &format!("{} passed, {failed} failed", counted(passed, "case"))),
        );
    }
    if failed == 0 { Exit::Done } else { Exit::Refused }
}

fn print(case: &Tested, screen: &mut Screen) {
    let word = match case.passed {
        true => screen.tone(Tone::Good, "passed"),
        false => screen.tone(Tone::Bad, "FAILED"),
    };
    screen.line(&format!("{word}  {}: {}", plain(&case.case), plain(&case.got)));
    if !case.passed {
        screen.line(&format!("  {}:{}", plain(&case.file), case.line));
        screen.line(&format!("  expected {}", plain(&case.expected)));
        screen.line(&format!("  {}", plain(&case.message)));
    }
}
