//! [`Catalog`]: all that is kept, with what finds an entry by a digest, by its first digits and by
//! a name without looking at the others; so that asking for each of ten thousand images is not ten
//! thousand times the work of one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::wanted::names;
use crate::evidence_store::{Kept, Store};
use crate::image::{Digest, Reference, Repository};

/// Digits of a digest.
const DIGITS: usize = 64;

/// What a reference means, however it is spelled: the place, the tag and the digest.
type Meaning = (Repository, Option<String>, Option<Digest>);

/// All entries, the most recently used first.
///
/// In memory they take about as much as their files: at most what the store may have.
pub(in crate::cli) struct Catalog {
    kept: Vec<Kept>,
    by_subject: BTreeMap<Digest, Vec<usize>>,
    by_target: BTreeMap<Digest, Vec<usize>>,
    by_name: HashMap<Meaning, Vec<usize>>,
}

impl Catalog {
    /// Of everything in a store.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::cli) fn of(store: &Store) -> Result<Self, String> {
        let kept = store.entries().map_err(|error| error.to_string())?;
        let (by_subject, by_target, by_name) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        let mut catalog = Self { kept, by_subject, by_target, by_name };
        for (number, kept) in catalog.kept.iter().enumerate() {
            let entry = &kept.entry;
            catalog.by_subject.entry(entry.place.subject.clone()).or_default().push(number);
            for target in &entry.targets {
                catalog.by_target.entry(target.clone()).or_default().push(number);
            }
            for name in names(entry) {
                let numbers = catalog.by_name.entry(meaning(&name)).or_default();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
        }
        Ok(catalog)
    }

    /// Of nothing.
    pub(in crate::cli) fn empty() -> Self {
        Self {
            kept: Vec::new(),
            by_subject: BTreeMap::new(),
            by_target: BTreeMap::new(),
            by_name: HashMap::new(),
        }
    }

    /// All of them.
    pub(in crate::cli) fn entries(&self) -> &[Kept] {
        &self.kept
    }

    /// Those whose subject this is.
    pub(in crate::cli) fn of_subject(&self, subject: &Digest) -> impl Iterator<Item = &Kept> {
        self.numbered(self.by_subject.get(subject))
    }

    /// Those about an image: their subject, or one of their targets.
    pub(in crate::cli) fn about(&self, image: &Digest) -> impl Iterator<Item = &Kept> {
        let numbers =
            [self.by_subject.get(image), self.by_target.get(image)].into_iter().flatten().flatten();
        let numbers: BTreeSet<usize> = numbers.copied().collect();
        numbers.into_iter().filter_map(|number| self.kept.get(number))
    }

    /// Those that were asked for by a name.
    pub(in crate::cli) fn called(&self, name: &Reference) -> impl Iterator<Item = &Kept> {
        self.numbered(self.by_name.get(&meaning(name)))
    }

    /// The manifests under a target that have entries of their own.
    pub(in crate::cli) fn children_of(&self, target: &Digest) -> BTreeSet<Digest> {
        let subjects =
            self.numbered(self.by_target.get(target)).map(|kept| &kept.entry.place.subject);
        subjects.filter(|subject| *subject != target).cloned().collect()
    }

    /// The subjects and targets that begin with these digits.
    pub(in crate::cli) fn beginning_with(&self, digits: &str) -> BTreeSet<Digest> {
        let Ok(first) = Digest::parse(&format!("sha256:{digits:0<DIGITS$}")) else {
            return BTreeSet::new();
        };
        let from = |map: &BTreeMap<Digest, Vec<usize>>| {
            let begin = map.range(&first..).map(|(digest, _)| digest.clone());
            begin.take_while(|digest| digest.hex().starts_with(digits)).collect::<Vec<_>>()
        };
        from(&self.by_subject).into_iter().chain(from(&self.by_target)).collect()
    }

    fn numbered<'c>(&'c self, numbers: Option<&'c Vec<usize>>) -> impl Iterator<Item = &'c Kept> {
        numbers.into_iter().flatten().filter_map(|number| self.kept.get(*number))
    }
}

fn meaning(name: &Reference) -> Meaning {
    (name.repository(), name.tag().map(str::to_owned), name.digest().cloned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cli::evidence::wanted::Wanted;
    use crate::evidence::{Place, Source};
    use crate::evidence_store::{Entry, Options};

    const TAGGED: [&str; 3] = ["reg.test/app:1", "REG.test:443/app:1", "reg.test/app:2"];

    fn catalog(folder: &std::path::Path) -> Catalog {
        let store =
            Store::open(Options { path: folder.join("evidence"), ..Options::default() }).unwrap();
        let manifest = Bytes::from_static(b"manifest");
        for number in 0..12_u8 {
            let digest = |what: &str| Digest::of(format!("{what} {}", number % 4).as_bytes());
            let entry = Entry {
                place: Place {
                    repository: Repository::parse(&format!("reg.test/from{number}")).unwrap(),
                    subject: digest("child"),
                    source: Source::Referrers,
                },
                fetched: "2026-03-01T00:00:00Z".parse().unwrap(),
                manifests: vec![Digest::of(&manifest)],
                blobs: BTreeSet::new(),
                targets: BTreeSet::from([digest("index"), digest("child"), Digest::of(b"all")]),
                names: TAGGED
                    .iter()
                    .skip(usize::from(number % 3))
                    .map(|name| (*name).to_owned())
                    .collect(),
            };
            store.put(&entry, &[(Digest::of(&manifest), manifest.clone())]).unwrap();
        }
        Catalog::of(&store).unwrap()
    }

    /// What is looked up is what looking at every entry finds.
    #[test]
    fn it_finds_what_looking_at_everything_finds() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(folder.path());
        assert_eq!(catalog.entries().len(), 12);
        let scanned = |is: &dyn Fn(&Entry) -> bool| -> Vec<Kept> {
            catalog.entries().iter().filter(|kept| is(&kept.entry)).cloned().collect()
        };
        let digests: Vec<Digest> =
            ["child 0", "index 3", "all", "other"].map(|what| Digest::of(what.as_bytes())).into();
        for digest in &digests {
            let is_one = |other: &Digest| other == digest;
            assert_eq!(
                catalog.about(digest).cloned().collect::<Vec<_>>(),
                scanned(&|entry| entry.concerns(&is_one))
            );
            let of_subject = scanned(&|entry| entry.place.subject == *digest);
            assert_eq!(catalog.of_subject(digest).cloned().collect::<Vec<_>>(), of_subject);
            let below =
                scanned(&|entry| entry.targets.contains(digest) && entry.place.subject != *digest);
            let below: BTreeSet<Digest> =
                below.into_iter().map(|kept| kept.entry.place.subject).collect();
            assert_eq!(catalog.children_of(digest), below);
            for digits in [&digest.hex()[..6], &digest.hex()[..7], digest.hex()] {
                let known = ["child", "index"]
                    .iter()
                    .flat_map(|what| (0..4).map(move |n| format!("{what} {n}")));
                let known =
                    known.map(|what| Digest::of(what.as_bytes())).chain([Digest::of(b"all")]);
                let begin: BTreeSet<Digest> =
                    known.filter(|one| one.hex().starts_with(digits)).collect();
                assert_eq!(catalog.beginning_with(digits), begin, "{digits}");
            }
        }
        for name in ["reg.test/app:1", "reg.test/app:2", "reg.test/app:3", "reg.test/other:1"] {
            let wanted = Wanted::parse(name).unwrap();
            let called =
                catalog.called(&Reference::parse(name).unwrap()).cloned().collect::<Vec<_>>();
            assert_eq!(called, scanned(&|entry| wanted.is_about(entry)), "{name}");
        }
    }
}
