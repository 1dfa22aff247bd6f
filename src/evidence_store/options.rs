//! [`Options`] of the evidence store, as the configuration gives them: the table `[evidence]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// Where evidence is kept, how much, and how fresh it must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The folder; root's alone. Default: `/var/lib/sealgate/evidence`.
    pub path: PathBuf,
    /// Bytes of all files at most, each counted in whole blocks of 4 KiB. Default 268435456 (256
    /// MiB): a signed image takes 10 to 50 KiB, one with bills of materials some MiB. What images
    /// on the node need is never evicted; when it alone is more, nothing new is kept.
    pub max_bytes: u64,
    /// Days after which evidence goes that was not used and that no image on the node needs. 0:
    /// never. Default 90.
    pub max_unused_days: u32,
    /// Hours after which the registry is asked again, in the background, when evidence is used. 0:
    /// never. Default 24. A policy may ask for less (`refreshAfter`).
    pub refresh_after_hours: u64,
    /// Hours for which evidence counts while the registry cannot be asked. 0: without end, the
    /// default: a verified image starts however long the network is away. A policy may ask for less
    /// (`maxOffline`).
    pub max_offline_hours: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/sealgate/evidence"),
            max_bytes: 256 << 20,
            max_unused_days: 90,
            refresh_after_hours: 24,
            max_offline_hours: 0,
        }
    }
}

impl Options {
    /// The age at which the registry is asked again; none for never.
    #[must_use]
    pub fn refresh_after(&self) -> Option<Duration> {
        hours(self.refresh_after_hours)
    }

    /// The age beyond which evidence does not count by itself; none for no bound.
    #[must_use]
    pub fn max_offline(&self) -> Option<Duration> {
        hours(self.max_offline_hours)
    }
}

fn hours(count: u64) -> Option<Duration> {
    (count > 0).then(|| Duration::from_secs(count.saturating_mul(3600)))
}
