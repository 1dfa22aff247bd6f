//! Registries that fail: absent, unreachable and unable are three different answers, and what was
//! admitted before still starts.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::TcpSocket;
use tonic::Code;

use crate::ensure;
use crate::fixtures;
use crate::means::{
    Told, admitted, asked_by, copy, cost, digest_of, ensure_not_stored, no, prod, refusal_of,
    refused, unable, unreachable, until,
};
use crate::registry::{Answer, OCI_INDEX, Rule, Settings, TestRegistry};
use crate::stage::{Outcome, Props, Stage, by_id, expect_refusal};

/// Takes the registry away: nobody listens on its port any more, and no other program gets it.
pub fn take_away(stage: &mut Stage) {
    let gone = std::mem::replace(&mut stage.registry, TestRegistry::start(Settings::conforming()));
    let address = gone.address();
    drop(gone);
    // One in another network namespace has a port that nobody else can take.
    if stage.wire.is_none() {
        stage.held =
            Some(held(address).expect("the port of the registry that was dropped is free"));
    }
}

/// A port that is taken and not listened on.
pub fn held(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub async fn registry_down() -> Outcome {
    let mut stage = Stage::usual().await?;
    let known = prod("signed-v2");
    let id = stage.cri().pull(&known).await?;
    let by_digest = prod(&format!("signed-v2@{}", digest_of("signed-v2", "v1")));
    let pod = stage.pod().await?;
    take_away(&mut stage);
    println!("   the registry is gone");
    refused(&stage, &prod("signed-v3"), unreachable("registry-unreachable"), &[]).await?;
    let image = prod(&format!("signed-v3@{}", digest_of("signed-v3", "v1")));
    refused(&stage, &image, unreachable("signatures-unreachable"), &["production"]).await?;

    let began = Instant::now();
    let (exit, output) = stage.cri().run(&pod, by_id(&id, &known)).await?;
    println!(
        "   {known} was created and ran in {:.0} ms: {}",
        began.elapsed().as_secs_f64() * 1e3,
        output.trim()
    );
    ensure!(exit == 0 && output.contains("hello from signed-v2"), "exit code {exit}: {output}");
    let record = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    ensure!(record["cached"] == true, "not from memory: {record:#}");

    let refusal = refusal_of(&known, stage.cri().pull(&known).await)?;
    println!("   pulled again: {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "RegistryUnavailable: ", &[])?;
    stage.expect_record("PullImage", "unreachable", "registry-unreachable")?;
    // A digest needs no resolving: the gate knows its verdict, forwards the pull, and the answer is
    // the runtime's own.
    let refusal = refusal_of(&by_digest, stage.cri().pull(&by_digest).await)?;
    println!("   pulled again by digest: {:?} {}", refusal.code(), refusal.message());
    ensure!(!refusal.message().starts_with("SignatureValidationFailed"), "{refusal:?}");
    let record = stage.expect_record("PullImage", "admitted", "satisfied")?;
    ensure!(record["reference"] == by_digest.as_str() && record["cached"] == true, "{record:#}");
    Ok(())
}

/// Absent is not unreachable: whichever place fails, and however, an image is never called unsigned
/// for it.
pub async fn signatures_unreachable() -> Outcome {
    let failures = [
        ("500", Answer::Status(500, "UNKNOWN")),
        ("503", Answer::Status(503, "UNKNOWN")),
        ("429", Answer::Status(429, "TOOMANYREQUESTS")),
        ("connection closed", Answer::Drop),
        ("silence", Answer::Hang),
    ];
    let told = unreachable("signatures-unreachable");
    fail_everywhere(&failures, told).await?;
    // A signature in another place counts all the same.
    let stage = Stage::set(Props { registry: Settings::conforming(), ..Props::usual()? }).await?;
    stage.registry.rule(Rule::new("/referrers/", Answer::Status(500, "UNKNOWN")));
    admitted(&stage, &prod("signed-v2"), "hello from signed-v2").await.map(|_| ())
}

/// A place that may not be looked at is neither empty nor out of reach.
pub async fn signatures_unable() -> Outcome {
    let failures = [
        ("401", Answer::Status(401, "UNAUTHORIZED")),
        ("403", Answer::Status(403, "DENIED")),
        ("418", Answer::Status(418, "UNKNOWN")),
        (
            "another document",
            Answer::Full {
                status: 200,
                headers: vec![("content-type", OCI_INDEX.to_owned())],
                body: b"[]".to_vec(),
            },
        ),
    ];
    fail_everywhere(&failures, unable("signatures-unable")).await
}

/// Lets each place where signatures may be fail in each way, under an image of its own: repeats
/// share a record.
async fn fail_everywhere(failures: &[(&str, Answer)], told: Told) -> Outcome {
    // A second and a half is long for an answer also on a busy machine, and short for silence.
    let hurry = "registry.request_ms = 1500\n".to_owned();
    for (settings, places) in [
        (Settings::conforming(), ["/referrers/", ".sig"]),
        (Settings::without_referrers(), ["/manifests/sha256-", ".sig"]),
    ] {
        let stage =
            Stage::set(Props { registry: settings, config: hurry.clone(), ..Props::usual()? })
                .await?;
        for (number, (failure, answer)) in failures.iter().enumerate() {
            for (at, place) in places.iter().enumerate() {
                println!("   {place}: {failure}");
                let name = format!("absent-{number}-{at}");
                copy(&stage.registry, "unsigned", "v1", &format!("prod/{name}"), "v1");
                stage.registry.clear_rules();
                stage.registry.rule(Rule::new(*place, answer.clone()));
                let record = refused(&stage, &prod(&name), told, &["production", "build"]).await?;
                ensure!(
                    !record["reason"]["message"].to_string().contains("unsigned"),
                    "called unsigned: {record:#}"
                );
            }
        }
    }
    Ok(())
}

pub async fn no_such_tag() -> Outcome {
    let stage = Stage::usual().await?;
    for image in [prod("signed-v2:v9"), prod("nothing")] {
        stage.registry.clear_log();
        let began = Instant::now();
        let refusal = refusal_of(&image, stage.cri().pull(&image).await)?;
        println!(
            "   {:?} {} ({})",
            refusal.code(),
            refusal.message(),
            cost(&stage.registry, began)
        );
        expect_refusal(&refusal, Code::NotFound, "", &[&image])?;
        stage.expect_record("PullImage", "unable", "not-found")?;
        ensure!(
            asked_by(&stage.registry, "containerd/", "") == 0,
            "the runtime was asked all the same"
        );
        ensure_not_stored(&stage, &image)?;
    }
    Ok(())
}

/// Fact P12: signing the image and waiting is a way out of a refusal.
pub async fn refusal_lives_shortly() -> Outcome {
    let config = "memory.refused_seconds = 1\n".to_owned();
    let stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    let digest = copy(&stage.registry, "signed-v3", "v1", "prod/late", "v1");
    refused(&stage, &prod("late"), no("unsigned"), &["build", "absent"]).await?;
    let signed = fixtures::prod("signed-v3");
    let fallback = digest.replace(':', "-");
    let index = signed.tags.get_key_value(&fallback).expect("an index of signatures");
    stage.registry.put_all("prod/late", &signed.blobs, &signed.manifests, [index]);
    let (began, cri) = (Instant::now(), stage.cri());
    let mut tries = 0;
    until("an admission", || {
        tries += 1;
        let cri = cri.clone();
        async move { cri.pull(&prod("late")).await.is_ok() }
    })
    .await?;
    println!(
        "   admitted {:.1} s after it was signed, at try {tries}",
        began.elapsed().as_secs_f64()
    );
    admitted(&stage, &prod("late"), "hello from signed-v3").await.map(|_| ())
}
