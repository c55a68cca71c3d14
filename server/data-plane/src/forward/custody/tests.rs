//! Which kept calls are looked at when. The test turns the custody by hand.

use std::collections::HashSet;

use callboard_types::{ErrorKind, ShardOwner};

use super::*;
use crate::forward::{Ticket, tests::Node};

#[tokio::test]
async fn a_kept_call_is_left_alone_until_its_own_time_has_come_or_the_view_has_changed() {
    let mut node = Node::start(ShardOwner::default()).await;
    let mut custody = node.custody.take().expect("not taken yet");
    let catalog = node.catalog.load_full();
    let mut keep = |deadline_ms| {
        let (routed, outcome) = node.unary(deadline_ms);
        let ticket = Ticket::draw(&node.queue.held);
        let not_before = Tick(0);
        custody.pass(
            &catalog,
            Parcel {
                routed,
                returns: 0,
                not_before,
                sent: false,
                refreshed: false,
                patience: Tick::NEVER,
                ticket,
            },
        );
        outcome
    };
    let (mut patient, late, gone) = (keep(60_000), keep(1_000), keep(60_000));
    drop(gone);
    custody.now = Tick::now().plus_millis(2_000);
    custody.review_due(&catalog);
    custody.answers.flush();
    assert_eq!(late.await.expect("answered").expect_err("late").kind, ErrorKind::NotOwner);
    let numbers = |custody: &Custody| custody.kept.keys().copied().collect::<Vec<u64>>();
    assert_eq!(numbers(&custody), [1, 3], "the others were not touched");
    custody.drop_unwanted(&Arc::new(HashSet::new()));
    assert_eq!(numbers(&custody), [1]);
    custody.review(&catalog);
    assert_eq!((numbers(&custody), custody.due.len()), (vec![4], 1));
    assert!(patient.try_recv().is_err());
}
