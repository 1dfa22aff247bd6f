//! A decision that is new: the judgement by itself for every kind of key and form, and what the registry is asked.

use std::sync::Arc;
use std::time::Instant;

use sealgate::evidence::{Content, Evidence, Item, Name, Origin, Outcome, Place, Pod, Source, Subject};
use sealgate::image::{Digest, Reference};
use sealgate::policy::{Case, PolicySet, Verdict};

use crate::fixtures;
use crate::registry::{Referrers, Settings};
use crate::rig::{Rig, by_digest, policy, pull, tagged};
use crate::support::{Table, median};

const TIMES: usize = 300;
/// Most requests for the older form, for a bundle without and with a referrers endpoint.
const OLDER_LIMIT: f64 = 5.0;
const BUNDLE_LIMIT: f64 = 6.0;
const ENDPOINT_LIMIT: f64 = 4.0;
/// Most of them in series.
const BY_TAG_LIMIT: f64 = 4.0;
const BY_DIGEST_LIMIT: f64 = 3.0;

/// A kind of registry and image, the most requests, and whether the kind is guessed right on first contact.
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
            let figure = judge(&set, situation, source);
            figure.map_or_else(String::new, |micros| format!("{micros:.0} us"))
        });
        table.note(kind, &figures[0], &figures[1], None);
    }
}

fn judge(set: &PolicySet, situation: &str, source: Source) -> Option<f64> {
    let name = Name::Known(Reference::parse(&tagged(situation)).unwrap());
    let repository = fixtures::prod(situation);
    let target = Digest::parse(&repository.tags["v1"]).unwrap();
    let place = Place { repository: name.repository()?, subject: target.clone(), source };
    let contents: Vec<Content> = match source {
        Source::SignatureTag => repository.signatures(target.as_str()).into_iter().map(simple).collect(),
        Source::AttestationTag => Vec::new(),
        Source::FallbackTag | Source::Referrers => {
            repository.bundles(target.as_str()).into_iter().map(|bytes| Content::Bundle(bytes.into())).collect()
        }
    };
    let item = |content| Item { place: place.clone(), digest: target.clone(), content };
    let items: Vec<Item> = contents.into_iter().map(item).collect();
    let looked = vec![(place.clone(), Outcome::Found(items.len()))];
    let evidence = Evidence { items, looked };
    if evidence.items.is_empty() {
        return None;
    }
    let applicable = set.applicable(&name, &Pod::default());
    let subject = Subject { name, target, child: None, origin: Origin::Registry };
    let (now, proofs) = (sealgate::daemon::CLOCK.now(), sealgate::verify::Proofs::default());
    let times = (0..TIMES).map(|_| {
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

fn simple((payload, annotations): (Vec<u8>, std::collections::BTreeMap<String, String>)) -> Content {
    Content::SimpleSigning { payload: payload.into(), annotations: Arc::new(annotations) }
}

/// Requests and series of cold decisions; `tests/gate/budget.rs` holds the same figures.
///
/// The last two kinds of registry are guessed wrong by their first answer, which costs one request or one in series
/// until they are known; the target is for what is known or guessed right.
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
                table.note(&format!("{name} (wrong guess)"), &format!("{}, {}", tag.0, tag.1), "", None);
            }
            table.counts(&format!("{what}, {contact}, by digest"), digest, [limit, BY_DIGEST_LIMIT]);
        }
    }
}

async fn cost(settings: Settings, image: &str, known: bool) -> (usize, usize) {
    let rig = Rig::new(settings);
    let gate = rig.gate();
    if known {
        pull(&gate, &tagged("unsigned")).await.unwrap_err();
        rig.registry.clear_log();
    }
    rig.late();
    pull(&gate, image).await.unwrap();
    (rig.registry.requests().len(), rig.registry.series())
}
