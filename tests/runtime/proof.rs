//! What a container is made of, and what another says it is made of.

use sealgate::containerd::{Expected, Options, ProofError, Runtime, RuntimeError};
use sealgate::evidence::Pod as PodName;

use crate::containerd::{Flavour, Launch};
use crate::house::{HOST, House};
use crate::tiny::Tiny;

fn only_root(content: &sealgate::containerd::Content) -> Expected {
    Expected {
        image: content.id().clone(),
        root: content.chain_id().clone(),
        sandbox: None,
        volumes: Vec::new(),
    }
}

/// A container of the image is proven, and says what it was created with, on every containerd there
/// is.
#[tokio::test]
async fn a_container_is_proven_by_its_snapshot() {
    for flavour in Flavour::all() {
        let house = House::of(flavour).await;
        let cri = house.containerd.cri();
        let (image, other) = (Tiny::saying("proven"), Tiny::saying("other"));
        let content = house.pulled("app", &image).await;
        let derived = house.pulled("derived", &image.on(&[("more", b"more", 0o644)])).await;
        let other = house.pulled("other", &other).await;

        let pod = cri.run_pod("prod").await.unwrap();
        let asked = format!("{HOST}/app:1");
        let launch = Launch {
            image: image.id().to_string(),
            user_specified_image: asked.clone(),
            ..Launch::default()
        };
        let id = cri.create(&pod, launch).await.unwrap();

        let container = house.runtime.container(&id).await.unwrap().unwrap();
        let metadata = pod.config.metadata.clone().unwrap();
        let name = PodName {
            namespace: Some(metadata.namespace),
            name: Some(metadata.name),
            uid: Some(metadata.uid),
            ..PodName::default()
        };
        assert_eq!((container.pod, container.sandbox.as_ref()), (name, Some(&pod.id)));
        let created = container.created_with.unwrap();
        // containerd 1.6 does not know the field, and drops it.
        let kept = (house.containerd.flavour().version >= (1, 7)).then_some(asked);
        assert_eq!((created.id, created.user_specified_image), (image.id(), kept));

        let proven = house.runtime.prove_container(&id, &only_root(&content)).await.unwrap();
        assert_eq!((proven.container(), proven.root()), (id.as_str(), content.chain_id()));
        for (not_it, image) in [("another image", &other), ("an image made from it", &derived)] {
            let got = content.chain_id().to_string();
            let differs = ProofError::ParentDiffers { expected: image.chain_id().clone(), got };
            assert_eq!(
                house.runtime.prove_container(&id, &only_root(image)).await,
                Err(differs),
                "{not_it}"
            );
            let noted = Expected { image: image.id().clone(), ..only_root(&content) };
            let differs = ProofError::ImageDiffers {
                expected: image.id().clone(),
                got: content.id().clone(),
            };
            assert_eq!(house.runtime.prove_container(&id, &noted).await, Err(differs), "{not_it}");
        }
        cri.start(&id).await.unwrap();
        assert_eq!(cri.output(&id).await.unwrap(), (0, "proven\n".to_owned()));
    }
}

/// Attack A9: an image that was made from the admitted one is not the admitted one.
#[tokio::test]
async fn attack_a9_a_derived_image_is_not_its_base() {
    let house = House::system().await;
    let cri = house.containerd.cri();
    let base = Tiny::saying("base");
    let derived = base.on(&[("words", b"derived", 0o644)]);
    let admitted = house.pulled("base", &base).await;
    let made = house.pulled("derived", &derived).await;
    let pod = cri.run_pod("prod").await.unwrap();
    let id = cri
        .create(&pod, Launch { image: derived.id().to_string(), ..Launch::default() })
        .await
        .unwrap();
    let got = made.chain_id().to_string();
    let differs = ProofError::ParentDiffers { expected: admitted.chain_id().clone(), got };
    assert_eq!(house.runtime.prove_container(&id, &only_root(&admitted)).await, Err(differs));
}

/// Attack A9, fact C6: while a tag moves, containerd gives the right id another image's root
/// filesystem. The proof is right each time, and such a container can be removed before it starts.
#[tokio::test]
async fn attack_a9_a_tag_that_moves_is_caught_after_create() {
    const ROUNDS: usize = 200;
    let house = House::system().await;
    let cri = house.containerd.cri();
    let (signed, unsigned) = (Tiny::saying("signed"), Tiny::saying("unsigned"));
    let content = house.pulled("app", &signed).await;
    let evil = house.pulled("app", &unsigned).await;
    let target = async |image: &Tiny| {
        let record = house.runtime.record(&format!("{HOST}/app@{}", image.digest())).await;
        record.unwrap().unwrap().target
    };
    let (good, bad) = (target(&signed).await, target(&unsigned).await);
    // The first of the image's names is the one by which containerd finds it; "aaa" comes first.
    let tag = format!("{HOST}/aaa:1");
    let pod = cri.run_pod("prod").await.unwrap();
    let moving = {
        let runtime = house.runtime.clone();
        tokio::spawn(async move {
            loop {
                runtime.name(&tag, &good).await.unwrap();
                runtime.name(&tag, &bad).await.unwrap();
            }
        })
    };
    let (mut right, mut wrong) = (0, 0);
    while right + wrong < ROUNDS && (right < 3 || wrong < 3) {
        let launch = Launch { image: signed.id().to_string(), ..Launch::default() };
        let id = cri.create(&pod, launch).await.unwrap();
        let proof = house.runtime.prove_container(&id, &only_root(&content)).await;
        cri.start(&id).await.unwrap();
        let (_, output) = cri.output(&id).await.unwrap();
        match output.trim() {
            "signed" => {
                assert!(proof.is_ok(), "the right one refused: {proof:?}");
                right += 1;
            }
            "unsigned" => {
                let got = evil.chain_id().to_string();
                assert_eq!(
                    proof,
                    Err(ProofError::ParentDiffers { expected: content.chain_id().clone(), got })
                );
                wrong += 1;
            }
            other => panic!("{other}"),
        }
        house.runtime.remove_container(&id).await.unwrap();
        assert_eq!(house.runtime.container(&id).await, Ok(None));
    }
    moving.abort();
    println!("{right} right, {wrong} wrong");
    assert!(
        wrong > 0,
        "containerd never mixed them up in {right} rounds: this test no longer attacks anything"
    );
    assert!(right > 0, "every one of {wrong} was another image");
}

/// Attack A11, fact P16: what does not bind layers to the id is refused by name.
#[tokio::test]
async fn attack_a11_snapshotters_and_runtimes_are_allowed_by_name() {
    let house = House::system().await;
    let cri = house.containerd.cri();
    let image = Tiny::saying("app");
    let content = house.pulled("app", &image).await;
    let pod = cri.run_pod("prod").await.unwrap();
    let id = cri
        .create(&pod, Launch { image: image.id().to_string(), ..Launch::default() })
        .await
        .unwrap();
    let container = house.runtime.container(&id).await.unwrap().unwrap();
    let with = |snapshotters: &[&str], runtimes: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let options = house.runtime.options().clone();
        Runtime::new(Options {
            snapshotters: list(snapshotters),
            runtimes: list(runtimes),
            ..options
        })
    };
    let (snapshotter, runtime) = (container.snapshotter.as_str(), container.runtime.as_str());
    let expected = only_root(&content);
    let refused = with(&["stargz"], &[runtime]).prove_container(&id, &expected).await;
    assert_eq!(refused, Err(ProofError::SnapshotterNotAllowed(snapshotter.to_owned())));
    let refused =
        with(&[snapshotter], &["io.containerd.kata.v2"]).prove_container(&id, &expected).await;
    assert_eq!(refused, Err(ProofError::RuntimeNotAllowed(runtime.to_owned())));
    let refused = with(&[], &[]).prove_container(&id, &expected).await;
    assert_eq!(refused, Err(ProofError::RuntimeNotAllowed(runtime.to_owned())));
    for snapshotters in [[snapshotter, "other"], ["other", snapshotter]] {
        assert!(with(&snapshotters, &[runtime]).prove_container(&id, &expected).await.is_ok());
        assert!(with(&snapshotters, &[runtime]).prove(&container, &expected).await.is_ok());
    }
}

/// A container that is not there, one that has no snapshot, and removal of what is gone.
#[tokio::test]
async fn a_container_without_a_snapshot_is_not_proven() {
    let house = House::system().await;
    let image = Tiny::saying("app");
    let content = house.pulled("app", &image).await;
    let expected = only_root(&content);
    let missing = ProofError::ContainerMissing("nobody".to_owned());
    assert_eq!(house.runtime.prove_container("nobody", &expected).await, Err(missing));
    assert_eq!(house.runtime.remove_container("nobody").await, Ok(()));

    let rootfs = house.containerd.folder().to_str().unwrap().to_owned();
    house.containerd.ctr(&["containers", "create", "--rootfs", &rootfs, "bare", "/bin/true"]);
    let bare = house.runtime.prove_container("bare", &expected).await;
    assert_eq!(bare, Err(ProofError::NoSnapshot("bare".to_owned())));
    house.containerd.ctr(&["containers", "delete", "bare"]);
}

/// StartContainer after a restart: what a container was created with is still known, and it can be
/// proven again.
#[tokio::test]
async fn a_container_is_proven_again_after_restarts() {
    let mut house = House::system().await;
    let cri = house.containerd.cri();
    let image = Tiny::saying("again");
    let content = house.pulled("app", &image).await;
    let pod = cri.run_pod("prod").await.unwrap();
    let id = cri
        .create(&pod, Launch { image: image.id().to_string(), ..Launch::default() })
        .await
        .unwrap();
    house.containerd.restart().await;
    let anew = Runtime::new(house.runtime.options().clone());
    let created = anew.container(&id).await.unwrap().unwrap().created_with.unwrap();
    assert_eq!(created.id, image.id());
    assert!(anew.prove_container(&id, &only_root(&content)).await.is_ok());
    house.containerd.kill9();
    let down = anew.prove_container(&id, &only_root(&content)).await;
    assert!(matches!(down, Err(ProofError::Runtime(RuntimeError::Unavailable { .. }))), "{down:?}");
    house.containerd.start_again().await;
}

/// Of the tests' own containerd nothing is left, however it ended.
#[tokio::test]
async fn a_killed_containerd_leaves_nothing_behind() {
    let mut house = House::system().await;
    let cri = house.containerd.cri();
    let image = Tiny::pause();
    house.pulled("app", &image).await;
    let pod = cri.run_pod("prod").await.unwrap();
    let id = cri
        .create(&pod, Launch { image: image.id().to_string(), ..Launch::default() })
        .await
        .unwrap();
    cri.start(&id).await.unwrap();
    let folder = house.containerd.folder().to_owned();
    let needle = folder.to_str().unwrap().to_owned();
    let mentions = |file: &str| std::fs::read_to_string(file).unwrap().contains(&needle);
    assert!(mentions("/proc/self/mountinfo"));
    house.containerd.kill9();
    drop(house);
    assert!(!mentions("/proc/self/mountinfo"));
    assert!(!folder.exists());
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        assert!(!hierarchy.path().join("k8s.io").join(&id).exists());
    }
}
