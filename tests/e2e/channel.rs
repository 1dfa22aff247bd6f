//! The socket itself: what it serves and what it does not, how requests travel, and a runtime that
//! goes away under it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use prost::Message as _;
use sealgate::proto::cri::{
    ContainerConfig, ContainerEventResponse, ContainerMetadata, CreateContainerRequest,
    GetEventsRequest, ImageSpec, PullImageRequest, VersionRequest,
};
use tonic::{Code, Streaming};

use crate::acts::{containers, digest_of, past_the_gate};
use crate::containerd::{Cri, Flavour, Pod};
use crate::ensure;
use crate::pace::Pace;
use crate::raw::{Raw, Tap, frame};
use crate::registry::{Answer, Rule};
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, expect_refusal};

const PULL: &str = "/runtime.v1.ImageService/PullImage";
/// What the journal says of a runtime that is gone.
const AWAY: &str = "the runtime cannot be reached";
/// How long an event may take.
const EVENT_MAX: Duration = Duration::from_secs(60);
const CREATE: &str = "/runtime.v1.RuntimeService/CreateContainer";
/// A field number that no version of the API has, and words that are not in any request.
const UNKNOWN_FIELD: u32 = 14_321;
const WORDS: &[u8] = b"a field that nobody knows yet";

/// Facts H6 and C11: native services, the older CRI, other spellings, HTTP/1, methods that bring
/// content.
pub async fn other_services() -> Outcome {
    for flavour in Flavour::all() {
        let version = flavour.version;
        let stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
        let mut raw = Raw::connect(&stage.socket()).await?;
        let mut direct = Raw::connect(&stage.containerd.socket()).await?;
        let pull = PullImageRequest {
            image: Some(ImageSpec {
                image: format!("{HOST}/prod/unsigned:v1"),
                ..ImageSpec::default()
            }),
            ..PullImageRequest::default()
        };
        let native = "/containerd.services.images.v1.Images/List";
        let served = direct.send(native, &[("containerd-namespace", "k8s.io")], frame(b"")).await?;
        ensure!(served.code == 0, "the runtime itself does not serve {native}: {served:?}");
        let refused = [
            native,
            "/containerd.services.containers.v1.Containers/List",
            "/containerd.services.tasks.v1.Tasks/Create",
            "/runtime.v1alpha2.ImageService/PullImage",
            "/runtime.v1alpha2.RuntimeService/CreateContainer",
            "/runtime.v1.RuntimeService/RestorePod",
            "/runtime.v1.ImageService/PullSecurityProfileArtifact",
            "/runtime.v1.RuntimeService/PullSecurityProfileArtifact",
            "//runtime.v1.ImageService/PullImage",
            "/runtime.v1.ImageService/PullImage/",
            "/runtime.v1.ImageService/PullImage?x=y",
            "/runtime.v1.ImageService/Pull%49mage",
            "/grpc.health.v1.Health/Check",
        ];
        for path in refused {
            let answer = raw
                .send(path, &[("containerd-namespace", "k8s.io")], frame(&pull.encode_to_vec()))
                .await?;
            ensure!(answer.code == 12 && answer.text.contains("sealgate"), "{path}: {answer:?}");
        }
        let passed = raw.call("/runtime.v1.RuntimeService/NotYetInvented", b"").await?;
        ensure!(
            passed.code == 12 && passed.text.contains("unknown method"),
            "an unknown method: {passed:?}"
        );
        let list = stage.containerd.ctr(&["images", "ls", "-q"]);
        ensure!(!list.contains("unsigned"), "a refused call pulled: {list}");
        http1(&stage)?;
        println!(
            "   containerd {}.{}: {} paths are UNIMPLEMENTED by the gate, an unknown method by the \
             runtime: {}",
            version.0,
            version.1,
            refused.len(),
            passed.text
        );
    }
    Ok(())
}

/// HTTP/1.1 gets no answer of HTTP/1.1.
fn http1(stage: &Stage) -> Outcome {
    let mut stream = std::os::unix::net::UnixStream::connect(stage.socket())?;
    stream.write_all(
        format!("POST {PULL} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    // Until the gate ends the connection, which it may also reset.
    drop(stream.read_to_end(&mut answer));
    ensure!(
        !answer.starts_with(b"HTTP/1"),
        "HTTP/1 was answered: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

fn create_request(pod: &Pod, image: &str, asked: &str) -> CreateContainerRequest {
    let image = ImageSpec {
        image: image.to_owned(),
        user_specified_image: asked.to_owned(),
        ..ImageSpec::default()
    };
    let metadata = ContainerMetadata { name: "raw".to_owned(), attempt: 0 };
    CreateContainerRequest {
        pod_sandbox_id: pod.id.clone(),
        config: Some(ContainerConfig {
            metadata: Some(metadata),
            image: Some(image),
            ..ContainerConfig::default()
        }),
        sandbox_config: Some(pod.config.clone()),
    }
}

/// Attack D2: fields that nobody knows travel, and what cannot be read as exactly one plain message
/// does not.
pub async fn requests_travel() -> Outcome {
    let mut stage = Stage::usual().await?;
    let tap = Tap::between(stage.folder().join("tap.sock"), stage.containerd.socket())?;
    stage.kill_gate()?;
    let config = fs::read_to_string(stage.config())?;
    let (there, here) =
        (stage.containerd.socket().display().to_string(), tap.socket().display().to_string());
    fs::write(stage.config(), config.replace(&there, &here))?;
    stage.start_gate().await?;

    let name = format!("{HOST}/prod/signed-v2:v1");
    let unknown = unknown_field();
    let image = ImageSpec { image: name.clone(), ..ImageSpec::default() };
    let pull =
        PullImageRequest { image: Some(image), ..PullImageRequest::default() }.encode_to_vec();
    let mut raw = Raw::connect(&stage.socket()).await?;
    let pulled = raw.call(PULL, &[&pull[..], &unknown].concat()).await?;
    ensure!(
        pulled.code == 0 && tap.count(&unknown) == 1,
        "the field of the pull did not arrive: {pulled:?}"
    );
    let pinned = format!("{HOST}/prod/signed-v2@{}", digest_of(&stage, "prod/signed-v2", "v1")?);
    ensure!(tap.count(pinned.as_bytes()) > 0, "the pull was not pinned");

    let id = stage.cri().image(&name).await?.ok_or("not pulled")?.id;
    let pod = stage.pod().await?;
    let create = create_request(&pod, &name, &name).encode_to_vec();
    let created = raw.call(CREATE, &[&create[..], &unknown].concat()).await?;
    ensure!(
        created.code == 0 && tap.count(&unknown) == 2,
        "the field of the create did not arrive: {created:?}"
    );
    println!("   a field that nobody knows arrived with a pull and with a create, pinned to {id}");

    let large = [&pull[..], &length_delimited(UNKNOWN_FIELD, &vec![b'x'; 15 << 20])].concat();
    let answer = raw.call(PULL, &large).await?;
    ensure!(answer.code == 0, "15 MiB: {answer:?}");
    println!("   a pull of {} MiB passed", large.len() >> 20);
    unreadable(&stage, &tap, &pull).await
}

/// What cannot be read as exactly one plain message is refused, and nothing of it arrives.
async fn unreadable(stage: &Stage, tap: &Tap, pull: &[u8]) -> Outcome {
    let marked = frame(&[pull, &length_delimited(UNKNOWN_FIELD, b"must not arrive")].concat());
    let mut compressed = marked.clone();
    compressed[0] = 1;
    let twice = length_delimited(
        1,
        &ImageSpec { image: format!("{HOST}/prod/unsigned:v1"), ..ImageSpec::default() }
            .encode_to_vec(),
    );
    let mut two_images = pull.to_vec();
    two_images.extend_from_slice(&twice);
    two_images.extend_from_slice(&length_delimited(UNKNOWN_FIELD, b"must not arrive"));
    let cut = marked[..marked.len() - 3].to_vec();
    let bad = [
        ("compressed", compressed),
        ("two messages", [&marked[..], &marked[..]].concat()),
        ("two images", frame(&two_images)),
        ("cut short", cut),
        ("no protobuf", frame(b"must not arrive")),
        ("too large", frame(&vec![b'm'; (16 << 20) + 1])),
    ];
    for (what, body) in bad {
        let headers: &[(&str, &str)] =
            if what == "compressed" { &[("grpc-encoding", "gzip")] } else { &[] };
        for path in [PULL, CREATE] {
            let answer =
                Raw::connect(&stage.socket()).await?.send(path, headers, body.clone()).await?;
            ensure!(answer.code > 0, "{what} to {path}: {answer:?}");
            println!("   {what} to {path}: {} {}", answer.code, answer.text);
        }
    }
    ensure!(tap.count(b"must not arrive") == 0, "something that could not be read arrived");
    Ok(())
}

fn unknown_field() -> Vec<u8> {
    length_delimited(UNKNOWN_FIELD, WORDS)
}

/// A protobuf field of wire type 2.
fn length_delimited(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::encode_varint(u64::from(number) << 3 | 2, &mut field);
    prost::encoding::encode_varint(bytes.len().try_into().expect("a length"), &mut field);
    field.extend_from_slice(bytes);
    field
}

/// A stream of events ends with UNAVAILABLE, after the events that were on their way.
async fn end_unavailable(events: &mut Streaming<ContainerEventResponse>) -> Outcome {
    let ended = loop {
        match tokio::time::timeout(EVENT_MAX, events.message()).await? {
            Ok(Some(_)) => {}
            Ok(None) => {
                return Err(Failure("the stream ended as if the runtime had said so".to_owned()));
            }
            Err(ended) => break ended,
        }
    };
    ensure!(ended.code() == Code::Unavailable, "the stream ended with {ended}");
    Ok(())
}

async fn version_is_unavailable(cri: &Cri) -> Outcome {
    let answer = cri.runtime.clone().version(VersionRequest::default()).await;
    let down = answer.err().ok_or("who answers?")?;
    ensure!(down.code() == Code::Unavailable, "while the runtime is away: {down}");
    Ok(())
}

/// Fact H1: the runtime goes away under an open stream, and while nothing happens, and comes back.
pub async fn containerd_restart() -> Outcome {
    for flavour in Flavour::all() {
        let version = flavour.version;
        let mut stage = Stage::set(Props { flavour, ..Props::usual()? }).await?;
        let cri = stage.cri();
        let has_events = version >= (1, 7);
        for kill in [false, true] {
            let mut events = events(&cri, has_events).await?;
            let began = Instant::now();
            if kill {
                stage.containerd.kill9()
            } else {
                stage.containerd.stop()
            }
            if let Some(events) = &mut events {
                end_unavailable(events).await?;
            }
            let asked = Instant::now();
            version_is_unavailable(&cri).await?;
            let at_once = asked.elapsed();
            let before = stage.gate_log().matches(AWAY).count();
            for _ in 0..50 {
                version_is_unavailable(&cri).await?;
            }
            let lines = stage.gate_log().matches(AWAY).count();
            ensure!(lines == before && lines > 0, "{before} lines became {lines} by 50 calls");
            let create = cri
                .pull(&format!("{HOST}/prod/signed-v2:v1"))
                .await
                .err()
                .ok_or("pulled by nobody")?;
            ensure!(
                create.code() == Code::Unavailable,
                "a pull while the runtime is away: {create}"
            );
            stage.containerd.start_again().await;
            let pid = stage.gate_pid();
            let up = cri.runtime.clone().version(VersionRequest::default()).await?.into_inner();
            println!(
                "   containerd {} {}: UNAVAILABLE in {:.1} ms, {} again after {:.1} s, the gate is \
                 still process {pid:?}",
                up.runtime_version,
                if kill { "killed" } else { "restarted" },
                at_once.as_secs_f64() * 1e3,
                up.runtime_name,
                began.elapsed().as_secs_f64(),
            );
        }
        hung(&stage)?;
        // Gone and back while nobody asks: the next calls just work, the gate's own among them.
        stage.containerd.restart().await;
        let (exit, _) = stage.pull_and_run(&format!("{HOST}/prod/signed-v2:v1")).await?;
        ensure!(exit == 0, "after a restart: {exit}");
    }
    Ok(())
}

/// A runtime that hangs is said by `sealgate status`, with all the rest.
fn hung(stage: &Stage) -> Outcome {
    let pace = Pace::now()?;
    stage.containerd.signal("STOP");
    let began = Instant::now();
    let status = stage.sealgate(&["status"]);
    let took = began.elapsed();
    stage.containerd.signal("CONT");
    let status = status?;
    let words = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(
        status.status.code() == Some(1) && words.contains("did not answer"),
        "{}: {words}",
        status.status
    );
    ensure!(words.contains("audit ") && words.contains("clients "), "{words}");
    // Half a second of waiting, and what a busy machine adds.
    pace.hold("status", took, Duration::from_secs(4))?;
    println!("   while it hangs, status ends with 1 after {:.0} ms", took.as_secs_f64() * 1e3);
    Ok(())
}

/// The open event stream of a runtime that has one, after its first event (fact H4).
async fn events(
    cri: &Cri,
    has_events: bool,
) -> Result<Option<Streaming<ContainerEventResponse>>, Failure> {
    let mut runtime = cri.runtime.clone();
    // The runtime sends nothing, not even headers, before the first event.
    let opening =
        tokio::spawn(async move { runtime.get_container_events(GetEventsRequest {}).await });
    if !has_events {
        let ended = match opening.await? {
            Ok(events) => events.into_inner().message().await.err(),
            Err(ended) => Some(ended),
        };
        let ended = ended.ok_or("this runtime streams events")?;
        ensure!(ended.code() == Code::Unimplemented, "{ended}");
        return Ok(None);
    }
    let pod = cri.run_pod("prod-eu").await?;
    let mut events = tokio::time::timeout(EVENT_MAX, opening).await???.into_inner();
    let event = tokio::time::timeout(EVENT_MAX, events.message()).await??;
    ensure!(event.is_some_and(|event| event.container_id == pod.id), "no event of the pod");
    Ok(Some(events))
}

/// Fact P11: nothing is forwarded whose deadline is nearly spent.
pub async fn deadline() -> Outcome {
    let stage = Stage::usual().await?;
    let signed = format!("{HOST}/prod/signed-v2:v1");
    let id = past_the_gate(&stage, &signed).await?;
    let pod = stage.pod().await?;
    stage.registry.rule(Rule::new("/manifests/", Answer::Hang).user_agent("sealgate/"));
    let limit = Duration::from_secs(3);
    let mut request = tonic::Request::new(create_request(&pod, &id, &signed));
    request.set_timeout(limit);
    let began = Instant::now();
    let refusal = stage
        .cri()
        .runtime
        .create_container(request)
        .await
        .err()
        .ok_or("created without a decision")?;
    let took = began.elapsed();
    println!(
        "   after {:.1} s of {limit:?}: {:?}: {}",
        took.as_secs_f64(),
        refusal.code(),
        refusal.message()
    );
    ensure!(took < limit, "it took {took:?}");
    let unreachable = refusal.message().starts_with("RegistryUnavailable: ");
    ensure!(refusal.code() == Code::DeadlineExceeded || unreachable, "{refusal}");
    let records = stage.records();
    let record = records.last().ok_or("no record")?;
    ensure!(record["call"] == "CreateContainer" && record["verdict"] != "admitted", "{record:#}");
    // Well after the caller's deadline nothing was made.
    tokio::time::sleep(limit).await;
    ensure!(containers(&stage).await?.is_empty(), "a container was made");
    stage.registry.clear_rules();
    tokio::time::sleep(Duration::from_millis(1)).await;
    // What hung is not remembered as unsigned, and the name was not left reserved.
    crate::acts::eventually(
        "it is admitted once the registry answers",
        Duration::from_secs(60),
        async || stage.cri().create(&pod, by_id(&id, &signed)).await.is_ok(),
    )
    .await?;
    let spent = tonic::Request::new(create_request(&pod, &id, &signed));
    let mut spent = spent;
    spent.set_timeout(Duration::from_micros(1));
    let refusal = stage
        .cri()
        .runtime
        .create_container(spent)
        .await
        .err()
        .ok_or("created with no time left")?;
    expect_refusal(&refusal, refusal.code(), "", &[])?;
    ensure!(containers(&stage).await?.len() == 1, "a container was made with no time left");
    Ok(())
}
