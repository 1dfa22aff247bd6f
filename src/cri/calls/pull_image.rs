//! PullImage: decide, forward pinned, prove that this is what came, name the tag, answer the
//! runtime's own image_ref.

use std::sync::Arc;

use bytes::Bytes;

use super::message::{
    ImageStrings, bad_request, decode, image_spec, must_equal, must_restore, pod_with_notes, text,
    with_image,
};
use super::{CallDeadline, Calls, Stop, steering};
use crate::aside;
use crate::cri::ask::{Call as Asking, PullRequest};
use crate::cri::record::answer::RecordedAnswer;
use crate::cri::{AuditEvent, ForwardedPull, Gate, PullTarget, Refusal, Refused, observe};
use crate::policy::PolicySet;
use crate::proto::asked::PullImageRequest;
use crate::proto::cri::{AuthConfig, PullImageResponse};
use crate::proxy::wire::{self, FieldStep};
use crate::proxy::{Call, OwnedMethod, Reply};
use crate::registry::AuthConfig as RegistryAuth;

/// `PullImageRequest.image`, `.auth` and `.sandbox_config`.
const IMAGE: [FieldStep; 1] = [FieldStep::only(1)];
const AUTH: [FieldStep; 1] = [FieldStep::only(2)];
const SANDBOX: [FieldStep; 1] = [FieldStep::only(3)];
/// `AuthConfig.server_address`.
const SERVER_ADDRESS: u32 = 4;

/// A request, read.
struct ParsedPull {
    decoded: PullImageRequest,
    image: ImageStrings,
    ask: PullRequest,
}

/// Answers one PullImage.
pub(super) async fn answer(calls: Arc<Calls>, call: Call) -> RecordedAnswer {
    let deadline = CallDeadline::of(&calls.gate, call.deadline);
    let message = call.message.clone();
    let request = match aside::large(message.len(), move || read(&message, deadline)).await {
        Ok(request) => Arc::new(request),
        Err(refusal) => return calls.unreadable(Asking::PullImage, refusal, &call).await,
    };
    let policy = calls.gate.policy();
    let mut event = calls.recorder.pull(&request.ask, &policy);
    match decide_and_forward((&calls, &policy), &call, &request, deadline, &mut event).await {
        Ok((pull, reply)) => {
            // What came must be proven even when the caller has gone meanwhile.
            let finished =
                tokio::spawn(async move { finish((&calls, &policy), pull, reply, event).await });
            finished.await.unwrap_or_else(|_| Refused::lost().into())
        }
        Err(Stop::Refused(refusal @ Refusal::ReservedName { .. })) => {
            match calls.gate.canary().saw(&request.image.image) {
                Some(seen) => RecordedAnswer::canary(&refusal, seen),
                None => calls.stopped(&event, Stop::Refused(refusal)).await,
            }
        }
        Err(stop) => calls.stopped(&event, stop).await,
    }
}

/// Reads what a decision rests on from the wire, and refuses what could be read in two ways.
fn read(message: &[u8], deadline: CallDeadline) -> Result<ParsedPull, Refusal> {
    let decoded: PullImageRequest = decode(message)?;
    let image = image_spec(message, &IMAGE)?;
    text(message, &AUTH, SERVER_ADDRESS)?;
    let pod = pod_with_notes(message, &SANDBOX)?;
    let auth = decoded.auth.clone().map(registry_auth);
    let ask = PullRequest { image: image.image.clone(), pod, auth, deadline: deadline.decide_by };
    Ok(ParsedPull { decoded, image, ask })
}

fn registry_auth(auth: AuthConfig) -> RegistryAuth {
    RegistryAuth {
        username: auth.username,
        password: auth.password,
        auth: auth.auth,
        server_address: auth.server_address,
        identity_token: auth.identity_token,
        registry_token: auth.registry_token,
    }
}

async fn decide_and_forward(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    call: &Call,
    request: &Arc<ParsedPull>,
    deadline: CallDeadline,
    event: &mut AuditEvent,
) -> Result<(ForwardedPull, Reply), Stop> {
    let before = match snapshotter_is_ours(request, &calls.gate) {
        Ok(()) => None,
        Err(refusal) => Some(observe(policy, refusal)?),
    };
    let pull = calls.gate.forward_pull(&request.ask, policy, before, &mut event.timings).await?;
    event.forwarded_pull(&pull);
    let message = message_of(calls, call, request, &pull).await?;
    let (left, late) = deadline.left_or_observed(&calls.gate, policy)?;
    late.into_iter().for_each(|observed| event.observed(observed));
    let path = OwnedMethod::PullImage.path();
    let _pending = pull.target().map(|target| calls.gate.pending_pulls.begin(target.pinned()));
    let reply = event
        .timings
        .time("forward", call.upstream.unary(path, &call.headers, &message, left))
        .await;
    match reply {
        Ok(reply) if reply.code() == crate::proxy::Code::Ok => Ok((pull, reply)),
        Ok(reply) => Err(Stop::Reply(reply)),
        Err(error) => Err(Stop::NoReply(error)),
    }
}

/// What is sent: the request pinned to what was decided on, or as it came where in observe mode that
/// is not known.
async fn message_of(
    calls: &Calls,
    call: &Call,
    request: &Arc<ParsedPull>,
    pull: &ForwardedPull,
) -> Result<Bytes, Refusal> {
    let Some(target) = pull.target() else { return Ok(call.message.clone()) };
    // A secret for no registry in particular is shown to every mirror by the runtime (fact P18).
    let address =
        if is_unaddressed(request) { calls.gate.secret_address(target).await } else { None };
    let (whole, asked, name) = (call.message.clone(), Arc::clone(request), target.pinned());
    aside::large(whole.len(), move || pinned(&whole, &asked, name, address.as_deref())).await
}

/// Whether the request brings a secret and does not say which registry it is for.
fn is_unaddressed(request: &ParsedPull) -> bool {
    request.decoded.auth.as_ref().is_some_and(|auth| {
        let AuthConfig { username, password, auth, server_address, identity_token, registry_token } = auth;
        let secrets = [username, password, auth, identity_token, registry_token];
        server_address.is_empty() && secrets.iter().any(|secret| !secret.is_empty())
    })
}

/// The request with the image pinned to the digest that was decided on, and its secret to the
/// registry that it is for where it names none; nothing else is changed, the caller's credentials
/// above all (fact P17).
fn pinned(
    whole: &Bytes,
    request: &ParsedPull,
    pinned: String,
    address: Option<&str>,
) -> Result<Bytes, Refusal> {
    let mut message = with_image(whole, &IMAGE, &pinned)?;
    let mut restored = with_image(&message, &IMAGE, &request.image.image)?;
    let mut decided = request.decoded.clone();
    if let Some(image) = &mut decided.image {
        image.image = pinned.clone().into_bytes();
    }
    if let Some(address) = address {
        let at: Vec<FieldStep> =
            AUTH.into_iter().chain([FieldStep::only(SERVER_ADDRESS)]).collect();
        let was = wire::bytes_at(&message, &at).map_err(bad_request)?.map(<[u8]>::to_vec);
        message = wire::put(&message, &at, address.as_bytes()).map_err(bad_request)?;
        let undone = match was {
            Some(was) => wire::replace(&message, &at, &was),
            None => wire::remove(&message, &at),
        };
        restored = with_image(&undone.map_err(bad_request)?, &IMAGE, &request.image.image)?;
        if let Some(auth) = &mut decided.auth {
            address.clone_into(&mut auth.server_address);
        }
        if text(&message, &AUTH, SERVER_ADDRESS)? != Some(address) {
            return Err(Refusal::BadRequest {
                why: "the secret is not for the registry that was decided on".to_owned(),
            });
        }
    }
    must_restore(&restored, whole)?;
    must_equal(&message, &decided)?;
    let sent = image_spec(&message, &IMAGE)?;
    if sent == (ImageStrings { image: pinned, ..request.image.clone() }) {
        Ok(message)
    } else {
        Err(Refusal::BadRequest {
            why: "the patched image is not the one that was decided on".to_owned(),
        })
    }
}

/// Proves what came, names it, records, answers.
async fn finish(
    (calls, policy): (&Calls, &PolicySet),
    pull: ForwardedPull,
    reply: Reply,
    mut event: AuditEvent,
) -> RecordedAnswer {
    let proven = match pull.target() {
        Some(target) => prove_and_name((calls, policy), target, &reply, &mut event).await,
        // The runtime named it itself.
        None => Ok(()),
    };
    if let Err(refusal) = proven {
        match observe(policy, refusal) {
            Ok(observed) => event.observed(observed),
            Err(refusal) => return calls.recorder.refuse(&event, refusal).await.into(),
        }
    }
    let events = std::slice::from_ref(&event);
    match calls.recorder.admit(events).await {
        Ok(on_record) => {
            calls.recorder.ended(events, OwnedMethod::PullImage, Ok(&reply));
            RecordedAnswer::reply(reply, on_record)
        }
        Err(refused) => refused.into(),
    }
}

async fn prove_and_name(
    (calls, policy): (&Calls, &PolicySet),
    target: &PullTarget,
    reply: &Reply,
    event: &mut AuditEvent,
) -> Result<(), Refusal> {
    let response: PullImageResponse = decode(reply.message())?;
    let gate = &calls.gate;
    let proof = gate.prove_pull(target, &response.image_ref, policy);
    let content = event.timings.time("prove", proof).await?;
    event.content(&content);
    event.timings.time("name", gate.name_pulled(target, &content)).await
}

/// Refuses a pull into a snapshotter that a pod chose and nobody allowed (fact P16).
fn snapshotter_is_ours(request: &ParsedPull, gate: &Gate) -> Result<(), Refusal> {
    let spec = request.decoded.image.as_ref();
    let sandbox = request.decoded.sandbox_config.as_ref();
    let asked = spec.map(|spec| spec.runtime_handler.as_slice());
    let of_image = spec.into_iter().flat_map(|spec| &spec.annotations);
    let of_pod = sandbox.into_iter().flat_map(|sandbox| &sandbox.annotations);
    steering::refuse_foreign(gate.runtime().options(), asked.into_iter(), of_image.chain(of_pod))
}
