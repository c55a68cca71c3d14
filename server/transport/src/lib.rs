//! Bytes between processes, and the little runtime glue that both planes share.
//!
//! * [`status`]: the one table between our errors and what travels on the wire.
//! * [`accept`]: sockets with the limits that tonic does not set by itself.
//! * [`server`]: the HTTP/2 limits of every listener.
//! * [`peer`]: who a node is to other nodes, and how both ends prove it.
//! * [`tasks`]: named tasks with a policy for their failure and for shutdown.
//!
//! Nothing here knows what an actor is.

pub mod accept;
pub mod metrics;
pub mod peer;
pub mod server;
pub mod status;
pub mod tasks;
