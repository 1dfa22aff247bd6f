//! [`Fault`]: why the gate is not known to enforce, in fixed words; [`Doubt`]: one of them with what
//! was seen.

/// Why the gate is not known to enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A pull of the reserved image was answered as if it had been made.
    Admitted,
    /// Whatever answers on the socket's path, this gate did not see the pull.
    Socket,
    /// A good signature was not proven, or a missing one was not missed.
    Judge,
    /// No image has to prove anything.
    AdmitsEverything,
    /// A kubelet is told to use another socket.
    KubeletElsewhere,
    /// What the kubelet is told cannot be found out.
    KubeletUnknown,
    /// No kubelet has called for a minute.
    NoKubelet,
    /// The gate has not tested itself in time.
    Untested,
}

/// A fault, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Which.
    pub fault: Fault,
    /// What was seen, in words for people.
    pub seen: String,
}

impl Fault {
    /// All of them, the gravest first.
    pub const ALL: [Self; 8] = [
        Self::Admitted,
        Self::Socket,
        Self::Judge,
        Self::AdmitsEverything,
        Self::KubeletElsewhere,
        Self::KubeletUnknown,
        Self::NoKubelet,
        Self::Untested,
    ];

    /// The word that metrics, records and people use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Socket => "socket",
            Self::Judge => "judge",
            Self::AdmitsEverything => "admits-everything",
            Self::KubeletElsewhere => "kubelet-elsewhere",
            Self::KubeletUnknown => "kubelet-unknown",
            Self::NoKubelet => "no-kubelet",
            Self::Untested => "untested",
        }
    }

    /// Whether the gate itself is broken or gone around, whatever the kubelet and the policies say.
    #[must_use]
    pub const fn is_breach(self) -> bool {
        matches!(self, Self::Admitted | Self::Socket | Self::Judge)
    }
}

impl Doubt {
    /// A fault with what was seen.
    #[must_use]
    pub fn new(fault: Fault, seen: impl Into<String>) -> Self {
        Self { fault, seen: seen.into() }
    }
}
