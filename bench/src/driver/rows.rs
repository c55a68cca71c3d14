//! The rows of the table, in groups that share processes. What is asked stands beside the measurement, once.

mod cluster;
mod durable;
mod joins;
mod resting;
mod schedules;
mod sdk;
mod start;
mod talk;
mod volatile;

use crate::{
    driver::{Bench, table::Row},
    error::Error,
};

/// Rows that are measured together.
pub(crate) struct Group {
    /// Their names.
    pub(crate) rows: &'static [&'static str],
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Router,
    Volatile,
    DurableThroughput,
    DurableLatency,
    HotKey,
    Resting,
    Start,
    Sdk,
    Forwarding,
    ClusterDurable,
    Losses,
    Joins,
    Effects,
    Pipe,
    Broadcast,
    Schedules,
    ClusterSchedules,
}

/// Every group, in the order of the table.
pub(crate) const GROUPS: &[Group] = &[
    Group { rows: &["dev-start"], kind: Kind::Start },
    Group { rows: &["router-stream-256"], kind: Kind::Router },
    Group {
        rows: &["volatile-stream-256", "volatile-add-stream-256", "volatile-unary-64"],
        kind: Kind::Volatile,
    },
    Group { rows: &["durable-latency-1"], kind: Kind::DurableLatency },
    Group { rows: &["durable-hot-key-64"], kind: Kind::HotKey },
    Group {
        rows: &["cold-256", "cold-paced-500", "idle-durable", "idle-volatile"],
        kind: Kind::Resting,
    },
    Group { rows: &["durable-stream-256"], kind: Kind::DurableThroughput },
    Group { rows: &["effects"], kind: Kind::Effects },
    Group { rows: &["pipe"], kind: Kind::Pipe },
    Group { rows: &["broadcast"], kind: Kind::Broadcast },
    Group { rows: &["schedules"], kind: Kind::Schedules },
    Group { rows: &["cluster-schedules"], kind: Kind::ClusterSchedules },
    Group { rows: &["cluster-forwarding"], kind: Kind::Forwarding },
    Group { rows: &["cluster-durable"], kind: Kind::ClusterDurable },
    Group { rows: &["cluster-losses"], kind: Kind::Losses },
    Group { rows: &["cluster-joins"], kind: Kind::Joins },
    Group { rows: &["sdk-hosts"], kind: Kind::Sdk },
];

impl Group {
    /// Measures the group's wanted rows.
    pub(crate) async fn measure(
        &self,
        bench: &Bench,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Row>, Error> {
        match self.kind {
            Kind::Start => start::measure(bench).await,
            Kind::Router => volatile::measure_router(bench).await,
            Kind::Volatile => volatile::measure(bench, wanted).await,
            Kind::DurableThroughput => durable::measure_throughput(bench).await,
            Kind::DurableLatency => durable::measure_latency(bench).await,
            Kind::HotKey => durable::measure_hot_key(bench).await,
            Kind::Resting => resting::measure(bench).await,
            Kind::Sdk => sdk::measure(bench).await,
            Kind::Forwarding => cluster::measure_forwarding(bench).await,
            Kind::ClusterDurable => cluster::measure_durable(bench).await,
            Kind::Effects => talk::measure_effects(bench).await,
            Kind::Pipe => talk::measure_pipe(bench).await,
            Kind::Broadcast => talk::measure_broadcast(bench).await,
            Kind::Schedules => schedules::measure(bench).await,
            Kind::ClusterSchedules => schedules::measure_cluster(bench).await,
            Kind::Losses => cluster::measure_losses(bench).await,
            Kind::Joins => joins::measure(bench).await,
        }
    }
}
