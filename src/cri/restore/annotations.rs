//! The annotations of a restored container: that there are some says that containerd restored it, and
//! they come from the checkpoint's archive, which the gate does not read. [`are_as_decided`].
//!
//! containerd acts on some of them when it makes the container, and has others acted on when it is
//! started. The kubelet never sent them, so that no other check has seen them.

use std::collections::BTreeMap;

use crate::containerd::Options;
use crate::cri::Refusal;

/// Most bytes of the annotations of a restored container, keys and values: the kubelet gives a
/// container some hundred bytes, and device plugins a few KiB. containerd keeps them for as long as
/// there is the container, and sends them with every list of containers.
const ANNOTATIONS_MAX: usize = 64 << 10;
/// How the keys begin by which containerd gives devices and mounts of the node to a container
/// (Container Device Interface).
const DEVICES: &str = "cdi.k8s.io/";

/// Makes sure that containerd restored a container where that was decided on and nowhere else, and
/// that the annotations which it took from the archive are few, give the container no devices, and
/// feed no snapshotter unless the options let pods do so.
///
/// # Errors
/// [`Refusal::CheckpointUnproven`], [`Refusal::TooMany`] or [`Refusal::NotAllowed`].
pub(super) fn are_as_decided(
    restored: Option<&BTreeMap<String, String>>,
    is_checkpoint: bool,
    options: &Options,
) -> Result<(), Refusal> {
    match (restored, is_checkpoint) {
        (None, false) => Ok(()),
        (Some(annotations), true) => steer_nothing(annotations, options),
        (None, true) => Err(Refusal::CheckpointUnproven {
            why: "containerd made a container of the base image, and restored nothing",
        }),
        (Some(_), false) => Err(Refusal::CheckpointUnproven {
            why: "containerd restored the container, and its image is no checkpoint",
        }),
    }
}

fn steer_nothing(annotations: &BTreeMap<String, String>, options: &Options) -> Result<(), Refusal> {
    let got = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if got > ANNOTATIONS_MAX {
        let what = "bytes of annotations of a restored container";
        return Err(Refusal::TooMany { what, got, limit: ANNOTATIONS_MAX });
    }
    // Without the key: it is the archive's, of any length.
    let not_allowed = |what: &str, hint: &str| Refusal::NotAllowed {
        what: format!("an annotation {what} in the archive of a checkpoint"),
        hint: hint.to_owned(),
    };
    for key in annotations.keys() {
        if key.starts_with(DEVICES) {
            let hint = "it gives devices of the node to the container";
            return Err(not_allowed("cdi.k8s.io/...", hint));
        }
        if options.refuses_annotation(key.as_bytes()) {
            let hint = "it steers a snapshotter; set runtime.snapshot_annotations when yours are \
                to be trusted";
            return Err(not_allowed("containerd.io/snapshot...", hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = [("restored", "true"), ("io.kubernetes.container.hash", "0")];
        let all = own.iter().chain(more);
        all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attack_f_what_is_restored_is_a_checkpoint_and_a_checkpoint_is_restored() {
        let (options, annotations) = (Options::default(), of(&[]));
        let says = |restored, is_checkpoint| are_as_decided(restored, is_checkpoint, &options);
        assert!(says(None, false).is_ok());
        assert!(says(Some(&annotations), true).is_ok());
        for (restored, is_checkpoint) in [(None, true), (Some(&annotations), false)] {
            let got = says(restored, is_checkpoint);
            assert!(matches!(got, Err(Refusal::CheckpointUnproven { .. })), "{got:?}");
        }
    }

    /// What the kubelet sends is looked at; what containerd takes from an archive must be too.
    #[test]
    fn attack_f_annotations_out_of_an_archive_steer_nothing() {
        let says = |more: &[(&str, &str)], options: &Options| {
            are_as_decided(Some(&of(more)), true, options)
        };
        let (default, trusted) =
            (Options::default(), Options { snapshot_annotations: true, ..Options::default() });
        assert!(says(&[("example.com/cdi.k8s.io/", "x")], &default).is_ok());
        for key in ["cdi.k8s.io/vendor_gpu", "containerd.io/snapshot.ref"] {
            let got = says(&[(key, "x")], &default);
            assert!(matches!(got, Err(Refusal::NotAllowed { .. })), "{key}: {got:?}");
        }
        assert!(says(&[("containerd.io/snapshot/a", "x")], &trusted).is_ok());
        assert!(says(&[("cdi.k8s.io/vendor_gpu", "x")], &trusted).is_err());
        let rest = of(&[]).iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let filling = "x".repeat(ANNOTATIONS_MAX - rest - 1);
        assert!(says(&[("a", &filling)], &default).is_ok());
        let got = says(&[("ab", &filling)], &default);
        let limit = ANNOTATIONS_MAX;
        assert!(
            matches!(got, Err(Refusal::TooMany { got, limit: l, .. }) if got == limit + 1 && l == limit),
            "{got:?}"
        );
    }
}
