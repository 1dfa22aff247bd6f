//! [`KnownVersion`]: the highest version of a list that was taken, and the rule by which another one
//! follows it. Only an operator lowers it.

use serde::{Deserialize, Serialize};

use super::fault::ListFault;
use crate::image::Digest;

/// The highest version that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVersion {
    /// The version.
    pub version: u64,
    /// Of the list's bytes; none where an operator named the version: any list of it is taken once.
    pub digest: Option<Digest>,
}

/// How a list stands to what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// It takes its place.
    New,
    /// It is the one that was taken.
    Same,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberedFile {
    version: u64,
    digest: Option<String>,
}

impl KnownVersion {
    /// Whether an operator named it, and no list of it was taken since.
    #[must_use]
    pub const fn is_lowered(&self) -> bool {
        self.digest.is_none()
    }

    /// Whether a list of this version and these bytes is the one that was taken.
    #[must_use]
    pub fn is(&self, (version, digest): (u64, &Digest)) -> bool {
        self.version == version && self.digest.as_ref() == Some(digest)
    }

    /// Whether a list of this version and these bytes may take the place of what is remembered.
    ///
    /// # Errors
    /// [`ListFault::Rollback`] for an older one, [`ListFault::Equivocation`] for another one of the
    /// same version.
    pub fn follows(
        before: Option<&Self>,
        version: u64,
        digest: &Digest,
    ) -> Result<Follows, ListFault> {
        let Some(before) = before else { return Ok(Follows::New) };
        match version.cmp(&before.version) {
            std::cmp::Ordering::Less => {
                Err(ListFault::Rollback { got: version, remembered: before.version })
            }
            std::cmp::Ordering::Greater => Ok(Follows::New),
            std::cmp::Ordering::Equal => match &before.digest {
                None => Ok(Follows::New),
                Some(known) if known == digest => Ok(Follows::Same),
                Some(_) => Err(ListFault::Equivocation { version }),
            },
        }
    }

    /// The file's bytes.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let digest = self.digest.as_ref().map(ToString::to_string);
        // A number and a text: this cannot fail, and an empty file would be malformed.
        serde_json::to_vec(&RememberedFile { version: self.version, digest }).unwrap_or_default()
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: RememberedFile = serde_json::from_slice(bytes).map_err(|_| NONE.to_owned())?;
        let digest = file.digest.as_deref().map(Digest::parse).transpose();
        Ok(Self { version: file.version, digest: digest.map_err(|_| NONE.to_owned())? })
    }
}

/// What is wrong with a file that cannot be read as one.
const NONE: &str = "it holds no version; name the one that is to count: sealgate deny lower";

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(version: u64, digest: Option<&[u8]>) -> KnownVersion {
        KnownVersion { version, digest: digest.map(Digest::of) }
    }

    /// Attack C3: an older list, and another of the same version.
    #[test]
    fn attack_c3_no_older_list_and_no_other_of_one_version_is_taken() {
        let before = remembered(7, Some(b"seven"));
        let of = |version, bytes: &[u8]| {
            KnownVersion::follows(Some(&before), version, &Digest::of(bytes))
        };
        assert_eq!(of(8, b"eight"), Ok(Follows::New));
        assert_eq!(of(7, b"seven"), Ok(Follows::Same));
        assert_eq!(of(7, b"other"), Err(ListFault::Equivocation { version: 7 }));
        for version in [0, 1, 6] {
            let refused = Err(ListFault::Rollback { got: version, remembered: 7 });
            assert_eq!(of(version, b"seven"), refused);
        }
        assert_eq!(of(u64::MAX, b"last"), Ok(Follows::New));
        let any = Digest::of(b"any");
        assert_eq!(KnownVersion::follows(None, 1, &any), Ok(Follows::New));
        let lowered = remembered(5, None);
        assert_eq!(KnownVersion::follows(Some(&lowered), 5, &any), Ok(Follows::New));
        assert!(KnownVersion::follows(Some(&lowered), 4, &any).is_err());
    }

    #[test]
    fn the_file_comes_back_as_it_was_and_nothing_else_is_one() {
        for kept in [remembered(7, Some(b"x")), remembered(u64::MAX, None)] {
            assert_eq!(KnownVersion::parse(&kept.to_json()), Ok(kept));
        }
        for broken in [
            "",
            "7",
            "{}",
            "{\"version\":7}{}",
            "{\"version\":-7,\"digest\":null}",
            "{\"version\":7,\"digest\":\"sha256:0\"}",
            "{\"version\":7,\"digest\":null,\"x\":1}",
        ] {
            assert!(KnownVersion::parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
