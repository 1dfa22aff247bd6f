//! [`Route`]: the hosts that one decision may ask about a registry's content, in order, fixed for as long as it lasts.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::referrers::Filter;
use super::registry::Registry;
use crate::image::Digest;
use crate::registry::error::RegistryError;
use crate::registry::hosts::host::Host;

/// What is asked for, the same of every host.
pub(in crate::registry) enum Wanted<'a> {
    Manifest { digest: &'a Digest, limit: u64 },
    Tag { tag: &'a str, limit: u64 },
    Blob { digest: &'a Digest, size: u64 },
    Referrers { digest: &'a Digest, filter: Filter },
}

/// One decision's hosts for one registry.
#[derive(Debug)]
pub(in crate::registry) struct Route {
    /// Those of `hosts.toml` in its order, except that those that were slow not long ago come after the others. The
    /// upstream is among them: the registry itself, or what the operator put in its place (`server`). Nobody else is asked;
    /// whoever puts a server of his own there does not want his images' names told elsewhere.
    hosts: Vec<Host>,
    /// Folded authorities that the operator, or the reference by a loopback name, named: they may be local.
    pub(in crate::registry) named: BTreeSet<String>,
}

impl Registry {
    /// The route for a registry as it is now.
    pub(in crate::registry) async fn route(&self, registry: &str) -> Result<Arc<Route>, RegistryError> {
        let plan = self.hosts.plan(registry).await?;
        let now = self.clock.steady();
        let is_slow = |host: &&Host| self.state(&host.authority).patience.is_slow(now);
        let (slow, quick): (Vec<&Host>, Vec<&Host>) = plan.hosts.iter().partition(is_slow);
        let hosts = quick.into_iter().chain(slow).cloned().collect();
        Ok(Arc::new(Route { hosts, named: plan.named.clone() }))
    }
}

impl Route {
    /// The host with this number.
    pub(in crate::registry) fn host(&self, at: usize) -> Option<&Host> {
        self.hosts.get(at)
    }

    /// The numbers of the hosts from `start` on that may be asked this.
    pub(in crate::registry) fn numbers(&self, start: usize, wanted: &Wanted<'_>) -> Vec<usize> {
        (start..self.hosts.len()).filter(|at| self.host(*at).is_some_and(|host| wanted.may_come_from(host))).collect()
    }
}

impl Wanted<'_> {
    /// A tag's meaning is asked only of hosts that may say it (hosts.md, "capabilities").
    fn may_come_from(&self, host: &Host) -> bool {
        match self {
            Self::Manifest { .. } | Self::Blob { .. } | Self::Referrers { .. } => host.pull,
            Self::Tag { .. } => host.resolve,
        }
    }
}

/// The grammar of tags (distribution-spec, "Pulling manifests"): nothing else goes into a URL (attack E2).
pub(in crate::registry) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}
