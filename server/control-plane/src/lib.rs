//! The control plane: what the cluster agrees on, by Raft, and the view of it that every node holds.
//!
//! * [`machine`]: the agreed state as a pure machine. Start reading here.
//! * `raft`: the shell around it: durable log, snapshots, network. The only place that knows openraft.
//! * `view`: the machine's state as the [`callboard_types::ClusterView`] on a watch.
//! * [`lease`]: who may answer for its shards, and who is taken to be gone, as pure machines. `renew` and
//!   `confirm` are the shells around them.
//! * `entrance`, `first_start`, `life`: how a node becomes a member, and how its process begins.
//! * `steward`: what the leader does without being asked.
//! * [`schedules`]: computes when schedules are due, and proposes what becomes of them.
//! * [`service`]: starts and stops all of it. [`handle`]: what the rest of the node sees.
//! * [`grpc`]: `callboard.control.v1` for operators, and `callboard.peer.v1` between nodes.
//!
//! It decides who owns what; it never runs an actor, and it never imports the data plane. They meet in the view.

mod confirm;
mod entrance;
pub mod error;
mod first_start;
pub mod grpc;
pub mod handle;
mod hosted;
mod identity;
pub mod lease;
mod life;
mod lives;
pub mod machine;
pub mod metrics;
pub mod options;
mod peers;
mod propose;
mod raft;
pub mod recover;
mod renew;
mod reports;
pub mod schedules;
pub mod service;
mod steward;
mod view;

pub use error::{Error, Fatal};
pub use handle::Handle;
pub use options::{FirstStart, Options, Seeds};
pub use schedules::Schedules;
pub use service::{ControlPlane, Opened};
