//! Fact P14: a registry that answers a digest with an old schema 1 document.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealgate::containerd::ProofError;
use sealgate::image::Digest;
use serde_json::json;

use crate::containerd::Flavour;
use crate::house::{HOST, House};
use crate::registry::{Answer, Rule};
use crate::tiny::{Tiny, architecture};

/// The media type that sends containerd 1.x down the path where nothing is compared with the
/// digest.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Attack A9: other content is stored under `repository@digest` (1.6, 1.7), or the pull fails
/// (2.x). In no case does content prove the digest.
#[tokio::test]
async fn attack_a9_schema_1_puts_other_content_under_a_digest() {
    for flavour in Flavour::all() {
        let converts = flavour.version.0 == 1;
        let house = House::of(flavour).await;
        let (signed, unsigned) = (Tiny::saying("signed"), Tiny::saying("unsigned"));
        let digest = house.push("app", "1", &signed);
        house.push("app", "evil", &unsigned);
        let answer = Answer::Full {
            status: 200,
            headers: vec![
                ("content-type", SCHEMA_1.to_owned()),
                ("docker-content-digest", digest.to_string()),
            ],
            body: schema_1(&unsigned),
        };
        house.registry.rule(
            Rule::new(format!("/v2/app/manifests/{digest}"), answer).user_agent("containerd/"),
        );

        let name = format!("{HOST}/app@{digest}");
        let pulled = house.containerd.cri().pull(&name).await;
        assert_eq!(pulled.is_ok(), converts, "{pulled:?}");
        let Ok(answered) = pulled else {
            assert_eq!(house.runtime.record(&name).await, Ok(None));
            continue;
        };
        let id = Digest::parse(&answered).unwrap();
        assert_ne!(id, signed.id());
        let record = house.runtime.record(&name).await.unwrap().unwrap();
        assert_ne!(record.target.digest, digest, "the record itself gives the lie away");
        let missing = ProofError::ContentMissing(digest.clone());
        assert_eq!(house.runtime.prove_content(&digest, &id).await, Err(missing));
        assert_eq!(house.runtime.forget(&name).await, Ok(true));
        assert_eq!(house.runtime.record(&name).await, Ok(None));
    }
}

/// An image as Docker's schema 1, with the signature block that such documents carry.
fn schema_1(image: &Tiny) -> Vec<u8> {
    let history = json!({
        "architecture": architecture(), "os": "linux", "id": "a",
        "config": {"Entrypoint": ["/bin/busybox", "cat", "/words"]},
    });
    let layers = image.layers.iter().rev();
    let document = json!({
        "schemaVersion": 1, "name": "app", "tag": "1", "architecture": architecture(),
        "fsLayers": layers.clone().map(|layer| json!({"blobSum": Digest::of(layer).to_string()})).collect::<Vec<_>>(),
        "history": layers.map(|_| json!({"v1Compatibility": history.to_string()})).collect::<Vec<_>>(),
    });
    let document = document.to_string();
    let length = document.len() - 1;
    let protected =
        json!({"formatLength": length, "formatTail": URL_SAFE_NO_PAD.encode("}")}).to_string();
    let signature =
        json!({"protected": URL_SAFE_NO_PAD.encode(protected), "signature": "", "header": {}});
    format!("{},\"signatures\":[{signature}]}}", &document[..length]).into_bytes()
}
