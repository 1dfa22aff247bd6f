//! What is played for `sealgate doctor`: an [`Agent`] that is connected to a socket, and what the
//! running gate does not see, in a mount namespace or a configuration of the command's own.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use crate::stage::{Failure, HOST, Outcome, Stage};

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
    let ahead = stage.folder().join("clock.ahead");
    let latest = jiff::Timestamp::try_from(SystemTime::now() + DAY)?;
    fs::write(&ahead, format!("{latest}\n"))?;
    fs::set_permissions(&ahead, fs::Permissions::from_mode(0o600))?;
    told(stage, "clock.file", ("clock", &ahead))
}

/// `sealgate doctor` where these are the policies.
pub fn among_policies(stage: &Stage, text: &str) -> Result<Output, Failure> {
    let folder = stage.folder().join("other-policies");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("policy.yaml"), text)?;
    told(stage, "policy.policies", ("policies", &folder))
}

/// `sealgate doctor` with this path in its configuration in place of the stage's own.
fn told(stage: &Stage, key: &str, (own, other): (&str, &Path)) -> Result<Output, Failure> {
    let config = stage.folder().join("told.toml");
    let text = fs::read_to_string(stage.config())?;
    let line = |path: &Path| format!("{key} = \"{}\"", path.display());
    let own = line(&stage.folder().join(own));
    if !text.contains(&own) {
        return Err(Failure(format!("{own} is not in {text}")));
    }
    fs::write(&config, text.replace(&own, &line(other)))?;
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

/// A program with a socket open, gone when this is dropped.
pub struct Agent {
    process: Child,
    group: Option<PathBuf>,
}

impl Agent {
    /// One that is connected to this socket.
    pub fn start(socket: &Path) -> Result<Self, Failure> {
        let stdin = Stdio::from(OwnedFd::from(UnixStream::connect(socket)?));
        let process = Command::new("sleep").arg("600").stdin(stdin).spawn()?;
        Ok(Self { process, group: None })
    }

    /// Moves it into a control group such as the kubelet makes for a pod.
    pub fn join_pod(&mut self) -> Outcome {
        let all = Path::new("/sys/fs/cgroup");
        let is_unified = all.join("cgroup.procs").exists();
        let base = if is_unified { all.to_owned() } else { all.join("pids") };
        let group = base.join(format!("kubepods-doctor{}", std::process::id()));
        fs::create_dir(&group)?;
        fs::write(group.join("cgroup.procs"), self.process.id().to_string())?;
        self.group = Some(group);
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if let Some(group) = &self.group {
            drop(fs::remove_dir(group));
        }
    }
}
