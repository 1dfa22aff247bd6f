//! HTTP/2 settings of both sides, each with its reason. No keepalive pings towards the runtime: a
//! server in Go closes a connection whose peer pings more often than it allows.

use std::time::Duration;

use hyper::{client, server};
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Longest header block in bytes: the limit of gRPC servers in Go. At hyper's 16 KiB a long error
/// of the runtime would arrive as a broken call.
const HEADERS: u32 = 16 * 1024 * 1024;

/// Bytes that one stream may have on the way unread.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// Bytes that all streams of one connection may have on the way unread: sixteen stalled streams
/// before others wait. HTTP/2's implementation also takes its allowance for small frames from it.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Streams that were reset and are remembered, or not yet seen: clients that cancel many calls at
/// once are no attack here, where only root may connect.
const RESETS: usize = 10_000;

/// How long a client may be silent before it is asked whether it lives. Clients of gRPC answer
/// pings by themselves, so that only one that is stopped, or that has forgotten its connection,
/// does not.
const PING_AFTER: Duration = Duration::from_secs(30);

/// How long it may take to answer that; then its connection is closed.
const PONG_MAX: Duration = Duration::from_secs(20);

pub(super) fn client(builder: &mut client::conn::http2::Builder<TokioExecutor>) {
    builder
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(RESETS)
        .max_local_error_reset_streams(None);
}

pub(super) fn server(streams: u32) -> server::conn::http2::Builder<TokioExecutor> {
    let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(streams)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_MAX)
        .auto_date_header(false);
    builder
}
