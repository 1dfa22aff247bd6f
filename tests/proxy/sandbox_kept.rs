//! CreateContainer in a sandbox whose proof was cut off, or that was made before the gate came: it
//! is proven from what the runtime keeps of it, or no container is made in it.

use std::sync::Arc;

use prost::Message;
use sealgate::audit::OnFailure;
use sealgate::proto::containerd::services::containers::v1 as containers;
use sealgate::proto::containerd::services::snapshots::v1 as snapshots;
use sealgate::proto::{cri, wellknown::Any};
use serde_json::{Value, json};

use crate::client::Client;
use crate::decide::{CREATE, House, SANDBOX};
use crate::sandbox::{RUN, usual};

const GET: &str = "/containerd.services.containers.v1.Containers/Get";
const STAT: &str = "/containerd.services.snapshots.v1.Snapshots/Stat";
const STOP: &str = "/runtime.v1.RuntimeService/StopPodSandbox";
const STATUS: &str = "/runtime.v1.RuntimeService/Status";
const SHOWN: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";
/// A sandbox that nobody here saw made.
const KEPT: &str = "0123456789abcdef0123456789abcdef";
const CONTAINER: &str = "made";

/// Of what the kept sandbox is made.
#[derive(Clone, Copy)]
enum Of {
    TheImage,
    AnotherImage,
}

/// A runtime with a kept sandbox, and containers that are in that one.
fn keep(house: &House, of: Of) {
    let config = json!({"sandboxImage": "reg.test/prod/app:1", "containerd":
    {"defaultRuntimeName": "runc", "runtimes": {
        "runc": {"runtimeType": "io.containerd.runc.v2"},
        "vm": {"runtimeType": "io.containerd.vm.v2", "sandboxMode": "shim"},
    }}});
    let status = cri::StatusResponse {
        info: [("config".to_owned(), config.to_string())].into(),
        ..Default::default()
    };
    house.standin.script(STATUS, Arc::new(move |_| Ok(status.encode_to_vec())));
    let id = house.names().1;
    house.standin.script(
        GET,
        Arc::new(move |message| {
            let asked = containers::GetContainerRequest::decode(message).unwrap().id;
            let found = match asked.as_str() {
                KEPT | CONTAINER => container(&asked, &id),
                _ => return Err((5, "no such container".to_owned())),
            };
            let answer = containers::GetContainerResponse { container: Some(found) };
            Ok(answer.encode_to_vec())
        }),
    );
    if let Of::AnotherImage = of {
        let own = house.parent();
        house.standin.script(
            STAT,
            Arc::new(move |message| {
                let asked = snapshots::StatSnapshotRequest::decode(message).unwrap().key;
                let parent = if asked == KEPT { "sha256:another".to_owned() } else { own.clone() };
                let info = Some(snapshots::Info { parent, ..Default::default() });
                Ok(snapshots::StatSnapshotResponse { info }.encode_to_vec())
            }),
        );
    }
    shown(house, "");
}

/// The CRI shows the kept sandbox, by any beginning of its id, with this handler.
fn shown(house: &House, handler: &'static str) {
    house.standin.script(
        SHOWN,
        Arc::new(move |message| {
            let asked = cri::PodSandboxStatusRequest::decode(message).unwrap().pod_sandbox_id;
            let id = if asked.starts_with("vm") { asked.clone() } else { KEPT.to_owned() };
            if asked.is_empty() || !id.starts_with(&asked) {
                return Err((5, "no such sandbox".to_owned()));
            }
            let status = cri::PodSandboxStatus {
                id,
                runtime_handler: handler.to_owned(),
                ..Default::default()
            };
            let answer =
                cri::PodSandboxStatusResponse { status: Some(status), ..Default::default() };
            Ok(answer.encode_to_vec())
        }),
    );
}

fn container(id: &str, image: &str) -> containers::Container {
    let any =
        |value: &Value| Any { type_url: String::new(), value: serde_json::to_vec(value).unwrap() };
    let notes = json!({"Version": "v1", "Metadata": {
        "ImageRef": image, "Config": {"metadata": {"name": "main"}, "image": {"image": image}},
    }});
    let annotations = json!({"io.kubernetes.cri.sandbox-id": KEPT});
    containers::Container {
        id: id.to_owned(),
        image: "reg.test/prod/app:1".to_owned(),
        runtime: Some(containers::container::Runtime {
            name: "io.containerd.runc.v2".to_owned(),
            options: None,
        }),
        spec: Some(any(&json!({"mounts": [], "annotations": annotations}))),
        snapshotter: "overlayfs".to_owned(),
        snapshot_key: id.to_owned(),
        extensions: [("io.cri-containerd.container.metadata".to_owned(), any(&notes))].into(),
        ..Default::default()
    }
}

async fn create(house: &House, client: &mut Client, sandbox: &str) -> (i32, String) {
    let mut asked = cri::CreateContainerRequest::decode(&*house.create()).unwrap();
    asked.pod_sandbox_id = sandbox.to_owned();
    client.call(CREATE, &asked.encode_to_vec()).await.status()
}

/// What was asked of the runtime since, about the kept sandbox itself.
fn looks(house: &House) -> usize {
    let received = house.standin.received();
    let about = received.iter().filter(|request| {
        let is_about = |body: &[u8]| {
            containers::GetContainerRequest::decode(body).is_ok_and(|asked| asked.id == KEPT)
        };
        request.path == GET && request.body.get(5..).is_some_and(is_about)
    });
    about.count()
}

#[tokio::test]
async fn a_container_is_made_in_a_sandbox_of_an_admitted_image_and_that_is_looked_at_once() {
    let house = House::with(OnFailure::RefuseNew);
    keep(&house, Of::TheImage);
    let mut client = house.client().await;
    for _ in 0..3 {
        assert_eq!(create(&house, &mut client, KEPT).await, (0, String::new()));
    }
    assert_eq!((looks(&house), house.reached(SHOWN)), (1, 0));
    let lines = house.lines().await;
    let of_sandbox: Vec<_> = lines.iter().filter(|line| line["call"] == "RunPodSandbox").collect();
    assert_eq!(of_sandbox.len(), 1, "{lines:#?}");
    assert_eq!(of_sandbox[0]["container_id"], KEPT);
    assert_eq!(of_sandbox[0]["verdict"], "admitted");
}

/// Attack G: the gate was killed after the runtime had made a sandbox of another image, before it
/// had proven that.
#[tokio::test]
async fn attack_g_no_container_is_made_in_a_sandbox_of_another_image() {
    let house = House::with(OnFailure::RefuseNew);
    keep(&house, Of::AnotherImage);
    let mut client = house.client().await;
    for sandbox in [KEPT, "0123456789", "another", ""] {
        let (code, text) = create(&house, &mut client, sandbox).await;
        assert_eq!(code, 2, "{sandbox}: {text}");
        assert!(text.contains("delete the pod"), "{text}");
    }
    assert_eq!(house.reached(CREATE), 0);
    let lines = house.lines().await;
    let codes: Vec<_> = lines.iter().map(|line| &line["reason"]["code"]).collect();
    assert!(codes.iter().all(|code| *code == "sandbox-not-proven"), "{lines:#?}");
}

/// The runtime does not remove a sandbox whose proof failed. The gate goes on trying, so that no
/// container is made in it meanwhile, although it could be proven by now.
#[tokio::test]
async fn no_container_is_made_in_a_sandbox_that_the_gate_removes() {
    let house = House::with(OnFailure::RefuseNew);
    keep(&house, Of::AnotherImage);
    let made = cri::RunPodSandboxResponse { pod_sandbox_id: KEPT.to_owned() };
    house.standin.script(RUN, Arc::new(move |_| Ok(made.encode_to_vec())));
    house.standin.script(STOP, Arc::new(|_| Err((14, "not now".to_owned()))));
    let mut client = house.client().await;
    let (code, text) = client.call(RUN, &usual()).await.status();
    assert_eq!(code, 2, "{text}");
    assert!(house.reached(STOP) > 0);
    let info = Some(snapshots::Info { parent: house.parent(), ..Default::default() });
    let stat = snapshots::StatSnapshotResponse { info }.encode_to_vec();
    house.standin.script(STAT, Arc::new(move |_| Ok(stat.clone())));
    for sandbox in [KEPT, "0123456789"] {
        let (code, text) = create(&house, &mut client, sandbox).await;
        assert_eq!(code, 2, "{text}");
    }
    assert_eq!(house.reached(CREATE), 0);
    let lines = house.lines().await;
    let is_refused = |line: &Value| line["reason"]["code"] == "sandbox-not-proven";
    assert!(lines.iter().any(is_refused), "{lines:#?}");
}

/// A part of an id is what the runtime takes it for, and what is made is in that sandbox.
#[tokio::test]
async fn attack_a5_a_part_of_a_sandboxs_id_is_no_other_sandbox() {
    let house = House::with(OnFailure::RefuseNew);
    keep(&house, Of::TheImage);
    let mut client = house.client().await;
    assert_eq!(create(&house, &mut client, "0123456789").await, (0, String::new()));
    // The runtime says that it is in the kept sandbox.
    let (code, text) = create(&house, &mut client, SANDBOX).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(SANDBOX) && text.contains(KEPT), "{text}");
}

/// A runtime that makes its sandboxes by itself makes them of no image.
#[tokio::test]
async fn a_sandbox_that_is_made_of_no_image_needs_no_proof() {
    let house = House::with(OnFailure::RefuseNew);
    keep(&house, Of::TheImage);
    shown(&house, "vm");
    let mut client = house.client().await;
    let (_, text) = create(&house, &mut client, "vm-0").await;
    // The stand-in makes everything in the kept sandbox.
    assert!(text.contains("vm-0") && text.contains("expected"), "{text}");
    assert_eq!(house.reached(CREATE), 1);
    shown(&house, "runc");
    let (_, text) = create(&house, &mut client, "vm-1").await;
    assert!(text.contains("delete the pod"), "{text}");
    assert_eq!(house.reached(CREATE), 1);
}

#[tokio::test]
async fn observe_mode_refuses_no_sandbox() {
    let house = House::observing();
    keep(&house, Of::AnotherImage);
    let mut client = house.client().await;
    assert_eq!(create(&house, &mut client, KEPT).await, (0, String::new()));
    assert_eq!(house.reached(CREATE), 1);
    let lines = house.lines().await;
    let of_sandbox: Vec<_> = lines.iter().filter(|line| line["call"] == "RunPodSandbox").collect();
    assert_eq!(of_sandbox.len(), 1, "{lines:#?}");
    assert_eq!(of_sandbox[0]["reason"]["code"], "other-root-filesystem");
    assert_eq!(of_sandbox[0]["observed"], true);
}
