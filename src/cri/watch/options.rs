//! What an operator sets about the watch over the runtime: [`SweepOptions`] and [`DriftOptions`].

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// Which containers count as the gate's, the `[sweep]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepOptions {
    /// The file of the containers that the gate made; it says since when the runtime is gated.
    /// Default `/var/lib/sealgate/containers`.
    pub containers: PathBuf,
    /// Minutes between two sweeps, of which the first is at the start; 0 for none but those that an
    /// operator asks for. Default 15.
    pub every_minutes: u32,
    /// What becomes of what would be refused, or went around the gate. Default: it is reported.
    pub on_failed_sweep: OnFailedSweep,
    /// Containers that are stopped in a minute at most, 1 to 600. Default 5.
    pub stop_per_minute: NonZeroU32,
    /// Seconds that a container has to end by itself before it is killed, 0 to 600. Default 30, as
    /// Kubernetes has it.
    pub stop_grace_seconds: u32,
    /// Whether containers of static pods, such as those of the control plane, are stopped too.
    /// Default: no.
    pub stop_static_pods: bool,
    /// Whether containers are stopped too of which it cannot be told whether they would be refused.
    /// Default: no.
    pub stop_untold: bool,
}

/// What becomes of what a sweep finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailedSweep {
    /// A record, a warning in the journal, and the metrics.
    #[default]
    Report,
    /// The same, and the journal has it as an error.
    Alert,
    /// The same, and containers are stopped.
    Stop,
}

/// Where containers that nobody asked the gate about raise an alert, the `[drift]` table of the
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriftOptions {
    /// containerd's namespaces that are watched; none switches it off. Default: those of the CRI,
    /// of Docker and of `ctr`.
    pub namespaces: Vec<String>,
}

impl Default for SweepOptions {
    fn default() -> Self {
        Self {
            containers: PathBuf::from("/var/lib/sealgate/containers"),
            every_minutes: 15,
            on_failed_sweep: OnFailedSweep::default(),
            stop_per_minute: NonZeroU32::MIN.saturating_add(4),
            stop_grace_seconds: 30,
            stop_static_pods: false,
            stop_untold: false,
        }
    }
}

impl Default for DriftOptions {
    fn default() -> Self {
        Self { namespaces: ["k8s.io", "moby", "default"].map(str::to_owned).to_vec() }
    }
}

impl SweepOptions {
    /// Most seconds of grace, and most stops in a minute: a sweep stops one container after the
    /// other.
    const STOP_MAX: u32 = 600;

    /// Between two sweeps; none for no timer.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        let minutes = u64::from(self.every_minutes);
        (minutes > 0).then(|| Duration::from_secs(minutes * 60))
    }

    /// How long a container has to end by itself.
    #[must_use]
    pub fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace_seconds.into())
    }

    /// What types cannot say.
    ///
    /// # Errors
    /// Which number is too large, for people.
    pub fn check(&self) -> Result<(), String> {
        let numbers = [
            ("stop_per_minute", self.stop_per_minute.get()),
            ("stop_grace_seconds", self.stop_grace_seconds),
        ];
        match numbers.into_iter().find(|(_, number)| *number > Self::STOP_MAX) {
            Some((key, _)) => Err(format!("sweep.{key}: at most {}", Self::STOP_MAX)),
            None => Ok(()),
        }
    }
}

impl DriftOptions {
    /// Namespaces that are watched at most: a node has three.
    const NAMESPACES_MAX: usize = 32;

    /// What types cannot say.
    ///
    /// # Errors
    /// What is wrong with a namespace, for people.
    pub fn check(&self) -> Result<(), String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_one = |name: &String| !name.is_empty() && name.bytes().all(is_plain);
        if let Some(wrong) = self.namespaces.iter().find(|name| !is_one(name)) {
            return Err(format!("drift.namespaces: {wrong:?} is no namespace of containerd's"));
        }
        if self.namespaces.len() > Self::NAMESPACES_MAX {
            return Err(format!("drift.namespaces: at most {}", Self::NAMESPACES_MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_without_end_is_none() {
        let with =
            |seconds| SweepOptions { stop_grace_seconds: seconds, ..SweepOptions::default() };
        assert_eq!((with(0).check(), with(600).check()), (Ok(()), Ok(())));
        assert!(with(601).check().is_err());
    }

    #[test]
    fn a_namespace_cannot_steer_the_filter() {
        for (name, is_right) in [("k8s.io", true), ("a\",topic~=\"x", false), ("", false)] {
            let options = DriftOptions { namespaces: vec![name.to_owned()] };
            assert_eq!(options.check().is_ok(), is_right, "{name}");
        }
        assert_eq!(DriftOptions::default().check(), Ok(()));
        let many = DriftOptions { namespaces: vec!["a".to_owned(); 33] };
        assert!(many.check().is_err());
    }
}
