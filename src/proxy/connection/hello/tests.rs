//! What passes unchanged, what is made readable, and that cuts and nonsense change nothing.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

const SAY: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A literal with its name as a string, as gRPC's C library writes it.
fn named(name: &[u8], value: &[u8]) -> Vec<u8> {
    let len = |text: &[u8]| u8::try_from(text.len()).unwrap();
    [&[0x40, len(name)], name, &[len(value)], value].concat()
}

/// A literal with an indexed name.
fn indexed(index: u8, value: &[u8]) -> Vec<u8> {
    [&[0x40 | index, u8::try_from(value.len()).unwrap()], value].concat()
}

async fn through(sent: &[u8], pieces: usize) -> Vec<u8> {
    let (near, mut far) = duplex(1 << 20);
    let (mut hello, _said) = Hello::new(near);
    for piece in sent.chunks(pieces) {
        far.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    drop(far);
    let mut back = Vec::new();
    hello.read_to_end(&mut back).await.unwrap();
    back
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Writes an `:authority` of this value.
type Literal = fn(&[u8]) -> Vec<u8>;

fn conversation(authority: &[u8], literal: Literal) -> Vec<u8> {
    let block = [&[0x83, 0x86][..], &literal(authority), &indexed(4, b"/%2F/path")].concat();
    let padded = [&[3, 0, 0, 0, 0, 7][..], &block, &[0, 0, 0]].concat();
    let data = b"data with :authority and % in it";
    [
        SAY,
        &frame(4, 0, &[]),
        &frame(HEADERS, 4, &block),
        &frame(0, 1, data),
        &frame(HEADERS, 4 | PADDED | PRIORITY, &padded),
    ]
    .concat()
}

#[test]
fn an_authority_that_no_host_may_have_is_made_readable_and_nothing_else_changes() {
    let literals: [Literal; 2] = [|value| named(b":authority", value), |value| indexed(1, value)];
    for literal in literals {
        for (said, becomes) in
            [("%2Frun%2Fsealgate%2Fcri.sock", "-2Frun-2Fsealgate-2Fcri.sock"), ("/run/x", "-run-x")]
        {
            let (sent, expected) =
                (conversation(said.as_bytes(), literal), conversation(becomes.as_bytes(), literal));
            for pieces in [1, 2, 7, 33, 5000] {
                assert_eq!(block_on(through(&sent, pieces)), expected, "in pieces of {pieces}");
            }
        }
    }
}

#[test]
fn a_readable_authority_passes_and_what_comes_after_it_is_not_looked_at() {
    let sent = conversation(b"localhost", |value| indexed(1, value));
    let more = [sent, conversation(b"%2F", |value| indexed(1, value))].concat();
    for pieces in [1, 50, 5000] {
        assert_eq!(block_on(through(&more, pieces)), more);
    }
}

#[test]
fn it_tells_when_the_preface_is_complete_and_not_before() {
    block_on(async {
        let (near, mut far) = duplex(64);
        let (mut hello, said) = Hello::new(near);
        let mut back = [0; 64];
        far.write_all(&SAY[..23]).await.unwrap();
        assert_eq!(hello.read(&mut back).await.unwrap(), 23);
        let early = futures_util::future::poll_immediate(said.notified()).await;
        assert!(early.is_none());
        far.write_all(&SAY[23..]).await.unwrap();
        assert_eq!(hello.read(&mut back).await.unwrap(), 1);
        said.notified().await;
    });
}

proptest! {
    /// Whatever a client sends arrives in its length, and with nothing changed but in header
    /// blocks.
    #[test]
    fn attack_d2_nonsense_passes_in_its_length(body in prop::collection::vec(any::<u8>(), 0..300), pieces in 1_usize..64) {
        let sent = [SAY, body.as_slice()].concat();
        prop_assert_eq!(block_on(through(&sent, pieces)).len(), sent.len());
    }

    #[test]
    fn attack_d2_nonsense_in_a_header_block_changes_no_length(block in prop::collection::vec(any::<u8>(), 0..200)) {
        let sent = [SAY, &frame(HEADERS, 4, &block), b"%:authority%"].concat();
        let back = block_on(through(&sent, 4096));
        prop_assert_eq!(back.len(), sent.len());
        prop_assert!(back.ends_with(b"%:authority%") && back.starts_with(&sent[..SAY.len() + HEAD]));
    }
}
