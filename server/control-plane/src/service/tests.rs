//! Goal: one node is ready at once, keeps everything over restarts, and nothing assumes that it is alone. Method: real
//! files, real sockets, one process; a node of a cluster has a runtime of its own, so that it can be killed.

mod cluster;
mod copies;
mod fixture;
mod leases;
mod membership;
mod one_node;
mod operate;
mod peer;
mod requests;
mod schedules;
mod snapshots;
