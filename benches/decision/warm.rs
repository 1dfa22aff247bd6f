//! A decision that is in memory: a container of an image that was pulled, and a pull by digest that
//! was decided before.

use std::time::{Duration, Instant};

use sealgate::cri::Timings;
use sealgate::cri::ask::{Call, LocalImageRequest};
use sealgate::evidence::Pod;

use crate::fixtures;
use crate::imagestore::Store;
use crate::registry::Settings;
use crate::rig::{HOST, Rig, Special, ask, by_digest, clock, tagged};
use crate::support::{Table, median};

const ROUNDS: usize = 50;
const TIMES: usize = 1000;
/// Most time of a decision from memory, microseconds.
const LIMIT: f64 = 5.0;

pub(crate) async fn measure(table: &mut Table) {
    let rig = Rig::new(Settings::without_referrers());
    let socket = rig.folder().join("containerd.sock");
    let store = Store::start(&socket);
    let repository = fixtures::prod("signed-v2");
    store.hold(repository);
    let gate = rig.special(Special { socket, ..Special::default() });
    let mut timings = Timings::start(clock());
    let permit = gate.admit_pull(&ask(&tagged("signed-v2")), &mut timings).await.unwrap();
    let id = store.pulled(&permit.pinned());
    gate.prove_pull(permit.target(), &id, &gate.policy()).await.unwrap();
    let create = LocalImageRequest {
        call: Call::CreateContainer,
        image: id,
        user_specified: format!("{HOST}/prod/signed-v2:v1"),
        pod: Pod {
            namespace: Some("prod".to_owned()),
            name: Some("web".to_owned()),
            ..Pod::default()
        },
        container: "app".to_owned(),
        deadline: clock().steady() + Duration::from_secs(600),
    };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..TIMES {
            assert!(
                gate.admit_local(&create, &gate.policy(), &mut timings).await.unwrap().is_cached()
            );
        }
        rounds.push(start.elapsed().as_secs_f64() * 1e6 / TIMES as f64);
    }
    table.limit("a container's image", median(rounds), "us", LIMIT);
    let pull = ask(&by_digest("signed-v2"));
    gate.admit_pull(&pull, &mut timings).await.unwrap();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..TIMES {
            assert!(gate.admit_pull(&pull, &mut timings).await.unwrap().is_cached());
        }
        rounds.push(start.elapsed().as_secs_f64() * 1e6 / TIMES as f64);
    }
    table.limit("a pull by digest", median(rounds), "us", LIMIT);
}
