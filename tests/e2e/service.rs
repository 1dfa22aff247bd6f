//! The gate as a service: it drains when it is told to stop, and a restart loses no connection
//! attempt.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tonic::Code;

use crate::acts::{containers, eventually, past_the_gate};
use crate::ensure;
use crate::raw::Raw;
use crate::registry::{Answer, Rule};
use crate::stage::{Failure, HOST, Outcome, Stage, by_id};

const VERSION: &str = "/runtime.v1.RuntimeService/Version";
/// Restarts under the client.
const RESTARTS: usize = 5;

/// SIGTERM while a create is under decision: it is finished, new connections are taken and served
/// until then, and the gate ends.
pub async fn drain() -> Outcome {
    let stage = Stage::usual().await?;
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let id = past_the_gate(&stage, &signed).await?;
    let pod = stage.pod().await?;
    stage.registry.rule(
        Rule::new("/manifests/", Answer::Late(Duration::from_secs(4))).user_agent("sealgate/"),
    );
    let cri = stage.cri();
    let creating = tokio::spawn({
        let (cri, launch) = (cri.clone(), by_id(&id, &signed));
        async move { cri.create(&pod, launch).await }
    });
    eventually("the create is under decision", Duration::from_secs(60), async || {
        stage.registry.requests().iter().any(|entry| entry.user_agent.contains("sealgate/"))
    })
    .await?;
    let told = Instant::now();
    stage.signal("TERM")?;
    let meanwhile = Raw::connect(&stage.socket()).await?.call(VERSION, b"").await?;
    ensure!(meanwhile.code == 0 && !creating.is_finished(), "while it drains: {meanwhile:?}");
    let made = creating.await??;
    let took = told.elapsed();
    ensure!(containers(&stage).await? == [made], "the container is not there");
    stage.expect_record("CreateContainer", "admitted", "satisfied")?;
    let pid = stage.gate_pid().ok_or("no gate")?;
    eventually("the gate ends", Duration::from_secs(60), async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
    .await?;
    ensure!(
        stage.gate_log().contains("stopped"),
        "the gate did not say that it stopped:\n{}",
        stage.gate_log()
    );
    println!(
        "   a create under decision was finished {:.1} s after SIGTERM, then the gate ended",
        took.as_secs_f64()
    );
    Ok(())
}

/// A gate with an inherited socket, as a service manager starts it (sd_listen_fds(3)).
fn activated(stage: &Stage, socket: &UnixListener) -> Result<Child, Failure> {
    let log =
        std::fs::File::options().create(true).append(true).open(stage.folder().join("gate.log"))?;
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=cri; \
        exec \"$0\" run --config \"$1\"";
    let child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sealgate")])
        .arg(stage.config())
        .stdin(Stdio::from(OwnedFd::from(socket.try_clone()?)))
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child)
}

fn end(mut child: Child, signal: &str) -> Outcome {
    Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status()?;
    let ended = child.wait()?;
    ensure!(signal != "TERM" || ended.success(), "after SIG{signal}: {ended}");
    Ok(())
}

/// Restarts under a client that connects anew for each call.
pub async fn restart_unnoticed() -> Outcome {
    let mut stage = Stage::usual().await?;
    stage.kill_gate()?;
    std::fs::remove_file(stage.socket())?;
    let socket = UnixListener::bind(stage.socket())?;
    let ready_before = stage.gate_log().matches("ready").count();
    let mut gate = activated(&stage, &socket)?;
    let stop = Arc::new(AtomicBool::new(false));
    let client = tokio::spawn(connect_and_ask(stage.socket(), Arc::clone(&stop)));
    let began = Instant::now();
    let ready = || stage.gate_log().matches("ready").count();
    let mut before = ready_before;
    for _ in 0..RESTARTS {
        eventually("the gate is ready", Duration::from_secs(60), async || ready() > before).await?;
        before = ready();
        end(gate, "TERM")?;
        gate = activated(&stage, &socket)?;
    }
    eventually("the gate is ready", Duration::from_secs(60), async || ready() > before).await?;
    stop.store(true, Ordering::SeqCst);
    let outcome = client.await?;
    let seconds = began.elapsed().as_secs_f64();
    let (asked, slowest, again) = match outcome {
        Ok(counts) => counts,
        Err(failure) => {
            end(gate, "KILL")?;
            return Err(failure);
        }
    };
    println!(
        "   {RESTARTS} restarts in {seconds:.1} s under a client that connected {asked} times: \
         none refused, {again} told to connect again, the slowest answered after {slowest:.0} ms"
    );
    // A channel that stays open mends itself, and the gate still gates.
    let (exit, _) = stage.pull_and_run(&format!("{HOST}/prod/signed-v2:v1")).await?;
    let refusal = stage.cri().pull(&format!("{HOST}/prod/unsigned:v1")).await.err();
    // A crash keeps the socket too.
    end(gate, "KILL")?;
    let waiting = tokio::spawn({
        let socket = stage.socket();
        async move { Raw::connect(&socket).await?.call(VERSION, b"").await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let gate = activated(&stage, &socket)?;
    let answer = waiting.await?;
    end(gate, "TERM")?;
    ensure!(
        exit == 0 && refusal.is_some_and(|no| no.code() == Code::Unknown),
        "the gate after the restarts: {exit}"
    );
    let answer = answer?;
    ensure!(answer.code == 0, "a call that waited for the start after a crash: {answer:?}");
    ensure!(again <= RESTARTS, "{again} calls were sent away by {RESTARTS} restarts");
    Ok(())
}

/// How often it connected, the slowest answer in milliseconds, and how many calls were told to
/// connect again.
async fn connect_and_ask(
    socket: std::path::PathBuf,
    stop: Arc<AtomicBool>,
) -> Result<(usize, f64, usize), Failure> {
    let (mut asked, mut slowest, mut again) = (0, 0.0_f64, 0);
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let mut raw = Raw::connect(&socket)
            .await
            .map_err(|failure| Failure(format!("connecting: {}", failure.0)))?;
        let answer = match raw.call(VERSION, b"").await {
            Ok(answer) => answer,
            // Told to go away before the call was sent: a gRPC client then connects again by
            // itself.
            Err(_) => {
                again += 1;
                Raw::connect(&socket).await?.call(VERSION, b"").await?
            }
        };
        ensure!(answer.code == 0, "{answer:?}");
        asked += 1;
        slowest = slowest.max(began.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok((asked, slowest, again))
}
