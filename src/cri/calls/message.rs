//! Reading the requests that are decided on, and patching them: [`image_spec`], [`pod`],
//! [`pod_with_notes`], [`with_image`].
//!
//! Every field that a decision rests on is read from the wire, where a field that stands twice is
//! refused; the decoded message serves for what no decision rests on, and to compare what is sent
//! with what was decided (attack D2).

use bytes::Bytes;
use prost::Message;

use crate::cri::Refusal;
use crate::evidence::{Notes, Pod, Traits};
use crate::proxy::wire::{self, FieldStep, WireError};

/// `ImageSpec.image` and `ImageSpec.user_specified_image` (CRI v1).
const IMAGE: u32 = 1;
const USER_SPECIFIED: u32 = 18;

/// The two strings of an `ImageSpec` that a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageStrings {
    pub(super) image: String,
    pub(super) user_specified: String,
}

/// Decodes a message.
///
/// # Errors
/// [`Refusal::BadRequest`] when it is none: never forward what could not be parsed.
pub(super) fn decode<M: Message + Default>(message: &[u8]) -> Result<M, Refusal> {
    M::decode(message).map_err(|error| Refusal::BadRequest { why: error.to_string() })
}

/// The strings of the `ImageSpec` at `path`.
///
/// # Errors
/// [`Refusal::BadRequest`] when a field on the way stands twice or is malformed.
pub(super) fn image_spec(message: &[u8], path: &[FieldStep]) -> Result<ImageStrings, Refusal> {
    let at = |field| text(message, path, field);
    Ok(ImageStrings {
        image: at(IMAGE)?.unwrap_or_default().to_owned(),
        user_specified: at(USER_SPECIFIED)?.unwrap_or_default().to_owned(),
    })
}

/// The pod that the `PodSandboxConfig` at `path` names; what it does not say is not known.
///
/// # Errors
/// As [`image_spec`].
pub(super) fn pod(message: &[u8], path: &[FieldStep]) -> Result<Pod, Refusal> {
    // PodSandboxConfig.metadata; in it name, uid, namespace.
    let metadata: Vec<FieldStep> = path.iter().copied().chain([FieldStep::only(1)]).collect();
    let known = |field| {
        Ok::<_, Refusal>(
            text(message, &metadata, field)?.filter(|text| !text.is_empty()).map(str::to_owned),
        )
    };
    Ok(Pod { name: known(1)?, uid: known(2)?, namespace: known(3)?, traits: Traits::default() })
}

/// The same, with the labels and annotations that stand there: what the runtime makes a sandbox
/// with, or is asked to pull for.
///
/// # Errors
/// As [`image_spec`].
pub(super) fn pod_with_notes(message: &[u8], path: &[FieldStep]) -> Result<Pod, Refusal> {
    // PodSandboxConfig.labels and .annotations.
    let traits = Traits {
        labels: notes(message, path, 6)?,
        annotations: notes(message, path, 7)?,
        ..Traits::default()
    };
    Ok(Pod { traits, ..pod(message, path)? })
}

/// The map of texts under `path`; not known where the message at `path` is not there, or where two
/// readers could take it for two maps.
fn notes(message: &[u8], path: &[FieldStep], field: u32) -> Result<Notes, Refusal> {
    let Some(config) = wire::bytes_at(message, path).map_err(bad_request)? else {
        return Ok(Notes::default());
    };
    let mut found = Vec::new();
    for entry in wire::all_at(config, &[], field).map_err(bad_request)? {
        let text = |field| wire::string_at(entry, &[FieldStep::only(field)]);
        let (Ok(key), Ok(value)) = (text(1), text(2)) else { return Ok(Notes::default()) };
        found.push((key.unwrap_or_default().to_owned(), value.unwrap_or_default().to_owned()));
    }
    Ok(Notes::all(found))
}

/// The string field under `path`.
///
/// # Errors
/// As [`image_spec`].
pub(super) fn text<'a>(
    message: &'a [u8],
    path: &[FieldStep],
    field: u32,
) -> Result<Option<&'a str>, Refusal> {
    let path: Vec<FieldStep> = path.iter().copied().chain([FieldStep::only(field)]).collect();
    wire::string_at(message, &path).map_err(bad_request)
}

/// The message with `ImageSpec.image` at `spec` replaced.
///
/// # Errors
/// As [`image_spec`].
pub(super) fn with_image(
    message: &[u8],
    spec: &[FieldStep],
    image: &str,
) -> Result<Bytes, Refusal> {
    let path: Vec<FieldStep> = spec.iter().copied().chain([FieldStep::only(IMAGE)]).collect();
    wire::replace(message, &path, image.as_bytes()).map_err(bad_request)
}

/// Undoes the changes of a message that is about to be sent: what comes out must be what came in,
/// byte for byte.
///
/// # Errors
/// [`Refusal::BadRequest`] when it is not: then more was changed than was to be, and nothing is
/// sent.
pub(super) fn must_restore(restored: &[u8], came: &[u8]) -> Result<(), Refusal> {
    if restored == came {
        Ok(())
    } else {
        Err(Refusal::BadRequest {
            why: "more of the request was changed than was to be".to_owned(),
        })
    }
}

/// Compares what is about to be sent with what was decided on, field by field that decisions rest
/// on.
///
/// # Errors
/// [`Refusal::BadRequest`] when they differ: then our reading of the request is not the runtime's,
/// and nothing is sent.
pub(super) fn must_equal<M: Message + Default + PartialEq>(
    patched: &[u8],
    decided: &M,
) -> Result<(), Refusal> {
    let sent: M = decode(patched)?;
    if sent == *decided {
        Ok(())
    } else {
        Err(Refusal::BadRequest {
            why: "the request, once patched, does not read as what was decided on".to_owned(),
        })
    }
}

pub(super) fn bad_request(error: WireError) -> Refusal {
    Refusal::BadRequest { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::NoteValue;

    fn within(field: u32, content: &[u8]) -> Vec<u8> {
        wire::put(b"", &[FieldStep::only(field)], content).unwrap().to_vec()
    }

    fn entry(field: u32, key: &[u8], value: &[u8]) -> Vec<u8> {
        within(field, &[within(1, key), within(2, value)].concat())
    }

    fn labels(config: &[u8]) -> Notes {
        let pod = pod_with_notes(&within(3, config), &[FieldStep::only(3)]).unwrap();
        pod.traits.labels
    }

    #[test]
    fn a_pods_labels_are_read_and_what_it_lacks_is_absent() {
        let config = [entry(6, b"tier", b"prod"), entry(7, b"tier", b"dev"), entry(6, b"a", b"")];
        let labels = labels(&config.concat());
        assert_eq!(labels.get("tier"), NoteValue::Is("prod"));
        assert_eq!((labels.get("a"), labels.get("b")), (NoteValue::Is(""), NoteValue::Absent));
        let none = pod_with_notes(b"", &[FieldStep::only(3)]).unwrap();
        assert_eq!(none.traits.labels.get("tier"), NoteValue::Unknown, "no config, no word of it");
        // CreateContainer: what the runtime keeps of the sandbox counts, and not what is written here.
        let unread = pod(&within(3, &config.concat()), &[FieldStep::only(3)]).unwrap();
        assert_eq!(unread.traits, Traits::default());
    }

    /// Attack D2: labels that two readers could read differently are not known, so that every
    /// document that demands something of such a label counts.
    #[test]
    fn attack_d2_labels_that_read_in_two_ways_are_unknown() {
        let twice = [entry(6, b"tier", b"prod"), entry(6, b"tier", b"dev")].concat();
        assert_eq!(labels(&twice).get("tier"), NoteValue::Unknown);
        let key_twice = within(6, &[within(1, b"tier"), within(1, b"x"), within(2, b"")].concat());
        assert_eq!(labels(&key_twice).get("tier"), NoteValue::Unknown);
        assert_eq!(labels(&entry(6, b"tier", b"\xff")).get("b"), NoteValue::Unknown);
    }
}
