//! What of a policy lets images run without proof, in words for people who should know.

use crate::policy::document::action::Action;
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
        if self.unmatched == Unmatched::Admit {
            sentences.push(
                "admitted without proof: whatever no policy matches (policy.unmatched)".to_owned(),
            );
        }
        sentences
    }
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
        let documents =
            Documents::parse(&[PolicyFile { name: "p.yaml".to_owned(), bytes }]).unwrap();
        PolicySet::build(documents, Material::default(), unmatched).unwrap()
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
