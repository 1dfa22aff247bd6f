//! The owned methods with the real gate behind them, on a stand-in runtime that has one image and
//! makes containers of it: what is recorded, and that nothing is done that is not.

use std::num::NonZeroU64;
use std::sync::Arc;

use http::HeaderValue;
use prost::Message;
use sealgate::audit::{self, Log, OnFailure};
use sealgate::containerd::{self, Runtime};
use sealgate::cri::Calls;
use sealgate::cri::{
    Decided, Gate as Deciding, Limits, MemoryOptions, Parts, PolicyMark, ProvenUnder, Recorder,
};
use sealgate::daemon::{CLOCK, node_platform};
use sealgate::host_paths::HostPaths;
use sealgate::image::Digest;
use sealgate::policy::{Documents, Freshness, Material, Mode, PolicyFile, PolicySet, Unmatched};
use sealgate::proto::containerd::services::{
    containers::v1 as containers, content::v1 as content, images::v1 as images,
    snapshots::v1 as snapshots,
};
use sealgate::proto::containerd::types::Descriptor;
use sealgate::proto::{cri, wellknown::Any};
use sealgate::proxy::Interceptor;
use sealgate::registry::{self, Registry};
use serde_json::{Value, json};

use crate::client::{Client, request};
use crate::gate::Gate;
use crate::standin::{Standin, frame};
use crate::tiny::Tiny;

pub const PULL: &str = "/runtime.v1.ImageService/PullImage";
pub const CREATE: &str = "/runtime.v1.RuntimeService/CreateContainer";
pub const START: &str = "/runtime.v1.RuntimeService/StartContainer";
const NAME: &str = "reg.test/prod/app:1";
pub const CONTAINER: &str = "made";
/// A sandbox that the gate has proven.
pub const SANDBOX: &str = "proven-sandbox";

/// A gate that admits one image by its digest, its log, and the runtime behind it.
pub struct House {
    gate: Gate,
    pub standin: Standin,
    recorder: Arc<Recorder>,
    image: Tiny,
    folder: tempfile::TempDir,
}

impl House {
    /// With a policy that lists the image's digest.
    pub fn with(on_failure: OnFailure) -> Self {
        Self::under("enforce", on_failure)
    }

    /// With one that lists another, and only warns: nothing but a record says that the image was
    /// admitted before.
    fn warned(on_failure: OnFailure) -> Self {
        Self::under("warn", on_failure)
    }

    /// With a policy that lists the image's digest, before a node of which this is guarded.
    pub fn guarding(host_paths: HostPaths) -> Self {
        Self::made("enforce", OnFailure::RefuseNew, |calls| calls.guarding(host_paths))
    }

    /// With a policy that lists the image's digest, of a gate that only observes.
    pub fn observing() -> Self {
        Self::under("observe", OnFailure::RefuseNew)
    }

    fn under(action: &'static str, on_failure: OnFailure) -> Self {
        Self::made(action, on_failure, |calls| calls)
    }

    fn made(
        action: &'static str,
        on_failure: OnFailure,
        change: impl FnOnce(Calls) -> Calls + 'static,
    ) -> Self {
        let image = Tiny::files(&[("a", b"a", 0o644)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let options = audit::Options {
            path,
            on_failure,
            reserve_bytes: 0,
            repeat_seconds: NonZeroU64::MIN,
            ..Default::default()
        };
        let recorder =
            Arc::new(Recorder::new(Log::open(options, CLOCK).unwrap(), on_failure, CLOCK));
        let digest = if action == "warn" { Digest::of(b"another") } else { image.digest() };
        let (log, image_of) = (Arc::clone(&recorder), image.clone());
        let gate = Gate::owned(move |socket| {
            let decides = Arc::new(deciding(socket, (action, &digest)));
            let mark = PolicyMark::of(&decides.policy());
            decides.remember_sandbox(SANDBOX, ProvenUnder::of(mark, [])).unwrap();
            let calls: Arc<dyn Interceptor> = Arc::new(Arc::new(change(Calls::new(decides, log))));
            calls
        });
        let standin = gate.standin();
        script(&standin, &image_of);
        Self { gate, standin, recorder, image, folder }
    }

    pub async fn client(&self) -> Client {
        self.gate.client().await
    }

    pub fn create(&self) -> Vec<u8> {
        let spec = cri::ImageSpec {
            image: self.image.id().to_string(),
            user_specified_image: NAME.to_owned(),
            ..Default::default()
        };
        let config = cri::ContainerConfig { image: Some(spec), ..Default::default() };
        cri::CreateContainerRequest {
            config: Some(config),
            pod_sandbox_id: SANDBOX.to_owned(),
            ..Default::default()
        }
        .encode_to_vec()
    }

    /// A pull by digest, and what it is pinned to: the same.
    pub fn pull(&self, auth: Option<cri::AuthConfig>) -> (Vec<u8>, String) {
        let image = format!("reg.test/prod/app@{}", self.image.digest());
        let spec = cri::ImageSpec { image: image.clone(), ..Default::default() };
        let request = cri::PullImageRequest { image: Some(spec), auth, ..Default::default() };
        (request.encode_to_vec(), image)
    }

    /// What the log has written but what came of calls, once it was closed.
    pub async fn lines(&self) -> Vec<Value> {
        self.all_lines().await.into_iter().filter(|line| line["kind"] != "outcome").collect()
    }

    /// What the log has written of what came of calls, once it was closed.
    pub async fn outcomes(&self) -> Vec<Value> {
        self.all_lines().await.into_iter().filter(|line| line["kind"] == "outcome").collect()
    }

    async fn all_lines(&self) -> Vec<Value> {
        self.recorder.close().await;
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The image's digest and id.
    pub fn names(&self) -> (String, String) {
        (self.image.digest().to_string(), self.image.id().to_string())
    }

    /// What the snapshot of a container of the image is made from.
    pub fn parent(&self) -> String {
        Digest::of(&self.image.layers[0]).to_string()
    }

    /// How often the runtime was called so.
    pub fn reached(&self, path: &str) -> usize {
        self.standin.paths().iter().filter(|reached| *reached == path).count()
    }
}

pub fn start() -> Vec<u8> {
    cri::StartContainerRequest { container_id: CONTAINER.to_owned() }.encode_to_vec()
}

fn deciding(socket: &std::path::Path, (action, digest): (&str, &Digest)) -> Deciding {
    let (action, mode) =
        if action == "observe" { ("enforce", Mode::Observe) } else { (action, Mode::Enforce) };
    let text = format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"reg.test/prod/**\"]\n  action: {action}\n  require: {{digest: {{anyOf: \
         [\"{digest}\"]}}}}\n"
    );
    let files = [PolicyFile { name: "a.yaml".to_owned(), bytes: text.into_bytes() }];
    let policy =
        PolicySet::build(Documents::parse(&files).unwrap(), Material::default(), Unmatched::Deny)
            .unwrap();
    let options = registry::Options {
        certs_dirs: Vec::new(),
        docker_configs: Vec::new(),
        ..Default::default()
    };
    Deciding::new(Parts {
        clock: CLOCK,
        platform: node_platform(),
        limits: Limits::default(),
        memory: MemoryOptions::default(),
        policy: policy.in_mode(mode),
        registry: Registry::new(options, CLOCK).unwrap(),
        freshness: Freshness::default(),
        store: None,
        runtime: Runtime::new(containerd::Options {
            socket: socket.to_owned(),
            ..Default::default()
        }),
    })
}

/// containerd with one image, every container of which is made of it.
fn script(standin: &Standin, image: &Tiny) {
    let answer = |path: &str, message: Vec<u8>| {
        standin.script(path, Arc::new(move |_: &[u8]| Ok(message.clone())))
    };
    let (digest, id) = (image.digest(), image.id());
    let pinned = format!("reg.test/prod/app@{digest}");
    let shown =
        cri::Image { id: id.to_string(), repo_digests: vec![pinned.clone()], ..Default::default() };
    let status = cri::ImageStatusResponse { image: Some(shown), ..Default::default() };
    answer("/runtime.v1.ImageService/ImageStatus", status.encode_to_vec());
    let target = Descriptor { digest: digest.to_string(), ..Default::default() };
    let record = images::Image { name: pinned, target: Some(target), ..Default::default() };
    answer(
        "/containerd.services.images.v1.Images/Get",
        images::GetImageResponse { image: Some(record) }.encode_to_vec(),
    );
    let blobs = [(digest, image.manifest.clone()), (id.clone(), image.config.clone())];
    let read = move |message: &[u8]| {
        let asked = content::ReadContentRequest::decode(message).unwrap().digest;
        let found = blobs.iter().find(|(digest, _)| digest.as_str() == asked);
        let (_, data) = found.ok_or_else(|| (5, "no such content".to_owned()))?;
        Ok(content::ReadContentResponse { offset: 0, data: data.clone().into() }.encode_to_vec())
    };
    standin.script("/containerd.services.content.v1.Content/Read", Arc::new(read));
    let parent = Digest::of(&image.layers[0]).to_string();
    let info = snapshots::Info { parent, ..Default::default() };
    let stat = snapshots::StatSnapshotResponse { info: Some(info) };
    answer("/containerd.services.snapshots.v1.Snapshots/Stat", stat.encode_to_vec());
    let made = containers::GetContainerResponse { container: Some(container(&id)) };
    answer("/containerd.services.containers.v1.Containers/Get", made.encode_to_vec());
    answer(
        CREATE,
        cri::CreateContainerResponse { container_id: CONTAINER.to_owned() }.encode_to_vec(),
    );
    answer(START, Vec::new());
    answer(PULL, cri::PullImageResponse { image_ref: id.to_string() }.encode_to_vec());
}

fn container(id: &Digest) -> containers::Container {
    let any =
        |value: &Value| Any { type_url: String::new(), value: serde_json::to_vec(value).unwrap() };
    let notes = json!({"Version": "v1", "Metadata": {
        "ImageRef": id.to_string(),
        "Config": {"metadata": {"name": "main"}, "image": {"image": id.to_string(), "user_specified_image": NAME}},
    }});
    containers::Container {
        id: CONTAINER.to_owned(),
        runtime: Some(containers::container::Runtime {
            name: "io.containerd.runc.v2".to_owned(),
            options: None,
        }),
        spec: Some(any(&json!({
            "mounts": [], "annotations": {"io.kubernetes.cri.sandbox-id": SANDBOX},
        }))),
        snapshotter: "overlayfs".to_owned(),
        snapshot_key: CONTAINER.to_owned(),
        extensions: [("io.cri-containerd.container.metadata".to_owned(), any(&notes))].into(),
        ..Default::default()
    }
}

/// How many decisions the log has written, once it was closed.
async fn written(house: &House) -> usize {
    house.lines().await.len()
}

#[tokio::test]
async fn what_is_made_of_an_admitted_image_starts() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.status(), (0, String::new()));
    assert_eq!(client.call(START, &start()).await.status(), (0, String::new()));
    assert_eq!(written(&house).await, 1);
}

/// Attack G: a start that could not be recorded was refused, and the next attempt must not find the
/// container proven.
#[tokio::test]
async fn attack_g_a_start_that_is_not_on_record_is_refused_every_time() {
    let house = House::warned(OnFailure::RefuseNew);
    let mut client = house.client().await;
    house.recorder.close().await;
    for attempt in 0..3 {
        let (code, text) = client.call(START, &start()).await.status();
        assert_eq!(code, 14, "attempt {attempt}: {text}");
    }
    assert_eq!(house.reached(START), 0);
}

/// Attack G: where nothing may happen without a record, a container of an image admitted before is
/// not made either.
#[tokio::test]
async fn attack_g_without_a_log_nothing_is_made_where_all_is_to_be_refused() {
    let house = House::with(OnFailure::RefuseAll);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    house.recorder.close().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 14);
    assert_eq!(house.reached(CREATE), 1);
}

/// And where it may, it is made.
#[tokio::test]
async fn an_image_admitted_before_needs_no_log() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    house.recorder.close().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
}

/// A rule that names the digest admits it again: it was admitted before, whatever this process has
/// on record. What only a warning lets in was not, however often it is tried.
#[tokio::test]
async fn attack_g_without_a_log_only_what_a_digest_rule_or_a_record_vouches_for_is_made() {
    for (house, code) in
        [(House::with(OnFailure::RefuseNew), 0), (House::warned(OnFailure::RefuseNew), 14)]
    {
        let mut client = house.client().await;
        house.recorder.close().await;
        for _ in 0..3 {
            assert_eq!(client.call(CREATE, &house.create()).await.code(), code);
        }
        assert_eq!(house.reached(CREATE), if code == 0 { 3 } else { 0 });
    }
    let house = House::warned(OnFailure::RefuseNew);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    house.recorder.close().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0, "it is on record");
    assert_eq!(house.recorder.decided().warned, 2);
}

/// A container is of all its images or is not made: the record of the first, which was admitted, is
/// taken back with the refusal of the second, and names both strings that the request had.
#[tokio::test]
async fn a_refusal_of_the_second_image_takes_back_the_record_of_the_first() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let mut asked = cri::CreateContainerRequest::decode(&*house.create()).unwrap();
    let image = cri::ImageSpec { image: "no reference at all".to_owned(), ..Default::default() };
    let volume =
        cri::Mount { container_path: "/v".to_owned(), image: Some(image), ..Default::default() };
    asked.config.as_mut().unwrap().mounts = vec![volume];
    let refusal = client.call(CREATE, &asked.encode_to_vec()).await;
    assert_ne!(refusal.code(), 0);
    assert_eq!(house.reached(CREATE), 0);
    house.recorder.close().await;
    let lines = audit::read::Reader::open(&house.folder.path().join("audit.jsonl")).unwrap();
    let records: Vec<audit::Record> = lines
        .map(|line| match line.unwrap().entry {
            audit::Entry::Decision(record) => *record,
            other @ (audit::Entry::Note(_)
            | audit::Entry::Finding(_)
            | audit::Entry::Outcome(_)
            | audit::Entry::Head(_)
            | audit::Entry::Checkpoint(_)) => panic!("{other:?}"),
        })
        .collect();
    let of = |verdict, supersedes: bool| {
        let found: Vec<_> = records
            .iter()
            .filter(|record| record.verdict == verdict && record.supersedes.is_some() == supersedes)
            .collect();
        assert_eq!(found.len(), 1, "{verdict}: {records:#?}");
        found[0]
    };
    let (first, second) = (of(audit::Verdict::Admitted, false), of(audit::Verdict::Refused, false));
    let back = of(audit::Verdict::Refused, true);
    assert_eq!((back.supersedes, &back.reason), (Some(first.id), &second.reason));
    assert_eq!(
        (first.reference.as_str(), first.image.clone()),
        (NAME, Some(house.image.id().to_string()))
    );
    assert_eq!((second.reference.as_str(), second.image.as_deref()), ("no reference at all", None));
    assert_eq!((second.call, first.call), (audit::Call::ImageVolume, audit::Call::CreateContainer));
    let told = refusal.status().1;
    assert!(told.ends_with(&format!("[decision {}]", second.id)), "{told}");
}

/// A deadline that is spent is a refusal like any other: it is on record, and says that it takes
/// the admission back.
#[tokio::test]
async fn what_is_refused_for_its_deadline_is_recorded() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    assert_eq!(client.call(CREATE, &house.create()).await.code(), 0);
    for (path, message) in [(CREATE, house.create()), (START, start())] {
        let mut late = request(path, frame(&message));
        late.headers_mut().insert("grpc-timeout", HeaderValue::from_static("0n"));
        assert_eq!(client.send(late).await.code(), 4, "{path}");
    }
    assert_eq!((house.reached(CREATE), house.reached(START)), (1, 0));
    // Two admissions, the second of them taken back, and the start.
    assert_eq!(written(&house).await, 4);
    let decided = Decided { admitted: 2, unable: 2, ..Decided::default() };
    assert_eq!(house.recorder.decided(), decided);
}

/// Attack D2: what is refused before it is read is on record as well.
#[tokio::test]
async fn attack_d2_what_is_refused_unread_is_recorded() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let mut compressed = frame(b"x").to_vec();
    compressed[0] = 1;
    for (nth, path) in (1..).zip([PULL, CREATE, START]) {
        assert_eq!(client.send(request(path, compressed.clone())).await.code(), 12);
        assert_eq!(house.recorder.health().1.written, nth, "{path}");
    }
    for (nth, path) in (4..).zip([
        "/runtime.v1.RuntimeService/RestorePod",
        "/containerd.services.images.v1.Images/Create",
        "/runtime.v1alpha2.ImageService/PullImage",
    ]) {
        assert_eq!(client.call(path, b"x").await.code(), 12);
        assert_eq!(house.recorder.health().1.written, nth, "{path}");
    }
    assert_eq!(house.recorder.decided(), Decided { refused: 6, ..Decided::default() });
    assert_eq!(house.standin.paths(), [""; 0]);
}

/// Attack D1: each image volume costs a decision and a copy of the request; a pod may not have any
/// number of them.
#[tokio::test]
async fn attack_d1_more_image_volumes_than_a_pod_needs_are_refused() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let mut asked = cri::CreateContainerRequest::decode(&*house.create()).unwrap();
    let config = asked.config.as_mut().unwrap();
    let volume = |nth: usize| cri::Mount {
        container_path: format!("/v{nth}"),
        image: config.image.clone(),
        ..Default::default()
    };
    config.mounts = (0..65).map(volume).collect();
    let (code, text) = client.call(CREATE, &asked.encode_to_vec()).await.status();
    assert_eq!((code, house.standin.paths().len()), (2, 0), "{text}");
    assert!(text.contains("image volumes"), "{text}");
    assert_eq!(house.recorder.health().1.written, 1);
}

/// Attack D2: what may stand once and stands twice is merged by one parser and replaced by another;
/// it reaches nobody.
#[tokio::test]
async fn attack_d2_two_configs_sandboxes_or_images_in_one_request_are_refused() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let good = house.create();
    let evil = cri::CreateContainerRequest {
        config: Some(cri::ContainerConfig {
            image: Some(cri::ImageSpec {
                image: Digest::of(b"evil").to_string(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let sandbox = cri::CreateContainerRequest {
        sandbox_config: Some(cri::PodSandboxConfig::default()),
        ..Default::default()
    };
    let image = cri::PullImageRequest {
        image: Some(cri::ImageSpec { image: NAME.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let (evil, sandbox, image) =
        (evil.encode_to_vec(), sandbox.encode_to_vec(), image.encode_to_vec());
    for (path, message) in [
        (CREATE, [&good[..], &evil].concat()),
        (CREATE, [&evil[..], &good].concat()),
        (CREATE, [&good[..], &sandbox, &sandbox].concat()),
        (PULL, [&image[..], &image].concat()),
    ] {
        assert_eq!(client.call(path, &message).await.code(), 3, "{path}");
    }
    assert_eq!(house.standin.paths(), [""; 0]);
}
