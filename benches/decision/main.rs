//! What a decision costs: from memory, the judgement alone, what a registry is asked, what a
//! CreateContainer has added to it, and a whole verification beside cosign's.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints"
)]
#![allow(clippy::unwrap_used, reason = "a benchmark fails loudly")]
#![allow(clippy::disallowed_methods, clippy::as_conversions, reason = "a benchmark measures time")]

#[path = "../../tests/support/containerd.rs"]
mod containerd;
#[path = "../../tests/support/fixtures.rs"]
mod fixtures;
#[path = "../../tests/support/imagestore.rs"]
mod imagestore;
#[path = "../../tests/support/registry.rs"]
mod registry;
#[path = "../../tests/gate/rig.rs"]
mod rig;
#[path = "../support/mod.rs"]
mod support;

mod beside;
mod cold;
mod create;
mod warm;

use std::process::ExitCode;

use support::Table;

/// The parts; `cargo bench --bench decision -- create` measures those named alone.
const PARTS: [&str; 5] = ["warm", "judgement", "requests", "create", "beside"];

fn main() -> ExitCode {
    let named: Vec<String> =
        std::env::args().skip(1).filter(|argument| PARTS.contains(&argument.as_str())).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut table = Table::new("What decisions cost", ["", ""]);
    for part in PARTS.into_iter().filter(|part| wanted(part)) {
        measure(&mut table, part);
    }
    table.end()
}

fn measure(table: &mut Table, part: &str) {
    let runtime = support::runtime();
    match part {
        "warm" => {
            table.title("From memory, in process", ["here", ""]);
            runtime.block_on(warm::measure(table));
        }
        "judgement" => {
            table.title(
                "The judgement alone: read the signature, check it, apply the policy",
                ["older form", "bundle"],
            );
            cold::judgement(table);
            table.title(
                "The same by kind of requirement; the target is milliseconds of the first",
                ["first", "again"],
            );
            cold::kinds(table);
        }
        "requests" => {
            table.title(
                "Cold decisions: requests of the registry, and how many in series",
                ["here", ""],
            );
            runtime.block_on(cold::requests(table));
            table.title("The same of certificates and attestations", ["here", ""]);
            runtime.block_on(cold::requests_of_certificates(table));
        }
        "create" => {
            table.title("CreateContainer of an admitted image", ["gate", "direct"]);
            create::measure(table);
        }
        _ => {
            table.title("A whole verification, process and all", ["sealgate", "cosign"]);
            beside::measure(table);
        }
    }
}
