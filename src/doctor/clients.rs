//! Who has containerd's socket open: the gate must, a kubelet does harmlessly, and whatever else is
//! connected can bring and run images around the gate.

use std::path::Path;

use super::check::Check;
use crate::kubelet;
use crate::node::{Client, Clients, Owner};

/// Most processes that a line names.
const NAMED_MAX: usize = 5;
/// What helps where processes cannot be seen: root sees those of its own PID namespace alone.
const UNTOLD: &str = "run this as root and in no container, on the node itself; ss -xp names them";

/// Judges who is connected to the runtime's socket; `found` is none where nobody listens, and `gate`
/// the process of the running gate.
#[must_use]
pub fn clients(found: Result<Option<Clients>, String>, gate: Option<u32>, socket: &Path) -> Check {
    let id = "containerd-clients";
    let untold = |why: &str| {
        let seen = format!("who has containerd's socket open cannot be told: {why}");
        Check::warn(id, seen, UNTOLD)
    };
    let check = match found {
        Err(why) => untold(&why),
        Ok(None) => {
            let seen = "nobody listens on containerd's socket that can be seen from here";
            let mend = "is runtime.socket that of containerd, and does it run? systemctl status \
                        containerd; in a container, run this on the node itself";
            Check::warn(id, seen, mend)
        }
        Ok(Some(found)) => judged(id, &found, gate),
    };
    check.at(socket.display())
}

fn judged(id: &'static str, found: &Clients, gate: Option<u32>) -> Check {
    let is_gate = |client: &&Client| Some(client.pid) == gate;
    let is_kubelet = |client: &&Client| {
        client.owner == Owner::Node && kubelet::NAMES.contains(&client.name.as_str())
    };
    let (pods, rest): (Vec<&Client>, Vec<&Client>) =
        found.seen.iter().partition(|client| client.owner == Owner::Pod);
    if !pods.is_empty() {
        let seen = format!("pods have containerd's socket open: {}", named(&pods));
        let mend = "take the mount of the socket out of the pod; host_paths.action = \"refuse\" \
            refuses it";
        return Check::fail(id, seen, mend);
    }
    let others: Vec<&Client> =
        rest.iter().copied().filter(|client| !is_gate(client) && !is_kubelet(client)).collect();
    if !others.is_empty() {
        let seen = format!("others could bring and run images around the gate: {}", named(&others));
        let mend =
            "if it is no agent of yours, stop it; tools of the CRI can use the gate's socket";
        return Check::warn(id, seen, mend);
    }
    if found.unseen > 0 {
        let seen = format!("{} connections are of processes that cannot be seen", found.unseen);
        return Check::warn(id, seen, UNTOLD);
    }
    let of = |is: &dyn Fn(&&Client) -> bool, what: &str| {
        let count: usize = found.seen.iter().filter(is).map(|client| client.connections).sum();
        (count > 0).then(|| format!("{what} ({count})"))
    };
    let told: Vec<String> =
        [of(&is_gate, "the gate"), of(&is_kubelet, "the kubelet, whose cAdvisor only reads")]
            .into_iter()
            .flatten()
            .collect();
    Check::ok(id, if told.is_empty() { "nobody is connected".to_owned() } else { told.join(", ") })
}

fn named(clients: &[&Client]) -> String {
    let name = |client: &&Client| {
        let owner = match client.owner {
            Owner::Node | Owner::Pod => "",
            Owner::Other => ", in a sandbox or another user's",
            Owner::Untold => ", whose it is is not told",
        };
        format!("{} (process {}{owner})", client.name, client.pid)
    };
    let names: Vec<String> = clients.iter().take(NAMED_MAX).map(name).collect();
    let more = clients.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn client(pid: u32, name: &str, owner: Owner) -> Client {
        Client { pid, name: name.to_owned(), owner, connections: 2 }
    }

    fn of(seen: Vec<Client>, unseen: usize) -> Check {
        clients(Ok(Some(Clients { seen, unseen })), Some(7), Path::new("/run/c.sock"))
    }

    #[test]
    fn the_gate_and_a_kubelet_are_told_apart_from_others() {
        // The gate runs in a sandbox of systemd's.
        let gate = client(7, "sealgate", Owner::Other);
        let kubelet = client(8, "kubelet", Owner::Node);
        let check = of(vec![gate.clone(), kubelet.clone()], 0);
        assert_eq!(check.outcome, Outcome::Ok);
        assert_eq!(check.seen, "the gate (2), the kubelet, whose cAdvisor only reads (2)");
        assert_eq!(of(Vec::new(), 0).outcome, Outcome::Ok);
        let agent = client(9, "dockerd", Owner::Node);
        let check = of(vec![gate.clone(), kubelet.clone(), agent], 0);
        assert_eq!(check.outcome, Outcome::Warn);
        assert!(check.seen.contains("dockerd (process 9)"), "{}", check.seen);
        assert_eq!(of(vec![gate, kubelet], 1).outcome, Outcome::Warn);
        for untold in [Err("no".to_owned()), Ok(None)] {
            assert_eq!(clients(untold, None, Path::new("/c")).outcome, Outcome::Warn);
        }
    }

    #[test]
    fn attack_g_a_name_makes_no_kubelet_of_a_pods_process() {
        let pod = client(9, "kubelet", Owner::Pod);
        assert_eq!(of(vec![client(7, "sealgate", Owner::Other), pod], 0).outcome, Outcome::Fail);
        assert_eq!(of(vec![client(9, "kubelet", Owner::Other)], 0).outcome, Outcome::Warn);
        assert_eq!(of(vec![client(9, "sealgate", Owner::Node)], 0).outcome, Outcome::Warn);
    }
}
