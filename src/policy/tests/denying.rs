//! What a document denies, whoever signed it: `spec.deny` (attack C3).

use super::support::{
    REPOSITORY, Signer, assert_permitted, denied, digest, faults, found, judge, named, permitted,
    policy, set, set_with, subject,
};
use crate::evidence::{Name, Origin, Pod};
use crate::policy::{Class, PolicyFault, Reason, Unmatched};

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";

/// A document that only denies this digest, wherever it comes from.
fn list(digest: &crate::image::Digest) -> String {
    format!(
        "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: revoked}}\n\
         spec: {{images: [\"**\"], deny: {{digests: [\"{digest}\"]}}}}\n"
    )
}

/// Attack C3: an old image with a known hole, validly signed, is pulled again.
#[test]
fn attack_c3_a_denied_image_is_refused_with_any_signature() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&(policy(BUILD) + &list(&target)), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    let denial = denied(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    let reason = Reason::DigestDenied { digest: target.to_string(), by: None };
    assert_eq!(
        (denial.class(), denial.policy(), denial.reason()),
        (Class::Refused, Some("revoked"), &reason)
    );
    let other = digest("other");
    let evidence = found(&other, vec![key.signs(&other, REPOSITORY)]);
    let permit = permitted(judge(&set, &subject("reg.test/prod/app:1", &other), &[&evidence]));
    assert!(!permit.report().documents.iter().any(|document| document.accepts_anything));
}

/// Attack C3: the denied platform manifest behind an index that is signed, asked for by tag and by
/// digest.
#[test]
fn attack_c3_a_denied_platform_manifest_is_refused_behind_its_index() {
    let (key, target, child) = (Signer::new(), digest("index"), digest("child"));
    let set = set(&(policy(BUILD) + &list(&child)), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    for name in ["reg.test/prod/app:1".to_owned(), format!("reg.test/prod/app@{target}")] {
        let mut subject = subject(&name, &target);
        subject.child = Some(child.clone());
        let denial = denied(judge(&set, &subject, &[&evidence]));
        assert_eq!(denial.reason(), &Reason::DigestDenied { digest: child.to_string(), by: None });
    }
}

/// Attack C3: an index is asked for by its digest before it is known what is in it, and admitted.
/// Once the denied platform manifest in it is known, that verdict is not this one's.
#[test]
fn attack_c3_a_verdict_before_the_platform_manifest_was_known_is_not_used_after() {
    let (key, target, child) = (Signer::new(), digest("index"), digest("child"));
    let set = set(&(policy(BUILD) + &list(&child)), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    let before = subject(&format!("reg.test/prod/app@{target}"), &target);
    let mut after = before.clone();
    after.child = Some(child);
    assert_permitted(judge(&set, &before, &[&evidence]));
    assert!(matches!(
        denied(judge(&set, &after, &[&evidence])).reason(),
        Reason::DigestDenied { .. }
    ));
    let key = |subject: &crate::evidence::Subject| {
        set.verdict_key(subject, &set.applicable(&before.name, &Pod::default()))
    };
    assert_ne!(key(&before), key(&after), "equal keys, equal verdicts");
    // Whatever else is in it makes no difference: what was verified at the pull still starts
    // without a network.
    after.child = Some(digest("other child"));
    assert_eq!(key(&before), key(&after));
}

/// A list of what is denied lets nothing in, and causes no request about what no policy is about.
#[test]
fn a_document_that_only_denies_admits_nothing() {
    let (target, other) = (digest("image"), digest("other"));
    let strict = set(&list(&target), &[]);
    let subject = subject("reg.test/a:1", &other);
    assert!(strict.applicable(&subject.name, &Pod::default()).is_empty());
    assert_eq!(denied(judge(&strict, &subject, &[])).reason(), &Reason::NoPolicy);
    let open = set_with(&list(&target), &[], Unmatched::Admit);
    assert!(permitted(judge(&open, &subject, &[])).report().unmatched);
    let mut listed = subject;
    listed.target = target.clone();
    assert_eq!(
        denied(judge(&open, &listed, &[])).reason(),
        &Reason::DigestDenied { digest: target.to_string(), by: None }
    );
    (listed.name, listed.origin) = (Name::Unknown, Origin::Local);
    assert_eq!(
        denied(judge(&open, &listed, &[])).reason(),
        &Reason::DigestDenied { digest: target.to_string(), by: None }
    );
}

/// Attack C3: a list that only warns of an image is no policy that admits it.
#[test]
fn attack_c3_a_list_that_only_warns_admits_nothing() {
    let (target, other) = (digest("image"), digest("other"));
    let warning =
        list(&target).replace("images:", "action: warn, images:").replace("**", "reg.test/**");
    let strict = set(&warning, &[]);
    for digest in [&other, &target] {
        let mut subject = subject("reg.test/prod/app:1", digest);
        assert_eq!(denied(judge(&strict, &subject, &[])).reason(), &Reason::NoPolicy);
        subject.origin = Origin::Local;
        assert_eq!(denied(judge(&strict, &subject, &[])).reason(), &Reason::NoPolicy);
    }
    let open = set_with(&warning, &[], Unmatched::Admit);
    let permit = permitted(judge(&open, &subject("reg.test/prod/app:1", &target), &[]));
    assert!(permit.report().unmatched);
    assert_eq!(permit.warnings().collect::<Vec<_>>(), ["revoked"]);
}

#[test]
fn an_image_listed_by_digest_and_denied_is_denied() {
    let target = digest("image");
    let both = format!("{{digest: {{anyOf: [\"{target}\"]}}}}, deny: {{digests: [\"{target}\"]}}");
    let set = set(&policy(&both), &[]);
    let denial = denied(judge(&set, &subject("reg.test/a:1", &target), &[]));
    assert_eq!(denial.reason(), &Reason::DigestDenied { digest: target.to_string(), by: None });
    let warned = policy(&both)
        .replace("require:", "action: warn, require:")
        .replace("reg.test/**", "reg.test/a");
    assert_permitted(judge(&self::set(&warned, &[]), &subject("reg.test/a:1", &target), &[]));
}

#[test]
fn a_list_is_read_strictly() {
    let deny = |deny: &str| faults(&named("x", "[\"**\"]", &format!("{BUILD}, deny: {deny}")));
    assert!(
        matches!(deny("{digests: []}").as_slice(), [(_, field, PolicyFault::EmptyList)] if field == "spec.deny.digests")
    );
    assert!(matches!(
        deny("{digest: [x]}").as_slice(),
        [(_, _, PolicyFault::UnknownField { .. }), ..]
    ));
    assert!(matches!(
        deny("{digests: [\"sha256:abc\"]}").as_slice(),
        [(_, _, PolicyFault::Digest(_))]
    ));
}
