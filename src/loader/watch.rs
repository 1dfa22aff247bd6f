//! [`Watch`]: what the running gate keeps in mind about the ends of its roots and keys, to be asked
//! at any time.
//!
//! It holds times and names, no key material, and reads nothing again: a reload makes a new one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::error::RootFault;
use super::lifetime::{self, Ending, Item, Kind, Standing};
use super::roots::{self, TrustOptions};

/// A root that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its parts.
    pub items: Vec<Item>,
}

/// The ends of roots and keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// The roots, by name.
    pub roots: Vec<Kept>,
    /// Keys of policies that end: what it is, as the policy names it, and when.
    pub keys: Vec<(String, Timestamp)>,
    /// Roots whose file is there and cannot be used, and why.
    pub faults: Vec<(String, RootFault)>,
    window: SignedDuration,
}

impl Watch {
    /// Watches the roots of these names and these keys. A root that is not there is not watched:
    /// whoever needs it says so.
    #[must_use]
    pub fn new<'a>(
        options: &TrustOptions,
        names: impl IntoIterator<Item = &'a str>,
        keys: impl IntoIterator<Item = (String, Timestamp)>,
    ) -> Self {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let (mut roots, mut faults) = (Vec::new(), Vec::new());
        for found in names.iter().filter_map(|name| roots::find(options, name)) {
            match found.root {
                Ok(root) => roots.push(Kept { name: found.name, items: lifetime::items(&root) }),
                Err(fault) => faults.push((found.name, fault)),
            }
        }
        let window = SignedDuration::from_hours(i64::from(options.expiry_warning_days) * 24);
        Self { roots, keys: keys.into_iter().collect(), faults, window }
    }

    /// What ends within the warning window, has ended or cannot be used, in words.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let words = |kept: &Kept, ending: &Ending| format!("trust root {}: {ending}", kept.name);
        let mut warnings: Vec<String> = self
            .roots
            .iter()
            .flat_map(|kept| {
                lifetime::ending(&kept.items, now, self.window)
                    .into_iter()
                    .map(move |e| words(kept, &e))
            })
            .collect();
        warnings.extend(
            self.faults
                .iter()
                .map(|(name, fault)| format!("trust root {name} cannot be used: {fault}")),
        );
        let horizon = now.checked_add(self.window).unwrap_or(Timestamp::MAX);
        for (what, at) in self.keys.iter().filter(|(_, at)| *at <= horizon) {
            let verb = if *at < now { "ended" } else { "ends" };
            warnings.push(format!(
                "{}: {verb} at {}",
                what.escape_default(),
                lifetime::seconds(*at)
            ));
        }
        warnings
    }

    /// When each kind of each root ends: seconds since 1970, infinity for never. A kind that a root
    /// does not have is left out.
    #[must_use]
    pub fn ends(&self, now: Timestamp) -> Vec<(&str, Kind, f64)> {
        let of_root = |kept: &'_ Kept, kind| match lifetime::standing(&kept.items, kind, now) {
            Standing::Absent => None,
            Standing::Open => Some(f64::INFINITY),
            Standing::Until(at) | Standing::Expired(at) => Some(at.as_duration().as_secs_f64()),
        };
        let each = self.roots.iter().flat_map(|kept| Kind::ALL.map(|kind| (kept, kind)));
        each.filter_map(|(kept, kind)| Some((kept.name.as_str(), kind, of_root(kept, kind)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn watch(keys: &[(&str, &str)]) -> Watch {
        let dir = tempfile::tempdir().unwrap();
        let text = crate::loader::shipped("public-good").unwrap().trusted_root;
        std::fs::write(dir.path().join("public-good.json"), text).unwrap();
        let options =
            TrustOptions { roots: vec![dir.path().to_owned()], ..TrustOptions::default() };
        let keys = keys.iter().map(|(what, end)| ((*what).to_owned(), at(end)));
        Watch::new(&options, ["public-good", "absent", "public-good"], keys)
    }

    #[test]
    fn keys_and_roots_that_near_their_end_are_told() {
        let keys = [
            ("policy a: key b.pub", "2026-06-20T00:00:00Z"),
            ("policy a: key c.pub", "2027-06-20T00:00:00Z"),
        ];
        let watch = watch(&keys);
        assert_eq!(watch.roots.len(), 1);
        assert_eq!(watch.warnings(at("2026-01-01T00:00:00Z")), Vec::<String>::new());
        assert_eq!(
            watch.warnings(at("2026-06-01T00:00:00Z")),
            ["policy a: key b.pub: ends at 2026-06-20T00:00:00Z"]
        );
        assert_eq!(
            watch.warnings(at("2026-07-01T00:00:00Z")),
            ["policy a: key b.pub: ended at 2026-06-20T00:00:00Z"]
        );
        let late = watch.warnings(at("2090-01-01T00:00:00Z"));
        assert!(late.iter().any(|w| {
            w.starts_with("trust root public-good: every certificate authority has ended")
        }));
    }

    #[test]
    fn a_root_that_cannot_be_used_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("broken.json"), "{").unwrap();
        let options =
            TrustOptions { roots: vec![dir.path().to_owned()], ..TrustOptions::default() };
        let watch = Watch::new(&options, ["broken"], []);
        let warnings = watch.warnings(at("2026-01-01T00:00:00Z"));
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("trust root broken cannot be used: "),
            "{warnings:?}"
        );
    }

    #[test]
    fn every_kind_has_its_end() {
        let watch = watch(&[]);
        let ends = watch.ends(at("2026-06-01T00:00:00Z"));
        assert_eq!(ends.len(), 4, "{ends:?}");
        assert!(ends.iter().any(|(_, kind, end)| *kind == Kind::Log && end.is_infinite()));
        assert!(
            ends.iter().any(|(_, kind, end)| *kind == Kind::CertificateAuthority && *end > 1.9e9)
        );
    }
}
