//! When the watch reads, and what a reload makes of a configuration with fetched deny lists.

use std::fs;

use sigstore_crypto::KeyPair;

use super::*;
use crate::fetched_list::{KnownVersion, ListFault, ListFolder, signed};
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

    fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// Keeps a list, as a fetch does, and says what of it is in force then.
    fn keep(&self, version: u64) -> BTreeMap<String, InForce> {
        let text = format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: fleet, version: {version}, \
             issued: 2026-01-31T00:00:00Z, expires: 2026-02-28T00:00:00Z}}\nspec: {{logIndexes: \
             [{{index: 1, reason: x, date: 2026-01-31T00:00:00Z}}]}}\n"
        );
        let file = signed(&self.pair, &text).to_json();
        ListFolder::new(&self.dir.path().join("deny-lists")).keep("fleet", &file).unwrap();
        let known = KnownVersion { version, digest: Some(Digest::of(text.as_bytes())) };
        let in_force = InForce { known, entries: 1, file: file.into(), taken: None };
        [("fleet".to_owned(), in_force)].into()
    }

    /// The version that a reload would put in force; none where it denies nothing by the list.
    fn reloaded(&self, in_force: &BTreeMap<String, InForce>) -> Result<Option<u64>, Faults> {
        let (set, noted) = load(&self.config(), Cause::Told, &|| in_force.clone()).read?;
        let heads = set.fetched_lists().iter().map(|head| head.version);
        let kept = noted.lists.iter().filter_map(|list| list.kept.as_ref()?.as_ref().ok());
        assert!(kept.map(|proof| proof.head.version).eq(heads.clone()));
        Ok(heads.max())
    }
}

/// The key that signed the list is not the configuration's any more: nothing in the files is wrong,
/// and nothing of them is believed.
#[test]
fn a_list_in_force_that_is_not_believed_any_more_holds_the_reload_up() {
    let node = Node::new();
    let in_force = node.keep(7);
    assert_eq!(node.reloaded(&in_force), Ok(Some(7)));
    node.configure("keys = [\"other.pub\"]");
    let loaded = loader::load(
        &config::load(&node.config()).unwrap().policy,
        &loader::TrustOptions::default(),
    );
    let problem = lost(&loaded.unwrap(), &in_force).pop().map(|lost| lost.problem);
    let fault = ListFault::NotSigned(String::new()).code();
    let is_of = |fault: Option<ListFault>| fault.map(|fault| fault.code());
    assert!(
        matches!(
            problem.clone(),
            Some(loader::Problem::DenyList { name, fault: got }) if name == "fleet"
                && is_of(got.clone()) == Some(fault)
        ),
        "{problem:?}"
    );
    let refused = node.reloaded(&in_force).unwrap_err().to_string();
    assert!(refused.contains("sealgate reload --allow-empty"), "{refused}");
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
    let read = |cause, memory: &deny_fetch::ListMemory| {
        load(&node.config(), cause, &|| memory.in_force()).read
    };
    let memory = deny_fetch::ListMemory::default();
    memory.note_loaded(&read(Cause::Told, &memory).unwrap().1.lists);
    assert!(memory.in_force().contains_key("fleet"));
    node.configure("keys = [\"other.pub\"]");
    for cause in [Cause::Change, Cause::Told] {
        assert!(read(cause, &memory).is_err(), "{cause:?}");
    }
    let (set, noted) = read(Cause::ToldThoughEmpty, &memory).unwrap();
    assert!(set.fetched_lists().is_empty());
    let told = |words: &str| noted.warnings.iter().any(|warning| warning.contains(words));
    assert!(told("deny list fleet go, which was in force with 1 entries"), "{:?}", noted.warnings);
    // It is put in force, and stays so with the next change of a file.
    memory.note_loaded(&noted.lists);
    assert!(memory.in_force().is_empty());
    let (set, noted) = read(Cause::Change, &memory).unwrap();
    assert!(set.fetched_lists().is_empty());
    assert!(!noted.warnings.iter().any(|warning| warning.contains("an operator")));
}

/// The word of an operator does not let a list go that is only damaged on disk.
#[test]
fn a_list_whose_file_was_lost_is_put_back_also_where_an_operator_takes_less() {
    let node = Node::new();
    let in_force = node.keep(7);
    let file = ListFolder::new(&node.dir.path().join("deny-lists")).list_file("fleet");
    fs::remove_file(file).unwrap();
    let (set, noted) =
        load(&node.config(), Cause::ToldThoughEmpty, &|| in_force.clone()).read.unwrap();
    assert_eq!(set.fetched_lists().iter().map(|head| head.version).max(), Some(7));
    assert!(!noted.warnings.iter().any(|warning| warning.contains("an operator")));
}

#[test]
fn a_reload_reads_the_options_of_a_list_again() {
    let node = Node::new();
    let in_force = node.keep(7);
    node.configure("keys = [\"other.pub\", \"fleet.pub\"], every_seconds = 60");
    let reading = load(&node.config(), Cause::Change, &|| in_force.clone());
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
    assert!(memory.gone(&loaded(&node).lists).is_empty());
    node.configure("");
    let less = loaded(&node);
    assert_eq!(memory.gone(&less.lists), [("fleet".to_owned(), 1)]);
    let told = NotReloaded::ListsGone { lists: memory.gone(&less.lists) }.to_string();
    assert!(told.contains("list fleet with 1 entries") && told.contains("--allow-empty"), "{told}");
    // After a start nothing is in force of it: its file is there, and told.
    let unused = |warning: &loader::Warning| matches!(warning, loader::Warning::UnusedDenyList { file } if file.ends_with("fleet.list.json"));
    assert!(less.warnings.iter().any(unused), "{:?}", less.warnings);
    memory.note_loaded(&less.lists);
    assert!(memory.gone(&less.lists).is_empty(), "an operator let it go");
}
