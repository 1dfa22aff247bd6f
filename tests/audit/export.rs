//! The log's way to a collector that checks what it gets, refuses, and comes back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use prost::Message as _;
use sealgate::otlp::{
    Collector, CollectorError, CursorFile, ExportError, ExportEvent, ExportMode, Exporter, Options,
    Resource, SendFault,
};
use sealgate::proto::otlp::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse, any_value,
};
use tokio::net::TcpListener;

/// What a collector answers next; 200 when there is nothing more.
#[derive(Clone)]
enum CollectorAnswer {
    Status(u16, Option<&'static str>),
    Partial(i64, &'static str),
    /// 400 for a body with this text in it.
    NotWith(&'static str),
}

#[derive(Default)]
struct CollectorState {
    answers: Vec<CollectorAnswer>,
    always: Option<CollectorAnswer>,
    taken: Vec<String>,
    requests: Vec<(String, String)>,
}

struct StandInCollector {
    address: SocketAddr,
    state: Arc<Mutex<CollectorState>>,
}

impl StandInCollector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<CollectorState>>::default();
        let of_server = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&of_server);
                let service = hyper::service::service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(answer(request, &state).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, state }
    }

    fn answers(&self, answers: impl IntoIterator<Item = CollectorAnswer>) {
        self.state.lock().unwrap().answers = answers.into_iter().collect();
    }

    fn always(&self, answer: Option<CollectorAnswer>) {
        self.state.lock().unwrap().always = answer;
    }

    fn taken(&self) -> Vec<String> {
        self.state.lock().unwrap().taken.clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    state: &Mutex<CollectorState>,
) -> Response<Full<Bytes>> {
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let said = (header("content-type").unwrap(), header("authorization").unwrap_or_default());
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let sent = ExportLogsServiceRequest::decode(body).unwrap();
    let resource = sent.resource_logs.first().unwrap();
    let names: Vec<&str> =
        resource.resource.as_ref().unwrap().attributes.iter().map(|one| one.key.as_str()).collect();
    assert!(names.contains(&"k8s.node.name") && names.contains(&"service.name"), "{names:?}");
    assert_eq!((path.as_str(), said.0.as_str()), ("/v1/logs", "application/x-protobuf"));
    let lines: Vec<String> = resource
        .scope_logs
        .first()
        .unwrap()
        .log_records
        .iter()
        .map(|record| match record.body.clone().unwrap().value {
            Some(any_value::Value::StringValue(text)) => text,
            other => panic!("{other:?}"),
        })
        .collect();
    let mut state = state.lock().unwrap();
    state.requests.push(said);
    let next = match state.answers.is_empty() {
        true => state.always.clone(),
        false => Some(state.answers.remove(0)),
    };
    let full = |bytes: Vec<u8>| Full::new(Bytes::from(bytes));
    match next {
        Some(CollectorAnswer::Status(status, after)) => {
            let mut answer = Response::builder().status(status);
            if let Some(after) = after {
                answer = answer.header("retry-after", after);
            }
            answer.body(full(b"no".to_vec())).unwrap()
        }
        Some(CollectorAnswer::NotWith(text)) if lines.iter().any(|line| line.contains(text)) => {
            Response::builder().status(400).body(full(b"not this".to_vec())).unwrap()
        }
        Some(CollectorAnswer::Partial(rejected_log_records, said)) => {
            state.taken.extend(lines);
            let partial =
                ExportLogsPartialSuccess { rejected_log_records, error_message: said.to_owned() };
            let answer = ExportLogsServiceResponse { partial_success: Some(partial) };
            Response::new(full(answer.encode_to_vec()))
        }
        Some(CollectorAnswer::NotWith(_)) | None => {
            state.taken.extend(lines);
            Response::new(full(Vec::new()))
        }
    }
}

const CURSOR: &str = "cursor.json";

struct ExportRig {
    folder: tempfile::TempDir,
    collector: StandInCollector,
}

impl ExportRig {
    async fn new() -> Self {
        Self { folder: crate::folder(), collector: StandInCollector::start().await }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn write(&self, lines: &[&str]) {
        let mut how = OpenOptions::new();
        let mut file = how.append(true).create(true).open(self.log()).unwrap();
        lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
    }

    fn options(&self) -> Options {
        let endpoint = Some(format!("http://{}/v1/logs", self.collector.address));
        Options { endpoint, ..Options::default() }
    }

    /// A process that begins, with its cursor in this file.
    fn exporter_at(&self, cursor: &str) -> Exporter {
        self.exporter_to(&self.options(), cursor)
    }

    fn exporter_to(&self, options: &Options, cursor: &str) -> Exporter {
        let collector = Collector::new(options).unwrap();
        let resource = Resource::new("node-1", &BTreeMap::new());
        let cursor = CursorFile::new(&self.folder.path().join(cursor));
        Exporter::new(&self.log(), cursor, collector, resource, Timestamp::now).unwrap()
    }

    async fn once(&self) -> (Result<(), ExportError>, Vec<ExportEvent>) {
        let mut events = Vec::new();
        let ended =
            self.exporter_at(CURSOR).run(ExportMode::Once, |event| events.push(event)).await;
        (ended, events)
    }
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_and_what_was_not_is() {
    let rig = ExportRig::new().await;
    rig.write(&["one", "two"]);
    assert_eq!(rig.once().await, (Ok(()), vec![ExportEvent::Sent { lines: 2 }]));
    rig.write(&["three"]);
    rig.collector.answers([CollectorAnswer::Status(503, None)]);
    let (ended, events) = rig.once().await;
    let later = SendFault::Later { status: 503, after: None };
    assert_eq!((ended, events), (Err(ExportError::NotTaken(later)), vec![]));
    assert_eq!(rig.once().await.0, Ok(()));
    assert_eq!(rig.collector.taken(), ["one", "two", "three"]);
}

/// The collector is away for some batches; what is added meanwhile waits behind them.
#[tokio::test]
async fn a_collector_that_comes_back_gets_everything_in_order() {
    let rig = ExportRig::new().await;
    rig.write(&["one"]);
    rig.collector
        .answers([CollectorAnswer::Status(503, None), CollectorAnswer::Status(429, Some("3"))]);
    let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut exporter = rig.exporter_at(CURSOR);
    let running = tokio::spawn(async move {
        exporter.run(ExportMode::Follow, |event| told.send(event).unwrap()).await
    });
    let mut pauses = Vec::new();
    let mut sent = None;
    while sent.is_none() {
        match events.recv().await.unwrap() {
            ExportEvent::NotTaken { pause, .. } => pauses.push(pause.as_secs()),
            event @ (ExportEvent::Sent { .. }
            | ExportEvent::LeftOut { .. }
            | ExportEvent::Partial { .. }
            | ExportEvent::Log(_)) => sent = Some(event),
        }
    }
    assert_eq!(sent, Some(ExportEvent::Sent { lines: 1 }));
    assert_eq!(pauses, [1, 3], "Retry-After is kept");
    rig.write(&["two"]);
    assert_eq!(events.recv().await, Some(ExportEvent::Sent { lines: 1 }));
    assert_eq!(rig.collector.taken(), ["one", "two"]);
    running.abort();
}

/// Killed between the collector's answer and the cursor: the batch comes twice, and nothing is lost.
#[tokio::test]
async fn each_line_is_sent_at_least_once() {
    let rig = ExportRig::new().await;
    rig.write(&["one"]);
    let ended = rig.exporter_at("no-such-folder/cursor.json").run(ExportMode::Once, |_| {}).await;
    assert!(matches!(ended, Err(ExportError::Cursor(_))), "{ended:?}");
    assert_eq!(rig.once().await.0, Ok(()));
    assert_eq!(rig.collector.taken(), ["one", "one"]);
}

#[tokio::test]
async fn a_line_that_is_refused_by_itself_is_left_out_and_told() {
    let rig = ExportRig::new().await;
    rig.write(&["one", "poison", "two", "three"]);
    rig.collector.always(Some(CollectorAnswer::NotWith("poison")));
    let (ended, events) = rig.once().await;
    assert_eq!(ended, Ok(()));
    let fault = SendFault::NotThis { status: 400, said: "not this".to_owned() };
    let left_out = ExportEvent::LeftOut { fault, lines: 1 };
    assert_eq!(events, [ExportEvent::Sent { lines: 3 }, left_out]);
    assert_eq!(rig.collector.taken(), ["one", "two", "three"]);
}

/// Where a collector refuses every line, it is not the lines: none is left out.
#[tokio::test]
async fn a_collector_that_takes_nothing_loses_nothing() {
    let rig = ExportRig::new().await;
    rig.write(&["one", "two"]);
    for status in [400, 401, 404, 301] {
        rig.collector.always(Some(CollectorAnswer::Status(status, None)));
        let (ended, events) = rig.once().await;
        assert!(matches!(ended, Err(ExportError::NotTaken(_))), "{status}");
        assert_eq!(events, [], "{status}");
    }
    rig.collector.always(None);
    assert_eq!(rig.once().await.0, Ok(()));
    assert_eq!(rig.collector.taken(), ["one", "two"]);
}

#[tokio::test]
async fn what_a_collector_rejects_of_a_batch_is_told() {
    let rig = ExportRig::new().await;
    rig.write(&["one"]);
    rig.collector.answers([CollectorAnswer::Partial(1, "too old\u{1b}[2J")]);
    let said = "too old\\u{1b}[2J".to_owned();
    let expected = [ExportEvent::Sent { lines: 1 }, ExportEvent::Partial { rejected: 1, said }];
    assert_eq!(rig.once().await, (Ok(()), expected.to_vec()));
}

#[tokio::test]
async fn headers_come_from_a_file_that_nobody_else_can_write() {
    let rig = ExportRig::new().await;
    rig.write(&["one"]);
    let file = rig.folder.path().join("headers");
    fs::write(&file, "# a token\nAuthorization: Bearer hunter2\n").unwrap();
    let options = Options { headers_file: Some(file.clone()), ..rig.options() };
    let collector = Collector::new(&options).unwrap();
    assert!(!format!("{collector:?}").contains("hunter2"), "attack E6");
    let ended = rig.exporter_to(&options, CURSOR).run(ExportMode::Once, |_| {}).await;
    assert_eq!(ended, Ok(()));
    let requests = rig.collector.state.lock().unwrap().requests.clone();
    assert_eq!(requests.first().unwrap().1, "Bearer hunter2");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
    assert!(matches!(Collector::new(&options), Err(CollectorError::Headers(_))));
}

/// Rotel, a collector that others wrote, as the Makefile unpacks it.
const ROTEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/collector/0.0.1a15/rotel/rotel-agent");

/// A real collector takes the log, and says what it understood of it.
#[tokio::test]
async fn a_real_collector_understands_what_is_sent() {
    if !std::path::Path::new(ROTEL).exists() {
        return crate::skipped::skipped("there is no rotel from PyPI: make runtimes");
    }
    let rig = ExportRig::new().await;
    let line = r#"{"kind":"decision","id":"d-1","time":"2026-01-31T12:00:00Z","verdict":"refused",
        "reason":{"code":"unsigned"},"pod":{"name":"web"}}"#;
    rig.write(&[&line.replace('\n', "")]);
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, grpc) = (free(), free());
    let (address, other) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
    drop((http, grpc));
    let said = fs::File::create(rig.folder.path().join("rotel.log")).unwrap();
    let mut rotel = tokio::process::Command::new(ROTEL)
        .args(["start", "--otlp-http-endpoint", &address.to_string()])
        .args(["--otlp-grpc-endpoint", &other.to_string(), "--exporter", "blackhole"])
        .args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"])
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let options = Options { endpoint: Some(format!("http://{address}/v1/logs")), ..rig.options() };
    // Until it listens, it is a collector that is away.
    let ended = rig.exporter_to(&options, CURSOR);
    let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
    let sending = tokio::spawn(async move {
        let mut exporter = ended;
        exporter.run(ExportMode::Follow, |event| told.send(event).unwrap()).await
    });
    while events.recv().await.unwrap() != (ExportEvent::Sent { lines: 1 }) {
        assert_eq!(rotel.try_wait().unwrap(), None, "the collector runs");
    }
    let log = || fs::read_to_string(rig.folder.path().join("rotel.log")).unwrap();
    while !log().contains("k8s.pod.name: Str(web)") {
        assert_eq!(rotel.try_wait().unwrap(), None, "{}", log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let log = log();
    for expected in [
        "SeverityText: ERROR",
        "Timestamp: 1769860800000000000",
        "EventName: sealgate.decision",
        "log.record.uid: Str(d-1)",
        "sealgate.reason.code: Str(unsigned)",
        "k8s.node.name: Str(node-1)",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    sending.abort();
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_unreachable() {
    let rig = ExportRig::new().await;
    rig.write(&["one"]);
    let endpoint = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1/logs", gone.local_addr().unwrap())
    };
    let options = Options { endpoint: Some(endpoint), ..Options::default() };
    let ended = rig.exporter_to(&options, CURSOR).run(ExportMode::Once, |_| {}).await;
    assert!(matches!(ended, Err(ExportError::NotTaken(SendFault::Unreachable(_)))), "{ended:?}");
}
