//! [`Helpers`]: credentials from docker's credential helpers, by their protocol
//! (docker-credential-helpers, "Development"): `docker-credential-NAME get`, the server's address
//! on standard input, JSON on standard output.
//!
//! Which helper is for which host is said in a docker `config.json`; see [`super::docker_config`].
//! Only `get` is ever run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::Secret;
use super::program::{Programs, Run, find};
use super::provider::FAILED_LIFE;
use crate::clock::Clock;
use crate::registry::credential_fault::{CredentialFault, CredentialWhy};
use crate::registry::http::single_flight::Flights;

/// How long an answer is kept: a decision asks a dozen times, and its neighbours too, while a login
/// or a rotation is noticed within it. Tokens of clouds are good for an hour and more.
const LIFE: Duration = Duration::from_secs(60);
/// What a helper says when it has nothing for a server.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What Docker Hub is called in credential stores.
const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";

/// Runs helpers and remembers what they said.
pub(in crate::registry) struct Helpers {
    folders: Vec<PathBuf>,
    time: Duration,
    clock: Clock,
    programs: Arc<Programs>,
    answers: Flights<(String, String), Result<Option<Secret>, CredentialFault>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Helpers {
    pub(in crate::registry) fn new(
        folders: Vec<PathBuf>,
        time: Duration,
        programs: Arc<Programs>,
        clock: Clock,
    ) -> Self {
        Self { folders, time, clock, programs, answers: Flights::new(clock) }
    }

    /// What the helper of this name (without `docker-credential-`) has for a (folded) host; waited
    /// for until `until`.
    pub(in crate::registry) async fn get(
        &self,
        name: &str,
        host: &str,
        until: Instant,
    ) -> Result<Option<Secret>, CredentialFault> {
        let program = format!("docker-credential-{name}");
        let (programs, folders, time, clock) =
            (Arc::clone(&self.programs), self.folders.clone(), self.time, self.clock);
        let (asked, registry) = (program.clone(), host.to_owned());
        let question = async move {
            match run(&programs, folders, &asked, &registry, time).await {
                Ok(secret) => (Ok(secret), clock.steady() + LIFE),
                Err(why) => (Err(CredentialFault::new(asked, why)), clock.steady() + FAILED_LIFE),
            }
        };
        let key = (program.clone(), host.to_owned());
        let answer = self.answers.get(&key, until, question).await;
        answer.unwrap_or_else(|| Err(CredentialFault::new(program, CredentialWhy::Slow)))
    }
}

fn server(host: &str) -> &str {
    if host == "docker.io" { DOCKER_HUB_SERVER } else { host }
}

async fn run(
    programs: &Programs,
    folders: Vec<PathBuf>,
    program: &str,
    registry: &str,
    time: Duration,
) -> Result<Option<Secret>, CredentialWhy> {
    let name = program.to_owned();
    let found = tokio::task::spawn_blocking(move || find(&folders, &name)).await;
    let path = found.unwrap_or(Err(CredentialWhy::Missing))?;
    let server = server(registry);
    tracing::debug!(helper = program, server, "asking a credential helper");
    let args = ["get".to_owned()];
    let ended = programs
        .run(&Run { registry, path: &path, args: &args, env: &[], input: server.as_bytes(), time })
        .await?;
    match ended.code {
        Some(0) => answered(&ended.output),
        _ if ended.output.trim_ascii() == NOT_FOUND.as_bytes() => Ok(None),
        code => Err(CredentialWhy::Exit(code)),
    }
}

fn answered(output: &[u8]) -> Result<Option<Secret>, CredentialWhy> {
    let mut answer: Answer = serde_json::from_slice(output).map_err(|_| CredentialWhy::Answer)?;
    let secret = Zeroizing::new(std::mem::take(&mut answer.secret));
    if answer.username.is_empty() || secret.is_empty() {
        return Ok(None);
    }
    if answer.username == TOKEN_USER {
        return Ok(Some(Secret::Refresh(secret.to_string())));
    }
    Secret::password(&answer.username, &secret).map(Some).ok_or(CredentialWhy::Answer)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::registry::credentials::program::script;

    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    const CLOCK: Clock = Clock::new(SystemTime::now, Instant::now);

    fn later() -> Instant {
        CLOCK.steady() + Duration::from_secs(60)
    }

    fn helpers(folder: &Path, body: &str) -> Helpers {
        let log = folder.join("log");
        script(
            folder,
            "docker-credential-test",
            &format!("echo \"$@ $(cat)\" >> {}\n{body}", log.display()),
        );
        let programs =
            Arc::new(Programs::new(crate::registry::variables::Variables::default(), CLOCK));
        Helpers::new(vec![folder.to_owned()], Duration::from_secs(20), programs, CLOCK)
    }

    async fn get(body: &str) -> Result<Option<Secret>, CredentialWhy> {
        let folder = tempfile::tempdir().unwrap();
        helpers(folder.path(), body)
            .get("test", "r.example", later())
            .await
            .map_err(|fault| fault.why)
    }

    #[tokio::test]
    async fn answers_are_read_as_the_protocol_says() {
        let password = |user: &str| Ok(Secret::password(user, "p"));
        let say = |json: &str| format!("echo '{json}'");
        let got = get(&say(r#"{"ServerURL":"r.example","Username":"u","Secret":"p"}"#)).await;
        assert_eq!(got, password("u"));
        let got = get(&say(r#"{"ServerURL":"r.example","Username":"<token>","Secret":"t"}"#)).await;
        assert_eq!(got, Ok(Some(Secret::Refresh("t".to_owned()))));
        assert_eq!(
            get(&say(r#"{"ServerURL":"r.example","Username":"","Secret":""}"#)).await,
            Ok(None)
        );
        assert_eq!(get("echo 'credentials not found in native keychain'; exit 1").await, Ok(None));
        assert_eq!(get("echo hunter2; exit 1").await, Err(CredentialWhy::Exit(Some(1))));
        assert_eq!(get("echo hunter2").await, Err(CredentialWhy::Answer));
        assert_eq!(
            get(&say(r#"{"Username":"a:b","Secret":"p"}"#)).await,
            Err(CredentialWhy::Answer)
        );
        assert_eq!(get("kill -9 $$").await, Err(CredentialWhy::Exit(None)));
    }

    #[tokio::test]
    async fn a_helper_runs_once_for_a_server_and_is_told_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let helpers = helpers(folder.path(), r#"sleep 0.1; echo '{"Username":"u","Secret":"p"}'"#);
        let both = futures_util::future::join(
            helpers.get("test", "r.example", later()),
            helpers.get("test", "r.example", later()),
        );
        let (one, two) = both.await;
        assert_eq!(one, two);
        assert_eq!(helpers.get("test", "r.example", later()).await, one);
        helpers.get("test", "docker.io", later()).await.unwrap();
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "get r.example\nget https://index.docker.io/v1/\n");
    }

    /// Attack E2: the name comes from a file.
    #[tokio::test]
    async fn attack_e2_a_helpers_name_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let helpers = helpers(folder.path(), "true");
        for name in ["../x", "/../../bin/sh", "a/b", "..", "x y", ""] {
            let fault = helpers.get(name, "r.example", later()).await.unwrap_err();
            let expected =
                if name.is_empty() { CredentialWhy::Missing } else { CredentialWhy::Name };
            assert_eq!(fault.why, expected, "{name}");
        }
        assert_eq!(
            helpers.get("none", "r.example", later()).await.unwrap_err().why,
            CredentialWhy::Missing
        );
        assert!(!folder.path().join("log").exists());
    }
}
