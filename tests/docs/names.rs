//! What the documents name, held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use crate::{code_words, documents, fenced, files, read};

/// Kinds of tests that `kind/name` can point at, besides `lib` and `e2e`.
const SUITES: [&str; 10] = [
    "audit", "docs", "evidence", "gate", "proxy", "registry", "runtime", "trust", "units", "verify",
];
/// Tables of the configuration.
const TABLES: [&str; 20] = [
    "listen",
    "otlp",
    "control",
    "runtime",
    "registry",
    "policy",
    "trust",
    "evidence",
    "limits",
    "memory",
    "audit",
    "sweep",
    "drift",
    "unadmitted",
    "clock",
    "canary",
    "host_paths",
    "metrics",
    "nri",
    "log",
];
/// Endings of files, which look like keys of a table: `audit.jsonl`.
const ENDINGS: [&str; 7] = ["rs", "json", "jsonl", "sock", "toml", "md", "lock"];

fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let tables = ["dependencies", "build-dependencies", "dev-dependencies"];
    tables.iter().flat_map(|table| manifest[*table].as_table().unwrap().keys().cloned()).collect()
}

#[test]
fn every_dependency_has_its_line_and_no_other_crate_has() {
    let document = read("docs/design/dependencies.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let lines: Vec<&str> =
        rows.filter_map(|row| row.split_once("` |").map(|(name, _)| name)).collect();
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
    for document in documents() {
        let text = read(&document);
        let commands = code_words(&text)
            .into_iter()
            .chain(fenced(&text).into_iter().map(|(_, block)| block.to_owned()));
        for command in commands {
            for after in command.split("make ").skip(1) {
                let target: String =
                    after.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
                assert!(
                    targets.contains(target.as_str()),
                    "{document}: make has no target {target:?}"
                );
                named += 1;
            }
        }
    }
    assert!(named >= 8, "the documents name few targets: {named}");
}

/// The names in `scenario!("name", …)`.
fn scenarios() -> BTreeSet<String> {
    let table = read("tests/e2e/scenarios.rs");
    let calls = table.split("scenario!(").skip(1);
    let names = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split_once('"'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_scenario_exists() {
    let there = scenarios();
    assert!(there.contains("unsigned"), "{there:?}");
    for document in documents() {
        let text = read(&document);
        for after in text.split("SCENARIO=").skip(1) {
            let name: String =
                after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            let is_any = ["list", "NAME"].contains(&name.as_str());
            assert!(
                is_any || there.contains(&name),
                "{document}: no scenario {name:?}, there are {there:?}"
            );
        }
        for name in code_words(&text)
            .iter()
            .filter_map(|word| word.strip_prefix("e2e/"))
            .filter(|name| *name != "…")
        {
            assert!(there.contains(name), "{document}: no scenario {name:?}, there are {there:?}");
        }
    }
}

/// `suite/function` is a test somewhere below `tests/suite`, `lib/function` one below `src`. A name
/// has an underscore; anything else with a slash is a path.
#[test]
fn every_test_exists() {
    let mut named = 0;
    let text =
        |folder: &str| files(folder, ".rs").iter().map(|file| read(file)).collect::<String>();
    let mut suites: BTreeMap<String, String> = BTreeMap::new();
    for document in documents() {
        for word in code_words(&read(&document)) {
            let Some((suite, function)) = word.split_once('/') else { continue };
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !function.contains('_') || !function.chars().all(is_name) {
                continue;
            }
            assert!(
                suite == "lib" || SUITES.contains(&suite),
                "{document}: {word}: no suite {suite}"
            );
            let folder = if suite == "lib" { "src".to_owned() } else { format!("tests/{suite}") };
            let suite = suites.entry(folder).or_insert_with_key(|folder| text(folder));
            let is_there = suite.contains(&format!("fn {function}("))
                || suite.contains(&format!("fn {function}<"));
            assert!(is_there, "{document}: there is no test {word}");
            named += 1;
        }
    }
    assert!(named >= 20, "the documents name few tests: {named}");
}

/// Files and folders that are named from the root of the repository are there.
#[test]
fn every_path_of_the_repository_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tops = ["src/", "tests/", "docs/", "packaging/", "proto/", "systemd/", "benches/"];
    let mut named = 0;
    for document in documents() {
        for word in code_words(&read(&document)) {
            let is_path =
                |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if tops.iter().any(|top| word.starts_with(top)) && is_path(&word) {
                assert!(
                    root.join(&word).exists() || below(root, &word),
                    "{document}: there is no {word}"
                );
                named += 1;
            }
        }
    }
    assert!(named >= 10, "the documents name few files: {named}");
}

/// Whether it is a folder below `src/`: documents call one `daemon/`, as the table of rooms does.
fn below(root: &Path, word: &str) -> bool {
    root.join("src").join(word).exists()
}

/// `Type::function` and the like: each part is a word of the source. Documents name folders rather
/// than these, so there may be few.
#[test]
fn every_function_and_type_exists() {
    let source: String = files("src", ".rs").iter().map(|file| read(file)).collect();
    let words: BTreeSet<&str> =
        source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for document in documents() {
        for word in code_words(&read(&document)) {
            let parts: Vec<&str> = word.split("::").collect();
            let plain = |part: &&str| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            if parts.len() < 2 || !parts.iter().all(plain) {
                continue;
            }
            for part in parts {
                assert!(
                    words.contains(part),
                    "{document}: {word}: nothing in src/ is called {part}"
                );
            }
        }
    }
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
        } else if let Some((key, _)) =
            line.strip_prefix('#').and_then(|line| line.split_once(" = "))
        {
            keys.insert(format!("{table}.{}", key.trim_start_matches('?').trim()));
        }
    }
    for document in documents() {
        for word in code_words(&read(&document)) {
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

pub(crate) fn codes() -> BTreeSet<String> {
    let sources = files("src", "/refusal.rs");
    let [source] = sources.as_slice() else { panic!("one file has the codes: {sources:?}") };
    let file = syn::parse_file(&read(source)).unwrap();
    let mut codes = Codes(BTreeSet::new());
    for item in &file.items {
        if let syn::Item::Fn(function) = item
            && ["code_of", "differs"].contains(&function.sig.ident.to_string().as_str())
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
    let document = read("docs/respond/reason-codes.md");
    let (_, table) = document.split_once("| code | what it means | what to do |").unwrap();
    let rows = table.trim_start().lines().take_while(|line| line.starts_with('|')).skip(1);
    let mut listed = BTreeSet::new();
    for row in rows {
        let cell = row.trim_start_matches('|').split('|').next().unwrap();
        for code in code_words(cell) {
            assert!(listed.insert(code.clone()), "{code} has two rows");
        }
    }
    assert_same(&listed, &codes);
    let manual = read("packaging/man/sealgate-audit.5").replace("\\-", "-");
    let (_, section) = manual.split_once("\n.SH REASON CODES\n").unwrap();
    let section = section.split("\n.SH ").next().unwrap();
    // A tag is `.B code`, or `.BR code ", " code`: every other word is in roman.
    let tags = section.split("\n.TP\n").skip(1).map(|entry| entry.lines().next().unwrap());
    let named = tags
        .flat_map(|tag| tag.split_whitespace().skip(1))
        .filter(|word| !word.contains(['"', ',']));
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    let of_admissions = ["satisfied", "unmatched", "unverified", "excepted", "unchecked", "warned"]
        .map(str::to_owned);
    assert_eq!(named, codes.into_iter().chain(of_admissions).collect());
}

/// Every attribute by which a collector finds a line is in the table of them.
#[test]
fn the_attributes_of_an_exported_line_are_documented() {
    let document = read("docs/operate/monitoring.md");
    for attribute in sealgate::otlp::ATTRIBUTES {
        for word in [attribute.name, attribute.field.split('.').next_back().unwrap()] {
            let is_there = [format!("`{word}`"), format!(".{word}`")];
            assert!(is_there.iter().any(|text| document.contains(text)), "{attribute:?}");
        }
    }
}

/// Every table of the configuration has its paragraph in sealgate.toml(5).
#[test]
fn the_manual_page_has_every_table() {
    let manual = read("packaging/man/sealgate.toml.5");
    let shipped = read("packaging/config.toml");
    let tables: Vec<&str> = shipped.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(tables.len(), TABLES.len());
    for table in tables {
        assert!(
            manual.contains(&format!("\n.B {table}\n")),
            "sealgate.toml.5 does not have {table}"
        );
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
            let name: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
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
    let scenarios = read("tests/e2e/scenarios.rs");
    let cited = ledger
        .lines()
        .filter_map(|line| line.strip_prefix("- scenarios: "))
        .flat_map(|list| list.split(", "));
    for scenario in cited.map(|name| name.trim_matches('`')) {
        assert!(scenarios.contains(&format!("\"{scenario}\"")), "no scenario {scenario}");
    }
    // Every class has a test or a scenario, or says why it cannot happen.
    let mut advisories = BTreeSet::new();
    for class in ledger.split("\n### ").skip(1) {
        advisories.extend(advisories_of(class));
        assert!(class.contains("\n- "), "nothing stands under {}", class.lines().next().unwrap());
    }
    assert!(advisories.len() >= 40, "{advisories:?}");
}

/// The advisories that a class names, each with a test or a scenario of that class.
fn advisories_of(class: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let lines = class.lines().filter_map(|line| line.strip_prefix("- "));
    let is_advisory =
        |word: &str| ["CVE-", "GHSA-", "RUSTSEC-"].iter().any(|p| word.starts_with(p));
    let (advisories, others): (Vec<&str>, Vec<&str>) = lines.partition(|line| is_advisory(line));
    for line in advisories {
        let (numbers, tests) = line.split_once(": ").unwrap_or_else(|| panic!("no test: {line}"));
        found.extend(numbers.split(", ").inspect(|number| assert!(is_advisory(number), "{line}")));
        for test in tests.split(", ") {
            let here = others.iter().any(|line| {
                line.ends_with(&format!("` {test}"))
                    || line.strip_prefix("scenarios: ").is_some_and(|list| list.contains(test))
            });
            assert!(test.len() > 2 && here, "{line}: {test} is no test of its class");
        }
    }
    found
}

/// Names what differs alone: the whole is long.
pub(crate) fn assert_same<T: Ord + std::fmt::Debug>(written: &BTreeSet<T>, there: &BTreeSet<T>) {
    let (missing, gone): (Vec<_>, Vec<_>) =
        (there.difference(written).collect(), written.difference(there).collect());
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not written: {missing:#?}\nwritten and not there: {gone:#?}"
    );
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
