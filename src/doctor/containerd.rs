//! What of containerd's own configuration matters to the gate: the snapshotter and the runtimes that
//! prove what runs, the mirrors that are asked, how images are pulled.
//!
//! The configuration is that of the process which serves the socket behind the gate, with its
//! imports. What containerd does at run time is proven by the gate itself, not here; its hooks are
//! in `hooks`.

use std::path::{Path, PathBuf};

use toml::Value;

use super::check::Check;
use super::containerd_config::{Configuration, of_socket};
use super::hooks;
use crate::control::Status;
use crate::node::{self, Process};

/// The tables of the CRI plugin in versions 3, 2 and 1 of the configuration.
const IMAGES: [&str; 3] = ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "cri"];
const RUNTIME: [&str; 3] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"];
/// That of the transfer service.
const TRANSFER: [&str; 1] = ["io.containerd.transfer.v1.local"];
/// The first containerd whose CRI plugin pulls through the transfer service.
const TRANSFERS: (u32, u32) = (2, 1);

/// What is asked about the runtime.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeSettings<'s> {
    /// What the gate is told of it.
    pub runtime: &'s crate::containerd::Options,
    /// The folders of mirrors that the gate reads.
    pub certs_dirs: &'s [PathBuf],
    /// What the gate says of it, where it runs.
    pub status: Option<&'s Status>,
}

impl RuntimeSettings<'_> {
    /// The major and minor version of containerd, where the gate has reached it.
    pub(super) fn version(&self) -> Option<(u32, u32)> {
        let text = self.status?.runtime.version.as_deref()?;
        text.split_whitespace().find_map(|word| {
            let mut parts = word.trim_start_matches('v').split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
    }
}

/// Looks at the configuration of the containerd below `root` that serves the runtime's socket.
#[must_use]
pub fn containerd(root: &Path, asked: RuntimeSettings<'_>) -> Vec<Check> {
    let processes = node::processes(root, &["containerd"]);
    let untold = processes.untold.into_iter().map(|(file, why)| {
        Check::warn("containerd-config", why, "run this as root, on the node itself")
            .at(file.display())
    });
    let mut checks: Vec<Check> = untold.collect();
    checks.extend(settings(root, &processes.own, asked));
    checks
}

fn settings(root: &Path, processes: &[Process], asked: RuntimeSettings<'_>) -> Vec<Check> {
    let RuntimeSettings { runtime, certs_dirs, status } = asked;
    let version = asked.version();
    let configuration = match of_socket(root, processes, runtime) {
        Ok(Some(configuration)) => configuration,
        Ok(None) => {
            let seen = "no containerd with this socket runs, and its configuration is not known";
            let mend = "systemctl start containerd; set runtime.socket to its socket";
            return vec![Check::warn("containerd-config", seen, mend).at(runtime.socket.display())];
        }
        Err((file, why)) => {
            let mend = "correct it: containerd config dump";
            return vec![Check::warn("containerd-config", why, mend).at(file.display())];
        }
    };
    let mut checks = vec![snapshotter(&configuration, runtime)];
    checks.extend(runtimes(&configuration, runtime));
    checks.push(mirrors(&configuration, certs_dirs));
    checks.extend(version.map(|version| pulls(&configuration, version, runtime)));
    checks.push(hooks::verifier(root, &configuration, version));
    let tripwire = status.zip(version);
    checks
        .extend(tripwire.map(|(status, version)| hooks::nri(&configuration, version, &status.nri)));
    checks
}

fn snapshotter(configuration: &Configuration, runtime: &crate::containerd::Options) -> Check {
    let id = "snapshotter";
    let set = configuration
        .find(&IMAGES, &["snapshotter"])
        .or_else(|| configuration.find(&IMAGES, &["containerd", "snapshotter"]));
    let name = set.as_ref().and_then(|found| found.value.as_str()).unwrap_or("overlayfs");
    let check = if runtime.snapshotters.iter().any(|allowed| allowed == name) {
        Check::ok(id, format!("{name}, which checks layers against the image"))
    } else {
        let seen = format!("{name} is not on runtime.snapshotters: every container is refused");
        Check::fail(id, seen, "use overlayfs; a lazy snapshotter runs what no signature speaks of")
    };
    configuration.placed(check, set)
}

fn runtimes(configuration: &Configuration, runtime: &crate::containerd::Options) -> Vec<Check> {
    let id = "runtimes";
    let mut checks = Vec::new();
    let found = configuration.find(&RUNTIME, &["containerd", "runtimes"]);
    let handlers = found.as_ref().and_then(|found| found.value.as_table());
    for (handler, settings) in handlers.into_iter().flatten() {
        let word = |key| settings.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, own) = (word("runtime_type"), word("snapshotter"));
        if !own.is_empty() && !runtime.snapshotters.iter().any(|allowed| allowed == own) {
            let seen = format!(
                "handler {handler} has the snapshotter {own}, which is not on \
                 runtime.snapshotters: its containers are refused"
            );
            let mend = "take its snapshotter out, so that it uses the one of all others";
            checks.push(Check::warn(id, seen, mend).at(configuration.line_of(own)));
        }
        if !kind.is_empty() && !runtime.runtimes.iter().any(|allowed| allowed == kind) {
            let seen = format!(
                "handler {handler} is {kind}, which is not on runtime.runtimes: its containers are \
                 refused"
            );
            let mend = "name it in runtime.runtimes if it runs the snapshot that containerd made";
            let at = configuration.line_of(kind);
            checks.push(Check::warn(id, seen, mend).at(at));
        }
    }
    if checks.is_empty() {
        let check = Check::ok(id, "every handler runs the snapshot that containerd made");
        checks.push(configuration.placed(check, found));
    }
    checks
}

fn mirrors(configuration: &Configuration, certs_dirs: &[PathBuf]) -> Check {
    let id = "mirrors";
    let set = configuration.find(&IMAGES, &["registry", "config_path"]);
    let paths = set.as_ref().and_then(|found| found.value.as_str()).unwrap_or_default();
    let other = paths
        .split(':')
        .filter(|path| !path.is_empty())
        .find(|path| !certs_dirs.iter().any(|known| known == Path::new(path)));
    if let Some(other) = other {
        let seen = format!("containerd reads mirrors from {other}, and the gate does not");
        let check = Check::warn(id, seen, "add it to registry.certs_dirs");
        return configuration.placed(check, set);
    }
    if let Some(inline) = configuration.find(&IMAGES, &["registry", "mirrors"]) {
        let seen = "containerd has mirrors that the gate does not read";
        let check = Check::warn(id, seen, "move them to hosts.toml files below config_path");
        return configuration.placed(check, Some(inline));
    }
    let seen = if paths.is_empty() { "none" } else { "the gate reads the same hosts.toml files" };
    configuration.placed(Check::ok(id, seen), set)
}

/// Who pulls for the CRI, and what unpacks what the transfer service pulls for others.
fn pulls(
    configuration: &Configuration,
    version: (u32, u32),
    runtime: &crate::containerd::Options,
) -> Check {
    let id = "pulls";
    let unpacks = configuration.find(&TRANSFER, &["unpack_config"]);
    let named = unpacks.as_ref().and_then(|found| found.value.as_array()).into_iter().flatten();
    let foreign = named
        .filter_map(|entry| entry.get("snapshotter").and_then(Value::as_str))
        .find(|name| !runtime.snapshotters.iter().any(|allowed| allowed == name));
    if let Some(foreign) = foreign {
        let seen =
            format!("the transfer service unpacks for {foreign}, not on runtime.snapshotters");
        let mend =
            "take it out of unpack_config; a lazy snapshotter runs what no signature speaks of";
        return configuration.placed(Check::warn(id, seen, mend), unpacks);
    }
    let local = configuration.find(&IMAGES, &["use_local_image_pull"]);
    let is_local = local.as_ref().is_some_and(|found| found.value.as_bool() == Some(true));
    let seen = match version {
        version if version < TRANSFERS => "the CRI plugin pulls by itself",
        _ if is_local => "the CRI plugin pulls by itself (use_local_image_pull)",
        _ => "the CRI plugin pulls through the transfer service",
    };
    configuration.placed(Check::ok(id, seen), local)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::Outcome;

    fn looked_over(node: &Path, certs_dirs: &[PathBuf]) -> Vec<Check> {
        let runtime = crate::containerd::Options::default();
        containerd(node, RuntimeSettings { runtime: &runtime, certs_dirs, status: None })
    }

    fn outcomes(node: &Path) -> Vec<(&'static str, Outcome)> {
        let checks = looked_over(node, &[PathBuf::from("/etc/containerd/certs.d")]);
        checks.iter().map(|check| (check.id, check.outcome)).collect()
    }

    fn node(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        dir
    }

    /// A process of the node's own, as `/proc` tells of it.
    fn process(dir: &tempfile::TempDir, pid: u32, command: &str) {
        let proc = dir.path().join(format!("proc/{pid}"));
        fs::create_dir_all(&proc).unwrap();
        let status = format!("Uid:\t0\t0\t0\t0\nNSpid:\t{pid}\n");
        let program = command.split(' ').next().unwrap().rsplit('/').next().unwrap();
        for (name, text) in [
            ("comm", program),
            ("cmdline", &command.replace(' ', "\0")),
            ("status", &status),
            ("cgroup", "0::/system.slice/containerd.service\n"),
            ("mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"),
        ] {
            fs::write(proc.join(name), text).unwrap();
        }
    }

    const WELL: &str = "version = 3\nimports = ['conf.d/*.toml']\n\
        [plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/containerd/certs.d'\n\
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n\
        runtime_type = 'io.containerd.runc.v2'\n";

    #[test]
    fn each_setting_has_a_line_and_imports_count() {
        let well = [
            ("snapshotter", Outcome::Ok),
            ("runtimes", Outcome::Ok),
            ("mirrors", Outcome::Ok),
            ("image-verifier", Outcome::Ok),
        ];
        let good = node(&[("etc/containerd/config.toml", WELL)]);
        assert_eq!(outcomes(good.path()), well);
        let lazy = "[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'stargz'\n";
        let bad =
            node(&[("etc/containerd/config.toml", WELL), ("etc/containerd/conf.d/9.toml", lazy)]);
        assert_eq!(outcomes(bad.path())[0], ("snapshotter", Outcome::Fail));
        assert_eq!(outcomes(bad.path())[1..], well[1..]);
        let checks = looked_over(bad.path(), &[]);
        assert_eq!(checks[0].place.as_deref(), Some("/etc/containerd/conf.d/9.toml:2"));
        // Mirrors of a folder that the gate does not read.
        assert_eq!((checks[2].id, checks[2].outcome), ("mirrors", Outcome::Warn));
    }

    #[test]
    fn the_configuration_is_that_of_the_process_behind_the_socket() {
        let old = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = \
            'stargz'\n";
        let dir = node(&[("own.toml", old), ("other.toml", WELL)]);
        process(&dir, 1, "init");
        process(&dir, 7, "containerd -a /other.sock -c /other.toml");
        process(&dir, 8, "/usr/bin/containerd --config=/own.toml");
        assert_eq!(outcomes(dir.path())[0], ("snapshotter", Outcome::Fail));
        assert_eq!(outcomes(node(&[]).path()), [("containerd-config", Outcome::Warn)]);
    }

    #[test]
    fn attack_g_a_containerd_of_a_container_names_no_file() {
        let dir = node(&[("etc/containerd/config.toml", WELL)]);
        process(&dir, 1, "init");
        process(&dir, 7, "containerd -c /pipe");
        nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = crate::containerd::Options::default().socket;
        process(&dir, 8, &format!("containerd -a {} -c /pipe", socket.display()));
        assert_eq!(outcomes(dir.path()), [("containerd-config", Outcome::Warn)], "not a file");
        let mountinfo = dir.path().join("proc/8/mountinfo");
        fs::write(&mountinfo, "731 1 0:9 / / rw - overlay overlay rw\n").unwrap();
        assert_eq!(outcomes(dir.path())[0], ("snapshotter", Outcome::Ok));
        fs::write(&mountinfo, "").unwrap();
        assert_eq!(outcomes(dir.path())[0], ("containerd-config", Outcome::Warn), "not told");
        assert_eq!(outcomes(dir.path())[1], ("snapshotter", Outcome::Ok));
    }
}
