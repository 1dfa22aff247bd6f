//! CreateContainer on a real containerd, straight and through the gate in turns, of an image that
//! was pulled through the gate. Every container is removed again.

use std::time::Instant;

use sealgate::proto::cri::RemoveContainerRequest;

use crate::containerd::{Containerd, Cri, Flavour, Host, Launch, Missing, Pod, Setup};
use crate::fixtures;
use crate::registry::{Settings, TestRegistry};
use crate::rig;
use crate::support::{Gate, Table, median, runtime};

/// Containers made each way.
const ROUNDS: usize = 60;
/// Most that the gate may add, milliseconds.
const LIMIT: f64 = 1.0;

pub(crate) fn measure(table: &mut Table) {
    let flavours = Flavour::all();
    if flavours.is_empty() {
        table.missing("CreateContainer", &Missing::Program("containerd").to_string());
    }
    for flavour in flavours {
        let (major, minor) = flavour.version;
        if let Err(missing) = runtime().block_on(on(table, flavour)) {
            table.missing(
                &format!("CreateContainer on containerd {major}.{minor}"),
                &missing.to_string(),
            );
        }
    }
}

async fn on(table: &mut Table, flavour: Flavour) -> Result<(), Missing> {
    let (major, minor) = flavour.version;
    let registry = TestRegistry::start(Settings::without_referrers());
    fixtures::load().values().for_each(|repository| rig::put(&registry, repository));
    let containerd =
        Containerd::start(Setup::of(flavour, Host::new(rig::HOST, &registry.url()))).await?;
    let gate = Gate::start(&containerd.socket(), Some(&registry.url()));
    let direct = containerd.cri();
    let through = Cri::new(&gate.socket(), &containerd.folder().join("pods"));
    let image = rig::tagged("signed-v2");
    let id = through.pull(&image).await.unwrap();
    let pod = direct.run_pod("prod").await.unwrap();
    let launch = Launch { image: id, user_specified_image: image, ..Launch::default() };
    let (mut gated, mut straight) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + 2 {
        let mut times = [0.0; 2];
        for turn in [round % 2, 1 - round % 2] {
            times[turn] = create([&through, &direct][turn], &direct, &pod, launch.clone()).await;
        }
        if round >= 2 {
            gated.push(times[0]);
            straight.push(times[1]);
        }
    }
    let added = median(gated.iter().zip(&straight).map(|(gate, direct)| gate - direct).collect());
    let (gated, straight) = (median(gated), median(straight));
    let what = format!("containerd {major}.{minor}");
    table.note(
        &what,
        &format!("{gated:.2} ms"),
        &format!("{straight:.2} ms"),
        Some(gated / straight),
    );
    table.limit(&format!("{what}: added, median of pairs"), added, "ms", LIMIT);
    direct.remove_all_pods().await.unwrap();
    Ok(())
}

/// Milliseconds of one CreateContainer.
async fn create(by: &Cri, direct: &Cri, pod: &Pod, launch: Launch) -> f64 {
    let start = Instant::now();
    let container_id = by.create(pod, launch).await.unwrap();
    let took = start.elapsed().as_secs_f64() * 1e3;
    direct.runtime.clone().remove_container(RemoveContainerRequest { container_id }).await.unwrap();
    took
}
