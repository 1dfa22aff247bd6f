//! RunPodSandbox: refuse a sandbox whose handler or annotations steer it past the gate, decide on
//! the image that the runtime will make it of, forward the request as it came, and before the
//! answer prove that this is what was made; otherwise remove it and refuse (fact C9).

use std::sync::Arc;
use std::time::Duration;

use super::message::{decode, pod_with_notes, text};
use super::{CallDeadline, Calls, profile, steering};
use crate::aside;
use crate::containerd::{RuntimeHandler, SandboxSetup};
use crate::cri::ask::Call as Asking;
use crate::cri::made::Making;
use crate::cri::record::answer::RecordedAnswer;
use crate::cri::record::outcomes::made_sandbox as made;
use crate::cri::sandbox::{Judging, SandboxProof, SandboxRequest};
use crate::cri::tag_naming::SandboxTurn;
use crate::cri::{
    AuditEvent, Gate, LocalPermit, OnRecord, PolicyMark, ProvenUnder, Refusal, Refused, observe,
};
use crate::evidence::Pod;
use crate::policy::PolicySet;
use crate::proto::asked::RunPodSandboxRequest;
use crate::proto::cri::RunPodSandboxResponse;
use crate::proxy::wire::FieldStep;
use crate::proxy::{Call, Code, OwnedMethod, Reply};

/// `RunPodSandboxRequest.config` and `.runtime_handler`.
const CONFIG: [FieldStep; 1] = [FieldStep::only(1)];
const HANDLER: u32 = 2;

/// A request, read.
struct ParsedSandbox {
    decoded: RunPodSandboxRequest,
    handler: String,
    pod: Pod,
}

impl ParsedSandbox {
    /// What the runtime makes of it.
    fn making(&self) -> Making {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Making::Sandbox { namespace: text(&self.pod.namespace), name: text(&self.pod.name) }
    }
}

/// What was decided: the image by the name that containerd finds it by, and its permit.
struct DecidedSandbox {
    ask: SandboxRequest,
    permit: LocalPermit,
    event: AuditEvent,
    /// The documents that it was decided under.
    under: PolicyMark,
    /// Held until the sandbox is proven.
    _turn: Option<SandboxTurn>,
    /// Whether containerd makes the sandbox of it; a runtime that is on the list by name may make
    /// its sandboxes by itself, of nothing that could be proven.
    is_made_of_it: bool,
}

/// Answers one RunPodSandbox.
pub(super) async fn answer(calls: Arc<Calls>, call: Call) -> RecordedAnswer {
    let deadline = CallDeadline::of(&calls.gate, call.deadline);
    let message = call.message.clone();
    let request = match aside::large(message.len(), move || read(&message)).await {
        Ok(request) => request,
        Err(refusal) => return calls.unreadable(Asking::RunPodSandbox, refusal, &call).await,
    };
    let policy = calls.gate.policy();
    match decide_and_record((&calls, &policy), &call, &request, deadline).await {
        Ok((decided, on_record, left)) => {
            // What is made must be proven even when the caller goes while the runtime makes it.
            let finished = tokio::spawn(async move {
                let creation = calls.begin_creation(request.making());
                let path = OwnedMethod::RunPodSandbox.path();
                let reply = call.upstream.unary(path, &call.headers, &call.message, left).await;
                let decision = std::slice::from_ref(&decided.event);
                calls.recorder.ended(decision, call.method, reply.as_ref());
                let answer = match reply {
                    Ok(reply) if reply.code() == Code::Ok => {
                        finish((&calls, &policy), &decided, (reply, on_record)).await
                    }
                    Ok(reply) => RecordedAnswer::reply(reply, on_record),
                    Err(error) => RecordedAnswer::no_reply(&error, on_record),
                };
                calls.end_creation(creation, &policy, (&answer, made)).await;
                answer
            });
            finished.await.unwrap_or_else(|_| Refused::lost().into())
        }
        Err(answer) => answer,
    }
}

/// Reads what a decision rests on from the wire, and refuses what could be read in two ways.
fn read(message: &[u8]) -> Result<ParsedSandbox, Refusal> {
    let decoded: RunPodSandboxRequest = decode(message)?;
    profile::of_sandbox(message, &CONFIG)?;
    let handler = text(message, &[], HANDLER)?.unwrap_or_default().to_owned();
    let mut pod = pod_with_notes(message, &CONFIG)?;
    // What the runtime makes it with, since the request goes out as it came.
    let annotations = decoded.config.iter().flat_map(|config| &config.annotations);
    pod.traits.handler = Some(steering::chosen_handler(&handler, annotations).to_owned());
    Ok(ParsedSandbox { decoded, handler, pod })
}

/// Decides, and puts the admission on record; the time that is left to forward the call.
async fn decide_and_record(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    call: &Call,
    request: &ParsedSandbox,
    deadline: CallDeadline,
) -> Result<(DecidedSandbox, OnRecord, Option<Duration>), RecordedAnswer> {
    let mut ask = SandboxRequest {
        image: String::new(),
        pod: request.pod.clone(),
        deadline: deadline.decide_by,
    };
    let mut event = calls.recorder.local(&ask.local(""), policy);
    let decided = decide((calls, policy), request, &mut ask, &mut event).await;
    let (permit, turn, is_made_of_it) = match decided.map_err(|refusal| observe(policy, refusal)) {
        Ok(decided) => decided,
        Err(Ok(observed)) => {
            event.observed(observed);
            let (left, _) = deadline.left_or_observed(&calls.gate, policy).unwrap_or_default();
            let creation = calls.begin_creation(request.making());
            let answer = calls.forward_as_it_came(&[event], call, left).await;
            calls.end_creation(creation, policy, (&answer, made)).await;
            return Err(answer);
        }
        Err(Err(refusal)) => return Err(calls.recorder.refuse(&event, refusal).await.into()),
    };
    event.admitted_local(&permit);
    let on_record = calls.recorder.admit(std::slice::from_ref(&event)).await?;
    let (left, late) = match deadline.left_or_observed(&calls.gate, policy) {
        Ok(left) => left,
        Err(refusal) => {
            return Err(calls.recorder.take_all_back([&event].into_iter(), refusal).await.into());
        }
    };
    if let Some(observed) = late {
        calls.recorder.observe_all_back(std::slice::from_ref(&event), &observed).await;
    }
    let under = PolicyMark::of(policy);
    let decided = DecidedSandbox { ask, permit, event, under, _turn: turn, is_made_of_it };
    Ok((decided, on_record, left))
}

/// Decides on the image that the runtime will make it of, which is noted as soon as it is known;
/// with whether the runtime makes it of that.
async fn decide(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    request: &ParsedSandbox,
    ask: &mut SandboxRequest,
    event: &mut AuditEvent,
) -> Result<(LocalPermit, Option<SandboxTurn>, bool), Refusal> {
    let setup = sandbox_setup(&calls.gate, request);
    let (image, is_made_of_it) = event.timings.time("configuration", setup).await?;
    ask.image = image;
    event.reference(&ask.image);
    let timings = &mut event.timings;
    let (permit, turn) = calls.gate.admit_sandbox_in_turn(ask, policy, timings).await?;
    Ok((permit, turn, is_made_of_it))
}

/// The image that the runtime is configured to make it of, and whether it makes it of that; refuses
/// what steers a snapshotter or wants a runtime that is not on the list.
async fn sandbox_setup(gate: &Gate, request: &ParsedSandbox) -> Result<(String, bool), Refusal> {
    let options = gate.runtime().options();
    let annotations = || request.decoded.config.iter().flat_map(|config| &config.annotations);
    steering::refuse_foreign(options, std::iter::empty(), annotations())?;
    let handler = steering::chosen_handler(&request.handler, annotations());
    let SandboxSetup { image, handlers, default_handler } = gate.runtime().sandbox_setup().await?;
    let known = (&handlers, default_handler.as_str());
    steering::handler_is_ours(options, known, handler)?;
    let handler = steering::handler_of(known, handler);
    let is_made_of_it = handler.is_none_or(RuntimeHandler::uses_image);
    let image = image.map_err(|why| Refusal::SandboxImageUnknown { why })?;
    Ok((image, is_made_of_it))
}

/// Proves what was made, and remembers it; removes what was not proven, unless the gate only
/// observes why.
async fn finish(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    decided: &DecidedSandbox,
    (reply, on_record): (Reply, OnRecord),
) -> RecordedAnswer {
    let response = decode::<RunPodSandboxResponse>(reply.message());
    let proven = match &response {
        // Boxed, since it is many times larger than all that is around it.
        Ok(made) => Box::pin(prove((calls, policy), decided, &made.pod_sandbox_id)).await,
        Err(refusal) => Err(refusal.clone()),
    };
    let refusal = match remember(calls, proven).await {
        Ok(()) => return RecordedAnswer::reply(reply, on_record),
        Err(refusal) => refusal,
    };
    // Not `observe`: that containerd made it of another image than its configuration names is, as a
    // rule, a matter of that configuration.
    let refusal = match policy.observe(refusal) {
        Ok(observed) => {
            let event = std::slice::from_ref(&decided.event);
            calls.recorder.observe_all_back(event, &observed).await;
            return RecordedAnswer::reply(reply, on_record);
        }
        Err(refusal) => refusal,
    };
    if let Ok(made) = response {
        let id = &made.pod_sandbox_id;
        if calls.gate.is_proven_sandbox(id) {
            tracing::warn!(sandbox = id, %refusal, "the new sandbox could not be proven, but was \
                when a container was made in it; it stays");
        } else {
            tracing::error!(sandbox = id, %refusal, "the new sandbox is not of an image that was \
                admitted; removing it");
            calls.remove_sandbox(id).await;
        }
    }
    calls.recorder.take_all_back([&decided.event].into_iter(), refusal).await.into()
}

/// A sandbox that was proven.
struct ProvenSandbox {
    id: String,
    under: ProvenUnder,
    /// The admission of its image, where that is another than was decided on.
    other: Option<AuditEvent>,
}

/// Lets containers be made in it, once its admission is on record.
async fn remember(calls: &Calls, proven: Result<ProvenSandbox, Refusal>) -> Result<(), Refusal> {
    let ProvenSandbox { id, under, other } = proven?;
    if let Some(event) = other {
        let recorded = calls.recorder.admit(&[event]).await;
        let _on_record = recorded.map_err(Refused::into_refusal)?;
    }
    calls.gate.remember_sandbox(&id, under)
}

/// Proves what was made, of the image that was decided on or of another that is admitted.
async fn prove(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    decided: &DecidedSandbox,
    made: &str,
) -> Result<ProvenSandbox, Refusal> {
    let proven = |permit: Option<&LocalPermit>, other| ProvenSandbox {
        id: made.to_owned(),
        under: ProvenUnder::of(decided.under.clone(), permit.map(LocalPermit::until)),
        other,
    };
    if !decided.is_made_of_it {
        let _was_there = calls.note_made(made).await;
        return Ok(proven(None, None));
    }
    let mut event = calls.recorder.local(&decided.ask.local(""), policy);
    let deadline = calls.gate.clock().steady() + calls.gate.limits().decision();
    let judging = Judging { set: policy, deadline };
    let of = (decided.ask.image.as_str(), &decided.permit);
    match calls.gate.prove_new_sandbox(made, of, (judging, &mut event.timings)).await? {
        None => Ok(proven(Some(&decided.permit), None)),
        Some(SandboxProof { image, permit }) => {
            event.reference(&image);
            event.container_id(made);
            event.admitted_local(&permit);
            Ok(proven(Some(&permit), Some(event)))
        }
    }
}
