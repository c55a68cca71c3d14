//! The data plane: what happens per call.
//!
//! A gateway takes a call, the router finds the worker that serves its actor's shard, the actor's activation orders it,
//! a host session runs it, the commit writer makes it durable, and only then the reply leaves. See
//! `server/ARCHITECTURE.md` for one call with file names.
//!
//! The control plane is seen only through [`ports`] and the view that [`catalog`] follows.

pub mod activation;
pub mod answers;
pub mod call;
pub mod catalog;
pub mod channels;
pub mod deliveries;
pub mod forward;
pub mod grpc;
pub mod metrics;
pub mod plane;
pub mod pools;
pub mod ports;
pub mod router;
pub mod scheduler;
pub mod session;
pub mod store;
pub mod transcode;
pub mod worker;
