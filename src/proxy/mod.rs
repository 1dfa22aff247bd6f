//! The socket: the CRI on a Unix socket, HTTP/2 only, in front of the runtime's own.
//!
//! [`serve()`] accepts, checks who connects, and answers every request by the one table in [`methods`]: it passes as it
//! came, it is an owned method and goes to [`Owned`], or it is refused and the runtime never hears of
//! it. [`Connections`] are shared out so that one client cannot lock out another. [`wire`] patches one field of a message
//! and leaves every other byte alone.
//!
//! Runs on a current-thread runtime as well as on a pool; one thread is faster. Knows nothing of images and policies.

mod body;
mod call;
mod calls;
mod cork;
mod create;
mod frame;
mod hello;
mod listen;
pub mod methods;
mod options;
mod pass;
mod pull;
mod request;
mod seats;
mod seldom;
mod serve;
mod settings;
mod start;
mod status;
mod timeout;
mod underway;
mod upstream;
pub mod wire;

pub use tonic::Code;

pub use self::{
    call::{Answer, Call, Owned, Reply, Unread},
    calls::Calls,
    frame::{FrameError, MESSAGE_LIMIT},
    listen::{ListenError, Listener},
    methods::{OwnedMethod, Refusal, Route},
    options::Options,
    seats::{ConnectionCounts, Connections},
    serve::{Drained, Proxy, admits, serve},
    timeout::TimeoutError,
    upstream::{Upstream, UpstreamError},
};
