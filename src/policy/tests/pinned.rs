//! Images by digest in `images` and `exclude`: the digest that counts is the proven one, of what the
//! name points at and of the manifest under it, and one that is not known is never another.

use super::support::{Signer, digest, faults, file, named, set, set_with, subject};
use crate::evidence::{Name, Pod, Subject};
use crate::image::{Digest, DigestError};
use crate::policy::set::exceptions::EXCEPTION_SPAN;
use crate::policy::{
    Advice, Applicable, Case, Documents, PatternFault, PolicyFault, PolicySet, Unmatched, Verdict,
};
use crate::verify::VerificationCache;

const IMAGE: &str = "reg.test/prod/app:1";
const BUILD: &str = "{name: build, key: {files: [build.pub]}}";
const ACCEPT: &str = "{insecureAcceptAnything: true}";
const NOW: &str = "2026-01-15T00:00:00Z";

/// An entry for this digest of the repository that the cases are about.
fn entry(digest: &Digest) -> String {
    format!("\"reg.test/prod/app@{digest}\"")
}

fn exception(images: &str) -> String {
    format!(
        "---\napiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: hotfix}}\nspec: {{images: \
         [{images}], expires: 2026-02-01T00:00:00Z, owner: payments, reason: INC-1}}\n"
    )
}

fn under(index: &Digest, child: &Digest) -> Subject {
    Subject { child: Some(child.clone()), ..subject(IMAGE, index) }
}

fn verdict(set: &PolicySet, subject: &Subject, applicable: &Applicable) -> Verdict {
    let (evidence, proofs) = (&[][..], &VerificationCache::default());
    set.judge(&Case { subject, applicable, evidence, now: NOW.parse().unwrap(), proofs })
}

/// Whether an image without a signature is admitted.
fn runs(set: &PolicySet, subject: &Subject) -> bool {
    let applicable = set.applicable_to(subject, &Pod::default());
    matches!(verdict(set, subject, &applicable), Verdict::Permit(_))
}

/// Attack E8: an Exception for one image lets no other through, under whatever name and index, and
/// none whose digest nobody knows.
#[test]
fn attack_e8_an_exception_for_a_digest_is_for_that_image_alone() {
    let key = Signer::new();
    let (hotfix, other) = (digest("hotfix"), digest("other"));
    let text = named("p", r#"["reg.test/**"]"#, BUILD) + &exception(&entry(&hotfix));
    let set = set(&text, &[("build.pub", &key)]);
    assert!(runs(&set, &subject(IMAGE, &hotfix)));
    assert!(runs(&set, &under(&digest("index"), &hotfix)), "it is what runs");
    assert!(runs(&set, &under(&hotfix, &digest("manifest"))), "an index has its manifests");
    for other in [
        subject(IMAGE, &other),
        under(&digest("index"), &other),
        subject("reg.test/prod/other:1", &hotfix),
        Subject { name: Name::Unknown, ..subject(IMAGE, &hotfix) },
    ] {
        assert!(!runs(&set, &other), "{other:?}");
    }
    // Before the digest is known it does not count, also for the very image.
    let image = subject(IMAGE, &hotfix);
    let unknown = set.applicable(&image.name, &Pod::default());
    assert!(!set.is_excepted(&unknown, NOW.parse().unwrap()));
    assert!(matches!(verdict(&set, &image, &unknown), Verdict::Denial(_)));
}

/// An Exception with these lists in the place of `images`.
fn listing(lists: &str) -> String {
    exception("reg.test/prod/app").replace("images: [reg.test/prod/app]", lists)
}

/// Attack E8: digests that an Exception lists are for these images alone, whatever their names; and
/// beside `images` for those of these names alone.
#[test]
fn attack_e8_a_list_of_digests_is_for_those_images_alone() {
    let key = Signer::new();
    let (hotfix, second, other) = (digest("hotfix"), digest("second"), digest("other"));
    let policy = named("p", r#"["reg.test/**"]"#, BUILD);
    let built = |lists: &str| set(&format!("{policy}{}", listing(lists)), &[("build.pub", &key)]);
    let bare = built(&format!("digests: [\"{hotfix}\", \"{second}\"]"));
    for admitted in [
        subject(IMAGE, &hotfix),
        subject("reg.test/another:2", &second),
        under(&digest("index"), &hotfix),
        under(&hotfix, &digest("manifest")),
    ] {
        assert!(runs(&bare, &admitted), "{admitted:?}");
    }
    for refused in [
        subject(IMAGE, &other),
        under(&digest("index"), &other),
        Subject { name: Name::Unknown, ..subject(IMAGE, &hotfix) },
    ] {
        assert!(!runs(&bare, &refused), "{refused:?}");
    }
    let unknown = bare.applicable(&subject(IMAGE, &hotfix).name, &Pod::default());
    assert!(!bare.is_excepted(&unknown, NOW.parse().unwrap()), "nobody knows the digest");
    let narrow = built(&format!("images: [reg.test/prod/**], digests: [\"{hotfix}\"]"));
    assert!(runs(&narrow, &subject(IMAGE, &hotfix)));
    assert!(!runs(&narrow, &subject("reg.test/another:2", &hotfix)));
    assert!(!runs(&narrow, &subject(IMAGE, &other)));
    let excluding = built(&format!("exclude: [reg.test/prod/*], digests: [\"{hotfix}\"]"));
    assert!(!runs(&excluding, &subject(IMAGE, &hotfix)));
    assert!(runs(&excluding, &subject("reg.test/another:2", &hotfix)));
}

/// A list of digests names no host: no registry is asked what a tag means on its account.
#[test]
fn attack_e8_a_list_of_digests_has_no_registry_asked() {
    let hotfix = digest("hotfix");
    let set = set(&listing(&format!("digests: [\"{hotfix}\"]")), &[]);
    let at = |name: &str, now: &str| {
        set.names_digest_of(&subject(name, &digest("x")).name, now.parse().unwrap())
    };
    let named = |name: &str| at(name, NOW);
    assert!(!at(&format!("evil.test/a@{hotfix}"), "2099-01-01T00:00:00Z"), "it has ended");
    assert!(!named(IMAGE) && !named("evil.test/a:1"));
    assert!(named(&format!("evil.test/a@{hotfix}")));
    assert!(!named(&format!("evil.test/a@{}", digest("other"))));
    assert!(runs(&set, &subject(IMAGE, &hotfix)), "it is on the node, and is that one");
}

#[test]
fn a_list_of_digests_is_read_strictly() {
    let hex = digest("x");
    for (lists, place, code) in [
        (String::new(), "spec", "missing-field"),
        ("digests: []".to_owned(), "spec.digests", "empty-list"),
        ("digests: [\"sha256:00\"]".to_owned(), "spec.digests[0]", "digest"),
        (format!("digests: [\"{hex}\", \"{hex}\"]"), "spec.digests[1]", "duplicate-entry"),
        (format!("digest: [\"{hex}\"]"), "spec.digest", "unknown-field"),
        (format!("digests: [\"{hex}\"], images: [\"*.test/a\"]"), "spec.images", "permissive-host"),
    ] {
        let text = listing(&lists).replace("spec: {, ", "spec: {");
        let found = faults(&text);
        let is_it =
            |(_, field, fault): &(u64, String, PolicyFault)| field == place && fault.code() == code;
        assert!(found.iter().any(is_it), "{text}: {found:?}");
    }
}

/// Attack C3: what a deny list denies no exception admits, and `policy check` says so.
#[test]
fn attack_c3_a_denied_digest_in_an_exception_is_told() {
    let (one, manifest) = (digest("one"), digest("manifest"));
    let text = listing(&format!("digests: [\"{one}\", \"{}\", \"{manifest}\"]", digest("x")))
        + &format!(
            "---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: bad}}\nspec: {{digests: \
             [{{digest: \"{one}\", manifests: [\"{manifest}\"], reason: r, date: \
             2026-01-01T00:00:00Z}}]}}\n"
        );
    let documents = Documents::parse(&[file(&text)]).unwrap();
    let notes = documents.lints(NOW.parse().unwrap(), EXCEPTION_SPAN);
    let fields: Vec<&str> = notes.iter().map(|note| note.field.as_str()).collect();
    assert_eq!(fields, ["spec.digests[0]", "spec.digests[2]"]);
    assert!(notes.iter().all(|note| matches!(note.advice, Advice::ExceptionDenied { .. })));
    assert!(!runs(&set(&text, &[]), &subject(IMAGE, &one)));
}

/// A registry is asked what a tag means where a document might be about it, and nowhere else.
#[test]
fn a_name_may_be_matched_once_its_digest_is_known() {
    let set = set(&exception(&entry(&digest("hotfix"))), &[]);
    let at = |name: &str, now: &str| {
        set.names_digest_of(&subject(name, &digest("x")).name, now.parse().unwrap())
    };
    let named = |name: &str| at(name, NOW);
    assert!(!at(IMAGE, "2099-01-01T00:00:00Z"), "an exception that has ended names nothing");
    assert!(named(IMAGE) && named("REG.test:443/prod/app"));
    assert!(!named("reg.test/prod/app/x") && !named("reg.test/prod"));
    assert!(set.applicable(&subject(IMAGE, &digest("x")).name, &Pod::default()).is_empty());
    assert!(runs(&set, &subject(IMAGE, &digest("hotfix"))));
    assert!(!runs(&set, &subject(IMAGE, &digest("x"))));
}

/// What demands something counts until it is known not to be about an image; what lets through
/// counts once it is known to be.
#[test]
fn a_digest_that_is_not_known_is_never_another() {
    let key = Signer::new();
    let (one, other) = (digest("one"), digest("other"));
    let scope = |images: &str, exclude: &str, require: &str| {
        named("p", images, require).replacen(
            "require:",
            &format!("exclude: {exclude}, require:"),
            1,
        )
    };
    let all = r#"["reg.test/**"]"#;
    let nothing = r#"["reg.test/other"]"#;
    let pinned = format!("[{}]", entry(&one));
    for (images, exclude, require, about_one, about_other, unknown) in [
        (pinned.as_str(), nothing, BUILD, true, false, true),
        (pinned.as_str(), nothing, ACCEPT, true, false, false),
        (all, pinned.as_str(), BUILD, false, true, true),
        (all, pinned.as_str(), ACCEPT, false, true, false),
    ] {
        let text = scope(images, exclude, require);
        let set = set_with(&text, &[("build.pub", &key)], Unmatched::Deny);
        let of =
            |digest: &Digest| set.applicable_to(&subject(IMAGE, digest), &Pod::default()).len();
        let nobody = set.applicable(&subject(IMAGE, &one).name, &Pod::default()).len();
        let expected = [about_one, about_other, unknown].map(usize::from);
        assert_eq!([of(&one), of(&other), nobody], expected, "{text}");
    }
}

/// One verdict is not another's, although signatures on the two are asked about alike.
#[test]
fn attack_e9_verdicts_of_two_manifests_are_kept_apart() {
    let (index, one, other) = (digest("index"), digest("one"), digest("other"));
    let set = set(&exception(&entry(&one)), &[]);
    let by_digest = format!("reg.test/prod/app@{index}");
    let key = |child: &Digest| {
        let subject = Subject { child: Some(child.clone()), ..subject(&by_digest, &index) };
        set.verdict_key(&subject, &set.applicable_to(&subject, &Pod::default()))
    };
    assert_ne!(key(&one), key(&other));
}

#[test]
fn an_entry_with_a_digest_is_that_of_one_repository() {
    let hex = digest("x");
    let pattern = |entry: &str| {
        let text = named("p", &format!("[\"{entry}\"]"), ACCEPT);
        faults(&text).into_iter().map(|(_, _, fault)| fault).collect::<Vec<_>>()
    };
    assert_eq!(pattern(&format!("reg.test/a@{hex}")), []);
    for (entry, fault) in [
        (format!("reg.test/*@{hex}"), PatternFault::DigestOfMany),
        (format!("**@{hex}"), PatternFault::DigestOfMany),
        (format!("reg.test/a:1@{hex}"), PatternFault::Tag),
        ("reg.test/a@sha256:00".to_owned(), PatternFault::ImageDigest(DigestError::Encoding)),
        ("reg.test/a@sha512:00".to_owned(), PatternFault::ImageDigest(DigestError::Algorithm)),
        (format!("reg.test/a@{hex}@{hex}"), PatternFault::ImageDigest(DigestError::Encoding)),
    ] {
        assert_eq!(pattern(&entry), [PolicyFault::Pattern(fault)], "{entry}");
    }
    let twice = named("p", &format!("[\"reg.test/a@{hex}\", \"REG.test/a@{hex}\"]"), ACCEPT);
    assert!(matches!(faults(&twice)[0].2, PolicyFault::DuplicateEntry { .. }));
}

/// What `policy check` says of entries by digest, and where.
#[test]
fn an_exclude_by_digest_is_dead_where_the_repository_is_none_of_the_images() {
    let of = |images: &str, exclude: &str| {
        let text = named("p", images, BUILD);
        let text = text.replacen("require:", &format!("exclude: {exclude}, require:"), 1);
        let documents = Documents::parse(&[file(&text)]).unwrap();
        let notes = documents.lints(NOW.parse().unwrap(), EXCEPTION_SPAN);
        notes.into_iter().map(|note| note.advice).collect::<Vec<Advice>>()
    };
    let (one, other) = (entry(&digest("one")), entry(&digest("other")));
    assert_eq!(of(r#"["reg.test/prod/*"]"#, &format!("[{one}]")), []);
    assert_eq!(of(r#"["reg.test/b/*"]"#, &format!("[{one}]")), [Advice::DeadExclude]);
    assert_eq!(of(&format!("[{one}]"), &format!("[{other}]")), [Advice::DeadExclude]);
    let dead = of(&format!("[{one}]"), r#"["reg.test/prod/*"]"#);
    assert!(matches!(dead.as_slice(), [Advice::DeadPattern { .. }]), "{dead:?}");
}
