//! [`Swept`]: what a sweep says of one container or image; [`SweepReport`]: of all.

use serde::{Deserialize, Serialize};

/// What a container or an image on the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SweepVerdict {
    /// It was made since the gate came, and the gate has not made it.
    WentAround,
    /// It would not be let in by the policies in force now.
    WouldBeRefused,
    /// What is on this node does not tell, and its registry was not asked or did not answer.
    CannotBeTold,
    /// It was there before the gate came, and would be let in now.
    StartedBefore,
    /// The gate made it, and would again.
    Admitted,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SweptKind {
    /// A container.
    Container,
    /// A pod's sandbox: whether the gate decided on its image is all that is told of it.
    Sandbox,
    /// An image, judged under every name that it has, for a pod of no namespace.
    Image,
}

/// One container or image. Texts are the runtime's and a client's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// What it is.
    pub standing: SweepVerdict,
    /// Which of them.
    pub kind: SweptKind,
    /// The reason code of what would be refused, or cannot be told.
    #[serde(default)]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default)]
    pub message: Option<String>,
    /// containerd's namespace.
    pub namespace: String,
    /// The container's id, or the image's.
    pub id: String,
    /// The namespace of the pod.
    #[serde(default)]
    pub pod_namespace: Option<String>,
    /// The pod.
    #[serde(default)]
    pub pod: Option<String>,
    /// The container's name in the pod.
    #[serde(default)]
    pub container: Option<String>,
    /// The image as the pod has it, or one of its names.
    #[serde(default)]
    pub image: Option<String>,
    /// The digest that the names point at, where it was proven.
    #[serde(default)]
    pub digest: Option<String>,
    /// Who signed it, where a policy asks for a signature.
    #[serde(default)]
    pub signers: Vec<String>,
}

/// How many there are of each kind and standing.
pub type SweptCounts = Vec<(SweptKind, SweepVerdict, u64)>;

/// What one sweep found, the worst first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Every container and image.
    pub rows: Vec<Swept>,
    /// What could not be listed at all.
    pub faults: Vec<String>,
    /// Milliseconds that it took, without the registries.
    pub millis: u64,
}

impl SweepVerdict {
    /// Every standing, the worst first.
    pub const ALL: [Self; 5] = [
        Self::WentAround,
        Self::WouldBeRefused,
        Self::CannotBeTold,
        Self::StartedBefore,
        Self::Admitted,
    ];

    /// The word that records and metrics use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::WentAround => "went-around",
            Self::WouldBeRefused => "would-be-refused",
            Self::CannotBeTold => "cannot-be-told",
            Self::StartedBefore => "started-before",
            Self::Admitted => "admitted",
        }
    }
}

impl SweptKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Container, Self::Sandbox, Self::Image];

    /// The word that metrics use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Sandbox => "sandbox",
            Self::Image => "image",
        }
    }
}

impl SweepReport {
    /// How many there are of each kind and standing, those of which there are none included.
    #[must_use]
    pub fn counts(&self) -> SweptCounts {
        let of = |kind, standing| {
            let count =
                self.rows.iter().filter(|row| row.kind == kind && row.standing == standing).count();
            (kind, standing, u64::try_from(count).unwrap_or(u64::MAX))
        };
        SweptKind::ALL
            .into_iter()
            .flat_map(|kind| SweepVerdict::ALL.map(|standing| of(kind, standing)))
            .collect()
    }

    /// Puts the worst first.
    pub(super) fn sort(&mut self) {
        self.rows.sort_by(|one, other| {
            let key = |row: &Swept| (row.standing, row.kind);
            let name = |row: &Swept| (row.pod_namespace.clone(), row.pod.clone(), row.id.clone());
            key(one).cmp(&key(other)).then_with(|| name(one).cmp(&name(other)))
        });
    }
}

/// Namespace, id, verdict and code of a row.
pub(super) type SweptKey = (String, String, SweepVerdict, Option<String>);

/// What makes a row another one than the last sweep's.
pub(super) fn key(row: &Swept) -> SweptKey {
    // That it went around is one thing to tell, whatever its image comes to.
    let code = row.code.clone().filter(|_| row.standing != SweepVerdict::WentAround);
    (row.namespace.clone(), row.id.clone(), row.standing, code)
}
