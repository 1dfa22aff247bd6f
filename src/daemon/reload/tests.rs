//! When the watch reads, and what a reload makes of a configuration with fetched deny lists.

use std::fs;

use jiff::Timestamp;
use sigstore_crypto::KeyPair;

use super::losses::WhyLost;
use super::*;
use crate::fetched_list::{KeptList, KnownVersion, ListFault, ListFolder, SignerCheck, signed};
use crate::image::Digest;

#[test]
fn what_failed_is_tried_again_after_a_change_or_a_pause() {
    let moment = Some(Duration::ZERO);
    assert_eq!(next_step(&1, (&1, None), None), NextStep::Wait);
    assert_eq!(next_step(&2, (&1, None), None), NextStep::Read);
    // The configuration is faulty: the folders were not read.
    assert_eq!(next_step(&2, (&1, Some(&2)), moment), NextStep::Wait);
    assert_eq!(next_step(&2, (&1, Some(&2)), Some(AGAIN)), NextStep::TryAgain);
    assert_eq!(next_step(&3, (&1, Some(&2)), moment), NextStep::Read);
    // The policies are faulty: the folders were read.
    assert_eq!(next_step(&2, (&2, Some(&2)), moment), NextStep::Wait);
    assert_eq!(next_step(&2, (&2, None), Some(AGAIN)), NextStep::TryAgain);
    // What is put back to what failed before is news once something else is in force.
    assert_eq!(next_step(&2, (&1, Some(&2)), None), NextStep::Read);
}

/// A node that fetches a list, of which version 7 is kept.
struct Node {
    dir: tempfile::TempDir,
    pair: KeyPair,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["policies", "keys"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let pair = KeyPair::generate_ecdsa_p256().unwrap();
        let pem = pair.public_key_der().unwrap().to_pem();
        fs::write(dir.path().join("keys/fleet.pub"), pem).unwrap();
        let other = KeyPair::generate_ecdsa_p256().unwrap().public_key_der().unwrap().to_pem();
        fs::write(dir.path().join("keys/other.pub"), other).unwrap();
        let node = Self { dir, pair };
        node.configure("keys = [\"fleet.pub\"]");
        node
    }

    fn configure(&self, list: &str) {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let source = "oci://registry.example.com/security/deny:v1";
        let lists = match list {
            "" => String::new(),
            list => format!("{{ name = \"fleet\", source = \"{source}\", {list} }}"),
        };
        let text = format!(
            "[policy]\npolicies = \"{}\"\nkeys = \"{}\"\nfetched = \"{}\"\ndeny_lists = \
             [{lists}]\n",
            at("policies"),
            at("keys"),
            at("deny-lists")
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Where the policies are, and how the folders are.
    fn seen(&self) -> (loader::Options, FolderState) {
        let options = config::load(&self.config()).unwrap().policy;
        let state = FolderState::of(&options);
        (options, state)
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    fn list(&self, version: u64) -> (String, KeptList) {
        let text = format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: fleet, version: {version}, \
             issued: 2026-01-31T00:00:00Z, expires: 2026-02-28T00:00:00Z}}\nspec: {{logIndexes: \
             [{{index: 1, reason: x, date: 2026-01-31T00:00:00Z}}]}}\n"
        );
        let list = signed(&self.pair, &text);
        (text, list)
    }

    /// Keeps a list, as a fetch does, and says what of it is in force then.
    fn keep(&self, version: u64) -> BTreeMap<String, InForce> {
        let (text, list) = self.list(version);
        let (file, folder) = (list.to_json(), ListFolder::new(&self.dir.path().join("deny-lists")));
        let known = KnownVersion { version, digest: Some(Digest::of(text.as_bytes())) };
        folder.remember("fleet", &known).unwrap();
        folder.keep("fleet", &file).unwrap();
        let (file, taken, lowered) = (file.into(), None, None);
        let in_force = InForce { known, entries: 1, file, taken, lowered, is_newest: true };
        [("fleet".to_owned(), in_force)].into()
    }

    fn read(&self, in_force: &BTreeMap<String, InForce>) -> Result<LoadedPolicies, Faults> {
        load(&self.config(), &|| in_force.clone()).read
    }

    /// The version that a reload would put in force, where it loses no list; none where it denies
    /// nothing by the list.
    fn reloaded(&self, in_force: &BTreeMap<String, InForce>) -> Result<Option<u64>, Faults> {
        let LoadedPolicies { set, noted, lists } = self.read(in_force)?;
        let losses = Losses { folders: Vec::new(), lists };
        if !losses.are_let_go(&Consent::default()) {
            return Err(losses.refused());
        }
        let heads = set.fetched_lists().iter().map(|head| head.version);
        let kept = noted.lists.iter().filter_map(|list| list.kept.as_ref()?.as_ref().ok());
        assert!(kept.map(|proof| proof.head.version).eq(heads.clone()));
        Ok(heads.max())
    }
}

fn fleet() -> Consent {
    Consent { folders: Vec::new(), lists: vec!["fleet".to_owned()] }
}

/// The key that signed the list is not the configuration's any more: nothing in the files is wrong,
/// and nothing of them is believed.
#[test]
fn a_list_in_force_that_is_not_believed_any_more_holds_the_reload_up() {
    let node = Node::new();
    let in_force = node.keep(7);
    assert_eq!(node.reloaded(&in_force), Ok(Some(7)));
    node.configure("keys = [\"other.pub\"]");
    let lost = node.read(&in_force).unwrap().lists;
    assert!(
        matches!(
            &lost[..],
            [LostList { name, entries: 1, why: WhyLost::Unbelieved(ListFault::NotSigned(_)) }]
                if name == "fleet"
        ),
        "{lost:?}"
    );
    let refused = node.reloaded(&in_force).unwrap_err().faults;
    assert!(refused[0].starts_with("correct policy.deny_lists: "), "{refused:?}");
    let command = "sealgate reload --allow-lost-list fleet";
    assert!(refused[1].ends_with(command), "{refused:?}");
    // A gate that starts with it denies nothing by the list, and says so.
    assert_eq!(node.reloaded(&BTreeMap::new()), Ok(None));
}

/// The key of a list leaked, and the configuration names another one: with the word of an operator
/// nothing of the list is in force until the new key's is fetched, and the memory of what was in
/// force does not bring it back.
#[test]
fn an_operator_lets_a_list_go_whose_key_is_not_believed_any_more() {
    let node = Node::new();
    node.keep(7);
    let memory = deny_fetch::ListMemory::default();
    memory.note_loaded(&node.read(&memory.in_force()).unwrap().noted.lists);
    assert!(memory.in_force().contains_key("fleet"));
    node.configure("keys = [\"other.pub\"]");
    let LoadedPolicies { set, noted, lists } = node.read(&memory.in_force()).unwrap();
    assert!(set.fetched_lists().is_empty());
    let losses = Losses { folders: Vec::new(), lists };
    assert!(!losses.are_let_go(&Consent::default()) && losses.are_let_go(&fleet()));
    let told = losses.lists[0].to_string();
    assert!(told.contains("deny list fleet go, which was in force with 1 entries"), "{told}");
    // It is put in force, and stays so with the next change of a file.
    memory.note_loaded(&noted.lists);
    assert!(memory.in_force().is_empty());
    let again = node.read(&memory.in_force()).unwrap();
    assert!(again.set.fetched_lists().is_empty() && again.lists.is_empty());
}

/// What is named is let go, and nothing else: neither another list nor a folder, by one word.
#[test]
fn an_operator_lets_go_what_the_refusal_named_and_nothing_else() {
    let list = |name: &str, why| LostList { name: name.to_owned(), entries: 2, why };
    let fault = ListFault::NotSigned("by nobody".to_owned());
    let (etc, usr) = (PathBuf::from("/etc/p"), PathBuf::from("/usr/p"));
    let losses = Losses {
        folders: vec![usr.clone(), etc.clone()],
        lists: vec![
            list("fleet", WhyLost::Unconfigured),
            list("vendor", WhyLost::Unbelieved(fault)),
        ],
    };
    let lists = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let is_let_go = |folders: &[&PathBuf], names: &[&str]| {
        let folders = folders.iter().map(|folder| (*folder).clone()).collect();
        losses.are_let_go(&Consent { folders, lists: lists(names) })
    };
    assert!(is_let_go(&[&etc, &usr], &["vendor", "fleet", "other"]));
    assert!(!is_let_go(&[&etc, &usr], &[]));
    assert!(!is_let_go(&[], &["vendor", "fleet"]));
    assert!(!is_let_go(&[&etc, &usr], &["vendor"]));
    assert!(!is_let_go(&[&etc], &["vendor", "fleet"]));
    let folders = vec!["/etc/p/".into(), usr];
    let with_slash = Consent { folders, lists: lists(&["fleet", "vendor"]) };
    assert!(losses.are_let_go(&with_slash), "the same folder");
    assert!(Losses::default().are_let_go(&Consent::default()));
    let told = losses.refused().faults;
    assert_eq!(told.len(), 5, "{told:#?}");
    let command = "sealgate reload --allow-empty /usr/p --allow-empty /etc/p --allow-lost-list \
                   fleet --allow-lost-list vendor";
    assert!(told[4].ends_with(command), "{told:#?}");
}

/// The word of an operator does not let a list go that is only damaged on disk.
#[test]
fn a_list_whose_file_was_lost_is_put_back_also_where_an_operator_takes_less() {
    let node = Node::new();
    let in_force = node.keep(7);
    let file = ListFolder::new(&node.dir.path().join("deny-lists")).list_file("fleet");
    fs::remove_file(file).unwrap();
    let LoadedPolicies { set, lists, .. } = node.read(&in_force).unwrap();
    assert_eq!(set.fetched_lists().iter().map(|head| head.version).max(), Some(7));
    assert!(lists.is_empty(), "nothing is lost: {lists:?}");
}

/// The key of a list is changed with no gap: first both count, and the old one until the list that
/// the new one signed is taken.
#[test]
fn the_key_of_a_list_is_changed_with_no_gap() {
    let mut node = Node::new();
    let mut in_force = node.keep(7);
    let new = KeyPair::generate_ecdsa_p256().unwrap();
    let pem = new.public_key_der().unwrap().to_pem();
    fs::write(node.dir.path().join("keys/new.pub"), pem).unwrap();
    node.configure("keys = [\"new.pub\", \"fleet.pub\"]");
    assert_eq!(node.reloaded(&in_force), Ok(Some(7)));
    node.pair = new;
    in_force = node.keep(8);
    assert_eq!(node.reloaded(&in_force), Ok(Some(8)));
    node.configure("keys = [\"new.pub\"]");
    assert_eq!(node.reloaded(&in_force), Ok(Some(8)));
}

/// Attack E4: a key on disk that no reload took says nothing of a list that is fetched.
#[test]
fn attack_e4_a_list_is_proven_by_the_keys_in_force_and_not_by_those_on_disk() {
    let node = Node::new();
    let in_force = node.keep(7);
    let mut state = PolicyState::new(Noted::default(), node.seen(), Timestamp::UNIX_EPOCH);
    assert!(state.list("fleet").is_none(), "nothing was loaded");
    let load_into = |state: &mut PolicyState| {
        let Reading { read, at } = load(&node.config(), &|| in_force.clone());
        state.taken(read.unwrap().noted, at.map(|(options, _)| options), Timestamp::UNIX_EPOCH);
    };
    load_into(&mut state);
    let (_, list) = node.list(8);
    let code = |state: &PolicyState| {
        let (options, check): (_, Arc<SignerCheck>) = state.list("fleet").unwrap();
        list.prove(&options, &check, super::super::now()).map(|_| ()).map_err(|why| why.code())
    };
    assert_eq!(code(&state), Ok(()));
    // The file is another key's now, and the configuration asks for it: no reload has taken it yet.
    fs::copy(node.dir.path().join("keys/other.pub"), node.dir.path().join("keys/fleet.pub"))
        .unwrap();
    assert_eq!(code(&state), Ok(()));
    load_into(&mut state);
    assert_eq!(code(&state), Err("not-signed"));
    assert!(state.list("other").is_none());
}

/// Control's time is over, and the reload that it asked for is not.
#[tokio::test]
async fn what_was_begun_is_done_to_its_end_though_nobody_waits() {
    let (begin, begun) = tokio::sync::oneshot::channel::<()>();
    let (end, ended) = tokio::sync::oneshot::channel();
    let (in_force, put) = tokio::sync::oneshot::channel();
    let mut asked = Box::pin(to_its_end(async move {
        begin.send(()).unwrap();
        ended.await.unwrap();
        in_force.send("in force").unwrap();
    }));
    tokio::select! {
        () = &mut asked => panic!("it has not ended"),
        begun = begun => begun.unwrap(),
    }
    drop(asked);
    end.send(()).unwrap();
    assert_eq!(put.await, Ok("in force"));
}

#[test]
fn a_reload_reads_the_options_of_a_list_again() {
    let node = Node::new();
    let in_force = node.keep(7);
    node.configure("keys = [\"other.pub\", \"fleet.pub\"], every_seconds = 60");
    let reading = load(&node.config(), &|| in_force.clone());
    let (options, _) = reading.at.unwrap();
    assert_eq!(options.deny_lists[0].every_seconds, 60);
    assert_eq!(node.reloaded(&in_force), Ok(Some(7)));
    node.configure("keys = [\"fleet.pub\"], kinds = [\"digests\"]");
    assert!(node.reloaded(&in_force).is_err(), "it has entries of another kind");
    node.configure("keys = [\"fleet.pub\"], kinds = [\"digests\", \"logIndexes\"]");
    assert_eq!(node.reloaded(&in_force), Ok(Some(7)));
}

/// A configuration that shrinks: nobody said that the list is to go.
#[test]
fn a_list_that_is_not_configured_any_more_is_told() {
    let node = Node::new();
    node.keep(7);
    let loaded = |node: &Node| {
        loader::load(
            &config::load(&node.config()).unwrap().policy,
            &loader::TrustOptions::default(),
        )
        .unwrap()
    };
    let memory = deny_fetch::ListMemory::default();
    memory.note_loaded(&loaded(&node).lists);
    let lost_of = |less: &loader::Loaded| lost(&less.lists, &memory.in_force());
    assert!(lost_of(&loaded(&node)).is_empty());
    node.configure("");
    let less = loaded(&node);
    let lists = lost_of(&less);
    assert!(
        matches!(&lists[..], [LostList { name, entries: 1, why: WhyLost::Unconfigured }] if name == "fleet"),
        "{lists:?}"
    );
    let losses = Losses { folders: Vec::new(), lists };
    assert!(!losses.are_let_go(&Consent::default()) && losses.are_let_go(&fleet()));
    // After a start nothing is in force of it: its file is there, and told.
    let unused = |warning: &loader::Warning| {
        warning.unused_list().is_some_and(|file| file.ends_with("fleet.list.json"))
    };
    assert!(less.warnings.iter().any(unused), "{:?}", less.warnings);
    memory.note_loaded(&less.lists);
    assert!(lost_of(&less).is_empty(), "an operator let it go");
}
