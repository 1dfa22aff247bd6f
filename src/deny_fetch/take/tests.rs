//! What is taken, in which order of versions and over which crashes.

use std::fs;

use sigstore_crypto::KeyPair;

use super::*;
use crate::deny_fetch::{InForce, ListMemory};
use crate::fetched_list::signed;
use crate::loader::{self, Problem, TrustOptions};

const REPOSITORY: &str = "registry.example.com/security/deny";

/// A node, and the signer of its list.
struct Node {
    dir: tempfile::TempDir,
    pair: KeyPair,
    options: loader::Options,
    check: SignerCheck,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["policies", "keys"] {
            fs::create_dir(at(name)).unwrap();
        }
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        fs::write(at("keys/deny.pub"), pair.public_key_der().unwrap().to_pem()).unwrap();
        let list =
            format!("name = \"fleet\"\nsource = \"oci://{REPOSITORY}:v1\"\nkeys = [\"deny.pub\"]");
        let options = loader::Options {
            policies: at("policies").into(),
            keys: at("keys"),
            fetched: at("deny-lists"),
            deny_lists: vec![toml::from_str(&list).unwrap()],
            ..loader::Options::default()
        };
        let check =
            loader::signer_check(&options, &TrustOptions::default(), &options.deny_lists[0]);
        Self { check: check.unwrap(), dir, pair, options }
    }

    fn folder(&self) -> ListFolder {
        ListFolder::new(&self.options.fetched)
    }

    fn take(&self, list: &KeptList) -> Result<TakenList, ListFault> {
        self.take_over(list, &ListMemory::default())
    }

    /// Takes it in a process that knows this of the lists.
    fn take_over(&self, list: &KeptList, memory: &ListMemory) -> Result<TakenList, ListFault> {
        let of = (&self.options.deny_lists[0], &self.check);
        take((&self.folder(), memory), of, list, now())
    }

    /// What a process knows that starts now.
    fn memory(&self) -> ListMemory {
        let memory = ListMemory::default();
        self.reload(&memory);
        memory
    }

    /// Has an operator lower the version in a process that knows this of the lists.
    fn lower_in(&self, memory: &ListMemory, version: u64) -> Result<Option<u64>, FolderFault> {
        lower((&self.folder(), memory), "fleet", version)
    }

    /// Notes what a reload reads in a process that knows this of the lists.
    fn reload(&self, memory: &ListMemory) {
        memory.note_loaded(&loader::load(&self.options, &TrustOptions::default()).unwrap().lists);
    }

    /// What a reload would do to the files in a process that has this in force: whether they were put
    /// right.
    fn restored(&self, in_force: &InForce) -> Result<bool, Box<Problem>> {
        let read = loader::load(&self.options, &TrustOptions::default()).unwrap().lists;
        let in_force = [("fleet".to_owned(), in_force.clone())].into();
        crate::deny_fetch::restore(&self.options, &read, &in_force)
    }

    /// The files, to be brought back later.
    fn snapshot(&self) -> [Vec<u8>; 2] {
        let folder = self.folder();
        [folder.list_file("fleet"), folder.version_file("fleet")]
            .map(|file| fs::read(file).unwrap())
    }

    fn bring_back(&self, [list, version]: &[Vec<u8>; 2]) {
        fs::write(self.folder().list_file("fleet"), list).unwrap();
        fs::write(self.folder().version_file("fleet"), version).unwrap();
    }

    /// What a start of the gate would have in force: the version, or the code of why none is.
    fn started(&self) -> Result<Option<u64>, &'static str> {
        let loaded = loader::load(&self.options, &TrustOptions::default()).unwrap();
        let in_force = loaded.policies.fetched_lists().first().map(|head| head.version);
        match &loaded.lists[0].kept {
            Some(Err(fault)) => Err(fault.code()),
            Some(Ok(_)) | None => Ok(in_force),
        }
    }

    /// Of a start, why the list in force is not the one that was taken last, and whether it is warned
    /// of.
    fn outdated(&self) -> (Option<&'static str>, bool) {
        let loaded = loader::load(&self.options, &TrustOptions::default()).unwrap();
        let kept = loaded.lists[0].kept.as_ref().unwrap().as_ref().unwrap();
        let is_old = |warning: &loader::Warning| matches!(warning, loader::Warning::OldDenyList { name, .. } if name == "fleet");
        let is_warned = loaded.warnings.iter().any(is_old);
        (kept.outdated.as_ref().map(ListFault::code), is_warned)
    }

    fn list(&self, version: u64, reason: &str) -> KeptList {
        let text = format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: fleet, version: {version}, \
             issued: 2026-01-31T00:00:00Z, expires: 2026-02-28T00:00:00Z}}\nspec:\n  digests:\n  \
             - {{digest: \"sha256:{}\", reason: {reason}, date: 2026-01-31T00:00:00Z}}\n",
            "1".repeat(64)
        );
        signed(&self.pair, &text)
    }
}

fn known(taken: &TakenList) -> KnownVersion {
    KnownVersion { version: taken.head.version, digest: Some(taken.digest.clone()) }
}

fn in_force(taken: &TakenList) -> InForce {
    let (entries, file) = (taken.head.entries, taken.file.clone().into());
    let known = known(taken);
    InForce { known, entries, file, taken: None, lowered: None, is_newest: true }
}

fn now() -> Timestamp {
    "2026-02-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_later_list_takes_the_place_of_an_earlier_one_and_is_in_force_after_a_start() {
    let node = Node::new();
    assert_eq!(node.started(), Ok(None));
    for (version, taken) in [(7, Taken::New), (7, Taken::Same), (9, Taken::New)] {
        assert_eq!(node.take(&node.list(version, "bad")).unwrap().taken, taken, "{version}");
        assert_eq!(node.started(), Ok(Some(version)));
    }
}

/// Attack C3: what was signed once comes again, from a mirror, a cache or a thief.
#[test]
fn attack_c3_an_older_list_and_another_of_one_version_do_not_replace_what_is_in_force() {
    let node = Node::new();
    node.take(&node.list(7, "bad")).unwrap();
    let refused = node.take(&node.list(6, "bad")).unwrap_err();
    assert_eq!(refused, ListFault::Rollback { got: 6, remembered: 7 });
    let refused = node.take(&node.list(7, "worse")).unwrap_err();
    assert_eq!(refused, ListFault::Equivocation { version: 7 });
    assert_eq!(node.started(), Ok(Some(7)));
    // The files of the versions are gone, or cannot be read: what is kept says which one it is.
    fs::remove_file(node.folder().version_file("fleet")).unwrap();
    assert!(matches!(node.take(&node.list(6, "bad")), Err(ListFault::Rollback { .. })));
    fs::write(node.folder().version_file("fleet"), "no version").unwrap();
    assert!(matches!(node.take(&node.list(6, "bad")), Err(ListFault::Rollback { .. })));
    // With neither nothing is known, and nothing is taken until an operator says which one counts.
    fs::remove_file(node.folder().list_file("fleet")).unwrap();
    assert!(matches!(node.take(&node.list(8, "bad")), Err(ListFault::Files(_))));
    let memory = node.memory();
    assert_eq!(node.lower_in(&memory, 8), Ok(None));
    assert_eq!(node.take_over(&node.list(8, "bad"), &memory).unwrap().taken, Taken::New);
}

#[test]
fn an_operator_lets_an_older_list_come_back_and_nothing_older_than_that() {
    let node = Node::new();
    node.take(&node.list(9, "mistake")).unwrap();
    let memory = node.memory();
    assert_eq!(node.lower_in(&memory, 7), Ok(Some(9)));
    assert_eq!(node.started(), Ok(Some(9)), "what is in force stays until another one came");
    assert!(node.take_over(&node.list(6, "bad"), &memory).is_err());
    // Also by a process that starts before it came.
    for memory in [node.memory(), memory] {
        assert_eq!(node.take_over(&node.list(7, "bad"), &memory).unwrap().taken, Taken::New);
        assert_eq!(node.started(), Ok(Some(7)));
        let other = node.take_over(&node.list(7, "other"), &memory);
        assert!(matches!(other, Err(ListFault::Equivocation { .. })), "{other:?}");
    }
}

/// A power cut between the two files: the version of the newer list, and the older list.
#[test]
fn a_power_cut_between_the_files_leaves_the_older_list_in_force_and_lets_none_before_it_in() {
    let node = Node::new();
    node.take(&node.list(7, "bad")).unwrap();
    let eight = node.list(8, "bad");
    let remembered = KnownVersion { version: 8, digest: Some(Digest::of(&eight.list)) };
    node.folder().remember("fleet", &remembered).unwrap();
    assert_eq!(node.started(), Ok(Some(7)));
    assert!(matches!(node.take(&node.list(7, "bad")), Err(ListFault::Rollback { .. })));
    assert_eq!(node.take(&eight).unwrap().taken, Taken::New);
    assert_eq!(node.started(), Ok(Some(8)));
}

/// Attack C3: while the gate is stopped, an older list with its signature is put in the place of the
/// newest. It denies, and the gate says that it is not the newest, until that is fetched.
#[test]
fn attack_c3_a_start_with_an_older_list_than_was_taken_is_told_until_the_newest_is_fetched() {
    let node = Node::new();
    node.take(&node.list(41, "bad")).unwrap();
    let older = fs::read(node.folder().list_file("fleet")).unwrap();
    let newest = node.list(42, "bad");
    node.take(&newest).unwrap();
    assert_eq!(node.outdated(), (None, false));
    fs::write(node.folder().list_file("fleet"), &older).unwrap();
    assert_eq!(node.started(), Ok(Some(41)));
    assert_eq!(node.outdated(), (Some("rollback"), true));
    let standing = node.memory().standing("fleet");
    assert!(standing.kept.is_some() && standing.fault.is_some(), "{standing:?}");
    node.take_over(&newest, &node.memory()).unwrap();
    assert_eq!(node.outdated(), (None, false));
    assert_eq!(node.memory().standing("fleet").fault, None);
    // Another list of the same version, and a version that cannot be read.
    fs::write(node.folder().list_file("fleet"), node.list(42, "other").to_json()).unwrap();
    assert_eq!(node.outdated(), (Some("equivocation"), true));
    fs::write(node.folder().version_file("fleet"), "no version").unwrap();
    assert_eq!(node.outdated(), (Some("files"), true));
    // The version is lost, and with it which list was taken last.
    fs::remove_file(node.folder().version_file("fleet")).unwrap();
    assert_eq!(node.outdated(), (Some("files"), true));
    // What an operator lowered is not older.
    node.lower_in(&node.memory(), 41).unwrap();
    assert_eq!(node.outdated(), (None, false));
}

/// Attack C3: an older list with its signature is put in the place of the one in force. The running
/// gate puts it right, and an operator may have it all the same.
#[test]
fn attack_c3_an_older_list_that_is_put_on_disk_does_not_replace_what_is_in_force() {
    let node = Node::new();
    node.take(&node.list(7, "bad")).unwrap();
    let older = fs::read(node.folder().list_file("fleet")).unwrap();
    let newer = in_force(&node.take(&node.list(8, "bad")).unwrap());
    assert_eq!(node.restored(&newer), Ok(false), "nothing is lost");
    fs::write(node.folder().list_file("fleet"), &older).unwrap();
    assert_eq!(node.restored(&newer), Ok(true));
    assert_eq!(node.started(), Ok(Some(8)));
    let memory = node.memory();
    node.lower_in(&memory, 7).unwrap();
    fs::write(node.folder().list_file("fleet"), &older).unwrap();
    let newer = memory.in_force().remove("fleet").unwrap();
    assert_eq!(node.restored(&newer), Ok(false), "an operator wants the older one");
    assert_eq!(node.started(), Ok(Some(7)));
}

/// Attack C3: the whole folder comes back as it was, with the file of the version: a backup, or a
/// snapshot of the file system.
#[test]
fn attack_c3_a_folder_of_an_earlier_day_does_not_replace_what_is_in_force() {
    let node = Node::new();
    let seven = node.list(7, "bad");
    node.take(&seven).unwrap();
    let earlier = node.snapshot();
    let nine = node.take(&node.list(9, "bad")).unwrap();
    let (of_nine, newer, memory) = (known(&nine), in_force(&nine), node.memory());
    node.bring_back(&earlier);
    assert_eq!(node.restored(&newer), Ok(true));
    assert_eq!((node.started(), node.restored(&newer)), (Ok(Some(9)), Ok(false)));
    assert_eq!(node.folder().version("fleet"), Ok(Some(of_nine.clone())));
    // The version alone: another list of it, and none at all.
    for (list, version) in [(None, &[][..]), (Some(node.list(9, "worse")), &[])] {
        node.bring_back(&[list.map(|list| list.to_json()).unwrap_or_default(), version.to_vec()]);
        assert_eq!(node.restored(&newer), Ok(true));
        assert_eq!(node.started(), Ok(Some(9)));
    }
    // Fetched before a reload looked: what is in force counts, and the same list puts it right.
    node.bring_back(&earlier);
    let refused = node.take_over(&seven, &memory).unwrap_err();
    assert_eq!(refused, ListFault::Rollback { got: 7, remembered: 9 });
    let refused = node.take_over(&node.list(9, "worse"), &memory).unwrap_err();
    assert_eq!(refused, ListFault::Equivocation { version: 9 });
    let again = node.take_over(&node.list(9, "bad"), &memory);
    // Signatures differ each time; the list is the same.
    assert_eq!(known(&again.unwrap()), of_nine);
    assert_eq!(node.started(), Ok(Some(9)));
}

/// Attack C3: a backup that was made between `deny lower` and the next fetch has a version that any
/// list may follow. The running gate, which took another list since, does not believe it.
#[test]
fn attack_c3_a_backup_of_a_lowered_version_lowers_nothing_in_a_running_gate() {
    let node = Node::new();
    node.take(&node.list(9, "mistake")).unwrap();
    let memory = node.memory();
    node.lower_in(&memory, 7).unwrap();
    let lowered = node.snapshot();
    let (seven, ten) = (node.list(7, "bad"), node.list(10, "bad"));
    node.take_over(&seven, &memory).unwrap();
    node.reload(&memory);
    node.take_over(&ten, &memory).unwrap();
    node.reload(&memory);
    let in_force = || memory.in_force().remove("fleet").unwrap();
    assert_eq!(in_force().known.version, 10);
    // A fetch comes first.
    node.bring_back(&lowered);
    let refused = node.take_over(&seven, &memory).unwrap_err();
    assert_eq!(refused, ListFault::Rollback { got: 7, remembered: 10 });
    // Or a reload.
    assert_eq!(node.restored(&in_force()), Ok(true));
    assert_eq!((node.started(), node.restored(&in_force())), (Ok(Some(10)), Ok(false)));
    let of_ten = Ok(Some(in_force().known));
    assert_eq!(node.folder().version("fleet"), of_ten);
    // The file of the version alone: it is put right for the next start, too.
    let older = format!("{{\"version\":9,\"digest\":\"sha256:{}\"}}", "1".repeat(64));
    for version in [&lowered[1][..], b"no version", older.as_bytes()] {
        fs::write(node.folder().version_file("fleet"), version).unwrap();
        assert!(node.take_over(&seven, &memory).is_err());
        assert_eq!(node.restored(&in_force()), Ok(true));
        assert_eq!(node.folder().version("fleet"), of_ten);
    }
    fs::remove_file(node.folder().version_file("fleet")).unwrap();
    assert_eq!((node.restored(&in_force()), node.restored(&in_force())), (Ok(true), Ok(false)));
    assert_eq!(node.folder().version("fleet"), of_ten);
}

/// What a start could not tell is not settled by a reload: only the newest list settles it.
#[test]
fn a_reload_does_not_make_a_list_the_newest_that_is_not_known_to_be() {
    let node = Node::new();
    node.take(&node.list(7, "bad")).unwrap();
    fs::remove_file(node.folder().version_file("fleet")).unwrap();
    let memory = node.memory();
    let in_force = memory.in_force().remove("fleet").unwrap();
    assert_eq!(node.restored(&in_force), Ok(false));
    assert!(memory.standing("fleet").fault.is_some());
    fs::write(node.folder().list_file("fleet"), "{}").unwrap();
    assert_eq!(node.restored(&in_force), Ok(true));
    assert_eq!(node.outdated(), (Some("files"), true));
    node.take_over(&node.list(8, "bad"), &memory).unwrap();
    assert_eq!(node.outdated(), (None, false));
}

/// A disk that takes nothing: what was read is not put in force.
#[test]
fn a_list_that_cannot_be_put_back_holds_the_reload_up() {
    let node = Node::new();
    node.take(&node.list(7, "bad")).unwrap();
    let older = fs::read(node.folder().list_file("fleet")).unwrap();
    let newer = in_force(&node.take(&node.list(8, "bad")).unwrap());
    fs::write(node.folder().list_file("fleet"), &older).unwrap();
    // Root writes anywhere: what is in the way is a folder of the name that is written beside.
    fs::create_dir_all(node.options.fetched.join(".fleet.list.json.new/x")).unwrap();
    let refused = node.restored(&newer).map_err(|problem| *problem);
    assert!(
        matches!(refused, Err(Problem::DenyList { fault: Some(ListFault::Files(_)), .. })),
        "{refused:?}"
    );
}

/// An operator lowers the version, and the fetch takes an older list: the reload after it lets it.
#[test]
fn an_older_list_that_was_taken_takes_the_place_of_a_newer_one() {
    let node = Node::new();
    let nine = in_force(&node.take(&node.list(9, "mistake")).unwrap());
    let memory = node.memory();
    node.lower_in(&memory, 7).unwrap();
    let seven = node.take_over(&node.list(7, "bad"), &memory).unwrap();
    assert_eq!(seven.taken, Taken::New);
    // The policies are faulty, say, so that it is not in force yet: it is no older list the next time.
    assert_eq!(node.take_over(&node.list(7, "bad"), &memory).unwrap().taken, Taken::Same);
    let both = memory.in_force().remove("fleet").unwrap();
    assert_eq!((&both.known, both.taken.as_ref()), (&nine.known, Some(&known(&seven))));
    assert_eq!(node.restored(&both), Ok(false));
    assert_eq!(node.started(), Ok(Some(7)));
    // Without the word of an operator the same files are those of an earlier day.
    assert_eq!(node.restored(&nine), Ok(true));
}

/// The version goes to disk before the list, so that no older one comes back.
#[test]
fn the_version_is_on_disk_before_the_list_is() {
    let node = Node::new();
    node.take(&node.list(7, "bad")).unwrap();
    fs::create_dir_all(node.options.fetched.join(".fleet.list.json.new/x")).unwrap();
    assert!(matches!(node.take(&node.list(8, "bad")), Err(ListFault::Files(_))));
    assert_eq!(node.folder().version("fleet").unwrap().unwrap().version, 8);
    assert_eq!(node.started(), Ok(Some(7)), "the list before it denies until then");
    assert!(matches!(node.take(&node.list(7, "bad")), Err(ListFault::Rollback { .. })));
}

/// Attack E4: the file on the node's disk is edited, and the gate starts again.
#[test]
fn attack_e4_a_list_that_was_edited_on_disk_is_not_believed_and_is_had_again() {
    let node = Node::new();
    let seven = node.list(7, "bad");
    let taken = node.take(&seven).unwrap();
    let file = node.folder().list_file("fleet");
    let empty = KeptList { list: "{}".into(), ..seven.clone() };
    fs::write(&file, empty.to_json()).unwrap();
    assert_eq!(node.started(), Err("no-list"));
    fs::write(&file, "").unwrap();
    assert_eq!(node.started(), Err("files"));
    // The running gate has it in memory, and puts it back.
    assert_eq!(node.restored(&in_force(&taken)), Ok(true));
    assert_eq!(node.started(), Ok(Some(7)));
    // One that just started has it again at the next fetch.
    fs::write(&file, "").unwrap();
    assert_eq!(node.take(&seven).unwrap().taken, Taken::New);
    assert_eq!(node.started(), Ok(Some(7)));
    drop(node.dir);
}
