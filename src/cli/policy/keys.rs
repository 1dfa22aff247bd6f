//! `sealgate keys list`: every key that a policy names, and those beside them in the folder of keys.

use std::collections::BTreeSet;

use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::loader;
use crate::policy::{ListedKey, PolicySet};
use crate::verify::PublicKey;

/// Prints every key; 65 where the files are faulty, 2 where the folder of keys cannot be read.
pub(in crate::cli) fn run(settings: &Settings, screen: &mut Screen) -> Exit {
    let loaded = match loader::load(&settings.policy, &settings.trust) {
        Ok(loaded) => loaded,
        Err(faults) => {
            screen.complain(&faults.to_string());
            screen.complain("keys cannot be listed while this is wrong: sealgate policy check");
            return Exit::Faulty;
        }
    };
    let beside = match loader::keys_in(&settings.policy.keys) {
        Ok(beside) => beside,
        Err(fault) => {
            screen.complain(&format!("{}: {fault}", settings.policy.keys.display()));
            return Exit::Unable;
        }
    };
    let mut signers = Vec::new();
    for list in &settings.policy.deny_lists {
        match loader::signer_check(&settings.policy, &settings.trust, list) {
            Ok(check) => signers.push((list.name.as_str(), check)),
            Err(faults) => {
                screen.complain(&faults.to_string());
                return Exit::Faulty;
            }
        }
    }
    let signers = signers.iter().flat_map(|(list, check)| {
        check.keys().map(move |(file, key)| ListSigner { list, file, key })
    });
    let keys = all(&loaded.policies, signers, beside);
    if screen.is_json() {
        keys.iter().for_each(|key| screen.json(key));
        return Exit::Done;
    }
    if keys.is_empty() {
        screen.line("nothing names a key, and there is none in the folder of keys");
    }
    keys.iter().for_each(|key| print(key, screen));
    Exit::Done
}

/// A key by which a fetched deny list is taken, and the file that the configuration names it by.
struct ListSigner<'l> {
    list: &'l str,
    file: Option<&'l str>,
    key: &'l PublicKey,
}

/// Those of the set and of the lists that are fetched, with the files beside them in which the same
/// keys are, and then the others.
fn all<'l>(
    set: &PolicySet,
    signers: impl Iterator<Item = ListSigner<'l>>,
    beside: Vec<(String, PublicKey)>,
) -> Vec<ListedKey> {
    let mut keys = set.keys();
    for ListSigner { list, file, key } in signers {
        let fingerprint = key.id().to_string();
        let mut listed = match keys.iter().position(|listed| listed.fingerprint == fingerprint) {
            Some(number) => keys.swap_remove(number),
            None => set.listed_key(key),
        };
        listed.files.extend(file.map(str::to_owned));
        listed.deny_lists.insert(list.to_owned());
        keys.push(listed);
    }
    for (file, key) in beside {
        let fingerprint = key.id().to_string();
        match keys.iter_mut().find(|listed| listed.fingerprint == fingerprint) {
            Some(listed) => drop(listed.files.insert(file)),
            None => keys.push(ListedKey { files: BTreeSet::from([file]), ..set.listed_key(&key) }),
        }
    }
    keys.sort_by(|one, other| {
        (&one.files, &one.fingerprint).cmp(&(&other.files, &other.fingerprint))
    });
    keys
}

fn print(key: &ListedKey, screen: &mut Screen) {
    let list =
        |names: &BTreeSet<String>| plain(&names.iter().cloned().collect::<Vec<_>>().join(", "));
    let bits = key.bits.map(|bits| format!(", {bits} bits")).unwrap_or_default();
    let inline = key.inline.then(|| "in a policy itself".to_owned());
    let places: BTreeSet<String> = key.files.iter().cloned().chain(inline).collect();
    screen.line(&format!("{}  {}{bits}", list(&places), key.algorithm));
    screen.line(&format!("  {}", key.fingerprint));
    if key.policies.is_empty() && key.deny_lists.is_empty() {
        let unused = screen.tone(Tone::Warn, "no policy and no fetched deny list names it");
        screen.line(&format!("  {unused}"));
    }
    if !key.policies.is_empty() {
        screen.line(&format!("  of {}", list(&key.policies)));
    }
    if !key.deny_lists.is_empty() {
        screen.line(&format!("  signs fetched deny lists: {}", list(&key.deny_lists)));
    }
    for denied in &key.denied {
        let after = denied.signed_after.as_ref();
        let after = after.map(|at| format!(" for what it signed after {at}")).unwrap_or_default();
        let text = plain(&format!("denied{after}, by {}", denied.by));
        screen.line(&format!("  {}", screen.tone(Tone::Bad, &text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::screen::Output;
    use crate::policy::{Documents, Material, PolicyFile, Unmatched};

    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    /// As `openssl pkey -pubin -outform der | sha256sum` prints it.
    const FINGERPRINT: &str =
        "sha256:06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9";

    fn key() -> PublicKey {
        PublicKey::parse_pem(ED25519.as_bytes()).unwrap()
    }

    const POLICY: &str = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: a}\nspec: \
         {images: [a.test/**], require: {name: build, key: {files: [k.pub]}}}\n---\n";
    const DENYING: &str = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: d}\nspec: {keys: \
         [{fingerprint: 'FINGERPRINT', reason: leaked, date: 2026-01-01T00:00:00Z}]}\n";

    fn set(fingerprint: &str) -> PolicySet {
        let text = [POLICY, &DENYING.replace("FINGERPRINT", fingerprint)].concat();
        let mut material = Material::default();
        material.keys.insert("k.pub".to_owned(), key());
        set_of(&text, material)
    }

    fn set_of(text: &str, material: Material) -> PolicySet {
        let file = PolicyFile { name: "p.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
        let documents = Documents::parse(&[file]).unwrap();
        PolicySet::build(documents, material, Unmatched::Deny).unwrap()
    }

    #[test]
    fn a_key_is_listed_once_with_its_policies_and_whether_it_is_denied() {
        let fingerprint = key().id().to_string();
        let (file, signer) = (Some("lists/deny.pub"), key());
        let of_list = ListSigner { list: "fleet", file, key: &signer };
        let keys =
            all(&set(&fingerprint), [of_list].into_iter(), vec![("copy.pub".to_owned(), key())]);
        let [listed] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!((listed.algorithm, listed.bits), ("Ed25519", Some(256)));
        assert_eq!(
            listed.files.iter().collect::<Vec<_>>(),
            ["copy.pub", "k.pub", "lists/deny.pub"]
        );
        assert_eq!(listed.deny_lists.iter().collect::<Vec<_>>(), ["fleet"]);
        assert_eq!(listed.policies.iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(listed.fingerprint, fingerprint);
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        print(listed, &mut screen);
        let text = printed.text();
        assert!(text.contains("denied, by deny list \"d\""), "{text}");
        assert!(text.contains("  of a\n  signs fetched deny lists: fleet\n"), "{text}");
    }

    /// A key that lists alone are signed with is in use, and whether it is denied is the node's to say.
    #[test]
    fn a_key_of_a_fetched_list_alone_is_in_use() {
        let signer = key();
        let of_list = || [ListSigner { list: "fleet", file: Some("deny.pub"), key: &signer }];
        let none = set_of(&DENYING.replace("FINGERPRINT", FINGERPRINT), Material::default());
        let keys = all(&none, of_list().into_iter(), vec![("deny.pub".to_owned(), key())]);
        let [listed] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!((listed.policies.len(), listed.denied.len()), (0, 1));
        let (mut screen, printed) = Screen::into_memory(Output::Text);
        print(listed, &mut screen);
        assert!(!printed.text().contains("no policy"), "{}", printed.text());
        let unused = all(&none, std::iter::empty(), vec![("deny.pub".to_owned(), key())]);
        print(&unused[0], &mut screen);
        assert!(
            printed.text().contains("no policy and no fetched deny list"),
            "{}",
            printed.text()
        );
    }

    #[test]
    fn the_fingerprint_is_the_one_that_openssl_prints() {
        assert_eq!(key().id().to_string(), FINGERPRINT);
    }
}
