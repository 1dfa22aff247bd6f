//! [`Cri`]: a client of the CRI, as the kubelet is one, for containerd's socket or the gate's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use sealgate::proto::cri::image_service_client::ImageServiceClient;
use sealgate::proto::cri::runtime_service_client::RuntimeServiceClient;
use sealgate::proto::cri::{
    AuthConfig, ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus,
    ContainerStatusRequest, CreateContainerRequest, Image, ImageSpec, ImageStatusRequest,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, ListPodSandboxRequest, Mount,
    NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PullImageRequest,
    RemoveImageRequest, RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest,
    StatusRequest, StopPodSandboxRequest,
};
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long a container may take to end.
const END_MAX: Duration = Duration::from_secs(60);

/// A CRI client.
#[derive(Debug, Clone)]
pub struct Cri {
    /// The runtime service, for calls that have no short form here.
    pub runtime: RuntimeServiceClient<Channel>,
    /// The image service, likewise.
    pub images: ImageServiceClient<Channel>,
    logs: PathBuf,
}

/// A pod's sandbox that runs.
#[derive(Debug, Clone)]
pub struct Pod {
    /// The sandbox's id.
    pub id: String,
    /// Its configuration, which every container in it is made with.
    pub config: PodSandboxConfig,
}

/// A container to make; only the image has to be said.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// `config.image.image`: an id, as the kubelet sends it, or any other string.
    pub image: String,
    /// `config.image.user_specified_image`.
    pub user_specified_image: String,
    /// The command; the image's own when empty.
    pub command: Vec<String>,
    /// Its mounts.
    pub mounts: Vec<Mount>,
}

impl Cri {
    /// A client on a socket; `logs` is where the pods' logs go.
    pub fn new(socket: &Path, logs: &Path) -> Self {
        let socket = socket.to_owned();
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let channel =
            Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect);
        let limit = 16 << 20;
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(limit),
            images: ImageServiceClient::new(channel).max_decoding_message_size(limit),
            logs: logs.to_owned(),
        }
    }

    /// Whether the runtime says that it is ready to run host-network pods.
    pub async fn is_ready(&self) -> bool {
        let Ok(answer) = self.runtime.clone().status(StatusRequest::default()).await else {
            return false;
        };
        let status = answer.into_inner().status.unwrap_or_default();
        status
            .conditions
            .iter()
            .any(|condition| condition.r#type == "RuntimeReady" && condition.status)
    }

    /// PullImage without credentials; the image_ref of the answer.
    pub async fn pull(&self, image: &str) -> Result<String, Status> {
        self.pull_as(image, None).await
    }

    /// PullImage with credentials.
    pub async fn pull_as(&self, image: &str, auth: Option<AuthConfig>) -> Result<String, Status> {
        let request = PullImageRequest { image: Some(spec(image)), auth, ..Default::default() };
        Ok(self.images.clone().pull_image(request).await?.into_inner().image_ref)
    }

    /// ImageStatus.
    pub async fn image(&self, image: &str) -> Result<Option<Image>, Status> {
        let request = ImageStatusRequest { image: Some(spec(image)), verbose: false };
        Ok(self.images.clone().image_status(request).await?.into_inner().image)
    }

    /// RemoveImage.
    pub async fn remove_image(&self, image: &str) -> Result<(), Status> {
        self.images
            .clone()
            .remove_image(RemoveImageRequest { image: Some(spec(image)) })
            .await
            .map(|_| ())
    }

    /// RunPodSandbox on the host's network, with a name and uid of its own.
    pub async fn run_pod(&self, namespace: &str) -> Result<Pod, Status> {
        self.run_pod_with(namespace, PodSandboxConfig::default(), "").await
    }

    /// As [`Cri::run_pod`], with more in its configuration and a runtime handler.
    pub async fn run_pod_with(
        &self,
        namespace: &str,
        more: PodSandboxConfig,
        handler: &str,
    ) -> Result<Pod, Status> {
        let number = next();
        let name = format!("pod-{number}");
        let logs = self.logs.join(&name);
        fs::create_dir_all(&logs).expect("a folder for logs");
        let network = NamespaceOption { network: NamespaceMode::Node.into(), ..Default::default() };
        let security =
            LinuxSandboxSecurityContext { namespace_options: Some(network), ..Default::default() };
        let metadata = PodSandboxMetadata {
            uid: format!("uid-{number}"),
            name,
            namespace: namespace.to_owned(),
            attempt: 0,
        };
        let config = PodSandboxConfig {
            metadata: Some(metadata),
            log_directory: logs.to_string_lossy().into_owned(),
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(security),
                ..Default::default()
            }),
            ..more
        };
        let request = RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: handler.to_owned(),
        };
        let id = self.runtime.clone().run_pod_sandbox(request).await?.into_inner().pod_sandbox_id;
        Ok(Pod { id, config })
    }

    /// CreateContainer; its id.
    pub async fn create(&self, pod: &Pod, launch: Launch) -> Result<String, Status> {
        let name = format!("container-{}", next());
        let image =
            ImageSpec { user_specified_image: launch.user_specified_image, ..spec(&launch.image) };
        let config = ContainerConfig {
            log_path: format!("{name}.log"),
            metadata: Some(ContainerMetadata { name, attempt: 0 }),
            image: Some(image),
            command: launch.command,
            mounts: launch.mounts,
            ..Default::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        Ok(self.runtime.clone().create_container(request).await?.into_inner().container_id)
    }

    /// StartContainer.
    pub async fn start(&self, container: &str) -> Result<(), Status> {
        let request = StartContainerRequest { container_id: container.to_owned() };
        self.runtime.clone().start_container(request).await.map(|_| ())
    }

    /// ContainerStatus.
    pub async fn container(&self, container: &str) -> Result<ContainerStatus, Status> {
        let request = ContainerStatusRequest { container_id: container.to_owned(), verbose: false };
        Ok(self
            .runtime
            .clone()
            .container_status(request)
            .await?
            .into_inner()
            .status
            .unwrap_or_default())
    }

    /// Waits until a container ended; its exit code and what it wrote to stdout and stderr.
    pub async fn output(&self, container: &str) -> Result<(i32, String), Status> {
        let deadline = Instant::now() + END_MAX;
        loop {
            let status = self.container(container).await?;
            if status.state() == ContainerState::ContainerExited {
                return Ok((status.exit_code, log_text(Path::new(&status.log_path))));
            }
            assert!(Instant::now() < deadline, "container {container} did not end in {END_MAX:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates a container, starts it and waits for its end: its exit code and output.
    pub async fn run(&self, pod: &Pod, launch: Launch) -> Result<(i32, String), Status> {
        let container = self.create(pod, launch).await?;
        self.start(&container).await?;
        self.output(&container).await
    }

    /// StopPodSandbox and RemovePodSandbox.
    pub async fn remove_pod(&self, pod: &str) -> Result<(), Status> {
        self.runtime
            .clone()
            .stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: pod.to_owned() })
            .await?;
        self.runtime
            .clone()
            .remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() })
            .await?;
        Ok(())
    }

    /// Removes every pod there is.
    pub async fn remove_all_pods(&self) -> Result<(), Status> {
        let pods = self
            .runtime
            .clone()
            .list_pod_sandbox(ListPodSandboxRequest::default())
            .await?
            .into_inner()
            .items;
        // Side by side: a hundred one after the other take half a minute.
        let removed = pods.iter().map(|pod| self.remove_pod(&pod.id));
        futures_util::future::join_all(removed).await.into_iter().collect()
    }
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), ..Default::default() }
}

/// A number that no other pod or container of this process has.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The text of a CRI log: each line is a time, a stream, `F` or `P` for the end or a part of a
/// line, and the text.
fn log_text(path: &Path) -> String {
    let raw = fs::read_to_string(path).unwrap_or_default();
    let mut text = String::new();
    for line in raw.lines() {
        let mut fields = line.splitn(4, ' ');
        let whole = fields.nth(2) != Some("P");
        text.push_str(fields.next().unwrap_or_default());
        if whole {
            text.push('\n');
        }
    }
    text
}
