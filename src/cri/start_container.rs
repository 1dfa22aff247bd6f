//! StartContainer: only a container that this process proved when it was made, or that is decided on and proven again
//! from containerd's own store, as after a restart of the gate.

use std::sync::Arc;

use super::interceptor::{Calls, Patience, Stop};
use super::message::{decode, text};
use crate::aside;
use crate::containerd::{Container, CreatedWith, ProofError};
use crate::cri::ask::{Call as Asking, LocalAsk};
use crate::cri::{MadeContainer, MadeVolume, Refusal, Story};
use crate::proto::cri::StartContainerRequest;
use crate::proxy::{Answer, Call, OwnedMethod, Reply};

/// Answers one StartContainer.
pub(crate) async fn answer(calls: Arc<Calls>, call: Call) -> Answer {
    let patience = Patience::of(&calls.gate, call.deadline);
    let message = call.message.clone();
    let id = match aside::large(message.len(), move || read(&message)).await {
        Ok(id) => id,
        Err(refusal) => return calls.unreadable(Asking::StartContainer, refusal).await,
    };
    if !calls.gate.is_proven(&id)
        && let Err(stop) = prove_again(&calls, &id, patience).await
    {
        return stop.into_answer();
    }
    match forward(&calls, &call, patience).await {
        Ok(reply) => Answer::Reply(reply),
        Err(Stop::Refused(refusal)) => {
            let story = calls.recorder.start(&id, &calls.gate.policy());
            calls.recorder.refuse(&story, &refusal).await;
            Stop::Refused(refusal).into_answer()
        }
        Err(stop) => stop.into_answer(),
    }
}

fn read(message: &[u8]) -> Result<String, Refusal> {
    let _decodes: StartContainerRequest = decode(message)?;
    let id = text(message, &[], 1)?.filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| Refusal::BadRequest { why: "no container id".to_owned() })
}

async fn forward(calls: &Calls, call: &Call, patience: Patience) -> Result<Reply, Stop> {
    let left = patience.left(&calls.gate)?;
    let path = OwnedMethod::StartContainer.path();
    call.upstream.unary(path, &call.headers, &call.message, left).await.map_err(Stop::NoReply)
}

/// Decides anew on every image of a container that was made when nobody here was looking, and proves what it is made of.
async fn prove_again(calls: &Calls, id: &str, patience: Patience) -> Result<(), Stop> {
    let policy = calls.gate.policy();
    let mut stories: Vec<Story> = Vec::new();
    let container = match fetch(calls, id).await {
        Ok(found) => found,
        Err(refusal) => {
            let story = calls.recorder.start(id, &policy);
            calls.recorder.refuse(&story, &refusal).await;
            return Err(Stop::Refused(refusal));
        }
    };
    let mut permits = Vec::new();
    for ask in asks(&container, patience) {
        let mut story = calls.recorder.local(&ask, &policy);
        story.container_id(id);
        match calls.gate.admit_local(&ask, &policy, &mut story.timings).await {
            Ok(permit) => {
                story.admitted_local(&permit);
                permits.push(permit);
                stories.push(story);
            }
            Err(refusal) => return refuse(calls, story, refusal).await,
        }
    }
    let Some((image, volumes)) = permits.split_first() else {
        return Err(Stop::Refused(Refusal::BadRequest { why: "the container has no image".to_owned() }));
    };
    let paths = container.created.volumes.iter().map(|volume| volume.container_path.clone());
    let volumes = paths.zip(volumes).map(|(container_path, permit)| MadeVolume { container_path, permit }).collect();
    let proven = match calls.gate.prove_made(&MadeContainer { id, image, volumes }).await {
        Ok(proven) => proven,
        Err(refusal) => {
            for story in stories {
                calls.recorder.refuse(&story, &refusal).await;
            }
            return Err(Stop::Refused(refusal));
        }
    };
    // On record first: a container that is remembered starts without another record.
    calls.recorder.admit(&stories).await?;
    calls.gate.remember_proven(&proven);
    Ok(())
}

async fn refuse(calls: &Calls, story: Story, refusal: Refusal) -> Result<(), Stop> {
    calls.recorder.refuse(&story, &refusal).await;
    Err(Stop::Refused(refusal))
}

/// A container with the CRI's notes on what it was made from.
struct Made {
    container: Container,
    created: CreatedWith,
}

async fn fetch(calls: &Calls, id: &str) -> Result<Made, Refusal> {
    let missing = || Refusal::Differs(ProofError::ContainerMissing(id.to_owned()));
    let mut container = calls.gate.runtime().container(id).await?.ok_or_else(missing)?;
    let created = container.created_with.take().ok_or_else(missing)?;
    Ok(Made { container, created })
}

/// What CreateContainer would have asked: the id that was resolved, under the pod's own word for it.
fn asks(made: &Made, patience: Patience) -> Vec<LocalAsk> {
    let ask = |image: &str, user_specified: Option<&String>| LocalAsk {
        call: Asking::StartContainer,
        image: image.to_owned(),
        user_specified: user_specified.cloned().unwrap_or_default(),
        pod: made.container.pod.clone(),
        container: made.created.name.clone(),
        deadline: patience.decide_by,
    };
    let own = ask(made.created.id.as_str(), made.created.user_specified_image.as_ref());
    let volumes = made.created.volumes.iter();
    let volumes = volumes.map(|volume| ask(&volume.image, volume.user_specified_image.as_ref()));
    std::iter::once(own).chain(volumes).collect()
}
