//! Reads one folder of containerd's `certs.d`: its `hosts.toml`, or without one the certificates of docker's layout.
//!
//! The meaning is that of containerd 2.x (docs/hosts.md and `core/remotes/docker/config/hosts.go`; compared with 1.6, 1.7
//! and 2.1 in `tests/registry/differential.rs`). Differences, all of them on the side of asking nobody:
//! - a file that cannot be understood is an error, where containerd logs it and goes on as if there were none (1.x also
//!   takes a file without a `[host]` table for such a one; here it counts);
//! - more than one client certificate for a host, a user, query or `..` in an address, and a proxy that is neither HTTP nor
//!   HTTPS are errors; so is a host without a scheme whose name begins with `http`;
//! - a server that is also the last host is asked once;
//! - a host that may not give content (`capabilities` without `pull`) is not asked for it; containerd's fetcher asks it.
//!   `referrers`, which only the newest containerd knows, is accepted and restricts nothing;
//! - `skip_verify = false` holds for `localhost` as well.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::host::{Host, Scheme, Tls, is_authority, split_port};
use crate::file_trust::{self, Above, OwnershipFault};
use crate::registry::error::RegistryError;
use crate::registry::http::proxies::ProxyUrl;
use crate::registry::options::FILE_MAX;

/// Most hosts in one file; each may cost a request.
const HOSTS_MAX: usize = 16;

/// Most files in one folder without `hosts.toml`; a handful are real.
const FILES_MAX: usize = 256;

/// What a folder says.
#[derive(Debug)]
pub(in crate::registry) struct Folder {
    /// In the order in which they are asked.
    pub(in crate::registry) hosts: Vec<Host>,
    /// Places that are spelled out in the file.
    pub(in crate::registry) named: Vec<String>,
}

/// `hosts.toml`; unknown keys are ignored as containerd does.
#[derive(Deserialize)]
struct HostsToml {
    server: Option<String>,
    #[serde(flatten)]
    root: HostTable,
    #[serde(default)]
    host: BTreeMap<String, HostTable>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HostTable {
    capabilities: Vec<String>,
    ca: Option<Paths>,
    client: Option<Pairs>,
    skip_verify: Option<bool>,
    header: BTreeMap<String, Values>,
    override_path: bool,
    dial_timeout: Option<String>,
    proxy: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Paths {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pairs {
    One(String),
    Many(Vec<Paths>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// Reads a folder for `registry` (the reference's host).
pub(in crate::registry) fn read(folder: &Path, registry: &str) -> Result<Folder, RegistryError> {
    let file = folder.join("hosts.toml");
    match read_capped(&file)? {
        Some(bytes) if !bytes.is_empty() => parse(&bytes, &file, registry),
        _ => certificates(folder, registry),
    }
}

/// A whole file when it is there; none when not. One that others could change is refused, by name (attack E4).
pub(in crate::registry) fn read_capped(path: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    match file_trust::check(path, Above::NobodyElse) {
        Ok(()) => {}
        Err(OwnershipFault::Unreadable { kind: std::io::ErrorKind::NotFound, .. }) => return Ok(None),
        Err(OwnershipFault::Unreadable { .. }) => return Err(config(path, None, "cannot be looked at")),
        Err(fault) => return Err(RegistryError::Unsafe(fault)),
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(config(path, None, "cannot be opened")),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|_| config(path, None, "cannot be read"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_MAX) {
        return Ok(Some(bytes));
    }
    Err(config(path, None, "is larger than 1 MiB"))
}

pub(in crate::registry) fn config(path: &Path, line: Option<usize>, problem: &'static str) -> RegistryError {
    RegistryError::Config { file: path.display().to_string(), line, problem }
}

fn parse(bytes: &[u8], file: &Path, registry: &str) -> Result<Folder, RegistryError> {
    let text = std::str::from_utf8(bytes).map_err(|_| config(file, None, "is not UTF-8"))?;
    // The parser's own words quote the file, which may hold secrets in headers: only the line is told.
    let parsed: HostsToml = toml::from_str(text).map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
        config(file, line, "is not a hosts.toml that can be understood")
    })?;
    let mut tables: Vec<(usize, String, HostTable)> =
        parsed.host.into_iter().map(|(url, table)| (first_mention(text, &url), url, table)).collect();
    tables.sort_by_key(|(start, ..)| *start);
    if tables.len() > HOSTS_MAX {
        return Err(config(file, None, "names more than 16 hosts"));
    }
    let mut hosts = Vec::new();
    let mut named = Vec::new();
    for (_, url, table) in tables {
        let host = entry(&url, table, file, registry)?;
        named.extend(host.places());
        hosts.push(host);
    }
    let last = match parsed.server.filter(|server| !server.is_empty()) {
        Some(server) => {
            let host = entry(&server, parsed.root, file, registry)?;
            named.extend(host.places());
            host
        }
        None => settings(Host::default_for(registry), parsed.root, file)?,
    };
    if !hosts.iter().any(|host| says_all(host, &last)) {
        hosts.push(last);
    }
    Ok(Folder { hosts, named })
}

/// Where a host is first named, be it by a table below its own: that is its place in the order, as for containerd.
fn first_mention(text: &str, url: &str) -> usize {
    let Ok(whole) = DeTable::parse(text) else { return 0 };
    let hosts = whole.get_ref().get("host").and_then(|host| host.get_ref().as_table());
    let found = hosts.and_then(|hosts| hosts.iter().find(|(key, _)| key.get_ref() == url));
    let below = |table: &Spanned<DeValue<'_>>| {
        table.get_ref().as_table().and_then(|table| table.keys().map(|key| key.span().start).min())
    };
    found.map_or(0, |(key, table)| below(table).unwrap_or(usize::MAX).min(key.span().start))
}

/// Whether a host of the file is the server itself, allowed to do as much. Such a server is not asked again: it would say
/// the same; and where the certificate authority stands with the host alone, as it mostly does, TLS would fail then, and
/// turn what is not there into what cannot be reached.
fn says_all(host: &Host, server: &Host) -> bool {
    let same = host.scheme == server.scheme && host.place() == server.place();
    same && host.path == server.path && host.pull >= server.pull && host.resolve >= server.resolve
}

/// One host by its URL; a missing scheme means HTTPS, `/v2` is added unless `override_path` says otherwise.
fn entry(url: &str, table: HostTable, file: &Path, registry: &str) -> Result<Host, RegistryError> {
    let bad = || config(file, None, "names a host that is not an http or https address");
    let (scheme, rest) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(_) => return Err(bad()),
        // Containerd takes such a name for an address with a scheme, finds no host in it, and asks another one.
        None if url.starts_with("http") => return Err(config(file, None, "needs https:// before a name like http…")),
        None => (Scheme::Https, url),
    };
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let clean = path.split('/').all(|part| part != ".." && part != ".")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b));
    if !is_authority(authority) || !clean {
        return Err(bad());
    }
    let path = if table.override_path || path.ends_with("/v2") { path.to_owned() } else { format!("{path}/v2") };
    let hub = registry == "docker.io" && authority == super::host::DOCKER_HUB_API;
    let host = Host {
        scheme,
        authority: authority.to_owned(),
        path,
        mirror: authority != registry && !hub,
        tls: Tls::default(),
        ..Host::default_for(registry)
    };
    let capabilities = table.capabilities.clone();
    let mut host = settings(host, table, file)?;
    (host.pull, host.resolve) = capable(&capabilities, file)?;
    Ok(host)
}

/// TLS, headers and the like; with TLS settings an `http://` host on a port other than 80 is tried with TLS first.
fn settings(mut host: Host, table: HostTable, file: &Path) -> Result<Host, RegistryError> {
    let folder = file.parent().unwrap_or_else(|| Path::new("/"));
    let explicit = table.skip_verify.is_some() || table.ca.is_some() || table.client.is_some();
    if explicit && host.scheme == Scheme::Http && split_port(&host.authority).1 != Some("80") {
        host.scheme = Scheme::Either;
    }
    host.tls.skip_verify = table.skip_verify.unwrap_or(host.tls.skip_verify);
    host.tls.ca = match table.ca {
        None => Vec::new(),
        Some(Paths::One(path)) => vec![pem(&folder.join(path))?],
        Some(Paths::Many(paths)) if paths.len() > HOSTS_MAX => {
            return Err(config(file, None, "names more than 16 files of authorities for one host"));
        }
        Some(Paths::Many(paths)) => paths.iter().map(|path| pem(&folder.join(path))).collect::<Result<_, _>>()?,
    };
    host.tls.client = client_pair(table.client, folder, file)?;
    host.headers = headers(table.header, file)?;
    host.dial_timeout = match table.dial_timeout.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            Some(duration(&text).ok_or_else(|| config(file, None, "has a dial_timeout that is no duration"))?)
        }
    };
    host.proxy = table.proxy.filter(|proxy| !proxy.is_empty()).map(|proxy| ProxyUrl::new(&proxy));
    if host.proxy.as_ref().is_some_and(|proxy| !proxy.is_usable()) {
        return Err(config(file, None, "has a proxy that is not http://host:port or https://host:port"));
    }
    Ok(host)
}

/// Whether content and tags may be asked for; nothing said means both.
fn capable(capabilities: &[String], file: &Path) -> Result<(bool, bool), RegistryError> {
    let lower: Vec<String> = capabilities.iter().map(|text| text.to_ascii_lowercase()).collect();
    if let Some(_unknown) = lower.iter().find(|text| !["pull", "resolve", "push", "referrers"].contains(&text.as_str()))
    {
        return Err(config(file, None, "has a capability other than pull, resolve, push and referrers"));
    }
    let has = |what: &str| lower.is_empty() || lower.iter().any(|text| text == what);
    Ok((has("pull"), has("pull") && has("resolve")))
}

/// The one client certificate, with its key behind it.
fn client_pair(client: Option<Pairs>, folder: &Path, file: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    let mut pairs = match client {
        None => return Ok(None),
        Some(Pairs::One(path)) => vec![vec![path]],
        Some(Pairs::Many(many)) => many
            .into_iter()
            .map(|pair| match pair {
                Paths::One(path) => vec![path],
                Paths::Many(paths) => paths.into_iter().filter(|path| !path.is_empty()).collect(),
            })
            .collect(),
    };
    let Some(pair) = pairs.pop() else { return Ok(None) };
    if !pairs.is_empty() || pair.is_empty() || pair.len() > 2 {
        return Err(config(file, None, "must name one client certificate, with its key in the same or a second file"));
    }
    let files = pair.iter().map(|path| pem(&folder.join(path))).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(files.join(&b'\n')))
}

fn headers(table: BTreeMap<String, Values>, file: &Path) -> Result<HeaderMap, RegistryError> {
    let bad = || config(file, None, "has a header that is none");
    let mut headers = HeaderMap::new();
    for (name, values) in table {
        let name = HeaderName::try_from(name).map_err(|_| bad())?;
        let values = match values {
            Values::One(value) => vec![value],
            Values::Many(values) => values,
        };
        for value in values {
            let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.append(name.clone(), value);
        }
    }
    Ok(headers)
}

/// Docker's layout: `*.crt` are authorities, `*.cert` with `*.key` client certificates.
fn certificates(folder: &Path, registry: &str) -> Result<Folder, RegistryError> {
    let entries = std::fs::read_dir(folder).map_err(|_| config(folder, None, "cannot be listed"))?;
    let files = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| !path.is_dir());
    let mut paths: Vec<PathBuf> = files.take(FILES_MAX + 1).collect();
    if paths.len() > FILES_MAX {
        return Err(config(folder, None, "holds more than 256 files"));
    }
    paths.sort();
    let with = |extension: &str| -> Vec<&PathBuf> {
        paths.iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    };
    let mut host = Host::default_for(registry);
    host.tls.ca = with("crt").into_iter().map(|path| pem(path)).collect::<Result<_, _>>()?;
    if let [first, rest @ ..] = with("cert").as_slice() {
        if !rest.is_empty() {
            return Err(config(folder, None, "has more than one client certificate"));
        }
        let mut both = pem(first)?;
        if let Some(key) = read_capped(&first.with_extension("key"))? {
            both.push(b'\n');
            both.extend(key);
        }
        host.tls.client = Some(both);
    }
    Ok(Folder { hosts: vec![host], named: Vec::new() })
}

fn pem(path: &Path) -> Result<Vec<u8>, RegistryError> {
    read_capped(path)?.ok_or_else(|| config(path, None, "is named by hosts.toml and does not exist"))
}

/// A duration as Go writes it: `30s`, `500ms`, `1m30s`, `1.5h`; of its units those down to a microsecond.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let (unit, after) = after.split_at_checked(letters)?;
        let one = match unit {
            "us" | "\u{b5}s" | "\u{3bc}s" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * one.as_secs_f64()).ok()?)?;
        rest = after;
    }
    (total > Duration::ZERO).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn summary(folder: &Folder) -> Vec<(Scheme, String, String, bool, bool, bool)> {
        let one = |h: &Host| (h.scheme, h.authority.clone(), h.path.clone(), h.pull, h.resolve, h.mirror);
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
    fn durations_are_gos() {
        for (text, milliseconds) in
            [("30s", 30_000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000), ("+2000us", 2), ("1s.5s", 1500)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1d", "1..5s", "0s", "1e3s", "99999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
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
        let toml = "[host.\"http://m.example:5000\"]\nca = \"ca.crt\"\nclient = [[\"c.cert\", \"c.key\"]]\n";
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

    /// Attack E4: whoever could change a file could send the node's questions, and its credentials, elsewhere.
    #[test]
    fn attack_e4_files_that_others_can_write_are_refused_by_name() {
        use std::os::unix::fs::{PermissionsExt, chown, symlink};
        let chmod = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let refused = |folder: &Path| match read(folder, "r.example") {
            Err(RegistryError::Unsafe(OwnershipFault::Writable { path, .. } | OwnershipFault::Owner { path, .. })) => {
                path
            }
            other => panic!("{other:?}"),
        };
        let toml = "server = \"https://r.example\"\nca = \"ca.crt\"\nclient = [[\"c.cert\", \"c.key\"]]\n";
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

    /// Attack E6: a secret in a header of a broken file is not repeated, nor shown by Debug of a good one.
    #[test]
    fn attack_e6_header_secrets_are_not_repeated() {
        let dir = folder(&[("hosts.toml", "[host.\"https://a\".header]\nauthorization = [\"hunter2\", 5]\n")]);
        let error = read(dir.path(), "r").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let dir = folder(&[("hosts.toml", "[host.\"https://a\".header]\nauthorization = \"hunter2\"\n")]);
        let good = read(dir.path(), "r").unwrap();
        assert_eq!(good.hosts[0].headers.len(), 1);
        assert!(!format!("{good:?} {:?}", good.hosts[0].headers).contains("hunter2"));
    }
}
