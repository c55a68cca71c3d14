//! What the store alone can do, in the shape of durable calls: the ceiling that the data plane is measured against.
//!
//! `cargo run --release -p callboard-statestore-sql --example ceiling [FOLDER|URL] [SECONDS] [PAGE_SIZE] [BATCH]`
//!
//! With the URL of a PostgreSQL database (`tests/scripts/postgres.sh start` prints one) it also commits on all lanes side
//! by side. The page size only counts for SQLite.
//!
//! Each commit takes one turn of each of some actors out of 1,000: a state of 100 bytes, eight inline outcomes of 170
//! bytes, and for every seventh turn a pack of seven outcomes that leaves the row. Low-water times rise and expiry runs
//! beside it. Then the same where each turn sends an effect of 200 bytes, which the next commit ends. Then single
//! commits, cold loads and lookups.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use callboard_statestore::{
    ActorCommit, ActorRecord, CommitBatch, OutboxDone, OutboxInsert, ShardClaim, SpillPack,
    StateBlob, StateStore, Verdict,
};
use callboard_statestore_sql::{PostgresOptions, SqlStore, SqliteOptions};
use callboard_types::{ActorId, Epoch, Millis, NodeId, Revision, ShardId, Tick};
use hdrhistogram::Histogram;

const ACTORS: usize = 1_000;
const LOADED_ACTORS: usize = 100_000;
const OUTCOME_BYTES: usize = 170;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| {
        let folder = std::env::temp_dir().join(format!("callboard-ceiling-{}", std::process::id()));
        folder.display().to_string()
    });
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let page_size: u32 = arguments.next().map_or(Ok(4_096), |text| text.parse())?;
    let begun = Tick::now();
    let store = open(&place, page_size).await?;
    println!("first opening in {} us", Tick::now().micros_since(begun));
    store.close().await;
    let begun = Tick::now();
    let store = Arc::new(open(&place, page_size).await?);
    println!("opening in {} us", Tick::now().micros_since(begun));
    store.claim(&[claim(0)]).await?;
    let expiry = tokio::spawn(expire(Arc::clone(&store)));
    let mut bench = Bench::new("hot", ACTORS);
    let sizes = match arguments.next() {
        Some(size) => vec![size.parse()?],
        None => vec![1, 16, 64, 256],
    };
    for batch in sizes {
        bench.commits(&store, batch, seconds, true).await?;
        bench.effects = true;
        bench.commits(&store, batch, seconds, true).await?;
        bench.effects = false;
    }
    bench.commits(&store, 1, seconds, false).await?;
    if store.lanes() > 1 {
        for batch in [1, 16, 64, 256] {
            side_by_side(&store, batch, seconds).await?;
        }
    }
    expiry.abort();
    let mut many = Bench::new("many", LOADED_ACTORS);
    for _ in 0..LOADED_ACTORS / 500 {
        many.commit(&store, 500, false).await?;
    }
    loads(&store, &many, seconds).await?;
    lookups(&store, &bench, seconds).await?;
    if PostgresOptions::accepts(&place) {
        store.close().await;
        return Ok(());
    }
    let folder = PathBuf::from(place);
    println!("log: {} KiB", file_kib(&folder, "store.db-wal"));
    println!("database: {} KiB", file_kib(&folder, "store.db"));
    store.close().await;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn open(place: &str, page_size: u32) -> Result<SqlStore, callboard_statestore::Error> {
    if PostgresOptions::accepts(place) {
        return SqlStore::open_postgres(PostgresOptions::new(place)).await;
    }
    let mut options = SqliteOptions::new(place);
    options.page_size = page_size;
    SqlStore::open_sqlite(options).await
}

/// Commits on every lane at the same time, each with actors and a shard of its own.
async fn side_by_side(
    store: &Arc<SqlStore>,
    size: usize,
    seconds: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let local = tokio::task::LocalSet::new();
    let (start, cpu) = (Tick::now(), cpu_micros());
    let mut tasks = vec![];
    for lane in 0..store.lanes() {
        let in_lane = |number: &u32| store.lane(&claim(*number).shard) == lane;
        let number = (0..).find(in_lane).unwrap_or(0);
        store.claim(&[claim(number)]).await?;
        let store = Arc::clone(store);
        tasks.push(local.spawn_local(async move {
            let mut bench = Bench::new(&format!("lane-{lane}-{size}"), ACTORS);
            bench.shard = number;
            let mut commits = 0_u64;
            while Tick::now().micros_since(start) < seconds * 1_000_000 {
                bench.commit(&store, size, true).await.expect("commit");
                commits += 1;
            }
            commits
        }));
    }
    let lanes = tasks.len();
    let commits = local
        .run_until(async {
            let mut commits = 0;
            for task in tasks {
                commits += task.await.expect("lane");
            }
            commits
        })
        .await;
    let elapsed = Tick::now().micros_since(start);
    let rows = commits * size as u64;
    println!(
        "{lanes} lanes, commit of {size:>3}: {:>6} rows/s, {:>5} commits/s, {:.1} CPU-us per row",
        rows * 1_000_000 / elapsed,
        commits * 1_000_000 / elapsed,
        (cpu_micros() - cpu) as f64 / rows as f64,
    );
    Ok(())
}

struct Bench {
    ids: Vec<ActorId>,
    revisions: Vec<u64>,
    next: usize,
    started: i64,
    shard: u32,
    /// Each turn sends one.
    effects: bool,
    sequence: u64,
    /// Those that the next commit ends.
    sent: Vec<u64>,
}

impl Bench {
    fn new(prefix: &str, actors: usize) -> Self {
        let id = |n| ActorId {
            system: "default".into(),
            actor_type: "Counter".into(),
            key: format!("{prefix}-{}-{n:06}", std::process::id()).into(),
        };
        Self {
            ids: (0..actors).map(id).collect(),
            revisions: vec![0; actors],
            next: 0,
            started: Millis::now().0,
            shard: 0,
            effects: false,
            sequence: u64::try_from(Millis::now().0).unwrap_or(0) << 20,
            sent: vec![],
        }
    }

    async fn commit(
        &mut self,
        store: &Arc<SqlStore>,
        size: usize,
        spill: bool,
    ) -> Result<(), Box<dyn std::error::Error>> {
        // A step that shares no factor with the number of actors visits all of them, far apart.
        let places: Vec<usize> =
            (0..size).map(|n| (self.next + n) * 389 % self.ids.len()).collect();
        self.next += size;
        let now = Millis::now();
        let ended = std::mem::take(&mut self.sent).into_iter().map(|sequence| OutboxDone {
            shard: claim(self.shard).shard,
            epoch: Epoch(1),
            sequence,
            dead: None,
        });
        let outbox_done: Vec<OutboxDone> = ended.collect();
        let actors: Vec<ActorCommit> = places
            .iter()
            .map(|at| {
                let previous = self.revisions[*at];
                self.revisions[*at] += 1;
                let mut turn = self.turn(*at, previous, now, spill && previous % 7 == 6);
                if self.effects {
                    self.sequence += 1;
                    self.sent.push(self.sequence);
                    let item = Bytes::from(vec![3; 200]);
                    let (sequence, due_at) = (self.sequence, Millis(0));
                    turn.outbox.push(OutboxInsert { sequence, due_at, item });
                }
                turn
            })
            .collect();
        let batch = CommitBatch { actors, outbox_done, ..CommitBatch::default() };
        let verdicts = store.commit(batch).await?;
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Committed));
        Ok(())
    }

    fn turn(&self, at: usize, previous: u64, now: Millis, spill: bool) -> ActorCommit {
        let pack = SpillPack {
            from: now.plus(-200),
            until: now,
            data: Bytes::from(vec![7; 7 * OUTCOME_BYTES]),
        };
        ActorCommit {
            id: self.ids[at].clone(),
            shard: self.shard,
            epoch: Epoch(1),
            previous: Revision(previous),
            record: ActorRecord {
                revision: Revision(previous + 1),
                state: Some(StateBlob {
                    content_type: "application/protobuf".into(),
                    type_url: "bench.State".into(),
                    data: Bytes::from(vec![1; 100]),
                }),
                tags: Bytes::new(),
                outcomes: Bytes::from(vec![2; 8 * OUTCOME_BYTES]),
                spilled_until: now,
                updated_at: now,
                deleted: false,
            },
            spill: if spill { vec![pack] } else { vec![] },
            inbox_done: vec![],
            outbox: Vec::new(),
            letters: Vec::new(),
            history: Vec::new(),
            forget: None,
        }
    }

    async fn commits(
        &mut self,
        store: &Arc<SqlStore>,
        size: usize,
        seconds: u64,
        spill: bool,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut times = Histogram::<u64>::new(3)?;
        let (start, cpu) = (Tick::now(), cpu_micros());
        while Tick::now().micros_since(start) < seconds * 1_000_000 {
            let begun = Tick::now();
            self.commit(store, size, spill).await?;
            times.record(Tick::now().micros_since(begun))?;
        }
        let elapsed = Tick::now().micros_since(start);
        let rows = times.len() * size as u64;
        println!(
            "commit of {size:>3}{}: {:>6} rows/s, {:>5} commits/s, p50 {} us, p99 {} us, max {} us, {:.1} CPU-us per row",
            match (self.effects, spill) {
                (true, _) => " (with effects)",
                (false, true) => "",
                (false, false) => " (no packs)",
            },
            rows * 1_000_000 / elapsed,
            times.len() * 1_000_000 / elapsed,
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99),
            times.max(),
            (cpu_micros() - cpu) as f64 / rows as f64,
        );
        Ok(())
    }
}

/// Keeps a window of twenty seconds, so that expiry has work during a short run, and tells how long emptying a table
/// takes: for that long commits wait.
async fn expire(store: Arc<SqlStore>) {
    let mut longest = 0;
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let low = Millis::now().plus(-20_000);
        if store.raise_low_water(&[claim(0)], low).await.is_err() {
            return;
        }
        let begun = Tick::now();
        while store.expire().await.unwrap_or(false) {}
        let took = Tick::now().micros_since(begun);
        if took > longest {
            longest = took;
            println!("  expiry: longest so far {took} us");
        }
    }
}

async fn loads(
    store: &Arc<SqlStore>,
    bench: &Bench,
    seconds: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    for size in [1, 16, 64, 256] {
        let mut times = Histogram::<u64>::new(3)?;
        let (start, cpu) = (Tick::now(), cpu_micros());
        let mut next = 0;
        while Tick::now().micros_since(start) < seconds * 500_000 {
            let ids: Vec<ActorId> =
                (0..size).map(|n| bench.ids[(next + n) * 7_919 % LOADED_ACTORS].clone()).collect();
            next += size;
            let begun = Tick::now();
            let rows = store.load(&ids).await?;
            times.record(Tick::now().micros_since(begun))?;
            assert!(rows.iter().all(Option::is_some));
        }
        let rows = times.len() * size as u64;
        println!(
            "load of {size:>3}: {:>6} rows/s, p50 {} us, p99 {} us, {:.1} CPU-us per row",
            rows * 1_000_000 / Tick::now().micros_since(start),
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99),
            (cpu_micros() - cpu) as f64 / rows as f64,
        );
    }
    Ok(())
}

async fn lookups(
    store: &Arc<SqlStore>,
    bench: &Bench,
    seconds: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    for size in [1, 64] {
        let mut times = Histogram::<u64>::new(3)?;
        let start = Tick::now();
        let mut found = 0;
        let span = Millis::now().0 - bench.started;
        while Tick::now().micros_since(start) < seconds * 250_000 {
            let query = |n: usize| {
                let turn = i64::try_from(times.len()).unwrap_or(0) * 7_919;
                (bench.ids[n * 17 % ACTORS].clone(), Millis(bench.started + turn % span))
            };
            let queries: Vec<_> = (0..size).map(query).collect();
            let begun = Tick::now();
            let packs = store.spilled(&queries).await?;
            found += packs.iter().map(Vec::len).sum::<usize>();
            times.record(Tick::now().micros_since(begun))?;
        }
        println!(
            "lookup of {size:>2}: p50 {} us, p99 {} us, {:.2} packs each",
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.99),
            found as f64 / (times.len() * size as u64) as f64,
        );
    }
    Ok(())
}

fn claim(number: u32) -> ShardClaim {
    ShardClaim {
        shard: ShardId { system: "default".into(), actor_type: "Counter".into(), number },
        epoch: Epoch(1),
        node: NodeId(1),
    }
}

fn file_kib(folder: &std::path::Path, name: &str) -> u64 {
    std::fs::metadata(folder.join(name)).map_or(0, |file| file.len() / 1_024)
}

/// CPU time of the whole process.
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    // User and system time, in hundredths of a second.
    (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10_000
}
