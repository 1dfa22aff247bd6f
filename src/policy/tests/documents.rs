//! Documents that are refused, each with its typed fault and its place.

mod values;

use proptest::prelude::*;

use super::support::*;
use crate::policy::{
    Documents, PatternFault, PolicyFault, PolicyFile, PolicySet, Position, Unmatched,
};

/// The example of the policy language; every field that there is stands in it.
const GOOD: &str = r#"apiVersion: sealgate/v1
kind: ImagePolicy
metadata:
  name: production
spec:
  images: ["registry.example.com/prod/**"]
  exclude: ["registry.example.com/prod/scratch/*"]
  namespaces: ["prod-*"]
  action: enforce
  signatureRepository: signatures.example.com:5000/prod
  refreshAfter: 24h
  maxOffline: 30d
  require:
    all:
      - name: build
        key:
          files: [build.pub]
        signedIdentity: matchRepository
      - any:
        - atLeast:
            count: 1
            of:
            - name: remapped
              key: {files: [a.pub]}
              signedIdentity:
                remap:
                  prefix: mirror.test
                  signedPrefix: vendor.test
            - name: repository
              key: {files: [b.pub]}
              signedIdentity:
                exactRepository: vendor.test/a
        - name: reference
          key: {files: [c.pub]}
          signedIdentity:
            exactReference: vendor.test/a:1
        - name: keyless
          keyless:
            trustRoot: public-good
            minLogEntries: 1
            minTimestamps: 1
            insecureIgnoreSCT: true
            identities:
            - issuer: https://accounts.google.com
              subject: release@acme.com
              subjectKind: email
            - issuerRegExp: ^https://accounts\.google\.com$
              subjectRegExp: ^https://github\.com/acme/a$
              extensions:
                sourceRepositoryURI: https://github.com/acme/app
              extensionsRegExp:
                sourceRepositoryRef: ^main$
            - insecureAnyIssuer: true
              insecureAnySubject: true
          maxSignatureAge: 90d
        - name: unlogged
          keyless:
            insecureIgnoreTlog: true
            identities: [{issuer: https://accounts.google.com, subject: release@acme.com}]
        - name: windows
          key:
            files:
            - file: d.pub
              notBefore: 2026-01-01T00:00:00Z
              notAfter: 2027-01-01T00:00:00Z
        - name: certificate
          certificate:
            roots: [ca.pem]
            intermediates: [int.pem]
            crls: [ca.crl]
            subjects:
            - email: release@acme.com
            - host: build.acme.com
            - uri: spiffe://acme.com/build
            - emailRegExp: ^a@acme$
            - hostRegExp: ^acme$
            - uriRegExp: ^spiffe:acme$
        - name: sbom
          attestation:
            predicateType: spdx
            where: size(predicate.packages) > 0
            by:
              certificate:
                roots: [ca.pem]
                insecureAnySubject: true
        - name: provenance
          attestation:
            slsa:
              builder: https://acme.com/builder
              source: https://github.com/acme/app
              tag: v1
              workflow: .github/workflows/release.yml
              commit: 0123456789abcdef0123456789abcdef01234567
              buildType: https://acme.com/type
            by:
              key: {files: [a.pub]}
        - digest:
            anyOf: ["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
"#;
/// How many fields stand in it.
const FIELDS: usize = 104;
const HEX: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Every field name of [`GOOD`], each once, with its line.
fn field_names() -> Vec<(usize, &'static str)> {
    let mut names = Vec::new();
    for (n, line) in GOOD.lines().enumerate() {
        for word in line.split([' ', '{', ',']) {
            if let Some(name) = word.strip_suffix(':') {
                names.push((n, name));
            }
        }
    }
    names
}

/// The document with the field name on this line replaced.
fn with_name(line: usize, name: &str, other: &str) -> String {
    let lines = GOOD.lines().enumerate();
    let changed = lines.map(|(n, text)| match n == line {
        true => text.replacen(&format!("{name}:"), &format!("{other}:"), 1),
        false => text.to_owned(),
    });
    changed.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_good_document_is_good() {
    let documents = Documents::parse(&[file(GOOD)]).unwrap();
    assert_eq!(documents.len(), 1);
    assert_eq!(
        documents.key_files().into_iter().collect::<Vec<_>>(),
        ["a.pub", "b.pub", "build.pub", "c.pub", "d.pub"]
    );
    assert_eq!(documents.notes(), []);
    assert_eq!(field_names().len(), FIELDS, "{:?}", field_names());
}

/// Attack B4: a field that is misspelt, doubled or unknown must not be ignored.
#[test]
fn attack_b4_every_field_name_changed_is_an_error_at_its_line() {
    // A name that stands in several places is changed in the last of them here, in any of them
    // below.
    let names: std::collections::BTreeMap<&str, usize> =
        field_names().into_iter().map(|(n, name)| (name, n)).collect();
    for (name, line) in names {
        let mut chars: Vec<char> = name.chars().collect();
        chars.swap(0, 1);
        let mistakes = [
            format!("{name}s"),
            name[..name.len() - 1].to_owned(),
            name.to_uppercase(),
            format!("{name}\u{200b}"),
            format!("\" {name}\""),
            chars.into_iter().collect(),
        ];
        for mistake in mistakes {
            let text = with_name(line, name, &mistake);
            let faults = faults(&text);
            let at = u64::try_from(line + 1).unwrap();
            let told = faults.iter().any(|(line, _, fault)| {
                // `predicateTypes` is a field of its own, and a list.
                let is_other =
                    mistake == "predicateTypes" && matches!(fault, PolicyFault::WrongType { .. });
                let is_told =
                    matches!(fault, PolicyFault::UnknownField { .. } | PolicyFault::Syntax(_));
                *line == at && (is_told || is_other)
            });
            assert!(told, "{name} as {mistake}: {faults:?}");
        }
    }
}

#[test]
fn attack_b4_every_field_twice_is_an_error() {
    for (line, name) in field_names() {
        let lines: Vec<&str> = GOOD.lines().collect();
        let text = lines[line];
        let Some(start) = text.find(&format!("{name}:")) else { panic!("{name}") };
        if text.contains('{') && text.find('{') < Some(start) {
            continue;
        }
        let indent = text[..start].replace('-', " ");
        let mut doubled: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        doubled[line] = format!("{}{name}: x\n{indent}{}", &text[..start], &text[start..]);
        let faults = faults(&doubled.join("\n"));
        let expected = PolicyFault::DuplicateField { name: name.to_owned() };
        assert!(faults.iter().any(|(_, _, fault)| *fault == expected), "{name}: {faults:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Attack B4: whatever a field is misspelt as, it is an error.
    #[test]
    fn attack_b4_no_typo_is_ignored(pick in 0..FIELDS, at in 0usize..12, with in "[a-zA-Z]", insert in any::<bool>()) {
        let (line, name) = field_names()[pick];
        let mut chars: Vec<char> = name.chars().collect();
        let at = at.min(chars.len() - 1);
        let letter = with.chars().next().unwrap();
        if insert { chars.insert(at, letter) } else { chars[at] = letter }
        let typo: String = chars.into_iter().collect();
        prop_assume!(typo != name);
        prop_assert!(!faults(&with_name(line, name, &typo)).is_empty(), "{} as {}", name, typo);
    }

    /// No input at all makes the reader fail in another way than with an error.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Documents::parse(&[PolicyFile { name: "x.yaml".to_owned(), bytes }]);
    }
}

#[test]
fn frame_faults() {
    let wrong = |got| PolicyFault::WrongType { expected: "a map", got };
    let word = |got: &str, expected| PolicyFault::UnknownWord { got: got.to_owned(), expected };
    for (text, line, field, fault) in [
        (
            GOOD.replace("sealgate/v1", "sealgate/v2"),
            1,
            "apiVersion",
            word("sealgate/v2", &["sealgate/v1"]),
        ),
        (
            GOOD.replace("ImagePolicy", "imagepolicy"),
            2,
            "kind",
            word("imagepolicy", &["ImagePolicy", "DenyList", "Exception"]),
        ),
        (
            GOOD.replace("action: enforce", "action: Enforce"),
            9,
            "spec.action",
            word("Enforce", &["enforce", "warn"]),
        ),
        (
            GOOD.replace("action: enforce", "action: audit"),
            9,
            "spec.action",
            word("audit", &["enforce", "warn"]),
        ),
        (
            GOOD.replace("name: production", "name: Production"),
            4,
            "metadata.name",
            PolicyFault::Name { got: "Production".to_owned() },
        ),
        (
            GOOD.replace("name: production", "name: ''"),
            4,
            "metadata.name",
            PolicyFault::Name { got: String::new() },
        ),
        (
            GOOD.replace("name: production", "name: -a"),
            4,
            "metadata.name",
            PolicyFault::Name { got: "-a".to_owned() },
        ),
        ("[]".to_owned(), 1, "", wrong("a list")),
        ("true".to_owned(), 1, "", wrong("true or false")),
        ("text".to_owned(), 1, "", wrong("text")),
        (String::new(), 0, "", PolicyFault::NoDocument),
        ("# nothing\n---\n".to_owned(), 0, "", PolicyFault::NoDocument),
    ] {
        assert_eq!(faults(&text), [(line, field.to_owned(), fault)], "{text}");
    }
}

#[test]
fn fields_that_are_missing() {
    let missing = |text: &str| {
        faults(text).into_iter().map(|(_, field, fault)| (field, fault)).collect::<Vec<_>>()
    };
    let name = |field: &str, name| (field.to_owned(), PolicyFault::MissingField { name });
    assert_eq!(
        missing("{}"),
        ["apiVersion", "kind", "metadata", "spec"].map(|field| name("", field))
    );
    assert_eq!(
        missing("apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {}\nspec: {}"),
        [name("metadata", "name"), name("spec", "images"), name("spec", "require")]
    );
}

#[test]
fn everything_is_told_and_nothing_is_loaded_in_part() {
    let good = policy(&format!("{{digest: {{anyOf: [\"{HEX}\"]}}}}"));
    let bad = good
        .replace("reg.test/**", "reg.test/**:1")
        .replace("name: test", "name: Test")
        .replace(HEX, "x");
    let files = [
        PolicyFile { name: "a.yaml".to_owned(), bytes: good.clone().into_bytes() },
        PolicyFile { name: "b.yaml".to_owned(), bytes: format!("{bad}---\n{good}").into_bytes() },
        PolicyFile { name: "b.yaml".to_owned(), bytes: b"{".to_vec() },
    ];
    let errors = Documents::parse(&files).unwrap_err();
    let faults: Vec<&PolicyFault> = errors.iter().map(|error| &error.fault).collect();
    assert!(
        matches!(
            faults.as_slice(),
            [
                PolicyFault::Name { .. },
                PolicyFault::Pattern(PatternFault::Tag),
                PolicyFault::Digest(_),
                PolicyFault::DuplicateFile,
                PolicyFault::Syntax(_),
                PolicyFault::DuplicateName { .. },
            ]
        ),
        "{errors:#?}"
    );
    assert_eq!(errors[0].to_string().split(": ").next(), Some("b.yaml:3:18"));
    assert_eq!(
        errors[5].fault,
        PolicyFault::DuplicateName { name: "test".to_owned(), first: "a.yaml:1".to_owned() }
    );
    assert_eq!(errors[5].position.map(|position| position.line), Some(6));
}

#[test]
fn one_file_holds_several_documents_and_json_is_yaml() {
    let one = policy(&format!("{{digest: {{anyOf: [\"{HEX}\"]}}}}"));
    let two = one.replace("name: test", "name: other");
    assert_eq!(Documents::parse(&[file(&format!("---\n{one}---\n{two}"))]).unwrap().len(), 2);
    let json = format!(
        "{{\n\t\"apiVersion\": \"sealgate/v1\", \"kind\": \"ImagePolicy\",\n\t\"metadata\": \
         {{\"name\": \"j\"}},\n\
         \t\"spec\": {{\"images\": [\"reg.test/**\"], \"require\": {{\"digest\": {{\"anyOf\": \
         [\"{HEX}\"]}}}}}}\n}}\n"
    );
    let documents = Documents::parse(&[file(&json)]).unwrap();
    let set =
        PolicySet::build(documents, crate::policy::Material::default(), Unmatched::Deny).unwrap();
    assert_eq!(set.policies().collect::<Vec<_>>(), ["j"]);
}

/// Attack E3: a policy's own text in an error.
#[test]
fn attack_e3_errors_are_printable() {
    let text = GOOD
        .replace("action: enforce", "action: \"\\e[31m\\n\"")
        .replace("kind:", "\"ki\\u202end\":");
    for error in
        Documents::parse(&[PolicyFile { name: "a\n.yaml".to_owned(), bytes: text.into_bytes() }])
            .unwrap_err()
    {
        let line = error.to_string();
        assert!(line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{line:?}");
    }
}
