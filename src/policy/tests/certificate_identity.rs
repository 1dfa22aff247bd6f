//! Which certificates an identity fits, and what is said of those that it does not.

use proptest::prelude::*;

use crate::policy::requirement::certificate_identity::{
    CertificateIdentity, IdentityField, IdentityMismatch, subject,
};
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Reader};
use crate::policy::syntax::yaml;
use crate::verify::{Certificate, Extension, San};

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GOOGLE: &str = "https://accounts.google.com";
const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";

fn read(
    text: &str,
    how: fn(&At<'_>, &mut Reader) -> Option<CertificateIdentity>,
) -> Result<CertificateIdentity, Vec<PolicyFault>> {
    let nodes = yaml::documents(text).unwrap();
    let mut reader = Reader::new("test.yaml");
    let identity = how(&At { node: &nodes[0], field: String::new() }, &mut reader);
    let (errors, _) = reader.finish();
    match identity {
        Some(identity) if errors.is_empty() => Ok(identity),
        _ => Err(errors.into_iter().map(|error| error.fault).collect()),
    }
}

fn identity(text: &str) -> CertificateIdentity {
    read(text, CertificateIdentity::read).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn own(text: &str) -> CertificateIdentity {
    read(text, subject).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn email(name: &str) -> San {
    San::Email(name.to_owned())
}

fn uri(name: &str) -> San {
    San::Uri(name.to_owned())
}

fn dns(name: &str) -> San {
    San::Dns(name.to_owned())
}

fn workflow(extensions: &[(Extension, &str)]) -> Certificate {
    Certificate::saying(&[uri(WORKFLOW)], Some(GITHUB), extensions)
}

fn part(identity: &CertificateIdentity, certificate: &Certificate) -> Result<(), IdentityField> {
    identity.fits(certificate).map_err(|misfit| misfit.part)
}

#[test]
fn issuer_and_subject_are_matched_together() {
    let wanted = identity(&format!("{{issuer: {GOOGLE}, subject: release@acme.com}}"));
    let by =
        |issuer: Option<&str>, san: San| part(&wanted, &Certificate::saying(&[san], issuer, &[]));
    assert_eq!(by(Some(GOOGLE), email("release@acme.com")), Ok(()));
    assert_eq!(by(Some(GITHUB), email("release@acme.com")), Err(IdentityField::Issuer));
    assert_eq!(by(None, email("release@acme.com")), Err(IdentityField::Issuer));
    assert_eq!(by(Some(GOOGLE), email("other@acme.com")), Err(IdentityField::Subject));
    assert_eq!(by(Some(GITHUB), email("other@acme.com")), Err(IdentityField::Stranger));
    assert_eq!(
        part(&wanted, &Certificate::saying(&[], Some(GOOGLE), &[])),
        Err(IdentityField::Subject)
    );
    for near in [
        "Release@acme.com",
        "release@acme.com ",
        "release@acme.com\n",
        "release@acme.co",
        "xrelease@acme.com",
    ] {
        assert_eq!(by(Some(GOOGLE), email(near)), Err(IdentityField::Subject), "{near}");
    }
    for near in [
        "https://accounts.google.com/",
        "http://accounts.google.com",
        "https://accounts.google.com.test",
        "",
    ] {
        assert_eq!(by(Some(near), email("release@acme.com")), Err(IdentityField::Issuer), "{near}");
    }
}

/// Attack B8: the same text as a name of another kind.
#[test]
fn attack_b8_an_email_address_is_not_a_uri() {
    let name = "release@acme.com";
    let sans = [email(name), uri(name), dns(name), San::Other(name.to_owned())];
    for (n, kind) in ["email", "uri", "dns", "otherName"].into_iter().enumerate() {
        let wanted =
            identity(&format!("{{issuer: {GOOGLE}, subject: {name}, subjectKind: {kind}}}"));
        for (m, san) in sans.iter().enumerate() {
            let certificate = Certificate::saying(std::slice::from_ref(san), Some(GOOGLE), &[]);
            let expected = if n == m { Ok(()) } else { Err(IdentityField::SubjectKind) };
            assert_eq!(part(&wanted, &certificate), expected, "{kind} {san:?}");
            let elsewhere = Certificate::saying(std::slice::from_ref(san), Some(GITHUB), &[]);
            assert!(part(&wanted, &elsewhere).is_err(), "{kind} {san:?}");
        }
    }
    let misfit = identity(&format!("{{issuer: {GOOGLE}, subject: {name}, subjectKind: email}}"))
        .fits(&Certificate::saying(&[uri(name)], Some(GOOGLE), &[]))
        .unwrap_err();
    let expected = IdentityMismatch {
        part: IdentityField::SubjectKind,
        got: Some(format!("uri {name}")),
        wanted: "email".to_owned(),
    };
    assert_eq!(misfit, expected);
}

/// Attack B8: an issuer of another kind vouches for the same name.
#[test]
fn attack_b8_another_issuer_vouches_for_the_same_name() {
    let wanted = identity(&format!("{{issuer: {GITHUB}, subject: '{WORKFLOW}'}}"));
    assert_eq!(part(&wanted, &workflow(&[])), Ok(()));
    let elsewhere = Certificate::saying(&[uri(WORKFLOW)], Some("https://oidc.kx41v.test"), &[]);
    assert_eq!(part(&wanted, &elsewhere), Err(IdentityField::Issuer));
    let expression = identity(&format!(
        r"{{issuerRegExp: '^https://token\.actions\.githubusercontent\.com$', subject: '{WORKFLOW}'}}"
    ));
    for issuer in [
        "https://token.actions.githubusercontent.com.kx41v.test",
        "https://kx41v.test/https://token.actions.githubusercontent.com",
        "https://tokenxactions.githubusercontent.com",
        "https://token.actions.githubusercontent.com\nx",
        "",
    ] {
        let certificate = Certificate::saying(&[uri(WORKFLOW)], Some(issuer), &[]);
        assert_eq!(part(&expression, &certificate), Err(IdentityField::Issuer), "{issuer}");
    }
    assert_eq!(
        part(&expression, &Certificate::saying(&[uri(WORKFLOW)], None, &[])),
        Err(IdentityField::Issuer)
    );
}

#[test]
fn extensions_are_matched_each_and_say_what_differs() {
    let wanted = identity(&format!(
        r"{{issuer: {GITHUB}, subjectRegExp: '^https://github\.com/.*$', extensions: {{sourceRepositoryURI: https://github.com/acme/app, runnerEnvironment: github-hosted}}, extensionsRegExp: {{sourceRepositoryRef: 'refs/tags/v.*'}}}}"
    ));
    let source = (Extension::SourceRepositoryUri, "https://github.com/acme/app");
    let runner = (Extension::RunnerEnvironment, "github-hosted");
    let tag = (Extension::SourceRepositoryRef, "refs/tags/v1");
    assert_eq!(part(&wanted, &workflow(&[source, runner, tag])), Ok(()));
    assert_eq!(
        part(&wanted, &workflow(&[runner, tag])),
        Err(IdentityField::Extension(Extension::SourceRepositoryUri))
    );
    assert_eq!(
        part(&wanted, &workflow(&[source, tag])),
        Err(IdentityField::Extension(Extension::RunnerEnvironment))
    );
    assert_eq!(
        part(&wanted, &workflow(&[source, runner])),
        Err(IdentityField::Extension(Extension::SourceRepositoryRef))
    );
    let branch = (Extension::SourceRepositoryRef, "refs/heads/refs/tags/v1");
    assert_eq!(
        part(&wanted, &workflow(&[source, runner, branch])),
        Err(IdentityField::Extension(Extension::SourceRepositoryRef))
    );
    // Both repositories are named.
    let neighbour = (Extension::SourceRepositoryUri, "https://github.com/kx41v/app");
    let misfit = wanted.fits(&workflow(&[neighbour, runner, tag])).unwrap_err();
    let expected = IdentityMismatch {
        part: IdentityField::Extension(Extension::SourceRepositoryUri),
        got: Some("https://github.com/kx41v/app".to_owned()),
        wanted: "https://github.com/acme/app".to_owned(),
    };
    assert_eq!(misfit, expected);
    let line = misfit.to_string();
    assert!(
        line.contains("sourceRepositoryURI") && line.contains("kx41v") && line.contains("acme"),
        "{line}"
    );
}

#[test]
fn every_extension_is_a_field() {
    for extension in Extension::ALL {
        let name = extension.name();
        let wanted = identity(&format!(
            "{{issuer: {GITHUB}, subject: '{WORKFLOW}', extensions: {{{name}: x}}}}"
        ));
        assert_eq!(part(&wanted, &workflow(&[(extension, "x")])), Ok(()), "{name}");
        for value in ["xx", "", "X"] {
            assert_eq!(
                part(&wanted, &workflow(&[(extension, value)])),
                Err(IdentityField::Extension(extension)),
                "{name}"
            );
        }
        for other in Extension::ALL.into_iter().filter(|other| *other != extension) {
            assert_eq!(
                part(&wanted, &workflow(&[(other, "x")])),
                Err(IdentityField::Extension(extension)),
                "{name}"
            );
        }
    }
}

#[test]
fn own_subjects_have_a_kind_and_ask_for_no_issuer() {
    let by = |text: &str, san: San| part(&own(text), &Certificate::saying(&[san], None, &[]));
    assert_eq!(by("{email: team@acme.com}", email("team@acme.com")), Ok(()));
    assert_eq!(by("{email: team@acme.com}", uri("team@acme.com")), Err(IdentityField::SubjectKind));
    assert_eq!(by("{host: build.acme.com}", dns("build.acme.com")), Ok(()));
    assert_eq!(by("{host: build.acme.com}", dns("*.acme.com")), Err(IdentityField::Subject));
    assert_eq!(by("{uri: 'spiffe://acme.com/build'}", uri("spiffe://acme.com/build")), Ok(()));
    assert_eq!(
        by("{uri: 'spiffe://acme.com/build'}", uri("spiffe://acme.com/build/x")),
        Err(IdentityField::Subject)
    );
    assert_eq!(by(r"{emailRegExp: '.*@acme\.com'}", email("anna@acme.com")), Ok(()));
    assert_eq!(
        by(r"{emailRegExp: '.*@acme\.com'}", email("anna@acme.com.test")),
        Err(IdentityField::Subject)
    );
    assert_eq!(by(r"{hostRegExp: '[a-z]+\.acme\.com'}", dns("build.acme.com")), Ok(()));
    assert_eq!(
        by(r"{hostRegExp: '[a-z]+\.acme\.com'}", email("build.acme.com")),
        Err(IdentityField::SubjectKind)
    );
    // One of several names suffices, and each is told when none does.
    let several = Certificate::saying(&[dns("a.acme.com"), email("team@acme.com")], None, &[]);
    assert_eq!(own("{email: team@acme.com}").fits(&several), Ok(()));
    let misfit = own("{email: other@acme.com}").fits(&several).unwrap_err();
    assert_eq!(misfit.got.as_deref(), Some("a.acme.com and team@acme.com"));
}

/// Attack E3: what a certificate says in a line of a log.
#[test]
fn attack_e3_a_misfit_is_printable_and_bounded() {
    let wanted = identity(&format!("{{issuer: {GOOGLE}, subject: release@acme.com}}"));
    let hostile = format!("\u{1b}[31m\n\u{202e}{}", "x".repeat(10_000));
    for certificate in [
        Certificate::saying(&[email(&hostile)], Some(GOOGLE), &[]),
        Certificate::saying(&[email("release@acme.com")], Some(&hostile), &[]),
        Certificate::saying(&vec![uri(&hostile); 100], Some(&hostile), &[]),
    ] {
        let line = wanted.fits(&certificate).unwrap_err().to_string();
        assert!(
            line.len() < 800 && line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
            "{line:?}"
        );
    }
}

#[test]
fn a_slash_at_the_end_is_pointed_out_and_the_most_telling_misfit_ranks_first() {
    let wanted = identity(&format!("{{issuer: {GOOGLE}, subject: a@acme.com}}"));
    let misfit = wanted
        .fits(&Certificate::saying(&[email("a@acme.com")], Some(&format!("{GOOGLE}/")), &[]))
        .unwrap_err();
    assert!(misfit.to_string().contains("slash"), "{misfit}");
    let of =
        |part: IdentityField| IdentityMismatch { part, got: None, wanted: String::new() }.rank();
    let parts = [
        IdentityField::Extension(Extension::BuildTrigger),
        IdentityField::SubjectKind,
        IdentityField::Subject,
        IdentityField::Issuer,
        IdentityField::Stranger,
    ];
    assert!(parts.is_sorted() && parts.map(of).is_sorted());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Attacks B5 and B8: no certificate but the very one fits an identity that is written to the
    /// letter, and none that goes on before or behind what an expression says.
    #[test]
    fn attack_b5_no_other_certificate_fits(
        before in "[a-z/.@\\n]{0,3}",
        behind in "[a-z/.@\\n]{0,3}",
        issuer_before in "[a-z/.]{0,2}",
        issuer_behind in "[a-z/.]{0,2}",
    ) {
        let certificate = Certificate::saying(
            &[uri(&format!("{before}{WORKFLOW}{behind}"))],
            Some(&format!("{issuer_before}{GITHUB}{issuer_behind}")),
            &[],
        );
        let same = [&before, &behind, &issuer_before, &issuer_behind].into_iter().all(|text| text.is_empty());
        let exact = identity(&format!("{{issuer: {GITHUB}, subject: '{WORKFLOW}'}}"));
        prop_assert_eq!(exact.fits(&certificate).is_ok(), same);
        let escaped = regex::escape(WORKFLOW);
        let expression = identity(&format!("{{issuer: {GITHUB}, subjectRegExp: '{escaped}', \
            subjectKind: uri}}"));
        prop_assert_eq!(expression.fits(&certificate).is_ok(), same);
    }
}
