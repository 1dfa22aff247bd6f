//! [`Requirement`]: what a document demands, as a tree of thresholds over leaves: signatures,
//! attestations, digests.
//!
//! Reading only; `judge` asks whether it is met. A requirement is exactly one kind; counts that
//! cannot be met are faults here, or in `set` once the keys are known.

pub(super) mod attestor;
pub(super) mod certificate_identity;
mod git_source;
pub(super) mod keys;
pub(super) mod matcher;
pub(super) mod material;
pub(super) mod overbroad_identity;
pub(super) mod predicate_constraint;
pub(super) mod signed_identity;
pub(super) mod signer_set;
pub(super) mod slsa;
pub(super) mod solve;
pub(super) mod subject_kind;
pub(super) mod trust;

use crate::image::Digest;

use super::position::Position;
use super::requirement::predicate_constraint::PredicateConstraint;
use super::requirement::signed_identity::SignedIdentity;
use super::requirement::solve::Tree;
use super::syntax::error::PolicyFault;
use super::syntax::fields::{At, Fields, Reader};
use super::syntax::yaml::Value;
use attestor::Attestor;

/// Deepest nesting of thresholds: more than anybody can read.
const NESTING_MAX: usize = 8;
/// Most requirements that are no threshold in one policy; each is judged against every signature.
const LEAVES_MAX: usize = 64;
/// Most digests of one requirement: a cluster's system images have dozens.
const DIGESTS_MAX: usize = 4096;
/// Longest name of a requirement; it stands in every refusal.
const NAME_MAX: usize = 63;

/// Every field that a requirement can have.
pub(super) const FIELDS: &[&str] = &[
    "all",
    "any",
    "atLeast",
    "key",
    "keyless",
    "certificate",
    "attestation",
    "digest",
    "insecureAcceptAnything",
    "name",
    "signedIdentity",
    "maxSignatureAge",
];
/// The fields of an attestation.
pub(super) const ATTESTATION: &[&str] =
    &["predicateType", "predicateTypes", "slsa", "by", "where", "maxAge"];
/// Those of them that say of which kind it is.
pub(super) const KINDS: &[&str] = &[
    "all",
    "any",
    "atLeast",
    "key",
    "keyless",
    "certificate",
    "attestation",
    "digest",
    "insecureAcceptAnything",
];
/// The kind that stands alone, and not below another.
const ACCEPT_ANYTHING: &str = "insecureAcceptAnything";
/// The others.
pub(super) const BESIDE: [&str; 3] = ["name", "signedIdentity", "maxSignatureAge"];

/// The fields of `atLeast`.
pub(super) const AT_LEAST: &[&str] = &["count", "of"];
/// The fields of `digest`.
pub(super) const DIGEST: &[&str] = &["anyOf"];

/// What a document demands.
#[derive(Debug)]
pub(super) struct Requirement {
    /// The thresholds; its leaves are numbers into `leaves`.
    pub(super) tree: Tree,
    /// The leaves, in the order written.
    pub(super) leaves: Vec<Leaf>,
    /// Where each threshold and leaf stands, for faults that show only once the keys are known.
    pub(super) thresholds: Vec<(Tree, Position, String)>,
    /// `insecureAcceptAnything`.
    pub(super) accepts_anything: bool,
}

/// One demand.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// Its name.
    pub(super) name: String,
    /// Whether the name was written.
    named: bool,
    /// What is demanded.
    pub(super) demand: Demand,
    /// Where it stands.
    pub(super) position: Position,
    /// Where it stands, as fields.
    pub(super) field: String,
}

/// What one leaf demands.
#[derive(Debug, Clone)]
pub(super) enum Demand {
    /// A signature on the image.
    Signature {
        /// By whom.
        attestor: Attestor,
        /// The name that the signature must carry.
        identity: SignedIdentity,
    },
    /// An attestation about the image.
    Attestation {
        /// By whom.
        attestor: Attestor,
        /// What it says.
        constraint: PredicateConstraint,
    },
    /// One of these digests.
    Digest(Vec<Digest>),
}

impl Requirement {
    /// What a document without `spec.require` demands.
    pub(super) fn nothing() -> Self {
        Self {
            tree: Tree::AtLeast(0, Vec::new()),
            leaves: Vec::new(),
            thresholds: Vec::new(),
            accepts_anything: true,
        }
    }

    /// Reads `spec.require`.
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let mut requirement = Self { accepts_anything: false, ..Self::nothing() };
        if let Some(accept) = sole_accept(at) {
            let _ = reader.fields(at, FIELDS)?;
            if !matches!(accept.node.value, Value::Bool(true)) {
                reader.fault(&accept, PolicyFault::AcceptNotTrue);
                return None;
            }
            requirement.accepts_anything = true;
            return Some(requirement);
        }
        requirement.tree = requirement.node(at, reader, 0)?;
        requirement.check_names(reader);
        Some(requirement)
    }

    /// The tree with the places of its thresholds noted, the outermost first.
    fn node(&mut self, at: &At<'_>, reader: &mut Reader, depth: usize) -> Option<Tree> {
        if depth > NESTING_MAX {
            reader.fault(
                at,
                PolicyFault::TooMany { what: "levels of requirements", limit: NESTING_MAX },
            );
            return None;
        }
        let fields = reader.fields(at, FIELDS)?;
        let found: Vec<&'static str> =
            KINDS.iter().copied().filter(|kind| fields.get(kind).is_some()).collect();
        let [kind] = found.as_slice() else {
            if found.is_empty() && fields.means(KINDS) {
                return None;
            }
            reader.fault(at, PolicyFault::NotOneKind { found });
            return None;
        };
        let inner = fields.get(kind)?;
        if *kind != ACCEPT_ANYTHING {
            only(&fields, beside(kind), reader);
        }
        match *kind {
            "all" | "any" => self.list(kind, inner, reader, depth),
            "atLeast" => self.at_least(inner, reader, depth),
            kind if attestor::KINDS.contains(&kind) => {
                let identity = match fields.get("signedIdentity") {
                    Some(at) => SignedIdentity::read(at, reader),
                    None => Some(SignedIdentity::default()),
                };
                let attestor = Attestor::read(kind, inner, fields.get("maxSignatureAge"), reader);
                let demand = attestor
                    .zip(identity)
                    .map(|(attestor, identity)| Demand::Signature { attestor, identity });
                self.named_leaf(at, &fields, demand, reader)
            }
            "attestation" => {
                let demand = attestation(inner, fields.get("maxSignatureAge"), reader);
                self.named_leaf(at, &fields, demand, reader)
            }
            "digest" => {
                let demand = digests(inner, reader)?;
                self.leaf(at, &fields, demand, reader)
            }
            _ => {
                reader.fault(inner, PolicyFault::NestedAccept);
                None
            }
        }
    }

    fn list(&mut self, kind: &str, at: &At<'_>, reader: &mut Reader, depth: usize) -> Option<Tree> {
        let children = self.children(at, reader, depth)?;
        let count = if kind == "all" { children.len() } else { 1 };
        Some(self.threshold(count, children, at))
    }

    fn at_least(&mut self, at: &At<'_>, reader: &mut Reader, depth: usize) -> Option<Tree> {
        let fields = reader.fields(at, AT_LEAST)?;
        let count = reader.required(&fields, "count").cloned();
        let of = reader.required(&fields, "of").cloned();
        let children = of.and_then(|of| self.children(&of, reader, depth));
        let (count_at, children) = (count?, children?);
        let Value::Integer(count) = count_at.node.value else {
            reader.wrong(&count_at, "a number");
            return None;
        };
        match usize::try_from(count) {
            Ok(enough) if enough > 0 && enough <= children.len() => {
                Some(self.threshold(enough, children, &count_at))
            }
            _ => {
                reader.fault(&count_at, PolicyFault::Count { count, of: children.len() });
                None
            }
        }
    }

    fn children(&mut self, at: &At<'_>, reader: &mut Reader, depth: usize) -> Option<Vec<Tree>> {
        let items = reader.list(at, "requirements in one list", LEAVES_MAX)?;
        // Every child is read, so that every fault is told; one that is missing leaves the whole
        // list out.
        let children: Vec<Option<Tree>> =
            items.iter().map(|item| self.node(item, reader, depth + 1)).collect();
        children.into_iter().collect()
    }

    fn threshold(&mut self, count: usize, children: Vec<Tree>, at: &At<'_>) -> Tree {
        let tree = Tree::AtLeast(count, children);
        self.thresholds.push((tree.clone(), at.node.position, at.field.clone()));
        tree
    }

    /// A leaf that must have a name; it is told that it has none even when the rest is wrong as
    /// well.
    fn named_leaf(
        &mut self,
        at: &At<'_>,
        fields: &Fields<'_>,
        demand: Option<Demand>,
        reader: &mut Reader,
    ) -> Option<Tree> {
        let named = reader.required(fields, "name").is_some();
        self.leaf(at, fields, demand.filter(|_| named)?, reader)
    }

    fn leaf(
        &mut self,
        at: &At<'_>,
        fields: &Fields<'_>,
        demand: Demand,
        reader: &mut Reader,
    ) -> Option<Tree> {
        if self.leaves.len() >= LEAVES_MAX {
            reader.fault(
                at,
                PolicyFault::TooMany { what: "requirements in one policy", limit: LEAVES_MAX },
            );
            return None;
        }
        let written = match fields.get("name") {
            Some(at) => Some(requirement_name(at, reader)?),
            None => None,
        };
        let leaf = Leaf {
            named: written.is_some(),
            name: written.unwrap_or_else(|| "digest".to_owned()),
            demand,
            position: at.node.position,
            field: at.field.clone(),
        };
        self.leaves.push(leaf);
        Some(Tree::Leaf(self.leaves.len() - 1))
    }

    fn check_names(&self, reader: &mut Reader) {
        for (n, leaf) in self.leaves.iter().enumerate() {
            let earlier = self.leaves.iter().take(n);
            if leaf.named
                && earlier.filter(|other| other.named).any(|other| other.name == leaf.name)
            {
                let fault = PolicyFault::DuplicateRequirement { name: leaf.name.clone() };
                reader.note(Some(leaf.position), leaf.field.clone(), fault);
            }
        }
    }
}

impl Leaf {
    /// Whether a signature is what it asks for.
    pub(super) fn asks_for_signature(&self) -> bool {
        match self.demand {
            Demand::Signature { .. } | Demand::Attestation { .. } => true,
            Demand::Digest(_) => false,
        }
    }

    /// By whom it wants a signature or an attestation; none where it wants neither.
    pub(super) fn attestor(&self) -> Option<&Attestor> {
        match &self.demand {
            Demand::Signature { attestor, .. } | Demand::Attestation { attestor, .. } => {
                Some(attestor)
            }
            Demand::Digest(_) => None,
        }
    }
}

/// The value of `insecureAcceptAnything` when it is the map's only kind.
fn sole_accept<'n>(at: &At<'n>) -> Option<At<'n>> {
    let Value::Map(entries) = &at.node.value else { return None };
    match entries.as_slice() {
        [(key, node)] if key.name == ACCEPT_ANYTHING => {
            Some(At { node, field: format!("{}.{}", at.field, key.name) })
        }
        _ => None,
    }
}

/// Which of [`BESIDE`] a requirement of this kind can have.
pub(super) fn beside(kind: &str) -> &'static [&'static str] {
    match kind {
        "attestation" => &["name", "maxSignatureAge"],
        "digest" => &["name"],
        kind if attestor::KINDS.contains(&kind) => &BESIDE,
        _ => &[],
    }
}

/// Fields that exist, but not beside this kind.
fn only(fields: &Fields<'_>, allowed: &'static [&'static str], reader: &mut Reader) {
    for name in BESIDE {
        if let Some(at) = fields.get(name).filter(|_| !allowed.contains(&name)) {
            reader
                .fault(at, PolicyFault::UnknownField { name: name.to_owned(), expected: allowed });
        }
    }
}

fn attestation(at: &At<'_>, max_age: Option<&At<'_>>, reader: &mut Reader) -> Option<Demand> {
    let fields = reader.fields(at, ATTESTATION)?;
    let constraint = PredicateConstraint::read(&fields, reader);
    let max_age = match (max_age, fields.get("maxAge")) {
        (Some(_), Some(at)) => {
            reader.fault(at, PolicyFault::Excludes { name: "maxAge", with: "maxSignatureAge" });
            return None;
        }
        (one, other) => one.or(other),
    };
    let attestor = reader.required(&fields, "by").cloned();
    let attestor = attestor.and_then(|at| {
        let fields = reader.fields(&at, attestor::KINDS)?;
        let kind = reader.one_of(&fields, attestor::KINDS)?;
        Attestor::read(kind, fields.get(kind)?, max_age, reader)
    });
    attestor
        .zip(constraint)
        .map(|(attestor, constraint)| Demand::Attestation { attestor, constraint })
}

fn digests(at: &At<'_>, reader: &mut Reader) -> Option<Demand> {
    let fields = reader.fields(at, DIGEST)?;
    let list = reader.required(&fields, "anyOf")?.clone();
    let digests = digest_list(&list, "digests in one requirement", reader);
    (!digests.is_empty()).then_some(Demand::Digest(digests))
}

/// A list of digests, none twice.
pub(in crate::policy) fn digest_list(
    at: &At<'_>,
    what: &'static str,
    reader: &mut Reader,
) -> Vec<Digest> {
    let mut digests = Vec::new();
    for (at, text) in reader.texts(at, what, DIGESTS_MAX) {
        match Digest::parse(text) {
            Ok(digest) => digests.push(digest),
            Err(error) => reader.fault(&at, PolicyFault::Digest(error)),
        }
    }
    digests
}

fn requirement_name(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let text = reader.text(at)?;
    let fits = !text.is_empty()
        && text.len() <= NAME_MAX
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if fits && text.trim() == text && !text.contains('"') {
        return Some(text.to_owned());
    }
    reader.fault(at, PolicyFault::Name { got: text.to_owned() });
    None
}
