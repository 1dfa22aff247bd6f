//! [`draft`]: documents for images, by who signed them: one for each registry and signers, with the
//! repositories that have them in common, and digests where nobody signed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::attestor::{DraftAttestor, quoted};
use super::found::{FoundImage, FoundImages};
use crate::cli::terminal::screen::plain;
use crate::image::Digest;

/// Longest line of a comment.
const WIDTH: usize = 118;
/// Longest name of a document, without the number behind it: a document's has 63 characters.
const NAME_MAX: usize = 56;
/// Names that are shown beside a digest.
const NAMES_SHOWN: usize = 2;

/// Other signers that a comment names.
const SIGNERS_SHOWN: usize = 5;

/// A file that is drafted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DraftFile {
    /// Its name.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
}

/// The signers of a repository's images: as few as have signed all that are signed.
type Signers = BTreeSet<DraftAttestor>;

/// What one document is about.
#[derive(Debug, Default)]
struct Group<'f> {
    repositories: BTreeSet<&'f str>,
    /// Images that nobody is known to have signed.
    unsigned: BTreeMap<&'f Digest, Vec<&'f FoundImage>>,
    signed: usize,
    /// Who else signed some of them.
    others: BTreeSet<&'f DraftAttestor>,
}

/// Files with documents that admit each of these images, one file for each registry; `day` stands in
/// their comments.
pub(super) fn draft(found: &FoundImages, day: &str) -> Vec<DraftFile> {
    let mut by_repository: BTreeMap<&str, Vec<(&Digest, &FoundImage)>> = BTreeMap::new();
    for ((repository, digest), image) in found {
        by_repository.entry(repository).or_default().push((digest, image));
    }
    let mut groups: BTreeMap<(&str, Signers), Group<'_>> = BTreeMap::new();
    for (repository, images) in &by_repository {
        let signers = fewest(images);
        let all = images.iter().flat_map(|(_, image)| &image.signers);
        let others: Vec<&DraftAttestor> = all.filter(|signer| !signers.contains(signer)).collect();
        let group = groups.entry((host(repository), signers)).or_default();
        group.others.extend(others);
        group.repositories.insert(repository);
        for (digest, image) in images {
            if image.signers.is_empty() {
                group.unsigned.entry(digest).or_default().push(image);
            } else {
                group.signed += 1;
            }
        }
    }
    let mut files: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let all: BTreeSet<&str> = by_repository.keys().copied().collect();
    for ((host, signers), group) in &groups {
        let texts = files.entry(host).or_default();
        let name = document_name(host, texts.len());
        texts.push(document(&name, (signers, group), &all, day));
    }
    let file = |(host, texts): (&str, Vec<String>)| DraftFile {
        name: format!("60-{}.yaml", document_name(host, 0)),
        text: texts.join("---\n"),
    };
    files.into_iter().map(file).collect()
}

/// As few signers as have signed every image that somebody has.
fn fewest(images: &[(&Digest, &FoundImage)]) -> Signers {
    let mut left: Vec<&BTreeSet<DraftAttestor>> =
        images.iter().map(|(_, image)| &image.signers).filter(|all| !all.is_empty()).collect();
    let mut chosen = Signers::new();
    while !left.is_empty() {
        let mut counts: BTreeMap<&DraftAttestor, usize> = BTreeMap::new();
        for signer in left.iter().flat_map(|signers| signers.iter()) {
            *counts.entry(signer).or_default() += 1;
        }
        // The first of those that signed most.
        let most = counts.values().max().copied().unwrap_or_default();
        let Some((signer, _)) = counts.into_iter().find(|(_, count)| *count == most) else { break };
        left.retain(|signers| !signers.contains(signer));
        chosen.insert(signer.clone());
    }
    chosen
}

fn document(
    name: &str,
    (signers, group): (&Signers, &Group<'_>),
    all: &BTreeSet<&str>,
    day: &str,
) -> String {
    let mut lines = comment(signers, group, day);
    lines.extend(
        [
            "apiVersion: sealgate/v1",
            "kind: ImagePolicy",
            &format!("metadata: {{name: {name}}}"),
            "spec:",
        ]
        .map(str::to_owned),
    );
    lines.push("  images:".to_owned());
    let patterns = patterns(&group.repositories, all);
    lines.extend(patterns.iter().map(|pattern| format!("    - {}", quoted(pattern))));
    lines.push("  require:".to_owned());
    let mut requirements: Vec<Vec<String>> = signers
        .iter()
        .zip(1..)
        .map(|(signer, number)| signer.lines(&format!("signer-{number}")))
        .collect();
    if !group.unsigned.is_empty() {
        requirements.push(digests(group));
    }
    if let [one] = requirements.as_slice() {
        lines.extend(one.iter().map(|line| format!("    {line}")));
    } else {
        lines.push("    any:".to_owned());
        for requirement in requirements {
            let first = |number: usize| if number == 0 { "- " } else { "  " };
            let indented = requirement.iter().enumerate();
            lines.extend(indented.map(|(number, line)| format!("      {}{line}", first(number))));
        }
    }
    lines.join("\n") + "\n"
}

fn digests(group: &Group<'_>) -> Vec<String> {
    let mut lines = vec!["name: digests".to_owned(), "digest:".to_owned(), "  anyOf:".to_owned()];
    for (digest, images) in &group.unsigned {
        let names: BTreeSet<&String> = images.iter().flat_map(|image| &image.names).collect();
        let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(|name| name.as_str()).collect();
        lines.push(format!(
            "    - {}   # {}",
            quoted(&digest.to_string()),
            plain(&shown.join(", "))
        ));
    }
    lines
}

/// Why the document is as it is, how to tighten it, and since when.
fn comment(signers: &Signers, group: &Group<'_>, day: &str) -> Vec<String> {
    let mut texts = vec![format!("Drafted by sealgate policy init --from-node on {day}.")];
    if group.signed > 0 {
        texts.push(format!("Signed images on this node: {}.", group.signed));
    }
    let advices: BTreeSet<&str> = signers.iter().map(DraftAttestor::advice).collect();
    texts.extend(advices.into_iter().map(str::to_owned));
    texts.extend(also_signed(&group.others));
    if group.signed > 0 {
        let text = "Only your keys and the trust roots of this node were tried: others may have signed too.";
        texts.push(text.to_owned());
    }
    let unsigned: BTreeSet<&str> = group
        .unsigned
        .values()
        .flatten()
        .map(|image| image.why.as_deref().unwrap_or("nobody is known to have signed it"))
        .collect();
    for why in unsigned {
        texts.push(format!("By digest: {}.", plain(why)));
    }
    if !group.unsigned.is_empty() {
        texts.push(
            "A digest admits these very bytes: the next version needs another line. Tighten: find out who signs \
             for the publisher (sealgate policy init --from-node --network, the publisher's documentation), and \
             ask for that."
                .to_owned(),
        );
    }
    texts.iter().flat_map(|text| wrapped(text)).collect()
}

/// Who else signed: as few as possible were chosen, and they need not be the publisher.
fn also_signed(others: &BTreeSet<&DraftAttestor>) -> Option<String> {
    let shown: Vec<String> =
        others.iter().take(SIGNERS_SHOWN).map(|signer| plain(&signer.shown())).collect();
    let more = match others.len() - shown.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let is_any = !shown.is_empty();
    is_any.then(|| {
        format!("Some are also signed by {}{more}; choose the publisher's.", shown.join(", by "))
    })
}

/// A sentence as lines of a comment.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec!["#".to_owned()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(format!("# {word}")),
        }
    }
    lines
}

/// The repositories as patterns: what two or more of them have in common below the host, where no
/// other repository of this node begins alike.
fn patterns(repositories: &BTreeSet<&str>, all: &BTreeSet<&str>) -> Vec<String> {
    let mut patterns = BTreeSet::new();
    for repository in repositories {
        let prefix = owner(repository).filter(|prefix| {
            let mut below = all.iter().filter(|other| other.starts_with(prefix));
            let own = repositories.iter().filter(|other| other.starts_with(prefix)).count();
            own > 1 && below.all(|other| repositories.contains(other))
        });
        patterns.insert(match prefix {
            Some(prefix) => format!("{prefix}**"),
            None => (*repository).to_owned(),
        });
    }
    patterns.into_iter().collect()
}

/// `ghcr.io/acme/` of `ghcr.io/acme/app`; none for a repository just below its host.
fn owner(repository: &str) -> Option<&str> {
    let (host, path) = repository.split_once('/')?;
    let (first, _) = path.split_once('/')?;
    repository.get(..host.len() + first.len() + 2)
}

fn host(repository: &str) -> &str {
    repository.split_once('/').map_or(repository, |(host, _)| host)
}

/// `node-ghcr.io`, `node-ghcr.io-2`.
fn document_name(host: &str, before: usize) -> String {
    let fit =
        |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("node-{host}").chars().map(fit).take(NAME_MAX).collect();
    let name = name.trim_end_matches(['-', '.']);
    if before == 0 { name.to_owned() } else { format!("{name}-{}", before + 1) }
}

#[cfg(test)]
mod tests;
