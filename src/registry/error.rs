//! [`RegistryError`]: why something could not be had from a registry, and the three answers that
//! must never stand in for each other ([`Class`]).
//!
//! No variant holds text that a registry wrote or a secret that it was sent: error codes are those
//! of the distribution-spec, texts of the operating system are escaped and capped.

use std::net::IpAddr;

use super::credential_fault::CredentialWhy;
use crate::file_trust::OwnershipFault;
use crate::image::Digest;

/// Which of the three answers an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Every host that was to be asked says that it is not there.
    Absent,
    /// A host could not be asked, or could not answer now: nothing is known.
    Unreachable,
    /// A host answered, and the answer cannot be used: no permission, too large, another content.
    Unable,
}

/// Why something could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// It is not there, all hosts that were to be asked agree.
    NotFound {
        /// What was looked for, `host/path:tag` or `host/path@digest`.
        name: String,
    },
    /// 401 or 403, after the credentials at hand were tried: it may or may not be there.
    Unauthorized {
        /// The host that refused.
        host: String,
        /// Its status.
        status: u16,
        /// What became of the credentials.
        credentials: Presented,
    },
    /// 401 or 403, and a source of the node's own credentials for it failed: with those it may be
    /// there.
    NoCredentials {
        /// The host that refused.
        host: String,
        /// Its status.
        status: u16,
        /// The source that failed: a program's name, or a file.
        source: String,
        /// What went wrong with it.
        why: CredentialWhy,
    },
    /// Of several hosts' failures the most telling one, and another that an operator can mend.
    Beside {
        /// The most telling one: it says which of the three answers this is.
        error: Box<Self>,
        /// The other one.
        beside: Box<Self>,
    },
    /// A host could not be asked.
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        why: Why,
    },
    /// An answer is longer than the limit for its kind.
    TooLarge {
        /// The host that sent it.
        host: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// The bytes that came do not hash to the digest that was asked for.
    DigestMismatch {
        /// The host that sent them.
        host: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// The decision's budget is used up.
    BudgetSpent(Budget),
    /// An answer that is none.
    Malformed {
        /// The host that sent it.
        host: String,
        /// What is wrong with it.
        what: Malformed,
    },
    /// A status that is neither an answer nor a failure of the host.
    Refused {
        /// The host.
        host: String,
        /// Its status.
        status: u16,
        /// The error code of the distribution-spec, when there was one.
        code: Option<&'static str>,
    },
    /// A redirect that is not followed.
    Redirect {
        /// The host that redirected.
        host: String,
        /// Why it is not followed.
        fault: RedirectFault,
    },
    /// A loopback, link-local or metadata address, where the operator did not name that host
    /// (attack E5).
    ForbiddenAddress {
        /// The host as it was to be asked.
        host: String,
        /// The address behind it.
        address: IpAddr,
    },
    /// A token service that must not be used: not HTTPS, or not an address at all.
    Realm {
        /// The registry that named it.
        host: String,
    },
    /// No host is configured that may do this (capabilities in `hosts.toml`).
    NoHost {
        /// The registry's host.
        host: String,
    },
    /// A file of the operator's is not used, because others could change it (attack E4).
    Unsafe(OwnershipFault),
    /// A file of the operator's cannot be used.
    Config {
        /// The file.
        file: String,
        /// The line, when it is known.
        line: Option<usize>,
        /// What is wrong; never a part of the file's content.
        problem: &'static str,
    },
    /// An option cannot be used.
    Options {
        /// The option.
        option: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What became of the credentials at hand when a host refused access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// There were none for the registry, in the request or on the node.
    Nothing,
    /// The host was shown them and did not take them.
    Refused,
    /// They were not shown: the host is a mirror, and nobody said that it may have them (attack
    /// E1).
    NotForMirror {
        /// The registry that they are for.
        registry: String,
    },
    /// They were not shown: the request's are for another registry than the image's.
    ForAnother {
        /// The registry that they are for.
        registry: String,
    },
    /// They were not shown to the host's token service, since nobody said that it may have them
    /// (attack E1).
    NotForTokenService {
        /// The token service.
        realm: String,
    },
}

/// Why a host could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It answered with a status that means "not now": 408, 425, 429, 5xx.
    Status(u16),
    /// No answer within the time for one request.
    Timeout,
    /// The name could not be resolved.
    Name(String),
    /// No connection, or it broke.
    Connection(String),
    /// This node has no files, ports or memory left for one more connection.
    NoMeans(String),
    /// It asked to be left alone (429, or 503 with a time): `Retry-After`, or what is left of it.
    Wait {
        /// The status with which it said so.
        status: u16,
        /// For how long, seconds.
        seconds: u64,
    },
    /// It sends, and too slowly: less than 16 KiB in five seconds.
    Slow,
    /// There was no place for one more request in time.
    Crowded {
        /// The host that keeps the places: the same one, or another.
        by: String,
    },
    /// It took long while other hosts waited, and had to make way for them.
    Recalled,
    /// TLS failed: another certificate than expected, or no TLS at all.
    Tls(TlsFault),
}

/// What is wrong with a host's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// Its certificate is from an authority that this node does not know, or signed by itself.
    Issuer,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is not valid yet; or the node's clock is behind.
    NotYetValid,
    /// Its certificate is for other names.
    Name,
    /// Its certificate is one of an authority (`CA:TRUE`), and none of those that were named.
    Authority,
    /// Its certificate is for other uses than a server's.
    Purpose,
    /// It does not speak TLS.
    NotTls,
    /// Anything else, in the TLS library's words.
    Other(String),
}

/// Which part of the budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Requests of a session.
    Requests,
    /// Bytes of a session.
    Bytes,
    /// The session's deadline.
    Time,
    /// Pages of a referrers list.
    Pages,
    /// Entries of a referrers list.
    Entries,
    /// Bytes that a decision holds at once.
    Held {
        /// The most that it may hold.
        limit: usize,
    },
    /// Time to wait for a turn to hold many bytes: others have all of them.
    Turn,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// What came is no HTTP that can be understood, or its head is too long.
    Http,
    /// A content encoding, though none was asked for: hashes are over plain bytes.
    Encoding,
    /// A list of referrers that is not an image index.
    Referrers,
    /// The next page of a list is on another host, or no address.
    Link,
    /// The next page of a list is one that came before.
    Loop,
    /// The next page of a list is not there.
    NextPage,
    /// A list names something by a digest that is not SHA-256: what it is cannot be known.
    Algorithm,
    /// Status 404 without an error of the distribution-spec: whoever answered, a gateway or a
    /// portal, may be no registry.
    NotFound,
    /// A page, of this type, that is nothing of a registry's: a portal or a proxy may have answered
    /// in its place.
    Page(&'static str),
    /// A token answer without a usable token.
    Token,
    /// 401 without a challenge that can be answered.
    Challenge,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedirectFault {
    /// More than five in a row.
    TooMany,
    /// From HTTPS to HTTP.
    Downgrade,
    /// No address, or one with a user name in it.
    Location,
    /// From a token service: credentials are not carried on.
    Token,
}

impl RegistryError {
    /// Which of the three answers this is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Beside { error, .. } => error.class(),
            Self::NotFound { .. } => Class::Absent,
            Self::Unreachable { .. } | Self::BudgetSpent(Budget::Time) => Class::Unreachable,
            Self::Unauthorized { .. }
            | Self::NoCredentials { .. }
            | Self::TooLarge { .. }
            | Self::DigestMismatch { .. }
            | Self::BudgetSpent(
                Budget::Requests
                | Budget::Bytes
                | Budget::Pages
                | Budget::Entries
                | Budget::Held { .. }
                | Budget::Turn,
            )
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::Redirect { .. }
            | Self::ForbiddenAddress { .. }
            | Self::Realm { .. }
            | Self::NoHost { .. }
            | Self::Unsafe(_)
            | Self::Config { .. }
            | Self::Options { .. } => Class::Unable,
        }
    }

    /// Of the failures of several hosts the one that is told: other content before silence, silence
    /// before the rest, and "not there" only when nobody said anything else.
    pub(super) fn rank(&self) -> u8 {
        if matches!(self, Self::DigestMismatch { .. }) {
            return 3;
        }
        match self.class() {
            Class::Unreachable => 2,
            Class::Unable => 1,
            Class::Absent => 0,
        }
    }

    /// Whether credentials were not shown to a mirror that refused access.
    pub(super) fn is_withheld(&self) -> bool {
        matches!(self, Self::Unauthorized { credentials: Presented::NotForMirror { .. }, .. })
    }

    /// Whether the whole session is over, so that no other host is asked.
    pub(super) fn ends_session(&self) -> bool {
        matches!(
            self,
            Self::BudgetSpent(Budget::Requests | Budget::Bytes | Budget::Time | Budget::Turn)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_unreachable_and_unable_stay_apart() {
        let host = || "r.example".to_owned();
        assert_eq!(RegistryError::NotFound { name: host() }.class(), Class::Absent);
        assert_eq!(
            RegistryError::Unreachable { host: host(), why: Why::Status(503) }.class(),
            Class::Unreachable
        );
        assert_eq!(RegistryError::BudgetSpent(Budget::Time).class(), Class::Unreachable);
        for status in [401, 403] {
            let error = RegistryError::Unauthorized {
                host: host(),
                status,
                credentials: Presented::Nothing,
            };
            assert_eq!(error.class(), Class::Unable);
        }
    }
}
