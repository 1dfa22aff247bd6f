//! [`Programs`]: runs the programs that credentials come from, credential helpers and credential
//! provider plugins.
//!
//! A program is found by its name in configured folders, never by the environment's `PATH`, and
//! only when nobody but root could have changed it. It gets a fixed environment, no shell, and a
//! limited time; what it writes to its error output is thrown away, because it may hold secrets.
//! What its answer means is for [`super::helper`] and [`super::provider`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::file_trust::{self, Above, OwnershipFault};
use crate::registry::credential_fault::CredentialWhy;
use crate::registry::variables::Variables;
use crate::share::{FairShare, Recalled, Rules};

/// Longest answer of a program, bytes. Real ones are under 8 KiB.
pub(in crate::registry) const OUTPUT_MAX: usize = 64 << 10;
/// Programs that run at once, whatever they are: each may have a thread per processor and more, and
/// the unit's `TasksMax` bounds them all. They are shared by the registries that they are run for,
/// and one that runs for longer than five seconds is killed when another registry's has to wait: a
/// login at a cloud takes two.
const AT_ONCE: Rules =
    Rules { total: 4, per_host: 4, queue: 1024, patience: Duration::from_secs(5) };
/// How likely a program is killed when memory is short (`proc(5)`, `oom_score_adj`): sooner than
/// the gate, whose value it would inherit.
const OOM_SCORE: &str = "500";
/// Longest name of a program, bytes.
const NAME_MAX: usize = 64;
/// The environment of every program; `registry.credential_env` and a plugin's own `env` come on
/// top.
const ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")];

/// Runs programs, a few at once.
pub(in crate::registry) struct Programs {
    environment: Variables,
    clock: Clock,
    places: FairShare,
}

/// One run of a program.
pub(in crate::registry) struct Run<'a> {
    /// The registry whose credentials it is to give.
    pub(in crate::registry) registry: &'a str,
    pub(in crate::registry) path: &'a Path,
    pub(in crate::registry) args: &'a [String],
    /// On top of the fixed environment and the configured one.
    pub(in crate::registry) env: &'a [(String, String)],
    pub(in crate::registry) input: &'a [u8],
    pub(in crate::registry) time: Duration,
}

/// How a program ended, and what it wrote.
pub(in crate::registry) struct Ended {
    pub(in crate::registry) code: Option<i32>,
    pub(in crate::registry) output: Zeroizing<Vec<u8>>,
}

/// The program of this name: the first that is there, when it is safe to run. Looks at the disk.
pub(in crate::registry) fn find(folders: &[PathBuf], name: &str) -> Result<PathBuf, CredentialWhy> {
    if !is_name(name) {
        return Err(CredentialWhy::Name);
    }
    for folder in folders {
        let path = folder.join(name);
        match file_trust::check(&path, Above::NobodyElse) {
            Ok(()) if path.is_file() => return Ok(path),
            Ok(()) => {}
            Err(OwnershipFault::Unreadable { kind: std::io::ErrorKind::NotFound, .. }) => {}
            Err(fault) => return Err(CredentialWhy::Unsafe(fault)),
        }
    }
    Err(CredentialWhy::Missing)
}

/// Letters, digits, `.`, `_`, `-`; no path, no hidden file, no option (attack E2).
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    name.len() <= NAME_MAX
        && name.bytes().all(fits)
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !name.contains("..")
}

impl Programs {
    pub(in crate::registry) fn new(environment: Variables, clock: Clock) -> Self {
        Self { environment, clock, places: FairShare::new(AT_ONCE, clock) }
    }

    /// Runs a program to its end. When it takes too long or writes too much, it is killed with all
    /// that it started.
    ///
    /// It waits for its turn no longer than it may run: behind programs that hang, runs do not
    /// gather without end.
    pub(in crate::registry) async fn run(&self, run: &Run<'_>) -> Result<Ended, CredentialWhy> {
        let place = self.places.take(run.registry, 1, self.clock.steady() + run.time).await;
        let place = place.map_err(|_| CredentialWhy::Slow)?;
        let mut child =
            self.command(run).spawn().map_err(|error| CredentialWhy::Start(error.kind()))?;
        let mut group = Group(child.id());
        if let Some(id) = child.id() {
            // A kernel that does not let us changes nothing for credentials.
            drop(std::fs::write(format!("/proc/{id}/oom_score_adj"), OOM_SCORE));
        }
        let ended =
            tokio::time::timeout(run.time, place.unless_recalled(talk(&mut child, run.input)))
                .await;
        match ended {
            Ok(Ok(Ok(ended))) => {
                group.0 = None;
                place.answered();
                Ok(ended)
            }
            Ok(Ok(Err(why))) => Err(why),
            Ok(Err(Recalled)) => Err(CredentialWhy::Time(AT_ONCE.patience.as_secs())),
            Err(_) => Err(CredentialWhy::Time(run.time.as_secs())),
        }
    }

    fn command(&self, run: &Run<'_>) -> Command {
        let mut command = Command::new(run.path);
        command
            .args(run.args)
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(self.environment.pairs())
            .envs(run.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// The process group of a program that has not been waited for, so that its number is still its
/// own; killed when dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Gone already is as good.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

async fn talk(child: &mut Child, input: &[u8]) -> Result<Ended, CredentialWhy> {
    let failed = |error: std::io::Error| CredentialWhy::Start(error.kind());
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read what it is told is judged by its answer.
        drop(stdin.write_all(input).await);
    }
    let mut output = Zeroizing::new(vec![0; OUTPUT_MAX]);
    if let Some(stdout) = child.stdout.take() {
        let length = read(stdout, &mut output).await?;
        output.truncate(length);
    }
    let status = child.wait().await.map_err(failed)?;
    Ok(Ended { code: status.code(), output })
}

/// Fills the buffer, which never grows: nothing is copied to memory that stays unwiped.
async fn read(mut stdout: ChildStdout, output: &mut [u8]) -> Result<usize, CredentialWhy> {
    let mut length = 0;
    loop {
        let Some(rest) = output.get_mut(length..).filter(|rest| !rest.is_empty()) else {
            return Err(CredentialWhy::Long(OUTPUT_MAX - 1));
        };
        match stdout.read(rest).await {
            Ok(0) => return Ok(length),
            Ok(count) => length += count,
            Err(error) => return Err(CredentialWhy::Start(error.kind())),
        }
    }
}

/// A shell script for a test. Another process writes it: a file that a thread of ours holds open
/// for writing while another one forks cannot be run ("text file busy").
#[cfg(test)]
pub(in crate::registry) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::io::Write as _;
    let path = folder.join(name);
    let mut install = std::process::Command::new("install");
    let mut child =
        install.args(["-m", "755", "/dev/stdin"]).arg(&path).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    path
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Instant, SystemTime};

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a test is its own daemon")]
    const CLOCK: Clock = Clock::new(SystemTime::now, Instant::now);

    fn runs(path: &Path) -> Run<'_> {
        Run {
            registry: "r.example",
            path,
            args: &[],
            env: &[],
            input: b"in",
            time: Duration::from_secs(20),
        }
    }

    #[test]
    fn attack_e2_a_name_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        script(folder.path(), "good", "true");
        let folders = [folder.path().join("none"), folder.path().to_owned()];
        assert_eq!(find(&folders, "good"), Ok(folder.path().join("good")));
        assert_eq!(find(&folders, "absent"), Err(CredentialWhy::Missing));
        let long = "x".repeat(NAME_MAX + 1);
        for bad in [
            "", ".", "..", "a/b", "../good", "a..b", "-x", ".hidden", "a b", "a\0", "é", "a;b",
            &long,
        ] {
            assert_eq!(find(&folders, bad), Err(CredentialWhy::Name), "{bad}");
        }
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        assert_eq!(find(&folders, "folder"), Err(CredentialWhy::Missing));
    }

    /// Attack E4: what others may change is not run, and no other of the same name in a later
    /// folder either.
    #[test]
    fn attack_e4_a_program_that_others_can_write_is_not_run() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = script(one.path(), "tool", "true");
        script(two.path(), "tool", "true");
        let folders = [one.path().to_owned(), two.path().to_owned()];
        assert_eq!(find(&folders, "tool"), Ok(path.clone()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o775)).unwrap();
        let fault = OwnershipFault::Writable { path: path.clone(), mode: 0o775 };
        assert_eq!(find(&folders, "tool"), Err(CredentialWhy::Unsafe(fault)));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(one.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            find(&folders, "tool"),
            Err(CredentialWhy::Unsafe(OwnershipFault::Writable { .. }))
        ));
    }

    #[tokio::test]
    async fn a_program_sees_its_input_and_nothing_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = script(
            folder.path(),
            "tool",
            "cat; echo \" $1\"; /usr/bin/env | /usr/bin/sort; pwd; exit 3",
        );
        let programs =
            Programs::new(BTreeMap::from([("REGION".to_owned(), "eu".to_owned())]).into(), CLOCK);
        let env = [("HOME".to_owned(), "/h".to_owned())];
        let run = Run { args: &["get".to_owned()], env: &env, ..runs(&path) };
        let ended = programs.run(&run).await.unwrap();
        let said = String::from_utf8(ended.output.to_vec()).unwrap();
        let path = ENVIRONMENT[0].1;
        assert!(said.starts_with("in get\nHOME=/h\n"), "{said}");
        let names: Vec<&str> =
            said.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        // The shell adds PWD, SHLVL and `_` by itself.
        assert!(
            names.iter().all(
                |name| ["HOME", "PATH", "REGION", "PWD", "SHLVL", "_", "OLDPWD"].contains(name)
            )
        );
        assert!(said.contains(&format!("PATH={path}\n")) && said.contains("REGION=eu\n"), "{said}");
        assert!(said.ends_with("\n/\n"), "{said}");
        assert_eq!(ended.code, Some(3));
    }

    #[tokio::test]
    async fn memory_is_taken_from_a_program_first() {
        let folder = tempfile::tempdir().unwrap();
        let body = format!(
            "while [ \"$(cat /proc/$$/oom_score_adj)\" != {OOM_SCORE} ]; do sleep 0.01; done"
        );
        let path = script(folder.path(), "tool", &body);
        let ended = Programs::new(Variables::default(), CLOCK).run(&runs(&path)).await.unwrap();
        assert_eq!(ended.code, Some(0));
    }

    #[tokio::test]
    async fn faults_are_typed() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::new(Variables::default(), CLOCK);
        let endless = script(folder.path(), "endless", "exec cat /dev/zero");
        let fault = |outcome: Result<Ended, CredentialWhy>| outcome.err().unwrap();
        assert_eq!(fault(programs.run(&runs(&endless)).await), CredentialWhy::Long(OUTPUT_MAX - 1));
        let killed = script(folder.path(), "killed", "kill -9 $$");
        assert_eq!(programs.run(&runs(&killed)).await.unwrap().code, None);
        let none = folder.path().join("none");
        assert_eq!(
            fault(programs.run(&runs(&none)).await),
            CredentialWhy::Start(std::io::ErrorKind::NotFound)
        );
    }

    /// What hangs is killed in time, and so is what it started.
    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let text = format!("sleep 1000 &\necho $! $$ > {}\nwait", file.display());
        let path = script(folder.path(), "hang", &text);
        let programs = Programs::new(Variables::default(), CLOCK);
        let run = Run { time: Duration::from_secs(1), ..runs(&path) };
        assert_eq!(programs.run(&run).await.err(), Some(CredentialWhy::Time(1)));
        let pids = std::fs::read_to_string(&file).unwrap();
        for pid in pids.split_whitespace() {
            let stat = PathBuf::from(format!("/proc/{pid}/stat"));
            let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
            for _ in 0..1000 {
                if !alive() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(!alive(), "{pid} still runs");
        }
        assert_eq!(pids.split_whitespace().count(), 2);
    }

    /// Attack D1: programs of one registry that hang leave a place to another's, and do not gather.
    #[tokio::test]
    async fn attack_d1_runs_do_not_gather_behind_programs_that_hang() {
        let folder = tempfile::tempdir().unwrap();
        let (hang, tool) = (
            script(folder.path(), "hang", "exec sleep 1000"),
            script(folder.path(), "tool", "true"),
        );
        let programs = Programs::new(Variables::default(), CLOCK);
        let run = Run { time: Duration::from_secs(60), ..runs(&hang) };
        let hanging = (0..AT_ONCE.total).map(|_| programs.run(&run));
        let next = async {
            while programs.places.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            let own =
                programs.run(&Run { time: Duration::from_millis(100), ..runs(&tool) }).await.err();
            (
                own,
                programs
                    .run(&Run { registry: "other.example", ..runs(&tool) })
                    .await
                    .map(|ended| ended.code),
            )
        };
        tokio::select! {
            _ = futures_util::future::join_all(hanging) => panic!("they hang"),
            (own, other) = next => assert_eq!((own, other), (Some(CredentialWhy::Slow), Ok(Some(0)))),
        }
    }

    /// Attack D1: what has run for long is killed when another registry's program has to wait.
    #[tokio::test]
    async fn attack_d1_a_program_that_hangs_makes_way() {
        let folder = tempfile::tempdir().unwrap();
        let (hang, tool) = (
            script(folder.path(), "hang", "exec sleep 1000"),
            script(folder.path(), "tool", "true"),
        );
        let places = Rules { patience: Duration::from_millis(200), ..AT_ONCE };
        let programs = Programs {
            places: FairShare::new(places, CLOCK),
            ..Programs::new(Variables::default(), CLOCK)
        };
        let programs = std::sync::Arc::new(programs);
        let hanging = (0..AT_ONCE.total).map(|n| {
            let (programs, hang) = (std::sync::Arc::clone(&programs), hang.clone());
            async move {
                let registry = format!("r{n}.example");
                programs
                    .run(&Run { registry: &registry, time: Duration::from_secs(60), ..runs(&hang) })
                    .await
                    .err()
            }
        });
        let hanging: Vec<_> = hanging.map(tokio::spawn).collect();
        while programs.places.free() > 0 {
            tokio::task::yield_now().await;
        }
        let other = programs.run(&Run { registry: "other.example", ..runs(&tool) }).await;
        assert_eq!(other.map(|ended| ended.code), Ok(Some(0)));
        let (ended, _, others) = futures_util::future::select_all(hanging).await;
        assert_eq!(ended.unwrap(), Some(CredentialWhy::Time(AT_ONCE.patience.as_secs())));
        others.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Attack E6: values of variables are not shown.
    #[test]
    fn attack_e6_an_environment_shows_names_alone() {
        let environment =
            Variables::from(BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]));
        assert_eq!(format!("{environment:?}"), "{\"TOKEN\"}");
        assert!(environment.is_usable());
        for bad in ["", "A=B", "LD_PRELOAD", "a\0"] {
            assert!(
                !Variables::from(BTreeMap::from([(bad.to_owned(), String::new())])).is_usable(),
                "{bad:?}"
            );
        }
    }
}
