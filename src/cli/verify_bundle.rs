//! `sealgate verify-bundle FILE_OR_DIGEST`: a bundle in hand, judged without a policy. Its
//! arguments are those of the client protocol of sigstore-conformance (`docs/cli_protocol.md`
//! there).
//!
//! Reads no configuration and asks nobody.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::terminal::command_error::CommandError;
use super::terminal::screen::{Exit, Screen, Tone, plain, shown};
use crate::daemon::CLOCK;
use crate::image::Digest;
use crate::loader;
use crate::verify::{
    About, BUNDLE_MAX, Budget, Certificate, Claim, Demands, LogEntry, ProvenTime, PublicKey,
    ROOT_MAX, Signed, Signer, TimeSource, Trust, TrustRoot, Untrusted,
};

/// Longest artifact that is read, in bytes: it is held in memory, for some signatures cover the
/// bytes themselves.
const ARTIFACT_MAX: u64 = 1 << 30;
/// Longest key file, in bytes; one key is far shorter.
const KEY_MAX: u64 = 64 * 1024;

/// What to judge, by what, for whom.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Judge by Sigstore's staging instance instead of its public-good one, where no trusted root
    /// is given.
    #[arg(long)]
    staging: bool,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Who must have signed: the one subject alternative name of the certificate, exactly.
    #[arg(
        long,
        value_name = "IDENTITY",
        requires = "certificate_oidc_issuer",
        required_unless_present = "key",
        conflicts_with = "key"
    )]
    certificate_identity: Option<String>,
    /// Who must have vouched for that identity: the OIDC issuer, exactly.
    #[arg(long, value_name = "URL", requires = "certificate_identity", conflicts_with = "key")]
    certificate_oidc_issuer: Option<String>,
    /// The public key that must have signed, PEM; the log entry must be proven all the same.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// What to trust, a `trusted_root.json`; the public-good instance's as it was shipped when left
    /// out.
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// What was signed: a file, or its digest (`sha256:` and 64 hexadecimal digits, where no file
    /// has that name).
    #[arg(value_name = "FILE_OR_DIGEST")]
    artifact: String,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    verdict: &'static str,
    message: String,
    digest: &'a str,
    signer: Option<SignerAnswer<'a>>,
    predicate_type: Option<&'a str>,
    times: Vec<TimeAnswer<'a>>,
    entries: Vec<EntryAnswer<'a>>,
}

#[derive(Serialize)]
struct SignerAnswer<'a> {
    key: Option<String>,
    identity: Option<&'a str>,
    identity_kind: Option<&'static str>,
    issuer: Option<&'a str>,
    extensions: std::collections::BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct TimeAnswer<'a> {
    time: String,
    log: Option<&'a str>,
    authority: Option<&'a str>,
}

#[derive(Serialize)]
struct EntryAnswer<'a> {
    log: &'a str,
    index: Option<u64>,
}

/// Why there is no proof.
enum Failure {
    /// It is not what it has to be.
    Refused(String),
    /// A file could not be read, or is not what the option says.
    File(CommandError),
}

/// What was signed.
struct Artifact {
    digest: Digest,
    bytes: Option<Vec<u8>>,
}

/// Judges and prints.
pub(super) fn run(options: &Options, screen: &mut Screen) -> Exit {
    let artifact = match artifact(&options.artifact) {
        Ok(artifact) => artifact,
        Err(error) => return error.say(screen),
    };
    let outcome = judge(options, &artifact);
    let digest = artifact.digest.as_str();
    if screen.is_json() {
        screen.json(&answer(digest, &outcome));
    } else {
        print(digest, &outcome, screen);
    }
    match outcome {
        Ok(_) => Exit::Done,
        Err(Failure::Refused(_)) => Exit::Refused,
        Err(Failure::File(error)) => error.exit(),
    }
}

fn judge(options: &Options, artifact: &Artifact) -> Result<Signed, Failure> {
    let root = root(options).map_err(Failure::File)?;
    let key = options.key.as_deref().map(key).transpose().map_err(Failure::File)?;
    let limit = u64::try_from(BUNDLE_MAX).unwrap_or(u64::MAX);
    let bundle = read(&options.bundle, limit).map_err(Failure::File)?;
    let refused = |fault| Failure::Refused(format!("{}: {fault}", shown(&options.bundle)));
    let untrusted = Untrusted::bundle(&bundle).map_err(refused)?;
    // Whatever it says of the artifact: what a statement is for is not asked here.
    let types: Vec<String> = untrusted.predicate_type().map(str::to_owned).into_iter().collect();
    let claim = if types.is_empty() { Claim::ImageSignature } else { Claim::Attestation(&types) };
    let about = About { digest: &artifact.digest, artifact: artifact.bytes.as_deref(), claim };
    let (trust, demands) = match &key {
        Some(key) => {
            (Trust::Key { key, root: Some(&root) }, Demands { sct: false, ..Demands::KEYLESS })
        }
        None => (Trust::Keyless { root: &root }, Demands::KEYLESS),
    };
    let signed = untrusted
        .prove(&about, &trust, demands, CLOCK.now(), &mut Budget::default())
        .map_err(refused)?;
    if let Signer::Certificate(certificate) = signed.signer() {
        wanted(options, certificate).map_err(Failure::Refused)?;
    }
    Ok(signed)
}

/// Exactly the wanted name and issuer, of whichever kind the name is; a proof has one name alone.
fn wanted(options: &Options, certificate: &Certificate) -> Result<(), String> {
    let names: Vec<_> = certificate.sans().iter().map(|san| san.as_str()).collect();
    let identity = options.certificate_identity.as_deref().unwrap_or_default();
    if names != [identity] {
        return Err(format!("signed by {}, expected {identity}", names.join(", ")));
    }
    let issuer = certificate.issuer();
    if issuer.is_none() || issuer != options.certificate_oidc_issuer.as_deref() {
        let expected = options.certificate_oidc_issuer.as_deref().unwrap_or_default();
        return Err(format!(
            "identity vouched for by {}, expected {expected}",
            issuer.unwrap_or("nobody")
        ));
    }
    Ok(())
}

fn root(options: &Options) -> Result<TrustRoot, CommandError> {
    if let Some(file) = &options.trusted_root {
        let json = read(file, u64::try_from(ROOT_MAX).unwrap_or(u64::MAX))?;
        let faulty = |error| CommandError::faulty(format!("{}: {error}", shown(file)));
        return TrustRoot::parse(&json).map_err(faulty);
    }
    let name = if options.staging { "staging" } else { "public-good" };
    let shipped =
        loader::shipped(name).ok_or_else(|| format!("no trust root {name} is shipped"))?;
    TrustRoot::parse(shipped.trusted_root.as_bytes())
        .map_err(|error| CommandError::faulty(format!("trust root {name}: {error}")))
}

fn key(file: &Path) -> Result<PublicKey, CommandError> {
    PublicKey::parse_pem(&read(file, KEY_MAX)?)
        .map_err(|error| CommandError::faulty(format!("{}: {error}", shown(file))))
}

fn artifact(text: &str) -> Result<Artifact, CommandError> {
    let digest =
        Digest::parse(&text.to_ascii_lowercase()).ok().filter(|_| text.starts_with("sha256:"));
    if let Some(digest) = digest
        && !Path::new(text).exists()
    {
        return Ok(Artifact { digest, bytes: None });
    }
    let bytes = read(Path::new(text), ARTIFACT_MAX)?;
    Ok(Artifact { digest: Digest::of(&bytes), bytes: Some(bytes) })
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, CommandError> {
    let cannot = |error| CommandError::unread(path, &error);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(cannot)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        return Ok(bytes);
    }
    Err(CommandError::faulty(format!("{}: larger than {limit} bytes", shown(path))))
}

fn print(digest: &str, outcome: &Result<Signed, Failure>, screen: &mut Screen) {
    let signed = match outcome {
        Ok(signed) => signed,
        Err(failure) => {
            let (word, message) = told(failure);
            let word = screen.tone(Tone::Bad, word);
            screen.line(&format!("{word}  {digest}"));
            screen.line(&format!("  {}", plain(message)));
            return;
        }
    };
    let verified = screen.tone(Tone::Good, "verified");
    screen.line(&format!("{verified}  {digest}"));
    match signed.signer() {
        Signer::Key(id) => screen.line(&format!("  by the key {id}")),
        Signer::Certificate(certificate) => {
            for san in certificate.sans() {
                screen.line(&format!("  by {} ({})", plain(san.as_str()), san.kind()));
            }
            screen.line(&format!("  issuer {}", plain(certificate.issuer().unwrap_or("none"))));
            for (extension, value) in certificate.extensions() {
                screen.line(&format!("  {} {}", extension.name(), plain(value)));
            }
        }
    }
    if let Some(statement) = signed.statement() {
        screen.line(&format!("  says {}", plain(statement.predicate_type())));
    }
    for ProvenTime { time, by } in signed.times() {
        let (kind, name) = match by {
            TimeSource::Log(name) => ("log", name),
            TimeSource::Authority(name) => ("timestamp authority", name),
        };
        screen.line(&format!("  at {time} by the {kind} {}", plain(name)));
    }
    for LogEntry { log, index } in signed.entries() {
        let index = index.map(|index| format!(", entry {index}")).unwrap_or_default();
        screen.line(&format!("  in the log {}{index}", plain(log)));
    }
}

fn told(failure: &Failure) -> (&'static str, &str) {
    match failure {
        Failure::Refused(message) => ("refused", message),
        Failure::File(error) => ("unable", error.why()),
    }
}

fn answer<'a>(digest: &'a str, outcome: &'a Result<Signed, Failure>) -> Answer<'a> {
    let signed = outcome.as_ref().ok();
    let (verdict, message) = outcome.as_ref().err().map_or(("verified", ""), told);
    let times = signed.into_iter().flat_map(Signed::times).map(|proven| {
        let (log, authority) = match &proven.by {
            TimeSource::Log(name) => (Some(name.as_str()), None),
            TimeSource::Authority(name) => (None, Some(name.as_str())),
        };
        TimeAnswer { time: proven.time.to_string(), log, authority }
    });
    let entries = signed.into_iter().flat_map(Signed::entries);
    Answer {
        verdict,
        message: message.to_owned(),
        digest,
        signer: signed.map(|signed| signer(signed.signer())),
        predicate_type: signed
            .and_then(Signed::statement)
            .map(|statement| statement.predicate_type()),
        times: times.collect(),
        entries: entries.map(|entry| EntryAnswer { log: &entry.log, index: entry.index }).collect(),
    }
}

fn signer(signer: &Signer) -> SignerAnswer<'_> {
    let (key, certificate) = match signer {
        Signer::Key(id) => (Some(id.to_string()), None),
        Signer::Certificate(certificate) => (None, Some(certificate)),
    };
    let san = certificate.and_then(|certificate| certificate.sans().first());
    let extensions = certificate.into_iter().flat_map(|certificate| certificate.extensions());
    SignerAnswer {
        key,
        identity: san.map(|san| san.as_str()),
        identity_kind: san.map(|san| san.kind()),
        issuer: certificate.and_then(|certificate| certificate.issuer()),
        extensions: extensions.map(|(extension, value)| (extension.name(), value)).collect(),
    }
}
