//! [`TABLE`]: what a gate answers to each fault at each step.
//!
//! | letter | answer | at a step of resolving | at a step of evidence |
//! |---|---|---|---|
//! | `+` | admitted | the fault does no harm, or another place has what is needed | |
//! | `A` | absent | there is no such image | there is no signature |
//! | `U` | unreachable | nothing is known: the host could not be asked, or cannot answer now | |
//! | `X` | unable | it answered, and the answer cannot be used | |
//! | `R` | refused | what came is no image | the signature is there and does not count |
//! | `N` | refused | an image came, and it has no signature | |
//! | `.` | | the fault cannot be there, or is the same as in another column | |

use super::faults::{self, Fault};
use super::serve::Role;

/// Where in a decision the fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The image's tag.
    Tag,
    /// The image by its digest, for a signature over its bytes.
    Dig,
    /// The token service.
    Tok,
    /// The list of referrers.
    Ref,
    /// Its second page, on which the signature is.
    Re2,
    /// The list under the fallback tag.
    Fal,
    /// The bundle's manifest.
    Bma,
    /// The bundle.
    Blo,
    /// The older form's manifest, under the tag `.sig`.
    Sig,
    /// The older form's payload.
    Pay,
    /// An attestation of the older form, under the tag `.att`.
    Att,
    /// Another host, to which the registry redirects for the bundle.
    Tar,
    /// A mirror, everything on it; the registry behind it is a good one.
    Mir,
    /// The image's tag at a registry behind a mirror that does not have it.
    Ups,
}

/// What a gate answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Admitted,
    Absent,
    Unreachable,
    Unable,
    Refused,
    Unsigned,
    /// A signature is there and past a limit of what is read.
    Untold,
}

/// What is on record of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// `admitted`, `refused`, `unable`, `unreachable`.
    pub verdict: &'static str,
    /// The reason's code.
    pub code: &'static str,
}

/// Every fault and its answer, step by step.
const TABLE: &str = "
                  tag dig tok ref re2 fal bma blo sig pay att tar mir ups
refused            U   U   U   U   U   U   U   U   U   U   U   U   +   U
closed             U   U   U   U   U   U   U   U   U   U   U   U   +   U
silent             U   U   U   U   U   U   U   U   U   U   U   U   +   U
hangs-in-head      U   U   U   U   U   U   U   U   U   U   U   U   +   U
hangs-in-body      U   U   U   U   U   U   U   U   U   U   U   U   +   U
slow-head          U   U   U   U   U   U   U   U   U   U   U   U   +   U
slow-body          U   U   U   U   U   U   U   U   U   U   U   U   +   U
ends-early         U   U   U   U   U   U   U   U   U   U   U   U   +   U
ends-in-head       U   U   U   U   U   U   U   U   U   U   U   U   +   U
length-short       R   X   X   X   X   X   X   X   X   X   X   X   R   R
length-long        U   U   U   U   U   U   U   X   U   X   U   X   +   U
length-negative    X   X   X   X   X   X   X   X   X   X   X   X   +   X
length-twice       X   X   X   X   X   X   X   X   X   X   X   X   +   X
chunk-broken       X   X   X   X   X   X   X   X   X   X   X   X   +   X
chunk-overflow     X   X   X   X   X   X   X   X   X   X   X   X   +   X
chunk-extension    X   X   X   X   X   X   X   X   X   X   X   X   +   X
chunk-trailers     X   X   X   X   X   X   X   X   X   X   X   X   +   X
endless-body       X   X   X   X   X   X   X   X   X   X   X   X   +   X
endless-head       X   X   X   X   X   X   X   X   X   X   X   X   +   X
endless-interim    U   U   U   U   U   U   U   U   U   U   U   U   +   U
huge-header        X   X   X   X   X   X   X   X   X   X   X   X   +   X
many-headers       X   X   X   X   X   X   X   X   X   X   X   X   +   X
no-http            X   X   X   X   X   X   X   X   X   X   X   X   +   X
self-signed        U   .   .   .   .   .   .   .   .   .   .   U   +   U
expired            U   .   .   .   .   .   .   .   .   .   .   U   +   U
other-name         U   .   .   .   .   .   .   .   .   .   .   U   +   U
no-tls             U   .   .   .   .   .   .   .   .   .   .   U   +   U
h2-reset           U   .   .   .   .   .   .   .   .   .   .   .   +   U
h2-goaway          U   .   .   .   .   .   .   .   .   .   .   .   +   U
h2-continuation    U   .   .   .   .   .   .   .   .   .   .   .   +   U
h2-pings           U   .   .   .   .   .   .   .   .   .   .   .   +   U
h2-settings        U   .   .   .   .   .   .   .   .   .   .   .   +   U
204                X   X   X   X   X   X   X   X   X   X   X   X   +   X
206                X   X   X   X   X   X   X   X   X   X   X   X   +   X
304                X   X   X   X   X   X   X   X   X   X   X   X   +   X
400                X   X   X   A   X   X   X   X   X   X   X   X   +   X
401-loop           X   X   X   X   X   X   X   X   X   X   X   X   +   X
401-bare           X   X   X   X   X   X   X   X   X   X   X   X   +   X
403                X   X   X   X   X   X   X   X   X   X   X   X   +   X
404                A   X   X   A   X   A   X   X   A   X   A   X   +   A
404-web-page       X   X   X   A   X   X   X   X   X   X   X   X   +   X
404-denied         X   X   X   X   X   X   X   X   X   X   X   X   +   X
418                X   X   X   X   X   X   X   X   X   X   X   X   +   X
429                U   U   U   U   U   U   U   U   U   U   U   U   +   U
429-second         U   U   U   U   U   U   U   U   U   U   U   U   +   U
429-year           U   U   U   U   U   U   U   U   U   U   U   U   +   U
429-words          U   U   U   U   U   U   U   U   U   U   U   U   +   U
429-then-good      +   +   +   +   +   +   +   +   +   +   +   +   +   +
500                U   U   U   U   U   U   U   U   U   U   U   U   +   U
500-then-good      +   +   +   +   +   +   +   +   +   +   +   +   +   +
503                U   U   U   U   U   U   U   U   U   U   U   U   +   U
redirect-endless   X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-loop      X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-nowhere   X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-user      X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-file      X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-loopback  X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-name      X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-metadata  X   X   X   X   X   X   X   X   X   X   X   X   +   X
redirect-elsewhere +   +   X   +   +   +   +   +   +   +   +   +   +   +
redirect-plain     X   .   X   X   X   X   .   .   X   .   X   .   .   X
redirect-downgrade .   +   .   .   .   .   +   +   .   +   .   .   +   .
realm-plain        X   X   .   X   X   X   X   X   X   X   X   X   +   X
realm-elsewhere    U   U   .   U   U   U   U   U   U   U   U   X   +   U
realm-loopback     X   X   .   X   X   X   X   X   X   X   X   X   +   X
realm-metadata     X   X   .   X   X   X   X   X   X   X   X   X   +   X
realm-file         X   X   .   X   X   X   X   X   X   X   X   X   +   X
page-elsewhere     .   .   .   X   X   .   .   .   .   .   .   .   .   .
page-loop          .   .   .   X   X   .   .   .   .   .   .   .   .   .
pages-endless      .   .   .   X   X   .   .   .   .   .   .   .   .   .
pages-full         .   .   .   X   X   .   .   .   .   .   .   .   .   .
many-entries       X   X   X   X   X   X   X   X   X   X   X   X   +   X
long-list          R   X   X   X   X   X   X   X   X   X   X   X   R   R
empty              X   X   X   X   X   X   X   X   X   X   X   X   +   X
web-page           X   X   X   A   X   X   X   X   X   X   X   X   +   X
other-type         +   +   +   A   X   +   +   +   +   +   +   +   +   +
no-type            +   +   +   A   X   +   +   +   +   +   +   +   +   +
other-bytes        N   X   +   +   +   +   X   X   +   X   +   X   N   N
second-differs     +   +   +   +   +   +   +   +   +   +   +   +   +   +
digest-lies        +   +   +   +   +   +   +   +   +   +   +   +   +   +
gzip-bomb          X   X   X   X   X   X   X   X   X   X   X   X   +   X
gzip-bomb-said     X   X   X   X   X   X   X   X   X   X   X   X   +   X
other-encoding     X   X   X   X   X   X   X   X   X   X   X   X   +   X
deep               R   .   +   +   +   +   X   T   X   T   X   .   .   R
annotations        R   .   .   +   +   X   X   .   X   .   X   .   .   R
dual               R   .   .   +   +   X   X   .   X   .   X   .   .   R
two-spellings      R   .   .   +   +   X   X   .   X   .   X   .   .   R
twice              R   .   X   X   X   X   X   R   X   R   X   .   .   R
token-huge         .   .   X   .   .   .   .   .   .   .   .   .   .   .
token-long         .   .   +   .   .   .   .   .   .   .   .   .   .   .
token-newline      .   .   X   .   .   .   .   .   .   .   .   .   .   .
token-for-ever     .   .   +   .   .   .   .   .   .   .   .   .   .   .
token-over         .   .   +   .   .   .   .   .   .   .   .   .   .   .
token-empty        .   .   X   .   .   .   .   .   .   .   .   .   .   .
token-number       .   .   X   .   .   .   .   .   .   .   .   .   .   .
";

/// Every cell of the table: the fault, the step, and the answer.
pub fn cells() -> Vec<(&'static Fault, Step, Answer)> {
    let mut lines = TABLE.lines().filter(|line| !line.is_empty());
    let head: Vec<&str> = lines.next().expect("a head").split_whitespace().collect();
    assert_eq!(head, Step::ALL.map(Step::name), "the table's head");
    let mut cells = Vec::new();
    let mut named = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let fault = faults::fault(words.next().expect("a fault"));
        let letters: Vec<&str> = words.collect();
        assert_eq!(letters.len(), head.len(), "{}", fault.name);
        named.push(fault.name);
        let answers = Step::ALL.into_iter().zip(letters).filter(|(_, letter)| *letter != ".");
        cells.extend(answers.map(|(step, letter)| (fault, step, Answer::of(letter))));
    }
    let all: Vec<&str> = faults::FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(named, all, "the table has every fault once, in their order");
    cells
}

impl Step {
    /// All steps, in the table's order.
    pub const ALL: [Self; 14] = [
        Self::Tag,
        Self::Dig,
        Self::Tok,
        Self::Ref,
        Self::Re2,
        Self::Fal,
        Self::Bma,
        Self::Blo,
        Self::Sig,
        Self::Pay,
        Self::Att,
        Self::Tar,
        Self::Mir,
        Self::Ups,
    ];

    /// Three letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Dig => "dig",
            Self::Tok => "tok",
            Self::Ref => "ref",
            Self::Re2 => "re2",
            Self::Fal => "fal",
            Self::Bma => "bma",
            Self::Blo => "blo",
            Self::Sig => "sig",
            Self::Pay => "pay",
            Self::Att => "att",
            Self::Tar => "tar",
            Self::Mir => "mir",
            Self::Ups => "ups",
        }
    }

    /// Whose fault it is.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Tar => Role::Target,
            Self::Mir => Role::Mirror,
            _ => Role::Registry,
        }
    }

    pub(crate) fn has_mirror(self) -> bool {
        matches!(self, Self::Mir | Self::Ups)
    }

    /// Whether nothing comes before it on the same host.
    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::Tag | Self::Tar | Self::Mir | Self::Ups)
    }

    /// Whether the image itself is looked for at this step.
    fn resolves(self) -> bool {
        matches!(self, Self::Tag | Self::Tok | Self::Mir | Self::Ups)
    }
}

impl Answer {
    fn of(letter: &str) -> Self {
        match letter {
            "+" => Self::Admitted,
            "A" => Self::Absent,
            "U" => Self::Unreachable,
            "X" => Self::Unable,
            "R" => Self::Refused,
            "N" => Self::Unsigned,
            "T" => Self::Untold,
            other => panic!("no such answer: {other}"),
        }
    }

    /// Its letter in the table.
    pub fn letter(self) -> char {
        match self {
            Self::Admitted => '+',
            Self::Absent => 'A',
            Self::Unreachable => 'U',
            Self::Unable => 'X',
            Self::Refused => 'R',
            Self::Unsigned => 'N',
            Self::Untold => 'T',
        }
    }

    /// What is on record of it at a step.
    pub fn at(self, step: Step) -> Expected {
        let (verdict, code) = match (self, step.resolves()) {
            (Self::Admitted, _) => ("admitted", "satisfied"),
            (Self::Absent, true) => ("unable", "not-found"),
            (Self::Absent, false) | (Self::Unsigned, _) => ("refused", "unsigned"),
            (Self::Unreachable, true) => ("unreachable", "registry-unreachable"),
            (Self::Unreachable, false) => ("unreachable", "signatures-unreachable"),
            (Self::Unable, true) => ("unable", "registry-unable"),
            (Self::Unable, false) => ("unable", "signatures-unable"),
            (Self::Untold, _) => ("unable", "not-told"),
            (Self::Refused, true) => ("refused", "bad-manifest"),
            (Self::Refused, false) => ("refused", "no-signature-counts"),
        };
        Expected { verdict, code }
    }
}
