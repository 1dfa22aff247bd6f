//! [`Wire`]: two network namespaces of the test's own, joined by a wire: the node's, whose only way
//! out is a default route, and the registry's behind it. The wire can be cut, loudly or in silence,
//! without the machine noticing.
//!
//! Both end with this value: they hang on nothing but two sleeping processes.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::containerd::entering;
use crate::ensure;
use crate::stage::{Failure, Outcome};

/// Where the registry listens, beyond the node's own link (RFC 5737: addresses for documentation).
const REGISTRY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The registry's end of the wire.
const GATEWAY: &str = "198.51.100.1";
/// The node's end of the wire.
const NODE: &str = "198.51.100.2";
/// How long the kernel may take to make a namespace; it takes some milliseconds.
const MADE_MAX: Duration = Duration::from_secs(60);

/// The node's network and the registry's.
pub struct Wire {
    node: Namespace,
    beyond: Namespace,
}

/// A network namespace, held by a process that sleeps in it.
struct Namespace(Child);

impl Wire {
    /// Makes both and joins them. Fails loudly where this machine does not let it.
    pub fn laid() -> Result<Self, Failure> {
        let (node, beyond) = (Namespace::new()?, Namespace::new()?);
        let pid = beyond.0.id().to_string();
        node.ip("link add wire0 type veth peer name wire1")?;
        node.ip(&format!("link set wire1 netns {pid}"))?;
        for (namespace, link, address) in [(&node, "wire0", NODE), (&beyond, "wire1", GATEWAY)] {
            namespace.ip(&format!("addr add {address}/30 dev {link}"))?;
            namespace.ip(&format!("link set {link} up"))?;
            namespace.ip("link set lo up")?;
        }
        beyond.ip(&format!("addr add {REGISTRY}/32 dev lo"))?;
        let wire = Self { node, beyond };
        wire.join()?;
        Ok(wire)
    }

    /// The node's namespace, for processes that start in it.
    pub fn node(&self) -> PathBuf {
        self.node.path()
    }

    /// A listener at the registry's address.
    pub fn listener(&self) -> Result<TcpListener, Failure> {
        let namespace = fs::File::open(self.beyond.path())?;
        // A thread of its own: the namespace is the thread's, and the socket's for good.
        let bound = std::thread::spawn(move || {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
            TcpListener::bind((REGISTRY, 0))
        });
        Ok(bound.join().map_err(|_| Failure("the listener's thread panicked".to_owned()))??)
    }

    /// Takes the default route away: who calls is told at once that there is no way.
    pub fn drop_route(&self) -> Outcome {
        self.node.ip("route del default")
    }

    /// Gives the default route back.
    pub fn join(&self) -> Outcome {
        self.node.ip(&format!("route add default via {GATEWAY}"))
    }

    /// Lets everything that is sent to the registry vanish: who calls is told nothing.
    pub fn swallow(&self) -> Outcome {
        self.beyond.ip(&format!("addr del {REGISTRY}/32 dev lo"))?;
        self.beyond.ip(&format!("route add blackhole {REGISTRY}/32"))
    }

    /// How often anybody on the node has tried to connect somewhere, answered or not, since the
    /// beginning.
    pub fn attempts(&self) -> Result<u64, Failure> {
        let table = fs::read_to_string(format!("/proc/{}/net/snmp", self.node.0.id()))?;
        let count = |protocol: &str, name: &str| {
            let mut rows =
                table.lines().filter(|row| row.starts_with(protocol)).map(str::split_whitespace);
            let at = rows.next()?.position(|field| field == name)?;
            rows.next()?.nth(at)?.parse::<u64>().ok()
        };
        let (routed, lost) = (count("Tcp:", "ActiveOpens"), count("Ip:", "OutNoRoutes"));
        let (Some(routed), Some(lost)) = (routed, lost) else {
            return Err(Failure(format!("no counters:\n{table}")));
        };
        Ok(routed + lost)
    }
}

impl Namespace {
    fn new() -> Result<Self, Failure> {
        let mut sleeping = Command::new("unshare");
        sleeping.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
        let child =
            sleeping.spawn().map_err(|error| format!("unshare (Debian: util-linux): {error}"))?;
        let mut namespace = Self(child);
        let own = fs::read_link("/proc/self/ns/net")?;
        let began = Instant::now();
        while fs::read_link(namespace.path()).is_ok_and(|one| one == own) {
            let ended = namespace.0.try_wait()?;
            ensure!(
                ended.is_none() && began.elapsed() < MADE_MAX,
                "this scenario needs network namespaces of its own, and this machine makes none \
                 ({ended:?}): run it as root with CAP_SYS_ADMIN and CAP_NET_ADMIN"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(namespace)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.0.id()))
    }

    /// Runs `ip` in it.
    fn ip(&self, words: &str) -> Outcome {
        let output = entering(&self.path(), &Command::new("ip")).args(words.split(' ')).output();
        let output = output.map_err(|error| format!("nsenter (Debian: util-linux): {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "ip {words} (Debian: iproute2): {} {said}", output.status);
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
