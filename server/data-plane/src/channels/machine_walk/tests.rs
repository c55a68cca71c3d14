//! A store and an owner that dies, played around the walks of one shard.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A shard as its rows and its actors' outcomes are stored.
#[derive(Default)]
struct Shard {
    /// (sequence, message, cursor), live ones.
    rows: BTreeMap<u64, (u32, String)>,
    done: BTreeSet<u32>,
    keys: BTreeSet<String>,
    /// How often each actor ran each message.
    ran: BTreeMap<(String, u32), u32>,
    /// Outcomes that are kept.
    kept: BTreeSet<(String, u32)>,
    /// The order in which each actor ran messages.
    order: BTreeMap<String, Vec<u32>>,
}

impl Shard {
    fn record(&mut self, message: u32) {
        let sequence = u64::from(message) + 1;
        if !self.done.contains(&message) {
            self.rows.entry(sequence).or_insert((message, String::new()));
        }
    }

    fn read(&self, after: u64) -> Vec<Row<u32>> {
        let rows = self.rows.range(after + 1..).take(ROWS_PAGE);
        rows.map(|(sequence, (message, cursor))| Row {
            id: message.to_string(),
            sequence: *sequence,
            cursor: cursor.clone(),
            message: *message,
        })
        .collect()
    }

    fn page(&self, after: &str) -> Vec<String> {
        let above = self.keys.iter().filter(|key| key.as_str() > after);
        above.take(KEYS_PAGE).cloned().collect()
    }

    fn row(&mut self, id: &str) -> u64 {
        let found = self.rows.iter().find(|(_, (message, _))| message.to_string() == id);
        *found.expect("only live messages are written of").0
    }

    fn run(&mut self, key: &str, message: u32) {
        if self.kept.insert((key.to_owned(), message)) {
            *self.ran.entry((key.to_owned(), message)).or_default() += 1;
            self.order.entry(key.to_owned()).or_default().push(message);
        }
    }
}

/// One owner of the shard.
struct Owner {
    walker: Walker<u32>,
    /// What was asked for and has not happened yet.
    open: VecDeque<Ask<u32>>,
    budget: usize,
}

impl Owner {
    fn new() -> Self {
        Self { walker: Walker::new(), open: VecDeque::new(), budget: 40 }
    }

    fn step(&mut self, now: Tick) {
        let mut asks = Vec::new();
        self.walker.step(now, &mut self.budget, &mut asks);
        self.open.extend(asks);
    }

    /// One of the things that were asked for happens.
    fn happen(&mut self, shard: &mut Shard, pick: usize, fails: bool, now: Tick) {
        if self.open.is_empty() {
            return;
        }
        let deliveries = self.open.iter().all(|ask| matches!(ask, Ask::Deliver(..)));
        // Reads and writes of one shard happen in order; deliveries in any.
        let at = if deliveries { pick % self.open.len() } else { 0 };
        let mut asks = Vec::new();
        match self.open.remove(at).expect("it is not empty") {
            Ask::Rows(after) => {
                let rows = shard.read(after);
                let last = rows.last().map_or(0, |row| row.sequence);
                self.walker.on_rows((rows.len(), last), rows);
            }
            Ask::Begin(_) => self.walker.on_begun(1),
            Ask::Keys(walk, after) => self.walker.on_keys(walk, shard.page(&after)),
            Ask::Deliver(stop, key, message) => {
                self.budget += 1;
                if !fails {
                    shard.run(&key, message);
                }
                self.walker.on_ended(stop, !fails, now);
            }
            Ask::Advance(walk, id, cursor) => {
                let row = shard.row(&id);
                shard.rows.get_mut(&row).expect("it is live").1 = cursor;
                self.walker.on_written(walk, true, &mut asks);
            }
            Ask::Done(walk, id) => {
                let row = shard.row(&id);
                let (message, _) = shard.rows.remove(&row).expect("it is live");
                shard.done.insert(message);
                self.walker.on_written(walk, true, &mut asks);
            }
            Ask::Confirm(message, keys) => {
                for key in keys {
                    shard.kept.remove(&(key.to_string(), message));
                }
            }
        }
        for ask in asks.into_iter().rev() {
            self.open.push_front(ask);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However often the owner dies, and whatever fails: every actor runs every message once, and in the order in which
    /// the messages came.
    #[test]
    fn every_actor_gets_every_message_once_and_in_order(
        actors in 0_usize..400,
        steps in prop::collection::vec((0_u8..100, any::<usize>()), 1..1_000),
    ) {
        let mut shard = Shard {
            keys: (0..actors).map(|number| format!("k{number:04}")).collect(),
            ..Shard::default()
        };
        let mut owner = Owner::new();
        let (mut said, mut now, mut died) = (0, Tick(1), false);
        for (what, pick) in steps {
            match what {
                0..3 => {
                    shard.record(said);
                    said += 1;
                    owner.walker.on_recorded();
                }
                3 => {
                    owner = Owner::new();
                    died = true;
                }
                4..10 => owner.happen(&mut shard, pick, true, now),
                10..12 => now = now.plus_millis(1_000),
                _ => owner.happen(&mut shard, pick, false, now),
            }
            owner.step(now);
        }
        for _ in 0..2_000_000 {
            if owner.walker.is_idle() && owner.open.is_empty() {
                break;
            }
            owner.happen(&mut shard, 0, false, now);
            now = now.plus_millis(20);
            owner.step(now);
        }
        prop_assert!(owner.walker.is_idle() && shard.rows.is_empty());
        prop_assert_eq!(owner.walker.waiting(), 0);
        prop_assert_eq!(shard.ran.len(), actors * said as usize);
        prop_assert!(shard.ran.values().all(|times| *times == 1));
        prop_assert!(shard.order.values().all(|order| order.is_sorted()));
        // A confirmation is a best effort: an owner that dies owes those that it had not made.
        prop_assert!(died || shard.kept.is_empty());
    }
}

#[test]
fn a_delivery_that_fails_for_now_is_tried_again_after_a_pause() {
    let mut walker = Walker::new();
    let (mut budget, mut asks) = (10, Vec::new());
    let now = Tick(1);
    walker.step(now, &mut budget, &mut asks);
    let row = Row { id: "m".into(), sequence: 1, cursor: String::new(), message: () };
    walker.on_rows((1, 1), vec![row]);
    walker.step(now, &mut budget, &mut asks);
    walker.on_begun(2);
    walker.step(now, &mut budget, &mut asks);
    walker.on_keys(1, vec!["a".into()]);
    asks.clear();
    walker.step(now, &mut budget, &mut asks);
    let stops: Vec<Stop> = asks
        .drain(..)
        .filter_map(|ask| if let Ask::Deliver(stop, ..) = ask { Some(stop) } else { None })
        .collect();
    assert_eq!((stops.len(), budget), (2, 8), "one per action that listens");
    walker.on_ended(stops[0], true, now);
    walker.on_ended(stops[1], false, now);
    walker.step(now, &mut budget, &mut asks);
    assert!(asks.is_empty() && walker.retry_at() > now && !walker.is_idle());
    walker.step(walker.retry_at(), &mut budget, &mut asks);
    assert!(matches!(asks[..], [Ask::Deliver(stop, ..)] if stop == stops[1]));
}
