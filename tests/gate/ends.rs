//! Permits that end: a key's window, the greatest age of a signature. None is remembered beyond the
//! moment at which what it rests on ends, whatever becomes of the clocks.

use std::time::Duration;

use sealgate::cri::Gate;
use sealgate::policy::Class;

use crate::registry::Settings;
use crate::rig::{Rig, Special, by_digest, clock, pull, requiring, set_calendar, turn_clock};

const HOUR: Duration = Duration::from_secs(3600);
const NONE: Duration = Duration::ZERO;
/// When the fixtures' signatures were made: 2025-06-01T12:00:00Z.
const SIGNED: Duration = Duration::from_secs(1_748_779_200);

/// A gate under which the signature of `key-logged` ends in between one and two hours.
fn ending_gate(rig: &Rig) -> Gate {
    let age = clock().unix().checked_sub(SIGNED).unwrap().as_secs() / HOUR.as_secs() + 2;
    let require = format!(
        "{{name: build, key: {{files: [build.pub], trustRoot: local, minLogEntries: 1}}, \
         maxSignatureAge: {age}h}}"
    );
    rig.special(Special { policy: requiring(&require), ..Special::default() })
}

/// Whether a pull is admitted, and whether from memory.
async fn admitted(gate: &Gate) -> Result<bool, Class> {
    match pull(gate, &by_digest("key-logged")).await {
        Ok(permit) => Ok(permit.is_cached()),
        Err(sealgate::cri::Refusal::Denied(denial)) => Err(denial.class()),
        Err(refusal) => panic!("{refusal}"),
    }
}

#[tokio::test]
async fn a_permit_is_remembered_until_what_it_rests_on_ends() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = ending_gate(&rig);
    assert_eq!(admitted(&gate).await, Ok(false));
    turn_clock(HOUR);
    assert_eq!(admitted(&gate).await, Ok(true));
    turn_clock(HOUR);
    assert_eq!(admitted(&gate).await, Err(Class::Refused), "too old by now");
}

/// Attack C4: a calendar that is set back does not make a permit live longer than it would have.
#[tokio::test]
async fn attack_c4_a_calendar_set_back_lengthens_no_life() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = ending_gate(&rig);
    assert_eq!(admitted(&gate).await, Ok(false));
    turn_clock(2 * HOUR);
    set_calendar(NONE, 2 * HOUR);
    assert_eq!(
        admitted(&gate).await,
        Ok(false),
        "judged again: by this calendar it holds, by its life it has ended"
    );
}

/// Attack C4: a calendar that is set forward ends what is past by it at once.
#[tokio::test]
async fn attack_c4_a_calendar_set_forward_ends_what_is_past() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = ending_gate(&rig);
    assert_eq!(admitted(&gate).await, Ok(false));
    set_calendar(2 * HOUR, NONE);
    assert_eq!(admitted(&gate).await, Err(Class::Refused));
}

/// A key that may sign no longer: what has no proven time is judged at now.
#[tokio::test]
async fn a_key_whose_time_is_over_admits_nothing_without_a_proven_time() {
    let rig = Rig::new(Settings::without_referrers());
    let end =
        jiff::Timestamp::from_second(i64::try_from((clock().unix() + HOUR).as_secs()).unwrap())
            .unwrap();
    let require =
        format!("{{name: build, key: {{files: [{{file: build.pub, notAfter: {end}}}]}}}}");
    let gate = rig.special(Special { policy: requiring(&require), ..Special::default() });
    let image = by_digest("signed-v3");
    assert!(!pull(&gate, &image).await.unwrap().is_cached());
    assert!(pull(&gate, &image).await.unwrap().is_cached());
    turn_clock(2 * HOUR);
    assert!(pull(&gate, &image).await.is_err());
}
