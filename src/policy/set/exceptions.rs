//! [`Exceptions`]: the exceptions of a set, and which of them counts at a time.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::evidence::{Name, Pod};
use crate::policy::document::exception::Exception;
use crate::policy::sanitize::escaped;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pinned::Digests;
use crate::policy::set::applicable::{Index, Scope};

/// How long before its end an exception is spoken of: a working week, and the weekend before it.
const WARNED_AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far ahead the end of an exception may be unless the node's configuration says otherwise: a
/// quarter of a year, so that somebody looks at it again while they remember it.
pub(in crate::policy) const EXCEPTION_SPAN: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The exceptions of a set.
#[derive(Debug)]
pub(in crate::policy) struct Exceptions {
    documents: Vec<Exception>,
    index: Index,
    /// How far ahead the end of one may be.
    span: SignedDuration,
}

/// By which exception an image was let through; escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExceptionUsed {
    /// Its name.
    pub exception: String,
    /// Who answers for it.
    pub owner: String,
    /// Why there is one.
    pub why: String,
    /// When it ends.
    pub expires: String,
    /// What would have refused the image, in the words of that refusal.
    pub refusal: String,
}

/// How many exceptions stand how at a time, and when the first that counts ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExceptionEnds {
    /// Those that count, and end in more than seven days.
    pub in_force: usize,
    /// Those that count, and end within seven days.
    pub ends_soon: usize,
    /// Those that have ended.
    pub ended: usize,
    /// Those that end later than they may, and do not count.
    pub too_long: usize,
    /// The first end of those that count; none where none does.
    pub first: Option<Timestamp>,
}

/// What there is to say of an exception at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExceptionNotice {
    /// It ends within seven days.
    EndsSoon(String),
    /// It admits nothing: it has ended, or it ends later than it may.
    NotInForce(String),
}

impl Exceptions {
    /// Of these documents; an exception may end so far ahead.
    pub(in crate::policy) fn new(mut documents: Vec<Exception>, span: SignedDuration) -> Self {
        let scopes = documents.iter_mut().map(|exception| Scope {
            images: std::mem::take(&mut exception.images),
            exclude: std::mem::take(&mut exception.exclude),
            digests: std::mem::take(&mut exception.digests),
            namespaces: exception.namespaces.clone(),
            hosts: exception.hosts,
            selectors: std::mem::take(&mut exception.selectors),
            is_permissive: true,
        });
        let index = Index::new(scopes.collect());
        Self { documents, index, span }
    }

    /// From now on one may end so far ahead.
    pub(in crate::policy) fn set_span(&mut self, span: SignedDuration) {
        self.span = span;
    }

    /// The exceptions, in the order of the files.
    pub(in crate::policy) fn documents(&self) -> &[Exception] {
        &self.documents
    }

    /// What finds those that match.
    pub(in crate::policy) fn index(&self) -> &Index {
        &self.index
    }

    /// How far ahead the end of one may be.
    pub(in crate::policy) fn span(&self) -> SignedDuration {
        self.span
    }

    /// How many there are.
    pub(in crate::policy) fn len(&self) -> usize {
        self.documents.len()
    }

    /// Those that match, whether they have ended or not. A name that is not known matches none, and no
    /// digest that is not known one that names a digest.
    pub(in crate::policy) fn matching(
        &self,
        name: &Name,
        digests: Digests<'_>,
        pod: &Pod,
    ) -> DocumentSet {
        self.index.matching(name, digests, pod)
    }

    /// Of these the one that counts at this time, and the longest of all that do.
    pub(in crate::policy) fn in_force(
        &self,
        matched: &DocumentSet,
        now: Timestamp,
    ) -> Option<&Exception> {
        let matched = matched.iter().filter_map(|number| self.documents.get(number));
        let counting = matched.filter(|exception| self.counts(exception, now));
        counting.max_by(|one, other| {
            one.expires.cmp(&other.expires).then_with(|| other.head.name.cmp(&one.head.name))
        })
    }

    /// Whether the one of this number counts at this time.
    pub(in crate::policy) fn counts_now(&self, number: usize, now: Timestamp) -> bool {
        self.documents.get(number).is_some_and(|exception| self.counts(exception, now))
    }

    fn counts(&self, exception: &Exception, now: Timestamp) -> bool {
        match standing(exception.expires, now, self.span) {
            ExceptionStanding::InForce | ExceptionStanding::EndsSoon => true,
            ExceptionStanding::Ended | ExceptionStanding::TooLong => false,
        }
    }

    /// Whether one that counts at this time names an image of this name by its digest, or lists the
    /// digest that the name has.
    pub(in crate::policy) fn names_digest_of(&self, name: &Name, now: Timestamp) -> bool {
        let own = match name {
            Name::Known(reference) => reference.digest(),
            Name::Unknown => None,
        };
        let listing = own.into_iter().flat_map(|digest| self.index.listing_digest(digest));
        self.index.pinned(name).chain(listing).any(|number| self.counts_now(number, now))
    }

    /// How they stand at this time.
    pub(in crate::policy) fn ends(&self, now: Timestamp) -> ExceptionEnds {
        let mut ends = ExceptionEnds::default();
        for exception in &self.documents {
            let count = match standing(exception.expires, now, self.span) {
                ExceptionStanding::InForce => &mut ends.in_force,
                ExceptionStanding::EndsSoon => &mut ends.ends_soon,
                ExceptionStanding::Ended => &mut ends.ended,
                ExceptionStanding::TooLong => &mut ends.too_long,
            };
            *count += 1;
        }
        let counting = self.documents.iter().filter(|exception| self.counts(exception, now));
        ends.first = counting.map(|exception| exception.expires).min();
        ends
    }

    /// What there is to say of them at this time.
    pub(in crate::policy) fn notices(&self, now: Timestamp) -> Vec<ExceptionNotice> {
        self.documents.iter().filter_map(|exception| self.notice(exception, now)).collect()
    }

    fn notice(&self, exception: &Exception, now: Timestamp) -> Option<ExceptionNotice> {
        let (name, owner) = (&exception.head.name, escaped(&exception.owner));
        let (file, end) = (escaped(&exception.head.file), exception.expires);
        let line = exception.head.position.line;
        let of = format!("{file}:{line}: exception \"{name}\" of {owner}");
        match standing(end, now, self.span) {
            ExceptionStanding::InForce => None,
            ExceptionStanding::EndsSoon => {
                Some(ExceptionNotice::EndsSoon(format!("{of} ends at {end}")))
            }
            ExceptionStanding::Ended => {
                let text =
                    format!("{of} ended at {end} and admits nothing: remove it, or renew it");
                Some(ExceptionNotice::NotInForce(text))
            }
            ExceptionStanding::TooLong => {
                let days = self.span.as_hours() / 24;
                let text = format!(
                    "{of} ends at {end}, which is more than {days} days ahead \
                     (policy.max_exception_days), and admits nothing"
                );
                Some(ExceptionNotice::NotInForce(text))
            }
        }
    }
}

/// How an exception stands at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum ExceptionStanding {
    /// It counts.
    InForce,
    /// It counts, and ends within seven days.
    EndsSoon,
    /// It has ended.
    Ended,
    /// It ends later than it may, and does not count.
    TooLong,
}

/// How one that ends then stands now, where its end may be so far ahead.
pub(in crate::policy) fn standing(
    end: Timestamp,
    now: Timestamp,
    span: SignedDuration,
) -> ExceptionStanding {
    let within = |span| end <= now.checked_add(span).unwrap_or(Timestamp::MAX);
    if end <= now {
        ExceptionStanding::Ended
    } else if !within(span) {
        ExceptionStanding::TooLong
    } else if within(WARNED_AHEAD) {
        ExceptionStanding::EndsSoon
    } else {
        ExceptionStanding::InForce
    }
}

/// What a record says of it.
pub(in crate::policy) fn used(exception: &Exception, refusal: String) -> ExceptionUsed {
    ExceptionUsed {
        exception: exception.head.name.clone(),
        owner: escaped(&exception.owner),
        why: escaped(&exception.reason),
        expires: exception.expires.to_string(),
        refusal,
    }
}

/// `exception "hotfix" of team-payments until 2026-12-15T00:00:00Z (INC-1234)`.
impl std::fmt::Display for ExceptionUsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { exception, owner, why, expires, refusal } = self;
        write!(
            f,
            "let through without proof by exception \"{exception}\" of {owner} until {expires} \
             ({why}); otherwise: {refusal}"
        )
    }
}

impl ExceptionNotice {
    /// In words.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::EndsSoon(text) | Self::NotInForce(text) => text,
        }
    }
}
