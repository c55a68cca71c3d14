//! The store's own thread: opens the database, runs the tasks, closes everything in order.

use std::sync::{Arc, atomic::AtomicUsize};

use callboard_migrations::tables::SPILL_TABLES;
use callboard_statestore::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    SqlStore, SqliteOptions, WAITING_MAX,
    columns::Columns,
    counter::unsigned,
    health::Health,
    jobs::{Job, Question},
    own_thread,
    ring::Ring,
    sqlite::{
        self,
        checkpoint::Checkpointer,
        connect,
        folder::Folder,
        lane::Lane,
        reader::Reader,
        sql::Statements,
        writer::{Writer, Written},
    },
};

/// Reading connections. Two keep a long listing from delaying activations.
const READERS: usize = 2;
const SLOTS: &str = "SELECT \"slot\", \"holds_until\" FROM \"spill_slot\"";

/// Starts the thread and waits until the database is open.
pub(crate) async fn start(options: SqliteOptions) -> Result<SqlStore, Error> {
    own_thread::start(move |opened| live(options, opened)).await
}

/// The whole life of a store.
async fn live(options: SqliteOptions, opened: oneshot::Sender<Result<SqlStore, Error>>) {
    let (tasks, store) = match open(&options).await {
        Ok(parts) => parts,
        Err(error) => {
            let _gone = opened.send(Err(error));
            return;
        }
    };
    // If the opener has gone away, its handle is dropped here and the tasks end at once.
    let _gone = opened.send(Ok(store));
    tasks.finish().await;
}

/// The running tasks and what must outlive them.
struct Tasks {
    writer: JoinHandle<Lane>,
    readers: Vec<JoinHandle<Lane>>,
    checkpointer: JoinHandle<Lane>,
    stop: watch::Sender<bool>,
    folder: Folder,
    ended: watch::Sender<bool>,
}

impl Tasks {
    /// Waits for the tasks and closes the connections, the writer's last: closing it ends the log.
    async fn finish(self) {
        let mut lanes = vec![];
        let writer = self.writer.await;
        self.stop.send_replace(true);
        for task in self.readers.into_iter().chain([self.checkpointer]) {
            lanes.extend(task.await);
        }
        lanes.extend(writer);
        for lane in lanes {
            if let Err(error) = lane.close().await {
                tracing::warn!(%error, "a connection of the store did not close cleanly");
            }
        }
        drop(self.folder);
        self.ended.send_replace(true);
    }
}

async fn open(options: &SqliteOptions) -> Result<(Tasks, SqlStore), Error> {
    let folder = Folder::hold(&options.folder)?;
    let pool = connect::open(&folder, options).await?;
    let mut writer_lane = connect::lane(&pool, options.cache_kib).await?;
    let mut reader_lanes = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        reader_lanes.push(connect::lane(&pool, options.cache_kib / 4).await?);
    }
    // Checkpoints copy from file to file.
    let checkpoint_lane = connect::lane(&pool, 64).await?;
    pool.close().await.map_err(crate::sqlite::classify::db)?;

    let epoch = connect::raise_epoch(&mut writer_lane).await?;
    let fences = sqlite::fences::read(&mut writer_lane).await?;
    let ring = Arc::new(Ring::new(options.outcome_window));
    let slots = read_slots(&mut writer_lane, &ring).await?;
    let health = Arc::new(Health::default());
    let written = Arc::new(Written::default());
    let (jobs, job_queue) = mpsc::channel::<Job>(WAITING_MAX);
    let (stop, stopped) = watch::channel(false);
    let (ended, has_ended) = watch::channel(false);

    let checkpointer = Checkpointer {
        lane: checkpoint_lane,
        log: folder.log(),
        wal_limit: options.wal_limit,
        written: Arc::clone(&written),
        writer: jobs.downgrade(),
        health: Arc::clone(&health),
    };
    let writer = Writer {
        lane: writer_lane,
        epoch,
        fences,
        ring: Arc::clone(&ring),
        slots,
        statements: Statements::default(),
        health: Arc::clone(&health),
        written,
    };
    let mut questions = vec![];
    let mut readers = vec![];
    for lane in reader_lanes {
        let (ask, asked) = mpsc::channel::<Question>(WAITING_MAX);
        let reader = Reader {
            lane,
            ring: Arc::clone(&ring),
            statements: Statements::default(),
            health: Arc::clone(&health),
        };
        questions.push(ask);
        readers.push(tokio::spawn(reader.run(asked)));
    }
    let tasks = Tasks {
        writer: tokio::spawn(writer.run(job_queue)),
        readers,
        checkpointer: tokio::spawn(checkpointer.run(stopped)),
        stop,
        folder,
        ended,
    };
    let store = SqlStore {
        writer: jobs,
        lanes: 1,
        readers: questions,
        next_reader: AtomicUsize::new(0),
        health,
        ended: has_ended,
    };
    Ok((tasks, store))
}

async fn read_slots(lane: &mut Lane, ring: &Ring) -> Result<[i64; SPILL_TABLES], Error> {
    let mut slots = [0; SPILL_TABLES];
    for row in lane.fixed(SLOTS).await? {
        let slot = usize::try_from(unsigned(row.number(0)?)).unwrap_or(usize::MAX);
        let end = row.number(1)?;
        let Some(place) = slots.get_mut(slot) else {
            return Err(Error::Fatal(format!(
                "spill_slot names table {slot}, which does not exist"
            )));
        };
        *place = end;
        ring.extend(slot, end);
    }
    Ok(slots)
}
