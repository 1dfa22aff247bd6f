//! `sealgate policy import`: reads the files and what they name, prints the documents or writes
//! them with their keys. What a policy means is said in `import`.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use nix::fcntl::OFlag;
use serde::Serialize;

use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, shown};
use crate::errno;
use crate::import::{self, Format, IMPORT_FILE_MAX, Imported, Placed, Surroundings};
use crate::loader;
use crate::policy::PolicyFile;
use crate::verify::TrustRoot;

/// Most files of one import: a cluster has dozens of policies.
const FILES_MAX: usize = 1024;
/// What stands for standard input and output.
const STANDARD: &str = "-";
/// What standard input is called where a file would be.
const STDIN_NAME: &str = "stdin";
/// The file of documents, and the folders that are made.
const DOCUMENTS: &str = "policies/imported.yaml";
const KEYS: &str = "keys";

/// What stands below the help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:\n  sealgate policy import \
    /etc/containers/policy.json /etc/containers/registries.d --out ./imported\n  \
    kubectl get clusterimagepolicies -o yaml | sealgate policy import --partial -";

/// What to import.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Files, and - for standard input; of a folder, those in it that end in .yaml, .yml or .json.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The format of the files; left out, each document is recognised.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Program>,
    /// Leave out what cannot be carried over, and list it. A rule of which a part is left out admits
    /// nothing.
    #[arg(long)]
    partial: bool,
    /// Write policies/imported.yaml and the keys below keys/ into this folder, in place of printing
    /// the documents; - prints them. Replaces no file.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Whose policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    /// containers-policy.json(5) of CRI-O, Podman and skopeo, with files of registries.d.
    PolicyJson,
    /// ClusterImagePolicy of Sigstore's policy-controller.
    ClusterImagePolicy,
    /// ImageValidatingPolicy of Kyverno.
    ImageValidatingPolicy,
    /// ClusterPolicy and Policy of Kyverno with verifyImages.
    VerifyImages,
    /// ImageVerificationConfig of Talos.
    Talos,
    /// Configuration of Connaisseur 3, or the values of its chart.
    Connaisseur,
    /// Trust policy of the Notary Project: every statement of it is left out.
    Notation,
}

#[derive(Serialize)]
struct ImportAnswer {
    documents: usize,
    text: String,
    files: Vec<KeyFile>,
    left_out: Vec<Remark>,
    notes: Vec<Remark>,
    errors: Vec<Remark>,
}

#[derive(Serialize)]
struct KeyFile {
    name: String,
    content: String,
}

#[derive(Serialize)]
struct Remark {
    file: String,
    line: Option<u64>,
    column: Option<u64>,
    field: String,
    message: String,
}

/// Imports; exits with 65 when a file is faulty, with 1 when something would be left out or nothing
/// comes of it.
pub(in crate::cli) fn run(options: &Options, screen: &mut Screen) -> Exit {
    tried(options, screen).unwrap_or_else(|error| error.say(screen))
}

fn tried(options: &Options, screen: &mut Screen) -> Result<Exit, CommandError> {
    let files = read_all(&options.files)?;
    let surroundings = Surroundings {
        read: &|path| read(Path::new(path)).map_err(|error| errno::told(&error)),
        trust_root: &|name| {
            let shipped = loader::shipped(name)?;
            TrustRoot::parse(shipped.trusted_root.as_bytes()).ok().map(Arc::new)
        },
    };
    let format = options.format.map(|program| match program {
        Program::PolicyJson => Format::PolicyJson,
        Program::ClusterImagePolicy => Format::ClusterImagePolicy,
        Program::ImageValidatingPolicy => Format::ImageValidatingPolicy,
        Program::VerifyImages => Format::VerifyImages,
        Program::Talos => Format::Talos,
        Program::Connaisseur => Format::Connaisseur,
        Program::Notation => Format::Notation,
    });
    match import::import(format, &files, &surroundings) {
        Ok(imported) => tell(options, &imported, screen),
        Err(faults) => {
            if screen.is_json() && !screen.is_quiet() {
                screen.json(&ImportAnswer::faulty(&faults));
            } else {
                faults.iter().for_each(|fault| screen.complain(&fault.to_string()));
            }
            Ok(Exit::Faulty)
        }
    }
}

fn tell(options: &Options, imported: &Imported, screen: &mut Screen) -> Result<Exit, CommandError> {
    let stops = !options.partial && !imported.omissions.is_empty();
    let folder = options.out.as_ref().filter(|folder| folder.as_path() != Path::new(STANDARD));
    let is_nothing = imported.documents == 0;
    if let Some(folder) = folder.filter(|_| !stops && !is_nothing) {
        write(folder, imported)?;
    }
    if screen.is_json() {
        screen.json(&ImportAnswer::of(imported, stops));
        return Ok(if stops || is_nothing { Exit::Refused } else { Exit::Done });
    }
    remarks(imported, stops, screen);
    match folder {
        _ if stops => return Ok(Exit::Refused),
        _ if is_nothing => {
            screen.complain("nothing is imported: no document came of these files");
            return Ok(Exit::Refused);
        }
        Some(folder) => {
            let (count, folder) = (imported.documents, shown(folder));
            screen.complain(&format!(
                "wrote {count} documents to {folder}/{DOCUMENTS}; look at them, then: sealgate \
                 policy check {folder}/policies --keys {folder}/{KEYS}"
            ));
        }
        None => {
            screen.document(&imported.text);
            if !imported.files.is_empty() {
                let count = imported.files.len();
                screen.complain(&format!(
                    "the documents name {count} key files, which --out DIR writes beside them"
                ));
            }
        }
    }
    Ok(Exit::Done)
}

fn remarks(imported: &Imported, stops: bool, screen: &mut Screen) {
    for omission in &imported.omissions {
        let what = if stops { "cannot be carried over" } else { "left out" };
        screen.complain(&format!("{what}: {omission}"));
    }
    if stops {
        let count = imported.omissions.len();
        screen.complain(&format!("{count} left over, nothing imported; --partial leaves them out"));
        return;
    }
    for notice in &imported.notices {
        screen.complain(&format!("note: {notice}"));
    }
}

/// Reads the files, and those of the folders.
fn read_all(paths: &[PathBuf]) -> Result<Vec<PolicyFile>, CommandError> {
    let mut files = Vec::new();
    for path in paths {
        if path.as_path() == Path::new(STANDARD) {
            let bytes = read_bounded(io::stdin().lock())
                .map_err(|error| CommandError::unread(Path::new(STDIN_NAME), &error))?;
            files.push(PolicyFile { name: STDIN_NAME.to_owned(), bytes });
            continue;
        }
        for path in listed(path)? {
            if files.len() >= FILES_MAX {
                return Err(CommandError::faulty(format!("more than {FILES_MAX} files")));
            }
            let bytes = read(&path).map_err(|error| CommandError::unread(&path, &error))?;
            files.push(PolicyFile { name: path.display().to_string(), bytes });
        }
    }
    Ok(files)
}

fn listed(path: &Path) -> Result<Vec<PathBuf>, CommandError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unread = |error: io::Error| CommandError::unread(path, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let ending = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if ending && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        let why = format!("{}: no .yaml, .yml or .json file in this folder", shown(path));
        return Err(CommandError::no_input(why));
    }
    Ok(found)
}

/// A file's bytes, one more than is read where it is longer.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    let mut open = OpenOptions::new();
    let file = open.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    read_bounded(file)
}

/// One byte more than is read where there is more, so that its reader says that it is too much.
fn read_bounded(from: impl io::Read) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(IMPORT_FILE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    from.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes documents and keys, the keys first: no policy names a key that is not there.
fn write(folder: &Path, imported: &Imported) -> Result<(), CommandError> {
    let policies = folder.join(DOCUMENTS);
    if policies.exists() {
        let why = format!("{} is there already; name another folder", shown(&policies));
        return Err(CommandError::unable(why));
    }
    for (name, bytes) in &imported.files {
        // Named by its content: one that is there is the same.
        let path = folder.join(KEYS).join(name);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        create(&path, bytes)?;
    }
    create(&policies, imported.text.as_bytes())
}

fn create(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let unwritten = |error: io::Error| CommandError::unwritten(path, &error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritten)?;
    }
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create_new(true).mode(0o644).open(path).map_err(unwritten)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(unwritten)
}

impl ImportAnswer {
    fn of(imported: &Imported, stops: bool) -> Self {
        let files = imported.files.iter().filter(|_| !stops).map(|(name, bytes)| KeyFile {
            name: name.clone(),
            content: String::from_utf8_lossy(bytes).into_owned(),
        });
        Self {
            documents: if stops { 0 } else { imported.documents },
            text: if stops { String::new() } else { imported.text.clone() },
            files: files.collect(),
            left_out: imported.omissions.iter().map(Remark::of).collect(),
            notes: imported.notices.iter().map(Remark::of).collect(),
            errors: Vec::new(),
        }
    }

    fn faulty(faults: &[Placed<import::ImportFault>]) -> Self {
        Self {
            documents: 0,
            text: String::new(),
            files: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            errors: faults.iter().map(Remark::of).collect(),
        }
    }
}

impl Remark {
    fn of<T: std::fmt::Display>(placed: &Placed<T>) -> Self {
        let position = placed.origin.position;
        Self {
            file: placed.origin.file.clone(),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            field: placed.origin.field.clone(),
            message: placed.what.to_string(),
        }
    }
}
