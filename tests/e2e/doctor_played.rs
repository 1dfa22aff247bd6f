//! What is played for `sealgate doctor` alone, and the running gate does not see: in a mount
//! namespace of the command's own, or in a configuration of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use crate::stage::{Failure, HOST, Stage};

/// How far the clock of the record is ahead.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// `sealgate doctor` after these commands, in a mount namespace of its own.
pub fn after(stage: &Stage, commands: &str) -> Result<Output, Failure> {
    let script = format!("{commands} && exec \"$0\" --config \"$1\" doctor --output json");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(env!("CARGO_BIN_EXE_sealgate"));
    Ok(command.arg(stage.config()).output()?)
}

/// The commands that put a disk of 1 MiB over a folder.
pub fn small_disk_on(folder: &Path) -> String {
    format!("mount -t tmpfs -o size=1m,mode=0700 tmpfs '{}'", folder.display())
}

/// The commands that make the node look like one of k3s.
pub fn k3s() -> String {
    let folder = "/var/lib/rancher/k3s/agent/etc/containerd";
    format!("mount -t tmpfs tmpfs /var/lib && mkdir -p {folder}")
}

/// `sealgate doctor` where decisions are on record from a day ahead.
pub fn behind_the_record(stage: &Stage) -> Result<Output, Failure> {
    let [ahead, config] = ["clock.ahead", "ahead.toml"].map(|name| stage.folder().join(name));
    let latest = jiff::Timestamp::try_from(SystemTime::now() + DAY)?;
    fs::write(&ahead, format!("{latest}\n"))?;
    fs::set_permissions(&ahead, fs::Permissions::from_mode(0o600))?;
    let own = stage.folder().join("clock").display().to_string();
    let text = fs::read_to_string(stage.config())?;
    let own = format!("clock.file = \"{own}\"");
    let to = format!("clock.file = \"{}\"", ahead.display());
    fs::write(&config, text.replace(&own, &to))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
    Ok(command.arg("--config").arg(config).args(["doctor", "--output", "json"]).output()?)
}

/// An exception that ends in two days, for images that the policy is about.
pub fn exception() -> Result<String, Failure> {
    let end = jiff::Timestamp::try_from(SystemTime::now() + DAY * 2)?;
    Ok(format!(
        "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: incident}}\nspec:\n  images: \
         [\"{HOST}/prod/other\"]\n  expires: {end:.0}\n  owner: team-web\n  reason: INC-1\n"
    ))
}
