//! What of a policy lets images run without proof, in words for people who should know.

use jiff::Timestamp;

use crate::policy::document::action::Action;
use crate::policy::requirement::Leaf;
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::set::{PolicySet, Rule, Unmatched};

/// Names that a sentence lists at most: a reader who needs more looks in the files.
const NAMED_MAX: usize = 8;
/// Longest name in it, in bytes.
const NAME_MAX: usize = 64;

impl PolicySet {
    /// One sentence for each way in which an image runs without proof: policies that accept
    /// anything, that only warn, and what becomes of images that none matches. Nothing of what asks
    /// for proof everywhere.
    #[must_use]
    pub fn unproven(&self) -> Vec<String> {
        let accepts =
            |rule: &&Rule| rule.document.require.accepts_anything && !rule.document.only_denies;
        let warns = |rule: &&Rule| rule.document.action == Action::Warn && !accepts(rule);
        let mut sentences = Vec::new();
        sentences.extend(
            named(self.rules.iter().filter(accepts))
                .map(|names| format!("accepted without proof by {names}")),
        );
        let warned = named(self.rules.iter().filter(warns));
        sentences.extend(
            warned.map(|names| format!("admitted with a warning where not satisfied: {names}")),
        );
        let unreached = self.rules.iter().filter(|rule| rule.document.admits_unreachable());
        sentences.extend(named(unreached).map(|names| {
            format!(
                "admitted unchecked while their registry cannot be reached (onUnreachable): {names}"
            )
        }));
        if self.unmatched == Unmatched::Admit {
            sentences.push(
                "admitted without proof: whatever no policy matches (policy.unmatched)".to_owned(),
            );
        }
        sentences
    }

    /// Whether no image has to prove anything at this time, or only those that policies name, and by
    /// what; none where every image has to, or is refused.
    #[must_use]
    pub fn admits_everything(&self, now: Timestamp) -> Option<AdmitsEverything> {
        if self.observes() {
            return Some(AdmitsEverything::Observes);
        }
        if !self.rules.iter().any(|rule| rule.document.demands()) {
            return match self.unmatched {
                Unmatched::Admit => Some(AdmitsEverything::Unmatched),
                Unmatched::Deny => {
                    let admits = |rule: &Rule| !rule.document.only_denies;
                    self.rules.iter().any(admits).then_some(AdmitsEverything::Policies)
                }
            };
        }
        if self.coverage.is_excepted(|number| self.exceptions.counts_now(number, now)) {
            return Some(AdmitsEverything::Exceptions);
        }
        // One that lists digests lets nobody's image through.
        let asks = |rule: &&Rule| {
            rule.document.demands()
                && rule.document.require.leaves.iter().any(Leaf::asks_for_signature)
        };
        let mut asking = self.rules.iter().filter(asks).peekable();
        let is_asking = asking.peek().is_some();
        if asking.all(|rule| rule.document.admits_unreachable()) && is_asking {
            return Some(AdmitsEverything::Unreachable);
        }
        let is_open = self.unmatched == Unmatched::Admit && !self.coverage.is_general;
        is_open.then_some(AdmitsEverything::Rest)
    }
}

/// Why no image has to prove anything, or only those that policies name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmitsEverything {
    /// The set observes: nothing is refused.
    Observes,
    /// No policy enforces, and what no policy matches is admitted.
    Unmatched,
    /// Every policy accepts anything or only warns.
    Policies,
    /// Exceptions cover whatever policies ask proof of.
    Exceptions,
    /// Every policy that asks for a signature admits what it cannot ask a registry about: an attacker who
    /// cuts the node off gets any image through.
    Unreachable,
    /// What no policy matches is admitted, and no policy that enforces is about every image: any
    /// other name gets an image through.
    Rest,
}

fn named<'r>(rules: impl Iterator<Item = &'r Rule>) -> Option<String> {
    let names: Vec<String> =
        rules.map(|rule| bounded(escaped(&rule.document.name), NAME_MAX)).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut text = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::AdmitsEverything;
    use crate::policy::{Documents, Material, PolicyFile, PolicySet, Unmatched};

    fn set(documents: &[(&str, &str, &str)], unmatched: Unmatched) -> PolicySet {
        let text = documents.iter().map(|(name, action, require)| {
            format!(
                "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  \
                 images: [\"a.test/{name}\"]\n  \
                 action: {action}\n  require: {require}\n"
            )
        });
        let bytes = text.collect::<Vec<_>>().join("---\n").into_bytes();
        let file = PolicyFile { name: "p.yaml".to_owned(), bytes };
        // A file without a document is an error; a folder without a file is none.
        let files = if documents.is_empty() { Vec::new() } else { vec![file] };
        let documents = Documents::parse(&files).unwrap();
        PolicySet::build(documents, Material::default(), unmatched).unwrap()
    }

    fn now() -> jiff::Timestamp {
        "2026-01-15T00:00:00Z".parse().unwrap()
    }

    /// A policy for these images with more in its `spec`, and exceptions for those.
    fn scoped(images: &str, more: &str, excepted: &[&str], unmatched: Unmatched) -> PolicySet {
        let digest = "a".repeat(64);
        let mut text = format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: p}}\nspec: {{images: \
             [{images}]{more}, require: {{digest: {{anyOf: [\"sha256:{digest}\"]}}}}}}\n"
        );
        for (number, spec) in excepted.iter().enumerate() {
            text += &format!(
                "---\napiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: e{number}}}\nspec: \
                 {{images: [{spec}, expires: 2026-02-01T00:00:00Z, owner: o, reason: r}}\n"
            );
        }
        let file = PolicyFile { name: "p.yaml".to_owned(), bytes: text.into_bytes() };
        let documents = Documents::parse(&[file]).unwrap();
        PolicySet::build(documents, Material::default(), unmatched).unwrap()
    }

    #[test]
    fn one_policy_for_some_images_does_not_hide_that_all_others_are_admitted() {
        let says =
            |images, more| scoped(images, more, &[], Unmatched::Admit).admits_everything(now());
        assert_eq!(says("\"**\"", ""), None);
        for (images, more) in [
            ("a.test/**", ""),
            ("\"*.test/**\"", ""),
            ("\"**\"", ", namespaces: [prod]"),
            ("\"**\"", ", exclude: [a.test/b]"),
        ] {
            assert_eq!(says(images, more), Some(AdmitsEverything::Rest), "{images}{more}");
        }
    }

    #[test]
    fn exceptions_for_all_that_asks_for_proof_leave_nothing_to_prove() {
        let says = |excepted: &[&str], at: &str| {
            let set = scoped("a.test/prod/**, a.test/x", "", excepted, Unmatched::Deny);
            set.admits_everything(at.parse().unwrap())
        };
        let all = Some(AdmitsEverything::Exceptions);
        let during = "2026-01-15T00:00:00Z";
        assert_eq!(says(&["a.test/**]"], during), all);
        assert_eq!(says(&["a.test/prod/**]", "a.test/x]"], during), all);
        assert_eq!(says(&["a.test/prod/**, a.test/x]"], during), all);
        assert_eq!(says(&["a.test/**]"], "2026-02-01T00:00:00Z"), None, "it has ended");
        for excepted in [
            vec!["a.test/prod/**]"],
            vec!["a.test/prod/b/**, a.test/x]"],
            vec!["a.test/**], namespaces: [prod]"],
            vec!["a.test/**], exclude: [a.test/x]"],
            vec!["b.test/**]"],
        ] {
            assert_eq!(says(&excepted, during), None, "{excepted:?}");
        }
    }

    #[test]
    fn a_set_that_never_asks_for_proof_says_so() {
        let digest = format!("{{digest: {{anyOf: [\"sha256:{}\"]}}}}", "a".repeat(64));
        let anything = "{insecureAcceptAnything: true}";
        let says = |documents: &[(&str, &str, &str)], unmatched| {
            set(documents, unmatched).admits_everything(now())
        };
        let strict = [("strict", "enforce", &*digest), ("open", "enforce", anything)];
        let lax = [("soft", "warn", &*digest), ("open", "enforce", anything)];
        assert_eq!(says(&strict, Unmatched::Admit), Some(AdmitsEverything::Rest));
        assert_eq!(says(&strict, Unmatched::Deny), None);
        assert_eq!(says(&lax, Unmatched::Admit), Some(AdmitsEverything::Unmatched));
        assert_eq!(says(&lax, Unmatched::Deny), Some(AdmitsEverything::Policies));
        let observing = set(&strict, Unmatched::Deny).in_mode(crate::policy::Mode::Observe);
        assert_eq!(observing.admits_everything(now()), Some(AdmitsEverything::Observes));
        // Then nothing runs at all.
        assert_eq!(says(&[], Unmatched::Deny), None);
        assert_eq!(says(&[], Unmatched::Admit), Some(AdmitsEverything::Unmatched));
    }

    #[test]
    fn every_way_around_proof_is_named() {
        let digest = format!("{{digest: {{anyOf: [\"sha256:{}\"]}}}}", "a".repeat(64));
        let anything = "{insecureAcceptAnything: true}";
        assert_eq!(
            set(&[("strict", "enforce", &digest)], Unmatched::Deny).unproven(),
            Vec::<String>::new()
        );
        let lax = set(
            &[
                ("strict", "enforce", &digest),
                ("open", "enforce", anything),
                ("soft", "warn", &digest),
                ("both", "warn", anything),
            ],
            Unmatched::Admit,
        );
        assert_eq!(
            lax.unproven(),
            [
                "accepted without proof by open, both",
                "admitted with a warning where not satisfied: soft",
                "admitted without proof: whatever no policy matches (policy.unmatched)"
            ]
        );
        let many: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "enforce", anything)).collect();
        assert!(set(&many, Unmatched::Deny).unproven()[0].ends_with("p7 and 12 more"));
    }
}
