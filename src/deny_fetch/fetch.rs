//! [`Fetcher`]: one list from where the configuration says, with the signatures that prove it.
//!
//! Of an artifact the manifest is fetched, then its signatures are looked for in the places of an
//! image's and judged; the list itself is asked for once they suffice. Of a file at a URL both come
//! first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::aside;
use crate::clock::Clock;
use crate::evidence::{Content, Evidence, Format, Item, Place, Source};
use crate::fetched_list::{
    KeptList, LIST_MAX, ListFault, ListSource, Options, SignerCheck, SignerVerdict, bounded_words,
};
use crate::image::{Digest, Reference};
use crate::policy::{Class, Sifted};
use crate::registry::{self, Access, Fetched, Registry, RegistryError, Session};
use crate::sources::{Bounds, Forms, Hint, Reading, Search, Sought, Turns};
use crate::verify::{SIGNATURE_BUNDLE_MAX, VerificationCache};

/// How long one fetch may take, all requests together: some small files, and a registry that
/// answers slowly.
pub const FETCH_LIMIT: Duration = Duration::from_secs(30);
/// Most signatures of one place that are looked at: a list has one or two, and somebody may have put
/// others beside them.
const SIGNATURES_MAX: usize = 256;
/// Longest manifest of a list: one has a layer and some annotations.
const MANIFEST_MAX: usize = 64 << 10;
/// Predicates are none of a list's signatures; in MiB.
const PREDICATE_MIB: u64 = 1;

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchFault {
    /// The registry or server says that it is not there.
    Absent(String),
    /// It could not be asked, or did not answer: nothing is known.
    Unreachable(String),
    /// It answered, and the answer cannot be used.
    Unable(String),
    /// It is there, and is not taken.
    Refused(ListFault),
}

/// What asks for lists.
pub struct Fetcher {
    registry: Arc<Registry>,
    forms: Forms,
    turns: Arc<Turns>,
    bounds: Bounds,
    clock: Clock,
}

/// What was found, with the names of where.
struct FetchedSignatures {
    items: Vec<Item>,
}

impl FetchFault {
    /// A fixed word, for records and programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Absent(_) => "absent",
            Self::Unreachable(_) => "unreachable",
            Self::Unable(_) => "unable",
            Self::Refused(fault) => fault.code(),
        }
    }
}

impl From<RegistryError> for FetchFault {
    fn from(error: RegistryError) -> Self {
        match error.class() {
            registry::Class::Absent => Self::Absent(error.to_string()),
            registry::Class::Unreachable => Self::Unreachable(error.to_string()),
            registry::Class::Unable => Self::Unable(error.to_string()),
        }
    }
}

impl From<ListFault> for FetchFault {
    fn from(fault: ListFault) -> Self {
        Self::Refused(fault)
    }
}

impl std::fmt::Display for FetchFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(why) | Self::Unreachable(why) | Self::Unable(why) => {
                f.write_str(&bounded_words(why.clone()))
            }
            Self::Refused(fault) => write!(f, "{fault}"),
        }
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// Asks registries with these options.
    ///
    /// # Errors
    /// [`RegistryError::Options`] when an option contradicts itself.
    pub fn new(options: registry::Options, clock: Clock) -> Result<Self, RegistryError> {
        Ok(Self {
            registry: Arc::new(Registry::new(options, clock)?),
            forms: Forms::default(),
            turns: Arc::new(Turns::new(clock)),
            bounds: Bounds::new(SIGNATURES_MAX, PREDICATE_MIB),
            clock,
        })
    }

    /// Fetches a list, and proves who signed it as of this time.
    ///
    /// # Errors
    /// [`FetchFault`].
    pub async fn fetch(
        &self,
        options: &Options,
        check: &Arc<SignerCheck>,
        now: Timestamp,
    ) -> Result<KeptList, FetchFault> {
        let place = options.place().map_err(FetchFault::Unable)?;
        let fetching = async {
            match &place {
                ListSource::Registry(reference) => self.artifact(reference, check, now).await,
                ListSource::Url { url, bundle } => self.file((url, bundle), check, now).await,
            }
        };
        tokio::time::timeout(FETCH_LIMIT, fetching).await.unwrap_or_else(|_| {
            let seconds = FETCH_LIMIT.as_secs();
            Err(FetchFault::Unreachable(format!("it did not come within {seconds} s")))
        })
    }

    fn session(&self) -> Session {
        self.registry.session(&Access::new(None), self.clock.steady() + FETCH_LIMIT)
    }

    async fn artifact(
        &self,
        reference: &Reference,
        check: &Arc<SignerCheck>,
        now: Timestamp,
    ) -> Result<KeptList, FetchFault> {
        let session = self.session();
        let manifest = session.resolve(reference).await?;
        if manifest.bytes.len() > MANIFEST_MAX {
            let why = format!("its manifest has more than {MANIFEST_MAX} bytes");
            return Err(ListFault::Artifact(why).into());
        }
        let layer = KeptList::layer(&manifest.bytes)?;
        let found = self.signatures(reference, &manifest, check, now).await?;
        let limit = u64::try_from(LIST_MAX).unwrap_or(u64::MAX);
        let repository = reference.runtime_repository();
        let list = session.blob(repository, &layer.digest, layer.size, limit).await?;
        Ok(KeptList {
            fetched: now,
            list: Bytes::copy_from_slice(&list),
            manifest: Some(Bytes::copy_from_slice(&manifest.bytes)),
            items: found.items,
        })
    }

    /// Looks for signatures until they suffice.
    async fn signatures(
        &self,
        reference: &Reference,
        manifest: &Fetched,
        check: &Arc<SignerCheck>,
        now: Timestamp,
    ) -> Result<FetchedSignatures, FetchFault> {
        let until = self.clock.steady() + FETCH_LIMIT;
        let reading = Reading::new(self.session(), until, Arc::clone(&self.turns), self.bounds);
        let repository = reference.repository();
        let hint = Hint::of(self.registry.referrers_support(&repository), Some(manifest));
        let repositories = [(repository.clone(), hint)];
        let digests = [manifest.digest.clone()];
        let sought = Sought {
            image: reference.runtime_repository(),
            repositories: &repositories,
            digests: &digests,
            bytes: Some(&manifest.bytes),
            plan: check.plan(),
        };
        let mut search = Search::new(&reading, &self.forms, sought);
        while search.next().await.is_some() {
            let evidence = search.to_judge();
            let (judged, sifted) = judge(check, &manifest.digest, evidence.clone(), now).await;
            if matches!(judged, SignerVerdict::Signed(_)) {
                return Ok(FetchedSignatures { items: helpful(&evidence, &sifted) });
            }
            search.settle(&sifted.helps);
            if sifted.is_cut {
                search.leave_the_rest();
            }
        }
        let evidence = search.gathered();
        let (judged, sifted) = judge(check, &manifest.digest, evidence.clone(), now).await;
        match judged {
            SignerVerdict::Signed(_) => {
                Ok(FetchedSignatures { items: helpful(&evidence, &sifted) })
            }
            SignerVerdict::Not { class: Class::Refused, why } => {
                Err(ListFault::NotSigned(why).into())
            }
            SignerVerdict::Not { class: Class::Unreachable, why } => {
                Err(FetchFault::Unreachable(why))
            }
            SignerVerdict::Not { class: Class::Unable, why } => Err(FetchFault::Unable(why)),
        }
    }

    async fn file(
        &self,
        (url, bundle): (&str, &str),
        check: &Arc<SignerCheck>,
        now: Timestamp,
    ) -> Result<KeptList, FetchFault> {
        let session = self.session();
        let limit = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let list = session.file(url, limit(LIST_MAX)).await?;
        let signature = session.file(bundle, limit(SIGNATURE_BUNDLE_MAX)).await;
        let signature = signature.map_err(|error| match error.class() {
            // The list is there: it is its signature that is not.
            registry::Class::Absent => {
                ListFault::NotSigned(format!("there is no bundle: {error}")).into()
            }
            registry::Class::Unreachable | registry::Class::Unable => FetchFault::from(error),
        })?;
        let list = Bytes::copy_from_slice(&list);
        let subject = Digest::of(&list);
        let content = Content {
            artifact: Some(list.clone()),
            ..Content::new(Format::Bundle, Bytes::copy_from_slice(&signature), [].into())
        };
        let place = Place {
            repository: check.repository(),
            subject: subject.clone(),
            source: Source::Referrers,
        };
        let item = Item { place, digest: Digest::of(&signature), content };
        let kept = KeptList { fetched: now, list, manifest: None, items: vec![item] };
        let evidence = vec![Arc::new(kept.evidence())];
        match judge(check, &subject, evidence, now).await.0 {
            SignerVerdict::Signed(_) => Ok(kept),
            SignerVerdict::Not { why, .. } => Err(ListFault::NotSigned(why).into()),
        }
    }
}

/// The items that help, in bytes of their own.
fn helpful(evidence: &[Arc<Evidence>], sifted: &Sifted) -> Vec<Item> {
    let mut items = Vec::new();
    for (found, helps) in evidence.iter().zip(&sifted.helps) {
        let found = found.copied();
        let helping = found.items.into_iter().zip(helps).filter(|(_, helps)| **helps);
        items.extend(helping.map(|(item, _)| item));
    }
    items
}

/// Judges away from the thread that carries the node's calls.
async fn judge(
    check: &Arc<SignerCheck>,
    target: &Digest,
    evidence: Vec<Arc<Evidence>>,
    now: Timestamp,
) -> (SignerVerdict, Sifted) {
    let (check, target) = (Arc::clone(check), target.clone());
    let judging = tokio::task::spawn_blocking(move || {
        let evidence: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
        check.sift(&target, &evidence, now, &VerificationCache::default())
    });
    aside::finished(judging).await
}
