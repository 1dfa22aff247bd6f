//! Whether the registries of the images on the node answer, with the credentials that the node has.
//!
//! Who asks is the command line, and only when it is told to: a node without a network starts what
//! it has evidence for, and is none that is set up wrong.

use super::check::Check;
use crate::image::Reference;
use crate::registry::Class;

/// Most registries that are asked.
const REGISTRIES_MAX: usize = 16;

/// One registry that was asked for an image of the node.
#[derive(Debug)]
pub struct AskedRegistry {
    /// The registry.
    pub host: String,
    /// The image.
    pub image: String,
    /// What became of it: nothing, or the kind of the failure and its words.
    pub failure: Option<(Class, String)>,
}

/// One image of each registry among these names, with how many registries are left out.
#[must_use]
pub fn one_of_each(names: &[String]) -> (Vec<Reference>, usize) {
    let mut chosen: Vec<Reference> = Vec::new();
    let mut left = std::collections::BTreeSet::new();
    // An image's id is no name, though it could be read as one of Docker's.
    for name in names.iter().filter(|name| !name.starts_with("sha256:")) {
        let Ok(reference) = Reference::parse(name) else { continue };
        let host = reference.runtime_repository().host();
        if chosen.iter().any(|other| other.runtime_repository().host() == host) {
            continue;
        }
        if chosen.len() < REGISTRIES_MAX {
            chosen.push(reference);
        } else {
            left.insert(host.to_owned());
        }
    }
    (chosen, left.len())
}

/// One line for each registry; `left` is how many were not asked.
#[must_use]
pub fn registries(asked: &[AskedRegistry], left: usize) -> Vec<Check> {
    let id = "registry";
    let mut checks: Vec<Check> = asked
        .iter()
        .map(|asked| {
            let AskedRegistry { host, image, failure } = asked;
            match failure {
                None => Check::ok(id, format!("{host} answers, and shows {image}")),
                Some((Class::Absent, _)) => {
                    Check::ok(id, format!("{host} answers, and has {image} no more"))
                }
                Some((Class::Unreachable, why)) => {
                    let seen = format!("{host} does not answer: {why}");
                    Check::warn(id, seen, "see certs_dirs and proxy: sealgate.toml(5)")
                }
                Some((Class::Unable, why)) => {
                    let seen = format!("{host} does not show {image} to this node: {why}");
                    Check::warn(
                        id,
                        seen,
                        "see docker_configs and the other credentials: sealgate.toml(5)",
                    )
                }
            }
        })
        .collect();
    if asked.is_empty() {
        checks.push(Check::ok(id, "no image on the node names one"));
    }
    if left > 0 {
        let seen = format!("{left} more were not asked");
        checks.push(Check::warn(id, seen, "sealgate verify, with an image of each"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn each_registry_is_asked_once_and_answers_stay_apart() {
        let names = ["a.test/x:1", "a.test/y:1", "b.test/x@sha256:00", "sha256:11", "busybox"];
        let (chosen, left) = one_of_each(&names.map(str::to_owned));
        let hosts: Vec<&str> =
            chosen.iter().map(|reference| reference.runtime_repository().host()).collect();
        assert_eq!((hosts, left), (vec!["a.test", "docker.io"], 0));
        let many: Vec<String> =
            (0..REGISTRIES_MAX + 3).map(|number| format!("r{number}.test/x:1")).collect();
        assert_eq!(one_of_each(&many).1, 3);
        let asked = |class: Option<Class>| AskedRegistry {
            host: "a.test".to_owned(),
            image: "a.test/x:1".to_owned(),
            failure: class.map(|class| (class, "why".to_owned())),
        };
        for (class, outcome) in [
            (None, Outcome::Ok),
            (Some(Class::Absent), Outcome::Ok),
            (Some(Class::Unreachable), Outcome::Warn),
            (Some(Class::Unable), Outcome::Warn),
        ] {
            assert_eq!(registries(&[asked(class)], 0)[0].outcome, outcome);
        }
        assert_eq!(registries(&[], 0).len(), 1);
        assert_eq!(registries(&[asked(None)], 2)[1].outcome, Outcome::Warn);
    }
}
