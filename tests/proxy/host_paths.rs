//! CreateContainer for containers that reach what the gate rests on: reported or refused, and on
//! record.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use prost::Message;
use sealgate::host_paths::{Action, Allowed, Guarded, HostPaths, Options, Target};
use sealgate::proto::cri;
use serde_json::Value;

use crate::decide::{CREATE, House};

/// A folder with a runtime's socket in it.
fn node() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("run/containerd")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("run/containerd/containerd.sock"), "").unwrap();
    folder
}

fn house(node: &Path, options: &Options) -> House {
    let guarded = Guarded { path: node.join("run/containerd"), what: Target::RuntimeSocket };
    House::guarding(HostPaths::new(options, vec![guarded]).unwrap())
}

fn refusing() -> Options {
    Options { action: Action::Refuse, ..Options::default() }
}

/// The house's own request for a container, in this namespace, with this changed.
fn create(house: &House, namespace: &str, change: impl Fn(&mut cri::ContainerConfig)) -> Vec<u8> {
    let mut request = cri::CreateContainerRequest::decode(house.create().as_slice()).unwrap();
    request.config.as_mut().map(change);
    let metadata = cri::PodSandboxMetadata {
        name: "agent".to_owned(),
        namespace: namespace.to_owned(),
        ..Default::default()
    };
    request.sandbox_config =
        Some(cri::PodSandboxConfig { metadata: Some(metadata), ..Default::default() });
    request.encode_to_vec()
}

fn mounting(house: &House, path: &Path) -> Vec<u8> {
    create(house, "default", |config| {
        let host_path = path.display().to_string();
        config.mounts = vec![cri::Mount { host_path, ..Default::default() }];
    })
}

/// The findings on record, as their code and what was done.
async fn found(house: &House) -> Vec<(Value, Value)> {
    let lines = house.lines().await;
    let findings = lines.into_iter().filter(|line| line["finding"] == "host-path");
    findings
        .map(|line| (line["reason"]["code"].clone(), line["detail"]["action"].clone()))
        .collect()
}

#[tokio::test]
async fn what_reaches_the_runtime_is_made_and_on_record_by_default() {
    let node = node();
    let house = house(node.path(), &Options::default());
    let request = mounting(&house, &node.path().join("run"));
    assert_eq!(house.client().await.call(CREATE, &request).await.code(), 0);
    assert_eq!(found(&house).await, [("host-path".into(), "reported".into())]);
}

#[tokio::test]
async fn an_ordinary_mount_leaves_no_finding() {
    let node = node();
    let house = house(node.path(), &refusing());
    let request = mounting(&house, &node.path().join("data"));
    assert_eq!(house.client().await.call(CREATE, &request).await.code(), 0);
    assert_eq!(found(&house).await, []);
}

/// Attack F (C14): each of these would let the pod run what it likes beside the gate.
#[tokio::test]
async fn attack_f_no_spelling_of_a_way_to_the_runtime_is_made() {
    let node = node();
    let at = |path: &str| node.path().join(path);
    symlink(at("run/containerd/containerd.sock"), at("data/innocent")).unwrap();
    symlink("../run", at("data/var-run")).unwrap();
    let house = house(node.path(), &refusing());
    let mut client = house.client().await;
    for path in [
        "data/innocent",
        "data/var-run/containerd",
        "run/containerd/containerd.sock",
        "run",
        "data/../run//containerd/.",
        "/",
        "/proc/1/root",
        "/proc/self/root/run",
    ] {
        let (code, text) = client.call(CREATE, &mounting(&house, &at(path))).await.status();
        assert_eq!(code, 7, "{path}: {text}");
        assert!(text.contains("host_paths.allow") && text.contains("default/agent"), "{text}");
    }
    assert!(!house.standin.paths().iter().any(|path| path == CREATE));
    assert!(found(&house).await.iter().all(|(_, done)| done == "refused"));
}

/// Attack F (C14): a privileged container among the host's processes can enter any of them.
#[tokio::test]
async fn attack_f_privilege_among_the_hosts_processes_is_not_made() {
    let node = node();
    let house = house(node.path(), &refusing());
    let mut client = house.client().await;
    let linux = |privileged, added: &str, pid: cri::NamespaceMode| cri::LinuxContainerConfig {
        security_context: Some(cri::LinuxContainerSecurityContext {
            privileged,
            capabilities: Some(cri::Capability { add_capabilities: vec![added.to_owned()] }),
            namespace_options: Some(cri::NamespaceOption { pid: pid.into(), ..Default::default() }),
        }),
    };
    let (node_pids, pod_pids) = (cri::NamespaceMode::Node, cri::NamespaceMode::Pod);
    for (privileged, added, pid, code) in [
        (true, "", node_pids, 7),
        (true, "", pod_pids, 0),
        (false, "", node_pids, 0),
        (false, "SYS_PTRACE", node_pids, 7),
        (false, "cap_sys_admin", node_pids, 7),
        (false, "ALL", node_pids, 7),
        (false, "SYS_PTRACE", pod_pids, 0),
        (false, "NET_ADMIN", node_pids, 0),
    ] {
        let request = create(&house, "default", |config| {
            config.linux = Some(linux(privileged, added, pid));
        });
        let code_of = client.call(CREATE, &request).await.code();
        assert_eq!(code_of, code, "{privileged} {added:?} {pid:?}");
    }
}

/// Attack F: the device of a disk, asked for without any mount (field 8 of a container's
/// configuration, in it field 2).
#[tokio::test]
async fn attack_f_the_memory_of_the_node_is_no_device_for_a_pod() {
    let node = node();
    let house = house(node.path(), &refusing());
    let mut client = house.client().await;
    for (path, code) in [("/dev/mem", 7), ("/dev/../dev//port", 7), ("/dev/null", 0)] {
        let mut device = vec![0x12, u8::try_from(path.len()).unwrap()];
        device.extend_from_slice(path.as_bytes());
        let request =
            cri::CreateContainerRequest::decode(create(&house, "default", |_| {}).as_slice())
                .unwrap();
        let mut config = request.config.clone().unwrap().encode_to_vec();
        config.extend([0x42, u8::try_from(device.len()).unwrap()]);
        config.extend(device);
        let mut message = cri::CreateContainerRequest { config: None, ..request }.encode_to_vec();
        message.push(0x12);
        prost::encoding::encode_varint(u64::try_from(config.len()).unwrap(), &mut message);
        message.extend(config);
        assert_eq!(client.call(CREATE, &message).await.code(), code, "{path}");
    }
}

/// Agents of the node may, by namespace and by image; where an entry names both, both must fit.
#[tokio::test]
async fn what_is_on_the_list_is_made_and_on_record() {
    let node = node();
    let entry = |namespace: &str, image: &str| Allowed {
        namespaces: vec![namespace.to_owned()],
        images: vec![image.to_owned()],
    };
    let allow = vec![entry("kube-system", "reg.test/prod/**"), entry("default", "reg.test/net/**")];
    let house = house(node.path(), &Options { allow, ..refusing() });
    let mut client = house.client().await;
    for (namespace, code) in [("kube-system", 0), ("default", 7), ("other", 7)] {
        let request = create(&house, namespace, |config| {
            let host_path = node.path().display().to_string();
            config.mounts = vec![cri::Mount { host_path, ..Default::default() }];
        });
        assert_eq!(client.call(CREATE, &request).await.code(), code, "{namespace}");
    }
    let done: Vec<Value> = found(&house).await.into_iter().map(|(_, done)| done).collect();
    assert_eq!(done.iter().filter(|done| *done == "allowed").count(), 1, "{done:?}");
}

/// Two security contexts: parsers that merge them and parsers that take the last differ.
#[tokio::test]
async fn attack_d2_a_security_context_that_stands_twice_is_refused() {
    let node = node();
    let house = house(node.path(), &refusing());
    let request =
        cri::CreateContainerRequest::decode(create(&house, "default", |_| {}).as_slice()).unwrap();
    let mut config = request.config.clone().unwrap().encode_to_vec();
    // ContainerConfig.linux (15) with two security_context (2), each of privileged (2).
    config.extend([0x7a, 8, 0x12, 2, 0x10, 1, 0x12, 2, 0x10, 0]);
    let mut message = cri::CreateContainerRequest { config: None, ..request }.encode_to_vec();
    message.push(0x12);
    prost::encoding::encode_varint(u64::try_from(config.len()).unwrap(), &mut message);
    message.extend(config);
    assert_eq!(house.client().await.call(CREATE, &message).await.code(), 3);
}
