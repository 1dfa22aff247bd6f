//! The packages on a fresh Debian with a real systemd as PID 1 ([`packages`]): the deb by apt and
//! dpkg, the rpm by rpm. Each is installed, upgraded from a smaller version, removed.
//!
//! They are built of the release program where there is one, and of the tests' own otherwise. What
//! the gate decides is not looked at here.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::acts::eventually;
use crate::containerd::{Containerd, Flavour, Host, Setup};
use crate::ensure;
use crate::fixtures;
use crate::raw::Raw;
use crate::registry::{Answer, Rule, Settings, TestRegistry};
use crate::stage::{Failure, HOST, Outcome, fill, usual_policy};
use crate::unit::{CHANGE_MAX, Machine};
use crate::upgrade::{PULL_TIME, RUNTIME, VERSION, poll, pull, runtime_config};

/// The version that a node has before the upgrade.
const BEFORE: &str = "0.0.9";
/// Time of every file in the packages.
const EPOCH: &str = "1700000000";
/// What an operator adds to the configuration.
const OWN_LINE: &str = "# an operator's own line";
/// Where a kubeadm node says which runtime its kubelet uses.
const KUBELET: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// Files that neither a package nor the gate is asked about.
const NOT_LOOKED_AT: &str = "/proc /sys /dev /run /tmp /mnt-in /mnt-runtime /var/log /var/cache \
                             /var/lib/dpkg /var/lib/apt /var/lib/rpm /var/lib/systemd";

/// A kind of package, and how a node handles it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deb,
    Rpm,
}

impl Kind {
    /// Brings the package of this version in place, over what is there.
    fn bring(self, version: &str) -> String {
        match self {
            Self::Deb => format!(
                "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --reinstall --no-install-recommends \
                 --allow-downgrades -o Dpkg::Options::=--force-confold /mnt-in/{version}/*.deb </dev/null"
            ),
            // In rpm's list of packages nothing is installed: it does not know Debian's.
            Self::Rpm => format!("rpm -U --replacepkgs --nodeps /mnt-in/{version}/*.rpm"),
        }
    }

    const fn remove(self) -> &'static str {
        match self {
            Self::Deb => "apt-get remove -y -q sealgate </dev/null",
            Self::Rpm => "rpm -e sealgate",
        }
    }

    /// The configuration that a package brought beside the operator's.
    const fn beside(self) -> &'static str {
        match self {
            Self::Deb => "/etc/sealgate/config.toml.dpkg-dist",
            Self::Rpm => "/etc/sealgate/config.toml.rpmnew",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

/// A shell's command in the machine: what it wrote, on both outputs. It must succeed.
fn shell(machine: &Machine, command: &str) -> Result<String, Failure> {
    machine.done(&["sh", "-c", &format!("{{ {command} ; }} 2>&1")])
}

/// The same, of one that must fail.
fn refused(machine: &Machine, command: &str) -> Result<String, Failure> {
    let output = machine.run(&["sh", "-c", &format!("{{ {command} ; }} 2>&1")])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!output.status.success(), "{command} was done: {said}");
    Ok(said)
}

/// Every file of the machine but those that change by themselves.
fn files(machine: &Machine) -> Result<Vec<String>, Failure> {
    let passed: Vec<_> =
        NOT_LOOKED_AT.split_whitespace().map(|path| format!("-path {path}")).collect();
    let found =
        shell(machine, &format!("find / \\( {} \\) -prune -o -print", passed.join(" -o ")))?;
    let mut found: Vec<_> = found.lines().map(str::to_owned).collect();
    found.sort();
    Ok(found)
}

/// The packages of two versions, below folders of their names.
fn build() -> Result<(tempfile::TempDir, String), Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::Builder::new().prefix("sealgate-packages-").tempdir()?;
    let program = program(folder.path())?;
    let version = env!("CARGO_PKG_VERSION");
    pack(source, &program, &folder.path().join(version), version)?;

    // Another folder, another umask: the same bytes.
    let other = folder.path().join("other checkout");
    fs::create_dir(&other)?;
    let parts = ["Makefile", "Cargo.toml", "LICENSE", "systemd", "packaging", "docs"];
    let documents =
        ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md"];
    for part in parts.into_iter().chain(documents) {
        let copied = Command::new("cp").arg("-r").arg(source.join(part)).arg(&other).status()?;
        ensure!(copied.success(), "{part} was not copied");
    }
    let again = folder.path().join("again");
    pack(&other, &program, &again, version)?;
    for package in fs::read_dir(&again)? {
        let package = package?;
        let first = folder.path().join(version).join(package.file_name());
        ensure!(
            fs::read(&first)? == fs::read(package.path())?,
            "{:?} differs in another folder",
            package.file_name()
        );
    }

    // The version before, with another configuration: what an upgrade must not ask about.
    let config = other.join("packaging/config.toml");
    fs::write(&config, format!("# As it was.\n{}", fs::read_to_string(&config)?))?;
    pack(&other, &program, &folder.path().join(BEFORE), BEFORE)?;
    let checked = Command::new("packaging/package/check.sh")
        .arg(folder.path().join(version))
        .current_dir(source)
        .output()?;
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    ensure!(checked.status.success(), "{said}");
    println!("   built twice, in two folders: the same bytes; {}", said.trim());
    Ok((folder, version.to_owned()))
}

/// The release program, or the tests' own without what only a debugger reads.
fn program(folder: &Path) -> Result<PathBuf, Failure> {
    let own = Path::new(env!("CARGO_BIN_EXE_sealgate"));
    let release = own.with_file_name("../release/sealgate");
    if release.exists() {
        return Ok(fs::canonicalize(release)?);
    }
    let stripped = folder.join("sealgate");
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(own).status()?;
    ensure!(done.success(), "strip (Debian: binutils): {done}");
    Ok(stripped)
}

fn pack(checkout: &Path, program: &Path, into: &Path, version: &str) -> Outcome {
    let nfpm = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nfpm/nfpm");
    ensure!(nfpm.exists(), "there is no nfpm: make packers");
    let output = Command::new("packaging/package/build.sh")
        .args([program, into, Path::new(version)])
        .current_dir(checkout)
        .env("NFPM", nfpm)
        .env("MAINTAINER", "Example Operations <ops@example.com>")
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .env("COMPRESSION", "fast")
        .output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(())
}

/// A containerd and a registry beside the machine, and the machine.
struct Node {
    registry: TestRegistry,
    _containerd: Containerd,
    machine: Machine,
    version: String,
}

pub async fn packages() -> Outcome {
    let (built, version) = build()?;
    installed_elsewhere(&built.path().join(&version))?;
    let flavour = Flavour::all().into_iter().find(|flavour| flavour.version >= (1, 7));
    let flavour = flavour.ok_or("no containerd: make runtimes")?;
    let registry = TestRegistry::start(Settings::without_referrers());
    fill(&registry);
    let containerd =
        Containerd::start(Setup::of(flavour, Host::new(HOST, &registry.url()))).await?;
    let machine = Machine::fresh("bookworm", built, &[(containerd.folder(), RUNTIME)]).await?;
    let node = Node { registry, _containerd: containerd, machine, version };
    let fresh = files(&node.machine)?;
    for kind in [Kind::Deb, Kind::Rpm] {
        println!("   {}:", kind.name());
        node.installed(kind)?;
        node.configured().await?;
        node.upgraded(kind).await?;
        node.left_alone(kind)?;
        node.removed(kind)?;
        match kind {
            Kind::Deb => node.purged(&fresh)?,
            Kind::Rpm => node.erased(&fresh)?,
        }
    }
    Ok(())
}

impl Node {
    /// Installed: nothing runs, nothing is enabled, and `doctor` says what to do.
    fn installed(&self, kind: Kind) -> Outcome {
        let machine = &self.machine;
        let said = shell(machine, &kind.bring(BEFORE))?;
        ensure!(said.contains("nothing was enabled or started"), "{said}");
        for unit in ["sealgate.service", "sealgate.socket", "sealgate-control.socket"] {
            let is =
                (machine.property(unit, "ActiveState"), machine.property(unit, "UnitFileState"));
            ensure!(is == ("inactive".to_owned(), "disabled".to_owned()), "{unit} is {is:?}");
        }
        let doctor = refused(machine, "sealgate doctor")?;
        ensure!(doctor.contains("do: systemctl enable sealgate.service"), "{doctor}");
        shell(machine, "test -s /usr/share/man/man8/sealgate.8.gz && sealgate policy check")?;
        println!("      installed {BEFORE}: disabled and stopped; doctor names the next steps");
        Ok(())
    }

    /// Set up as an operator does.
    async fn configured(&self) -> Outcome {
        let machine = &self.machine;
        let etc = |path: &str| machine.path("/etc/sealgate").join(path);
        fs::write(etc("policies/policy.yaml"), usual_policy())?;
        fs::write(etc("keys/build.pub"), fixtures::key("build"))?;
        fs::write(etc("config.toml.d/runtime.toml"), runtime_config())?;
        shell(machine, &format!("echo \"{OWN_LINE}\" >> /etc/sealgate/config.toml"))?;
        shell(
            machine,
            "systemctl enable --now sealgate.socket sealgate-control.socket sealgate.service",
        )?;
        let answer = Raw::connect(&self.socket()).await?.call(VERSION, b"").await?;
        ensure!(answer.code == 0, "{answer:?}\n{}", machine.journal());
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.machine.path("/run/sealgate/cri.sock")
    }

    fn process(&self) -> String {
        self.machine.property("sealgate.service", "MainPID")
    }

    /// Upgraded under two clients that poll and one that pulls: no call is lost, the socket is the
    /// same, the configuration stays.
    async fn upgraded(&self, kind: Kind) -> Outcome {
        let (before, inode) = (self.process(), fs::metadata(self.socket())?.ino());
        let stop = Arc::new(AtomicBool::new(false));
        let polling =
            [false, true].map(|anew| tokio::spawn(poll(self.socket(), Arc::clone(&stop), anew)));
        let image = match kind {
            Kind::Deb => "signed-v2",
            Kind::Rpm => "signed-v3",
        };
        let asked = self.registry.requests().len();
        let from_runtime = || {
            let requests = self.registry.requests();
            let mut since = requests.iter().skip(asked);
            since.any(|entry| {
                entry.user_agent.contains("containerd/") && entry.path.contains("/blobs/")
            })
        };
        self.registry.rule(
            Rule::new(format!("/{image}/blobs/"), Answer::Late(PULL_TIME))
                .user_agent("containerd/")
                .calls(1..=1),
        );
        let pulling = tokio::spawn(pull(self.socket(), format!("{HOST}/prod/{image}:v1")));
        eventually("the runtime pulls", CHANGE_MAX, async || from_runtime()).await?;

        let said =
            tokio::task::block_in_place(|| shell(&self.machine, &kind.bring(&self.version)))?;
        ensure!(said.contains("restarting the gate"), "{said}");
        let (pulled, took) = pulling.await??;
        ensure!(pulled.code == 0, "the pull: {pulled:?}\n{}", self.machine.journal());
        stop.store(true, Ordering::SeqCst);
        let mut calls = 0;
        for polling in polling {
            calls += polling.await??.0;
        }
        ensure!(self.process() != before, "the gate was not restarted");
        ensure!(fs::metadata(self.socket())?.ino() == inode, "the socket is another one");
        self.is_configured(kind)?;
        println!(
            "      upgraded to {} under a pull of {:.1} s and {calls} calls: none lost, \
             configuration kept",
            self.version,
            took.as_secs_f64()
        );
        Ok(())
    }

    /// What the operator wrote is there, and what the package has of new lies beside it.
    fn is_configured(&self, kind: Kind) -> Outcome {
        let at = |path: &str| fs::read_to_string(self.machine.path(path));
        let config = at("/etc/sealgate/config.toml")?;
        ensure!(config.starts_with("# As it was.") && config.contains(OWN_LINE), "{config}");
        ensure!(!at(kind.beside())?.contains(OWN_LINE), "{} is the operator's", kind.beside());
        ensure!(at("/etc/sealgate/policies/policy.yaml")? == usual_policy(), "the policy changed");
        Ok(())
    }

    /// Where the new program does not take what the node has, the old one runs on.
    fn left_alone(&self, kind: Kind) -> Outcome {
        let before = self.process();
        let broken = self.machine.path("/etc/sealgate/policies/broken.yaml");
        fs::write(&broken, "{\n")?;
        let said = shell(&self.machine, &kind.bring(&self.version))?;
        fs::remove_file(broken)?;
        ensure!(said.contains("NOT restarted") && said.contains("broken.yaml:1:1"), "{said}");
        ensure!(self.process() == before, "the gate was restarted");
        println!("      with a broken policy: process {before} runs on, and the package says so");
        Ok(())
    }

    /// Removed only where the kubelet does not use the gate.
    fn removed(&self, kind: Kind) -> Outcome {
        let flags = self.machine.path(KUBELET);
        fs::create_dir_all(flags.parent().expect("it has one"))?;
        fs::write(&flags, "--container-runtime-endpoint=unix:///run/sealgate/cri.sock\n")?;
        let said = refused(&self.machine, kind.remove())?;
        ensure!(said.contains("NOT removed") && said.contains(KUBELET), "{said}");
        ensure!(self.machine.property("sealgate.service", "ActiveState") == "active", "{said}");
        fs::remove_dir_all(self.machine.path("/var/lib/kubelet"))?;
        shell(&self.machine, kind.remove())?;
        for path in ["/usr/bin/sealgate", "/run/sealgate"] {
            ensure!(!self.machine.path(path).exists(), "{path} is still there");
        }
        for path in ["/etc/sealgate/policies/policy.yaml", "/var/log/sealgate/audit.jsonl"] {
            ensure!(self.machine.path(path).exists(), "{path} went with the program");
        }
        println!(
            "      refused while the kubelet uses the gate; then removed: policies and log stay"
        );
        Ok(())
    }

    /// Installed again as it was, then purged: nothing is left but the log, and that is said.
    fn purged(&self, fresh: &[String]) -> Outcome {
        let machine = &self.machine;
        shell(machine, &Kind::Deb.bring(&self.version))?;
        self.is_configured(Kind::Deb)?;
        ensure!(
            machine.property("sealgate.service", "ActiveState") == "inactive",
            "it was started"
        );
        let said = shell(machine, "apt-get purge -y -q sealgate </dev/null")?;
        ensure!(said.contains("KEPT /var/log/sealgate"), "{said}");
        self.is_as(fresh)?;
        ensure!(machine.path("/var/log/sealgate/audit.jsonl").exists(), "the log was purged");
        shell(machine, "rm -r /var/log/sealgate")?;
        let said = shell(machine, &Kind::Deb.bring(&self.version))?;
        ensure!(said.contains("nothing was enabled or started"), "{said}");
        let is = machine.property("sealgate.service", "UnitFileState");
        ensure!(is == "disabled", "after a purge it is {is}");
        let said = shell(machine, "apt-get purge -y -q sealgate </dev/null")?;
        ensure!(!said.contains("KEPT"), "{said}");
        self.is_as(fresh)?;
        println!(
            "      installed again as it was, purged: the log alone is left, and said; then nothing"
        );
        Ok(())
    }

    /// rpm has no purge: what the operator and the gate wrote stays, and that is said.
    fn erased(&self, fresh: &[String]) -> Outcome {
        shell(&self.machine, "rm -r /etc/sealgate /var/lib/sealgate /var/log/sealgate")?;
        // On Debian rpm keeps its database here, and these folders, empty now, are no package's: where
        // rpm is at home `filesystem` and the shells have them.
        shell(
            &self.machine,
            "rm -r /root/.rpmdb && rmdir /usr/share/fish/vendor_completions.d /usr/share/fish \
             /usr/share/licenses /usr/share/zsh/site-functions",
        )?;
        self.is_as(fresh)?;
        println!("      without the folders that it names, nothing is left");
        Ok(())
    }

    fn is_as(&self, fresh: &[String]) -> Outcome {
        let now = files(&self.machine)?;
        let left: Vec<_> = now.iter().filter(|file| !fresh.contains(file)).collect();
        let gone: Vec<_> = fresh.iter().filter(|file| !now.contains(file)).collect();
        ensure!(left.is_empty() && gone.is_empty(), "left: {left:?}, gone: {gone:?}");
        Ok(())
    }
}

/// Into a root where no systemd runs, as an image of a node is made: `rpm --root` and nothing else.
fn installed_elsewhere(packages: &Path) -> Outcome {
    let root = tempfile::tempdir()?;
    let bin = root.path().join("bin");
    fs::create_dir(&bin)?;
    fs::copy("/bin/busybox", bin.join("busybox"))?;
    let links = format!(
        "for name in $(/bin/busybox --list); do ln -s busybox {}/$name; done",
        bin.display()
    );
    let rpm = format!("rpm --root={} --nodeps", root.path().display());
    let package = format!("{}/*.rpm", packages.display());
    let script = format!(
        "{links} 2>/dev/null; {rpm} -i {package} && {rpm} -V sealgate && {rpm} -e sealgate && \
         cd {} && ! find . -path '*sealgate*' | grep .",
        root.path().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{said}");
    println!("   rpm --root: installed, verified and erased where no systemd runs");
    Ok(())
}
