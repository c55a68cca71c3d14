//! The in-memory life of an actor on the node that owns its shard.
//!
//! [`machine::Activation`] is pure: inputs and the time go in, effects come out. Its owner is a shard worker, which
//! carries out the effects.

pub mod inbox_record;
pub mod machine;
pub mod marks;
pub mod operate;
pub mod outcome;
pub mod remembered;
pub mod workflow;
