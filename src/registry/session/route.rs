//! [`Route`]: the hosts that one decision may ask about a registry's content, in order, fixed for
//! as long as it lasts.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::registry::Registry;
use crate::registry::error::RegistryError;
use crate::registry::hosts::host::Host;

/// One decision's hosts for one registry.
#[derive(Debug)]
pub(in crate::registry) struct Route {
    /// Those of `hosts.toml` in its order, except that those that were slow not long ago come after
    /// the others. The upstream is among them: the registry itself, or what the operator put in its
    /// place (`server`). Nobody else is asked; whoever puts a server of his own there does not want
    /// his images' names told elsewhere.
    hosts: Vec<Host>,
    /// Folded authorities that the operator, or the reference by a loopback name, named: they may
    /// be local.
    pub(in crate::registry) named: BTreeSet<String>,
}

impl Registry {
    /// The route for a registry as it is now.
    pub(in crate::registry) async fn route(
        &self,
        registry: &str,
    ) -> Result<Arc<Route>, RegistryError> {
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

    /// The numbers of the hosts from `start` on that may be asked.
    pub(in crate::registry) fn numbers(
        &self,
        start: usize,
        may_be_asked: impl Fn(&Host) -> bool,
    ) -> Vec<usize> {
        (start..self.hosts.len()).filter(|at| self.host(*at).is_some_and(&may_be_asked)).collect()
    }
}
