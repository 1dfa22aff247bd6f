//! Whether policies can be loaded and ask for proof, what of them ends, and which images of the node
//! none of them matches.

use jiff::Timestamp;

use super::check::Check;
use crate::evidence::{Name, Pod};
use crate::image::Reference;
use crate::loader::{LoadError, Loaded, TrustOptions, Warning, Watch};
use crate::policy::{AdmitsEverything, PolicySet, Unmatched};

/// Most images that a line names.
const NAMED_MAX: usize = 5;

/// What there is to say of the policies, as the loader found them.
#[must_use]
pub fn policies(
    loaded: &Result<Loaded, LoadError>,
    trust: &TrustOptions,
    now: Timestamp,
) -> Vec<Check> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let say = |problem: &crate::loader::Problem| {
                Check::fail("policies", problem.to_string(), "correct it: sealgate policy check")
            };
            return error.problems.iter().map(say).collect();
        }
    };
    let set = &loaded.policies;
    let stops_all = set.is_empty() && set.unmatched() == Unmatched::Deny && !set.observes();
    let mut checks = Vec::new();
    if !stops_all {
        let counts = set.counts();
        let seen = format!(
            "{} policies, {} deny lists, {} exceptions, generation {}",
            counts.policies,
            counts.deny_lists,
            counts.exceptions,
            set.generation()
        );
        checks.push(Check::ok("policies", seen));
    }
    checks.extend(loaded.warnings.iter().map(|warning| {
        // No pod starts: that is no matter to look at some time.
        if stops_all && matches!(warning, Warning::NoPolicy { .. }) {
            let mend = "write policies, or bring ready ones: sealgate policy init";
            return Check::fail("policies", warning.to_string(), mend);
        }
        Check::warn("policies", warning.to_string(), "look at it: sealgate policy check")
    }));
    let notices = set.exception_notices(now);
    checks.extend(notices.iter().map(|notice| {
        Check::warn("exceptions", notice.text(), "write a policy for its images, or take it out")
    }));
    checks.extend(proof(set, now));
    checks.extend(ends(loaded, trust, now));
    checks
}

fn proof(set: &PolicySet, now: Timestamp) -> Vec<Check> {
    let mend = "write a policy that enforces: sealgate-policy(5)";
    let everything = set.admits_everything(now).and_then(|why| match why {
        AdmitsEverything::Observes => Some(
            "nothing has to prove anything: policy.mode is \"observe\", and nothing is refused",
        ),
        AdmitsEverything::Unmatched => Some(
            "nothing has to prove anything: no policy enforces, and policy.unmatched admits the \
                 rest",
        ),
        AdmitsEverything::Policies => {
            Some("nothing has to prove anything: every policy accepts anything or only warns")
        }
        AdmitsEverything::Exceptions => {
            Some("nothing has to prove anything: exceptions cover every image that otherwise would")
        }
        // Told below, by their names: evidence on the node counts, and so does what is bad.
        AdmitsEverything::Unreachable | AdmitsEverything::Rest => None,
    });
    if let Some(seen) = everything {
        return vec![Check::fail("policy-proof", seen, mend)];
    }
    if set.unmatched() == Unmatched::Admit {
        let seen = "whatever no policy matches runs without proof";
        return vec![Check::warn("policy-proof", seen, "set policy.unmatched = \"deny\"")];
    }
    let sentences = set.unproven();
    if sentences.is_empty() {
        return vec![Check::ok("policy-proof", "the policies ask every image for proof")];
    }
    sentences
        .into_iter()
        .map(|sentence| Check::warn("policy-proof", sentence, "intended? sealgate policy check"))
        .collect()
}

fn ends(loaded: &Loaded, trust: &TrustOptions, now: Timestamp) -> Vec<Check> {
    let roots = trust.update.iter().chain(&loaded.roots).map(String::as_str);
    let watch = Watch::new(trust, roots, loaded.ends.iter().cloned());
    let ended: Vec<&str> =
        loaded.ends.iter().filter(|(_, at)| *at < now).map(|(what, _)| what.as_str()).collect();
    let mut checks: Vec<Check> = ended
        .iter()
        .map(|what| {
            Check::fail("trust", format!("{what} has ended"), "replace it: sealgate-policy(5)")
        })
        .collect();
    // What has ended is said above; of the rest what the gate itself would warn of.
    let is_said = |warning: &str| {
        ended.iter().any(|what| warning.starts_with(&*what.escape_default().to_string()))
    };
    checks.extend(
        watch
            .warnings(now)
            .into_iter()
            .filter(|warning| !is_said(warning))
            .map(|warning| Check::warn("trust", warning, "sealgate trust update, or a new key")),
    );
    if checks.is_empty() {
        checks.push(Check::ok("trust", "no key and no trust root ends soon"));
    }
    checks
}

/// Which of these images no policy is about at this time, in any namespace.
#[must_use]
pub fn images(set: &PolicySet, names: &[String], now: Timestamp) -> Check {
    let pod = Pod::default();
    let unmatched: Vec<&str> = names
        .iter()
        // An image's id is no name, though it could be read as one of Docker's.
        .filter(|name| !name.starts_with("sha256:"))
        .filter(|name| {
            Reference::parse(name).is_ok_and(|reference| {
                let name = Name::Known(reference);
                set.applicable(&name, &pod).is_empty()
                    && set.elsewhere(&name, &pod).is_none()
                    && !set.names_digest_of(&name, now)
            })
        })
        .map(String::as_str)
        .collect();
    if unmatched.is_empty() {
        return Check::ok("images", format!("every one of {} names has a policy", names.len()));
    }
    let named = unmatched.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = unmatched.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let seen = format!("no policy matches {} of {}: {named}{more}", unmatched.len(), names.len());
    Check::warn("images", seen, "write a policy for them, or remove them from the node")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;
    use crate::policy::{Documents, Material, PolicyFile};

    fn set(require: &str, unmatched: Unmatched) -> PolicySet {
        let text = format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: a}}\nspec:\n  \
             images: [\"a.test/**\"]\n  require: {require}\n"
        );
        let file = PolicyFile { name: "p.yaml".to_owned(), bytes: text.into_bytes() };
        let documents = Documents::parse(&[file]).unwrap();
        PolicySet::build(documents, Material::default(), unmatched).unwrap()
    }

    fn digest() -> String {
        format!("{{digest: {{anyOf: [\"sha256:{}\"]}}}}", "a".repeat(64))
    }

    #[test]
    fn what_asks_for_no_proof_fails_and_what_asks_for_some_is_a_warning() {
        let now = "2026-01-15T00:00:00Z".parse().unwrap();
        let outcome = |set: &PolicySet| proof(set, now)[0].outcome;
        let anything = "{insecureAcceptAnything: true}";
        assert_eq!(outcome(&set(&digest(), Unmatched::Deny)), Outcome::Ok);
        assert_eq!(outcome(&set(&digest(), Unmatched::Admit)), Outcome::Warn);
        assert_eq!(outcome(&set(anything, Unmatched::Deny)), Outcome::Fail);
        assert_eq!(outcome(&set(anything, Unmatched::Admit)), Outcome::Fail);
    }

    #[test]
    fn images_without_a_policy_are_named() {
        let set = set(&digest(), Unmatched::Deny);
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            images(&set, &names, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(of(&["a.test/x:1", "sha256:no-name"]).outcome, Outcome::Ok);
        let check = of(&["a.test/x:1", "b.test/x:1"]);
        assert_eq!(check.outcome, Outcome::Warn);
        assert_eq!(check.seen, "no policy matches 1 of 2: b.test/x:1");
    }
}
