//! [`Store::check`]: every file hashed or parsed again, for people who want to know whether the disk can be trusted.

use std::path::Path;

use super::error::{Broken, StoreError};
use super::files::is_temporary;
use super::read::{self, Read};
use super::scan::{self, FILES_MAX, PER_SUBJECT_MAX};
use super::{BLOB_MAX, Store};

impl Store {
    /// Looks at every file: calls `each` with its path, and why it counts as not there, if it does. What is found broken is
    /// counted as it is when it is used, and left where it is. Files that are being written are not looked at.
    ///
    /// # Errors
    /// [`StoreError`] when the disk fails; then not every file was looked at.
    pub fn check(&self, each: &mut dyn FnMut(&Path, Option<&Broken>)) -> Result<(), StoreError> {
        scan::visit(self.folders.blobs(), FILES_MAX, &mut |name, path| {
            if is_temporary(name) {
                return Ok(());
            }
            // What no digest is the name of is nobody's.
            let Some(digest) = scan::digest_of(name) else {
                each(&path, Some(&Broken::Misplaced));
                return Ok(());
            };
            self.tell(&path, self.blob_at(&path, &digest, BLOB_MAX)?.err(), each);
            Ok(())
        })?;
        scan::subjects(&self.folders, &mut |subject, folder| {
            scan::visit(&folder, 2 * PER_SUBJECT_MAX, &mut |name, path| {
                if is_temporary(name) {
                    return Ok(());
                }
                let broken = match read::look(&path, &subject)? {
                    Read::Broken(why) => Some(why),
                    Read::Entry(_) | Read::Nothing => None,
                };
                self.tell(&path, broken, each);
                Ok(())
            })
        })
    }

    fn tell(&self, path: &Path, broken: Option<Broken>, each: &mut dyn FnMut(&Path, Option<&Broken>)) {
        if let Some(why) = &broken {
            self.tally.tell_broken(path, why);
        }
        each(path, broken.as_ref());
    }
}
