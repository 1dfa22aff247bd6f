//! CreateContainer: decide on the container's image and on every image volume, forward their full
//! ids, and before the answer prove that this is what was made; otherwise remove it and refuse.

use std::sync::Arc;

use bytes::Bytes;

use super::host_access::{self, HostAccess};
use super::message::{
    ImageStrings, bad_request, decode, image_spec, must_equal, must_restore, pod, text, with_image,
};
use super::taken_create::MadeAnswer;
use super::{CallDeadline, Calls, profile};
use crate::aside;
use crate::cri::ask::{Call as Asking, LocalImageRequest, used_for};
use crate::cri::made::{Creation, Making};
use crate::cri::pending_creates::Pending;
use crate::cri::record::answer::RecordedAnswer;
use crate::cri::record::outcomes::made_container as made;
use crate::cri::restore::BaseImage;
use crate::cri::{
    AuditEvent, CreatedContainer, CreatedVolume, LocalPermit, OnRecord, PolicyMark, ProvenUnder,
    Refusal, Refused, observe,
};
use crate::evidence::ImageUse;
use crate::image::Digest;
use crate::policy::PolicySet;
use crate::proto::asked::CreateContainerRequest;
use crate::proto::cri::CreateContainerResponse;
use crate::proxy::wire::{self, FieldStep};
use crate::proxy::{Call, Code, OwnedMethod, Reply};

/// `CreateContainerRequest.config`, `.sandbox_config`; in the config `.metadata`, `.image`,
/// `.mounts`.
const CONFIG: FieldStep = FieldStep::only(2);
/// `CreateContainerRequest.pod_sandbox_id`.
const SANDBOX_ID: u32 = 1;
const SANDBOX: [FieldStep; 1] = [FieldStep::only(3)];
const METADATA: [FieldStep; 2] = [CONFIG, FieldStep::only(1)];
const IMAGE: [FieldStep; 2] = [CONFIG, FieldStep::only(2)];
/// `ContainerConfig.mounts`, and in each `Mount.container_path` and `Mount.image`.
const MOUNTS: u32 = 7;
const CONTAINER_PATH: u32 = 1;
const MOUNT_IMAGE: u32 = 9;
/// `ImageSpec.image_ref`: the digest that the kubelet was told of.
const IMAGE_REF: u32 = 20;
/// Most mounts of one container; a kubelet sends some tens.
const MOUNTS_MAX: usize = 1024;
/// Most image volumes of one container: each costs a decision, and a copy of the request when its
/// id is put in.
const VOLUMES_MAX: usize = 64;

/// A request, read.
struct ParsedCreate {
    decoded: CreateContainerRequest,
    images: Vec<ImageAsk>,
    /// What it asks of the host.
    access: HostAccess,
    sandbox_id: String,
    /// The container's name in the pod.
    name: String,
}

impl ParsedCreate {
    /// What the runtime makes of it.
    fn making(&self) -> Making {
        Making::Container { sandbox: self.sandbox_id.clone(), name: self.name.clone() }
    }
}

/// One image of it: the container's own, or an image volume.
struct ImageAsk {
    /// Where its `ImageSpec` stands.
    at: Vec<FieldStep>,
    /// For a volume, which of the mounts it is, and where it goes in the container.
    mount: Option<(usize, String)>,
    ask: LocalImageRequest,
    /// The digest that it must be, where the request has one.
    image_ref: Option<String>,
}

/// What was decided, the container's own image first, then its volumes in order; with the event of
/// each.
struct DecidedImages {
    permits: Vec<LocalPermit>,
    /// What the container is made of where it is restored from a checkpoint, which the first permit
    /// is for then.
    base: Option<BaseImage>,
    /// The whole id of the proven sandbox that it is to be made in; none where the gate only
    /// observes that it is not proven.
    sandbox: Option<String>,
    /// The documents that they were decided under.
    under: PolicyMark,
    events: Vec<AuditEvent>,
}

impl DecidedImages {
    /// Whether some image would have been refused: then the request goes out as it came, and what
    /// is made of it is not proven.
    fn is_observed(&self) -> bool {
        self.events.iter().any(AuditEvent::is_observed)
    }
}

/// Answers one CreateContainer.
pub(super) async fn answer(calls: Arc<Calls>, call: Call) -> RecordedAnswer {
    let deadline = CallDeadline::of(&calls.gate, call.deadline);
    let message = call.message.clone();
    let request = match aside::large(message.len(), move || read(&message, deadline)).await {
        Ok(request) => Arc::new(request),
        Err(refusal) => return calls.unreadable(Asking::CreateContainer, refusal, &call).await,
    };
    let policy = calls.gate.policy();
    match decide((&calls, &policy), &request).await {
        Ok(decided) => {
            // What is made must be proven even when the caller has gone meanwhile, and the tripwire
            // must know of it for as long as the runtime makes it.
            let making = tokio::spawn(async move {
                make((&calls, &policy), (&call, &request), decided, deadline).await
            });
            making.await.unwrap_or_else(|_| Refused::lost().into())
        }
        Err(refused) => refused.into(),
    }
}

/// Reads what a decision rests on from the wire, and refuses what could be read in two ways.
fn read(message: &[u8], deadline: CallDeadline) -> Result<ParsedCreate, Refusal> {
    let decoded: CreateContainerRequest = decode(message)?;
    profile::of_sandbox(message, &SANDBOX)?;
    profile::of_container(message, &[CONFIG])?;
    let pod = pod(message, &SANDBOX)?;
    let container = text(message, &METADATA, 1)?.unwrap_or_default().to_owned();
    let ask = |(call, image_use), strings: ImageStrings| LocalImageRequest {
        call,
        image: strings.image,
        user_specified: strings.user_specified,
        pod: used_for(image_use, &pod),
        container: container.clone(),
        deadline: deadline.decide_by,
    };
    let own = ask((Asking::CreateContainer, ImageUse::Container), image_spec(message, &IMAGE)?);
    let told = image_ref(message, &IMAGE)?;
    let own = ImageAsk { at: IMAGE.to_vec(), mount: None, ask: own, image_ref: told };
    let mut images = vec![own];
    let mounts = wire::all_at(message, &[CONFIG], MOUNTS).map_err(bad_request)?;
    if mounts.len() > MOUNTS_MAX {
        return Err(Refusal::TooMany { what: "mounts", got: mounts.len(), limit: MOUNTS_MAX });
    }
    for (nth, mount) in mounts.into_iter().enumerate() {
        let strings = image_spec(mount, &[FieldStep::only(MOUNT_IMAGE)])?;
        // An ImageSpec without an image is none: the kubelet leaves it out, and containerd mounts
        // the host path.
        if strings.image.is_empty() && strings.user_specified.is_empty() {
            continue;
        }
        if images.len() > VOLUMES_MAX {
            return Err(Refusal::TooMany {
                what: "image volumes",
                got: images.len(),
                limit: VOLUMES_MAX,
            });
        }
        let container_path = text(mount, &[], CONTAINER_PATH)?.unwrap_or_default().to_owned();
        let at = vec![CONFIG, FieldStep::nth(MOUNTS, nth), FieldStep::only(MOUNT_IMAGE)];
        let ask = ask((Asking::ImageVolume, ImageUse::ImageVolume), strings);
        let image_ref = image_ref(mount, &[FieldStep::only(MOUNT_IMAGE)])?;
        images.push(ImageAsk { at, mount: Some((nth, container_path)), ask, image_ref });
    }
    let access = host_access::read(message, CONFIG, &decoded)?;
    let sandbox_id = text(message, &[], SANDBOX_ID)?.unwrap_or_default().to_owned();
    Ok(ParsedCreate { decoded, images, access, sandbox_id, name: container })
}

/// The `image_ref` of the `ImageSpec` at `path`; an empty one is none.
fn image_ref(message: &[u8], path: &[FieldStep]) -> Result<Option<String>, Refusal> {
    Ok(text(message, path, IMAGE_REF)?.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// Has the runtime make what was decided on, and answers with what came of it.
async fn make(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    (call, request): (&Call, &Arc<ParsedCreate>),
    decided: DecidedImages,
    deadline: CallDeadline,
) -> RecordedAnswer {
    if decided.is_observed() {
        let (left, _) = deadline.left_or_observed(&calls.gate, policy).unwrap_or_default();
        let _turn = calls.gate.turn_to_create().await;
        let pending = pending(calls, request, &decided);
        let creation = calls.begin_creation(request.making());
        let answer = calls.forward_as_it_came(&decided.events, call, left).await;
        settle((calls, policy), request, pending, answer.runtime_reply());
        calls.end_creation(creation, policy, (&answer, made)).await;
        return answer;
    }
    match forward((calls, policy), (call, request), &decided, deadline).await {
        Ok((reply, on_record, creation)) => {
            let finishing = finish((calls, policy), request, &decided, (reply, on_record));
            let answer = finishing.await;
            calls.end_creation(creation, policy, (&answer, made)).await;
            answer
        }
        Err(answer) => answer,
    }
}

/// Forwards it with every image pinned; the runtime's reply of success.
async fn forward(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    (call, request): (&Call, &Arc<ParsedCreate>),
    decided: &DecidedImages,
    deadline: CallDeadline,
) -> Result<(Reply, OnRecord, Creation), RecordedAnswer> {
    let (whole, asked) = (call.message.clone(), Arc::clone(request));
    let ids: Vec<Digest> =
        decided.permits.iter().map(|permit| permit.content().id().clone()).collect();
    let message = match aside::large(whole.len(), move || pinned(&whole, &asked, &ids)).await {
        Ok(message) => message,
        Err(refusal) => {
            return Err(calls.recorder.refuse_all(&decided.events, refusal).await.into());
        }
    };
    let forward = async {
        let _turn = calls.gate.turn_to_create().await;
        // Now, since waiting for the turn and for the disk took of the caller's time (fact P11).
        let (left, late) = deadline.left_or_observed(&calls.gate, policy)?;
        let pending = pending(calls, request, decided);
        let creation = calls.begin_creation(request.making());
        let path = OwnedMethod::CreateContainer.path();
        let reply = call.upstream.unary(path, &call.headers, &message, left).await;
        settle((calls, policy), request, pending, reply.as_ref().ok());
        Ok::<_, Refusal>((reply, late, creation))
    };
    // The record of images that were admitted before reaches the disk while the runtime works; that
    // of a new image before the runtime hears of it.
    let (on_record, forwarded) = if calls.recorder.stand_unwritten(&decided.events) {
        let (recorded, forwarded) =
            futures_util::future::join(calls.recorder.admit(&decided.events), forward).await;
        (recorded?, forwarded)
    } else {
        (calls.recorder.admit(&decided.events).await?, forward.await)
    };
    let (reply, late, creation) = match forwarded {
        Ok(forwarded) => forwarded,
        Err(refusal) => {
            return Err(calls.recorder.take_all_back(decided.events.iter(), refusal).await.into());
        }
    };
    if let Some(observed) = late {
        calls.recorder.observe_all_back(&decided.events, &observed).await;
    }
    calls.recorder.ended(&decided.events, call.method, reply.as_ref());
    match reply {
        Ok(reply) if reply.code() == Code::Ok => Ok((reply, on_record, creation)),
        Ok(reply) => Err(RecordedAnswer::reply(reply, on_record)),
        Err(error) => Err(RecordedAnswer::no_reply(&error, on_record)),
    }
}

/// What is pending while the runtime makes it.
fn pending(calls: &Calls, request: &ParsedCreate, decided: &DecidedImages) -> Pending {
    let sandbox = decided.sandbox.as_deref().unwrap_or(&request.sandbox_id);
    match decided.base {
        Some(_) => calls.pending.begin_restored(sandbox, &request.name),
        None => calls.pending.begin(sandbox, &request.name),
    }
}

/// Ends what is pending by what the runtime replied.
fn settle(
    (calls, policy): (&Calls, &PolicySet),
    request: &ParsedCreate,
    pending: Pending,
    reply: Option<&Reply>,
) {
    let Some(own) = request.images.first() else { return };
    let answer = match reply {
        None => MadeAnswer::Missing,
        Some(reply) if reply.code() != Code::Ok => MadeAnswer::None,
        Some(reply) => match decode::<CreateContainerResponse>(reply.message()) {
            Ok(response) => MadeAnswer::Made(response.container_id),
            Err(_) => MadeAnswer::None,
        },
    };
    calls.settle(policy, &own.ask, pending, &answer);
}

/// Decides on what is asked of the host, on every image, and on the sandbox; the first refusal ends
/// it, with a record of it, and of what was admitted before it and is taken back.
async fn decide(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    request: &ParsedCreate,
) -> Result<DecidedImages, Refused> {
    let under = PolicyMark::of(policy);
    let mut decided =
        DecidedImages { permits: Vec::new(), base: None, sandbox: None, under, events: Vec::new() };
    let Some(own) = request.images.first() else { return Ok(decided) };
    calls.check_host_access(policy, &own.ask, &request.access).await?;
    decide_on_images((calls, policy), request, &mut decided).await?;
    AuditEvent::observe_together(&mut decided.events);
    let asked = (&own.ask, request.sandbox_id.as_str());
    decided.sandbox = calls.check_sandbox(policy, asked, &decided.events).await?;
    Ok(decided)
}

async fn decide_on_images(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    request: &ParsedCreate,
    decided: &mut DecidedImages,
) -> Result<(), Refused> {
    let Some(first) = request.images.first() else { return Ok(()) };
    // What the runtime made the sandbox with, and not what the request says of it.
    let sandbox = Some(request.sandbox_id.as_str());
    let known = calls.gate.pod_of_sandbox(policy, &first.ask.pod, sandbox).await;
    for image in &request.images {
        let ask = image.ask.clone().of_pod(&known);
        let mut event = calls.recorder.local(&ask, policy);
        event.sandbox_id(&request.sandbox_id);
        let under = (policy, &*calls.recorder);
        let admitting = calls.gate.admit_for_container(&ask, under, &mut event.timings);
        let admitted = Box::pin(admitting)
            .await
            .and_then(|(permit, base)| Ok((permit.must_be(image.image_ref.as_deref())?, base)));
        match admitted.map_err(|refusal| observe(policy, refusal)) {
            Ok((permit, base)) => {
                event.admitted_local(&permit);
                decided.permits.push(permit);
                decided.events.push(event);
                decided.events.extend(base.as_ref().map(BaseImage::event));
                decided.base = decided.base.take().or(base);
            }
            Err(Ok(observed)) => {
                event.observed(observed);
                decided.events.push(event);
            }
            Err(Err(refusal)) => {
                let refused = calls.recorder.refuse(&event, refusal).await;
                // The refusal stands, and its reason, even where these cannot be written; the
                // journal has them then.
                return Err(match calls.recorder.admit(&decided.events).await {
                    Ok(_) => calls.recorder.take_back_with(&decided.events, refused).await,
                    Err(_) => refused,
                });
            }
        }
    }
    Ok(())
}

/// The request with every image given by the full id that was decided on, and nothing else changed
/// (fact C2).
fn pinned(whole: &Bytes, request: &ParsedCreate, ids: &[Digest]) -> Result<Bytes, Refusal> {
    let mut message = whole.clone();
    let mut decided = request.decoded.clone();
    let config = decided
        .config
        .as_mut()
        .ok_or_else(|| Refusal::BadRequest { why: "no container config".to_owned() })?;
    for (image, id) in request.images.iter().zip(ids) {
        message = with_image(&message, &image.at, id.as_str())?;
        let spec = match &image.mount {
            None => config.image.as_mut(),
            Some((nth, _)) => config.mounts.get_mut(*nth).and_then(|mount| mount.image.as_mut()),
        };
        if let Some(spec) = spec {
            spec.image = id.as_str().as_bytes().to_vec();
        }
        if image_spec(&message, &image.at)?.image != id.as_str() {
            return Err(Refusal::BadRequest {
                why: "the patched image is not the one that was decided on".to_owned(),
            });
        }
    }
    let undo = |message: Bytes, image: &ImageAsk| with_image(&message, &image.at, &image.ask.image);
    must_restore(&request.images.iter().try_fold(message.clone(), undo)?, whole)?;
    must_equal(&message, &decided)?;
    Ok(message)
}

/// Proves what was made; removes what was not proven, unless the gate only observes why.
async fn finish(
    (calls, policy): (&Calls, &PolicySet),
    request: &ParsedCreate,
    decided: &DecidedImages,
    (reply, on_record): (Reply, OnRecord),
) -> RecordedAnswer {
    let refusal = match prove(calls, request, decided, &reply).await {
        Ok(()) => return RecordedAnswer::reply(reply, on_record),
        Err(refusal) => refusal,
    };
    let refusal = match observe(policy, refusal) {
        Ok(observed) => {
            calls.recorder.observe_all_back(&decided.events, &observed).await;
            return RecordedAnswer::reply(reply, on_record);
        }
        Err(refusal) => refusal,
    };
    if let Ok(response) = decode::<CreateContainerResponse>(reply.message()) {
        tracing::error!(container = response.container_id, %refusal, "the new container is not \
            what was admitted; removing it");
        if calls.gate.remove_container(&response.container_id).await {
            calls.recorder.removed(&response.container_id, &refusal);
        }
    }
    calls.recorder.take_all_back(decided.events.iter(), refusal).await.into()
}

async fn prove(
    calls: &Calls,
    request: &ParsedCreate,
    decided: &DecidedImages,
    reply: &Reply,
) -> Result<(), Refusal> {
    let response: CreateContainerResponse = decode(reply.message())?;
    let created = created(&response.container_id, request, decided)?;
    let proven = calls.gate.verify_container(&created).await?;
    let base = decided.base.as_ref().map(BaseImage::permit);
    calls.gate.is_restored_as_decided(&proven, decided.permits.first(), base).await?;
    let until = decided.permits.iter().chain(base).map(LocalPermit::until);
    calls.gate.remember_proven(&proven, ProvenUnder::of(decided.under.clone(), until));
    Ok(())
}

/// What the container must be made of.
fn created<'a>(
    id: &'a str,
    request: &ParsedCreate,
    decided: &'a DecidedImages,
) -> Result<CreatedContainer<'a>, Refusal> {
    let (image, volumes) = decided
        .permits
        .split_first()
        .ok_or_else(|| Refusal::BadRequest { why: "no image".to_owned() })?;
    let image = decided.base.as_ref().map_or(image, BaseImage::permit);
    let paths = request
        .images
        .iter()
        .filter_map(|image| image.mount.as_ref().map(|(_, path)| path.clone()));
    let volumes = paths
        .zip(volumes)
        .map(|(container_path, permit)| CreatedVolume { container_path, permit })
        .collect();
    Ok(CreatedContainer { id, image, sandbox: decided.sandbox.as_deref(), volumes })
}
