//! CreateContainer: decide on the container's image and on every image volume, forward their full
//! ids, and before the answer prove that this is what was made; otherwise remove it and refuse.

use std::sync::Arc;

use bytes::Bytes;

use super::host_access::{self, HostAccess};
use super::message::{
    ImageStrings, bad_request, decode, image_spec, must_equal, must_restore, pod, text, with_image,
};
use super::{CallDeadline, Calls, profile};
use crate::aside;
use crate::cri::ask::{Call as Asking, LocalImageRequest};
use crate::cri::made::{Creation, Making};
use crate::cri::record::answer::RecordedAnswer;
use crate::cri::{
    AuditEvent, CreatedContainer, CreatedVolume, LocalPermit, OnRecord, PolicyMark, Refusal,
    Refused, observe,
};
use crate::image::Digest;
use crate::policy::PolicySet;
use crate::proto::asked::CreateContainerRequest;
use crate::proto::cri::CreateContainerResponse;
use crate::proxy::wire::{self, FieldStep};
use crate::proxy::{Call, OwnedMethod, Reply};

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
    /// The documents that they were decided under.
    under: PolicyMark,
    events: Vec<AuditEvent>,
}

/// What the runtime was told to make, and did.
struct Forwarded {
    decided: DecidedImages,
    reply: Reply,
    on_record: OnRecord,
    creation: Creation,
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
    match decide_and_forward((&calls, &policy), &call, &request, deadline).await {
        Ok(Forwarded { decided, reply, on_record, creation }) => {
            // What was made must be proven even when the caller has gone meanwhile.
            let finished = tokio::spawn(async move {
                let answer =
                    finish((&calls, &policy), &request, &decided, (reply, on_record)).await;
                calls.end_creation(creation, &policy, (&answer, made)).await;
                answer
            });
            finished.await.unwrap_or_else(|_| Refused::lost().into())
        }
        Err(answer) => answer,
    }
}

/// The id of what was made.
fn made(reply: &[u8]) -> Option<String> {
    decode::<CreateContainerResponse>(reply).ok().map(|response| response.container_id)
}

/// Reads what a decision rests on from the wire, and refuses what could be read in two ways.
fn read(message: &[u8], deadline: CallDeadline) -> Result<ParsedCreate, Refusal> {
    let decoded: CreateContainerRequest = decode(message)?;
    profile::of_sandbox(message, &SANDBOX)?;
    profile::of_container(message, &[CONFIG])?;
    let pod = pod(message, &SANDBOX)?;
    let container = text(message, &METADATA, 1)?.unwrap_or_default().to_owned();
    let ask = |call, strings: ImageStrings| LocalImageRequest {
        call,
        image: strings.image,
        user_specified: strings.user_specified,
        pod: pod.clone(),
        container: container.clone(),
        deadline: deadline.decide_by,
    };
    let own = ask(Asking::CreateContainer, image_spec(message, &IMAGE)?);
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
        let ask = ask(Asking::ImageVolume, strings);
        let image_ref = image_ref(mount, &[FieldStep::only(MOUNT_IMAGE)])?;
        images.push(ImageAsk { at, mount: Some((nth, container_path)), ask, image_ref });
    }
    let access = host_access::read(message, CONFIG, &decoded)?;
    // The decision does not rest on it: one that is no text is the runtime's to refuse.
    let sandbox_id = text(message, &[], SANDBOX_ID).ok().flatten().unwrap_or_default().to_owned();
    Ok(ParsedCreate { decoded, images, access, sandbox_id, name: container })
}

/// The `image_ref` of the `ImageSpec` at `path`; an empty one is none.
fn image_ref(message: &[u8], path: &[FieldStep]) -> Result<Option<String>, Refusal> {
    Ok(text(message, path, IMAGE_REF)?.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// Forwards the request as it came, since some image of it would have been refused.
async fn forward_observed(
    (calls, policy): (&Calls, &PolicySet),
    call: &Call,
    (request, decided): (&ParsedCreate, &DecidedImages),
    deadline: CallDeadline,
) -> RecordedAnswer {
    let (left, _) = deadline.left_or_observed(&calls.gate, policy).unwrap_or_default();
    let _turn = calls.gate.turn_to_create().await;
    let _pending = calls.pending.begin(&request.sandbox_id, &request.name);
    let creation = calls.begin_creation(request.making());
    let answer = calls.forward_as_it_came(&decided.events, call, left).await;
    calls.end_creation(creation, policy, (&answer, made)).await;
    answer
}

async fn decide_and_forward(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    call: &Call,
    request: &Arc<ParsedCreate>,
    deadline: CallDeadline,
) -> Result<Forwarded, RecordedAnswer> {
    if let Some(own) = request.images.first() {
        calls.check_host_access(policy, &own.ask, &request.access).await?;
    }
    let decided = decide((calls, policy), request).await?;
    if decided.is_observed() {
        return Err(forward_observed((calls, policy), call, (request, &decided), deadline).await);
    }
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
        let _pending = calls.pending.begin(&request.sandbox_id, &request.name);
        let creation = calls.begin_creation(request.making());
        let path = OwnedMethod::CreateContainer.path();
        let reply = call.upstream.unary(path, &call.headers, &message, left).await;
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
    match reply {
        Ok(reply) if reply.code() == crate::proxy::Code::Ok => {
            Ok(Forwarded { decided, reply, on_record, creation })
        }
        Ok(reply) => Err(RecordedAnswer::reply(reply, on_record)),
        Err(error) => Err(RecordedAnswer::no_reply(&error, on_record)),
    }
}

/// Decides on every image; the first refusal ends it, with a record of it, and of what was admitted
/// before it and is taken back.
async fn decide(
    (calls, policy): (&Calls, &Arc<PolicySet>),
    request: &ParsedCreate,
) -> Result<DecidedImages, Refused> {
    let under = PolicyMark::of(policy);
    let mut decided = DecidedImages { permits: Vec::new(), under, events: Vec::new() };
    for image in &request.images {
        let mut event = calls.recorder.local(&image.ask, policy);
        let admitted = calls.gate.admit_local(&image.ask, policy, &mut event.timings).await;
        let admitted = admitted.and_then(|permit| permit.must_be(image.image_ref.as_deref()));
        match admitted.map_err(|refusal| observe(policy, refusal)) {
            Ok(permit) => {
                event.admitted_local(&permit);
                decided.permits.push(permit);
                decided.events.push(event);
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
                    Ok(_) => {
                        calls
                            .recorder
                            .take_all_back(decided.events.iter(), refused.into_refusal())
                            .await
                    }
                    Err(_) => refused,
                });
            }
        }
    }
    AuditEvent::observe_together(&mut decided.events);
    Ok(decided)
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
        calls.gate.remove_container(&response.container_id).await;
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
    let created = created(&response.container_id, request, &decided.permits)?;
    let proven = calls.gate.verify_container(&created).await?;
    calls.gate.remember_proven(&proven, decided.under.clone());
    Ok(())
}

/// What the container must be made of.
fn created<'a>(
    id: &'a str,
    request: &ParsedCreate,
    permits: &'a [LocalPermit],
) -> Result<CreatedContainer<'a>, Refusal> {
    let (image, volumes) =
        permits.split_first().ok_or_else(|| Refusal::BadRequest { why: "no image".to_owned() })?;
    let paths = request
        .images
        .iter()
        .filter_map(|image| image.mount.as_ref().map(|(_, path)| path.clone()));
    let volumes = paths
        .zip(volumes)
        .map(|(container_path, permit)| CreatedVolume { container_path, permit })
        .collect();
    Ok(CreatedContainer { id, image, volumes })
}
