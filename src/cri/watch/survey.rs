//! What is there when the gate first looks at a namespace of the runtime's: noted once, so that what
//! is not among it is known to have appeared later, whatever a clock says; and forgotten when it is
//! gone.

use crate::containerd::RuntimeError;
use crate::cri::Gate;

impl Gate {
    /// Notes what is in this namespace, unless that was done before.
    pub(super) async fn survey(&self, namespace: &str) -> Result<(), RuntimeError> {
        if self.made().is_surveyed(namespace) {
            return Ok(());
        }
        let mut listing = self.runtime().containers_in(namespace).await?;
        let mut found = Vec::new();
        while let Some(listed) = listing.next().await? {
            found.push((listed.id, listed.created));
        }
        self.made().note_present(namespace, found);
        Ok(())
    }

    /// Forgets what was known of this namespace and is gone.
    pub(super) async fn forget_gone(&self, namespace: &str) -> Result<(), RuntimeError> {
        // Before it is listed: what is made meanwhile is not gone.
        let mut gone = self.made().known(namespace);
        let mut listing = self.runtime().containers_in(namespace).await?;
        while let Some(listed) = listing.next().await? {
            gone.remove(&listed.id);
        }
        self.made().forget(namespace, gone.iter());
        Ok(())
    }
}
