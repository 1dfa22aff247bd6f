//! Certificates whose names or issuer could be read in two ways (attack B8).

use rcgen::SanType;
use sealgate::verify::{Fault, San};

use crate::instance::{self, DEMANDS, Instance};
use crate::keyless::certificate;

#[test]
fn attack_b8_several_names_in_one_certificate() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let email = SanType::Rfc822Name("release@acme.test".try_into().unwrap());
    let host = SanType::DnsName("acme.test".try_into().unwrap());
    let address = SanType::IpAddress("192.0.2.1".parse().unwrap());
    for (names, expected) in [
        (vec![instance::uri("https://acme.test/release")], Ok(())),
        (vec![email.clone()], Ok(())),
        (vec![host.clone()], Ok(())),
        (
            vec![instance::uri("https://acme.test/release"), email.clone()],
            Err(Fault::SeveralNames(2)),
        ),
        (vec![email.clone(), email.clone()], Err(Fault::SeveralNames(2))),
        (vec![email.clone(), address.clone()], Err(Fault::SeveralNames(2))),
        (vec![host.clone(), email, instance::uri("a:b")], Err(Fault::SeveralNames(3))),
        (vec![address], Err(Fault::NoName)),
        (vec![], Err(Fault::NoName)),
    ] {
        let holder = instance.issue(|params| params.subject_alt_names.clone_from(&names));
        let bundle = instance.bundle(&holder, &[0]);
        assert_eq!(instance::prove(&root, &bundle, DEMANDS).map(drop), expected, "{names:?}");
    }
}

/// Equal text of another kind is another name.
#[test]
fn attack_b8_the_kind_of_a_name_is_kept() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let name = "a@acme.test";
    for (san, expected) in [
        (SanType::Rfc822Name(name.try_into().unwrap()), San::Email(name.to_owned())),
        (instance::uri(name), San::Uri(name.to_owned())),
    ] {
        let holder = instance.issue(|params| params.subject_alt_names = vec![san]);
        let signed = instance::prove(&root, &instance.bundle(&holder, &[0]), DEMANDS).unwrap();
        assert_eq!(certificate(&signed).sans(), [expected]);
        assert_eq!(certificate(&signed).issuer(), Some("https://issuer.test"));
    }
}

/// One issuer, said once and in one way.
#[test]
fn attack_b8_an_issuer_of_two_meanings() {
    let instance = Instance::new();
    let root = instance.trust_root();
    let good = || instance::fulcio(8, "\u{c}\u{13}https://issuer.test");
    for (extensions, expected) in [
        (vec![], Ok(None)),
        (vec![instance::fulcio(1, "https://old.test")], Ok(Some("https://old.test"))),
        (vec![instance::fulcio(1, "https://old.test"), good()], Ok(Some("https://issuer.test"))),
        (vec![good(), good()], Err(Fault::Certificate)),
        (vec![instance::fulcio(8, "https://issuer.test")], Err(Fault::Certificate)),
        (vec![good(), instance::fulcio(12, "https://acme.test")], Err(Fault::Certificate)),
    ] {
        let holder = instance.issue(|params| params.custom_extensions.clone_from(&extensions));
        let outcome = instance::prove(&root, &instance.bundle(&holder, &[0]), DEMANDS);
        let issuer = outcome.map(|signed| certificate(&signed).issuer().map(str::to_owned));
        assert_eq!(
            issuer.as_ref().map(Option::as_deref),
            expected.as_ref().copied(),
            "{extensions:?}"
        );
    }
}
