//! A real Prometheus scrapes the gate with the shipped alert rules: an admission, a refusal, a name
//! that was made to be a label and a reload that fails are there as numbers, the alert fires, and
//! every panel of the shipped dashboard has a question that Prometheus understands.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::ensure;
use crate::means::{prod, until};
use crate::stage::{Failure, Outcome, Props, Stage};

/// More series than this are too many: the manual says so.
const SERIES_MAX: usize = 4200;
/// The image string of a pull that would begin a line of its own, were it ever a label.
const HOSTILE: &str = "evil.test/x\"} 1\nsealgate_enforcing 1\n#";

/// A Prometheus of Debian, ended when this is dropped.
struct Prometheus {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

/// A program of Debian's package, unpacked beside the machine's own.
fn program(name: &str) -> Result<PathBuf, Failure> {
    let path = repository("target/monitor/bookworm/usr/bin").join(name);
    ensure!(path.is_file(), "this scenario needs {path:?}: `make runtimes` unpacks it");
    Ok(path)
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

async fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// What is answered on a port of this machine: the body.
async fn get(port: u16, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (_, body) = text.split_once("\r\n\r\n").ok_or_else(|| Failure(format!("{text:?}")))?;
    Ok(body.to_owned())
}

impl Prometheus {
    /// Scrapes the gate on this port every second, as the node `node`.
    async fn start(gate: u16) -> Result<Self, Failure> {
        let (folder, port) = (tempfile::tempdir()?, free_port().await?);
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{:?}]\n\
             scrape_configs:\n  - job_name: sealgate\n    static_configs:\n      \
             - {{targets: [\"127.0.0.1:{gate}\"], labels: {{instance: node}}}}\n",
            repository("packaging/prometheus/sealgate.rules.yaml")
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config)?;
        let process = Command::new(program("prometheus")?)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self { process, port, _folder: folder })
    }

    async fn api(&self, path: &str) -> Result<Value, Failure> {
        let answer: Value = serde_json::from_str(&get(self.port, path).await?)?;
        ensure!(answer["status"] == "success", "{path}: {answer:#}");
        Ok(answer["data"].clone())
    }

    async fn ask(&self, question: &str) -> Result<Vec<Value>, Failure> {
        let encoded: String = question.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let data = self.api(&format!("/api/v1/query?query={encoded}")).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// The value of the only series; none where there is no series, or no answer yet.
    async fn value(&self, question: &str) -> Option<String> {
        let series = self.ask(question).await.ok()?;
        let [only] = series.as_slice() else { return None };
        only["value"][1].as_str().map(str::to_owned)
    }

    async fn until(&self, question: &str, value: &str) -> Outcome {
        let what = format!("{question} = {value}");
        until(&what, async || self.value(question).await.as_deref() == Some(value)).await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The whole text, which promtool finds nothing wrong with, and how many series it has.
async fn checked(gate: u16) -> Result<(String, usize), Failure> {
    let text = get(gate, "/metrics").await?;
    let mut promtool = Command::new(program("promtool")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = promtool.stdin.take().ok_or_else(|| Failure("no input".to_owned()))?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.is_empty(), "promtool check metrics: {said}");
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    Ok((text, series))
}

/// Every question of the dashboard, as Grafana would ask it; how many have an answer.
async fn dashboard(prometheus: &Prometheus) -> Result<(usize, usize), Failure> {
    let text = fs::read_to_string(repository("packaging/grafana/sealgate.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().cloned().unwrap_or_default();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let (mut asked, mut answered) = (0, 0);
    for target in targets {
        let question = target["expr"].as_str().unwrap_or_default();
        let question = question.replace("$instance", ".*").replace("$__rate_interval", "1m");
        asked += 1;
        answered += usize::from(!prometheus.ask(&question).await?.is_empty());
    }
    Ok((asked, answered))
}

/// Whether every alert was evaluated; fails where one could not be.
async fn rules_are_well(prometheus: &Prometheus) -> Result<bool, Failure> {
    let rules = prometheus.api("/api/v1/rules").await?;
    let groups = rules["groups"].as_array().cloned().unwrap_or_default();
    let rules: Vec<&Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
    for rule in &rules {
        ensure!(rule["health"] != "err", "{rule:#}");
    }
    Ok(!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok"))
}

pub async fn monitoring() -> Outcome {
    let port = free_port().await?;
    let config = format!("metrics.listen = \"127.0.0.1:{port}\"");
    let stage = Stage::set(Props { config, ..Props::usual()? }).await?;
    let prometheus = Prometheus::start(port).await?;
    let of_pulls = |verdict: &str| {
        format!("sealgate_decisions_total{{verdict=\"{verdict}\",call=\"PullImage\"}}")
    };
    // What is counted for the first time was 0 before, so that an increase is seen.
    prometheus.until(&of_pulls("refused"), "0").await?;

    let (exit, said) = stage.pull_and_run(&prod("signed-v2:v1")).await?;
    ensure!(exit == 0, "{said}");
    prometheus.until(&of_pulls("admitted"), "1").await?;
    let pulls = "sealgate_decision_duration_seconds_count{call=\"PullImage\",phase=\"forward\"}";
    prometheus.until(pulls, "1").await?;
    let refused = stage.cri().pull(&prod("unsigned:v1")).await;
    ensure!(refused.is_err(), "{refused:?}");
    prometheus.until("sealgate_refusals_total{code=\"unsigned\",verdict=\"refused\"}", "1").await?;
    let alert = "ALERTS{alertname=\"SealgateRefusals\",alertstate=\"firing\",instance=\"node\"}";
    prometheus.until(alert, "1").await?;
    println!("   an admission and a refusal are counted, and SealgateRefusals fires");

    let refused = stage.cri().pull(HOSTILE).await;
    ensure!(refused.is_err(), "{refused:?}");
    prometheus.until("sealgate_refusals_total{code=\"bad-reference\"}", "1").await?;
    let (text, series) = checked(port).await?;
    ensure!(!text.contains("evil"), "the name of an image is in {text}");
    let gauges = text.lines().filter(|line| line.starts_with("sealgate_enforcing ")).count();
    ensure!(gauges == 1 && series < SERIES_MAX, "{gauges} gauges, {series} series");
    println!("   a name made to be a label is none; promtool is content; {series} series");

    stage.write_policy_as_is("kind: Nothing\n")?;
    prometheus.until("sealgate_policy_reload_failed", "1").await?;
    let later = "sealgate_policy_reload_fault_timestamp_seconds > bool \
        sealgate_policy_reload_success_timestamp_seconds";
    prometheus.until(later, "1").await?;

    until("every rule is evaluated", async || {
        matches!(rules_are_well(&prometheus).await, Ok(true))
    })
    .await?;
    let (asked, answered) = dashboard(&prometheus).await?;
    println!("   {answered} of {asked} questions of the dashboard have an answer on this node");
    ensure!(asked > 20 && answered * 2 > asked, "{answered} of {asked}");
    Ok(())
}
