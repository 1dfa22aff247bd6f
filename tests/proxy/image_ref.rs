//! `ImageSpec.image_ref`: the digest that the kubelet was told of must be the one that was proven.

use sealgate::audit::OnFailure;
use sealgate::proxy::wire::{self, FieldStep};

use crate::decide::{CREATE, House};

/// `CreateContainerRequest.config.image.image_ref`.
const AT: [FieldStep; 3] = [FieldStep::only(2), FieldStep::only(2), FieldStep::only(20)];

#[tokio::test]
async fn an_image_ref_of_the_proven_image_passes() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let (digest, id) = house.names();
    for told in ["", &digest, &id, &format!("reg.test/prod/app@{digest}")] {
        let message = wire::put(&house.create(), &AT, told.as_bytes()).unwrap();
        let (code, text) = client.call(CREATE, &message).await.status();
        assert_eq!(code, 0, "{told}: {text}");
    }
}

/// Attack A5: what the kubelet reports and what runs are two images.
#[tokio::test]
async fn attack_a5_an_image_ref_of_another_image_is_refused() {
    let house = House::with(OnFailure::RefuseNew);
    let mut client = house.client().await;
    let other = format!("sha256:{}", "0".repeat(64));
    for told in [&other, &format!("reg.test/prod/app@{other}"), "reg.test/prod/app:1"] {
        let message = wire::put(&house.create(), &AT, told.as_bytes()).unwrap();
        let (code, text) = client.call(CREATE, &message).await.status();
        assert_eq!(code, 2, "{told}");
        assert!(text.contains("the request says that the image is"), "{text}");
    }
    let reached = house.standin.paths();
    assert!(!reached.iter().any(|path| path == CREATE), "{reached:?}");
}
