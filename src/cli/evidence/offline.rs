//! [`Judgement`]: kept images judged as the gate would with no network, under the policies in force
//! now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::catalog::Catalog;
use super::wanted::names;
use crate::cli::terminal::screen::{Screen, Tone, plain};
use crate::config::Settings;
use crate::daemon;
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::freshness::{FreshnessTerms, Staleness};
use crate::decision::offline::{OfflineVerdict, judge_offline};
use crate::decision::question::Question;
use crate::evidence::{EvidenceSource, Name, Origin, Subject};
use crate::evidence_store::{Kept, Store};
use crate::image::{Digest, Reference};
use crate::policy::{Class, Freshness, PolicySet, Verdict};
use crate::sources::{self, FetchedEvidence, PlaceEvidence};
use crate::verify::VerificationCache;

/// Proofs that are remembered within one run: the same signature of a base image under many images.
const PROOFS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4095);

/// An image that evidence is kept about, by one of its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct KeptImage {
    /// How it was asked for, or its digest in the repository of its signatures.
    name: String,
    /// The name under which it is judged. Where none is known it is the repository's: as for what
    /// is asked for by a tag, signatures on a manifest under it count.
    judged_as: String,
    /// What the name points at.
    target: Digest,
    /// The manifests under it on which there are signatures: for this node's platform, and those of
    /// other nodes whose evidence was brought here.
    children: BTreeSet<Digest>,
}

/// Judges images from what is kept.
pub(in crate::cli) struct Judgement<'s> {
    set: Arc<PolicySet>,
    store: &'s Store,
    namespace: Option<String>,
    node: Freshness,
    proofs: VerificationCache,
    now: Timestamp,
}

/// What came of one image.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Judged {
    image: String,
    digest: String,
    verdict: &'static str,
    message: String,
    /// The evidence is older than `maxOffline`: with no network the gate refuses it as unreachable.
    too_old: bool,
    age_seconds: Option<i64>,
    /// A deny list names it.
    #[serde(skip)]
    struck_off: bool,
}

/// The images that entries are about, each by the newest name of each repository.
pub(super) fn images(catalog: &Catalog, is_wanted: &dyn Fn(&Kept) -> bool) -> BTreeSet<KeptImage> {
    let mut images = BTreeSet::new();
    for kept in catalog.entries().iter().filter(|kept| is_wanted(kept)) {
        let entry = &kept.entry;
        let subject = &entry.place.subject;
        let mut targets: Vec<&Digest> = entry.targets.iter().collect();
        if targets.is_empty() {
            targets.push(subject);
        }
        for target in targets {
            let children = catalog.children_of(target);
            let mut newest: BTreeMap<String, Reference> = BTreeMap::new();
            for name in
                names(entry).filter(|name| name.digest().is_none_or(|digest| digest == target))
            {
                newest.insert(name.repository().to_string(), name);
            }
            let repository = &entry.place.repository;
            let unnamed =
                newest.is_empty().then(|| (repository.at(target), repository.to_string()));
            let named = newest.into_values().map(|name| (name.to_string(), name.to_string()));
            for (name, judged_as) in named.chain(unnamed) {
                images.insert(KeptImage {
                    name,
                    judged_as,
                    target: target.clone(),
                    children: children.clone(),
                });
            }
        }
    }
    images
}

impl KeptImage {
    /// An image on the node, by one of its names.
    pub(in crate::cli) fn named(name: &str, target: &Digest, catalog: &Catalog) -> Self {
        Self {
            name: name.to_owned(),
            judged_as: name.to_owned(),
            target: target.clone(),
            children: catalog.children_of(target),
        }
    }
}

impl<'s> Judgement<'s> {
    /// Under a set, as of now: or as of the last record of the log, if the clock says that it is
    /// earlier (attack C4).
    pub(in crate::cli) fn new(
        settings: &Settings,
        set: Arc<PolicySet>,
        store: &'s Store,
        namespace: Option<String>,
    ) -> Self {
        let (known, _) = daemon::known_time(settings);
        let node = Freshness {
            refresh_after: settings.evidence.refresh_after(),
            max_offline: settings.evidence.max_offline(),
        };
        Self {
            set,
            store,
            namespace,
            node,
            proofs: VerificationCache::new(PROOFS),
            now: known.map_or_else(daemon::now, |known| known.max(daemon::now())),
        }
    }

    /// Judges one image. Which of the manifests under an index this node would run is not looked
    /// up: one that is admitted is told.
    pub(in crate::cli) fn judge(&self, image: &KeptImage, catalog: &Catalog) -> Judged {
        let Ok(reference) = Reference::parse(&image.judged_as) else {
            return Judged::unnamed(image);
        };
        let children =
            image.children.iter().map(Some).chain(image.children.is_empty().then_some(None));
        let mut first = None;
        for child in children {
            let (name, target) = (Name::Known(reference.clone()), image.target.clone());
            let subject = Subject { name, target, child: child.cloned(), origin: Origin::Kept };
            let judged = self.judge_subject(image, subject, catalog);
            if judged.is_admitted() {
                return judged;
            }
            first.get_or_insert(judged);
        }
        first.unwrap_or_else(|| Judged::unnamed(image))
    }

    /// From the places in which its policies have signatures looked for.
    fn judge_subject(&self, image: &KeptImage, subject: Subject, catalog: &Catalog) -> Judged {
        let question = Question::offline(&self.set, subject, self.namespace.clone());
        let query = question.query(&question.repositories());
        let piece = |kept: &Kept| PlaceEvidence {
            held: Arc::new(FetchedEvidence {
                evidence: Arc::new(sources::kept(self.store, &kept.entry, query.plan)),
                fetched: kept.entry.fetched,
            }),
            source: EvidenceSource::Evidence,
        };
        let about = query.digests.iter().flat_map(|digest| catalog.of_subject(digest));
        let kept: EvidenceSet =
            about.filter(|kept| query.concerns(&kept.entry)).map(piece).collect();
        let freshness = self.set.freshness(&question.applicable).least(self.node);
        let terms = FreshnessTerms { freshness, flushed: None, now: self.now };
        let OfflineVerdict { verdict, evidence } =
            judge_offline(&question, &kept, (Staleness::Overdue, &terms), &self.proofs)
                .unwrap_or_else(|| OfflineVerdict::of_nothing(&question, self.now, &self.proofs));
        let age = evidence
            .provenance()
            .map(|oldest| self.now.duration_since(oldest.fetched).as_secs().max(0));
        let too_old = evidence.staleness(&terms) == Some(Staleness::Overdue);
        Judged::new(image, &verdict, age, too_old)
    }
}

impl Judged {
    fn new(image: &KeptImage, verdict: &Verdict, age_seconds: Option<i64>, too_old: bool) -> Self {
        let (word, message) = match verdict {
            Verdict::Permit(_) => ("admitted", String::new()),
            Verdict::Denial(denial) => (word(denial.class()), denial.to_string()),
        };
        let struck_off = match verdict {
            Verdict::Permit(_) => false,
            Verdict::Denial(denial) => denial.is_struck_off(),
        };
        let (name, digest) = (image.name.clone(), image.target.to_string());
        Self { image: name, digest, verdict: word, message, too_old, age_seconds, struck_off }
    }

    /// A name that is none cannot be judged.
    fn unnamed(image: &KeptImage) -> Self {
        let (name, digest) = (image.name.clone(), image.target.to_string());
        let message = "what was kept as its name is none".to_owned();
        Self {
            image: name,
            digest,
            verdict: "unable",
            message,
            too_old: false,
            age_seconds: None,
            struck_off: false,
        }
    }

    /// Whether it is admitted with no network.
    pub(in crate::cli) fn is_admitted(&self) -> bool {
        self.verdict == "admitted" && !self.too_old
    }

    /// Whether a deny list names the image itself.
    pub(in crate::cli) fn is_struck_off(&self) -> bool {
        self.struck_off
    }

    /// Its name, its digest, and why it is not admitted.
    pub(in crate::cli) fn told(self) -> (String, String, String) {
        (self.image, self.digest, self.message)
    }

    /// One line, and why on another.
    pub(super) fn print(&self, screen: &mut Screen) {
        let tone = if self.is_admitted() { Tone::Good } else { Tone::Bad };
        let word = screen.tone(tone, &format!("{:<11}", self.verdict));
        screen.line(&format!("{word} {}", plain(&self.image)));
        screen.line(&format!("{:11} {}", "", self.digest));
        if !self.message.is_empty() {
            screen.line(&format!("  {}", plain(&self.message)));
        }
        if self.too_old {
            let note =
                "  older than maxOffline: refused as unreachable until its registry was asked";
            let note = screen.tone(Tone::Warn, note);
            screen.line(&note);
        }
    }
}

fn word(class: Class) -> &'static str {
    match class {
        Class::Refused => "refused",
        Class::Unable => "unable",
        Class::Unreachable => "unreachable",
    }
}
