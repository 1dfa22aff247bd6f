//! The URI of a git source as builders write it: [`repository`], [`reference_of`], [`commit_in`].
//!
//! Nothing here fetches or resolves anything.

/// A repository's URL with its spelling taken off: `git+`, `@ref`, `#ref`, a trailing slash or
/// `.git`, the case of the host. None when there is no scheme, host or path, or a user name or
/// query is in it: those may hide the host.
pub(super) fn repository(text: &str) -> Option<String> {
    let (scheme, rest) = text.strip_prefix("git+").unwrap_or(text).split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
    if host.is_empty()
        || !host.chars().all(plain)
        || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
    {
        return None;
    }
    let path = path.split(['@', '#']).next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let hidden = |c: char| c == '?' || c == '\\' || c == '%' || c.is_control() || c.is_whitespace();
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..")
        || path.contains(hidden)
    {
        return None;
    }
    Some(format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

/// Whether a text can be a wanted source: a URL that names a repository.
pub(super) fn is_repository(text: &str) -> bool {
    repository(text).is_some()
}

/// The full ref in a source's URI; a short name or a commit is none.
pub(super) fn reference_of(uri: &str) -> Option<&str> {
    revision(uri).filter(|revision| revision.starts_with("refs/"))
}

/// The commit in a source's URI.
pub(super) fn commit_in(uri: &str) -> Option<&str> {
    let id =
        |text: &&str| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    revision(uri).filter(id)
}

/// What stands after the `@` (GitHub, Cloud Build) or `#` (BuildKit) of a source's URI, without
/// BuildKit's `:folder`: no ref has a colon (git-check-ref-format).
fn revision(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let (_, revision) = path.split_once(['@', '#'])?;
    revision.split(':').next()
}
