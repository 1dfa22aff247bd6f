//! What gRPC says on the wire: message frames, statuses, time limits.

pub(super) mod frame;
pub(super) mod status;
pub(super) mod timeout;
