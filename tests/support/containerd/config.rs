//! The configuration of a test's containerd, in the forms of 1.x and 2.x.

use std::fs;
use std::path::Path;

use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};

use super::Setup;

/// A host name that means a registry on this machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// The name in image references, `registry.example.test`.
    pub name: String,
    /// Where it really is, `http://127.0.0.1:40123`.
    pub url: String,
}

impl Host {
    /// A name for a registry.
    pub fn new(name: &str, url: &str) -> Self {
        Self { name: name.to_owned(), url: url.to_owned() }
    }
}

/// Writes `config.toml` and `certs.d` into the folder.
pub fn write(folder: &Path, setup: &Setup) {
    for host in &setup.hosts {
        let certs = folder.join("certs.d").join(&host.name);
        fs::create_dir_all(&certs).expect("a folder");
        let hosts = format!("server = \"{url}\"\n\n[host.\"{url}\"]\n", url = host.url);
        fs::write(certs.join("hosts.toml"), hosts).expect("a file");
    }
    fs::create_dir_all(folder.join("cni")).expect("a folder");
    let config = match setup.flavour.version {
        (1, _) => version_2(folder, setup),
        _ => version_3(folder, setup),
    };
    fs::write(folder.join("config.toml"), config).expect("a file");
}

/// containerd's own time limits, which a busy machine exceeds while many containers start at once
/// after a restart. The defaults are 2 to 5 s. containerd 1.6 asks a sandbox's shim for its state
/// at each create; when the answer is late, it logs that and goes on with process id 0, and runc
/// fails at `/proc/0/ns/ipc`. A version passes over a name that it does not have.
const TIMEOUTS: &str = "[timeouts]\n  \
     \"io.containerd.timeout.task.state\" = \"60s\"\n  \
     \"io.containerd.timeout.shim.load\" = \"60s\"\n  \
     \"io.containerd.timeout.shim.cleanup\" = \"60s\"\n  \
     \"io.containerd.timeout.shim.shutdown\" = \"60s\"\n  \
     \"io.containerd.timeout.metrics.shimstats\" = \"60s\"\n";

/// Where everything of it is, and how long it waits for its own parts: the same in all versions.
fn places(folder: &Path, version: u32) -> String {
    let dir = folder.display();
    format!(
        "version = {version}\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\n\
         [grpc]\n  address = \"{dir}/containerd.sock\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{dir}/opt\"\n{TIMEOUTS}"
    )
}

fn version_2(folder: &Path, setup: &Setup) -> String {
    let (dir, pause, snapshotter) = (folder.display(), &setup.sandbox_image, snapshotter(folder));
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    format!(
        "{places}\
         [{cri}]\n  sandbox_image = \"{pause}\"\n  disable_apparmor = true\n  \
         restrict_oom_score_adj = true\n\
         [{cri}.cni]\n  bin_dir = \"/usr/lib/cni\"\n  conf_dir = \"{dir}/cni\"\n\
         [{cri}.containerd]\n  snapshotter = \"{snapshotter}\"\n\
         [{cri}.containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\
         [{cri}.containerd.runtimes.runc.options]\n  Root = \"{dir}/runc\"\n\
         [{cri}.registry]\n  config_path = \"{dir}/certs.d\"\n\
         {nri}",
        places = places(folder, 2),
        nri = nri(folder, setup.nri)
    )
}

fn version_3(folder: &Path, setup: &Setup) -> String {
    let (dir, pause, snapshotter) = (folder.display(), &setup.sandbox_image, snapshotter(folder));
    let (images, cri) =
        ("plugins.\"io.containerd.cri.v1.images\"", "plugins.\"io.containerd.cri.v1.runtime\"");
    format!(
        "{places}\
         {nri}\
         [{images}]\n  snapshotter = \"{snapshotter}\"\n\
         [{images}.pinned_images]\n  sandbox = \"{pause}\"\n\
         [{images}.registry]\n  config_path = \"{dir}/certs.d\"\n\
         [{cri}]\n  disable_apparmor = true\n  restrict_oom_score_adj = true\n\
         [{cri}.cni]\n  conf_dir = \"{dir}/cni\"\n\
         [{cri}.containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n\
         [{cri}.containerd.runtimes.runc.options]\n  Root = \"{dir}/runc\"\n",
        places = places(folder, 3),
        nri = nri(folder, setup.nri)
    )
}

/// The plugin's own table, which containerd before 1.7 passes over. By default containerd drops a
/// plugin that does not answer within 2 s or register within 5 s, which a busy machine exceeds.
fn nri(folder: &Path, is_enabled: bool) -> String {
    let dir = folder.display();
    format!(
        "[plugins.\"io.containerd.nri.v1.nri\"]\n  disable = {disable}\n  \
         disable_connections = false\n  socket_path = \"{dir}/nri.sock\"\n  \
         plugin_path = \"{dir}/nri/plugins\"\n  plugin_config_path = \"{dir}/nri/conf.d\"\n  \
         plugin_request_timeout = \"60s\"\n  plugin_registration_timeout = \"60s\"\n",
        disable = !is_enabled
    )
}

/// An overlay cannot lie on an overlay, as in a container.
pub fn snapshotter(folder: &Path) -> &'static str {
    let on = statfs(folder).expect("a filesystem").filesystem_type();
    if on == OVERLAYFS_SUPER_MAGIC { "native" } else { "overlayfs" }
}
