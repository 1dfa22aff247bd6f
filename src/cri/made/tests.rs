//! What a container is to the gate.

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn origin(made: &MadeContainers, id: &str, created: Duration) -> ContainerOrigin {
    made.origin_of((NAMESPACE, id), created)
}

fn present(found: &[(&str, Duration)]) -> Vec<(String, Duration)> {
    found.iter().map(|(id, created)| ((*id).to_owned(), *created)).collect()
}

#[test]
fn attack_f_a_container_is_the_gates_by_its_id_and_the_time_of_its_making() {
    let made = MadeContainers::since(at(100));
    made.note_present(NAMESPACE, present(&[("old", at(99))]));
    made.note_id("mine", at(150));
    assert_eq!(origin(&made, "mine", at(150)), ContainerOrigin::Gate);
    assert_eq!(
        origin(&made, "mine", at(151)),
        ContainerOrigin::Around,
        "made anew under an old id"
    );
    assert_eq!(origin(&made, "other", at(150)), ContainerOrigin::Around);
    assert_eq!(origin(&made, "old", at(99)), ContainerOrigin::Before);
    assert_eq!(origin(&made, "old", at(120)), ContainerOrigin::Around, "made anew under an old id");
    assert!(made.is_own("mine") && !made.is_own("other"));
    made.disown("other");
    made.disown("old");
    assert_eq!(
        made.origin_of(("moby", "mine"), at(150)),
        ContainerOrigin::Untold,
        "the gate makes none"
    );
    assert!(made.explains("mine", at(150), true));
    assert!(made.explains("mine", at(999), false), "started much later");
    assert!(!made.explains("mine", at(999), true), "made again");
    assert!(!made.explains("mine", at(149), true));
    made.disown("mine");
    assert!(!made.is_own("mine"));
}

/// Attack C4: the clock is set back while a container is made around the gate.
#[test]
fn attack_c4_a_clock_that_was_set_back_makes_no_container_older_than_the_gate() {
    let made = MadeContainers::since(at(100));
    made.note_present(NAMESPACE, Vec::new());
    assert_eq!(origin(&made, "around", at(5)), ContainerOrigin::Around);
}

#[test]
fn what_was_there_is_not_guessed_before_it_was_looked_at() {
    let made = MadeContainers::since(at(100));
    assert_eq!(origin(&made, "a", at(1)), ContainerOrigin::Untold);
    assert!(!made.is_surveyed(NAMESPACE));
    made.note_present(NAMESPACE, present(&[("a", at(1)), ("while-it-came", at(101))]));
    assert!(made.is_surveyed(NAMESPACE) && !made.is_surveyed("moby"));
    assert_eq!(origin(&made, "a", at(1)), ContainerOrigin::Before);
    assert_eq!(origin(&made, "while-it-came", at(101)), ContainerOrigin::Untold);
    made.note_present(NAMESPACE, present(&[("later", at(2))]));
    assert_eq!(origin(&made, "later", at(2)), ContainerOrigin::Around, "it is noted once");
    // One that is watched from a later day on.
    made.note_present("moby", present(&[("docker", at(500))]));
    assert_eq!(made.origin_of(("moby", "docker"), at(500)), ContainerOrigin::Before);
    let many = (0..=PRESENT_MAX).map(|number| (number.to_string(), at(1))).collect();
    made.note_present("default", many);
    assert_eq!(
        made.origin_of(("default", "1"), at(1)),
        ContainerOrigin::Untold,
        "not remembered, not told"
    );
}

#[test]
fn what_is_gone_is_forgotten() {
    let made = MadeContainers::since(at(100));
    made.note_present(NAMESPACE, present(&[("old", at(1))]));
    made.note_id("a", at(1));
    made.note_id("b", at(1));
    let known = ["a", "b", "old"].map(str::to_owned);
    assert_eq!(made.known(NAMESPACE), BTreeSet::from(known));
    assert!(made.known("moby").is_empty());
    made.forget(NAMESPACE, ["a".to_owned(), "old".to_owned()].iter());
    assert_eq!(origin(&made, "a", at(1)), ContainerOrigin::Around);
    assert_eq!(origin(&made, "old", at(1)), ContainerOrigin::Around);
    assert_eq!(origin(&made, "b", at(1)), ContainerOrigin::Gate);
}

#[test]
fn attack_f_a_removal_explains_nothing_that_was_made_after_it() {
    let made = MadeContainers::since(at(100));
    made.note_removed("c", at(150));
    assert!(made.was_removed("c", at(149)));
    assert!(!made.was_removed("c", at(151)) && !made.was_removed("d", at(1)));
    assert!(made.is_condemned("c") && !made.is_condemned("d"));
}

#[tokio::test]
async fn what_earlier_processes_made_is_known_and_what_was_lost_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("containers");
    let first = Arc::new(MadeContainers::since(at(100)));
    first.read(&path, false);
    first.note_present(NAMESPACE, present(&[("old", at(99))]));
    first.note_id("mine", at(150));
    let keeping = tokio::spawn({
        let (first, path) = (Arc::clone(&first), path.clone());
        async move { first.keep(path).await }
    });
    let second = loop {
        let second = MadeContainers::since(at(200));
        second.read(&path, true);
        if second.is_surveyed(NAMESPACE)
            && origin(&second, "mine", at(150)) == ContainerOrigin::Gate
        {
            break second;
        }
        tokio::task::yield_now().await;
    };
    keeping.abort();
    assert_eq!(origin(&second, "old", at(99)), ContainerOrigin::Before);
    assert_eq!(origin(&second, "around", at(5)), ContainerOrigin::Around);
    // Damaged, or gone although the gate was here before.
    std::fs::write(&path, "none of ours").unwrap();
    for lost in [path, folder.path().join("gone")] {
        let third = MadeContainers::since(at(300));
        third.read(&lost, true);
        third.note_present(NAMESPACE, present(&[("old", at(99)), ("around", at(5))]));
        assert_eq!(origin(&third, "old", at(99)), ContainerOrigin::Untold);
        assert_eq!(origin(&third, "around", at(5)), ContainerOrigin::Untold);
        assert_eq!(origin(&third, "new", at(5)), ContainerOrigin::Around);
    }
}

/// A disk that is full for a while loses nothing that was noted meanwhile.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not-there-yet/containers");
    let made = Arc::new(MadeContainers::since(at(100)));
    made.read(&path, false);
    made.note_present(NAMESPACE, Vec::new());
    let keeping = tokio::spawn({
        let (made, path) = (Arc::clone(&made), path.clone());
        async move { made.keep(path).await }
    });
    made.note_id("mine", at(150));
    // Until nothing goes on but the wait for the next attempt.
    tokio::time::sleep(Duration::from_secs(1)).await;
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let written = async {
        loop {
            let later = MadeContainers::since(at(200));
            later.read(&path, true);
            if origin(&later, "mine", at(150)) == ContainerOrigin::Gate {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // By the paused clock, which moves on only while nothing else has to be done.
    tokio::time::timeout(Duration::from_secs(3600), written).await.unwrap();
    keeping.abort();
}

/// What was made while the disk took nothing did not go around the gate, for all that is known after
/// a restart.
#[tokio::test]
async fn what_was_made_while_nothing_could_be_written_is_not_told_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("containers");
    let mark = folder.path().join("containers.incomplete");
    let kept = file::KeptContainers {
        began: at(100),
        containers: vec![("mine".to_owned(), at(150))],
        surveyed: vec![NAMESPACE.to_owned()],
        present: vec![file::KeptPresent {
            namespace: NAMESPACE.to_owned(),
            id: "old".to_owned(),
            created: at(99),
            is_older: true,
        }],
    };
    // Nothing is appended to a folder.
    std::fs::create_dir(&path).unwrap();
    let first = Arc::new(MadeContainers::since(at(100)));
    first.note_id("unwritten", at(160));
    let keep = |made: &Arc<MadeContainers>| {
        let (made, path) = (Arc::clone(made), path.clone());
        tokio::spawn(async move { made.keep(path).await })
    };
    let keeping = keep(&first);
    while !mark.exists() {
        tokio::task::yield_now().await;
    }
    keeping.abort();
    std::fs::remove_dir(&path).unwrap();
    file::write(&path, &kept).unwrap();
    let second = Arc::new(MadeContainers::since(at(200)));
    second.read(&path, true);
    assert!(!second.is_surveyed(NAMESPACE));
    let there = [("mine", at(150)), ("unwritten", at(160)), ("old", at(99))];
    second.note_present(NAMESPACE, present(&there));
    assert_eq!(origin(&second, "unwritten", at(160)), ContainerOrigin::Untold);
    assert_eq!(origin(&second, "mine", at(150)), ContainerOrigin::Gate);
    assert_eq!(origin(&second, "old", at(99)), ContainerOrigin::Before);
    assert_eq!(origin(&second, "later", at(210)), ContainerOrigin::Around);
    // It is known by then what cannot be told.
    let keeping = keep(&second);
    while mark.exists() {
        tokio::task::yield_now().await;
    }
    keeping.abort();
    let third = MadeContainers::since(at(300));
    third.read(&path, true);
    assert_eq!(origin(&third, "unwritten", at(160)), ContainerOrigin::Untold);
    assert_eq!(origin(&third, "later", at(210)), ContainerOrigin::Around);
}
