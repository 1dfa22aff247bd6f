//! The refresh of trust roots by its unit in a real systemd: sandboxed, followed by a reload of the
//! gate, harmless when it fails, and on time.

use std::fs;

use sealgate::loader::shipped;

use crate::acts::eventually;
use crate::ensure;
use crate::stage::Outcome;
use crate::tuf::mirror::{Mirror, Reply};
use crate::tuf::repository::Repository;
use crate::unit::{CHANGE_MAX, Machine};

const UNIT: &str = "sealgate-trust-update.service";
const FILE: &str = "/var/lib/sealgate/trust/acme.json";

/// Installed, replaced, and left alone when the mirror fails.
pub async fn refreshed(machine: &Machine) -> Outcome {
    let roots =
        ["public-good", "staging"].map(|name| shipped(name).unwrap().trusted_root.as_bytes());
    let mut repository = Repository::new(roots[0]);
    let mirror = Mirror::serve(&repository);
    configure(machine, &repository, &mirror)?;
    for root in roots {
        root.clone_into(&mut repository.target);
        repository.version += 1;
        mirror.publish(&repository);
        let before = reloads(machine);
        machine.done(&["systemctl", "start", UNIT])?;
        ensure!(fs::read(machine.path(FILE))? == root, "another root is in place");
        eventually("the gate was reloaded", CHANGE_MAX, async || reloads(machine) > before).await?;
    }
    let status = machine.text(&["sealgate", "status"]);
    ensure!(
        status.contains("trust    acme") && status.contains("warning: trust root acme: the "),
        "{status}"
    );
    let warned = machine.journal().contains("trust root acme: the ");
    ensure!(warned, "the journal does not warn:\n{}", machine.journal());
    let mode = machine.done(&["stat", "-c", "%a %U %n", FILE, "/var/lib/sealgate/trust"])?;
    ensure!(mode.starts_with("644 root ") && mode.contains("\n755 root "), "{mode}");
    println!("   trust root fetched by its unit, replaced, and the gate reloaded each time");

    mirror.set("/timestamp.json", Reply::Status(503));
    let before = reloads(machine);
    ensure!(
        !machine.run(&["systemctl", "start", UNIT])?.status.success(),
        "the unit did not fail with the mirror down"
    );
    ensure!(fs::read(machine.path(FILE))? == roots[1], "the root in place did not stay");
    ensure!(reloads(machine) == before, "the gate was reloaded for nothing");
    let result = machine.property(UNIT, "ExecMainStatus");
    ensure!(result == "2", "exit code {result}");
    println!("   with the mirror down the unit failed with 2, and the root in place stayed");

    machine.done(&["systemctl", "stop", "sealgate.service"])?;
    mirror.publish(&repository);
    machine.done(&["systemctl", "reset-failed", UNIT])?;
    machine.done(&["systemctl", "start", UNIT])?;
    ensure!(
        machine.property("sealgate.service", "ActiveState") == "inactive",
        "a gate that did not run was started"
    );
    machine.done(&["systemctl", "start", "sealgate.service"])?;

    machine.done(&["systemctl", "enable", "--now", "sealgate-trust-update.timer"])?;
    let next = machine.property("sealgate-trust-update.timer", "NextElapseUSecRealtime");
    ensure!(!next.is_empty() && next != "n/a", "the timer has no next time: {next}");
    println!("   a gate that is stopped stays so; the timer elapses next at {next}");
    Ok(())
}

/// One root from this mirror, its end so far ahead that it is always near.
fn configure(machine: &Machine, repository: &Repository, mirror: &Mirror) -> Outcome {
    machine.done(&["mkdir", "-p", "/etc/sealgate/trust", "/etc/sealgate/config.toml.d"])?;
    fs::write(machine.path("/etc/sealgate/trust/acme.root.json"), repository.first_root())?;
    let text = format!(
        "[trust]\nupdate = [\"acme\"]\nmirrors = {{ acme = {:?} }}\nexpiry_warning_days = 60000\n",
        mirror.url()
    );
    fs::write(machine.path("/etc/sealgate/config.toml.d/trust.toml"), text)?;
    Ok(())
}

fn reloads(machine: &Machine) -> usize {
    machine.journal().matches("the policy was reloaded").count()
}
