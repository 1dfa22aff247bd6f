//! RunPodSandbox with the real gate behind it: what the sandbox is made of is decided on, the
//! request passes as it came, and what was made of something else is removed.

use std::sync::Arc;

use prost::Message;
use sealgate::audit::OnFailure;
use sealgate::proto::containerd::services::images::v1 as images;
use sealgate::proto::containerd::services::snapshots::v1 as snapshots;
use sealgate::proto::cri;
use sealgate::proxy::wire::{self, FieldStep};
use serde_json::json;

use crate::decide::{House, PULL};
use crate::standin::frame;
use crate::unread::{BYTES, with};

pub const RUN: &str = "/runtime.v1.RuntimeService/RunPodSandbox";
const STOP: &str = "/runtime.v1.RuntimeService/StopPodSandbox";
const REMOVE: &str = "/runtime.v1.RuntimeService/RemovePodSandbox";
const UPDATE: &str = "/containerd.services.images.v1.Images/Update";
const STATUS: &str = "/runtime.v1.RuntimeService/Status";
/// Fields of the request and of its configuration that no decision rests on, and one that no
/// version of the API has.
const OF_REQUEST: [u32; 1] = [14_321];
const OF_CONFIG: [u32; 7] = [2, 3, 4, 5, 6, 9, 14_321];

/// The runtime makes sandboxes of this image, and has a handler that is not on the list.
fn configured(house: &House, image: Option<&str>) {
    let config = json!({"sandboxImage": image, "containerd": {"defaultRuntimeName": "runc",
    "runtimes": {
        "runc": {"runtimeType": "io.containerd.runc.v2"},
        "kata": {"runtimeType": "io.containerd.kata.v2"},
    }}});
    let answer = cri::StatusResponse {
        info: [("config".to_owned(), config.to_string())].into(),
        ..Default::default()
    };
    house.standin.script(STATUS, Arc::new(move |_| Ok(answer.encode_to_vec())));
    let version = cri::VersionResponse {
        runtime_name: "containerd".to_owned(),
        runtime_version: "v9.9.9".to_owned(),
        ..Default::default()
    };
    let path = "/runtime.v1.RuntimeService/Version";
    house.standin.script(path, Arc::new(move |_| Ok(version.encode_to_vec())));
    let made = cri::RunPodSandboxResponse { pod_sandbox_id: "made".to_owned() };
    house.standin.script(RUN, Arc::new(move |_| Ok(made.encode_to_vec())));
    for path in [STOP, REMOVE] {
        house.standin.script(path, Arc::new(|_| Ok(Vec::new())));
    }
}

fn house() -> House {
    let house = House::with(OnFailure::RefuseNew);
    configured(&house, Some("reg.test/prod/app:1"));
    house
}

fn request(config: cri::PodSandboxConfig, handler: &str) -> Vec<u8> {
    let metadata =
        cri::PodSandboxMetadata { name: "p".to_owned(), uid: "u".to_owned(), ..Default::default() };
    let config = cri::PodSandboxConfig { metadata: Some(metadata), ..config };
    cri::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() }
        .encode_to_vec()
}

/// A request of a pod that asks for nothing unusual.
pub fn usual() -> Vec<u8> {
    request(cri::PodSandboxConfig::default(), "")
}

fn reached(house: &House, path: &str) -> usize {
    house.standin.paths().iter().filter(|reached| *reached == path).count()
}

#[tokio::test]
async fn a_sandbox_of_an_admitted_image_is_made_and_its_request_passes_as_it_came() {
    let house = house();
    let mut client = house.client().await;
    let message = with(usual(), &[FieldStep::only(1)], &OF_CONFIG);
    let message = with(message, &[], &OF_REQUEST);
    // Nor does anything of a security context but its profiles.
    let linux = wire::put(b"", &[FieldStep::only(1)], BYTES).unwrap();
    let message = wire::put(&message, &[FieldStep::only(1), FieldStep::only(8)], &linux).unwrap();
    let (code, text) = client.call(RUN, &message).await.status();
    assert_eq!(code, 0, "{text}");
    let received = house.standin.received();
    let sent: Vec<_> = received.iter().filter(|request| request.path == RUN).collect();
    assert_eq!((sent.len(), &sent[0].body[..]), (1, &frame(&message)[..]));
    assert_eq!(reached(&house, STOP) + reached(&house, REMOVE), 0);
}

/// The kubelet counts no sandbox as a use of an image. One that was on the node before the gate is
/// marked as one to keep, once.
#[tokio::test]
async fn a_sandbox_image_that_was_on_the_node_is_pinned_once() {
    let house = house();
    let mut client = house.client().await;
    for _ in 0..2 {
        assert_eq!(client.call(RUN, &usual()).await.status(), (0, String::new()));
    }
    let received = house.standin.received();
    let pins: Vec<_> = received.iter().filter(|request| request.path == UPDATE).collect();
    assert_eq!(pins.len(), 1);
    let asked = images::UpdateImageRequest::decode(&pins[0].body[5..]).unwrap();
    let image = asked.image.unwrap();
    assert_eq!(image.name, format!("reg.test/prod/app@{}", house.names().0));
    assert_eq!(image.labels["io.cri-containerd.pinned"], "pinned");
    let paths = asked.update_mask.unwrap().paths;
    assert_eq!(paths, ["labels.io.cri-containerd.pinned"], "and nothing else is changed");
}

/// A runtime that cannot pin it makes sandboxes all the same.
#[tokio::test]
async fn a_sandbox_image_that_cannot_be_pinned_is_used() {
    let house = house();
    house.standin.script(UPDATE, Arc::new(|_| Err((13, "no space".to_owned()))));
    let mut client = house.client().await;
    for attempt in 1..=2 {
        assert_eq!(client.call(RUN, &usual()).await.status(), (0, String::new()));
        assert_eq!(reached(&house, UPDATE), attempt, "it is tried again");
    }
}

/// containerd may note the image of a sandbox by its id, which no registry knows.
#[tokio::test]
async fn a_sandbox_image_that_is_an_id_is_found_by_it_or_not_at_all() {
    let house = house();
    let id = house.names().1;
    configured(&house, Some(&id));
    let mut client = house.client().await;
    assert_eq!(client.call(RUN, &usual()).await.status(), (0, String::new()));
    let none = cri::ImageStatusResponse::default().encode_to_vec();
    let path = "/runtime.v1.ImageService/ImageStatus";
    house.standin.script(path, Arc::new(move |_| Ok(none.clone())));
    let (code, text) = client.call(RUN, &usual()).await.status();
    assert_eq!((code, reached(&house, PULL)), (5, 0), "{text}");
    assert!(text.contains(&format!("no image {id}")), "{text}");
}

/// Attack F (fact C9): the sandbox image is no way past the policy.
#[tokio::test]
async fn attack_f_a_sandbox_of_an_image_that_no_policy_admits_is_not_made() {
    let house = house();
    let mut client = house.client().await;
    for image in ["reg.test/prod/another:1", "elsewhere.test/pause:1", "no reference at all"] {
        configured(&house, Some(image));
        let (code, text) = client.call(RUN, &usual()).await.status();
        assert_ne!(code, 0);
        assert!(text.contains(image) && text.contains("sandbox of every pod"), "{text}");
    }
    // What the runtime makes it of cannot be told.
    configured(&house, None);
    let (code, text) = client.call(RUN, &usual()).await.status();
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("runtime.sandbox_image"), "{text}");
    assert_eq!(reached(&house, RUN), 0);
}

/// Attack A9 (fact C6): the runtime resolves the name again, and made the sandbox of another image.
#[tokio::test]
async fn attack_a9_a_sandbox_of_another_image_is_removed() {
    let house = house();
    let mut client = house.client().await;
    let info = snapshots::Info { parent: "sha256:another".to_owned(), ..Default::default() };
    let stat = snapshots::StatSnapshotResponse { info: Some(info) }.encode_to_vec();
    let path = "/containerd.services.snapshots.v1.Snapshots/Stat";
    house.standin.script(path, Arc::new(move |_| Ok(stat.clone())));
    let (code, text) = client.call(RUN, &usual()).await.status();
    assert_eq!(code, 2, "{text}");
    assert_eq!([RUN, STOP, REMOVE].map(|path| reached(&house, path)), [1, 1, 1]);
}

/// Attack A11: what a pod asks of its sandbox steers no snapshotter, and no runtime that is not on
/// the list. Attack F: its profile is no artifact. Attack D2: no field can be read in two ways.
#[tokio::test]
async fn attack_a11_what_a_pod_asks_of_its_sandbox_is_read_before_it_is_made() {
    let house = house();
    let mut client = house.client().await;
    let noted = |key: &str, value: &str| {
        let annotations = [(key.to_owned(), value.to_owned())].into();
        request(cri::PodSandboxConfig { annotations, ..Default::default() }, "")
    };
    let profile = wire::put(b"", &[FieldStep::only(3)], b"reg.test/profile@sha256:0").unwrap();
    let at = [2, 9].map(FieldStep::only);
    let context = wire::put(b"", &at[1..], &profile).unwrap();
    let linux = wire::put(b"", &at[..1], &context).unwrap();
    let linux = wire::put(&usual(), &[FieldStep::only(1), FieldStep::only(8)], &linux).unwrap();
    let twice = [request(cri::PodSandboxConfig::default(), "runc"), b"\x12\x04kata".to_vec()];
    for (what, message) in [
        ("kata", request(cri::PodSandboxConfig::default(), "kata")),
        ("runtime-handler", noted("io.containerd.cri.runtime-handler", "kata")),
        ("snapshot", noted("containerd.io/snapshot/nydus", "x")),
        ("profile", linux.to_vec()),
        ("twice", twice.concat()),
    ] {
        let (code, text) = client.call(RUN, &message).await.status();
        assert_ne!(code, 0, "{what}: {text}");
    }
    assert_eq!(reached(&house, RUN), 0);
    assert_eq!(client.call(RUN, &noted("app", "x")).await.code(), 0);
}
