//! What one host does, another does not feel; in time that passes by itself when everybody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::queue::*;
use super::*;

const PATIENCE: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_millis(10);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(600);

fn clock() -> Clock {
    Clock::new(|| UNIX_EPOCH, || tokio::time::Instant::now().into_std())
}

fn share(total: usize) -> FairShare {
    FairShare::new(Rules { total, per_host: total, queue: 4096, patience: PATIENCE }, clock())
}

fn later(by: Duration) -> Instant {
    clock().steady() + by
}

/// Asks for this many places at once, and holds each until it is recalled.
fn hang(share: &FairShare, host: &str, many: usize) -> Vec<JoinHandle<Result<(), Crowded>>> {
    let one = || {
        let (share, host) = (share.clone(), host.to_owned());
        tokio::spawn(async move {
            let slot = share.take(&host, 1, later(LONG)).await?;
            slot.recall().wait().await;
            Ok(())
        })
    };
    (0..many).map(|_| one()).collect()
}

/// One place for a host that answers in a moment: how long it was waited for.
async fn answer(share: &FairShare, host: &str) -> Duration {
    let began = clock().steady();
    let slot = share.take(host, 1, later(LONG)).await.unwrap();
    let waited = clock().steady() - began;
    sleep(MOMENT).await;
    slot.answered();
    waited
}

fn held(share: &FairShare, host: &str) -> usize {
    share.0.lock().hosts.get(host).map_or(0, |host| host.held)
}

#[tokio::test(start_paused = true)]
async fn attack_d1_a_host_that_hangs_leaves_a_quarter_to_others() {
    let share = share(64);
    let _hanging = hang(&share, "bad", 200);
    sleep(MOMENT).await;
    assert_eq!((held(&share, "bad"), share.free(), share.waiting()), (48, 16, 152));
    assert_eq!(answer(&share, "never-seen").await, Duration::ZERO);
    assert_eq!(answer(&share, "good").await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn attack_d1_eight_hosts_that_hang_hold_up_nobody() {
    let share = share(64);
    answer(&share, "good").await;
    let _hanging: Vec<_> = (0..8).flat_map(|n| hang(&share, &format!("bad-{n}"), 8)).collect();
    sleep(MOMENT).await;
    assert!(share.free() >= 8, "{share:?}");
    assert_eq!(answer(&share, "good").await, Duration::ZERO);
    assert_eq!(answer(&share, "never-seen").await, Duration::ZERO);
}

/// As many hosts as there are, some of them anew every moment: what has hung lately keeps nobody
/// out.
#[tokio::test(start_paused = true)]
async fn attack_d1_forty_hosts_and_six_pulls_a_second() {
    let share = share(64);
    answer(&share, "good").await;
    let mut hanging = Vec::new();
    for n in 0..600 {
        let (pulls, host) = (share.clone(), format!("bad-{}", n % 40));
        hanging.push(tokio::spawn(async move {
            // A decision of 29 s, on a host that says nothing.
            let slot = pulls.take(&host, 1, later(Duration::from_secs(29))).await?;
            Ok::<_, Crowded>(slot.unless_recalled(sleep(Duration::from_secs(29))).await)
        }));
        sleep(Duration::from_millis(1000 / 6)).await;
        assert_eq!(answer(&share, "good").await, Duration::ZERO, "at pull {n}");
        assert_eq!(answer(&share, &format!("never-seen-{n}")).await, Duration::ZERO, "at pull {n}");
    }
    for one in hanging {
        if let Err(crowded) = one.await.unwrap() {
            assert!(crowded.by.starts_with("bad-"), "{crowded:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_held_for_long_is_recalled_from_those_that_hold_most() {
    let share = share(8);
    // All of them answered before, so that nothing is kept from them.
    for host in ["one", "two", "three", "four", "five"] {
        answer(&share, host).await;
    }
    let _most = hang(&share, "one", 6);
    sleep(MOMENT).await;
    let _less = [hang(&share, "two", 2), hang(&share, "five", 1)];
    sleep(MOMENT).await;
    // The second place of `two` would leave nothing for the first of others.
    assert_eq!((held(&share, "one"), held(&share, "two"), share.free()), (6, 1, 0));
    let waited = answer(&share, "three").await;
    assert!(waited <= PATIENCE + PATIENCE / LOOKS, "{waited:?}");
    assert_eq!((held(&share, "one"), held(&share, "two")), (5, 1));
    assert_eq!(answer(&share, "four").await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recalled_for_the_same_host_nor_before_its_time() {
    let share = share(4);
    let slot = share.take("one", 4, later(LONG)).await.unwrap();
    let _others = hang(&share, "one", 4);
    sleep(PATIENCE * 10).await;
    assert!(!slot.recall().is_said());
    drop(slot);
    let slot = share.take("two", 1, later(LONG)).await.unwrap();
    let _first = hang(&share, "three", 3);
    sleep(PATIENCE / 2).await;
    assert!(!slot.recall().is_said());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_hung_has_one_place_until_it_answers_or_a_minute_is_over() {
    let share = share(16);
    let slot = share.take("bad", 1, later(LONG)).await.unwrap();
    sleep(PATIENCE).await;
    drop(slot);
    // Other hosts have their shares, and less than half is left.
    let _busy: Vec<_> = ["a", "b"].iter().flat_map(|host| hang(&share, host, 4)).collect();
    sleep(MOMENT).await;
    let soon = Duration::from_millis(1);
    assert_eq!(
        share.take("bad", 1, later(soon)).await.err(),
        Some(Crowded { by: "bad".to_owned() })
    );
    sleep(HUNG_TIME).await;
    assert!(share.take("bad", 1, later(soon)).await.is_ok());
}

/// On a node that is slow itself, every host takes long; none is kept out for it.
#[tokio::test(start_paused = true)]
async fn a_host_that_answers_late_is_not_taken_to_hang_nor_one_that_hung_kept_out() {
    let share = share(16);
    let slot = share.take("slow", 1, later(LONG)).await.unwrap();
    sleep(PATIENCE * 2).await;
    slot.answered();
    drop(slot);
    let slot = share.take("hung", 1, later(LONG)).await.unwrap();
    sleep(PATIENCE * 2).await;
    drop(slot);
    let _busy: Vec<_> = (0..12).flat_map(|n| hang(&share, &format!("bad-{n}"), 1)).collect();
    sleep(MOMENT).await;
    let soon = Duration::from_millis(1);
    let slow = share.take("slow", 1, later(soon)).await;
    assert!(slow.is_ok(), "{share:?}");
    assert!(share.take("hung", 1, later(soon)).await.is_err());
    assert!(share.take("hung", 1, later(PATIENCE * 2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_longest_queue_loses_its_newest_and_the_others_nothing() {
    let rules = Rules { total: 4, per_host: 1, queue: 8, patience: PATIENCE };
    let share = FairShare::new(rules, clock());
    let _hanging = hang(&share, "bad", 8);
    sleep(MOMENT).await;
    let good = share.take("good", 1, later(LONG)).await.unwrap();
    let next = tokio::spawn({
        let share = share.clone();
        async move { share.take("good", 1, later(LONG)).await.map(drop) }
    });
    sleep(MOMENT).await;
    assert_eq!(share.waiting(), 8);
    assert_eq!(
        share.take("bad", 1, later(LONG)).await.err(),
        Some(Crowded { by: "bad".to_owned() })
    );
    drop(good);
    assert_eq!(next.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_nothing_behind() {
    let share = share(4);
    let all = share.take("one", 4, later(LONG)).await.unwrap();
    let soon = Duration::from_millis(1);
    assert_eq!(
        share.take("two", 1, later(soon)).await.err(),
        Some(Crowded { by: "one".to_owned() })
    );
    let waiting = hang(&share, "three", 2);
    sleep(MOMENT).await;
    waiting.iter().for_each(JoinHandle::abort);
    sleep(MOMENT).await;
    assert_eq!(share.waiting(), 0);
    drop(all);
    assert_eq!(share.free(), 4);
    assert!(share.0.lock().hosts.is_empty());
    // More than there is means all.
    assert_eq!(held(&share, "one"), 0);
    let all = share.take("one", 100, later(LONG)).await.unwrap();
    assert_eq!((held(&share, "one"), share.free()), (4, 0));
    drop(all);
}

/// What a hostile host does again and again.
#[derive(Debug, Clone)]
struct Habit {
    /// How many ask at once.
    many: usize,
    amount: usize,
    /// How long each holds its place, in parts of the patience.
    eighths: u32,
    /// Whether it answers, as far as that counts.
    answers: bool,
    /// The pause before it asks again, milliseconds.
    pause: u64,
    /// Whether each asks under a name that nobody has seen.
    is_new: bool,
}

fn habit() -> impl Strategy<Value = Habit> {
    let held = prop_oneof![Just(0), Just(7), Just(8), 0..40u32, Just(1000)];
    (1..12usize, 1..5usize, held, any::<bool>(), 20..3000u64, prop::bool::weighted(0.2)).prop_map(
        |(many, amount, eighths, answers, pause, is_new)| Habit {
            many,
            amount,
            eighths,
            answers,
            pause,
            is_new,
        },
    )
}

async fn indulge(share: FairShare, host: String, habit: Habit, count: Arc<AtomicU64>) {
    loop {
        let name = match habit.is_new {
            true => format!("{host}-{}", count.fetch_add(1, Ordering::Relaxed)),
            false => host.clone(),
        };
        if let Ok(slot) = share.take(&name, habit.amount, later(Duration::from_secs(29))).await {
            let _ = slot.unless_recalled(sleep(PATIENCE / 8 * habit.eighths)).await;
            // Who is recalled needs a moment to let go.
            sleep(MOMENT).await;
            if habit.answers {
                slot.answered();
            }
        }
        sleep(Duration::from_millis(habit.pause)).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever other hosts do, the place for one decision at a host that answers is there in time,
    /// and so is it at a host that nobody has seen.
    #[test]
    fn attack_d1_whatever_other_hosts_do_one_is_not_held_up(
        total in 2..40usize,
        habits in prop::collection::vec(habit(), 0..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (waited, most) = runtime.block_on(async {
            let share = share(total);
            let count = Arc::new(AtomicU64::new(0));
            let mut asking = 0u32;
            for (n, habit) in habits.iter().enumerate() {
                asking += if habit.is_new { u32::try_from(habit.many).unwrap() } else { 1 };
                for _ in 0..habit.many {
                    tokio::spawn(indulge(share.clone(), format!("bad-{n}"), habit.clone(), Arc::clone(&count)));
                }
            }
            let mut waited = Duration::ZERO;
            for n in 0..20u64 {
                sleep(Duration::from_millis(n * 37 % 500)).await;
                waited = waited.max(answer(&share, "good").await);
                waited = waited.max(answer(&share, &format!("seen-{n}")).await);
            }
            // The amounts of others count: one that is before ours may wait for several places.
            let rounds = 3 + asking * 4 / u32::try_from(total).unwrap();
            (waited, PATIENCE * rounds + PATIENCE)
        });
        prop_assert!(waited <= most, "waited {waited:?}, at most {most:?}");
    }
}
