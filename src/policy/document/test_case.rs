//! [`TestCase`]: an image, a pod and a moment, and what the policies must say of them; read from a
//! document of kind `PolicyTest`, as strictly as a policy.
//!
//! Reading only: who judges it, and from which evidence, is the command line's business.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::kind::VERSIONS;
use super::patterns::metadata;
use super::reader::FIELDS;
use super::selectors::USES;
use super::{FILE_MAX, PolicyFile};
use crate::evidence::{ImageUse, Notes, Pod, Traits};
use crate::image::{Digest, Reference};
use crate::policy::position::Position;
use crate::policy::syntax::error::{IdentityFault, PolicyError, PolicyFault};
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;
use crate::policy::syntax::yaml::{self, Value};

/// Most cases of one document.
const CASES_MAX: usize = 1000;
/// The kinds of documents that have cases.
pub(in crate::policy) const KINDS: &[&str] = &["PolicyTest"];
/// The fields of `spec`.
pub(in crate::policy) const SPEC: &[&str] = &["cases"];
/// The fields of a case.
pub(in crate::policy) const CASE: &[&str] = &[
    "name",
    "image",
    "digest",
    "platformManifest",
    "namespace",
    "podLabels",
    "podAnnotations",
    "imageLabels",
    "runtimeHandler",
    "kind",
    "at",
    "evidence",
    "unsigned",
    "unreachable",
    "verdict",
    "code",
];
/// The verdicts, as the audit log has them.
pub(in crate::policy) const VERDICTS: &[&str] = &[
    "admitted",
    "warned",
    "unmatched",
    "unverified",
    "excepted",
    "unchecked",
    "refused",
    "unable",
    "unreachable",
];

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Its name, after that of its document.
    pub name: String,
    /// The file that it is in.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    /// The image, as a pod would name it.
    pub image: Reference,
    /// What the name points at: a manifest or an index.
    pub digest: Digest,
    /// The manifest under an index that the node would run.
    pub platform_manifest: Option<Digest>,
    /// The pod, and what it wants the image for; what is left out is not known.
    pub pod: Pod,
    /// When it is judged.
    pub at: Timestamp,
    /// What is known of its signatures.
    pub evidence: CaseEvidence,
    /// The registry was asked about what is not known, and could not be reached.
    pub unreachable: bool,
    /// The verdict that is expected, a word of the audit log's.
    pub verdict: &'static str,
    /// The reason code that is expected; any when left out.
    pub code: Option<String>,
}

/// What is known of the signatures of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseEvidence {
    /// What `sealgate evidence export` wrote to this file, below the folder of the case.
    Recorded(String),
    /// Every place was looked in, and there is nothing.
    Unsigned,
    /// Nothing.
    Nothing,
}

/// Reads every case of a file.
///
/// # Errors
/// Every fault that was found, at most a hundred.
pub fn test_cases(file: &PolicyFile) -> Result<Vec<TestCase>, Vec<PolicyError>> {
    let mut reader = Reader::new(&file.name);
    let mut cases = Vec::new();
    match text(file).and_then(yaml::documents) {
        Ok(nodes) if nodes.is_empty() => {
            reader.note(None, String::new(), PolicyFault::NoDocument);
        }
        Ok(nodes) => {
            for node in &nodes {
                let at = At { node, field: String::new() };
                cases.extend(document(&at, &mut reader).into_iter().flatten());
            }
        }
        Err((position, fault)) => reader.note(position, String::new(), fault),
    }
    told_twice(&cases, &mut reader);
    let (errors, _) = reader.finish();
    if errors.is_empty() { Ok(cases) } else { Err(errors) }
}

fn text(file: &PolicyFile) -> Result<&str, (Option<Position>, PolicyFault)> {
    if file.bytes.len() > FILE_MAX {
        let fault = PolicyFault::FileTooLarge { bytes: file.bytes.len(), limit: FILE_MAX };
        return Err((None, fault));
    }
    std::str::from_utf8(&file.bytes).map_err(|_| (None, PolicyFault::NotText))
}

/// Two cases of one name could not be told apart in a report.
fn told_twice(cases: &[TestCase], reader: &mut Reader) {
    let mut first: BTreeMap<&str, Position> = BTreeMap::new();
    for case in cases {
        let Some(at) = first.get(case.name.as_str()) else {
            first.insert(&case.name, case.position);
            continue;
        };
        let first = format!("{}:{}", case.file, at.line);
        let fault = PolicyFault::DuplicateName { name: case.name.clone(), first };
        reader.note(Some(case.position), "name".to_owned(), fault);
    }
}

fn document(at: &At<'_>, reader: &mut Reader) -> Option<Vec<TestCase>> {
    let fields = reader.fields(at, FIELDS)?;
    let version = reader.required(&fields, "apiVersion").and_then(|at| reader.word(at, VERSIONS));
    let kind = reader.required(&fields, "kind").and_then(|at| reader.word(at, KINDS));
    let name = reader.required(&fields, "metadata").and_then(|at| metadata(at, reader));
    let spec = reader.required(&fields, "spec").cloned();
    let spec = spec.and_then(|at| reader.fields(&at, SPEC))?;
    let list = reader.required(&spec, "cases").cloned()?;
    let mut cases = Vec::new();
    for at in reader.list(&list, "cases in one document", CASES_MAX)? {
        cases.extend(case(name.unwrap_or_default(), &at, reader));
    }
    version.and(kind).and(name).map(|_| cases)
}

fn case(document: &str, at: &At<'_>, reader: &mut Reader) -> Option<TestCase> {
    let fields = reader.fields(at, CASE)?;
    let text = |name: &'static str, reader: &mut Reader| {
        let at = reader.required(&fields, name).cloned()?;
        reader.text(&at).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let name = text("name", reader);
    let image = reader.required(&fields, "image").cloned().and_then(|at| reference(&at, reader));
    let of = |name, reader: &mut Reader| fields.get(name).map(|at| digest_of(at, reader));
    let (digest, platform) = (of("digest", reader), of("platformManifest", reader));
    let named = image.as_ref().and_then(|image| image.digest().cloned());
    let digest = match (digest, named) {
        (Some(written), _) => written,
        (None, Some(named)) => Some(named),
        (None, None) => reader.required(&fields, "digest").and(None),
    };
    let pod = pod(&fields, reader);
    let moment = reader.required(&fields, "at").cloned().and_then(|at| times::moment(&at, reader));
    let evidence = evidence(&fields, reader);
    let is_cut = fields.get("unreachable").is_some();
    let unreachable = is_cut.then(|| reader.is_true(&fields, "unreachable"));
    if let Some(at) = fields.get("unsigned").filter(|_| is_cut) {
        reader.fault(at, PolicyFault::Excludes { name: "unsigned", with: "unreachable" });
    }
    let verdict = reader.required(&fields, "verdict").and_then(|at| reader.word(at, VERDICTS));
    let code = fields.get("code").cloned().map(|at| reader.text(&at).map(str::to_owned));
    Some(TestCase {
        name: format!("{document}/{}", name?),
        file: reader.file().to_owned(),
        position: at.node.position,
        image: image?,
        digest: digest?,
        platform_manifest: platform.map_or(Some(None), |digest| digest.map(Some))?,
        pod: pod?,
        at: moment?,
        evidence: evidence?,
        unreachable: unreachable.unwrap_or(false),
        verdict: verdict?,
        code: code.map_or(Some(None), |text| text.map(Some))?,
    })
}

/// What the fields say of the pod, and of the image's labels.
fn pod(fields: &Fields<'_>, reader: &mut Reader) -> Option<Pod> {
    let text = |name, reader: &mut Reader| {
        let text = fields.get(name).map(|at| reader.text(at).map(str::to_owned));
        text.map_or(Some(None), |text| text.map(Some))
    };
    let notes = |name, reader: &mut Reader| {
        fields.get(name).map_or_else(|| Some(Notes::default()), |at| notes(at, reader))
    };
    let namespace = text("namespace", reader);
    let (labels, annotations) = (notes("podLabels", reader), notes("podAnnotations", reader));
    let image_labels = notes("imageLabels", reader);
    let handler = text("runtimeHandler", reader);
    let kind = fields.get("kind").map(|at| reader.word(at, USES).and_then(ImageUse::of_word));
    let traits = Traits {
        labels: labels?,
        annotations: annotations?,
        handler: handler?,
        image_use: kind.map_or(Some(None), |kind| kind.map(Some))?,
        image_labels: image_labels?,
    };
    Some(Pod { namespace: namespace?, traits, ..Pod::default() })
}

/// All labels or annotations; `{}` for none.
fn notes(at: &At<'_>, reader: &mut Reader) -> Option<Notes> {
    let Value::Map(entries) = &at.node.value else {
        reader.wrong(at, "a map");
        return None;
    };
    let (mut found, mut is_whole) = (BTreeMap::new(), true);
    for (key, node) in entries {
        let value = At { node, field: format!("{}.{}", at.field, key.name) };
        let Some(text) = reader.text(&value) else {
            is_whole = false;
            continue;
        };
        if found.insert(key.name.clone(), text.to_owned()).is_some() {
            let fault = PolicyFault::DuplicateField { name: key.name.clone() };
            reader.note(Some(key.position), value.field, fault);
        }
    }
    is_whole.then(|| Notes::all(found))
}

fn digest_of(at: &At<'_>, reader: &mut Reader) -> Option<Digest> {
    let text = reader.text(at)?;
    Digest::parse(text).map_err(|error| reader.fault(at, PolicyFault::Digest(error))).ok()
}

fn reference(at: &At<'_>, reader: &mut Reader) -> Option<Reference> {
    let text = reader.text(at)?;
    Reference::parse(text)
        .map_err(|error| {
            let fault = PolicyFault::Identity(IdentityFault::Reference(error));
            reader.fault(at, fault);
        })
        .ok()
}

/// Recorded evidence, or that there is none; not both.
fn evidence(fields: &Fields<'_>, reader: &mut Reader) -> Option<CaseEvidence> {
    match (fields.get("evidence").cloned(), fields.get("unsigned").is_some()) {
        (None, false) => Some(CaseEvidence::Nothing),
        (None, true) => reader.is_true(fields, "unsigned").then_some(CaseEvidence::Unsigned),
        (Some(at), false) => {
            let file = reader.text(&at)?;
            let climbs = file.split('/').any(|part| part == "..") || file.starts_with('/');
            if climbs || file.is_empty() {
                reader.fault(&at, PolicyFault::Name { got: file.to_owned() });
                return None;
            }
            Some(CaseEvidence::Recorded(file.to_owned()))
        }
        (Some(_), true) => {
            reader.one_of(fields, &["evidence", "unsigned"])?;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::NoteValue;

    const GOOD: &str = r#"apiVersion: sealgate/v1
kind: PolicyTest
metadata: {name: production}
spec:
  cases:
    - name: signed
      image: registry.example.com/prod/app:1.2
      digest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      namespace: prod-eu
      podLabels: {tier: prod}
      imageLabels: {maintainer: acme}
      runtimeHandler: kata
      kind: container
      at: 2026-01-31T12:00:00Z
      evidence: app.tar
      verdict: admitted
      code: satisfied
    - name: unsigned
      image: registry.example.com/prod/app@sha256:2222222222222222222222222222222222222222222222222222222222222222
      at: 2026-01-31T12:00:00Z
      podLabels: {}
      unsigned: true
      verdict: refused
"#;

    fn read(text: &str) -> Result<Vec<TestCase>, Vec<PolicyError>> {
        test_cases(&PolicyFile { name: "case.yaml".to_owned(), bytes: text.into() })
    }

    /// The first fault of a text, with its line.
    fn fault(text: &str) -> (Option<u64>, PolicyFault) {
        let error = read(text).unwrap_err().remove(0);
        (error.position.map(|position| position.line), error.fault)
    }

    #[test]
    fn a_case_is_read_whole() {
        let cases = read(GOOD).unwrap();
        let [signed, unsigned] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!(signed.name, "production/signed");
        assert_eq!(signed.evidence, CaseEvidence::Recorded("app.tar".to_owned()));
        assert_eq!((signed.verdict, signed.code.as_deref()), ("admitted", Some("satisfied")));
        assert_eq!(signed.pod.namespace.as_deref(), Some("prod-eu"));
        let traits = &signed.pod.traits;
        assert_eq!(traits.labels.get("tier"), NoteValue::Is("prod"));
        assert_eq!(traits.labels.get("app"), NoteValue::Absent);
        assert_eq!(traits.annotations.get("app"), NoteValue::Unknown, "they are not given");
        assert_eq!(traits.image_labels.get("maintainer"), NoteValue::Is("acme"));
        assert_eq!(traits.image_labels.get("tier"), NoteValue::Absent);
        assert_eq!(traits.handler.as_deref(), Some("kata"));
        assert_eq!(traits.image_use, Some(ImageUse::Container));
        assert_eq!(
            unsigned.pod,
            Pod {
                traits: Traits { labels: Notes::all([]), ..Traits::default() },
                ..Pod::default()
            }
        );
        assert_eq!(unsigned.evidence, CaseEvidence::Unsigned);
        assert_eq!((unsigned.verdict, &unsigned.code), ("refused", &None));
        assert_eq!(Some(&unsigned.digest), unsigned.image.digest());
    }

    #[test]
    fn what_is_misspelt_or_missing_is_told_with_its_line() {
        let with = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            fault(&GOOD.replacen(from, to, 1))
        };
        let (line, unknown) = with("namespace:", "namepsace:");
        assert!(matches!(unknown, PolicyFault::UnknownField { .. }) && line == Some(9), "{line:?}");
        let (line, word) = with("verdict: admitted", "verdict: allowed");
        assert!(matches!(word, PolicyFault::UnknownWord { .. }) && line == Some(16), "{line:?}");
        let (line, kind) = with("PolicyTest", "PolicyTests");
        assert!(matches!(kind, PolicyFault::UnknownWord { .. }) && line == Some(2), "{line:?}");
        let (_, missing) = with("      at: 2026-01-31T12:00:00Z\n", "");
        assert_eq!(missing, PolicyFault::MissingField { name: "at" });
        let (_, no_digest) = with(
            "app@sha256:2222222222222222222222222222222222222222222222222222222222222222",
            "app:1",
        );
        assert_eq!(no_digest, PolicyFault::MissingField { name: "digest" });
        let (_, both) = with("evidence: app.tar", "evidence: app.tar\n      unsigned: true");
        assert!(matches!(both, PolicyFault::OneOf { .. }), "{both:?}");
        let (_, climbing) = with("evidence: app.tar", "evidence: ../app.tar");
        assert!(matches!(climbing, PolicyFault::Name { .. }), "{climbing:?}");
        let (_, twice) = with("name: unsigned", "name: signed");
        assert!(matches!(twice, PolicyFault::DuplicateName { .. }), "{twice:?}");
    }
}
