//! Whose secrets a session shows to a host.
//!
//! The order is the kubelet's (its `EnsureImageExists`): those of the request alone where it has
//! some for the image's registry; else docker `config.json` files, then credential provider
//! plugins, one secret after the other until the registry takes one. Plugins are asked only when
//! nothing before them was taken.

use std::sync::Arc;

use reqwest::Url;

use super::questions::Session;
use super::registry::Registry;
use crate::image::Repository;
use crate::registry::authority::fold;
use crate::registry::credential_fault::CredentialFault;
use crate::registry::credentials::node::Source;
use crate::registry::credentials::{Credentials, Secret};
use crate::registry::error::{Presented, RegistryError};
use crate::registry::hosts::host::Host;
use crate::registry::http::host_request::HostRequest;
use crate::registry::http::reply::Reply;
use crate::registry::lock::lock;

/// Most secrets that are tried for one question: each refused one costs up to three requests, or
/// five where a registry calls the tokens that it gives invalid.
const TRIED_MAX: usize = 4;

impl Registry {
    /// Whether a secret that was given for `registry` may be shown to a host: it is that registry,
    /// or the operator allows it (attack E1, fact P18).
    fn may_have(&self, registry: &str, host: &Host) -> bool {
        let mut allowed =
            self.options.credential_hosts.iter().filter(|(name, _)| fold(name) == fold(registry));
        host.is_called(registry)
            || allowed.any(|(_, hosts)| hosts.iter().any(|named| host.is_called(named)))
    }

    /// The server address that a pull's secret must bear which bears none, since containerd shows
    /// such a one to every host that it asks (fact P18). None where every host may have it: then it
    /// goes on as it came.
    ///
    /// It is the last of the hosts that may have it, which is the registry or what stands for it;
    /// where none may, the registry's own, so that nobody gets it. containerd compares it with the
    /// host of the address that it asks, letter by letter (`ParseAuth`), and wants a URL.
    pub async fn secret_address(&self, repository: &Repository) -> Option<String> {
        let registry = repository.host();
        let address = |host: &Host| format!("https://{}", host.authority);
        let Ok(plan) = self.hosts.plan(registry).await else {
            return Some(address(&Host::default_for(registry)));
        };
        let may = |host: &&Host| self.may_have(registry, host);
        if plan.hosts.len() > 1 && plan.hosts.iter().all(|host| may(&host)) {
            return None;
        }
        Some(
            plan.hosts
                .iter()
                .rev()
                .find(may)
                .map_or_else(|| address(&Host::default_for(registry)), address),
        )
    }
}

impl Session {
    /// Asks with the secrets that may be shown to the host, one after the other until one is taken.
    pub(in crate::registry) async fn send_to(
        &self,
        request: &HostRequest<'_>,
        url: &Url,
    ) -> Result<Reply, RegistryError> {
        if let Some(credentials) = self.access().credentials()
            && fold(credentials.host()) == fold(request.repository.host())
        {
            let asked =
                self.send_authenticated(request, url, self.shown(credentials, request.host)).await;
            return asked.map_err(|error| self.withheld(error, request));
        }
        let place = (request.host.place(), request.repository.clone());
        let taken = lock(&self.looked().taken).get(&place).cloned();
        if let Some(secret) = taken {
            return self.send_authenticated(request, url, Some(secret)).await;
        }
        let (mut refused, mut tried) = (None, 0);
        for source in Source::ALL {
            for secret in self.secrets(source, request).await {
                if tried == TRIED_MAX {
                    break;
                }
                tried += 1;
                match self.send_authenticated(request, url, Some(secret.clone())).await {
                    // Some say no with a 404: another secret may know more, as for the kubelet.
                    Err(error @ RegistryError::Unauthorized { .. }) => refused = Some(error),
                    Ok(reply) => {
                        lock(&self.looked().taken).insert(place, secret);
                        return Ok(reply);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        match refused {
            Some(error) => Err(self.with_fault(error, request.repository)),
            None => {
                let asked = self.send_authenticated(request, url, None).await;
                asked.map_err(|error| {
                    self.with_fault(self.withheld(error, request), request.repository)
                })
            }
        }
    }

    /// The secret when it may be shown to a host: given for it, or allowed for it by the operator
    /// (attack E1, fact P18).
    fn shown(&self, credentials: &Credentials, host: &Host) -> Option<Secret> {
        self.registry().may_have(credentials.host(), host).then(|| credentials.secret().clone())
    }

    /// What a source has that may be shown to the host. Waits no longer than half of the time that
    /// is left: the registry's own answer is worth more than none.
    async fn secrets(&self, source: Source, request: &HostRequest<'_>) -> Vec<Secret> {
        let key = (source, request.repository.clone());
        let cell = Arc::clone(lock(&self.looked().found).entry(key).or_default());
        let found = cell.get_or_init(|| async {
            let until = self.now() + self.left().unwrap_or_default() / 2;
            self.registry().node.find(source, request.repository, until).await
        });
        found
            .await
            .credentials
            .iter()
            .filter_map(|credentials| self.shown(credentials, request.host))
            .collect()
    }

    /// A refusal of access to who showed nothing says why, when there was something to show.
    fn withheld(&self, error: RegistryError, request: &HostRequest<'_>) -> RegistryError {
        let RegistryError::Unauthorized { host, status, credentials: Presented::Nothing } = error
        else {
            return error;
        };
        let registry = fold(request.repository.host());
        let found = lock(&self.looked().found);
        let on_node = Source::ALL
            .into_iter()
            .filter_map(|source| found.get(&(source, request.repository.clone()))?.get())
            .any(|found| !found.credentials.is_empty());
        let credentials = match self.access().credentials() {
            Some(given) if fold(given.host()) == registry => Presented::NotForMirror { registry },
            _ if on_node => Presented::NotForMirror { registry },
            Some(given) => Presented::ForAnother { registry: given.host().to_owned() },
            None => Presented::Nothing,
        };
        RegistryError::Unauthorized { host, status, credentials }
    }

    /// A refusal of access says which source of credentials failed, when one did.
    fn with_fault(&self, error: RegistryError, repository: &Repository) -> RegistryError {
        let RegistryError::Unauthorized {
            host,
            status,
            credentials:
                credentials @ (Presented::Nothing | Presented::Refused | Presented::ForAnother { .. }),
        } = error
        else {
            return error;
        };
        let found = lock(&self.looked().found);
        let cells = Source::ALL.map(|source| found.get(&(source, repository.clone())));
        let fault = cells
            .into_iter()
            .flatten()
            .filter_map(|cell| cell.get())
            .flat_map(|found| &found.faults)
            .next();
        match fault.cloned() {
            Some(CredentialFault { source, why }) => {
                RegistryError::NoCredentials { host, status, source, why }
            }
            None => RegistryError::Unauthorized { host, status, credentials },
        }
    }
}
