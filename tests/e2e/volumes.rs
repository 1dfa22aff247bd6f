//! Image volumes (fact C7): every image that a container mounts is decided on and proven like its
//! own.

use std::time::Duration;

use sealgate::containerd::{Options, Runtime};
use sealgate::proto::cri::{ImageSpec, Mount};

use crate::acts::{No, containers, create_refused, eventually, past_the_gate};
use crate::containerd::{Flavour, Launch};
use crate::ensure;
use crate::stage::{HOST, Outcome, Props, Stage, by_id};

const PATH: &str = "/data";

fn mount(image: &str, asked: &str) -> Mount {
    let image = ImageSpec {
        image: image.to_owned(),
        user_specified_image: asked.to_owned(),
        ..ImageSpec::default()
    };
    Mount {
        container_path: PATH.to_owned(),
        readonly: true,
        image: Some(image),
        ..Mount::default()
    }
}

fn with(launch: Launch, mount: Mount) -> Launch {
    Launch { mounts: vec![mount], ..launch }
}

/// On a containerd that has image volumes.
pub async fn image_volume() -> Outcome {
    let flavour = Flavour::at_least(2, 1)?;
    let stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
    let (app, data) = (format!("{HOST}/prod/signed-v2:v1"), format!("{HOST}/prod/signed-v3:v1"));
    let (app_id, data_id) = (stage.cri().pull(&app).await?, stage.cri().pull(&data).await?);
    let unsigned = format!("{HOST}/prod/unsigned:v1");
    let unsigned_id = past_the_gate(&stage, &unsigned).await?;
    let pod = stage.pod().await?;
    let launch = || by_id(&app_id, &app);

    for volume in [mount(&data_id, &data), mount(&data, &data), mount(&data, "")] {
        let (exit, output) = stage.cri().run(&pod, with(launch(), volume)).await?;
        ensure!(exit == 0, "exit code {exit}: {output}");
        stage.expect_record("ImageVolume", "admitted", "satisfied")?;
    }
    println!("   {data} was mounted by id and by name");
    create_refused(
        &stage,
        &pod,
        with(launch(), mount(&unsigned_id, &unsigned)),
        No::refused("unsigned"),
    )
    .await?;
    let lie = mount(&unsigned_id, &data);
    create_refused(&stage, &pod, with(launch(), lie), No::refused("name-not-listed")).await?;
    let path = No {
        code: tonic::Code::InvalidArgument,
        begins: "",
        verdict: "refused",
        reason: "bad-reference",
    };
    create_refused(&stage, &pod, with(launch(), mount("/etc", "")), path).await?;

    // The record `sha256:<id>`, which is what the runtime mounts, points at other content.
    let runtime = Runtime::new(Options { socket: stage.containerd.socket(), ..Options::default() });
    let other = runtime.record(&unsigned_id).await?.ok_or("no record of the unsigned id")?;
    runtime.name(&data_id, &other.target).await?;
    let before = containers(&stage).await?;
    let pod = stage.cri().run_pod("prod-us").await?;
    let mut reasons = Vec::new();
    eventually(
        "a container with the moved volume is refused",
        Duration::from_secs(60),
        async || {
            let began = stage.records().len();
            let outcome = stage.cri().create(&pod, with(launch(), mount(&data_id, &data))).await;
            let codes = stage.records().split_off(began);
            reasons = codes.iter().map(|record| record["reason"]["code"].to_string()).collect();
            outcome.is_err()
        },
    )
    .await?;
    println!("   {data_id} was moved to other content: {reasons:?}");
    ensure!(
        reasons.iter().any(|code| code.contains("other-")),
        "refused for another reason: {reasons:?}"
    );
    let after = containers(&stage).await?;
    ensure!(before == after, "containers were left: {before:?}, {after:?}");
    Ok(())
}

/// On a containerd that has none the runtime's own answer passes, and an unsigned one is refused
/// all the same.
pub async fn unknown() -> Outcome {
    let stage = Stage::usual().await?;
    ensure!(stage.containerd.flavour().version < (2, 0), "this containerd has image volumes");
    let (app, data) = (format!("{HOST}/prod/signed-v2:v1"), format!("{HOST}/prod/signed-v3:v1"));
    let (app_id, data_id) = (stage.cri().pull(&app).await?, stage.cri().pull(&data).await?);
    let unsigned_id = past_the_gate(&stage, &format!("{HOST}/prod/unsigned:v1")).await?;
    let pod = stage.pod().await?;
    let direct = stage
        .containerd
        .cri()
        .create(&pod, with(by_id(&app_id, &app), mount(&data_id, &data)))
        .await;
    let gated = stage.cri().create(&pod, with(by_id(&app_id, &app), mount(&data_id, &data))).await;
    let (direct, gated) =
        (direct.err().ok_or("mounted")?, gated.err().ok_or("mounted through the gate")?);
    println!("   {:?}: {}", gated.code(), gated.message());
    ensure!(direct.code() == gated.code(), "the runtime says {direct}, the gate {gated}");
    let refused = with(by_id(&app_id, &app), mount(&unsigned_id, ""));
    create_refused(&stage, &pod, refused, No::refused("unsigned")).await?;
    Ok(())
}
