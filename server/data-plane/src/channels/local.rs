//! What a node does with a message that it is handed: those who listen from outside hear it, and its shards record it or
//! pass it on.

use std::{collections::BTreeMap, sync::Arc};

use callboard_types::settings::Deliver;
use tokio::sync::oneshot;

use super::{
    listeners::Listeners,
    message::{Said, subscriptions},
};
use crate::{
    catalog::CatalogReader,
    worker::{Message, Workers},
};

/// A shard, as (type id, number).
pub type Place = (u32, u32);

/// A message for shards of one worker.
#[derive(Debug)]
pub struct SaidHere {
    /// The message.
    pub said: Arc<Said>,
    /// Shards that are to record it for all their actors.
    pub record: Vec<Place>,
    /// Shards that are to pass it on to their active actors.
    pub push: Vec<Place>,
    /// Told once every shard has recorded it or cannot.
    pub to: oneshot::Sender<HeardHere>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct HeardHere {
    /// Shards that have recorded it for good.
    pub recorded: Vec<Place>,
    /// Shards that have as many messages to deliver as they may.
    pub full: Vec<Place>,
}

/// Shards by the names of their types.
pub type Shards = BTreeMap<Arc<str>, Vec<u32>>;

/// What became of a message at a node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Shards that have recorded it for good.
    pub recorded: Shards,
    /// Shards that have as many messages to deliver as they may.
    pub full: Shards,
}

/// This node's ears. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Local {
    listeners: Listeners,
    catalog: CatalogReader,
    workers: Workers,
}

impl Local {
    /// Hands messages to these workers, and to those who listen.
    #[must_use]
    pub fn new(listeners: Listeners, catalog: CatalogReader, workers: Workers) -> Self {
        Self { listeners, catalog, workers }
    }

    /// Those who listen from outside.
    #[must_use]
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Takes a message for these shards. Dropping the future gives up waiting, not what was handed over.
    pub async fn take(&self, said: &Arc<Said>, shards: &Shards) -> Taken {
        self.listeners.hear(said);
        let mut taken = Taken::default();
        if shards.is_empty() {
            return taken;
        }
        let catalog = self.catalog.load_full();
        let (mut names, mut record, mut push) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, numbers) in shards {
            let Some(found) = catalog.type_of(&said.system, name) else { continue };
            let id = found.view.id;
            names.insert(id, Arc::clone(name));
            let listens = |how| subscriptions(found, &said.channel, how).next().is_some();
            let known =
                numbers.iter().filter(|number| (**number as usize) < found.view.shards.len());
            let places = known.map(|number| (id, *number));
            if listens(Deliver::Active) {
                push.extend(places.clone());
            }
            if listens(Deliver::Every) {
                record.extend(places);
            } else {
                // Nobody there hears of every message any more.
                taken.recorded.insert(Arc::clone(name), numbers.clone());
            }
        }
        let push = if push.is_empty() { push } else { self.listeners.push(said, &push) };
        for heard in self.ask_workers(said, &record, &push).await {
            put(&mut taken.recorded, &names, &heard.recorded);
            put(&mut taken.full, &names, &heard.full);
        }
        taken
    }

    async fn ask_workers(
        &self,
        said: &Arc<Said>,
        record: &[Place],
        push: &[Place],
    ) -> Vec<HeardHere> {
        let mut waiting = Vec::new();
        for worker in 0..self.workers.count() {
            let of_worker = |places: &[Place]| -> Vec<Place> {
                let mine = places.iter().filter(|(id, at)| self.workers.of(*id, *at) == worker);
                mine.copied().collect()
            };
            let (record, push) = (of_worker(record), of_worker(push));
            if record.is_empty() && push.is_empty() {
                continue;
            }
            let (to, heard) = oneshot::channel();
            let here = SaidHere { said: Arc::clone(said), record, push, to };
            self.workers.send(worker, Message::Said(here)).await;
            waiting.push(heard);
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for heard in waiting {
            answers.push(heard.await.unwrap_or_default());
        }
        answers
    }
}

fn put(into: &mut Shards, names: &BTreeMap<u32, Arc<str>>, places: &[Place]) {
    for (id, number) in places {
        if let Some(name) = names.get(id) {
            into.entry(Arc::clone(name)).or_default().push(*number);
        }
    }
}
