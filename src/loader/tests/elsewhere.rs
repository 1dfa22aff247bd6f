//! Policy files of elsewhere that stand for those of the folder.

use super::*;

/// A file of elsewhere stands for the one of its name, or is one more; its faults are told where it
/// is.
#[test]
fn files_of_elsewhere_stand_for_those_of_their_name() {
    let folders = Folders::new();
    folders.key("build.pub");
    folders.policy("a.yaml", &policy("first", "build.pub"));
    folders.policy("c.yaml", &policy("third", "build.pub"));
    let elsewhere = folders.root.path().join("candidate");
    fs::create_dir(&elsewhere).unwrap();
    mode(folders.root.path(), 0o755);
    mode(&elsewhere, 0o755);
    let with = |files: &[PathBuf]| {
        let loaded = load_with_files(&folders.options, &TrustOptions::default(), files);
        loaded.map(|loaded| loaded.policies.policies().map(str::to_owned).collect::<Vec<_>>())
    };
    let other = put(&elsewhere.join("a.yaml"), &policy("other", "build.pub"));
    let more = put(&elsewhere.join("b.yaml"), &policy("second", "build.pub"));
    assert_eq!(with(&[]).unwrap(), ["first", "third"]);
    assert_eq!(with(&[other, more]).unwrap(), ["other", "second", "third"]);
    let faulty = put(&elsewhere.join("c.yaml"), "apiVersion: sealgate/v1\nkind: Nothing\n");
    let error = with(std::slice::from_ref(&faulty)).unwrap_err();
    let named = |problem: &Problem| matches!(problem, Problem::Policy(error) if error.file == faulty.to_str().unwrap());
    assert!(error.problems.iter().any(named), "{error}");
    assert_eq!(folders.load().unwrap().policies.len(), 2, "the folder is as it was");
}
