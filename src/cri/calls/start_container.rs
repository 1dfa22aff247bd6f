//! StartContainer: only a container that this process proved when it was made, or that is decided
//! on and proven again from containerd's own store, as after a restart of the gate; and only in a
//! sandbox that is proven.

use std::sync::Arc;

use super::message::{decode, text};
use super::{CallDeadline, Calls};
use crate::aside;
use crate::containerd::{Container, CreatedWith, ProofError};
use crate::cri::ask::{Call as Asking, LocalImageRequest, asked_before};
use crate::cri::record::answer::RecordedAnswer;
use crate::cri::{
    AuditEvent, CreatedContainer, CreatedVolume, LocalPermit, OnRecord, PolicyMark, ProvenUnder,
    Refusal, Refused, observe,
};
use crate::policy::PolicySet;
use crate::proto::cri::StartContainerRequest;
use crate::proxy::{Call, OwnedMethod};

/// Answers one StartContainer.
pub(super) async fn answer(calls: Arc<Calls>, call: Call) -> RecordedAnswer {
    let deadline = CallDeadline::of(&calls.gate, call.deadline);
    let message = call.message.clone();
    let id = match aside::large(message.len(), move || read(&message)).await {
        Ok(id) => id,
        Err(refusal) => return calls.unreadable(Asking::StartContainer, refusal, &call).await,
    };
    let policy = calls.gate.policy();
    let on_record = match calls.gate.proven_before(&id) {
        Some(proven) => OnRecord::before(proven),
        None => match decide_again((&calls, &policy), &id, deadline).await {
            Ok(on_record) => on_record,
            Err(refused) => return refused.into(),
        },
    };
    let (left, late) = match deadline.left_or_observed(&calls.gate, &policy) {
        Ok(left) => left,
        Err(refusal) => return refuse((&calls, &policy), &id, refusal).await.into(),
    };
    if let Some(observed) = late {
        let mut event = calls.recorder.start(&id, &policy);
        event.observed(observed);
        return calls.forward_as_it_came(&[event], &call, left).await;
    }
    let path = OwnedMethod::StartContainer.path();
    let reply = call.upstream.unary(path, &call.headers, &call.message, left).await;
    calls.recorder.start_ended(&id, reply.as_ref());
    match reply {
        Ok(reply) => RecordedAnswer::reply(reply, on_record),
        Err(error) => RecordedAnswer::no_reply(&error, on_record),
    }
}

fn read(message: &[u8]) -> Result<String, Refusal> {
    let _decodes: StartContainerRequest = decode(message)?;
    let id = text(message, &[], 1)?.filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| Refusal::BadRequest { why: "no container id".to_owned() })
}

/// Decides on a container that this process did not prove; one that the gate did not make is told
/// of, or refused.
async fn decide_again(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    id: &str,
    deadline: CallDeadline,
) -> Result<OnRecord, Refused> {
    calls.check_admitted(OwnedMethod::StartContainer.name(), id).await?;
    // Boxed, as what decides below is: each is many times larger than all that is around it.
    Box::pin(prove_again((calls, policy), id, deadline)).await
}

/// Decides anew on every image of a container that was made when nobody here was looking, and
/// proves what it is made of.
async fn prove_again(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    id: &str,
    deadline: CallDeadline,
) -> Result<OnRecord, Refused> {
    let mut events: Vec<AuditEvent> = Vec::new();
    let container = match fetch(calls, id).await {
        Ok(found) => found,
        Err(refusal) => return refuse_or_observe((calls, policy), id, refusal).await,
    };
    let mut permits = Vec::new();
    let asks = asks((calls, policy), &container, deadline).await;
    for ask in &asks {
        let mut event = calls.recorder.local(ask, policy);
        event.container_id(id);
        let admitted = Box::pin(calls.gate.admit_local(ask, policy, &mut event.timings)).await;
        match admitted.map_err(|refusal| observe(policy, refusal)) {
            Ok(permit) => {
                event.admitted_local(&permit);
                permits.push(permit);
            }
            Err(Ok(observed)) => event.observed(observed),
            Err(Err(refusal)) => return Err(calls.recorder.refuse(&event, refusal).await),
        }
        events.push(event);
    }
    AuditEvent::observe_together(&mut events);
    if events.iter().any(AuditEvent::is_observed) {
        // Not remembered as proven: its next start is decided on again, by whatever mode is then.
        return calls.recorder.admit(&events).await;
    }
    let (Some(own), Some((image, volumes))) = (asks.first(), permits.split_first()) else {
        let refusal = Refusal::BadRequest { why: "the container has no image".to_owned() };
        return Err(refuse((calls, policy), id, refusal).await);
    };
    let paths = container.created.volumes.iter().map(|volume| volume.container_path.clone());
    let volumes = paths
        .zip(volumes)
        .map(|(container_path, permit)| CreatedVolume { container_path, permit })
        .collect();
    // As for a container that is to be made: what it runs beside must be proven too.
    let sandbox = container.container.sandbox.as_deref().unwrap_or_default();
    let sandbox = Box::pin(calls.check_sandbox(policy, (own, sandbox), &events)).await?;
    let made = CreatedContainer { id, image, sandbox: sandbox.as_deref(), volumes };
    let proven = match Box::pin(calls.gate.verify_container(&made)).await {
        Ok(proven) => proven,
        Err(refusal) => match observe(policy, refusal) {
            Ok(observed) => {
                events.iter_mut().for_each(|event| event.observed(observed.clone()));
                return calls.recorder.admit(&events).await;
            }
            Err(refusal) => return Err(calls.recorder.refuse_all(&events, refusal).await),
        },
    };
    // On record first: a container that is remembered starts without another record.
    let on_record = calls.recorder.admit(&events).await?;
    let under = ProvenUnder::of(PolicyMark::of(policy), permits.iter().map(LocalPermit::until));
    calls.gate.remember_proven(&proven, under);
    Ok(on_record)
}

/// Refuses the start of a container of which no image can be named.
async fn refuse((calls, policy): (&Calls, &PolicySet), id: &str, refusal: Refusal) -> Refused {
    let event = calls.recorder.start(id, policy);
    calls.recorder.refuse(&event, refusal).await
}

/// The same where the set enforces; where it observes, records that it would have.
async fn refuse_or_observe(
    (calls, policy): (&Calls, &PolicySet),
    id: &str,
    refusal: Refusal,
) -> Result<OnRecord, Refused> {
    match observe(policy, refusal) {
        Ok(observed) => {
            let mut event = calls.recorder.start(id, policy);
            event.observed(observed);
            calls.recorder.admit(&[event]).await
        }
        Err(refusal) => Err(refuse((calls, policy), id, refusal).await),
    }
}

/// A container with the CRI's notes on what it was made from.
struct NotedContainer {
    container: Container,
    created: CreatedWith,
}

async fn fetch(calls: &Calls, id: &str) -> Result<NotedContainer, Refusal> {
    let missing = || Refusal::Differs(ProofError::ContainerMissing(id.to_owned()));
    let mut container = calls.gate.runtime().container(id).await?.ok_or_else(missing)?;
    let created = container.created_with.take().ok_or_else(missing)?;
    // Of what it was restored from nothing is noted that could be judged again.
    if created.is_restored() {
        let why = "the container was restored before the gate was started, or under other policies; \
            delete the pod";
        return Err(Refusal::CheckpointUnproven { why });
    }
    Ok(NotedContainer { container, created })
}

async fn asks(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    noted: &NotedContainer,
    deadline: CallDeadline,
) -> Vec<LocalImageRequest> {
    let (pod, sandbox) = (&noted.container.pod, noted.container.sandbox.as_deref());
    let known = calls.gate.pod_of_sandbox(policy, pod, sandbox).await;
    asked_before(&known, &noted.created, deadline.decide_by)
}
