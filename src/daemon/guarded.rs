//! What of this node the gate rests on, by the settings: the paths that containers are not to
//! reach.

use std::path::{Path, PathBuf};

use crate::config::{DEFAULT_PATH, Settings};
use crate::host_paths::{Guarded, HostPaths, Target};
use crate::policy::ScopeFault;

/// What other programs of a node keep where they always do.
const ALWAYS: [(&str, Target); 40] = [
    ("/run/containerd", Target::RuntimeSocket),
    ("/run/nri", Target::RuntimeSocket),
    ("/run/docker/containerd", Target::RuntimeSocket),
    ("/run/docker.sock", Target::RuntimeSocket),
    ("/run/k3s/containerd", Target::RuntimeSocket),
    ("/var/lib/containerd", Target::RuntimeState),
    ("/etc/containerd", Target::RuntimeConfig),
    ("/etc/sealgate", Target::Policies),
    ("/var/lib/sealgate", Target::GateState),
    ("/run/sealgate", Target::GateSocket),
    ("/var/lib/kubelet/config.yaml", Target::Kubelet),
    ("/var/lib/kubelet/kubeadm-flags.env", Target::Kubelet),
    ("/etc/kubernetes/manifests", Target::Kubelet),
    ("/etc/kubernetes/kubelet.conf", Target::Kubelet),
    ("/etc/kubernetes/kubelet", Target::Kubelet),
    ("/etc/default/kubelet", Target::Kubelet),
    ("/run/systemd", Target::ServiceManager),
    ("/run/dbus", Target::ServiceManager),
    ("/etc/systemd", Target::Units),
    ("/usr/lib/systemd", Target::Units),
    ("/usr/local/lib/systemd", Target::Units),
    ("/opt/cni", Target::Plugins),
    ("/etc/cni", Target::Plugins),
    ("/opt/nri", Target::Plugins),
    ("/etc/nri", Target::Plugins),
    ("/etc/cdi", Target::Plugins),
    ("/run/cdi", Target::Plugins),
    // Not /usr/share: pods mount time zones from there.
    ("/usr/bin", Target::Programs),
    ("/usr/sbin", Target::Programs),
    ("/usr/lib", Target::Programs),
    ("/usr/lib64", Target::Programs),
    ("/usr/libexec", Target::Programs),
    ("/usr/local", Target::Programs),
    ("/bin", Target::Programs),
    ("/sbin", Target::Programs),
    ("/lib", Target::Programs),
    ("/lib64", Target::Programs),
    ("/opt/bin", Target::Programs),
    ("/etc/ld.so.preload", Target::Programs),
    ("/sys", Target::Kernel),
];

/// Folders that belong to many programs: what is in one of them is guarded, not the folder.
const SHARED: [&str; 9] =
    ["/", "/run", "/var/run", "/tmp", "/etc", "/var", "/var/lib", "/var/log", "/var/cache"];

/// Guards what these settings name.
///
/// # Errors
/// [`ScopeFault`] for an entry of the allow-list that cannot be meant.
pub(super) fn host_paths(settings: &Settings) -> Result<HostPaths, ScopeFault> {
    let always = ALWAYS.map(|(path, what)| Guarded { path: PathBuf::from(path), what });
    let named = [
        (home(&settings.runtime.socket), Target::RuntimeSocket),
        (home(&settings.listen.socket), Target::GateSocket),
        (home(&settings.control.socket), Target::GateSocket),
        (home(Path::new(DEFAULT_PATH)), Target::Policies),
        (settings.policy.keys.clone(), Target::Policies),
        (settings.trust.state.clone(), Target::Policies),
        (settings.evidence.path.clone(), Target::GateState),
        (settings.clock.file.clone(), Target::GateState),
        (home(&settings.audit.path), Target::AuditLog),
    ];
    let named = named.map(|(path, what)| Guarded { path, what });
    let policies = settings.policy.policies.all().iter();
    let policies = policies.map(|path| Guarded { path: path.clone(), what: Target::Policies });
    HostPaths::new(&settings.host_paths, always.into_iter().chain(named).chain(policies).collect())
}

/// The folder of a file, unless others live in it too.
fn home(file: &Path) -> PathBuf {
    let folder =
        file.parent().filter(|folder| !SHARED.iter().any(|other| *folder == Path::new(other)));
    folder.unwrap_or(file).to_owned()
}
