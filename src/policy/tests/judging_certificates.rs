//! Certificates of an own authority: by whom, until when, and what is revoked.

use super::fixtures::*;
use super::support::{assert_permitted, denied, permitted};
use crate::policy::{Class, Finding, Material, PolicyFault, Reason};
use crate::verify::{AuthorityError, CaFault, Fault, Part};

const LATER: &str = "2025-07-01T00:00:00Z";
/// Where the certificates of `pki/` end.
const END: &str = "2065-01-01T00:00:00Z";

fn fault(require: &str, name: &str) -> Fault {
    let denial = denied(judged_in(require, name, LATER));
    let Reason::NoneCounts { why: Finding::Fault { fault } } = denial.reason() else {
        panic!("{name}: {denial:?}")
    };
    *fault
}

#[test]
fn a_certificate_of_the_authority_admits_and_ends() {
    for (require, name) in [
        (certificate("[]"), "pki"),
        (certificate("[team.crl]"), "pki"),
        (certificate("[]"), "pki-v3"),
        (certificate("[]"), "pki-logged"),
    ] {
        let permit = permitted(judged_in(&require, name, LATER));
        let until = permit.valid_until().unwrap();
        assert!(until > at(LATER) && until <= at(END), "{name}: {until}");
        let signer = &permit.report().documents[0].requirements[0].signers[0];
        let holder = signer.certificate().unwrap();
        assert_eq!((holder.subject.as_str(), holder.subject_kind), ("team@acme.example", "email"));
        assert_eq!((holder.issuer.as_deref(), holder.trust_root.as_deref()), (None, None));
        assert!(
            signer.times.is_empty() && signer.entries.is_empty(),
            "nothing was asked to vouch for a time"
        );
    }
}

#[test]
fn a_trust_root_proves_when_a_certificate_signed() {
    let timed = certificate("[]").replace("subjects:", "trustRoot: local, subjects:");
    let permit = permitted(judged_in(&timed, "pki-short", LATER));
    assert_eq!(permit.valid_until(), None, "it was valid when it signed");
    assert_eq!(fault(&certificate("[]"), "pki-short"), Fault::CertificateExpired);
    assert_eq!(fault(&timed, "pki-expired"), Fault::CertificateExpired);
    let logged = timed.replace("subjects:", "minLogEntries: 1, subjects:");
    assert_permitted(judged_in(&logged, "pki-logged", LATER));
    assert_eq!(fault(&logged, "pki"), Fault::TooFewLogEntries { got: 0, want: 1 });
}

#[test]
fn attack_b7_other_authorities_and_revoked_certificates_are_refused() {
    assert_eq!(fault(&certificate("[]"), "pki-foreign"), Fault::CertificateChain);
    assert_eq!(fault(&certificate("[team.crl]"), "pki-revoked"), Fault::CertificateRevoked);
    assert_eq!(fault(&certificate("[team.crl]"), "pki-revoked-v3"), Fault::CertificateRevoked);
    // A list that is overdue: it cannot be told, which is no plain refusal.
    let denial = denied(judged_in(&certificate("[stale.crl]"), "pki", LATER));
    let why = Finding::Fault { fault: Fault::RevocationUnknown };
    assert_eq!((denial.class(), denial.reason()), (Class::Unable, &Reason::NotTold { why }));
    assert_permitted(judged_in(&certificate("[before.crl]"), "pki-revoked", LATER));
}

/// Attack B8: an e-mail address, a URI and a host are three kinds of name.
#[test]
fn attack_b8_subjects_are_matched_with_their_kind() {
    let by = |subject: &str| certificate("[]").replace("email: team@acme.example", subject);
    let uri = by("uri: 'https://ci.acme.example/build'");
    assert_permitted(judged_in(&uri, "pki-uri", LATER));
    assert_permitted(judged_in(&by("host: build.acme.example"), "pki-host", LATER));
    for (require, name) in [
        (uri, "pki"),
        (by("email: other@acme.example"), "pki"),
        (by("host: team@acme.example"), "pki"),
    ] {
        let denial = denied(judged_in(&require, name, LATER));
        assert_eq!(denial.class(), Class::Refused);
        let Reason::NoneCounts { why: Finding::OtherHolder { holder, .. } } = denial.reason()
        else {
            panic!("{:?}", denial.reason())
        };
        assert_eq!(holder, "email team@acme.example");
    }
}

/// Attack C2: one certificate with two names is one signer, and so is one holder under two
/// authorities.
#[test]
fn attack_c2_one_certificate_holder_counts_once() {
    let uri = certificate("[]")
        .replace("name: team", "name: ci")
        .replace("email: team@acme.example", "uri: 'https://ci.acme.example/build'");
    for require in [&certificate("[]"), &uri] {
        assert_permitted(judged_in(require, "pki-two-names", LATER));
    }
    let all = format!("{{all: [{}, {uri}]}}", certificate("[]"));
    assert_eq!(denied(judged_in(&all, "pki-two-names", LATER)).reason(), &Reason::KeysNotDistinct);
    // Whoever it is, under an authority with lists and one without.
    let anybody = |name: &str, crls: &str| {
        let any = certificate(crls)
            .replace("subjects: [{email: team@acme.example}]", "insecureAnySubject: true");
        any.replace("name: team", &format!("name: {name}"))
    };
    let both = format!("{{all: [{}, {}]}}", anybody("one", "[]"), anybody("two", "[team.crl]"));
    assert_eq!(denied(judged_in(&both, "pki", LATER)).reason(), &Reason::KeysNotDistinct);
    let found = found_in("pki").and("pki-host");
    // The other image's signature is about another digest: it counts for nobody.
    assert_eq!(denied(judged(&both, &found, LATER)).reason(), &Reason::KeysNotDistinct);
}

#[test]
fn files_that_are_missing_or_no_authority_are_told_at_their_place() {
    let require = certificate("[team.crl]");
    let mut material = material();
    material.files.insert("root.pem".to_owned(), b"nothing".to_vec());
    let fault = PolicyFault::Authority(AuthorityError::File {
        part: Part::Root,
        file: 0,
        fault: CaFault::NotPem,
    });
    assert_eq!(
        missing(&require, material.clone()),
        [("spec.require.certificate.roots[0]".to_owned(), fault)]
    );
    material.files.remove("team.crl");
    let fault = PolicyFault::FileMissing { name: "team.crl".to_owned(), policy: "test".to_owned() };
    assert_eq!(
        missing(&require, material),
        [("spec.require.certificate.crls[0]".to_owned(), fault)]
    );
    let nothing = missing(&require, Material::default());
    assert_eq!(nothing.len(), 3, "{nothing:?}");
}
