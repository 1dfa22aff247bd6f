//! One host of a `hosts.toml`: its address, what it may be asked for, TLS, headers, proxy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::host::{Host, Scheme, Tls};
use crate::registry::authority::{DOCKER_HUB_API, is_authority, split_port};
use crate::registry::error::RegistryError;
use crate::registry::operator_file::{config, read_capped};
use crate::registry::proxy_url::ProxyUrl;

/// Most files of authorities for one host.
const AUTHORITIES_MAX: usize = 16;

/// What a table says of one host; unknown keys are ignored as containerd does.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct HostTable {
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

/// One host by its URL; a missing scheme means HTTPS, `/v2` is added unless `override_path` says
/// otherwise.
pub(super) fn entry(
    url: &str,
    table: HostTable,
    file: &Path,
    registry: &str,
) -> Result<Host, RegistryError> {
    let bad = || config(file, None, "names a host that is not an http or https address");
    let (scheme, rest) = match url.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(_) => return Err(bad()),
        // Containerd takes such a name for an address with a scheme, finds no host in it, and asks
        // another one.
        None if url.starts_with("http") => {
            return Err(config(file, None, "needs https:// before a name like http…"));
        }
        None => (Scheme::Https, url),
    };
    let (authority, path) =
        rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let clean = path.split('/').all(|part| part != ".." && part != ".")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b));
    if !is_authority(authority) || !clean {
        return Err(bad());
    }
    let path = if table.override_path || path.ends_with("/v2") {
        path.to_owned()
    } else {
        format!("{path}/v2")
    };
    let hub = registry == "docker.io" && authority == DOCKER_HUB_API;
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

/// TLS, headers and the like; with TLS settings an `http://` host on a port other than 80 is tried
/// with TLS first.
pub(super) fn settings(
    mut host: Host,
    table: HostTable,
    file: &Path,
) -> Result<Host, RegistryError> {
    let folder = file.parent().unwrap_or_else(|| Path::new("/"));
    let explicit = table.skip_verify.is_some() || table.ca.is_some() || table.client.is_some();
    if explicit && host.scheme == Scheme::Http && split_port(&host.authority).1 != Some("80") {
        host.scheme = Scheme::Either;
    }
    host.tls.skip_verify = table.skip_verify.unwrap_or(host.tls.skip_verify);
    host.tls.ca = match table.ca {
        None => Vec::new(),
        Some(Paths::One(path)) => vec![pem(&folder.join(path))?],
        Some(Paths::Many(paths)) if paths.len() > AUTHORITIES_MAX => {
            return Err(config(file, None, "names more than 16 files of authorities for one host"));
        }
        Some(Paths::Many(paths)) => {
            paths.iter().map(|path| pem(&folder.join(path))).collect::<Result<_, _>>()?
        }
    };
    host.tls.client = client_pair(table.client, folder, file)?;
    host.headers = headers(table.header, file)?;
    host.dial_timeout = match table.dial_timeout.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(
            duration(&text)
                .ok_or_else(|| config(file, None, "has a dial_timeout that is no duration"))?,
        ),
    };
    host.proxy = table.proxy.filter(|proxy| !proxy.is_empty()).map(|proxy| ProxyUrl::new(&proxy));
    if host.proxy.as_ref().is_some_and(|proxy| !proxy.is_usable()) {
        return Err(config(
            file,
            None,
            "has a proxy that is not http://host:port or https://host:port",
        ));
    }
    Ok(host)
}

/// Whether content and tags may be asked for; nothing said means both.
fn capable(capabilities: &[String], file: &Path) -> Result<(bool, bool), RegistryError> {
    let lower: Vec<String> = capabilities.iter().map(|text| text.to_ascii_lowercase()).collect();
    if let Some(_unknown) =
        lower.iter().find(|text| !["pull", "resolve", "push", "referrers"].contains(&text.as_str()))
    {
        return Err(config(
            file,
            None,
            "has a capability other than pull, resolve, push and referrers",
        ));
    }
    let has = |what: &str| lower.is_empty() || lower.iter().any(|text| text == what);
    Ok((has("pull"), has("pull") && has("resolve")))
}

/// The one client certificate, with its key behind it.
fn client_pair(
    client: Option<Pairs>,
    folder: &Path,
    file: &Path,
) -> Result<Option<Vec<u8>>, RegistryError> {
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
        return Err(config(
            file,
            None,
            "must name one client certificate, with its key in the same or a second file",
        ));
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

/// A file in PEM that must be there.
pub(super) fn pem(path: &Path) -> Result<Vec<u8>, RegistryError> {
    read_capped(path)?
        .ok_or_else(|| config(path, None, "is named by hosts.toml and does not exist"))
}

/// A duration as Go writes it: `30s`, `500ms`, `1m30s`, `1.5h`; of its units those down to a
/// microsecond.
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

    #[test]
    fn durations_are_gos() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("+2000us", 2),
            ("1s.5s", 1500),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1d", "1..5s", "0s", "1e3s", "99999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
