//! Images that were imported, with evidence of their repository on the node ([`Origin::Kept`]).

use super::support::*;
use crate::evidence::{Evidence, Name, Origin, Outcome, Pod, Source, Subject};
use crate::policy::{Class, Finding, Reason};
use crate::verify::Fault;

const BUILD: &str = "{name: build, key: {files: [build.pub]}}";

fn kept(name: &str, target: &crate::image::Digest) -> Subject {
    let mut subject = subject(name, target);
    subject.origin = Origin::Kept;
    subject
}

/// As from the registry: signatures of both forms, and digest rules.
#[test]
fn signatures_and_digests_count_as_from_the_registry() {
    let (key, target) = (Signer::new(), digest("image"));
    let signed = set(&policy(BUILD), &[("build.pub", &key)]);
    let listed = set(&policy(&format!("{{digest: {{anyOf: [\"{target}\"]}}}}")), &[]);
    let subject = kept("reg.test/prod/app:1", &target);
    for item in [key.signs(&target, REPOSITORY), key.bundles(&target)] {
        let permit = permitted(judge(&signed, &subject, &[&found(&target, vec![item])]));
        assert_eq!((permit.pinned(), permit.subject().origin), (&target, Origin::Kept));
    }
    assert_permitted(judge(&listed, &subject, &[]));
    let other = kept("reg.test/prod/app:1", &digest("other"));
    assert_eq!(denied(judge(&listed, &other, &[])).reason(), &Reason::DigestNotListed);
}

/// Attack A2: what is kept is judged, not believed: no signature, another key, another digest.
#[test]
fn attack_a2_what_is_kept_is_judged_again() {
    let (key, other, target) = (Signer::new(), Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let subject = kept("reg.test/prod/app:1", &target);
    let none = denied(judge(&set, &subject, &[&found(&target, vec![])]));
    assert_eq!((none.class(), none.reason()), (Class::Refused, &Reason::Unsigned));
    let mut elsewhere = key.signs(&digest("another image"), REPOSITORY);
    elsewhere.place = place(&target, Source::SignatureTag);
    for (item, fault) in
        [(other.signs(&target, REPOSITORY), Fault::WrongSignature), (elsewhere, Fault::OtherDigest)]
    {
        let denial = denied(judge(&set, &subject, &[&found(&target, vec![item])]));
        assert_eq!(denial.reason(), &Reason::NoneCounts { why: Finding::Fault { fault } });
    }
}

/// Attack A3: evidence of one repository, kept, does not vouch for the same digest under another
/// repository's name: the signature names the one that it was made for.
#[test]
fn attack_a3_kept_evidence_of_another_repository_does_not_vouch_for_this_name() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, "reg.test/staging/app")]);
    let denial = denied(judge(&set, &kept("reg.test/prod/app:1", &target), &[&evidence]));
    assert_eq!(denial.class(), Class::Refused);
    let Reason::NoneCounts { why: Finding::IdentityDiffers { .. } } = denial.reason() else {
        panic!("{:?}", denial.reason())
    };
    assert_permitted(judge(&set, &kept("reg.test/staging/app:1", &target), &[&evidence]));
}

/// Attack A3: a name that is not known is none whatever is kept.
#[test]
fn attack_a3_an_image_without_a_name_has_no_kept_signatures() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let mut subject = kept("reg.test/prod/app:1", &target);
    subject.name = Name::Unknown;
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    assert_eq!(denied(judge(&set, &subject, &[&evidence])).reason(), &Reason::NoName);
}

/// The three origins never share a verdict: what is remembered of one is not taken for another.
#[test]
fn attack_a3_origins_do_not_share_a_verdict() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let keys = [Origin::Registry, Origin::Kept, Origin::Local].map(|origin| {
        let mut subject = subject("reg.test/prod/app:1", &target);
        subject.origin = origin;
        set.verdict_key(&subject, &set.applicable(&subject.name, &Pod::default()))
    });
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

/// What could not be reached beside what is kept stays unreachable: kept evidence never makes a
/// place absent.
#[test]
fn what_is_kept_does_not_answer_for_what_is_out_of_reach() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy(BUILD), &[("build.pub", &key)]);
    let down = looked(&target, vec![], Outcome::Unreachable("no route".to_owned()));
    let denial =
        denied(judge(&set, &kept("reg.test/prod/app:1", &target), &[&Evidence::default(), &down]));
    assert_eq!(denial.class(), Class::Unreachable);
}
