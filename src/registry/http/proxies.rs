//! [`Proxies`]: through which proxy an address is asked, by the rules that containerd follows (Go's
//! `http.ProxyFromEnvironment`), and [`Environment`], which is where they usually come from.
//!
//! In order: `proxy` in `hosts.toml`, the option `proxy`, then `http_proxy` or `https_proxy` by the
//! scheme of what is asked, except for what `no_proxy` names. Nothing here reads the environment;
//! `daemon.rs` does, once.
//!
//! A proxy is trusted with what any router sees. It resolves the names of what it is asked for, so
//! the refusal of local addresses behind names (attack E5) is the proxy's to make; addresses in
//! numbers are refused here as ever.

use std::net::IpAddr;

use reqwest::Url;

use crate::registry::authority::split_port;
use crate::registry::error::RegistryError;
use crate::registry::options::Options;
use crate::registry::proxy_url::ProxyUrl;

/// The words of the environment that say how the outside is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HTTP_PROXY` or `http_proxy`.
    pub http_proxy: Option<ProxyUrl>,
    /// `HTTPS_PROXY` or `https_proxy`.
    pub https_proxy: Option<ProxyUrl>,
    /// `NO_PROXY` or `no_proxy`.
    pub no_proxy: Option<String>,
}

/// The choice of a proxy for each address.
#[derive(Debug, Clone, Default)]
pub(in crate::registry) struct Proxies {
    all: Option<ProxyUrl>,
    http: Option<ProxyUrl>,
    https: Option<ProxyUrl>,
    without: Without,
}

/// What is asked directly (`NO_PROXY`).
#[derive(Debug, Clone, Default)]
struct Without {
    everything: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    Network {
        address: IpAddr,
        bits: u8,
    },
    Address {
        address: IpAddr,
        port: Option<String>,
    },
    /// With a dot before it; `itself` when the name without the dot is meant as well.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<String>,
    },
}

impl Environment {
    /// Reads the words through this function; the first spelling that is not empty counts, the
    /// upper case before the lower. An address without a scheme is one with `http://`.
    #[must_use]
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let word = |upper: &str| {
            let lower = upper.to_ascii_lowercase();
            [upper, &lower].into_iter().filter_map(&get).find(|value| !value.is_empty())
        };
        let proxy = |value: String| match value.contains("://") {
            true => ProxyUrl::new(&value),
            false => ProxyUrl::new(&format!("http://{}", value.trim())),
        };
        Self {
            http_proxy: word("HTTP_PROXY").map(proxy),
            https_proxy: word("HTTPS_PROXY").map(proxy),
            no_proxy: word("NO_PROXY"),
        }
    }

    /// The proxy for an address, secrets and all; none where there is none or `NO_PROXY` names it.
    ///
    /// # Errors
    /// [`RegistryError::Options`] when the proxy's address cannot be used.
    pub fn proxy_for(&self, address: &str) -> Result<Option<String>, RegistryError> {
        let mut options = Options::default();
        options.inherit(self);
        let proxies = Proxies::new(&options)?;
        let Ok(url) = Url::parse(address) else { return Ok(None) };
        Ok(proxies.of(None, &url).and_then(ProxyUrl::exposed))
    }
}

impl Options {
    /// Takes from the environment what the configuration does not say.
    pub fn inherit(&mut self, environment: &Environment) {
        let or = |own: &mut Option<ProxyUrl>, other: &Option<ProxyUrl>| {
            *own = own.take().or_else(|| other.clone())
        };
        or(&mut self.http_proxy, &environment.http_proxy);
        or(&mut self.https_proxy, &environment.https_proxy);
        self.no_proxy = self.no_proxy.take().or_else(|| environment.no_proxy.clone());
    }
}

impl Proxies {
    /// # Errors
    /// [`RegistryError::Options`] for an address that cannot be used, without the address.
    pub(in crate::registry) fn new(options: &Options) -> Result<Self, RegistryError> {
        let usable = |option: &'static str, proxy: &Option<ProxyUrl>| match proxy {
            Some(proxy) if proxy.is_none() => Ok(None),
            Some(proxy) if !proxy.is_usable() => Err(RegistryError::Options {
                option,
                problem: "must be http://host:port or https://host:port, with user:password@ \
                    before the host if need be",
            }),
            other => Ok(other.clone()),
        };
        Ok(Self {
            all: usable("proxy", &options.proxy)?,
            http: usable("http_proxy", &options.http_proxy)?,
            https: usable("https_proxy", &options.https_proxy)?,
            without: Without::parse(options.no_proxy.as_deref().unwrap_or_default()),
        })
    }

    /// The proxy for an address; `own` is what `hosts.toml` says for its host.
    pub(in crate::registry) fn of<'a>(
        &'a self,
        own: Option<&'a ProxyUrl>,
        url: &Url,
    ) -> Option<&'a ProxyUrl> {
        let by_scheme = match url.scheme() {
            "https" => self.https.as_ref(),
            "http" => self.http.as_ref(),
            _ => None,
        };
        own.or(self.all.as_ref()).or_else(|| by_scheme.filter(|_| !self.without.has(url)))
    }
}

impl Without {
    fn parse(text: &str) -> Self {
        let mut without = Self::default();
        for word in text
            .split(',')
            .map(|word| word.trim().to_ascii_lowercase())
            .filter(|word| !word.is_empty())
        {
            if word == "*" {
                return Self { everything: true, entries: Vec::new() };
            }
            without.entries.extend(entry(&word));
        }
        without
    }

    /// Whether an address is asked directly; this node always is.
    fn has(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = url.port_or_known_default().map(|port| port.to_string());
        let same_port = |wanted: &Option<String>| wanted.is_none() || *wanted == port;
        let address: Option<IpAddr> =
            bare.parse().ok().map(|address: IpAddr| address.to_canonical());
        if bare == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.everything
        {
            return true;
        }
        self.entries.iter().any(|entry| match (entry, address) {
            (Entry::Network { address: network, bits }, Some(address)) => {
                is_within(address, *network, *bits)
            }
            (Entry::Address { address: named, port }, Some(address)) => {
                *named == address && same_port(port)
            }
            (Entry::Domain { suffix, itself, port }, None) => {
                let named = bare.ends_with(suffix.as_str())
                    || (*itself && suffix.strip_prefix('.') == Some(bare));
                named && same_port(port)
            }
            (Entry::Network { .. } | Entry::Address { .. }, None)
            | (Entry::Domain { .. }, Some(_)) => false,
        })
    }
}

/// One word of `NO_PROXY`: a network, an address or a name, the last two perhaps with a port. A
/// name stands for itself and all below it; with a dot or `*.` before it only for those below.
fn entry(word: &str) -> Option<Entry> {
    if let Some((address, bits)) = word.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = bits.parse().ok().filter(|bits| *bits <= most)?;
        return Some(Entry::Network { address, bits });
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(Entry::Address { address: address.to_canonical(), port: None });
    }
    let (name, port) = split_port(word);
    let port = port.map(str::to_owned);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Entry::Address { address: address.to_canonical(), port });
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    let (suffix, itself) = match name.strip_prefix('.') {
        Some(_) => (name.to_owned(), false),
        None => (format!(".{name}"), true),
    };
    (suffix.len() > 1).then_some(Entry::Domain { suffix, itself, port })
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |address: u128, network: u128, width: u32| {
        let kept = width.saturating_sub(u32::from(bits));
        address.checked_shr(kept).unwrap_or(0) == network.checked_shr(kept).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            same(u128::from(address.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            same(address.to_bits(), network.to_bits(), 128)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_direct(no_proxy: &str, address: &str) -> bool {
        Without::parse(no_proxy).has(&Url::parse(address).unwrap())
    }

    /// The rules of Go's `golang.org/x/net/http/httpproxy`, case by case.
    #[test]
    fn what_is_asked_directly() {
        for (no_proxy, address, expected) in [
            ("", "https://r.example/", false),
            ("", "https://localhost/", true),
            ("", "https://localhost:5000/", true),
            ("", "https://127.1.2.3/", true),
            ("", "https://[::1]:5000/", true),
            ("*", "https://r.example/", true),
            ("a.example, *", "https://r.example/", true),
            ("r.example", "https://r.example/", true),
            ("r.example", "https://sub.r.example/", true),
            ("r.example", "https://other-r.example/", false),
            ("R.Example", "https://r.EXAMPLE/", true),
            (".r.example", "https://r.example/", false),
            (".r.example", "https://sub.r.example/", true),
            ("*.r.example", "https://r.example/", false),
            ("*.r.example", "https://sub.r.example/", true),
            ("r.example:443", "https://r.example/", true),
            ("r.example:443", "https://r.example:5000/", false),
            ("r.example:80", "http://r.example/", true),
            ("example", "https://r.example/", true),
            ("10.0.0.1", "https://10.0.0.1:5000/", true),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/", true),
            ("10.0.0.1:5001", "https://10.0.0.1:5000/", false),
            ("10.0.0.0/8", "https://10.20.30.40/", true),
            ("10.0.0.0/8", "https://11.0.0.1/", false),
            ("10.0.0.0/33", "https://10.0.0.1/", false),
            ("0.0.0.0/0", "https://11.0.0.1/", true),
            ("10.0.0.0/8", "https://ten.example/", false),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("fd00::/8", "https://[fe12::1]/", false),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", true),
            ("fd00::1", "https://[fd00::1]:5000/", true),
            (",, ,.", "https://r.example/", false),
            (" a.example ,b.example", "https://b.example/", true),
        ] {
            assert_eq!(is_direct(no_proxy, address), expected, "{no_proxy:?} {address}");
        }
    }

    #[test]
    fn the_scheme_chooses_and_what_is_said_outright_wins() {
        let get = |name: &str| match name {
            "http_proxy" => Some("plain.example:3128".to_owned()),
            "HTTPS_PROXY" => Some("http://tls.example:3128".to_owned()),
            "https_proxy" => Some("http://not-this.example".to_owned()),
            "NO_PROXY" => Some(String::new()),
            "no_proxy" => Some("direct.example".to_owned()),
            _ => None,
        };
        let environment = Environment::read(get);
        let mut options = Options::default();
        options.inherit(&environment);
        let of = |options: &Options, own: Option<&str>, address: &str| {
            let proxies = Proxies::new(options).unwrap();
            let own = own.map(ProxyUrl::new);
            let url = Url::parse(address).unwrap();
            proxies.of(own.as_ref(), &url).map(ProxyUrl::shown)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&options, None, "http://r.example/"), some("plain.example:3128"));
        assert_eq!(of(&options, None, "https://r.example/"), some("tls.example:3128"));
        assert_eq!(of(&options, None, "https://direct.example/"), None);
        assert_eq!(
            of(&options, Some("http://own.example"), "https://direct.example/"),
            some("own.example")
        );
        let all = Options { proxy: Some(ProxyUrl::new("http://all.example")), ..options.clone() };
        assert_eq!(of(&all, None, "https://direct.example/"), some("all.example"));
        let off = Options { https_proxy: Some(ProxyUrl::new("")), ..options };
        assert_eq!(of(&off, None, "https://r.example/"), None);
        let expected = Ok(Some("http://tls.example:3128/".to_owned()));
        assert_eq!(environment.proxy_for("https://mirror.example/tuf/"), expected);
    }

    /// Attack E6: a proxy's password is in no message and no debug output.
    #[test]
    fn attack_e6_a_proxys_password_is_not_shown() {
        let proxy = ProxyUrl::new("http://user:hunter2@proxy.example:3128");
        let options = Options { https_proxy: Some(proxy.clone()), ..Options::default() };
        let shown = format!("{options:?} {:?} {}", Proxies::new(&options).unwrap(), proxy.shown());
        assert!(shown.contains("proxy.example:3128") && !shown.contains("hunter2"), "{shown}");
        let bad = ProxyUrl::new("ftp://user:hunter2@proxy.example");
        let options = Options { https_proxy: Some(bad), ..Options::default() };
        let error = Proxies::new(&options).unwrap_err();
        assert!(!format!("{error} {error:?} {options:?}").contains("hunter2"));
        assert!(matches!(error, RegistryError::Options { option: "https_proxy", .. }));
    }

    #[test]
    fn proxies_are_hosts_with_or_without_a_user() {
        for good in [
            "http://p",
            "http://p:3128",
            "https://p:3128/",
            "http://u:p@p:3128",
            "http://[::1]:3128",
        ] {
            assert!(ProxyUrl::new(good).is_usable(), "{good}");
        }
        for bad in
            ["", "p:3128", "socks5://p:1", "http://p/x", "http://p?x", "http://", "http://p:port"]
        {
            assert!(!ProxyUrl::new(bad).is_usable(), "{bad}");
        }
    }
}
