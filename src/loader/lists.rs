//! The deny lists that are fetched, as they are kept on this node ([`KeptRead`]), and who must have
//! signed each: keys and trust roots are read like those of policies.
//!
//! A list that is not proven by what is kept with it denies nothing, and is told of. It makes no set
//! faulty: a node whose disk lost a list would not start until somebody came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::configured_list::ConfiguredList;
use super::error::{LoadError, Problem, Warning};
use super::files::Owners;
use super::material::{keys, trust_roots};
use super::roots::TrustOptions;
use crate::fetched_list::{
    self, FolderFault, KeptList, KnownVersion, ListFault, ListFolder, Proven, SignerCheck,
};
use crate::image::Digest;
use crate::policy::{
    Documents, ListHead, Material, PolicyError, PolicyFault, PolicySet, Unmatched,
};

/// The deny lists of the configuration, and where it says them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConfiguredLists<'o> {
    /// The lists.
    pub(super) lists: &'o [fetched_list::Options],
    /// The file that says them, where it is known.
    pub(super) file: Option<&'o Path>,
    /// The folder of what was fetched.
    pub(super) fetched: &'o Path,
}

/// What is kept of one list.
#[derive(Debug, Clone)]
pub struct KeptRead {
    /// Its name.
    pub name: String,
    /// Where it is fetched from.
    pub source: String,
    /// What came of reading it; none where nothing is kept.
    pub kept: Option<Result<KeptProof, ListFault>>,
    /// The version from which on any is taken, as the file of the version says that an operator
    /// wants; none where it says no such thing.
    pub lowered: Option<u64>,
}

/// Who must have signed each list, by its name.
pub type ListSigners = BTreeMap<String, Arc<SignerCheck>>;

/// A list that is proven by what is kept with it.
#[derive(Debug, Clone)]
pub struct KeptProof {
    /// What it says of itself.
    pub head: ListHead,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Who signed it, in words.
    pub signer: String,
    /// When it was fetched.
    pub fetched: jiff::Timestamp,
    /// The file, as it was read.
    pub file: Arc<[u8]>,
    /// Why it is not the list that this node took last. It denies all the same.
    pub outdated: Option<ListFault>,
}

/// Who must have signed this list, by this folder of keys and these roots. Faults are told at the
/// place in the configuration that makes them.
pub(super) fn signer_check(
    configured: ConfiguredLists<'_>,
    (folder, trust): (&Path, &TrustOptions),
    list: &fetched_list::Options,
) -> Result<SignerCheck, LoadError> {
    proven_by((folder, trust), list).map_err(|error| {
        let at = ConfiguredList {
            file: configured.file.map(Path::to_owned),
            number: configured.lists.iter().position(|one| one.name == list.name),
            name: list.name.clone(),
        };
        let of_list = |problem| Problem::ListSigner { at: at.clone(), problem: Box::new(problem) };
        LoadError { problems: error.problems.into_iter().map(of_list).collect() }
    })
}

fn proven_by(
    (folder, trust): (&Path, &TrustOptions),
    list: &fetched_list::Options,
) -> Result<SignerCheck, LoadError> {
    let policy = SignerCheck::policy(list).map_err(|why| unfit(list, why))?;
    let documents = Documents::parse(&[policy]).map_err(of_policy)?;
    let mut problems = Vec::new();
    let material = Material {
        keys: keys(&documents, (folder, Owners::NobodyElse), &mut problems),
        files: BTreeMap::new(),
        roots: trust_roots(&documents, trust, &mut problems),
    };
    if !problems.is_empty() {
        return Err(LoadError { problems });
    }
    let set = PolicySet::build(documents, material, Unmatched::Deny).map_err(of_policy)?;
    SignerCheck::new(list, set).map_err(|why| unfit(list, why))
}

fn of_policy(errors: Vec<PolicyError>) -> LoadError {
    LoadError { problems: errors.into_iter().map(Problem::Policy).collect() }
}

fn unfit(list: &fetched_list::Options, why: String) -> LoadError {
    of_policy(vec![PolicyError {
        file: format!("policy.deny_lists ({})", list.name),
        position: None,
        field: String::new(),
        fault: PolicyFault::Syntax(why),
    }])
}

/// Adds what is kept of every list of the configuration to the documents.
pub(super) fn add_kept(
    configured: ConfiguredLists<'_>,
    trust: (&Path, &TrustOptions),
    documents: &mut Documents,
    (problems, warnings): (&mut Vec<Problem>, &mut Vec<Warning>),
) -> (Vec<KeptRead>, ListSigners) {
    let folder = ListFolder::new(configured.fetched);
    let (mut read, mut signers) = (Vec::new(), ListSigners::new());
    for list in configured.lists {
        let check = match signer_check(configured, trust, list) {
            Ok(check) => check,
            Err(error) => {
                problems.extend(error.problems);
                continue;
            }
        };
        let name = list.name.clone();
        let remembered = folder.version(&name);
        let lowered = remembered.as_ref().ok().and_then(Option::as_ref);
        let lowered = lowered.filter(|known| known.is_lowered()).map(|known| known.version);
        let kept = match proven(&folder, list, &check).transpose() {
            None => None,
            Some(Err(fault)) => Some(Err(fault)),
            Some(Ok((proven, file))) => {
                let Proven { list, digest, signer, fetched } = proven;
                let head = list.head().clone();
                documents.add_fetched(list);
                let path = || folder.version_file(&name);
                let outdated = outdated(remembered, path, (head.version, &digest));
                Some(Ok(KeptProof { head, digest, signer, fetched, file, outdated }))
            }
        };
        match &kept {
            None => warnings.push(Warning::NoDenyList { name: name.clone() }),
            Some(Err(fault)) => {
                warnings.push(Warning::DenyList { name: name.clone(), fault: fault.clone() });
            }
            Some(Ok(KeptProof { outdated: Some(fault), .. })) => {
                warnings.push(Warning::OldDenyList { name: name.clone(), fault: fault.clone() });
            }
            Some(Ok(KeptProof { outdated: None, .. })) => {}
        }
        signers.insert(name.clone(), Arc::new(check));
        read.push(KeptRead { name, source: list.source.clone(), kept, lowered });
    }
    let is_unused = |name: &String| !configured.lists.iter().any(|list| list.name == *name);
    let unused = folder.names().into_iter().filter(is_unused);
    warnings.extend(unused.map(|name| Warning::UnusedDenyList { file: folder.list_file(&name) }));
    (read, signers)
}

/// Why a list that is kept is not the one that this node took last, or is not known to be: an older
/// one, validly signed, was put in its place, a power cut came between the two files, or the file of
/// the version was lost. That one is written before the list is.
fn outdated(
    remembered: Result<Option<KnownVersion>, FolderFault>,
    path: impl FnOnce() -> PathBuf,
    (version, digest): (u64, &Digest),
) -> Option<ListFault> {
    match remembered {
        Ok(Some(remembered)) => KnownVersion::follows(Some(&remembered), version, digest).err(),
        Ok(None) => Some(FolderFault::Gone { path: path() }.into()),
        Err(fault) => Some(fault.into()),
    }
}

/// A list that was proven, and the bytes of the file that it stands in.
type ProvenFile = (Proven, Arc<[u8]>);

fn proven(
    folder: &ListFolder,
    list: &fetched_list::Options,
    check: &SignerCheck,
) -> Result<Option<ProvenFile>, ListFault> {
    let Some(bytes) = folder.list(&list.name)? else { return Ok(None) };
    let malformed = |why| FolderFault::Malformed { path: folder.list_file(&list.name), why };
    let kept = KeptList::parse(&bytes).map_err(|why| ListFault::Files(malformed(why)))?;
    // As of when it was fetched: what counted then counts on, whatever the clock says now.
    let proven = kept.prove(list, check, kept.fetched)?;
    Ok(Some((proven, bytes.into())))
}
