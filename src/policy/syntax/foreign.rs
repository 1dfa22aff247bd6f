//! [`Foreign`]: documents of other programs that judge images, told by their shape, so that their
//! author hears which document it is and not that each of its fields is unknown.
//!
//! Nothing of them is read further, and none is used.

use std::fmt;

use super::yaml::{Node, Value};

/// The kind of Talos' documents about images; `v1alpha1` is what all of its documents are of.
const TALOS: &str = "ImageVerificationConfig";

/// A document of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Of Sigstore's policy-controller (`policy.sigstore.dev`).
    ClusterImagePolicy,
    /// Of Kyverno (`kyverno.io`, `policies.kyverno.io`), of whatever kind.
    Kyverno,
    /// `policy.json` of containers/image: podman, skopeo, CRI-O (containers-policy.json(5)).
    PolicyJson,
    /// `trustpolicy.json` of notation (Notary Project).
    NotationTrustPolicy,
    /// The configuration of Connaisseur.
    Connaisseur,
    /// `ImageVerificationConfig` of Talos.
    Talos,
}

impl Foreign {
    /// What this document is, when it is one of another program.
    pub(in crate::policy) fn of(node: &Node) -> Option<Self> {
        let version = text(node, "apiVersion").unwrap_or_default();
        let group = version.split('/').next().unwrap_or_default();
        let is_list = |name: &str| matches!(field(node, name), Some(Value::List(_)));
        match group {
            "policy.sigstore.dev" => Some(Self::ClusterImagePolicy),
            "kyverno.io" | "policies.kyverno.io" => Some(Self::Kyverno),
            "v1alpha1" if text(node, "kind") == Some(TALOS) => Some(Self::Talos),
            _ if !group.is_empty() => None,
            _ if is_list("trustPolicies") => Some(Self::NotationTrustPolicy),
            _ if is_list("default") && field(node, "spec").is_none() => Some(Self::PolicyJson),
            _ if is_connaisseur(node) => Some(Self::Connaisseur),
            _ => None,
        }
    }
}

/// `validators` and `policy`, bare or below `application` as the chart has them.
fn is_connaisseur(node: &Node) -> bool {
    let Value::Map(entries) = &node.value else { return false };
    let below = entries.iter().find(|(key, _)| key.name == "application").map(|(_, node)| node);
    let node = below.unwrap_or(node);
    matches!(
        (field(node, "validators"), field(node, "policy")),
        (Some(Value::List(_)), Some(Value::List(_)))
    )
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Value> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| &node.value)
}

fn text<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    match field(node, name) {
        Some(Value::Text(text)) => Some(text),
        Some(_) | None => None,
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::ClusterImagePolicy => "a ClusterImagePolicy of Sigstore's policy-controller",
            Self::Kyverno => "a policy of Kyverno",
            Self::PolicyJson => "a policy.json of containers/image (podman, skopeo, CRI-O)",
            Self::NotationTrustPolicy => "a trust policy of notation",
            Self::Connaisseur => "a configuration of Connaisseur",
            Self::Talos => "an ImageVerificationConfig of Talos",
        };
        let instead = match self {
            Self::ClusterImagePolicy
            | Self::PolicyJson
            | Self::Kyverno
            | Self::Talos
            | Self::Connaisseur => "sealgate policy import turns it into documents",
            Self::NotationTrustPolicy => {
                "sealgate policy import says what of it cannot be carried over"
            }
        };
        write!(f, "this is {what}; the gate cannot use it as it is: {instead}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::syntax::yaml::documents;

    fn of(text: &str) -> Option<Foreign> {
        Foreign::of(&documents(text).unwrap()[0])
    }

    #[test]
    fn documents_of_others_are_told_by_their_shape() {
        for (text, foreign) in [
            (
                "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nspec: {}",
                Foreign::ClusterImagePolicy,
            ),
            ("apiVersion: kyverno.io/v1\nkind: ClusterPolicy", Foreign::Kyverno),
            ("apiVersion: policies.kyverno.io/v1\nkind: ImageValidatingPolicy", Foreign::Kyverno),
            (
                r#"{"default": [{"type": "reject"}], "transports": {"docker": {}}}"#,
                Foreign::PolicyJson,
            ),
            (
                r#"{"version": "1.0", "trustPolicies": [{"name": "a"}]}"#,
                Foreign::NotationTrustPolicy,
            ),
            (
                "application:\n  validators: [{name: a}]\n  policy: [{pattern: \"*:*\"}]",
                Foreign::Connaisseur,
            ),
            ("validators: [{name: a}]\npolicy: [{pattern: \"*:*\"}]", Foreign::Connaisseur),
        ] {
            assert_eq!(of(text), Some(foreign), "{text}");
        }
        for text in [
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nspec: {}",
            "apiVersion: v1\nkind: ConfigMap",
            "policy: [a]",
            "default: deny",
            "[a]",
            "a",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
