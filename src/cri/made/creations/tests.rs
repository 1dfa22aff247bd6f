//! Which calls account for what appears in the runtime.

use std::time::{Instant, UNIX_EPOCH};

use super::*;

/// A clock that says 100 s since 1970.
#[allow(clippy::disallowed_methods, reason = "the steady clock is not asked here")]
fn clock() -> Clock {
    Clock::new(|| UNIX_EPOCH + Duration::from_secs(100), Instant::now)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn container(sandbox: &str, name: &str) -> Making {
    Making::Container { sandbox: sandbox.to_owned(), name: name.to_owned() }
}

fn sandbox(name: &str) -> Making {
    Making::Sandbox { namespace: "prod".to_owned(), name: name.to_owned() }
}

#[test]
fn attack_f_a_call_accounts_for_one_container_of_its_sandbox_and_name() {
    let creations = Arc::new(Creations::default());
    let call = creations.begin(container("0123", "app"), clock());
    assert!(creations.is_busy());
    assert_eq!(creations.explain(&container("4567", "app"), "x"), None);
    assert_eq!(creations.explain(&container("01234567", "other"), "x"), None);
    assert_eq!(creations.explain(&sandbox("app"), "x"), None);
    let number = creations.explain(&container("01234567", "app"), "made");
    assert!(number.is_some_and(|number| creations.is_underway(number)));
    assert_eq!(creations.explain(&container("01234567", "app"), "made"), number, "asked again");
    assert_eq!(creations.explain(&container("01234567", "app"), "around"), None, "one more");
    call.settle();
    assert!(!number.is_some_and(|number| creations.is_underway(number)) && !creations.is_busy());
    assert!(!creations.broke_off(&container("01234567", "app"), "around", at(100)));
}

#[test]
fn attack_f_a_sandbox_hides_no_other_sandbox() {
    let creations = Arc::new(Creations::default());
    let _call = creations.begin(sandbox("web"), clock());
    assert_eq!(creations.explain(&sandbox("db"), "around"), None);
    assert!(creations.explain(&sandbox("web"), "made").is_some());
    let none = creations.begin(container("", "app"), clock());
    assert_eq!(creations.explain(&container("0123", "app"), "x"), None, "no sandbox is not any");
    drop(none);
}

#[test]
fn attack_f_a_call_that_broke_off_accounts_for_one_container_of_its_time() {
    let creations = Arc::new(Creations::default());
    drop(creations.begin(container("0123", "app"), clock()));
    let found = container("0123", "app");
    assert!(
        !creations.broke_off(&found, "x", at(99)) && !creations.broke_off(&found, "x", at(101))
    );
    assert!(!creations.broke_off(&container("0123", "other"), "x", at(100)));
    assert!(creations.broke_off(&found, "made", at(100)));
    assert!(creations.broke_off(&found, "made", at(100)), "asked again");
    assert!(!creations.broke_off(&found, "around", at(100)), "one more");
}

#[test]
fn attack_f_what_is_gone_is_accounted_for_by_a_call_that_failed_and_once() {
    let creations = Arc::new(Creations::default());
    assert_eq!(creations.explain_gone("gone", at(100)), GoneOf::NoCall);
    let failing = creations.begin(sandbox("web"), clock());
    assert_eq!(creations.explain_gone("gone", at(99)), GoneOf::NoCall, "made before the call");
    assert_eq!(creations.explain_gone("gone", at(100)), GoneOf::Underway);
    drop(failing);
    assert_eq!(creations.explain_gone("gone", at(100)), GoneOf::Failed);
    assert_eq!(creations.explain_gone("around", at(100)), GoneOf::NoCall, "one more");
    let known = creations.begin(sandbox("db"), clock());
    creations.explain(&sandbox("db"), "made");
    assert_eq!(creations.explain_gone("around", at(100)), GoneOf::NoCall, "it made another");
    known.settle();
}

#[test]
fn attack_g_calls_that_break_off_are_not_remembered_without_end() {
    let creations = Arc::new(Creations::default());
    for _ in 0..ENDED_MAX + 10 {
        drop(creations.begin(sandbox("web"), clock()));
    }
    assert_eq!(creations.lock().ended.len(), ENDED_MAX);
}
