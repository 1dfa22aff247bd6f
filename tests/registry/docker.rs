//! Against docker's own registry, version 2.8: no referrers endpoint, its own header.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealgate::image::Digest;
use sealgate::registry::{Access, Class, Referrers, Support};
use tempfile::TempDir;

use crate::rig::{NAME, Rig, clock, push, repository, session};
use crate::skipped::skipped;
use crate::support::{Settings, TestRegistry};

/// A running docker-registry; killed when dropped.
struct Docker {
    child: Child,
    host: String,
    _folder: TempDir,
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start() -> Option<Docker> {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
         {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
        folder.path().join("data").display()
    );
    let file = folder.path().join("config.yml");
    std::fs::write(&file, config).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        skipped("docker-registry is not installed");
        return None;
    };
    let docker = Docker { child, host: address.to_string(), _folder: folder };
    let end = clock().steady() + Duration::from_secs(20);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(clock().steady() < end, "docker-registry does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(docker)
}

/// Pushes byte for byte over the registry's API.
async fn copy(docker: &Docker, bytes: Vec<u8>, config: &[u8]) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let root = format!("http://{}/v2/acme/app", docker.host);
    let begun = client.post(format!("{root}/blobs/uploads/")).send().await.unwrap();
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    let digest = Digest::of(config);
    let done = client
        .put(format!("{location}&digest={digest}"))
        .body(config.to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), 201);
    let put = client
        .put(format!("{root}/manifests/1"))
        .header("content-type", crate::support::OCI_MANIFEST);
    let answer = put.body(bytes).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
}

#[tokio::test]
async fn dockers_registry() {
    let Some(docker) = start() else { return };
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        crate::support::OCI_MANIFEST,
        Digest::of(config),
        config.len()
    );
    let digest = Digest::of(manifest.as_bytes());
    copy(&docker, manifest.clone().into_bytes(), config).await;
    let rig = Rig::new();
    rig.hosts(NAME, &format!("server = \"http://{}\"\n", docker.host));
    let registry = rig.registry();
    let session = session(&registry, &Access::default());
    let fetched = session.tag(&repository(), "1").await.unwrap();
    assert_eq!((fetched.digest, fetched.bytes.as_ref()), (digest.clone(), manifest.as_bytes()));
    assert!(fetched.docker_distribution);
    assert_eq!(session.referrers(&repository(), &digest).await, Ok(Referrers::NoEndpoint));
    assert_eq!(registry.referrers_support(&repository()), Support::None);
    let size = u64::try_from(config.len()).unwrap();
    assert_eq!(
        session.blob(&repository(), &Digest::of(config), size, size).await.unwrap().as_ref(),
        config
    );
    assert_eq!(session.tag(&repository(), "2").await.unwrap_err().class(), Class::Absent);
    assert_eq!(
        session.manifest(&repository(), &Digest::of(b"x")).await.unwrap_err().class(),
        Class::Absent
    );
}

/// The test registry answers like the real one where both are asked the same.
#[tokio::test]
async fn the_double_answers_as_dockers_registry_does() {
    let Some(docker) = start() else { return };
    let double = TestRegistry::start(Settings::without_referrers());
    push(&double);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let zeros = format!("sha256:{}", "0".repeat(64));
    for path in [
        "/v2/".to_owned(),
        "/v2/no/such/manifests/1".to_owned(),
        format!("/v2/no/such/manifests/{zeros}"),
        format!("/v2/no/such/blobs/{zeros}"),
        format!("/v2/acme/app/referrers/{zeros}"),
    ] {
        let mut answers = Vec::new();
        for host in [docker.host.clone(), double.host()] {
            answers.push(client.get(format!("http://{host}{path}")).send().await.unwrap().status());
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
}
