//! [`ExpiryNotice`]: that a fetched list ends soon, or has ended, for the journal. The source of a
//! node that is cut off says nothing: the list itself has to.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::policy::ListHead;

/// How long before its end a list that lives long is told of; one that lives for less than four of
/// these, in the last quarter of its life.
const NEAR_MOST: SignedDuration = SignedDuration::from_hours(24);
/// After how long it is told again: once a day, so that no journal is full of it.
const TOLD_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// That a list ends soon or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryNotice {
    /// Its name.
    pub list: String,
    /// Its version.
    pub version: u64,
    /// Its end.
    pub expires: Timestamp,
    /// Whether that is over.
    pub has_expired: bool,
}

/// What was told last of one list.
#[derive(Debug, Default)]
pub(super) struct ToldOfEnd(Option<(ExpiryNotice, Timestamp)>);

impl ToldOfEnd {
    /// What is to be told now.
    pub(super) fn notice(&mut self, head: &ListHead, now: Timestamp) -> Option<ExpiryNotice> {
        let life = head.expires.duration_since(head.issued);
        let near = NEAR_MOST.min(life / 4);
        let left = head.expires.duration_since(now);
        if left > near {
            self.0 = None;
            return None;
        }
        let (list, version, expires) = (head.name.clone(), head.version, head.expires);
        let notice = ExpiryNotice { list, version, expires, has_expired: expires < now };
        let is_told = self.0.as_ref().is_some_and(|(told, at)| {
            *told == notice && now.duration_since(*at).abs() < TOLD_AGAIN
        });
        if is_told {
            return None;
        }
        self.0 = Some((notice.clone(), now));
        Some(notice)
    }
}

impl fmt::Display for ExpiryNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { list, version, expires, has_expired } = self;
        let end = if *has_expired { "HAS EXPIRED, at" } else { "expires soon, at" };
        write!(
            f,
            "deny list {list}, version {version}, {end} {expires}: nobody published a newer one, or \
             this node is kept from it; it denies all the same"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn head(version: u64, expires: &str) -> ListHead {
        ListHead {
            name: "fleet".to_owned(),
            source: "oci://r.example/deny:v1".to_owned(),
            version,
            issued: at("2026-01-01T00:00:00Z"),
            expires: at(expires),
            entries: 1,
        }
    }

    #[test]
    fn a_list_is_told_of_before_its_end_at_its_end_and_each_day_after() {
        let (mut told, list) = (ToldOfEnd::default(), head(7, "2026-01-08T00:00:00Z"));
        let mut has_expired = |time| told.notice(&list, at(time)).map(|notice| notice.has_expired);
        assert_eq!(has_expired("2026-01-06T23:59:59Z"), None);
        assert_eq!(has_expired("2026-01-07T00:00:00Z"), Some(false));
        assert_eq!(has_expired("2026-01-07T00:00:01Z"), None, "once");
        assert_eq!(has_expired("2026-01-08T00:00:01Z"), Some(true));
        assert_eq!(has_expired("2026-01-08T00:00:02Z"), None, "once");
        assert_eq!(has_expired("2026-01-09T00:00:01Z"), Some(true));
        let next = head(8, "2026-01-08T00:00:00Z");
        assert!(told.notice(&next, at("2026-01-09T00:00:02Z")).is_some(), "another list");
    }

    #[test]
    fn a_list_that_lives_for_an_hour_is_told_of_in_its_last_quarter() {
        let (mut told, list) = (ToldOfEnd::default(), head(7, "2026-01-01T01:00:00Z"));
        assert_eq!(told.notice(&list, at("2026-01-01T00:44:00Z")), None);
        assert!(told.notice(&list, at("2026-01-01T00:45:00Z")).is_some());
    }
}
