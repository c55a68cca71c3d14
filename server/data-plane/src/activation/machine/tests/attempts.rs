//! Turns whose hosts are lost: how often they are run again, and when.

use super::*;

#[test]
fn a_turn_whose_hosts_die_three_times_is_given_up_and_the_rest_of_its_run_goes_on() {
    let mut stage = Stage::durable();
    let (mut poison, mut sound) = (stage.call("1", "add"), stage.call("2", "add"));
    for _ in 0..limits::TURN_ATTEMPTS_MAX {
        stage.pass(limits::TURN_LAST_ATTEMPT_PAUSE_MS);
        assert_eq!(stage.run().len(), 2);
        stage.lost();
    }
    let turns = stage.run();
    assert_eq!(turns.len(), 1, "only the sound turn is left");
    stage.reply(turns[0], "one");
    let unit = stage.commit().expect("a commit");
    stage.committed(&unit);
    assert_eq!(poison.error(), ErrorKind::TurnCrashedHost);
    assert!(sound.answer().expect("answered").is_ok());
    assert_eq!(stage.call("1", "add").error(), ErrorKind::TurnCrashedHost, "it is stored");
}

#[test]
fn hosts_that_are_all_cut_off_in_one_moment_cost_no_call() {
    let mut stage = Stage::durable();
    let mut caller = stage.call("1", "add");
    for _ in 1..limits::TURN_ATTEMPTS_MAX {
        stage.fx.clear();
        assert_eq!(stage.run().len(), 1, "another host is tried at once");
        stage.lost();
    }
    assert!(
        stage.run().is_empty(),
        "the last attempt is kept for when the network may be whole again"
    );
    stage.pass(limits::TURN_LAST_ATTEMPT_PAUSE_MS - 1);
    assert!(stage.run().is_empty());
    let due = stage.now.plus_millis(1);
    let woken = |effect: &Effect| matches!(effect, Effect::Wake(at) if *at == due);
    assert!(stage.fx.iter().any(woken), "it comes without a further event");
    stage.pass(1);
    let turn = stage.run()[0];
    stage.reply(turn, "one");
    let unit = stage.commit().expect("a commit");
    stage.committed(&unit);
    assert!(caller.answer().expect("answered").is_ok());
}

#[test]
fn an_initialisation_whose_hosts_are_cut_off_waits_before_its_last_attempt_too() {
    let mut stage = Stage::new(with_init(Durability::Durable));
    let _caller = stage.call("1", "add");
    for _ in 1..limits::TURN_ATTEMPTS_MAX {
        assert_eq!(stage.run().len(), 1);
        stage.lost();
    }
    assert!(stage.run().is_empty());
    stage.pass(limits::TURN_LAST_ATTEMPT_PAUSE_MS);
    assert_eq!(stage.run().len(), 1);
}
