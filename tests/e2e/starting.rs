//! StartContainer: only what the gate proved, or can prove again from the runtime's own store.

use tonic::Code;

use crate::acts::{No, containers, never_ran, past_the_gate, start_refused};
use crate::containerd::Flavour;
use crate::ensure;
use crate::stage::{HOST, Outcome, Props, Stage, by_id};

/// Containers that were created at the runtime's own socket.
pub async fn unproven() -> Outcome {
    for flavour in Flavour::all() {
        let version = flavour.version;
        let stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
        let (signed, unsigned) =
            (format!("{HOST}/prod/signed-v2:v1"), format!("{HOST}/prod/unsigned:v1"));
        let (good, bad) =
            (past_the_gate(&stage, &signed).await?, past_the_gate(&stage, &unsigned).await?);
        let pod = stage.pod().await?;
        let direct = stage.containerd.cri();
        let made = direct.create(&pod, by_id(&bad, &unsigned)).await?;
        start_refused(&stage, &made, No::refused("unsigned")).await?;
        // An image under the name of another: containerd 1.6 forgets the name, then the id alone
        // counts.
        let lying = direct.create(&pod, by_id(&bad, &signed)).await?;
        let pod_us = stage.cri().run_pod("prod-us").await?;
        ensure!(
            stage.cri().start(&lying).await.is_err(),
            "an unsigned image under a signed name was started"
        );
        never_ran(&stage, &lying).await?;

        let made = direct.create(&pod_us, by_id(&good, &signed)).await?;
        start_refused(&stage, &made[..12], No::refused("container-missing")).await?;
        never_ran(&stage, &made).await?;
        stage.cri().start(&made).await?;
        let (exit, output) = stage.cri().output(&made).await?;
        ensure!(exit == 0 && output.contains("signed-v2"), "exit code {exit}: {output}");
        let record = stage.expect_record("StartContainer", "admitted", "satisfied")?;
        ensure!(
            record["container_id"] == made.as_str(),
            "the record names another container: {record:#}"
        );
        println!(
            "   containerd {}.{}: proven when started, it said: {}",
            version.0,
            version.1,
            output.trim()
        );

        let nobody = No { code: Code::Unknown, ..No::refused("container-missing") };
        let refusal = stage
            .cri()
            .start(&"f".repeat(64))
            .await
            .err()
            .ok_or("what is not there was started")?;
        crate::stage::expect_refusal(&refusal, nobody.code, nobody.begins, &[])?;
    }
    Ok(())
}

/// The gate is killed between create and start.
pub async fn after_restart() -> Outcome {
    for flavour in Flavour::all() {
        let version = flavour.version;
        let mut stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
        let signed = format!("{HOST}/prod/signed-v3:v1");
        let id = stage.cri().pull(&signed).await?;
        let pod = stage.pod().await?;
        let made = stage.cri().create(&pod, by_id(&id, &signed)).await?;
        stage.kill_gate()?;
        stage.start_gate().await?;
        let began = stage.records().len();
        stage.cri().start(&made).await?;
        let (exit, output) = stage.cri().output(&made).await?;
        ensure!(exit == 0, "exit code {exit}: {output}");
        stage.expect_record("StartContainer", "admitted", "satisfied")?;
        ensure!(
            stage.records().len() == began + 1,
            "{} new records",
            stage.records().len() - began
        );
        ensure!(containers(&stage).await? == [made], "other containers are there");
        println!(
            "   containerd {}.{}: killed after create, it started and said: {}",
            version.0,
            version.1,
            output.trim()
        );
    }
    Ok(())
}
