//! Rows in, attempts out: order, bounds and crashes.

mod crashes;
mod gathered;

use super::*;
use crate::{
    call::{Metadata, Payload, Reply},
    deliveries::{BroadcastItem, CallItem},
};

const SHARD: Place = (1, 0);
const WALL: Millis = Millis(1_700_000_000_000);

fn actor(key: &str) -> ActorId {
    ActorId::parse("default", "Counter", key).expect("a valid name")
}

fn call(target: &str, id: &str) -> Item {
    Item::Call(Box::new(CallItem {
        target: actor(target),
        action: "add".into(),
        argument: Payload::default(),
        request_id: id.into(),
        created_at: WALL,
        metadata: Metadata::new(),
        hops: Vec::new(),
        chain: Vec::new(),
    }))
}

fn at_once(item: Item) -> Output {
    Output { due_at: Millis(0), item }
}

fn ok() -> Outcome {
    Ok(Reply::default())
}

fn error(kind: ErrorKind) -> Outcome {
    Err(CallError::new(kind, "no"))
}

/// A machine with a clock and its effects.
struct Stage {
    machine: Deliveries,
    now: Now,
    fx: Vec<Effect>,
}

impl Stage {
    /// Its shard is open, and was empty.
    fn new() -> Self {
        let mut stage = Self {
            machine: Deliveries::default(),
            now: Now { tick: Tick(1_000_000), wall: WALL },
            fx: Vec::new(),
        };
        stage.open();
        let number = stage.reads()[0];
        stage.read(Page { number, ..Page::default() });
        stage
    }

    fn open(&mut self) {
        let names = ("default".into(), "Counter".into());
        self.machine.open(SHARD, Epoch(1), names, self.now, &mut self.fx);
    }

    fn read(&mut self, page: Page) {
        self.machine.read(SHARD, page, self.now, &mut self.fx);
    }

    /// The numbers of the passes that ask for a page now.
    fn reads(&mut self) -> Vec<u64> {
        let read = |effect: &Effect| match effect {
            Effect::Read { number, .. } => Some(*number),
            _ => None,
        };
        let reads = self.fx.iter().filter_map(read).collect();
        self.fx.retain(|effect| read(effect).is_none());
        reads
    }

    fn fresh(&mut self, source: &str, first: Option<u64>, items: Vec<Item>) {
        let outputs = items.into_iter().map(at_once).collect();
        self.machine.fresh(SHARD, &actor(source), first, outputs, self.now);
    }

    fn pass(&mut self, millis: u64) {
        self.now.tick = self.now.tick.plus_millis(millis);
        self.now.wall = self.now.wall.plus(i64::try_from(millis).expect("small"));
    }

    /// What is attempted now, as (ticket, request id).
    fn sent(&mut self) -> Vec<(u64, String)> {
        self.machine.turn(self.now, &mut self.fx);
        let mut sent = Vec::new();
        self.fx.retain(|effect| match effect {
            Effect::Send { ticket } => {
                sent.push(*ticket);
                false
            }
            _ => true,
        });
        let id = |ticket: u64| {
            let flight = self.machine.flight(ticket, self.now).expect("it is under way");
            (ticket, flight.item.id().to_owned())
        };
        sent.into_iter().map(id).collect()
    }

    fn ids(&mut self) -> Vec<String> {
        self.sent().into_iter().map(|(_, id)| id).collect()
    }

    fn answer(&mut self, ticket: u64, outcome: &Outcome) {
        self.machine.answered(ticket, outcome, self.now, &mut self.fx);
    }

    /// The ends that are to be written now, as (ticket, sequence, why it died).
    fn ends(&mut self) -> Vec<(u64, u64, Option<ErrorKind>)> {
        let end = |effect: &Effect| match effect {
            Effect::End { ticket, sequence, dead, .. } => {
                Some((*ticket, *sequence, dead.as_ref().map(|dead| dead.error.kind)))
            }
            _ => None,
        };
        let ends = self.fx.iter().filter_map(end).collect();
        self.fx.retain(|effect| end(effect).is_none());
        ends
    }

    fn done(&mut self, ticket: u64) {
        self.machine.done(ticket, Some(()), self.now, &mut self.fx);
    }
}

#[test]
fn the_next_row_of_a_pair_waits_for_the_one_before_and_other_pairs_do_not() {
    let mut stage = Stage::new();
    stage.fresh("a", Some(1), vec![call("x", "1"), call("x", "2"), call("y", "3")]);
    stage.fresh("b", Some(4), vec![call("x", "4")]);
    let sent = stage.sent();
    let ids: Vec<&str> = sent.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, ["1", "3", "4"]);
    stage.answer(sent[0].0, &error(ErrorKind::MailboxFull));
    assert!(stage.sent().is_empty(), "the first one is to be tried again");
    stage.pass(30);
    let again = stage.sent();
    assert_eq!(again[0].1, "1");
    stage.answer(again[0].0, &ok());
    assert_eq!(stage.ids(), ["2"], "it need not wait for its predecessor's row to be gone");
}

#[test]
fn a_target_hears_of_its_delivery_only_once_the_row_is_gone() {
    let mut stage = Stage::new();
    stage.fresh("a", Some(1), vec![call("x", "1")]);
    let sent = stage.sent();
    stage.answer(sent[0].0, &ok());
    let [(ticket, 1, None)] = stage.ends()[..] else { panic!("one row ended") };
    assert!(stage.sent().is_empty() && stage.fx.is_empty());
    stage.machine.done(ticket, None, stage.now, &mut stage.fx);
    let again = stage.ends();
    assert_eq!(again.len(), 1, "nobody knows: it is written again");
    stage.done(again[0].0);
    match &stage.fx[..] {
        [Effect::Confirm { target, confirmed }] => {
            assert_eq!((target, confirmed.request_id.as_str()), (&actor("x"), "1"));
            assert!(!confirmed.restamped);
        }
        other => panic!("expected a confirmation: {other:?}"),
    }
}

#[test]
fn the_target_of_a_dead_letter_keeps_what_it_knows_of_it() {
    let mut stage = Stage::new();
    stage.fresh("a", Some(1), vec![call("x", "1")]);
    let sent = stage.sent();
    stage.answer(sent[0].0, &error(ErrorKind::TurnCrashedHost));
    let [(ticket, 1, Some(_))] = stage.ends()[..] else { panic!("it died") };
    stage.done(ticket);
    assert!(stage.sent().is_empty() && stage.fx.is_empty(), "a retry must still find it");
}

#[test]
fn poison_dies_and_does_not_stand_in_the_way() {
    let mut stage = Stage::new();
    stage.fresh("a", Some(1), vec![call("x", "1"), call("x", "2")]);
    let sent = stage.sent();
    stage.answer(sent[0].0, &error(ErrorKind::UnknownAction));
    assert_eq!(stage.ends()[0].2, Some(ErrorKind::UnknownAction));
    assert_eq!(stage.ids(), ["2"]);
    stage.machine.doubt(SHARD, stage.now, &mut stage.fx);
    let number = stage.reads()[0];
    let junk = StoredRow {
        key: "a".into(),
        sequence: 9,
        due_at: Millis(0),
        item: bytes::Bytes::from_static(b"\x63junk"),
    };
    stage.read(Page { number, rows: vec![junk], ..Page::default() });
    assert_eq!(stage.ends()[0].1, 9, "a row that cannot be read is a dead letter");
}

#[test]
fn an_unknown_type_is_tried_while_views_may_lag_and_no_host_for_days() {
    let mut stage = Stage::new();
    stage.fresh("a", Some(1), vec![call("x", "1"), call("y", "2")]);
    let mut died = None;
    for _ in 0..1_000 {
        for (ticket, id) in stage.sent() {
            let kind = if id == "1" { ErrorKind::UnknownType } else { ErrorKind::NoHost };
            stage.answer(ticket, &error(kind));
        }
        if let Some((_, 1, kind)) = stage.ends().first() {
            died = Some((*kind, stage.now.tick));
        }
        stage.pass(20);
    }
    let (kind, at) = died.expect("it was given up");
    assert_eq!(kind, Some(ErrorKind::UnknownType));
    assert!(at >= Tick(1_000_000).plus_millis(UNKNOWN_PATIENCE_MS));
    let days = u64::try_from(limits::DELIVERY_AGE_MAX_MS).expect("positive");
    stage.pass(days);
    let sent = stage.sent();
    let late = stage.machine.flight(sent[0].0, stage.now).expect("under way");
    assert_eq!(late.created_at, stage.now.wall, "an old row's attempts carry their own time");
    stage.answer(sent[0].0, &error(ErrorKind::NoHost));
    assert_eq!(stage.ends()[0].2, Some(ErrorKind::NoHost), "after three days it is given up");
}

#[test]
fn delayed_outputs_wait_in_the_store_or_in_memory_and_block_nobody() {
    let mut stage = Stage::new();
    let later = |id: &str| Output { due_at: WALL.plus(500), item: call("x", id) };
    let outputs = vec![later("1"), at_once(call("x", "2"))];
    stage.machine.fresh(SHARD, &actor("a"), Some(1), outputs, stage.now);
    let outputs = vec![later("3"), at_once(call("x", "4"))];
    stage.machine.fresh(SHARD, &actor("v"), None, outputs, stage.now);
    assert_eq!(stage.ids(), ["2", "4"]);
    assert!(stage.machine.next_wake(stage.now) <= stage.now.tick.plus_millis(500));
    stage.pass(499);
    assert!(stage.ids().is_empty() && stage.reads().is_empty());
    stage.pass(1);
    stage.sent();
    let number = stage.reads()[0];
    let row = |sequence, due_at, id| {
        let item = call("x", id).encode();
        StoredRow { key: "a".into(), sequence, due_at, item }
    };
    let rows = vec![row(2, Millis(0), "2"), row(1, WALL.plus(500), "1")];
    stage.read(Page { number, rows, ..Page::default() });
    let flying: Vec<String> = stage.ids();
    assert!(flying.is_empty(), "rows of the same pairs are under way: {flying:?}");
}

#[test]
fn memory_is_bounded_and_what_does_not_fit_is_read_later_in_order() {
    let mut stage = Stage::new();
    let count = u64::try_from(LANE_ROWS_MAX).expect("small") + 10;
    for sequence in 1..=count {
        stage.fresh("a", Some(sequence), vec![call("x", &sequence.to_string())]);
    }
    let mut delivered = Vec::new();
    for _ in 0..3 * count {
        for (ticket, id) in stage.sent() {
            delivered.push(id.parse::<u64>().expect("a number"));
            stage.answer(ticket, &ok());
        }
        for (ticket, ..) in stage.ends() {
            stage.done(ticket);
        }
        for number in stage.reads() {
            let done = u64::try_from(delivered.len()).expect("few");
            let rows = (done + 1..=count).map(|sequence| StoredRow {
                key: "a".into(),
                sequence,
                due_at: Millis(0),
                item: call("x", &sequence.to_string()).encode(),
            });
            stage.read(Page { number, rows: rows.collect(), ..Page::default() });
        }
        stage.pass(10);
    }
    assert!(delivered.iter().copied().eq(1..=count), "{delivered:?}");
}

#[test]
fn lanes_that_wait_make_room_for_others_and_come_back() {
    let mut stage = Stage::new();
    let count = u64::try_from(ROWS_HELD_MAX).expect("fits") + 1;
    for sequence in 1..count {
        let id = sequence.to_string();
        stage.fresh("a", Some(sequence), vec![call(&format!("t{id}"), &id)]);
        for (ticket, _) in stage.sent() {
            stage.answer(ticket, &error(ErrorKind::NoHost));
        }
    }
    assert_eq!(stage.machine.stored.rows, ROWS_HELD_MAX);
    stage.fresh("a", Some(count), vec![call("new", "new")]);
    assert_eq!(stage.ids(), ["new"], "a lane that waits for a host has made room");
    assert_eq!(stage.machine.stored.rows, ROWS_HELD_MAX);
    stage.pass(60_000);
    stage.sent();
    assert_eq!(stage.reads().len(), 1, "and is read again");
}

#[test]
fn a_shard_that_leaves_takes_its_rows_along_and_an_attempt_under_way_counts_for_nothing() {
    let mut stage = Stage::new();
    stage.fresh("a", Some(1), vec![call("x", "1"), call("x", "2"), call("y", "3")]);
    stage.fresh("v", None, vec![call("x", "memory")]);
    let sent = stage.sent();
    stage.answer(sent[1].0, &ok());
    stage.machine.close(SHARD);
    stage.answer(sent[0].0, &ok());
    let (ticket, ..) = stage.ends()[0];
    stage.done(ticket);
    assert!(stage.sent().is_empty() && stage.ends().is_empty() && stage.fx.is_empty());
    assert_eq!((stage.machine.stored.rows, stage.machine.stored.bytes), (0, 0));
    assert_eq!(stage.machine.memory.rows, 1, "what has no row is this node's to deliver");
}

#[test]
fn without_a_lease_nothing_is_attempted() {
    let mut stage = Stage::new();
    stage.machine.pause(true);
    stage.fresh("a", Some(1), vec![call("x", "1")]);
    assert!(stage.sent().is_empty());
    stage.machine.pause(false);
    assert_eq!(stage.ids(), ["1"]);
}

#[test]
fn messages_of_one_channel_keep_their_order_and_are_confirmed_to_nobody() {
    let mut stage = Stage::new();
    let said = |id: &str| {
        Item::Broadcast(Box::new(BroadcastItem {
            channel: "news".into(),
            payload: Payload::default(),
            id: id.into(),
            created_at: WALL,
            metadata: Metadata::new(),
        }))
    };
    stage.fresh("a", Some(1), vec![said("1"), said("2")]);
    let sent = stage.sent();
    assert_eq!(sent.len(), 1);
    stage.answer(sent[0].0, &ok());
    let (ticket, ..) = stage.ends()[0];
    stage.done(ticket);
    assert_eq!(stage.ids(), ["2"]);
    assert!(stage.fx.is_empty());
}
