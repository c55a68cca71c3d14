//! Random lives of one actor: hosts that die, commits that are discarded, callers that repeat themselves, owners that
//! change by plan or by force. Whatever happens, an acknowledged add is in the store, no add is there twice, and no caller
//! is forgotten.

use std::collections::{BTreeMap, HashMap, VecDeque};

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

/// The store: one row, its spilled packs and its inbox.
#[derive(Default)]
struct Store {
    row: Option<ActorRecord>,
    packs: Vec<Bytes>,
    inbox: BTreeMap<u64, Bytes>,
}

struct World {
    stage: Stage,
    store: Store,
    dice: Dice,
    /// Commits and acceptances on their way to the store, in order.
    writes: VecDeque<Write>,
    waiters: HashMap<u64, Vec<Waiter>>,
    acknowledged: Vec<u64>,
    asked: u64,
    /// The state at the host, per unanswered turn of the run.
    run: VecDeque<(u64, String)>,
    host_state: String,
    sequence: u64,
    /// Calls that left the activation unanswered.
    handed_back: Vec<Call>,
}

enum Write {
    Turns(Box<CommitUnit>),
    Accept(u64, Bytes),
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            stage: Stage::durable(),
            store: Store::default(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            writes: VecDeque::new(),
            waiters: HashMap::new(),
            acknowledged: Vec::new(),
            asked: 0,
            run: VecDeque::new(),
            host_state: String::new(),
            sequence: 0,
            handed_back: Vec::new(),
        }
    }

    /// An add of a number, named by the number. Old numbers are repeated often.
    fn ask(&mut self, number: u64) {
        let asynchronous = number.is_multiple_of(5);
        let id = format!("add-{number}");
        let (to, waiter) = oneshot::channel();
        let call = Call {
            action: "add".into(),
            argument: Payload { data: number.to_string().into(), ..Payload::default() },
            request_id: id,
            created_at: WALL.plus(i64::try_from(number).expect("small")),
            deadline: self.stage.now.plus_millis(10_000),
            metadata: Metadata::new(),
            lineage: None,
            asynchronous,
            activates_only: false,
            from_json: false,
            begun: false,
            delivery: false,
            hops: None,
            seat: None,
            reply_to: ReplyTo::Unary(to),
        };
        self.admit(call);
        self.waiters.entry(number).or_default().push(Waiter(waiter));
    }

    fn admit(&mut self, call: Call) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.stage.with(|a, env, fx| a.on_call(env, call, sequence, false, fx));
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0..=5 => {
                self.asked += 1;
                self.ask(self.asked);
            }
            6..=7 if self.asked > 0 => {
                let number = 1 + self.dice.roll(self.asked);
                self.ask(number);
            }
            8..=10 => self.hand_out(),
            11..=14 => self.host_answers(),
            15 if self.dice.roll(4) == 0 => self.host_dies(),
            16..=18 => self.store_takes_one(),
            19 => match self.dice.roll(15) {
                0..=2 => self.node_dies(),
                3 => self.is_taken_away(),
                4 => self.moves(),
                _ => {}
            },
            _ => {}
        }
        self.end_round();
    }

    fn hand_out(&mut self) {
        if !self.run.is_empty() {
            return;
        }
        self.host_state = self.stage.state();
        let busy = self.stage.activation.busy.as_ref();
        if let Some(pause_ends) = busy.and_then(|busy| busy.paused_until(self.stage.now)) {
            self.stage.now = pause_ends;
        }
        self.stage.run();
        let turns = self.stage.activation.run();
        self.run = turns
            .map(|t| (t.turn_id, String::from_utf8_lossy(&t.call.argument.data).into_owned()))
            .collect();
    }

    fn host_answers(&mut self) {
        let Some((turn_id, number)) = self.run.pop_front() else {
            return;
        };
        let end = if number.ends_with('7') {
            refused("sevens are refused")
        } else {
            self.host_state = format!("{}{number},", self.host_state);
            ok(&number, Some(&self.host_state))
        };
        assert_eq!(self.stage.result(turn_id, end), Answered::Taken);
    }

    /// Never for the last attempt of a turn: giving an accepted call up is right, and not what is looked for here.
    fn host_dies(&mut self) {
        let head = self.stage.activation.run().next();
        if head.is_some_and(|turn| turn.attempt < limits::TURN_ATTEMPTS_MAX) {
            self.run.clear();
            self.stage.lost();
        }
    }

    fn end_round(&mut self) {
        for effect in std::mem::take(&mut self.stage.fx) {
            match effect {
                Effect::Accept { sequence, call } => {
                    self.writes.push_back(Write::Accept(sequence, call));
                }
                Effect::HandBack(call) => self.handed_back.push(*call),
                Effect::LookUp { request_id, .. } => {
                    let packs = self.store.packs.iter();
                    let found = packs
                        .flat_map(|pack| crate::activation::outcome::decode(pack).expect("decodes"))
                        .find(|known| known.request_id == request_id);
                    self.stage.with(|a, env, fx| a.on_looked_up(env, &request_id, Ok(found), fx));
                }
                _ => {}
            }
        }
        if let Some(unit) = self.stage.commit() {
            self.writes.push_back(Write::Turns(Box::new(unit)));
        }
        for (number, waiters) in &mut self.waiters {
            waiters.retain_mut(|waiter| match waiter.answer() {
                None => true,
                Some(outcome) => {
                    if outcome.is_ok() {
                        self.acknowledged.push(*number);
                    }
                    false
                }
            });
        }
    }

    fn store_takes_one(&mut self) {
        match self.writes.pop_front() {
            Some(Write::Accept(sequence, call)) => {
                self.store.inbox.insert(sequence, call);
                self.stage.with(|a, _, fx| a.on_accepted(sequence, fx));
            }
            Some(Write::Turns(unit)) => {
                let stored = self.store.row.as_ref().map_or(Revision::ZERO, |row| row.revision);
                assert_eq!(unit.commit.previous, stored, "commits follow each other");
                if self.dice.roll(8) == 0 {
                    // The transaction was discarded, with the turns behind it.
                    self.writes.retain(|write| matches!(write, Write::Accept(..)));
                    self.run.clear();
                    self.stage.with(|a, env, fx| a.restart(env, fx));
                    self.stage.load(self.store.row.clone());
                } else {
                    self.write(&unit);
                    self.stage.committed(&unit);
                }
            }
            None => {}
        }
    }

    fn write(&mut self, unit: &CommitUnit) {
        self.store.row = Some(unit.commit.record.clone());
        self.store.packs.extend(unit.commit.spill.iter().map(|pack| pack.data.clone()));
        for sequence in &unit.commit.inbox_done {
            self.store.inbox.remove(sequence);
        }
    }

    /// Memory is gone; what had reached the store is not. A write that was under way may have happened.
    fn node_dies(&mut self) {
        if self.dice.roll(2) == 0
            && let Some(Write::Turns(unit)) = self.writes.pop_front()
        {
            self.write(&unit);
        }
        self.waiters.clear();
        self.take_over();
    }

    /// The epoch is over from one moment to the next. Writes under way happened before the fence was raised, or not.
    fn is_taken_away(&mut self) {
        self.stage.with(|a, env, fx| a.hand_back_all(env.now, fx));
        self.end_round();
        let under_way = u64::try_from(self.writes.len()).expect("few");
        for _ in 0..self.dice.roll(under_way + 1) {
            match self.writes.pop_front() {
                Some(Write::Turns(unit)) => self.write(&unit),
                Some(Write::Accept(sequence, call)) => {
                    self.store.inbox.insert(sequence, call);
                }
                None => {}
            }
        }
        self.take_over();
    }

    /// A planned move: the activation goes when nothing of it would be missed.
    fn moves(&mut self) {
        for look in 0..=100_000 {
            assert!(look < 100_000, "the actor never lets go");
            let patient = look < 20;
            self.stage.with(|a, env, fx| match patient {
                true => a.hand_back_waiting(env.now, fx),
                false => a.abandon_turns(env.now, fx),
            });
            if self.stage.activation.may_leave() {
                break;
            }
            match self.dice.roll(3) {
                0 if patient => self.host_answers(),
                0 => self.run.clear(),
                _ => self.store_takes_one(),
            }
            self.end_round();
        }
        let left_behind = |write: &Write| match write {
            // Rows of repetitions; whoever reads them finds out.
            Write::Turns(unit) => unit.commit.previous != unit.commit.record.revision,
            Write::Accept(..) => true,
        };
        assert!(!self.writes.iter().any(left_behind), "released before its writes had ended");
        self.end_round();
        self.take_over();
    }

    /// The next owner starts from the store, then gets the calls that were handed back, in any order.
    fn take_over(&mut self) {
        self.writes.clear();
        self.run.clear();
        let now = self.stage.now;
        self.stage.activation = Activation::new(env(&self.stage.definition, now));
        self.stage.fx.clear();
        for (sequence, bytes) in self.store.inbox.clone() {
            let call = crate::activation::inbox_record::decode(&bytes).expect("decodes");
            self.stage.with(|a, env, fx| a.on_call(env, call, sequence, true, fx));
        }
        let mut calls = std::mem::take(&mut self.handed_back);
        while !calls.is_empty() {
            let at = self.dice.roll(u64::try_from(calls.len()).expect("few"));
            self.admit(calls.swap_remove(usize::try_from(at).expect("few")));
        }
        self.stage.load(self.store.row.clone());
        self.sequence = self.sequence.max(self.store.inbox.keys().max().copied().unwrap_or(0));
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.hand_out();
            self.host_answers();
            self.end_round();
            self.store_takes_one();
            self.end_round();
            if self.run.is_empty() && self.writes.is_empty() && !self.stage.activation.is_busy() {
                return;
            }
        }
        panic!("the actor does not come to rest");
    }
}

#[test]
fn acknowledged_adds_are_stored_and_none_is_there_twice() {
    for seed in 1..=400 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
        }
        world.settle();
        let row = world.store.row.clone().unwrap_or_default();
        let stored = row.state.map(|state| String::from_utf8_lossy(&state.data).into_owned());
        let applied: Vec<u64> = stored
            .unwrap_or_default()
            .split_terminator(',')
            .map(|number| number.parse().expect("a number"))
            .collect();
        let mut once = applied.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), applied.len(), "seed {seed}: an add was applied twice: {applied:?}");
        for number in &world.acknowledged {
            let refused = number % 10 == 7;
            assert!(refused || applied.contains(number), "seed {seed}: add {number} was lost");
        }
        assert!(world.store.inbox.is_empty(), "seed {seed}: an accepted call was never run");
    }
}
