//! One node, one data folder: SQLite in the node's own process.
//!
//! One writer task (`writer.rs`), two reader tasks (`reader.rs`) and a checkpointer (`checkpoint.rs`), each with a
//! connection (`lane.rs`). The data folder is locked (`folder.rs`); commits compare the writer epoch and the shard
//! fences; weak durability settings are refused and what the database really runs with is read back (`connect.rs`).

mod checkpoint;
mod classify;
mod connect;
mod fences;
mod folder;
mod lane;
mod options;
mod reader;
mod sql;
mod thread;
mod writer;

pub use options::SqliteOptions;
pub(crate) use thread::start;
