//! An Exception for one image by its digest: a pull by tag is judged by what the tag turns out to
//! mean.

use jiff::Timestamp;
use sealgate::policy::{Documents, Material, PolicyFile, PolicySet, Reason, Unmatched};

use crate::fixtures;
use crate::registry::Settings;
use crate::rig::{HOST, Rig, Special, by_digest, clock, pull, reason, tagged};

/// A set of one Exception, for the digest that the tag of a situation has, in another's repository.
fn exception(repository: &str, of: &str) -> PolicySet {
    let digest = &fixtures::prod(of).tags["v1"];
    let tomorrow = clock().unix().as_secs() + 24 * 60 * 60;
    let tomorrow = Timestamp::from_second(i64::try_from(tomorrow).unwrap()).unwrap();
    let text = format!(
        "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {{name: hotfix}}\nspec:\n  images: \
         [\"{HOST}/prod/{repository}@{digest}\"]\n  expires: {tomorrow}\n  owner: payments\n  reason: \
         INC-1\n"
    );
    let file = PolicyFile { name: "policy.yaml".to_owned(), bytes: text.into_bytes() };
    let documents = Documents::parse(&[file]).unwrap();
    PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap()
}

#[tokio::test]
async fn an_exception_by_digest_counts_for_the_tag_that_means_it() {
    let rig = Rig::new(Settings::without_referrers());
    let gate =
        rig.special(Special { policy: exception("unsigned", "unsigned"), ..Special::default() });
    for image in [tagged("unsigned"), by_digest("unsigned")] {
        let permit = pull(&gate, &image).await.unwrap();
        assert!(permit.pinned().ends_with(&fixtures::prod("unsigned").tags["v1"]), "{image}");
    }
}

/// Attack A1: the tag means another image by now.
#[tokio::test]
async fn attack_a1_an_exception_by_digest_follows_no_tag() {
    let rig = Rig::new(Settings::without_referrers());
    let gate =
        rig.special(Special { policy: exception("unsigned", "signed-v2"), ..Special::default() });
    for image in [tagged("unsigned"), by_digest("unsigned")] {
        assert_eq!(reason(pull(&gate, &image).await), Reason::NoPolicy, "{image}");
    }
}
