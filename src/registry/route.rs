//! [`Route`]: the hosts that one decision may ask about a registry's content, in order, fixed for as long as it lasts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::Registry;
use super::error::RegistryError;
use super::host::{Host, fold};
use crate::image::Digest;

/// Whom a question may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The hosts that the image itself may come from.
    Image,
    /// These and, beyond them, the registry itself: mirrors often lack signatures.
    Signatures,
}

/// What is asked for, the same of every host.
pub(super) enum Wanted<'a> {
    Manifest { digest: &'a Digest, limit: u64 },
    Tag(&'a str),
    Blob { digest: &'a Digest, size: u64 },
    Referrers(&'a Digest),
}

/// One decision's hosts for one registry.
#[derive(Debug)]
pub(super) struct Route {
    /// Those of `hosts.toml` in its order, except that those that were slow not long ago come after the others; then
    /// the registry itself when it is not among them.
    hosts: Vec<Host>,
    /// How many of them are from `hosts.toml`.
    planned: usize,
    /// Folded authorities that the operator, or the reference by a loopback name, named: they may be local.
    pub(super) named: BTreeSet<String>,
}

impl Registry {
    /// The route for a registry as it is now.
    pub(super) async fn route(&self, registry: &str) -> Result<Arc<Route>, RegistryError> {
        let plan = self.hosts.plan(registry).await?;
        let now = self.clock.steady();
        let is_slow = |host: &&Host| self.state(&host.authority).patience.is_slow(now);
        let (slow, quick): (Vec<&Host>, Vec<&Host>) = plan.hosts.iter().partition(is_slow);
        let mut hosts: Vec<Host> = quick.into_iter().chain(slow).cloned().collect();
        let planned = hosts.len();
        let own = Host::default_for(registry);
        if self.options.signatures_upstream && !hosts.iter().any(|host| fold(&host.authority) == fold(&own.authority)) {
            hosts.push(own);
        }
        Ok(Arc::new(Route { hosts, planned, named: plan.named.clone() }))
    }
}

impl Route {
    /// The host with this number.
    pub(super) fn host(&self, at: usize) -> Option<&Host> {
        self.hosts.get(at)
    }

    /// The numbers of the hosts from `start` on that may be asked this.
    pub(super) fn numbers(&self, start: usize, scope: Scope, wanted: &Wanted<'_>) -> Vec<usize> {
        self.within(start, scope).filter(|at| self.host(*at).is_some_and(|host| wanted.may_come_from(host))).collect()
    }

    fn within(&self, start: usize, scope: Scope) -> Range<usize> {
        match scope {
            Scope::Image => start..self.planned,
            Scope::Signatures => start..self.hosts.len(),
        }
    }
}

impl Wanted<'_> {
    /// A tag's meaning is asked only of hosts that may say it (hosts.md, "capabilities").
    fn may_come_from(&self, host: &Host) -> bool {
        match self {
            Self::Manifest { .. } | Self::Blob { .. } | Self::Referrers(_) => host.pull,
            Self::Tag(_) => host.resolve,
        }
    }
}
