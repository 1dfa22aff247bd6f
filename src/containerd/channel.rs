//! The connection to containerd's socket: made at the first call, and made anew after containerd
//! was away (fact H1).

use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Largest message either way: the kubelet's and containerd's own limit (fact H3).
pub(super) const MESSAGE_MAX: usize = 16 << 20;
/// Largest event, bytes: those that are asked for have a few names in them.
pub(super) const EVENT_MAX: usize = 1 << 20;
/// A channel that connects to `socket` when it is used, again and again as needed.
pub(super) fn lazy(socket: PathBuf) -> Channel {
    // The authority that the kubelet sends too; the connector below decides where it goes.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(
        move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        },
    ))
}
