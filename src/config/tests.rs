//! The configuration as a whole: what is accepted, what is refused and where, and that the shipped
//! example says everything there is to say.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::audit::OnFailure;
use crate::file_trust::OwnershipFault;

/// The shipped example.
const EXAMPLE: &str = include_str!("../../packaging/config.toml");

fn one(text: &str) -> Result<Settings, ConfigError> {
    parse(&[(PathBuf::from("config.toml"), text.to_owned())])
}

fn place(file: &str, line: usize) -> Place {
    Place { file: Path::new(file).into(), line }
}

#[test]
fn nothing_means_the_defaults() {
    assert_eq!(one(""), Ok(Settings::default()));
    assert_eq!(one("[audit]\n[memory]\n"), Ok(Settings::default()));
}

#[test]
fn a_later_file_wins_key_by_key() {
    let main =
        "[audit]\nkeep_files = 3\non_failure = \"admit-all\"\n[listen]\nallowed_uids = [0, 1000]\n";
    let first = "audit.keep_files = 4\n[listen]\nallowed_uids = [0]\n";
    let second = "[audit]\nkeep_files = 5\n";
    let files = [("c", main), ("a", first), ("b", second)]
        .map(|(name, text)| (PathBuf::from(name), text.to_owned()));
    let settings = parse(&files).unwrap();
    assert_eq!(settings.audit.keep_files.get(), 5);
    assert_eq!(settings.audit.on_failure, OnFailure::AdmitAll);
    assert_eq!(settings.listen.allowed_uids, [0]);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let Err(ConfigError::UnknownKey { place: at, key, nearest, known }) =
        one("\n[audit]\n\nkeep_flies = 3\n")
    else {
        panic!("expected an unknown key")
    };
    assert_eq!(
        (at, key.as_str(), nearest.as_deref()),
        (place("config.toml", 4), "audit.keep_flies", Some("keep_files"))
    );
    assert!(known.contains(&"max_bytes".to_owned()));
    let Err(ConfigError::UnknownKey { place: at, key, nearest, .. }) =
        one("[memory]\nverdicts = 1\n[adit]\n")
    else {
        panic!("expected an unknown table")
    };
    assert_eq!((at.line, key.as_str(), nearest.as_deref()), (3, "adit", Some("audit")));
    let Err(ConfigError::UnknownKey { nearest, .. }) = one("memory.colour = 1") else {
        panic!("expected an unknown key")
    };
    assert_eq!(nearest, None);
}

#[test]
fn a_wrong_type_is_named_with_its_line_and_both_types() {
    for (text, line, key, got, expected) in [
        ("[audit]\nkeep_files = \"8\"", 2, "audit.keep_files", "string \"8\"", "a nonzero u32"),
        ("audit = 1", 1, "audit", "integer `1`", "struct Options"),
        (
            "[listen]\nallowed_uids = [\n0,\n\"root\"]",
            4,
            "listen.allowed_uids",
            "string \"root\"",
            "u32",
        ),
        ("[audit]\npath = false", 2, "audit.path", "boolean `false`", "path string"),
        ("[audit]\npath = 2026-01-01", 2, "audit.path", "a date", "text, a number, true or false"),
    ] {
        let error = one(text).unwrap_err();
        let wanted = ConfigError::Type {
            place: place("config.toml", line),
            key: key.to_owned(),
            got: got.to_owned(),
            expected: expected.to_owned(),
        };
        assert_eq!(error, wanted, "{text}");
    }
}

#[test]
fn a_value_out_of_its_range_is_named_with_its_line() {
    for (text, line, key) in [
        ("[audit]\nkeep_files = 0", 2, "audit.keep_files"),
        ("[memory]\nadmitted_seconds = -1", 2, "memory.admitted_seconds"),
        ("[audit]\non_failure = \"admit\"", 2, "audit.on_failure"),
        ("[audit]\nkeep_files = 99999999999", 2, "audit.keep_files"),
        ("[audit]\nkeep_files = 999999999999999999999999999999999999999999", 2, "audit.keep_files"),
    ] {
        let error = one(text).unwrap_err();
        let ConfigError::Value { place: at, key: found, .. } = &error else {
            panic!("{text}: {error:?}")
        };
        assert_eq!((at.line, found.as_str()), (line, key));
    }
    assert!(matches!(one("[audit]\nmode = 0o666"), Err(ConfigError::Unfit { .. })));
    assert!(matches!(one("[audit]\nmax_bytes = 1"), Err(ConfigError::Unfit { .. })));
}

#[test]
fn what_a_later_file_replaces_must_be_right_too() {
    let files = [("a", "[audit]\nkeep_files = \"8\""), ("b", "[audit]\nkeep_files = 8")];
    let files = files.map(|(name, text)| (PathBuf::from(name), text.to_owned()));
    assert!(
        matches!(parse(&files), Err(ConfigError::Type { place: at, .. }) if at == place("a", 2))
    );
}

#[test]
fn no_toml_and_keys_said_twice_are_refused_with_their_line() {
    for (text, line) in
        [("[audit]\nkeep_files = 1\nkeep_files = 2\n", 3), ("\n[audit\n", 2), ("a = 1\n[a]\n", 2)]
    {
        let Err(ConfigError::Syntax { place: at, .. }) = one(text) else {
            panic!("{text}: {:?}", one(text))
        };
        assert_eq!(at.line, line, "{text}");
    }
}

/// A folder with a configuration that is safe from others.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    write(&path, "[audit]\nkeep_files = 2\n");
    (dir, path)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn drop_ins_are_read_in_the_order_of_their_names() {
    let (dir, path) = folder();
    assert_eq!(load(&path).unwrap().audit.keep_files.get(), 2);
    let drop_ins = dir.path().join("config.toml.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::set_permissions(&drop_ins, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(load(&path).unwrap().audit.keep_files.get(), 2);
    write(&drop_ins.join("20-b.toml"), "audit.keep_files = 20");
    write(&drop_ins.join("10-a.toml"), "audit.keep_files = 10\nmemory.verdicts = 7");
    write(&drop_ins.join(".30-hidden.toml"), "nonsense");
    write(&drop_ins.join("40-backup.toml~"), "nonsense");
    let settings = load(&path).unwrap();
    assert_eq!((settings.audit.keep_files.get(), settings.memory.verdicts.get()), (20, 7));
    write(&drop_ins.join("30-c.toml"), "\naudit.keep = 1");
    let wrong = drop_ins.join("30-c.toml");
    assert!(
        matches!(load(&path), Err(ConfigError::UnknownKey { place: at, .. }) if *at.file == *wrong && at.line == 2)
    );
}

#[test]
fn attack_e4_a_configuration_that_others_can_write_is_refused() {
    let (dir, path) = folder();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let fault = OwnershipFault::Writable { path: path.clone(), mode: 0o664 };
    assert_eq!(load(&path), Err(ConfigError::Unsafe(fault)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let drop_ins = dir.path().join("config.toml.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::set_permissions(&drop_ins, fs::Permissions::from_mode(0o777)).unwrap();
    write(&drop_ins.join("a.toml"), "");
    let fault = OwnershipFault::Writable { path: drop_ins.clone(), mode: 0o777 };
    assert_eq!(load(&path), Err(ConfigError::Unsafe(fault)));
}

#[test]
fn attack_d1_files_are_bounded_in_size_and_number() {
    let (dir, path) = folder();
    write(&path, &"#\n".repeat(usize::try_from(FILE_MAX).unwrap()));
    assert_eq!(load(&path), Err(ConfigError::TooLarge { path: path.clone(), limit: FILE_MAX }));
    write(&path, "");
    let drop_ins = dir.path().join("config.toml.d");
    fs::create_dir(&drop_ins).unwrap();
    (0..=FILES_MAX).for_each(|n| write(&drop_ins.join(format!("{n}.toml")), ""));
    assert_eq!(load(&path), Err(ConfigError::TooMany { folder: drop_ins, limit: FILES_MAX }));
    assert!(matches!(one(&"[".repeat(100_000)), Err(ConfigError::Syntax { .. })));
    assert!(matches!(
        one(&format!("audit = {}", "[".repeat(100_000))),
        Err(ConfigError::Syntax { .. })
    ));
}

#[test]
fn what_is_not_there_or_not_text_is_said_to_be_so() {
    let (dir, path) = folder();
    fs::write(&path, b"\xff").unwrap();
    assert_eq!(load(&path), Err(ConfigError::NotText { path: path.clone() }));
    let absent = dir.path().join("absent.toml");
    assert_eq!(
        load(&absent),
        Err(ConfigError::Read { path: absent.clone(), kind: io::ErrorKind::NotFound })
    );
}

#[test]
fn the_shipped_example_parses_and_changes_nothing() {
    assert_eq!(one(EXAMPLE), Ok(Settings::default()));
}

/// In the example `#key = value` is a default and `#? key = value` stands for a key that is not set
/// by default; a comment for people begins with `# `.
fn uncommented(optional: bool) -> String {
    let line = |line: &str| match (line.strip_prefix("#? "), line.strip_prefix('#')) {
        (Some(set), _) => {
            if optional {
                set.to_owned()
            } else {
                String::new()
            }
        }
        (None, Some(set)) if !set.starts_with(' ') => set.to_owned(),
        (None, _) => line.to_owned(),
    };
    EXAMPLE.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn the_shipped_example_shows_the_defaults() {
    let shown = uncommented(false);
    assert_ne!(shown, EXAMPLE, "something was uncommented");
    assert_eq!(one(&shown), Ok(Settings::default()));
    one(&uncommented(true)).unwrap();
}

#[test]
fn the_shipped_example_names_every_key() {
    let tree = tree::parse(Path::new("example"), &uncommented(true)).unwrap();
    let mut asked = 0;
    every_table(&tree, &mut Vec::new(), &mut |path, keys| {
        let mut probe: String = path.iter().map(|name| format!("{name}.")).collect();
        probe.push_str("no_such_key_at_all = 1");
        match one(&probe) {
            Err(ConfigError::UnknownKey { known, .. }) => {
                assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), *keys, "keys of {path:?}");
                asked += 1;
            }
            other => panic!("{path:?}: expected an unknown key, got {other:?}"),
        }
    });
    assert!(asked >= 5, "the root and the tables of it: {asked}");
}

fn every_table(
    node: &tree::Node,
    path: &mut Vec<String>,
    ask: &mut impl FnMut(&[String], &BTreeSet<String>),
) {
    let tree::Value::Table(keys) = &node.value else { return };
    // An empty table is a map, whose keys are the operator's own.
    if keys.is_empty() {
        return;
    }
    ask(path, &keys.keys().cloned().collect());
    for (key, (_, value)) in keys {
        path.push(key.clone());
        every_table(value, path, ask);
        path.pop();
    }
}

#[test]
fn every_comment_for_people_stands_above_a_key() {
    for (number, line) in EXAMPLE.lines().enumerate() {
        let known = line.is_empty()
            || ["# ", "#? ", "["].iter().any(|start| line.starts_with(start))
            || line == "#";
        let key = line
            .strip_prefix('#')
            .is_some_and(|rest| rest.contains(" = ") || rest.starts_with('"') || rest == "]");
        assert!(known || key, "line {}: {line}", number + 1);
    }
}
