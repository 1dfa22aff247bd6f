//! [`Node`]: a configuration with a store of its own, filled from fixtures as the gate would fill
//! it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytes::Bytes;
use sealgate::evidence::{Place, Source};
use sealgate::evidence_store::{Entry, Options, Store};
use sealgate::image::{Digest, Repository};
use serde_json::Value;

use crate::fixtures;
use crate::registry::TestRegistry;

/// A node without a runtime: nothing listens where its socket should be.
pub struct Node {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

/// What a run of the program came to.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The lines as JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Node {
    /// One with this policy document, whose keys are those of the fixtures.
    pub fn with_policy(policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir(path.join("policies")).unwrap();
        fs::write(path.join("policies/policy.yaml"), policy).unwrap();
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
        fs::create_dir(path.join("keys")).unwrap();
        for name in ["build", "security", "other"] {
            fs::copy(keys.join(format!("{name}.pub")), path.join(format!("keys/{name}.pub")))
                .unwrap();
        }
        let config = format!(
            "[evidence]\npath = {:?}\n[policy]\npolicies = {:?}\nkeys = {:?}\n[audit]\npath = \
             {:?}\n[clock]\nfile = {:?}\n[runtime]\nsocket = {:?}\n\
             [trust]\nroots = [{:?}]\nstate = {:?}\n",
            path.join("evidence"),
            path.join("policies"),
            path.join("keys"),
            path.join("audit.jsonl"),
            path.join("clock"),
            path.join("no.sock"),
            path.join("trust"),
            path.join("trust"),
        );
        fs::write(path.join("config.toml"), config).unwrap();
        Self { _dir: dir, path }
    }

    /// One on which images of the fixtures' registry need a signature by `build`.
    pub fn new() -> Self {
        Self::with_policy(&policy("{name: build, key: {files: [build.pub]}}", ""))
    }

    /// Adds lines to the configuration's table of evidence.
    pub fn configure(&self, line: &str) {
        let config = fs::read_to_string(self.path.join("config.toml")).unwrap();
        fs::write(
            self.path.join("config.toml"),
            config.replace("[evidence]\n", &format!("[evidence]\n{line}\n")),
        )
        .unwrap();
    }

    pub fn options(&self) -> Options {
        Options { path: self.path.join("evidence"), ..Options::default() }
    }

    pub fn store(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    /// Runs `sealgate evidence …`.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(self.path.join("config.toml")).arg("evidence").args(arguments);
        let Output { status, stdout, stderr } = command.current_dir(&self.path).output().unwrap();
        Ran {
            code: status.code(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// What it writes to standard output, which is no text.
    pub fn bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
        command.arg("--config").arg(self.path.join("config.toml")).arg("evidence").args(arguments);
        let output = command.current_dir(&self.path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// The names of the files in an archive.
    pub fn members(&self, archive: &str) -> Vec<String> {
        let mut archive = tar::Archive::new(fs::File::open(self.path.join(archive)).unwrap());
        let entries = archive.entries().unwrap();
        entries.map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Unpacks an archive into a folder of the same name without its ending.
    pub fn unpack(&self, archive: &str) -> PathBuf {
        let folder = self.path.join(archive.trim_end_matches(".tar"));
        tar::Archive::new(fs::File::open(self.path.join(archive)).unwrap())
            .unpack(&folder)
            .unwrap();
        folder
    }

    /// Makes a registry the fixtures' one on this node, with these repositories in it.
    pub fn serve(&self, registry: &TestRegistry, situations: &[&str]) {
        let host = self.path.join("certs.d/registry.example.test");
        fs::create_dir_all(&host).unwrap();
        fs::write(host.join("hosts.toml"), format!("server = \"{}\"\n", registry.url())).unwrap();
        let table = format!(
            "[registry]\ncerts_dirs = [{:?}]\ndocker_configs = []\n",
            self.path.join("certs.d")
        );
        let config = fs::read_to_string(self.path.join("config.toml")).unwrap();
        fs::write(self.path.join("config.toml"), config + &table).unwrap();
        for situation in situations {
            let fixtures::Repository { path, blobs, manifests, tags, .. } =
                fixtures::prod(situation);
            registry.put_all(path, blobs, manifests, tags);
        }
    }

    /// Runs it with `--output json`.
    pub fn json(&self, arguments: &[&str]) -> Ran {
        self.run(&[arguments, &["--output", "json"]].concat())
    }

    /// Keeps what a fixture's repository has about the target of its tag `v1`, as if it had just
    /// been admitted by that name.
    pub fn keep(&self, situation: &str) -> Digest {
        self.keep_as(situation, &format!("registry.example.test/prod/{situation}:v1"))
    }

    /// The same by another name.
    pub fn keep_as(&self, situation: &str, name: &str) -> Digest {
        let repository = fixtures::prod(situation);
        let target = Digest::parse(&repository.tags["v1"]).unwrap();
        let mut kept = 0;
        for (source, suffix) in [
            (Source::FallbackTag, ""),
            (Source::SignatureTag, ".sig"),
            (Source::AttestationTag, ".att"),
        ] {
            let tag = format!("sha256-{}{suffix}", target.hex());
            if let Some(digest) = repository.tags.get(&tag) {
                self.keep_place(repository, (&target, name), source, digest);
                kept += 1;
            }
        }
        assert!(kept > 0, "{situation} has no signatures");
        target
    }

    /// Keeps what there is about the platform manifest of a fixture's index, admitted by the
    /// index's name.
    pub fn keep_child(&self, situation: &str) -> Digest {
        let repository = fixtures::prod(situation);
        let index = Digest::parse(&repository.tags["v1"]).unwrap();
        let document: Value = serde_json::from_slice(repository.tagged("v1")).unwrap();
        let children = document["manifests"].as_array().unwrap().iter().map(digest_of);
        let tag = |child: &String| format!("{}.sig", child.replace(':', "-"));
        let child =
            children.into_iter().find(|child| repository.tags.contains_key(&tag(child))).unwrap();
        let tagged = repository.tags[&tag(&child)].clone();
        let child = Digest::parse(&child).unwrap();
        let name = format!("registry.example.test/prod/{situation}:v1");
        self.keep_place(repository, (&child, &name), Source::SignatureTag, &tagged);
        let mut entry = self.store().entries_of(&child).unwrap().remove(0);
        entry.targets = BTreeSet::from([index]);
        let place = entry.place.clone();
        let contents: Vec<(Digest, Bytes)> = entry
            .contents()
            .map(|digest| (digest.clone(), self.store().read(digest, 4 << 20).unwrap().unwrap()))
            .collect();
        self.store().remove(&place).unwrap();
        self.store().put(&entry, &contents).unwrap();
        child
    }

    fn keep_place(
        &self,
        repository: &fixtures::Repository,
        (target, name): (&Digest, &str),
        source: Source,
        tagged: &str,
    ) {
        let document = |digest: &str| -> Value {
            serde_json::from_slice(&repository.manifests[digest].1).unwrap()
        };
        let manifests: Vec<String> = match source {
            Source::FallbackTag => {
                document(tagged)["manifests"].as_array().unwrap().iter().map(digest_of).collect()
            }
            Source::Referrers | Source::SignatureTag | Source::AttestationTag => {
                vec![tagged.to_owned()]
            }
        };
        let layers = |digest: &String| {
            document(digest)["layers"].as_array().unwrap().iter().map(digest_of).collect::<Vec<_>>()
        };
        let blobs: Vec<String> = manifests.iter().flat_map(layers).collect();
        let bytes = |digest: &String| match repository.manifests.get(digest) {
            Some((_, bytes)) => bytes.clone(),
            None => repository.blobs[digest].clone(),
        };
        let parsed = |text: &String| Digest::parse(text).unwrap();
        let mut contents: Vec<(Digest, Bytes)> = manifests
            .iter()
            .chain(&blobs)
            .map(|digest| (parsed(digest), bytes(digest).into()))
            .collect();
        let subject = &repository.manifests[target.as_str()].1;
        contents.push((target.clone(), subject.clone().into()));
        let place = format!("{}/{}", repository.host, repository.path);
        let entry = Entry {
            place: Place {
                repository: Repository::parse(&place).unwrap(),
                subject: target.clone(),
                source,
            },
            fetched: now() - jiff::SignedDuration::from_hours(3),
            manifests: manifests.iter().map(parsed).collect(),
            blobs: blobs.iter().map(parsed).chain([target.clone()]).collect::<BTreeSet<_>>(),
            targets: BTreeSet::from([target.clone()]),
            names: vec![name.to_owned()],
        };
        self.store().put(&entry, &contents).unwrap();
    }

    /// Sets when everything in the store was found, from now.
    pub fn set_fetched(&self, from_now: jiff::SignedDuration) {
        let store = self.store();
        for kept in store.entries().unwrap() {
            store.put(&Entry { fetched: now() + from_now, ..kept.entry }, &[]).unwrap();
        }
    }

    /// Sets when everything in the store was last used.
    pub fn set_used(&self, days_ago: i64) {
        let time = now() - jiff::SignedDuration::from_hours(24 * days_ago);
        for file in files_below(&self.path.join("evidence/entries")) {
            fs::File::options().write(true).open(file).unwrap().set_modified(time.into()).unwrap();
        }
    }

    /// Every file of the store, with its bytes.
    pub fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files_below(&self.path.join("evidence"))
            .into_iter()
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    /// The file of a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.path.join("evidence/blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }
}

/// A document about everything in the fixtures' registry.
pub fn policy(require: &str, fields: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: test}}\n\
         spec: {{images: [\"registry.example.test/**\"], {fields} require: {require}}}\n"
    )
}

#[allow(
    clippy::disallowed_methods,
    reason = "the program asks the clock too; ages are hours apart"
)]
pub fn now() -> jiff::Timestamp {
    std::time::SystemTime::now().try_into().unwrap()
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match file.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&file.path())),
            false => found.push(file.path()),
        }
    }
    found.sort();
    found
}

fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap().to_owned()
}
