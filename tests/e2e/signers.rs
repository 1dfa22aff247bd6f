//! Images signed in every way that there is ([`Group`]), with the policy documents that ask for it.

use crate::keyless::{ACME, acme};
use crate::stage::{HOST, usual_policy};

/// Images of the fixtures that one requirement admits.
pub struct Group {
    /// The document's name.
    pub name: &'static str,
    /// Their repositories below `prod/`; each has the tag `v1`.
    pub images: &'static [&'static str],
    require: fn() -> String,
}

impl Group {
    /// Keys of each kind in both forms, a Sigstore, attestations, an own authority: twenty images,
    /// no two alike.
    pub const ALL: [Self; 7] = [
        Self {
            name: "build",
            images: &[
                "signed-v2",
                "signed-v3",
                "signed-both",
                "two-signers-v2",
                "signed-docker",
                "index-v2",
                "index-v3",
                "index-child-v3",
            ],
            require: || key("build"),
        },
        Self { name: "p384", images: &["key-p384"], require: || key("p384") },
        Self { name: "rsa", images: &["key-rsa"], require: || key("rsa") },
        Self { name: "ed25519", images: &["key-ed25519"], require: || key("ed25519") },
        Self {
            name: "release",
            images: &["keyless", "keyless-v2", "keyless-rekor2", "keyless-two"],
            require: acme,
        },
        Self {
            name: "built",
            images: &["provenance", "provenance-v2", "attested-whole"],
            require: || {
                format!("attestation: {{slsa: {{source: \"{ACME}\"}}, by: {{{}}}}}", acme())
            },
        },
        Self {
            name: "team",
            images: &["pki", "pki-logged"],
            require: || {
                "certificate: {roots: [root.pem], intermediates: [intermediate.pem], crls: \
                 [team.crl, root.crl], subjects: [{email: team@acme.example}]}"
                    .to_owned()
            },
        },
    ];

    fn document(&self) -> String {
        let images: Vec<_> =
            self.images.iter().map(|image| format!("\"{HOST}/prod/{image}\"")).collect();
        format!(
            "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  \
             images: [{images}]\n  \
             require: {{name: {name}, {require}}}\n---\n",
            name = self.name,
            images = images.join(", "),
            require = (self.require)()
        )
    }
}

/// The documents of these groups; everything else below `prod/` needs the key `build`.
pub fn policies(groups: &[Group]) -> String {
    let others: Vec<_> = groups
        .iter()
        .flat_map(|group| group.images)
        .map(|image| format!("\"{HOST}/prod/{image}\""))
        .collect();
    let rest = usual_policy().replacen(
        "spec:\n",
        &format!("spec:\n  exclude: [{}]\n", others.join(", ")),
        1,
    );
    groups.iter().map(Group::document).chain([rest]).collect()
}

fn key(name: &str) -> String {
    format!("key: {{files: [{name}.pub]}}")
}
