//! Proxies: used, bypassed, refused, and never told or shown more than they must be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sealgate::registry::{Class, Environment, ProxyUrl, RegistryError, Why};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{NAME, Rig, push, repository, robot};
use crate::support::{Answer, Auth, Rule, Settings, TestRegistry};

/// The password that must appear nowhere, and `user:` with it in base64.
const PASSWORD: &str = "hunter2-planted";
const ENCODED: &str = "dXNlcjpodW50ZXIyLXBsYW50ZWQ=";

/// The first line and the `Proxy-Authorization` of a connection.
type Seen = (String, Option<String>);

/// A proxy for tunnels and for plain requests. It knows names that nobody else knows, and wants a
/// password when told so.
struct Proxy {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn start(names: &[(&str, &TestRegistry)], password: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let names: BTreeMap<String, String> =
            names.iter().map(|(name, registry)| ((*name).to_owned(), registry.host())).collect();
        let (seen, names) = (Arc::new(Mutex::new(Vec::new())), Arc::new(names));
        let log = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, names) = (Arc::clone(&log), Arc::clone(&names));
                drop(tokio::spawn(async move { serve(stream, &log, &names, password).await }));
            }
        });
        Self { address, seen, accepting }
    }

    fn url(&self) -> ProxyUrl {
        ProxyUrl::new(&format!("http://{}", self.address))
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Seen>>,
    names: &BTreeMap<String, String>,
    password: Option<&str>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head.clone()).ok()?;
    let line = text.lines().next()?.to_owned();
    let authorization = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.to_owned())
    });
    let target = line.split(' ').nth(1)?.to_owned();
    log.lock().unwrap().push((line.clone(), authorization.clone()));
    if password
        .is_some_and(|password| authorization.as_deref() != Some(&format!("Basic {password}")))
    {
        stream
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            .await
            .ok()?;
        return None;
    }
    let is_tunnel = line.starts_with("CONNECT ");
    let authority = target.strip_prefix("http://").unwrap_or(&target).split('/').next()?;
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    let Some(to) = names.get(name) else {
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await.ok()?;
        return None;
    };
    let mut server = TcpStream::connect(to).await.ok()?;
    if is_tunnel {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    } else {
        server.write_all(&head).await.ok()?;
    }
    tokio::io::copy_bidirectional(&mut stream, &mut server).await.ok().map(drop)
}

/// A registry that only a proxy can find.
fn hidden(settings: Settings) -> (TestRegistry, Rig) {
    let server = TestRegistry::start(settings);
    push(&server);
    let rig = Rig::new();
    if let Some(pem) = server.ca_pem() {
        rig.hosts(NAME, &format!("server = \"https://{NAME}\"\nca = \"ca.crt\"\n"));
        rig.write(&format!("{NAME}/ca.crt"), pem);
    } else {
        rig.hosts(NAME, &format!("server = \"http://{NAME}\"\n"));
    }
    (server, rig)
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_http_by_its_whole_address() {
    for (settings, line) in [
        (Settings::conforming().tls(), format!("CONNECT {NAME}:443 HTTP/1.1")),
        (Settings::conforming(), format!("GET http://{NAME}/v2/acme/app/manifests/1 HTTP/1.1")),
    ] {
        let (server, mut rig) = hidden(settings);
        let proxy = Proxy::start(&[(NAME, &server)], Some(ENCODED)).await;
        let with_user = ProxyUrl::new(&format!("http://user:{PASSWORD}@{}", proxy.address));
        rig.options.http_proxy = Some(with_user.clone());
        rig.options.https_proxy = Some(with_user);
        let session = rig.session();
        assert_eq!(session.tag(&repository(), "1").await.unwrap().host, NAME);
        assert_eq!(proxy.lines(), [line]);
        assert!(server.requests().iter().all(|request| request.authorization.is_none()));
    }
}

#[tokio::test]
async fn each_scheme_has_its_own() {
    let (server, mut rig) = hidden(Settings::conforming().tls());
    let proxy = Proxy::start(&[(NAME, &server)], None).await;
    rig.options.http_proxy = Some(proxy.url());
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Name(_), .. }), "{error:?}");
    assert!(proxy.lines().is_empty(), "{:?}", proxy.lines());
}

#[tokio::test]
async fn what_no_proxy_names_and_this_node_are_asked_directly() {
    let (server, mut rig) = hidden(Settings::conforming());
    let proxy = Proxy::start(&[(NAME, &server), ("127.0.0.1", &server)], None).await;
    let environment = Environment::read(|name| match name {
        "http_proxy" => Some(proxy.address.to_string()),
        "NO_PROXY" => Some("other.example, .example.test".to_owned()),
        _ => None,
    });
    rig.options.inherit(&environment);
    let error = rig.session().tag(&repository(), "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { why: Why::Name(_), .. }), "{error:?}");
    rig.hosts(NAME, &format!("server = \"{}\"\n", server.url()));
    rig.session().tag(&repository(), "1").await.unwrap();
    assert!(proxy.lines().is_empty(), "{:?}", proxy.lines());
    // What the configuration says outright knows no exception.
    rig.options.proxy = Some(proxy.url());
    rig.session().tag(&repository(), "1").await.unwrap();
    assert_eq!(proxy.lines().len(), 1);
}

#[tokio::test]
async fn hosts_toml_wins() {
    let (server, mut rig) = hidden(Settings::conforming());
    let (near, far) = (Proxy::start(&[(NAME, &server)], None).await, Proxy::start(&[], None).await);
    rig.options.proxy = Some(far.url());
    rig.options.no_proxy = Some("*".to_owned());
    rig.hosts(NAME, &format!("server = \"http://{NAME}\"\nproxy = \"http://{}\"\n", near.address));
    rig.session().tag(&repository(), "1").await.unwrap();
    assert_eq!((near.lines().len(), far.lines().len()), (1, 0));
}

/// Attack E6: whatever goes wrong with a proxy, its password is not told; the proxy is.
#[tokio::test]
async fn attack_e6_a_proxy_that_fails_is_named_without_its_password() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for settings in [Settings::conforming().tls(), Settings::conforming()] {
        let (server, mut rig) = hidden(settings);
        let strict = Proxy::start(&[(NAME, &server)], Some("something else")).await;
        let knows_nobody = Proxy::start(&[], None).await;
        for address in [strict.address, knows_nobody.address, gone] {
            let url = ProxyUrl::new(&format!("http://user:{PASSWORD}@{address}"));
            rig.options.proxy = Some(url);
            let registry = rig.registry();
            let error = crate::rig::session(&registry, &sealgate::registry::Access::default())
                .tag(&repository(), "1")
                .await
                .unwrap_err();
            assert_eq!(error.class(), Class::Unreachable, "{error:?}");
            let told = format!("{error} {error:?} {registry:?} {:?}", rig.options);
            assert!(!told.contains(PASSWORD) && !told.contains(ENCODED), "{told}");
            if let RegistryError::Unreachable { why: Why::Connection(text), .. } = &error {
                assert!(text.contains(&address.to_string()), "{text}");
            }
        }
        assert_eq!(server.requests(), []);
    }
}

/// Attack E1: a proxy sees no more of a tunnel than its address, and credentials stay behind at a
/// redirect as ever.
#[tokio::test]
async fn attack_e1_a_redirect_through_a_proxy_carries_no_credentials() {
    let server = TestRegistry::start(Settings::conforming().auth(Auth::basic(PASSWORD)));
    let other = TestRegistry::start(Settings::conforming());
    let (_, digest) = push(&other);
    server.rule(
        Rule::new(
            "/manifests/",
            Answer::Redirect(307, "http://other.example.test/v2/acme/app/manifests/1".into()),
        )
        .calls(2..=2),
    );
    let mut rig = Rig::new();
    let proxy = Proxy::start(&[(NAME, &server), ("other.example.test", &other)], None).await;
    rig.options.http_proxy = Some(proxy.url());
    rig.hosts(NAME, &format!("server = \"http://{NAME}\"\n"));
    server.rule(
        Rule::new(
            "/manifests/",
            Answer::Full {
                status: 401,
                headers: vec![("www-authenticate", "Basic realm=\"r\"".to_owned())],
                body: Vec::new(),
            },
        )
        .calls(1..=1),
    );
    let fetched = rig.session_of(&robot(PASSWORD, NAME)).tag(&repository(), "1").await.unwrap();
    assert_eq!(fetched.digest, digest);
    assert!(server.requests()[1].authorization.is_some());
    assert_eq!(other.requests()[0].authorization, None);
}

/// Attack E5: an address in numbers is refused before any proxy is asked; what a name stands for,
/// the proxy decides.
#[tokio::test]
async fn attack_e5_numbers_are_refused_and_names_are_the_proxys() {
    let (server, mut rig) = hidden(Settings::conforming());
    let proxy = Proxy::start(&[(NAME, &server)], None).await;
    rig.options.http_proxy = Some(proxy.url());
    for (to, asked) in
        [("http://169.254.169.254/x", false), ("http://metadata.example.test/x", true)]
    {
        server.clear_rules();
        server.rule(Rule::new("/manifests/", Answer::Redirect(307, to.to_owned())));
        let error = rig.session().tag(&repository(), "1").await.unwrap_err();
        assert_eq!(
            matches!(error, RegistryError::ForbiddenAddress { .. }),
            !asked,
            "{to}: {error:?}"
        );
        assert_eq!(proxy.lines().iter().any(|line| line.contains(to)), asked, "{to}");
    }
}
