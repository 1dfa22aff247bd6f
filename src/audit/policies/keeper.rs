//! [`PolicyKeeper`]: the thread that writes texts, and removes them when the log has begun a new file.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::fault::TextFault;
use super::folder::TextFolder;
use super::scan::generations;
use super::texts::GenerationTexts;
use crate::audit::log::Log;

/// How often is looked whether the log has begun a new file: reading one number.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Generations that wait for the disk at most. Each holds its texts in memory, and who reloads more
/// often than the disk writes is told so.
const WAITING_MAX: usize = 2;
/// How long is waited for the disk until it counts as one that does not take them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The thread's other end. Dropped, it ends what it is at and no more.
#[derive(Debug)]
pub struct PolicyKeeper {
    /// None where the thread could not be started.
    tasks: Option<SyncSender<Task>>,
}

/// A generation, and who wants to know what came of it.
#[derive(Debug)]
struct Task(GenerationTexts, oneshot::Sender<Result<(), TextFault>>);

/// What the thread has.
struct Worker {
    path: PathBuf,
    folder: TextFolder,
    /// How many new files the log had begun when texts were last looked through.
    swept_at: u64,
    /// The generation in force.
    in_force: Option<String>,
}

impl PolicyKeeper {
    /// Starts the thread for the log that is written at `path`.
    #[must_use]
    pub fn start(log: &Log, path: &Path) -> Self {
        let (tasks, inbox) = mpsc::sync_channel(WAITING_MAX);
        let (path, log) = (path.to_owned(), log.clone());
        let (folder, swept_at) = (TextFolder::of(&path), log.counters().rotations);
        let mut worker = Worker { path, folder, swept_at, in_force: None };
        let started = thread::Builder::new()
            .name("policy-texts".into())
            .spawn(move || worker.work(&inbox, &|| log.counters().rotations));
        if let Err(error) = &started {
            tracing::error!(%error, "the texts of policies will not be kept");
        }
        Self { tasks: started.is_ok().then_some(tasks) }
    }

    /// Has these texts written, and resolves when the disk has them. Dropping the future does not
    /// take that back.
    ///
    /// # Errors
    /// [`TextFault`]. After [`TextFault::Late`] they are still written when the disk takes them.
    pub async fn keep(&self, texts: GenerationTexts) -> Result<(), TextFault> {
        let (reply, answer) = oneshot::channel();
        let tasks = self.tasks.as_ref().ok_or(TextFault::Busy)?;
        tasks.try_send(Task(texts, reply)).map_err(|_| TextFault::Busy)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(said) => said.unwrap_or(Err(TextFault::Busy)),
            Err(_) => Err(TextFault::Late { limit: PATIENCE }),
        }
    }
}

impl Worker {
    fn work(&mut self, inbox: &Receiver<Task>, rotations: &dyn Fn() -> u64) {
        loop {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(Task(texts, reply)) => {
                    let outcome = self.keep(&texts);
                    self.in_force = Some(texts.policy_generation);
                    let _asker_may_be_gone = reply.send(outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = rotations();
            if now != self.swept_at {
                self.swept_at = now;
                self.sweep();
            }
        }
    }

    fn keep(&self, texts: &GenerationTexts) -> Result<(), TextFault> {
        match self.folder.keep(texts) {
            Err(TextFault::TooMuch { .. }) => {
                self.sweep();
                self.folder.keep(texts)
            }
            kept => kept,
        }
    }

    /// Takes out what no file of the log names any more. What goes wrong here is tried again when the
    /// log begins its next file.
    fn sweep(&self) {
        let swept = match generations(&self.path) {
            Ok(Some(mut named)) => {
                named.extend(self.in_force.clone());
                self.folder.sweep(&named).map_err(|fault| fault.to_string())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = swept {
            tracing::warn!(error, "texts of policies that no record names could not be removed");
        }
    }
}
