//! [`Slsa`]: ready-made conditions over SLSA provenance, for predicate types v0.2 and v1.
//!
//! Each field that is set must be there and be exactly the wanted value; `source` and `builder`
//! have the one normalisation that is said beside them. Nothing here is a substitute for the
//! signature: a producer that may write the predicate freely can write anything, so the builder
//! belongs to who signs (SLSA, verifying artifacts, step 1).
//!
//! Where each value is read. Every place that is there must agree, and one of the first column must
//! be there:
//!
//! | field | v0.2 | v1 |
//! |---|---|---|
//! | `builder` | `builder.id` | `runDetails.builder.id` |
//! | `buildType` | `buildType` | `buildDefinition.buildType` |
//! | `source` | `invocation.configSource.uri` | `externalParameters`: `workflow.repository`, `source`, `source.uri`, `source.repository`, `{buildConfigSource,configSource,sourceToBuild}.repository`, `configSource.uri` |
//! | `ref`, `branch`, `tag` | `@ref` or `#ref` in a URI of the source; `invocation.environment.github_ref`, `GITHUB_REF` | `{workflow,source,buildConfigSource,configSource,sourceToBuild}.ref`; `@ref` or `#ref` in a URI of the source |
//! | `workflow` | `invocation.configSource.entryPoint` | `{workflow,buildConfigSource,configSource}.path`; the path in `internalParameters.GITHUB_WORKFLOW_REF` |
//! | `commit` | `digest` beside a URI of the source; a commit after its `@` or `#` | the same |
//!
//! `externalParameters` and `internalParameters` stand for those of `buildDefinition`. The URIs of
//! the source are the ones that state `source`, and those of `materials` and
//! `buildDefinition.resolvedDependencies` that name the same repository. These two lists never
//! state the source by themselves: a build from a local folder that fetches a repository lists it
//! as well. Where git repositories are in them, the source is one.
//!
//! The places are those of: SLSA provenance v0.2 and v1; slsa-github-generator (generic, Go and
//! container generators v0.2; container-based and delegating builders v1); GitHub's artifact
//! attestations (build type `actions.github.io/buildtypes`, before it
//! `slsa-framework.github.io/github-actions-buildtypes`); Google Cloud Build (`google-worker`,
//! `triggered-build`); BuildKit (v0.2, v1). A digest of a commit is `gitCommit` or, as before v1,
//! `sha1` (in-toto, digest set).

use std::fmt;

use serde_json::Value;

use super::git_source::{commit_in, reference_of, repository};
use crate::image::json::Keep;
use crate::policy::sanitize::escaped;

/// The predicate type of provenance v0.2.
pub(in crate::policy) const V0_2: &str = "https://slsa.dev/provenance/v0.2";
/// The predicate type of provenance v1.
pub(in crate::policy) const V1: &str = "https://slsa.dev/provenance/v1";
/// Most resolved dependencies that are looked at: large builds list a few thousand.
const DEPENDENCIES_MAX: usize = 20_000;

/// What provenance must say; what is none is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct Slsa {
    /// The builder's id. Without `@` it matches the id up to its `@`: any version or ref of a
    /// builder.
    pub(in crate::policy) builder: Option<String>,
    /// The repository built from, as a URL: `git+` and a trailing `.git` do not count, nor the case
    /// of the host.
    pub(in crate::policy) source: Option<String>,
    /// The full ref: `refs/tags/v1.0`.
    pub(in crate::policy) reference: Option<String>,
    /// The branch: the ref is `refs/heads/` and this.
    pub(in crate::policy) branch: Option<String>,
    /// The tag: the ref is `refs/tags/` and this.
    pub(in crate::policy) tag: Option<String>,
    /// The path of the workflow or build file in the repository: `.github/workflows/release.yml`.
    pub(in crate::policy) workflow: Option<String>,
    /// The commit built from: the whole hexadecimal id.
    pub(in crate::policy) commit: Option<String>,
    /// The build type's URI.
    pub(in crate::policy) build_type: Option<String>,
}

/// Why provenance is not what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum SlsaFault {
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

/// The parts of a provenance of this type in which something is looked for.
pub(in crate::policy) fn places(predicate_type: &str) -> Keep {
    let paths: &[&[&str]] = match predicate_type {
        V0_2 => &[&["builder"], &["buildType"], &["invocation"], &["materials"]],
        _ => &[&["buildDefinition"], &["runDetails", "builder"]],
    };
    let mut keep = Keep::nothing();
    for path in paths {
        keep.add(&path.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    }
    keep
}

impl Slsa {
    /// The names of the fields in a policy.
    pub(in crate::policy) const FIELDS: &'static [&'static str] =
        &["builder", "source", "ref", "branch", "tag", "workflow", "commit", "buildType"];
    /// The predicate types that are read.
    pub(in crate::policy) const PREDICATE_TYPES: &'static [&'static str] = &[V0_2, V1];

    /// What is wanted of a field.
    pub(in crate::policy) fn wanted(&self, field: &str) -> Option<&str> {
        let wanted = match field {
            "builder" => &self.builder,
            "source" => &self.source,
            "ref" => self.reference.as_ref().map_or_else(
                || if self.branch.is_some() { &self.branch } else { &self.tag },
                |_| &self.reference,
            ),
            "branch" => &self.branch,
            "tag" => &self.tag,
            "workflow" => &self.workflow,
            "commit" => &self.commit,
            "buildType" => &self.build_type,
            _ => &None,
        };
        wanted.as_deref()
    }

    /// What is written of a field.
    pub(in crate::policy) fn written(&self, field: &str) -> Option<&str> {
        if field == "ref" { self.reference.as_deref() } else { self.wanted(field) }
    }

    /// Whether the provenance says all that is wanted.
    ///
    /// # Errors
    /// [`SlsaFault`], the first in the order of [`Self::FIELDS`].
    pub(in crate::policy) fn check(
        &self,
        predicate_type: &str,
        untrusted: &Value,
    ) -> Result<(), SlsaFault> {
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
        let git: Vec<_> = said.fetched("source")?.into_iter().filter(Fetched::is_git).collect();
        if git.is_empty() || git.iter().any(|d| d.repository().as_ref() == Some(&wanted)) {
            return Ok(());
        }
        let got = git.first().and_then(|d| d.uri).unwrap_or_default().to_owned();
        Err(SlsaFault::Differs { field: "source", got, want: want.to_owned() })
    }

    fn references(&self, said: &Said<'_>) -> Result<(), SlsaFault> {
        let branch = self.branch.as_ref().map(|name| ("branch", format!("refs/heads/{name}")));
        let tag = self.tag.as_ref().map(|name| ("tag", format!("refs/tags/{name}")));
        let wanted = [self.reference.clone().map(|name| ("ref", name)), branch, tag];
        wanted.into_iter().flatten().try_for_each(|(field, want)| {
            let mut references = said.references.clone();
            references
                .extend(said.uris(field)?.into_iter().filter_map(reference_of).map(Place::Text));
            each(field, &references, &want, |got| got == want)
        })
    }

    fn commit(&self, said: &Said<'_>, want: &str) -> Result<(), SlsaFault> {
        let mut commits = said.commits.clone();
        commits.extend(
            said.of_source("commit")?
                .iter()
                .flat_map(|d| d.digest.into_iter().flat_map(commits_of)),
        );
        commits.extend(said.uris("commit")?.into_iter().filter_map(commit_in).map(Place::Text));
        each("commit", &commits, want, |got| got.eq_ignore_ascii_case(want))
    }
}

/// Every place must be text and fit, and one must be there.
fn each(
    field: &'static str,
    places: &[Place<'_>],
    want: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<(), SlsaFault> {
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

/// What the build fetched: a material of v0.2, a resolved dependency of v1.
struct Fetched<'a> {
    uri: Option<&'a str>,
    digest: Option<&'a Value>,
}

impl Fetched<'_> {
    /// Whether it says that it is a git repository, and so may be the source; packages and images
    /// are not.
    fn is_git(&self) -> bool {
        let commit = self.digest.is_some_and(|digest| digest.get("gitCommit").is_some());
        commit || self.uri.is_some_and(|uri| uri.starts_with("git+") || uri.starts_with("git:"))
    }

    fn repository(&self) -> Option<String> {
        repository(self.uri?)
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
    fetched: Option<&'a Value>,
}

impl<'a> Said<'a> {
    fn v0_2(predicate: &'a Value) -> Self {
        let digest = predicate.pointer("/invocation/configSource/digest");
        let environment =
            ["/invocation/environment/github_ref", "/invocation/environment/GITHUB_REF"];
        Self {
            builders: at(predicate, &["/builder/id"]),
            build_types: at(predicate, &["/buildType"]),
            sources: at(predicate, &["/invocation/configSource/uri"]),
            references: at(predicate, &environment),
            workflows: at(predicate, &["/invocation/configSource/entryPoint"]),
            commits: digest.into_iter().flat_map(commits_of).collect(),
            fetched: predicate.get("materials"),
        }
    }

    fn v1(predicate: &'a Value) -> Self {
        let outer =
            predicate.pointer("/buildDefinition/externalParameters").unwrap_or(&Value::Null);
        let sources = [
            "/workflow/repository",
            "/source/uri",
            "/source/repository",
            "/buildConfigSource/repository",
            "/configSource/repository",
            "/sourceToBuild/repository",
            "/configSource/uri",
        ];
        let references = [
            "/workflow/ref",
            "/source/ref",
            "/buildConfigSource/ref",
            "/configSource/ref",
            "/sourceToBuild/ref",
        ];
        let digests = ["/source/digest", "/configSource/digest"];
        let mut said = Self {
            builders: at(predicate, &["/runDetails/builder/id"]),
            build_types: at(predicate, &["/buildDefinition/buildType"]),
            sources: at(outer, &sources),
            references: at(outer, &references),
            workflows: at(
                outer,
                &["/workflow/path", "/buildConfigSource/path", "/configSource/path"],
            ),
            commits: digests
                .iter()
                .filter_map(|digest| outer.pointer(digest))
                .flat_map(commits_of)
                .collect(),
            fetched: predicate.pointer("/buildDefinition/resolvedDependencies"),
        };
        // A source is a resource, or its URI alone.
        if outer.get("source").is_some_and(|source| !source.is_object()) {
            said.sources.extend(at(outer, &["/source"]));
        }
        let run = at(predicate, &["/buildDefinition/internalParameters/GITHUB_WORKFLOW_REF"]);
        let run: Vec<_> = run.iter().map(|place| said.path_of(place)).collect();
        said.workflows.extend(run);
        said
    }

    /// The path in `owner/name/path@refs/...`; all of it when the repository is not the source's.
    fn path_of(&self, run: &Place<'a>) -> Place<'a> {
        let Place::Text(text) = *run else { return Place::NoText };
        let path = || {
            let repository = repository(self.sources.first()?.as_str()?)?;
            let (_, name) = repository.split_once("://")?.1.split_once('/')?;
            Some(text.strip_prefix(name)?.strip_prefix('/')?.split_once("@refs/")?.0)
        };
        Place::Text(path().unwrap_or(text))
    }

    /// What the build fetched; `field` is whom to blame when that cannot be read.
    fn fetched(&self, field: &'static str) -> Result<Vec<Fetched<'a>>, SlsaFault> {
        let Some(fetched) = self.fetched.filter(|list| !list.is_null()) else {
            return Ok(Vec::new());
        };
        let list = fetched.as_array().filter(|list| list.len() <= DEPENDENCIES_MAX);
        let read = |d: &'a Value| Fetched {
            uri: d.get("uri").and_then(Value::as_str),
            digest: d.get("digest"),
        };
        Ok(list.ok_or(SlsaFault::Malformed { field })?.iter().map(read).collect())
    }

    /// What the build fetched from the repositories that are stated as source.
    fn of_source(&self, field: &'static str) -> Result<Vec<Fetched<'a>>, SlsaFault> {
        let sources: Vec<String> =
            self.sources.iter().filter_map(|source| repository(source.as_str()?)).collect();
        let mut fetched = self.fetched(field)?;
        fetched.retain(|d| d.repository().is_some_and(|at| sources.contains(&at)));
        Ok(fetched)
    }

    /// The URIs of the source.
    fn uris(&self, field: &'static str) -> Result<Vec<&'a str>, SlsaFault> {
        let fetched = self.of_source(field)?;
        Ok(self
            .sources
            .iter()
            .filter_map(Place::as_str)
            .chain(fetched.iter().filter_map(|d| d.uri))
            .collect())
    }
}

/// What stands at these places; an empty text and null say nothing.
fn at<'a>(value: &'a Value, pointers: &[&str]) -> Vec<Place<'a>> {
    let found = pointers.iter().filter_map(|pointer| value.pointer(pointer));
    found.filter(|at| !at.is_null() && at.as_str() != Some("")).map(place).collect()
}

fn place(value: &Value) -> Place<'_> {
    value.as_str().map_or(Place::NoText, Place::Text)
}

/// The commits among the digests of a source.
fn commits_of(digest: &Value) -> Vec<Place<'_>> {
    at(digest, &["/gitCommit", "/sha1"])
}

/// Whether the id is the wanted one and a version after `@`, and none was wanted. A version is a
/// full ref or one word, so that an `@` in the name of a workflow's file does not end the name.
fn before_version(got: &str, want: &str) -> bool {
    let version =
        |text: &str| text.starts_with("refs/") || !text.is_empty() && !text.contains(['/', '@']);
    !want.contains('@')
        && got.split_once('@').is_some_and(|(name, rest)| name == want && version(rest))
}

impl fmt::Display for SlsaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { field, got, want } => {
                write!(
                    f,
                    "the provenance's {field} is \"{}\", wanted \"{}\"",
                    escaped(got),
                    escaped(want)
                )
            }
            Self::Missing { field } => write!(f, "the provenance does not say its {field}"),
            Self::Malformed { field } => write!(f, "the provenance's {field} cannot be read"),
            Self::OtherPredicate { got } => {
                write!(f, "\"{}\" is not SLSA provenance v0.2 or v1", escaped(got))
            }
            Self::NothingWanted => {
                write!(f, "no field is wanted; name one of {}", Slsa::FIELDS.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;
