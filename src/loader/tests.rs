//! Tests of the whole room, on real files.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use sigstore_crypto::KeyPair;
use tempfile::TempDir;

use super::policy_files::TOTAL_MAX;
use super::*;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::policy::{FILE_MAX, PolicyFault, PolicyFile};
use crate::verify::KeyError;

mod checked;
mod elsewhere;
mod several;

struct Folders {
    root: TempDir,
    options: Options,
}

impl Folders {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let options = Options {
            policies: root.path().join("policies").into(),
            keys: root.path().join("keys"),
            unmatched: Unmatched::Deny,
            ..Options::default()
        };
        for folder in [options.policies.written(), &options.keys] {
            fs::create_dir(folder).unwrap();
            mode(folder, 0o755);
        }
        Self { root, options }
    }

    fn policy(&self, file: &str, text: &str) -> PathBuf {
        put(&self.options.policies.written().join(file), text)
    }

    fn key(&self, file: &str) -> PathBuf {
        let pem = KeyPair::generate_ecdsa_p256().unwrap().public_key_der().unwrap().to_pem();
        put(&self.options.keys.join(file), &pem)
    }

    fn root(&self, name: &str, json: &str) -> PathBuf {
        let folder = self.root.path().join("trust");
        fs::create_dir_all(&folder).unwrap();
        mode(&folder, 0o755);
        put(&folder.join(format!("{name}.json")), json)
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        let roots = vec![self.root.path().join("trust")];
        load(&self.options, &TrustOptions { roots, ..TrustOptions::default() })
    }

    fn problems(&self) -> Vec<Problem> {
        self.load().unwrap_err().problems
    }

    fn file_fault(&self, file: &Path) -> FileFault {
        match self.problems().as_slice() {
            [Problem::File { file: at, fault } | Problem::Key { file: at, fault, .. }] => {
                assert_eq!(at, file);
                fault.clone()
            }
            problems => panic!("{problems:?}"),
        }
    }
}

fn put(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    mode(path, 0o644);
    path.to_owned()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn policy(name: &str, key: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  images: \
         [\"reg.test/**\"]\n  \
         require: {{name: build, key: {{files: [{key}]}}}}\n"
    )
}

#[test]
fn loads_policies_and_keys_in_the_order_of_names() {
    let folders = Folders::new();
    folders.key("build.pub");
    let elsewhere = put(
        &folders.root.path().join("absolute.pub"),
        &fs::read_to_string(folders.key("x.pub")).unwrap(),
    );
    mode(folders.root.path(), 0o755);
    folders.policy("b.yml", &policy("second", elsewhere.to_str().unwrap()));
    folders.policy("a.yaml", &policy("first", "build.pub"));
    folders.policy(".hidden.yaml", "not read");
    folders.policy("#a.yaml#", "an editor's");
    folders.policy("a.yaml~", "an editor's");
    folders.policy(".#a.yaml", "an editor's");
    let loaded = folders.load().unwrap();
    assert_eq!(loaded.policies.policies().collect::<Vec<_>>(), ["first", "second"]);
    let ignored =
        |name: &str| Warning::Ignored { file: folders.options.policies.written().join(name) };
    assert_eq!(loaded.warnings, [ignored("#a.yaml#"), ignored("a.yaml~")]);
    let name = Name::Known(Reference::parse("reg.test/a").unwrap());
    assert_eq!(loaded.policies.applicable(&name, &Pod::default()).len(), 2);
}

#[test]
fn generations_change_with_what_they_are_made_of() {
    let folders = Folders::new();
    folders.key("build.pub");
    let generations = || {
        let set = folders.load().unwrap().policies;
        (set.generation().to_owned(), set.trust_generation().to_owned())
    };
    folders.policy("a.yaml", &policy("first", "build.pub"));
    let before = generations();
    assert_eq!(before, generations());
    folders.key("build.pub");
    let other_key = generations();
    assert_eq!((before.0 == other_key.0, before.1 == other_key.1), (true, false));
    folders.policy("a.yaml", &policy("renamed", "build.pub"));
    let other_policy = generations();
    assert_eq!((other_key.0 == other_policy.0, other_key.1 == other_policy.1), (false, true));
}

#[test]
fn no_policy_is_a_warning() {
    let folders = Folders::new();
    let loaded = folders.load().unwrap();
    assert!(loaded.policies.is_empty());
    let (folders, unmatched) = (folders.options.policies.clone(), Unmatched::Deny);
    assert_eq!(loaded.warnings, [Warning::NoPolicy { folders, unmatched }]);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let folders = Folders::new();
    fs::remove_dir(folders.options.policies.written()).unwrap();
    assert_eq!(
        folders.file_fault(folders.options.policies.written()),
        FileFault::Io(io::ErrorKind::NotFound)
    );
    let file = put(folders.options.policies.written(), "");
    assert_eq!(folders.file_fault(&file), FileFault::NotFolder);
}

/// Attack E4: files and folders that others may write, each named with what mends it.
#[test]
fn attack_e4_what_others_may_write_is_refused() {
    let folders = Folders::new();
    let key = folders.key("build.pub");
    let file = folders.policy("a.yaml", &policy("first", "build.pub"));
    folders.load().unwrap();
    let own = folders.options.policies.written().to_owned();
    for path in [&file, &key, &own, &folders.options.keys] {
        let before = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for bits in [0o020, 0o002] {
            mode(path, before | bits);
            let error = folders.load().unwrap_err();
            let [Problem::File { fault, .. } | Problem::Key { fault, .. }] =
                error.problems.as_slice()
            else {
                panic!("{error:?}")
            };
            assert_eq!(fault, &FileFault::Writable { what: path.clone(), mode: before | bits });
            assert!(
                error.to_string().ends_with(&format!("chmod go-w {}", path.display())),
                "{error}"
            );
        }
        mode(path, before);
    }
    folders.load().unwrap();
}

#[test]
fn attack_e4_a_link_is_followed_and_its_end_is_checked() {
    let folders = Folders::new();
    folders.key("build.pub");
    let data = folders.options.policies.written().join("..2026");
    fs::create_dir(&data).unwrap();
    mode(&data, 0o755);
    let real = put(&data.join("a.yaml"), &policy("first", "build.pub"));
    symlink("..2026", folders.options.policies.written().join("..data")).unwrap();
    symlink("..data/a.yaml", folders.options.policies.written().join("a.yaml")).unwrap();
    let link = folders.options.policies.written().join("a.yaml");
    assert_eq!(folders.load().unwrap().policies.len(), 1);
    mode(&data, 0o777);
    let what = data.canonicalize().unwrap();
    assert_eq!(folders.file_fault(&link), FileFault::Writable { what, mode: 0o777 });
    mode(&data, 0o755);
    mode(&real, 0o666);
    assert_eq!(folders.file_fault(&link), FileFault::Writable { what: link.clone(), mode: 0o666 });
    fs::remove_file(&real).unwrap();
    assert_eq!(folders.file_fault(&link), FileFault::Io(io::ErrorKind::NotFound));
}

/// Who may write a folder above can put another in place of the policies, one that belongs to root
/// as well.
#[test]
fn attack_e4_a_folder_above_that_others_may_write_is_refused() {
    let folders = Folders::new();
    folders.key("build.pub");
    folders.policy("a.yaml", &policy("first", "build.pub"));
    let above = folders.options.policies.written().parent().unwrap().canonicalize().unwrap();
    let before = fs::metadata(&above).unwrap().permissions().mode() & 0o777;
    mode(&above, 0o777);
    let fault = FileFault::Writable { what: above.clone(), mode: 0o777 };
    assert_eq!(folders.file_fault(folders.options.policies.written()), fault);
    mode(&above, before);
    folders.load().unwrap();
    // A folder elsewhere that a link leads through.
    let elsewhere = above.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let moved = elsewhere.join("policies");
    fs::rename(folders.options.policies.written(), &moved).unwrap();
    symlink(&moved, folders.options.policies.written()).unwrap();
    mode(&elsewhere, 0o755);
    folders.load().unwrap();
    mode(&elsewhere, 0o775);
    let fault = FileFault::Writable { what: elsewhere.clone(), mode: 0o775 };
    assert_eq!(folders.file_fault(folders.options.policies.written()), fault);
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folders = Folders::new();
    let pipe = folders.options.policies.written().join("a.yaml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(folders.file_fault(&pipe), FileFault::NotFile);
    fs::remove_file(&pipe).unwrap();
    fs::create_dir(&pipe).unwrap();
    mode(&pipe, 0o755);
    assert_eq!(folders.file_fault(&pipe), FileFault::NotFile);
}

/// Attack D1: endless files.
#[test]
fn attack_d1_files_have_a_size() {
    let folders = Folders::new();
    let file = folders.policy("a.yaml", &"#".repeat(FILE_MAX + 1));
    assert_eq!(folders.file_fault(&file), FileFault::TooLarge { limit: FILE_MAX });
    folders.policy("a.yaml", &policy("first", "build.pub"));
    let key = put(&folders.options.keys.join("build.pub"), &"x".repeat(KEY_MAX + 1));
    assert_eq!(folders.file_fault(&key), FileFault::TooLarge { limit: KEY_MAX });
    put(&key, &"x".repeat(KEY_MAX));
    assert_eq!(folders.file_fault(&key), FileFault::Key(KeyError::TooLong));
}

#[test]
fn attack_d1_all_files_together_have_a_size() {
    let folders = Folders::new();
    for n in 0..17 {
        folders.policy(&format!("{n:02}.yaml"), &format!("{}\n", "#".repeat(FILE_MAX - 1)));
    }
    let problems = folders.problems();
    let file = folders.options.policies.written().join("16.yaml");
    assert_eq!(problems[0], Problem::File { file, fault: FileFault::TooMuch { limit: TOTAL_MAX } });
}

#[test]
fn everything_that_is_wrong_is_told() {
    let folders = Folders::new();
    let a = folders.policy("a.yaml", &policy("first", "missing.pub"));
    folders.policy("b.yaml", &policy("second", "bad.pub"));
    let bad = put(&folders.options.keys.join("bad.pub"), "no key");
    let problems = folders.problems();
    let missing = folders.options.keys.join("missing.pub");
    let seen: Vec<(&Path, &FileFault)> = problems
        .iter()
        .map(|problem| {
            let Problem::Key { file, fault, .. } = problem else { panic!("{problem:?}") };
            (file.as_path(), fault)
        })
        .collect();
    let not_found = FileFault::Io(io::ErrorKind::NotFound);
    assert_eq!(
        seen,
        [(bad.as_path(), &FileFault::Key(KeyError::NotPem)), (missing.as_path(), &not_found)]
    );
    let line = problems[1].to_string();
    assert!(
        line.starts_with(&format!("{}:6:40: spec.require.key.files[0]: key ", a.display())),
        "{line}"
    );

    folders.policy("c.yaml", "apiVersion: sealgate/v2\n");
    mode(&a, 0o666);
    let problems = folders.problems();
    assert!(
        matches!(problems[0], Problem::File { fault: FileFault::Writable { .. }, .. }),
        "{problems:?}"
    );
    assert!(problems[1..].iter().any(
        |problem| matches!(problem, Problem::Policy(error) if matches!(error.fault, PolicyFault::UnknownWord { .. }))
    ));
    assert!(folders.load().unwrap_err().to_string().lines().count() >= 4);
}

/// A policy that needs the trust root `acme`.
fn keyless(name: &str, root: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  images: \
         [\"reg.test/**\"]\n  \
         require: {{name: r, keyless: {{trustRoot: {root}, identities: \
         [{{issuer: \"https://i.test\", subject: a@b.test}}]}}}}\n"
    )
}

/// The root that is there and sound.
const SOUND: &str = include_str!("../../tests/fixtures/trust/local.json");

#[test]
fn a_missing_root_names_the_policy_that_needs_it_and_what_to_do() {
    let folders = Folders::new();
    let file = folders.policy("a.yaml", &keyless("first", "acme"));
    let problems = folders.problems();
    let [Problem::NoRoot { name, folders: looked, is_fetched: false, named_at }] =
        problems.as_slice()
    else {
        panic!("{problems:?}")
    };
    assert_eq!((name.as_str(), named_at.policy.as_str()), ("acme", "first"));
    assert_eq!(looked, &[folders.root.path().join("trust")]);
    let line = problems[0].to_string();
    assert!(line.starts_with(&format!("{}:6:", file.display())), "{line}");
    assert!(
        line.contains("spec.require.keyless.trustRoot") && !line.contains("trust update"),
        "{line}"
    );
    folders.policy("a.yaml", &keyless("first", "public-good"));
    let line = folders.problems()[0].to_string();
    assert!(line.contains("sealgate trust update --name public-good"), "{line}");
}

#[test]
fn a_root_is_loaded_from_the_first_folder_and_told() {
    let folders = Folders::new();
    folders.policy("a.yaml", &keyless("first", "acme"));
    folders.root("acme", SOUND);
    let before = folders.load().unwrap();
    assert_eq!(before.roots, ["acme"]);
    let generation = before.policies.trust_generation().to_owned();
    folders.root("acme", &format!("{SOUND}\n"));
    assert_ne!(
        folders.load().unwrap().policies.trust_generation(),
        generation,
        "another file, another generation"
    );
}

#[test]
fn a_policy_with_keys_alone_reads_no_root() {
    let folders = Folders::new();
    folders.key("build.pub");
    folders.policy("a.yaml", &policy("first", "build.pub"));
    folders.root("public-good", "not even JSON");
    assert_eq!(folders.load().unwrap().roots, Vec::<String>::new());
}

/// Attack E4: roots and certificates that others may write, and what is no root.
#[test]
fn attack_e4_roots_and_certificates_that_others_may_write_are_refused() {
    let folders = Folders::new();
    folders.policy("a.yaml", &keyless("first", "acme"));
    let root = folders.root("acme", SOUND);
    mode(&root, 0o666);
    let fault = RootFault::File(FileFault::Writable { what: root.clone(), mode: 0o666 });
    let problems = folders.problems();
    assert!(
        matches!(&problems[..], [Problem::Root { fault: got, .. }] if *got == fault),
        "{problems:?}"
    );
    mode(&root, 0o644);
    put(&root, "{}");
    let problems = folders.problems();
    assert!(
        matches!(&problems[..], [Problem::Root { fault: RootFault::Content(_), .. }]),
        "{problems:?}"
    );
    let own = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: own}\nspec:\n  images: \
        [\"reg.test/**\"]\n  \
        require: {name: r, certificate: {roots: [ca.pem], subjects: [{email: a@b.test}]}}\n";
    folders.policy("a.yaml", own);
    let problems = folders.problems();
    let missing = FileFault::Io(io::ErrorKind::NotFound);
    assert!(
        matches!(&problems[..], [Problem::Certificates { fault, .. }] if *fault == missing),
        "{problems:?}"
    );
    let file = put(
        &folders.options.keys.join("ca.pem"),
        include_str!("../../tests/fixtures/pki/root.pem"),
    );
    folders.load().unwrap();
    mode(&file, 0o646);
    let problems = folders.problems();
    assert!(
        matches!(&problems[..], [Problem::Certificates { fault: FileFault::Writable { .. }, .. }]),
        "{problems:?}"
    );
}

/// Attack D1: endless files.
#[test]
fn attack_d1_certificates_and_roots_have_a_size() {
    let folders = Folders::new();
    folders.policy("a.yaml", &keyless("first", "acme"));
    folders.root("acme", &" ".repeat(ROOT_MAX + 1));
    let problems = folders.problems();
    let fault = RootFault::File(FileFault::TooLarge { limit: ROOT_MAX });
    assert!(
        matches!(&problems[..], [Problem::Root { fault: got, .. }] if *got == fault),
        "{problems:?}"
    );
}

#[test]
fn keys_that_end_are_told() {
    let folders = Folders::new();
    folders.key("build.pub");
    folders.policy("a.yaml", &policy("first", "{file: build.pub, notAfter: 2027-01-01T00:00:00Z}"));
    let end: jiff::Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(folders.load().unwrap().ends, [("key build.pub of policy first".to_owned(), end)]);
}

#[test]
fn options_are_strict() {
    let options: Options = toml::from_str("unmatched = \"insecure-admit\"\nkeys = \"/k\"").unwrap();
    assert_eq!((options.unmatched, options.keys), (Unmatched::Admit, PathBuf::from("/k")));
    assert_eq!(options.policies, Options::default().policies);
    assert!(toml::from_str::<Options>("unmatched = \"admit\"").is_err());
    assert!(toml::from_str::<Options>("policy = \"/k\"").is_err());
}
