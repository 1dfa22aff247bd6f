//! What a request may not steer: a snapshotter or a runtime whose layers the image's id does not
//! bind (fact P16). [`refuse_foreign`], [`handler_is_ours`].

use std::collections::BTreeMap;

use crate::containerd::{Options, RuntimeHandler};
use crate::cri::Refusal;
use crate::cri::sandbox::{UNTRUSTED, UNTRUSTED_ANNOTATION};
use crate::proto::asked::Note;

/// The annotation with which a pod chooses a runtime handler's snapshotter for its pulls (fact
/// P16).
const HANDLER_ANNOTATION: &[u8] = b"io.containerd.cri.runtime-handler";

/// Refuses a handler that chooses a snapshotter and is not on the list, asked for or noted in an
/// annotation, and annotations that feed a snapshotter.
///
/// # Errors
/// [`Refusal::NotAllowed`].
pub(super) fn refuse_foreign<'a>(
    options: &Options,
    asked: impl Iterator<Item = &'a [u8]>,
    annotations: impl Iterator<Item = &'a Note> + Clone,
) -> Result<(), Refusal> {
    let noted = annotations
        .clone()
        .filter(|note| note.key == HANDLER_ANNOTATION)
        .map(|note| note.value.as_slice());
    for handler in asked.chain(noted).filter(|handler| !handler.is_empty()) {
        if !options.handlers.iter().any(|allowed| allowed.as_bytes() == handler) {
            return Err(Refusal::NotAllowed {
                what: format!("runtime handler {:?}", String::from_utf8_lossy(handler)),
                hint: "name it in runtime.handlers when its snapshotter checks layers against the \
                    image"
                    .to_owned(),
            });
        }
    }
    match annotations.map(|note| &note.key).find(|key| options.refuses_annotation(key)) {
        Some(key) => Err(Refusal::NotAllowed {
            what: format!("annotation {:?}", String::from_utf8_lossy(key)),
            hint: "it steers a snapshotter; set runtime.snapshot_annotations when yours are to be \
                trusted"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

/// The name of the handler that a sandbox gets: what the request names, or what its annotations choose.
pub(super) fn chosen_handler<'a>(
    asked: &'a str,
    mut annotations: impl Iterator<Item = &'a Note>,
) -> &'a str {
    let is_untrusted =
        |note: &Note| note.key == UNTRUSTED_ANNOTATION.as_bytes() && note.value == b"true";
    if asked.is_empty() && annotations.any(is_untrusted) { UNTRUSTED } else { asked }
}

/// The handler that a sandbox gets, where the runtime shows it.
pub(super) fn handler_of<'a>(
    (handlers, default): (&'a BTreeMap<String, RuntimeHandler>, &str),
    asked: &str,
) -> Option<&'a RuntimeHandler> {
    handlers.get(if asked.is_empty() { default } else { asked })
}

/// Refuses a sandbox whose handler runs another runtime, or takes another snapshotter, than those
/// on the lists: no container could be proven in it. Where the runtime does not show its handlers,
/// the list of names decides. A handler that the runtime does not have is the runtime's to refuse.
///
/// # Errors
/// [`Refusal::NotAllowed`].
pub(super) fn handler_is_ours(
    options: &Options,
    (handlers, default): (&BTreeMap<String, RuntimeHandler>, &str),
    asked: &str,
) -> Result<(), Refusal> {
    if handlers.is_empty() {
        return refuse_foreign(options, [asked.as_bytes()].into_iter(), std::iter::empty());
    }
    let Some(handler) = handler_of((handlers, default), asked) else { return Ok(()) };
    let not_allowed = |what: String, list: &str| Refusal::NotAllowed {
        what: format!("runtime handler {asked:?} with {what}"),
        hint: format!(
            "name it in {list} when what runs there is what the image's id says; no container \
             could be proven in this pod"
        ),
    };
    if !options.runtimes.contains(&handler.runtime_type) {
        let what = format!("runtime {:?}", handler.runtime_type);
        return Err(not_allowed(what, "runtime.runtimes"));
    }
    if !handler.snapshotter.is_empty() && !options.snapshotters.contains(&handler.snapshotter) {
        let what = format!("snapshotter {:?}", handler.snapshotter);
        return Err(not_allowed(what, "runtime.snapshotters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handlers() -> BTreeMap<String, RuntimeHandler> {
        let handler = |runtime: &str, snapshotter: &str| RuntimeHandler {
            runtime_type: runtime.to_owned(),
            snapshotter: snapshotter.to_owned(),
            ..RuntimeHandler::default()
        };
        [
            ("runc", handler("io.containerd.runc.v2", "")),
            ("nvidia", handler("io.containerd.runc.v2", "overlayfs")),
            ("kata", handler("io.containerd.kata.v2", "")),
            ("lazy", handler("io.containerd.runc.v2", "stargz")),
        ]
        .map(|(name, handler)| (name.to_owned(), handler))
        .into()
    }

    /// Attack A11: a handler with a runtime or snapshotter that does not bind layers.
    #[test]
    fn attack_a11_a_sandbox_of_a_foreign_handler_is_refused() {
        let (options, handlers) = (Options::default(), handlers());
        let says = |asked, default| handler_is_ours(&options, (&handlers, default), asked);
        for asked in ["", "runc", "nvidia", "unknown to the runtime"] {
            assert!(says(asked, "runc").is_ok(), "{asked}");
        }
        for (asked, default) in [("kata", "runc"), ("lazy", "runc"), ("", "kata")] {
            assert!(matches!(says(asked, default), Err(Refusal::NotAllowed { .. })), "{asked}");
        }
    }

    /// Attack A11: a pod that chooses its handler by an annotation is judged by that handler.
    #[test]
    fn attack_a11_an_annotation_chooses_no_handler_unseen() {
        let note = |value: &str| Note {
            key: UNTRUSTED_ANNOTATION.as_bytes().to_vec(),
            value: value.as_bytes().to_vec(),
        };
        assert_eq!(chosen_handler("", [note("true")].iter()), "untrusted");
        assert_eq!(chosen_handler("", [note("false")].iter()), "");
        assert_eq!(chosen_handler("runc", [note("true")].iter()), "runc");
        let mut handlers = handlers();
        let kata = handlers.get("kata").cloned().unwrap();
        handlers.insert("untrusted".to_owned(), kata);
        let chosen = [note("true")];
        let chosen = chosen_handler("", chosen.iter());
        let says = handler_is_ours(&Options::default(), (&handlers, "runc"), chosen);
        assert!(matches!(says, Err(Refusal::NotAllowed { .. })));
    }

    #[test]
    fn without_a_word_of_the_runtime_the_list_of_names_decides() {
        let options = Options::default();
        let none = BTreeMap::new();
        assert!(handler_is_ours(&options, (&none, ""), "").is_ok());
        assert!(handler_is_ours(&options, (&none, ""), "runc").is_ok());
        assert!(handler_is_ours(&options, (&none, ""), "nvidia").is_err());
    }
}
