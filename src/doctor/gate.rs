//! How the running gate is, by its own word, and the clock.

use jiff::{SignedDuration, Timestamp};

use super::check::Check;
use crate::control::{DenyListStatus, SandboxStatus, Status};

/// How far the clock may be behind what is on record: as the gate itself has it.
const BEHIND: SignedDuration = SignedDuration::from_secs(60);

/// What the running gate says of itself; `error` says why it says nothing, and `own` is the version
/// of this program.
#[must_use]
pub fn gate(status: Result<&Status, &str>, own: &str) -> Vec<Check> {
    let start = "systemctl enable --now sealgate.socket sealgate.service; journalctl -u sealgate";
    let status = match status {
        Ok(status) => status,
        Err(why) => return vec![Check::fail("gate", why, start)],
    };
    let restart = "systemctl restart sealgate.service";
    let running = format!("version {}, process {}", status.version, status.pid);
    let mut checks = vec![if status.version == own {
        Check::ok("gate", format!("runs: {running}"))
    } else {
        Check::warn("gate", format!("runs another version than {own}: {running}"), restart)
    }];
    checks.push(match &status.policy.reload_error {
        None => {
            Check::ok("gate-policy", format!("generation {} is in force", status.policy.generation))
        }
        Some(error) => {
            let first = error.lines().next().unwrap_or_default();
            let seen = format!("the last reload was not taken: {first}");
            Check::fail("gate-policy", seen, "sealgate policy check; systemctl reload sealgate")
        }
    });
    checks.push(match &status.runtime.error {
        None => Check::ok("containerd", status.runtime.version.clone().unwrap_or_default()),
        Some(error) => Check::fail("containerd", error, "systemctl status containerd"),
    });
    // Without containerd it is not known, which is said above.
    checks.extend(status.runtime.error.is_none().then(|| sandbox_image(&status.sandbox)));
    let audit = &status.audit;
    checks.push(if audit.healthy {
        Check::ok("gate-log", format!("{} records written", audit.written))
    } else {
        let why = audit.error.clone().unwrap_or_else(|| "records wait for the disk".to_owned());
        Check::fail("gate-log", why, "look at the disk of audit.path")
    });
    checks.push(match &status.evidence.error {
        None => Check::ok("gate-evidence", format!("{} entries", status.evidence.entries)),
        Some(error) => Check::fail("gate-evidence", error, "look at the disk of evidence.path"),
    });
    checks.extend(status.deny_lists.iter().map(deny_list));
    checks.push(enforcing(status));
    checks
}

/// How a deny list stands that is fetched.
fn deny_list(list: &DenyListStatus) -> Check {
    let (id, name) = ("deny-list", &list.name);
    let fetch = cure(list);
    let last = || list.message.clone().unwrap_or_else(|| "it was not fetched yet".to_owned());
    match (&list.fault, list.version) {
        (Some(fault), None) => {
            Check::fail(id, format!("{name}: what is kept of it is not believed: {fault}"), fetch)
        }
        (Some(fault), Some(version)) => {
            let seen = format!(
                "{name}, version {version}, is not known to be the newest that this node took: {fault}"
            );
            Check::fail(id, seen, fetch)
        }
        (None, None) => Check::fail(id, format!("{name} is not in force: {}", last()), fetch),
        (None, Some(version)) if list.expired => {
            let seen = format!("{name} has expired, and denies all the same: version {version}");
            Check::fail(id, seen, format!("have its maker publish a newer one; {fetch}"))
        }
        (None, Some(_)) if list.failed => {
            Check::warn(id, format!("{name}: the last fetch failed: {}", last()), fetch)
        }
        (None, Some(version)) => {
            Check::ok(id, format!("{name}, version {version}, {} entries", list.entries))
        }
    }
}

/// What mends a list by what came of its last fetch: to fetch again does not, where it was refused.
fn cure(list: &DenyListStatus) -> String {
    let (name, source) = (&list.name, &list.source);
    let fetch = format!("sealgate deny fetch {name}");
    match list.outcome.as_deref().filter(|_| list.failed) {
        Some("unreachable" | "unable") => {
            format!("see that this node reaches {source} (DNS, proxy, credentials); then {fetch}")
        }
        Some("absent") => {
            format!("publish it at {source}, or correct its source in policy.deny_lists")
        }
        Some("not-signed") => format!("sign it, or find out who put it to {source}; then {fetch}"),
        Some("rollback" | "equivocation") => {
            format!("find out who serves it at {source}; publish a newer version")
        }
        Some("not-in-force") => {
            "mend the policies: sealgate policy check; sealgate reload".to_owned()
        }
        Some("files") => format!("mend the folder policy.fetched; then {fetch}"),
        Some(_) => format!("correct the list and publish it at {source}; then {fetch}"),
        None => fetch,
    }
}

fn sandbox_image(status: &SandboxStatus) -> Check {
    let id = "sandbox-image";
    match (&status.image, &status.error) {
        (_, Some(why)) => {
            let is =
                |prefix: &str| status.code.as_ref().is_some_and(|code| code.starts_with(prefix));
            let mend = if is("registry-") {
                "see that this node reaches the registry (DNS, proxy, mirror): sealgate doctor \
                 --network; with no registry: sealgate evidence import"
            } else if is("runtime") {
                "systemctl status containerd"
            } else {
                "write a policy for it, or for its digest: sealgate-policy(5)"
            };
            Check::fail(id, format!("no pod starts: {why}"), mend)
        }
        (Some(image), None) => Check::ok(id, format!("{image} is admitted")),
        (None, None) => Check::warn(id, "not looked at yet", "run this again"),
    }
}

/// What the gate's test of itself shows. The kubelet and the policies have lines of their own.
fn enforcing(status: &Status) -> Check {
    let breach = status.enforcing.doubts.iter().find(|doubt| doubt.breach);
    match (breach, status.enforcing.doubts.first()) {
        (Some(doubt), _) => Check::fail(
            "enforcing",
            format!("{}: {}", doubt.reason, doubt.seen),
            "find out who listens: ss -xlp; systemctl restart sealgate.socket sealgate.service",
        ),
        (None, Some(doubt)) if doubt.reason == "no-kubelet" => {
            let mend = "start the kubelet with the gate's socket as its containerRuntimeEndpoint";
            Check::warn("enforcing", format!("{}: {}", doubt.reason, doubt.seen), mend)
        }
        (None, Some(doubt)) => {
            let seen = format!("not known to enforce, see above: {}", doubt.reason);
            Check::warn("enforcing", seen, "mend what is said above; sealgate canary")
        }
        (None, None) => Check::ok("enforcing", "an unsigned image was refused on the socket"),
    }
}

/// Whether the clock can be believed: `known` is the latest time on record, `synchronized` whether
/// something keeps the clock right, where that can be told.
#[must_use]
pub fn clock(now: Timestamp, known: Option<Timestamp>, synchronized: bool) -> Check {
    let set = "set the clock and keep it set: timedatectl set-ntp true";
    match known {
        Some(known) if known.duration_since(now) > BEHIND => {
            let seen =
                format!("the clock says {now:.0}, and decisions were recorded until {known:.0}");
            // Only a clock that is known to be right shows that the record was ahead.
            let mend = if synchronized { "sealgate clock lower" } else { set };
            Check::fail("clock", seen, mend)
        }
        Some(_) | None if synchronized => Check::ok("clock", format!("{now:.0}, synchronized")),
        Some(_) | None => Check::warn(
            "clock",
            format!("{now:.0}; nothing on this node says that it is synchronized"),
            set,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_clock_behind_the_record_fails() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(clock(at(1000), Some(at(1060)), true).outcome, Outcome::Ok);
        assert_eq!(clock(at(1000), Some(at(1061)), true).outcome, Outcome::Fail);
        assert_eq!(clock(at(1000), None, false).outcome, Outcome::Warn);
        let lowers = |known: i64, synchronized| {
            let check = clock(at(1000), Some(at(known)), synchronized);
            check.mend.is_some_and(|mend| mend.contains("clock lower"))
        };
        assert!(lowers(1061, true), "the clock is right: it was ahead once");
        assert!(!lowers(1061, false) && !lowers(1000, false), "it is behind, or may be");
    }

    #[test]
    fn a_sandbox_image_that_is_refused_fails() {
        let text = |text: &str| text.to_owned();
        let of = |image: Option<&str>, error: Option<&str>| {
            let (image, error) = (image.map(text), error.map(text));
            sandbox_image(&SandboxStatus { image, error, code: None }).outcome
        };
        let mend = |code: &str| {
            let (error, code) = (Some(text("x")), Some(text(code)));
            sandbox_image(&SandboxStatus { image: None, error, code }).mend.unwrap()
        };
        assert!(mend("registry-unreachable").contains("DNS"));
        assert!(mend("no-policy").contains("write a policy"));
        assert_eq!(of(Some("pause:1"), None), Outcome::Ok);
        assert_eq!(of(None, Some("no policy")), Outcome::Fail);
        assert_eq!(of(None, None), Outcome::Warn);
    }

    #[test]
    fn a_list_that_is_not_in_force_or_expired_fails_and_one_that_was_not_fetched_warns() {
        let list = DenyListStatus { version: Some(7), ..DenyListStatus::default() };
        assert_eq!(deny_list(&list).outcome, Outcome::Ok);
        let expired = DenyListStatus { expired: true, ..list.clone() };
        let failed = DenyListStatus { failed: true, ..list.clone() };
        let older = DenyListStatus { fault: Some("x".to_owned()), ..list.clone() };
        let edited = DenyListStatus { version: None, ..older.clone() };
        assert!(deny_list(&older).seen.contains("version 7"));
        assert_eq!(deny_list(&older).outcome, Outcome::Fail);
        assert_eq!(deny_list(&expired).outcome, Outcome::Fail);
        assert_eq!(deny_list(&failed).outcome, Outcome::Warn);
        assert_eq!(deny_list(&edited).outcome, Outcome::Fail);
        assert_eq!(deny_list(&DenyListStatus::default()).outcome, Outcome::Fail);
        let mend = |outcome: &str| {
            let outcome = Some(outcome.to_owned());
            deny_list(&DenyListStatus { outcome, ..failed.clone() }).mend.unwrap()
        };
        assert!(mend("unreachable").contains("DNS") && mend("not-signed").contains("sign it"));
    }

    #[test]
    fn a_gate_that_does_not_answer_fails() {
        let checks = gate(Err("nobody listens"), "0");
        assert_eq!((checks.len(), checks[0].id, checks[0].outcome), (1, "gate", Outcome::Fail));
    }
}
