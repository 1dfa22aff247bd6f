//! [`Kubelet`]: a stand-in for the kubelet, of which this machine has none: a process of its name
//! with its arguments and its configuration file, and the call by which the gate knows one. It runs
//! no pods.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealgate::proto::cri::StatusRequest;
use tokio::task::JoinHandle;

use crate::containerd::Cri;
use crate::stage::{Outcome, Stage};

/// How often it asks for the runtime's status; a real one does every 5 s.
const EVERY: Duration = Duration::from_millis(500);

/// The stand-in; gone when this is dropped.
pub struct Kubelet {
    folder: PathBuf,
    process: Option<Child>,
    /// A socket that it has open.
    connected: Option<PathBuf>,
    calls: JoinHandle<()>,
}

impl Kubelet {
    /// Starts it with the gate's socket in its configuration file.
    pub fn start(stage: &Stage) -> Result<Self, crate::stage::Failure> {
        let folder = stage.folder().join("kubelet");
        fs::create_dir_all(folder.join("conf.d"))?;
        let program = folder.join("kubelet");
        // The kernel names a process after the script that it is started as.
        fs::write(&program, "#!/bin/sh\nwhile :; do sleep 1 </dev/null; done\n")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let cri = Cri::new(&stage.socket(), &folder);
        let calls = tokio::spawn(async move {
            loop {
                drop(cri.runtime.clone().status(StatusRequest::default()).await);
                tokio::time::sleep(EVERY).await;
            }
        });
        let mut kubelet = Self { folder, process: None, connected: None, calls };
        kubelet.configure(&stage.socket(), "")?;
        kubelet.restart(&[])?;
        Ok(kubelet)
    }

    /// Writes its configuration file, with more lines.
    pub fn configure(&self, socket: &Path, more: &str) -> Outcome {
        let text = format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
             containerRuntimeEndpoint: unix://{}\n{more}\n",
            socket.display()
        );
        Ok(fs::write(self.folder.join("config.yaml"), text)?)
    }

    /// Its folder of drop-ins.
    pub fn drop_ins(&self) -> PathBuf {
        self.folder.join("conf.d")
    }

    /// Has this socket open from its next start on, as a kubelet's cAdvisor has containerd's.
    pub fn connect(&mut self, socket: &Path) {
        self.connected = Some(socket.to_owned());
    }

    /// Starts the process anew, with more arguments.
    pub fn restart(&mut self, more: &[&str]) -> Outcome {
        self.stop();
        let at = |name: &str| self.folder.join(name).display().to_string();
        let stdin = match &self.connected {
            Some(socket) => Stdio::from(OwnedFd::from(UnixStream::connect(socket)?)),
            None => Stdio::null(),
        };
        let process = Command::new(at("kubelet"))
            .arg(format!("--config={}", at("config.yaml")))
            .args(["--config-dir", &at("conf.d")])
            .args(more)
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.process = Some(process);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.calls.abort();
        self.stop();
    }
}
