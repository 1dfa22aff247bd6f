//! [`Policy`]: which policies and keys are in force, since when, and what of them ends when.

use std::collections::BTreeMap;

use super::exposition::{count_of, family, first_ends, one};

/// The policies, keys and trust roots in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// When each kind of authority or log of a trust root ends: the root's name, the kind's fixed
    /// word, seconds since 1970, infinity for never.
    pub trust: Vec<(String, &'static str, f64)>,
    /// When keys of policies end: the policy's word for it, seconds since 1970.
    pub keys: Vec<(String, f64)>,
    /// Whether the last reload was not taken.
    pub reload_failed: bool,
    /// When a set was last put in force, in seconds since 1970.
    pub taken: f64,
    /// When one last could not be, in seconds since 1970; 0 for never.
    pub failed: f64,
    /// The generation of the documents in force.
    pub generation: String,
    /// The generation of the keys and trust roots in force.
    pub trust_generation: String,
    /// Whether the gate is in observe mode.
    pub observes: bool,
    /// Exceptions by how they stand.
    pub exceptions: Vec<(&'static str, u64)>,
    /// When the first exception that counts ends, in seconds since 1970, infinity for none.
    pub exception_ends: f64,
}

impl Policy {
    pub(super) fn write(&self, text: &mut String) {
        self.write_ends(text);
        let help = "1 when the newest policy files were not taken and older ones are in force.";
        let failed = f64::from(u8::from(self.reload_failed));
        one(text, "sealgate_policy_reload_failed", "gauge", help, failed);
        let help = "When policies were last put in force, in seconds since 1970.";
        let name = "sealgate_policy_reload_success_timestamp_seconds";
        one(text, name, "gauge", help, self.taken);
        let help =
            "When policy files last could not be put in force, in seconds since 1970; 0 for never.";
        let name = "sealgate_policy_reload_fault_timestamp_seconds";
        one(text, name, "gauge", help, self.failed);
        let labels =
            vec![("policy", self.generation.as_str()), ("trust", self.trust_generation.as_str())];
        let help = "The generations of the policies and of the keys that are in force.";
        family(text, "sealgate_policy_info", "gauge", help, std::iter::once((labels, 1.0)));
        let help = "1 when the gate is in observe mode and refuses nothing for what policies or settings say.";
        let observes = f64::from(u8::from(self.observes));
        one(text, "sealgate_observe_mode", "gauge", help, observes);
        let exceptions = self.exceptions.iter();
        let exceptions =
            exceptions.map(|(standing, count)| (vec![("standing", *standing)], count_of(*count)));
        let help = "Exceptions of the policies in force, by how they stand.";
        family(text, "sealgate_exceptions", "gauge", help, exceptions);
        let help = "When the first exception that counts ends, in seconds since 1970.";
        let name = "sealgate_exception_expiry_timestamp_seconds";
        one(text, name, "gauge", help, self.exception_ends);
    }

    fn write_ends(&self, text: &mut String) {
        let trust = first_ends(self.trust.iter().collect(), |(_, _, end)| *end);
        let trust = trust
            .into_iter()
            .map(|(root, kind, end)| (vec![("root", root.as_str()), ("kind", *kind)], *end));
        let help = "When the last of this kind in a trust root ends, in seconds since 1970.";
        family(text, "sealgate_trust_expiry_timestamp_seconds", "gauge", help, trust);
        // One key may have several windows, one authority several lists, and a series has one
        // value: the first end.
        let mut ends: BTreeMap<&str, f64> = BTreeMap::new();
        for (key, end) in &self.keys {
            ends.entry(key).and_modify(|first| *first = first.min(*end)).or_insert(*end);
        }
        let keys = first_ends(ends.into_iter().collect(), |(_, end)| *end);
        let keys = keys.into_iter().map(|(key, end)| (vec![("key", key)], end));
        let help =
            "When a key, certificate or revocation list of a policy ends, in seconds since 1970.";
        family(text, "sealgate_key_expiry_timestamp_seconds", "gauge", help, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_keys(keys: Vec<(String, f64)>) -> String {
        let mut text = String::new();
        Policy { keys, ..Policy::default() }.write(&mut text);
        text
    }

    #[test]
    fn attack_e3_a_label_cannot_begin_a_line() {
        let text = of_keys(vec![("a\"\n\\b\x1b[2J\nsealgate_observe_mode 1".to_owned(), 1.0)]);
        assert_eq!(
            text.lines().filter(|line| line.starts_with("sealgate_observe_mode")).count(),
            1
        );
        assert!(
            text.contains("{key=\"a\\\"\\n\\\\b[2J\\nsealgate_observe_mode 1\"} 1\n"),
            "{text}"
        );
    }

    /// A series stands once: a monitor may refuse the whole answer otherwise, and then nothing
    /// warns of what ends.
    #[test]
    fn a_key_with_two_windows_is_one_series() {
        let key = || "key a.pub of policy x".to_owned();
        let text = of_keys(vec![(key(), 20.0), (key(), 10.0)]);
        let samples: Vec<&str> =
            text.lines().filter(|line| line.starts_with("sealgate_key_expiry")).collect();
        assert_eq!(
            samples,
            ["sealgate_key_expiry_timestamp_seconds{key=\"key a.pub of policy x\"} 10"]
        );
    }

    #[test]
    fn of_thousands_of_keys_those_that_end_first_are_series() {
        let text = of_keys((0..4096).rev().map(|n| (format!("k{n}"), f64::from(n))).collect());
        let samples: Vec<&str> =
            text.lines().filter(|line| line.starts_with("sealgate_key_expiry")).collect();
        assert_eq!(samples.len(), 128);
        assert_eq!(samples.first(), Some(&"sealgate_key_expiry_timestamp_seconds{key=\"k0\"} 0"));
    }
}
