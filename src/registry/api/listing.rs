//! Listing what refers to a manifest: page after page, and by kind where the list is long.
//!
//! The first page is asked for whole: it costs one request and is all that there is, as a rule.
//! Where it names a second the registry is asked for each wanted kind alone (distribution-spec 1.1,
//! "Listing Referrers", `artifactType`), so that any number of scans beside a signature costs
//! nothing. A registry that does not say that it filtered (`OCI-Filters-Applied`) is asked for the
//! other pages.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Url;

use super::answer::Answer;
use super::referrers::{self, Filter, Gathered, INDEX};
use crate::aside;
use crate::registry::error::{Budget, Malformed, RegistryError};
use crate::registry::http::host_request::HostRequest;
use crate::registry::http::reply::Reply;
use crate::registry::session::questions::Session;

/// The header by which a registry says what it filtered by.
const FILTERS: &str = "oci-filters-applied";
/// The filter by kind, in an address and in that header.
const BY_KIND: &str = "artifactType";

impl Session {
    /// What refers to the manifest of this question.
    pub(in crate::registry) async fn referrers_of(
        &self,
        request: &HostRequest<'_>,
        filter: &Filter,
    ) -> Result<Answer, RegistryError> {
        let first = self.send(request).await?;
        if no_endpoint(&first) {
            // "No such repository" says nothing about the endpoint.
            return match first.code() {
                Some("NAME_UNKNOWN") if first.status == 404 => first.success(request),
                _ => Ok(first),
            }
            .map(|_| Answer::NoEndpoint);
        }
        let mut pages = Pages::new(request, filter);
        let address = first.url.clone();
        let mut next = pages.take(first).await?;
        if next.is_some()
            && let Some(filtered) = self.of_each_kind(request, filter, &address).await?
        {
            pages.gathered.extend(filtered.gathered, filter);
            return pages.end(filtered.cut);
        }
        while let Some(address) = next {
            if pages.seen.len() >= self.pages_max() {
                return pages.end(Some(Budget::Pages));
            }
            next = pages.take(self.send_to(request, &address).await?).await?;
        }
        pages.end(None)
    }

    /// The lists of each wanted kind; none where the registry does not filter.
    async fn of_each_kind(
        &self,
        request: &HostRequest<'_>,
        filter: &Filter,
        address: &Url,
    ) -> Result<Option<Filtered>, RegistryError> {
        let Some((first, others)) = filter.types.split_first() else { return Ok(None) };
        let Some(mut all) = self.of_kind(request, filter, address, first).await? else {
            return Ok(None);
        };
        for list in
            join_all(others.iter().map(|kind| self.of_kind(request, filter, address, kind))).await
        {
            let Some(list) = list? else { return Ok(None) };
            all.gathered.extend(list.gathered, filter);
            all.cut = all.cut.or(list.cut);
        }
        Ok(Some(all))
    }

    async fn of_kind(
        &self,
        request: &HostRequest<'_>,
        filter: &Filter,
        address: &Url,
        kind: &str,
    ) -> Result<Option<Filtered>, RegistryError> {
        let mut address = address.clone();
        address.query_pairs_mut().append_pair(BY_KIND, kind);
        let mut pages = Pages::new(request, filter);
        let mut next = Some(address);
        while let Some(address) = next {
            if pages.seen.len() >= self.pages_max() {
                return Ok(Some(Filtered { gathered: pages.gathered, cut: Some(Budget::Pages) }));
            }
            let page = self.send_to(request, &address).await?;
            if page.status != 200 || !is_filtered(&page) {
                return Ok(None);
            }
            next = pages.take(page).await?;
        }
        Ok(Some(Filtered { gathered: pages.gathered, cut: None }))
    }

    fn pages_max(&self) -> usize {
        usize::try_from(self.registry().options.referrers_pages).unwrap_or(usize::MAX)
    }
}

/// What the lists of some kinds have, and which limit cut one of them.
struct Filtered {
    gathered: Gathered,
    cut: Option<Budget>,
}

/// The pages of one list so far.
struct Pages<'a> {
    request: &'a HostRequest<'a>,
    filter: &'a Filter,
    gathered: Gathered,
    seen: BTreeSet<String>,
}

impl<'a> Pages<'a> {
    fn new(request: &'a HostRequest<'a>, filter: &'a Filter) -> Self {
        Self { request, filter, gathered: Gathered::default(), seen: BTreeSet::new() }
    }

    /// Takes a page: the address of the next.
    async fn take(&mut self, reply: Reply) -> Result<Option<Url>, RegistryError> {
        let page = match reply.success(self.request) {
            // A page that another one names and that is not there is kept back: what is on it is
            // not absent.
            Err(RegistryError::NotFound { .. }) if !self.seen.is_empty() => {
                return Err(self.fault(Malformed::NextPage));
            }
            page => page?,
        };
        if page.media_type().as_deref() != Some(INDEX) {
            return Err(self.fault(Malformed::Referrers));
        }
        let (body, filter, mut gathered) =
            (page.body.clone(), *self.filter, std::mem::take(&mut self.gathered));
        let read = move || referrers::page(&body, &filter, &mut gathered).then_some(gathered);
        let read = aside::large(page.body.len(), read).await;
        self.gathered = read.ok_or_else(|| self.fault(Malformed::Referrers))?;
        self.seen.insert(page.url.to_string());
        match referrers::next(&page.headers, &page.url).map_err(|()| self.fault(Malformed::Link))? {
            Some(next) if self.seen.contains(next.as_str()) => Err(self.fault(Malformed::Loop)),
            // A page that was redirected elsewhere has no next page here: credentials would go
            // astray.
            Some(next) if !self.request.host.is_at(&next) => Err(self.fault(Malformed::Link)),
            next => Ok(next),
        }
    }

    fn end(self, cut: Option<Budget>) -> Result<Answer, RegistryError> {
        if let Some(limit) = cut.filter(|_| self.gathered.is_empty()) {
            // Never an empty list: another host's word about its endpoint would stand for it.
            return Err(RegistryError::BudgetSpent(limit));
        }
        let foreign = self.gathered.foreign > 0;
        if self.gathered.is_empty() && foreign {
            return Err(self.fault(Malformed::Algorithm));
        }
        Ok(Answer::Listed { list: self.gathered.list(cut), foreign })
    }

    fn fault(&self, what: Malformed) -> RegistryError {
        RegistryError::Malformed { host: self.request.authority(), what }
    }
}

/// Whether the registry says that a page has what was asked for alone.
fn is_filtered(page: &Reply) -> bool {
    let values = page.headers.get_all(FILTERS).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case(BY_KIND))
}

/// How registries without the endpoint answer: 404 by the specification; 400, 405 and 406 in the
/// wild; or a web page with status 200.
fn no_endpoint(reply: &Reply) -> bool {
    matches!(reply.status, 400 | 404 | 405 | 406)
        || (reply.status == 200 && reply.media_type().as_deref() != Some(INDEX))
}
