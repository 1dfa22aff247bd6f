//! What the runtime knows of a pod that documents go by, beside what a request says of it:
//! [`Gate::pod_of_sandbox`], [`Gate::pod_of_pull`].
//!
//! The runtime is asked only where some document goes by it. What it does not tell stays unknown,
//! and every document that demands counts then.

use crate::containerd::ShownSandbox;
use crate::cri::Gate;
use crate::evidence::{Notes, Pod, Traits};
use crate::policy::PolicySet;

/// The annotation that has containerd take the handler `untrusted` where a sandbox asks for none
/// (containerd, `getSandboxRuntime`).
pub(in crate::cri) const UNTRUSTED_ANNOTATION: &str = "io.kubernetes.cri.untrusted-workload";
/// That handler.
pub(in crate::cri) const UNTRUSTED: &str = "untrusted";

impl Gate {
    /// The pod with the labels, annotations and handler that the runtime made its sandbox with: what
    /// a request to make a container says of them may be another's. They never change.
    pub(in crate::cri) async fn pod_of_sandbox(
        &self,
        set: &PolicySet,
        pod: &Pod,
        sandbox: Option<&str>,
    ) -> Pod {
        let traits = Traits { image_use: pod.traits.image_use, ..Traits::default() };
        let unknown = Pod { traits, ..pod.clone() };
        let Some(id) = sandbox.filter(|id| set.goes_by_pods() && !id.is_empty()) else {
            return unknown;
        };
        match self.runtime.sandbox(id).await {
            // By the beginning of an id the runtime may find another one the next time.
            Ok(Some(shown)) if shown.id == id => {
                let traits = Traits { image_use: pod.traits.image_use, ..traits_of(shown) };
                Pod { traits, ..unknown }
            }
            Ok(_) => unknown,
            Err(error) => {
                tracing::warn!(sandbox = id, %error, "the runtime does not tell the pod's labels \
                    and handler; every policy that demands something of some counts");
                unknown
            }
        }
    }

    /// The pod of a pull with the handler of its sandbox, which the request does not say and which
    /// is there before the kubelet pulls for its containers.
    pub(in crate::cri) async fn pod_of_pull(&self, set: &PolicySet, pod: &Pod) -> Pod {
        let mut pod = pod.clone();
        let uid = pod.uid.clone().filter(|_| set.goes_by_handlers());
        let Some(uid) = uid.filter(|_| pod.traits.handler.is_none()) else { return pod };
        match self.runtime.sandboxes_of(&uid).await {
            Ok(shown) => {
                let mut handlers: Vec<String> = shown.iter().map(handler_of).collect();
                handlers.dedup();
                // Several sandboxes of one pod that do not agree say nothing.
                pod.traits.handler = handlers.pop().filter(|_| handlers.is_empty());
            }
            Err(error) => {
                tracing::warn!(uid, %error, "the runtime does not tell the pod's handler; every \
                    policy that demands something of some handlers counts");
            }
        }
        pod
    }
}

fn traits_of(shown: ShownSandbox) -> Traits {
    Traits {
        handler: Some(handler_of(&shown)),
        labels: Notes::all(shown.labels),
        annotations: Notes::all(shown.annotations),
        ..Traits::default()
    }
}

/// The handler that the sandbox got: what was asked for, or what its annotations choose.
fn handler_of(shown: &ShownSandbox) -> String {
    let chosen = shown.annotations.get(UNTRUSTED_ANNOTATION).is_some_and(|value| value == "true");
    if shown.handler.is_empty() && chosen { UNTRUSTED.to_owned() } else { shown.handler.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::NoteValue;

    #[test]
    fn a_sandbox_tells_its_labels_and_the_handler_that_it_got() {
        let text = |text: &str| text.to_owned();
        let mut shown = ShownSandbox {
            id: text("a"),
            handler: String::new(),
            labels: [(text("tier"), text("prod"))].into(),
            annotations: [(text(UNTRUSTED_ANNOTATION), text("true"))].into(),
        };
        let traits = traits_of(shown.clone());
        assert_eq!(traits.handler.as_deref(), Some(UNTRUSTED));
        assert_eq!(traits.labels.get("tier"), NoteValue::Is("prod"));
        assert_eq!(traits.annotations.get("tier"), NoteValue::Absent);
        shown.handler = text("kata");
        assert_eq!(handler_of(&shown), "kata");
    }
}
