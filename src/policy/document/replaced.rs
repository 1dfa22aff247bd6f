//! [`Replaced`]: which document of an earlier folder another of a later folder stands for; and that
//! otherwise no two of one set have one name.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::policy::position::Position;
use crate::policy::sanitize::escaped;
use crate::policy::syntax::error::{PolicyError, PolicyFault};

/// That a document stands for another of its name and kind, of an earlier folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replaced {
    /// Their kind.
    pub kind: &'static str,
    /// Their name.
    pub name: String,
    /// The file of the one that counts.
    pub by: String,
    /// The file of the one that does not.
    pub file: String,
    /// Where in that file.
    pub line: u64,
    /// The one that does not count asked for proof or denied something.
    pub demanded: bool,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, by, file, line, .. } = self;
        let (by, file) = (escaped(by), escaped(file));
        write!(f, "{kind} {name} of {by} replaces the one of {file}:{line}")
    }
}

/// What every document has, and which folder it is of, by its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Headed<'d> {
    pub(super) kind: &'static str,
    pub(super) name: &'d str,
    pub(super) file: &'d str,
    pub(super) position: Position,
    /// Whether it asks for proof or denies something.
    pub(super) demands: bool,
    pub(super) folder: usize,
}

/// What comes of names that stand twice.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) errors: Vec<PolicyError>,
    pub(super) replaced: Vec<Replaced>,
    /// The numbers of those that do not count.
    pub(super) gone: HashSet<usize>,
}

/// Which documents count. Those of one kind come in the order of their folders.
pub(super) fn settle<'d>(heads: impl Iterator<Item = Headed<'d>>) -> Settled {
    let mut first: BTreeMap<&str, (usize, Headed<'d>)> = BTreeMap::new();
    let mut settled = Settled::default();
    for (number, head) in heads.enumerate() {
        let Some((before, other)) = first.get(head.name).copied() else {
            first.insert(head.name, (number, head));
            continue;
        };
        if other.kind == head.kind && other.folder < head.folder {
            settled.gone.insert(before);
            settled.replaced.push(Replaced {
                kind: head.kind,
                name: head.name.to_owned(),
                by: head.file.to_owned(),
                file: other.file.to_owned(),
                line: other.position.line,
                demanded: other.demands,
            });
            first.insert(head.name, (number, head));
            continue;
        }
        settled.errors.push(PolicyError {
            file: head.file.to_owned(),
            position: Some(head.position),
            field: "metadata.name".to_owned(),
            fault: PolicyFault::DuplicateName {
                name: head.name.to_owned(),
                first: format!("{}:{}", other.file, other.position.line),
            },
        });
    }
    settled
}

#[cfg(test)]
mod tests {
    use crate::policy::document::reader::DocumentsReader;
    use crate::policy::document::{Documents, PolicyFile};
    use crate::policy::syntax::error::{PolicyError, PolicyFault};

    const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

    fn policy(name: &str, image: &str) -> String {
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: {{images: \
             [{image}], require: {{digest: {{anyOf: [\"{DIGEST}\"]}}}}}}\n"
        )
    }

    fn exception(name: &str) -> String {
        format!(
            "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: {name}}}\nspec: {{images: \
             [a.test/x], expires: 2027-01-01T00:00:00Z, owner: me, reason: why}}\n"
        )
    }

    /// Documents of folders, each with one file of its own.
    fn read(folders: &[&str]) -> Result<Documents, Vec<PolicyError>> {
        let mut reader = DocumentsReader::default();
        for (number, text) in folders.iter().enumerate() {
            reader.begin_folder();
            let name = format!("{number}/a.yaml");
            reader.add(PolicyFile { name, bytes: text.as_bytes().to_vec() }.parse());
        }
        reader.finish()
    }

    #[test]
    fn a_later_folder_replaces_by_name_and_kind_and_nothing_else() {
        let three =
            [policy("a", "one.test/x"), policy("a", "two.test/x"), policy("a", "three.test/x")];
        let both = format!("{}---\n{}", three[0], policy("b", "one.test/x"));
        let documents = read(&[&both, &three[1], &three[2]]).unwrap();
        let images: Vec<Vec<&str>> =
            documents.documents.iter().map(|document| document.images.iter().collect()).collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(images[1], ["three.test/x/"], "the last folder counts: {images:?}");
        let told: Vec<String> = documents.replaced().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "ImagePolicy a of 1/a.yaml replaces the one of 0/a.yaml:1",
                "ImagePolicy a of 2/a.yaml replaces the one of 1/a.yaml:1"
            ]
        );
        assert!(documents.replaced().iter().all(|replaced| replaced.demanded));
    }

    #[test]
    fn a_name_of_another_kind_or_of_the_same_folder_is_an_error() {
        let fault = |folders: &[&str]| read(folders).unwrap_err().remove(0).fault;
        let (one, other) = (policy("a", "one.test/x"), exception("a"));
        let twice = format!("{one}---\n{one}");
        for folders in [vec![&*one, &*other], vec![&*other, &*one], vec![&*twice]] {
            let fault = fault(&folders);
            assert!(matches!(fault, PolicyFault::DuplicateName { .. }), "{fault:?}");
        }
        // Two of one folder stay an error where a third one replaces them.
        let fault = fault(&[&twice, &one]);
        assert!(matches!(fault, PolicyFault::DuplicateName { .. }), "{fault:?}");
        assert_eq!(read(&[&other, &exception("a")]).unwrap().replaced().len(), 1);
    }
}
