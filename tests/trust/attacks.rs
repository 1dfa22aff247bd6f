//! What goes wrong, by malice or not: the root in place stays, and the reason is told.

use std::time::Duration;

use sealgate::tuf::{FetchError, StateFault, UpdateError};

use crate::support::mirror::{Mirror, Reply};
use crate::support::repository::{Key, LATER, LONG_AGO, Repository};
use crate::{Stage, published, update};

/// Updates, fails, and has changed nothing.
fn refused(stage: &Stage) -> UpdateError {
    let before = stage.everything();
    let error = stage.update().unwrap_err();
    assert_eq!(stage.everything(), before, "{error}");
    error
}

/// Attack C3: a mirror that serves what was published before.
#[test]
fn attack_c3_older_metadata_is_refused() {
    let mut stage = Stage::updated();
    stage.publish_next();
    stage.update().unwrap();
    stage.repository.version = 1;
    stage.mirror.publish(&stage.repository);
    assert_eq!(
        refused(&stage),
        UpdateError::Rollback { role: "timestamp".to_owned(), seen: 2, got: 1 }
    );
}

/// The versions that were seen count after they have expired, too.
#[test]
fn attack_c3_older_metadata_is_refused_after_the_newer_has_expired() {
    let mut stage = Stage::updated();
    stage.repository.timestamp_expires = "2026-06-02T00:00:00Z";
    stage.publish_next();
    stage.update().unwrap();
    (stage.repository.version, stage.repository.timestamp_expires) = (1, LATER);
    stage.mirror.publish(&stage.repository);
    let accept = |_: &[u8]| Ok(());
    let later = "2026-07-01T00:00:00Z".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(sealgate::tuf::update(&stage.ask(), accept, later)).unwrap_err();
    assert_eq!(error, UpdateError::Rollback { role: "timestamp".to_owned(), seen: 2, got: 1 });
}

/// A stolen key that a newer root took away signs for nothing again, although the mirror hides that
/// root.
#[test]
fn attack_c3_a_root_that_was_seen_stays_in_force() {
    let mut stage = Stage::updated();
    let stolen = std::mem::replace(&mut stage.repository.role_key, Key::new());
    stage.repository.add_root(LATER);
    stage.publish_next();
    stage.update().unwrap();
    stage.repository.role_key = stolen;
    stage.publish_next();
    stage.mirror.set("/2.root.json", Reply::Status(404));
    let error = refused(&stage);
    assert_eq!(
        error,
        UpdateError::Signatures { role: "timestamp".to_owned(), found: 0, threshold: 1 }
    );
}

/// The newer root is kept even when the update that brought it failed.
#[test]
fn attack_c3_a_root_stays_in_force_although_its_update_failed() {
    let mut stage = Stage::updated();
    let stolen = std::mem::replace(&mut stage.repository.role_key, Key::new());
    stage.repository.add_root(LATER);
    stage.publish_next();
    stage.mirror.set("/timestamp.json", Reply::Status(503));
    let error = stage.update().unwrap_err();
    assert!(
        matches!(error, UpdateError::Fetch(FetchError::Status { status: 503, .. })),
        "{error:?}"
    );
    stage.repository.role_key = stolen;
    stage.publish_next();
    stage.mirror.set("/2.root.json", Reply::Status(404));
    let error = refused(&stage);
    assert_eq!(
        error,
        UpdateError::Signatures { role: "timestamp".to_owned(), found: 0, threshold: 1 }
    );
}

/// Attack C3: a mirror that stands still.
#[test]
fn attack_c3_expired_metadata_is_refused() {
    let expired =
        |role: &str| UpdateError::Expired { role: role.to_owned(), at: LONG_AGO.parse().unwrap() };
    let mut stage = Stage::updated();
    stage.repository.timestamp_expires = LONG_AGO;
    stage.publish_next();
    assert_eq!(refused(&stage), expired("timestamp"));
    (stage.repository.timestamp_expires, stage.repository.expires) = (LATER, LONG_AGO);
    stage.mirror.publish(&stage.repository);
    assert_eq!(refused(&stage), expired("snapshot"));
    stage.repository.expires = LATER;
    stage.repository.add_root(LONG_AGO);
    stage.mirror.publish(&stage.repository);
    assert_eq!(stage.update().unwrap_err(), expired("root"));
}

/// The same timestamp for ever: it is unchanged until it expires, and then it is refused.
#[test]
fn attack_c3_a_frozen_mirror_is_noticed_when_its_timestamp_expires() {
    let mut stage = Stage::new();
    stage.repository.timestamp_expires = "2026-06-02T00:00:00Z";
    stage.mirror.publish(&stage.repository);
    stage.update().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let later = "2026-06-03T00:00:00Z".parse().unwrap();
    let error =
        runtime.block_on(sealgate::tuf::update(&stage.ask(), |_| Ok(()), later)).unwrap_err();
    let at = "2026-06-02T00:00:00Z".parse().unwrap();
    assert_eq!(error, UpdateError::Expired { role: "timestamp".to_owned(), at });
}

/// Attack C3: versions that cannot be read are not the same as none.
#[test]
fn attack_c3_damaged_versions_stop_the_update() {
    let stage = Stage::updated();
    let path = stage.state().join("tuf/acme/timestamp.json");
    std::fs::write(&path, "").unwrap();
    assert_eq!(refused(&stage), UpdateError::State(StateFault::Damaged { path }));
}

#[test]
fn another_repository_is_refused() {
    let mut stage = Stage::updated();
    let first = stage.ask().root;
    stage.repository = Repository::new(&published()[1]);
    stage.repository.version = 9;
    stage.mirror.publish(&stage.repository);
    let ask = sealgate::tuf::Ask { root: first, ..stage.ask() };
    let before = stage.everything();
    let error = update(&ask).unwrap_err();
    assert_eq!(
        error,
        UpdateError::Signatures { role: "timestamp".to_owned(), found: 0, threshold: 1 }
    );
    assert_eq!(stage.everything(), before);
}

/// Attack D1: bodies without end, for metadata and for the target.
#[test]
fn attack_d1_an_endless_body_is_cut_off() {
    let mut stage = Stage::updated();
    stage.publish_next();
    stage.mirror.set_target(Reply::Endless);
    let error = refused(&stage);
    let limit = u64::try_from(stage.repository.target.len()).unwrap();
    assert!(
        matches!(&error, UpdateError::Fetch(FetchError::TooLarge { limit: l, .. }) if *l == limit),
        "{error:?}"
    );
    for path in ["/timestamp.json", "/2.root.json"] {
        stage.mirror.set(path, Reply::Endless);
        let error = refused(&stage);
        assert!(matches!(error, UpdateError::Fetch(FetchError::TooLarge { .. })), "{error:?}");
    }
}

/// Attack D1: a mirror that says nothing holds an update up for no longer than its limit.
#[test]
fn attack_d1_a_silent_mirror_is_given_up() {
    let stage = Stage::updated();
    stage.mirror.set("/timestamp.json", Reply::Silence);
    let before = stage.everything();
    let ask = sealgate::tuf::Ask { limit: Duration::from_secs(1), ..stage.ask() };
    assert_eq!(update(&ask).unwrap_err(), UpdateError::Deadline { seconds: 1 });
    assert_eq!(stage.everything(), before);
}

/// Attack D1: more roots than anyone makes, one after the other.
#[test]
fn attack_d1_a_chain_of_roots_has_an_end() {
    let mut stage = Stage::updated();
    for _ in 0..40 {
        stage.repository.add_root(LATER);
    }
    stage.mirror.publish(&stage.repository);
    assert_eq!(stage.update().unwrap_err(), UpdateError::Behind { root_version: 33 });
    // What was verified of it is kept: the next run goes on from there.
    assert_eq!(stage.update().unwrap().root_version, 41);
}

/// Attack E5: no redirect is followed, to another host or this one.
#[test]
fn attack_e5_a_redirect_is_refused() {
    let mut stage = Stage::updated();
    stage.publish_next();
    let other = Mirror::serve(&stage.repository);
    for path in ["/2.root.json", "/timestamp.json", "/2.snapshot.json"] {
        stage.mirror.publish(&stage.repository);
        stage.mirror.set(path, Reply::Redirect(format!("{}{path}", other.url())));
        let error = refused(&stage);
        assert!(
            matches!(error, UpdateError::Fetch(FetchError::Redirect { .. })),
            "{path}: {error:?}"
        );
    }
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[test]
fn a_target_that_is_not_the_signed_one_is_refused() {
    let mut stage = Stage::updated();
    stage.publish_next();
    let mut wrong = stage.repository.target.clone();
    wrong[100] ^= 1;
    stage.mirror.set_target(Reply::File(wrong));
    assert!(matches!(refused(&stage), UpdateError::Mismatch(_)));
    stage.mirror.set_target(Reply::File(b"{}".to_vec()));
    assert!(matches!(refused(&stage), UpdateError::Mismatch(_)));
    stage.mirror.set_target(Reply::Status(404));
    assert!(matches!(refused(&stage), UpdateError::Missing(_)));
}

/// Signed as it should be, and no trusted root: what is in place stays.
#[test]
fn a_target_that_cannot_be_used_is_refused() {
    for text in ["", "{}", "[]", "{\"mediaType\": \"x\"}", "\u{1}"] {
        let mut stage = Stage::updated();
        stage.repository.target = text.as_bytes().to_vec();
        stage.repository.version += 1;
        stage.mirror.publish(&stage.repository);
        let error = refused(&stage);
        assert!(matches!(error, UpdateError::Unusable(_)), "{error:?}");
    }
}

#[test]
fn a_mirror_that_is_down_changes_nothing() {
    let stage = Stage::updated();
    let before = stage.everything();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ask = sealgate::tuf::Ask { mirror: format!("http://{nobody}"), ..stage.ask() };
    let error = update(&ask).unwrap_err();
    assert!(matches!(error, UpdateError::Fetch(FetchError::Unreachable { .. })), "{error:?}");
    for status in [500, 403, 404, 206] {
        stage.mirror.set("/timestamp.json", Reply::Status(status));
        let error = stage.update().unwrap_err();
        let there = matches!(&error, UpdateError::Missing(_));
        let told = matches!(&error, UpdateError::Fetch(FetchError::Status { status: s, .. }) if *s == status);
        assert!(if matches!(status, 403 | 404) { there } else { told }, "{status}: {error:?}");
    }
    assert_eq!(stage.everything(), before);
    assert_eq!(stage.installed(), Some(published()[0].clone()));
}

#[test]
fn attack_e3_what_a_mirror_says_has_no_power_over_the_terminal() {
    let stage = Stage::new();
    stage.mirror.set("/2.root.json", Reply::Redirect("http://x/\u{9b}2J\u{202e}".to_owned()));
    let error = stage.update().unwrap_err().to_string();
    assert!(error.is_ascii() && !error.contains('\u{1b}'), "{error}");
}
