//! What the data plane reports of its shards: those that it let go, and those whose epoch the store knows better.
//!
//! The data plane says it once and never waits. A report stays until the view shows that it was heard: it is said again
//! after every failure, and what is said twice does nothing.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use callboard_types::{ClusterView, Epoch, NodeId, ShardId, ShardOwner};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    machine::{
        Command,
        command::{RaiseEpochs, Raised, Release, Released},
    },
    propose::Proposer,
};

/// Pause after a proposal that found no leader.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Shards in one command.
const BATCH: usize = 4_096;

/// What was reported and is not agreed on yet. At most one entry per shard and kind. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// With the epochs at which the node owned them.
    released: BTreeMap<ShardId, Epoch>,
    /// With the epochs that the store has.
    too_low: BTreeMap<ShardId, Epoch>,
}

impl Reports {
    /// The node let shards go.
    pub(crate) fn released(&self, shards: Vec<(ShardId, Epoch)>) {
        self.0.waiting.lock().released.extend(shards);
        self.0.changed.notify_one();
    }

    /// The store knows higher epochs.
    pub(crate) fn too_low(&self, shards: Vec<(ShardId, Epoch)>) {
        let mut waiting = self.0.waiting.lock();
        for (shard, stored) in shards {
            let highest = waiting.too_low.entry(shard).or_insert(stored);
            *highest = stored.max(*highest);
        }
        drop(waiting);
        self.0.changed.notify_one();
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(self, node: NodeId, proposer: Proposer) -> Result<(), Infallible> {
        loop {
            let commands = self.0.waiting.lock().commands(node, &proposer.publisher.current());
            if commands.is_empty() {
                self.0.changed.notified().await;
                continue;
            }
            for command in commands {
                if let Err(error) = proposer.propose(&command).await {
                    tracing::warn!(%error, command = command.name(), "not agreed on yet");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }
}

impl Waiting {
    /// Forgets what the view shows to be settled, and says the rest.
    fn commands(&mut self, node: NodeId, view: &ClusterView) -> Vec<Command> {
        self.released.retain(|shard, epoch| {
            find(view, shard).is_some_and(|(_, owner)| owner.node == node && owner.epoch == *epoch)
        });
        // What somebody else owns by now was stored by that owner, as a rule.
        self.too_low.retain(|shard, stored| {
            find(view, shard).is_some_and(|(_, owner)| owner.node == node && owner.epoch <= *stored)
        });
        let released: Vec<Release> = self
            .released
            .iter()
            .filter_map(|(shard, epoch)| {
                let (type_id, _) = find(view, shard)?;
                Some(Release { type_id, shard: shard.number, epoch: *epoch })
            })
            .collect();
        let raised: Vec<Raised> = self
            .too_low
            .iter()
            .filter_map(|(shard, stored)| {
                let (type_id, owner) = find(view, shard)?;
                // The same epoch in other hands must be passed as well; only what is below `above` rises.
                let above = if owner.epoch == *stored { stored.next() } else { *stored };
                Some(Raised { type_id, shard: shard.number, above })
            })
            .collect();
        let released = released
            .chunks(BATCH)
            .map(|shards| Command::Released(Released { node, shards: shards.to_vec() }));
        let raised = raised
            .chunks(BATCH)
            .map(|shards| Command::RaiseEpochs(RaiseEpochs { shards: shards.to_vec() }));
        released.chain(raised).collect()
    }
}

/// A shard's type and owner.
fn find(view: &ClusterView, shard: &ShardId) -> Option<(u32, ShardOwner)> {
    let found = view.type_of(&shard.system, &shard.actor_type)?;
    found.shards.get(shard.number as usize).map(|owner| (found.id, *owner))
}

#[cfg(test)]
mod tests {
    use callboard_types::{TypeDefinition, TypeView};

    use super::*;

    fn view(owners: &[(u64, u64)]) -> ClusterView {
        let shards =
            owners.iter().map(|(node, epoch)| ShardOwner::new(NodeId(*node), Epoch(*epoch)));
        let mut view = ClusterView::default();
        view.set_types(vec![Arc::new(TypeView {
            id: 7,
            system: "default".into(),
            name: "Counter".into(),
            definition: TypeDefinition::new("Counter"),
            descriptor_hash: "".into(),
            descriptor_set: Arc::new([]),
            shards: shards.collect(),
        })]);
        view
    }

    fn shard(number: u32) -> ShardId {
        ShardId { system: "default".into(), actor_type: "Counter".into(), number }
    }

    #[test]
    fn what_was_reported_is_said_until_the_view_shows_that_it_was_heard() {
        let (reports, node) = (Reports::default(), NodeId(1));
        reports.released(vec![(shard(0), Epoch(3)), (shard(9), Epoch(1))]);
        reports.too_low(vec![(shard(1), Epoch(8)), (shard(1), Epoch(5))]);
        let release = Release { type_id: 7, shard: 0, epoch: Epoch(3) };
        let raised = Raised { type_id: 7, shard: 1, above: Epoch(8) };
        let expected = [
            Command::Released(Released { node, shards: vec![release] }),
            Command::RaiseEpochs(RaiseEpochs { shards: vec![raised] }),
        ];
        let say = |owners: &[(u64, u64)]| reports.0.waiting.lock().commands(node, &view(owners));
        assert_eq!(say(&[(1, 3), (1, 2)]), expected);
        assert_eq!(say(&[(1, 3), (1, 2)]), expected, "again, if it got lost");
        assert_eq!(say(&[(2, 4), (1, 9)]), [], "both are done");
        assert_eq!(say(&[(1, 3), (1, 2)]), [], "and forgotten");
    }

    #[test]
    fn an_epoch_that_a_new_owner_stored_is_no_news_and_the_own_one_in_other_hands_is_passed() {
        let (reports, node) = (Reports::default(), NodeId(1));
        let say = |owners: &[(u64, u64)]| reports.0.waiting.lock().commands(node, &view(owners));
        reports.too_low(vec![(shard(1), Epoch(8))]);
        assert_eq!(say(&[(1, 3), (2, 8)]), [], "its owner wrote it");
        reports.too_low(vec![(shard(1), Epoch(8))]);
        let raised = Raised { type_id: 7, shard: 1, above: Epoch(9) };
        let expected = Command::RaiseEpochs(RaiseEpochs { shards: vec![raised] });
        assert_eq!(say(&[(1, 3), (1, 8)]), [expected], "which raises what is below it");
    }
}
