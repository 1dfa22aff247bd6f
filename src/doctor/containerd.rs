//! What of containerd's own configuration matters to the gate: the snapshotter and the runtimes that
//! prove what runs, the mirrors that are asked, and who may put a program into the image verifier.
//!
//! The configuration is that of the process which serves the socket behind the gate, with its
//! imports. What containerd does at run time is proven by the gate itself, not here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::check::Check;
use crate::file_trust::{self, Above};
use crate::node::{self, Process};

/// Where containerd has its configuration and its socket by default.
const CONFIG: &str = "/etc/containerd/config.toml";
const ADDRESS: &str = "/run/containerd/containerd.sock";
/// Most files that one imports.
const IMPORTS_MAX: usize = 64;
/// The tables of the CRI plugin in versions 3, 2 and 1 of the configuration.
const IMAGES: [&str; 3] = ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "cri"];
const RUNTIME: [&str; 3] = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "cri"];
const VERIFIER: [&str; 1] = ["io.containerd.image-verifier.v1.bindir"];

/// One file of the configuration.
struct Part {
    file: PathBuf,
    text: String,
    table: Table,
}

/// The file and those that it imports, in the order in which they count.
struct Configuration(Vec<Part>);

/// A value, and where it stands.
struct Found<'c> {
    value: &'c Value,
    place: String,
}

/// Looks at the configuration of the containerd below `root` that serves the runtime's socket.
#[must_use]
pub fn containerd(
    root: &Path,
    runtime: &crate::containerd::Options,
    certs_dirs: &[PathBuf],
) -> Vec<Check> {
    let processes = node::processes(root, &["containerd"]);
    let untold = processes.untold.into_iter().map(|(file, why)| {
        Check::warn("containerd-config", why, "run this as root, on the node itself")
            .at(file.display())
    });
    let mut checks: Vec<Check> = untold.collect();
    checks.extend(settings(root, &processes.own, runtime, certs_dirs));
    checks
}

fn settings(
    root: &Path,
    processes: &[Process],
    runtime: &crate::containerd::Options,
    certs_dirs: &[PathBuf],
) -> Vec<Check> {
    let configuration = match of_socket(root, processes, &runtime.socket) {
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
    checks.push(verifier(&configuration));
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
    placed(check, set, configuration)
}

fn runtimes(configuration: &Configuration, runtime: &crate::containerd::Options) -> Vec<Check> {
    let id = "runtimes";
    let mut checks = Vec::new();
    let found = configuration.find(&RUNTIME, &["containerd", "runtimes"]);
    let handlers = found.as_ref().and_then(|found| found.value.as_table());
    for (handler, settings) in handlers.into_iter().flatten() {
        let kind = settings.get("runtime_type").and_then(Value::as_str).unwrap_or_default();
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
        checks.push(placed(check, found, configuration));
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
        return placed(check, set, configuration);
    }
    if let Some(inline) = configuration.find(&IMAGES, &["registry", "mirrors"]) {
        let seen = "containerd has mirrors that the gate does not read";
        let check = Check::warn(id, seen, "move them to hosts.toml files below config_path");
        return placed(check, Some(inline), configuration);
    }
    let seen = if paths.is_empty() { "none" } else { "the gate reads the same hosts.toml files" };
    placed(Check::ok(id, seen), set, configuration)
}

/// Whoever may write a program into the folder decides about images, and runs as root.
fn verifier(configuration: &Configuration) -> Check {
    let id = "image-verifier";
    let set = configuration.find(&VERIFIER, &["bin_dir"]);
    let folder = set.as_ref().and_then(|found| found.value.as_str()).map(PathBuf::from);
    let check = match folder {
        None => Check::ok(id, "not used"),
        Some(folder) if !folder.exists() => {
            Check::ok(id, format!("not used: {} is not there", folder.display()))
        }
        Some(folder) => match file_trust::check(&folder, Above::NobodyElse) {
            Ok(()) => Check::ok(id, format!("{} is root's alone to write", folder.display())),
            Err(fault) => {
                let mend = format!("chown root:root {0} && chmod go-w {0}", folder.display());
                Check::fail(id, fault.to_string(), mend)
            }
        },
    };
    placed(check, set, configuration)
}

fn placed(check: Check, found: Option<Found<'_>>, configuration: &Configuration) -> Check {
    let place = found.map(|found| found.place);
    check.at(place.unwrap_or_else(|| configuration.line_of("")))
}

impl Configuration {
    /// Reads a file and what it imports.
    fn read(root: &Path, file: &Path) -> Result<Self, (PathBuf, String)> {
        let main = Part::read(root, file)?;
        let imports = main.table.get("imports").and_then(Value::as_array).cloned();
        let mut parts = vec![main];
        for import in imports.iter().flatten().filter_map(Value::as_str) {
            let import = file.parent().unwrap_or(file).join(import);
            for path in matching(root, &import) {
                if path == file {
                    continue;
                }
                if parts.len() > IMPORTS_MAX {
                    return Err((
                        file.to_owned(),
                        format!("imports more than {IMPORTS_MAX} files"),
                    ));
                }
                parts.push(Part::read(root, &path)?);
            }
        }
        Ok(Self(parts))
    }

    /// The value of a key below the first of these plugins that has it; the last file counts.
    fn find(&self, plugins: &[&str], keys: &[&str]) -> Option<Found<'_>> {
        self.0.iter().rev().find_map(|part| {
            let all = part.table.get("plugins")?.as_table()?;
            let value = plugins.iter().find_map(|plugin| {
                keys.iter().try_fold(all.get(*plugin)?, |value, key| value.get(key))
            })?;
            let key = keys.last().copied().unwrap_or_default();
            Some(Found { value, place: part.line_of(key) })
        })
    }

    fn address(&self) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find_map(|part| part.table.get("grpc")?.get("address")?.as_str())
            .filter(|address| !address.is_empty())
    }

    /// The place of a word in the main file.
    fn line_of(&self, word: &str) -> String {
        self.0.first().map(|part| part.line_of(word)).unwrap_or_default()
    }
}

impl Part {
    fn read(root: &Path, file: &Path) -> Result<Self, (PathBuf, String)> {
        let failed = |why: String| (file.to_owned(), why);
        let text = node::read(&below(root, file))
            .map_err(|unusable| failed(format!("cannot be read: {unusable}")))?;
        let table = text
            .parse::<Table>()
            .map_err(|error| failed(format!("cannot be read: {}", error.message())))?;
        Ok(Self { file: file.to_owned(), text, table })
    }

    fn line_of(&self, word: &str) -> String {
        let line = self.text.lines().position(|line| line.contains(word));
        match line.filter(|_| !word.is_empty()) {
            Some(line) => format!("{}:{}", self.file.display(), line + 1),
            None => self.file.display().to_string(),
        }
    }
}

/// The configuration of the containerd that serves `socket`; the default file where it says that it
/// is for that socket and none runs.
fn of_socket(
    root: &Path,
    processes: &[Process],
    socket: &Path,
) -> Result<Option<Configuration>, (PathBuf, String)> {
    for process in processes {
        let option = |names: [&str; 2]| option(&process.command, names);
        let config = option(["--config", "-c"]).unwrap_or_else(|| CONFIG.to_owned());
        let address = option(["--address", "-a"]);
        // One that serves another socket, and has no readable configuration, is none of ours.
        let Ok(configuration) = Configuration::read(root, Path::new(&config)) else {
            if address.as_deref().is_some_and(|address| Path::new(address) == socket) {
                return Configuration::read(root, Path::new(&config)).map(Some);
            }
            continue;
        };
        let address = address.as_deref().or_else(|| configuration.address()).unwrap_or(ADDRESS);
        if Path::new(address) == socket {
            return Ok(Some(configuration));
        }
    }
    if !below(root, Path::new(CONFIG)).exists() {
        return Ok(None);
    }
    let configuration = Configuration::read(root, Path::new(CONFIG))?;
    let is_ours = Path::new(configuration.address().unwrap_or(ADDRESS)) == socket;
    Ok(is_ours.then_some(configuration))
}

fn option(command: &[String], names: [&str; 2]) -> Option<String> {
    let mut words = command.iter();
    while let Some(word) = words.next() {
        if names.contains(&word.as_str()) {
            return words.next().cloned();
        }
        if let Some((name, value)) = word.split_once('=')
            && names.contains(&name)
        {
            return Some(value.to_owned());
        }
    }
    None
}

/// The files that an import names: a path, or a folder with `*.toml`.
fn matching(root: &Path, import: &Path) -> Vec<PathBuf> {
    let name = import.file_name().map(|name| name.to_string_lossy().into_owned());
    let (Some(name), Some(folder)) = (name, import.parent()) else { return Vec::new() };
    let Some((before, after)) = name.split_once('*') else { return vec![import.to_owned()] };
    let list = || -> io::Result<Vec<PathBuf>> {
        let names = fs::read_dir(below(root, folder))?.flatten().map(|entry| entry.file_name());
        let mut paths: Vec<PathBuf> = names
            .filter(|name| {
                let name = name.to_string_lossy();
                name.starts_with(before) && name.ends_with(after)
            })
            .map(|name| folder.join(name))
            .collect();
        paths.sort();
        Ok(paths)
    };
    // A folder that is not there holds nothing.
    list().unwrap_or_default()
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::Outcome;

    fn outcomes(node: &Path) -> Vec<(&'static str, Outcome)> {
        let options = crate::containerd::Options::default();
        let certs = [PathBuf::from("/etc/containerd/certs.d")];
        let checks = containerd(node, &options, &certs);
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
        let checks = containerd(bad.path(), &crate::containerd::Options::default(), &[]);
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
