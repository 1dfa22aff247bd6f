//! [`Glob`]: a pattern of Connaisseur as patterns of repositories, and which of two wins.
//!
//! Connaisseur matches a pattern anywhere in an image's full name with its tag and digest, and `*`
//! crosses slashes. Of those that match, one alone decides: the one with most parts between
//! slashes; then the one that shares more with the image's name, part by part from the left; then
//! the one with the longer part; then the later one (`internal/policy/match.go`,
//! `internal/config/config.go`).

use crate::import::reader::fault::Omission;
use crate::import::reader::host;
use crate::import::reader::pattern::crossing;
use crate::policy::{ImageScope, PolicyFault, ScopeFault};

/// Characters of globs that no name has, and none here says.
const NO_NAME: [char; 7] = ['?', '[', ']', '{', '}', '!', '\\'];
/// Every image.
const EVERYTHING: &str = "**";
/// Docker Hub here, and what Connaisseur calls it in a full name. Its other names are hosts of their
/// own there.
const HUB: (&str, &str) = (host::HUB, "index.docker.io");

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob<'g> {
    /// Its parts, as written.
    parts: Vec<&'g str>,
    /// Repositories of which some image matches: never fewer than there are.
    pub(super) images: Vec<String>,
    /// Repositories of which every image matches, under a host that is written out.
    pub(super) literal: Vec<String>,
    /// The full names of those, part by part, as far as they are known; the last one may go on.
    known: Vec<String>,
    /// It asks for a tag and leaves open which: an image by its digest alone does not match.
    pub(super) is_tagged: bool,
    /// What `images` does not say of it.
    pub(super) omission: Option<Omission>,
}

/// How a pattern goes on behind the repository's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GlobEnding {
    /// With anything.
    Open,
    /// With a tag.
    Tagged,
    /// With some tags or digests, which no pattern of repositories says.
    Narrow,
}

impl<'g> Glob<'g> {
    /// Reads one.
    pub(super) fn new(text: &'g str) -> Self {
        let parts: Vec<&str> = text.split('/').collect();
        let everything = |omission| Self {
            parts: parts.clone(),
            images: vec![EVERYTHING.to_owned()],
            literal: Vec::new(),
            known: Vec::new(),
            is_tagged: false,
            omission,
        };
        // Every full name has a colon, before its tag or in its digest.
        if !text.is_empty() && matches!(text.trim_matches('*'), "" | ":") {
            return everything(None);
        }
        let unsaid = || Some(Omission::Pattern { got: text.to_owned() });
        let Some(found) = Self::repositories(parts.clone()) else { return everything(unsaid()) };
        match ImageScope::new(&found.images, &[]) {
            Ok(_) => found,
            Err(ScopeFault::Image { fault, .. }) => {
                everything(Some(Omission::Refused(PolicyFault::Pattern(fault))))
            }
            Err(ScopeFault::Unbounded | ScopeFault::Namespace { .. }) => everything(unsaid()),
        }
    }

    fn repositories(parts: Vec<&'g str>) -> Option<Self> {
        let (first, last) = (*parts.first()?, *parts.last()?);
        let middle = parts.get(1..parts.len().checked_sub(1)?)?;
        let inner = first.trim_start_matches('*');
        if parts.len() < 2 || inner.contains('*') || middle.iter().any(|part| part.contains('*')) {
            return None;
        }
        if parts.iter().any(|part| part.contains(NO_NAME)) {
            return None;
        }
        let (name, ending) = ending(last)?;
        let folder: String = middle.iter().map(|part| format!("{part}/")).collect();
        let path = format!("{folder}{name}");
        // Of a host that is spelled in upper case as well, as Connaisseur has it.
        let is_host = inner.contains(['.', ':']) || inner.eq_ignore_ascii_case("localhost");
        let host = if is_host { inner.to_ascii_lowercase() } else { inner.to_owned() };
        let is_hub = host == HUB.0 || host == HUB.1;
        let folded = folded(&host);
        let at_hub = below(HUB.0, &path);
        let (mut literal, mut known) = (Vec::new(), Vec::new());
        let (mut images, is_said) = if inner.is_empty() {
            anywhere(&path)
        } else {
            let (mut images, is_said) = crossing(&format!("*{host}"), &path);
            if !host.contains(':') {
                images.extend(crossing(&format!("*/**/*{host}"), &path).0);
            }
            for one in folded.iter().flat_map(|folded| host::under(folded, &path)) {
                let (host, path) = one.split_once('/')?;
                images.extend(below(host, path));
            }
            (images, is_said)
        };
        if is_host && first == inner && is_said && folded.is_empty() {
            literal = if is_hub { at_hub.clone() } else { crossing(&host, &path).0 };
            images.splice(0..0, literal.iter().cloned());
            known.push(if is_hub { HUB.1.to_owned() } else { host.clone() });
            known.extend(middle.iter().map(|part| (*part).to_owned()));
            known.push(name.trim_end_matches('*').to_owned());
        }
        if is_end_of_hub(&host) && !images.iter().any(|one| at_hub.contains(one)) {
            images.extend(at_hub);
        }
        let unsaid = || Some(Omission::Pattern { got: parts.join("/") });
        let hosts: Vec<&str> = folded.iter().map(|host| host.trim_start_matches('*')).collect();
        let omission = match ending {
            _ if hosts.contains(&"") => unsaid(),
            _ if !hosts.is_empty() => Some(Omission::Folded { as_: hosts.join(" and ") }),
            GlobEnding::Narrow => Some(Omission::TagScope),
            GlobEnding::Open | GlobEnding::Tagged if !is_said => unsaid(),
            GlobEnding::Open | GlobEnding::Tagged => None,
        };
        let is_tagged = ending == GlobEnding::Tagged;
        Some(Self { parts, images, literal, known, is_tagged, omission })
    }

    /// Whether it is about every image.
    pub(super) fn is_everything(&self) -> bool {
        self.images.iter().any(|one| one == EVERYTHING)
    }

    /// Whether it says exactly what `images` does.
    pub(super) fn is_exact(&self) -> bool {
        self.omission.is_none() && !self.is_tagged
    }

    /// Repositories of which this one takes every image from another pattern, which stands in the
    /// file before or behind it.
    pub(super) fn taken_from(&self, other: &Self, is_later: bool) -> &[String] {
        if !self.is_exact() || !self.meets(other) {
            return &[];
        }
        let (own, others) = (self.parts.len(), other.parts.len());
        if own == others {
            let wins = !self.known.is_empty() && self.wins_where_literal(other, is_later);
            return if wins { &self.literal } else { &[] };
        }
        if own > others { &self.images } else { &[] }
    }

    /// Whether it wins against another that is about the same images.
    pub(super) fn outranks(&self, other: &Self, is_later: bool) -> bool {
        let (own, others) = (self.parts.len(), other.parts.len());
        let shares_all =
            self.parts.get(..own.saturating_sub(1)) == other.parts.get(..others.saturating_sub(1));
        own > others || own == others && shares_all && self.wins_by_length(other, is_later)
    }

    /// Whether one image may match both; where that is not known it is so.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (Some((host, path)), Some((other_host, other_path))) =
            (self.known.split_first(), other.known.split_first())
        else {
            return true;
        };
        let (one, two) = (path.join("/"), other_path.join("/"));
        // Of `registry.acme.io` a pattern that begins with `acme.io` matches the end.
        (host.ends_with(other_host.as_str()) || other_host.ends_with(host.as_str()))
            && (one.starts_with(&two) || two.starts_with(&one))
    }

    /// Whether it wins on each of its literal repositories that both match, with as many parts.
    fn wins_where_literal(&self, other: &Self, is_later: bool) -> bool {
        let last = self.parts.len().saturating_sub(1);
        let parts = self.parts.iter().zip(&other.parts).zip(&self.known);
        for (number, ((own, others), known)) in parts.enumerate() {
            let mine = shared(own, known);
            let theirs = shared(others, known);
            // Where the name may go on, the other may share more of it.
            let open = number == last && theirs == known.len();
            let most = if open { others.find('*').unwrap_or(others.len()) } else { theirs };
            match mine.cmp(&most) {
                std::cmp::Ordering::Greater => return true,
                std::cmp::Ordering::Less => return false,
                std::cmp::Ordering::Equal => {}
            }
        }
        self.wins_by_length(other, is_later)
    }

    /// Which has the longer part, from the left; of equal ones the later.
    fn wins_by_length(&self, other: &Self, is_later: bool) -> bool {
        for (own, others) in self.parts.iter().zip(&other.parts) {
            match own.len().cmp(&others.len()) {
                std::cmp::Ordering::Greater => return true,
                std::cmp::Ordering::Less => return false,
                std::cmp::Ordering::Equal => {}
            }
        }
        is_later
    }
}

/// The repository's name at the end of a pattern, open at its end where it may go on, and how it
/// goes on; none where a digest is written out.
fn ending(last: &str) -> Option<(String, GlobEnding)> {
    let (name, rest) = match last.find([':', '@']) {
        Some(at) => last.split_at(at),
        None => (last, ""),
    };
    let is_open = name.is_empty() || name.ends_with('*');
    match rest {
        "" if is_open => Some((format!("{}*", name.trim_end_matches('*')), GlobEnding::Open)),
        "" => Some((format!("{name}*"), GlobEnding::Open)),
        _ if name.is_empty() => None,
        _ if rest.trim_end_matches('*') == ":" && is_open => {
            Some((format!("{}*", name.trim_end_matches('*')), GlobEnding::Open))
        }
        _ if rest.trim_end_matches('*') == ":" => Some((name.to_owned(), GlobEnding::Tagged)),
        _ => Some((name.to_owned(), GlobEnding::Narrow)),
    }
}

/// Whether a pattern that begins so, and matches anywhere, is about Docker Hub, and does not say so as
/// it is called here.
fn is_end_of_hub(text: &str) -> bool {
    !text.is_empty() && HUB.1.ends_with(text) && !HUB.0.ends_with(text)
}

/// The hosts here of images that a pattern which begins so matches under another name of them alone.
fn folded(text: &str) -> Vec<String> {
    if text.is_empty() || HUB.1.ends_with(text) {
        return Vec::new();
    }
    host::folded(&format!("*{text}"))
}

/// What is below a host. Docker Hub's repositories have two parts: none is what a single part means
/// there.
fn below(host: &str, path: &str) -> Vec<String> {
    let mut patterns = crossing(host, path).0;
    patterns.retain(|one| host != HUB.0 || one.matches('/').count() > 1 || one.ends_with("/**"));
    patterns
}

/// What is below any host and any folder.
fn anywhere(path: &str) -> (Vec<String>, bool) {
    if path == "*" {
        return (vec![EVERYTHING.to_owned()], true);
    }
    crossing("*/**", path)
}

/// How many characters two texts have in common at their beginning.
fn shared(one: &str, two: &str) -> usize {
    one.bytes().zip(two.bytes()).take_while(|(one, two)| one == two).count()
}

#[cfg(test)]
mod tests;
