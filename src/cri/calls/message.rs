//! Reading the requests that are decided on, and patching them: [`image_spec`], [`pod`],
//! [`with_image`].
//!
//! Every field that a decision rests on is read from the wire, where a field that stands twice is
//! refused; the decoded message serves for what no decision rests on, and to compare what is sent
//! with what was decided (attack D2).

use bytes::Bytes;
use prost::Message;

use crate::cri::Refusal;
use crate::evidence::Pod;
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
    Ok(Pod { name: known(1)?, uid: known(2)?, namespace: known(3)? })
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
