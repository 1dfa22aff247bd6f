//! What a CreateContainer asks of the host: [`HostAccess`] is read from the request, looked at, and
//! reported or refused as the operator wants it.

use super::message::{bad_request, text};
use super::{Calls, HostPaths};
use crate::audit::{self, FindingKind, Reason};
use crate::cri::ask::{AskedNames, LocalImageRequest, asked_names};
use crate::cri::{Refusal, Refused};
use crate::host_paths::{Action, Asked, Reached};
use crate::image::Repository;
use crate::policy::PolicySet;
use crate::proto::asked::{CreateContainerRequest, LinuxContainerSecurityContext};
use crate::proxy::wire::{self, FieldStep};

/// `ContainerConfig.mounts`, `.devices` and `.linux`; in either of the first two `.host_path`.
const MOUNTS: u32 = 7;
const DEVICES: u32 = 8;
const LINUX: FieldStep = FieldStep::only(15);
const HOST_PATH: u32 = 2;
/// `LinuxContainerConfig.security_context`, and in it `.capabilities` and `.namespace_options`.
const SECURITY_CONTEXT: FieldStep = FieldStep::only(2);
const CAPABILITIES: FieldStep = FieldStep::only(1);
const NAMESPACE_OPTIONS: FieldStep = FieldStep::only(3);
/// Capabilities by which a container enters the processes that it sees, and all of them.
const ENTERING: [&[u8]; 3] = [b"SYS_ADMIN", b"SYS_PTRACE", b"ALL"];
/// `NamespaceMode.NODE`.
const NODE: i32 = 2;
/// Most devices of one container; a node has some hundred.
const DEVICES_MAX: usize = 1024;
/// Most of what is reached that one record names: a container that reaches one is as good as one
/// that reaches more.
const NAMED_MAX: usize = 8;

/// What a container asks of the host.
#[derive(Debug, Default)]
pub(super) struct HostAccess(Vec<Asked>);

/// Reads it; `config` is where the container's configuration stands. The mounts were counted.
///
/// # Errors
/// [`Refusal::BadRequest`] when a field on the way stands twice or is malformed.
pub(super) fn read(
    message: &[u8],
    config: FieldStep,
    decoded: &CreateContainerRequest,
) -> Result<HostAccess, Refusal> {
    let all = |field| wire::all_at(message, &[config], field).map_err(bad_request);
    let mut asked = Vec::new();
    let decoded = decoded.config.as_ref();
    let read_only = decoded.into_iter().flat_map(|config| &config.mounts);
    for (mount, read_only) in all(MOUNTS)?.into_iter().zip(read_only.map(|mount| mount.readonly)) {
        if let Some(path) = text(mount, &[], HOST_PATH)?.filter(|path| !path.is_empty()) {
            asked.push(Asked::Mount { path: path.to_owned(), read_only });
        }
    }
    let devices = all(DEVICES)?;
    if devices.len() > DEVICES_MAX {
        return Err(Refusal::TooMany { what: "devices", got: devices.len(), limit: DEVICES_MAX });
    }
    for device in devices {
        if let Some(path) = text(device, &[], HOST_PATH)?.filter(|path| !path.is_empty()) {
            asked.push(Asked::Device { path: path.to_owned() });
        }
    }
    // Messages that stand twice are merged by some parsers and replaced by others.
    for field in [CAPABILITIES, NAMESPACE_OPTIONS] {
        wire::bytes_at(message, &[config, LINUX, SECURITY_CONTEXT, field]).map_err(bad_request)?;
    }
    let context = decoded
        .and_then(|config| config.linux.as_ref())
        .and_then(|linux| linux.security_context.as_ref());
    let pid = context.and_then(|context| context.namespace_options.as_ref()).map(|own| own.pid);
    if context.is_some_and(enters_processes) && pid == Some(NODE) {
        asked.push(Asked::HostProcesses);
    }
    Ok(HostAccess(asked))
}

/// Whether a container may enter whatever processes it sees.
fn enters_processes(context: &LinuxContainerSecurityContext) -> bool {
    let added = context.capabilities.iter().flat_map(|all| &all.add_capabilities);
    let enters = |name: &Vec<u8>| {
        let upper = name.to_ascii_uppercase();
        // The kubelet's spelling, and the kernel's.
        ENTERING.contains(&upper.strip_prefix(b"CAP_").unwrap_or(&upper))
    };
    context.privileged || added.into_iter().any(enters)
}

impl Calls {
    /// The same, and this is done about containers that reach what the gate rests on.
    #[must_use]
    pub fn guarding(self, host_paths: HostPaths) -> Self {
        Self { host_paths: Some(host_paths), ..self }
    }

    /// Looks at what a container asks of the host, records what it would reach of what the gate
    /// rests on, and refuses it where the operator wants that.
    ///
    /// # Errors
    /// A [`Refusal::HostPath`] that is on record.
    pub(super) async fn check_host_access(
        &self,
        policy: &PolicySet,
        ask: &LocalImageRequest,
        access: &HostAccess,
    ) -> Result<(), Refused> {
        let Some(paths) = self.host_paths.as_ref().filter(|_| !access.0.is_empty()) else {
            return Ok(());
        };
        let reached = paths.look(access.0.clone()).await;
        let Some(first) = reached.first() else { return Ok(()) };
        let allowed = paths.allows(&repositories(ask), ask.pod.namespace.as_deref());
        let refused = paths.action() == Action::Refuse && !allowed && !policy.observes();
        let refusal = Refusal::HostPath { reached: first.to_string(), pod: pod_words(ask) };
        let done = match (refused, allowed) {
            (true, _) => "refused",
            (false, true) => "allowed",
            (false, false) => "reported",
        };
        self.report(ask, &reached, done);
        if refused {
            let event = self.recorder.local(ask, policy);
            return Err(self.recorder.refuse(&event, refusal).await);
        }
        Ok(())
    }

    fn report(&self, ask: &LocalImageRequest, reached: &[Reached], done: &'static str) {
        let named: Vec<String> = reached.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let reason = Reason::new("host-path", named.join("; "));
        let mut finding = self.recorder.finding(FindingKind::HostPath, reason);
        finding.method = Some("CreateContainer".to_owned());
        finding.pod = audit::Pod::from(&ask.pod);
        finding.container = Some(ask.container.clone()).filter(|name| !name.is_empty());
        let image = if ask.user_specified.is_empty() { &ask.image } else { &ask.user_specified };
        finding.image = Some(image.clone()).filter(|image| !image.is_empty());
        finding.detail.insert("action".into(), done.to_owned());
        self.recorder.find(finding);
    }
}

/// The names that the container's image must pass under; none when it is asked for by its id alone.
fn repositories(ask: &LocalImageRequest) -> Vec<Repository> {
    match asked_names(ask) {
        Ok(AskedNames::Named(names)) => {
            names.iter().map(|name| name.runtime_repository().clone()).collect()
        }
        // What is no name is refused when the image is decided on.
        Ok(AskedNames::ByIdAlone) | Err(_) => Vec::new(),
    }
}

fn pod_words(ask: &LocalImageRequest) -> String {
    let known = |name: &Option<String>| name.clone().unwrap_or_else(|| "?".to_owned());
    format!("{}/{}", known(&ask.pod.namespace), known(&ask.pod.name))
}
