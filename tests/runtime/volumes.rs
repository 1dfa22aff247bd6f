//! Image volumes (fact C7), on a containerd that has them.

use sealgate::containerd::{Content, Expected, ExpectedVolume, ProofError};
use sealgate::proto::cri::{ImageSpec, Mount};

use crate::containerd::{Flavour, Launch};
use crate::house::{HOST, House};
use crate::tiny::Tiny;

const PATH: &str = "/data";

/// A container of this image with these volumes.
fn expect(image: &Content, volumes: &[(&str, &Content)]) -> Expected {
    let volume = |(path, content): &(&str, &Content)| ExpectedVolume {
        container_path: (*path).to_owned(),
        chain_id: content.chain_id().clone(),
    };
    Expected {
        image: image.id().clone(),
        root: image.chain_id().clone(),
        sandbox: None,
        volumes: volumes.iter().map(volume).collect(),
    }
}

/// Attack A9: an image volume is proven by its snapshot, as the root filesystem is.
#[tokio::test]
async fn attack_a9_an_image_volume_is_proven_by_its_snapshot() {
    let house = House::of(Flavour::at_least(2, 1).unwrap()).await;
    let cri = house.containerd.cri();
    let (image, data) =
        (Tiny::saying("app"), Tiny::files(&[("file", b"from the volume\n", 0o644)]));
    let root = house.pulled("app", &image).await;
    let volume = house.pulled("data", &data).await;
    let other = house.pulled("other", &Tiny::files(&[("file", b"from another", 0o644)])).await;

    let pod = cri.run_pod("prod").await.unwrap();
    let asked = format!("{HOST}/data:1");
    // The kubelet sends an id; the CRI then takes the record of that name for the volume's image.
    let spec = ImageSpec {
        image: data.id().to_string(),
        user_specified_image: asked.clone(),
        ..Default::default()
    };
    let mount = |path: &str| Mount {
        container_path: path.to_owned(),
        image: Some(spec.clone()),
        readonly: true,
        ..Default::default()
    };
    let launch = |mounts: Vec<Mount>| Launch {
        image: image.id().to_string(),
        command: ["/bin/busybox", "cat", "/data/file"].map(str::to_owned).to_vec(),
        mounts,
        ..Launch::default()
    };
    let id = cri.create(&pod, launch(vec![mount(PATH)])).await.unwrap();
    let container = house.runtime.container(&id).await.unwrap().unwrap();
    let created = container.created_with.unwrap();
    assert_eq!(created.volumes.len(), 1);
    assert_eq!(
        (created.volumes[0].container_path.as_str(), created.volumes[0].image.as_str()),
        (PATH, &*spec.image)
    );
    assert_eq!(created.volumes[0].user_specified_image, Some(asked));

    let prove = async |volumes: &[(&str, &Content)]| {
        house.runtime.prove_container(&id, &expect(&root, volumes)).await
    };
    assert!(prove(&[(PATH, &volume)]).await.is_ok());
    let differs = ProofError::ParentDiffers {
        expected: other.chain_id().clone(),
        got: volume.chain_id().to_string(),
    };
    assert_eq!(prove(&[(PATH, &other)]).await, Err(differs));
    assert_eq!(prove(&[]).await, Err(ProofError::VolumeUnexpected(PATH.to_owned())));
    let missing = Err(ProofError::VolumeMissing("/more".to_owned()));
    assert_eq!(prove(&[(PATH, &volume), ("/more", &volume)]).await, missing);

    cri.start(&id).await.unwrap();
    assert_eq!(cri.output(&id).await.unwrap(), (0, "from the volume\n".to_owned()));

    // A second container of the pod shares the mount that is there.
    let second = cri.create(&pod, launch(vec![mount(PATH), mount("/twice")])).await.unwrap();
    let both = expect(&root, &[(PATH, &volume), ("/twice", &volume)]);
    assert!(house.runtime.prove_container(&second, &both).await.is_ok());
}
