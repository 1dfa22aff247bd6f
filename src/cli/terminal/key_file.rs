//! [`fingerprint`]: the fingerprint of a key or a certificate, as it is written on the command line
//! or from the file that is named there.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use x509_cert::der::Document as Der;

use super::command_error::CommandError;
use super::screen::shown;
use crate::policy::Fingerprint;
use crate::verify::PublicKey;

/// Most bytes of a key or certificate file: longer than any that is one.
const FILE_MAX: u64 = 32 << 10;
/// With what each block of a PEM file begins.
const PEM_BEGIN: &str = "-----BEGIN ";

/// The fingerprint that is written here, or that of what the file of this name holds.
///
/// # Errors
/// When it is neither.
pub(in crate::cli) fn fingerprint(
    text: &str,
    of: impl FnOnce(&[u8]) -> Result<[u8; 32], String>,
) -> Result<Fingerprint, CommandError> {
    if let Some(fingerprint) = Fingerprint::parse(text) {
        return Ok(fingerprint);
    }
    let faulty = |why: String| CommandError::faulty(format!("{text}: {why}"));
    let bytes = read(Path::new(text))?;
    of(&bytes).map(Fingerprint::from).map_err(faulty)
}

/// The same of a key or of a certificate, whichever the file holds.
///
/// # Errors
/// When it is neither.
pub(in crate::cli) fn of_signer(text: &str) -> Result<Fingerprint, CommandError> {
    fingerprint(text, |file| of_certificate(file).or_else(|_| of_key(file)))
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let unread = |error: std::io::Error| CommandError::unread(path, &error);
    let file = File::open(path)
        .map_err(|error| unread(error).after("this is no fingerprint, and no file either:"))?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    let is_short = u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_MAX);
    let too_large = || format!("{}: larger than {FILE_MAX} bytes", shown(path));
    if is_short { Ok(bytes) } else { Err(CommandError::faulty(too_large())) }
}

/// Of a public key in PEM.
///
/// # Errors
/// What is wrong with it.
pub(in crate::cli) fn of_key(file: &[u8]) -> Result<[u8; 32], String> {
    let key = PublicKey::parse_pem(file).map_err(|error| error.to_string())?;
    Ok(*key.id().bytes())
}

/// Of one certificate in PEM.
///
/// # Errors
/// What is wrong with it.
pub(in crate::cli) fn of_certificate(file: &[u8]) -> Result<[u8; 32], String> {
    let text = str::from_utf8(file).map_err(|_| "not PEM".to_owned())?;
    let blocks = text.matches(PEM_BEGIN).count();
    if blocks != 1 {
        return Err(format!("one certificate is expected, and the file has {blocks} PEM blocks"));
    }
    let begin = text.find(PEM_BEGIN).and_then(|at| text.get(at..)).unwrap_or_default();
    let (label, der) = Der::from_pem(begin).map_err(|error| format!("not PEM: {error}"))?;
    if label != "CERTIFICATE" {
        return Err(format!("a certificate is expected, and the file has a {label}"));
    }
    Ok(Sha256::digest(der.as_bytes()).into())
}
