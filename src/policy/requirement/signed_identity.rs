//! [`SignedIdentity`]: which name a signature's payload must carry for the image that is asked for
//! (attack B6).
//!
//! The meaning is that of containers/image (containers-policy.json(5), `signedIdentity`), with
//! `matchRepository` as the default, since cosign writes the repository alone. Both names are
//! normalised and folded first, so that `index.docker.io` is `docker.io`. A signature that names
//! nothing (a Sigstore bundle) fits where the digest is all that is asked, and nowhere else (attack
//! B9).

use crate::image::{Digest, Reference, Repository};

use crate::policy::sanitize::escaped;
use crate::policy::syntax::error::{IdentityFault, PolicyFault};
use crate::policy::syntax::fields::{At, Reader};
use crate::policy::syntax::yaml::Value;

/// The spellings that stand alone.
pub(in crate::policy) const WORDS: &[&str] =
    &["matchRepository", "matchExact", "matchRepoDigestOrExact"];
/// The spellings that carry a value.
pub(in crate::policy) const FIELDS: &[&str] = &["exactRepository", "exactReference", "remap"];
/// The two halves of a remapping.
pub(in crate::policy) const REMAP: &[&str] = &["prefix", "signedPrefix"];

/// What a signature must say it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) enum SignedIdentity {
    /// The repository that is asked for, whatever the tag.
    #[default]
    Repository,
    /// Exactly what is asked for: repository and tag, or repository and digest.
    Exact,
    /// Exactly what is asked for; when that is a digest, the repository suffices.
    RepoDigestOrExact,
    /// This repository.
    ExactRepository(Repository),
    /// This reference.
    ExactReference(ImageName),
    /// The beginning of the name that is asked for is replaced. A signature that names a repository
    /// alone, as cosign's do, must name that one; one that names a tag or a digest as well must
    /// answer to it like `RepoDigestOrExact`.
    Remap {
        /// What is replaced: a host, or a host and leading parts.
        prefix: String,
        /// By what.
        signed_prefix: String,
    },
}

/// A folded repository with the tag and digest that are really written, none added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) struct ImageName {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// How the name in a signature fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Fit {
    /// It is the one that is asked for.
    Fits,
    /// It is another one, or no name at all.
    Differs,
    /// The signature carries no name and one is demanded.
    Missing,
}

impl SignedIdentity {
    /// Reads the field.
    pub(in crate::policy) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        if matches!(at.node.value, Value::Text(_)) {
            return reader.word(at, WORDS).map(|word| match word {
                "matchExact" => Self::Exact,
                "matchRepoDigestOrExact" => Self::RepoDigestOrExact,
                _ => Self::Repository,
            });
        }
        let fields = reader.fields(at, FIELDS)?;
        let found: Vec<&'static str> =
            FIELDS.iter().copied().filter(|name| fields.get(name).is_some()).collect();
        match (found.as_slice(), found.first().and_then(|name| fields.get(name))) {
            (["exactRepository"], Some(at)) => repository(at, reader).map(Self::ExactRepository),
            (["exactReference"], Some(at)) => exact(at, reader).map(Self::ExactReference),
            (["remap"], Some(at)) => remap(at, reader),
            _ => {
                reader.fault(at, PolicyFault::NotOneKind { found });
                None
            }
        }
    }

    /// What the signature must name, in words; none where it is the repository that is asked for.
    pub(in crate::policy) fn words(&self) -> Option<String> {
        let text = match self {
            Self::Repository => return None,
            Self::Exact => "that names this very reference".to_owned(),
            Self::RepoDigestOrExact => {
                "that names this very reference, or the repository where a digest is asked for"
                    .to_owned()
            }
            Self::ExactRepository(repository) => format!("that names repository {repository}"),
            Self::ExactReference(name) => {
                format!("that names a reference of repository {}", name.repository)
            }
            Self::Remap { prefix, signed_prefix } => {
                format!("that names the image with {signed_prefix} in the place of {prefix}")
            }
        };
        Some(escaped(&text))
    }

    /// Whether the verdict depends on the tag that is asked for.
    pub(in crate::policy) fn names_tag(&self) -> bool {
        match self {
            Self::Exact | Self::RepoDigestOrExact | Self::Remap { .. } => true,
            Self::Repository | Self::ExactRepository(_) | Self::ExactReference(_) => false,
        }
    }

    /// Whether the name in a signature is the one that is wanted for the image that is asked for.
    pub(in crate::policy) fn fits(&self, asked: &Reference, untrusted_signed: Option<&str>) -> Fit {
        let Some(untrusted_signed) = untrusted_signed else {
            return if *self == Self::Repository { Fit::Fits } else { Fit::Missing };
        };
        let Ok(signed) = ImageName::parse(untrusted_signed) else { return Fit::Differs };
        let asked = ImageName::of(asked);
        let fits = match self {
            Self::Repository => signed.repository == asked.repository,
            Self::Exact => signed.is_exact() && signed == asked,
            Self::RepoDigestOrExact => signed.answers(&asked),
            Self::ExactRepository(repository) => signed.repository == *repository,
            Self::ExactReference(name) => signed.is_exact() && signed == *name,
            Self::Remap { prefix, signed_prefix } => {
                let names = |asked: ImageName| match signed.is_exact() {
                    true => signed.answers(&asked),
                    // What its signer did not bind to a tag holds for every tag, as under
                    // `matchRepository`.
                    false => signed.repository == asked.repository,
                };
                asked.remapped(prefix, signed_prefix).is_some_and(names)
            }
        };
        if fits { Fit::Fits } else { Fit::Differs }
    }

    /// What is wanted, in words.
    pub(in crate::policy) fn wanted(&self, asked: &Reference) -> String {
        let asked = ImageName::of(asked);
        match self {
            Self::Repository => asked.repository.to_string(),
            Self::Exact | Self::RepoDigestOrExact => asked.to_string(),
            Self::ExactRepository(repository) => repository.to_string(),
            Self::ExactReference(name) => name.to_string(),
            Self::Remap { prefix, signed_prefix } => match asked.remapped(prefix, signed_prefix) {
                Some(name) => name.to_string(),
                None => format!("{asked} with {prefix} replaced by {signed_prefix}"),
            },
        }
    }
}

impl ImageName {
    /// Parses and folds; adds no tag.
    fn parse(text: &str) -> Result<Self, crate::image::ReferenceError> {
        let reference = Reference::parse(text)?;
        let mut name = Self::of(&reference);
        let last = text.rsplit('/').next().unwrap_or(text);
        if name.digest.is_none() && !last.contains(':') {
            name.tag = None;
        }
        Ok(name)
    }

    /// The name that is asked for; its tag is `latest` when none was written, as the runtime has
    /// it.
    fn of(reference: &Reference) -> Self {
        Self {
            repository: reference.repository(),
            tag: reference.tag().map(str::to_owned),
            digest: reference.digest().cloned(),
        }
    }

    /// Has a tag or a digest.
    fn is_exact(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }

    /// As a signature's name: the same name where a tag is asked for, the same repository where
    /// only a digest is.
    fn answers(&self, asked: &Self) -> bool {
        match (&asked.tag, &asked.digest) {
            (Some(_), _) => self.is_exact() && self == asked,
            (None, Some(_)) => self.is_exact() && self.repository == asked.repository,
            (None, None) => false,
        }
    }

    /// With the leading parts replaced; unchanged when they are others. None when the result is no
    /// name.
    fn remapped(&self, prefix: &str, signed_prefix: &str) -> Option<Self> {
        let name = self.repository.to_string();
        let rest = match name.strip_prefix(prefix) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            Some(_) | None => return Some(self.clone()),
        };
        let repository = Repository::parse(&format!("{signed_prefix}{rest}")).ok()?.folded();
        Some(Self { repository, ..self.clone() })
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn name(at: &At<'_>, reader: &mut Reader) -> Option<ImageName> {
    let text = reader.text(at)?;
    match ImageName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            reader.fault(at, PolicyFault::Identity(IdentityFault::Reference(error)));
            None
        }
    }
}

fn repository(at: &At<'_>, reader: &mut Reader) -> Option<Repository> {
    let name = name(at, reader)?;
    if name.is_exact() {
        reader.fault(at, PolicyFault::Identity(IdentityFault::NotRepository));
        return None;
    }
    Some(name.repository)
}

fn exact(at: &At<'_>, reader: &mut Reader) -> Option<ImageName> {
    let name = name(at, reader)?;
    if !name.is_exact() {
        reader.fault(at, PolicyFault::Identity(IdentityFault::NotExact));
        return None;
    }
    Some(name)
}

fn remap(at: &At<'_>, reader: &mut Reader) -> Option<SignedIdentity> {
    let fields = reader.fields(at, REMAP)?;
    let prefix = reader.required(&fields, "prefix").cloned().and_then(|at| prefix(&at, reader));
    let signed_prefix =
        reader.required(&fields, "signedPrefix").cloned().and_then(|at| self::prefix(&at, reader));
    Some(SignedIdentity::Remap { prefix: prefix?, signed_prefix: signed_prefix? })
}

/// A host, or a host and leading parts of a path; its host folded.
fn prefix(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let text = reader.text(at)?;
    // Two more parts, so that folding never adds Docker Hub's `library` in between.
    let tail = "/a/a";
    let folded = Repository::parse(&format!("{text}{tail}"))
        .ok()
        .map(|repository| repository.folded().to_string());
    let has_host =
        text.split('/').next().is_some_and(|host| host.contains(['.', ':']) || host == "localhost");
    match folded.as_deref().and_then(|folded| folded.strip_suffix(tail)) {
        Some(prefix) if has_host => Some(prefix.to_owned()),
        _ => {
            reader.fault(at, PolicyFault::Identity(IdentityFault::Prefix));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn fit(identity: &SignedIdentity, asked: &str, signed: Option<&str>) -> Fit {
        identity.fits(&Reference::parse(asked).unwrap(), signed)
    }

    fn remap(prefix: &str, signed: &str) -> SignedIdentity {
        SignedIdentity::Remap { prefix: prefix.to_owned(), signed_prefix: signed.to_owned() }
    }

    /// Attack B6: a signature made for another repository.
    #[test]
    fn attack_b6_match_repository() {
        let identity = SignedIdentity::Repository;
        for (asked, signed, expected) in [
            ("reg.test/a:1", "reg.test/a", Fit::Fits),
            ("reg.test/a:1", "reg.test/a:2", Fit::Fits),
            ("reg.test/a", "REG.test:443/a:2", Fit::Fits),
            ("docker.io/acme/app:1", "index.docker.io/acme/app", Fit::Fits),
            ("app", "index.docker.io/library/app", Fit::Fits),
            ("reg.test/a:1", "reg.test/b:1", Fit::Differs),
            ("reg.test/a:1", "evil.test/a:1", Fit::Differs),
            ("reg.test/a:1", "reg.test/a/b", Fit::Differs),
            ("reg.test/a:1", "reg.test/ab", Fit::Differs),
            ("reg.test/a:1", "", Fit::Differs),
            ("reg.test/a:1", "reg.test/a:1\n", Fit::Differs),
            ("reg.test/a:1", "not a name", Fit::Differs),
        ] {
            assert_eq!(fit(&identity, asked, Some(signed)), expected, "{asked} {signed}");
        }
    }

    #[test]
    fn attack_b6_match_exact_and_repo_digest_or_exact() {
        let digest = format!("reg.test/a@sha256:{HEX}");
        let both = format!("reg.test/a:1@sha256:{HEX}");
        for (asked, signed, exact, or_digest) in [
            ("reg.test/a:1", "reg.test/a:1", Fit::Fits, Fit::Fits),
            ("reg.test/a", "reg.test/a:latest", Fit::Fits, Fit::Fits),
            ("reg.test/a:1", "reg.test/a:2", Fit::Differs, Fit::Differs),
            ("reg.test/a:latest", "reg.test/a", Fit::Differs, Fit::Differs),
            (&digest, "reg.test/a:2", Fit::Differs, Fit::Fits),
            (&digest, "reg.test/a", Fit::Differs, Fit::Differs),
            (&digest, &digest, Fit::Fits, Fit::Fits),
            (&both, "reg.test/a:1", Fit::Differs, Fit::Differs),
            (&both, &both, Fit::Fits, Fit::Fits),
        ] {
            assert_eq!(fit(&SignedIdentity::Exact, asked, Some(signed)), exact, "{asked} {signed}");
            assert_eq!(
                fit(&SignedIdentity::RepoDigestOrExact, asked, Some(signed)),
                or_digest,
                "{asked} {signed}"
            );
        }
    }

    #[test]
    fn attack_b6_exact_repository_and_reference() {
        let repository =
            SignedIdentity::ExactRepository(Repository::parse("vendor.test/a").unwrap());
        assert_eq!(fit(&repository, "mirror.test/x:1", Some("vendor.test/a:9")), Fit::Fits);
        assert_eq!(fit(&repository, "mirror.test/x:1", Some("mirror.test/x:1")), Fit::Differs);
        let reference =
            SignedIdentity::ExactReference(ImageName::parse("vendor.test/a:9").unwrap());
        assert_eq!(fit(&reference, "mirror.test/x:1", Some("vendor.test/a:9")), Fit::Fits);
        assert_eq!(fit(&reference, "mirror.test/x:1", Some("vendor.test/a:8")), Fit::Differs);
        assert_eq!(fit(&reference, "mirror.test/x:1", Some("vendor.test/a")), Fit::Differs);
    }

    #[test]
    fn attack_b6_remap_replaces_whole_parts() {
        let identity = remap("mirror.test:5000/vendor", "vendor.test");
        for (asked, signed, expected) in [
            ("mirror.test:5000/vendor/p/i:1", "vendor.test/p/i:1", Fit::Fits),
            ("mirror.test:5000/vendor/p/i:1", "vendor.test/p/i:2", Fit::Differs),
            ("mirror.test:5000/vendor/p/i:1", "mirror.test:5000/vendor/p/i:1", Fit::Differs),
            ("mirror.test:5000/vendorish/i:1", "vendor.testish/i:1", Fit::Differs),
            ("mirror.test:5000/vendorish/i:1", "mirror.test:5000/vendorish/i:1", Fit::Fits),
            ("other.test/i:1", "other.test/i:1", Fit::Fits),
        ] {
            assert_eq!(fit(&identity, asked, Some(signed)), expected, "{asked} {signed}");
        }
        let digest = format!("mirror.test:5000/vendor/p/i@sha256:{HEX}");
        assert_eq!(fit(&identity, &digest, Some("vendor.test/p/i:2")), Fit::Fits);
        let hub = remap("mirror.test", "docker.io");
        assert_eq!(
            fit(&hub, "mirror.test/app:1", Some("index.docker.io/library/app:1")),
            Fit::Fits
        );
        // The whole name is the prefix: what is left is a host alone, which is no name.
        assert_eq!(
            fit(&remap("reg.test/a", "vendor.test"), "reg.test/a:1", Some("vendor.test/a:1")),
            Fit::Differs
        );
    }

    /// Attack B6: a signature that names the vendor's repository without a tag, as cosign writes
    /// it, is about no other repository, and says nothing for one that is bound to a tag.
    #[test]
    fn attack_b6_remap_compares_repositories_where_the_signature_names_no_tag() {
        let identity = remap("mirror.test/vendor", "vendor.test");
        let digest = format!("mirror.test/vendor/p/i@sha256:{HEX}");
        for asked in ["mirror.test/vendor/p/i:1", "mirror.test/vendor/p/i", &digest] {
            for (signed, expected) in [
                ("vendor.test/p/i", Fit::Fits),
                ("VENDOR.test:443/p/i", Fit::Fits),
                ("vendor.test/p/other", Fit::Differs),
                ("vendor.test/p", Fit::Differs),
                ("vendor.test/p/i/x", Fit::Differs),
                ("evil.test/p/i", Fit::Differs),
                ("mirror.test/vendor/p/i", Fit::Differs),
                ("p/i", Fit::Differs),
                ("", Fit::Differs),
            ] {
                assert_eq!(fit(&identity, asked, Some(signed)), expected, "{asked} {signed}");
            }
            assert_eq!(fit(&identity, asked, None), Fit::Missing, "{asked}");
        }
        assert_eq!(
            fit(&identity, "mirror.test/vendor/p/i:1", Some("vendor.test/p/i:2")),
            Fit::Differs
        );
        // What is not mirrored keeps its name.
        assert_eq!(fit(&identity, "other.test/i:1", Some("other.test/i")), Fit::Fits);
        assert_eq!(fit(&identity, "other.test/i:1", Some("vendor.test/i")), Fit::Differs);
    }

    /// Attack B9: evidence that names no repository where the policy demands one.
    #[test]
    fn attack_b9_a_signature_without_a_name_fits_the_default_alone() {
        assert_eq!(fit(&SignedIdentity::Repository, "reg.test/a:1", None), Fit::Fits);
        for identity in [
            SignedIdentity::Exact,
            SignedIdentity::RepoDigestOrExact,
            SignedIdentity::ExactRepository(Repository::parse("reg.test/a").unwrap()),
            SignedIdentity::ExactReference(ImageName::parse("reg.test/a:1").unwrap()),
            remap("reg.test", "reg.test"),
        ] {
            assert_eq!(fit(&identity, "reg.test/a:1", None), Fit::Missing, "{identity:?}");
        }
    }
}
