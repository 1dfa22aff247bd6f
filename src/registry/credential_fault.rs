//! [`CredentialFault`]: why a source of the node's own credentials gave none. Never with a word
//! that a program or a file said: those may hold secrets (attack E6).

use std::fmt;

use crate::errno::Words;
use crate::file_trust::OwnershipFault;
use crate::registry::printable::printable;

/// A source of credentials that failed: a credential helper, a credential provider plugin, or a
/// file that names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFault {
    /// The program's name, or the file.
    pub source: String,
    /// What went wrong.
    pub why: CredentialWhy,
}

/// What went wrong with a source of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialWhy {
    /// It is not the name of a program: a slash, two dots, or other characters than names have
    /// (attack E2).
    Name,
    /// It is in none of the configured folders.
    Missing,
    /// Others than root could change it (attack E4).
    Unsafe(OwnershipFault),
    /// The system did not start it.
    Start(std::io::ErrorKind),
    /// It did not end in time and was killed; seconds.
    Time(u64),
    /// It had not answered when half of the decision's time was gone; it goes on, and the next
    /// decision may have its answer.
    Slow,
    /// It ended with this code; none for a signal.
    Exit(Option<i32>),
    /// It wrote more than the limit, bytes.
    Long(usize),
    /// What it wrote is not the answer that the protocol asks for.
    Answer,
    /// It needs the token of a pod's service account, which the gate does not have.
    ServiceAccount,
    /// A file of the operator's cannot be used.
    File {
        /// The line, when it is known.
        line: Option<usize>,
        /// What is wrong; never a part of the file's content.
        problem: &'static str,
    },
}

impl CredentialFault {
    pub(in crate::registry) fn new(source: impl Into<String>, why: CredentialWhy) -> Self {
        Self { source: printable(&source.into()), why }
    }
}

impl fmt::Display for CredentialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.why)
    }
}

impl fmt::Display for CredentialWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("is not the name of a program"),
            Self::Missing => f.write_str("is in none of the configured folders"),
            Self::Unsafe(fault) => write!(f, "is not used: {fault}"),
            Self::Start(kind) => write!(f, "could not be started: {}", Words(*kind)),
            Self::Time(seconds) => write!(f, "did not end within {seconds} s and was killed"),
            Self::Slow => f.write_str("has not answered yet"),
            Self::Exit(Some(code)) => {
                write!(f, "ended with code {code}; run it by hand to see what it says")
            }
            Self::Exit(None) => f.write_str("was ended by a signal"),
            Self::Long(limit) => write!(f, "wrote more than {limit} bytes and was killed"),
            Self::Answer => f.write_str("did not answer as its protocol says"),
            Self::ServiceAccount => {
                f.write_str("needs a service account token, which the gate does not have")
            }
            Self::File { line: None, problem } => f.write_str(problem),
            Self::File { line: Some(line), problem } => write!(f, "line {line}: {problem}"),
        }
    }
}

impl std::error::Error for CredentialFault {}
