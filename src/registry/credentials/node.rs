//! [`NodeCredentials`]: the node's own credentials, by the source that has them. Which of them a
//! host is shown is for `session/secrets.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::docker_config::DockerConfigs;
use super::helper::Helpers;
use super::program::Programs;
use super::provider::Providers;
use super::{Credentials, Secret};
use crate::clock::Clock;
use crate::image::Repository;
use crate::registry::credential_fault::CredentialFault;
use crate::registry::options::Options;

/// Where the node's own credentials are.
pub(in crate::registry) struct NodeCredentials {
    docker: DockerConfigs,
    providers: Option<Providers>,
}

/// A source of the node's own credentials, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::registry) enum Source {
    Docker,
    Providers,
}

impl Source {
    /// All of them, in that order.
    pub(in crate::registry) const ALL: [Self; 2] = [Self::Docker, Self::Providers];
}

/// What a source gave.
#[derive(Default)]
pub(in crate::registry) struct Found {
    pub(in crate::registry) credentials: Vec<Credentials>,
    pub(in crate::registry) faults: Vec<CredentialFault>,
}

/// What is looked up once, however many ask at the same time.
pub(in crate::registry) type Once = Arc<OnceCell<Found>>;

/// What a session looked up, once per repository and source, and what was taken.
#[derive(Default)]
pub(in crate::registry) struct Looked {
    pub(in crate::registry) found: Mutex<BTreeMap<(Source, Repository), Once>>,
    /// By folded host and repository.
    pub(in crate::registry) taken: Mutex<BTreeMap<(String, Repository), Secret>>,
}

impl NodeCredentials {
    pub(in crate::registry) fn new(options: &Options, clock: Clock) -> Self {
        let programs = Arc::new(Programs::new(options.credential_env.clone(), clock));
        let time = Duration::from_millis(options.credential_helper_ms);
        let folders = options.credential_helper_dirs.clone();
        let providers = options
            .credential_provider_config
            .clone()
            .zip(options.credential_provider_bin_dir.clone());
        Self {
            docker: DockerConfigs::new(
                options.docker_configs.clone(),
                Helpers::new(folders, time, Arc::clone(&programs), clock),
            ),
            providers: providers
                .map(|(config, folder)| Providers::new(config, folder, programs, clock)),
        }
    }

    /// What a source has for a repository.
    pub(in crate::registry) async fn find(
        &self,
        source: Source,
        repository: &Repository,
        until: Instant,
    ) -> Found {
        let folded = repository.folded();
        let (secrets, faults) = match (source, &self.providers) {
            (Source::Docker, _) => self.docker.find(&folded, until).await,
            (Source::Providers, Some(providers)) => providers.find(&folded, until).await,
            (Source::Providers, None) => Default::default(),
        };
        for fault in &faults {
            tracing::warn!(%fault, %repository, "a source of credentials gave none");
        }
        let credentials =
            secrets.into_iter().map(|secret| Credentials::new(folded.host(), secret)).collect();
        Found { credentials, faults }
    }
}
