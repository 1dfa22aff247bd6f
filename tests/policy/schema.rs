//! The JSON Schema of the documents, held against their readers: it takes what they take, and has
//! the fields that they know, no fewer and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sealgate::policy::{
    Documents, FetchedList, PolicyError, PolicyFault, PolicyFile, json_schema, test_cases,
};
use serde_json::{Value, json};

use crate::skipped::skipped;
use crate::validator::fault;
use crate::{cases, shown};

/// A field that no reader knows.
const UNKNOWN: &str = "zzzzzzzzzz";
/// Mistakes that are in no form: what no JSON Schema can tell, and what the YAML of an editor tells.
const NOT_OF_FORM: [&str; 14] = [
    "alias",
    "anybody-on-github",
    "assignment-in-condition",
    "count-too-high",
    "field-twice",
    "glob-for-expression",
    "key-that-is-gone",
    "key-that-never-signs",
    "name-twice",
    "one-key-for-two",
    "restore-that-only-warns",
    "root-with-ending",
    "tab",
    "warn-for-any-host",
];

/// A step from a value to one in it.
#[derive(Debug, Clone)]
enum Step {
    Field(String),
    Item,
}

/// A map of the schema: how to come there, and its fields.
type FoundMap = (Vec<Step>, BTreeMap<String, Value>);

/// The documents of a text; none where YAML itself is at fault.
fn parsed(text: &str) -> Option<Vec<Value>> {
    serde_saphyr::from_multiple(text).ok()
}

/// What is shipped, what documentation shows, and what is sound and likely not meant.
fn sound() -> Vec<(String, Value)> {
    let files = |folder: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let mut texts: Vec<(String, String)> = shown();
    for file in ["packaging/policies", "packaging/sets", "tests/policy/lints"].map(files).concat() {
        if file.extension().is_some_and(|ending| ending == "yaml") {
            texts.push((file.display().to_string(), fs::read_to_string(&file).unwrap()));
        }
    }
    let each = |(name, text): (String, String)| {
        let documents = parsed(&text).unwrap_or_else(|| panic!("{name}"));
        documents.into_iter().map(move |document| (name.clone(), document))
    };
    texts.into_iter().flat_map(each).collect()
}

#[test]
fn the_schema_takes_every_sound_document() {
    let schema = json_schema();
    let sound = sound();
    let kinds: BTreeSet<&str> =
        sound.iter().map(|(_, one)| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["DenyList", "Exception", "ImagePolicy", "PolicyTest"].into());
    assert!(sound.len() > 40, "{}", sound.len());
    for (name, document) in &sound {
        assert_eq!(fault(&schema, &schema, document, ""), None, "{name}: {document:#}");
    }
}

#[test]
fn the_schema_finds_every_mistake_of_form() {
    let schema = json_schema();
    let mut taken = BTreeSet::new();
    for (file, _) in cases("tests/policy/mistakes") {
        let documents = parsed(&fs::read_to_string(&file).unwrap()).unwrap_or_default();
        if documents.iter().all(|document| fault(&schema, &schema, document, "").is_none()) {
            taken.insert(file.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(taken, NOT_OF_FORM.map(str::to_owned).into());
}

/// Every map below a part of the schema that names all its fields.
fn maps(root: &Value, schema: &Value, at: &[Step], above: &[&str], found: &mut Vec<FoundMap>) {
    let below = |step: Step| [at, &[step]].concat();
    if let Some(name) = schema["$ref"].as_str().map(|whole| whole.rsplit('/').next().unwrap()) {
        // A requirement has requirements in it.
        if !above.contains(&name) {
            maps(root, &root["$defs"][name], at, &[above, &[name]].concat(), found);
        }
    }
    let fields = schema["properties"].as_object();
    if schema["additionalProperties"] == json!(false) {
        let fields = fields.unwrap().iter();
        found.push((at.to_vec(), fields.map(|(name, of)| (name.clone(), of.clone())).collect()));
    }
    for (name, field) in fields.into_iter().flatten() {
        maps(root, field, &below(Step::Field(name.clone())), above, found);
    }
    if schema["items"].is_object() {
        maps(root, &schema["items"], &below(Step::Item), above, found);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for part in schema[keyword].as_array().into_iter().flatten() {
            maps(root, part, at, above, found);
        }
    }
}

/// A document of this kind that has, at that place, a field that no reader knows.
fn with_unknown(kind: &str, is_published: bool, at: &[Step]) -> Value {
    let inside = at.iter().rev().fold(json!({UNKNOWN: 1}), |inside, step| match step {
        // What it is of says whether there may be one.
        Step::Field(name) if name == "signedIdentity" => json!({name: inside, "key": {}}),
        Step::Field(name) => json!({name: inside}),
        Step::Item => json!([inside]),
    });
    let mut document = json!({
        "apiVersion": "sealgate/v1",
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": {},
    });
    if is_published {
        document["metadata"] = json!({
            "name": "a",
            "version": 1,
            "issued": "2026-01-01T00:00:00Z",
            "expires": "2026-02-01T00:00:00Z",
        });
    }
    let fields = document.as_object_mut().unwrap();
    fields.extend(inside.as_object().unwrap().clone());
    document
}

fn faults(kind: &str, is_published: bool, document: &Value) -> Vec<PolicyError> {
    let file = PolicyFile { name: "a.json".to_owned(), bytes: document.to_string().into_bytes() };
    match kind {
        "PolicyTest" => test_cases(&file).unwrap_err(),
        "DenyList" if is_published => FetchedList::read("a", &file.bytes).unwrap_err(),
        _ => Documents::parse(&[file]).unwrap_err(),
    }
}

/// Each map of the schema is put before the reader with a field that it does not know, and the
/// reader says which it does.
#[test]
fn the_schema_has_the_fields_that_the_readers_know() {
    let schema = json_schema();
    let mut asked = 0;
    for branch in schema["allOf"].as_array().unwrap() {
        let kind = branch["if"]["properties"]["kind"]["const"].as_str().unwrap();
        let head = &branch["then"]["properties"]["metadata"]["$ref"];
        let is_published = *head == json!("#/$defs/publishedMetadata");
        let mut found = Vec::new();
        maps(&schema, &branch["then"], &[], &[], &mut found);
        let fields = schema["properties"].as_object().unwrap().iter();
        found.push((Vec::new(), fields.map(|(name, of)| (name.clone(), of.clone())).collect()));
        for (at, fields) in found {
            let document = with_unknown(kind, is_published, &at);
            let knows = faults(kind, is_published, &document).into_iter().find_map(|error| {
                let PolicyFault::UnknownField { name, expected } = error.fault else { return None };
                (name == UNKNOWN).then_some(expected)
            });
            let knows = knows.unwrap_or_else(|| panic!("the reader does not come to {document}"));
            let knows: BTreeSet<String> = knows.iter().map(|name| (*name).to_owned()).collect();
            let has: BTreeSet<String> = fields.keys().cloned().collect();
            assert_eq!(has, knows, "{kind} {at:?}");
            for (name, field) in fields {
                let about = field["description"].as_str().unwrap_or_default();
                assert!(about.ends_with(['.', ':']), "{kind} {at:?} {name}: not described");
            }
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
}

/// What Python's jsonschema says of the schema itself and of every document that there is.
const PYTHON: &str = "\
import json, sys
try:
    from jsonschema import Draft202012Validator
except ImportError:
    sys.exit(77)
given = json.load(sys.stdin)
Draft202012Validator.check_schema(given['schema'])
validator = Draft202012Validator(given['schema'])
json.dump([validator.is_valid(document) for document in given['documents']], sys.stdout)
";

/// What another implementation takes is what ours takes.
#[test]
fn another_implementation_agrees_about_every_document() {
    let schema = json_schema();
    let mut documents: Vec<Value> = sound().into_iter().map(|(_, document)| document).collect();
    for (file, _) in cases("tests/policy/mistakes") {
        documents.extend(parsed(&fs::read_to_string(&file).unwrap()).into_iter().flatten());
    }
    let mut python = Command::new("python3");
    python.args(["-W", "ignore", "-c", PYTHON]);
    let spawned = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else { return skipped("there is no python3") };
    let given = json!({"schema": schema, "documents": documents}).to_string();
    // Without the module it does not read to the end.
    drop(child.stdin.take().unwrap().write_all(given.as_bytes()));
    let output = child.wait_with_output().unwrap();
    if output.status.code() == Some(77) {
        return skipped("python3 has no module jsonschema");
    }
    assert!(output.status.success(), "{:?}", output.status);
    let theirs: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    let ours: Vec<bool> =
        documents.iter().map(|document| fault(&schema, &schema, document, "").is_none()).collect();
    assert!(theirs.contains(&true) && theirs.contains(&false));
    for ((document, ours), theirs) in documents.iter().zip(ours).zip(theirs) {
        assert_eq!(ours, theirs, "{document:#}");
    }
}

#[test]
fn the_command_prints_the_schema_without_a_configuration() {
    for arguments in [&["policy", "schema"][..], &["policy", "schema", "--output", "json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.args(arguments).env("SEALGATE_CONFIG", "/nonexistent/config.toml");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed, json_schema(), "{arguments:?}");
    }
}
