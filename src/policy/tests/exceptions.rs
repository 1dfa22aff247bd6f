//! `kind: Exception`, and what no other document can do: adding one never lets anything in.

use proptest::prelude::*;

use super::support::{
    REPOSITORY, Signer, denied, digest, faults, file, found, in_namespace, judge, policy, set,
    subject,
};
use crate::evidence::{Name, Pod, Subject};
use crate::policy::{
    Case, Documents, ExceptionEnds, ExceptionNotice, Permit, PolicyFault, PolicyFile, PolicySet,
    Reason, Unmatched, Verdict,
};
use crate::verify::VerificationCache;

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";
const IMAGE: &str = "reg.test/prod/app:1";
const ENDS: &str = "2026-02-01T00:00:00Z";

fn exception(more: &str) -> String {
    format!(
        "---\napiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: hotfix}}\nspec: {{images: \
         [\"reg.test/prod/app\"], expires: {ENDS}, owner: payments, reason: INC-1{more}}}\n"
    )
}

fn judged(set: &PolicySet, subject: &Subject, namespace: &str, now: &str) -> Verdict {
    set.judge(&Case {
        subject,
        applicable: &set.applicable(&subject.name, &in_namespace(namespace)),
        evidence: &[],
        now: now.parse().unwrap(),
        proofs: &VerificationCache::default(),
    })
}

fn excepted(verdict: Verdict) -> Permit {
    let Verdict::Permit(permit) = verdict else { panic!("denied") };
    assert!(permit.report().exception.is_some());
    permit
}

/// Attack E7: an exception that somebody forgot.
#[test]
fn attack_e7_an_exception_counts_until_its_end_and_says_so() {
    let key = Signer::new();
    let set = set(&(policy(BUILD) + &exception(", namespaces: [prod]")), &[("build.pub", &key)]);
    let image = subject(IMAGE, &digest("image"));
    let permit = excepted(judged(&set, &image, "prod", "2026-01-31T23:59:59Z"));
    let applicable = set.applicable(&image.name, &in_namespace("prod"));
    assert!(!set.is_unmatched(&applicable, ENDS.parse().unwrap()), "a policy matches it too");
    assert_eq!(permit.valid_until(), Some(ENDS.parse().unwrap()));
    let used = permit.report().exception.clone().unwrap();
    assert_eq!((used.exception.as_str(), used.owner.as_str()), ("hotfix", "payments"));
    assert!(!permit.report().unmatched && !used.refusal.is_empty());
    for (subject, namespace, now) in [
        (&image, "prod", ENDS),
        (&image, "prod", "2026-03-01T00:00:00Z"),
        // More than the span ahead: it is no exception for now.
        (&image, "prod", "2025-10-01T00:00:00Z"),
        (&image, "other", "2026-01-31T00:00:00Z"),
        (&subject("reg.test/prod/other:1", &image.target), "prod", "2026-01-31T00:00:00Z"),
    ] {
        assert!(!denied(judged(&set, subject, namespace, now)).is_struck_off());
    }
    let unknown = Subject { name: Name::Unknown, ..image };
    assert!(matches!(judged(&set, &unknown, "prod", "2026-01-31T00:00:00Z"), Verdict::Denial(_)));
}

#[test]
fn an_exception_is_for_what_no_policy_matches_too_and_proof_comes_first() {
    let alone = set(&exception(""), &[]);
    let image = subject(IMAGE, &digest("image"));
    assert!(!alone.applicable(&image.name, &Pod::default()).is_empty());
    let _ = excepted(judged(&alone, &image, "prod", "2026-01-31T00:00:00Z"));
    let after = denied(judged(&alone, &image, "prod", ENDS));
    assert_eq!(after.reason(), &Reason::NoPolicy);
    let key = Signer::new();
    let set = set(&(policy(BUILD) + &exception("")), &[("build.pub", &key)]);
    let evidence = found(&image.target, vec![key.signs(&image.target, REPOSITORY)]);
    let Verdict::Permit(permit) = judge(&set, &image, &[&evidence]) else { panic!("denied") };
    assert_eq!(permit.report().exception, None);
}

/// Attack C3: an exception for an image that is denied, by a list and by a policy's own `deny`.
#[test]
fn attack_c3_an_exception_admits_nothing_that_is_denied() {
    let target = digest("image");
    let since = "reason: bad, date: 2026-01-01T00:00:00Z";
    let lists = [
        format!("digests: [{{digest: \"{target}\", {since}}}]"),
        format!("repositories: [{{pattern: \"reg.test/prod/*\", {since}}}]"),
    ];
    let lists = lists.map(|spec| {
        format!("---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d}}\nspec: {{{spec}}}\n")
    });
    let own = format!(
        "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: d}}\nspec: {{images: \
         [\"**\"], deny: {{digests: [\"{target}\"]}}}}\n"
    );
    let key = Signer::new();
    for denying in lists.iter().chain([&own]) {
        // Also where another policy's refusal is told first.
        for before in ["", &policy(BUILD)] {
            let set = set(&format!("{before}{}{denying}", exception("")), &[("build.pub", &key)]);
            let image = subject(IMAGE, &target);
            let verdict = judged(&set, &image, "prod", "2026-01-31T00:00:00Z");
            assert!(matches!(verdict, Verdict::Denial(_)), "{before}{denying}");
        }
    }
}

#[test]
fn an_exception_that_has_ended_loads_and_is_told_of() {
    let set = set(&exception(""), &[]);
    let notices = |now: &str| set.exception_notices(now.parse().unwrap());
    assert_eq!(notices("2026-01-01T00:00:00Z"), []);
    assert!(matches!(notices("2026-01-26T00:00:00Z")[..], [ExceptionNotice::EndsSoon(_)]));
    assert!(matches!(notices(ENDS)[..], [ExceptionNotice::NotInForce(_)]));
    assert!(matches!(notices("2025-10-01T00:00:00Z")[..], [ExceptionNotice::NotInForce(_)]));
    let ends = |now: &str| set.exception_ends(now.parse().unwrap());
    let end = Some(ENDS.parse().unwrap());
    let none = ExceptionEnds::default();
    assert_eq!(ends("2026-01-01T00:00:00Z"), ExceptionEnds { in_force: 1, first: end, ..none });
    assert_eq!(ends("2026-01-26T00:00:00Z"), ExceptionEnds { ends_soon: 1, first: end, ..none });
    assert_eq!(ends(ENDS), ExceptionEnds { ended: 1, ..none }, "none that counts ends");
    assert_eq!(ends("2025-10-01T00:00:00Z"), ExceptionEnds { too_long: 1, ..none });
    let generation = set.generation().to_owned();
    let longer = set.with_exception_span(jiff::SignedDuration::from_hours(24 * 365));
    assert_eq!(longer.exception_notices("2025-10-01T00:00:00Z".parse().unwrap()), []);
    assert_ne!(longer.generation(), generation, "a verdict under another span is another");
}

#[test]
fn an_exception_says_who_why_until_when_and_on_which_host() {
    let fault = |text: &str| faults(text).first().map(|(_, _, fault)| fault.clone());
    assert_eq!(fault(&exception("")), None);
    for name in ["expires", "owner", "reason"] {
        let without = exception("").replace(&format!("{name}: "), "exclude: []#");
        assert!(fault(&without).is_some(), "{name}");
    }
    let everywhere = exception("").replace("reg.test/prod/app", "**");
    assert_eq!(fault(&everywhere), Some(PolicyFault::PermissiveHost));
    let other = exception("").replace(ENDS, "2026-02-01");
    assert!(matches!(fault(&other), Some(PolicyFault::Time { .. })));
}

/// A document of any kind but an exception, about some of the images below, that one of three keys
/// or nobody has to do with. None admits what nothing matched.
fn any_document(number: usize) -> impl Strategy<Value = String> {
    let images = prop::sample::select(vec!["reg.test/**", "reg.test/prod/*", "**"]);
    let require = prop::sample::select(vec![
        "{name: a, key: {files: [a.pub]}}",
        "{name: b, key: {files: [b.pub]}}",
        "{any: [{name: a, key: {files: [a.pub]}}, {name: b, key: {files: [b.pub]}}]}",
        "{atLeast: {count: 2, of: [{name: x, key: {files: [a.pub]}}, {name: y, key: {files: [b.pub, \
         a.pub]}}]}}",
        "{digest: {anyOf: [DIGEST]}}",
        "{insecureAcceptAnything: true}",
        "DENY",
    ]);
    let listed = prop::sample::select(vec![
        "digests: [{digest: DIGEST, WHY}]",
        "repositories: [{pattern: \"reg.test/prod/**\", WHY}]",
        "keys: [{fingerprint: KEY, WHY}]",
        "keys: [{fingerprint: KEY, signedAfter: 2026-01-01T00:00:00Z, WHY}]",
    ]);
    let action = prop::sample::select(vec!["enforce", "warn"]);
    let namespaces = prop::sample::select(vec!["", ", namespaces: [prod]"]);
    let policy =
        (images, require, action, namespaces).prop_map(move |(images, require, action, n)| {
            let permissive = action == "warn" || require.contains("insecure");
            let images = if permissive && images == "**" { "reg.test/**" } else { images };
            let body = match require {
                "DENY" => "deny: {digests: [DIGEST]}".to_owned(),
                other => format!("require: {other}"),
            };
            format!(
                "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: d{number}}}\nspec: \
             {{images: [\"{images}\"], action: {action}{n}, {body}}}\n"
            )
        });
    let list = listed.prop_map(move |spec| {
        format!("apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d{number}}}\nspec: {{{spec}}}\n")
    });
    prop_oneof![3 => policy, 1 => list]
}

struct World {
    keys: Vec<(&'static str, Signer)>,
    image: Subject,
}

impl World {
    fn new() -> Self {
        let keys = vec![("a.pub", Signer::new()), ("b.pub", Signer::new())];
        Self { keys, image: subject(IMAGE, &digest("image")) }
    }

    /// A set of these documents, each in a file of its own, in this order.
    fn set(&self, documents: &[String]) -> PolicySet {
        let key = self.keys[0].1.public().id().to_string();
        let files: Vec<PolicyFile> = documents
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let text = text
                    .replace("DIGEST", &format!("\"{}\"", self.image.target))
                    .replace("KEY", &format!("\"{key}\""))
                    .replace("WHY", "reason: bad, date: 2026-01-01T00:00:00Z");
                PolicyFile { name: format!("{number}.yaml"), ..file(&text) }
            })
            .collect();
        let documents = Documents::parse(&files).unwrap_or_else(|e| panic!("{e:#?}\n{files:#?}"));
        let keys = self.keys.iter().map(|(name, key)| ((*name).to_owned(), key.public()));
        PolicySet::build(documents, keys.collect(), Unmatched::Deny).unwrap()
    }

    /// What a set says of the image, signed by those whose bit is set; and whether any document
    /// that demands something matched.
    fn judge(&self, set: &PolicySet, signed: usize, namespace: Option<&str>) -> (String, bool) {
        let items = self.keys.iter().enumerate().filter(|(number, _)| signed & (1 << number) != 0);
        let items = items.map(|(_, (_, key))| key.signs(&self.image.target, REPOSITORY)).collect();
        let evidence = found(&self.image.target, items);
        let pod = Pod { namespace: namespace.map(str::to_owned), ..Pod::default() };
        let applicable = set.applicable(&self.image.name, &pod);
        let verdict = set.judge(&Case {
            subject: &self.image,
            applicable: &applicable,
            evidence: &[&evidence],
            now: "2026-01-15T00:00:00Z".parse().unwrap(),
            proofs: &VerificationCache::default(),
        });
        let word = match verdict {
            Verdict::Permit(permit) => format!("permit {}", permit.pinned()),
            Verdict::Denial(denial) => format!("{:?}", denial.class()),
        };
        (word, !applicable.is_empty())
    }
}

/// Attack E10: what an exception named that has ended is a host like any other that no policy names.
#[test]
fn attack_e10_an_exception_that_has_ended_matches_nothing_more() {
    let set = set(&exception("").replacen("---\n", "", 1), &[]);
    let applicable = set.applicable(&subject(IMAGE, &digest("image")).name, &in_namespace("prod"));
    let at = |time: &str| set.is_unmatched(&applicable, time.parse().unwrap());
    assert!(!at("2026-01-31T23:59:59Z"));
    assert!(at(ENDS), "no registry is asked for it");
}

fn documents() -> impl Strategy<Value = Vec<String>> {
    (1usize..5).prop_flat_map(|count| (0..count).map(any_document).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Adding a document of a new name never turns a refusal into an admission, an Exception and an
    /// image that nothing matched before aside.
    #[test]
    fn a_document_more_never_lets_anything_in(
        documents in documents(), signed in 0usize..4, prod in any::<bool>(),
    ) {
        let world = World::new();
        let namespace = if prod { Some("prod") } else { Some("other") };
        let fewer = world.set(&documents[..documents.len() - 1]);
        let (before, matched) = world.judge(&fewer, signed, namespace);
        let (after, _) = world.judge(&world.set(&documents), signed, namespace);
        let is_struck_off = fewer.struck_off(&world.image).is_some();
        if (matched || is_struck_off) && !before.starts_with("permit") {
            prop_assert!(!after.starts_with("permit"), "{before} became {after}: {documents:#?}");
        }
    }

    /// The order of files, and of documents, never matters.
    #[test]
    fn the_order_of_documents_never_matters(
        documents in documents(), signed in 0usize..4, turns in 0usize..4,
    ) {
        let world = World::new();
        let mut turned = documents.clone();
        turned.rotate_left(turns % documents.len());
        for reversed in [false, true] {
            if reversed {
                turned.reverse();
            }
            for namespace in [None, Some("prod"), Some("other")] {
                let one = world.judge(&world.set(&documents), signed, namespace);
                prop_assert_eq!(&world.judge(&world.set(&turned), signed, namespace), &one);
            }
        }
    }

    /// A threshold never counts one signer twice, under however many names and requirements their
    /// key stands.
    #[test]
    fn a_threshold_never_counts_one_signer_twice(
        of in prop::collection::vec(prop::sample::subsequence(vec!["a.pub", "b.pub"], 1..=2), 2..5),
        count in 1usize..4, signed in 0usize..4,
    ) {
        let count = count.min(of.len()).min(2);
        let world = World::new();
        let leaves: Vec<String> = of
            .iter()
            .enumerate()
            .map(|(n, files)| format!("{{name: r{n}, key: {{files: [{}]}}}}", files.join(", ")))
            .collect();
        let require = format!("{{atLeast: {{count: {count}, of: [{}]}}}}", leaves.join(", "));
        let distinct: std::collections::BTreeSet<_> = of.iter().flatten().collect();
        prop_assume!(distinct.len() >= count);
        let (word, _) = world.judge(&world.set(&[policy(&require)]), signed, None);
        let signers = (0..2).filter(|n| signed & (1 << n) != 0);
        let signers = signers.filter(|n| distinct.contains(&["a.pub", "b.pub"][*n])).count();
        if word.starts_with("permit") {
            prop_assert!(signers >= count, "{signers} signers met {require}");
        }
    }
}
