//! The same `certs.d` for containerd and for the gate: which hosts are asked for a tag and for a
//! digest, in which order, at which paths, with which `ns`, and with which header.
//!
//! Needs root, containerd and runc; without them the test fails and says so. Every containerd there
//! is takes part. Where the gate differs on purpose, [`DIFFERENCES`] says how and why, and the test
//! fails when it differs no more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sealgate::image::{Digest, Repository};
use sealgate::registry::{Access, Options, Registry};

use crate::containerd::{Containerd, Cri, Flavour, Host, Setup};
use crate::rig::{clock, session};
use crate::support::OCI_MANIFEST;

/// What every stand-in has, under the tag `1` and its digest.
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
/// The header that some layouts set.
const HEADER: &str = "x-layout";

/// Where the gate does something else: (layout, how, from which version of containerd on).
const DIFFERENCES: &[(&str, &str, Differs)] = &[
    (
        "broken file",
        "containerd goes on as if there were none; the gate asks nobody",
        Differs::Always,
    ),
    ("unknown capability", "as a broken file", Differs::Always),
    (
        "server alone",
        "containerd 1.x takes a file without [host] for a broken one",
        Differs::Before(2, 0),
    ),
    ("server alone, digest", "the same", Differs::Before(2, 0)),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Differs {
    Always,
    Before(u32, u32),
}

/// One request for a manifest: stand-in, path, query, header.
type Asked = (char, String, String, String);

/// Four hosts on loopback addresses of their own, with one log of what they were asked.
struct Standins {
    addresses: Vec<(char, SocketAddr)>,
    log: Arc<Mutex<Vec<(String, Asked)>>>,
    answers: Arc<Mutex<Vec<(char, u16)>>>,
    accepting: Vec<tokio::task::JoinHandle<()>>,
}

impl Standins {
    /// `a`, `b` and `c` are mirrors, `r` is the registry that images are named for.
    async fn start() -> Self {
        let (log, answers): (Arc<Mutex<Vec<_>>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let mut standins = Self { addresses: Vec::new(), log, answers, accepting: Vec::new() };
        for (label, address) in
            [('a', "127.0.0.2:0"), ('b', "127.0.0.3:0"), ('c', "127.0.0.4:0"), ('r', "127.0.0.5:0")]
        {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            standins.addresses.push((label, listener.local_addr().unwrap()));
            let (log, answers) = (Arc::clone(&standins.log), Arc::clone(&standins.answers));
            standins.accepting.push(tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                    let service = service_fn(move |request| {
                        let answer = answer(label, &request, &log, &answers);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    drop(tokio::spawn(async move { drop(serving.await) }));
                }
            }));
        }
        standins
    }

    fn host(&self, label: char) -> String {
        self.addresses.iter().find(|(found, _)| *found == label).unwrap().1.to_string()
    }

    /// A text with `$a` and so on replaced by addresses, and `$R` by the folder name that has no
    /// colon.
    fn fill(&self, text: &str) -> String {
        let folder = self.host('r').replace(':', "_") + "_";
        self.addresses.iter().fold(text.replace("$R", &folder), |text, (label, address)| {
            text.replace(&format!("${label}"), &address.to_string())
        })
    }

    /// What was asked since the last time, by this method, once for each in a row.
    fn asked(&self, method: &str) -> Vec<Asked> {
        let all = std::mem::take(&mut *self.log.lock().unwrap());
        let mut asked: Vec<Asked> =
            all.into_iter().filter(|(found, _)| found == method).map(|(_, asked)| asked).collect();
        asked.dedup();
        asked
    }
}

impl Drop for Standins {
    fn drop(&mut self) {
        self.accepting.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn answer(
    label: char,
    request: &http::Request<Incoming>,
    log: &Mutex<Vec<(String, Asked)>>,
    answers: &Mutex<Vec<(char, u16)>>,
) -> http::Response<Full<Bytes>> {
    let uri = request.uri();
    if !uri.path().contains("/manifests/") {
        return status(404);
    }
    let header = request
        .headers()
        .get(HEADER)
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default();
    let asked = (label, uri.path().to_owned(), uri.query().unwrap_or_default().to_owned(), header);
    log.lock().unwrap().push((request.method().to_string(), asked));
    let told = answers
        .lock()
        .unwrap()
        .iter()
        .find(|(found, _)| *found == label)
        .map(|(_, status)| *status);
    if let Some(told) = told {
        return status(told);
    }
    let mut response = http::Response::new(Full::new(Bytes::from_static(MANIFEST.as_bytes())));
    let digest = Digest::of(MANIFEST.as_bytes()).to_string();
    for (name, value) in
        [("content-type", OCI_MANIFEST), ("docker-content-digest", digest.as_str())]
    {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn status(status: u16) -> http::Response<Full<Bytes>> {
    let mut response =
        http::Response::new(Full::new(Bytes::from_static(br#"{"errors":[{"code":"UNKNOWN"}]}"#)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

/// What lies in `certs.d`, and what the stand-ins answer.
struct Layout {
    name: &'static str,
    /// Folder and `hosts.toml`.
    files: Vec<(&'static str, &'static str)>,
    answers: Vec<(char, u16)>,
    by: By,
}

#[derive(Clone, Copy, PartialEq)]
enum By {
    Tag,
    Digest,
}

/// Two mirrors before the registry.
const TWO: &str = "server = \"http://$r\"\n[host.\"http://$b\"]\n[host.\"http://$a\"]\n";
/// A mirror that may not say what a tag means.
const PULL: &str = "server = \"http://$r\"\n[host.\"http://$a\"]\ncapabilities = [\"pull\"]\n";
/// One that may say it and nothing else.
const RESOLVE: &str =
    "server = \"http://$r\"\n[host.\"http://$a\"]\ncapabilities = [\"resolve\"]\n";
/// A mirror in the registry's place.
const SERVER: &str = "server = \"http://$a\"\n";

fn at(
    name: &'static str,
    files: &[(&'static str, &'static str)],
    answers: &[(char, u16)],
    by: By,
) -> Layout {
    Layout { name, files: files.to_vec(), answers: answers.to_vec(), by }
}

fn tag(name: &'static str, toml: &'static str) -> Layout {
    at(name, &[("$R", toml)], &[], By::Tag)
}

fn layouts() -> Vec<Layout> {
    [capabilities(), folders(), addresses(), headers(), statuses()].into_iter().flatten().collect()
}

fn capabilities() -> Vec<Layout> {
    vec![
        at("nothing", &[], &[], By::Tag),
        at("nothing, digest", &[], &[], By::Digest),
        tag("two mirrors", TWO),
        at("two mirrors, digest", &[("$R", TWO)], &[], By::Digest),
        at("nobody has it", &[("$R", TWO)], &[('a', 404), ('b', 404), ('r', 404)], By::Tag),
        at(
            "nobody has it, digest",
            &[("$R", TWO)],
            &[('a', 404), ('b', 404), ('r', 404)],
            By::Digest,
        ),
        tag("may not resolve", PULL),
        at("may not resolve, digest", &[("$R", PULL)], &[], By::Digest),
        tag("may only resolve", RESOLVE),
        at("may only resolve, digest", &[("$R", RESOLVE)], &[], By::Digest),
        tag(
            "nobody may resolve",
            "server = \"http://$r\"\ncapabilities = [\"pull\"]\n[host.\"http://$a\"]\ncapabilities \
             = [\"pull\"]\n",
        ),
        tag(
            "may push",
            "server = \"http://$r\"\n[host.\"http://$a\"]\ncapabilities = [\"push\"]\n",
        ),
        tag(
            "capital letters",
            "server = \"http://$r\"\n[host.\"http://$a\"]\ncapabilities = \
             [\"Pull\", \"RESOLVE\"]\n",
        ),
        tag(
            "no capabilities at all",
            "server = \"http://$r\"\n[host.\"http://$a\"]\ncapabilities = []\n",
        ),
        tag(
            "unknown capability",
            "server = \"http://$r\"\n[host.\"http://$a\"]\ncapabilities = [\"everything\"]\n",
        ),
    ]
}

fn folders() -> Vec<Layout> {
    vec![
        tag("server alone", SERVER),
        at("server alone, digest", &[("$R", SERVER)], &[], By::Digest),
        tag("a mirror and no server", "[host.\"http://$a\"]\n"),
        at(
            "a mirror that has it not and no server",
            &[("$R", "[host.\"http://$a\"]\n")],
            &[('a', 404)],
            By::Tag,
        ),
        tag("empty file", ""),
        tag("empty server", "server = \"\"\n[host.\"http://$a\"]\n"),
        at("default", &[("_default", "[host.\"http://$a\"]\n")], &[], By::Tag),
        at(
            "default that has it not",
            &[("_default", "[host.\"http://$a\"]\n")],
            &[('a', 404)],
            By::Tag,
        ),
        at("folder with a colon", &[("$r", TWO), ("_default", PULL)], &[], By::Tag),
        at("both folders", &[("$R", TWO), ("$r", PULL), ("_default", PULL)], &[], By::Tag),
    ]
}

/// Headers that a host or the server itself is asked with.
fn headers() -> Vec<Layout> {
    vec![
        tag(
            "header",
            "server = \"http://$r\"\n[host.\"http://$a\"]\n[host.\"http://$a\".header]\nx-layout \
             = \"one\"\n",
        ),
        tag(
            "header of two",
            "server = \"http://$r\"\n[host.\"http://$a\"]\n[host.\"http://$a\".header]\nx-layout = \
             [\"one\", \"two\"]\n",
        ),
        tag(
            "header of the server",
            "server = \"http://$r\"\n[header]\nx-layout \
             = \"root\"\n[host.\"http://$a\"]\ncapabilities = [\"pull\"]\n",
        ),
        tag(
            "header table first",
            "server = \"http://$r\"\n[host.\"http://$b\".header]\nx-layout \
             = \"b\"\n[host.\"http://$a\"]\n[host.\"http://$b\"]\n",
        ),
    ]
}

fn addresses() -> Vec<Layout> {
    vec![
        tag("prefix", "server = \"http://$r\"\n[host.\"http://$a/some/prefix\"]\n"),
        tag("prefix with a slash", "server = \"http://$r\"\n[host.\"http://$a/some/prefix/\"]\n"),
        tag("prefix with v2", "server = \"http://$r\"\n[host.\"http://$a/prefix/v2\"]\n"),
        tag("bare slash", "server = \"http://$r\"\n[host.\"http://$a/\"]\n"),
        tag(
            "override_path",
            "server = \"http://$r\"\n[host.\"http://$a/prefix\"]\noverride_path = true\n",
        ),
        tag(
            "override_path without one",
            "server = \"http://$r\"\n[host.\"http://$a\"]\noverride_path = true\n",
        ),
        tag(
            "server with a prefix",
            "server = \"http://$r/prefix\"\n[host.\"http://$b\"]\ncapabilities = [\"pull\"]\n",
        ),
        tag(
            "TLS settings for a plain host",
            "server = \"http://$r\"\n[host.\"http://$a\"]\nskip_verify = true\n",
        ),
        tag("https for a plain host", "server = \"http://$r\"\n[host.\"https://$a\"]\n"),
        tag("no scheme", "server = \"http://$r\"\n[host.\"$a\"]\n"),
        tag(
            "dial_timeout",
            "server = \"http://$r\"\n[host.\"http://$a\"]\ndial_timeout = \"1.5s\"\n",
        ),
        tag(
            "unknown key",
            "server = \"http://$r\"\nsomething = 1\n[host.\"http://$a\"]\nelse = true\n",
        ),
        tag("broken file", "server = \"http://$a\n"),
        tag(
            "a CA that is not there",
            "server = \"http://$r\"\n[host.\"http://$a\"]\nca = \"missing.crt\"\n",
        ),
        at(
            "same host twice",
            &[("$R", "server = \"http://$a\"\n[host.\"http://$a\"]\n")],
            &[('a', 404)],
            By::Digest,
        ),
    ]
}

/// What sends a question to the next host.
fn statuses() -> Vec<Layout> {
    let mut layouts = Vec::new();
    for (name, status) in [
        ("400", 400),
        ("401", 401),
        ("403", 403),
        ("404", 404),
        ("410", 410),
        ("416", 416),
        ("429", 429),
        ("500", 500),
        ("501", 501),
        ("502", 502),
        ("503", 503),
        ("504", 504),
    ] {
        layouts.push(at(name, &[("$R", TWO)], &[('b', status)], By::Tag));
        layouts.push(at(name, &[("$R", TWO)], &[('b', status)], By::Digest));
    }
    layouts
}

async fn containerds(cri: &Cri, standins: &Standins, by: By) -> Vec<Asked> {
    let object = match by {
        By::Tag => ":1".to_owned(),
        By::Digest => format!("@{}", Digest::of(MANIFEST.as_bytes())),
    };
    // The image has no layers and its configuration is nowhere: the pull fails after the manifest.
    cri.pull(&format!("{}/acme/app{object}", standins.host('r'))).await.unwrap_err();
    standins.asked("HEAD")
}

async fn ours(certs: &std::path::Path, standins: &Standins, by: By) -> Vec<Asked> {
    let options = Options {
        certs_dirs: vec![certs.to_owned()],
        docker_configs: Vec::new(),
        retries: 0,
        ..Options::default()
    };
    let session = session(&Arc::new(Registry::new(options, clock()).unwrap()), &Access::default());
    let repository = Repository::parse(&format!("{}/acme/app", standins.host('r'))).unwrap();
    let _ = match by {
        By::Tag => session.tag(&repository, "1").await,
        By::Digest => session.manifest(&repository, &Digest::of(MANIFEST.as_bytes())).await,
    };
    standins.asked("GET")
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_asked_as_containerd_asks_them() {
    let flavours = Flavour::all();
    assert!(!flavours.is_empty(), "this test needs containerd: `make test` installs it");
    let rows = DIFFERENCES.iter().map(|(layout, ..)| *layout);
    let unknown = rows.filter(|row| layouts().iter().all(|layout| layout.name != *row));
    let mut faults: Vec<String> = unknown.map(|row| format!("no layout: {row}")).collect();
    for flavour in flavours {
        let standins = Standins::start().await;
        let version = flavour.version;
        let setup = Setup::of(flavour, Host::new("pause.example.test", "http://127.0.0.1:1"));
        let containerd = Containerd::start(setup).await.unwrap();
        let (certs, cri) = (containerd.folder().join("certs.d"), containerd.cri());
        for Layout { name, files, answers, by } in layouts() {
            let _ = std::fs::remove_dir_all(&certs);
            std::fs::create_dir_all(&certs).unwrap();
            for (folder, toml) in files {
                let folder = certs.join(standins.fill(folder));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("hosts.toml"), standins.fill(toml)).unwrap();
            }
            *standins.answers.lock().unwrap() = answers;
            let theirs = containerds(&cri, &standins, by).await;
            let ours = ours(&certs, &standins, by).await;
            let differs = DIFFERENCES.iter().any(|(layout, _, differs)| {
                *layout == name
                    && match differs {
                        Differs::Always => true,
                        Differs::Before(major, minor) => version < (*major, *minor),
                    }
            });
            if (theirs == ours) == differs {
                let how = if differs { "differs no more" } else { "differs" };
                faults.push(format!(
                    "containerd {version:?}, {name}: {how}\n  theirs {theirs:?}\n  ours   {ours:?}"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
