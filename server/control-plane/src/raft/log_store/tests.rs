//! Goal: what openraft was told is on disk is there after a power cut, and a failing disk is never passed over. Method:
//! a disk in memory that keeps unsynced writes apart, loses any part of them when the power goes, and fails on demand.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::FutureExt;
use openraft::{
    BasicNode,
    entry::RaftEntry,
    impls::leader_id_adv::LeaderId,
    storage::{RaftLogReader, RaftLogStorageExt},
};
use proptest::prelude::*;
use redb::StorageBackend;

use super::*;

/// A disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<DiskState>);

#[derive(Debug, Default)]
struct DiskState {
    content: Mutex<Content>,
    broken: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// What programs read.
    now: Vec<u8>,
    /// What is left when the power goes.
    synced: Vec<u8>,
    /// Writes since, as (offset, bytes).
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Disk {
    /// The disk after a power cut: of the unsynced writes it kept those that `kept` says.
    fn after_power_cut(&self, kept: impl Fn(usize) -> bool) -> Self {
        let before = self.0.content.lock().clone();
        let mut left = before.synced;
        left.resize(before.now.len(), 0);
        for (number, (offset, bytes)) in before.unsynced.into_iter().enumerate() {
            if kept(number) && offset + bytes.len() <= left.len() {
                left[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
        }
        let content = Content { now: left.clone(), synced: left, unsynced: Vec::new() };
        let state = DiskState { content: Mutex::new(content), broken: AtomicBool::new(false) };
        Self(Arc::new(state))
    }

    fn open(&self) -> LogStore {
        let database = builder().create_with_backend(self.clone()).expect("a database");
        LogStore::with_database(database).expect("a log")
    }

    fn check(&self) -> io::Result<()> {
        match self.0.broken.load(Ordering::SeqCst) {
            true => Err(io::Error::other("no space left on this disk")),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.content.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("small");
        out.copy_from_slice(&self.0.content.lock().now[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.check()?;
        self.0.content.lock().now.resize(usize::try_from(length).expect("small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        let mut content = self.0.content.lock();
        content.synced = content.now.clone();
        content.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        let offset = usize::try_from(offset).expect("small");
        let mut content = self.0.content.lock();
        content.now[offset..offset + data.len()].copy_from_slice(data);
        content.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}

fn log_id(index: u64) -> LogId {
    LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index }
}

fn entry(index: u64) -> Entry {
    Entry::new_blank(log_id(index))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

async fn indexes(log: &mut LogStore) -> BTreeSet<u64> {
    let entries = log.get_log_reader().await.try_get_log_entries(..).await.expect("readable");
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// What openraft asks of a log.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Vote(u64),
    Committed,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..4).prop_map(Step::Append),
        1 => (0_u64..3).prop_map(Step::Truncate),
        1 => (1_u64..3).prop_map(Step::Purge),
        1 => (2_u64..9).prop_map(Step::Vote),
        1 => Just(Step::Committed),
    ]
}

/// What must be there after every step that was confirmed.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: BTreeSet<u64>,
    next: u64,
    purged: Option<u64>,
    vote: Option<Vote>,
}

impl Model {
    async fn take(&mut self, step: Step, log: &mut LogStore) {
        match step {
            Step::Append(count) => {
                let range = self.next..self.next + count;
                log.blocking_append(range.clone().map(entry)).await.expect("appended");
                self.next = range.end;
                self.entries.extend(range);
            }
            Step::Truncate(count) => {
                let first = self.purged.map_or(0, |purged| purged + 1);
                let next = self.next.saturating_sub(count).max(first);
                let last = next.checked_sub(1).map(log_id);
                log.truncate_after(last).await.expect("truncated");
                self.next = next;
                self.entries.retain(|index| *index < next);
            }
            Step::Purge(count) => {
                let Some(upto) = self.entries.iter().copied().take(count as usize).next_back()
                else {
                    return;
                };
                log.purge(log_id(upto)).await.expect("purged");
                self.purged = Some(upto);
                self.entries.retain(|index| *index > upto);
            }
            Step::Vote(term) => {
                let vote = Vote { leader_id: LeaderId { term, node_id: 1 }, committed: false };
                log.save_vote(&vote).await.expect("saved");
                self.vote = Some(vote);
            }
            Step::Committed => {
                let committed = self.next.checked_sub(1).map(log_id);
                log.save_committed(committed).await.expect("saved");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn what_was_confirmed_is_there_after_a_power_cut_at_any_step(
        steps in proptest::collection::vec(step(), 1..25), kept: u64,
    ) {
        run(async {
            let disk = Disk::default();
            let mut log = disk.open();
            let mut model = Model::default();
            for step in steps {
                model.take(step, &mut log).await;
                let after = disk.after_power_cut(|write| kept.rotate_left(write as u32) & 1 == 1);
                let mut back = after.open();
                assert_eq!(indexes(&mut back).await, model.entries, "after {step:?}");
                let vote = back.get_log_reader().await.read_vote().await.expect("readable");
                assert_eq!(vote, model.vote, "after {step:?}");
                let state = back.get_log_state().await.expect("readable");
                assert_eq!(state.last_purged_log_id.map(|id| id.index), model.purged);
            }
        });
    }
}

#[test]
fn entries_are_readable_before_they_are_on_disk() {
    run(async {
        let disk = Disk::default();
        let mut log = disk.open();
        {
            // The writer cannot be done while the disk is held.
            let _held = disk.0.content.lock();
            let appending = log.append([entry(0)], IOFlushed::noop());
            appending.now_or_never().expect("it does not wait for the disk").expect("queued");
            assert!(log.shared.memory.lock().tail.contains_key(&0));
        }
        assert_eq!(log.get_log_state().await.expect("known").last_log_id, Some(log_id(0)));
        assert_eq!(indexes(&mut log).await, [0].into());
    });
}

#[test]
fn a_failing_disk_is_reported_and_nothing_is_written_after_it() {
    run(async {
        let disk = Disk::default();
        let mut log = disk.open();
        log.blocking_append([entry(0)]).await.expect("appended");
        disk.0.broken.store(true, Ordering::SeqCst);
        log.blocking_append([entry(1)]).await.expect_err("the disk is full");
        // There is room again, but nobody knows what the failed sync left behind.
        disk.0.broken.store(false, Ordering::SeqCst);
        log.blocking_append([entry(2)]).await.expect_err("the log stopped");
        log.save_vote(&Vote::new(3, 1)).await.expect_err("the log stopped");
        let mut back = disk.after_power_cut(|_| false).open();
        assert_eq!(indexes(&mut back).await, [0].into());
    });
}

#[test]
fn a_peer_that_lags_gets_entries_in_messages_of_bounded_size() {
    run(async {
        let mut log = Disk::default().open();
        let nodes: std::collections::BTreeMap<u64, BasicNode> =
            (0..30).map(|id| (id, BasicNode::new("x".repeat(10_000)))).collect();
        let voters: BTreeSet<u64> = nodes.keys().copied().collect();
        let membership = openraft::Membership::new(vec![voters], nodes).expect("a membership");
        let large = |index| Entry::new_membership(log_id(index), membership.clone());
        log.blocking_append((0..10).map(large)).await.expect("appended");
        let mut reader = log.get_log_reader().await;
        let first = reader.limited_get_log_entries(0, 10).await.expect("readable");
        assert_eq!(first.len(), 3, "300 kB each, and 1 MiB is the bound");
        let all = reader.try_get_log_entries(0..10).await.expect("readable");
        assert_eq!(all.len(), 10, "applying takes what it asks for");
    });
}
