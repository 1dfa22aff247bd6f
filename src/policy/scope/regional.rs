//! [`HostScope`]: whether a pattern leaves open whose registry it is about; and the registries whose
//! hosts differ by region alone, so that a wildcard for the region leaves the owner fixed.
//!
//! A wildcard in any other place can be met by a host that a stranger registers. Which places are
//! safe is a list, since no rule tells a region from an owner: `*` in `acme.*.co.uk` stands for the
//! owner.

/// What a region is called in the hosts of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    /// As AWS does: `us-gov-west-1`.
    Aws,
    /// One label of the name: `europe-west4`.
    Label,
}

/// A registry with one host in each region.
struct Regional {
    /// What comes before the region, behind the owner where there is one in the host.
    before: &'static str,
    /// What comes after it, up to the end of the host.
    after: &'static str,
    region: Region,
    /// Whether the host begins with an AWS account; otherwise the first part of the path is the
    /// owner.
    is_account: bool,
}

/// The registries. Amazon ECR ("Amazon ECR endpoints"; the account is the first label) and Google
/// Artifact Registry ("Repository and image names"; the project is the first part of the path).
/// `gcr.io` is not among them: `mirror.gcr.io` has everybody's images.
const REGIONAL: [Regional; 6] = [
    account(".dkr.ecr.", ".amazonaws.com"),
    account(".dkr.ecr-fips.", ".amazonaws.com"),
    account(".dkr.ecr.", ".amazonaws.com.cn"),
    account(".dkr-ecr.", ".on.aws"),
    account(".dkr-ecr-fips.", ".on.aws"),
    Regional { before: "", after: "-docker.pkg.dev", region: Region::Label, is_account: false },
];

/// Digits of an AWS account.
const ACCOUNT: usize = 12;

const fn account(before: &'static str, after: &'static str) -> Regional {
    Regional { before, after, region: Region::Aws, is_account: true }
}

/// Whose registries the hosts of patterns are, from the narrowest on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum HostScope {
    /// Each host is written out.
    #[default]
    Literal,
    /// Some leave a region open, and no owner.
    Regions,
    /// Some leave open whose registry it is.
    Open,
}

impl HostScope {
    /// Of a host with wildcards in it, and the first part of the path behind it.
    pub(super) fn of_wildcards(host: &str, owner: Option<&str>) -> Self {
        let is_owned = owner.is_some_and(|owner| !owner.contains('*') && owner.is_ascii())
            && owner.is_some_and(|owner| owner.bytes().all(|byte| byte > b' '));
        let is_it = |regional: &Regional| {
            let Some((before, after)) = host.split_once('*') else { return false };
            after == regional.after
                && match regional.is_account {
                    true => before.strip_suffix(regional.before).is_some_and(is_account),
                    false => before == regional.before && is_owned,
                }
        };
        if REGIONAL.iter().any(is_it) { Self::Regions } else { Self::Open }
    }
}

fn is_account(text: &str) -> bool {
    text.len() == ACCOUNT && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a host has the form of such a registry, with something in the place of the region that
/// is none: `602401143452.dkr.ecr.s3.amazonaws.com` is a bucket, and anybody's. Documents that let
/// through by a wildcard for the region are not about it.
pub(in crate::policy) fn is_of_no_region(host: &str) -> bool {
    REGIONAL.iter().any(|regional| {
        let Some(front) = host.strip_suffix(regional.after) else { return false };
        let region = if regional.is_account {
            front.get(ACCOUNT..).and_then(|rest| rest.strip_prefix(regional.before))
        } else {
            Some(front)
        };
        region.is_some_and(|region| !regional.region.is_one(region))
    })
}

impl Region {
    fn is_one(self, text: &str) -> bool {
        let letters =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        match self {
            Self::Label => {
                !text.is_empty()
                    && text.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
                    })
            }
            Self::Aws => {
                let parts: Vec<&str> = text.split('-').collect();
                let Some((number, names)) = parts.split_last() else { return false };
                names.len() >= 2
                    && names.iter().all(letters)
                    && (1..=2).contains(&number.len())
                    && number.bytes().all(|byte| byte.is_ascii_digit())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_may_be_left_open_and_an_owner_may_not() {
        for (host, owner) in [
            ("602401143452.dkr.ecr.*.amazonaws.com", Some("eks")),
            ("602401143452.dkr.ecr.*.amazonaws.com", Some("*")),
            ("602401143452.dkr.ecr-fips.*.amazonaws.com", None),
            ("918309763551.dkr.ecr.*.amazonaws.com.cn", None),
            ("602401143452.dkr-ecr.*.on.aws", None),
            ("*-docker.pkg.dev", Some("gke-release")),
        ] {
            assert_eq!(HostScope::of_wildcards(host, owner), HostScope::Regions, "{host}");
        }
        for (host, owner) in [
            ("*.dkr.ecr.us-east-1.amazonaws.com", Some("eks")),
            ("60240114345*.dkr.ecr.us-east-1.amazonaws.com", Some("eks")),
            ("602401143452.dkr.ecr.*.*.amazonaws.com", Some("eks")),
            ("602401143452.dkr.ecr.*amazonaws.com", Some("eks")),
            ("602401143452.dkr.ecr.*.com", Some("eks")),
            ("602401143452.dkr.ecr.us-east-1.*.com", Some("eks")),
            ("602401143452.dkr.ecr.*.amazonaws.com.evil.test", Some("eks")),
            ("602401143452.dkr.ecr.*.amazonaws.com:5000", Some("eks")),
            ("acme.*.co.uk", Some("app")),
            ("*.gcr.io", Some("project")),
            ("*-docker.pkg.dev", Some("*")),
            ("*-docker.pkg.dev", Some("gke*")),
            ("*-docker.pkg.dev", Some("\u{1}")),
            ("*-docker.pkg.dev", None),
            ("x*-docker.pkg.dev", Some("gke-release")),
            ("*", Some("a")),
        ] {
            assert_eq!(HostScope::of_wildcards(host, owner), HostScope::Open, "{host} {owner:?}");
        }
    }

    /// Attack E8: what looks like a region, and is a name that anybody may have.
    #[test]
    fn attack_e8_a_bucket_is_no_region() {
        for region in ["us-east-1", "us-gov-west-1", "ap-southeast-3", "eusc-de-east-1"] {
            let host = format!("602401143452.dkr.ecr.{region}.amazonaws.com");
            assert!(!is_of_no_region(&host), "{host}");
        }
        for region in
            ["s3", "s3.us-east-1", "s3-us-west-2", "s3-website-us-east-1", "x", "", "a-b-"]
        {
            let host = format!("602401143452.dkr.ecr.{region}.amazonaws.com");
            assert!(is_of_no_region(&host), "{host}");
        }
        assert!(!is_of_no_region("europe-west4-docker.pkg.dev"));
        assert!(is_of_no_region("evil.test-docker.pkg.dev"));
        for host in ["registry.k8s.io", "amazonaws.com", "docker.io", "pkg.dev"] {
            assert!(!is_of_no_region(host), "{host}");
        }
    }
}
