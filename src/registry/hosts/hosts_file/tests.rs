//! Tests of reading `hosts.toml` and docker's layout.

use std::time::Duration;

use super::*;
use crate::file_trust::OwnershipFault;
use crate::registry::hosts::host::Scheme;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn summary(folder: &Folder) -> Vec<(Scheme, String, String, bool, bool, bool)> {
    let one =
        |h: &Host| (h.scheme, h.authority.clone(), h.path.clone(), h.pull, h.resolve, h.mirror);
    folder.hosts.iter().map(one).collect()
}

#[test]
fn mirrors_come_in_the_order_of_the_file_and_the_server_last() {
    let toml = r#"
server = "https://reg.example"
[host."https://z.example"]
  capabilities = ["pull"]
[host."http://a.example:5000/prefix"]
  capabilities = ["Pull", "resolve", "push"]
  [host."http://a.example:5000/prefix".header]
x-key = ["a", "b"]
[host."m.example/root"]
  override_path = true
  dial_timeout = "1m1s500ms"
  unknown_key = 1
"#;
    let dir = folder(&[("hosts.toml", toml)]);
    let read = read(dir.path(), "reg.example").unwrap();
    let row = |scheme, authority: &str, path: &str, resolve, mirror| {
        (scheme, authority.to_owned(), path.to_owned(), true, resolve, mirror)
    };
    let expected = [
        row(Scheme::Https, "z.example", "/v2", false, true),
        row(Scheme::Http, "a.example:5000", "/prefix/v2", true, true),
        row(Scheme::Https, "m.example", "/root", true, true),
        row(Scheme::Https, "reg.example", "/v2", true, false),
    ];
    assert_eq!(summary(&read), expected);
    assert_eq!(read.hosts[1].headers.get_all("x-key").iter().count(), 2);
    assert_eq!(read.hosts[2].dial_timeout, Some(Duration::from_millis(61_500)));
    assert_eq!(read.named.len(), 4);
}

#[test]
fn a_host_stands_where_it_is_first_named() {
    let toml = "[host.\"https://b.example\".header]\n[host.\"https://a.example\"]\n[host.\"https://b.example\"]\nca = []\n";
    let dir = folder(&[("hosts.toml", toml)]);
    let hosts = read(dir.path(), "r.example").unwrap().hosts;
    let names: Vec<&str> = hosts.iter().map(|host| host.authority.as_str()).collect();
    assert_eq!(names, ["b.example", "a.example", "r.example"]);
}

#[test]
fn without_server_the_registry_itself_comes_last() {
    let dir = folder(&[("hosts.toml", "[host.\"https://m.example\"]\n")]);
    let read = read(dir.path(), "docker.io").unwrap();
    assert_eq!(read.hosts.len(), 2);
    assert_eq!(read.hosts[1].authority, "registry-1.docker.io");
    assert!(!read.hosts[1].mirror);
    assert_eq!(read.named, ["m.example"]);
}

#[test]
fn a_server_that_is_among_the_hosts_is_asked_once() {
    let host = "[host.\"https://reg.example\"]\nca = \"ca.crt\"\n";
    for (toml, hosts) in [
        (format!("server = \"https://reg.example\"\n{host}"), 1),
        (host.to_owned(), 1),
        (format!("server = \"https://REG.example:443/v2/\"\n{host}"), 1),
        (format!("server = \"https://reg.example\"\n{host}capabilities = [\"pull\"]\n"), 2),
        (format!("server = \"https://reg.example/other\"\n{host}"), 2),
        (format!("server = \"http://reg.example\"\n{host}"), 2),
    ] {
        let dir = folder(&[("hosts.toml", &toml), ("ca.crt", "CA")]);
        let read = read(dir.path(), "reg.example").unwrap();
        assert_eq!(read.hosts.len(), hosts, "{toml}");
        assert_eq!(read.hosts[0].tls.ca.len(), 1, "{toml}");
    }
}

#[test]
fn docker_hubs_api_is_no_mirror_of_docker_hub() {
    let dir = folder(&[("hosts.toml", "server = \"https://registry-1.docker.io\"\n")]);
    assert!(!read(dir.path(), "docker.io").unwrap().hosts[0].mirror);
}

#[test]
fn tls_files_are_read_beside_the_file() {
    let toml =
        "[host.\"http://m.example:5000\"]\nca = \"ca.crt\"\nclient = [[\"c.cert\", \"c.key\"]]\n";
    let dir = folder(&[("hosts.toml", toml), ("ca.crt", "CA"), ("c.cert", "C"), ("c.key", "K")]);
    let host = read(dir.path(), "r").unwrap().hosts.remove(0);
    assert_eq!(host.tls.ca, [b"CA".to_vec()]);
    assert_eq!(host.tls.client.as_deref(), Some(b"C\nK".as_slice()));
    assert_eq!(host.scheme, Scheme::Either);
}

#[test]
fn without_hosts_toml_dockers_certificates_count() {
    let dir = folder(&[("a.crt", "CA"), ("c.cert", "C"), ("c.key", "K"), ("readme", "x")]);
    let host = read(dir.path(), "r.example").unwrap().hosts.remove(0);
    assert_eq!((host.tls.ca.len(), host.tls.client.is_some()), (1, true));
    assert_eq!((host.scheme, host.authority.as_str()), (Scheme::Https, "r.example"));
}

#[test]
fn a_file_that_cannot_be_understood_names_itself_and_the_line() {
    for (toml, line) in [
        ("server = \"https://a\"\nskip_verify = \"yes\"\n", true),
        ("[host.\"https://a\"\n", true),
        ("server = \"ftp://a\"\n", false),
        ("server = \"https://u:p@a\"\n", false),
        ("server = \"https://a/../b\"\n", false),
        ("[host.\"https://a\"]\ncapabilities = [\"everything\"]\n", false),
        ("[host.\"https://a\"]\nca = \"missing.crt\"\n", false),
        ("server = \"http-mirror.example\"\n", false),
        ("[host.\"https://a\"]\nproxy = \"socks5://p:1\"\n", false),
        ("[host.\"https://a\"]\ndial_timeout = \"soon\"\n", false),
    ] {
        let dir = folder(&[("hosts.toml", toml)]);
        match read(dir.path(), "r") {
            Err(RegistryError::Config { file, line: found, .. }) => {
                assert!(file.starts_with(&dir.path().display().to_string()), "{file}");
                assert!(!line || found.is_some(), "{toml}");
            }
            other => panic!("{toml}: {other:?}"),
        }
    }
}

/// Attack E4: whoever could change a file could send the node's questions, and its credentials,
/// elsewhere.
#[test]
fn attack_e4_files_that_others_can_write_are_refused_by_name() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap()
    };
    let refused = |folder: &Path| match read(folder, "r.example") {
        Err(RegistryError::Unsafe(
            OwnershipFault::Writable { path, .. } | OwnershipFault::Owner { path, .. },
        )) => path,
        other => panic!("{other:?}"),
    };
    let toml =
        "server = \"https://r.example\"\nca = \"ca.crt\"\nclient = [[\"c.cert\", \"c.key\"]]\n";
    let names = ["hosts.toml", "ca.crt", "c.cert", "c.key"];
    let dir = folder(&[("hosts.toml", toml), ("ca.crt", "CA"), ("c.cert", "C"), ("c.key", "K")]);
    let root = dir.path().canonicalize().unwrap();
    names.iter().for_each(|name| chmod(&root.join(name), 0o644));
    assert!(read(&root, "r.example").is_ok());
    for name in names {
        for mode in [0o664, 0o646] {
            chmod(&root.join(name), mode);
            assert_eq!(refused(&root), root.join(name), "{mode:o}");
        }
        chmod(&root.join(name), 0o600);
        if nix::unistd::geteuid().is_root() {
            chown(root.join(name), Some(12345), None).unwrap();
            assert_eq!(refused(&root), root.join(name));
            chown(root.join(name), Some(0), None).unwrap();
        }
    }
    chmod(&root, 0o777);
    assert_eq!(refused(&root), root, "anybody could put another file there");
    chmod(&root, 0o755);
    // A link is judged by where it leads.
    let open = root.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::write(open.join("ca.crt"), "CA").unwrap();
    chmod(&open, 0o777);
    std::fs::remove_file(root.join("ca.crt")).unwrap();
    symlink(open.join("ca.crt"), root.join("ca.crt")).unwrap();
    assert_eq!(refused(&root), open);
    // Docker's layout, without a hosts.toml.
    std::fs::remove_file(root.join("hosts.toml")).unwrap();
    assert_eq!(refused(&root), open);
}

/// Attack E6: a secret in a header of a broken file is not repeated, nor shown by Debug of a good
/// one.
#[test]
fn attack_e6_header_secrets_are_not_repeated() {
    let dir = folder(&[(
        "hosts.toml",
        "[host.\"https://a\".header]\nauthorization = [\"hunter2\", 5]\n",
    )]);
    let error = read(dir.path(), "r").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let dir =
        folder(&[("hosts.toml", "[host.\"https://a\".header]\nauthorization = \"hunter2\"\n")]);
    let good = read(dir.path(), "r").unwrap();
    assert_eq!(good.hosts[0].headers.len(), 1);
    assert!(!format!("{good:?} {:?}", good.hosts[0].headers).contains("hunter2"));
}
