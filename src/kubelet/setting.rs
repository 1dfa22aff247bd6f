//! [`Found`]: what a kubelet is told about its runtime, by whom and where; [`Standing`]: whether
//! that is the gate.

use std::fmt;
use std::path::{Path, PathBuf};

/// What was found on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What each kubelet is told, that runs or will be started.
    pub views: Vec<View>,
    /// Files that say something and cannot be used.
    pub unread: Vec<Unread>,
}

/// What one kubelet is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which kubelet.
    pub source: Source,
    /// The runtime's endpoint.
    pub runtime: Setting,
    /// The endpoint for images; the runtime's where it is not set.
    pub images: Option<Setting>,
}

/// Whose settings they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A process that runs.
    Process {
        /// Its id.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// A file from which the next start takes its arguments.
    Files,
}

/// An endpoint, and where it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As it is written.
    pub endpoint: String,
    /// Where; for a default, where it would be set.
    pub place: Place,
    /// Whether it is the default, since nothing sets it.
    pub is_default: bool,
}

/// A file, and the line in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; none where the file has no lines.
    pub line: Option<usize>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: String,
}

/// Whether the kubelet is told to use the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Every endpoint is the gate's socket.
    Ours,
    /// This one is another.
    Elsewhere(Setting),
    /// A file that may say so cannot be used.
    Unknown(Unread),
    /// No kubelet was found.
    Absent,
}

impl View {
    /// Both endpoints, where both are set.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        std::iter::once(&self.runtime).chain(&self.images)
    }
}

impl Found {
    /// Whether the kubelets of this node are told to use the socket at `own`.
    #[must_use]
    pub fn standing(&self, own: &Path) -> Standing {
        let other = |setting: &&Setting| !is_socket(&setting.endpoint, own);
        let elsewhere = self.views.iter().flat_map(View::settings).find(other);
        match (elsewhere, self.unread.first()) {
            // A default may be set by what cannot be read.
            (Some(setting), Some(unread)) if setting.is_default => {
                Standing::Unknown(unread.clone())
            }
            (Some(setting), _) => Standing::Elsewhere(setting.clone()),
            (None, Some(unread)) => Standing::Unknown(unread.clone()),
            (None, None) if self.views.is_empty() => Standing::Absent,
            (None, None) => Standing::Ours,
        }
    }
}

/// The path of the socket that an endpoint is (`unix:///run/x.sock`, `unix:/run/x.sock`, or the path
/// alone, as the kubelet reads them), `/var/run` as what it is a link to.
#[must_use]
pub fn socket_of(endpoint: &str) -> PathBuf {
    let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:"));
    let path = Path::new(path.unwrap_or(endpoint));
    match path.strip_prefix("/var/run") {
        Ok(below) => Path::new("/run").join(below),
        Err(_) => path.to_owned(),
    }
}

/// Whether an endpoint is the socket at `own`, links resolved.
fn is_socket(endpoint: &str, own: &Path) -> bool {
    let (named, own) = (socket_of(endpoint), socket_of(&own.to_string_lossy()));
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    named == own || resolved(&named) == resolved(&own)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, place, is_default } = self;
        match is_default {
            true => write!(f, "{endpoint} by default, as {place} sets no other"),
            false => write!(f, "{endpoint} in {place}"),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(endpoint: &str) -> Setting {
        let place = Place { file: PathBuf::from("/c.yaml"), line: Some(3) };
        Setting { endpoint: endpoint.to_owned(), place, is_default: false }
    }

    fn view(runtime: &str, images: Option<&str>) -> View {
        View { source: Source::Files, runtime: setting(runtime), images: images.map(setting) }
    }

    #[test]
    fn an_endpoint_is_the_socket_in_every_form_of_it() {
        let own = Path::new("/run/sealgate/cri.sock");
        for endpoint in [
            "unix:///run/sealgate/cri.sock",
            "unix:/run/sealgate/cri.sock",
            "/run/sealgate/cri.sock",
            "unix:///var/run/sealgate/cri.sock",
        ] {
            assert!(is_socket(endpoint, own), "{endpoint}");
        }
        for endpoint in ["unix:///run/containerd/containerd.sock", "tcp://x:1", ""] {
            assert!(!is_socket(endpoint, own), "{endpoint}");
        }
    }

    #[test]
    fn one_endpoint_that_is_another_is_elsewhere_and_what_is_unread_is_unknown() {
        let own = Path::new("/run/sealgate/cri.sock");
        let (ours, other) = ("unix:///run/sealgate/cri.sock", "unix:///run/c.sock");
        let found = |views| Found { views, unread: Vec::new() };
        assert_eq!(found(vec![]).standing(own), Standing::Absent);
        assert_eq!(found(vec![view(ours, None)]).standing(own), Standing::Ours);
        let elsewhere = Standing::Elsewhere(setting(other));
        assert_eq!(found(vec![view(other, None)]).standing(own), elsewhere);
        assert_eq!(found(vec![view(ours, Some(other))]).standing(own), elsewhere);
        assert_eq!(found(vec![view(ours, None), view(other, None)]).standing(own), elsewhere);
        let unread = Unread { file: PathBuf::from("/x"), why: "denied".to_owned() };
        let mut found = found(vec![view(ours, None)]);
        found.unread.push(unread.clone());
        assert_eq!(found.standing(own), Standing::Unknown(unread.clone()));
        // What is set elsewhere is so, whatever else cannot be read; a default may not be.
        found.views = vec![view(other, None)];
        assert_eq!(found.standing(own), elsewhere);
        found.views[0].runtime.is_default = true;
        assert_eq!(found.standing(own), Standing::Unknown(unread));
    }
}
