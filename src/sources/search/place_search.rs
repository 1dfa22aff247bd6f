//! [`Search`]: one decision's look for evidence, in all places, the likely ones first; what is
//! found is handed out as it comes, so that who judges can stop at the first evidence that
//! suffices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SetOnce;

use super::backlog::Backlog;
use super::forms::{Forms, Hint, waves};
use super::lookup::{PATIENCE, PlaceFindings, PlaceQuery};
use super::places::{go_on, look};
use super::reading::Reading;
use super::signature_manifest::{FetchedItem, evidence};
use crate::evidence::{Evidence, Outcome, Place, Source};
use crate::image::{Digest, Repository};
use crate::policy::Plan;

/// Items of one place that are kept although nothing asks for them now: another policy may. More
/// than images have that nobody floods.
const SPARE_MAX: usize = 32;

/// Items of one place that are held because they help, each by a signer of its own or for a
/// requirement of its own; past this the place is read no further. A thousand signatures by one key
/// are one.
const HELPFUL_MAX: usize = 256;

/// What is looked for, and where.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The image's own repository: its manifest is there.
    pub image: &'a Repository,
    /// Where signatures are looked for, each with what is known of its registry: the image's own
    /// repository, or those that policies name.
    pub repositories: &'a [(Repository, Hint)],
    /// The digests on which they count; the likeliest first.
    pub digests: &'a [Digest],
    /// The manifest or index of the first of these, where it is at hand.
    pub bytes: Option<&'a Bytes>,
    /// What can count at all.
    pub plan: Plan,
}

/// One question to one place: by digest, by repository, by source. The order in which evidence is
/// judged, which does not depend on which answer came first.
type Ask = (usize, usize, Source);

/// What a place gave so far.
#[derive(Debug, Default)]
struct Shelf {
    /// What helps some requirement, or says why it does not.
    helpful: Vec<FetchedItem>,
    /// What was not judged yet.
    fresh: Vec<FetchedItem>,
    /// What does not help, as far as it is kept.
    spare: Vec<FetchedItem>,
    looked: Vec<(Place, Outcome)>,
    /// The manifests that are listed there.
    listed: BTreeSet<Digest>,
}

/// A look for evidence under way.
pub struct Search<'a> {
    reading: &'a Reading,
    sought: Sought<'a>,
    /// What is still to be asked, a wave after the other.
    waves: Vec<Vec<Ask>>,
    asked: BTreeSet<Ask>,
    running: FuturesUnordered<BoxFuture<'a, (Ask, PlaceFindings)>>,
    /// How many of these look in a place for the first time; the others read on.
    looking: usize,
    shelves: BTreeMap<Ask, Shelf>,
    /// Places of which more is to be read, when what was read does not suffice.
    backlogs: Vec<(Ask, Backlog)>,
    /// Whether no more than the first of each place is read.
    leaves_the_rest: bool,
    /// For each place the host to go on with.
    onward: BTreeMap<Ask, usize>,
    /// For each digest and repository whose referrers endpoint is being asked: whether it answered
    /// with a list.
    listed: BTreeMap<(usize, usize), Arc<SetOnce<bool>>>,
}

impl Shelf {
    fn judged(&self) -> impl Iterator<Item = &FetchedItem> {
        self.helpful.iter().chain(&self.fresh)
    }
}

impl<'a> Search<'a> {
    /// Nothing is asked before [`Self::next`].
    #[must_use]
    pub fn new(reading: &'a Reading, forms: &Forms, sought: Sought<'a>) -> Self {
        let mut all: Vec<Vec<Ask>> = Vec::new();
        for (d, _) in sought.digests.iter().enumerate() {
            for (r, (repository, hint)) in sought.repositories.iter().enumerate() {
                // Each digest a wave later than the one before: what the first lacks is sought
                // beside the second's.
                for (at, wave) in
                    waves(sought.plan, *hint, forms.of(repository)).into_iter().enumerate()
                {
                    let at = at.saturating_add(d);
                    all.resize_with(all.len().max(at.saturating_add(1)), Vec::new);
                    let asks = wave.into_iter().map(|source| (d, r, source));
                    all.get_mut(at).into_iter().for_each(|into| into.extend(asks.clone()));
                }
            }
        }
        all.reverse();
        let (asked, running, looking) = (BTreeSet::new(), FuturesUnordered::new(), 0);
        let (shelves, backlogs, onward, listed) =
            (BTreeMap::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            reading,
            sought,
            waves: all,
            asked,
            running,
            looking,
            shelves,
            backlogs,
            leaves_the_rest: false,
            onward,
            listed,
        }
    }

    /// The next place in which something was found; none when every place has been looked in.
    /// Places that are still asked are left alone when this value is dropped. A place with much in
    /// it is read on while others are looked in, and never keeps them waiting.
    pub async fn next(&mut self) -> Option<Place> {
        loop {
            if self.looking == 0
                && let Some(wave) = self.waves.pop()
            {
                self.begin(wave);
            }
            self.read_on();
            if self.running.is_empty() && self.waves.is_empty() {
                return None;
            }
            let answer = if self.waves.is_empty() {
                self.running.next().await
            } else {
                match tokio::time::timeout(PATIENCE, self.running.next()).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        let wave = self.waves.pop().unwrap_or_default();
                        self.begin(wave);
                        continue;
                    }
                }
            };
            let Some((ask, found)) = answer else { continue };
            if let Some(place) = self.take(ask, found) {
                return Some(place);
            }
        }
    }

    /// What is to be judged: what helped so far, and what came since; place by place, in an order
    /// that does not depend on which answer came first.
    #[must_use]
    pub fn to_judge(&self) -> Vec<Arc<Evidence>> {
        let shelves = self.shelves.values();
        shelves.map(|shelf| Arc::new(evidence(shelf.judged(), shelf.looked.clone()))).collect()
    }

    /// Drops what does not help, as far as a place has more than is kept anyway; `helps` says it of
    /// every item of [`Self::to_judge`], in that order.
    pub fn settle(&mut self, helps: &[Vec<bool>]) {
        for ((ask, shelf), helps) in self.shelves.iter_mut().zip(helps) {
            let judged = shelf.helpful.drain(..).chain(shelf.fresh.drain(..)).collect::<Vec<_>>();
            for (read, helps) in judged.into_iter().zip(helps) {
                let kept = if *helps { &mut shelf.helpful } else { &mut shelf.spare };
                kept.push(read);
            }
            shelf.spare.retain(|read| read.room.is_none());
            shelf.spare.truncate(SPARE_MAX.saturating_sub(shelf.helpful.len()));
            if shelf.helpful.len() > HELPFUL_MAX {
                self.backlogs.retain(|(other, _)| other != ask);
                let why = format!("more than {HELPFUL_MAX} signatures that count in part");
                let place = shelf.helpful.first().map(|read| read.item.place.clone());
                shelf.looked.extend(place.map(|place| (place, Outcome::Unable(why))));
            }
        }
    }

    /// Whether some place has more than is kept of it without a reason.
    #[must_use]
    pub fn is_long(&self) -> bool {
        let is_long =
            |shelf: &Shelf| shelf.helpful.len().saturating_add(shelf.fresh.len()) > SPARE_MAX;
        !self.backlogs.is_empty() || self.shelves.values().any(is_long)
    }

    /// Says of every place in which something was found that not all of it was examined.
    pub fn cut_short(&mut self, why: &str) {
        let found: Vec<Ask> = self
            .shelves
            .iter()
            .filter(|(_, shelf)| !shelf.listed.is_empty())
            .map(|(ask, _)| *ask)
            .collect();
        for ask in found {
            let place = self.place_of(ask);
            let shelf = self.shelves.entry(ask).or_default();
            shelf.looked.extend(place.map(|place| (place, Outcome::Unable(why.to_owned()))));
        }
    }

    /// Reads no more than the first of each place: all that is wanted was found, or more could not
    /// be examined.
    pub fn leave_the_rest(&mut self) {
        self.leaves_the_rest = true;
        for (ask, backlog) in std::mem::take(&mut self.backlogs) {
            self.leave(ask, &backlog);
        }
    }

    fn leave(&mut self, ask: Ask, backlog: &Backlog) {
        let place = self.place_of(ask);
        let shelf = self.shelves.entry(ask).or_default();
        shelf.looked.extend(place.map(|place| (place, Outcome::Found(backlog.count()))));
    }

    fn place_of(&self, (d, r, source): Ask) -> Option<Place> {
        let (subject, (repository, _)) =
            (self.sought.digests.get(d)?, self.sought.repositories.get(r)?);
        Some(Place { repository: repository.clone(), subject: subject.clone(), source })
    }

    /// Everything that was gathered and is kept, place by place.
    #[must_use]
    pub fn gathered(&self) -> Vec<Arc<Evidence>> {
        let all =
            |shelf: &Shelf| evidence(shelf.judged().chain(&shelf.spare), shelf.looked.clone());
        self.shelves.values().map(|shelf| Arc::new(all(shelf))).collect()
    }

    fn take(&mut self, ask: Ask, found: PlaceFindings) -> Option<Place> {
        let (d, r, source) = ask;
        let fallback = (d, r, Source::FallbackTag);
        if found.dropped {
            self.asked.remove(&fallback);
        }
        if source == Source::Referrers && found.is_first {
            self.listed.remove(&(d, r));
            if found.has_list {
                // What has the endpoint needs no tag in its place.
                self.waves.iter_mut().for_each(|wave| wave.retain(|other| *other != fallback));
            } else {
                self.later(fallback);
            }
        }
        if found.is_first {
            self.looking = self.looking.saturating_sub(1);
        }
        let place = found.reads.first().map(|read| read.item.place.clone());
        let shelf = self.shelves.entry(ask).or_default();
        shelf.fresh.extend(found.reads);
        shelf.looked.extend(found.looked);
        shelf.listed.extend(found.listed);
        match found.more {
            Some(more) if self.leaves_the_rest => self.leave(ask, &more),
            more => self.backlogs.extend(more.map(|more| (ask, more))),
        }
        if let Some(next) = found.next {
            self.onward.insert(ask, next);
            self.asked.remove(&ask);
            self.later(ask);
        }
        place
    }

    /// Reads on where there is more.
    fn read_on(&mut self) {
        for (ask, backlog) in std::mem::take(&mut self.backlogs) {
            if let Some(wanted) = self.wanted(ask) {
                let reading = self.reading;
                self.running
                    .push(Box::pin(async move { (ask, go_on(reading, wanted, backlog).await) }));
            }
        }
    }

    /// Asks this after what is asked already: that may suffice.
    fn later(&mut self, ask: Ask) {
        if self.asked.contains(&ask) || self.waves.iter().flatten().any(|other| *other == ask) {
            return;
        }
        match self.waves.last_mut() {
            Some(next) => next.push(ask),
            None => self.waves.push(vec![ask]),
        }
    }

    /// Sends out what was not sent out yet.
    fn begin(&mut self, wave: Vec<Ask>) {
        for ask in wave {
            if self.asked.insert(ask)
                && let Some(wanted) = self.wanted(ask)
            {
                let (reading, source) = (self.reading, ask.2);
                self.looking = self.looking.saturating_add(1);
                self.running
                    .push(Box::pin(async move { (ask, look(reading, wanted, source).await) }));
            }
        }
    }

    fn wanted(&mut self, ask: Ask) -> Option<PlaceQuery<'a>> {
        let ((d, r, source), sought) = (ask, self.sought);
        let (digest, (repository, _)) = (sought.digests.get(d)?, sought.repositories.get(r)?);
        let bytes = sought.bytes.filter(|_| d == 0);
        let start = self.onward.get(&ask).copied().unwrap_or(0);
        let listed = match source {
            Source::Referrers if start == 0 => {
                Some(Arc::clone(self.listed.entry((d, r)).or_default()))
            }
            // The tag waits for the endpoint's word while the endpoint is asked beside it.
            Source::FallbackTag => self.listed.get(&(d, r)).cloned(),
            Source::Referrers | Source::SignatureTag | Source::AttestationTag => None,
        };
        let known = self.shelves.get(&ask).map(|shelf| shelf.listed.clone()).unwrap_or_default();
        Some(PlaceQuery {
            repository,
            image: sought.image,
            digest,
            bytes,
            plan: sought.plan,
            listed,
            start,
            known,
        })
    }
}

impl std::fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search")
            .field("sought", &self.sought)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}
