//! What the documents name, held against the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use crate::{DOCUMENTS, code_words, fenced, files, read};

/// Kinds of tests that `kind/name` can point at, besides `lib` and `e2e`.
const SUITES: [&str; 10] =
    ["audit", "docs", "evidence", "gate", "proxy", "registry", "runtime", "trust", "units", "verify"];
/// Tables of the configuration.
const TABLES: [&str; 13] = [
    "listen", "control", "runtime", "registry", "policy", "trust", "evidence", "limits", "memory", "audit", "clock",
    "metrics", "log",
];
/// Endings of files, which look like keys of a table: `audit.jsonl`.
const ENDINGS: [&str; 6] = ["rs", "jsonl", "sock", "toml", "md", "lock"];

fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let tables = ["dependencies", "build-dependencies", "dev-dependencies"];
    tables.iter().flat_map(|table| manifest[*table].as_table().unwrap().keys().cloned()).collect()
}

#[test]
fn every_dependency_has_its_line_and_no_other_crate_has() {
    let architecture = read("ARCHITECTURE.md");
    let (_, section) = architecture.split_once("\n## Dependencies\n").unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let lines: Vec<&str> = rows.filter_map(|row| row.split_once("` |").map(|(name, _)| name)).collect();
    let named: BTreeSet<String> = lines.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(lines.len(), named.len(), "a crate has two lines");
    assert_same(&named, &dependencies());
}

#[test]
fn every_make_target_exists() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', ' ', '#', '.']) && !line.contains(":="))
        .filter_map(|line| line.split_once(':').map(|(target, _)| target))
        .collect();
    let mut named = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let commands =
            code_words(&text).into_iter().chain(fenced(&text).into_iter().map(|(_, block)| block.to_owned()));
        for command in commands {
            for after in command.split("make ").skip(1) {
                let target: String = after.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
                assert!(targets.contains(target.as_str()), "{document}: make has no target {target:?}");
                named += 1;
            }
        }
    }
    assert!(named >= 8, "the documents name few targets: {named}");
}

/// The names in `scenario!("name", …)`.
fn scenarios() -> BTreeSet<String> {
    let main = read("tests/e2e/main.rs");
    let calls = main.split("scenario!(").skip(1);
    let names = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split_once('"'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_scenario_exists() {
    let there = scenarios();
    assert!(there.contains("unsigned"), "{there:?}");
    for document in DOCUMENTS {
        let text = read(document);
        for after in text.split("SCENARIO=").skip(1) {
            let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(name == "list" || there.contains(&name), "{document}: no scenario {name:?}, there are {there:?}");
        }
        for name in code_words(&text).iter().filter_map(|word| word.strip_prefix("e2e/")).filter(|name| *name != "…")
        {
            assert!(there.contains(name), "{document}: no scenario {name:?}, there are {there:?}");
        }
    }
}

/// `suite/module::function` and `lib/module::function` are functions of those files.
#[test]
fn every_test_exists() {
    let mut named = 0;
    for document in DOCUMENTS {
        for word in code_words(&read(document)) {
            let Some((suite, path)) = word.split_once('/').filter(|(_, path)| path.contains("::")) else { continue };
            let (module, function) = path.rsplit_once("::").unwrap();
            let module = module.replace("::", "/");
            let folder = if suite == "lib" { "src".to_owned() } else { format!("tests/{suite}") };
            assert!(suite == "lib" || SUITES.contains(&suite), "{document}: {word}: no suite {suite}");
            let candidates = [format!("{folder}/{module}.rs"), format!("{folder}/{module}/mod.rs")];
            let all = files(&folder, ".rs");
            let file = candidates.iter().find(|file| all.contains(file));
            let file = file.unwrap_or_else(|| panic!("{document}: {word}: neither of {candidates:?} is there"));
            assert!(read(file).contains(&format!("fn {function}(")), "{document}: {word}: {file} has no such test");
            named += 1;
        }
    }
    assert!(named >= 20, "the documents name few tests: {named}");
}

/// Paths of source files exist, constants that a table names beside one stand in it.
#[test]
fn every_source_file_and_constant_exists() {
    let sources: BTreeSet<String> = files("src", ".rs").into_iter().collect();
    for document in DOCUMENTS {
        for line in read(document).lines() {
            let words = code_words(line);
            let paths: Vec<&String> =
                words.iter().filter(|word| word.starts_with("src/") && word.ends_with(".rs")).collect();
            for path in &paths {
                assert!(sources.contains(*path), "{document}: there is no {path}");
            }
            let is_constant =
                |word: &&String| word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            for constant in words.iter().filter(is_constant).filter(|_| !paths.is_empty()) {
                let found = paths.iter().any(|path| read(path).contains(constant.as_str()));
                assert!(found, "{document}: none of {paths:?} has {constant}");
            }
        }
    }
}

/// `Type::function` and the like: each part is a word of the source.
#[test]
fn every_function_and_type_exists() {
    let source: String = files("src", ".rs").iter().map(|file| read(file)).collect();
    let words: BTreeSet<&str> = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut named = 0;
    for word in code_words(&read("ARCHITECTURE.md")) {
        let parts: Vec<&str> = word.split("::").collect();
        let plain = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if parts.len() < 2 || !parts.iter().all(plain) {
            continue;
        }
        for part in parts {
            assert!(words.contains(part), "ARCHITECTURE.md: {word}: nothing in src/ is called {part}");
        }
        named += 1;
    }
    assert!(named >= 20, "the document names few functions: {named}");
}

/// `table.key` is a key of the shipped configuration.
#[test]
fn every_key_of_the_configuration_exists() {
    let shipped = read("packaging/config.toml");
    let mut keys = BTreeSet::new();
    let mut table = "";
    for line in shipped.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name;
        } else if let Some((key, _)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            keys.insert(format!("{table}.{}", key.trim_start_matches('?').trim()));
        }
    }
    for document in DOCUMENTS {
        for word in code_words(&read(document)) {
            let Some((table, key)) = word.split_once('.') else { continue };
            let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if TABLES.contains(&table) && is_key && !ENDINGS.contains(&key) {
                assert!(keys.contains(&word), "{document}: the configuration has no {word}");
            }
        }
    }
}

/// The codes of refusals: the texts in the functions that give them.
struct Codes(BTreeSet<String>);

impl<'ast> Visit<'ast> for Codes {
    fn visit_expr_lit(&mut self, lit: &'ast syn::ExprLit) {
        if let syn::Lit::Str(text) = &lit.lit {
            self.0.insert(text.value());
        }
        visit::visit_expr_lit(self, lit);
    }
}

fn codes() -> BTreeSet<String> {
    let file = syn::parse_file(&read("src/gate/refusal.rs")).unwrap();
    let mut codes = Codes(BTreeSet::new());
    for item in &file.items {
        if let syn::Item::Fn(function) = item
            && ["denied", "differs"].contains(&function.sig.ident.to_string().as_str())
        {
            codes.visit_block(&function.block);
        }
        if let syn::Item::Impl(block) = item {
            for item in &block.items {
                if let syn::ImplItem::Fn(function) = item
                    && function.sig.ident == "code"
                {
                    codes.visit_block(&function.block);
                }
            }
        }
    }
    codes.0
}

#[test]
fn every_reason_code_is_in_the_table_and_in_the_manual_and_no_other_is() {
    let codes = codes();
    assert!(codes.len() > 30 && codes.contains("unsigned"), "{codes:?}");
    let readme = read("README.md");
    let (_, table) = readme.split_once("| code | what it means | what to do |").unwrap();
    let rows = table.trim_start().lines().take_while(|line| line.starts_with('|')).skip(1);
    let mut listed = BTreeSet::new();
    for row in rows {
        let cell = row.trim_start_matches('|').split('|').next().unwrap();
        for code in code_words(cell) {
            assert!(listed.insert(code.clone()), "README.md: {code} has two rows");
        }
    }
    assert_same(&listed, &codes);
    let manual = read("packaging/man/sealgate-audit.5").replace("\\-", "-");
    let (_, section) = manual.split_once("\n.SH REASON CODES\n").unwrap();
    let section = section.split("\n.SH ").next().unwrap();
    // A tag is `.B code`, or `.BR code ", " code`: every other word is in roman.
    let tags = section.split("\n.TP\n").skip(1).map(|entry| entry.lines().next().unwrap());
    let named = tags.flat_map(|tag| tag.split_whitespace().skip(1)).filter(|word| !word.contains(['"', ',']));
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    let of_admissions = ["satisfied", "unmatched", "unverified", "warned"].map(str::to_owned);
    assert_eq!(named, codes.into_iter().chain(of_admissions).collect());
}

/// Every table of the configuration has its paragraph in sealgate.toml(5).
#[test]
fn the_manual_page_has_every_table() {
    let manual = read("packaging/man/sealgate.toml.5");
    let shipped = read("packaging/config.toml");
    let tables: Vec<&str> = shipped.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(tables.len(), TABLES.len());
    for table in tables {
        assert!(manual.contains(&format!("\n.B {table}\n")), "sealgate.toml.5 does not have {table}");
    }
}

/// The ledger names every attack test and scenario that there is, and none that there is not.
#[test]
fn the_ledger_of_attacks_is_true() {
    let ledger = read("tests/attacks.md");
    let files = ["src", "tests"].map(Path::new).into_iter().flat_map(rust_files);
    let mut there = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for part in text.split("fn attack_").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // This very test spells the prefix without a name.
            if !name.is_empty() {
                there.insert(format!("`{}` `attack_{name}`", file.display()));
            }
        }
    }
    let named: BTreeSet<String> = ledger
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .filter(|line| line.contains("` `attack_"))
        .map(str::to_owned)
        .collect();
    assert_same(&named, &there);
    let scenarios = read("tests/e2e/main.rs");
    let cited = ledger.lines().filter_map(|line| line.strip_prefix("- scenarios: ")).flat_map(|list| list.split(", "));
    for scenario in cited.map(|name| name.trim_matches('`')) {
        assert!(scenarios.contains(&format!("\"{scenario}\"")), "no scenario {scenario}");
    }
    // Every class has a test or a scenario, or says why it cannot happen.
    for class in ledger.split("\n### ").skip(1) {
        assert!(class.contains("\n- "), "nothing stands under {}", class.lines().next().unwrap());
    }
}

/// Names what differs alone: the whole is long.
fn assert_same<T: Ord + std::fmt::Debug>(written: &BTreeSet<T>, there: &BTreeSet<T>) {
    let (missing, gone): (Vec<_>, Vec<_>) = (there.difference(written).collect(), written.difference(there).collect());
    assert!(missing.is_empty() && gone.is_empty(), "not written: {missing:#?}\nwritten and not there: {gone:#?}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
