//! The node's key: Ed25519, in a file of its own (PKCS #8, PEM), made at the first start. Where it
//! comes from a credential of systemd, it is only read.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::libc;
use sha2::{Digest as _, Sha256};

use crate::errno::Words;
use crate::file_trust::{self, Above, OwnershipFault};
use crate::tlog::note::{NoteSigner, NoteVerifier};

/// Bytes of the file at most; one has 119.
const FILE_MAX: u64 = 4096;
/// What stands before the seed in the DER of an Ed25519 key (RFC 8410 section 7).
const DER_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// What the name of a log begins with; the rest is of its key, so that no two nodes have the same.
const NAME: &str = "sealgate-audit";

/// Why there is no key to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// The system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// What it answered.
        kind: io::ErrorKind,
    },
    /// Others could write it.
    Unsafe(OwnershipFault),
    /// Others could read it.
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds no private key of Ed25519.
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The key in this file, which is made where there is none.
///
/// # Errors
/// [`KeyFault`].
pub(in crate::audit) fn signer(path: &Path) -> Result<NoteSigner, KeyFault> {
    match read(path) {
        Err(KeyFault::Io { kind: io::ErrorKind::NotFound, .. }) => {
            make(path)?;
            read(path)
        }
        read => read,
    }
}

/// The public part of the key in this file.
///
/// # Errors
/// [`KeyFault`].
pub fn public(path: &Path) -> Result<NoteVerifier, KeyFault> {
    read(path).map(|signer| signer.verifier().clone())
}

/// The public key of a file that holds it as text (C2SP `vkey`), or of one with a private key.
///
/// # Errors
/// [`KeyFault`].
pub fn verifier(path: &Path) -> Result<NoteVerifier, KeyFault> {
    let text = text_of(&open(path)?, path)?;
    if text.starts_with(BEGIN) {
        return public(path);
    }
    text.trim().parse().map_err(|_| KeyFault::Malformed { path: path.into() })
}

fn read(path: &Path) -> Result<NoteSigner, KeyFault> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|error| failed(path, &error))?;
    file_trust::check_open(path, &metadata).map_err(KeyFault::Unsafe)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFault::Readable { path: path.into(), mode });
    }
    let malformed = || KeyFault::Malformed { path: path.into() };
    let text = text_of(&file, path)?;
    let body = text.trim().strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END));
    let body: String = body.ok_or_else(malformed)?.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| malformed())?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| malformed())?;
    let fingerprint = hex::encode(Sha256::digest(pair.public_key().as_ref()));
    let name = format!("{NAME}/{}", fingerprint.get(..16).unwrap_or_default());
    let seed = der.get(DER_HEAD.len()..DER_HEAD.len() + 32).ok_or_else(malformed)?;
    let seed = seed.try_into().map_err(|_| malformed())?;
    let signer = NoteSigner::new(&name, &seed).map_err(|_| malformed())?;
    // A form whose seed stands elsewhere is none that is read here.
    let is_same = signer.verifier().key().as_slice() == pair.public_key().as_ref();
    is_same.then_some(signer).ok_or_else(malformed)
}

fn open(path: &Path) -> Result<File, KeyFault> {
    let mut how = OpenOptions::new();
    how.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    how.open(path).map_err(|error| failed(path, &error))
}

fn text_of(file: &File, path: &Path) -> Result<String, KeyFault> {
    let mut text = String::new();
    match file.take(FILE_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(KeyFault::Malformed { path: path.into() })
        }
        Err(error) => Err(failed(path, &error)),
    }
}

/// Puts a new key there, durably: a crash leaves none or this.
fn make(path: &Path) -> Result<(), KeyFault> {
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    file_trust::check(folder, Above::GroupToo).map_err(|fault| match fault {
        OwnershipFault::Unreadable { kind, .. } => KeyFault::Io { path: path.into(), kind },
        OwnershipFault::Owner { .. } | OwnershipFault::Writable { .. } => KeyFault::Unsafe(fault),
    })?;
    let mut der = DER_HEAD.to_vec();
    let mut seed = [0; 32];
    rand::fill(&mut seed)
        .map_err(|_| KeyFault::Io { path: path.into(), kind: io::ErrorKind::Other })?;
    der.extend(seed);
    let text = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der));
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // What a crash left half-made.
    let _nothing_there_mostly = fs::remove_file(&new);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&new, path))
        .and_then(|()| File::open(folder)?.sync_all());
    let _no_second_name_for_long = fs::remove_file(&new);
    // Who was faster made the key of this node.
    let written = match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written,
    };
    written.map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> KeyFault {
    KeyFault::Io { path: path.into(), kind: error.kind() }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, kind } => write!(f, "{}: {}", path.display(), Words(*kind)),
            Self::Unsafe(fault) => write!(f, "{fault}"),
            Self::Readable { path, mode } => {
                write!(
                    f,
                    "{} has mode 0o{mode:o}, expected 0o600: others could sign",
                    path.display()
                )
            }
            Self::Malformed { path } => write!(
                f,
                "{} holds no key: expected an Ed25519 private key in PKCS #8 (PEM), or a public \
                 one as NAME+ID+KEY",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeyFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        let first = signer(&path).unwrap().verifier().clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(signer(&path).unwrap().verifier(), &first);
        assert_eq!(public(&path), Ok(first.clone()));
        let text = dir.path().join("audit.vkey");
        fs::write(&text, format!("{first}\n")).unwrap();
        assert_eq!(verifier(&text), Ok(first.clone()));
        assert_eq!(verifier(&path), Ok(first.clone()));
        assert!(first.name().starts_with("sealgate-audit/"));
        // Two that start at once: the second takes the key that is there.
        make(&path).unwrap();
        assert_eq!(signer(&path).unwrap().verifier(), &first);
        assert!(!dir.path().join("audit.key.new").exists());
        let other = signer(&dir.path().join("other.key")).unwrap();
        assert_ne!(other.verifier().name(), first.name());
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.key");
        signer(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let readable = KeyFault::Readable { path: path.clone(), mode: 0o640 };
        assert_eq!(signer(&path).err(), Some(readable));
        for text in
            ["", "\u{0}", BEGIN, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
        {
            let bad = dir.path().join("bad.key");
            fs::write(&bad, text).unwrap();
            fs::set_permissions(&bad, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(signer(&bad).err(), Some(KeyFault::Malformed { path: bad }), "{text:?}");
        }
        let nowhere = dir.path().join("none/audit.key");
        assert!(matches!(
            signer(&nowhere),
            Err(KeyFault::Io { kind: io::ErrorKind::NotFound, .. })
        ));
    }
}
