//! Files that are changed whole or not at all.

use std::os::unix::fs::symlink;

use super::*;

const LIST: &str = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: a}\nspec: {logIndexes: \
                    [{index: 1, reason: bad, date: 2026-01-31T12:00:00Z}]}\n";

fn node() -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    for name in ["policies", "keys"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    settings.policy.policies = dir.path().join("policies").into();
    settings.policy.keys = dir.path().join("keys");
    (dir, settings)
}

fn held(settings: &Settings) -> Place {
    Place::hold(settings).unwrap().unwrap()
}

fn checked(place: &Place, text: Option<&str>, settings: &Settings) -> Result<CheckedFile, String> {
    let found = place.file("deny.yaml").unwrap();
    place.check(("deny.yaml", found), text.map(str::to_owned), settings)
}

fn names(settings: &Settings) -> Vec<String> {
    let found = fs::read_dir(settings.policy.policies.written()).unwrap();
    found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_made_replaced_and_removed_and_nothing_is_left_beside_it() {
    let (_dir, settings) = node();
    let path = settings.policy.policies.written().join("deny.yaml");
    let place = held(&settings);
    let made = checked(&place, Some(LIST), &settings).unwrap();
    assert_eq!((made.after.denied().count(), place.before.denied().count()), (1, 0));
    assert!(names(&settings).is_empty(), "a check writes nothing");
    place.put(&made).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), LIST);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let two = format!("# two\n{LIST}");
    place.put(&checked(&place, Some(&two), &settings).unwrap()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600, "it is kept");
    assert_eq!(
        (names(&settings), fs::read_to_string(&path).unwrap()),
        (vec!["deny.yaml".into()], two)
    );
    place.put(&checked(&place, None, &settings).unwrap()).unwrap();
    assert!(names(&settings).is_empty());
}

#[test]
fn a_set_that_would_be_faulty_is_not_written() {
    let (_dir, settings) = node();
    let faulty = LIST.replace("index", "idnex");
    let why = checked(&held(&settings), Some(&faulty), &settings).map(|_| ()).unwrap_err();
    assert!(why.contains("deny.yaml:4:"), "{why}");
    fs::write(settings.policy.policies.written().join("other.yaml"), &faulty).unwrap();
    let why = Place::hold(&settings).unwrap().map(|_| ()).unwrap_err();
    assert!(why.contains("other.yaml:4:"), "{why}");
}

#[test]
fn one_command_at_a_time_and_no_edit_is_lost() {
    let (_dir, settings) = node();
    let place = held(&settings);
    assert!(Place::hold(&settings).is_err(), "another command holds the folder");
    let made = checked(&place, Some(LIST), &settings).unwrap();
    let edited = LIST.replace("name: a", "name: edited");
    fs::write(settings.policy.policies.written().join("deny.yaml"), &edited).unwrap();
    let why = place.put(&made).unwrap_err();
    assert!(why.contains("changed by somebody else"), "{why}");
    assert_eq!(
        fs::read_to_string(settings.policy.policies.written().join("deny.yaml")).unwrap(),
        edited
    );
    drop(place);
    drop(held(&settings));
}

#[test]
fn a_link_is_left_to_whom_it_belongs() {
    let (dir, settings) = node();
    let (file, link) =
        (dir.path().join("mounted.yaml"), settings.policy.policies.written().join("deny.yaml"));
    fs::write(&file, LIST).unwrap();
    symlink(&file, &link).unwrap();
    let why = held(&settings).file("deny.yaml").unwrap_err();
    assert!(why.contains("something else writes it"), "{why}");
}
