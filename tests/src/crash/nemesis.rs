//! The faults: kills of the node, kills of hosts, cuts of the disk's power, at random moments. After each fault of the
//! node calls must succeed again within a bound, or the run fails.

use std::{sync::atomic::Ordering, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Error, RECOVERY_MAX,
    client::Shared,
    disk::Disk,
    process::{Host, Node, Still},
};

/// Undisturbed time before each fault of the node, in milliseconds: from "just started" to "well warmed up".
const NODE_CALM_MS: std::ops::Range<u64> = 50..900;

/// The same for hosts.
const HOST_CALM_MS: std::ops::Range<u64> = 50..1_500;

/// How long a killed process stays away, in milliseconds.
const AWAY_MS: std::ops::Range<u64> = 0..80;

/// How long a node runs on after its disk lost power, in milliseconds. What it acknowledges then it must not have been
/// able to store.
const POWERLESS_MS: std::ops::Range<u64> = 0..150;

/// How often progress is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Adds that must be acknowledged between two faults.
const PROGRESS_MIN: u64 = 5;

/// How long it took from each start of the node until a call succeeded.
#[derive(Debug, Default)]
pub struct Recoveries(pub Vec<Duration>);

/// Kills and restarts the node.
pub async fn kill_node(
    node: &mut Node,
    kills: u32,
    seed: u64,
    shared: &Shared,
) -> Result<Recoveries, Error> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut recoveries = Recoveries::default();
    for kill in 1..=kills {
        calm(&mut random, NODE_CALM_MS).await;
        node.check_alive()?;
        node.kill().await?;
        calm(&mut random, AWAY_MS).await;
        node.start()?;
        let recovery = progress(node, shared, &format!("kill {kill} of the node")).await?;
        recoveries.0.push(recovery);
    }
    Ok(recoveries)
}

/// Cuts the power of the node's disk, kills the node, and restarts it on what is left.
///
/// The node stands still at the moment of the cut, because this machine outlives it and a real one would not: an
/// fdatasync that is under way when ext4 is shut down can report success for data that is then gone (33 times in 346 cuts
/// under a program of ten lines that only writes and syncs, always within 0.6 ms after the shutdown returned). No real node
/// could still tell anybody. So there are two kinds of cuts. Either something may be under way to the disk, and the node
/// never runs again. Or nothing is, and the node runs on without a disk: then every sync fails, and it must acknowledge
/// nothing more.
pub async fn cut_power(
    node: &mut Node,
    disk: &mut Disk,
    cuts: u32,
    seed: u64,
    shared: &Shared,
) -> Result<Recoveries, Error> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut recoveries = Recoveries::default();
    for cut in 1..=cuts {
        calm(&mut random, NODE_CALM_MS).await;
        node.check_alive()?;
        if random.random_bool(0.5) {
            node.freeze(Still::InFlight).await?;
            disk.cut()?;
        } else {
            node.freeze(Still::Idle).await?;
            disk.cut()?;
            node.thaw()?;
            calm(&mut random, POWERLESS_MS).await;
        }
        node.kill().await?;
        disk.power_on().await?;
        node.start()?;
        let recovery = progress(node, shared, &format!("power cut {cut}")).await?;
        recoveries.0.push(recovery);
    }
    Ok(recoveries)
}

/// Kills and restarts hosts, mostly one, sometimes all.
pub async fn kill_hosts(hosts: &mut [Host], kills: u32, seed: u64) -> Result<u32, Error> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut killed = 0;
    while killed < kills {
        calm(&mut random, HOST_CALM_MS).await;
        let victims = if random.random_ratio(1, 4) {
            0..hosts.len()
        } else {
            let victim = random.random_range(0..hosts.len());
            victim..victim + 1
        };
        for victim in victims.clone() {
            hosts[victim].kill().await?;
            killed += 1;
        }
        calm(&mut random, AWAY_MS).await;
        for victim in victims {
            hosts[victim].start()?;
        }
    }
    Ok(killed)
}

async fn calm(random: &mut StdRng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(millis))).await;
}

/// Waits until adds are acknowledged again. Returns how long the first one took.
pub async fn progress(node: &mut Node, shared: &Shared, after: &str) -> Result<Duration, Error> {
    let begun = super::now();
    let before = shared.acknowledged.load(Ordering::Relaxed);
    let mut first = None;
    loop {
        let done = shared.acknowledged.load(Ordering::Relaxed) - before;
        if done > 0 && first.is_none() {
            first = Some(begun.elapsed());
        }
        if let Some(first) = first.filter(|_| done >= PROGRESS_MIN) {
            return Ok(first);
        }
        node.check_alive()?;
        if begun.elapsed() > RECOVERY_MAX {
            return Err(Error::failed(format!(
                "{RECOVERY_MAX:?} after {after} calls still do not succeed; the end of the node's log:\n{}",
                node.log_tail()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}
