//! What judging a container or image came to, as its row has it: [`note`], [`of_restored`].

use super::subjects::cut;
use super::swept::{SweepVerdict, Swept};
use crate::cri::{Ending, LocalPermit, Refusal};

/// Signers named of one image.
const SIGNERS_MAX: usize = 4;
/// The code of a restored container of which no image is refused.
const UNPROVEN: &str = "checkpoint-unproven";
/// The same for people.
const RESTORED: &str = "the gate admitted the checkpoint that it was restored from; containerd does \
    not note which, so that it cannot be judged again; its base image and its volumes pass";

/// Puts into the row what its images came to. Of a restored container that leaves the checkpoint: of
/// one that the gate made it is only known that it was admitted then.
pub(super) fn note(
    row: &mut Swept,
    (origin, is_restored): (SweepVerdict, bool),
    permits: &[LocalPermit],
    refusal: Option<Refusal>,
) {
    if let Some(permit) = permits.first() {
        row.digest = Some(permit.content().target().to_string());
        row.signers = signers(permit);
    }
    if let Some(refusal) = &refusal {
        row.code = Some(refusal.code().to_owned());
        row.message = Some(cut(&refusal.to_string()));
    } else if !permits.is_empty() {
        (row.code, row.message) = (None, None);
    }
    if refusal.is_none() && origin == SweepVerdict::CannotBeTold && row.code.is_none() {
        row.message =
            Some("whether it was made by the gate or around it is not known any more".to_owned());
    }
    row.standing = match (origin, refusal.map(|refusal| refusal.ending())) {
        (SweepVerdict::WentAround, _) => SweepVerdict::WentAround,
        (_, Some(Ending::Refused)) => SweepVerdict::WouldBeRefused,
        (_, Some(Ending::Unable | Ending::Unreachable)) => SweepVerdict::CannotBeTold,
        (origin, None) => origin,
    };
    if is_restored && row.standing == SweepVerdict::Admitted {
        row.standing = SweepVerdict::CannotBeTold;
        row.code = Some(UNPROVEN.to_owned());
        row.message = Some(RESTORED.to_owned());
    }
}

/// What refuses a container that is noted as restored: what refuses its images, as of any other. One
/// that the gate did not make is refused where these pass, as its start would be: nothing proves what
/// it was restored from, and anybody can note that it was.
pub(super) fn of_restored(origin: SweepVerdict, refusal: Option<Refusal>) -> Option<Refusal> {
    let is_refused = refusal.as_ref().is_some_and(|why| why.ending() == Ending::Refused);
    if is_refused || origin == SweepVerdict::Admitted {
        return refusal;
    }
    let why = "the gate did not make the container, and what it was restored from is not noted";
    Some(Refusal::CheckpointUnproven { why })
}

fn signers(permit: &LocalPermit) -> Vec<String> {
    let documents =
        permit.admissions().iter().flat_map(|admission| &admission.permit().report().documents);
    let all = documents.flat_map(|document| &document.requirements);
    let mut named: Vec<String> = Vec::new();
    for signer in all.flat_map(|requirement| &requirement.signers) {
        let name = cut(&signer.to_string());
        if named.len() < SIGNERS_MAX && !named.contains(&name) {
            named.push(name);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::super::swept::SweptKind;
    use super::*;
    use SweepVerdict::{Admitted, CannotBeTold, StartedBefore, WentAround, WouldBeRefused};

    /// What a row of a restored container comes to: standing and code.
    fn told(origin: SweepVerdict, refusal: Option<Refusal>) -> (SweepVerdict, Option<String>) {
        let mut row = Swept {
            standing: origin,
            kind: SweptKind::Container,
            code: None,
            message: None,
            namespace: "k8s.io".to_owned(),
            id: "c".to_owned(),
            pod_namespace: None,
            pod: None,
            container: None,
            image: None,
            digest: None,
            signers: Vec::new(),
        };
        note(&mut row, (origin, true), &[], of_restored(origin, refusal));
        (row.standing, row.code)
    }

    /// Attack F: that a container was restored is no excuse. Its images are judged, and what it was
    /// restored from never counts as admitted.
    #[test]
    fn attack_f_a_container_that_says_it_was_restored_gets_no_milder_verdict() {
        let refused = || Some(Refusal::PathAsImage);
        let unable = || Some(Refusal::Deadline);
        let code = |refusal: Option<Refusal>| refusal.map(|why| why.code().to_owned());
        let unproven = Some(UNPROVEN.to_owned());
        assert_eq!(told(Admitted, None), (CannotBeTold, unproven.clone()));
        assert_eq!(told(Admitted, refused()), (WouldBeRefused, code(refused())));
        assert_eq!(told(Admitted, unable()), (CannotBeTold, code(unable())));
        for origin in [StartedBefore, CannotBeTold] {
            assert_eq!(told(origin, refused()), (WouldBeRefused, code(refused())));
            for rest in [None, unable()] {
                assert_eq!(told(origin, rest), (WouldBeRefused, unproven.clone()));
            }
        }
        assert_eq!(told(WentAround, refused()), (WentAround, code(refused())));
        assert_eq!(told(WentAround, None), (WentAround, unproven.clone()));
        let why = Refusal::CheckpointUnproven { why: "" };
        assert_eq!(Some(why.code().to_owned()), unproven);
    }
}
