//! What a server can do wrong in HTTP/2 (RFC 9113), as raw frames: it need not understand what it
//! is asked.

use bytes::Bytes;

use super::act::{Act, Script};

/// What is done after the connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Every request is reset.
    Reset,
    /// Every connection is told to go away.
    GoAway,
    /// A header block that goes on for ever, frame after frame.
    Continuation,
    /// Pings without end, each to be answered.
    Pings,
    /// Settings without end, each to be acknowledged.
    Settings,
}

const SETTINGS: u8 = 4;

/// The frames of an attack. The client's first request has stream 1.
pub(crate) fn script(attack: Attack) -> Script {
    let hello = frame(SETTINGS, 0, 0, &[]);
    let mut acts = vec![Act::Send(hello.into()), Act::Listen];
    match attack {
        Attack::Reset => {
            acts.push(Act::Send(frame(3, 0, 1, &2_u32.to_be_bytes()).into()));
            acts.push(Act::Listen);
        }
        Attack::GoAway => acts.push(Act::Send(frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]).into())),
        Attack::Continuation => {
            // `:status: 200` from the static table, and a literal header, never indexed, again and
            // again.
            acts.push(Act::Send(frame(1, 0, 1, &[0x88]).into()));
            let literal = [&[0x10, 1, b'a', 127, 1][..], &[b'a'; 128]].concat();
            acts.push(Act::Flood(frame(9, 0, 1, &literal).into()));
        }
        Attack::Pings => acts.push(Act::Flood(many(&frame(6, 0, 0, &[7; 8])))),
        Attack::Settings => {
            acts.push(Act::Flood(many(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]))))
        }
    }
    acts
}

fn many(frame: &[u8]) -> Bytes {
    frame.repeat(256).into()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
