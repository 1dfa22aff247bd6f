//! [`Search`]: one decision's look for evidence, in all places, the likely ones first; what is found is handed out as it
//! comes, so that who judges can stop at the first evidence that suffices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SetOnce;

use super::forms::{Forms, Hint, waves};
use super::{Found, PATIENCE, Reading, Wanted, look};
use crate::evidence::{Evidence, Place, Source};
use crate::image::{Digest, Repository};
use crate::policy::Plan;

/// What is looked for, and where.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// The image's own repository: its manifest is there.
    pub image: &'a Repository,
    /// Where signatures are looked for, each with what is known of its registry: the image's own repository, or those
    /// that policies name.
    pub repositories: &'a [(Repository, Hint)],
    /// The digests on which they count; the likeliest first.
    pub digests: &'a [Digest],
    /// The manifest or index of the first of these, where it is at hand.
    pub bytes: Option<&'a Bytes>,
    /// What can count at all.
    pub plan: Plan,
}

/// One question to one place: by digest, by repository, by source. The order in which evidence is judged, which does not
/// depend on which answer came first.
type Ask = (usize, usize, Source);

/// A look for evidence under way.
pub struct Search<'a> {
    reading: &'a Reading,
    sought: Sought<'a>,
    /// What is still to be asked, a wave after the other.
    waves: Vec<Vec<Ask>>,
    asked: BTreeSet<Ask>,
    running: FuturesUnordered<BoxFuture<'a, (Ask, Found)>>,
    gathered: BTreeMap<Ask, Arc<Evidence>>,
    /// For each place the host to go on with.
    onward: BTreeMap<Ask, usize>,
    /// For each digest and repository whose referrers endpoint is being asked: whether it answered with a list.
    listed: BTreeMap<(usize, usize), Arc<SetOnce<bool>>>,
}

impl<'a> Search<'a> {
    /// Nothing is asked before [`Self::next`].
    #[must_use]
    pub fn new(reading: &'a Reading, forms: &Forms, sought: Sought<'a>) -> Self {
        let mut all: Vec<Vec<Ask>> = Vec::new();
        for (d, _) in sought.digests.iter().enumerate() {
            for (r, (repository, hint)) in sought.repositories.iter().enumerate() {
                // Each digest a wave later than the one before: what the first lacks is sought beside the second's.
                for (at, wave) in waves(sought.plan, *hint, forms.of(repository)).into_iter().enumerate() {
                    let at = at.saturating_add(d);
                    all.resize_with(all.len().max(at.saturating_add(1)), Vec::new);
                    let asks = wave.into_iter().map(|source| (d, r, source));
                    all.get_mut(at).into_iter().for_each(|into| into.extend(asks.clone()));
                }
            }
        }
        all.reverse();
        let (asked, running, gathered) = (BTreeSet::new(), FuturesUnordered::new(), BTreeMap::new());
        let (onward, listed) = (BTreeMap::new(), BTreeMap::new());
        Self { reading, sought, waves: all, asked, running, gathered, onward, listed }
    }

    /// The next place in which something was found; none when every place has been looked in. Places that are still asked
    /// are left alone when this value is dropped.
    pub async fn next(&mut self) -> Option<Place> {
        loop {
            if self.running.is_empty() {
                let wave = self.waves.pop()?;
                self.begin(wave);
                continue;
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

    /// Everything that was gathered so far, in an order that does not depend on which answer came first.
    #[must_use]
    pub fn gathered(&self) -> Vec<Arc<Evidence>> {
        self.gathered.values().cloned().collect()
    }

    fn take(&mut self, ask: Ask, found: Found) -> Option<Place> {
        let (d, r, source) = ask;
        let fallback = (d, r, Source::FallbackTag);
        if found.dropped {
            self.asked.remove(&fallback);
        }
        if source == Source::Referrers {
            self.listed.remove(&(d, r));
            if found.listed {
                // What has the endpoint needs no tag in its place.
                self.waves.iter_mut().for_each(|wave| wave.retain(|other| *other != fallback));
            } else {
                self.later(fallback);
            }
        }
        let place = found.evidence.items.first().map(|item| item.place.clone());
        let all = Arc::make_mut(self.gathered.entry(ask).or_default());
        all.items.extend(found.evidence.items);
        all.carriers.extend(found.evidence.carriers);
        all.looked.extend(found.evidence.looked);
        if let Some(next) = found.next {
            self.onward.insert(ask, next);
            self.asked.remove(&ask);
            self.later(ask);
        }
        place
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
                self.running.push(Box::pin(async move { (ask, look(reading, wanted, source).await) }));
            }
        }
    }

    fn wanted(&mut self, ask: Ask) -> Option<Wanted<'a>> {
        let ((d, r, source), sought) = (ask, self.sought);
        let (digest, (repository, _)) = (sought.digests.get(d)?, sought.repositories.get(r)?);
        let bytes = sought.bytes.filter(|_| d == 0);
        let start = self.onward.get(&ask).copied().unwrap_or(0);
        let listed = match source {
            Source::Referrers if start == 0 => Some(Arc::clone(self.listed.entry((d, r)).or_default())),
            // The tag waits for the endpoint's word while the endpoint is asked beside it.
            Source::FallbackTag => self.listed.get(&(d, r)).cloned(),
            Source::Referrers | Source::SignatureTag | Source::AttestationTag => None,
        };
        let carriers = self.gathered.get(&ask).map(|evidence| evidence.carriers.as_slice()).unwrap_or_default();
        let known = carriers.iter().map(|carrier| carrier.digest.clone()).collect();
        Some(Wanted { repository, image: sought.image, digest, bytes, plan: sought.plan, listed, start, known })
    }
}

impl std::fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("sought", &self.sought).field("asked", &self.asked).finish_non_exhaustive()
    }
}
