//! Messages as they come to a worker: recorded by some of its shards, passed on to active actors by others.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use callboard_statestore::BroadcastStep;
use callboard_types::{Kind, Millis, limits, settings::Deliver, shard::key_hash};
use slab::Slab;
use tokio::sync::oneshot;

use super::{Said, Write};
use crate::{
    call::{Call, Lineage, ReplyTo},
    channels::{HeardHere, SaidHere, message::subscriptions},
    transcode,
    worker::{
        RoutedCall, Slot, Worker,
        types::{Place, Standing},
    },
};

/// Messages that wait until one shard is claimed. Further ones are handed over again by their senders.
const UNCLAIMED_MAX: usize = 64;

/// Messages that shards of this worker are about to record, and those who wait for that.
#[derive(Debug, Default)]
pub(super) struct Hearings {
    open: Slab<Hearing>,
    /// Messages for shards that are being claimed.
    unclaimed: HashMap<Place, Vec<(usize, Arc<Said>)>>,
    /// Records that the writer has.
    writing: HashSet<(Place, String)>,
}

#[derive(Debug)]
struct Hearing {
    undecided: usize,
    heard: HeardHere,
    to: oneshot::Sender<HeardHere>,
}

// === impl Hearings ===

impl Hearings {
    /// A shard has recorded a message, or will not for now.
    pub(super) fn decided(&mut self, hearing: usize, place: Place, recorded: bool) {
        let Some(open) = self.open.get_mut(hearing) else { return };
        if recorded {
            open.heard.recorded.push(place);
        }
        open.undecided -= 1;
        if open.undecided == 0 {
            let ended = self.open.remove(hearing);
            // Whoever does not wait any longer asks again.
            let _ = ended.to.send(ended.heard);
        }
    }

    /// The writer has given a record back.
    pub(super) fn written(&mut self, place: Place, id: &str) {
        self.writing.remove(&(place, id.to_owned()));
    }

    fn full(&mut self, hearing: usize, place: Place) {
        if let Some(open) = self.open.get_mut(hearing) {
            open.heard.full.push(place);
        }
        self.decided(hearing, place, false);
    }

    /// Messages that waited for a shard to be claimed.
    pub(super) fn take_unclaimed(&mut self, place: Place) -> Vec<(usize, Arc<Said>)> {
        self.unclaimed.remove(&place).unwrap_or_default()
    }

    /// A shard is not served here: whoever waits for it asks its next owner.
    pub(super) fn give_up(&mut self, place: Place) {
        for (hearing, _) in self.take_unclaimed(place) {
            self.decided(hearing, place, false);
        }
    }
}

// === impl Worker ===

impl Worker {
    /// A message came for shards of this worker.
    pub(in crate::worker) fn on_said(&mut self, here: SaidHere) {
        let SaidHere { said, record, push, to } = here;
        self.push_to_active(&said, &push);
        // One more than there are shards, so that it ends when all of them were looked at.
        let undecided = record.len() + 1;
        let hearing = Hearing { undecided, heard: HeardHere::default(), to };
        let hearing = self.walks.hearings.open.insert(hearing);
        for place in record {
            match self.standing(place) {
                Standing::Serves => self.record(place, hearing, &said),
                Standing::Elsewhere => self.walks.hearings.decided(hearing, place, false),
                Standing::Claims => {
                    let waiting = self.walks.hearings.unclaimed.entry(place).or_default();
                    if waiting.len() < UNCLAIMED_MAX {
                        waiting.push((hearing, Arc::clone(&said)));
                        self.claim_shard(place);
                    } else {
                        self.walks.hearings.decided(hearing, place, false);
                    }
                }
            }
        }
        self.walks.hearings.decided(hearing, (0, 0), false);
    }

    /// Makes the row of a message, unless the shard has too many.
    pub(super) fn record(&mut self, place: Place, hearing: usize, said: &Arc<Said>) {
        let waiting = self.walks.shards.get(&place);
        if waiting.is_some_and(|shard| {
            shard.recorded.len().max(shard.walker.waiting()) >= limits::BROADCASTS_PER_SHARD_MAX
        }) {
            return self.walks.hearings.full(hearing, place);
        }
        let id = said.record_id();
        let under_way = self.walks.hearings.writing.contains(&(place, id.clone()));
        if under_way || self.outbox.store_is_down() || self.outbox.writer_is_full() {
            // Whoever waits hands it over again: until then it costs nothing here.
            return self.walks.hearings.decided(hearing, place, false);
        }
        let at = self.wall;
        // A node that was not told the time yet would have its record forgotten with the oldest.
        let shard = (at != Millis(0)).then(|| self.shard_mut(place)).flatten();
        let Some(shard) = shard else {
            return self.walks.hearings.decided(hearing, place, false);
        };
        shard.messages += 1;
        // Rises with each owner, and with each message within its epoch.
        let sequence = (shard.epoch.0 << 32) | u64::from(shard.messages);
        let epoch = shard.epoch;
        let step = BroadcastStep::Record { sequence, at, item: self.encoded(said) };
        self.walks.hearings.writing.insert((place, id.clone()));
        let write = Write::Record { place, epoch, hearing, id: id.clone() };
        self.write_change(place, id, step, write);
    }

    /// The message as a row holds it. Shards of one round share it.
    fn encoded(&mut self, said: &Arc<Said>) -> Bytes {
        match &self.walks.encoded {
            Some((known, row)) if Arc::ptr_eq(known, said) => row.clone(),
            _ => {
                let row = said.encode();
                self.walks.encoded = Some((Arc::clone(said), row.clone()));
                row
            }
        }
    }

    /// Passes a message on to the actors that are in memory, at most once: nobody hears what became of it.
    fn push_to_active(&mut self, said: &Said, places: &[Place]) {
        if self.refusing || !self.leased {
            return;
        }
        let served = places.iter().filter(|place| self.standing(**place) == Standing::Serves);
        let served: BTreeSet<Place> = served.copied().collect();
        let mut slots: Vec<Slot> = Vec::new();
        let mut others = BTreeSet::new();
        for place in served {
            let slot_type = self.types[place.0 as usize].as_ref();
            let Some(view) = slot_type.map(|found| &found.runtime.view) else { continue };
            if view.definition.kind == Kind::Named {
                slots.extend(self.table.find(place.0, &view.name, key_hash(&view.name)));
            } else {
                others.insert(place);
            }
        }
        slots.extend(self.slots_of(&others).into_values().flatten());
        let lineage = said.source.clone();
        let lineage =
            lineage.map(|source| Box::new(Lineage { caller: Some(source), chain: Vec::new() }));
        for slot in slots {
            let Some(entry) = self.table.get(slot) else { continue };
            let Some(slot_type) = self.types[entry.type_id as usize].as_ref() else { continue };
            let runtime = &slot_type.runtime;
            for listens in subscriptions(runtime, &said.channel, Deliver::Active) {
                let action = &listens.action;
                let Ok(argument) = transcode::heard(runtime, action, &said.payload) else {
                    tracing::debug!(channel = %said.channel, id = %said.id, %action,
                        "a message does not fit an action that listens");
                    continue;
                };
                let reply_to = ReplyTo::Walk(None);
                let call = Call {
                    action: action.clone(),
                    argument,
                    request_id: said.request_id(action),
                    created_at: self.wall,
                    metadata: said.metadata_for_actors(),
                    lineage: lineage.clone(),
                    activates_only: false,
                    ..Call::activation(reply_to, self.now)
                };
                self.local_calls.push_back(RoutedCall {
                    actor_type: Arc::clone(runtime),
                    key: entry.key.to_string(),
                    key_hash: key_hash(&entry.key),
                    shard: entry.shard,
                    call,
                });
            }
        }
    }
}
