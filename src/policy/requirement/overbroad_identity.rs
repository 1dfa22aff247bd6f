//! Names of people and machines that nobody means: what matches one of them matches anyone.
//!
//! Public identity providers and CI systems vouch for whoever asks. An expression that a policy
//! writes is tried on names that a stranger could get, those of this list and those that lie next
//! to what is written: another owner whose name begins alike, another domain that ends alike.

use super::subject_kind::SubjectKind;
use crate::policy::syntax::regexp::Pattern;

/// Subjects that nobody means, each with its kind; none of a kind can be of all.
const SUBJECTS: &[(Option<SubjectKind>, &str)] = &[
    (None, ""),
    (Some(SubjectKind::Email), "kx41v.stranger@gmail.com"),
    (Some(SubjectKind::Email), "kx41vstranger@googlemail.com"),
    (Some(SubjectKind::Email), "kx41v_stranger@outlook.com"),
    (Some(SubjectKind::Email), "kx41v-stranger@hotmail.com"),
    (Some(SubjectKind::Email), "kx41vstranger@yahoo.com"),
    (Some(SubjectKind::Email), "kx41vstranger@proton.me"),
    (Some(SubjectKind::Email), "kx41vstranger@icloud.com"),
    (Some(SubjectKind::Email), "41234567+kx41vstranger@users.noreply.github.com"),
    (Some(SubjectKind::Email), "stranger@kx41v.test"),
    (Some(SubjectKind::Email), "kx41v@stranger-project.iam.gserviceaccount.com"),
    (Some(SubjectKind::Email), "412345678901-compute@developer.gserviceaccount.com"),
    (
        Some(SubjectKind::Uri),
        "https://github.com/kx41v-stranger/app/.github/workflows/release.yml@refs/heads/main",
    ),
    (
        Some(SubjectKind::Uri),
        "https://github.com/Kx41vStranger/app/.github/workflows/build.yaml@refs/tags/v1.2.3",
    ),
    (
        Some(SubjectKind::Uri),
        "https://github.com/kx41v/kx41v/.github/workflows/ci.yml@refs/pull/41/merge",
    ),
    (
        Some(SubjectKind::Uri),
        "https://gitlab.com/kx41v-stranger/app//.gitlab-ci.yml@refs/heads/main",
    ),
    (
        Some(SubjectKind::Uri),
        "https://gitlab.com/kx41v-stranger/group/app//.gitlab-ci.yml@refs/tags/v1.2.3",
    ),
    (Some(SubjectKind::Uri), "https://buildkite.com/kx41v-stranger/app"),
    (Some(SubjectKind::Uri), "https://g.codefresh.io/kx41v-stranger/app:412345/release"),
    (Some(SubjectKind::Uri), "https://kubernetes.io/namespaces/kx41v/serviceaccounts/stranger"),
    (Some(SubjectKind::Uri), "https://agent.buildkite.com/kx41v"),
    (Some(SubjectKind::Uri), "https://stranger.kx41v.test/a/b"),
    (Some(SubjectKind::Uri), "http://stranger.kx41v.test/"),
    (Some(SubjectKind::Uri), "spiffe://kx41v.test/ns/default/sa/stranger"),
    (Some(SubjectKind::Uri), "urn:kx41v:stranger"),
    (Some(SubjectKind::Dns), "stranger.kx41v.test"),
    (Some(SubjectKind::Dns), "kx41v-stranger"),
    (Some(SubjectKind::Other), "kx41v-stranger"),
    (Some(SubjectKind::Other), "kx41v!stranger.kx41v.test"),
];
/// Issuers that anyone can have, or be.
const ISSUERS: &[&str] = &[
    "",
    "https://stranger.kx41v.test",
    "https://stranger.kx41v.test/realms/kx41v",
    "http://stranger.kx41v.test",
    "https://oidc.eks.eu-central-1.amazonaws.com/id/4B1C0FFEE4B1C0FFEE4B1C0FFEE4B1C0",
    "https://container.googleapis.com/v1/projects/kx41v-stranger/locations/europe-west1/clusters/stranger",
    "https://westeurope.oic.prod-aks.azure.com/41234567-89ab-4cde-8f01-23456789abcd/fedcba98-7654-4321-8fed-cba987654321/",
    "https://login.microsoftonline.com/41234567-89ab-4cde-8f01-23456789abcd/v2.0",
    "https://oidc.circleci.com/org/41234567-89ab-4cde-8f01-23456789abcd",
    "https://stranger-kx41v.okta.com",
    "https://stranger-kx41v.eu.auth0.com/",
    "https://gitlab.kx41v.test",
];
/// What the extensions of strangers' builds say that a holder's name does not.
const VALUES: &[&str] = &[
    "https://github.com/kx41v-stranger",
    "https://github.com/kx41v-stranger/app",
    "https://github.com/Kx41v/app",
    "https://github.com/kx41v-stranger/app/actions/runs/41234567890/attempts/1",
    "https://gitlab.com/kx41v-stranger",
    "https://gitlab.com/kx41v-stranger/app",
    "https://gitlab.com/kx41v-stranger/app/-/jobs/41234567890",
    "kx41v-stranger",
    "kx41v-stranger/app",
    "41234567",
    "912345678",
    "repo:kx41v-stranger/app:ref:refs/heads/main",
    "repo:kx41v-stranger/app:environment:production",
    "project_path:kx41v-stranger/app:ref_type:branch:ref:main",
];
/// Workflows that anyone may call from a repository of their own: the certificate then names the
/// workflow, and the caller in its extensions alone.
const PUBLIC_WORKFLOWS: &[&str] = &[
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0",
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0",
    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_container-based_slsa3.yml@refs/tags/v2.1.0",
    "https://github.com/docker/github-builder/.github/workflows/build.yml@refs/heads/main",
];
/// The repositories of those.
const PUBLIC_REPOSITORIES: &[&str] = &[
    "https://github.com/slsa-framework/slsa-github-generator/",
    "https://github.com/docker/github-builder/",
];
/// Where the first part of a path is an owner whom anybody can become by choosing a name.
const OWNERS: &[&str] = &["https://github.com/", "https://gitlab.com/", "https://buildkite.com/"];
/// What may follow on an owner's name that only begins alike.
const TAILS: &[&str] = &[
    "",
    "/app",
    "/app/.github/workflows/release.yml@refs/heads/main",
    "/app//.gitlab-ci.yml@refs/heads/main",
];

/// A name that nobody has: what is put where an expression leaves something open.
const MARK: &str = "kxqvstranger";
/// How it is put there.
const GLUES: &[&str] =
    &[MARK, "-kxqvstranger", "/kxqvstranger", "kxqvstranger/kxqvstranger", ".kxqvstranger.test"];

/// How a stranger is called as a customer of a public issuer: clusters and tenants have numbers.
const CUSTOMERS: &[&str] =
    &["4B1C0FFEE4B1C0FFEE4B1C0FFEE4B1C0", "41234567-89ab-4cde-8f01-23456789abcd"];
/// Hosts of public issuers, by how they begin and end, and where in the path the customer stands.
const PUBLIC_ISSUERS: &[(&str, &str, usize)] = &[
    ("oidc.eks.", ".amazonaws.com", 2),
    ("container.googleapis.com", "", 3),
    ("login.microsoftonline.com", "", 1),
    ("oidc.circleci.com", "", 2),
    ("", ".azure.com", 1),
    ("", ".okta.com", 0),
    ("", ".auth0.com", 0),
];

/// A holder, of this kind if any, whom nobody means and the expression matches.
pub(in crate::policy) fn holder(pattern: &Pattern, kind: Option<SubjectKind>) -> Option<String> {
    let asked = |of: Option<SubjectKind>| kind.is_none() || of.is_none() || of == kind;
    let listed = SUBJECTS.iter().filter(|(of, _)| asked(*of)).map(|(_, name)| (*name).to_owned());
    let workflows = PUBLIC_WORKFLOWS
        .iter()
        .filter(|_| asked(Some(SubjectKind::Uri)))
        .map(|name| (*name).to_owned());
    let near =
        neighbours(pattern).into_iter().filter(|name| kind.is_none_or(|kind| looks(kind, name)));
    let mut names = listed.chain(workflows).chain(near);
    names.find(|name| pattern.fits(name))
}

/// An issuer that anyone can have and the expression matches.
pub(in crate::policy) fn issuer(pattern: &Pattern) -> Option<String> {
    let listed = ISSUERS.iter().map(|name| (*name).to_owned());
    let grown =
        pattern.runs().into_iter().filter(|run| run.starts_with("https://") && !has_path(run));
    let woven = GLUES
        .iter()
        .chain(CUSTOMERS)
        .flat_map(|glue| [pattern.woven(glue), format!("https://{}", pattern.woven(glue))]);
    let woven = woven.filter(|name| is_strangers_issuer(name));
    let mut names = listed.chain(grown.map(|run| format!("{run}.kx41v.test"))).chain(woven);
    names.find(|name| pattern.fits(name))
}

/// What an extension of a stranger's build says and the expression matches.
pub(in crate::policy) fn value(pattern: &Pattern) -> Option<String> {
    let listed = SUBJECTS
        .iter()
        .map(|(_, name)| *name)
        .chain(VALUES.iter().copied())
        .chain(PUBLIC_WORKFLOWS.iter().copied());
    let mut names = listed.map(str::to_owned).chain(neighbours(pattern));
    names.find(|name| pattern.fits(name))
}

/// Whether this is a workflow that anyone may call from a repository of their own.
pub(in crate::policy) fn is_public_workflow(name: &str) -> bool {
    PUBLIC_REPOSITORIES.iter().any(|repository| name.starts_with(repository))
}

/// Names that lie next to what is written: an owner whose name begins alike, a domain that ends or
/// goes on alike, and whatever a stranger can put where the expression leaves it open.
fn neighbours(pattern: &Pattern) -> Vec<String> {
    let runs = pattern.runs();
    let mut names: Vec<String> =
        GLUES.iter().map(|glue| pattern.woven(glue)).filter(|name| is_strangers(name)).collect();
    for host in OWNERS {
        let of_host = runs.iter().filter_map(|run| run.strip_prefix(host));
        // An owner that stands in a group of its own, behind the host.
        let open = runs.iter().any(|run| run == host);
        let owners = of_host.chain(runs.iter().filter(|_| open).map(String::as_str));
        for owner in owners.filter(|owner| !owner.is_empty() && !owner.contains('/')) {
            names.extend(TAILS.iter().map(|tail| format!("{host}{owner}{MARK}{tail}")));
            names.extend(TAILS.iter().map(|tail| format!("{host}{owner}-{MARK}{tail}")));
        }
    }
    for run in runs.iter().filter(|run| run.contains('.')) {
        match run.rsplit_once('@') {
            Some((_, domain)) if domain.contains('/') => {}
            Some(("", domain)) => names.push(format!("stranger@{domain}.{MARK}.test")),
            Some(_) => names.push(format!("{run}.{MARK}.test")),
            None if run.contains('/') || run.starts_with('.') => {}
            None => names.extend([
                format!("stranger@{MARK}{run}"),
                format!("stranger@{MARK}-{run}"),
                format!("{MARK}{run}"),
            ]),
        }
    }
    names
}

/// Whether a name that was put together here belongs to a stranger: the owner on a public host, or
/// else the domain.
fn is_strangers(name: &str) -> bool {
    if let Some(path) = OWNERS.iter().find_map(|host| name.strip_prefix(host)) {
        return path.split('/').next().is_some_and(|owner| owner.contains(MARK));
    }
    let host = match (name.split_once("://"), name.rsplit_once('@')) {
        (Some((_, rest)), _) => rest.split('/').next().unwrap_or_default(),
        (None, Some((_, domain))) => domain,
        (None, None) if name.contains('/') => {
            return name.split('/').next().is_some_and(|owner| owner.contains(MARK));
        }
        (None, None) => name,
    };
    host.rsplit('.').take(2).any(|label| label.contains(MARK))
}

/// Whether an issuer that was put together here is a stranger's: by its domain, or as a customer of
/// a public one.
fn is_strangers_issuer(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("https://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let is_mark = |part: &str| {
        part.contains(MARK) || CUSTOMERS.iter().any(|customer| part.contains(customer))
    };
    let public = PUBLIC_ISSUERS
        .iter()
        .find(|(begins, ends, _)| host.starts_with(begins) && host.ends_with(ends));
    match public {
        Some((_, _, 0)) => is_mark(host),
        // The customer's number or name, however the parts behind it are called.
        Some((_, _, place)) => rest.split('/').nth(*place).is_some_and(is_mark),
        None => is_strangers(name),
    }
}

/// Whether a name has the shape of its kind.
fn looks(kind: SubjectKind, name: &str) -> bool {
    match kind {
        SubjectKind::Email => name.contains('@') && !name.contains("://"),
        SubjectKind::Uri => name.contains(':'),
        SubjectKind::Dns => !name.contains(['@', '/', ':']),
        SubjectKind::Other => true,
    }
}

/// Whether a URL goes on after its host.
fn has_path(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| rest.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(written: &str) -> Pattern {
        Pattern::parse(written).unwrap()
    }

    /// Attack B8: an identity that anyone has.
    #[test]
    fn attack_b8_what_anyone_can_be_is_found() {
        for written in [
            ".*",
            ".+",
            "",
            "(acme)?",
            r"[^@]+@.+",
            r".*@gmail\.com",
            r".*@users\.noreply\.github\.com",
            r".*@.*\.iam\.gserviceaccount\.com",
            r"https://.*",
            r"https://github\.com/.*",
            r"https://github\.com/.*/.*/\.github/workflows/release\.yml@.*",
            r"https://github\.com/[^/]+/widget/.*",
            r"^https://github\.com/[a-z]+/(?:widget)/.*$",
            r"https://gitlab\.com/.*/widget//\.gitlab-ci\.yml@refs/heads/main",
            r"https://gitlab\.com/.+",
            r"https://github\.com/acme.*",
            r"https://github.com/acme.*",
            r"https://github\.com/(acme/.*|other.*)",
            r"https://github\.com/slsa-framework/slsa-github-generator/\.github/workflows/.*",
            r"https://github\.com/slsa-framework/.*",
            r".*@acme\.com.*",
            r".*acme\.com",
            r"https://github\.com/acme[a-z]{0,20}/app/.*",
            r"spiffe://.*",
            r"(?i)HTTPS://GITHUB\.COM/.*",
        ] {
            assert!(holder(&pattern(written), None).is_some(), "{written}");
        }
        for written in [
            r"https://github\.com/acme/app/\.github/workflows/release\.yml@refs/tags/v.*",
            r"https://github.com/acme/.*",
            r"https://github\.com/(acme|other)/.*",
            r".*@acme\.com",
            r"[a-z]+@acme\.com",
            r".*@mail\.acme\.com",
            r"release@(acme|other)\.com",
            r"https://gitlab\.com/acme/.*",
            r"spiffe://acme\.example/.*",
            r"release-bot",
            r".*@.*\.acme\.com",
            r"^https://github\.com/acme/.+/\.github/workflows/release\.yml@refs/tags/v1\.2\..*$",
            r"https://github\.com/acme/app/\.github/workflows/release\.yml@refs/tags/v1\.2.*",
        ] {
            assert_eq!(holder(&pattern(written), None), None, "{written}");
        }
    }

    #[test]
    fn a_kind_leaves_the_others_out() {
        assert_eq!(holder(&pattern(r"[a-z]+"), Some(SubjectKind::Email)), None);
        assert!(holder(&pattern(r"[a-z0-9-]+"), Some(SubjectKind::Other)).is_some());
        assert!(holder(&pattern(r"https?://.*"), Some(SubjectKind::Email)).is_none());
        assert!(holder(&pattern(r".*"), Some(SubjectKind::Dns)).is_some());
    }

    /// Attack B8: an issuer that anyone can be, or a customer of.
    #[test]
    fn attack_b8_issuers_that_anyone_can_have() {
        for written in [
            ".*",
            "https://.*",
            r"https://oidc\.eks\..*\.amazonaws\.com/id/.*",
            r"https://login\.microsoftonline\.com/.*/v2\.0",
            r"https://[a-z.0-9-]+/realms/[a-z0-9]+",
            r"https://accounts\.google\.com.*",
            r"https://oidc\.eks\.eu-west-1\.amazonaws\.com/id/.*",
            r"https://oidc\.eks\.eu-west-1\.amazonaws\.com/id/[0-9A-F]{32}",
            r"https://container\.googleapis\.com/v1/projects/.*/locations/.*/clusters/prod",
            r"https://container\.googleapis\.com/v1/projects/acme.*",
            r".*githubusercontent\.com",
            r"https://.*\.acme\.com",
            r"https://acme.*\.okta\.com",
        ] {
            assert!(issuer(&pattern(written)).is_some(), "{written}");
        }
        for written in [
            r"https://accounts\.google\.com",
            r"https://(accounts\.google\.com|token\.actions\.githubusercontent\.com)",
            r"https://token\.actions\.githubusercontent\.com(/acme)?",
            r"https://login\.acme\.example/.*",
            r"https://[^/]+\.acme\.example",
            r"https://container\.googleapis\.com/v1/projects/acme/locations/.*",
            r"https://login\.microsoftonline\.com/0f8fad5b-d9cb-469f-a165-70867728950e/.*",
        ] {
            assert_eq!(issuer(&pattern(written)), None, "{written}");
        }
    }

    #[test]
    fn attack_b8_extensions_that_every_build_has() {
        for written in [
            ".*",
            r"\d+",
            r"https://github\.com/.*",
            "repo:.*",
            r"https://github\.com/acme.*",
            r"[a-z0-9/-]+",
        ] {
            assert!(value(&pattern(written)).is_some(), "{written}");
        }
        for written in [
            r"https://github\.com/acme/.*",
            "4711",
            "repo:acme/app:.*",
            r"https://github\.com/acme",
        ] {
            assert_eq!(value(&pattern(written)), None, "{written}");
        }
    }

    #[test]
    fn public_workflows() {
        for workflow in PUBLIC_WORKFLOWS {
            assert!(is_public_workflow(workflow), "{workflow}");
        }
        assert!(!is_public_workflow(
            "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
        ));
    }
}
