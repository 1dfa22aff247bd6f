//! Cases and what the judge says of them.

use super::support::*;
use crate::evidence::{Evidence, Name, Origin, Outcome, Pod, Source};
use crate::policy::{
    Action, Class, Finding, Reason, SIGNATURE_RESULTS_MAX, SignatureOutcome, SignedObject,
    Unmatched,
};
use crate::verify::Fault;

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";
const TWO: &str = "{all: [{name: build, key: {files: [build.pub]}}, {name: security, key: {files: \
    [security.pub]}}]}";

#[test]
fn a_signature_by_the_key_admits() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    let permit = permitted(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    assert_eq!(permit.pinned(), &target);
    let requirement = &permit.report().documents[0].requirements[0];
    let signer = &requirement.signers[0];
    assert_eq!((signer.file(), signer.key()), (Some("build.pub"), Some(key.public().id())));
    assert_eq!(requirement.signed_objects, [SignedObject::Target]);
}

#[test]
fn a_bundle_by_the_key_admits() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.bundles(&target)]);
    assert_permitted(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
}

#[test]
fn absent_unable_and_unreachable_are_three_answers() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let answer = |outcome: Outcome| {
        let evidence = looked(&target, vec![], outcome);
        let denial = denied(judge(&set, &subject, &[&evidence]));
        assert_eq!((denial.policy(), denial.requirement()), (Some("test"), Some("build")));
        (denial.class(), denial.reason().clone())
    };
    assert_eq!(answer(Outcome::Absent), (Class::Refused, Reason::Unsigned));
    let tag = place(&target, Source::SignatureTag).to_string();
    let said = "401".to_owned();
    let unable = Reason::Unable { place: tag.clone(), said: said.clone() };
    assert_eq!(answer(Outcome::Unable(said)), (Class::Unable, unable));
    let said = "timed out".to_owned();
    let unreachable = Reason::Unreachable { place: tag, said: said.clone() };
    assert_eq!(answer(Outcome::Unreachable(said)), (Class::Unreachable, unreachable));
    let denial = denied(judge(&set, &subject, &[]));
    assert_eq!(denial.class(), Class::Unable);
    assert_eq!(denial.reason(), &Reason::NotLooked { digest: target.to_string() });
}

#[test]
fn a_wrong_signature_beside_an_unreachable_place_is_not_a_refusal() {
    let (key, other, target) = (Signer::new(), Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let signed_by_another = other.signs(&target, REPOSITORY);
    let evidence =
        looked(&target, vec![signed_by_another], Outcome::Unreachable("refused".to_owned()));
    let denial = denied(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    assert_eq!(denial.class(), Class::Unreachable);
}

#[test]
fn a_good_signature_beside_an_unreachable_place_admits() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let evidence = looked(
        &target,
        vec![key.signs(&target, REPOSITORY)],
        Outcome::Unreachable("refused".to_owned()),
    );
    assert_permitted(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
}

#[test]
fn another_key_and_another_digest_are_refused() {
    let (key, other, target) = (Signer::new(), Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let mut elsewhere = key.signs(&digest("other image"), REPOSITORY);
    elsewhere.place = place(&target, Source::SignatureTag);
    for (items, fault) in [
        (vec![other.signs(&target, REPOSITORY)], Fault::WrongSignature),
        (vec![elsewhere.clone()], Fault::OtherDigest),
        (vec![elsewhere, other.signs(&target, REPOSITORY)], Fault::WrongSignature),
    ] {
        let denial = denied(judge(&set, &subject, &[&found(&target, items)]));
        assert_eq!(denial.class(), Class::Refused);
        assert_eq!(denial.reason(), &Reason::NoneCounts { why: Finding::Fault { fault } });
    }
}

#[test]
fn every_policy_that_matches_must_be_met() {
    let (build, security, target) = (Signer::new(), Signer::new(), digest("image"));
    let text = format!(
        "{}---\n{}",
        named("one", r#"["reg.test/**"]"#, BUILD),
        named("two", r#"["reg.test/prod/*"]"#, "{name: security, key: {files: [security.pub]}}")
    );
    let set = set(&text, &[("build.pub", &build), ("security.pub", &security)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let half = found(&target, vec![build.signs(&target, REPOSITORY)]);
    let denial = denied(judge(&set, &subject, &[&half]));
    assert_eq!((denial.policy(), denial.requirement()), (Some("two"), Some("security")));
    assert_eq!(
        denial.report().documents.iter().map(|d| d.satisfied).collect::<Vec<_>>(),
        [true, false]
    );
    let both =
        found(&target, vec![build.signs(&target, REPOSITORY), security.signs(&target, REPOSITORY)]);
    assert_permitted(judge(&set, &subject, &[&both]));
}

#[test]
fn what_no_policy_matches_is_denied_unless_said_otherwise() {
    let (key, target) = (Signer::new(), digest("image"));
    let subject = subject("elsewhere.test/app:1", &target);
    let keys: &[(&str, &Signer)] = &[("build.pub", &key)];
    let deny = set(&policy(BUILD), keys);
    let denial = denied(judge(&deny, &subject, &[]));
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::NoPolicy));
    let admit = set_with(&policy(BUILD), keys, Unmatched::Admit);
    assert!(permitted(judge(&admit, &subject, &[])).report().unmatched);
    assert_ne!(deny.generation(), admit.generation());
    let empty = crate::policy::Documents::parse(&[]).unwrap();
    let empty =
        crate::policy::PolicySet::build(empty, crate::policy::Material::default(), Unmatched::Deny)
            .unwrap();
    assert_eq!(denied(judge(&empty, &subject, &[])).reason(), &Reason::NoPolicy);
}

#[test]
fn a_warning_policy_never_blocks_and_says_so() {
    let (key, target) = (Signer::new(), digest("image"));
    let text = policy(BUILD).replace("spec: {", "spec: {action: warn, ");
    let set = set(&text, &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let permit = permitted(judge(&set, &subject, &[&found(&target, vec![])]));
    assert_eq!(permit.warnings().collect::<Vec<_>>(), ["test"]);
    assert_eq!(permit.report().documents[0].action, Action::Warn);
    assert!(!permit.report().documents[0].satisfied);
    let signed = found(&target, vec![key.signs(&target, REPOSITORY)]);
    assert_eq!(permitted(judge(&set, &subject, &[&signed])).warnings().count(), 0);
}

#[test]
fn accept_anything_accepts_and_asks_for_nothing() {
    let target = digest("image");
    let set = set(&policy("{insecureAcceptAnything: true}"), &[]);
    let subject = subject("reg.test/prod/app:1", &target);
    let applicable = set.applicable(&subject.name, &Pod::default());
    assert!(!set.plan(&applicable).signatures);
    assert!(permitted(judge(&set, &subject, &[])).report().documents[0].accepts_anything);
}

#[test]
fn digest_rules_need_no_signature_and_no_origin() {
    let target = digest("image");
    let set = set(&policy(&format!("{{digest: {{anyOf: [\"{target}\"]}}}}")), &[]);
    for (name, origin) in [
        (Name::Known(crate::image::Reference::parse("reg.test/a:1").unwrap()), Origin::Registry),
        (Name::Known(crate::image::Reference::parse("reg.test/a:1").unwrap()), Origin::Local),
        (Name::Unknown, Origin::Local),
    ] {
        let mut subject = subject("reg.test/a:1", &target);
        (subject.name, subject.origin) = (name, origin);
        assert_permitted(judge(&set, &subject, &[]));
        subject.target = digest("other");
        let denial = denied(judge(&set, &subject, &[]));
        assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::DigestNotListed));
        assert_eq!(denial.requirement(), Some("digest"));
    }
}

/// Attack A3: an imported image, or one that claims a trusted name, with that name's signatures at
/// hand.
#[test]
fn attack_a3_signatures_do_not_speak_for_an_image_without_origin() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    let mut subject = subject("reg.test/prod/app:1", &target);
    subject.origin = Origin::Local;
    let denial = denied(judge(&set, &subject, &[&evidence]));
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::NoOrigin));
    subject.name = Name::Unknown;
    subject.origin = Origin::Registry;
    let denial = denied(judge(&set, &subject, &[&evidence]));
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::NoName));
}

/// Attack A10: an unsigned index around a signed child: what is pinned is the child.
#[test]
fn attack_a10_a_permit_that_rests_on_the_child_pins_the_child() {
    let (key, index, child) = (Signer::new(), digest("index"), digest("child"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let mut subject = subject("reg.test/prod/app:1", &index);
    subject.child = Some(child.clone());
    let on_index = found(&index, vec![]);
    let on_child = found(&child, vec![key.signs(&child, REPOSITORY)]);
    let permit = permitted(judge(&set, &subject, &[&on_index, &on_child]));
    assert_eq!(permit.pinned(), &child);
    // Both signed: the index it is.
    let on_index = found(&index, vec![key.signs(&index, REPOSITORY)]);
    let permit = permitted(judge(&set, &subject, &[&on_index, &on_child]));
    assert_eq!(permit.pinned(), &index);
    // Asked for by the index's digest: the child's signature does not count.
    subject.name =
        Name::Known(crate::image::Reference::parse(&format!("reg.test/prod/app@{index}")).unwrap());
    let denial = denied(judge(&set, &subject, &[&found(&index, vec![]), &on_child]));
    assert_eq!(denial.reason(), &Reason::NoneCounts { why: Finding::OtherDigest });
}

/// Attack A10: whoever may push makes an index around a child that was attested once. Asked for by
/// the index's digest, it is the index that must be attested, although it is signed itself; and the
/// refusal says what to do.
#[test]
fn attack_a10_an_attestation_on_a_child_does_not_speak_for_an_index_asked_for_by_digest() {
    let (key, index, child) = (Signer::new(), digest("index"), digest("child"));
    let sbom =
        "{name: sbom, attestation: {predicateType: cyclonedx, by: {key: {files: [build.pub]}}}}";
    let set = set(&policy(&format!("{{all: [{BUILD}, {sbom}]}}")), &[("build.pub", &key)]);
    let mut subject = subject("reg.test/prod/app:1", &index);
    subject.child = Some(child.clone());
    let on_index = found(&index, vec![key.signs(&index, REPOSITORY)]);
    let bom = "https://cyclonedx.org/bom";
    let on_child = found(&child, vec![key.attests(&child, bom, &serde_json::json!({}))]);
    let permit = permitted(judge(&set, &subject, &[&on_index, &on_child]));
    assert_eq!(permit.pinned(), &index, "by tag it leads to both");
    subject.name =
        Name::Known(crate::image::Reference::parse(&format!("reg.test/prod/app@{index}")).unwrap());
    let denial = denied(judge(&set, &subject, &[&on_index]));
    let why = Finding::Fault { fault: Fault::NotAttestation };
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::NoneCounts { why }));
    assert!(denial.to_string().contains("attest the index, or ask by tag"), "{denial}");
    assert_denied(judge(&set, &subject, &[&on_index, &on_child]));
}

#[test]
fn requirements_may_rest_on_the_index_and_on_the_child() {
    let (build, security, index, child) =
        (Signer::new(), Signer::new(), digest("index"), digest("child"));
    let set = set(&policy(TWO), &[("build.pub", &build), ("security.pub", &security)]);
    let mut subject = subject("reg.test/prod/app:1", &index);
    subject.child = Some(child.clone());
    let on_index = found(&index, vec![build.signs(&index, REPOSITORY)]);
    let on_child = found(&child, vec![security.signs(&child, REPOSITORY)]);
    let permit = permitted(judge(&set, &subject, &[&on_index, &on_child]));
    assert_eq!(permit.pinned(), &index, "it leads to both");
    // The child was not looked at: nothing is known, which is not a refusal.
    let denial = denied(judge(&set, &subject, &[&on_index]));
    assert_eq!(denial.reason(), &Reason::NotLooked { digest: child.to_string() });
    // A digest rule may name the child.
    let text = policy(&format!("{{digest: {{anyOf: [\"{child}\"]}}}}"));
    let set = super::support::set(&text, &[]);
    assert_eq!(permitted(judge(&set, &subject, &[])).pinned(), &child);
}

#[test]
fn a_digest_that_no_signature_can_mend_is_a_refusal_whatever_was_unreachable() {
    let (key, target) = (Signer::new(), digest("image"));
    let other = digest("other");
    let digest_rule = format!("{{digest: {{anyOf: [\"{other}\"]}}}}");
    let down = looked(&target, vec![], Outcome::Unreachable("down".to_owned()));
    let subject = subject("reg.test/prod/app:1", &target);
    let both = set(&policy(&format!("{{all: [{BUILD}, {digest_rule}]}}")), &[("build.pub", &key)]);
    let denial = denied(judge(&both, &subject, &[&down]));
    assert_eq!((denial.class(), denial.reason()), (Class::Refused, &Reason::DigestNotListed));
    let either =
        set(&policy(&format!("{{any: [{BUILD}, {digest_rule}]}}")), &[("build.pub", &key)]);
    let denial = denied(judge(&either, &subject, &[&down]));
    assert_eq!((denial.class(), denial.requirement()), (Class::Unreachable, Some("build")));
}

#[test]
fn thresholds() {
    let (a, b, c, target) = (Signer::new(), Signer::new(), Signer::new(), digest("image"));
    let leaf = |name: &str| format!("{{name: {name}, key: {{files: [{name}.pub]}}}}");
    let text = policy(&format!(
        "{{atLeast: {{count: 2, of: [{}, {}, {}]}}}}",
        leaf("a"),
        leaf("b"),
        leaf("c")
    ));
    let set = set(&text, &[("a.pub", &a), ("b.pub", &b), ("c.pub", &c)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let evidence = |signers: &[&Signer]| {
        found(&target, signers.iter().map(|signer| signer.signs(&target, REPOSITORY)).collect())
    };
    assert_permitted(judge(&set, &subject, &[&evidence(&[&a, &c])]));
    assert_permitted(judge(&set, &subject, &[&evidence(&[&a, &b, &c])]));
    let denial = denied(judge(&set, &subject, &[&evidence(&[&b])]));
    assert_eq!(
        denial.reason(),
        &Reason::NoneCounts { why: Finding::Fault { fault: Fault::WrongSignature } }
    );
    assert_denied(judge(&set, &subject, &[&evidence(&[])]));
    assert_denied(judge(&set, &subject, &[&evidence(&[&a, &a, &a])]));
}

#[test]
fn the_judge_repeats_itself() {
    let (key, other, target) = (Signer::new(), Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let evidence =
        found(&target, vec![other.signs(&target, REPOSITORY), key.signs(&target, "evil.test/x")]);
    let first = denied(judge(&set, &subject, &[&evidence]));
    let second = denied(judge(&set, &subject, &[&evidence]));
    assert_eq!((first.to_string(), first.report()), (second.to_string(), second.report()));
    let fates = &first.report().documents[0].requirements[0].signature_results;
    assert_eq!(fates.len(), 2);
    assert!(fates.iter().all(|fate| matches!(fate.outcome, SignatureOutcome::Refused(_))));
}

#[test]
fn a_report_is_json_that_names_keys_and_files() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let evidence =
        found(&target, vec![key.signs(&target, "reg.test/other"), key.signs(&target, REPOSITORY)]);
    let permit = permitted(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    let json = serde_json::to_value(permit.report()).unwrap();
    let requirement = &json["documents"][0]["requirements"][0];
    assert_eq!(requirement["signers"][0]["key"], key.public().id().to_string());
    assert_eq!(requirement["fates"][0]["finding"], "identityDiffers");
    assert_eq!(requirement["fates"][1]["outcome"], "signed");
    assert_eq!(requirement["fates"][1]["file"], "build.pub");
    assert_eq!(requirement["rests_on"][0], "target");
}

#[test]
fn more_signatures_than_are_looked_at_is_not_a_refusal() {
    let (key, other, target) = (Signer::new(), Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let junk = other.signs(&target, REPOSITORY);
    let items = std::iter::repeat_n(junk, 4096).chain([key.signs(&target, REPOSITORY)]).collect();
    let evidence = Evidence {
        items,
        carriers: vec![],
        looked: vec![(place(&target, Source::SignatureTag), Outcome::Found(4097))],
    };
    let denial = denied(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    assert_eq!((denial.class(), denial.reason()), (Class::Unable, &Reason::TooManySignatures));
    let requirement = &denial.report().documents[0].requirements[0];
    assert_eq!(requirement.signature_results.len() + requirement.signature_results_omitted, 4096);
}

/// Attack D1: junk before a good signature does not push what counted out of the record.
#[test]
fn attack_d1_the_signature_that_counts_stays_in_the_report() {
    let (key, other, target) = (Signer::new(), Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let good = key.signs(&target, REPOSITORY);
    let junk = std::iter::repeat_with(|| other.signs(&target, REPOSITORY)).take(40);
    let evidence = found(&target, junk.chain([good.clone()]).collect());
    let permit = permitted(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    let requirement = &permit.report().documents[0].requirements[0];
    let counted: Vec<_> = requirement
        .signature_results
        .iter()
        .filter(|fate| matches!(fate.outcome, SignatureOutcome::Signed(_)))
        .collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0].item, good.digest);
    assert_eq!(
        (requirement.signature_results.len(), requirement.signature_results_omitted),
        (SIGNATURE_RESULTS_MAX, 25)
    );
}

/// What a pull is permitted on must carry the create that follows, which judges what was pulled.
#[test]
fn signatures_on_both_the_index_and_the_child_pin_the_index() {
    let (build, security) = (Signer::new(), Signer::new());
    let (index, child) = (digest("index"), digest("child"));
    let images = r#"["reg.test/**"]"#;
    let two = named("two", images, TWO);
    let enforced = named("enforced", images, BUILD);
    let other = named("other", images, "{name: security, key: {files: [security.pub]}}");
    let separate = format!("{enforced}---\n{other}");
    let warning = format!("{enforced}---\n{}", other.replace("require:", "action: warn, require:"));
    assert_ne!(warning, separate);
    for policies in [two, separate, warning] {
        let set = set(&policies, &[("build.pub", &build), ("security.pub", &security)]);
        let mut asked = subject("reg.test/prod/app:1", &index);
        asked.child = Some(child.clone());
        let on_index = found(&index, vec![build.signs(&index, REPOSITORY)]);
        let on_child = found(&child, vec![security.signs(&child, REPOSITORY)]);
        let permit = permitted(judge(&set, &asked, &[&on_index, &on_child]));
        assert_eq!(permit.pinned(), &index, "{policies}");
    }
}
