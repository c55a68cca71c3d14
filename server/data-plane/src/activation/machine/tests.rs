//! State and input in, effects out.

mod acceptance;
mod attempts;
mod flow;
mod leave;
mod operate;
mod simulation;
mod timers;

use callboard_statestore::ActorRecord;
use callboard_types::{Action, ErrorKind, Kind, limits};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use crate::{
    activation::outcome::{StoredOutcome, fingerprint},
    call::{Metadata, Payload},
};

const SESSION: SessionId = SessionId(7);

/// An activation with a clock, and what its waiters have been told.
struct Stage {
    definition: TypeDefinition,
    activation: Activation,
    now: Tick,
    fx: Vec<Effect>,
    turn_ids: u64,
}

/// A caller that waits.
struct Waiter(oneshot::Receiver<Outcome>);

impl Waiter {
    fn answer(&mut self) -> Option<Outcome> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => panic!("the call was dropped without an answer"),
        }
    }

    fn error(&mut self) -> ErrorKind {
        self.answer().expect("answered").expect_err("an error").kind
    }
}

fn definition(durability: Durability) -> TypeDefinition {
    let mut definition = TypeDefinition::new("Counter");
    definition.durability = durability;
    definition.actions.insert("add".into(), Action::default());
    definition.actions.insert("read".into(), Action { read_only: true, ..Action::default() });
    let alone = Action { speculation_off: true, ..Action::default() };
    definition.actions.insert("careful".into(), alone);
    definition
}

impl Stage {
    fn new(definition: TypeDefinition) -> Self {
        let now = Tick(1_000_000_000);
        let env = env(&definition, now);
        let activation = Activation::new(env);
        let mut stage = Self { definition, activation, now, fx: Vec::new(), turn_ids: 0 };
        if stage.activation.is_loading() {
            stage.load(None);
        }
        stage
    }

    fn durable() -> Self {
        Self::new(definition(Durability::Durable))
    }

    fn with<R>(&mut self, step: impl FnOnce(&mut Activation, Env<'_>, &mut Vec<Effect>) -> R) -> R {
        let env = env(&self.definition, self.now);
        let mut fx = Vec::new();
        let result = step(&mut self.activation, env, &mut fx);
        for effect in fx {
            match effect {
                Effect::Answer { to: ReplyTo::Unary(waiter), outcome } => {
                    drop(waiter.send(outcome));
                }
                effect => self.fx.push(effect),
            }
        }
        result
    }

    fn load(&mut self, record: Option<ActorRecord>) {
        self.with(|a, env, fx| a.on_loaded(env, record, fx)).expect("a readable row");
    }

    fn call(&mut self, id: &str, action: &str) -> Waiter {
        self.call_with(id, action, |_| ())
    }

    fn call_with(&mut self, id: &str, action: &str, change: impl FnOnce(&mut Call)) -> Waiter {
        let (to, waiter) = oneshot::channel();
        let mut call = Call {
            action: action.to_owned(),
            argument: Payload::default(),
            request_id: id.to_owned(),
            created_at: WALL,
            deadline: self.now.plus_millis(10_000),
            metadata: Metadata::new(),
            lineage: None,
            asynchronous: false,
            activates_only: false,
            from_json: false,
            begun: false,
            delivery: false,
            hops: None,
            seat: None,
            reply_to: ReplyTo::Unary(to),
        };
        change(&mut call);
        self.with(|a, env, fx| a.on_call(env, call, 40, false, fx));
        Waiter(waiter)
    }

    /// Hands out what is ready, and returns the turn ids.
    fn run(&mut self) -> Vec<u64> {
        let mut next = self.turn_ids;
        self.with(|a, env, fx| {
            let draw = || {
                next += 1;
                next
            };
            a.take_run(env, SESSION, 64, draw, fx)
        });
        self.turn_ids = next;
        self.activation.run().map(|turn| turn.turn_id).collect()
    }

    fn result(&mut self, turn_id: u64, end: TurnEnd) -> Answered {
        self.with(|a, env, fx| a.on_result(env, SESSION, turn_id, end, fx))
    }

    fn reply(&mut self, turn_id: u64, state: &str) -> Answered {
        self.result(turn_id, ok("done", Some(state)))
    }

    fn commit(&mut self) -> Option<CommitUnit> {
        self.with(|a, env, _| a.take_commit(env, actor, 0, &mut 1))
    }

    fn committed(&mut self, unit: &CommitUnit) {
        let up_to = unit.up_to;
        self.with(|a, env, fx| a.on_committed(env, up_to, fx));
    }

    fn lost(&mut self) {
        self.with(|a, env, fx| a.on_run_lost(env, SESSION, fx));
    }

    fn pass(&mut self, millis: u64) -> Timer {
        self.now = self.now.plus_millis(millis);
        self.with(|a, env, fx| a.on_timer(env, fx))
    }

    fn state(&self) -> String {
        let state = self.activation.state().0;
        state.map(|s| String::from_utf8_lossy(&s.data).into_owned()).unwrap_or_default()
    }

    fn cancelled_turns(&self) -> Vec<u64> {
        let of = |effect: &Effect| match effect {
            Effect::CancelTurn { turn_id, .. } => Some(*turn_id),
            _ => None,
        };
        self.fx.iter().filter_map(of).collect()
    }
}

const WALL: Millis = Millis(1_700_000_000_000);

fn env(definition: &TypeDefinition, now: Tick) -> Env<'_> {
    Env {
        now,
        wall: WALL,
        latest: WALL,
        definition,
        epoch: Epoch(3),
        low_water: Millis(0),
        hosted: true,
        kept: definition.kind == Kind::Named,
        quiet: false,
        system: "default",
        key: "a",
        outbox_full: false,
    }
}

fn with_init(durability: Durability) -> TypeDefinition {
    let mut definition = definition(durability);
    definition.actions.insert("init".into(), Action::default());
    definition
}

fn actor() -> ActorId {
    ActorId::parse("default", "Counter", "a").expect("a valid name")
}

fn blob(text: &str) -> StateBlob {
    StateBlob { content_type: "text".into(), type_url: String::new(), data: text.to_owned().into() }
}

fn ok(reply: &str, state: Option<&str>) -> TurnEnd {
    let payload = Payload {
        content_type: "text".into(),
        data: reply.to_owned().into(),
        ..Payload::default()
    };
    TurnEnd { outcome: Some(Ok(payload)), state: state.map(blob), tags: None, workflow: None }
}

fn refused(reason: &str) -> TurnEnd {
    let error = CallError::new(ErrorKind::ActionError, reason);
    TurnEnd {
        outcome: Some(Err(error)),
        state: Some(blob("must not count")),
        tags: None,
        workflow: None,
    }
}

#[test]
fn a_reply_leaves_only_after_its_commit_and_those_before_it() {
    let mut stage = Stage::durable();
    let (mut first, mut second) = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    stage.reply(turns[0], "one");
    let one = stage.commit().expect("a commit");
    stage.reply(turns[1], "two");
    let two = stage.commit().expect("a commit");
    assert_eq!((one.commit.previous.0, one.commit.record.revision.0), (0, 1));
    assert_eq!((two.commit.previous.0, two.commit.record.revision.0), (1, 2));
    assert!(first.answer().is_none() && second.answer().is_none());
    stage.committed(&one);
    assert!(first.answer().is_some() && second.answer().is_none());
    stage.committed(&two);
    assert!(second.answer().expect("answered").expect("ok").durable);
}

#[test]
fn a_later_turn_runs_on_state_that_is_not_committed_yet() {
    let mut stage = Stage::durable();
    let _first = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    stage.commit().expect("a commit");
    let _second = stage.call("2", "add");
    assert_eq!(stage.run().len(), 1);
    assert_eq!(stage.state(), "one");
}

#[test]
fn an_action_without_speculation_waits_until_nothing_can_be_discarded() {
    let mut stage = Stage::durable();
    let _first = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    let unit = stage.commit().expect("a commit");
    let _second = stage.call("2", "careful");
    assert!(stage.run().is_empty());
    stage.committed(&unit);
    assert_eq!(stage.run().len(), 1);
}

#[test]
fn an_error_of_the_action_keeps_the_state_and_is_a_stored_outcome_behind_the_gate() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.result(turn, refused("no funds"));
    assert_eq!(stage.state(), "");
    let unit = stage.commit().expect("errors are committed");
    assert!(waiter.answer().is_none());
    stage.committed(&unit);
    assert_eq!(waiter.error(), ErrorKind::ActionError);
    let mut again = stage.call("1", "add");
    assert_eq!(again.error(), ErrorKind::ActionError);
    assert!(stage.run().is_empty());
}

#[test]
fn a_read_waits_for_the_commits_that_it_saw_but_needs_none_of_its_own() {
    let mut stage = Stage::durable();
    let _add = stage.call("1", "add");
    let mut read = stage.call("2", "read");
    let mut from_memory = stage.call("3", "get_state");
    let turns = stage.run();
    stage.reply(turns[0], "one");
    let unit = stage.commit().expect("a commit");
    stage.result(turns[1], ok("one", Some("a read changes nothing")));
    assert!(stage.commit().is_none());
    assert!(read.answer().is_none() && from_memory.answer().is_none());
    stage.committed(&unit);
    assert_eq!(read.answer().expect("answered").expect("ok").revision.0, 1);
    let state = from_memory.answer().expect("answered").expect("ok").payload;
    assert_eq!(state.data, "one");
}

#[test]
fn a_repeated_call_joins_the_one_in_flight_and_both_get_its_outcome() {
    let mut stage = Stage::durable();
    let (mut first, mut again) = (stage.call("1", "add"), stage.call("1", "add"));
    let mut other = stage.call("1", "careful");
    assert_eq!(other.error(), ErrorKind::RequestIdReused);
    let turns = stage.run();
    assert_eq!(turns.len(), 1);
    stage.reply(turns[0], "one");
    let unit = stage.commit().expect("a commit");
    stage.committed(&unit);
    assert_eq!(first.answer(), again.answer());
}

#[test]
fn discarded_commits_are_run_again_in_their_old_order_from_the_stored_row() {
    let mut stage = Stage::durable();
    let (mut first, mut second) = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    stage.reply(turns[0], "one");
    stage.commit().expect("a commit");
    stage.with(|a, env, fx| a.restart(env, fx));
    assert_eq!(stage.cancelled_turns(), [turns[1]]);
    stage.load(Some(ActorRecord { revision: Revision(9), ..ActorRecord::default() }));
    let again = stage.run();
    let ids: Vec<String> =
        stage.activation.run().map(|turn| turn.call.request_id.clone()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(stage.reply(turns[1], "late"), Answered::Stale);
    for turn in again {
        stage.reply(turn, "again");
    }
    let unit = stage.commit().expect("a commit");
    assert_eq!((unit.commit.previous.0, unit.commit.record.revision.0), (9, 11));
    stage.committed(&unit);
    assert!(first.answer().is_some() && second.answer().is_some());
}

#[test]
fn answers_of_the_wrong_session_or_order_or_twice_do_not_count() {
    let mut stage = Stage::durable();
    let _waiters = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    let other = stage
        .with(|a, env, fx| a.on_result(env, SessionId(8), turns[0], ok("x", Some("forged")), fx));
    assert_eq!(other, Answered::Stale);
    assert_eq!(stage.reply(turns[1], "two"), Answered::OutOfOrder);
    assert_eq!(stage.reply(turns[0], "one"), Answered::Taken);
    assert_eq!(stage.reply(turns[0], "twice"), Answered::Stale);
    assert_eq!(stage.state(), "one");
}

#[test]
fn calls_older_than_the_outcomes_or_from_the_future_are_refused() {
    let mut stage = Stage::durable();
    let old = WALL.plus(-limits::OUTCOME_WINDOW_MS - 1);
    let ahead = WALL.plus(limits::CREATED_AHEAD_MS + 1);
    for created_at in [old, ahead] {
        let mut waiter = stage.call_with("1", "add", |call| call.created_at = created_at);
        assert_eq!(waiter.error(), ErrorKind::RequestExpired);
    }
    assert!(stage.run().is_empty());
}

#[test]
fn a_full_mailbox_refuses_and_forgets_nothing() {
    let mut stage = Stage::durable();
    stage.definition.mailbox_limit = 2;
    let _kept = (stage.call("1", "add"), stage.call("2", "add"));
    assert_eq!(stage.call("3", "add").error(), ErrorKind::MailboxFull);
    let mut begun = stage.call_with("4", "add", |call| call.begun = true);
    assert_eq!(begun.error(), ErrorKind::OutcomeUnknown, "it may have been applied elsewhere");
    assert_eq!(stage.run().len(), 2);
}

#[test]
fn init_comes_first_and_alone_and_its_failure_is_told_and_tried_again() {
    let mut stage = Stage::new(with_init(Durability::Durable));
    let mut first = stage.call("1", "add");
    let turns = stage.run();
    assert_eq!(turns.len(), 1);
    assert_eq!(stage.activation.run().next().expect("a turn").call.action, "init");
    stage.result(turns[0], refused("no database"));
    assert_eq!(first.error(), ErrorKind::InitFailed);
    let mut second = stage.call("2", "add");
    let turn = stage.run()[0];
    stage.reply(turn, "initialised");
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    let unit = stage.commit().expect("a commit");
    assert_eq!(unit.commit.record.revision.0, 2, "init is a turn of its own");
    stage.committed(&unit);
    assert!(second.answer().expect("answered").is_ok());
}

#[test]
fn a_call_whose_deadline_passes_in_the_mailbox_is_never_run() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call("1", "add");
    stage.pass(10_001);
    assert_eq!(waiter.error(), ErrorKind::DeadlineExceeded);
    assert!(stage.run().is_empty());
}

#[test]
fn a_deadline_during_a_turn_cancels_it_but_a_result_that_comes_all_the_same_commits() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.pass(10_001);
    assert_eq!(waiter.error(), ErrorKind::DeadlineExceeded);
    assert_eq!(stage.cancelled_turns(), [turn]);
    stage.reply(turn, "one");
    let unit = stage.commit().expect("the result counts");
    stage.committed(&unit);
    let mut again = stage.call("1", "add");
    assert!(again.answer().expect("stored").is_ok());
}

#[test]
fn a_cancelled_turn_changes_nothing_and_can_be_called_again() {
    let mut stage = Stage::durable();
    let _waiter = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.result(
        turn,
        TurnEnd { outcome: None, state: Some(blob("no")), tags: None, workflow: None },
    );
    assert!(stage.commit().is_none());
    assert_eq!(stage.state(), "");
    let _again = stage.call("1", "add");
    assert_eq!(stage.run().len(), 1);
}

#[test]
fn an_accepted_call_is_told_once_its_row_is_durable_and_the_row_goes_with_the_outcome() {
    let mut stage = Stage::durable();
    let mut waiter = stage.call_with("1", "add", |call| call.asynchronous = true);
    assert!(stage.fx.iter().any(|effect| matches!(effect, Effect::Accept { sequence: 40, .. })));
    assert!(waiter.answer().is_none());
    stage.with(|a, _, fx| a.on_accepted(40, fx));
    assert!(waiter.answer().expect("accepted").expect("ok").durable);
    stage.pass(100_000);
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    assert_eq!(stage.commit().expect("a commit").commit.inbox_done, [40]);
}

#[test]
fn a_state_over_the_limit_discards_its_turn_and_what_was_computed_on_it() {
    let mut stage = Stage::durable();
    let (mut big, _after) = (stage.call("1", "add"), stage.call("2", "add"));
    let turns = stage.run();
    stage.reply(turns[0], &"x".repeat(limits::STATE_BYTES_MAX + 1));
    assert_eq!(big.error(), ErrorKind::StateTooLarge);
    assert_eq!(stage.reply(turns[1], "on top"), Answered::Stale);
    assert_eq!(stage.cancelled_turns(), [turns[1]]);
    assert_eq!(stage.run().len(), 1);
    assert_eq!(stage.state(), "");
}

#[test]
fn volatile_and_snapshot_actors_answer_at_once_and_a_snapshot_is_saved_on_its_interval() {
    for durability in [Durability::Volatile, Durability::Snapshot] {
        let mut stage = Stage::new(definition(durability));
        let mut waiter = stage.call("1", "add");
        let turn = stage.run()[0];
        stage.reply(turn, "one");
        assert!(!waiter.answer().expect("at once").expect("ok").durable);
        assert!(stage.commit().is_none());
        let interval = stage.definition.snapshot_interval_ms;
        stage.fx.clear();
        stage.pass(interval);
        let at_once = |fx: &Effect| matches!(fx, Effect::Wake(at) if *at <= stage.now);
        assert!(!stage.fx.iter().any(at_once), "a timer that asks for now would never end");
        let saved = stage.with(|a, env, _| a.take_snapshot(env, actor, 0, false));
        assert_eq!(saved.is_some(), durability == Durability::Snapshot);
    }
}

#[test]
fn an_idle_actor_is_dropped_but_a_named_or_unsaved_one_is_kept() {
    let mut unnamed = Stage::durable();
    assert_eq!(unnamed.pass(60_001), Timer::Evict);
    let mut named =
        Stage::new(TypeDefinition { kind: Kind::Named, ..definition(Durability::Durable) });
    assert_eq!(named.pass(60_001), Timer::Stay);
    let mut snapshot = Stage::new(definition(Durability::Snapshot));
    let _waiter = snapshot.call("1", "add");
    let turn = snapshot.run()[0];
    snapshot.reply(turn, "one");
    assert_eq!(snapshot.pass(60_001), Timer::Stay);
}

#[test]
fn a_call_made_inside_a_turn_waits_for_the_commits_before_the_turn() {
    let mut stage = Stage::durable();
    let _first = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    let unit = stage.commit().expect("a commit");
    let _second = stage.call("2", "add");
    let turn = stage.run()[0];
    let made = TurnCall { target: actor(), call: Call::activation(ReplyTo::Nobody, stage.now) };
    stage.with(|a, _, fx| a.on_turn_call(SESSION, turn, made, fx)).expect("taken");
    let routed = |stage: &Stage| stage.fx.iter().any(|fx| matches!(fx, Effect::Route(_)));
    assert!(!routed(&stage));
    stage.committed(&unit);
    assert!(routed(&stage));
}

#[test]
fn a_call_as_old_as_spilled_outcomes_is_looked_up_before_it_runs() {
    let mut stage = Stage::durable();
    let spilled_until = WALL.plus(-1_000);
    stage.activation = Activation::new(env(&stage.definition, stage.now));
    stage.load(Some(ActorRecord { spilled_until, ..ActorRecord::default() }));
    let old = |call: &mut Call| call.created_at = spilled_until;
    let (mut known, mut new) = (stage.call_with("k", "add", old), stage.call_with("n", "add", old));
    assert!(stage.run().is_empty(), "nothing runs before the store has answered");
    let found = StoredOutcome {
        request_id: "k".into(),
        fingerprint: fingerprint("add", &Payload::default()),
        created_at: spilled_until,
        revision: 4,
        end: crate::activation::outcome::StoredEnd::Reply(
            "text".into(),
            String::new(),
            b"4".into(),
        ),
    };
    stage.with(|a, env, fx| a.on_looked_up(env, "k", Ok(Some(found)), fx));
    stage.with(|a, env, fx| a.on_looked_up(env, "n", Ok(None), fx));
    assert_eq!(known.answer().expect("stored").expect("ok").payload.data, "4");
    assert_eq!(stage.run().len(), 1);
    assert!(new.answer().is_none());
}

#[test]
fn wake_ups_do_not_multiply() {
    let mut stage = Stage::durable();
    let mut wakes: Vec<Tick> = Vec::new();
    for n in 0..500 {
        let _waiter = stage.call(&n.to_string(), "add");
        let turn = stage.run()[0];
        stage.reply(turn, "x");
        let unit = stage.commit().expect("a commit");
        stage.committed(&unit);
        stage.now = stage.now.plus_millis(5_000);
        let taken = std::mem::take(&mut stage.fx).into_iter();
        wakes
            .extend(taken.filter_map(|fx| if let Effect::Wake(at) = fx { Some(at) } else { None }));
        let due = wakes.extract_if(.., |at| *at <= stage.now).count();
        for _ in 0..due {
            stage.pass(0);
        }
    }
    // One each for a deadline, a turn, the idle timeout, and what was asked for before they came nearer.
    assert!(wakes.len() <= 8, "{} wake-ups wait", wakes.len());
}

#[test]
fn whoever_joins_a_call_keeps_a_deadline_of_their_own() {
    let mut stage = Stage::durable();
    let mut first = stage.call("1", "add");
    let turn = stage.run()[0];
    stage.pass(10_001);
    assert_eq!(first.error(), ErrorKind::DeadlineExceeded);
    let now = stage.now;
    let mut second = stage.call_with("1", "add", |call| call.deadline = now.plus_millis(1_000));
    stage.pass(1_001);
    assert_eq!(second.error(), ErrorKind::DeadlineExceeded);
    assert_eq!(stage.reply(turn, "one"), Answered::Taken);
}
