//! Nodes that share a database: PostgreSQL, and what follows it with the same statements.
//!
//! # How it is built
//! Writers (`lane.rs`), each with a connection of its own; `dispatch.rs` gives them jobs so that those of one shard run
//! in the order in which they came. Readers (`reader.rs`) beside them. A connection (`link.rs`) that is lost is made
//! again when it is next needed; what was lost with it is told apart by whether COMMIT had been sent.
//!
//! # Where other databases differ
//! * `sql.rs`: every statement. Rows travel as one array per column, so that a statement has one text whatever the
//!   number of rows.
//! * `settings.rs`: what the server must be and what sessions set.
//! * `classify.rs`: what its errors mean.
//!
//! The order of locks is the same everywhere: fence rows by key, actor rows by key, the spill table's row. Sessions run
//! READ COMMITTED: each statement sees what was committed before it, so what follows the locked fence rows sees
//! everything that an earlier holder of the shard has written.

mod classify;
mod commit;
mod connect;
mod dispatch;
mod expire;
mod fate;
mod fences;
mod lane;
mod link;
mod options;
mod reader;
mod rows;
mod settings;
mod socket;
mod sql;
mod thread;

pub(crate) use dispatch::lane_of;
pub use options::PostgresOptions;
pub(crate) use thread::start;
