//! What is judged part by part: each part with what helped of those before it, and the verdict is
//! that of the whole.

use proptest::prelude::*;

use super::support::*;
use crate::evidence::{Evidence, Item, Subject};
use crate::policy::{Class, PolicySet, Reason, Verdict};

/// More checks than any of these cases takes.
const ENOUGH: u32 = 100_000;
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// Judges in parts of so many, each with what helped before: the verdict, and how much was held at
/// most.
fn in_parts(set: &PolicySet, subject: &Subject, items: &[Item], part: usize) -> (Verdict, usize) {
    let (mut held, mut most): (Vec<Item>, usize) = (Vec::new(), 0);
    for part in items.chunks(part) {
        held.extend(part.iter().cloned());
        let evidence = found(&subject.target, held.clone());
        let sifted = sift(set, subject, &[&evidence], ENOUGH);
        let helps = &sifted.helps[0];
        let mut number = 0;
        held.retain(|_| {
            number += 1;
            helps[number - 1]
        });
        most = most.max(held.len());
    }
    (judge(set, subject, &[&found(&subject.target, held)]), most)
}

fn told(verdict: &Verdict) -> Option<(Class, std::mem::Discriminant<Reason>)> {
    match verdict {
        Verdict::Permit(_) => None,
        Verdict::Denial(denial) => Some((denial.class(), std::mem::discriminant(denial.reason()))),
    }
}

/// What people ask: one, several together, thresholds, attestations with conditions.
const POLICIES: [&str; 5] = [
    "{name: a, key: {files: [a.pub]}}",
    "{all: [{name: a, key: {files: [a.pub]}}, {name: b, key: {files: [b.pub]}}]}",
    "{atLeast: {count: 2, of: [{name: one, key: {files: [a.pub, b.pub]}}, {name: two, key: {files: \
     [b.pub, c.pub]}}, {name: three, key: {files: [a.pub]}}]}}",
    "{all: [{name: a, key: {files: [a.pub]}}, {name: p, attestation: {by: {key: {files: [b.pub]}}, \
     predicateType: \"https://slsa.dev/provenance/v1\", where: \"predicate.n == 3\"}}]}",
    "{name: p, attestation: {by: {key: {files: [b.pub]}}, \
     predicateType: \"https://slsa.dev/provenance/v1\", where: \"predicate.n.x == 3\"}}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Attack C2 and D1: whatever comes in whatever order and in parts of whatever size, nothing is
    /// admitted that the whole does not admit, nothing refused that it admits, and the class of a
    /// denial is the same.
    #[test]
    fn attack_d1_parts_come_to_what_the_whole_comes_to(
        kinds in proptest::collection::vec(0usize..9, 0..24),
        part in 1usize..6,
        policy_number in 0usize..POLICIES.len(),
    ) {
        let (a, b, c, stranger) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
        let set = set(&policy(POLICIES[policy_number]), &[("a.pub", &a), ("b.pub", &b), ("c.pub", &c)].into_iter().filter(|(name, _)| POLICIES[policy_number].contains(name)).collect::<Vec<_>>());
        let target = digest("image");
        let n = |n: u32| serde_json::json!({ "n": n });
        let item = |kind: &usize| match kind {
            0 => a.signs(&target, REPOSITORY),
            1 => b.signs(&target, REPOSITORY),
            2 => c.bundles(&target),
            3 => a.signs(&target, "reg.test/other"),
            4 => a.signs(&digest("another image"), REPOSITORY),
            5 => b.attests(&target, PROVENANCE, &n(1)),
            6 => b.attests(&target, PROVENANCE, &n(3)),
            7 => b.attests(&target, "https://example.com/other", &n(3)),
            _ => stranger.signs(&target, REPOSITORY),
        };
        let mut items: Vec<Item> = kinds.iter().map(item).collect();
        for item in &mut items {
            item.place.subject = target.clone();
        }
        let subject = subject("reg.test/prod/app:1", &target);
        let whole = judge(&set, &subject, &[&found(&target, items.clone())]);
        let (parts, _) = in_parts(&set, &subject, &items, part);
        prop_assert_eq!(told(&parts), told(&whole), "{:?}", kinds);
    }
}

/// A thousand by one key are one, and a thousand by strangers are the one that says why.
#[test]
fn what_is_held_does_not_grow_with_what_there_is() {
    let (a, b, stranger) = (Signer::new(), Signer::new(), Signer::new());
    let set = set(&policy(POLICIES[1]), &[("a.pub", &a), ("b.pub", &b)]);
    let target = digest("image");
    let good = a.signs(&target, REPOSITORY);
    let junk = stranger.signs(&target, REPOSITORY);
    let items: Vec<Item> =
        (0..1000).map(|number| if number % 2 == 0 { good.clone() } else { junk.clone() }).collect();
    let subject = subject("reg.test/prod/app:1", &target);
    let (verdict, most) = in_parts(&set, &subject, &items, 20);
    assert_eq!(denied(verdict).class(), Class::Refused);
    assert!(most <= 4, "{most} held");
}

/// What could not be examined is not known to be of no help.
#[test]
fn attack_d1_what_was_not_examined_is_said() {
    let (a, target) = (Signer::new(), digest("image"));
    let set = set(&policy(POLICIES[0]), &[("a.pub", &a)]);
    let evidence: Evidence = found(&target, vec![a.signs(&target, REPOSITORY)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let sifted = sift(&set, &subject, &[&evidence], 0);
    assert!(sifted.is_cut);
    assert_eq!(denied(sifted.verdict).class(), Class::Unable);
}
