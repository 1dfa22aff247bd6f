//! [`UnsignedSet`]: what many clusters run and no policy can ask a signature for, since its publisher
//! makes none that is verified here. There is nothing to write for it; a node's digests can be
//! drafted ([`scope`]).

use std::fmt;

use crate::policy::ImageScope;

/// Images whose publisher makes no signature that is verified here.
#[derive(Debug)]
pub(super) struct UnsignedSet {
    /// By what it is asked for.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// What its publisher does instead, and where that can be read.
    pub(super) why: &'static str,
    /// Where its images are, as `spec.images` has it.
    images: &'static [&'static str],
}

/// All of them.
pub(super) const UNSIGNED: [UnsignedSet; 6] = [
    UnsignedSet {
        name: "calico",
        about: "docker.io/calico, quay.io/calico, quay.io/tigera: Calico and its operator",
        why: "Calico's documentation names nobody who signs its images",
        images: &[
            "docker.io/calico/**",
            "quay.io/calico/**",
            "docker.io/tigera/operator",
            "quay.io/tigera/operator",
        ],
    },
    UnsignedSet {
        name: "kube-vip",
        about: "ghcr.io/kube-vip, docker.io/plndr: kube-vip and its cloud provider",
        why: "its release workflow pushes images and signs none (github.com/kube-vip/kube-vip, \
              .github/workflows/release.yaml)",
        images: &["ghcr.io/kube-vip/**", "docker.io/plndr/kube-vip*"],
    },
    UnsignedSet {
        name: "k3s",
        about: "docker.io/rancher, ghcr.io/k3s-io: k3s and what it deploys",
        why: "its release workflow pushes images and signs none (github.com/k3s-io/k3s, \
              .github/workflows/release.yml); Rancher signs those in its registry for customers alone \
              (github.com/rancher/ecm-distro-tools, actions/publish-image)",
        images: &["docker.io/rancher/**", "ghcr.io/k3s-io/**"],
    },
    UnsignedSet {
        name: "eks",
        about: "Amazon ECR of Amazon EKS, public.ecr.aws/eks: add-ons",
        why: "the Amazon EKS User Guide names the registries of add-ons (\"View Amazon container image \
              registries for Amazon EKS add-ons\") and nobody who signs what is there; AWS Signer makes \
              signatures of the Notary Project, which are not verified yet",
        images: &[
            "602401143452.dkr.ecr.*.amazonaws.com/**",
            "877085696533.dkr.ecr.*.amazonaws.com/**",
            "800184023465.dkr.ecr.*.amazonaws.com/**",
            "296578399912.dkr.ecr.*.amazonaws.com/**",
            "900889452093.dkr.ecr.*.amazonaws.com/**",
            "491585149902.dkr.ecr.*.amazonaws.com/**",
            "151610086707.dkr.ecr.*.amazonaws.com/**",
            "333609536671.dkr.ecr.*.amazonaws.com/**",
            "121268973566.dkr.ecr.*.amazonaws.com/**",
            "918309763551.dkr.ecr.*.amazonaws.com.cn/**",
            "961992271922.dkr.ecr.*.amazonaws.com.cn/**",
            "public.ecr.aws/eks/**",
            "public.ecr.aws/eks-distro/**",
        ],
    },
    UnsignedSet {
        name: "gke",
        about: "gke.gcr.io, *-docker.pkg.dev/gke-release: add-ons of Google Kubernetes Engine",
        why: "Google's documentation names nobody who signs them",
        images: &["gke.gcr.io/**", "*-docker.pkg.dev/gke-release/**"],
    },
    UnsignedSet {
        name: "aks",
        about: "mcr.microsoft.com: add-ons of Azure Kubernetes Service",
        why: "Microsoft signs some of its images by the Notary Project (\"Validate image signing\", \
              learn.microsoft.com/azure/iot-operations/secure-iot-ops/howto-validate-images), which is \
              not verified yet",
        images: &["mcr.microsoft.com/**"],
    },
];

/// What cannot be written, and what to do instead.
impl fmt::Display for UnsignedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, why, .. } = self;
        write!(
            f,
            "{name}: there is no signature to ask for, and nothing was written: {why}. Admit what \
             runs by its digests: sealgate policy init --from-node {name}"
        )
    }
}

/// The one of this name.
pub(super) fn named(name: &str) -> Option<&'static UnsignedSet> {
    UNSIGNED.iter().find(|set| set.name == name)
}

/// The images of these; none where nothing is named.
///
/// # Errors
/// In words for a name that none of them has.
pub(super) fn scope(names: &[String]) -> Result<Option<ImageScope>, String> {
    let mut images = Vec::new();
    for name in names {
        let set = named(name).ok_or_else(|| {
            let known = UNSIGNED.map(|set| set.name).join(", ");
            format!(
                "{name} cannot stand beside --from-node; digests are drafted by name of: {known}"
            )
        })?;
        images.extend(set.images.iter().map(|pattern| (*pattern).to_owned()));
    }
    if images.is_empty() {
        return Ok(None);
    }
    ImageScope::new(&images, &[]).map(Some).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Repository;

    fn in_set(name: &str, image: &str) -> bool {
        let scope = scope(&[name.to_owned()]).unwrap().unwrap();
        scope.has(&[Repository::parse(image).unwrap()], None)
    }

    #[test]
    fn each_has_its_own_images_and_no_others() {
        for (name, image) in [
            ("calico", "quay.io/calico/node"),
            ("calico", "docker.io/calico/cni"),
            ("kube-vip", "ghcr.io/kube-vip/kube-vip-iptables"),
            ("k3s", "docker.io/rancher/mirrored-pause"),
            ("eks", "602401143452.dkr.ecr.eu-central-1.amazonaws.com/eks/coredns"),
            ("eks", "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn/eks/pause"),
            ("gke", "europe-west1-docker.pkg.dev/gke-release/gke-release/pause"),
            ("aks", "mcr.microsoft.com/oss/kubernetes/pause"),
        ] {
            for set in &UNSIGNED {
                assert_eq!(in_set(set.name, image), set.name == name, "{image} in {}", set.name);
            }
        }
        assert!(!in_set("eks", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/eks/coredns"));
    }

    #[test]
    fn nothing_named_is_everything_and_what_is_signed_is_not_drafted_by_name() {
        assert!(scope(&[]).unwrap().is_none());
        for name in ["kubernetes", "calicoo"] {
            assert!(scope(&[name.to_owned()]).is_err(), "{name}");
        }
    }
}
