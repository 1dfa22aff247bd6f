//! The audit log for a collector of logs, over OTLP/HTTP: [`Exporter`] reads what was written to the
//! log's files, sends it in batches, and remembers in a [`ExportCursor`] how far it came.
//!
//! It is a program of its own beside the gate (`sealgate audit export`): no decision waits for a
//! collector. Each line is sent at least once, in the order of the log; what a collector has twice
//! has the same `log.record.uid`. A line leaves as it stands in the file, so that its proof can be
//! checked elsewhere, with attributes by which it is found ([`Attribute`]).
//!
//! Nothing here changes the log, and nothing judges what it says.

mod attributes;
mod batch;
mod collector;
mod cursor;
mod exporter;
mod headers;
mod log_lines;
mod options;

pub use attributes::{ATTRIBUTES, Attribute};
pub use batch::Resource;
pub use collector::{Collector, CollectorError, SendFault};
pub use cursor::{CursorError, CursorFile, ExportCursor};
pub use exporter::{ExportError, ExportEvent, ExportMode, Exporter};
pub use headers::HeadersError;
pub use log_lines::{LogLine, LogLines, Unforeseen};
pub use options::{Options, OptionsError};
