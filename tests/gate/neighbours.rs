//! Bad neighbours: hosts that hang hold up no image of another host, and none whose evidence is on
//! this node; who is refused for want of a place is told whose doing it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sealgate::cri::ask::PullRequest;
use sealgate::cri::{Gate, Limits, PullPermit, Refusal, Timings};
use sealgate::registry::{RegistryError, Why};
use tokio::task::JoinHandle;

use crate::registry::{Answer, Rule, Settings, TestRegistry};
use crate::rig::{HOST, Rig, Special, ask, by_digest, clock, policy_for, pull, tagged, until};

/// Seats of these gates: fewer than by default, so that fewer pulls fill them.
const SEATS: usize = 16;
/// How long a host may keep seats while others wait, as the gate has it.
const PATIENCE: Duration = Duration::from_secs(3);

/// A hostile registry under many names, that of each a host of its own.
struct Bad {
    registry: TestRegistry,
    hosts: usize,
}

impl Bad {
    /// Names it in the folder of a client's hosts; what is asked there gets this answer.
    fn new(folder: &Path, hosts: usize, answer: Answer) -> Self {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let registry = TestRegistry::start_on(Settings::conforming(), listener);
        registry.rule(Rule::new("/v2/", answer));
        let port = registry.address().port();
        for number in 0..hosts {
            let folder = folder.join(name(number));
            std::fs::create_dir(&folder).unwrap();
            let text = format!("server = \"http://127.66.0.{}:{port}\"\n", number + 1);
            std::fs::write(folder.join("hosts.toml"), text).unwrap();
        }
        Self { registry, hosts }
    }

    /// Pulls images of its hosts by turns; there are requests that hang when this returns.
    async fn pull(
        &self,
        gate: &Arc<Gate>,
        many: usize,
    ) -> Vec<JoinHandle<Result<PullPermit, Refusal>>> {
        let asks = (0..many).map(|number| {
            let host = name(number % self.hosts);
            let gate = Arc::clone(gate);
            tokio::spawn(async move { pull(&gate, &format!("{host}/prod/app-{number}:v1")).await })
        });
        let asks = asks.collect();
        until("hanging requests", || self.registry.requests().len() >= self.hosts.min(4)).await;
        asks
    }
}

fn name(number: usize) -> String {
    format!("bad-{number}.example.test")
}

fn gate(rig: &Rig, special: Special) -> Arc<Gate> {
    Arc::new(rig.with_limits(
        special,
        Limits { decisions_at_once: SEATS.try_into().unwrap(), ..Limits::default() },
    ))
}

/// Everybody needs the key `build`.
fn everywhere() -> Special {
    Special {
        policy: policy_for(&[&format!("{HOST}/**"), "bad-*.example.test/**"], "build"),
        ..Special::default()
    }
}

/// Attack D1: what is on the node is admitted without a seat, also by a gate that has just started.
#[tokio::test]
async fn attack_d1_evidence_on_the_node_needs_no_seat() {
    let rig = Rig::new(Settings::without_referrers());
    let bad = Bad::new(rig.folder(), 1, Answer::Hang);
    let images = ["signed-v2", "signed-v3", "signed-both"].map(by_digest);
    let before = rig.special(Special { store: Some(rig.store()), ..everywhere() });
    for image in &images {
        pull(&before, image).await.unwrap();
    }
    drop(before);
    rig.cut();
    let gate = gate(&rig, Special { store: Some(rig.store()), ..everywhere() });
    let hanging = bad.pull(&gate, SEATS * 4).await;
    for image in &images {
        pull(&gate, image).await.unwrap();
    }
    assert!(hanging.iter().all(|pull| !pull.is_finished()), "all of them wait");
    assert_eq!(rig.registry.requests(), []);
    hanging.iter().for_each(JoinHandle::abort);
}

/// Attack D1: however many hosts hang, an image of another is decided on as fast as without them,
/// at a host that answered before and at one that nobody has seen.
#[tokio::test]
async fn attack_d1_hosts_that_hang_hold_up_no_other() {
    for (hosts, many) in [(1, SEATS * 4), (8, SEATS * 4), (40, 80)] {
        for answer in [Answer::Hang, Answer::Endless(Duration::from_millis(100))] {
            let rig = Rig::new(Settings::without_referrers());
            let bad = Bad::new(rig.folder(), hosts, answer);
            let alone = gate(&rig, everywhere());
            let mut took = Vec::new();
            for image in ["signed-v2", "signed-v3"] {
                let began = clock().steady();
                pull(&alone, &tagged(image)).await.unwrap();
                took.push(clock().steady() - began);
            }
            let gate = gate(&rig, everywhere());
            let hanging = bad.pull(&gate, many).await;
            // A host that nobody has seen waits as long as one that hangs may be taken for new, by
            // turns with the others.
            let by_turns = PATIENCE * 3 + PATIENCE * u32::try_from(hosts / SEATS).unwrap();
            let first = ("signed-v2", by_turns);
            for ((image, wait), alone) in [first, ("signed-v3", Duration::ZERO)].iter().zip(took) {
                let began = clock().steady();
                pull(&gate, &tagged(image)).await.unwrap();
                let (beside, most) =
                    (clock().steady() - began, alone * 2 + *wait + Duration::from_secs(5));
                assert!(beside <= most, "{hosts} hosts: {beside:?}, {alone:?} alone");
            }
            hanging.iter().for_each(JoinHandle::abort);
        }
    }
}

/// Attack D1: a pull that finds no place in time is told which host keeps them, and that is not a
/// good one.
#[tokio::test]
async fn attack_d1_want_of_a_place_names_the_host_that_keeps_them() {
    let rig = Rig::new(Settings::without_referrers());
    let bad = Bad::new(rig.folder(), 1, Answer::Hang);
    let gate = gate(&rig, everywhere());
    let hanging = bad.pull(&gate, SEATS).await;
    let soon = clock().steady() + Duration::from_millis(300);
    let late = PullRequest { deadline: soon, ..ask(&format!("{}/prod/late:v1", name(0))) };
    match gate.admit_pull(&late, &mut Timings::start(clock())).await {
        Err(Refusal::Resolve {
            error: RegistryError::Unreachable { host, why: Why::Crowded { by } },
            ..
        }) => {
            assert_eq!((host, by), (name(0), name(0)));
        }
        other => panic!("{other:?}"),
    }
    hanging.iter().for_each(JoinHandle::abort);
}
