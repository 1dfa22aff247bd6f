//! Files of an authority: what is none, its id, and what of it ends when.

use super::*;

#[test]
fn files_that_are_no_authority() {
    let top = root(ca("root"));
    let pem = top.pem();
    let error = |part, fault| AuthorityError::File { part, file: 0, fault };
    assert_eq!(Authority::parse(&[], &[pem.as_bytes()], &[]).unwrap_err(), AuthorityError::NoRoot);
    for (file, fault) in [
        (b"".as_slice(), CaFault::NotPem),
        (b"junk", CaFault::NotPem),
        (b"0junk", CaFault::Malformed),
        (top.key().serialize_pem().as_bytes(), CaFault::Label("PRIVATE KEY".to_owned())),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", CaFault::Malformed),
        (pem.repeat(PARTS_MAX + 1).as_bytes(), CaFault::TooMany),
    ] {
        assert_eq!(
            Authority::parse(&[file], &[], &[]).unwrap_err(),
            error(Part::Root, fault.clone())
        );
        let parsed = Authority::parse(&[pem.as_bytes()], &[file], &[]);
        assert_eq!(parsed.unwrap_err(), error(Part::Intermediate, fault));
    }
    let certificate = error(Part::RevocationList, CaFault::Label("CERTIFICATE".to_owned()));
    assert_eq!(
        Authority::parse(&[pem.as_bytes()], &[], &[pem.as_bytes()]).unwrap_err(),
        certificate
    );
    let long = vec![b' '; AUTHORITY_FILE_MAX + 1];
    assert_eq!(
        Authority::parse(&[&long], &[], &[]).unwrap_err(),
        error(Part::Root, CaFault::TooLong)
    );
    // In DER, and several in one file.
    let two = format!("{pem}{}", root(ca("other")).pem());
    assert!(Authority::parse(&[top.der().as_ref(), two.as_bytes()], &[], &[]).is_ok());
}

#[test]
fn the_id_is_of_everything() {
    let top = root(ca("root"));
    let mid = below(ca("mid"), &top);
    let (one, two) = (list(&mid, &[7], |_| ()), list(&mid, &[8], |_| ()));
    let ids = [
        authority(&[&top], &[], &[]).id(),
        authority(&[&mid], &[], &[]).id(),
        authority(&[&top], &[&mid], &[]).id(),
        authority(&[&top, &mid], &[], &[]).id(),
        authority(&[&top], &[&mid], &[&one]).id(),
        authority(&[&top], &[&mid], &[&two]).id(),
    ];
    assert_eq!(authority(&[&top], &[&mid], &[&one]).id(), ids[4]);
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn what_ends_when() {
    let top = root(ca("root"));
    let mid = below(with(ca("mid"), |p| p.not_after = date_time_ymd(2026, 1, 1)), &top);
    let authority = authority(&[&top], &[&mid], &[&list(&mid, &[], |_| ())]);
    let expected = [
        (Part::Root, "CN=root", "2030-01-01T00:00:00Z"),
        (Part::Intermediate, "CN=mid", "2026-01-01T00:00:00Z"),
        (Part::RevocationList, "CN=mid", "2025-07-01T00:00:00Z"),
    ];
    let expected = expected.map(|(part, name, at)| AuthorityExpiry {
        part,
        name: name.to_owned(),
        at: time(at),
    });
    assert_eq!(authority.expiries(), expected);
}
