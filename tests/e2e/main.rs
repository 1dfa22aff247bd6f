//! Scenarios on the real runtime: `make e2e` runs all of them, `make e2e SCENARIO=name` one,
//! `SCENARIO=list` lists them. `make test` plays them in two parts ([`suite::Part`]).
//!
//! Each is a row of [`scenarios::SCENARIOS`]; [`suite`] plays all of them. Each sets its own
//! [`stage::Stage`], prints what happened with its figures, and fails with what was expected and
//! what came instead. What a scenario needs and this machine lacks is said, and fails the run:
//! nothing is skipped in silence.

#![allow(clippy::print_stdout, reason = "what happened is for people")]
#![allow(clippy::disallowed_methods, reason = "a test measures by the clock")]
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails loudly"
)]
#![allow(unreachable_pub, missing_docs, reason = "a test binary has no outside")]

#[path = "../support/containerd.rs"]
mod containerd;
#[path = "../support/fixtures.rs"]
mod fixtures;
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/signing.rs"]
mod signing;

mod access;
mod acts;
mod airgap;
mod attacked;
mod audit_crash;
mod bypass;
mod bypass_ways;
mod canary;
mod cases;
mod channel;
mod client;
mod crash;
mod creating;
mod damage;
mod demo;
mod deny;
mod diffing;
mod disk;
mod doctor;
mod doctor_played;
mod drafting;
mod drift;
mod faults;
mod fetching;
mod floods;
mod forms;
mod freshness;
#[path = "../support/frozen.rs"]
mod frozen;
mod hanging;
mod herd;
mod image_labels;
mod image_verifier;
mod kept;
mod keyless;
mod kubelet;
mod leaked;
mod lying;
mod making;
mod matching;
mod means;
mod mirrored;
mod monitoring;
mod moving;
mod neighbours;
mod nri;
mod observe;
mod offline;
mod outage;
mod pace;
mod packages;
mod power;
mod pulling;
mod raw;
mod refresh;
mod requests;
mod restoring;
mod rules;
mod sandbox;
mod scenarios;
mod secrets;
mod service;
mod signers;
mod stage;
mod starting;
mod stopping;
mod story;
mod suite;
mod sweep;
#[path = "../support/tiny.rs"]
mod tiny;
#[path = "../support/tuf.rs"]
mod tuf;
mod unit;
mod unreachable;
mod upgrade;
mod vanish;
mod verifying;
mod volumes;
mod wire;
mod words;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use scenarios::{Play, SCENARIOS, Scenario};

/// How long one scenario may take: `herd` some five minutes on two idle cores, and more on busy
/// ones.
const LIMIT: Duration = Duration::from_secs(480);

fn main() -> ExitCode {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let passed = match wanted.as_deref() {
        None => suite::play_all(std::env::args().find_map(|arg| suite::Part::of(&arg))),
        Some("list") => {
            SCENARIOS
                .iter()
                .for_each(|scenario| println!("{:<28} {}", scenario.name, scenario.shows));
            true
        }
        Some(name) => match SCENARIOS.iter().find(|scenario| scenario.name == name) {
            Some(scenario) if std::env::args().any(|arg| arg == suite::IN_SUITE) => {
                play(scenario, scenario.in_suite)
            }
            Some(scenario) => play(scenario, scenario.play),
            None => {
                println!("no scenario of that name; `list` lists them");
                false
            }
        },
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(scenario: &Scenario, how: fn() -> Play) -> bool {
    println!("\n== {}: {}", scenario.name, scenario.shows);
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async {
        let late = Err(stage::Failure(format!("not over after {} s", LIMIT.as_secs())));
        tokio::time::timeout(LIMIT, how()).await.unwrap_or(late)
    });
    let took = began.elapsed().as_secs_f64();
    runtime.shutdown_background();
    match outcome {
        Ok(()) => println!("   ok ({took:.1} s)"),
        Err(ref failure) => println!("   FAILED ({took:.1} s): {}", failure.0),
    }
    outcome.is_ok()
}
