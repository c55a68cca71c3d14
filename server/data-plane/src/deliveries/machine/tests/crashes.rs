//! Random lives of a shard's deliveries: owners that die between a commit, a delivery, the end of its row and its
//! confirmation; targets that refuse, or answer and are not heard. Every row is applied once, in order per pair, and goes.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// A small generator, so that a seed says everything (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

struct World {
    stage: Stage,
    dice: Dice,
    /// The store: rows by (due time, place).
    rows: BTreeMap<(i64, u64), (String, Item)>,
    next: u64,
    /// Rows that were committed, and that the machine has not been told of.
    committed: Vec<(String, u64, Output)>,
    /// Per pair: what its target applied, in order.
    applied: BTreeMap<(String, String), Vec<u64>>,
    known: HashSet<String>,
    delayed: HashSet<u64>,
    under_way: Vec<u64>,
    ends: Vec<(u64, u64)>,
    reads: Vec<(u64, (Millis, u64), Millis)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let stage = Stage::new();
        Self {
            stage,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            rows: BTreeMap::new(),
            next: 1,
            committed: Vec::new(),
            applied: BTreeMap::new(),
            known: HashSet::new(),
            delayed: HashSet::new(),
            under_way: Vec::new(),
            ends: Vec::new(),
            reads: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.dice.roll(14) {
            0..=2 => self.commit(),
            3..=4 => self.tell(),
            5..=7 => self.target_answers(),
            8..=9 => self.row_goes(),
            10..=11 => self.page_comes(),
            12 => self.stage.pass(40),
            _ if self.dice.roll(12) == 0 => self.owner_dies(),
            _ => {}
        }
        self.collect();
    }

    /// A turn commits; the machine hears of it later, or never.
    fn commit(&mut self) {
        let source = format!("s{}", self.dice.roll(2));
        for _ in 0..=self.dice.roll(3) {
            let (sequence, target) = (self.next, format!("t{}", self.dice.roll(3)));
            self.next += 1;
            let delayed = self.dice.roll(5) == 0;
            let due_at = if delayed { self.stage.now.wall.plus(100) } else { Millis(0) };
            if delayed {
                self.delayed.insert(sequence);
            }
            let item = call(&target, &sequence.to_string());
            self.rows.insert((due_at.0, sequence), (source.clone(), item.clone()));
            self.committed.push((source.clone(), sequence, Output { due_at, item }));
        }
    }

    fn tell(&mut self) {
        for (source, sequence, output) in std::mem::take(&mut self.committed) {
            let now = self.stage.now;
            self.stage.machine.fresh(SHARD, &actor(&source), Some(sequence), vec![output], now);
        }
    }

    fn target_answers(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let at = self.dice.roll(u64::try_from(self.under_way.len()).expect("few"));
        let ticket = self.under_way.swap_remove(usize::try_from(at).expect("few"));
        let refused = self.dice.roll(5) == 0;
        if let Some(flight) = self.stage.machine.flight(ticket, self.stage.now)
            && !refused
        {
            let Item::Call(call) = flight.item else { panic!("only calls here") };
            let id = call.request_id.clone();
            let pair = (flight.source.key.to_string(), call.target.key.to_string());
            if self.known.insert(id.clone()) {
                self.applied.entry(pair).or_default().push(id.parse().expect("a number"));
            }
        }
        let unheard = refused || self.dice.roll(6) == 0;
        let outcome = if unheard { error(ErrorKind::OutcomeUnknown) } else { ok() };
        self.stage.answer(ticket, &outcome);
    }

    fn row_goes(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let (ticket, sequence) = self.ends.remove(0);
        self.rows.retain(|(_, at), _| *at != sequence);
        let durable = (self.dice.roll(6) > 0).then_some(());
        let now = self.stage.now;
        self.stage.machine.done(ticket, durable, now, &mut self.stage.fx);
    }

    fn page_comes(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let (number, after, until) = self.reads.remove(0);
        let after = (after.0.0, after.1);
        let due = self.rows.iter().filter(|((due, at), _)| (*due, *at) > after && *due <= until.0);
        let rows: Vec<StoredRow> = due
            .take(4)
            .map(|((due, sequence), (key, item))| StoredRow {
                key: key.clone(),
                sequence: *sequence,
                due_at: Millis(*due),
                item: item.encode(),
            })
            .collect();
        let more = rows.len() == 4;
        let next_due = self.rows.keys().map(|(due, _)| *due).find(|due| *due > until.0).map(Millis);
        self.stage.read(Page { number, rows, more, next_due });
    }

    /// Memory is gone. What is under way may still be applied, or its end written, before the next owner reads.
    fn owner_dies(&mut self) {
        while !self.under_way.is_empty() && self.dice.roll(2) == 0 {
            self.target_answers();
        }
        self.collect();
        if self.dice.roll(2) == 0 {
            self.row_goes();
        }
        let now = self.stage.now;
        self.stage = Stage { machine: Deliveries::default(), now, fx: Vec::new() };
        self.committed.clear();
        self.under_way.clear();
        self.ends.clear();
        self.reads.clear();
        self.stage.open();
    }

    fn collect(&mut self) {
        let sent = self.stage.sent();
        self.under_way.extend(sent.into_iter().map(|(ticket, _)| ticket));
        for effect in std::mem::take(&mut self.stage.fx) {
            match effect {
                Effect::End { ticket, sequence, dead, .. } => {
                    assert!(dead.is_none(), "nothing here is to be given up: {dead:?}");
                    self.ends.push((ticket, sequence));
                }
                Effect::Read { number, after, until, .. } => {
                    self.reads.push((number, after, until));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_row_is_applied_once_in_order_and_goes() {
    for seed in 1..=300 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.tell();
        for _ in 0..20_000 {
            if world.rows.is_empty() {
                break;
            }
            world.target_answers();
            world.row_goes();
            world.page_comes();
            world.stage.pass(20);
            world.collect();
        }
        assert!(world.rows.is_empty(), "seed {seed}: rows stay: {:?}", world.rows.keys());
        let applied: usize = world.applied.values().map(Vec::len).sum();
        assert_eq!(applied, usize::try_from(world.next).expect("few") - 1, "seed {seed}");
        for (pair, applied) in &world.applied {
            // Delayed rows come when they are due; among the others the order of commits holds.
            let plain = applied.iter().copied().filter(|at| !world.delayed.contains(at));
            let plain: Vec<u64> = plain.collect();
            assert!(plain.is_sorted(), "seed {seed}: {pair:?} out of order: {applied:?}");
        }
    }
}
