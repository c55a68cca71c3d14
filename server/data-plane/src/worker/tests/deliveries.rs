//! Deliveries over a real writer and reader: a crash at each step, and what the next owner finds.

use super::*;
use crate::{
    activation::{
        outcome::StoredOutcome,
        workflow::{SideEffect, Workflow},
    },
    deliveries::{
        confirm::{self, Confirmed},
        machine::GATHER_MS,
    },
};

/// A counter whose actors tell others, and the answer that makes one effect.
fn telling(stage: &mut Stage, turn: &Turn, target: &str) -> Message {
    let message = stage.answered(turn, "told");
    let Message::Results { session, mut results } = message else { panic!("results") };
    let effect = SideEffect {
        target: ActorId::parse("default", "Counter", target).expect("a valid name"),
        action: "add".into(),
        argument: Payload::default(),
        delay_ms: 0,
        due_at: Millis(0),
        metadata: Metadata::new(),
        request_id: uuid::Uuid::now_v7().to_string(),
    };
    let flow = Workflow { effects: vec![effect], ..Workflow::default() };
    results[0].1.workflow = Some(Ok(Box::new(flow)));
    Message::Results { session, results }
}

impl Stage {
    /// Lets messages and ends of attempts in until there is what the test looks for.
    async fn go_on<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        for _ in 0..2_000 {
            if let Some(found) = found(self) {
                return found;
            }
            let mut ends = Vec::new();
            while let Ok(end) = self.worker.sender.heard.try_recv() {
                ends.push(end);
            }
            self.worker.on_delivery_ends(&mut ends);
            let message = tokio::time::timeout(Duration::from_millis(5), self.worker.inbox.recv());
            let message = message.await.ok().flatten();
            self.round(message.into_iter().collect());
        }
        panic!("{what} never came")
    }

    async fn rows(&self) -> usize {
        let shard = ShardId { system: "default".into(), actor_type: "Counter".into(), number: 0 };
        let early = (Millis(i64::MIN), 0);
        self.doors.store.outbox(&shard, early, Millis(i64::MAX), 10).await.expect("read").len()
    }

    /// The next turn of a host, which must be that of an effect.
    async fn effect_turn(&mut self) -> Turn {
        let frame = self.go_on("the effect's turn", Self::frame).await;
        let Frame::Run(run) = frame else { panic!("not a run: {frame:?}") };
        assert_eq!(run.actor.expect("set").key, "b");
        run.turns.into_iter().next().expect("one turn")
    }

    /// Runs a turn of actor `a` that tells actor `b`, up to its answer.
    async fn tell(&mut self) {
        let mut waiter = self.call("1", "add");
        let turn = self.run().await.remove(0);
        let told = telling(self, &turn, "b");
        self.round(vec![told]);
        let reply = self.go_on("the answer", |_| waiter.try_recv().ok()).await;
        assert!(reply.expect("told").durable);
    }

    /// Runs the turn of the effect, up to the end of its attempt, which the worker does not hear of yet.
    async fn deliver_unheard(&mut self) {
        let turn = self.effect_turn().await;
        self.answer(&turn, "b");
        let heard = |stage: &mut Self| (!stage.worker.sender.heard.is_empty()).then_some(());
        self.until("the end of the attempt", heard).await;
    }

    /// Goes on until nothing of any delivery is under way.
    async fn until_idle(&mut self) {
        let idle = |stage: &mut Self| (!stage.worker.sender.machine.is_busy()).then_some(());
        self.go_on("the end of all deliveries", idle).await;
    }

    /// The owner dies and comes back: nothing of its memory is left.
    fn crash(&mut self, epoch: u64) {
        self.agree(ShardOwner::new(OTHER, Epoch(epoch)));
        self.agree(ShardOwner::new(ME, Epoch(epoch + 1)));
    }
}

#[tokio::test]
async fn a_crash_before_the_first_attempt_leaves_the_row_to_the_next_owner() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    stage.tell().await;
    assert_eq!(stage.rows().await, 1);
    stage.crash(2);
    let turn = stage.effect_turn().await;
    stage.answer(&turn, "b");
    stage.go_on_until_no_rows().await;
}

#[tokio::test]
async fn a_crash_between_delivery_and_acknowledgement_runs_nothing_twice() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    stage.tell().await;
    // The target's commit is durable; that its row has ended is not.
    stage.deliver_unheard().await;
    stage.crash(2);
    stage.go_on_until_no_rows().await;
    assert!(stage.frame().is_none_or(|frame| !matches!(frame, Frame::Run(_))), "it ran twice");
}

#[tokio::test]
async fn a_row_whose_end_nobody_knows_of_is_let_go_again() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    stage.tell().await;
    stage.deliver_unheard().await;
    *stage.doors.lose_answer.lock() = true;
    stage.go_on_until_no_rows().await;
    assert!(!*stage.doors.lose_answer.lock(), "the answer was lost");
    stage.until_idle().await;
}

impl Stage {
    async fn go_on_until_no_rows(&mut self) {
        for _ in 0..400 {
            if self.rows().await == 0 {
                return;
            }
            let mut rounds = 0;
            self.go_on("a round", |_| {
                rounds += 1;
                (rounds > 1).then_some(())
            })
            .await;
        }
        panic!("the row never goes");
    }
}

impl Stage {
    /// True if the stored row of actor `b` says that some delivery's sender may make it again.
    async fn b_is_marked(&self) -> bool {
        let id = ActorId::parse("default", "Counter", "b").expect("a valid name");
        let row = self.doors.store.load(&[id]).await.expect("read").remove(0).expect("it ran");
        let (_, marks): (Vec<StoredOutcome>, &[u8]) =
            postcard::take_from_bytes(&row.outcomes).expect("readable");
        !marks.is_empty()
    }
}

#[tokio::test]
async fn a_target_of_the_same_worker_loses_its_mark_with_the_commit_that_comes_next() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    stage.tell().await;
    let turn = stage.effect_turn().await;
    stage.answer(&turn, "b");
    stage.go_on_until_no_rows().await;
    stage.until_idle().await;
    assert!(stage.b_is_marked().await, "nothing was committed for the confirmation alone");
    let (to, mut waiter) = oneshot::channel();
    let routed = stage.routed("2", "add", ReplyTo::Unary(to), |_| ());
    let routed = RoutedCall { key: "b".into(), key_hash: key_hash("b"), ..routed };
    stage.round(vec![Message::Calls(vec![routed])]);
    let turn = stage.run().await.remove(0);
    stage.answer(&turn, "b again");
    assert!(stage.outcome(&mut waiter).await.expect("it ran").durable);
    assert!(!stage.b_is_marked().await);
}

#[tokio::test]
async fn a_target_of_another_node_is_told_in_one_call_of_all_rows_that_went() {
    let mut stage = Stage::serving(counter(Durability::Durable));
    stage.agree(ShardOwner::new(OTHER, Epoch(2)));
    for id in ["1", "2"] {
        let confirmed = Confirmed { request_id: id.into(), restamped: false };
        let target = ActorId::parse("default", "Counter", "b").expect("a valid name");
        stage.worker.confirm(target, confirmed);
    }
    stage.pass(GATHER_MS - 1);
    assert!(stage.given_away().is_empty());
    stage.pass(1);
    let [told] = &stage.calls_given_away()[..] else { panic!("one call") };
    assert_eq!((told.call.action.as_str(), told.key.as_str()), ("$confirm", "b"));
    assert_eq!(confirm::read(&told.call.argument.data).len(), 2);
}
