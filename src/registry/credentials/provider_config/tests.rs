//! The kubelet's configuration of credential providers, good and faulty.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::image::Repository;

/// Attack D1: a point in time that cannot be reckoned would end the gate, again after every
/// start.
#[test]
fn attack_d1_a_duration_without_measure_is_none() {
    assert_eq!(duration("2562047h"), Some(Duration::from_secs(2_562_047 * 3600)));
    for long in ["2562048h", "9999999999999999h", "3000000000000000h1s", "18446744073709551614s"] {
        assert_eq!(duration(long), None, "{long}");
    }
}

/// As cloud providers write it.
const ECR: &str = r#"apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: ecr-credential-provider
    matchImages:
      - "*.dkr.ecr.*.amazonaws.com"
      - "*.dkr.ecr.*.amazonaws.com.cn"
    defaultCacheDuration: "12h"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args: [get-credentials]
    env:
      - {name: AWS_PROFILE, value: hunter2}
"#;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (folder, file)
}

fn why(text: &str) -> CredentialWhy {
    let (_folder, file) = written(text);
    let fault = read(&file).err().unwrap();
    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault:?}");
    fault.why
}

#[test]
fn reads_what_clouds_write() {
    let (_folder, file) = written(ECR);
    let [provider] = read(&file).unwrap().try_into().ok().unwrap();
    assert_eq!(
        (provider.name.as_str(), provider.life),
        ("ecr-credential-provider", Duration::from_secs(43_200))
    );
    assert_eq!(provider.args, ["get-credentials"]);
    assert_eq!(provider.env, [("AWS_PROFILE".to_owned(), "hunter2".to_owned())]);
    let image = Repository::parse("1234.dkr.ecr.eu-west-1.amazonaws.com/app").unwrap();
    assert!(provider.images[0].fits(&image) && !provider.images[1].fits(&image));
    assert!(!provider.needs_service_account);
    let json = r#"{"kind":"CredentialProviderConfig","apiVersion":"kubelet.config.k8s.io/v1alpha1","new":1,"providers":[
            {"name":"a","matchImages":["a.io"],"defaultCacheDuration":"0s","apiVersion":"credentialprovider.kubelet.k8s.io/v1beta1"}]}"#;
    let (_folder, file) = written(json);
    assert_eq!(read(&file).unwrap()[0].life, Duration::ZERO);
}

#[test]
fn service_account_tokens_are_not_ours_to_give() {
    let needs = |more: &str| {
        let (_folder, file) = written(&format!("{ECR}    tokenAttributes: {more}\n"));
        read(&file).unwrap()[0].needs_service_account
    };
    assert!(needs(
        "{serviceAccountTokenAudience: a, requireServiceAccount: true, cacheType: Token}"
    ));
    assert!(!needs(
        "{serviceAccountTokenAudience: a, requireServiceAccount: false, cacheType: Token}"
    ));
    assert!(needs("{serviceAccountTokenAudience: a}"));
}

#[test]
fn a_folder_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, plugin) in
        [("20.yaml", "two"), ("10.yml", "one"), ("30.json", "three"), ("40.txt", "four")]
    {
        let file = folder.path().join(name);
        std::fs::write(&file, ECR.replace("ecr-credential-provider", plugin)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let names: Vec<String> =
        read(folder.path()).unwrap().into_iter().map(|provider| provider.name).collect();
    assert_eq!(names, ["one", "two", "three"]);
    std::fs::copy(folder.path().join("10.yml"), folder.path().join("11.yaml")).unwrap();
    assert!(matches!(read(folder.path()).err().unwrap().why, CredentialWhy::File { .. }));
}

#[test]
fn what_the_kubelet_refuses_is_refused() {
    let problem = |text: &str| {
        let why = why(text);
        let CredentialWhy::File { problem, .. } = why else { panic!("{why:?}") };
        problem
    };
    for (from, to, said) in [
        ("CredentialProviderConfig", "KubeletConfiguration", "is of another kind"),
        ("kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v2", "is of another kind"),
        (
            "credentialprovider.kubelet.k8s.io/v1",
            "credentialprovider.kubelet.k8s.io/v9",
            "apiVersion",
        ),
        ("\"12h\"", "\"-1h\"", "defaultCacheDuration"),
        ("defaultCacheDuration", "default", "defaultCacheDuration"),
        ("matchImages", "match", "matchImages"),
        ("AWS_PROFILE", "A=B", "args or env"),
    ] {
        let text = ECR.replacen(from, to, 1);
        assert_ne!(text, ECR);
        assert!(problem(&text).contains(said), "{from}: {}", problem(&text));
    }
    let twice = ECR.replace(
        "providers:\n",
        "providers:\n  - {name: ecr-credential-provider, \
        matchImages: [a.io], defaultCacheDuration: 1s, apiVersion: \
        credentialprovider.kubelet.k8s.io/v1}\n",
    );
    assert!(problem(&twice).contains("before"), "{}", problem(&twice));
    assert_eq!(problem("kind: [hunter2\n"), "is not a configuration of plugins");
    assert_eq!(problem(&ECR.replace("- name", "- &a name")), "is not a configuration of plugins");
    assert_eq!(problem(&format!("{ECR}---\n{ECR}")), "is not a configuration of plugins");
}

/// Attack E4: it says what is run as root.
#[test]
fn attack_e4_a_configuration_that_others_can_write_is_not_read() {
    let (_folder, file) = written(ECR);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(read(&file).err().unwrap().why, CredentialWhy::Unsafe(_)));
    let none = read(&file.with_extension("none")).err().unwrap();
    assert!(matches!(none.why, CredentialWhy::File { .. }), "{none:?}");
}

#[test]
fn durations_are_gos() {
    for (text, seconds) in [
        ("0", 0.0),
        ("0s", 0.0),
        ("12h", 43_200.0),
        ("1h30m", 5400.0),
        ("1.5m", 90.0),
        ("250ms", 0.25),
        ("5m0s", 300.0),
    ] {
        assert_eq!(duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
    }
    for bad in ["", "5", "-1s", "1d", "s", "1h-5m", "1..5s", ".s", "1e9h", " 1s"] {
        assert_eq!(duration(bad), None, "{bad}");
    }
}
