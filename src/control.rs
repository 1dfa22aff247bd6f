//! The control socket: what `sealgate status`, `sealgate reload`, containerd's image verifier and
//! others say to the running gate.
//!
//! One JSON object and a newline each way, then the connection ends. [`Request`] and [`Status`] are
//! the words, [`serve`] the gate's side, [`ask`] the operator's. Nothing that is asked here makes
//! the gate admit an image that its policies do not.

mod connections;
mod error;
mod lists;
mod node;
mod policy;
mod reload;
mod swept;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::cri::{Reevaluated, Refreshes, Remembered};
use crate::proxy::{self, Listener};

pub use connections::{ConnectionStatus, MostConnections};
pub use error::ControlError;
pub use lists::DenyListStatus;
pub use node::{AuditStatus, NriStatus, SandboxStatus};
pub use policy::PolicyStatus;
pub use reload::{Faults, Reloaded};
pub use swept::SweptPage;

/// Longest request: an image's name and digest have at most some hundred bytes.
const REQUEST_MAX: u64 = 4 << 10;
/// Longest answer that the operator's side reads; a status is under 2 KiB.
const ANSWER_MAX: u64 = 256 << 10;
/// How long one conversation may take: both sides are on this node.
const TALK_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer about an image may take, for which a registry may have to be asked: containerd
/// ends a verifier after 10 s (`per_verifier_timeout`).
const VERIFY_LIMIT: Duration = Duration::from_secs(9);
/// Most conversations at once: as many as a node pulls images, about each of which the image
/// verifier asks, and an operator.
const TALKS_MAX: usize = 128;
/// How long a reload may take to be answered: one that is under way, and this one, each give up on
/// a folder that hangs after ten seconds. Less than the half minute that the unit gives ExecReload.
const RELOAD_LIMIT: Duration = Duration::from_secs(25);
/// How long a fetch of deny lists may take to be answered: half a minute for the fetches, side by
/// side, and the reload after it.
const LISTS_LIMIT: Duration = Duration::from_secs(60);

/// Pause after a failed accept: out of file descriptors does not get better by asking at once.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where operators reach the gate; mode 0600, root alone. Not used when a socket is inherited.
    pub socket: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/sealgate/control.sock") }
    }
}

/// What an operator can ask of the running gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// How it is.
    Status,
    /// Test itself now, and say what that showed.
    Canary,
    /// Forget every verdict, and have registries asked before evidence on disk counts.
    CacheFlush,
    /// Go over everything in the runtime now.
    Sweep,
    /// How far that is, and what the last time found: so many rows, from this one on.
    Swept {
        /// The first row that is wanted.
        from: usize,
    },
    /// Judge as of what the clock says, although something was recorded at a later time.
    ClockLower,
    /// Read the policies and keys again, and say whether they are in force.
    Reload,
    /// The same, and let go what is named, although it is in force.
    ReloadLettingGo {
        /// Folders that may have no policy any more.
        folders: Vec<PathBuf>,
        /// Fetched deny lists of which nothing needs to be in force any more.
        lists: Vec<String>,
    },
    /// Fetch deny lists now, and say how they stand.
    DenyFetch {
        /// The one that is wanted; all where none is named.
        name: Option<String>,
    },
    /// Take this version of a deny list, or a later one, whatever was taken before.
    DenyLower {
        /// The list.
        name: String,
        /// The version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// Decide whether the runtime may bring an image.
    VerifyImage {
        /// Its name, as the runtime was told it.
        name: String,
        /// The digest that the runtime resolved it to.
        digest: String,
    },
}

impl Request {
    /// How long its answer may take.
    const fn patience(&self) -> Duration {
        match self {
            Self::VerifyImage { .. } => VERIFY_LIMIT,
            Self::Reload | Self::ReloadLettingGo { .. } => RELOAD_LIMIT,
            Self::DenyFetch { .. } => LISTS_LIMIT,
            Self::Status
            | Self::Canary
            | Self::CacheFlush
            | Self::Sweep
            | Self::Swept { .. }
            | Self::DenyLower { .. }
            | Self::ClockLower => TALK_LIMIT,
        }
    }
}

/// How the gate is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Whether it is known to enforce.
    #[serde(default)]
    pub enforcing: EnforcingStatus,
    /// Seconds since it became ready.
    pub up_seconds: u64,
    /// The documents in force.
    pub policy: PolicyStatus,
    /// Trust roots and keys that end.
    pub trust: TrustStatus,
    /// What it remembers.
    pub memory: MemoryStatus,
    /// The evidence on disk.
    pub evidence: EvidenceStatus,
    /// The runtime behind it.
    pub runtime: RuntimeStatus,
    /// The image of pods' sandboxes.
    #[serde(default)]
    pub sandbox: SandboxStatus,
    /// The tripwire in the runtime.
    #[serde(default)]
    pub nri: NriStatus,
    /// The connections of its clients.
    #[serde(default)]
    pub connections: ConnectionStatus,
    /// The audit log.
    pub audit: AuditStatus,
    /// The deny lists that are fetched.
    #[serde(default)]
    pub deny_lists: Vec<DenyListStatus>,
}

/// Whether the gate is known to enforce.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnforcingStatus {
    /// Whether nothing speaks against it.
    pub enforcing: bool,
    /// What does, the gravest first.
    pub doubts: Vec<DoubtStatus>,
}

/// Why the gate is not known to enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtStatus {
    /// A fixed word.
    pub reason: String,
    /// What was seen.
    pub seen: String,
    /// Whether the gate itself is broken or gone around, whatever kubelet and policies say.
    pub breach: bool,
}

/// Trust roots and keys that end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStatus {
    /// The roots that are watched, by name.
    pub roots: Vec<String>,
    /// What of them, and of the keys in policies, ends soon or has ended.
    pub warnings: Vec<String>,
}

/// What is remembered, in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Verdicts.
    pub verdicts: usize,
    /// Pieces of evidence.
    pub evidence: usize,
    /// Proven contents.
    pub contents: usize,
}

impl From<Remembered> for MemoryStatus {
    fn from(counts: Remembered) -> Self {
        Self { verdicts: counts.verdicts, evidence: counts.evidence, contents: counts.contents }
    }
}

/// The evidence on disk, and how it is kept fresh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceStatus {
    /// Its folder.
    pub path: String,
    /// Whether the store is open and the last touch of it went well.
    pub healthy: bool,
    /// What last went wrong.
    pub error: Option<String>,
    /// Entries: one for each place in which something was found.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files found broken since the start: as if they were not there.
    pub broken: u64,
    /// Writes that failed since the start.
    pub failed_writes: u64,
    /// Registries asked again since the start.
    pub refreshes: RefreshStatus,
    /// What was judged again since the last change of policy.
    pub rejudged: RejudgeStatus,
}

/// What came of asking registries again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshStatus {
    /// Under way or waiting.
    pub underway: usize,
    /// The registry still shows what admits the image.
    pub confirmed: u64,
    /// The registry has the image and no longer shows what admitted it.
    pub withdrawn: u64,
    /// The registry could not say; everything stayed as it was.
    pub unanswered: u64,
}

/// Remembered images that are judged again after a change of policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejudgeStatus {
    /// Still to be judged.
    pub left: usize,
    /// Admitted again.
    pub admitted: usize,
    /// Not admitted by the evidence on this node; decided on when they are asked for.
    pub left_out: usize,
    /// Milliseconds of judging.
    pub millis: u64,
}

impl From<Refreshes> for RefreshStatus {
    fn from(counts: Refreshes) -> Self {
        let Refreshes { underway, confirmed, withdrawn, unanswered } = counts;
        Self { underway, confirmed, withdrawn, unanswered }
    }
}

impl From<Reevaluated> for RejudgeStatus {
    fn from(progress: Reevaluated) -> Self {
        let Reevaluated { left, admitted, left_out, millis } = progress;
        Self { left, admitted, left_out, millis }
    }
}

/// The runtime behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeStatus {
    /// Its socket.
    pub socket: String,
    /// Its name and version, when it answers.
    pub version: Option<String>,
    /// Why it does not.
    pub error: Option<String>,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Canary`].
    Tested(EnforcingStatus),
    /// To [`Request::Sweep`] and [`Request::Swept`].
    Swept(Box<SweptPage>),
    /// To [`Request::CacheFlush`]: what was forgotten.
    Flushed(MemoryStatus),
    /// To [`Request::ClockLower`].
    ClockLowered {
        /// As of when was judged before.
        from: String,
        /// As of when is judged now.
        to: String,
    },
    /// To [`Request::DenyFetch`] and [`Request::DenyLower`]: how the lists stand.
    DenyLists(Vec<DenyListStatus>),
    /// To a reload: what is in force now.
    Reloaded(Box<Reloaded>),
    /// To a reload: the files are faulty, and what was in force before still is.
    Faulty(Faults),
    /// To [`Request::VerifyImage`]: it may.
    MayBring {
        /// The verdict of the record, `observed`, or `forwarded` of a pull that is under way.
        verdict: String,
        /// Why, with what is no proof named as that.
        message: String,
    },
    /// To [`Request::VerifyImage`]: it may not.
    MayNotBring {
        /// The reason code.
        code: String,
        /// The reason.
        message: String,
    },
    /// Nothing is there by the name that is asked for, or it would break a rule; why.
    Refused(String),
    /// The request was understood and could not be done; why.
    NotDone(String),
    /// The request was not understood.
    Unknown(String),
}

/// Answers requests on `listener` for ever, of processes of these users alone.
///
/// Many conversations at once: the image verifier may ask about each image that a node pulls.
pub async fn serve<F, A>(listener: Listener, allowed_uids: &[u32], answer: F)
where
    F: Fn(Request) -> A,
    A: Future<Output = Answer>,
{
    let mut talks = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if talks.len() < TALKS_MAX => match accepted {
                Ok(stream) if proxy::admits(&stream, allowed_uids) => {
                    talks.push(talk(stream, &answer));
                }
                Ok(_) => {
                    tracing::warn!(
                        "a process without the right to it connected to the control socket"
                    )
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket failed; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = talks.next(), if !talks.is_empty() => {
                if ended.is_err() {
                    tracing::debug!("a control conversation broke off or took too long");
                }
            }
        }
    }
}

async fn talk<F, A>(stream: UnixStream, answer: &F) -> io::Result<()>
where
    F: Fn(Request) -> A,
    A: Future<Output = Answer>,
{
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut asked = BufReader::new(read.take(REQUEST_MAX));
    tokio::time::timeout(TALK_LIMIT, asked.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Request>(&line) {
        Ok(request) => tokio::time::timeout(request.patience(), answer(request)).await?,
        Err(error) => Answer::Unknown(error.to_string()),
    };
    let mut bytes = serde_json::to_vec(&answer).unwrap_or_default();
    bytes.push(b'\n');
    tokio::time::timeout(TALK_LIMIT, write.write_all(&bytes)).await?
}

/// Asks the gate that listens on `socket`.
///
/// # Errors
/// [`ControlError`] when it could not be asked.
pub async fn ask(socket: &Path, request: Request) -> Result<Answer, ControlError> {
    let limit = request.patience();
    tokio::time::timeout(limit, converse(socket, request))
        .await
        .unwrap_or(Err(ControlError::Slow(limit)))
}

async fn converse(socket: &Path, request: Request) -> Result<Answer, ControlError> {
    let unanswered = |error| ControlError::Connect { socket: socket.to_owned(), error };
    let stream = UnixStream::connect(socket).await.map_err(unanswered)?;
    let (read, mut write) = stream.into_split();
    let mut bytes = serde_json::to_vec(&request).map_err(|_| ControlError::Malformed)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await.map_err(ControlError::Talk)?;
    let mut line = String::new();
    BufReader::new(read.take(ANSWER_MAX)).read_line(&mut line).await.map_err(ControlError::Talk)?;
    if line.is_empty() {
        return Err(ControlError::Unanswered);
    }
    serde_json::from_str(&line).map_err(|_| ControlError::Malformed)
}
