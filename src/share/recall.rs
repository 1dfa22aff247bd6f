//! [`Recall`]: by which a holder is told to give back what others wait for.

use std::fmt;
use std::sync::Arc;

use tokio::sync::SetOnce;

/// Says when a [`Slot`](super::Slot) is to be given back because others wait; a clone says the
/// same.
#[derive(Debug, Clone, Default)]
pub struct Recall(Arc<SetOnce<()>>);

/// A [`Slot`](super::Slot) was recalled: other hosts waited, and this one had held it for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recalled;

impl Recall {
    /// Ends when the slot is to be given back; never, when it is not.
    pub async fn wait(&self) {
        self.0.wait().await;
    }

    /// Says it; once said it stays.
    pub(super) fn say(&self) {
        // Said once: who holds it is told already otherwise.
        let _ = self.0.set(());
    }

    /// Whether the slot is to be given back.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.0.initialized()
    }

    /// Does `work` unless the slot is recalled before it is done.
    ///
    /// # Errors
    /// [`Recalled`]; `work` is dropped then.
    pub async fn unless<F: Future>(&self, work: F) -> Result<F::Output, Recalled> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.wait() => Err(Recalled),
        }
    }
}

impl fmt::Display for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took long, and other hosts waited")
    }
}

impl std::error::Error for Recalled {}
