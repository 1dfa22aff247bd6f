//! Whether systemd starts the gate, and the one that answers is it: the unit in force with its
//! drop-ins, and the socket that outlives a restart.
//!
//! What is judged is what `systemctl show` says; nothing here runs a program.

use std::path::Path;

use super::check::Check;
use crate::file_trust::{self, Above};

/// The units that are looked at.
pub const SERVICE: &str = "sealgate.service";
/// The socket of the kubelet.
pub const SOCKET: &str = "sealgate.socket";
/// The properties of them that count, as `systemctl show` is asked for them.
pub const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,UnitFileState,FragmentPath,\
    DropInPaths,NeedDaemonReload,MainPID,ExecStart,Listen";
/// Most drop-ins that a line names.
const NAMED_MAX: usize = 4;

/// What `systemctl show` says of one unit.
struct Unit<'t>(Vec<(&'t str, &'t str)>);

/// Judges the units of the gate by what `systemctl show` says of them, or why it says nothing; `gate`
/// is the process of the running gate, and `socket` where it is to listen.
#[must_use]
pub fn units(shown: Result<&str, &str>, gate: Option<u32>, socket: &Path) -> Vec<Check> {
    let shown = match shown {
        Ok(shown) => shown,
        Err(why) => {
            let mend = "see that something starts the gate with the node, and again when it ends";
            let seen = format!("no unit can be looked at: {why}");
            return vec![Check::warn("unit", seen, mend)];
        }
    };
    let units: Vec<Unit<'_>> = shown.split("\n\n").map(Unit::read).collect();
    let of = |id| units.iter().find(|unit| unit.get("Id") == id);
    vec![service(of(SERVICE), gate), activation(of(SOCKET), socket)]
}

fn service(unit: Option<&Unit<'_>>, gate: Option<u32>) -> Check {
    let id = "unit";
    let Some(unit) = unit.filter(|unit| unit.is_there()) else {
        let seen = format!("systemd knows no {SERVICE}: nothing starts the gate with the node");
        return Check::warn(id, seen, "make install; systemctl enable --now sealgate.service");
    };
    let file = unit.get("FragmentPath");
    let drop_ins: Vec<&str> = unit.get("DropInPaths").split_whitespace().collect();
    for path in std::iter::once(&file).chain(&drop_ins) {
        if let Err(fault) = file_trust::check(Path::new(path), Above::NobodyElse) {
            let mend = format!("chown root:root {path} && chmod go-w {path}");
            return Check::fail(id, fault.to_string(), mend).at(path);
        }
    }
    let main = unit.get("MainPID").parse().ok().filter(|pid| *pid != 0);
    let check = if !unit.starts_with_node() {
        let seen = format!("{SERVICE} is {}: nothing starts the gate with the node", unit.state());
        Check::fail(id, seen, format!("systemctl enable {SERVICE}"))
    } else if let Some(gate) = gate
        && main != Some(gate)
    {
        let own = main.map_or_else(|| "none".to_owned(), |pid: u32| pid.to_string());
        let seen = format!("the gate that answers is process {gate}, that of {SERVICE} is {own}");
        Check::fail(id, seen, format!("end that process; systemctl restart {SERVICE}"))
    } else if !unit.get("ExecStart").contains("sealgate run") {
        let seen = format!("{SERVICE} does not start \"sealgate run\"");
        Check::fail(id, seen, format!("systemctl cat {SERVICE}; take the ExecStart= out"))
    } else if unit.get("NeedDaemonReload") == "yes" {
        let seen = "its files have changed since systemd read them";
        Check::warn(id, seen, format!("systemctl daemon-reload; systemctl restart {SERVICE}"))
    } else {
        Check::ok(id, format!("{SERVICE} starts with the node; {}", said(&drop_ins)))
    };
    check.at(file)
}

fn activation(unit: Option<&Unit<'_>>, socket: &Path) -> Check {
    let id = "activation";
    let enable = format!("systemctl enable --now {SOCKET}");
    let Some(unit) = unit.filter(|unit| unit.is_there()) else {
        let seen = format!("systemd knows no {SOCKET}: a restart of the gate refuses connections");
        return Check::warn(id, seen, format!("make install; {enable}"));
    };
    let wanted = socket.to_string_lossy();
    let listens = unit
        .all("Listen")
        .any(|listen| listen.strip_suffix(" (Stream)").is_some_and(|path| path == wanted));
    let check = if !listens {
        let listen = unit.all("Listen").collect::<Vec<_>>().join(", ");
        let seen = format!("{SOCKET} listens on {listen}, and listen.socket is {wanted}");
        Check::fail(id, seen, format!("make both the same; systemctl restart {SOCKET}"))
    } else if unit.get("ActiveState") != "active" {
        let seen = format!("{SOCKET} is {}", unit.get("ActiveState"));
        Check::fail(id, format!("{seen}: a restart of the gate refuses connections"), enable)
    } else if unit.starts_with_node() {
        Check::ok(id, "systemd holds the kubelet's socket, whether the gate runs or not")
    } else {
        let seen = format!("{SOCKET} is {}: nobody opens it with the node", unit.state());
        Check::fail(id, seen, enable)
    };
    check.at(unit.get("FragmentPath"))
}

/// The drop-ins in words.
fn said(drop_ins: &[&str]) -> String {
    if drop_ins.is_empty() {
        return "no drop-in changes it".to_owned();
    }
    let more = drop_ins.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = drop_ins.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    format!("changed by {named}{more}")
}

impl<'t> Unit<'t> {
    fn read(text: &'t str) -> Self {
        Self(text.lines().filter_map(|line| line.split_once('=')).collect())
    }

    fn all(&self, key: &str) -> impl Iterator<Item = &'t str> {
        self.0.iter().filter(move |(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn get(&self, key: &str) -> &'t str {
        self.all(key).next().unwrap_or_default()
    }

    fn is_there(&self) -> bool {
        self.get("LoadState") == "loaded"
    }

    fn state(&self) -> &'t str {
        let state = self.get("UnitFileState");
        if state.is_empty() { "not enabled" } else { state }
    }

    fn starts_with_node(&self) -> bool {
        ["enabled", "static", "indirect", "generated", "alias"].contains(&self.state())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::Outcome;

    const WELL: &str = "Id=sealgate.service\nLoadState=loaded\nActiveState=active\n\
        UnitFileState=enabled\nFragmentPath=FILE\nDropInPaths=\nNeedDaemonReload=no\nMainPID=7\n\
        ExecStart={ path=/usr/bin/sealgate ; argv[]=/usr/bin/sealgate run ; pid=7 }\n\n\
        Id=sealgate.socket\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\
        FragmentPath=FILE\nListen=/run/sealgate/cri.sock (Stream)\n";

    /// The outcomes of both lines when this is replaced.
    fn outcomes(from: &str, to: &str) -> [Outcome; 2] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("unit");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(from.is_empty() || WELL.contains(from), "{from}");
        let text = WELL.replacen(from, to, 1).replace("FILE", &file.display().to_string());
        let checks = units(Ok(&text), Some(7), Path::new("/run/sealgate/cri.sock"));
        let outcomes: Vec<Outcome> = checks.iter().map(|check| check.outcome).collect();
        outcomes.try_into().unwrap()
    }

    #[test]
    fn each_fault_of_a_unit_is_on_its_own_line() {
        let (ok, warn, fail) = (Outcome::Ok, Outcome::Warn, Outcome::Fail);
        assert_eq!(outcomes("", ""), [ok, ok]);
        for (from, to, expected) in [
            ("UnitFileState=enabled", "UnitFileState=disabled", [fail, ok]),
            ("UnitFileState=enabled", "UnitFileState=", [fail, ok]),
            ("MainPID=7", "MainPID=8", [fail, ok]),
            ("MainPID=7", "MainPID=0", [fail, ok]),
            ("sealgate run", "sleep 1", [fail, ok]),
            ("NeedDaemonReload=no", "NeedDaemonReload=yes", [warn, ok]),
            ("DropInPaths=", "DropInPaths=/gone.conf", [fail, ok]),
            ("LoadState=loaded", "LoadState=not-found", [warn, ok]),
            ("/run/sealgate/cri.sock", "/run/other.sock", [ok, fail]),
            (
                "enabled\nFragmentPath=FILE\nListen",
                "disabled\nFragmentPath=FILE\nListen",
                [ok, fail],
            ),
            (
                "active\nUnitFileState=enabled\nFragmentPath=FILE\nListen",
                "inactive\nUnitFileState=enabled\nFragmentPath=FILE\nListen",
                [ok, fail],
            ),
        ] {
            assert_eq!(outcomes(from, to), expected, "{to}");
        }
    }

    #[test]
    fn without_systemd_that_is_said() {
        let checks = units(Err("systemd does not run here"), None, Path::new("/s"));
        assert_eq!((checks.len(), checks[0].id, checks[0].outcome), (1, "unit", Outcome::Warn));
        let none = units(Ok(""), None, Path::new("/s"));
        assert_eq!(none.iter().map(|check| check.outcome).collect::<Vec<_>>(), [Outcome::Warn; 2]);
    }
}
