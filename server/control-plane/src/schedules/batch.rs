//! Changes of many callers as few commands: one log entry, one write to disk and one round for all that wait.

use std::{convert::Infallible, sync::Arc};

use callboard_types::{CallError, Tick};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use crate::{
    machine::{
        Command,
        command::ChangeSchedules,
        schedules::{Change, ChangeResult},
    },
    metrics,
    propose::{Proposer, stopped},
};

/// Changes that wait for a batch before callers wait in turn.
const QUEUE: usize = 8_192;
/// Changes of one command. A command is applied in one go, and holds up renewals of leases meanwhile.
const BATCH_CHANGES: usize = 1_024;
/// Bytes of one command and of its answer together, about.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Commands on their way at a time.
const IN_FLIGHT: usize = 4;

/// Takes changes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Batcher(mpsc::Sender<Wish>);

/// One change on its way, and who waits for what comes of it.
#[derive(Debug)]
struct Wish {
    change: Change,
    done: oneshot::Sender<ChangeResult>,
}

/// Makes commands of changes.
pub(crate) struct Batches {
    queue: mpsc::Receiver<Wish>,
    proposer: Proposer,
}

impl Batcher {
    pub(crate) fn new(proposer: Proposer) -> (Self, Batches) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), Batches { queue, proposer })
    }

    /// Has a change agreed on, and waits until this node's schedules show it.
    pub(crate) async fn change(&self, change: Change) -> ChangeResult {
        let (done, result) = oneshot::channel();
        self.0.send(Wish { change, done }).await.map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }
}

impl Batches {
    /// Runs until every [`Batcher`] is gone.
    pub(crate) async fn run(mut self) -> Result<(), Infallible> {
        let (mut in_flight, mut waiting) = (FuturesUnordered::new(), Vec::new());
        loop {
            tokio::select! {
                Some(()) = in_flight.next() => {}
                received = self.queue.recv_many(&mut waiting, BATCH_CHANGES),
                    if in_flight.len() < IN_FLIGHT =>
                {
                    if received == 0 {
                        break;
                    }
                    for wishes in cut(std::mem::take(&mut waiting)) {
                        in_flight.push(propose(self.proposer.clone(), wishes));
                    }
                }
            }
        }
        while in_flight.next().await.is_some() {}
        Ok(())
    }
}

/// Cuts what waits into batches that fit a command.
fn cut(waiting: Vec<Wish>) -> Vec<Vec<Wish>> {
    let (mut batches, mut bytes) = (vec![Vec::new()], 0);
    for wish in waiting {
        bytes += wish.change.bytes();
        if bytes > BATCH_BYTES {
            batches.push(Vec::new());
            bytes = wish.change.bytes();
        }
        batches.last_mut().expect("never empty").push(wish);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

async fn agree(proposer: &Proposer, changes: Vec<Change>) -> Result<Vec<ChangeResult>, CallError> {
    let (id, now) = (uuid::Uuid::now_v7().as_u128(), proposer.now()?);
    let command = Arc::new(Command::ChangeSchedules(ChangeSchedules { id, now, changes }));
    proposer.check_admitted(&command)?;
    proposer.propose_changes(&command).await
}

async fn propose(proposer: Proposer, wishes: Vec<Wish>) {
    let (changes, waiting): (Vec<Change>, Vec<oneshot::Sender<ChangeResult>>) =
        wishes.into_iter().map(|wish| (wish.change, wish.done)).unzip();
    let (began, count) = (Tick::now(), changes.len());
    let agreed = agree(&proposer, changes).await;
    metrics::schedules_proposed(count, Tick::now().micros_since(began));
    let results: Box<dyn Iterator<Item = ChangeResult> + Send> = match agreed {
        Ok(results) => Box::new(results.into_iter()),
        Err(error) => Box::new(std::iter::repeat_n(Err::<_, CallError>(error), count)),
    };
    for (waiting, result) in waiting.into_iter().zip(results) {
        // Whoever asked may have given up.
        let _ = waiting.send(result);
    }
}
