//! Policies of other programs as documents of Sealgate: text in, documents out, with a list of
//! what they do not say ([`Omission`]) and what is to be known of them ([`Notice`]).
//!
//! Here all documents that match must pass. Where another program lets the most specific rule
//! decide alone, the wider documents exclude what the narrower ones are about; where any of several
//! authorities suffices, they stand under `any`. What cannot be said makes the documents stricter,
//! never weaker: a rule that is left out in part becomes one that nothing meets.
//!
//! Every document is read by the loader's own reader before it is handed out. Nothing here reads a
//! file, or writes one.

mod cluster_image_policy;
mod connaisseur;
mod containers;
mod kind;
mod kyverno;
mod notation;
mod reader;
mod talos;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use containers::policy_json;
use containers::registries_d::RegistriesD;
use kind::DocumentKind;
pub use kind::Format;
use kyverno::{image_validating_policy, verify_images};
use reader::draft::{By, Draft, DraftDemand};
pub use reader::fault::{ImportFault, Notice, Omission, Origin, Placed};
use reader::material::KeyMaterial;
pub use reader::material::Surroundings;
use reader::tree::{Findings, Tree};

use crate::policy::yaml::{self, Node};
use crate::policy::{Documents, PolicyError, PolicyFault, PolicyFile, PolicySet, Unmatched};

/// Most bytes of one file that is imported, as of one of Sealgate's.
pub const IMPORT_FILE_MAX: usize = 1024 * 1024;
/// Most documents of one import: what one file of Sealgate's can hold.
const DOCUMENTS_MAX: usize = 1024;
/// Longest name of a document.
const NAME_MAX: usize = 63;

/// What came of an import.
#[derive(Debug)]
pub struct Imported {
    /// The documents, as one file of policies.
    pub text: String,
    /// How many there are.
    pub documents: usize,
    /// Key and certificate files, by the name that they have below the folder of keys.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the documents do not say.
    pub omissions: Vec<Placed<Omission>>,
    /// What is to be known of them.
    pub notices: Vec<Placed<Notice>>,
}

/// Reads the files as one policy: in this format, or in whichever they are.
///
/// # Errors
/// Every fault that was found; an [`Omission`] is none.
pub fn import(
    format: Option<Format>,
    files: &[PolicyFile],
    surroundings: &Surroundings<'_>,
) -> Result<Imported, Vec<Placed<ImportFault>>> {
    let mut findings = Findings::default();
    let mut material = KeyMaterial::default();
    let texts: Vec<String> = files.iter().map(|file| text(file, &mut findings)).collect();
    let parsed: Vec<(&str, Vec<Node>)> = files
        .iter()
        .zip(&texts)
        .map(|(file, text)| (file.name.as_str(), nodes(file, text, &mut findings)))
        .collect();
    let trees: Vec<(DocumentKind, Tree<'_>)> = parsed
        .iter()
        .flat_map(|(name, nodes)| nodes.iter().flat_map(|node| Tree::new(name, node).expanded()))
        .map(|tree| (DocumentKind::of(&tree), tree))
        .collect();
    let drafts = read(format, &trees, surroundings, &mut material, &mut findings);
    if drafts.iter().any(|draft| draft.demand.asks_signature()) {
        findings.notice(whole(files), Notice::IndexCounts);
    }
    if drafts.len() > DOCUMENTS_MAX {
        let fault = ImportFault::TooMany { what: "documents", limit: DOCUMENTS_MAX };
        findings.fault(whole(files), fault);
    }
    if !findings.faults.is_empty() {
        return Err(findings.faults);
    }
    // About more pods than before, it would let through what the other program does not.
    let drafts = drafts.into_iter().filter(|draft| !(draft.is_widened && draft.is_permissive()));
    let documents = checked(drafts.collect(), &material, surroundings, &mut findings);
    let Findings { omissions, notices, .. } = findings;
    let notices = once(notices);
    let text = assembled(files, &documents, &omissions, &notices);
    let file = PolicyFile { name: "import".to_owned(), bytes: text.clone().into_bytes() };
    if !documents.is_empty()
        && let Err(errors) = Documents::parse(&[file])
    {
        let placed = |error: PolicyError| Placed {
            origin: Origin { position: error.position, field: error.field, ..whole(files) },
            what: ImportFault::Text(error.fault),
        };
        return Err(errors.into_iter().map(placed).collect());
    }
    let files = material.into_files();
    let named = |name: &str| documents.iter().any(|document| document.contains(name));
    let files = files.into_iter().filter(|(name, _)| named(name)).collect();
    Ok(Imported { text, documents: documents.len(), files, omissions, notices })
}

/// The file as text; JSON may be indented with tabs, YAML may not.
fn text(file: &PolicyFile, findings: &mut Findings) -> String {
    let origin = || Origin { file: file.name.clone(), position: None, field: String::new() };
    if file.bytes.len() > IMPORT_FILE_MAX {
        let (bytes, limit) = (file.bytes.len(), IMPORT_FILE_MAX);
        findings.fault(origin(), ImportFault::Text(PolicyFault::FileTooLarge { bytes, limit }));
        return String::new();
    }
    let Ok(text) = std::str::from_utf8(&file.bytes) else {
        findings.fault(origin(), ImportFault::Text(PolicyFault::NotText));
        return String::new();
    };
    if text.trim_start().starts_with('{') { text.replace('\t', " ") } else { text.to_owned() }
}

fn nodes(file: &PolicyFile, text: &str, findings: &mut Findings) -> Vec<Node> {
    match yaml::documents(text) {
        Ok(nodes) => nodes,
        Err((position, fault)) => {
            let origin = Origin { file: file.name.clone(), position, field: String::new() };
            findings.fault(origin, ImportFault::Text(fault));
            Vec::new()
        }
    }
}

/// The drafts of all documents of the format that was asked for.
fn read(
    format: Option<Format>,
    trees: &[(DocumentKind, Tree<'_>)],
    surroundings: &Surroundings<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    let mut registries = RegistriesD::default();
    for (_, tree) in trees.iter().filter(|(kind, _)| *kind == DocumentKind::RegistriesD) {
        registries.add(tree, findings);
    }
    let mut drafts = Vec::new();
    let mut singles = BTreeSet::new();
    for (kind, tree) in trees {
        if let Some(fault) = not_asked(*kind, format) {
            findings.fault(tree.origin(), fault);
            continue;
        }
        // Of these one decides by itself: which of two is in force is not in the files.
        if matches!(
            kind,
            DocumentKind::PolicyJson | DocumentKind::Talos | DocumentKind::Connaisseur
        ) && !singles.insert(kind.words())
        {
            findings.fault(tree.origin(), ImportFault::Second { what: kind.words() });
        }
        drafts.extend(match kind {
            DocumentKind::PolicyJson => {
                policy_json::read(tree, &registries, surroundings, material, findings)
            }
            DocumentKind::ClusterImagePolicy => {
                cluster_image_policy::read(tree, material, findings)
            }
            DocumentKind::ImageValidatingPolicy => {
                image_validating_policy::read(tree, material, findings)
            }
            DocumentKind::VerifyImages => verify_images::read(tree, material, findings),
            DocumentKind::Talos => talos::read(tree, material, findings),
            DocumentKind::Connaisseur => connaisseur::read(tree, material, findings),
            DocumentKind::Notation => notation::read(tree, findings),
            DocumentKind::SigstoreTrustRoot => {
                cluster_image_policy::trust_root(tree, findings);
                Vec::new()
            }
            DocumentKind::RegistriesD | DocumentKind::Unknown => Vec::new(),
        });
    }
    drafts
}

/// Why a document is not read, if it is not.
fn not_asked(kind: DocumentKind, format: Option<Format>) -> Option<ImportFault> {
    match kind.format() {
        None => Some(ImportFault::UnknownFormat),
        Some(got) if format.is_none_or(|format| format == got) => None,
        Some(_) => Some(ImportFault::OtherFormat { got: kind.words() }),
    }
}

/// The documents, each read by the loader's own reader. One that it refuses becomes one that
/// nothing meets; one that lets through is left out.
fn checked(
    drafts: Vec<Draft>,
    material: &KeyMaterial,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut documents = Vec::new();
    for mut draft in drafts {
        let name = unique(&draft.name, &mut names);
        for root in roots(&draft.demand) {
            if (surroundings.trust_root)(&root).is_none() {
                findings.notice(draft.origin.clone(), Notice::NeedsTrustRoot { name: root });
            }
        }
        let text = write::document(&draft, &name);
        let Some(fault) = refused(&text, &draft, material, surroundings) else {
            documents.push(text);
            continue;
        };
        findings.omit(draft.origin.clone(), Omission::Refused(fault.clone()));
        if draft.is_permissive() {
            continue;
        }
        draft.demand = DraftDemand::Reject;
        draft.signature_repository = None;
        draft.remarks.push(format!("left out: {fault}"));
        if refused(&write::document(&draft, &name), &draft, material, surroundings).is_some() {
            // What it is about cannot be said either.
            draft.images = vec!["**".to_owned()];
            draft.exclude.clear();
            draft.namespaces.clear();
        }
        documents.push(write::document(&draft, &name));
    }
    documents
}

/// Why the loader would refuse it, if it would. Without its trust roots it is read and not built.
fn refused(
    text: &str,
    draft: &Draft,
    material: &KeyMaterial,
    surroundings: &Surroundings<'_>,
) -> Option<PolicyFault> {
    let file = PolicyFile { name: "import".to_owned(), bytes: text.as_bytes().to_owned() };
    let first = |errors: Vec<PolicyError>| errors.into_iter().next().map(|error| error.fault);
    let documents = match Documents::parse(&[file]) {
        Ok(documents) => documents,
        Err(errors) => return first(errors),
    };
    let mut material = material.as_policies_take_it();
    for name in roots(&draft.demand) {
        let root = (surroundings.trust_root)(&name)?;
        material.roots.insert(name, root);
    }
    PolicySet::build(documents, material, Unmatched::Deny).err().and_then(first)
}

/// The trust roots that it names.
fn roots(demand: &DraftDemand) -> BTreeSet<String> {
    match demand {
        DraftDemand::Accept | DraftDemand::Reject => BTreeSet::new(),
        DraftDemand::All(demands)
        | DraftDemand::Any(demands)
        | DraftDemand::AtLeast(_, demands) => demands.iter().flat_map(roots).collect(),
        DraftDemand::Signed { by, .. } | DraftDemand::Attested { by, .. } => match by {
            By::Key { witnesses, .. } | By::Keyless { witnesses, .. } => {
                witnesses.trust_root.iter().cloned().collect()
            }
            By::Certificate { .. } => BTreeSet::new(),
        },
    }
}

/// A name for a document, that no other has.
fn unique(wanted: &str, names: &mut BTreeSet<String>) -> String {
    let plain: String = wanted
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' })
        .collect();
    let plain = plain.trim_matches(['-', '.']);
    let plain = if plain.is_empty() { "imported" } else { plain };
    // Room for a number.
    let plain: String = plain.chars().take(NAME_MAX - 6).collect();
    let plain = plain.trim_end_matches(['-', '.']);
    let mut name = plain.to_owned();
    let mut number = 1;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{plain}-{number}");
    }
    name
}

/// Each notice once.
fn once(notices: Vec<Placed<Notice>>) -> Vec<Placed<Notice>> {
    let mut known: Vec<Placed<Notice>> = Vec::new();
    for notice in notices {
        if !known.contains(&notice) {
            known.push(notice);
        }
    }
    known
}

fn assembled(
    files: &[PolicyFile],
    documents: &[String],
    omissions: &[Placed<Omission>],
    notices: &[Placed<Notice>],
) -> String {
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let mut text = write::comment(&format!("sealgate policy import: {}", names.join(", ")));
    for omission in omissions {
        text.push_str(&write::comment(&format!("left out: {omission}")));
    }
    for notice in notices {
        text.push_str(&write::comment(&format!("note: {notice}")));
    }
    for document in documents {
        text.push_str("---\n");
        text.push_str(document);
    }
    text
}

/// The files as a whole.
fn whole(files: &[PolicyFile]) -> Origin {
    let file = files.first().map(|file| file.name.clone()).unwrap_or_default();
    Origin { file, position: None, field: String::new() }
}

#[cfg(test)]
mod tests;
