//! The state store as workers use it: a commit writer that groups whatever waits, and readers that group look-ups.
//!
//! Workers hand over jobs without waiting and get messages back. All SQL runs on these tasks, which no request can
//! cancel.

mod reader;
mod writer;

pub use reader::{ReadJob, ReadQueue, Reader, WalkRead};
pub use writer::{WriteJob, WriteQueue, Writer};
