//! `sealgate status`: how the running gate is, for a tired person.

use super::terminal::field::documents;
use super::terminal::gate::{ask_daemon, complain_of, print_enforcing, uptime};
use super::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::control::{
    Answer, AuditStatus, ConnectionStatus, DenyListStatus, DoubtStatus, EvidenceStatus, NriStatus,
    Request, SandboxStatus, Status, TrustStatus,
};
use crate::policy::DocumentCounts;

/// Asks the gate and prints its answer; 1 when something needs a person.
pub(super) fn run(settings: &Settings, screen: &mut Screen) -> Exit {
    match ask_daemon(settings, Request::Status) {
        Ok(Answer::Status(status)) => {
            if screen.is_json() {
                screen.json(&status);
            } else {
                print(&status, screen);
            }
            if is_well(&status) { Exit::Done } else { Exit::Refused }
        }
        other => complain_of(other, "no status", screen),
    }
}

/// What keeps the gate from refusing anything without its being broken: its policies, and a kubelet
/// that goes around it. One that has not called yet, or whose files cannot be read, is no such thing.
const REFUSES_NOTHING: [&str; 2] = ["admits-everything", "kubelet-elsewhere"];

/// Whether nothing needs a person. A gate that refuses nothing does, even where that is meant, and
/// so does one under which no pod starts: a script that asks for the exit code sees no words.
fn is_well(status: &Status) -> bool {
    !status.policy.observe
        && status.sandbox.error.is_none()
        && status.policy.reload_error.is_none()
        && status.runtime.error.is_none()
        && status.audit.healthy
        && status.audit.exposed.is_none()
        && status.evidence.healthy
        && !status.enforcing.doubts.iter().any(is_grave)
        && !status.deny_lists.iter().any(needs_a_person)
}

fn is_grave(doubt: &DoubtStatus) -> bool {
    doubt.breach || REFUSES_NOTHING.contains(&doubt.reason.as_str())
}

/// Nothing of it is in force, what is should have been replaced by now, or the last fetch found what
/// somebody made who should not have. A source that is away for a while is not counted: the list in
/// force denies, and its end is an alarm of its own.
fn needs_a_person(list: &DenyListStatus) -> bool {
    let is_suspect = |code: &str| matches!(code, "rollback" | "equivocation" | "not-signed");
    list.version.is_none()
        || list.expired
        || list.fault.is_some()
        || (list.failed && list.outcome.as_deref().is_some_and(is_suspect))
}

fn print(status: &Status, screen: &mut Screen) {
    if status.policy.observe {
        let what = "OBSERVE mode: nothing is refused; sealgate policy observed lists what would be";
        screen.line(&screen.tone(Tone::Bad, what));
    }
    print_enforcing(&status.enforcing, screen);
    let up = uptime(status.up_seconds);
    screen.line(&format!("sealgate {}, process {}, up {up}", status.version, status.pid));
    let policy = &status.policy;
    screen.line(&format!(
        "policy   generation {}, {}; keys generation {}",
        policy.generation,
        documents(DocumentCounts {
            policies: policy.policies,
            deny_lists: policy.deny_lists,
            exceptions: policy.exceptions,
        }),
        policy.trust_generation
    ));
    if let Some(error) = &policy.reload_error {
        let bad =
            screen.tone(Tone::Bad, "the last reload was not taken; the set before it is in force:");
        screen.line(&format!("         {bad}"));
        for fault in faults(error) {
            screen.line(&format!("           {fault}"));
        }
    }
    for warning in &policy.warnings {
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!("         {warn} {}", plain(warning)));
    }
    for sentence in &policy.unproven {
        let warn = screen.tone(Tone::Warn, &plain(sentence));
        screen.line(&format!("         {warn}"));
    }
    print_trust(&status.trust, screen);
    print_deny_lists(&status.deny_lists, screen);
    let runtime = &status.runtime;
    let state = match (&runtime.version, &runtime.error) {
        (Some(version), _) => screen.tone(Tone::Good, &plain(version)),
        (None, Some(error)) => screen.tone(Tone::Bad, &plain(error)),
        (None, None) => "unknown".to_owned(),
    };
    screen.line(&format!("runtime  {} on {}", state, plain(&runtime.socket)));
    print_sandbox(&status.sandbox, screen);
    print_nri(&status.nri, screen);
    print_connections(&status.connections, screen);
    print_audit(&status.audit, screen);
    let memory = &status.memory;
    screen.line(&format!(
        "memory   {} verdicts, {} pieces of evidence, {} proven contents",
        memory.verdicts, memory.evidence, memory.contents
    ));
    print_evidence(&status.evidence, screen);
}

fn print_deny_lists(lists: &[DenyListStatus], screen: &mut Screen) {
    for list in lists {
        let name = plain(&list.name);
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&match (list.version, &list.expires) {
            (Some(version), Some(expires)) => format!(
                "denies   list {name}, version {version}, {} entries, expires {}",
                list.entries,
                plain(expires)
            ),
            (_, _) => {
                let bad = screen.tone(Tone::Bad, "NOTHING IS IN FORCE");
                format!("denies   list {name}: {bad}")
            }
        });
        let fetched = list.fetched.as_deref().unwrap_or("never");
        screen.line(&format!("         fetched {} from {}", plain(fetched), plain(&list.source)));
        if list.expired {
            screen.line(&format!(
                "         {warn} it has expired and denies all the same: nobody renewed it, or this \
                 node is kept from newer ones"
            ));
        }
        if let Some(fault) = &list.fault {
            let what = match list.version {
                Some(_) => "it denies, and is not known to be the newest that this node took:",
                None => "what is kept of it is not believed:",
            };
            let bad = screen.tone(Tone::Bad, what);
            screen.line(&format!("         {bad} {}", plain(fault)));
        }
        if list.failed {
            let (code, why) = (list.outcome.as_deref(), list.message.as_deref());
            let (code, why) = (plain(code.unwrap_or_default()), plain(why.unwrap_or_default()));
            screen.line(&format!("         {warn} the last fetch failed, {code}: {why}"));
        }
    }
}

fn print_audit(audit: &AuditStatus, screen: &mut Screen) {
    let health = if audit.healthy {
        screen.tone(Tone::Good, "writable")
    } else {
        screen.tone(Tone::Bad, "NOT WRITABLE")
    };
    screen.line(&format!(
        "audit    {health}, {} records written, {} failed",
        audit.written, audit.failed
    ));
    if let Some(error) = &audit.error {
        let bad = screen.tone(Tone::Bad, "the last record was not taken:");
        screen.line(&format!("         {bad} {}", plain(error)));
    }
    if let Some(fault) = &audit.exposed {
        let bad = screen.tone(Tone::Bad, "not safe from others:");
        screen.line(&format!("         {bad} {}", plain(fault)));
    }
    if let (Some(entries), Some(seconds)) = (audit.sealed, audit.seal_age_seconds) {
        let age = uptime(seconds);
        screen.line(&format!("         sealed: {entries} entries, by a checkpoint of {age} ago"));
    }
    if let Some(fault) = &audit.unsealed {
        let warn = screen.tone(Tone::Warn, "not sealed, changes would not be noticed:");
        screen.line(&format!("         {warn} {}", plain(fault)));
    }
    if let Some(doubt) = &audit.seal_doubt {
        let bad = screen.tone(Tone::Bad, "the seal:");
        screen.line(&format!("         {bad} {}", plain(doubt)));
    }
    if audit.waiting > 0 || audit.late > 0 {
        let warn = screen.tone(Tone::Warn, "warning:");
        let (late, waiting) = (audit.late, audit.waiting);
        screen.line(&format!(
            "         {warn} {late} records were late since the start, {waiting} wait for the disk"
        ));
    }
}

fn print_sandbox(sandbox: &SandboxStatus, screen: &mut Screen) {
    let state = match (&sandbox.image, &sandbox.error) {
        (Some(image), _) => {
            format!("{}, {}", plain(image), screen.tone(Tone::Good, "admitted"))
        }
        (None, Some(error)) => {
            let bad = screen.tone(Tone::Bad, "pods may not start:");
            format!("{bad} {}", plain(error))
        }
        (None, None) => "not looked at yet".to_owned(),
    };
    screen.line(&format!("sandbox  {state}"));
}

fn print_nri(nri: &NriStatus, screen: &mut Screen) {
    let NriStatus { mode, connected, error, asked, refused } = nri;
    let state = match (connected, error) {
        (true, _) => screen.tone(Tone::Good, "the runtime asks before it makes a container"),
        (false, Some(error)) => screen.tone(Tone::Warn, &plain(error)),
        (false, None) => "off".to_owned(),
    };
    screen.line(&format!("nri      {state} ({}), {asked} asked, {refused} refused", plain(mode)));
}

fn print_connections(connections: &ConnectionStatus, screen: &mut Screen) {
    let ConnectionStatus { open, limit, refused, displaced, most } = *connections;
    screen.line(&format!("clients  {open} connections of {limit} at most"));
    if refused + displaced > 0 {
        let warn = screen.tone(Tone::Warn, "warning:");
        let most = most
            .map(|most| format!("; process {} holds {}", most.pid, most.open))
            .unwrap_or_default();
        screen.line(&format!(
            "         {warn} {refused} were refused and {displaced} idle ones closed for others, \
             since the start{most}"
        ));
    }
}

fn print_evidence(evidence: &EvidenceStatus, screen: &mut Screen) {
    let health = if evidence.healthy {
        screen.tone(Tone::Good, "well")
    } else {
        screen.tone(Tone::Bad, "NOT USABLE IN FULL")
    };
    let (path, kib) = (plain(&evidence.path), evidence.bytes.div_ceil(1024));
    screen.line(&format!("evidence {health}, {} entries, {kib} KiB in {path}", evidence.entries));
    if let Some(error) = &evidence.error {
        let bad = screen.tone(Tone::Bad, "the last touch of it failed:");
        screen.line(&format!("         {bad} {}", plain(error)));
    }
    if evidence.failed_writes > 0 || evidence.broken > 0 {
        let (failed, broken) = (evidence.failed_writes, evidence.broken);
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!(
            "         {warn} {failed} writes failed, {broken} files were broken, since the start"
        ));
    }
    let refreshes = &evidence.refreshes;
    screen.line(&format!(
        "         refreshed: {} confirmed, {} withdrawn, {} unanswered, {} under way",
        refreshes.confirmed, refreshes.withdrawn, refreshes.unanswered, refreshes.underway
    ));
    let rejudged = &evidence.rejudged;
    if rejudged.left + rejudged.admitted + rejudged.left_out > 0 {
        screen.line(&format!(
            "         after the last reload: {} admitted again in {} ms, {} not by the evidence \
             here, {} to go",
            rejudged.admitted, rejudged.millis, rejudged.left_out, rejudged.left
        ));
    }
}

fn print_trust(trust: &TrustStatus, screen: &mut Screen) {
    let roots = if trust.roots.is_empty() {
        "no root is kept fresh".to_owned()
    } else {
        plain(&trust.roots.join(", "))
    };
    let ends = if trust.warnings.is_empty() { "; nothing ends soon" } else { "" };
    screen.line(&format!("trust    {roots}{ends}"));
    for warning in &trust.warnings {
        let warn = screen.tone(Tone::Warn, "warning:");
        screen.line(&format!("         {warn} {}", plain(warning)));
    }
}

/// One fault a line, as the loader joins them.
fn faults(error: &str) -> Vec<String> {
    error.lines().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canary::Fault;

    /// A gate of which nothing needs a person, and with it each matter that does.
    #[test]
    fn what_needs_a_person_is_an_exit_code() {
        let well = json!({
            "version": "0", "pid": 1, "up_seconds": 1, "trust": {"roots": [], "warnings": []},
            "policy": {"generation": "a", "trust_generation": "b", "documents": 1, "warnings": [],
                "reload_error": null},
            "memory": {"verdicts": 0, "evidence": 0, "contents": 0},
            "evidence": EvidenceStatus { healthy: true, ..EvidenceStatus::default() },
            "runtime": {"socket": "s", "version": "containerd 2", "error": null},
            "sandbox": {"image": "pause:1", "error": null},
            "nri": {"mode": "off", "connected": false, "error": null, "asked": 0, "refused": 0},
            "connections": ConnectionStatus::default(),
            "enforcing": {"enforcing": true, "doubts": []},
            "audit": {"healthy": true, "error": null, "exposed": null, "written": 1, "failed": 0,
                "waiting": 0, "late": 0, "path": "p"},
            "deny_lists": [DenyListStatus { version: Some(1), ..DenyListStatus::default() }],
        });
        let is_well = |status: &Value| is_well(&serde_json::from_value(status.clone()).unwrap());
        assert!(is_well(&well));
        for (pointer, value) in [
            ("/policy/observe", json!(true)),
            ("/policy/reload_error", json!("p.yaml:1:1: broken")),
            ("/sandbox", json!({"image": null, "error": "no policy matches pause:1"})),
            ("/runtime/error", json!("away")),
            ("/audit/healthy", json!(false)),
            ("/audit/exposed", json!("others can write it")),
            ("/evidence/healthy", json!(false)),
            ("/enforcing/doubts", json!([{"reason": "socket", "seen": "x", "breach": true}])),
            ("/deny_lists/0", json!(DenyListStatus::default())),
            ("/deny_lists/0/expired", json!(true)),
            ("/deny_lists/0/fault", json!("edited")),
        ] {
            let mut status = well.clone();
            let (table, key) = pointer.rsplit_once('/').unwrap();
            let table = status.pointer_mut(table).unwrap();
            match table.as_array_mut() {
                Some(list) => list[key.parse::<usize>().unwrap()] = value,
                None => drop(table.as_object_mut().unwrap().insert(key.to_owned(), value)),
            }
            assert!(!is_well(&status), "{pointer}");
        }
    }

    #[test]
    fn a_deny_list_of_which_nothing_is_in_force_needs_a_person() {
        let list = DenyListStatus { version: Some(7), ..DenyListStatus::default() };
        assert!(!needs_a_person(&list));
        let failed = |code: &str| {
            let outcome = Some(code.to_owned());
            needs_a_person(&DenyListStatus { failed: true, outcome, ..list.clone() })
        };
        assert!(["unreachable", "absent", "unable"].into_iter().all(|code| !failed(code)));
        assert!(["rollback", "equivocation", "not-signed"].into_iter().all(failed));
        let fault = Some("older than was taken".to_owned());
        assert!(needs_a_person(&DenyListStatus { fault, ..list.clone() }), "in force all the same");
        assert!(needs_a_person(&DenyListStatus { expired: true, ..list }));
        assert!(needs_a_person(&DenyListStatus::default()), "not fetched yet");
    }

    /// Those that stand while a node is set up, or for a moment, are no reason for an alarm.
    #[test]
    fn a_gate_that_refuses_nothing_or_is_gone_around_needs_a_person() {
        let is = |fault: Fault| {
            let (reason, breach) = (fault.word().to_owned(), fault.is_breach());
            is_grave(&DoubtStatus { reason, seen: String::new(), breach })
        };
        let grave: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| is(*fault)).collect();
        let expected = [
            Fault::Admitted,
            Fault::Socket,
            Fault::Judge,
            Fault::AdmitsEverything,
            Fault::KubeletElsewhere,
        ];
        assert_eq!(grave, expected);
    }

    #[test]
    fn each_fault_has_a_line() {
        let error = "a.yaml:1: one\nb.yaml:2: t\u{1b}wo\n";
        assert_eq!(faults(error), ["a.yaml:1: one", "b.yaml:2: t\\u{1b}wo"]);
    }
}
