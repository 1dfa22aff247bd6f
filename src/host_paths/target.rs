//! [`Guarded`]: something on this node that containers are not to reach; [`Target`]: what it is.

use std::path::PathBuf;

/// Something on this node that nobody but the gate, the runtime and the kubelet should reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// Where it is; what is below belongs to it.
    pub path: PathBuf,
    /// What it is.
    pub what: Target,
}

/// What can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The runtime's sockets.
    RuntimeSocket,
    /// What the runtime keeps.
    RuntimeState,
    /// The runtime's configuration.
    RuntimeConfig,
    /// The gate's sockets.
    GateSocket,
    /// The gate's configuration, policies, keys and trust roots.
    Policies,
    /// What the gate keeps.
    GateState,
    /// The audit log.
    AuditLog,
    /// The kubelet's configuration, or the pods that it runs by itself.
    Kubelet,
    /// The units of the service manager.
    Units,
    /// The sockets of the service manager, and the bus by which it is told what to start.
    ServiceManager,
    /// Programs and libraries of the node.
    Programs,
    /// What the runtime or the kubelet runs as root for a pod: CNI plugins, NRI plugins, hooks that
    /// CDI names.
    Plugins,
    /// The kernel's settings.
    Kernel,
    /// What the operator added (`host_paths.also`).
    Added,
    /// Everything.
    WholeFileSystem,
    /// The file systems of other processes, through `/proc`.
    Processes,
    /// A disk that one of these is on.
    Disk,
    /// The memory of the node.
    Memory,
    /// Every process of the node: privileged, among the host's process ids.
    HostProcesses,
    /// It cannot be told.
    Unknown,
}

impl Target {
    /// What it is, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::RuntimeSocket => "the container runtime's socket",
            Self::RuntimeState => "the container runtime's state",
            Self::RuntimeConfig => "the container runtime's configuration",
            Self::GateSocket => "the gate's sockets",
            Self::Policies => "the gate's configuration, policies and keys",
            Self::GateState => "the gate's evidence and state",
            Self::AuditLog => "the audit log",
            Self::Kubelet => "the kubelet's configuration",
            Self::Units => "the service manager's units",
            Self::ServiceManager => "the service manager's sockets",
            Self::Programs => "the node's programs",
            Self::Plugins => "plugins that run as root on the node",
            Self::Kernel => "the kernel's settings",
            Self::Added => "a path of host_paths.also",
            Self::WholeFileSystem => "the node's whole file system",
            Self::Processes => "the file systems of the node's processes",
            Self::Disk => "a disk of the node",
            Self::Memory => "the node's memory",
            Self::HostProcesses => "every process of the node",
            Self::Unknown => "what the gate cannot tell",
        }
    }

    /// Whether reading alone is enough to use it: a socket on a read-only mount can be connected
    /// to.
    pub(super) const fn works_read_only(self) -> bool {
        match self {
            Self::RuntimeSocket
            | Self::GateSocket
            | Self::ServiceManager
            | Self::WholeFileSystem
            | Self::Processes
            | Self::Disk
            | Self::Memory
            | Self::HostProcesses
            | Self::Unknown => true,
            Self::RuntimeState
            | Self::RuntimeConfig
            | Self::Policies
            | Self::GateState
            | Self::AuditLog
            | Self::Kubelet
            | Self::Units
            | Self::Programs
            | Self::Plugins
            | Self::Kernel
            | Self::Added => false,
        }
    }
}
