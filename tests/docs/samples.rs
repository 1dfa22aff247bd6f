//! What the documents show, read by the program. The shipped policies and the examples of
//! sealgate-policy(5) are read by the tests of the policy room, the shipped configuration by those
//! of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use sealgate::loader;
use sealgate::policy::{
    Documents, FetchedList, Material, PolicyFile, PolicySet, Unmatched, test_cases,
};
use sealgate::verify::{PublicKey, TrustRoot};
use sigstore_crypto::KeyPair;

use crate::{code_words, documents, fenced, files, read};

/// YAML that is somebody else's.
const FOREIGN: &str = "apiVersion: kubelet.config.k8s.io/";

/// The blocks of a language, and the files of that ending which a shell block writes (`tee FILE
/// <<'EOP'`).
fn samples(text: &str, language: &str) -> Vec<String> {
    let mut samples = Vec::new();
    for (of, block) in fenced(text) {
        if of == language {
            samples.push(dedented(block));
        }
        for after in block.split("sudo tee ").skip(1).filter(|_| of == "sh") {
            let Some((head, rest)) = after.split_once(" <<'EOP'\n") else { continue };
            if head.split(' ').next().is_some_and(|file| file.ends_with(&format!(".{language}"))) {
                samples
                    .push(rest.split_once("\nEOP\n").expect("a here-document ends").0.to_owned());
            }
        }
    }
    samples
}

/// Without the spaces by which a block in a list is indented.
fn dedented(block: &str) -> String {
    let lines = || block.lines().filter(|line| !line.trim().is_empty());
    let least = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    block.lines().map(|line| line.get(least..).unwrap_or("")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_policy_is_good() {
    let mut seen = 0;
    for document in documents() {
        for block in samples(&read(&document), "yaml") {
            if block.starts_with(FOREIGN) {
                continue;
            }
            let file = PolicyFile { name: document.clone(), bytes: block.clone().into_bytes() };
            if block.contains("kind: PolicyTest") {
                let cases = test_cases(&file);
                assert!(cases.is_ok_and(|cases| !cases.is_empty()), "{document}:\n{block}");
                continue;
            }
            if block.contains("kind: DenyList") && block.contains("  version: ") {
                let list = FetchedList::read(&document, block.as_bytes());
                assert!(list.is_ok(), "{document}: {:#?}\n{block}", list.unwrap_err());
                continue;
            }
            let documents = Documents::parse(&[file])
                .unwrap_or_else(|errors| panic!("{document}: {errors:#?}\n{block}"));
            let keys = documents.key_files().into_iter().map(|name| (name, key())).collect();
            let roots = documents
                .places_of_roots()
                .into_keys()
                .map(|name| (name.clone(), root(&name)))
                .collect();
            let material = Material { keys, roots, ..Material::default() };
            let set = PolicySet::build(documents, material, Unmatched::Deny);
            // Deny lists and exceptions demand nothing, so that they alone are no policy.
            let demands = !block.contains("kind: Exception") && !block.contains("kind: DenyList");
            let is_good = set.is_ok_and(|set| !demands || !set.is_empty());
            assert!(is_good, "{document}:\n{block}");
            seen += 1;
        }
    }
    assert!(seen >= 6, "the documents show few policies: {seen}");
}

/// A trust root that is shipped under this name.
fn root(name: &str) -> Arc<TrustRoot> {
    let shipped =
        loader::shipped(name).unwrap_or_else(|| panic!("no trust root {name} is shipped"));
    Arc::new(TrustRoot::parse(shipped.trusted_root.as_bytes()).unwrap())
}

/// A key that no other file holds.
fn key() -> PublicKey {
    let pair = KeyPair::generate_ecdsa_p256().unwrap();
    PublicKey::parse_pem(pair.public_key_der().unwrap().to_pem().as_bytes()).unwrap()
}

#[test]
fn every_configuration_is_good() {
    let mut seen = 0;
    for document in documents() {
        for block in samples(&read(&document), "toml") {
            config(&document, &block);
        }
    }
    for page in files("packaging/man", ".5") {
        for block in read(&page).split("\n.EX\n").skip(1) {
            let block =
                block.split("\n.EE").next().unwrap().replace("\\(dq", "\"").replace("\\-", "-");
            if block.starts_with('[') {
                config(&page, &block);
                seen += 1;
            }
        }
    }
    let pages = files("packaging/man", "sealgate.toml.5");
    assert!(pages.is_empty() || seen > 0, "sealgate.toml(5) shows no configuration");
}

fn config(name: &str, block: &str) {
    let parsed = sealgate::config::parse(&[(PathBuf::from(name), block.to_owned())]);
    assert!(parsed.is_ok(), "{name}: {}\n{block}", parsed.unwrap_err());
}

fn help(command: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sealgate")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The long options that a help text lists.
fn options(help: &str) -> BTreeSet<String> {
    let lists = |line: &&str| line.starts_with('-') || line.starts_with("[alias");
    let listed = help.lines().map(str::trim_start).filter(lists);
    let words = listed.flat_map(|line| line.split([' ', ',', '<', '=', ']']));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let Some((_, after)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = after.lines().take_while(|line| line.starts_with("  "));
    let names = lines
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_manual_page_has_every_command_and_option_and_no_other() {
    let manual = read("packaging/man/sealgate.8").replace("\\-", "-");
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut found: Vec<String> = Vec::new();
    for command in commands(&help(&[])) {
        let below = commands(&help(&[&command]));
        known.extend(options(&help(&[&command])));
        found.extend(if below.is_empty() { vec![command.clone()] } else { Vec::new() });
        for sub in below {
            known.extend(options(&help(&[&command, &sub])));
            found.push(format!("{command} {sub}"));
        }
    }
    known.insert("--version".to_owned());
    assert!(found.len() >= 7, "{found:?}");
    for command in &found {
        assert!(
            manual.contains(&format!(".SS sealgate {command}")),
            "sealgate.8 does not have {command}"
        );
    }
    let sections = manual.lines().filter(|line| line.starts_with(".SS sealgate ")).count();
    assert_eq!(sections, found.len(), "sealgate.8 describes a command that is not there");
    let named: BTreeSet<String> = manual
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect();
    assert_eq!(named, known);
}

/// Commands that documents show are commands of the program, with options that it has.
#[test]
fn every_command_line_is_one() {
    let mut seen = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        let shown = fenced(&text)
            .into_iter()
            .filter(|(language, _)| *language == "sh")
            .map(|(_, block)| block.to_owned());
        for lines in shown.chain(code_words(&text)) {
            for line in lines.replace("\\\n", " ").lines() {
                let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
                for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "sealgate") {
                    if at == 0 || ["sudo", "&&", "||", "|"].contains(&words[at - 1]) {
                        let ends = |word: &&&str| !["&&", "||", "|", ">"].contains(*word);
                        let command: Vec<&str> =
                            words[at + 1..].iter().take_while(ends).copied().collect();
                        seen.insert((document.clone(), command.join(" ")));
                    }
                }
            }
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
    let mut helps: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    for (document, line) in &seen {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let names = words
            .iter()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        let mut path: Vec<&str> = Vec::new();
        for name in names.filter(|name| !name.starts_with('-')) {
            let below = commands(helps.entry(path.clone()).or_insert_with(|| help(&path)));
            if below.is_empty() {
                break;
            }
            assert!(
                below.iter().any(|command| command == name),
                "{document}: sealgate {line}: there is {below:?}"
            );
            path.push(name);
        }
        let known = options(helps.entry(path.clone()).or_insert_with(|| help(&path)));
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(known.contains(*option), "{document}: sealgate {line}: there is no {option}");
        }
    }
}
