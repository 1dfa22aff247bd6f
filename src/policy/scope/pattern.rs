//! [`RepositoryPattern`] and [`NamespacePattern`]: which names a document is about, read and
//! written down as the [`Automaton`](super::automaton::Automaton) reads them.
//!
//! A pattern is matched against a folded repository (`Repository::folded`), whole, from end to end:
//! dots are literal, `*` stays within one part between slashes, `**` stands for parts (attack B5).
//! The pattern's own host is folded the same way, so that no spelling of one place is outside of it
//! (attack E8). What no name could match is an error.

use crate::image::{ReferenceError, Repository, is_component, is_reserved_host};

use super::regional::HostScope;
use crate::policy::syntax::error::PatternFault;

/// Longest pattern: no image name is longer (distribution reference, 255).
const PATTERN_MAX: usize = 255;
/// Longest namespace (RFC 1123 label, Kubernetes namespaces).
const NAMESPACE_MAX: usize = 63;
/// Any run of characters of one part, none among others.
pub(in crate::policy) const ANY_TEXT: u8 = b'*';
/// Any number of whole parts, none among others; written `**`.
pub(in crate::policy) const ANY_PARTS: u8 = 1;
/// Stands behind each part.
pub(in crate::policy) const END_OF_PART: u8 = b'/';

/// A pattern over folded repository names: its parts, each with a slash behind it, and
/// [`ANY_PARTS`] for `**`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::policy) struct RepositoryPattern(String);

/// A pattern over namespaces: one part, in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct NamespacePattern(String);

/// Patterns of one document, behind one another in one piece of memory: there may be some hundred
/// thousand of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct PatternList(String);

/// The hosts of patterns that were read: those of one list are few, and folding one takes longer
/// than all the rest.
#[derive(Debug, Default)]
pub(in crate::policy) struct Hosts {
    last: Option<(String, String)>,
}

impl RepositoryPattern {
    /// Parses a pattern as it stands in a document.
    ///
    /// # Errors
    /// [`PatternFault`] says what cannot be meant, or what to write instead.
    pub(in crate::policy) fn parse(text: &str, hosts: &mut Hosts) -> Result<Self, PatternFault> {
        if text.len() > PATTERN_MAX {
            return Err(PatternFault::TooLong);
        }
        if text.contains('@') {
            return Err(PatternFault::Digest);
        }
        if text.is_empty() || text.split('/').any(str::is_empty) {
            return Err(PatternFault::Empty);
        }
        let (first, path) = match text.split_once('/') {
            Some((first, path)) => (first, Some(path)),
            None => (text, None),
        };
        if path.is_none() && first != "**" {
            return Err(short_name(first));
        }
        let host = hosts.host(first, path)?;
        if is_reserved_host(&host) {
            return Err(PatternFault::Reserved);
        }
        let path = path.unwrap_or_default();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            check_part(part)?;
        }
        if !host.contains('*') {
            return with_literal_host(&host, path);
        }
        Ok(Self(encoded(&[host.as_str()], path)))
    }

    /// Whether its host is literal, or leaves no more open than a region.
    pub(in crate::policy) fn hosts(&self) -> HostScope {
        let mut parts = self.0.split('/');
        let host = parts.next().unwrap_or_default();
        if !host.bytes().any(|byte| matches!(byte, ANY_TEXT | ANY_PARTS)) {
            return HostScope::Literal;
        }
        HostScope::of_wildcards(host, parts.next().filter(|owner| !owner.is_empty()))
    }

    /// What the automaton reads.
    pub(in crate::policy) fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamespacePattern {
    /// Parses; `None` when no namespace could match.
    pub(in crate::policy) fn parse(text: &str) -> Option<Self> {
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        let known =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == ANY_TEXT;
        let bytes = text.as_bytes();
        let fits = text.bytes().filter(|b| *b != ANY_TEXT).count() <= NAMESPACE_MAX;
        (edge(bytes.first())
            && edge(bytes.last())
            && fits
            && text.bytes().all(known)
            && !text.contains("**"))
        .then(|| Self(format!("{text}/")))
    }

    /// What the automaton reads.
    pub(in crate::policy) fn as_str(&self) -> &str {
        &self.0
    }
}

impl PatternList {
    /// Adds a pattern as the automaton reads it; none has a line break in it.
    pub(in crate::policy) fn push(&mut self, pattern: &str) {
        self.0.push_str(pattern);
        self.0.push('\n');
    }

    /// The patterns, in the order in which they were added.
    pub(in crate::policy) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator('\n')
    }

    /// Those of them that name no digest.
    pub(in crate::policy) fn unpinned(self) -> Self {
        if !self.0.contains('@') {
            return self;
        }
        let mut list = Self::default();
        self.iter().filter(|entry| !entry.contains('@')).for_each(|entry| list.push(entry));
        list.shrunk()
    }

    /// Whether there is none.
    pub(in crate::policy) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, in no more memory than it takes.
    pub(in crate::policy) fn shrunk(mut self) -> Self {
        self.0.shrink_to_fit();
        self
    }
}

impl Hosts {
    /// The host as policies see it, still with its wildcards.
    fn host(&mut self, first: &str, path: Option<&str>) -> Result<String, PatternFault> {
        if let Some((written, host)) = &self.last
            && written == first
        {
            return Ok(host.clone());
        }
        let host = host(first, path)?;
        self.last = Some((first.to_owned(), host.clone()));
        Ok(host)
    }
}

/// The parts of a pattern. A `**` at the end stands for one part at least: `a/**` is what is below
/// `a`, not `a`.
fn encoded(hosts: &[&str], path: &str) -> String {
    let parts = || hosts.iter().copied().chain(path.split('/').filter(|part| !part.is_empty()));
    let count = parts().count();
    let mut encoded = String::with_capacity(
        hosts.iter().map(|host| host.len() + 1).sum::<usize>() + path.len() + 3,
    );
    for (number, part) in (1..).zip(parts()) {
        if part != "**" {
            encoded.push_str(part);
            encoded.push(char::from(END_OF_PART));
            continue;
        }
        if count > 1 && number == count {
            encoded.push(char::from(ANY_TEXT));
            encoded.push(char::from(END_OF_PART));
        }
        encoded.push(char::from(ANY_PARTS));
    }
    encoded
}

/// A pattern as it would be written in a document, from what the automaton reads.
pub(in crate::policy) fn written(encoded: &str) -> String {
    let any_parts = char::from(ANY_PARTS);
    // `*/` and `**` behind it is `**` at the end, and stands for one part at least.
    let text = match encoded.strip_suffix(&format!("/*/{any_parts}")) {
        Some(before) => format!("{before}/**"),
        None => encoded.replace(any_parts, "**/"),
    };
    let text = text.replace(any_parts, "**/");
    // A digest is a part of its own there.
    text.trim_end_matches('/').replace("/@", "@")
}

/// The host as policies see it, still with its wildcards.
fn host(first: &str, path: Option<&str>) -> Result<String, PatternFault> {
    if first == "**" {
        return Ok(first.to_owned());
    }
    if first.contains("**") {
        return Err(PatternFault::DoubleStar);
    }
    if let Some(c) = first.chars().find(|c| matches!(c, '?' | '{' | '}' | '!' | '\\')) {
        return Err(PatternFault::Metacharacter(c));
    }
    if first.contains('*') {
        let lower = first.to_ascii_lowercase();
        let host = lower.strip_suffix(":443").unwrap_or(&lower);
        // With a letter in place of a wildcard in the name, and a digit or nothing in the port, the
        // rest must be a host.
        let (name, port) =
            host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
        let written = |digit: &str| {
            let port =
                port.map(|port| format!(":{}", port.replace('*', digit))).unwrap_or_default();
            Repository::parse(&format!("{}{port}/a", name.replace('*', "z")))
        };
        let fits = written("1").is_ok() || written("").is_ok();
        return if fits { Ok(host.to_owned()) } else { Err(PatternFault::Host) };
    }
    let shape = first.contains(['.', ':', '['])
        || first == "localhost"
        || first.bytes().any(|b| b.is_ascii_uppercase());
    if !shape {
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        return Err(PatternFault::NoHost { write: format!("docker.io/{first}{path}") });
    }
    // Two parts below the host, so that folding does not put Docker Hub's `library` in between.
    match Repository::parse(&format!("{first}/a/a")) {
        Ok(repository) => Ok(repository.folded().host().to_owned()),
        Err(_) if first.contains('[') && !first.contains(':') => {
            Err(PatternFault::Metacharacter('['))
        }
        Err(_) => Err(PatternFault::Host),
    }
}

fn short_name(first: &str) -> PatternFault {
    match first.rsplit_once(':') {
        Some((name, _)) if !name.contains('.') => PatternFault::Tag,
        _ if first.contains('.') || first.contains(':') || first == "localhost" || first == "*" => {
            PatternFault::NeverMatches { write: format!("{first}/**") }
        }
        _ => PatternFault::NoHost { write: format!("docker.io/library/{first}") },
    }
}

/// A part of the path: what a repository's part is made of, and `*`.
fn check_part(part: &str) -> Result<(), PatternFault> {
    if part == "**" || is_component(part) {
        return Ok(());
    }
    if part.contains(':') {
        return Err(PatternFault::Tag);
    }
    if part.contains("**") {
        return Err(PatternFault::DoubleStar);
    }
    if let Some(c) = part.chars().find(|c| matches!(c, '?' | '[' | ']' | '{' | '}' | '!' | '\\')) {
        return Err(PatternFault::Metacharacter(c));
    }
    // With one of these in place of each wildcard a part that can match is well formed: `a*` and
    // `*-b` as `a1`, `1-b`.
    match Repository::parse(&format!("host.test/{}", part.replace('*', "1"))) {
        Ok(_) => Ok(()),
        Err(ReferenceError::TooLong) => Err(PatternFault::TooLong),
        Err(_) => Err(PatternFault::Path),
    }
}

/// A literal host: folded with its path, since Docker Hub's official images live under `library`.
fn with_literal_host(host: &str, path: &str) -> Result<RepositoryPattern, PatternFault> {
    let single = !path.contains('/');
    if host == "docker.io" && single && path.contains('*') && path != "**" {
        return Err(PatternFault::NeverMatches { write: format!("docker.io/library/{path}") });
    }
    let hosts: &[&str] =
        if host == "docker.io" && single && path != "**" { &[host, "library"] } else { &[host] };
    Ok(RepositoryPattern(encoded(hosts, path)))
}

#[cfg(test)]
mod tests;
