//! How [`MadeContainers`] is kept in its file, behind the answers: what could not be written is
//! written when the disk is well again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{self, KeptContainers, KeptPresent};
use super::{Made, MadeContainers, NAMESPACE, Present, Unwritten};

/// Pause before what could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(10);

impl MadeContainers {
    /// Reads which containers earlier processes made, and what was there before the first of them.
    /// Where that is lost, since the file is damaged or `was_here` says that the gate was here
    /// before it, what is there cannot be told apart; nor can what is not in it, where it is marked
    /// as lacking some. Reads a file: for the start.
    pub fn read(&self, path: &Path, was_here: bool) {
        let (kept, is_lost) = match file::read(path) {
            Ok(Some(kept)) => (Some(kept), false),
            Ok(None) if was_here => {
                tracing::warn!(
                    "{}: not there, although the gate was here before: which of the containers \
                     that are there now it made cannot be told",
                    path.display()
                );
                (None, true)
            }
            Ok(None) => (None, false),
            Err(error) => {
                tracing::error!(
                    "which of the containers that are there now the gate made cannot be told: \
                     {error}"
                );
                (None, true)
            }
        };
        let is_incomplete = file::is_incomplete(path);
        let mut made = self.lock();
        let Some(KeptContainers { began, containers, surveyed, present }) = kept else {
            made.is_lost = is_lost || is_incomplete;
            made.unwritten = Unwritten::All;
            drop(made);
            self.unwritten.notify_one();
            return;
        };
        made.began = began;
        for (id, created) in containers {
            made.containers.put(id, created);
        }
        made.surveyed = surveyed.into_iter().collect();
        for KeptPresent { namespace, id, created, is_older } in present {
            made.present.insert((namespace, id), Present { created, is_older });
        }
        if is_incomplete {
            tracing::warn!(
                "{}: the gate made containers that it could not note there; which of the \
                 containers that are there now and not in it are among them cannot be told",
                path.display()
            );
            made.survey_again();
            drop(made);
            self.unwritten.notify_one();
        }
    }

    /// Keeps what is noted in this file, for ever. Before the first call is answered
    /// [`read`](Self::read) must have been called.
    pub async fn keep(&self, path: PathBuf) {
        let mut is_well = true;
        loop {
            self.unwritten.notified().await;
            let nothing = Unwritten::Containers(Vec::new());
            let unwritten = std::mem::replace(&mut self.lock().unwritten, nothing);
            let written = match unwritten {
                Unwritten::Containers(these) if these.is_empty() => continue,
                Unwritten::Containers(these) => self.append(path.clone(), these).await,
                Unwritten::All => self.rewrite(path.clone()).await,
            };
            match written {
                Ok(()) => is_well = true,
                Err(error) => {
                    if is_well {
                        tracing::error!(
                            "containers that the gate made could not be noted; if it ends before \
                             they are, they cannot be told from such that went around it: {error}"
                        );
                    }
                    let marked = mark_incomplete(path.clone()).await;
                    if let Err(error) = marked
                        && is_well
                    {
                        tracing::warn!("nor could that be marked for the next start: {error}");
                    }
                    is_well = false;
                    self.lock().unwritten = Unwritten::All;
                    tokio::time::sleep(WRITE_AGAIN).await;
                    self.unwritten.notify_one();
                }
            }
        }
    }

    async fn append(&self, path: PathBuf, these: Vec<(String, Duration)>) -> Result<(), String> {
        let to = path.clone();
        match tokio::task::spawn_blocking(move || file::append(&to, &these)).await {
            Ok(Ok(file::Size::Small)) => Ok(()),
            Ok(Ok(file::Size::Large)) => self.rewrite(path).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err("the thread that writes has ended".to_owned()),
        }
    }

    async fn rewrite(&self, path: PathBuf) -> Result<(), String> {
        let (kept, is_surveyed) = {
            let made = self.lock();
            let all = made.containers.iter().rev().map(|(id, created)| (id.clone(), *created));
            let present = made.present.iter().map(|((namespace, id), present)| KeptPresent {
                namespace: namespace.clone(),
                id: id.clone(),
                created: present.created,
                is_older: present.is_older,
            });
            let kept = KeptContainers {
                began: made.began,
                containers: all.collect(),
                surveyed: made.surveyed.iter().cloned().collect(),
                present: present.collect(),
            };
            (kept, made.surveyed.contains(NAMESPACE))
        };
        let write = move || {
            file::write(&path, &kept)?;
            // Until then it is not known what was missing.
            if is_surveyed { file::mark_complete(&path) } else { Ok(()) }
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.unwrap_or_else(|_| Err("the thread that writes has ended".to_owned()))
    }
}

impl Made {
    /// Some of what the gate made is not known: what is there when it is looked at again, and not
    /// known, cannot be told.
    fn survey_again(&mut self) {
        self.is_lost = true;
        self.surveyed.remove(NAMESPACE);
        self.unwritten = Unwritten::All;
    }
}

/// Leaves the mark for the next start; where not even that can be written, what was made meanwhile
/// counts as made around the gate then.
async fn mark_incomplete(path: PathBuf) -> Result<(), String> {
    let marked = tokio::task::spawn_blocking(move || file::mark_incomplete(&path)).await;
    marked.unwrap_or_else(|_| Err("the thread that writes has ended".to_owned()))
}
