//! The test registry itself: real tools must be able to use it.

use std::process::Command;

use crate::skipped::skipped;
use crate::support::{OCI_MANIFEST, Settings, TestRegistry};

/// Pushes an OCI layout with a real client and pulls it back, byte for byte.
#[test]
fn skopeo_can_push_and_pull() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        skipped("skopeo is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let from = TestRegistry::start(Settings::conforming());
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config_digest = from.put_blob("acme/app", config);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[]}}"#,
        config.len()
    );
    let digest = from.put_manifest("acme/app", Some("1"), manifest.as_bytes(), OCI_MANIFEST);
    let to = TestRegistry::start(Settings::conforming());
    let status = Command::new("skopeo")
        .args(["--insecure-policy", "--tmpdir"])
        .arg(folder.path())
        .args(["copy", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .arg(format!("docker://{}/acme/app:1", from.host()))
        .arg(format!("docker://{}/other/app:2", to.host()))
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    assert_eq!(to.tagged("other/app", "2").as_ref(), Some(&digest));
    assert_eq!(to.stored("other/app", &digest).unwrap(), manifest.as_bytes());
    assert_eq!(to.stored("other/app", &config_digest).unwrap(), config);
}
