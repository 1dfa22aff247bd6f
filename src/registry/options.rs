//! [`Options`] of the registry room, and the limits that are not options, each with its reason.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::authority::is_authority;
use super::error::RegistryError;
use super::proxy_url::ProxyUrl;
use super::variables::Variables;
use crate::share::Rules;

/// Longest manifest or index, bytes: containerd refuses manifests above 4 MiB (`MaxManifestSize`),
/// and so do most registries on push (distribution-spec, "Pushing Manifests").
pub(super) const MANIFEST_MAX: u64 = 4 << 20;
/// Longest page of a referrers list, bytes: it is an index and bound like one.
pub(super) const REFERRERS_PAGE_MAX: u64 = MANIFEST_MAX;
/// Longest answer of a token service, bytes. Real tokens are 1 to 8 KiB.
pub(super) const TOKEN_MAX: u64 = 64 << 10;
/// How much of an error's body is read to find its code, bytes.
pub(super) const ERROR_BODY_MAX: u64 = 8 << 10;
/// Most redirects of one request: registries use one (blobs to object storage), some two.
pub(super) const REDIRECTS_MAX: u32 = 5;
/// Header lines of an answer, hyper's own default.
pub(super) const HEADER_LINES_MAX: usize = 100;
/// Header bytes of an answer over HTTP/2; over HTTP/1 hyper's buffer ends at about 400 KiB.
pub(super) const HEADER_BYTES_MAX: u32 = 64 << 10;
/// What is reserved for a body whose length nobody says, bytes, before it turns out to be longer:
/// signatures, manifests and lists are shorter as a rule.
pub(super) const FIRST: usize = 16 << 10;
/// What a request may take while others wait: an answer is there in a tenth of it as a rule, and a
/// connection to the other side of the world takes a second.
const REQUEST_PATIENCE: Duration = Duration::from_secs(3);
/// Requests that may wait for their turn: all of the largest decisions that may be under way by
/// default.
const QUEUE_MAX: usize = 64 << 10;
/// Largest `hosts.toml`, docker `config.json` or certificate file, bytes: written by hand, a few
/// KiB.
pub(super) const FILE_MAX: u64 = 1 << 20;

/// Options of the registry client, the `[registry]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Folders in containerd's `certs.d` layout, as in its `config_path`; the first one that has a
    /// folder for the host (or `_default`) counts. Default: `/etc/containerd/certs.d`.
    pub certs_dirs: Vec<PathBuf>,
    /// Docker `config.json` files that are looked into, in order, when a request brings no
    /// credentials of its own. Default: where the kubelet looks (`/var/lib/kubelet`, root's home,
    /// the root folder). Credential helpers that they name (`credsStore`, `credHelpers`) are run.
    pub docker_configs: Vec<PathBuf>,
    /// Folders in which credential helpers (`docker-credential-NAME`) are looked for; the
    /// environment's `PATH` is not. A helper that others than root could change is not run. Empty:
    /// none is run. Default: `/usr/local/bin` and `/usr/bin`, where packages and people put them.
    pub credential_helper_dirs: Vec<PathBuf>,
    /// Milliseconds that one run of a credential helper may take; then it is killed. Default 10000.
    pub credential_helper_ms: u64,
    /// The kubelet's `--image-credential-provider-config`: a file, or a folder of them, that names
    /// plugins and the images that they are for. Default: none.
    pub credential_provider_config: Option<PathBuf>,
    /// The kubelet's `--image-credential-provider-bin-dir`: where these plugins are. Default: none.
    pub credential_provider_bin_dir: Option<PathBuf>,
    /// Environment variables for helpers and plugins, beside `PATH` and `HOME`; a plugin's own
    /// `env` wins. The gate's environment is not passed on. Default: none.
    pub credential_env: Variables,
    /// Proxy for every request (`http://host:port`, perhaps with `user:password@`), unless
    /// `hosts.toml` names one; then the next three say nothing. Default: none. Behind a proxy the
    /// proxy resolves names, so the refusal of local addresses by name is its own to make.
    pub proxy: Option<ProxyUrl>,
    /// Proxy for requests by plain HTTP. Default: `HTTP_PROXY` of the environment; an empty value
    /// for none.
    pub http_proxy: Option<ProxyUrl>,
    /// Proxy for requests by HTTPS. Default: `HTTPS_PROXY` of the environment; an empty value for
    /// none.
    pub https_proxy: Option<ProxyUrl>,
    /// Hosts that are asked without `http_proxy` and `https_proxy`, with commas between: names,
    /// which stand for all below them too, `.name` for those below alone, addresses, networks
    /// (`10.0.0.0/8`), with a port or without, or `*`. This node is always asked directly. Default:
    /// `NO_PROXY` of the environment.
    pub no_proxy: Option<String>,
    /// Token services that may receive the credentials of a registry, beside the registry's own
    /// host: registry host -> hosts. Docker Hub's and GitLab's are known. Default: none.
    pub token_realms: BTreeMap<String, Vec<String>>,
    /// Hosts that may receive the credentials given for a registry, beside that registry: registry
    /// host -> hosts (mirrors that check the same accounts). Default: none; containerd must then
    /// agree (fact P18).
    pub credential_hosts: BTreeMap<String, Vec<String>>,
    /// Hosts (`name`, `name:port` or an address) that may be on this node or its link: loopback,
    /// link-local and metadata addresses. What `hosts.toml` names, and a reference to `localhost`
    /// itself, needs no entry. Default: none.
    pub allow_local_hosts: Vec<String>,
    /// Whether signatures are also looked for beyond a host that has some: when those do not
    /// suffice, at the hosts after it, in the end at the upstream. Default true: mirrors often lack
    /// signatures. With false the first host that has any has the last word; one that has none
    /// sends the question on all the same.
    pub signatures_upstream: bool,
    /// How often a question is asked again after 408, 425, 429, 500, 502, 503, 504 or a connection
    /// that was refused or broken, when no other host has the answer. Waits lie between, and all of
    /// it within the decision's time and number of requests. Default 3; 0 for never.
    pub retries: u32,
    /// Milliseconds that one decision may spend on registries. Default 45000: well under the
    /// kubelet's two minutes for CreateContainer (fact P11).
    pub session_ms: u64,
    /// Milliseconds for one request and its answer; a host that takes longer is unreachable and the
    /// next one is asked. Default 15000.
    pub request_ms: u64,
    /// Milliseconds to connect, name resolution and TLS included. Default 5000; `dial_timeout` in
    /// `hosts.toml` wins.
    pub connect_ms: u64,
    /// Requests of one decision, token requests included. Default 4096: a thousand bundles of one
    /// image take two each, and as many again are left for the other places, tokens and mirrors.
    pub session_requests: u32,
    /// Bytes of all answers of one decision. Default 67108864 (64 MiB): a thousand keyless
    /// signatures with their manifests and the lists that name them take half. They are not held
    /// together: what was judged and does not help is dropped.
    pub session_bytes: u64,
    /// Pages of one referrers list. Default 64: a thousand entries in the shortest pages that
    /// registries have (some 20 to 50), unless the registry filters by kind.
    pub referrers_pages: u32,
    /// Entries of one referrers list that may be signatures or attestations; those of other kinds
    /// do not count. Default 2048, of more the last ones.
    pub referrers_entries: usize,
    /// Requests in flight, all hosts together. Default 32. One host has at most a quarter of them
    /// while others wait, and one that let a request run for 3 s has one.
    pub concurrent_requests: usize,
    /// Requests in flight to one host. Default 8 (attack E10).
    pub concurrent_requests_per_host: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            certs_dirs: vec![PathBuf::from("/etc/containerd/certs.d")],
            docker_configs: [
                "/var/lib/kubelet/config.json",
                "/root/.docker/config.json",
                "/.docker/config.json",
            ]
            .map(PathBuf::from)
            .to_vec(),
            credential_helper_dirs: ["/usr/local/bin", "/usr/bin"].map(PathBuf::from).to_vec(),
            credential_helper_ms: 10_000,
            credential_provider_config: None,
            credential_provider_bin_dir: None,
            credential_env: Variables::default(),
            proxy: None,
            http_proxy: None,
            https_proxy: None,
            no_proxy: None,
            token_realms: BTreeMap::new(),
            credential_hosts: BTreeMap::new(),
            allow_local_hosts: Vec::new(),
            signatures_upstream: true,
            retries: 3,
            session_ms: 45_000,
            request_ms: 15_000,
            connect_ms: 5_000,
            session_requests: 4096,
            session_bytes: 64 << 20,
            referrers_pages: 64,
            referrers_entries: 2048,
            concurrent_requests: 32,
            concurrent_requests_per_host: 8,
        }
    }
}

impl Options {
    /// How requests in flight are shared.
    pub(super) fn shares_of_requests(&self) -> Rules {
        let (total, per_host) = (self.concurrent_requests, self.concurrent_requests_per_host);
        Rules { total, per_host, queue: QUEUE_MAX, patience: REQUEST_PATIENCE }
    }

    /// Refuses what cannot work; every limit must be at least one.
    pub(super) fn check(&self) -> Result<(), RegistryError> {
        self.check_programs()?;
        let counts = [
            ("session_ms", self.session_ms > 0),
            ("request_ms", self.request_ms > 0),
            ("connect_ms", self.connect_ms > 0),
            ("session_requests", self.session_requests > 0),
            ("session_bytes", self.session_bytes > 0),
            ("referrers_pages", self.referrers_pages > 0),
            ("referrers_entries", self.referrers_entries > 0),
            ("concurrent_requests", self.concurrent_requests > 0),
            ("concurrent_requests_per_host", self.concurrent_requests_per_host > 0),
        ];
        if let Some((option, _)) = counts.iter().find(|(_, fine)| !fine) {
            return Err(RegistryError::Options { option, problem: "must be at least 1" });
        }
        let pairs = |map: &BTreeMap<String, Vec<String>>| {
            map.iter()
                .flat_map(|(host, others)| std::iter::once(host).chain(others))
                .all(|host| is_authority(host))
        };
        let not_a_host =
            "needs hosts: a name or an address, with a port where it is not the usual one";
        if !pairs(&self.token_realms) {
            return Err(RegistryError::Options { option: "token_realms", problem: not_a_host });
        }
        if !pairs(&self.credential_hosts) {
            return Err(RegistryError::Options { option: "credential_hosts", problem: not_a_host });
        }
        if !self.allow_local_hosts.iter().all(|host| is_authority(host)) {
            return Err(RegistryError::Options {
                option: "allow_local_hosts",
                problem: not_a_host,
            });
        }
        Ok(())
    }

    fn check_programs(&self) -> Result<(), RegistryError> {
        let fault = |option, problem| Err(RegistryError::Options { option, problem });
        if self.credential_helper_ms == 0 {
            return fault("credential_helper_ms", "must be at least 1");
        }
        if !self.credential_helper_dirs.iter().all(|folder| folder.is_absolute()) {
            return fault("credential_helper_dirs", "needs absolute paths");
        }
        match (&self.credential_provider_config, &self.credential_provider_bin_dir) {
            (None, None) => {}
            (Some(config), Some(folder)) if config.is_absolute() && folder.is_absolute() => {}
            (Some(_), None) => {
                return fault(
                    "credential_provider_bin_dir",
                    "must be set where a configuration is",
                );
            }
            (None, Some(_)) => {
                return fault(
                    "credential_provider_config",
                    "must be set where a folder of plugins is",
                );
            }
            (Some(_), Some(_)) => {
                return fault("credential_provider_config", "and its folder need absolute paths");
            }
        }
        if !self.credential_env.is_usable() {
            return fault("credential_env", "has a variable that no program can be given");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_fine_and_limits_of_zero_are_not() {
        assert_eq!(Options::default().check(), Ok(()));
        let options = Options { session_requests: 0, ..Options::default() };
        assert!(matches!(
            options.check(),
            Err(RegistryError::Options { option: "session_requests", .. })
        ));
        let options =
            Options { allow_local_hosts: vec!["http://x".to_owned()], ..Options::default() };
        assert!(matches!(
            options.check(),
            Err(RegistryError::Options { option: "allow_local_hosts", .. })
        ));
    }

    #[test]
    fn programs_are_configured_whole_or_not_at_all() {
        let fault = |text: &str| match toml::from_str::<Options>(text).unwrap().check() {
            Err(RegistryError::Options { option, .. }) => option,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(fault("credential_helper_ms = 0"), "credential_helper_ms");
        assert_eq!(fault("credential_helper_dirs = ['bin']"), "credential_helper_dirs");
        assert_eq!(fault("credential_provider_config = '/a'"), "credential_provider_bin_dir");
        assert_eq!(fault("credential_provider_bin_dir = '/a'"), "credential_provider_config");
        assert_eq!(
            fault("credential_provider_bin_dir = '/a'\ncredential_provider_config = 'b'"),
            "credential_provider_config"
        );
        assert_eq!(fault("credential_env = {LD_PRELOAD = 'x'}"), "credential_env");
        let fine = "credential_provider_bin_dir = '/a'\ncredential_provider_config = \
            '/b'\ncredential_env = {AWS_REGION = 'x'}";
        assert_eq!(toml::from_str::<Options>(fine).unwrap().check(), Ok(()));
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(toml::from_str::<Options>("session_ms = 5\n").is_ok());
        assert!(toml::from_str::<Options>("session_sm = 5\n").is_err());
    }
}
