//! [`Providers`]: credentials from the kubelet's credential provider plugins, by their protocol
//! (`credentialprovider.kubelet.k8s.io/v1`, `CredentialProviderRequest` and `-Response`) and
//! remembered as they say.
//!
//! The configuration is read at every look, so that a new one counts at once. As the kubelet does
//! it (its `pkg/credentialprovider/plugin/plugin.go`): every plugin whose `matchImages` fit is
//! asked, the answers are one collection, the earlier plugin first where keys are the same; what an
//! answer says of its life counts before `defaultCacheDuration`, zero means that it is not kept. A
//! failure is kept for [`FAILED_LIFE`].

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lru::LruCache;
use serde::Deserialize;
use zeroize::Zeroize as _;

use super::Secret;
use super::pattern::Pattern;
use super::program::{Programs, Run, find};
use super::provider_config::{Provider, duration, read};
use crate::clock::Clock;
use crate::image::Repository;
use crate::registry::credential_fault::{CredentialFault, CredentialWhy};
use crate::registry::http::single_flight::Flights;
use crate::registry::lock::lock;

/// The kubelet's own limit for one run of a plugin.
const RUN_MAX: Duration = Duration::from_secs(60);
/// How long a failure is an answer, so that a hundred pods do not start a hundred failing plugins.
pub(in crate::registry) const FAILED_LIFE: Duration = Duration::from_secs(10);
/// Answers that are kept at once.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// What an answer of a plugin holds.
type Keys = Arc<Vec<(Pattern, Secret)>>;
type KeptAnswers = Mutex<LruCache<Kind, (Keys, Instant)>>;

/// What is known of the plugins.
pub(in crate::registry) struct Providers {
    config: PathBuf,
    folder: PathBuf,
    clock: Clock,
    programs: Arc<Programs>,
    /// Runs under way, and failures.
    runs: Flights<([u8; 32], String), Result<Keys, CredentialFault>>,
    kept: Arc<KeptAnswers>,
}

/// For what an answer is good: `cacheKeyType`, with the plugin's fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Image([u8; 32], String),
    Registry([u8; 32], String),
    Global([u8; 32]),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    kind: String,
    api_version: String,
    cache_key_type: String,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl Providers {
    pub(in crate::registry) fn new(
        config: PathBuf,
        folder: PathBuf,
        programs: Arc<Programs>,
        clock: Clock,
    ) -> Self {
        let kept = Arc::new(Mutex::new(LruCache::new(KEPT_MAX)));
        Self { config, folder, clock, programs, runs: Flights::new(clock), kept }
    }

    /// The secrets for a (folded) repository in the order in which the kubelet tries them, and what
    /// failed. Waits for plugins until `until`.
    pub(in crate::registry) async fn find(
        &self,
        repository: &Repository,
        until: Instant,
    ) -> (Vec<Secret>, Vec<CredentialFault>) {
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || read(&config)).await;
        let providers = match read {
            Ok(Ok(providers)) => providers,
            Ok(Err(fault)) => return (Vec::new(), vec![fault]),
            Err(_) => return (Vec::new(), Vec::new()),
        };
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for provider in providers {
            if !provider.images.iter().any(|image| image.fits(repository)) {
                continue;
            }
            match self.ask(provider, repository, until).await {
                Ok(answer) => keys
                    .extend(answer.iter().filter(|(pattern, _)| pattern.fits(repository)).cloned()),
                Err(fault) => faults.push(fault),
            }
        }
        // The sort keeps the order of plugins where keys are the same.
        keys.sort_by(|(one, _), (other, _)| other.cmp(one));
        (keys.into_iter().map(|(_, secret)| secret).collect(), faults)
    }

    async fn ask(
        &self,
        provider: Provider,
        repository: &Repository,
        until: Instant,
    ) -> Result<Keys, CredentialFault> {
        let (id, name, image) = (provider.id, provider.name.clone(), repository.to_string());
        if provider.needs_service_account {
            return Err(CredentialFault::new(name, CredentialWhy::ServiceAccount));
        }
        if let Some(known) = self.known(id, repository) {
            return Ok(known);
        }
        let (programs, kept, clock, folder) =
            (Arc::clone(&self.programs), Arc::clone(&self.kept), self.clock, self.folder.clone());
        let asked = repository.clone();
        let question = async move {
            match run(&programs, folder, &provider, &asked).await {
                Ok(answer) => {
                    let keys = Arc::new(answer.keys);
                    if !answer.life.is_zero() {
                        lock(&kept)
                            .put(answer.kind, (Arc::clone(&keys), clock.steady() + answer.life));
                    }
                    (Ok(keys), clock.steady())
                }
                Err(why) => (
                    Err(CredentialFault::new(provider.name.as_str(), why)),
                    clock.steady() + FAILED_LIFE,
                ),
            }
        };
        let answer = self.runs.get(&(id, image), until, question).await;
        answer.unwrap_or_else(|| Err(CredentialFault::new(name, CredentialWhy::Slow)))
    }

    fn known(&self, id: [u8; 32], repository: &Repository) -> Option<Keys> {
        let mut kept = lock(&self.kept);
        let now = self.clock.steady();
        // What has ended goes at once: it holds secrets.
        let gone: Vec<Kind> = kept
            .iter()
            .filter(|(_, (_, until))| *until <= now)
            .map(|(kind, _)| kind.clone())
            .collect();
        for kind in gone {
            kept.pop(&kind);
        }
        let kinds = [
            Kind::Image(id, repository.to_string()),
            Kind::Registry(id, repository.host().to_owned()),
            Kind::Global(id),
        ];
        kinds.iter().find_map(|kind| kept.get(kind).map(|(keys, _)| Arc::clone(keys)))
    }
}

/// An answer that can be used.
struct Answered {
    keys: Vec<(Pattern, Secret)>,
    kind: Kind,
    life: Duration,
}

async fn run(
    programs: &Programs,
    folder: PathBuf,
    provider: &Provider,
    repository: &Repository,
) -> Result<Answered, CredentialWhy> {
    let name = provider.name.clone();
    let found = tokio::task::spawn_blocking(move || find(&[folder], &name)).await;
    let path = found.unwrap_or(Err(CredentialWhy::Missing))?;
    let request = serde_json::json!({
        "kind": "CredentialProviderRequest",
        "apiVersion": provider.protocol,
        "image": repository.to_string(),
    });
    let input = format!("{request}\n");
    tracing::debug!(plugin = provider.name, image = %repository, "asking a credential provider");
    let ended = programs
        .run(&Run {
            registry: repository.host(),
            path: &path,
            args: &provider.args,
            env: &provider.env,
            input: input.as_bytes(),
            time: RUN_MAX,
        })
        .await?;
    match ended.code {
        Some(0) => answered(&ended.output, provider, repository).ok_or(CredentialWhy::Answer),
        code => Err(CredentialWhy::Exit(code)),
    }
}

fn answered(output: &[u8], provider: &Provider, repository: &Repository) -> Option<Answered> {
    let answer: Answer = serde_json::from_slice(output).ok()?;
    if answer.kind != "CredentialProviderResponse" || answer.api_version != provider.protocol {
        return None;
    }
    let kind = match answer.cache_key_type.as_str() {
        "Image" => Kind::Image(provider.id, repository.to_string()),
        "Registry" => Kind::Registry(provider.id, repository.host().to_owned()),
        "Global" => Kind::Global(provider.id),
        _ => return None,
    };
    let life = match answer.cache_duration.as_deref() {
        None => provider.life,
        Some(text) => duration(text)?,
    };
    let mut keys = Vec::new();
    for (key, entry) in answer.auth.unwrap_or_default() {
        // Nobody in particular: as good as no entry.
        if !entry.username.is_empty() {
            keys.push((Pattern::new(&key), Secret::password(&entry.username, &entry.password)?));
        }
    }
    Some(Answered { keys, kind, life })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::*;
    use crate::registry::credentials::program::script;

    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    const CLOCK: Clock = Clock::new(SystemTime::now, Instant::now);

    fn later() -> Instant {
        CLOCK.steady() + Duration::from_secs(60)
    }

    /// A folder with a configuration of plugins and scripts that note how often they ran.
    struct Rig {
        folder: tempfile::TempDir,
        providers: Providers,
    }

    fn rig(plugins: &[(&str, &str, &str)]) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let mut config =
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n"
                .to_owned();
        for (name, images, body) in plugins {
            config.push_str(&format!(
                "- name: {name}\n  matchImages: [{images}]\n  defaultCacheDuration: 1h\n  \
                 apiVersion: credentialprovider.kubelet.k8s.io/v1\n"
            ));
            let log = folder.path().join(format!("{name}.log"));
            script(folder.path(), name, &format!("cat >> {}\n{body}", log.display()));
        }
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let programs =
            Arc::new(Programs::new(crate::registry::variables::Variables::default(), CLOCK));
        let providers = Providers::new(file, folder.path().to_owned(), programs, CLOCK);
        Rig { folder, providers }
    }

    fn says(kind: &str, more: &str, auth: &str) -> String {
        format!(
            r#"echo '{{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"{kind}"{more},"auth":{auth}}}'"#
        )
    }

    impl Rig {
        async fn users(&self, image: &str) -> Vec<String> {
            let (secrets, faults) =
                self.providers.find(&Repository::parse(image).unwrap(), later()).await;
            assert_eq!(faults, []);
            let user = |secret: &Secret| match secret {
                Secret::Password { username, .. } => username.clone(),
                Secret::Refresh(_) | Secret::Bearer(_) => panic!("not a password"),
            };
            secrets.iter().map(user).collect()
        }

        async fn why(&self, image: &str) -> CredentialWhy {
            let (secrets, faults) =
                self.providers.find(&Repository::parse(image).unwrap(), later()).await;
            assert_eq!(secrets, []);
            let [fault] = faults.try_into().unwrap();
            fault.why
        }

        fn asked(&self, name: &str) -> Vec<String> {
            let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.log")))
                .unwrap_or_default();
            log.lines().map(str::to_owned).collect()
        }
    }

    #[tokio::test]
    async fn a_plugin_is_asked_as_the_kubelet_asks() {
        let auth = r#"{"*.a.example":{"username":"u","password":"p"}}"#;
        let rig = rig(&[("plugin", "'*.a.example'", &says("Image", "", auth))]);
        assert_eq!(rig.users("r.a.example/team/app").await, ["u"]);
        let request = r#"{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"r.a.example/team/app","kind":"CredentialProviderRequest"}"#;
        assert_eq!(rig.asked("plugin"), [request]);
        assert_eq!(rig.users("r.b.example/team/app").await, [""; 0]);
        assert_eq!(rig.asked("plugin").len(), 1, "matchImages");
    }

    #[tokio::test]
    async fn answers_are_kept_as_they_say() {
        let auth = r#"{"r.example":{"username":"u","password":"p"}}"#;
        for (kind, more, runs) in [
            ("Image", "", 2),
            ("Registry", "", 1),
            ("Global", "", 1),
            ("Image", r#","cacheDuration":"6h""#, 2),
            ("Registry", r#","cacheDuration":"0s""#, 4),
        ] {
            let rig = rig(&[("plugin", "r.example", &says(kind, more, auth))]);
            for image in ["r.example/a", "r.example/b", "r.example/a", "r.example/b"] {
                assert_eq!(rig.users(image).await, ["u"]);
            }
            assert_eq!(rig.asked("plugin").len(), runs, "{kind} {more}");
        }
    }

    #[tokio::test]
    async fn one_run_for_those_who_ask_at_once() {
        let auth = r#"{"r.example":{"username":"u","password":"p"}}"#;
        let slow = format!("sleep 0.2\n{}", says("Image", r#","cacheDuration":"0s""#, auth));
        let rig = rig(&[("plugin", "r.example", &slow)]);
        let both =
            futures_util::future::join(rig.users("r.example/a"), rig.users("r.example/a")).await;
        assert_eq!(both, (vec!["u".to_owned()], vec!["u".to_owned()]));
        assert_eq!(rig.asked("plugin").len(), 1);
    }

    #[tokio::test]
    async fn several_plugins_are_one_collection_the_longest_key_first() {
        let one = r#"{"r.example":{"username":"one","password":"p"},"*.example":{"username":"any","password":"p"}}"#;
        let two = r#"{"r.example":{"username":"two","password":"p"},"r.example/team":{"username":"team","password":"p"},"s.example":{"username":"s","password":"p"}}"#;
        let rig = rig(&[
            ("one", "r.example", &says("Global", "", one)),
            ("two", "'*.example'", &says("Global", "", two)),
        ]);
        assert_eq!(rig.users("r.example/team/app").await, ["team", "one", "two", "any"]);
        assert_eq!(rig.users("r.example/app").await, ["one", "two", "any"]);
        assert_eq!(rig.users("s.example/app").await, ["s"]);
    }

    #[tokio::test]
    async fn answers_that_are_none() {
        let good = says("Image", "", "null");
        for body in [
            "echo nonsense".to_owned(),
            good.replace("Response", "Request"),
            good.replace("k8s.io/v1", "k8s.io/v1beta1"),
            says("Pod", "", "null"),
            says("Image", r#","cacheDuration":"soon""#, "null"),
            // Attack D1: beyond all points in time that can be told.
            says("Image", r#","cacheDuration":"3000000000000000h""#, "null"),
            says("Image", "", r#"{"r.example":{"username":"a:b","password":"p"}}"#),
        ] {
            assert_eq!(
                rig(&[("plugin", "r.example", &body)]).why("r.example/a").await,
                CredentialWhy::Answer,
                "{body}"
            );
        }
        let none = rig(&[("plugin", "r.example", &good)]);
        assert_eq!(none.users("r.example/a").await, [""; 0]);
        let failing = rig(&[("plugin", "r.example", "echo hunter2; echo hunter2 >&2; exit 7")]);
        for _ in 0..2 {
            assert_eq!(failing.why("r.example/a").await, CredentialWhy::Exit(Some(7)));
        }
        assert_eq!(failing.asked("plugin").len(), 1, "a failure is kept for a moment");
        std::fs::remove_file(failing.folder.path().join("plugin")).unwrap();
        assert_eq!(failing.why("r.example/b").await, CredentialWhy::Missing);
        std::fs::write(failing.folder.path().join("config.yaml"), "hunter2").unwrap();
        assert!(matches!(failing.why("r.example/a").await, CredentialWhy::File { .. }));
    }

    /// Attack E2: a name in the configuration leads to no other folder.
    #[tokio::test]
    async fn attack_e2_a_plugins_name_is_no_path() {
        let rig = rig(&[("plugin", "r.example", &says("Image", "", "null"))]);
        let file = rig.folder.path().join("config.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let folder = rig.folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        for name in [format!("../{folder}/plugin"), "..".to_owned(), "/bin/sh".to_owned()] {
            std::fs::write(&file, text.replace("name: plugin", &format!("name: {name}"))).unwrap();
            assert_eq!(rig.why("r.example/a").await, CredentialWhy::Name, "{name}");
        }
        assert_eq!(rig.asked("plugin"), [""; 0]);
    }

    #[tokio::test]
    async fn a_plugin_that_needs_a_service_account_is_left_out() {
        let rig = rig(&[("plugin", "r.example", &says("Image", "", "null"))]);
        let file = rig.folder.path().join("config.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let more = "  tokenAttributes: {serviceAccountTokenAudience: a, requireServiceAccount: \
            true, cacheType: Token}\n";
        std::fs::write(&file, text + more).unwrap();
        assert_eq!(rig.why("r.example/a").await, CredentialWhy::ServiceAccount);
        assert_eq!(rig.asked("plugin"), [""; 0]);
    }
}
