//! Channels: what actors and callers say to everybody who listens.
//!
//! A message goes to the shards of the types that subscribed to its channel, one copy per node, and to a ring at each node
//! for those who listen from outside. A shard records it and then walks its actors with a durable cursor, or passes it on to
//! those that are in memory; see [`machine_walk`] and `worker/walks.rs`. The `machine_*` modules are pure.

pub mod fanout;
pub mod listeners;
pub mod local;
pub mod machine_plan;
pub mod machine_ring;
pub mod machine_rings;
pub mod machine_walk;
pub mod message;
pub mod token;

pub use fanout::{Done, FanOut, FanOutQueue, Job};
pub use listeners::{Item, Listener, Listeners};
pub use local::{HeardHere, Local, SaidHere};
pub use message::Said;
