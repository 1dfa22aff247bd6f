//! The frames of NRI: several conversations on one stream (`pkg/net/multiplex` of containerd/nri:
//! conversation and length, 4 bytes each, big-endian), and in each the messages of ttrpc (length 4,
//! stream 4, type 1, flags 1, then a protobuf message).
//!
//! [`Wire`] reads whole messages, each within its limit, and writes one message in one frame.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::error::SessionError;

/// The conversation in which the runtime calls the plugin (`multiplex.PluginServiceConn`).
pub(super) const PLUGIN: u32 = 1;
/// The conversation in which the plugin calls the runtime (`multiplex.RuntimeServiceConn`).
pub(super) const RUNTIME: u32 = 2;
/// Bytes before a frame's content, and before a message's.
const FRAME_HEADER: usize = 8;
const MESSAGE_HEADER: usize = 10;
/// Largest message (`messageLengthMax` of containerd/ttrpc).
const MESSAGE_MAX: usize = 4 << 20;
/// Largest frame: one whole message (`maxPayloadSize` of the multiplexer).
const FRAME_MAX: usize = MESSAGE_MAX + MESSAGE_HEADER;
/// Largest message that the gate sends, in bytes with its header: the runtime reads a frame into a
/// buffer of 4096, and closes the connection when it does not fit.
pub(super) const SENT_MAX: usize = 4096;

/// What a message of ttrpc is (`messageType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Response => 2,
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// In which conversation.
    pub(super) conversation: u32,
    /// Which call of that.
    pub(super) stream: u32,
    pub(super) kind: Kind,
    pub(super) payload: Bytes,
}

/// The stream, with what has come of each conversation and is no whole message yet.
pub(super) struct Wire {
    stream: UnixStream,
    plugin: BytesMut,
    runtime: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, plugin: BytesMut::new(), runtime: BytesMut::new() }
    }

    /// The next whole message.
    pub(super) async fn read(&mut self) -> Result<Message, SessionError> {
        loop {
            for (conversation, came) in [(PLUGIN, &mut self.plugin), (RUNTIME, &mut self.runtime)] {
                if let Some(message) = take(conversation, came)? {
                    return Ok(message);
                }
            }
            self.read_frame().await?;
        }
    }

    async fn read_frame(&mut self) -> Result<(), SessionError> {
        let mut header = [0; FRAME_HEADER];
        self.stream.read_exact(&mut header).await.map_err(ended)?;
        let mut header = header.as_slice();
        let (conversation, length) = (header.get_u32(), size(header.get_u32()));
        if length > FRAME_MAX {
            return Err(SessionError::TooLarge { got: length, limit: FRAME_MAX });
        }
        let came = match conversation {
            PLUGIN => &mut self.plugin,
            RUNTIME => &mut self.runtime,
            other => return Err(SessionError::Malformed { what: "conversation", got: other }),
        };
        // Whole messages were taken out before: what is left is less than one.
        let begin = came.len();
        came.resize(begin.saturating_add(length), 0);
        let fresh = came.get_mut(begin..).unwrap_or_default();
        self.stream.read_exact(fresh).await.map_err(ended)?;
        Ok(())
    }

    /// Sends one message, which is small.
    pub(super) async fn write(&mut self, message: &Message) -> Result<(), SessionError> {
        let length = message.payload.len();
        let too_large = SessionError::TooLarge { got: length, limit: SENT_MAX };
        if length.saturating_add(MESSAGE_HEADER) > SENT_MAX {
            return Err(too_large);
        }
        let Ok(short) = u32::try_from(length) else { return Err(too_large) };
        let mut bytes = BytesMut::with_capacity(FRAME_HEADER + MESSAGE_HEADER + length);
        bytes.put_u32(message.conversation);
        bytes.put_u32(short.saturating_add(10));
        bytes.put_u32(short);
        bytes.put_u32(message.stream);
        bytes.put_u8(message.kind.byte());
        bytes.put_u8(0);
        bytes.extend_from_slice(&message.payload);
        self.stream.write_all(&bytes).await.map_err(ended)
    }
}

/// The first whole message of what has come, taken out of it.
fn take(conversation: u32, came: &mut BytesMut) -> Result<Option<Message>, SessionError> {
    let mut header = came.as_ref();
    if header.len() < MESSAGE_HEADER {
        return Ok(None);
    }
    let (length, stream, kind) = (size(header.get_u32()), header.get_u32(), header.get_u8());
    if length > MESSAGE_MAX {
        return Err(SessionError::TooLarge { got: length, limit: MESSAGE_MAX });
    }
    let kind = match kind {
        1 => Kind::Request,
        2 => Kind::Response,
        other => return Err(SessionError::Malformed { what: "message type", got: other.into() }),
    };
    let whole = MESSAGE_HEADER.saturating_add(length);
    if came.len() < whole {
        return Ok(None);
    }
    let mut message = came.split_to(whole);
    message.advance(MESSAGE_HEADER);
    Ok(Some(Message { conversation, stream, kind, payload: message.freeze() }))
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn ended(error: io::Error) -> SessionError {
    SessionError::Broke(error.kind())
}
