//! `sealgate policy import`: reads the files and what they name, prints the documents or writes
//! them with their keys. What a policy means is said in `import`.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use nix::fcntl::OFlag;
use serde::Serialize;

use crate::cli::terminal::screen::{Exit, Screen};
use crate::import::{self, Format, IMPORT_FILE_MAX, Imported, Placed, Surroundings};
use crate::loader;
use crate::policy::PolicyFile;
use crate::verify::TrustRoot;

/// Most files of one import: a cluster has dozens of policies.
const FILES_MAX: usize = 1024;
/// The file of documents, and the folders that are made.
const DOCUMENTS: &str = "policies/imported.yaml";
const KEYS: &str = "keys";

/// What to import.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The format of the files; auto recognises it.
    #[arg(value_enum, value_name = "FORMAT")]
    format: Program,
    /// Files; of a folder, those in it that end in .yaml, .yml or .json.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Leave out what cannot be carried over, and list it. A rule of which a part is left out admits
    /// nothing.
    #[arg(long)]
    partial: bool,
    /// Write policies/imported.yaml and the keys below keys/ into this folder, in place of printing
    /// the documents. Replaces no file.
    #[arg(short = 'o', long = "out", value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Whose policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    /// Whichever it is.
    Auto,
    /// containers-policy.json(5) of CRI-O, Podman and skopeo, with files of registries.d.
    PolicyJson,
    /// ClusterImagePolicy of Sigstore's policy-controller.
    ClusterImagePolicy,
    /// ImageValidatingPolicy of Kyverno.
    ImageValidatingPolicy,
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

/// Imports; exits with 1 when a file is faulty or something would be left out.
pub(in crate::cli) fn run(options: &Options, screen: &mut Screen) -> Exit {
    let files = match read_all(&options.files) {
        Ok(files) => files,
        Err(why) => {
            screen.complain(&why);
            return Exit::Unable;
        }
    };
    let surroundings = Surroundings {
        read: &|path| read(Path::new(path)),
        trust_root: &|name| {
            let shipped = loader::shipped(name)?;
            TrustRoot::parse(shipped.trusted_root.as_bytes()).ok().map(Arc::new)
        },
    };
    let format = match options.format {
        Program::Auto => None,
        Program::PolicyJson => Some(Format::PolicyJson),
        Program::ClusterImagePolicy => Some(Format::ClusterImagePolicy),
        Program::ImageValidatingPolicy => Some(Format::ImageValidatingPolicy),
    };
    match import::import(format, &files, &surroundings) {
        Ok(imported) => tell(options, &imported, screen),
        Err(faults) => {
            if screen.is_json() {
                screen.json(&ImportAnswer::faulty(&faults));
            } else {
                faults.iter().for_each(|fault| screen.complain(&fault.to_string()));
            }
            Exit::Refused
        }
    }
}

fn tell(options: &Options, imported: &Imported, screen: &mut Screen) -> Exit {
    let stops = !options.partial && !imported.omissions.is_empty();
    let written = match &options.out {
        Some(folder) if !stops => write(folder, imported).map(Some),
        Some(_) | None => Ok(None),
    };
    if screen.is_json() {
        screen.json(&ImportAnswer::of(imported, stops));
    } else {
        remarks(imported, stops, screen);
    }
    match written {
        Err(why) => {
            screen.complain(&why);
            return Exit::Unable;
        }
        Ok(Some(folder)) if !screen.is_json() => {
            let (count, folder) = (imported.documents, folder.display().to_string());
            screen.complain(&format!(
                "wrote {count} documents to {folder}/{DOCUMENTS}; look at them, then: sealgate \
                 policy check {folder}/policies --keys {folder}/{KEYS}"
            ));
        }
        Ok(None) if !stops && !screen.is_json() => {
            screen.line(imported.text.trim_end());
            if !imported.files.is_empty() {
                let count = imported.files.len();
                screen.complain(&format!(
                    "the documents name {count} key files, which -o DIR writes beside them"
                ));
            }
        }
        Ok(Some(_) | None) => {}
    }
    if stops { Exit::Refused } else { Exit::Done }
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
fn read_all(paths: &[PathBuf]) -> Result<Vec<PolicyFile>, String> {
    let mut files = Vec::new();
    for path in paths {
        for path in listed(path)? {
            if files.len() >= FILES_MAX {
                return Err(format!("more than {FILES_MAX} files"));
            }
            let name = path.display().to_string();
            let bytes = read(&path).map_err(|why| format!("{name}: {why}"))?;
            files.push(PolicyFile { name, bytes });
        }
    }
    Ok(files)
}

fn listed(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(told)? {
        let path = entry.map_err(told)?.path();
        let ending = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if ending && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(format!("{}: no .yaml, .yml or .json file in this folder", path.display()));
    }
    Ok(found)
}

/// A file's bytes, one more than is read where it is longer.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    // Opening a pipe would wait for a writer.
    let mut open = OpenOptions::new();
    let file = open.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("not a file".to_owned());
    }
    let limit = u64::try_from(IMPORT_FILE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Writes documents and keys, the keys first: no policy names a key that is not there.
fn write<'f>(folder: &'f Path, imported: &Imported) -> Result<&'f Path, String> {
    let policies = folder.join(DOCUMENTS);
    if policies.exists() {
        return Err(format!("{} is there already; name another folder", policies.display()));
    }
    for (name, bytes) in &imported.files {
        // Named by its content: one that is there is the same.
        let path = folder.join(KEYS).join(name);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        create(&path, bytes)?;
    }
    create(&policies, imported.text.as_bytes())?;
    Ok(folder)
}

fn create(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(told)?;
    }
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create_new(true).mode(0o644).open(path).map_err(told)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(told)
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
