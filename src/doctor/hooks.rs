//! The hooks by which containerd asks the gate also of what others tell it to do: the tripwire (NRI)
//! and the image verifier, which runs programs of a folder as root.

use std::fs;
use std::io;
use std::path::Path;

use super::check::Check;
use super::containerd_config::{Configuration, below};
use crate::control::NriStatus;
use crate::file_trust::{self, Above};

const NRI: [&str; 1] = ["io.containerd.nri.v1.nri"];
const VERIFIER: [&str; 1] = ["io.containerd.image-verifier.v1.bindir"];
/// The first containerd that has NRI, and the first that has it on, and the image verifier.
const HAS_NRI: (u32, u32) = (1, 7);
const NRI_IS_ON: (u32, u32) = (2, 0);
const HAS_VERIFIER: (u32, u32) = (2, 0);
/// Where containerd looks for verifiers, and how many of them it runs, unless it is told otherwise.
const BIN_DIR: &str = "/opt/containerd/image-verifier/bin";
const VERIFIERS: usize = 10;
/// Most entries of that folder that are looked at.
const ENTRIES_MAX: usize = 256;
/// The program under the name by which it is a verifier; what begins so, such as a script, is too.
const OWN: &str = "sealgate";

/// Whether the runtime asks the gate about containers that others create.
pub(super) fn nri(configuration: &Configuration, version: (u32, u32), status: &NriStatus) -> Check {
    let id = "nri";
    let (major, minor) = version;
    let disable = configuration.find(&NRI, &["disable"]);
    let is_off = match disable.as_ref().and_then(|found| found.value.as_bool()) {
        Some(is_off) => is_off,
        None => version < NRI_IS_ON,
    };
    let check = if version < HAS_NRI {
        let seen = format!(
            "containerd {major}.{minor} has no NRI, and does not ask about containers that others \
             create"
        );
        Check::ok(id, seen)
    } else if status.connected {
        Check::ok(id, "containerd asks the gate before it makes a container of a pod")
    } else if status.mode == "off" {
        let seen = "nri.mode is \"off\": containers that others create at containerd are not seen";
        Check::warn(id, seen, "set nri.mode = \"auto\"; systemctl restart sealgate.service")
    } else if is_off {
        let seen = "containerd has NRI turned off: containers that others create are not seen";
        let mend = "set disable = false in [plugins.\"io.containerd.nri.v1.nri\"]; systemctl restart \
            containerd";
        Check::warn(id, seen, mend)
    } else {
        let why = status.error.as_deref().unwrap_or("not connected yet");
        let seen = format!("containerd has NRI, and does not ask the gate: {why}");
        Check::fail(id, seen, "set nri.socket to the socket_path of containerd's NRI")
    };
    configuration.placed(check, disable)
}

/// Who may put a program into the image verifier, and whether the gate is asked by it. Whoever may
/// write a program there decides about images, and runs as root.
pub(super) fn verifier(
    root: &Path,
    configuration: &Configuration,
    version: Option<(u32, u32)>,
) -> Check {
    let id = "image-verifier";
    let set = configuration.find(&VERIFIER, &["bin_dir"]);
    if set.is_none() && version.is_some_and(|version| version < HAS_VERIFIER) {
        return configuration.placed(Check::ok(id, "this containerd has none"), None);
    }
    let named = set.as_ref().and_then(|found| found.value.as_str()).unwrap_or(BIN_DIR);
    let folder = below(root, Path::new(named));
    let check = match programs(&folder) {
        Err(why) => Check::warn(id, format!("{named} cannot be read: {why}"), "run this as root"),
        Ok(programs) if programs.is_empty() => {
            let seen = format!("not used, {named} has no program: no policy for pulls by ctr");
            Check::ok(id, seen)
        }
        Ok(programs) => judged(configuration, (named, &folder), &programs),
    };
    configuration.placed(check, set)
}

fn judged(
    configuration: &Configuration,
    (named, folder): (&str, &Path),
    programs: &[String],
) -> Check {
    let id = "image-verifier";
    let paths = programs.iter().map(|name| folder.join(name));
    for path in std::iter::once(folder.to_owned()).chain(paths) {
        if let Err(fault) = file_trust::check(&path, Above::NobodyElse) {
            let mend = format!("chown root:root {0} && chmod go-w {0}", path.display());
            return Check::fail(id, fault.to_string(), mend);
        }
    }
    let Some(at) = programs.iter().position(|name| name.starts_with(OWN)) else {
        return Check::ok(id, format!("{named} is root's alone, and none of it asks the gate"));
    };
    let most = configuration.find(&VERIFIER, &["max_verifiers"]);
    let most = most.and_then(|found| found.value.as_integer());
    let most = most.map_or(Some(VERIFIERS), |most| usize::try_from(most).ok());
    if most.is_some_and(|most| at >= most) {
        let seen = format!("containerd runs fewer programs of {named} than come before the gate's");
        return Check::fail(id, seen, "raise max_verifiers; systemctl restart containerd");
    }
    let on_run = configuration.find(&VERIFIER, &["verify_on_run"]);
    if on_run.is_some_and(|found| found.value.as_bool() == Some(true)) {
        let seen = "containerd asks it about containers too, which the gate refuses to answer";
        return Check::fail(id, seen, "set verify_on_run = false; systemctl restart containerd");
    }
    Check::ok(id, format!("{named} is root's alone, and asks the gate"))
}

/// What containerd would run, in its order.
fn programs(folder: &Path) -> Result<Vec<String>, String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let names = entries
        .take(ENTRIES_MAX + 1)
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> =
        names.collect::<io::Result<_>>().map_err(|error| error.to_string())?;
    if names.len() > ENTRIES_MAX {
        return Err(format!("more than {ENTRIES_MAX} programs"));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::Outcome;

    /// A node with this configuration, and these programs in the usual folder.
    fn node(text: &str, programs: &[&str]) -> (tempfile::TempDir, Configuration) {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str, mode: u32| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("etc/containerd/config.toml", text, 0o644);
        for name in programs {
            put(&format!("opt/containerd/image-verifier/bin/{name}"), "", 0o755);
        }
        let runtime = crate::containerd::Options::default();
        let read = super::super::containerd_config::of_socket(dir.path(), &[], &runtime);
        let configuration = read.ok().flatten().unwrap();
        (dir, configuration)
    }

    fn table(name: &str, lines: &str) -> String {
        format!("version = 3\n[debug]\ndisable = 1\n[plugins.'{name}']\n{lines}\n")
    }

    #[test]
    fn the_tripwire_is_connected_or_there_is_a_reason() {
        let status = |mode: &str, connected| NriStatus {
            mode: mode.to_owned(),
            connected,
            ..NriStatus::default()
        };
        let of = |lines: &str, version, status: &NriStatus| {
            let (_dir, configuration) = node(&table(NRI[0], lines), &[]);
            nri(&configuration, version, status)
        };
        let away = status("auto", false);
        for (lines, version, status, outcome) in [
            ("", (2, 1), &status("auto", true), Outcome::Ok),
            ("", (2, 1), &away, Outcome::Fail),
            ("disable = true", (2, 1), &away, Outcome::Warn),
            ("", (1, 7), &away, Outcome::Warn),
            ("disable = false", (1, 7), &away, Outcome::Fail),
            ("", (2, 1), &status("off", false), Outcome::Warn),
            ("", (1, 6), &away, Outcome::Ok),
        ] {
            assert_eq!(of(lines, version, status).outcome, outcome, "{lines} {version:?}");
        }
        let place = of("socket_path = 'x'\ndisable = true", (2, 1), &away).place.unwrap();
        assert_eq!(place, "/etc/containerd/config.toml:6", "of the plugin, not of another table");
    }

    #[test]
    fn verifiers_are_roots_alone_and_the_gates_is_run() {
        let of = |lines: &str, programs: &[&str]| {
            let (dir, configuration) = node(&table(VERIFIER[0], lines), programs);
            verifier(dir.path(), &configuration, Some((2, 1)))
        };
        let own = "sealgate-image-verifier";
        for (lines, programs, outcome, says) in [
            ("", &[][..], Outcome::Ok, "not used"),
            ("", &["other"], Outcome::Ok, "none of it asks the gate"),
            ("", &["other", own], Outcome::Ok, "and asks the gate"),
            ("max_verifiers = 1", &["other", own], Outcome::Fail, "fewer programs"),
            ("max_verifiers = -1", &["other", own], Outcome::Ok, "and asks the gate"),
            ("verify_on_run = true", &[own], Outcome::Fail, "about containers too"),
        ] {
            let check = of(lines, programs);
            assert_eq!(check.outcome, outcome, "{lines} {programs:?}");
            assert!(check.seen.contains(says), "{}", check.seen);
        }
        let (dir, configuration) = node("", &[own]);
        let none = verifier(dir.path(), &configuration, Some((1, 7)));
        assert_eq!(none.seen, "this containerd has none");
    }

    #[test]
    fn attack_g_a_verifier_that_others_may_write_fails() {
        let (dir, configuration) = node("", &["sealgate-image-verifier"]);
        let folder = dir.path().join("opt/containerd/image-verifier/bin");
        for (path, mode) in [(&folder.join("sealgate-image-verifier"), 0o777), (&folder, 0o777)] {
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let check = verifier(dir.path(), &configuration, Some((2, 1)));
            assert_eq!(check.outcome, Outcome::Fail, "{}", path.display());
            fs::set_permissions(path, before).unwrap();
        }
    }
}
