//! What a sweep is about: every container of the namespaces that are watched and every image,
//! listed first, so that how many there are is known.

use std::time::Instant;

use futures_util::future::join_all;

use super::accounted::{Accounted, Appeared};
use super::survey::gone;
use super::swept::{SweepVerdict, Swept, SweptKind};
use crate::containerd::{Kind, Listed, NAMESPACE, RuntimeError};
use crate::cri::ask::{Call, LocalImageRequest, asked_before};
use crate::cri::made::ContainerOrigin;
use crate::cri::{CreatedVolume, Gate};
use crate::evidence::Pod;
use crate::policy::PolicySet;

/// Longest text of a row that others wrote, bytes: the longest legal reference is below 600.
const TEXT_MAX: usize = 600;

/// One container or image, not judged yet.
#[derive(Debug)]
pub(super) struct SweepSubject {
    /// What is known of it.
    pub(super) row: Swept,
    /// Its standing if nothing speaks against it.
    pub(super) origin: SweepVerdict,
    /// What must be admitted for it; empty where nothing is known to judge.
    pub(super) asks: Vec<LocalImageRequest>,
    /// The sandbox of a container of which the runtime was not asked yet.
    pub(super) sandbox: Option<String>,
    /// Where each of its image volumes goes.
    pub(super) volumes: Vec<String>,
    /// Whether it is noted as restored from a checkpoint, of which its asks say nothing.
    pub(super) is_restored: bool,
    /// Why it cannot be judged.
    pub(super) fault: Option<RuntimeError>,
    /// Whether its registry may say more than is known of it.
    pub(super) is_open: bool,
}

impl Gate {
    /// Every container of these namespaces, and every image of the CRI's; with what could not be
    /// listed. What the gate is making now is waited for: it has not gone around the gate. What the
    /// gate made and is gone is forgotten, unless the runtime lists nothing at all.
    pub(super) async fn subjects(
        &self,
        namespaces: &[String],
        deadline: Instant,
    ) -> (Vec<SweepSubject>, Vec<String>) {
        let (mut subjects, mut faults) = (Vec::new(), Vec::new());
        for namespace in with_own(namespaces) {
            let (before, known) = (subjects.len(), self.made().known(namespace));
            match self.containers(namespace, deadline, &mut subjects).await {
                Ok(()) => {
                    let present = subjects.iter().skip(before);
                    let present = present.map(|subject| subject.row.id.clone()).collect();
                    self.made().forget(namespace, gone(&known, &present).into_iter());
                }
                Err(error) => faults.push(format!("containers of {namespace}: {error}")),
            }
        }
        match self.runtime().names_by_id().await {
            Ok(images) => subjects.extend(images.into_iter().map(|(id, names)| {
                let image = names.first().cloned();
                image_subject(id.as_str(), image, deadline)
            })),
            Err(error) => faults.push(format!("images: {error}")),
        }
        (subjects, faults)
    }

    /// Has the asks of a container be of its pod as the runtime keeps the sandbox.
    pub(super) async fn look_up_pod(&self, subject: &mut SweepSubject, set: &PolicySet) {
        let (Some(id), Some(first)) = (subject.sandbox.take(), subject.asks.first()) else {
            return;
        };
        let known = self.pod_of_sandbox(set, &first.pod, Some(&id)).await;
        subject.asks = subject.asks.drain(..).map(|ask| ask.of_pod(&known)).collect();
    }

    async fn containers(
        &self,
        namespace: &str,
        deadline: Instant,
        subjects: &mut Vec<SweepSubject>,
    ) -> Result<(), RuntimeError> {
        self.survey(namespace).await?;
        let mut found = Vec::new();
        let listed = self.list(namespace, deadline, &mut found).await;
        // Side by side: each may wait for the call that makes it.
        let accounted = join_all(found.iter().map(|(_, appeared)| async move {
            match appeared {
                Some(appeared) => appeared.accounted(self.made()).await,
                None => Accounted::Known,
            }
        }));
        let accounted = accounted.await;
        for ((mut subject, appeared), accounted) in found.into_iter().zip(accounted) {
            if let Some(appeared) = appeared {
                if self.is_past(&appeared, accounted).await {
                    continue;
                }
                let standing = standing(appeared.origin(self.made()));
                (subject.origin, subject.row.standing) = (standing, standing);
            }
            subjects.push(subject);
        }
        listed
    }

    /// The containers of a namespace as they are listed; with what is not known as the gate's, which
    /// may be what the gate is making now.
    async fn list(
        &self,
        namespace: &str,
        deadline: Instant,
        found: &mut Vec<(SweepSubject, Option<Appeared>)>,
    ) -> Result<(), RuntimeError> {
        let mut listing = self.runtime().containers_in(namespace).await?;
        while let Some(listed) = listing.next().await? {
            let origin = self.made().origin(&listed);
            let appeared = (origin == ContainerOrigin::Around).then(|| Appeared::of(&listed));
            found.push((container_subject(listed, standing(origin), deadline), appeared));
        }
        Ok(())
    }

    /// Whether a container that was listed is there no more: the gate removed it, or somebody did. A
    /// removal may have failed, so that the runtime is asked; where it does not tell, it is there.
    async fn is_past(&self, appeared: &Appeared, accounted: Accounted) -> bool {
        match accounted {
            Accounted::Known => false,
            Accounted::Removed | Accounted::BrokeOff | Accounted::NoCall => {
                self.is_gone(appeared).await.unwrap_or(false)
            }
        }
    }
}

pub(super) const fn standing(origin: ContainerOrigin) -> SweepVerdict {
    match origin {
        ContainerOrigin::Gate => SweepVerdict::Admitted,
        ContainerOrigin::Before => SweepVerdict::StartedBefore,
        ContainerOrigin::Around => SweepVerdict::WentAround,
        ContainerOrigin::Untold => SweepVerdict::CannotBeTold,
    }
}

/// These namespaces, and the CRI's.
pub(super) fn with_own(namespaces: &[String]) -> Vec<&str> {
    let mut all: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    if !all.contains(&NAMESPACE) {
        all.push(NAMESPACE);
    }
    all
}

pub(super) fn container_subject(
    listed: Listed,
    standing: SweepVerdict,
    deadline: Instant,
) -> SweepSubject {
    let label = |name: &str| listed.label(name).map(cut);
    let kind = match listed.kind() {
        Kind::Sandbox => SweptKind::Sandbox,
        Kind::Container | Kind::Other => SweptKind::Container,
    };
    let mut row = Swept {
        standing,
        kind,
        code: None,
        message: None,
        namespace: listed.namespace.clone(),
        id: cut(&listed.id),
        pod_namespace: label("io.kubernetes.pod.namespace"),
        pod: label("io.kubernetes.pod.name"),
        container: label("io.kubernetes.container.name"),
        image: Some(cut(&listed.image)).filter(|image| !image.is_empty()),
        digest: None,
        signers: Vec::new(),
    };
    let (mut asks, mut volumes, mut fault) = (Vec::new(), Vec::new(), None);
    let (mut sandbox, mut is_restored) = (None, false);
    match &listed.container {
        Ok(container) => {
            if let Some(created) = &container.created_with {
                asks = asked_before(&container.pod, created, deadline);
                sandbox.clone_from(&container.sandbox);
                is_restored = created.is_restored();
                volumes = created.volumes.iter().map(|v| v.container_path.clone()).collect();
                row.image = created.user_specified_image.as_deref().map(cut).or(row.image);
            }
        }
        Err(error) if kind == SweptKind::Container => fault = Some(error.clone()),
        Err(_) => {}
    }
    if asks.is_empty() && fault.is_none() {
        row.message = Some(match kind {
            SweptKind::Sandbox => "its image is judged among the images".to_owned(),
            SweptKind::Container | SweptKind::Image => {
                "it was not made through the CRI, so that its image is not judged".to_owned()
            }
        });
    }
    let (origin, is_open) = (standing, false);
    SweepSubject { row, origin, asks, sandbox, volumes, is_restored, fault, is_open }
}

fn image_subject(id: &str, image: Option<String>, deadline: Instant) -> SweepSubject {
    let ask = LocalImageRequest {
        call: Call::CreateContainer,
        image: id.to_owned(),
        user_specified: String::new(),
        pod: Pod::default(),
        container: String::new(),
        deadline,
    };
    let row = Swept {
        standing: SweepVerdict::Admitted,
        kind: SweptKind::Image,
        code: None,
        message: None,
        namespace: NAMESPACE.to_owned(),
        id: id.to_owned(),
        pod_namespace: None,
        pod: None,
        container: None,
        image: image.as_deref().map(cut),
        digest: None,
        signers: Vec::new(),
    };
    SweepSubject {
        row,
        origin: SweepVerdict::Admitted,
        asks: vec![ask],
        sandbox: None,
        volumes: Vec::new(),
        is_restored: false,
        fault: None,
        is_open: false,
    }
}

/// The beginning of a text.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// The volumes of a container with the permits for them.
pub(super) fn volumes<'p>(
    subject: &SweepSubject,
    permits: &'p [crate::cri::LocalPermit],
) -> Vec<CreatedVolume<'p>> {
    let paths = subject.volumes.iter().cloned();
    let pair = |(container_path, permit)| CreatedVolume { container_path, permit };
    paths.zip(permits).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::containerd::{Container, CreatedWith, Volume};
    use crate::image::Digest;

    fn listed(restored: Option<BTreeMap<String, String>>) -> Listed {
        let volume = Volume {
            container_path: "/data".to_owned(),
            image: "sha256:data".to_owned(),
            user_specified_image: None,
            sub_path: None,
        };
        let created = CreatedWith {
            id: Digest::of(b"base"),
            image: "app:1".to_owned(),
            user_specified_image: None,
            name: "main".to_owned(),
            volumes: vec![volume],
            restored,
        };
        let container = Container {
            id: "c".to_owned(),
            image: "reg.test/app:1".to_owned(),
            snapshotter: "overlayfs".to_owned(),
            snapshot_key: "c".to_owned(),
            runtime: "io.containerd.runc.v2".to_owned(),
            created: Duration::ZERO,
            labels: BTreeMap::new(),
            pod: Pod::default(),
            sandbox: Some("s".to_owned()),
            mounts: Vec::new(),
            created_with: Some(created),
        };
        Listed {
            namespace: NAMESPACE.to_owned(),
            id: "c".to_owned(),
            image: container.image.clone(),
            runtime: container.runtime.clone(),
            labels: BTreeMap::new(),
            created: Duration::ZERO,
            container: Ok(container),
        }
    }

    /// Attack F: a container that says that it was restored is judged by all that is noted of it.
    #[test]
    fn attack_f_a_restored_container_is_judged_by_its_base_image_and_its_volumes() {
        let restored = Some(BTreeMap::from([("restored".to_owned(), "true".to_owned())]));
        for origin in [SweepVerdict::Admitted, SweepVerdict::StartedBefore] {
            for (restored, is_restored) in [(None, false), (restored.clone(), true)] {
                let now = crate::daemon::CLOCK.steady();
                let subject = container_subject(listed(restored), origin, now);
                let asked: Vec<&str> = subject.asks.iter().map(|ask| ask.image.as_str()).collect();
                assert_eq!(asked, [Digest::of(b"base").as_str(), "sha256:data"]);
                assert_eq!(subject.is_restored, is_restored);
                let (sandbox, row) = (subject.sandbox.as_deref(), &subject.row);
                assert_eq!(
                    (sandbox, subject.volumes.as_slice()),
                    (Some("s"), &["/data".to_owned()][..])
                );
                assert_eq!(
                    (subject.origin, row.standing, row.message.as_deref()),
                    (origin, origin, None)
                );
                assert_eq!(row.image.as_deref(), Some("reg.test/app:1"));
            }
        }
    }
}
