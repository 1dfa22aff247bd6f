//! What the node's operator demands of images, and the judge that lets one through or not.
//!
//! [`Documents`] are read strictly; with the keys, certificates and trust roots that they name they
//! become a [`PolicySet`]; that says which documents are [`Applicable`] to a name and a pod, what
//! has to be gathered ([`Plan`]), and, with the evidence at hand, judges a [`Case`]: a [`Permit`],
//! which nothing else can make, or a [`Denial`]. Nothing here fetches, reads a file or a clock.
//!
//! # The language
//! ```yaml
//! apiVersion: sealgate/v1
//! kind: ImagePolicy
//! metadata: {name: production}                    # unique over all files
//! spec:
//!   images: ["registry.example.com/prod/**"]      # repositories; ** crosses slashes, * does not; anchored
//!   exclude: ["registry.example.com/prod/scratch/*"]    # in both host/path@sha256:... is one image
//!   namespaces: ["prod-*"]                        # left out: every namespace; excludeNamespaces as well
//!   podLabels: {tier: "prod-*"}                   # and podAnnotations, runtimeHandlers: what an author writes
//!   imageLabels: {org.example.tier: pci}          # of the image's proven config: what its author writes
//!   kinds: [container, imageVolume]               # or sandbox; left out: every use of an image
//!   action: enforce                               # or warn: admit, and say so
//!   onUnreachable: deny                           # or insecureAdmit: admit what no registry can be asked about
//!   signatureRepository: sig.example.com/acme     # where signatures are, instead of in the image's own repository
//!   refreshAfter: 24h                             # ask the registry again for older evidence, in the background
//!   maxOffline: 30d                               # older evidence does not count while the registry is away
//!   require:                                      # exactly one of:
//!     all:                                        #   all: [...]  any: [...]  atLeast: {count: 2, of: [...]}
//!       - name: build                             #   a key: a signature by any of these keys
//!         key: {files: [build.pub, {file: old.pub, notAfter: 2027-01-01T00:00:00Z}], trustRoot: public-good}
//!         signedIdentity: matchRepository
//!         maxSignatureAge: 90d                    #   beside any of the four; needs a trust root
//!       - name: release                           #   keyless: an identity of a Sigstore instance
//!         keyless:
//!           trustRoot: public-good                #   the default; minLogEntries: 1, minTimestamps: 0 as well
//!           identities:                           #   issuer[RegExp] and subject[RegExp], or insecureAny...
//!             - issuer: https://token.actions.githubusercontent.com
//!               subjectRegExp: ^https://github\.com/acme/app/\.github/workflows/release\.yml@refs/tags/v.*$
//!               extensions: {sourceRepositoryURI: https://github.com/acme/app}
//!       - name: team                              #   a certificate of an own authority
//!         certificate: {roots: [ca.pem], crls: [ca.crl], subjects: [{email: release@acme.example}]}
//!       - name: sbom                              #   an attestation: of a kind, by somebody, that says something
//!         attestation:
//!           predicateType: spdxjson               #   or slsa: {builder, source, ref, workflow, ...}
//!           by: {key: {files: [build.pub]}}       #   any of the three
//!           where: size(predicate.packages) > 0   #   CEL
//!       - digest: {anyOf: ["sha256:..."]}         #   a digest: no signature is needed
//!                                                 #   insecureAcceptAnything: true, alone under require
//! ```
//!
//! * Unknown, misspelt and doubled fields, empty lists, patterns and counts that can never be met
//!   are errors with file, line, column and field, and refuse the whole set (attack B4).
//! * Every document that matches must be met; what none matches is [`Unmatched`]. Names are folded
//!   before they are matched, and so are the patterns' hosts. What is not known of an image or a pod
//!   matches every enforcing document and no permissive one; permissive documents name the owners of
//!   their hosts, and go by nothing that a pod's author writes (attack E8).
//! * Regular expressions match the whole text (attack B5). An identity that strangers have as well
//!   is an error unless it is spelled `insecure...` (attack B8). What is odd and no error is a
//!   [`Note`].
//! * The entries that count for a threshold are met by distinct signers, all the way down: the same
//!   key under two names counts once, and so does the same certificate holder through two
//!   requirements (attack C2). Signers are counted for each kind of claim by itself: who signs an
//!   image may attest its provenance too.
//! * A signature is judged at its proven times, and at now when it has none; a permit says until
//!   when it holds.
//! * A condition that cannot be evaluated is *unable*: never true, and not refused either.
//! * A signature counts on the target or, unless the target was asked for by digest, on the
//!   platform manifest under it; what rests on the latter is pinned to it.
//! * What could not be looked at is never taken for absent: [`Class`] keeps *refused*, *unable* and
//!   *unreachable* apart.
//!
//! The whole reference is the manual page sealgate-policy(5).

mod condition;
mod deny_file;
mod document;
mod evaluate;
mod explain;
mod lint;
mod position;
mod requirement;
mod sanitize;
mod schema;
mod scope;
mod set;
mod syntax;
#[cfg(test)]
mod tests;

pub use crate::policy::condition::error::{ConditionError, ConditionFault};
pub use crate::policy::deny_file::{DenyFileFault, with_deny_entry, without_deny_entry};
pub use crate::policy::document::action::{Action, OnUnreachable};
pub use crate::policy::document::deny_entry::{Denied, DenyEntry, Fingerprint, IdentityText};
pub use crate::policy::document::fetched_list::FetchedList;
pub use crate::policy::document::head::ListHead;
pub use crate::policy::document::reader::{DocumentCounts, DocumentsReader, ParsedFile};
pub use crate::policy::document::replaced::Replaced;
pub use crate::policy::document::signature_sources::{Freshness, SIGNATURE_REPOSITORIES_MAX};
pub use crate::policy::document::test_case::{CaseEvidence, TestCase, test_cases};
pub use crate::policy::evaluate::case::Case;
pub use crate::policy::evaluate::finding::{DeniedSigner, Finding};
pub use crate::policy::evaluate::judge::Sifted;
pub use crate::policy::evaluate::permit::{Class, Denial, Permit, Reason, Verdict, Warning};
pub use crate::policy::evaluate::report::{
    DocumentReport, Report, RequirementReport, SIGNATURE_RESULTS_MAX, SIGNERS_MAX,
    SignatureOutcome, SignatureResult, SignedObject, Unchecked,
};
pub use crate::policy::evaluate::signer::{
    CertificateInfo, LogEntryInfo, SignedAt, Signer, SignerId,
};
pub use crate::policy::explain::listing::{Does, ListedDocument};
pub use crate::policy::explain::{
    Asked, Conclusion, Deciding, ExplainedDocument, ExplainedException, Explanation, Patterns,
    SigningParty, SigningWay,
};
pub use crate::policy::lint::located;
pub use crate::policy::position::Position;
pub use crate::policy::requirement::attestor::PUBLIC_GOOD;
pub use crate::policy::requirement::material::Material;
pub use crate::policy::schema::json_schema;
pub use crate::policy::scope::image_scope::{ImageScope, ScopeFault};
pub use crate::policy::set::applicable::{Applicable, Elsewhere, OtherNamespaces, OtherPods};
pub use crate::policy::set::denials::DeniedBy;
pub use crate::policy::set::exceptions::{ExceptionEnds, ExceptionNotice, ExceptionUsed};
pub use crate::policy::set::keys::{DeniedKey, ListedKey};
pub use crate::policy::set::kinds::Plan;
pub use crate::policy::set::mode::Mode;
pub use crate::policy::set::observe::Observed;
pub use crate::policy::set::unproven::AdmitsEverything;
pub use crate::policy::syntax::advice::Advice;
pub use crate::policy::syntax::error::{
    IdentityFault, Note, PatternFault, PolicyError, PolicyFault,
};
pub use crate::policy::syntax::foreign::Foreign;
pub use crate::policy::syntax::regexp::RegExpFault;
pub use crate::policy::syntax::selector_fault::SelectorFault;
pub use crate::policy::syntax::suggest::nearest;
/// Positioned YAML, for policies of other programs that are read in the same way.
pub(crate) use crate::policy::syntax::yaml;
pub use document::{Documents, FILE_MAX, NamedAt, PolicyFile};
pub use set::{Expiry, PolicySet, Unmatched, VerdictKey};
