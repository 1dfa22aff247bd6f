//! [`ListedDocument`]: every document of a set in a few words, for people who want to know what there
//! is. Nothing is decided by it.

use serde::Serialize;

use crate::policy::document::Documents;
use crate::policy::document::action::Action;
use crate::policy::document::head::Head;
use crate::policy::document::replaced::Replaced;
use crate::policy::scope::pattern::{END_OF_PART, PatternList, written};

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedDocument {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: u64,
    /// What it does; the same words for every kind.
    pub does: Does,
    /// The images that it is about; none for a deny list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Images that it is not about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The digests of which an image must have one; none where any counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// The namespaces that it is limited to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The places (`file:line`) of the documents of earlier folders that it stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// What a document does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "action")]
pub enum Does {
    /// It refuses what does not meet it.
    Enforce,
    /// It says so where something does not meet it.
    Warn,
    /// It lets through whatever it is about.
    AcceptAnything,
    /// It refuses the digests that it lists, and demands nothing.
    DenyDigests,
    /// It strikes off what it lists.
    StrikeOff {
        /// How many entries it has.
        entries: usize,
    },
    /// It lets through until then.
    Except {
        /// Until when.
        expires: String,
        /// Who answers for it.
        owner: String,
    },
}

impl Documents {
    /// Every document that counts: policies, deny lists and exceptions, each in the order of the
    /// files.
    #[must_use]
    pub fn listing(&self) -> Vec<ListedDocument> {
        let policies = self.documents.iter().map(|document| {
            let does = match document.action {
                Action::Warn => Does::Warn,
                Action::Enforce if document.only_denies => Does::DenyDigests,
                Action::Enforce if document.require.accepts_anything => Does::AcceptAnything,
                Action::Enforce => Does::Enforce,
            };
            let name = document.name.clone();
            let head = Head { name, file: document.file.clone(), position: document.position };
            ListedDocument {
                images: patterns(&document.images),
                exclude: patterns(&document.exclude),
                namespaces: namespaces(&document.namespaces),
                ..self.listed("ImagePolicy", &head, does)
            }
        });
        let deny_lists = self.deny_lists.iter().map(|list| {
            self.listed("DenyList", &list.head, Does::StrikeOff { entries: list.entries.len() })
        });
        let exceptions = self.exceptions.iter().map(|exception| {
            let (expires, owner) = (exception.expires.to_string(), exception.owner.clone());
            // What names no image is listed by its digests.
            let images = match exception.is_of_every_name {
                true => Vec::new(),
                false => patterns(&exception.images),
            };
            let digests = exception.digests.iter().map(ToString::to_string).collect();
            ListedDocument {
                images,
                digests,
                exclude: patterns(&exception.exclude),
                namespaces: namespaces(&exception.namespaces),
                ..self.listed("Exception", &exception.head, Does::Except { expires, owner })
            }
        });
        policies.chain(deny_lists).chain(exceptions).collect()
    }

    fn listed(&self, kind: &'static str, head: &Head, does: Does) -> ListedDocument {
        let is_it = |one: &&Replaced| one.kind == kind && one.name == head.name;
        let replaced = self.replaced().iter().filter(is_it);
        ListedDocument {
            kind,
            name: head.name.clone(),
            file: head.file.clone(),
            line: head.position.line,
            does,
            images: Vec::new(),
            exclude: Vec::new(),
            digests: Vec::new(),
            namespaces: Vec::new(),
            replaces: replaced.map(|one| format!("{}:{}", one.file, one.line)).collect(),
        }
    }
}

fn patterns(list: &PatternList) -> Vec<String> {
    list.iter().map(written).collect()
}

fn namespaces(list: &PatternList) -> Vec<String> {
    let end = char::from(END_OF_PART);
    list.iter().map(|namespace| namespace.trim_end_matches(end).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{DocumentsReader, PolicyFile};

    const HEAD: &str = "apiVersion: sealgate/v1\nkind: ";

    #[test]
    fn every_document_is_listed_with_what_it_does_and_replaces() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let policy = |name: &str, spec: &str| {
            format!("{HEAD}ImagePolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n")
        };
        let asks = format!("images: [a.test/**], require: {{digest: {{anyOf: ['{digest}']}}}}");
        let own = [
            policy("a", &format!("{asks}, namespaces: ['prod-*']")),
            policy("b", &format!("{asks}, action: warn")),
            policy("c", "images: [c.test/x], require: {insecureAcceptAnything: true}"),
            policy("d", &format!("images: [d.test/x], deny: {{digests: ['{digest}']}}")),
            format!(
                "{HEAD}DenyList\nmetadata: {{name: e}}\nspec: {{repositories: [{{pattern: \
                 e.test/**, reason: old, date: 2026-01-01T00:00:00Z}}]}}\n---\n"
            ),
            format!(
                "{HEAD}Exception\nmetadata: {{name: f}}\nspec: {{images: [f.test/x], expires: \
                 2027-01-01T00:00:00Z, owner: me, reason: why}}\n"
            ),
        ];
        let mut reader = DocumentsReader::default();
        for (name, text) in [("usr/a.yaml", policy("a", &asks)), ("etc/a.yaml", own.concat())] {
            reader.begin_folder();
            reader.add(PolicyFile { name: name.to_owned(), bytes: text.into_bytes() }.parse());
        }
        let listing = reader.finish().unwrap().listing();
        let does: Vec<&Does> = listing.iter().map(|listed| &listed.does).collect();
        let (expires, owner) = ("2027-01-01T00:00:00Z".to_owned(), "me".to_owned());
        assert_eq!(
            does,
            [
                &Does::Enforce,
                &Does::Warn,
                &Does::AcceptAnything,
                &Does::DenyDigests,
                &Does::StrikeOff { entries: 1 },
                &Does::Except { expires, owner }
            ]
        );
        assert_eq!(listing[0].images, ["a.test/**"]);
        assert_eq!(listing[0].namespaces, ["prod-*"]);
        assert_eq!(listing[0].replaces, ["usr/a.yaml:1"]);
        assert!(listing.iter().skip(1).all(|listed| listed.replaces.is_empty()), "{listing:?}");
    }
}
