//! [`KeptJudge`]: what is kept about an image, judged as the gate would with no network;
//! [`Judgement`]: so of every kept image, under the policies in force now.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::catalog::Catalog;
use super::wanted::names;
use crate::audit;
use crate::cli::terminal::screen::{Screen, Tone, plain};
use crate::config::Settings;
use crate::cri::{self, Refusal};
use crate::daemon;
use crate::decision::evidence_set::EvidenceSet;
use crate::decision::freshness::{FreshnessTerms, Staleness};
use crate::decision::offline::{OfflineVerdict, judge_offline};
use crate::decision::question::Question;
use crate::evidence::{
    Evidence, EvidenceSource, Name, Origin, Outcome, Place, Pod, Source, Subject,
};
use crate::evidence_store::{Kept, Store};
use crate::image::{Digest, Reference, Repository};
use crate::policy::{Class, Freshness, Plan, PolicySet, Verdict, VerdictKey};
use crate::sources::{self, EvidenceQuery, FetchedEvidence, PlaceEvidence};
use crate::verify::VerificationCache;

/// The code of a refusal for evidence that is too old to count while nobody can be asked.
pub(in crate::cli) const TOO_OLD: &str = "signatures-unreachable";

/// Proofs that are remembered within one run: the same signature of a base image under many images.
const PROOFS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(4095);

/// Pieces of evidence that are read once for several judgements that follow each other: of one image
/// under two sets of policies, for several namespaces.
const READ_MAX: usize = 32;
/// Verdicts that are remembered within one run: those of one image in all its namespaces follow each
/// other.
const JUDGED_MAX: usize = 256;
/// Bytes of evidence from which on nothing read is held any longer.
const READ_BYTES_MAX: usize = 16 << 20;

/// Judges by what is kept, as of one moment. Nothing is asked of anyone.
pub(in crate::cli) struct KeptJudge<'s> {
    /// None where nothing is kept.
    store: Option<&'s Store>,
    node: Freshness,
    proofs: VerificationCache,
    now: Timestamp,
    rest: Rest,
    read: RefCell<Vec<(Place, Plan, Arc<FetchedEvidence>)>>,
    /// What was judged lately, by all that a verdict depends on, and whether it was brought from a
    /// registry.
    judged: RefCell<HashMap<(VerdictKey, bool), JudgedSubject>>,
}

/// What is known of the places of which nothing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Unknown,
    /// There is nothing; nor is anything kept.
    Nothing,
    Unreachable,
}

/// What came of one subject.
#[derive(Debug, Clone)]
pub(in crate::cli) struct JudgedSubject {
    pub(in crate::cli) verdict: Verdict,
    /// The oldest of what it rests on; none where that is nothing.
    pub(in crate::cli) age_seconds: Option<i64>,
    /// The evidence is older than `maxOffline`: with no network the gate refuses it as unreachable.
    pub(in crate::cli) too_old: bool,
}

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
    pod: Pod,
    judge: KeptJudge<'s>,
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

impl<'s> KeptJudge<'s> {
    /// As of now: or as of the last record of the log, if the clock says that it is earlier (attack
    /// C4).
    pub(in crate::cli) fn new(settings: &Settings, store: Option<&'s Store>) -> Self {
        let (known, _) = daemon::known_time(settings);
        let now = known.map_or_else(daemon::now, |known| known.max(daemon::now()));
        Self::at(settings, store, now)
    }

    /// As of a moment.
    pub(in crate::cli) fn at(
        settings: &Settings,
        store: Option<&'s Store>,
        now: Timestamp,
    ) -> Self {
        let node = Freshness {
            refresh_after: settings.evidence.refresh_after(),
            max_offline: settings.evidence.max_offline(),
        };
        let proofs = VerificationCache::new(PROOFS);
        let (read, judged) = (RefCell::default(), RefCell::default());
        Self { store, node, proofs, now, rest: Rest::Unknown, read, judged }
    }

    /// As if every place had been looked in and there were nothing.
    pub(in crate::cli) fn of_unsigned(self) -> Self {
        Self { rest: Rest::Nothing, ..self }
    }

    /// As if the registry had been asked, and could not be reached.
    pub(in crate::cli) fn of_unreachable(self) -> Self {
        Self { rest: Rest::Unreachable, ..self }
    }

    /// As of when it judges.
    pub(in crate::cli) fn now(&self) -> Timestamp {
        self.now
    }

    /// Judges a subject under these documents, from the places in which they have signatures looked
    /// for. One that was not brought from a registry is judged as kept where evidence on it is, as
    /// the gate does.
    pub(in crate::cli) fn judge(
        &self,
        set: &Arc<PolicySet>,
        subject: Subject,
        pod: &Pod,
        catalog: &Catalog,
    ) -> JudgedSubject {
        let is_local = subject.origin == Origin::Local;
        let subject =
            Subject { origin: if is_local { Origin::Kept } else { subject.origin }, ..subject };
        let question = Question::offline(set, subject, pod);
        let key = (question.key(), is_local);
        if let Some(judged) = self.judged.borrow().get(&key) {
            return judged.clone();
        }
        let judged = self.judge_question(question, is_local, catalog);
        let mut memory = self.judged.borrow_mut();
        if memory.len() >= JUDGED_MAX {
            memory.clear();
        }
        memory.insert(key, judged.clone());
        judged
    }

    fn judge_question(
        &self,
        mut question: Question,
        is_local: bool,
        catalog: &Catalog,
    ) -> JudgedSubject {
        let kept = self.evidence(&question, catalog);
        if is_local && kept.is_empty() {
            question.subject.origin = Origin::Local;
        }
        let freshness = question.set.freshness(&question.applicable).least(self.node);
        let terms = FreshnessTerms { freshness, flushed: None, now: self.now };
        let OfflineVerdict { verdict, evidence } =
            judge_offline(&question, &kept, (Staleness::Overdue, &terms), &self.proofs)
                .unwrap_or_else(|| OfflineVerdict::of_nothing(&question, self.now, &self.proofs));
        if self.rest == Rest::Unreachable && matches!(verdict, Verdict::Denial(_)) {
            return self.judge_unreachable(&question, &kept);
        }
        let age_seconds = evidence
            .provenance()
            .map(|oldest| self.now.duration_since(oldest.fetched).as_secs().max(0));
        let too_old = evidence.staleness(&terms) == Some(Staleness::Overdue);
        JudgedSubject { verdict, age_seconds, too_old }
    }

    /// The verdict without any evidence: a refusal that no evidence could change, if it is one.
    pub(in crate::cli) fn judge_nothing(
        &self,
        set: &Arc<PolicySet>,
        subject: Subject,
        pod: &Pod,
    ) -> Verdict {
        let question = Question::offline(set, subject, pod);
        OfflineVerdict::of_nothing(&question, self.now, &self.proofs).verdict
    }

    fn evidence(&self, question: &Question, catalog: &Catalog) -> EvidenceSet {
        let query = question.query(&question.repositories());
        if self.rest == Rest::Nothing {
            return self.everywhere(&query, &Outcome::Absent);
        }
        let about = query.digests.iter().flat_map(|digest| catalog.of_subject(digest));
        let about = about.filter(|kept| query.concerns(&kept.entry));
        let piece = |kept| PlaceEvidence {
            held: self.piece(kept, query.plan),
            source: EvidenceSource::Evidence,
        };
        about.map(piece).collect()
    }

    /// The verdict of a gate that has this, and asks a registry that does not answer.
    fn judge_unreachable(&self, question: &Question, kept: &EvidenceSet) -> JudgedSubject {
        let query = question.query(&question.repositories());
        let cut = Outcome::Unreachable("the registry could not be reached".to_owned());
        let evidence = [kept.evidence(), self.everywhere(&query, &cut).evidence()].concat();
        let evidence: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
        let verdict = question.judge_unreachable(&evidence, self.now, &self.proofs);
        JudgedSubject { verdict, age_seconds: None, too_old: false }
    }

    fn everywhere(&self, query: &EvidenceQuery, outcome: &Outcome) -> EvidenceSet {
        let place = |subject: &Digest, repository: &Repository| Place {
            repository: repository.clone(),
            subject: subject.clone(),
            source: Source::Referrers,
        };
        let places = query.digests.iter().flat_map(|subject| {
            query.repositories.iter().map(move |repository| place(subject, repository))
        });
        let looked = places.map(|place| (place, outcome.clone())).collect();
        let evidence = Arc::new(Evidence { looked, ..Evidence::default() });
        let held = Arc::new(FetchedEvidence { evidence, fetched: self.now });
        std::iter::once(PlaceEvidence { held, source: EvidenceSource::Evidence }).collect()
    }

    fn piece(&self, kept: &Kept, plan: Plan) -> Arc<FetchedEvidence> {
        let place = &kept.entry.place;
        let mut read = self.read.borrow_mut();
        let known = read.iter().find(|(at, by, _)| at == place && *by == plan);
        if let Some((_, _, held)) = known {
            return Arc::clone(held);
        }
        let evidence = self.store.map(|store| sources::kept(store, &kept.entry, plan));
        let held = Arc::new(FetchedEvidence {
            evidence: Arc::new(evidence.unwrap_or_default()),
            fetched: kept.entry.fetched,
        });
        let bytes: usize = read.iter().map(|(_, _, held)| held.evidence.size()).sum();
        if read.len() >= READ_MAX || bytes + held.evidence.size() > READ_BYTES_MAX {
            read.clear();
        }
        read.push((place.clone(), plan, Arc::clone(&held)));
        held
    }
}

impl JudgedSubject {
    /// The verdict and its code, as the audit log would have them with no network.
    pub(in crate::cli) fn told(self) -> (audit::Verdict, String) {
        match self.verdict {
            Verdict::Permit(_) if self.too_old => (audit::Verdict::Unreachable, TOO_OLD.to_owned()),
            Verdict::Permit(permit) => {
                let (verdict, reason) = cri::admitted(std::iter::once(&permit));
                (verdict, reason.code.into_owned())
            }
            Verdict::Denial(denial) => {
                let verdict = match denial.class() {
                    Class::Refused => audit::Verdict::Refused,
                    Class::Unable => audit::Verdict::Unable,
                    Class::Unreachable => audit::Verdict::Unreachable,
                };
                (verdict, Refusal::Denied(Arc::new(denial)).code().to_owned())
            }
        }
    }
}

impl<'s> Judgement<'s> {
    /// Under a set, as of now.
    pub(in crate::cli) fn new(
        settings: &Settings,
        set: Arc<PolicySet>,
        store: &'s Store,
        namespace: Option<String>,
    ) -> Self {
        let pod = Pod { namespace, ..Pod::default() };
        Self { set, pod, judge: KeptJudge::new(settings, Some(store)) }
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
            let judged = self.judge.judge(&self.set, subject, &self.pod, catalog);
            let JudgedSubject { verdict, age_seconds, too_old } = judged;
            let judged = Judged::new(image, &verdict, age_seconds, too_old);
            if judged.is_admitted() {
                return judged;
            }
            first.get_or_insert(judged);
        }
        first.unwrap_or_else(|| Judged::unnamed(image))
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
