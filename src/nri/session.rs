//! One conversation with the runtime, from registration to its end: [`run`].
//!
//! The order is the runtime's: the plugin registers, is configured (and says which events it wants),
//! is told what there is already, in parts, and from then on is asked.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::net::UnixStream;

use super::error::SessionError;
use super::tripwire::{Judge, NewContainer, Tripwire};
use super::wire::{Kind, Message, PLUGIN, RUNTIME, SENT_MAX, Wire};
use crate::proto::nri;

/// Where calls of the plugin go.
const RUNTIME_SERVICE: &str = "nri.pkg.api.v1alpha1.Runtime";
/// What the plugin is called. The runtime asks plugins in the order of their numbers, two digits:
/// this one is asked first, so that no other acts on a container that is not to be.
const NAME: &str = "sealgate";
const NUMBER: &str = "00";
/// `Event.CREATE_CONTAINER`, which every runtime that has NRI knows: one that the runtime does not
/// know ends the connection. Of event number n the bit is n - 1.
const CREATE_CONTAINER: i32 = 1 << (4 - 1);
/// How long the runtime may take until it has configured the plugin: it gives up after 5 s itself.
const CONFIGURE_PATIENCE: Duration = Duration::from_secs(10);
/// Longest reason that is sent, in bytes: with its message it must fit what is sent at once.
const REASON_MAX: usize = SENT_MAX / 4;
/// gRPC's codes.
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const UNIMPLEMENTED: i32 = 12;
/// What containerd notes the image of a container as.
const IMAGE_NOTE: &str = "io.kubernetes.cri.image-name";

/// What was called, and what is answered.
enum Answer {
    Payload(Vec<u8>),
    Status { code: i32, message: String },
    Last,
}

/// Registers, and answers until the connection ends; why it did.
pub(super) async fn run(
    stream: UnixStream,
    judge: &dyn Judge,
    tripwire: &Tripwire,
) -> SessionError {
    let mut session = Session { wire: Wire::new(stream), judge, tripwire, is_configured: false };
    match session.talk().await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

struct Session<'a> {
    wire: Wire,
    judge: &'a dyn Judge,
    tripwire: &'a Tripwire,
    is_configured: bool,
}

impl Session<'_> {
    async fn talk(&mut self) -> Result<std::convert::Infallible, SessionError> {
        self.register().await?;
        let configuring = async {
            while !self.is_configured {
                self.answer_next().await?;
            }
            Ok(())
        };
        tokio::time::timeout(CONFIGURE_PATIENCE, configuring)
            .await
            .unwrap_or(Err(SessionError::NotConfigured))?;
        loop {
            self.answer_next().await?;
        }
    }

    async fn register(&mut self) -> Result<(), SessionError> {
        let register = nri::RegisterPluginRequest {
            plugin_name: NAME.to_owned(),
            plugin_idx: NUMBER.to_owned(),
        };
        let request = nri::Request {
            service: RUNTIME_SERVICE.to_owned(),
            method: "RegisterPlugin".to_owned(),
            payload: register.encode_to_vec(),
        };
        let payload = Bytes::from(request.encode_to_vec());
        // A client's streams are odd numbers.
        let message = Message { conversation: RUNTIME, stream: 1, kind: Kind::Request, payload };
        self.wire.write(&message).await
    }

    async fn answer_next(&mut self) -> Result<(), SessionError> {
        let message = self.wire.read().await?;
        match (message.conversation, message.kind) {
            (RUNTIME, Kind::Response) => registered(&message.payload),
            (PLUGIN, Kind::Request) => {
                let request: nri::Request = decode(&message.payload)?;
                let answer = self.answer(&request)?;
                let is_last = matches!(answer, Answer::Last);
                let payload = Bytes::from(answer.response().encode_to_vec());
                let kind = Kind::Response;
                self.wire.write(&Message { kind, payload, ..message }).await?;
                if is_last { Err(SessionError::Shutdown) } else { Ok(()) }
            }
            (conversation, _) => Err(SessionError::Malformed {
                what: "such message in conversation",
                got: conversation,
            }),
        }
    }

    fn answer(&mut self, request: &nri::Request) -> Result<Answer, SessionError> {
        let payload = request.payload.as_slice();
        Ok(match request.method.as_str() {
            "Configure" => {
                let nri::ConfigureRequest { runtime_name, runtime_version, .. } = decode(payload)?;
                self.is_configured = true;
                let runtime = format!("{runtime_name} {runtime_version}");
                self.tripwire.change(|health| health.runtime = Some(runtime));
                let response = nri::ConfigureResponse { events: CREATE_CONTAINER };
                Answer::Payload(response.encode_to_vec())
            }
            "Synchronize" => {
                let nri::SynchronizeRequest { more } = decode(payload)?;
                if !more {
                    self.connected();
                }
                Answer::Payload(nri::SynchronizeResponse { more }.encode_to_vec())
            }
            "CreateContainer" => self.judge(payload),
            // An event that was not asked for.
            "StateChange" => Answer::Payload(Vec::new()),
            "Shutdown" => Answer::Last,
            other => Answer::Status { code: UNIMPLEMENTED, message: format!("no {other:?} here") },
        })
    }

    fn connected(&self) {
        self.tripwire.connected();
        self.judge.changed(Ok(()));
        let runtime = self.tripwire.health().runtime;
        tracing::info!(runtime, "the runtime asks the gate about every container that it makes");
    }

    fn judge(&self, payload: &[u8]) -> Answer {
        let Ok(request) = nri::CreateContainerRequest::decode(payload) else {
            let message = "sealgate: the request cannot be decoded".to_owned();
            return Answer::Status { code: INVALID_ARGUMENT, message };
        };
        let verdict = self.judge.may_be_made(&new_container(request));
        self.tripwire.change(|health| {
            health.asked = health.asked.saturating_add(1);
            health.refused = health.refused.saturating_add(u64::from(verdict.is_err()));
        });
        match verdict {
            Ok(()) => Answer::Payload(Vec::new()),
            Err(message) => Answer::Status { code: PERMISSION_DENIED, message },
        }
    }
}

impl Answer {
    fn response(self) -> nri::Response {
        match self {
            Self::Payload(payload) => nri::Response { status: None, payload },
            Self::Status { code, mut message } => {
                while message.len() > REASON_MAX {
                    message.pop();
                }
                let status = Some(nri::Status { code, message });
                nri::Response { status, payload: Vec::new() }
            }
            Self::Last => nri::Response::default(),
        }
    }
}

fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, SessionError> {
    M::decode(bytes).map_err(|_| SessionError::Undecodable)
}

fn registered(payload: &[u8]) -> Result<(), SessionError> {
    let nri::Response { status, .. } = decode(payload)?;
    match status.filter(|status| status.code != 0) {
        None => Ok(()),
        Some(status) => Err(SessionError::Rejected(status.message)),
    }
}

fn new_container(request: nri::CreateContainerRequest) -> NewContainer {
    let (pod, mut container) =
        (request.pod.unwrap_or_default(), request.container.unwrap_or_default());
    NewContainer {
        image: container.annotations.remove(IMAGE_NOTE),
        id: container.id,
        name: container.name,
        sandbox_id: if pod.id.is_empty() { container.pod_sandbox_id } else { pod.id },
        pod_name: pod.name,
        pod_namespace: pod.namespace,
        pod_uid: pod.uid,
    }
}

#[cfg(test)]
mod tests;
