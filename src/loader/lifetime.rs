//! How long trust lasts: the [`Item`]s of a trusted root with their windows, the [`Standing`] of
//! each [`Kind`], and what of it ends soon ([`Ending`]).
//!
//! Pure: time is an argument. Nothing is refused here; a root whose authorities have ended still
//! proves what was signed before, and what is signed later fails where it is verified.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sigstore_trust_root::TrustedRoot;
use sigstore_types::{DerCertificate, TimeRange};
use x509_cert::der::Decode as _;

/// What a trusted root vouches with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Issues certificates for signers (Fulcio).
    CertificateAuthority,
    /// Witnesses certificates.
    CtLog,
    /// Witnesses signatures (Rekor).
    Log,
    /// Tells the time of signatures (RFC 3161).
    TimestampAuthority,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] =
        [Self::CertificateAuthority, Self::CtLog, Self::Log, Self::TimestampAuthority];

    /// A fixed word, fit for a label of a metric.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CertificateAuthority => "certificate-authority",
            Self::CtLog => "ct-log",
            Self::Log => "log",
            Self::TimestampAuthority => "timestamp-authority",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateAuthority => "certificate authority",
            Self::CtLog => "CT log",
            Self::Log => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        })
    }
}

/// One authority or log of a trusted root.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Item {
    /// Which kind.
    pub kind: Kind,
    /// Its URL, or its certificate's subject where it has none. Whoever made the root wrote it.
    pub name: String,
    /// When its window begins; none for always.
    pub from: Option<Timestamp>,
    /// When it ends: its window, or the first of its certificates, whichever is sooner; none for
    /// never.
    pub until: Option<Timestamp>,
}

/// How a kind stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The root has none of it.
    Absent,
    /// One of them has no end.
    Open,
    /// The last of them ends then.
    Until(Timestamp),
    /// The last of them ended then.
    Expired(Timestamp),
}

/// What needs a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// An item ends within the warning window.
    Soon {
        /// The item.
        item: Item,
        /// When.
        at: Timestamp,
        /// Whether another of its kind lasts longer.
        followed: bool,
    },
    /// No item of a kind is valid any more.
    Expired {
        /// Which kind.
        kind: Kind,
        /// When the last one ended.
        at: Timestamp,
    },
}

/// Everything in a root that has a lifetime, in the order of the file, kind by kind.
#[must_use]
pub fn items(root: &TrustedRoot) -> Vec<Item> {
    let item = |kind, name: &str, window: Option<&TimeRange>, certificates: &[&DerCertificate]| {
        let ends = certificates.iter().filter_map(|certificate| not_after(certificate));
        let until = ends.chain(window.and_then(|window| window.end)).min();
        Item { kind, name: name.to_owned(), from: window.map(|window| window.start), until }
    };
    let authorities = root.certificate_authorities.iter().map(|authority| {
        let chain: Vec<_> =
            authority.cert_chain.certificates.iter().map(|entry| &entry.raw_bytes).collect();
        item(Kind::CertificateAuthority, &authority.uri, authority.valid_for.as_ref(), &chain)
    });
    let ct_logs = root
        .ctlogs
        .iter()
        .map(|log| item(Kind::CtLog, &log.base_url, log.public_key.valid_for.as_ref(), &[]));
    let logs = root
        .tlogs
        .iter()
        .map(|log| item(Kind::Log, &log.base_url, log.public_key.valid_for.as_ref(), &[]));
    let stamps = root.timestamp_authorities.iter().map(|authority| {
        let chain: Vec<_> =
            authority.cert_chain.certificates.iter().map(|entry| &entry.raw_bytes).collect();
        let subject = authority.subject.common_name.as_deref().unwrap_or("without a name");
        let name = authority.uri.as_deref().unwrap_or(subject);
        item(Kind::TimestampAuthority, name, authority.valid_for.as_ref(), &chain)
    });
    authorities.chain(ct_logs).chain(logs).chain(stamps).collect()
}

/// When a certificate ends; none for one that cannot be read, which no verifier accepts either.
fn not_after(certificate: &DerCertificate) -> Option<Timestamp> {
    let certificate = x509_cert::Certificate::from_der(certificate.as_bytes()).ok()?;
    let since = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    Timestamp::from_second(i64::try_from(since).ok()?).ok()
}

/// How one kind stands. One whose window has yet to begin counts: it is there to take over.
#[must_use]
pub fn standing(items: &[Item], kind: Kind, now: Timestamp) -> Standing {
    let mut ends = items.iter().filter(|item| item.kind == kind).map(|item| item.until).peekable();
    if ends.peek().is_none() {
        return Standing::Absent;
    }
    let ends: Option<Vec<Timestamp>> = ends.collect();
    match ends.and_then(|ends| ends.into_iter().max()) {
        None => Standing::Open,
        Some(last) if last < now => Standing::Expired(last),
        Some(last) => Standing::Until(last),
    }
}

/// What ends between `now` and `window` later, and the kinds that have ended as a whole. Windows
/// that ended long ago and have a successor are history, not news.
#[must_use]
pub fn ending(items: &[Item], now: Timestamp, window: SignedDuration) -> Vec<Ending> {
    let horizon = now.checked_add(window).unwrap_or(Timestamp::MAX);
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let stands = standing(items, kind, now);
        if let Standing::Expired(at) = stands {
            found.push(Ending::Expired { kind, at });
        }
        for item in items.iter().filter(|item| item.kind == kind) {
            let Some(at) = item.until.filter(|at| (now..=horizon).contains(at)) else { continue };
            let followed =
                stands == Standing::Open || matches!(stands, Standing::Until(last) if last > at);
            found.push(Ending::Soon { item: item.clone(), at, followed });
        }
    }
    found
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soon { item, at, followed } => {
                let name = item.name.escape_default();
                let then = if *followed {
                    "another goes on"
                } else {
                    "nothing follows it: run sealgate trust update"
                };
                write!(f, "the {} {name} ends at {}; {then}", item.kind, seconds(*at))
            }
            Self::Expired { kind, at } => {
                let at = seconds(*at);
                write!(f, "every {kind} has ended, the last at {at}: run sealgate trust update")
            }
        }
    }
}

/// A time to the second, as people read it.
pub(super) fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn item(name: &str, until: Option<&str>) -> Item {
        Item { kind: Kind::CtLog, name: name.to_owned(), from: None, until: until.map(at) }
    }

    #[test]
    fn a_kind_stands_as_long_as_its_last() {
        let now = at("2026-06-01T00:00:00Z");
        let (old, soon) =
            (item("old", Some("2022-01-01T00:00:00Z")), item("soon", Some("2026-06-10T00:00:00Z")));
        let stands = |items: &[Item]| standing(items, Kind::CtLog, now);
        assert_eq!(stands(&[]), Standing::Absent);
        assert_eq!(stands(&[old.clone(), item("open", None)]), Standing::Open);
        assert_eq!(
            stands(&[old.clone(), soon.clone()]),
            Standing::Until(at("2026-06-10T00:00:00Z"))
        );
        assert_eq!(
            stands(std::slice::from_ref(&old)),
            Standing::Expired(at("2022-01-01T00:00:00Z"))
        );
        assert_eq!(standing(&[old], Kind::Log, now), Standing::Absent);
    }

    #[test]
    fn what_ends_soon_is_told_and_history_is_not() {
        let now = at("2026-06-01T00:00:00Z");
        let (old, soon) =
            (item("old", Some("2022-01-01T00:00:00Z")), item("soon", Some("2026-06-10T00:00:00Z")));
        assert_eq!(ending(&[old.clone(), item("open", None)], now, MONTH), []);
        let end = at("2026-06-10T00:00:00Z");
        let told = |followed| vec![Ending::Soon { item: soon.clone(), at: end, followed }];
        assert_eq!(ending(&[old.clone(), soon.clone()], now, MONTH), told(false));
        assert_eq!(ending(&[soon.clone(), item("open", None)], now, MONTH), told(true));
        assert_eq!(
            ending(&[soon.clone(), item("later", Some("2030-01-01T00:00:00Z"))], now, MONTH),
            told(true)
        );
        assert_eq!(ending(std::slice::from_ref(&soon), now, SignedDuration::from_hours(24)), []);
        let kind = Kind::CtLog;
        let over = at("2026-07-01T00:00:00Z");
        assert_eq!(ending(&[old, soon], over, MONTH), [Ending::Expired { kind, at: end }]);
    }

    #[test]
    fn the_shipped_roots_end_where_their_certificates_do() {
        let text = crate::loader::shipped("public-good").unwrap().trusted_root;
        let items = items(&TrustedRoot::from_json(text).unwrap());
        let now = at("2026-06-01T00:00:00Z");
        assert!(matches!(standing(&items, Kind::CertificateAuthority, now), Standing::Until(_)));
        assert_eq!(standing(&items, Kind::Log, now), Standing::Open);
        assert_eq!(ending(&items, now, MONTH), []);
        let late = at("2090-01-01T00:00:00Z");
        let expired = ending(&items, late, MONTH);
        assert!(
            expired
                .iter()
                .any(|e| matches!(e, Ending::Expired { kind: Kind::CertificateAuthority, .. }))
        );
    }

    #[test]
    fn attack_e3_what_a_root_calls_its_parts_is_shown_escaped() {
        let now = at("2026-06-01T00:00:00Z");
        let shown: Vec<String> =
            ending(&[item("a\x1b[2J\nb", Some("2026-06-02T00:00:00Z"))], now, MONTH)
                .iter()
                .map(ToString::to_string)
                .collect();
        assert!(shown.iter().all(|line| line.chars().all(|c| !c.is_control())), "{shown:?}");
    }
}
