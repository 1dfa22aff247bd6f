//! Reads one folder of containerd's `certs.d`: its `hosts.toml`, or without one the certificates of
//! docker's layout.
//!
//! The meaning is that of containerd 2.x (docs/hosts.md and `core/remotes/docker/config/hosts.go`;
//! compared with 1.6, 1.7 and 2.1 in `tests/registry/differential.rs`). Differences, all of them on
//! the side of asking nobody:
//! - a file that cannot be understood is an error, where containerd logs it and goes on as if there
//!   were none (1.x also takes a file without a `[host]` table for such a one; here it counts);
//! - more than one client certificate for a host, a user, query or `..` in an address, and a proxy
//!   that is neither HTTP nor HTTPS are errors; so is a host without a scheme whose name begins
//!   with `http`;
//! - a server that is also the last host is asked once;
//! - a host that may not give content (`capabilities` without `pull`) is not asked for it;
//!   containerd's fetcher asks it. `referrers`, which only the newest containerd knows, is accepted
//!   and restricts nothing;
//! - `skip_verify = false` holds for `localhost` as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::host::Host;
use super::host_table::{HostTable, entry, pem, settings};
use crate::registry::error::RegistryError;
use crate::registry::operator_file::{config, read_capped};

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

/// Reads a folder for `registry` (the reference's host).
pub(in crate::registry) fn read(folder: &Path, registry: &str) -> Result<Folder, RegistryError> {
    let file = folder.join("hosts.toml");
    match read_capped(&file)? {
        Some(bytes) if !bytes.is_empty() => parse(&bytes, &file, registry),
        _ => certificates(folder, registry),
    }
}

fn parse(bytes: &[u8], file: &Path, registry: &str) -> Result<Folder, RegistryError> {
    let text = std::str::from_utf8(bytes).map_err(|_| config(file, None, "is not UTF-8"))?;
    // The parser's own words quote the file, which may hold secrets in headers: only the line is
    // told.
    let parsed: HostsToml = toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| before.matches('\n').count() + 1);
        config(file, line, "is not a hosts.toml that can be understood")
    })?;
    let mut tables: Vec<(usize, String, HostTable)> = parsed
        .host
        .into_iter()
        .map(|(url, table)| (first_mention(text, &url), url, table))
        .collect();
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

/// Where a host is first named, be it by a table below its own: that is its place in the order, as
/// for containerd.
fn first_mention(text: &str, url: &str) -> usize {
    let Ok(whole) = DeTable::parse(text) else { return 0 };
    let hosts = whole.get_ref().get("host").and_then(|host| host.get_ref().as_table());
    let found = hosts.and_then(|hosts| hosts.iter().find(|(key, _)| key.get_ref() == url));
    let below = |table: &Spanned<DeValue<'_>>| {
        table.get_ref().as_table().and_then(|table| table.keys().map(|key| key.span().start).min())
    };
    found.map_or(0, |(key, table)| below(table).unwrap_or(usize::MAX).min(key.span().start))
}

/// Whether a host of the file is the server itself, allowed to do as much. Such a server is not
/// asked again: it would say the same; and where the certificate authority stands with the host
/// alone, as it mostly does, TLS would fail then, and turn what is not there into what cannot be
/// reached.
fn says_all(host: &Host, server: &Host) -> bool {
    let same = host.scheme == server.scheme && host.place() == server.place();
    same && host.path == server.path && host.pull >= server.pull && host.resolve >= server.resolve
}

/// Docker's layout: `*.crt` are authorities, `*.cert` with `*.key` client certificates.
fn certificates(folder: &Path, registry: &str) -> Result<Folder, RegistryError> {
    let entries =
        std::fs::read_dir(folder).map_err(|_| config(folder, None, "cannot be listed"))?;
    let files =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| !path.is_dir());
    let mut paths: Vec<PathBuf> = files.take(FILES_MAX + 1).collect();
    if paths.len() > FILES_MAX {
        return Err(config(folder, None, "holds more than 256 files"));
    }
    paths.sort();
    let with = |extension: &str| -> Vec<&PathBuf> {
        paths
            .iter()
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect()
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

#[cfg(test)]
mod tests;
