//! What goes well: installed, unchanged, replaced, keys rotated, through a proxy.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use sealgate::tuf::{Change, FetchError, UpdateError};

use crate::support::mirror::{Mirror, Reply};
use crate::support::repository::{Key, LATER};
use crate::{Stage, published, update};

#[test]
fn a_root_is_installed_then_unchanged_then_replaced() {
    let mut stage = Stage::new();
    let [first, second] = published();
    let updated = stage.update().unwrap();
    assert_eq!(
        (updated.change, updated.root_version, updated.timestamp_version),
        (Change::Installed, 1, 1)
    );
    assert_eq!(updated.fresh_until, LATER.parse().unwrap());
    assert_eq!(updated.file, stage.state().join("acme.json"));
    assert_eq!(stage.installed(), Some(first.clone()));
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(stage.state().join("acme.json")), mode(stage.state())), (0o644, 0o755));
    let file = fs::metadata(stage.state().join("acme.json")).unwrap().ino();
    assert_eq!(stage.update().unwrap().change, Change::Unchanged);
    assert_eq!(
        fs::metadata(stage.state().join("acme.json")).unwrap().ino(),
        file,
        "nothing was written"
    );
    stage.publish_next();
    assert_eq!(stage.update().unwrap().change, Change::Replaced);
    assert_eq!(stage.installed(), Some(second));
}

/// New metadata about the same root: the target is not fetched again.
#[test]
fn what_is_in_place_is_not_fetched_again() {
    let mut stage = Stage::updated();
    stage.repository.version = 7;
    stage.mirror.publish(&stage.repository);
    stage.mirror.set_target(Reply::Status(500));
    let updated = stage.update().unwrap();
    assert_eq!((updated.change, updated.timestamp_version), (Change::Unchanged, 7));
}

/// What somebody changed or removed is put right.
#[test]
fn a_root_that_was_changed_by_hand_is_replaced() {
    let stage = Stage::updated();
    fs::write(stage.state().join("acme.json"), "{}").unwrap();
    assert_eq!(stage.update().unwrap().change, Change::Replaced);
    fs::remove_file(stage.state().join("acme.json")).unwrap();
    assert_eq!(stage.update().unwrap().change, Change::Installed);
    assert_eq!(stage.installed(), Some(published()[0].clone()));
}

#[test]
fn keys_are_rotated_along_the_chain_of_roots() {
    let mut stage = Stage::updated();
    stage.repository.role_key = Key::new();
    stage.repository.add_root(LATER);
    stage.repository.role_key = Key::new();
    stage.repository.add_root(LATER);
    stage.publish_next();
    let updated = stage.update().unwrap();
    assert_eq!((updated.change, updated.root_version), (Change::Replaced, 3));
    assert_eq!(stage.update().unwrap().change, Change::Unchanged);
}

/// An intermediate root may have expired; only the last one counts (TUF specification, 5.3).
#[test]
fn an_expired_root_on_the_way_is_passed_through() {
    let mut stage = Stage::updated();
    stage.repository.add_root(crate::support::repository::LONG_AGO);
    stage.repository.add_root(LATER);
    stage.mirror.publish(&stage.repository);
    assert_eq!(stage.update().unwrap().root_version, 3);
}

#[test]
fn a_proxy_is_used_where_one_is_configured() {
    let stage = Stage::new();
    let proxy = Mirror::serve(&stage.repository);
    let mut ask = stage.ask();
    ask.mirror = "http://tuf.acme.example/".to_owned();
    ask.proxy = Some(proxy.url());
    assert_eq!(update(&ask).unwrap().change, Change::Installed);
    let asked = proxy.asked();
    assert!(asked.iter().all(|target| target.starts_with("http://tuf.acme.example/")), "{asked:?}");
    assert!(asked.contains(&"http://tuf.acme.example/timestamp.json".to_owned()), "{asked:?}");
    assert_eq!(stage.mirror.asked(), Vec::<String>::new(), "nothing went past the proxy");
}

/// Over HTTPS the proxy is asked for a tunnel, and sees no more than the host.
#[test]
fn a_proxy_is_asked_for_a_tunnel() {
    let stage = Stage::new();
    let proxy = Mirror::empty();
    let mut ask = stage.ask();
    ask.mirror = "https://tuf.acme.example".to_owned();
    ask.proxy = Some(proxy.url());
    let error = update(&ask).unwrap_err();
    assert!(matches!(error, UpdateError::Fetch(FetchError::Unreachable { .. })), "{error:?}");
    assert_eq!(proxy.asked(), ["tuf.acme.example:443"]);
}
