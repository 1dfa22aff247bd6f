//! [`PolicyError`]: what is wrong with a policy document, and where: file, line, column and field.
//!
//! Every error that one reading finds is told, not only the first; a set with one error is never
//! loaded in part.

use crate::image::{DigestError, ReferenceError};
use crate::verify::{AuthorityError, KeyError};

use super::advice::Advice;
use super::foreign::Foreign;
use crate::policy::condition::error::ConditionError;
use crate::policy::position::Position;
use crate::policy::syntax::regexp::RegExpFault;
use crate::policy::syntax::selector_fault::SelectorFault;

/// One fault of one policy file, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The file's name as it was given.
    pub file: String,
    /// Where in the file; none when the fault is the file's as a whole.
    pub position: Option<Position>,
    /// The field, `spec.require.all[1].key.files[0]`; empty for the document itself.
    pub field: String,
    /// What is wrong.
    pub fault: PolicyFault,
}

/// Something odd in one policy file, and no fault: the set is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file's name as it was given.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    /// The field.
    pub field: String,
    /// What is odd.
    pub advice: Advice,
}

/// What can be wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The file is larger than is read.
    FileTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file is not UTF-8.
    NotText,
    /// Two files of one set have the same name.
    DuplicateFile,
    /// Not YAML or JSON; what the parser said.
    Syntax(String),
    /// An anchor, an alias, a merge key or a tag: a policy says what it means in full.
    NotPlain,
    /// More of something than is read.
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No document in the file: empty, or comments alone.
    NoDocument,
    /// A document of another program.
    Foreign(Foreign),
    /// A field that stands twice.
    DuplicateField {
        /// Its name.
        name: String,
    },
    /// A field that does not exist here.
    UnknownField {
        /// Its name as written.
        name: String,
        /// What may stand here.
        expected: &'static [&'static str],
    },
    /// A field that must be there is not.
    MissingField {
        /// Its name.
        name: &'static str,
    },
    /// A value of another kind than is wanted here.
    WrongType {
        /// What is wanted.
        expected: &'static str,
        /// What stands there.
        got: &'static str,
    },
    /// A list with nothing in it.
    EmptyList,
    /// The same value twice in one list.
    DuplicateEntry {
        /// The value.
        value: String,
    },
    /// A word that is none of the known ones (`apiVersion`, `kind`, `action`, `signedIdentity`).
    UnknownWord {
        /// As written.
        got: String,
        /// What may stand here.
        expected: &'static [&'static str],
    },
    /// A name that does not follow the grammar of names.
    Name {
        /// As written.
        got: String,
    },
    /// Two policies of one name.
    DuplicateName {
        /// The name.
        name: String,
        /// The file and place of the first.
        first: String,
    },
    /// Two requirements of one name in one policy.
    DuplicateRequirement {
        /// The name.
        name: String,
    },
    /// A requirement is none, or more than one, of the kinds.
    NotOneKind {
        /// The kinds that stand there.
        found: Vec<&'static str>,
    },
    /// `insecureAcceptAnything` inside another requirement: it stands alone or not at all.
    NestedAccept,
    /// `insecureAcceptAnything` that is not `true`.
    AcceptNotTrue,
    /// An image pattern that cannot be used.
    Pattern(PatternFault),
    /// A permissive policy (`warn`, `insecureAcceptAnything`) whose pattern leaves open whose
    /// registry it is about.
    PermissiveHost,
    /// A namespace pattern that cannot match a namespace.
    Namespace,
    /// A field by which pods are selected that cannot be used.
    Selector(SelectorFault),
    /// Not a digest.
    Digest(DigestError),
    /// A count of zero, or above the number of entries.
    Count {
        /// The count.
        count: u64,
        /// The number of entries that it is out of.
        of: usize,
    },
    /// Even if every key signed, this could not be met: its entries need more distinct keys than
    /// they name.
    Unsatisfiable {
        /// How many distinct keys are named.
        distinct_keys: usize,
    },
    /// The thresholds combine in more ways than are searched.
    TooComplex {
        /// The limit of combinations.
        limit: usize,
    },
    /// A key file's name that leaves the key folder or cannot be a name.
    KeyFileName {
        /// As written.
        name: String,
    },
    /// A key that a policy has written out, and that cannot be used.
    InlineKey(KeyError),
    /// A key file that is named and was not given.
    KeyMissing {
        /// As written.
        name: String,
    },
    /// A file of certificates or revocation lists that is named and was not given.
    FileMissing {
        /// As written.
        name: String,
        /// The policy that needs it.
        policy: String,
    },
    /// A trust root that is named and was not given.
    RootMissing {
        /// As written.
        name: String,
        /// The policy that needs it.
        policy: String,
    },
    /// The certificates and revocation lists together are no authority.
    Authority(AuthorityError),
    /// A file's name that leaves the key folder or cannot be a name.
    FileName {
        /// As written.
        name: String,
    },
    /// A trust root's name that does not follow the grammar of those.
    RootName {
        /// As written.
        name: String,
    },
    /// None or several of fields of which exactly one must be there.
    OneOf {
        /// The fields.
        expected: &'static [&'static str],
        /// Those that are there.
        found: Vec<&'static str>,
    },
    /// A field that is `true` or is not there, and is something else.
    NotTrue {
        /// Its name.
        name: &'static str,
    },
    /// A text with nothing in it.
    EmptyText,
    /// A number that is too small or too large.
    Range {
        /// The number.
        got: u64,
        /// The smallest.
        from: u8,
        /// The largest.
        to: u8,
    },
    /// A regular expression that cannot be used.
    RegExp(RegExpFault),
    /// An identity, or an expression in it, that strangers fit as well.
    MatchesAnyone {
        /// Which part: `issuer`, `subject`.
        part: &'static str,
        /// A stranger who fits; none where the part is not there at all.
        stranger: Option<String>,
        /// How to spell it where it is meant.
        spell: &'static str,
    },
    /// A field that only a trust root can vouch for, and none is named.
    NeedsTrustRoot {
        /// The field.
        name: &'static str,
    },
    /// Two fields that exclude each other.
    Excludes {
        /// The one.
        name: &'static str,
        /// The other.
        with: &'static str,
    },
    /// `minLogEntries: 0` for a keyless signature, which is spelled `insecureIgnoreTlog`.
    LogNotAsked,
    /// Not a time.
    Time {
        /// As written.
        got: String,
    },
    /// A window that ends before it begins.
    EmptyWindow,
    /// Not an age, or none that is positive and at most ten years.
    Age {
        /// As written.
        got: String,
    },
    /// Not a SHA-256 in any usual spelling.
    Fingerprint {
        /// As written.
        got: String,
    },
    /// A reason or another text for people that is empty, too long, or more than a line.
    Line {
        /// The limit in bytes.
        limit: usize,
    },
    /// A `signatureRepository` that is none.
    SignatureRepository {
        /// As written.
        got: String,
        /// What to write instead, where that can be told: the text names an image, or leaves out
        /// the host.
        write: Option<String>,
    },
    /// A condition that cannot be used.
    Condition(ConditionError),
    /// A wish for a provenance that nothing can meet.
    Provenance {
        /// As written.
        got: String,
        /// What is wanted here.
        expected: &'static str,
    },
    /// Not a predicate type.
    PredicateType {
        /// As written.
        got: String,
    },
    /// A name in `signedIdentity` that is no image name, or has a tag or digest too many or too
    /// few.
    Identity(IdentityFault),
}

/// Why an image pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternFault {
    /// Nothing there, or an empty part between slashes.
    Empty,
    /// A tag: patterns match repositories.
    Tag,
    /// A digest: patterns match repositories.
    Digest,
    /// A digest that is none.
    ImageDigest(DigestError),
    /// A digest beside wildcards: it is that of an image of one repository.
    DigestOfMany,
    /// No host; what to write instead.
    NoHost {
        /// The pattern with its host.
        write: String,
    },
    /// The host follows no grammar.
    Host,
    /// The path follows no grammar (lower case).
    Path,
    /// A metacharacter other than `*` and `**`.
    Metacharacter(char),
    /// `**` beside other characters; it stands alone between slashes.
    DoubleStar,
    /// No name can match; what to write instead.
    NeverMatches {
        /// A pattern that can match.
        write: String,
    },
    /// Longer than any name.
    TooLong,
    /// The host of the image by which the gate tests itself, which is always refused.
    Reserved,
}

/// Why a name in `signedIdentity` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFault {
    /// Not an image name.
    Reference(ReferenceError),
    /// A tag or digest where a repository is wanted.
    NotRepository,
    /// No tag and no digest where an exact reference is wanted.
    NotExact,
    /// A prefix without a host.
    Prefix,
}
