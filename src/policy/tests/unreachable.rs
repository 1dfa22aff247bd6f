//! What becomes of an image whose registry cannot be reached: `onUnreachable`.

use proptest::prelude::*;

use super::support::*;
use crate::evidence::{Evidence, Item, Name, Origin, Outcome, Pod, Source, Subject};
use crate::policy::{
    AdmitsEverything, Advice, Case, Class, Denial, Documents, Permit, PolicyFault, PolicyFile,
    PolicySet, Reason, Unmatched, Verdict,
};
use crate::verify::VerificationCache;

const IMAGE: &str = "reg.test/prod/app:1";
const BUILD: &str = "{name: build, key: {files: [build.pub]}}";
const OTHER: &str = "{name: other, key: {files: [other.pub]}}";

/// A document of this name that lets through what it cannot check.
fn open(name: &str, require: &str) -> String {
    more(name, "onUnreachable: insecureAdmit", require)
}

fn more(name: &str, fields: &str, require: &str) -> String {
    format!(
        "---\napiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: \
         {{images: [\"reg.test/prod/**\"], {fields}, require: {require}}}\n"
    )
}

/// What was found, where the `.sig` tag could not be reached.
fn cut(image: &Subject, items: Vec<Item>) -> Evidence {
    looked(&image.target, items, Outcome::Unreachable("no route to host".to_owned()))
}

/// The last question, for a pod of a known namespace.
fn asked_last(set: &PolicySet, subject: &Subject, evidence: &Evidence) -> Verdict {
    asked_last_in(set, subject, &in_namespace("prod"), evidence)
}

fn asked_last_in(set: &PolicySet, subject: &Subject, pod: &Pod, evidence: &Evidence) -> Verdict {
    let applicable = set.applicable(&subject.name, pod);
    let (evidence, proofs) = (&[evidence][..], VerificationCache::default());
    set.judge_unreachable(&Case {
        subject,
        applicable: &applicable,
        evidence,
        now: now(),
        proofs: &proofs,
    })
}

/// The permit of an image that nobody could check, and which documents let it through.
fn unchecked(verdict: Verdict) -> (Permit, Vec<String>) {
    let permit = permitted(verdict);
    let unchecked = permit.report().unchecked.clone().expect("it was checked");
    (permit, unchecked.policies)
}

fn stays_denied(set: &PolicySet, subject: &Subject, evidence: &Evidence) -> Denial {
    denied(asked_last(set, subject, evidence))
}

#[test]
fn what_cannot_be_checked_is_let_through_where_the_document_says_so() {
    let key = Signer::new();
    let image = subject(IMAGE, &digest("image"));
    let set = set(&open("app", BUILD), &[("build.pub", &key)]);
    let evidence = cut(&image, vec![]);
    // The judge by itself denies: only who has asked the registry asks this.
    let denial = denied(judge_in(&set, &image, &in_namespace("prod"), &[&evidence]));
    assert_eq!(denial.class(), Class::Unreachable);
    assert!(denial.is_admitted_unchecked());
    let (permit, policies) = unchecked(asked_last(&set, &image, &evidence));
    assert_eq!(policies, ["app"]);
    assert_eq!(permit.valid_until(), Some(now()), "it ends with the call");
    assert_eq!(permit.pinned(), &image.target);
    // What a registry is not known to have been asked about is not unreachable.
    let _ = denied(asked_last(&set, &image, &Evidence::default()));
}

#[test]
fn evidence_decides_before_the_setting_does() {
    let key = Signer::new();
    let image = subject(IMAGE, &digest("image"));
    let evidence = cut(&image, vec![key.signs(&image.target, REPOSITORY)]);
    for fields in ["onUnreachable: deny", "onUnreachable: insecureAdmit"] {
        let set = set(&more("app", fields, BUILD), &[("build.pub", &key)]);
        let permit = permitted(asked_last(&set, &image, &evidence));
        assert_eq!(permit.report().unchecked, None, "{fields}");
        assert_eq!(permit.valid_until(), None, "{fields}");
    }
}

/// Every document that is not met must say so.
#[test]
fn one_document_that_does_not_say_so_is_enough() {
    let (key, other) = (Signer::new(), Signer::new());
    let keys = [("build.pub", &key), ("other.pub", &other)];
    let image = subject(IMAGE, &digest("image"));
    let silent = more("silent", "action: enforce", OTHER);
    for text in [open("app", BUILD) + &silent, silent.clone() + &open("app", BUILD)] {
        let denial = stays_denied(&set(&text, &keys), &image, &cut(&image, vec![]));
        assert_eq!(denial.class(), Class::Unreachable);
    }
    // One that only warns refuses nothing, and one that is met has nothing to let through.
    let warns = more("warns", "action: warn", OTHER);
    let listed = more("listed", "action: enforce", "{digest: {anyOf: [DIGEST]}}");
    let listed = listed.replace("DIGEST", &format!("\"{}\"", image.target));
    for beside in [warns, listed] {
        let set = set(&(open("app", BUILD) + &beside), &keys);
        assert_eq!(unchecked(asked_last(&set, &image, &cut(&image, vec![]))).1, ["app"]);
    }
    let both = set(&(open("b", BUILD) + &open("a", OTHER)), &keys);
    assert_eq!(unchecked(asked_last(&both, &image, &cut(&image, vec![]))).1, ["b", "a"]);
}

/// Attack G: who can cut the network and has pushed a signature that does not count.
#[test]
fn attack_g_a_signature_that_does_not_count_is_refused_however_little_can_be_reached() {
    let (key, other) = (Signer::new(), Signer::new());
    let image = subject(IMAGE, &digest("image"));
    let keys = [("build.pub", &key), ("other.pub", &other)];
    let set_of = |text: &str| set(text, &keys);
    let app = set_of(&open("app", BUILD));
    let elsewhere = key.signs(&image.target, "reg.test/prod/another");
    let of_another = key.signs(&digest("another"), REPOSITORY);
    let of_another = Item { place: place(&image.target, Source::SignatureTag), ..of_another };
    for item in [other.signs(&image.target, REPOSITORY), elsewhere, of_another] {
        let denial = stays_denied(&app, &image, &cut(&image, vec![item]));
        assert_eq!(denial.class(), Class::Unreachable);
    }
    // That it counts for another document is no excuse.
    let both = set_of(&(open("app", BUILD) + &open("other", OTHER)));
    let item = other.signs(&image.target, REPOSITORY);
    let _ = stays_denied(&both, &image, &cut(&image, vec![item]));
    // One that counts for another requirement of the same document says nothing against it, and
    // neither does an attestation where a signature is asked for.
    let of_two = format!("{{all: [{BUILD}, {OTHER}]}}");
    let two = set_of(&open("two", &of_two));
    let item = other.signs(&image.target, REPOSITORY);
    assert_eq!(unchecked(asked_last(&two, &image, &cut(&image, vec![item]))).1, ["two"]);
    let attested = other.attests(&image.target, "https://example.com/x", &serde_json::json!({}));
    assert_eq!(unchecked(asked_last(&app, &image, &cut(&image, vec![attested]))).1, ["app"]);
}

/// Attack G: what is refused, denied or malformed does not become unreachable by a cut.
#[test]
fn attack_g_nothing_but_what_could_not_be_reached_is_let_through() {
    let key = Signer::new();
    let image = subject(IMAGE, &digest("image"));
    let since = "reason: bad, date: 1969-01-01T00:00:00Z";
    let list = |spec: String| {
        format!(
            "---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d}}\nspec: {{{spec}}}\n"
        )
    };
    let ended = "---\napiVersion: sealgate/v1\nkind: Exception\nmetadata: {name: e}\nspec: {images: \
        [\"reg.test/prod/app\"], expires: 1969-01-01T00:00:00Z, owner: me, reason: x}\n";
    let deny = format!("deny: {{digests: [\"{}\"]}}", image.target);
    let own = format!("onUnreachable: insecureAdmit, {deny}");
    let accepting = more("any", &deny, "{insecureAcceptAnything: true}");
    for text in [
        open("app", BUILD) + &list(format!("digests: [{{digest: \"{}\", {since}}}]", image.target)),
        open("app", BUILD)
            + &list(format!("repositories: [{{pattern: \"reg.test/prod/*\", {since}}}]")),
        more("app", &own, BUILD),
        open("app", BUILD) + &accepting,
        accepting + &open("app", BUILD),
        open("app", BUILD) + ended,
    ] {
        let _ = stays_denied(&set(&text, &[("build.pub", &key)]), &image, &cut(&image, vec![]));
    }
    let set = set(&open("app", BUILD), &[("build.pub", &key)]);
    let unsigned = stays_denied(&set, &image, &found(&image.target, vec![]));
    assert_eq!(unsigned.reason(), &Reason::Unsigned);
    // A place that could be reached, and cannot be read.
    let mut unable = cut(&image, vec![]);
    let said = Outcome::Unable("401".to_owned());
    unable.looked.push((place(&image.target, Source::FallbackTag), said));
    let _ = stays_denied(&set, &image, &unable);
    let local = Subject { origin: Origin::Local, ..image.clone() };
    assert_eq!(stays_denied(&set, &local, &cut(&image, vec![])).reason(), &Reason::NoOrigin);
    let nameless = Subject { name: Name::Unknown, ..image.clone() };
    assert_eq!(stays_denied(&set, &nameless, &cut(&image, vec![])).reason(), &Reason::NoName);
    let unmatched = subject("reg.test/other:1", &image.target);
    assert_eq!(stays_denied(&set, &unmatched, &cut(&image, vec![])).reason(), &Reason::NoPolicy);
}

/// Attack G: a key that was struck off because it leaked.
#[test]
fn attack_g_a_denied_key_is_not_let_through_by_a_cut() {
    let key = Signer::new();
    let image = subject(IMAGE, &digest("image"));
    let denied_key = format!(
        "---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d}}\nspec: {{keys: \
         [{{fingerprint: \"{}\", reason: leaked, date: 1969-01-01T00:00:00Z}}]}}\n",
        key.public().id()
    );
    let set = set(&(open("app", BUILD) + &denied_key), &[("build.pub", &key)]);
    let evidence = cut(&image, vec![key.signs(&image.target, REPOSITORY)]);
    let _ = stays_denied(&set, &image, &evidence);
}

/// Attack E8: a pod whose namespace nobody knows gets nothing that is for some namespaces.
#[test]
fn attack_e8_an_unknown_namespace_is_not_let_through_by_a_document_for_another() {
    let key = Signer::new();
    let image = subject(IMAGE, &digest("image"));
    let of_dev = more("dev", "onUnreachable: insecureAdmit, namespaces: [dev]", BUILD);
    let set = set(&of_dev, &[("build.pub", &key)]);
    let evidence = cut(&image, vec![]);
    let _ = unchecked(asked_last_in(&set, &image, &in_namespace("dev"), &evidence));
    let _ = denied(asked_last_in(&set, &image, &Pod::default(), &evidence));
    for selector in ["kinds: [container]", "podLabels: {app: web}", "excludeNamespaces: [prod]"] {
        let selecting = more("app", &format!("onUnreachable: insecureAdmit, {selector}"), BUILD);
        let faults = faults(&selecting);
        let is_told = |fault: &PolicyFault| matches!(fault, PolicyFault::Excludes { .. });
        assert!(faults.iter().any(|(_, _, fault)| is_told(fault)), "{selector}: {faults:?}");
    }
    let everywhere = open("app", BUILD).replace("reg.test/prod/**", "**");
    assert!(faults(&everywhere).iter().any(|(_, _, fault)| *fault == PolicyFault::PermissiveHost));
}

#[test]
fn the_setting_is_told_as_what_it_is() {
    let key = Signer::new();
    let keys = [("build.pub", &key)];
    let listed = more("pause", "action: enforce", "{digest: {anyOf: [DIGEST]}}");
    let listed = listed.replace("DIGEST", &format!("\"{}\"", digest("pause")));
    let open_set = set(&(open("app", BUILD) + &listed), &keys);
    let told = "admitted unchecked while their registry cannot be reached (onUnreachable): app";
    assert_eq!(open_set.unproven(), [told]);
    assert_eq!(open_set.admits_everything(now()), Some(AdmitsEverything::Unreachable));
    let some = set(&(open("app", BUILD) + &more("b", "action: enforce", BUILD)), &keys);
    assert_eq!((some.unproven().len(), some.admits_everything(now())), (1, None));
    let notes = |text: &str| {
        let documents = Documents::parse(&[file(text)]).unwrap();
        documents.notes().iter().map(|note| note.advice.clone()).collect::<Vec<_>>()
    };
    let offline = more("app", "onUnreachable: insecureAdmit, maxOffline: 3d", BUILD);
    assert_eq!(notes(&offline), [Advice::AdmitsUnreachable]);
    let nothing = more("app", "onUnreachable: deny", "{digest: {anyOf: [DIGEST]}}");
    let nothing = nothing.replace("DIGEST", &format!("\"{}\"", digest("pause")));
    assert_eq!(notes(&nothing), [Advice::NoEvidenceAsked { name: "onUnreachable" }]);
    assert!(matches!(
        faults(&more("app", "onUnreachable: insecure-admit", BUILD))[..],
        [(_, _, PolicyFault::UnknownWord { .. })]
    ));
}

/// A document about the image below, that some of the keys or nobody has to do with.
fn any_document(number: usize) -> impl Strategy<Value = String> {
    let require = prop::sample::select(vec![
        "{name: a, key: {files: [build.pub]}}",
        "{name: b, key: {files: [other.pub]}}",
        "{all: [{name: a, key: {files: [build.pub]}}, {name: b, key: {files: [other.pub]}}]}",
        "{any: [{name: a, key: {files: [build.pub]}}, {digest: {anyOf: [DIGEST]}}]}",
        "{digest: {anyOf: [DIGEST]}}",
        "{name: c, attestation: {predicateType: vuln, by: {key: {files: [build.pub]}}}}",
    ]);
    let fields = prop::sample::select(vec![
        "action: enforce",
        "action: warn",
        "onUnreachable: insecureAdmit",
        "onUnreachable: insecureAdmit, namespaces: [prod]",
        "onUnreachable: insecureAdmit, deny: {digests: [DIGEST]}",
        "onUnreachable: deny",
    ]);
    let policy =
        (fields, require).prop_map(move |(f, require)| more(&format!("d{number}"), f, require));
    let accepting = prop::sample::select(vec!["action: enforce", "deny: {digests: [DIGEST]}"])
        .prop_map(move |f| more(&format!("d{number}"), f, "{insecureAcceptAnything: true}"));
    let list = prop::sample::select(vec!["KEY", "ANOTHER"]).prop_map(move |key| {
        format!(
            "---\napiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: d{number}}}\nspec: \
             {{keys: [{{fingerprint: {key}, reason: x, date: 1969-01-01T00:00:00Z}}]}}\n"
        )
    });
    prop_oneof![4 => policy, 1 => accepting, 1 => list]
}

/// Nothing, one signature or two, one of them of another image; with or without what cannot be read.
fn any_evidence(image: &Subject, keys: &[Signer; 2], bits: u8) -> Evidence {
    let mut items = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        if bits >> number & 1 == 1 {
            items.push(key.signs(&image.target, REPOSITORY));
        }
    }
    if bits & 4 != 0 {
        let item = keys[0].signs(&digest("another"), REPOSITORY);
        items.push(Item { place: place(&image.target, Source::SignatureTag), ..item });
    }
    let mut evidence = if bits & 8 == 0 { cut(image, items) } else { found(&image.target, items) };
    if bits & 16 != 0 {
        let said = Outcome::Unable("401".to_owned());
        evidence.looked.push((place(&image.target, Source::FallbackTag), said));
    }
    evidence
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// A document that is added never turns a denial into a permit, in whatever order they stand,
    /// and no cut admits what another order of the same documents does not.
    #[test]
    fn attack_g_no_document_that_is_added_loosens_what_a_cut_lets_through(
        documents in prop::collection::vec((0_usize..1000).prop_flat_map(any_document), 1..5),
        bits in 0_u8..32,
        seed in any::<prop::sample::Index>(),
    ) {
        let keys = [Signer::new(), Signer::new()];
        let image = subject(IMAGE, &digest("image"));
        let named: Vec<String> = documents.iter().enumerate().map(|(number, text)| {
            let at = text.find("{name: d").unwrap() + "{name: ".len();
            let end = at + text[at..].find('}').unwrap();
            let text = format!("{}n{number}{}", &text[..at], &text[end..]);
            text.replace("DIGEST", &format!("\"{}\"", image.target))
                .replace("KEY", &format!("\"{}\"", keys[0].public().id()))
                .replace("ANOTHER", &format!("\"{}\"", keys[1].public().id()))
        }).collect();
        let built = |texts: &[String]| {
            let files: Vec<PolicyFile> = texts.iter().enumerate().map(|(number, text)| PolicyFile {
                name: format!("{number}.yaml"), bytes: text.clone().into_bytes(),
            }).collect();
            let keys = [("build.pub", &keys[0]), ("other.pub", &keys[1])]
                .map(|(name, key)| (name.to_owned(), key.public()));
            PolicySet::build(Documents::parse(&files).unwrap(), keys.into_iter().collect(), Unmatched::Deny).unwrap()
        };
        let evidence = any_evidence(&image, &keys, bits);
        let permits = |texts: &[String]| {
            matches!(asked_last(&built(texts), &image, &evidence), Verdict::Permit(_))
        };
        let all = permits(&named);
        let mut other_order = named.clone();
        let turn = seed.index(other_order.len());
        other_order.rotate_left(turn);
        other_order.reverse();
        prop_assert_eq!(all, permits(&other_order));
        // Of an image that a document demanded something of before.
        let left: Vec<String> = named.iter().enumerate().filter(|(n, _)| *n != turn).map(|(_, t)| t.clone()).collect();
        if all && left.iter().any(|text| text.contains("ImagePolicy")) {
            prop_assert!(permits(&left), "adding this loosened: {}", named[turn]);
        }
    }
}
