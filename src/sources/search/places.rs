//! What a place lists: manifests that refer to the subject (OCI distribution-spec 1.1, "Listing
//! Referrers" and "Referrers Tag Schema"), or the layers under one of cosign's older tags. Each
//! becomes a [`Backlog`]; [`look`] reads the first of it, and [`go_on`] the rest step by step.

use super::backlog::{Backlog, Candidate};
use super::lookup::{Lookup, PATIENCE, PlaceFindings, PlaceQuery};
use super::reading::{MAX_FALLBACK_INDEX_BYTES, MAX_LAYERS_MANIFEST_BYTES, Reading};
use super::signature_manifest::{Contents, filter, may_count};
use crate::aside;
use crate::evidence::{Carrier, Source};
use crate::registry::{List, Referrers};

/// Looks in one place, and reads the first of what is there.
pub async fn look(reading: &Reading, wanted: PlaceQuery<'_>, source: Source) -> PlaceFindings {
    let mut look = Lookup::new(reading, wanted);
    let mut has_list = false;
    let backlog = match source {
        Source::Referrers => {
            let backlog = look.endpoint().await;
            has_list = backlog.as_ref().is_some_and(|(_, is_list)| *is_list);
            backlog.map(|(backlog, _)| backlog)
        }
        Source::FallbackTag => look.fallback().await,
        Source::SignatureTag | Source::AttestationTag => look.layers(source).await,
    };
    let listed = backlog.as_ref().map(Backlog::listed).unwrap_or_default();
    let found = look.step(backlog).await;
    PlaceFindings { listed, has_list, is_first: true, ..found }
}

/// Reads on in a place.
pub async fn go_on(reading: &Reading, wanted: PlaceQuery<'_>, backlog: Backlog) -> PlaceFindings {
    Lookup::new(reading, wanted).step(Some(backlog)).await
}

impl Lookup<'_> {
    /// Asks the referrers endpoint for its list: what is to be read of it, and whether there is an
    /// endpoint.
    pub(crate) async fn endpoint(&mut self) -> Option<(Backlog, bool)> {
        let PlaceQuery { repository, digest, start, plan, .. } = self.wanted;
        let answer =
            self.reading.session().referrers_from(repository, digest, filter(plan), start).await;
        let listed = answer.map(|onward| self.reached(Source::Referrers, onward));
        let is_listed = matches!(listed, Ok(Referrers::Listed(_)));
        if let Some(word) = &self.wanted.listed {
            // Only this look says it, and once.
            let _ = word.set(is_listed);
        }
        match listed {
            Ok(Referrers::Listed(list)) => Some((self.referring(Source::Referrers, list), true)),
            // The fallback tag stands for it.
            Ok(Referrers::NoEndpoint) => None,
            Err(error) => {
                self.failed(Source::Referrers, &error);
                None
            }
        }
    }

    /// Looks under the fallback tag, unless the endpoint that is asked beside it has a list.
    pub(crate) async fn fallback(&mut self) -> Option<Backlog> {
        let (source, PlaceQuery { repository, digest, start, plan, .. }) =
            (Source::FallbackTag, &self.wanted);
        let tag = format!("sha256-{}", digest.hex());
        let session = self.reading.session();
        let tagged = session.tag_from(repository, &tag, (*start, MAX_FALLBACK_INDEX_BYTES)).await;
        let list = match &tagged {
            Ok(onward) => session.list_in(onward.answer.bytes.clone(), filter(*plan)).await,
            Err(_) => None,
        };
        if let Some(listed) = &self.wanted.listed
            && matches!(tokio::time::timeout(PATIENCE, listed.wait()).await, Ok(true))
        {
            self.dropped = true;
            return None;
        }
        match tagged {
            Ok(onward) => drop(self.reached(source, onward)),
            Err(error) => {
                self.failed(source, &error);
                return None;
            }
        }
        match list {
            Some(list) => {
                if let Some(limit) = list.cut {
                    self.unable(source, &format!("more than the limit of {limit}"));
                }
                Some(self.referring(source, list))
            }
            None => {
                self.unable(
                    source,
                    "what stands where the list of referrers should is no image index",
                );
                None
            }
        }
    }

    /// Looks under the tag of one of the older forms.
    pub(crate) async fn layers(&mut self, source: Source) -> Option<Backlog> {
        let ending = if source == Source::AttestationTag { "att" } else { "sig" };
        let tag = format!("sha256-{}.{ending}", self.wanted.digest.hex());
        let PlaceQuery { repository, start, plan, .. } = self.wanted;
        let within = (start, MAX_LAYERS_MANIFEST_BYTES);
        let fetched = match self.reading.session().tag_from(repository, &tag, within).await {
            Ok(onward) => self.reached(source, onward),
            Err(error) => {
                self.failed(source, &error);
                return None;
            }
        };
        if self.wanted.known.contains(&fetched.digest) {
            // Another host has the same.
            return None;
        }
        let (place, digest) = (self.place(source), fetched.digest);
        let contents = match self.reading.hold_parsed(repository, fetched.bytes).await {
            Ok(bytes) => {
                let (length, carrier) = (bytes.len(), Carrier { place, digest, bytes });
                aside::large(length, move || Contents::read(carrier, plan)).await
            }
            Err(outcome) => Err(outcome),
        };
        match contents {
            Ok(contents) => Some(Backlog::of_layers(source, self.at, contents)),
            Err(outcome) => {
                self.looked(source, outcome);
                None
            }
        }
    }

    /// What is to be read of a list.
    fn referring(&self, source: Source, list: List) -> Backlog {
        let (others, kind) = (list.others, list.other_kind.clone());
        let (plan, known) = (self.wanted.plan, &self.wanted.known);
        let may_count = |candidate: &Candidate| may_count(plan, &candidate.annotations);
        let candidates = list.into_iter().map(Candidate::of).filter(may_count);
        let candidates =
            candidates.filter(|candidate| !known.contains(&candidate.digest)).collect();
        let other = (others > 0).then(|| match kind {
            Some(kind) => format!("{others} of other kinds ({kind})"),
            None => format!("{others} of other kinds"),
        });
        Backlog::of_manifests(source, self.at, candidates, other)
    }
}
