//! Tools of operators, and past states.

use callboard_statestore::Forget;
use callboard_types::settings::History;

use super::*;
use crate::activation::operate::{Past, Tool};

impl Stage {
    fn tool(&mut self, id: &str, tool: Tool) -> Waiter {
        self.call(id, tool.action())
    }

    /// Runs `add` to a state, up to its commit's verdict.
    fn add(&mut self, id: &str, state: &str) -> Option<CommitUnit> {
        let _waiter = self.call(id, "add");
        let turn = self.run()[0];
        self.reply(turn, state);
        let unit = self.commit();
        if let Some(unit) = &unit {
            self.committed(unit);
        }
        unit
    }

    fn left(&self) -> bool {
        self.fx.iter().any(|effect| matches!(effect, Effect::Leave))
    }
}

#[test]
fn a_deletion_is_one_commit_that_leaves_outcomes_and_a_higher_revision() {
    let mut stage = Stage::durable();
    stage.add("1", "one");
    let mut deleted = stage.tool("2", Tool::Delete);
    stage.run();
    let unit = stage.commit().expect("a tombstone");
    let record = &unit.commit.record;
    assert!(record.deleted && record.state.is_none());
    assert_eq!((unit.commit.previous.0, record.revision.0), (1, 2));
    assert_eq!(unit.commit.forget, Some(Forget { below: Revision(2), before: Millis(0) }));
    assert!(deleted.answer().is_none(), "the answer waits for the commit");
    stage.committed(&unit);
    assert_eq!(deleted.answer().expect("answered").expect("ok").revision.0, 2);
    assert!(stage.call("1", "add").answer().expect("a stored outcome").is_ok());
    let again = stage.tool("2", Tool::Delete).answer().expect("a stored outcome");
    assert_eq!(again.expect("ok").revision.0, 2);
    let unit = stage.add("3", "fresh").expect("a commit");
    assert_eq!((unit.commit.record.deleted, unit.commit.record.revision.0), (false, 3));
}

#[test]
fn a_deleted_actor_is_initialised_before_its_next_call_whoever_loads_it() {
    let mut stage = Stage::new(with_init(Durability::Durable));
    let _add = stage.call("1", "add");
    for state in ["born", "one"] {
        let turn = stage.run()[0];
        stage.reply(turn, state);
    }
    let _delete = stage.tool("2", Tool::Delete);
    stage.run();
    let unit = stage.commit().expect("a commit");
    stage.committed(&unit);
    let _next = stage.call("3", "add");
    stage.run();
    let actions: Vec<_> = stage.activation.run().map(|turn| turn.call.action.clone()).collect();
    assert_eq!(actions, ["init"]);
    let mut stage = Stage::new(definition(Durability::Durable));
    stage.with(|a, env, fx| a.restart(env, fx));
    stage.load(Some(unit.commit.record));
    assert!(stage.activation.is_deleted());
    let mut nothing = stage.tool("9", Tool::Delete);
    stage.run();
    assert_eq!(nothing.answer().expect("at once").expect("ok").revision.0, 3);
    assert!(stage.commit().is_none(), "a deleted actor needs no second tombstone");
}

#[test]
fn a_deletion_whose_commit_is_discarded_is_made_again_from_the_row() {
    let mut stage = Stage::durable();
    stage.add("1", "one");
    let mut deleted = stage.tool("2", Tool::Delete);
    stage.run();
    stage.commit().expect("a commit");
    stage.with(|a, env, fx| a.restart(env, fx));
    let record = ActorRecord {
        revision: Revision(7),
        state: Some(blob("another's")),
        ..ActorRecord::default()
    };
    stage.load(Some(record));
    stage.run();
    let unit = stage.commit().expect("a commit");
    assert_eq!((unit.commit.previous.0, unit.commit.record.revision.0), (7, 8));
    assert!(unit.commit.record.deleted);
    stage.committed(&unit);
    assert_eq!(deleted.answer().expect("answered").expect("ok").revision.0, 8);
}

#[test]
fn a_checkpoint_is_answered_when_what_the_actor_has_is_durable() {
    let mut stage = Stage::new(definition(Durability::Snapshot));
    stage.add("1", "one");
    let mut saved = stage.tool("2", Tool::Checkpoint);
    stage.run();
    let unit = stage.commit().expect("a save");
    assert_eq!(unit.commit.record.state, Some(blob("one")));
    assert!(saved.answer().is_none() && !stage.activation.is_dirty());
    stage.committed(&unit);
    let reply = saved.answer().expect("answered").expect("ok");
    assert_eq!((reply.revision.0, reply.durable), (1, true));
    let mut clean = stage.tool("3", Tool::Checkpoint);
    stage.run();
    assert!(clean.answer().expect("nothing is new").is_ok() && stage.commit().is_none());
    let mut stage = Stage::durable();
    stage.add("1", "one");
    let mut always = stage.tool("2", Tool::Checkpoint);
    stage.run();
    assert!(always.answer().expect("answered").expect("ok").durable);
}

#[test]
fn an_actor_leaves_memory_when_what_waits_has_ended_and_what_is_new_is_saved() {
    let mut stage = Stage::new(definition(Durability::Snapshot));
    let mut leaves = stage.tool("1", Tool::Deactivate);
    let mut later = stage.call("2", "add");
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    assert!(later.answer().is_some() && leaves.answer().is_none() && !stage.left());
    stage.pass(0);
    let save = stage.with(|a, env, _| a.take_snapshot(env, actor, 0, false));
    assert_eq!(save.expect("a save at once").record.state, Some(blob("one")));
    stage.run();
    assert!(!stage.left());
    stage.with(|a, env, fx| a.on_snapshot_saved(env, fx));
    stage.run();
    assert!(leaves.answer().is_some() && stage.left());
    let _late = stage.call("3", "add");
    assert!(stage.run().is_empty(), "nothing begins in an activation that is gone");
}

#[test]
fn a_turn_that_asks_for_it_takes_its_actor_out_of_memory_after_its_commit() {
    let mut stage = Stage::durable();
    let mut add = stage.call("1", "add");
    let turn = stage.run()[0];
    let flow = crate::activation::workflow::Workflow { deactivate: true, ..Default::default() };
    let end = TurnEnd { workflow: Some(Ok(Box::new(flow))), ..ok("done", Some("one")) };
    stage.result(turn, end);
    let unit = stage.commit().expect("a commit");
    stage.run();
    assert!(!stage.left());
    stage.committed(&unit);
    stage.run();
    assert!(add.answer().is_some() && stage.left());
}

#[test]
fn a_turn_that_asks_for_a_checkpoint_is_answered_when_it_is_saved() {
    let mut stage = Stage::new(definition(Durability::Snapshot));
    let mut add = stage.call("1", "add");
    let turn = stage.run()[0];
    let flow = crate::activation::workflow::Workflow { checkpoint: true, ..Default::default() };
    let end = TurnEnd { workflow: Some(Ok(Box::new(flow))), ..ok("done", Some("one")) };
    stage.result(turn, end);
    let unit = stage.commit().expect("a save");
    assert!(add.answer().is_none());
    stage.committed(&unit);
    assert!(add.answer().is_some());
}

#[test]
fn tools_need_no_initialised_actor_and_no_host() {
    for tool in [Tool::Checkpoint, Tool::Delete, Tool::Deactivate] {
        let mut stage = Stage::new(with_init(Durability::Durable));
        let mut answered = stage.tool("1", tool);
        assert!(stage.run().is_empty(), "{tool:?}");
        assert!(answered.answer().expect("at once").is_ok(), "{tool:?}");
    }
}

#[test]
fn every_revision_is_kept_as_long_as_the_type_says_and_can_be_restored() {
    let mut definition = definition(Durability::Durable);
    definition.settings.history = History { revisions: 2, age_ms: 1_000 };
    let mut stage = Stage::new(definition);
    stage.add("1", "one");
    let _two = (stage.call("2", "add"), stage.call("3", "add"));
    let turns = stage.run();
    stage.reply(turns[0], "two");
    stage.result(turns[1], refused("no funds"));
    let unit = stage.commit().expect("a commit");
    let kept = unit.commit.history.iter().map(|one| (one.revision.0, one.state.clone()));
    assert_eq!(kept.collect::<Vec<_>>(), [(2, Some(blob("two"))), (3, Some(blob("two")))]);
    let forget = Forget { below: Revision(2), before: WALL.plus(-1_000) };
    assert_eq!(unit.commit.forget, Some(forget));
    stage.committed(&unit);
    let past = Past { revision: Revision(1), state: Some(blob("one")), tags: Bytes::new() };
    let mut restored = stage.call_with("4", "$restore", |call| call.argument = past.encode());
    stage.run();
    let unit = stage.commit().expect("a commit");
    assert_eq!(unit.commit.record.state, Some(blob("one")));
    assert_eq!((unit.commit.record.revision.0, unit.commit.history.len()), (4, 1));
    stage.committed(&unit);
    assert_eq!(restored.answer().expect("answered").expect("ok").revision.0, 4);
    let again = stage.call_with("4", "$restore", |call| call.argument = past.encode()).answer();
    assert_eq!(again.expect("a stored outcome").expect("ok").revision.0, 4);
}

#[test]
fn types_without_rows_of_their_own_restore_nothing() {
    let mut stage = Stage::new(definition(Durability::Snapshot));
    let mut restored = stage.tool("1", Tool::Restore);
    stage.run();
    assert_eq!(restored.error(), ErrorKind::UnknownRevision);
    let mut stage = Stage::durable();
    let mut junk = stage.tool("1", Tool::Restore);
    stage.run();
    assert_eq!(junk.error(), ErrorKind::InvalidArgument);
}
