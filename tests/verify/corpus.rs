//! The seeds of the fuzz targets (`tests/fuzz`), and whatever a run found and left there, with the
//! ordinary toolchain: nothing panics, and each is accepted or refused as its name says.

use std::fs;
use std::path::Path;

use crate::entries;

type Entry = fn(&[u8]) -> bool;

const TARGETS: [(&str, Entry); 10] = [
    ("attestation", entries::attestation),
    ("authority", entries::authority),
    ("bundle", entries::bundle),
    ("certificate", entries::certificate),
    ("manifest", entries::manifest),
    ("policy", entries::policy),
    ("reference", entries::reference),
    ("simple_signing", entries::simple_signing),
    ("statement", entries::statement),
    ("trust_root", entries::trust_root),
];

#[test]
fn every_seed_is_what_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for (target, entry) in TARGETS {
        assert!(folder.join(format!("targets/{target}.rs")).is_file(), "{target}");
        let (mut good, mut bad) = (0, 0);
        for seed in fs::read_dir(folder.join("corpus").join(target)).unwrap() {
            let seed = seed.unwrap();
            let accepted = entry(&fs::read(seed.path()).unwrap());
            let name = seed.file_name().into_string().unwrap();
            match name.split('-').next() {
                Some("good") => good += u32::from(accepted),
                Some("bad") => bad += u32::from(!accepted),
                // Found by a run.
                _ => continue,
            }
            assert_eq!(accepted, name.starts_with("good-"), "{target}/{name}");
        }
        assert!(good >= 1 && bad >= 1, "{target}: {good} {bad}");
    }
    let targets = fs::read_dir(folder.join("targets")).unwrap().count();
    let corpora = fs::read_dir(folder.join("corpus")).unwrap().count();
    assert_eq!(
        (targets, corpora),
        (TARGETS.len(), TARGETS.len()),
        "a target or a corpus that is not replayed"
    );
}

/// Each seed cut short, at steps: what a fuzzer tries first.
#[test]
fn attack_b3_seeds_that_are_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut cut = 0;
    for (target, entry) in TARGETS {
        for seed in fs::read_dir(folder.join(target)).unwrap() {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            for length in (0..bytes.len()).step_by(1 + bytes.len() / 16) {
                entry(&bytes[..length]);
                cut += 1;
            }
        }
    }
    assert!(cut >= 300, "{cut}");
}
