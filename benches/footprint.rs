//! What the gate takes: memory after its start, after calls, decisions, streams and large messages,
//! and the time from its start to `READY=1`. The runtime is a stand-in in this process.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

#[path = "../tests/support/fixtures.rs"]
mod fixtures;
#[path = "../tests/support/registry.rs"]
mod registry;
#[path = "../tests/gate/rig.rs"]
mod rig;
#[path = "../tests/support/standin.rs"]
mod standin;
mod support;

use std::process::ExitCode;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use prost::Message as _;
use sealgate::proto::cri::{ImageSpec, PullImageRequest};
use support::{Gate, Sender, Table, call, connect, median, mib, request};

const VERSION: &str = "http://localhost/runtime.v1.RuntimeService/Version";
const EVENTS: &str = "http://localhost/runtime.v1.RuntimeService/GetContainerEvents";
const PULL: &str = "http://localhost/runtime.v1.ImageService/PullImage";
/// Starts that are timed.
const STARTS: usize = 21;
const STREAMS: usize = 1000;
/// Images that are pulled before memory is measured, so many at a time; the most that it may be
/// then, MiB, with the memories that are the default; and the most that one more verdict may take
/// of it, KiB.
const IMAGES: usize = 10_000;
const IMAGES_AT_ONCE: usize = 16;
const IMAGES_LIMIT: f64 = 32.0;
const VERDICT_LIMIT: f64 = 4.0;
/// Verdicts that the default remembers.
const VERDICTS: usize = 1024;
/// Most idle memory, MiB, and most time from start to ready, milliseconds.
const IDLE_LIMIT: f64 = 16.0;
const READY_LIMIT: f64 = 100.0;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure())
}

async fn measure() -> ExitCode {
    let rig = rig::Rig::new(registry::Settings::without_referrers());
    let socket = rig.folder().join("runtime.sock");
    let _standin = standin::Standin::quiet(&socket);
    let mut table = Table::new("The gate's own footprint", ["here", "Pss"]);
    let starts: Vec<f64> =
        (0..STARTS).map(|_| Gate::start(&socket, None).ready.as_secs_f64() * 1e3).collect();
    let slowest = starts.iter().copied().fold(0.0, f64::max);
    table.limit("from start to READY=1, median", median(starts), "ms", READY_LIMIT);
    table.note("from start to READY=1, slowest", &format!("{slowest:.1} ms"), "", None);
    let gate = Gate::start(&socket, Some(&rig.registry.url()));
    resident(&mut table, &gate, "VmRSS after start");
    let mut sender = connect(&gate.socket()).await;
    for _ in 0..100 {
        call(&mut sender, VERSION, standin::frame(&[b'v'; 60])).await;
    }
    resident(&mut table, &gate, "VmRSS after 100 calls");
    decide(&mut sender).await;
    println!("({} requests of the registry)", rig.registry.requests().len());
    resident(&mut table, &gate, "VmRSS after 20 decisions");
    let streams = events(&mut sender).await;
    beside(&mut table, &gate, "VmRSS with 1000 event streams");
    drop(streams);
    let large = Gate::start(&socket, None);
    let mut sender = connect(&large.socket()).await;
    call(&mut sender, VERSION, standin::frame(&vec![b'x'; 15 << 20])).await;
    table.note(
        "peak, one message of 15 MiB each way",
        &format!("{:.1} MiB", mib(large.memory("VmHWM"))),
        "",
        None,
    );
    beside(&mut table, &large, "VmRSS after it");
    images(&mut table, &rig, &socket).await;
    table.end()
}

/// Idle memory against its limit, and the share of it that is this process's alone.
fn resident(table: &mut Table, gate: &Gate, what: &str) {
    table.limit(what, mib(gate.memory("VmRSS")), "MiB", IDLE_LIMIT);
    table.note("", "", &format!("{:.1} MiB", mib(gate.memory("Pss"))), None);
}

fn beside(table: &mut Table, gate: &Gate, what: &str) {
    let figure = |name| format!("{:.1} MiB", mib(gate.memory(name)));
    table.note(what, &figure("VmRSS"), &figure("Pss"), None);
}

/// Twenty pulls of images that the policy admits and refuses. The stand-in pulls nothing, so that
/// the proof after an admitted one fails: the decision is what takes the memory.
async fn decide(sender: &mut Sender) {
    let situations = [
        "signed-v2",
        "signed-v3",
        "signed-both",
        "signed-other",
        "unsigned",
        "two-signers-v2",
        "key-rsa",
    ];
    for situation in situations.into_iter().cycle().take(20) {
        let spec = ImageSpec { image: rig::tagged(situation), ..ImageSpec::default() };
        let message =
            PullImageRequest { image: Some(spec), ..PullImageRequest::default() }.encode_to_vec();
        let answer =
            sender.send_request(request(PULL, standin::frame(&message))).await.expect("a response");
        let _ = answer.into_body().collect().await.expect("a body");
    }
}

/// Memory after the pulls of very many images, with the default memories and with room for all
/// verdicts.
async fn images(table: &mut Table, rig: &rig::Rig, socket: &std::path::Path) {
    let mut signed = fixtures::prod("signed-v3").clone();
    for number in 0..IMAGES {
        signed.path = format!("prod/many-{number}");
        rig::put(&rig.registry, &signed);
    }
    let mut resident = Vec::new();
    for more in [String::new(), format!("memory.verdicts = {IMAGES}\n")] {
        let gate = Gate::start_with(socket, Some(&rig.registry.url()), &more);
        let sender = connect(&gate.socket()).await;
        let pulls = (0..IMAGES).map(|number| {
            let mut sender = sender.clone();
            async move {
                let spec = ImageSpec {
                    image: rig::tagged(&format!("many-{number}")),
                    ..ImageSpec::default()
                };
                let message = PullImageRequest { image: Some(spec), ..PullImageRequest::default() }
                    .encode_to_vec();
                let answer = sender
                    .send_request(request(PULL, standin::frame(&message)))
                    .await
                    .expect("a response");
                let _ = answer.into_body().collect().await.expect("a body");
            }
        });
        futures_util::stream::iter(pulls).buffer_unordered(IMAGES_AT_ONCE).collect::<()>().await;
        rig.registry.clear_log();
        resident.push(mib(gate.memory("VmRSS")));
    }
    table.limit("VmRSS after 10,000 images", resident[0], "MiB", IMAGES_LIMIT);
    table.note("VmRSS after them, all verdicts kept", &format!("{:.1} MiB", resident[1]), "", None);
    let verdict = (resident[1] - resident[0]) * 1024.0 / (IMAGES - VERDICTS) as f64;
    table.bound("one more verdict", verdict, "KiB", VERDICT_LIMIT);
}

/// Many event streams at once, each with its first event read.
async fn events(sender: &mut Sender) -> Vec<hyper::body::Incoming> {
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let answer = sender
            .send_request(request(EVENTS, Bytes::from_static(&[0; 5])))
            .await
            .expect("a response");
        let mut body = answer.into_body();
        body.frame().await.expect("an event").expect("an event");
        open.push(body);
    }
    open
}
