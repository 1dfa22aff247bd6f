//! What came of the calls that were let through, as the log has it: what the runtime made, refused,
//! or never answered, and what the gate removed.

use std::sync::Arc;

use prost::Message;
use sealgate::audit::OnFailure;
use sealgate::proto::containerd::services::snapshots::v1 as snapshots;
use sealgate::proto::cri;
use serde_json::{Value, json};

use crate::decide::{CONTAINER, CREATE, House, PULL, SANDBOX, START, start};

/// The words of the outcomes, in order.
fn words(outcomes: &[Value]) -> Vec<&str> {
    outcomes.iter().map(|outcome| outcome["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_was_made_and_started_is_on_record_and_names_its_decision() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    for _ in 0..3 {
        assert_eq!(client.call(START, &start()).await.code(), 0);
    }
    let outcomes = house.outcomes().await;
    assert_eq!(words(&outcomes), ["created", "started", "started"], "{outcomes:#?}");
    let decisions = house.lines().await;
    let (digest, id) = house.names();
    for (outcome, call) in outcomes.iter().zip(["CreateContainer", "StartContainer"]) {
        assert_eq!(outcome["decision"], decisions[0]["id"]);
        assert_eq!(outcome["call"], call);
        assert_eq!(outcome["container_id"], CONTAINER);
        assert_eq!(outcome["sandbox_id"], SANDBOX);
        assert_eq!((&outcome["digest"], &outcome["image_id"]), (&json!(digest), &json!(id)));
        assert_eq!(outcome["platform_manifest"], json!(digest), "no index is over it");
        assert_eq!(outcome.get("reason"), None);
    }
    assert_eq!(decisions[0]["sandbox_id"], SANDBOX);
    assert_eq!(decisions[0]["platform_manifest"], json!(digest));
    assert_eq!(outcomes[2]["repeats"], 2, "two more starts of one container are a count");
    assert_eq!(outcomes[2]["repeats_of"], outcomes[1]["id"]);
}

#[tokio::test]
async fn what_the_runtime_refused_does_not_look_like_what_runs() {
    let house = House::with(OnFailure::RefuseNew);
    let refuses: fn(&[u8]) -> _ = |_| Err((2, "failed to create: no such device".to_owned()));
    house.standin.script(CREATE, Arc::new(refuses));
    let mut client = house.client().await;
    for _ in 0..2 {
        assert_eq!(client.call(CREATE, &house.create()).await.code(), 2);
    }
    let outcomes = house.outcomes().await;
    assert_eq!(words(&outcomes), ["failed", "failed"]);
    let reason = &outcomes[0]["reason"];
    assert_eq!(reason["code"], "UNKNOWN");
    assert_eq!(reason["message"], "failed to create: no such device");
    assert_eq!(outcomes[0].get("container_id"), None);
    assert_eq!(outcomes[1]["repeats"], 1, "the second is counted with the first");
}

/// Absent, unreachable and refused are three answers: here nobody knows what the runtime made.
#[tokio::test]
async fn a_runtime_that_goes_away_in_the_middle_leaves_the_outcome_open() {
    let house = House::with(OnFailure::RefuseNew);
    house.standin.script(CREATE, Arc::new(|_| panic!("as a runtime that is killed")));
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 14);
    let outcomes = house.outcomes().await;
    assert_eq!(words(&outcomes), ["unanswered"]);
    assert_eq!(outcomes[0]["reason"]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn what_the_gate_removes_is_on_record_with_its_reason() {
    let house = House::with(OnFailure::RefuseNew);
    let info = Some(snapshots::Info {
        parent: "sha256:of another image".to_owned(),
        ..Default::default()
    });
    let stat = snapshots::StatSnapshotResponse { info }.encode_to_vec();
    let path = "/containerd.services.snapshots.v1.Snapshots/Stat";
    house.standin.script(path, Arc::new(move |_| Ok(stat.clone())));
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 2);
    let outcomes = house.outcomes().await;
    assert_eq!(words(&outcomes), ["created", "removed"]);
    let decisions = house.lines().await;
    assert_eq!(outcomes[1]["decision"], decisions[0]["id"]);
    assert_eq!(outcomes[1]["container_id"], CONTAINER);
    let back = decisions.iter().find(|line| line["supersedes"] == decisions[0]["id"]).unwrap();
    assert_eq!(outcomes[1]["reason"]["code"], back["reason"]["code"]);
}

/// A runtime that refuses even the removal: nothing is on record as removed.
#[tokio::test]
async fn what_could_not_be_removed_is_not_called_removed() {
    let house = House::with(OnFailure::RefuseNew);
    let path = "/containerd.services.snapshots.v1.Snapshots/Stat";
    house.standin.script(path, Arc::new(|_| Err((5, "no such snapshot".to_owned()))));
    let remove = "/runtime.v1.RuntimeService/RemoveContainer";
    house.standin.script(remove, Arc::new(|_| Err((13, "not now".to_owned()))));
    let mut client = house.client().await;
    assert_ne!(client.call(CREATE, &house.create()).await.code(), 0);
    assert_eq!(words(&house.outcomes().await), ["created"]);
}

#[tokio::test]
async fn in_observe_mode_what_was_made_is_on_record_too() {
    let house = House::observing();
    let mut client = house.client().await;
    let mut asked = cri::CreateContainerRequest::decode(&*house.create()).unwrap();
    let image = cri::ImageSpec { image: "no reference at all".to_owned(), ..Default::default() };
    asked.config.as_mut().unwrap().image = Some(image);
    assert_eq!(client.call(CREATE, &asked.encode_to_vec()).await.code(), 0);
    let decisions = house.lines().await;
    assert_eq!(decisions[0]["observed"], true);
    let outcomes = house.outcomes().await;
    assert_eq!(words(&outcomes), ["created"]);
    assert_eq!(outcomes[0]["decision"], decisions[0]["id"]);
    assert_eq!(outcomes[0]["container_id"], CONTAINER);
}

#[tokio::test]
async fn a_pull_that_failed_is_told_from_one_that_came() {
    let house = House::observing();
    let (request, _) = house.pull(None);
    let mut client = house.client().await;
    assert_eq!(client.call(PULL, &request).await.code(), 0);
    house.standin.script(PULL, Arc::new(|_| Err((5, "not found".to_owned()))));
    assert_eq!(client.call(PULL, &request).await.code(), 5);
    let outcomes = house.outcomes().await;
    assert_eq!(words(&outcomes), ["pulled", "failed"]);
    assert_eq!(outcomes[1]["reason"]["code"], "NOT_FOUND");
    assert!(outcomes.iter().all(|outcome| outcome["call"] == "PullImage"));
}

/// A log that takes nothing holds up no container that may run without it, and no outcome does.
#[tokio::test]
async fn an_outcome_that_cannot_be_recorded_holds_up_nobody() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    assert_eq!(words(&house.outcomes().await), ["created"]);
    // The log is closed now.
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    assert_eq!(client.call(START, &start()).await.code(), 0);
    assert_eq!(words(&house.outcomes().await), ["created"]);
}
