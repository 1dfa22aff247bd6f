//! Several folders of policies, of which a later one outweighs an earlier one.

use super::*;

/// Two more folders, one before and one behind the operator's.
fn three() -> (Folders, PathBuf, PathBuf) {
    let mut folders = Folders::new();
    let own = folders.options.policies.written().to_owned();
    let (before, behind) = (folders.root.path().join("usr"), folders.root.path().join("run"));
    for folder in [&before, &behind] {
        fs::create_dir(folder).unwrap();
        mode(folder, 0o755);
    }
    mode(folders.root.path(), 0o755);
    let all = vec![before.clone(), own, behind.clone()];
    folders.options.policies = PolicyFolders::new(all).unwrap();
    (folders, before, behind)
}

#[test]
fn a_later_folder_replaces_and_an_absent_one_is_passed_over() {
    let (mut folders, before, behind) = three();
    folders.key("build.pub");
    put(&before.join("a.yaml"), &policy("first", "build.pub"));
    put(&before.join("b.yaml"), &policy("second", "build.pub"));
    put(&behind.join("other-name.yaml"), &policy("first", "build.pub"));
    let loaded = folders.load().unwrap();
    assert_eq!(loaded.policies.policies().collect::<Vec<_>>(), ["second", "first"]);
    let [replaced] = loaded.replaced.as_slice() else { panic!("{:?}", loaded.replaced) };
    assert_eq!(replaced.by, behind.join("other-name.yaml").to_str().unwrap());
    assert_eq!(replaced.file, before.join("a.yaml").to_str().unwrap());
    let counts: Vec<usize> = loaded.folders.iter().map(|read| read.documents.policies).collect();
    assert_eq!(counts, [2, 0, 1]);
    let with = loaded.policies.generation().to_owned();
    fs::remove_file(behind.join("other-name.yaml")).unwrap();
    let loaded = folders.load().unwrap();
    assert_ne!(loaded.policies.generation(), with);
    assert!(loaded.replaced.is_empty() && loaded.policies.len() == 2);
    fs::remove_dir(&behind).unwrap();
    let loaded = folders.load().unwrap();
    assert_eq!(
        loaded.folders.iter().map(|read| read.is_there).collect::<Vec<_>>(),
        [true, true, false]
    );
    // None at all is a fault, as one folder that is not there always was.
    folders.options.policies = behind.clone().into();
    assert_eq!(folders.file_fault(&behind), FileFault::Io(io::ErrorKind::NotFound));
}

/// What ships alone may ask for less than the operator's folder would.
#[test]
fn the_operators_folder_that_is_not_there_is_warned_of() {
    let (folders, before, _) = three();
    folders.key("build.pub");
    put(&before.join("a.yaml"), &policy("first", "build.pub"));
    // The last of three that are all neither below /usr nor below /run.
    let own = folders.options.policies.written().to_owned();
    assert_eq!(folders.load().unwrap().warnings, []);
    fs::remove_dir(&own).unwrap();
    let expected = Warning::NoFolder { folder: own.clone() };
    assert_eq!(folders.load().unwrap().warnings, [expected]);
    fs::create_dir(&own).unwrap();
    mode(&own, 0o755);
    assert_eq!(folders.load().unwrap().warnings, [], "empty is the operator's word");
}

#[test]
fn a_folder_that_cannot_be_read_or_that_others_may_write_is_a_fault_in_any_place() {
    let (folders, before, behind) = three();
    folders.key("build.pub");
    let own = folders.root.path().join("policies");
    put(&own.join("a.yaml"), &policy("first", "build.pub"));
    for folder in [&before, &behind] {
        mode(folder, 0o777);
        let fault = FileFault::Writable { what: folder.clone(), mode: 0o777 };
        assert_eq!(folders.file_fault(folder), fault);
        fs::remove_dir(folder).unwrap();
        symlink("nowhere", folder).unwrap();
        assert_eq!(folders.file_fault(folder), FileFault::Io(io::ErrorKind::NotFound), "a link");
        fs::remove_file(folder).unwrap();
        put(folder, "a file");
        assert_eq!(folders.file_fault(folder), FileFault::NotFolder);
        fs::remove_file(folder).unwrap();
    }
    assert_eq!(folders.load().unwrap().policies.len(), 1);
}

/// A fault in a document that another would stand for is a fault all the same.
#[test]
fn attack_b4_a_fault_in_a_replaced_document_refuses_the_whole() {
    let (folders, before, _) = three();
    folders.key("build.pub");
    folders.policy("a.yaml", &policy("first", "build.pub"));
    put(&before.join("a.yaml"), &policy("first", "build.pub").replace("images", "imagse"));
    assert_eq!(folders.problems().len(), 1);
}

#[test]
fn commands_write_into_the_operators_folder_and_see_the_others() {
    let (folders, before, _) = three();
    folders.key("build.pub");
    put(&before.join("a.yaml"), &policy("first", "build.pub"));
    let bytes = Some(policy("second", "build.pub").into_bytes());
    let candidate = Candidate { name: "a.yaml", bytes };
    let roots = TrustOptions::default();
    let loaded = load_with(&folders.options, &roots, Some(&candidate)).unwrap();
    assert_eq!(loaded.policies.policies().collect::<Vec<_>>(), ["first", "second"]);
}
