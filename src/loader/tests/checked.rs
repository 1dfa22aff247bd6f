//! What a check says of files that no gate would load.

use super::*;

const LIST: &str = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: fleet, version: 7, \
                    issued: 2026-01-31T00:00:00Z, expires: 2026-02-07T00:00:00Z}\nspec: {}\n";

/// The gate that has the folder refuses it whole: only by its own name is it a list to publish.
#[test]
fn a_list_to_publish_is_none_in_a_folder_of_policies() {
    let folders = Folders::new();
    folders.key("build.pub");
    folders.policy("a.yaml", &policy("first", "build.pub"));
    let list = folders.policy("deny.yaml", LIST);
    let check = |source| {
        let check = Check {
            sources: vec![source],
            keys: None,
            trust: &TrustOptions::default(),
            options: &folders.options,
            is_in_force: false,
            now: "2026-02-01T00:00:00Z".parse().unwrap(),
        };
        let checked = check.run();
        let errors = checked.remarks.iter().filter(|one| one.severity == Severity::Error);
        let told: Vec<_> = errors.map(|one| (one.code, one.file.clone().unwrap())).collect();
        (told, checked.documents.deny_lists)
    };
    let name = list.to_str().unwrap().to_owned();
    let folder = folders.options.policies.written().to_owned();
    assert_eq!(check(CheckSource::Path(folder)), (vec![("list-among-policies", name)], 0));
    assert!(folders.load().is_err(), "as the gate has it");
    assert_eq!(check(CheckSource::Path(list)), (vec![], 1));
    let read = PolicyFile { name: "-".to_owned(), bytes: LIST.as_bytes().to_vec() };
    assert_eq!(check(CheckSource::Read(read)), (vec![], 1));
}
