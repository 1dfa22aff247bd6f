//! ClusterImagePolicy: AND between policies, OR between authorities, and what selects or asks in
//! another language.

use crate::import::tests::{KEY, OTHER, documents, faults, imported, notices, omissions};
use crate::import::{ImportFault, Notice, Omission};
use crate::policy::PolicyFault;

/// A policy with this rest of its spec, indented by two.
fn policy(name: &str, glob: &str, rest: &str) -> String {
    format!(
        "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata:\n  name: {name}\n  labels: {{a: b}}\nspec:\n  images: [{{glob: \"{glob}\"}}]\n{rest}"
    )
}

fn key(pem: &str) -> String {
    format!("{{key: {{data: {}}}}}", serde_json::Value::from(pem))
}

const KEYLESS: &str = "{keyless: {url: https://fulcio.sigstore.dev, identities: [{issuer: https://accounts.google.com, subject: a@acme.example}]}}";

/// Any authority suffices, and each policy must be met.
#[test]
fn authorities_are_alternatives_and_policies_are_not() {
    let rest = format!("  authorities: [{}, {}, {KEYLESS}]\n", key(KEY), key(OTHER));
    let one = policy("one", "ghcr.io/acme/**", &rest);
    let two = policy("two", "**", &format!("  authorities: [{}]\n", key(OTHER)));
    let imported = imported(&[&format!("{one}---\n{two}")]);
    assert_eq!(omissions(&imported), []);
    let [one, two] = documents(&imported).try_into().unwrap();
    assert!(
        one.contains("  require:\n    any:\n      - name: \"authority-0\"\n        key: "),
        "{one}"
    );
    assert!(one.contains("      - name: \"authority-2\"\n        keyless: {identities: [{issuer: \"https://accounts.google.com\", subject: \"a@acme.example\"}], trustRoot: \"public-good\"}"), "{one}");
    assert!(
        two.contains("    - \"**\"\n  require:\n    name: \"authority-0\"\n    key: "),
        "{two}"
    );
    assert!(!two.contains("trustRoot"), "{two}");
}

/// An authority with attestations demands each of them.
#[test]
fn attestations_stand_for_the_signature() {
    let rest = format!(
        "  authorities:\n    - name: build\n      key: {{data: {}}}\n      attestations: [{{name: sbom, predicateType: spdxjson}}, {{name: scan, predicateType: vuln}}]\n",
        serde_json::Value::from(KEY)
    );
    let imported = imported(&[&policy("one", "ghcr.io/acme/**", &rest)]);
    assert_eq!(omissions(&imported), []);
    let [one] = documents(&imported).try_into().unwrap();
    assert!(one.contains("    all:\n      - name: \"build/sbom\"\n        attestation:\n          predicateType: \"spdxjson\"\n          by: {key: {files: ["), "{one}");
    assert!(one.contains("      - name: \"build/scan\""), "{one}");
}

#[test]
fn logs_and_timestamps() {
    let rest = |more: &str| {
        let key = serde_json::Value::from(KEY);
        format!("  authorities:\n    - key: {{data: {key}}}\n{more}")
    };
    for (more, expected) in [
        ("", "\"]}"),
        ("      ctlog: {}\n", "\"]}"),
        (
            "      ctlog: {url: https://rekor.sigstore.dev}\n",
            "\"], trustRoot: \"public-good\", minLogEntries: 1}",
        ),
        ("      ctlog: {trustRootRef: acme}\n", "\"], trustRoot: \"acme\", minLogEntries: 1}"),
        (
            "      rfc3161timestamp: {trustRootRef: acme}\n",
            "\"], trustRoot: \"acme\", minTimestamps: 1}",
        ),
    ] {
        let imported = imported(&[&policy("one", "ghcr.io/acme/**", &rest(more))]);
        assert_eq!(omissions(&imported), [], "{more}");
        assert!(documents(&imported)[0].contains(expected), "{more}: {}", imported.text);
    }
    for (more, expected) in [
        (
            "      ctlog: {url: https://rekor.acme.example}\n",
            Omission::Instance { url: "https://rekor.acme.example".to_owned() },
        ),
        (
            "      ctlog: {trustRootRef: a}\n      rfc3161timestamp: {trustRootRef: b}\n",
            Omission::TwoTrustRoots,
        ),
    ] {
        let imported = imported(&[&policy("one", "ghcr.io/acme/**", &rest(more))]);
        assert_eq!(omissions(&imported), [expected]);
        assert!(documents(&imported)[0].contains("name: \"rejected\""), "{}", imported.text);
    }
}

/// An authority that is left out is one way less; the last one leaves a policy that nothing meets.
#[test]
fn what_is_left_out_admits_nothing() {
    let secret = "{key: {secretRef: {name: k}}}";
    let rest = format!("  authorities: [{secret}, {}]\n", key(KEY));
    let one_less = imported(&[&policy("one", "ghcr.io/acme/**", &rest)]);
    assert_eq!(omissions(&one_less), [Omission::KeyElsewhere]);
    assert!(documents(&one_less)[0].contains("name: \"authority-1\""));
    let cue = Omission::Language { language: "CUE" };
    let asked = "[{name: a, predicateType: custom, policy: {type: cue, data: x}}]";
    for (rest, expected) in [
        (format!("  authorities: [{secret}]\n"), Omission::KeyElsewhere),
        (format!("  authorities: [{}]\n  policy: {{type: cue, data: x}}\n", key(KEY)), cue.clone()),
        (
            format!(
                "  authorities: [{{key: {{data: {}}}, attestations: {asked}}}]\n",
                serde_json::Value::from(KEY)
            ),
            cue,
        ),
    ] {
        let imported = imported(&[&policy("one", "ghcr.io/acme/**", &rest)]);
        assert_eq!(omissions(&imported), [expected]);
        let [one] = documents(&imported).try_into().unwrap();
        assert!(one.contains("name: \"rejected\""), "{one}");
    }
}

/// `static: pass` makes every other authority needless; without a host it cannot be said.
#[test]
fn static_authorities() {
    let pass = format!("  authorities: [{}, {{static: {{action: pass}}}}]\n", key(KEY));
    let fail = format!("  authorities: [{}, {{static: {{action: fail}}}}]\n", key(KEY));
    let document = |glob: &str, rest: &str| documents(&imported(&[&policy("one", glob, rest)]));
    assert!(document("ghcr.io/acme/**", &pass)[0].contains("insecureAcceptAnything: true"));
    assert!(document("ghcr.io/acme/**", &fail)[0].contains("key: "));
    let wide = imported(&[&policy("one", "**", &pass)]);
    assert_eq!(omissions(&wide), [Omission::Refused(PolicyFault::PermissiveHost)]);
    assert_eq!(documents(&wide).len(), 0);
    // A pattern without a tag would let more through than it did.
    let widened = imported(&[&policy("one", "ghcr.io/acme/app", &pass)]);
    assert_eq!(omissions(&widened).len(), 1);
    assert_eq!(documents(&widened).len(), 0);
}

#[test]
fn modes_selectors_and_sources() {
    let rest = format!(
        "  mode: warn\n  match: [{{resource: pods, version: v1}}, {{resource: jobs, group: batch, version: v1, selector: {{matchLabels: {{a: b}}}}}}]\n  authorities: [{{key: {{data: {}}}, source: [{{oci: reg.example/signatures}}]}}]\n",
        serde_json::Value::from(KEY)
    );
    let selects = imported(&[&policy("one", "ghcr.io/acme/**", &rest)]);
    assert_eq!(omissions(&selects), [Omission::Selector]);
    assert_eq!(documents(&selects).len(), 0, "it would warn about every pod");
    let pass = rest.replace("mode: warn", "mode: enforce");
    let pass = pass.replace("authorities: [", "authorities: [{static: {action: pass}}, ");
    let pass = imported(&[&policy("one", "ghcr.io/acme/**", &pass)]);
    assert_eq!(documents(&pass).len(), 0, "it would accept for every pod");
    let asks = rest.replace("mode: warn", "mode: enforce");
    let asks = imported(&[&policy("one", "ghcr.io/acme/**", &asks)]);
    assert!(documents(&asks)[0].contains("key: "), "{}", asks.text);
    let rest = rest.replace(", selector: {matchLabels: {a: b}}", "");
    let one =
        imported(&[&policy("one", "ghcr.io/acme/**", &rest.replace("jobs, group: batch", "pods"))]);
    assert_eq!(omissions(&one), []);
    let [text] = documents(&one).try_into().unwrap();
    assert!(
        text.contains("  action: warn\n  signatureRepository: \"reg.example/signatures\"\n"),
        "{text}"
    );
    assert!(notices(&one).contains(&Notice::NameAsked));
}

/// Expressions that strangers meet are refused by the policy language, and so are those here.
#[test]
fn identities_by_expression() {
    let keyless = |subject: &str| {
        format!(
            "  authorities: [{{keyless: {{identities: [{{issuer: https://token.actions.githubusercontent.com, subjectRegExp: {}}}]}}}}]\n",
            serde_json::Value::from(subject)
        )
    };
    let good = imported(&[&policy(
        "one",
        "ghcr.io/acme/**",
        &keyless(r"https://github\.com/acme/app/\.github/workflows/release\.yml"),
    )]);
    assert_eq!(omissions(&good), []);
    assert!(documents(&good)[0].contains(r#"release\\.yml.*""#), "{}", good.text);
    for subject in ["https://github.com/acme", "@acme"] {
        let open = imported(&[&policy("one", "ghcr.io/acme/**", &keyless(subject))]);
        assert!(
            matches!(omissions(&open)[..], [Omission::Refused(PolicyFault::MatchesAnyone { .. })]),
            "{:?}",
            open.omissions
        );
        assert!(documents(&open)[0].contains("name: \"rejected\""));
    }
}

#[test]
fn faults_have_their_places() {
    let rest = format!("  authorities: [{}]\n  modes: warn\n", key(KEY));
    assert_eq!(
        faults(&[&policy("one", "ghcr.io/acme/**", &rest)]),
        [(9, "spec.modes".to_owned(), ImportFault::UnknownField { name: "modes".to_owned() })]
    );
    let both = "  authorities: [{key: {data: x}, static: {action: pass}}]\n";
    let found = faults(&[&policy("one", "ghcr.io/acme/**", both)]);
    assert_eq!((found[0].0, found[0].1.as_str()), (8, "spec.authorities[0]"));
    let own = "apiVersion: sealgate/v1\nkind: ImagePolicy\n";
    assert_eq!(faults(&[own])[0].2, ImportFault::UnknownFormat);
}

/// As `kubectl get -o yaml` prints several.
#[test]
fn a_list_of_kubectl() {
    let rest = format!("  authorities: [{}]\n", key(KEY));
    let one = policy("one", "ghcr.io/acme/**", &rest).replace('\n', "\n    ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n  - {}\n", one.trim_end());
    assert_eq!(documents(&imported(&[&list])).len(), 1);
    let bad = list.replace("authorities", "authoritys");
    assert_eq!(faults(&[&bad])[0].1, "items[0].spec.authoritys");
}
