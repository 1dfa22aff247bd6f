//! The socket: the CRI on a Unix socket, HTTP/2 only, in front of the runtime's own.
//!
//! [`serve()`] accepts, checks who connects, and answers every request by the one table in
//! [`methods`]: it passes as it came, it is an owned method and goes to [`Interceptor`], or it is
//! refused and the runtime never hears of it. [`Connections`] are shared out so that one client
//! cannot lock out another. [`wire`] patches one field of a message and leaves every other byte
//! alone.
//!
//! Runs on a current-thread runtime as well as on a pool; one thread is faster. Knows nothing of
//! images and policies.

mod admission;
mod answer;
mod body;
mod connection;
mod grpc;
mod interceptor;
mod listen;
pub mod methods;
mod options;
mod pass;
mod serve;
mod settings;
mod underway;
mod unknown;
mod upstream;
pub mod wire;

pub use tonic::Code;

pub use self::admission::admits;
pub use self::answer::{Answer, Reply};
pub use self::connection::seats::{ConnectionCounts, Connections};
pub use self::grpc::frame::{FrameError, MESSAGE_LIMIT};
pub use self::grpc::timeout::TimeoutError;
pub use self::interceptor::{Call, CheckedCall, Interceptor, RejectedUnread};
pub use self::listen::{ListenError, Listener};
pub use self::methods::{
    Effect, METHODS, MethodRow, On, OwnedMethod, Refusal, Route, Service, Treatment,
};
pub use self::options::{Options, UnknownMethods};
pub use self::serve::{Drained, Proxy, serve};
pub use self::upstream::{Upstream, UpstreamError};
