//! Revocation lists: who is revoked, which list is believed, and when none can tell.

use super::*;

#[test]
fn revoked_certificates() {
    let top = root(ca("root"));
    let mid =
        below(with(ca("mid"), |p| p.serial_number = Some(SerialNumber::from_slice(&[9]))), &top);
    let leaf = leaf(&signer(), &mid);
    let (none, other) = (list(&mid, &[], |_| ()), list(&mid, &[8], |_| ()));
    let (this, above) = (list(&mid, &[7, 8], |_| ()), list(&top, &[9], |_| ()));
    for (lists, expected) in [
        (&[][..], Ok(())),
        (&[&none][..], Ok(())),
        (&[&other], Ok(())),
        (&[&this], Err(Distrust::Revoked)),
        (&[&other, &this], Err(Distrust::Revoked)),
        (&[&this, &other], Err(Distrust::Revoked)),
        (&[&none, &above], Err(Distrust::Revoked)),
        (&[&above], Err(Distrust::RevocationUnknown)),
    ] {
        let lists: Vec<&str> = lists.iter().map(|list| list.as_str()).collect();
        assert_eq!(
            judged(&authority(&[&top], &[&mid], &lists), &leaf, &[]),
            expected,
            "{}",
            lists.len()
        );
    }
    // Revoked now: that the signature is proven to be older does not help.
    let authority = authority(&[&top], &[&mid], &[&this]);
    assert_eq!(judged_at(&authority, &leaf, &[], "2024-01-01T00:00:00Z"), Err(Distrust::Revoked));
    let fault = authority.vouches(&leaf, &[], time(NOW), time(NOW));
    assert_eq!(fault, Err(Fault::CertificateRevoked));
}

#[test]
fn lists_that_are_not_of_now() {
    let top = root(ca("root"));
    let mid = below(ca("mid"), &top);
    let leaf = leaf(&signer(), &mid);
    let old = |ca: &Issuer| list(ca, &[8], |p| p.next_update = date_time_ymd(2025, 6, 1));
    let future = list(&mid, &[8], |p| p.this_update = date_time_ymd(2025, 6, 2));
    let fresh = |ca: &Issuer| list(ca, &[8], |_| ());
    let revoked = list(&mid, &[7], |p| p.next_update = date_time_ymd(2025, 6, 1));
    for (lists, expected) in [
        (vec![fresh(&mid)], Ok(())),
        (vec![old(&mid)], Err(Distrust::RevocationStale)),
        (vec![future.clone()], Err(Distrust::RevocationStale)),
        (vec![old(&mid), fresh(&mid)], Ok(())),
        (vec![fresh(&mid), old(&mid)], Ok(())),
        (vec![fresh(&mid), old(&top)], Err(Distrust::RevocationStale)),
        (vec![fresh(&mid), revoked], Err(Distrust::Revoked)),
        (vec![fresh(&top)], Err(Distrust::RevocationUnknown)),
    ] {
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        assert_eq!(judged(&authority(&[&top], &[&mid], &lists), &leaf, &[]), expected);
    }
    // The list is judged at now, the certificate at the proven time.
    let list = list(&mid, &[8], |_| ());
    let authority = authority(&[&top], &[&mid], &[&list]);
    assert_eq!(judged_at(&authority, &leaf, &[], "2021-01-01T00:00:00Z"), Ok(()));
}

#[test]
fn attack_c5_a_list_is_believed_after_its_signature() {
    let (top, evil) = (root(ca("root")), root(ca("root")));
    let foreign =
        AuthorityError::File { part: Part::RevocationList, file: 1, fault: CaFault::ForeignList };
    let parse = |list: &[u8]| {
        let good = list_of(&top);
        Authority::parse(&[top.pem().as_bytes()], &[], &[good.as_bytes(), list]).map(drop)
    };
    fn list_of(ca: &Issuer) -> String {
        list(ca, &[8], |_| ())
    }
    assert_eq!(parse(list_of(&top).as_bytes()), Ok(()));
    assert_eq!(parse(list_of(&evil).as_bytes()), Err(foreign.clone()));
    // Every byte of a good one: none is believed.
    let good = pem::blocks(list_of(&top).as_bytes(), 1).unwrap().remove(0).der;
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(parse(&changed).is_err(), "{at}");
        assert!(parse(&good[..at]).is_err(), "{at}");
    }
    // By a CA that may not.
    let mute = root(with(ca("root"), |p| p.key_usages = vec![KeyUsagePurpose::KeyCertSign]));
    let error = Authority::parse(&[mute.pem().as_bytes()], &[], &[list_of_any(&mute).as_bytes()])
        .unwrap_err();
    let fault = CaFault::NotListSigner("CN=root".to_owned());
    assert_eq!(error, AuthorityError::File { part: Part::RevocationList, file: 0, fault });
}

/// A list of a CA whose key usage forbids it: rcgen refuses to make one, so that the key signs
/// under another certificate.
fn list_of_any(issuer: &Issuer) -> String {
    let key = KeyPair::try_from(issuer.key().serialize_der()).unwrap();
    list(&Issuer::self_signed(ca("root"), key).unwrap(), &[8], |_| ())
}

/// Two CAs of one name and two keys: each one's list speaks for its own certificates.
#[test]
fn attack_c5_a_list_of_a_namesake() {
    let top = root(ca("root"));
    let (one, two) = (below(ca("mid"), &top), below(ca("mid"), &top));
    let leaf = leaf(&signer(), &one);
    let revoked_by = |ca: &Issuer| list(ca, &[7], |_| ());
    let judged_with =
        |lists: &[&str]| judged(&authority(&[&top], &[&one, &two], lists), &leaf, &[]);
    assert_eq!(judged_with(&[&list(&one, &[], |_| ()), &revoked_by(&two)]), Ok(()));
    assert_eq!(judged_with(&[&list(&two, &[], |_| ()), &revoked_by(&one)]), Err(Distrust::Revoked));
    assert_eq!(judged_with(&[&list(&two, &[], |_| ())]), Err(Distrust::RevocationUnknown));
}

#[test]
fn lists_for_some_certificates() {
    let top = root(ca("root"));
    let point = |uri: &str| CrlDistributionPoint { uris: vec![uri.to_owned()] };
    let scoped = |uri: &str, scope: Option<CrlScope>, revoked: u8| {
        let issuing = CrlIssuingDistributionPoint { distribution_point: point(uri), scope };
        list(&top, &[revoked], |p| p.issuing_distribution_point = Some(issuing))
    };
    let (one, two) = ("http://ca.test/1.crl", "http://ca.test/2.crl");
    let judged_with = |points: Vec<CrlDistributionPoint>, list: &str| {
        let params = with(signer(), |p| p.crl_distribution_points = points);
        judged(&authority(&[&top], &[], &[list]), &leaf(&params, &top), &[])
    };
    for (points, list, expected) in [
        (vec![point(one)], scoped(one, None, 8), Ok(())),
        (vec![point(one)], scoped(one, None, 7), Err(Distrust::Revoked)),
        (vec![point(one)], scoped(two, None, 8), Err(Distrust::RevocationUnknown)),
        (vec![point(one)], scoped(two, None, 7), Err(Distrust::RevocationUnknown)),
        (vec![point(two), point(one)], scoped(one, None, 7), Err(Distrust::Revoked)),
        (vec![], scoped(one, None, 7), Err(Distrust::Revoked)),
        (vec![], scoped(one, Some(CrlScope::UserCertsOnly), 7), Err(Distrust::Revoked)),
        (vec![], scoped(one, Some(CrlScope::UserCertsOnly), 8), Ok(())),
        (vec![], scoped(one, Some(CrlScope::CaCertsOnly), 8), Err(Distrust::RevocationUnknown)),
    ] {
        assert_eq!(judged_with(points, &list), expected);
    }
}
