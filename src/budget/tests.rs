//! Tests of the budget of bytes that registries send.

use super::*;
use crate::daemon::CLOCK;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn budget(tiers: &[(usize, usize)]) -> Arc<MemoryBudget> {
    let tiers: Vec<Tier> =
        tiers.iter().map(|(bytes, turns)| Tier { bytes: *bytes, turns: *turns }).collect();
    MemoryBudget::new(&tiers, CLOCK)
}

fn soon() -> Instant {
    CLOCK.steady() + Duration::from_secs(60)
}

/// Whether a future that is only polled for a moment is done: nothing here waits for anything but a
/// turn.
async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

#[tokio::test]
async fn the_small_need_no_turn_and_the_large_wait_for_theirs() {
    let budget = budget(&[(MIB, 1)]);
    let (first, second) = (budget.allowance(), budget.allowance());
    let large = first.reserve("a", SMALL + 1, soon()).await.unwrap();
    assert_eq!(first.held(), SMALL + 1);
    let small = second.reserve("b", SMALL, soon()).await.unwrap();
    assert!(now(second.reserve("b", 1, soon())).await.is_none(), "the only turn is taken");
    drop(large);
    let more = now(second.reserve("b", 1, soon())).await.unwrap().unwrap();
    assert_eq!(second.held(), SMALL + 1);
    drop((small, more));
    assert_eq!(second.held(), 0);
    assert!(now(first.reserve("a", MIB, soon())).await.is_some(), "and given back");
}

#[tokio::test]
async fn what_no_tier_has_room_for_is_an_error_at_once() {
    let budget = budget(&[(MIB, 1), (2 * MIB, 1)]);
    let allowance = budget.allowance();
    let held = allowance.reserve("a", MIB, soon()).await.unwrap();
    let error = BudgetError::TooMuch { limit: 2 * MIB };
    assert_eq!(allowance.reserve("a", MIB + 1, soon()).await.unwrap_err(), error);
    assert_eq!(allowance.try_reserve(MIB + 1).unwrap_err(), error);
    assert_eq!(allowance.held(), held.bytes());
    let more = allowance.reserve("a", MIB, soon()).await.unwrap();
    assert_eq!((allowance.held(), more.bytes()), (2 * MIB, MIB));
}

/// Attack D1: bytes count for as long as anybody has them, whatever became of the decision.
#[tokio::test]
async fn attack_d1_bytes_count_until_the_last_copy_is_gone() {
    let budget = budget(&[(MIB, 1)]);
    let allowance = budget.allowance();
    let bytes = allowance.reserve("a", MIB, soon()).await.unwrap().hold(vec![7; 300 * KIB]);
    assert_eq!(allowance.held(), 300 * KIB);
    let annotations = allowance.reserve("a", 100 * KIB, soon()).await.unwrap();
    let bytes = annotations.hold_beside(bytes);
    let part = bytes.slice(5..10);
    drop(bytes);
    assert_eq!((part.as_ref(), allowance.held()), ([7; 5].as_slice(), 400 * KIB));
    let other = budget.allowance();
    assert!(now(other.reserve("b", MIB, soon())).await.is_none());
    drop((allowance, part));
    assert!(now(other.reserve("b", MIB, soon())).await.is_some());
}

/// Attack E10: a host that holds what it got does not keep all turns from others.
#[tokio::test]
async fn attack_e10_one_host_has_half_of_the_turns() {
    let budget = budget(&[(MIB, 4)]);
    let mut held = Vec::new();
    for number in 0..4 {
        held.push(now(budget.allowance().reserve("slow", MIB, soon())).await);
        assert_eq!(held.last().unwrap().is_some(), number < 2);
    }
    assert!(now(budget.allowance().reserve("good", MIB, soon())).await.is_some());
}

/// Many requests of one session that wait for its turn together need one turn, and an abandoned
/// wait leaves nothing.
#[tokio::test]
async fn one_session_takes_one_turn() {
    let budget = budget(&[(MIB, 1)]);
    let (blocker, allowance) = (budget.allowance(), budget.allowance());
    let blocked = blocker.reserve("b", MIB, soon()).await.unwrap();
    assert!(now(allowance.reserve("a", MIB, soon())).await.is_none());
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let allowance = allowance.clone();
            tokio::spawn(async move { allowance.reserve("a", 256 * KIB, soon()).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(blocked);
    let mut held = Vec::new();
    for one in waiting {
        held.push(one.await.unwrap());
    }
    assert_eq!(allowance.held(), MIB);
    drop(held);
    assert!(now(blocker.reserve("b", MIB, soon())).await.is_some());
}

proptest::proptest! {
    /// Whatever is reserved, shrunk, joined and dropped: what is held is what lives, and never
    /// above the limit.
    #[test]
    fn what_is_held_is_what_lives(steps in proptest::collection::vec((0_u8..4, 0_usize..600 * KIB), 1..60)) {
        let budget = budget(&[(MIB, 1), (2 * MIB, 1)]);
        let allowance = budget.allowance();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut live: Vec<Reservation> = Vec::new();
        for (step, bytes) in steps {
            match step {
                0 | 1 => live.extend(runtime.block_on(allowance.reserve("a", bytes, soon())).ok()),
                2 => live.iter_mut().rev().take(1).for_each(|last| last.shrink(bytes)),
                _ => drop(live.pop()),
            }
            let sum: usize = live.iter().map(Reservation::bytes).sum();
            proptest::prop_assert_eq!(allowance.held(), sum);
            proptest::prop_assert!(sum <= 2 * MIB);
            let turns = |tier: usize| budget.tiers[tier].share.free();
            proptest::prop_assert_eq!(turns(0) + turns(1) < 2, sum > SMALL);
        }
    }
}
