//! What the runtime says an image is, what its content proves, and what a name takes.

use std::fs;

use sealgate::containerd::{Named, ProofError, Runtime, RuntimeError};
use sealgate::image::Digest;

use crate::containerd::Flavour;
use crate::house::{HOST, House, eventually};
use crate::tiny::Tiny;

/// Facts P1, P2, P5 and P6, on every containerd there is.
#[tokio::test]
async fn an_image_pulled_by_digest_is_found_by_its_tag_once_named() {
    for flavour in Flavour::all() {
        let house = House::of(flavour).await;
        let image = Tiny::saying("one");
        let digest = house.push_index("app", "1", &image);
        let (by_tag, by_digest) = (format!("{HOST}/app:1"), format!("{HOST}/app@{digest}"));
        assert_eq!(house.runtime.identify(&by_tag).await, Ok(None));

        let answer = house.containerd.cri().pull(&by_digest).await.unwrap();
        assert_eq!(answer, image.id().to_string(), "fact P5");
        assert_eq!(house.runtime.identify(&by_tag).await, Ok(None), "fact P1");
        let found = house.runtime.identify(&by_digest).await.unwrap().unwrap();
        assert_eq!(
            (found.id, found.tags, found.digests),
            (image.id(), vec![], vec![by_digest.clone()]),
            "fact P6"
        );

        let record = house.runtime.record(&by_digest).await.unwrap().unwrap();
        assert_eq!(record.target.digest, digest);
        assert_eq!(house.runtime.name(&by_tag, &record.target).await, Ok(Named::Created));
        house.runtime.await_named(&by_tag, &image.id()).await.unwrap();
        assert_eq!(house.runtime.name(&by_tag, &record.target).await, Ok(Named::Already));
        let found = house.runtime.identify(&by_tag).await.unwrap().unwrap();
        assert_eq!((found.id, found.tags), (image.id(), vec![by_tag]), "fact P2");

        let content = house.runtime.prove_content(&digest, &image.id()).await.unwrap();
        assert_eq!((content.target(), content.manifest()), (&digest, &image.digest()));
        assert_eq!(content.child(), Some(&image.digest()));
        assert_eq!(
            content.layers(),
            image.layers.iter().map(|layer| Digest::of(layer)).collect::<Vec<_>>()
        );
        assert!(!content.is_checkpoint());
    }
}

/// What is on the node, and what is no more; on every containerd there is.
#[tokio::test]
async fn the_targets_of_all_images_are_listed() {
    for flavour in Flavour::all() {
        let house = House::of(flavour).await;
        let before = house.runtime.present().await.unwrap();
        let (one, two) = (Tiny::saying("one"), Tiny::saying("two"));
        let index = house.push_index("app", "1", &one);
        let by_digest = format!("{HOST}/app@{index}");
        house.containerd.cri().pull(&by_digest).await.unwrap();
        house.pulled("other", &two).await;
        let mut expected = before.clone();
        expected.extend([index.clone(), two.digest()]);
        let present = house.runtime.present().await.unwrap();
        assert!(present.is_superset(&expected), "{present:?} {expected:?}");
        assert!(!present.contains(&one.digest()), "what is under an index is not a target");
        assert_eq!(house.runtime.forget(&format!("{HOST}/other@{}", two.digest())).await, Ok(true));
        // The CRI keeps a record under the image's id as well.
        assert_eq!(house.runtime.forget(two.id().as_str()).await, Ok(true));
        let present = house.runtime.present().await.unwrap();
        assert!(!present.contains(&two.digest()) && present.contains(&index), "{present:?}");
    }
}

/// Fact P3, and fact C2: a name moves; an id may be given in part.
#[tokio::test]
async fn a_name_is_retargeted_and_forgotten() {
    let house = House::system().await;
    let (old, new) = (Tiny::saying("old"), Tiny::saying("new"));
    let tag = format!("{HOST}/app:1");
    for image in [&old, &new] {
        house.pulled("app", image).await;
        let by_digest = format!("{HOST}/app@{}", image.digest());
        let target = house.runtime.record(&by_digest).await.unwrap().unwrap().target;
        let named = house.runtime.name(&tag, &target).await.unwrap();
        assert_eq!(named, if image.id() == old.id() { Named::Created } else { Named::Retargeted });
        house.runtime.await_named(&tag, &image.id()).await.unwrap();
    }
    assert_eq!(house.runtime.record(&tag).await.unwrap().unwrap().target.digest, new.digest());
    let by_prefix = house.runtime.identify(&old.id().hex()[..12]).await.unwrap().unwrap();
    assert_eq!(by_prefix.id, old.id());

    assert_eq!(house.runtime.forget(&tag).await, Ok(true));
    assert_eq!(house.runtime.forget(&tag).await, Ok(false));
    assert_eq!(house.runtime.record(&tag).await, Ok(None));
    eventually("the CRI forgets the name", async || house.runtime.identify(&tag).await == Ok(None))
        .await;
}

/// Attack A3, fact C3: an imported image runs, and has no digest under any repository.
#[tokio::test]
async fn attack_a3_an_imported_image_has_no_origin() {
    let house = House::system().await;
    let image = Tiny::saying("imported");
    let tag = format!("{HOST}/prod/app:1");
    house.import(&image, &[&tag]);
    eventually("the CRI sees the import", async || {
        house.runtime.identify(&tag).await.unwrap().is_some()
    })
    .await;
    let found = house.runtime.identify(&tag).await.unwrap().unwrap();
    assert_eq!((found.id, found.digests), (image.id(), vec![]));
    let target = house.runtime.record(&tag).await.unwrap().unwrap().target.digest;
    assert_eq!(house.runtime.prove_content(&target, &image.id()).await.unwrap().child(), None);
}

/// Attack A3, fact C5: a record claims another's digest. The CRI believes it; content does not.
#[tokio::test]
async fn attack_a3_a_false_digest_record_is_not_proven() {
    for flavour in Flavour::all() {
        let house = House::of(flavour).await;
        let (signed, unsigned) = (Tiny::saying("signed"), Tiny::saying("unsigned"));
        let tag = format!("{HOST}/evil:1");
        house.import(&unsigned, &[&tag]);
        let claimed = format!("{HOST}/prod/app@{}", signed.digest());
        house.containerd.ctr(&["images", "tag", &tag, &claimed]);
        eventually("the CRI believes it", async || {
            house.runtime.identify(&unsigned.id().to_string()).await.unwrap().unwrap().digests
                == [claimed.clone()]
        })
        .await;

        let record = house.runtime.record(&claimed).await.unwrap().unwrap();
        assert_eq!(record.target.digest, unsigned.digest(), "the record itself gives the lie away");
        let missing = ProofError::ContentMissing(signed.digest());
        assert_eq!(
            house.runtime.prove_content(&signed.digest(), &unsigned.id()).await,
            Err(missing)
        );

        house.pulled("elsewhere", &signed).await;
        let lie = ProofError::NotThisImage { target: signed.digest(), id: unsigned.id() };
        assert_eq!(house.runtime.prove_content(&signed.digest(), &unsigned.id()).await, Err(lie));
    }
}

/// Attack A7: bytes in the store that are not what they are stored as.
#[tokio::test]
async fn attack_a7_content_is_hashed_before_it_is_believed() {
    let house = House::system().await;
    let image = Tiny::saying("true");
    house.pulled("app", &image).await;
    let blob = |digest: &Digest| {
        let store =
            house.containerd.folder().join("root/io.containerd.content.v1.content/blobs/sha256");
        store.join(digest.hex())
    };
    let false_config = Tiny::saying("false").config;
    fs::write(blob(&image.id()), &false_config).unwrap();
    let proof = house.runtime.prove_content(&image.digest(), &image.id()).await;
    assert_eq!(
        proof,
        Err(ProofError::ContentDiffers { expected: image.id(), got: Digest::of(&false_config) })
    );
}

/// Attack D1: a limit on what is read, and absent content is not an error.
#[tokio::test]
async fn attack_d1_content_beyond_the_limit_is_not_read() {
    let house = House::system().await;
    let image = Tiny::saying("true");
    house.pulled("app", &image).await;
    let layer = Digest::of(&image.layers[0]);
    let size = image.layers[0].len();
    assert_eq!(house.runtime.read_content(&layer, size).await.unwrap().unwrap(), image.layers[0]);
    let limit = size - 1;
    let error = ProofError::ContentTooLarge { digest: layer.clone(), limit };
    assert_eq!(house.runtime.read_content(&layer, limit).await, Err(error));
    assert_eq!(house.runtime.read_content(&Digest::of(b"nowhere"), 1).await, Ok(None));
}

/// Fact H1: containerd away is "unavailable", never "absent"; back again, the same client goes on.
#[tokio::test]
async fn a_restart_of_containerd_is_survived() {
    let mut house = House::system().await;
    let image = Tiny::saying("one");
    let content = house.pulled("app", &image).await;
    for kill in [false, true] {
        if kill {
            house.containerd.kill9();
        } else {
            house.containerd.stop();
        }
        assert!(unavailable(&house.runtime.identify("app").await.unwrap_err()));
        assert!(unavailable(&house.runtime.record("app").await.unwrap_err()));
        match house.runtime.prove_content(content.target(), content.id()).await {
            Err(ProofError::Runtime(error)) => assert!(unavailable(&error), "{error:?}"),
            other => panic!("{other:?}"),
        }
        house.containerd.start_again().await;
        assert_eq!(
            house.runtime.prove_content(content.target(), content.id()).await,
            Ok(content.clone())
        );
        assert_eq!(house.runtime.version().await.unwrap().name, "containerd");
    }
}

/// No containerd at all is "unavailable" too.
#[tokio::test]
async fn no_socket_is_unavailable() {
    let options =
        sealgate::containerd::Options { socket: "/nonexistent/sock".into(), ..Default::default() };
    assert!(unavailable(&Runtime::new(options).identify("app").await.unwrap_err()));
}

fn unavailable(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Unavailable { .. })
}
