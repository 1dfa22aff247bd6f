//! [`Options`]: what the configuration says of a deny list that is fetched; [`ListSource`]: from
//! where.

use std::time::Duration;

use serde::Deserialize;

use crate::image::Reference;

/// Most lists: an organisation, its vendors, and some to spare.
pub const LISTS_MAX: usize = 16;
/// What the artifact calls itself (OCI image-spec 1.1, `artifactType`).
pub const ARTIFACT_TYPE: &str = "application/vnd.sealgate.denylist.v1";
/// The media type of its one layer.
pub const LAYER_TYPE: &str = "application/vnd.sealgate.denylist.v1+yaml";

/// Shortest time between two fetches, in seconds: registries count requests.
const EVERY_LEAST: u64 = 10;
/// Longest, in seconds: a day.
const EVERY_MOST: u64 = 24 * 60 * 60;
/// Longest name: that of a document, a file and a label.
const NAME_MAX: usize = 63;
/// Longest URL.
const URL_MAX: usize = 2048;
/// Most keys of one list: some signers, each with the key before.
const KEYS_MAX: usize = 16;
/// How a source in a registry begins.
const OCI: &str = "oci://";
/// What is put behind a URL for that of its bundle, as cosign names it.
const BUNDLE_ENDING: &str = ".sigstore.json";
/// The kinds of entries, by the fields of a list.
const KINDS: [&str; 6] =
    ["digests", "repositories", "keys", "identities", "certificates", "logIndexes"];

/// A deny list that is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What it is called: its `metadata.name`, its files on this node, and the label of metrics.
    /// Lower-case letters, digits and `-`.
    pub name: String,
    /// Where it is: `oci://host/repository:tag`, or the `https://` URL of a file.
    pub source: String,
    /// Of a URL: where its Sigstore bundle is. Default: the URL with `.sigstore.json` behind it.
    #[serde(default)]
    pub bundle: Option<String>,
    /// The public keys of which any must have signed it; files, below the folder of keys where they
    /// have no leading slash. Or else `issuer` and `subject`.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Who must have vouched for the signer, to the letter.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Who must have signed it, to the letter.
    #[serde(default)]
    pub subject: Option<String>,
    /// By which trust root. Default: `public-good` for an issuer and subject, none for keys.
    #[serde(default)]
    pub trust_root: Option<String>,
    /// Seconds between two fetches, 10 to 86400; up to a tenth more or less each time. Default: 900.
    #[serde(default = "usual_time")]
    pub every_seconds: u64,
    /// The kinds of entries that it may have. Default: all but `repositories`.
    #[serde(default = "usual_kinds")]
    pub kinds: Vec<String>,
}

/// Where a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    /// An artifact in a registry, under a tag.
    Registry(Reference),
    /// A file.
    Url {
        /// Where.
        url: String,
        /// Where its bundle is.
        bundle: String,
    },
}

fn usual_time() -> u64 {
    900
}

/// The holder of a list's key can stop images by it. By the pattern of a repository that are
/// all at once, so an operator has to say that one may do that.
fn usual_kinds() -> Vec<String> {
    KINDS.into_iter().filter(|kind| is_usual(kind)).map(str::to_owned).collect()
}

/// Whether a list may have entries of this kind where the configuration does not say which it may.
#[must_use]
pub fn is_usual(kind: &str) -> bool {
    kind != "repositories"
}

impl Options {
    /// The time between two fetches.
    #[must_use]
    pub const fn every(&self) -> Duration {
        Duration::from_secs(self.every_seconds)
    }

    /// Where it is.
    ///
    /// # Errors
    /// What is wrong with that, in words.
    pub fn place(&self) -> Result<ListSource, String> {
        let Self { source, bundle, .. } = self;
        let wrong = |why: &str| Err(format!("source {source:?} {why}"));
        if let Some(name) = source.strip_prefix(OCI) {
            if bundle.is_some() {
                return wrong("has its signature in the registry; bundle is for a URL");
            }
            let has_host = name.split_once('/').is_some_and(|(host, _)| is_host(host));
            if !has_host {
                return wrong("names no registry: oci://registry.example.com/security/deny:v1");
            }
            let reference = Reference::parse(name);
            return match reference {
                Ok(reference) if reference.digest().is_some() => {
                    wrong("names a digest, under which no later list can be; name a tag")
                }
                Ok(reference) => Ok(ListSource::Registry(reference)),
                Err(error) => wrong(&format!("is no reference: {error}")),
            };
        }
        let bundle = bundle.clone().unwrap_or_else(|| format!("{source}{BUNDLE_ENDING}"));
        for url in [source, &bundle] {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let is_plain = |rest: &str| {
                rest.split('/').next().is_some_and(|host| !host.is_empty() && !host.contains('@'))
                    && rest.chars().all(|c| c.is_ascii_graphic())
                    && !rest.contains(['#', '"', '\\'])
            };
            if url.len() > URL_MAX || !rest.is_some_and(is_plain) {
                let why = "is neither oci://host/repository:tag nor an https:// URL without user, \
                           password and fragment";
                return Err(format!("{url:?} {why}"));
            }
        }
        Ok(ListSource::Url { url: source.clone(), bundle })
    }

    /// What types cannot say about the values of these lists.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check_all(lists: &[Self]) -> Result<(), String> {
        if lists.len() > LISTS_MAX {
            return Err(format!(
                "policy.deny_lists has {} lists, at most {LISTS_MAX}",
                lists.len()
            ));
        }
        for (number, list) in lists.iter().enumerate() {
            let of = |why| format!("policy.deny_lists, {:?}: {why}", list.name);
            list.check().map_err(of)?;
            if lists.iter().take(number).any(|other| other.name == list.name) {
                return Err(of("another list has this name".to_owned()));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_name = self.name.len() <= NAME_MAX
            && self.name.starts_with(plain)
            && self.name.ends_with(plain)
            && self.name.chars().all(|c| plain(c) || c == '-');
        if !is_name {
            return Err("a name has lower-case letters, digits and - between them".to_owned());
        }
        self.place()?;
        match (self.keys.len(), &self.issuer, &self.subject) {
            (0, Some(_), Some(_)) => {}
            (1..=KEYS_MAX, None, None) => {}
            _ => {
                return Err(format!(
                    "say who signs it: keys (at most {KEYS_MAX}), or issuer and subject"
                ));
            }
        }
        if !(EVERY_LEAST..=EVERY_MOST).contains(&self.every_seconds) {
            let every = self.every_seconds;
            return Err(format!(
                "every_seconds is {every}, expected {EVERY_LEAST} to {EVERY_MOST}"
            ));
        }
        match self.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            Some(kind) => Err(format!("kinds has {kind:?}, expected some of {}", KINDS.join(", "))),
            None if self.kinds.is_empty() => {
                Err("kinds is empty: it could deny nothing".to_owned())
            }
            None => Ok(()),
        }
    }
}

/// Whether the first part of a reference is a host, as Docker's references have it.
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':'])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fetched_list) fn options() -> Options {
        Options {
            name: "fleet".to_owned(),
            source: "oci://registry.example.com/security/deny:v1".to_owned(),
            bundle: None,
            keys: vec!["deny.pub".to_owned()],
            issuer: None,
            subject: None,
            trust_root: None,
            every_seconds: 900,
            kinds: usual_kinds(),
        }
    }

    #[test]
    fn a_list_says_where_it_is_and_who_signs_it() {
        assert_eq!(Options::check_all(&[options()]), Ok(()));
        let url = Options { source: "https://a.example/deny.yaml".to_owned(), ..options() };
        let ListSource::Url { bundle, .. } = url.place().unwrap() else { panic!("no URL") };
        assert_eq!(bundle, "https://a.example/deny.yaml.sigstore.json");
        let holder = |issuer: Option<&str>, subject: Option<&str>, keys: &[&str]| Options {
            issuer: issuer.map(str::to_owned),
            subject: subject.map(str::to_owned),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..options()
        };
        let (i, s) = (Some("https://issuer.example"), Some("a@b.example"));
        assert_eq!(Options::check_all(&[holder(i, s, &[])]), Ok(()));
        for nobody in [
            holder(None, None, &[]),
            holder(i, None, &[]),
            holder(None, s, &[]),
            holder(i, s, &["a.pub"]),
            holder(i, None, &["a.pub"]),
        ] {
            assert!(Options::check_all(std::slice::from_ref(&nobody)).is_err(), "{nobody:?}");
        }
        assert!(Options::check_all(&[options(), options()]).is_err(), "one name twice");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let digest = format!("oci://r.example/a@sha256:{}", "a".repeat(64));
        for source in [
            "",
            "registry.example.com/deny:v1",
            "oci://deny:v1",
            "oci://security/deny:v1",
            "oci://registry.example.com/UPPER:v1",
            &digest,
            "https://",
            "https://u:p@a.example/x",
            "https://a.example/x#y",
            "ftp://a.example/x",
            "file:///etc/passwd",
        ] {
            let of = Options { source: source.to_owned(), ..options() };
            assert!(Options::check_all(&[of]).is_err(), "{source}");
        }
        for name in ["", "-a", "a-", "A", "a.b", "a/b", "a b", &"a".repeat(64)] {
            let of = Options { name: name.to_owned(), ..options() };
            assert!(Options::check_all(&[of]).is_err(), "{name}");
        }
        let kinds = |kinds: &[&str]| Options {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            ..options()
        };
        assert!(Options::check_all(&[kinds(&["repositories"])]).is_ok());
        assert!(Options::check_all(&[kinds(&["images"])]).is_err());
        assert!(Options::check_all(&[kinds(&[])]).is_err());
        for every_seconds in [0, 9, 86_401] {
            assert!(Options::check_all(&[Options { every_seconds, ..options() }]).is_err());
        }
    }
}
