//! Every path here is made on the spot; what the same path gives when one thing is changed stands
//! beside it.

mod authority;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RevokedCertParams, SanType,
    SerialNumber, SignatureAlgorithm, date_time_ymd,
};

use super::error::PARTS_MAX;
use super::path::{CHAIN_MAX, Distrust};
use super::*;
use crate::verify::primitives::fault::Fault;
use crate::verify::primitives::pem;

mod lists;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Everything here is valid from 2020 to 2030 unless a test says otherwise.
const NOW: &str = "2025-06-01T00:00:00Z";

fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params
}

fn ca(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn signer() -> CertificateParams {
    let mut params = named("signer");
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.subject_alt_names = vec![SanType::Rfc822Name("a@example.com".try_into().unwrap())];
    params
}

fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

fn root(params: CertificateParams) -> Issuer {
    Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn below(params: CertificateParams, issuer: &Issuer) -> Issuer {
    Issuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf(params: &CertificateParams, issuer: &Issuer) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

fn list(
    issuer: &Issuer,
    revoked: &[u8],
    change: impl FnOnce(&mut CertificateRevocationListParams),
) -> String {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[*serial]),
        revocation_time: date_time_ymd(2025, 5, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let mut params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 5, 1),
        next_update: date_time_ymd(2025, 7, 1),
        crl_number: SerialNumber::from_slice(&[1]),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(issuer).unwrap().pem().unwrap()
}

fn authority(roots: &[&Issuer], intermediates: &[&Issuer], lists: &[&str]) -> Authority {
    let pems = |cas: &[&Issuer]| cas.iter().map(|ca| ca.pem()).collect::<Vec<_>>();
    let (roots, intermediates) = (pems(roots), pems(intermediates));
    let bytes =
        |pems: &[String]| pems.iter().map(|pem| pem.clone().into_bytes()).collect::<Vec<_>>();
    let (roots, intermediates) = (bytes(&roots), bytes(&intermediates));
    let slices = |files: &'static [Vec<u8>]| files.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let (roots, intermediates) = (slices(roots.leak()), slices(intermediates.leak()));
    let lists: Vec<_> = lists.iter().map(|list| list.as_bytes()).collect();
    Authority::parse(&roots, &intermediates, &lists).unwrap()
}

fn judged(authority: &Authority, leaf: &[u8], chain: &[&Issuer]) -> Result<(), Distrust> {
    judged_at(authority, leaf, chain, NOW)
}

fn judged_at(
    authority: &Authority,
    leaf: &[u8],
    chain: &[&Issuer],
    at: &str,
) -> Result<(), Distrust> {
    let chain: Vec<&[u8]> = chain.iter().map(|ca| ca.der().as_ref()).collect();
    authority.path(leaf, &chain, time(at), time(NOW))
}

#[test]
fn good_paths() {
    let top = root(ca("root"));
    let mid = below(ca("mid"), &top);
    let low = below(ca("low"), &mid);
    for (issuer, intermediates, chain) in [
        (&top, &[][..], &[][..]),
        (&mid, &[&mid][..], &[][..]),
        (&mid, &[][..], &[&mid][..]),
        (&mid, &[][..], &[&top, &mid][..]),
        (&low, &[&mid][..], &[&low][..]),
        (&low, &[][..], &[&mid, &low, &top][..]),
    ] {
        let leaf = leaf(&signer(), issuer);
        assert_eq!(judged(&authority(&[&top], intermediates, &[]), &leaf, chain), Ok(()));
        assert_eq!(
            judged(&authority(&[&root(ca("root"))], intermediates, &[]), &leaf, chain),
            Err(Distrust::Untrusted)
        );
    }
    let far = leaf(&signer(), &low);
    assert_eq!(judged(&authority(&[&top], &[], &[]), &far, &[&low]), Err(Distrust::Untrusted));
    // An intermediate that the operator trusts by itself.
    assert_eq!(judged(&authority(&[&mid], &[], &[]), &leaf(&signer(), &mid), &[]), Ok(()));
}

/// Every kind of key above the leaf; the leaf's own is checked with the signature.
#[test]
fn good_keys() {
    let all: [&'static SignatureAlgorithm; 5] = [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ECDSA_P521_SHA512,
        &PKCS_ED25519,
        &PKCS_RSA_SHA256,
    ];
    for kind in all {
        let top = Issuer::self_signed(ca("root"), KeyPair::generate_for(kind).unwrap()).unwrap();
        let list = list(&top, &[8], |_| ());
        assert_eq!(
            judged(&authority(&[&top], &[], &[&list]), &leaf(&signer(), &top), &[]),
            Ok(()),
            "{kind:?}"
        );
    }
}

#[test]
fn attack_c1_expired_or_not_yet_valid_at_the_time_in_question() {
    let year = |params: CertificateParams, from: i32, to: i32| {
        with(params, |p| {
            (p.not_before, p.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1))
        })
    };
    for (part, (from, to), at, expected) in [
        ("leaf", (2022, 2024), "2023-01-01T00:00:00Z", Ok(())),
        ("leaf", (2022, 2024), "2024-01-01T00:00:00Z", Ok(())),
        ("leaf", (2022, 2024), "2024-01-01T00:00:01Z", Err(Distrust::Expired)),
        ("leaf", (2022, 2024), NOW, Err(Distrust::Expired)),
        ("leaf", (2022, 2024), "2021-12-31T23:59:59Z", Err(Distrust::NotYetValid)),
        ("mid", (2022, 2024), "2023-01-01T00:00:00Z", Ok(())),
        ("mid", (2022, 2024), "2024-01-01T00:00:01Z", Err(Distrust::Expired)),
        ("mid", (2022, 2024), "2021-12-31T23:59:59Z", Err(Distrust::NotYetValid)),
        ("root", (2022, 2024), "2022-01-01T00:00:00Z", Ok(())),
        ("root", (2022, 2024), "2024-01-01T00:00:00.9Z", Ok(())),
        ("root", (2022, 2024), "2024-01-01T00:00:01Z", Err(Distrust::Expired)),
        ("root", (2022, 2024), "2021-12-31T23:59:59Z", Err(Distrust::NotYetValid)),
        ("root", (2022, 2024), "1969-01-01T00:00:00Z", Err(Distrust::NotYetValid)),
    ] {
        let of = |name: &str, params: CertificateParams| {
            if name == part { year(params, from, to) } else { params }
        };
        let top = root(of("root", ca("root")));
        let mid = below(of("mid", ca("mid")), &top);
        let leaf = leaf(&of("leaf", signer()), &mid);
        for (intermediates, chain) in [(&[&mid][..], &[][..]), (&[][..], &[&mid][..])] {
            let authority = authority(&[&top], intermediates, &[]);
            assert_eq!(judged_at(&authority, &leaf, chain, at), expected, "{part} at {at}");
        }
    }
}

/// A root that was issued again for the same key: one of the two certificates is valid.
#[test]
fn a_root_that_was_issued_again() {
    let old = with(ca("root"), |p| p.not_after = date_time_ymd(2024, 1, 1));
    let old = root(old);
    let key = KeyPair::try_from(old.key().serialize_der()).unwrap();
    let new = Issuer::self_signed(ca("root"), key).unwrap();
    let leaf = leaf(&signer(), &old);
    assert_eq!(judged(&authority(&[&old], &[], &[]), &leaf, &[]), Err(Distrust::Expired));
    assert_eq!(judged(&authority(&[&old, &new], &[], &[]), &leaf, &[]), Ok(()));
    assert_eq!(judged(&authority(&[&new, &old], &[], &[]), &leaf, &[]), Ok(()));
}

#[test]
fn keys_that_are_not_for_signing() {
    let top = root(ca("root"));
    let leaf_with = |change: fn(&mut CertificateParams)| {
        let mut params = signer();
        change(&mut params);
        judged(&authority(&[&top], &[], &[]), &leaf(&params, &top), &[])
    };
    assert_eq!(leaf_with(|p| p.extended_key_usages = vec![]), Ok(()));
    assert_eq!(
        leaf_with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        Err(Distrust::Usage)
    );
    assert_eq!(
        leaf_with(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
        Err(Distrust::Usage)
    );
    assert_eq!(
        leaf_with(|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth)),
        Ok(())
    );
    assert_eq!(leaf_with(|p| p.key_usages = vec![]), Ok(()));
    assert_eq!(
        leaf_with(|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
        Err(Distrust::Usage)
    );
    assert_eq!(
        leaf_with(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        Err(Distrust::Usage)
    );
    assert_eq!(leaf_with(|p| p.is_ca = IsCa::ExplicitNoCa), Ok(()));

    let above = |change: fn(&mut CertificateParams)| {
        let mut params = ca("mid");
        change(&mut params);
        let mid = below(params, &top);
        judged(&authority(&[&top], &[], &[]), &leaf(&signer(), &mid), &[&mid])
    };
    assert_eq!(above(|_| ()), Ok(()));
    assert_eq!(above(|p| p.key_usages = vec![]), Ok(()));
    assert_eq!(
        above(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        Err(Distrust::Usage)
    );
    assert_eq!(
        above(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        Err(Distrust::Usage)
    );
    assert_eq!(above(|p| p.is_ca = IsCa::NoCa), Err(Distrust::Usage));

    let silent = root(with(ca("root"), |p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]));
    assert_eq!(
        judged(&authority(&[&silent], &[], &[]), &leaf(&signer(), &silent), &[]),
        Err(Distrust::Usage)
    );
}

#[test]
fn extensions_that_must_be_understood() {
    let top = root(ca("root"));
    for (critical, expected) in [(false, Ok(())), (true, Err(Distrust::Malformed))] {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(critical);
        let params = with(signer(), |p| p.custom_extensions = vec![extension]);
        assert_eq!(judged(&authority(&[&top], &[], &[]), &leaf(&params, &top), &[]), expected);
    }
}

#[test]
fn names_that_a_ca_may_not_give() {
    let constrained = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>, top: bool| {
        let constraints =
            NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded };
        let params = with(ca("constrained"), |p| p.name_constraints = Some(constraints));
        if top { root(params) } else { below(params, &root(ca("root"))) }
    };
    let dns = |name: &str| GeneralSubtree::DnsName(name.to_owned());
    let host = |name: &str| {
        with(signer(), |p| p.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())])
    };
    for (permitted, excluded, name, expected) in [
        (vec![dns("example.com")], vec![], "ci.example.com", Ok(())),
        (vec![dns("example.com")], vec![], "ci.example.org", Err(Distrust::Constraint)),
        (vec![dns("example.com")], vec![], "ciexample.com", Err(Distrust::Constraint)),
        (vec![], vec![dns("example.com")], "ci.example.com", Err(Distrust::Constraint)),
        (vec![], vec![dns("example.com")], "ci.example.org", Ok(())),
    ] {
        let top = constrained(permitted.clone(), excluded.clone(), true);
        assert_eq!(
            judged(&authority(&[&top], &[], &[]), &leaf(&host(name), &top), &[]),
            expected,
            "{name}"
        );
    }
    // E-mail constraints are not evaluated: whatever they say, a certificate with an e-mail address
    // is refused.
    let mail = GeneralSubtree::Rfc822Name("example.com".to_owned());
    let top = constrained(vec![mail], vec![], true);
    assert_eq!(
        judged(&authority(&[&top], &[], &[]), &leaf(&signer(), &top), &[]),
        Err(Distrust::Constraint)
    );
    assert_eq!(
        judged(&authority(&[&top], &[], &[]), &leaf(&host("ci.example.com"), &top), &[]),
        Ok(())
    );
}

#[test]
fn paths_that_are_too_long() {
    let upto = |length: u8, name: &str| {
        with(ca(name), |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(length)))
    };
    for (at_root, at_mid, expected) in [
        (None, None, Ok(())),
        (Some(2), Some(1), Ok(())),
        (Some(1), None, Err(Distrust::Constraint)),
        (None, Some(0), Err(Distrust::Constraint)),
        (Some(0), Some(1), Err(Distrust::Constraint)),
    ] {
        let of = |length: Option<u8>, name: &str| {
            length.map_or_else(|| ca(name), |length| upto(length, name))
        };
        let top = root(of(at_root, "root"));
        let mid = below(of(at_mid, "mid"), &top);
        let low = below(ca("low"), &mid);
        let authority = authority(&[&top], &[&mid], &[]);
        assert_eq!(
            judged(&authority, &leaf(&signer(), &low), &[&low]),
            expected,
            "{at_root:?} {at_mid:?}"
        );
    }
}

#[test]
fn attack_c1_a_self_signed_leaf_is_no_root() {
    let params = signer();
    let own = root(params.clone());
    let parsed = Authority::parse(&[own.pem().as_bytes()], &[], &[]);
    let fault = CaFault::NotCa("CN=signer".to_owned());
    assert_eq!(parsed.unwrap_err(), AuthorityError::File { part: Part::Root, file: 0, fault });
    // And a CA's own certificate signs nothing but certificates.
    let own = root(ca("root"));
    assert_eq!(judged(&authority(&[&own], &[], &[]), own.der(), &[]), Err(Distrust::Usage));
}

#[test]
fn attack_c1_a_chain_that_the_signature_brought_is_not_trusted() {
    let (top, evil) = (root(ca("root")), root(ca("root")));
    let mid = below(ca("mid"), &evil);
    let leaf = leaf(&signer(), &mid);
    assert_eq!(
        judged(&authority(&[&top], &[], &[]), &leaf, &[&mid, &evil]),
        Err(Distrust::Untrusted)
    );
    // A leaf that signed another leaf.
    let middle = below(signer(), &top);
    let low = self::leaf(&signer(), &middle);
    assert_eq!(judged(&authority(&[&top], &[], &[]), &low, &[&middle]), Err(Distrust::Usage));
}

#[test]
fn attack_d1_chains_without_end() {
    let top = root(ca("root"));
    let leaf = leaf(&signer(), &top);
    let authority = authority(&[&top], &[], &[]);
    assert_eq!(judged(&authority, &leaf, &[&top; CHAIN_MAX]), Ok(()));
    assert_eq!(judged(&authority, &leaf, &[&top; CHAIN_MAX + 1]), Err(Distrust::TooLong));
    // All of one name, each signed by each: paths are tried, and their number is bounded.
    let twins: Vec<_> = (0..CHAIN_MAX).map(|_| root(ca("twin"))).collect();
    let chain: Vec<_> = twins.iter().collect();
    let leaf = self::leaf(&signer(), &twins[0]);
    assert_eq!(judged(&authority, &leaf, &chain), Err(Distrust::Untrusted));
}
