//! Signed notes (C2SP `signed-note`): a text with lines of signatures, by keys that have names.
//!
//! [`NoteSigner`] signs with Ed25519, [`NoteVerifier`] checks, and both know a key by its name and
//! the first four bytes of a hash over name and key. A line by another key is ignored, as the
//! specification has it; one by the key that is asked for and that does not hold refuses the note.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The signature type of Ed25519.
const ED25519_TYPE: u8 = 1;
/// Bytes of an Ed25519 key.
const KEY_LEN: usize = 32;
/// Bytes of a note at most: a checkpoint with sixteen cosignatures has three thousand.
pub const NOTE_MAX: usize = 16 << 10;
/// Lines of signatures at most; the specification asks for sixteen.
const SIGNATURES_MAX: usize = 100;
/// How a line of a signature begins.
const DASH: &str = "\u{2014} ";

/// A key that signs notes, under a name.
pub struct NoteSigner {
    verifier: NoteVerifier,
    pair: Ed25519KeyPair,
}

/// A key that notes are checked with, under a name; as text the `vkey` of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    id: [u8; 4],
    key: [u8; KEY_LEN],
}

/// Why a note does not count, or a key is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteError {
    /// It is no signed note, is too long, or has too many signatures.
    Malformed,
    /// No line of it is by the key that is asked for.
    NotSigned {
        /// By whom the lines are.
        by: Vec<String>,
    },
    /// The signature of the key that is asked for does not hold.
    Invalid,
    /// The text is no public key of a note, or not of Ed25519.
    Key,
    /// The name is empty, or holds a space or a plus.
    Name,
}

impl NoteVerifier {
    /// This key under this name.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, key: [u8; KEY_LEN]) -> Result<Self, NoteError> {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.chars().any(is_bad) {
            return Err(NoteError::Name);
        }
        let hash = Sha256::new_with_prefix(name).chain_update([b'\n', ED25519_TYPE]);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.chain_update(key).finalize());
        Ok(Self { name: name.to_owned(), id: [a, b, c, d], key })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &[u8; KEY_LEN] {
        &self.key
    }

    /// The text of this note, when this key signed it.
    ///
    /// # Errors
    /// [`NoteError`] when it did not.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, lines) = split(note)?;
        let mut by = Vec::new();
        let mut holds = false;
        for (name, signature) in lines {
            let Some((id, signature)) = signature.split_at_checked(self.id.len()) else {
                return Err(NoteError::Malformed);
            };
            if name != self.name || id != self.id {
                by.push(name.to_owned());
                continue;
            }
            let key = UnparsedPublicKey::new(&ED25519, &self.key);
            key.verify(text.as_bytes(), signature).map_err(|_| NoteError::Invalid)?;
            holds = true;
        }
        if holds { Ok(text) } else { Err(NoteError::NotSigned { by }) }
    }
}

impl NoteSigner {
    /// Signs with the private key of this seed, under this name.
    ///
    /// # Errors
    /// [`NoteError::Name`] and [`NoteError::Key`].
    pub fn new(name: &str, seed: &[u8; KEY_LEN]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Key)?;
        Ok(Self { verifier: NoteVerifier::new(name, key)?, pair })
    }

    /// The public key, under the same name.
    #[must_use]
    pub const fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// A note of this text, which must end with a newline.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let mut bytes = self.verifier.id.to_vec();
        bytes.extend(signature.as_ref());
        format!("{text}\n{DASH}{} {}\n", self.verifier.name, STANDARD.encode(bytes))
    }
}

/// The text of a note, whoever signed it.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn text_of(note: &str) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

type NoteLines<'n> = Vec<(&'n str, Vec<u8>)>;

fn split(note: &str) -> Result<(&str, NoteLines<'_>), NoteError> {
    let is_control = |c: char| c.is_control() && c != '\n';
    if note.len() > NOTE_MAX || note.contains(is_control) {
        return Err(NoteError::Malformed);
    }
    let (before, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let text = note.get(..=before.len()).ok_or(NoteError::Malformed)?;
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let mut lines = Vec::new();
    for line in signatures.split('\n').take(SIGNATURES_MAX + 1) {
        let (name, signature) = line
            .strip_prefix(DASH)
            .and_then(|line| line.split_once(' '))
            .ok_or(NoteError::Malformed)?;
        let bytes = STANDARD.decode(signature).map_err(|_| NoteError::Malformed)?;
        if name.is_empty() || bytes.len() < 5 {
            return Err(NoteError::Malformed);
        }
        lines.push((name, bytes));
    }
    if lines.len() > SIGNATURES_MAX { Err(NoteError::Malformed) } else { Ok((text, lines)) }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoteSigner").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, id, key } = self;
        let typed: Vec<u8> = std::iter::once(ED25519_TYPE).chain(*key).collect();
        write!(f, "{name}+{}+{}", hex::encode(id), STANDARD.encode(typed))
    }
}

impl FromStr for NoteVerifier {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(NoteError::Key);
        let (name, id, key) = (part()?, part()?, part()?);
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (kind, key) = bytes.split_first().ok_or(NoteError::Key)?;
        if *kind != ED25519_TYPE {
            return Err(NoteError::Key);
        }
        let found = Self::new(name, key.try_into().map_err(|_| NoteError::Key)?)?;
        if hex::encode(found.id) == id { Ok(found) } else { Err(NoteError::Key) }
    }
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("no signed note (c2sp.org/signed-note)"),
            Self::NotSigned { by } if by.is_empty() => f.write_str("nobody signed it"),
            Self::NotSigned { by } => write!(f, "another key signed it: {}", by.join(", ")),
            Self::Invalid => f.write_str("its signature does not hold"),
            Self::Key => f.write_str("no key of a note: expected NAME+ID+KEY with Ed25519"),
            Self::Name => f.write_str("a key's name is not empty and has no space and no plus"),
        }
    }
}

impl std::error::Error for NoteError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(name: &str, seed: u8) -> NoteSigner {
        NoteSigner::new(name, &[seed; 32]).unwrap()
    }

    /// Of the specification of notes, <https://c2sp.org/signed-note>, and the tests of Go's.
    #[test]
    fn a_note_of_another_program_holds() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let verifier: NoteVerifier = key.parse().unwrap();
        assert_eq!(verifier.to_string(), key);
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let note = format!(
            "{text}\n\u{2014} PeterNeumann \
             x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        );
        assert_eq!(verifier.open(&note), Ok(text));
        assert_eq!(verifier.open(&note.replace("answer", "Answer")), Err(NoteError::Invalid));
    }

    #[test]
    fn only_the_key_that_is_asked_for_counts_and_it_must_hold() {
        let (own, other) = (signer("example.com/log", 1), signer("example.com/witness", 2));
        let text = "example.com/log\n1\nroot\n";
        let note = own.sign(text);
        let verifier = own.verifier();
        assert_eq!(verifier.open(&note), Ok(text));
        assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
        let line = other.sign(text).lines().last().unwrap().to_owned();
        let both = format!("{note}{line}\n");
        assert_eq!(verifier.open(&both), Ok(text));
        assert_eq!(other.verifier().open(&both), Ok(text));
        let by = vec!["example.com/witness".to_owned()];
        assert_eq!(verifier.open(&other.sign(text)), Err(NoteError::NotSigned { by }));
        let same_name = signer("example.com/log", 3);
        let by = vec!["example.com/log".to_owned()];
        assert_eq!(verifier.open(&same_name.sign(text)), Err(NoteError::NotSigned { by }));
        for changed in [note.replace("\n1\n", "\n2\n"), note.replacen("root", "r00t", 1)] {
            assert_eq!(verifier.open(&changed), Err(NoteError::Invalid));
        }
        let again = format!("{note}{}\n", note.lines().last().unwrap().replace("A", "B"));
        assert!(verifier.open(&again).is_err(), "a known key's bad signature refuses the note");
    }

    #[test]
    fn what_is_no_note_or_no_key_is_refused() {
        let own = signer("example.com/log", 1);
        let note = own.sign("a\n");
        let cases = [
            String::new(),
            "a\n".to_owned(),
            note.trim_end().to_owned(),
            note.replace(DASH, "- "),
            note.replace("a\n", "a\r\n"),
            note.replace("a\n", "a\u{1b}[2J\n"),
            format!("{note}\n"),
            "a\n\n\u{2014} x AAAA\n".to_owned(),
            format!("{note}{}", "\u{2014} x AAAAAAAA\n".repeat(101)),
            format!("{}\n{note}", "x".repeat(NOTE_MAX)),
        ];
        for case in cases {
            assert_eq!(own.verifier().open(&case), Err(NoteError::Malformed), "{case:?}");
        }
        let key = own.verifier().to_string();
        for bad in ["", "a", "a+b", "a+b+c", &key.replace("example", "exbmple")] {
            assert_eq!(bad.parse::<NoteVerifier>(), Err(NoteError::Key), "{bad}");
        }
        for name in ["", "a b", "a+b", "a\nb"] {
            assert_eq!(NoteVerifier::new(name, [0; 32]), Err(NoteError::Name));
        }
    }
}
