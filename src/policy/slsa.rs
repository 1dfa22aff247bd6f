//! [`Slsa`]: ready-made conditions over SLSA provenance, for predicate types v0.2 and v1.
//!
//! Each field that is set must be there and be exactly the wanted value; `source` and `builder` have the one
//! normalisation that is said beside them. Nothing here is a substitute for the signature: a producer that may write the
//! predicate freely can write anything, so the builder belongs to who signs (SLSA, verifying artifacts, step 1).
//!
//! Where each value is read (SLSA provenance v0.2 and v1; the build types of slsa-github-generator, of
//! actions/attest-build-provenance, of Google Cloud Build and of BuildKit). Every place that is there must agree:
//!
//! | field | v0.2 | v1 |
//! |---|---|---|
//! | `builder` | `builder.id` | `runDetails.builder.id` |
//! | `buildType` | `buildType` | `buildDefinition.buildType` |
//! | `source` | `invocation.configSource.uri` | `externalParameters`: `workflow.repository`, `source.uri`, `source.repository`, `buildConfigSource.repository`, `configSource.uri`; `resolvedDependencies` |
//! | `commit` | `invocation.configSource.digest` | `resolvedDependencies[].digest` of the source; `externalParameters.{source,configSource}.digest` |
//! | `ref`, `branch`, `tag` | `@ref` or `#ref` in the source's URI; `invocation.environment.github_ref` | `workflow.ref`, `source.ref`, `buildConfigSource.ref`, `@ref` in a source's URI |
//! | `workflow` | `invocation.configSource.entryPoint` | `workflow.path`, `buildConfigSource.path`, `configSource.path` |
//!
//! `externalParameters` stands for `buildDefinition.externalParameters`, `resolvedDependencies` for
//! `buildDefinition.resolvedDependencies`; of the latter, those of the wanted repository count, and one must be among
//! them. `materials` of v0.2 list base images and tools as well and are not read.

use std::fmt;

use serde_json::Value;

use super::words::escaped;

/// The predicate type of provenance v0.2.
pub(super) const V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// The predicate type of provenance v1.
pub(super) const V1: &str = "https://slsa.dev/provenance/v1";
/// Most resolved dependencies that are looked at: large builds list a few thousand.
const DEPENDENCIES_MAX: usize = 20_000;

/// What provenance must say; what is none is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slsa {
    /// The builder's id. Without `@` it matches the id up to its `@`: any version of a builder.
    pub(super) builder: Option<String>,
    /// The repository built from, as a URL: `git+` and a trailing `.git` do not count, nor the case of the host.
    pub(super) source: Option<String>,
    /// The full ref: `refs/tags/v1.0`.
    pub(super) reference: Option<String>,
    /// The branch: the ref is `refs/heads/` and this.
    pub(super) branch: Option<String>,
    /// The tag: the ref is `refs/tags/` and this.
    pub(super) tag: Option<String>,
    /// The path of the workflow or build file in the repository: `.github/workflows/release.yml`.
    pub(super) workflow: Option<String>,
    /// The commit built from: the whole hexadecimal id.
    pub(super) commit: Option<String>,
    /// The build type's URI.
    pub(super) build_type: Option<String>,
}

/// Why provenance is not what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SlsaFault {
    /// The field says something else.
    Differs {
        /// The field, one of [`Slsa::FIELDS`].
        field: &'static str,
        /// What the provenance says.
        got: String,
        /// What was wanted.
        want: String,
    },
    /// The provenance does not say.
    Missing {
        /// The field.
        field: &'static str,
    },
    /// The field is there and is no text, or is not readable as what it must be.
    Malformed {
        /// The field.
        field: &'static str,
    },
    /// Not a provenance of a version known here.
    OtherPredicate {
        /// The predicate type.
        got: String,
    },
    /// Nothing was wanted: that would pass any provenance.
    NothingWanted,
}

impl Slsa {
    /// The names of the fields in a policy.
    pub(super) const FIELDS: &'static [&'static str] =
        &["builder", "source", "ref", "branch", "tag", "workflow", "commit", "buildType"];
    /// The predicate types that are read.
    pub(super) const PREDICATE_TYPES: &'static [&'static str] = &[V0_2, V1];

    /// What is wanted of a field.
    pub(super) fn wanted(&self, field: &str) -> Option<&str> {
        let wanted = match field {
            "builder" => &self.builder,
            "source" => &self.source,
            "ref" => self
                .reference
                .as_ref()
                .map_or_else(|| if self.branch.is_some() { &self.branch } else { &self.tag }, |_| &self.reference),
            "branch" => &self.branch,
            "tag" => &self.tag,
            "workflow" => &self.workflow,
            "commit" => &self.commit,
            "buildType" => &self.build_type,
            _ => &None,
        };
        wanted.as_deref()
    }

    /// Whether the provenance says all that is wanted.
    ///
    /// # Errors
    /// [`SlsaFault`], the first in the order of [`Self::FIELDS`].
    pub(super) fn check(&self, predicate_type: &str, untrusted: &Value) -> Result<(), SlsaFault> {
        if *self == Self::default() {
            return Err(SlsaFault::NothingWanted);
        }
        let said = match predicate_type {
            V0_2 => Said::v0_2(untrusted),
            V1 => Said::v1(untrusted),
            other => return Err(SlsaFault::OtherPredicate { got: other.to_owned() }),
        };
        if let Some(want) = &self.builder {
            each("builder", &said.builders, want, |got| got == want || before_version(got, want))?;
        }
        if let Some(want) = &self.source {
            self.source(&said, want)?;
        }
        if self.reference.is_some() || self.branch.is_some() || self.tag.is_some() {
            self.references(&said)?;
        }
        if let Some(want) = &self.workflow {
            each("workflow", &said.workflows, want, |got| got == want)?;
        }
        if let Some(want) = &self.commit {
            self.commit(&said, want)?;
        }
        match &self.build_type {
            Some(want) => each("buildType", &said.build_types, want, |got| got == want),
            None => Ok(()),
        }
    }

    fn source(&self, said: &Said<'_>, want: &str) -> Result<(), SlsaFault> {
        let wanted = repository(want).ok_or(SlsaFault::Malformed { field: "source" })?;
        each("source", &said.sources, want, |got| repository(got).as_ref() == Some(&wanted))?;
        let git: Vec<_> = said.dependencies()?.into_iter().filter(|d| d.is_git()).collect();
        if git.is_empty() || git.iter().any(|d| d.repository().as_ref() == Some(&wanted)) {
            return Ok(());
        }
        let got = git.first().and_then(|d| d.uri).unwrap_or_default().to_owned();
        Err(SlsaFault::Differs { field: "source", got, want: want.to_owned() })
    }

    fn references(&self, said: &Said<'_>) -> Result<(), SlsaFault> {
        let mut references = said.references.clone();
        references.extend(said.sources.iter().filter_map(|at| at.as_str().and_then(reference_of)).map(Said::text));
        let branch = self.branch.as_ref().map(|name| ("branch", format!("refs/heads/{name}")));
        let tag = self.tag.as_ref().map(|name| ("tag", format!("refs/tags/{name}")));
        let wanted = [self.reference.clone().map(|name| ("ref", name)), branch, tag];
        wanted.into_iter().flatten().try_for_each(|(field, want)| each(field, &references, &want, |got| got == want))
    }

    fn commit(&self, said: &Said<'_>, want: &str) -> Result<(), SlsaFault> {
        let mut commits = said.commits.clone();
        let sources: Vec<String> = said.sources.iter().filter_map(|source| repository(source.as_str()?)).collect();
        let dependencies = said.dependencies()?;
        let of_source = |d: &&Dependency<'_>| d.repository().is_some_and(|at| sources.contains(&at));
        let pinned = dependencies.iter().filter(of_source).filter_map(|d| d.commit());
        commits.extend(pinned);
        each("commit", &commits, want, |got| got.eq_ignore_ascii_case(want))
    }
}

/// Every place must be text and fit, and one must be there.
fn each(field: &'static str, places: &[Place<'_>], want: &str, fits: impl Fn(&str) -> bool) -> Result<(), SlsaFault> {
    if places.is_empty() {
        return Err(SlsaFault::Missing { field });
    }
    for place in places {
        let got = place.as_str().ok_or(SlsaFault::Malformed { field })?;
        if !fits(got) {
            return Err(SlsaFault::Differs { field, got: got.to_owned(), want: want.to_owned() });
        }
    }
    Ok(())
}

/// What stands at a place that says something.
#[derive(Clone)]
enum Place<'a> {
    Text(&'a str),
    NoText,
}

impl<'a> Place<'a> {
    const fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::NoText => None,
        }
    }
}

/// A resolved dependency of v1.
struct Dependency<'a> {
    uri: Option<&'a str>,
    digest: Option<&'a Value>,
}

impl<'a> Dependency<'a> {
    /// Whether it is a git repository, and so may be the source; packages and images are not.
    fn is_git(&self) -> bool {
        let commit = self.digest.is_some_and(|digest| digest.get("gitCommit").is_some());
        commit || self.uri.is_some_and(|uri| uri.starts_with("git+") || uri.starts_with("git:"))
    }

    fn repository(&self) -> Option<String> {
        repository(self.uri?)
    }

    fn commit(&self) -> Option<Place<'a>> {
        commit_of(self.digest?)
    }
}

/// What a provenance says, from either version.
struct Said<'a> {
    builders: Vec<Place<'a>>,
    build_types: Vec<Place<'a>>,
    sources: Vec<Place<'a>>,
    references: Vec<Place<'a>>,
    workflows: Vec<Place<'a>>,
    commits: Vec<Place<'a>>,
    resolved: Option<&'a Value>,
}

impl<'a> Said<'a> {
    fn v0_2(predicate: &'a Value) -> Self {
        let config = "/invocation/configSource";
        let at = |field: &str| Self::at(predicate, &[&format!("{config}/{field}")]);
        let digest = predicate.pointer("/invocation/configSource/digest");
        Self {
            builders: Self::at(predicate, &["/builder/id"]),
            build_types: Self::at(predicate, &["/buildType"]),
            sources: at("uri"),
            references: Self::at(predicate, &["/invocation/environment/github_ref"]),
            workflows: at("entryPoint"),
            commits: digest.and_then(commit_of).into_iter().collect(),
            resolved: None,
        }
    }

    fn v1(predicate: &'a Value) -> Self {
        let nothing = &Value::Null;
        let outer = predicate.pointer("/buildDefinition/externalParameters").unwrap_or(nothing);
        let source = outer.get("source");
        // Build types spell the source as a resource or as a URI.
        let mut sources: Vec<Place<'_>> =
            source.filter(|at| at.is_string()).and_then(Value::as_str).map(Self::text).into_iter().collect();
        sources.extend(Self::at(
            outer,
            &[
                "/workflow/repository",
                "/source/uri",
                "/source/repository",
                "/buildConfigSource/repository",
                "/sourceToBuild/repository",
                "/configSource/uri",
            ],
        ));
        let digests = ["/source/digest", "/configSource/digest"];
        Self {
            builders: Self::at(predicate, &["/runDetails/builder/id"]),
            build_types: Self::at(predicate, &["/buildDefinition/buildType"]),
            sources,
            references: Self::at(
                outer,
                &["/workflow/ref", "/source/ref", "/buildConfigSource/ref", "/sourceToBuild/ref"],
            ),
            workflows: Self::at(outer, &["/workflow/path", "/buildConfigSource/path", "/configSource/path"]),
            commits: digests.iter().filter_map(|at| outer.pointer(at).and_then(commit_of)).collect(),
            resolved: predicate.pointer("/buildDefinition/resolvedDependencies"),
        }
    }

    /// What stands at these places; an empty text and null say nothing.
    fn at(value: &'a Value, pointers: &[&str]) -> Vec<Place<'a>> {
        let found = pointers.iter().filter_map(|pointer| value.pointer(pointer));
        found.filter(|at| !at.is_null() && at.as_str() != Some("")).map(Self::place).collect()
    }

    fn place(value: &'a Value) -> Place<'a> {
        value.as_str().map_or(Place::NoText, Place::Text)
    }

    const fn text(text: &'a str) -> Place<'a> {
        Place::Text(text)
    }

    fn dependencies(&self) -> Result<Vec<Dependency<'a>>, SlsaFault> {
        let malformed = SlsaFault::Malformed { field: "source" };
        let Some(resolved) = self.resolved.filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
        let list = resolved.as_array().filter(|list| list.len() <= DEPENDENCIES_MAX).ok_or(malformed)?;
        let read = |d: &'a Value| Dependency { uri: d.get("uri").and_then(Value::as_str), digest: d.get("digest") };
        Ok(list.iter().map(read).collect())
    }
}

/// The commit among the digests of a source: `gitCommit` in v1, `sha1` in v0.2.
fn commit_of(digest: &Value) -> Option<Place<'_>> {
    digest.get("gitCommit").or_else(|| digest.get("sha1")).map(Said::place)
}

/// Whether the id is the wanted one and a version after `@`, and none was wanted.
fn before_version(got: &str, want: &str) -> bool {
    !want.contains('@') && got.split_once('@').is_some_and(|(name, _)| name == want)
}

/// A repository's URL with its spelling taken off: `git+`, `@ref`, `#ref`, a trailing slash or `.git`, the case of the
/// host. None when there is no scheme, host or path, or a user name or query is in it: those may hide the host.
fn repository(text: &str) -> Option<String> {
    let (scheme, rest) = text.strip_prefix("git+").unwrap_or(text).split_once("://")?;
    let (host, path) = rest.split_once('/')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
    if host.is_empty() || !host.chars().all(plain) || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') {
        return None;
    }
    let path = path.split(['@', '#']).next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let hidden = |c: char| c == '?' || c == '\\' || c == '%' || c.is_control() || c.is_whitespace();
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") || path.contains(hidden) {
        return None;
    }
    Some(format!("{}://{}/{path}", scheme.to_ascii_lowercase(), host.to_ascii_lowercase()))
}

/// Whether a text can be a wanted source: a URL that names a repository.
pub(super) fn is_repository(text: &str) -> bool {
    repository(text).is_some()
}

/// The full ref in a source's URI, after `@` (GitHub) or `#` (BuildKit); a bare commit is none.
fn reference_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let (_, reference) = path.split_once(['@', '#'])?;
    reference.starts_with("refs/").then_some(reference)
}

impl fmt::Display for SlsaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { field, got, want } => {
                write!(f, "the provenance's {field} is \"{}\", wanted \"{}\"", escaped(got), escaped(want))
            }
            Self::Missing { field } => write!(f, "the provenance does not say its {field}"),
            Self::Malformed { field } => write!(f, "the provenance's {field} cannot be read"),
            Self::OtherPredicate { got } => {
                write!(f, "\"{}\" is not SLSA provenance v0.2 or v1", escaped(got))
            }
            Self::NothingWanted => write!(f, "no field is wanted; name one of {}", Slsa::FIELDS.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests;
