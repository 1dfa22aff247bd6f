//! The seam between the generic proxy and the methods that decide: [`Interceptor`] is called with a
//! [`Call`] and gives an [`Answer`]. Nothing here looks into a message.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::HeaderMap;

use super::{MethodRow, OwnedMethod, answer::Answer, upstream::Upstream};

/// What answers the owned methods.
pub trait Interceptor: Send + Sync + 'static {
    /// Answers one call. Called for owned methods only, after framing was checked. The future is
    /// dropped when the client cancels or its connection ends: what must be finished then belongs
    /// in a task of its own.
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

    /// Looks at a call of a method that is checked, before it goes to the runtime; an answer is the
    /// client's instead of the runtime's.
    fn check(&self, call: CheckedCall) -> Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

    /// Hears of a request that was refused without being read, before the client is answered.
    fn unread(&self, unread: RejectedUnread) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Hears, once for each, of a method that passes although no row of the table names it. The
    /// path is one of the two services', with at most 64 letters for a name. Must not block.
    fn passed_unknown(&self, path: &str);
}

/// A request that was refused without being read, for the record of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectedUnread {
    /// A call of an owned method that is not one plain message.
    Framing {
        /// The method.
        method: OwnedMethod,
        /// What is wrong with it.
        why: String,
    },
    /// A method that brings content past the gate, or belongs to a service that does.
    Method {
        /// Its path, as it came, cut to what a real one can be long.
        path: String,
        /// Why it is refused.
        why: String,
    },
}

/// One call of a method that is checked; not decoded yet.
#[derive(Debug, Clone)]
pub struct CheckedCall {
    /// The method.
    pub method: &'static MethodRow,
    /// The one message, without its gRPC prefix.
    pub message: Bytes,
}

/// One call of an owned method: a single uncompressed message of at most
/// [`MESSAGE_LIMIT`](super::MESSAGE_LIMIT) bytes.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub method: OwnedMethod,
    /// The one message, without its gRPC prefix; not decoded yet.
    pub message: Bytes,
    /// The request's headers as they came.
    pub headers: HeaderMap,
    /// How long the caller waits, from `grpc-timeout`, counted from the arrival of the headers.
    pub deadline: Option<Duration>,
    /// The runtime, over this client's own connection to it; cheap to clone and good for longer
    /// than the call.
    pub upstream: Upstream,
}
