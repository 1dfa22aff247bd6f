//! A decision that is new: the judgement by itself for every kind of key and form, and what the
//! registry is asked.

use std::collections::BTreeMap;
use std::time::Instant;

use sealgate::evidence::{
    Content, Evidence, Format, Item, Name, Origin, Outcome, Place, Pod, Source, Subject,
};
use sealgate::image::{Digest, Reference};
use sealgate::policy::{Case, PolicySet, Verdict};
use sealgate::verify::VerificationCache;

use crate::fixtures;
use crate::registry::{Referrers, Settings};
use crate::rig::{
    PROVENANCE, RELEASE, Rig, Special, attested, by_digest, policy, pull, requiring, tagged,
};
use crate::support::{Table, median};

const TIMES: usize = 300;
/// Most requests for the older form, for a bundle without and with a referrers endpoint: cosign's 4
/// and 7, and less where it is. The places are asked side by side, so that a bundle costs a request
/// for the place of the older form too.
const OLDER_LIMIT: f64 = 4.0;
const BUNDLE_LIMIT: f64 = 6.0;
const ENDPOINT_LIMIT: f64 = 5.0;
/// Most requests where certificates or attestations are asked for: the bundle's four, the fallback
/// tag and the older form.
const CERTIFICATES_LIMIT: f64 = 6.0;
/// Most time of a judgement, milliseconds on one core.
const JUDGE_LIMIT: f64 = 2.0;
/// Most of them in series.
const BY_TAG_LIMIT: f64 = 4.0;
const BY_DIGEST_LIMIT: f64 = 3.0;

/// A kind of registry and image, the most requests, and whether the kind is guessed right on first
/// contact.
type Kind = (&'static str, fn() -> Settings, &'static str, f64, bool);

/// Microseconds of a judgement by kind of key; what a form's fixtures lack is left empty.
pub(crate) fn judgement(table: &mut Table) {
    for (kind, key, situation) in [
        ("ECDSA P-256", "build", "signed-both"),
        ("ECDSA P-384", "p384", "key-p384"),
        ("RSA", "rsa", "key-rsa"),
        ("Ed25519", "ed25519", "key-ed25519"),
    ] {
        let set = policy("prod/**", key);
        let figures = [Source::SignatureTag, Source::FallbackTag].map(|source| {
            let figure = judge(&set, situation, source, false);
            figure.map_or_else(String::new, |micros| format!("{micros:.0} us"))
        });
        table.note(kind, &figures[0], &figures[1], None);
    }
}

/// Microseconds of a judgement by kind of requirement, the first time and when its signatures were
/// proven before.
pub(crate) fn kinds(table: &mut Table) {
    let key = "{name: build, key: {files: [build.pub]}}".to_owned();
    let logged = "{name: build, key: {files: [build.pub], trustRoot: local, minLogEntries: 1, \
        minTimestamps: 1}}";
    let slsa = ", slsa: {source: \"https://github.com/acme/app\"}";
    let by_slsa =
        attested(PROVENANCE, slsa).replace(&format!("predicateType: \"{PROVENANCE}\", "), "");
    let with_cel = attested(
        PROVENANCE,
        ", where: 'predicate.buildDefinition.externalParameters.workflow.repository \
         == \"https://github.com/acme/app\"'",
    );
    let own = "{name: team, certificate: {roots: [root.pem], intermediates: [intermediate.pem], \
        subjects: [{email: team@acme.example}]}}";
    for (what, require, situation, source) in [
        ("key, older form", key.clone(), "signed-v2", Source::SignatureTag),
        ("key, bundle", key, "signed-v3", Source::FallbackTag),
        ("key, bundle, log and timestamp", logged.to_owned(), "key-logged", Source::FallbackTag),
        ("keyless, bundle", RELEASE.to_owned(), "keyless", Source::FallbackTag),
        ("keyless, older form", RELEASE.to_owned(), "keyless-v2", Source::SignatureTag),
        ("own authority, older form", own.to_owned(), "pki", Source::SignatureTag),
        ("attestation, bundle", attested(PROVENANCE, ""), "provenance", Source::FallbackTag),
        ("attestation, bundle, slsa", by_slsa, "provenance", Source::FallbackTag),
        ("attestation, bundle, condition", with_cel, "provenance", Source::FallbackTag),
        (
            "attestation, older form",
            attested(PROVENANCE, ""),
            "provenance-v2",
            Source::AttestationTag,
        ),
    ] {
        let set = requiring(&require);
        let [first, again] =
            [false, true].map(|again| judge(&set, situation, source, again).unwrap());
        let figures = [format!("{first:.0} us"), format!("{again:.0} us")];
        table.at_most(what, [&figures[0], &figures[1]], first / 1000.0, JUDGE_LIMIT);
    }
}

/// Microseconds of a judgement; of one that was made before when it is `again`.
fn judge(set: &PolicySet, situation: &str, source: Source, again: bool) -> Option<f64> {
    let name = Name::Known(Reference::parse(&tagged(situation)).unwrap());
    let repository = fixtures::prod(situation);
    let target = Digest::parse(&repository.tags["v1"]).unwrap();
    let place = Place { repository: name.repository()?, subject: target.clone(), source };
    let contents: Vec<Content> = match source {
        Source::SignatureTag => {
            repository.signatures(target.as_str()).into_iter().map(simple).collect()
        }
        Source::AttestationTag => {
            repository.attestations(target.as_str()).into_iter().map(envelope).collect()
        }
        Source::FallbackTag | Source::Referrers => repository
            .bundles(target.as_str())
            .into_iter()
            .map(|bytes| Content::new(Format::Bundle, bytes.into(), BTreeMap::new()))
            .collect(),
    };
    let item = |content| Item { place: place.clone(), digest: target.clone(), content };
    let items: Vec<Item> = contents.into_iter().map(item).collect();
    let looked = vec![(place.clone(), Outcome::Found(items.len()))];
    let evidence = Evidence { items, looked, carriers: vec![] };
    if evidence.items.is_empty() {
        return None;
    }
    let applicable = set.applicable(&name, &Pod::default());
    let subject = Subject { name, target, child: None, origin: Origin::Registry };
    let (now, mut proofs) = (sealgate::daemon::CLOCK.now(), VerificationCache::default());
    let times = (0..TIMES).map(|_| {
        if !again {
            proofs = VerificationCache::default();
        }
        let start = Instant::now();
        let verdict = set.judge(&Case {
            subject: &subject,
            applicable: &applicable,
            evidence: &[&evidence],
            now,
            proofs: &proofs,
        });
        let took = start.elapsed().as_secs_f64() * 1e6;
        assert!(matches!(verdict, Verdict::Permit(_)), "{verdict:?}");
        took
    });
    Some(median(times.collect()))
}

fn envelope((envelope, annotations): (Vec<u8>, BTreeMap<String, String>)) -> Content {
    Content::new(Format::Envelope, envelope.into(), annotations)
}

fn simple((payload, annotations): (Vec<u8>, BTreeMap<String, String>)) -> Content {
    Content::new(Format::SimpleSigning, payload.into(), annotations)
}

/// Requests and series of cold decisions; `tests/gate/budget.rs` holds the same figures.
///
/// The last two kinds of registry are guessed wrong by their first answer, which costs one request
/// or one in series until they are known; the target is for what is known or guessed right.
pub(crate) async fn requests(table: &mut Table) {
    let (none, endpoint) = (Settings::without_referrers, Settings::conforming);
    let silent: fn() -> Settings = || Settings::conforming().referrers(Referrers::Missing(404));
    let loud: fn() -> Settings = || Settings { docker_header: true, ..Settings::conforming() };
    let cases: [Kind; 6] = [
        ("older form", none, "signed-v2", OLDER_LIMIT, true),
        ("older form, endpoint", endpoint, "signed-v2", OLDER_LIMIT, true),
        ("bundle, no endpoint", none, "signed-v3", BUNDLE_LIMIT, true),
        ("bundle, endpoint", endpoint, "signed-v3", ENDPOINT_LIMIT, true),
        ("no endpoint, no header", silent, "signed-v3", BUNDLE_LIMIT, false),
        ("endpoint, docker header", loud, "signed-v3", ENDPOINT_LIMIT, false),
    ];
    for (what, settings, situation, limit, guessed) in cases {
        for known in [false, true] {
            let contact = if known { "known" } else { "first contact" };
            let tag = cost(settings(), &tagged(situation), known).await;
            let digest = cost(settings(), &by_digest(situation), known).await;
            let name = format!("{what}, {contact}, by tag");
            if known || guessed {
                table.counts(&name, tag, [limit, BY_TAG_LIMIT]);
            } else {
                table.note(
                    &format!("{name} (wrong guess)"),
                    &format!("{}, {}", tag.0, tag.1),
                    "",
                    None,
                );
            }
            table.counts(
                &format!("{what}, {contact}, by digest"),
                digest,
                [limit, BY_DIGEST_LIMIT],
            );
        }
    }
}

/// The same for certificates and attestations: whichever way the registry is, on first contact too.
pub(crate) async fn requests_of_certificates(table: &mut Table) {
    let (none, endpoint) = (Settings::without_referrers, Settings::conforming);
    let silent: fn() -> Settings = || Settings::conforming().referrers(Referrers::Missing(404));
    for (what, attests, situation) in [
        ("keyless, bundle", false, "keyless"),
        ("keyless, older form", false, "keyless-v2"),
        ("attestation, bundle", true, "provenance"),
        ("attestation, older form", true, "provenance-v2"),
    ] {
        let require = if attests { attested(PROVENANCE, "") } else { RELEASE.to_owned() };
        for (kind, settings) in
            [("endpoint", endpoint as fn() -> Settings), ("no endpoint", none), ("silent", silent)]
        {
            for (way, image, limit) in [
                ("by tag", tagged(situation), BY_TAG_LIMIT),
                ("by digest", by_digest(situation), BY_DIGEST_LIMIT),
            ] {
                let counts = cost_under(requiring(&require), settings(), &image, false).await;
                table.counts(
                    &format!("{what}, {kind}, {way}"),
                    counts,
                    [CERTIFICATES_LIMIT, limit],
                );
            }
        }
    }
}

async fn cost(settings: Settings, image: &str, known: bool) -> (usize, usize) {
    cost_under(policy("prod/**", "build"), settings, image, known).await
}

async fn cost_under(
    policy: PolicySet,
    settings: Settings,
    image: &str,
    known: bool,
) -> (usize, usize) {
    let rig = Rig::new(settings);
    let gate = rig.special(Special { policy, ..Special::default() });
    if known {
        pull(&gate, &tagged("unsigned")).await.unwrap_err();
        rig.registry.clear_log();
    }
    rig.late();
    pull(&gate, image).await.unwrap();
    (rig.registry.requests().len(), rig.registry.series())
}
