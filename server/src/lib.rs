//! One Callboard node: the only place that knows both planes.
//!
//! * [`config`]: settings in layers, with the origin of each.
//! * [`discovery`]: where other nodes may be.
//! * [`node`]: the composition root: who gets which handle, in what order things start and stop.
//! * `adapters`: what the data plane needs, said in the control plane's words.
//! * `admin`: health and metrics over HTTP. * `threads`: a runtime per shard worker.
//! * [`recover`]: a control plane from what the store knows.
//! * [`telemetry`]: logs and the metrics recorder.
//!
//! No rule about actors stands here; those are the planes'.

mod adapters;
mod admin;
pub mod config;
pub mod discovery;
pub mod node;
pub mod recover;
pub mod telemetry;
mod threads;

pub use config::Config;
pub use node::Node;

/// The version of this server, as hosts and operators see it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
