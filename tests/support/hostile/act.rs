//! [`Script`]: what is done on a connection in place of an answer, one [`Act`] after another.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A pause this long, and the other side is taken to wait for an answer.
const QUIET: Duration = Duration::from_millis(100);

/// A flood dries up after this, which is longer than a gate of the tests looks on.
const FLOOD: Duration = Duration::from_secs(8);
/// The pause of [`Act::Stream`].
const PAUSE: Duration = Duration::from_millis(10);

/// One thing done on a connection.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// These bytes, as fast as they are read.
    Send(Bytes),
    /// These bytes, again and again, for as long as anybody should read them.
    Flood(Bytes),
    /// The same with a pause after each time: what a reader cannot skip, and must not be kept from
    /// all else by.
    Stream(Bytes),
    /// One of these bytes a second, again and again.
    Drip(Bytes),
    /// Nothing until the other side has said what it wants to say.
    Listen,
    /// Nothing any more, and the connection stays.
    Hang,
    /// As [`Act::Hang`], and nobody listens any more for whoever comes next.
    Leave,
    /// The next request on the same connection is answered.
    Keep,
}

/// Acts in order; then the connection is closed.
pub(crate) type Script = Vec<Act>;

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection is over.
    Close,
    /// It may be used again.
    Keep,
    /// It is over, and so is the listener.
    Leave,
}

/// Plays a script until its end, or until the other side has gone.
pub(crate) async fn play<S>(stream: &mut S, script: Script) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for act in script {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    return End::Close;
                }
            }
            Act::Flood(bytes) => {
                let flood = async { while stream.write_all(&bytes).await.is_ok() {} };
                drop(tokio::time::timeout(FLOOD, flood).await);
            }
            Act::Stream(bytes) => {
                while stream.write_all(&bytes).await.is_ok() {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Act::Drip(bytes) => drip(stream, &bytes).await,
            Act::Listen => {
                let mut sink = [0; 512];
                while let Ok(Ok(1..)) = tokio::time::timeout(QUIET, stream.read(&mut sink)).await {}
            }
            Act::Hang => until_gone(stream).await,
            Act::Leave => return End::Leave,
            Act::Keep => return End::Keep,
        }
    }
    End::Close
}

async fn drip<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        let mut sink = [0; 512];
        let second = Duration::from_secs(1);
        if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(second, stream.read(&mut sink)).await {
            return;
        }
    }
}

async fn until_gone<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut sink = [0; 512];
    while let Ok(1..) = stream.read(&mut sink).await {}
}
