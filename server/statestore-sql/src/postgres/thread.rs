//! The store's own thread: prepares the database, runs the tasks, closes everything.

use std::sync::{Arc, atomic::AtomicUsize};

use callboard_statestore::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    PostgresOptions,
    connect::{self, Role, Server},
    dispatch::Dispatcher,
    lane::Lane,
    link::Link,
    reader::Reader,
    sql::SpillTexts,
};
use crate::{
    SqlStore, WAITING_MAX,
    health::Health,
    jobs::{Job, Question},
    own_thread,
    ring::Ring,
};

/// Starts the thread and waits until the database is open.
pub(crate) async fn start(options: PostgresOptions) -> Result<SqlStore, Error> {
    options.check()?;
    own_thread::start(move |opened| live(options, opened)).await
}

/// The whole life of a store.
async fn live(options: PostgresOptions, opened: oneshot::Sender<Result<SqlStore, Error>>) {
    let (tasks, ended, store) = match open(&options).await {
        Ok(parts) => parts,
        Err(error) => {
            let _gone = opened.send(Err(error));
            return;
        }
    };
    // If the opener has gone away, its handle is dropped here and the tasks end at once.
    let _gone = opened.send(Ok(store));
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task of the store failed");
        }
    }
    ended.send_replace(true);
}

type Parts = (Vec<JoinHandle<()>>, watch::Sender<bool>, SqlStore);

async fn open(options: &PostgresOptions) -> Result<Parts, Error> {
    let server = Arc::new(Server::new(options)?);
    connect::prepare(&server).await?;
    let health = Arc::new(Health::default());
    let ring = Arc::new(Ring::new(options.outcome_window));
    let spill_texts = Arc::new(SpillTexts::default());
    let mut lanes = Vec::with_capacity(options.writers);
    for _ in 0..options.writers {
        lanes.push(Lane::open(&server, &ring, &spill_texts, &health).await?);
    }
    let mut links = Vec::with_capacity(options.readers);
    for _ in 0..options.readers {
        links.push(Link::open(&server, Role::Reader).await?);
    }
    let (writer, jobs) = mpsc::channel::<Job>(WAITING_MAX);
    let mut tasks = vec![tokio::spawn(Dispatcher::new(lanes, Arc::clone(&health)).run(jobs))];
    let mut readers = vec![];
    for link in links {
        let (ask, asked) = mpsc::channel::<Question>(WAITING_MAX);
        let reader = Reader { link, texts: Arc::clone(&spill_texts), health: Arc::clone(&health) };
        tasks.push(tokio::spawn(reader.run(asked)));
        readers.push(ask);
    }
    let (ended, has_ended) = watch::channel(false);
    let store = SqlStore {
        writer,
        lanes: options.writers,
        readers,
        next_reader: AtomicUsize::new(0),
        health,
        ended: has_ended,
    };
    Ok((tasks, ended, store))
}
