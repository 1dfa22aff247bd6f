//! [`Place`]: a file in the folder of policies, changed by one command at a time, whole or not at
//! all, and only where the whole set is sound with the change.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};

use crate::cli::terminal::gate::{NOT_UNDERSTOOD, ask_daemon};
use crate::cli::terminal::screen::shown;
use crate::config::Settings;
use crate::control::{Answer, Reloaded, Request};
use crate::errno::Words;
use crate::loader::{self, Candidate, Loaded};
use crate::policy::{PolicyFile, PolicySet};

/// Who may read a file that is made: policies are no secret, and the gate's user is root.
const MODE: u32 = 0o644;

/// The operator's folder of policies, held by this command alone, and what is in force by its files.
pub(super) struct Place {
    folder: PathBuf,
    /// The set of the files as they are.
    pub(super) before: Arc<PolicySet>,
    _held: Flock<File>,
}

/// A file as it would be, with which the whole set is sound.
pub(super) struct CheckedFile {
    /// Its path.
    pub(super) path: PathBuf,
    /// The set with it.
    pub(super) after: Arc<PolicySet>,
    name: String,
    found: Option<PolicyFile>,
    text: Option<String>,
}

/// What the running gate made of it.
pub(super) enum InForce {
    /// The files are in force.
    Yes(Box<Reloaded>),
    /// They are not known to be; why.
    NotKnown(String),
}

impl Place {
    /// Holds the folder, and reads the set.
    ///
    /// # Errors
    /// The outer when the folder cannot be held, the inner, in lines, when the files are faulty.
    pub(super) fn hold(settings: &Settings) -> Result<Result<Self, String>, String> {
        let folder = settings.policy.policies.written().to_owned();
        let held = File::open(&folder).map_err(|error| words(&folder, &error))?;
        let held = Flock::lock(held, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
            let shown = shown(&folder);
            format!("{shown}: another sealgate deny holds it, or it cannot be held: {errno}")
        })?;
        Ok(match loader::load(&settings.policy, &settings.trust) {
            Ok(Loaded { policies, .. }) => {
                Ok(Self { folder, before: Arc::new(policies), _held: held })
            }
            Err(faulty) => Err(faulty.to_string()),
        })
    }

    /// Whether a file is one of the folder.
    pub(super) fn has(&self, file: &str) -> bool {
        Path::new(file).parent() == Some(&self.folder)
    }

    /// A file of the folder; none where there is none of that name.
    ///
    /// # Errors
    /// When it cannot be read, or is no file by itself: a link is somebody else's to change.
    pub(super) fn file(&self, name: &str) -> Result<Option<PolicyFile>, String> {
        let path = self.folder.join(name);
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(words(&path, &error)),
            Ok(found) if found.is_file() => {
                let bytes = fs::read(&path).map_err(|error| words(&path, &error))?;
                Ok(Some(PolicyFile { name: path.to_string_lossy().into_owned(), bytes }))
            }
            Ok(_) => Err(format!(
                "{}: no regular file, so something else writes it: change it there",
                shown(&path)
            )),
        }
    }

    /// Reads the whole set as it would be with this text in the place of a file, or without the
    /// file.
    ///
    /// # Errors
    /// What is wrong with it, in lines.
    pub(super) fn check(
        &self,
        (name, found): (&str, Option<PolicyFile>),
        text: Option<String>,
        settings: &Settings,
    ) -> Result<CheckedFile, String> {
        let bytes = text.clone().map(String::into_bytes);
        let candidate = Candidate { name, bytes };
        let loaded = loader::load_with(&settings.policy, &settings.trust, Some(&candidate));
        let Loaded { policies, .. } = loaded.map_err(|error| error.to_string())?;
        let (path, name) = (self.folder.join(name), name.to_owned());
        Ok(CheckedFile { path, after: Arc::new(policies), name, found, text })
    }

    /// Puts it into the folder.
    ///
    /// # Errors
    /// When it could not be written, or somebody changed the file meanwhile: then nothing is.
    pub(super) fn put(&self, checked: &CheckedFile) -> Result<(), String> {
        if self.file(&checked.name)? != checked.found {
            let shown = shown(&checked.path);
            return Err(format!("{shown}: changed by somebody else meanwhile; try again"));
        }
        let put = match &checked.text {
            Some(text) => self.replace(checked, text),
            None => fs::remove_file(&checked.path),
        };
        put.and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|error| words(&checked.path, &error))
    }

    /// Writes beside it, under a name that is not read, and renames.
    fn replace(&self, checked: &CheckedFile, text: &str) -> io::Result<()> {
        let mode = match fs::metadata(&checked.path) {
            Ok(there) => there.permissions().mode() & 0o7777,
            Err(_) => MODE,
        };
        let beside = self.folder.join(format!(".{}.{}", checked.name, std::process::id()));
        let written = write_new(&beside, text, mode);
        let put = written.and_then(|()| fs::rename(&beside, &checked.path));
        if put.is_err() {
            drop(fs::remove_file(&beside));
        }
        put
    }
}

/// Has the running gate take the files, and says whether this set of theirs is in force.
pub(super) fn take(set: &PolicySet, settings: &Settings) -> InForce {
    match ask_daemon(settings, Request::Reload) {
        Ok(Answer::Reloaded(reloaded)) if reloaded.policy.generation == set.generation() => {
            InForce::Yes(reloaded)
        }
        Ok(Answer::Reloaded(reloaded)) => InForce::NotKnown(format!(
            "the gate has generation {} in force, and these files are {}; does it use another \
             configuration?",
            reloaded.policy.generation,
            set.generation()
        )),
        Ok(Answer::Faulty(faults)) => InForce::NotKnown(faults.to_string()),
        Ok(Answer::NotDone(why)) => InForce::NotKnown(why),
        Ok(_) => InForce::NotKnown(NOT_UNDERSTOOD.into()),
        Err(error) => InForce::NotKnown(error),
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn words(path: &Path, error: &io::Error) -> String {
    format!("{}: {}", shown(path), Words(error.kind()))
}

#[cfg(test)]
mod tests;
