use callboard_types::{Lease, NodeId, Tick};
use proptest::{collection::vec, prelude::*};

use super::*;

fn ms(millis: u64) -> Tick {
    Tick(1_000_000).plus_millis(millis)
}

fn member(index: u64) -> Holder {
    let mut holder = Holder::new(Timings::default());
    assert_eq!(holder.applied(index, Standing::Member), Grant::Unchanged);
    holder
}

#[test]
fn the_default_times_are_sound_and_a_lease_shorter_than_two_elections_is_refused() {
    assert_eq!(Timings::default().check(), Ok(()));
    let short = Timings { lease: Duration::from_millis(1_650), ..Timings::default() };
    assert!(short.check().expect_err("too short").to_string().contains("Lengthen the lease"));
    let bare = Timings { margin: Duration::ZERO, ..Timings::default() };
    bare.check().expect_err("no margin");
}

#[test]
fn a_lease_counts_from_when_the_renewal_was_sent_whenever_the_answer_comes() {
    let mut holder = member(5);
    let renewal = holder.sent(ms(0));
    assert_eq!(holder.confirmed(renewal, 5), Grant::Extend(ms(1_800)));
    assert_eq!(holder.confirmed(renewal, 5), Grant::Unchanged, "an answer counts once");
    let refused = holder.sent(ms(250));
    holder.refused(refused);
    assert_eq!(holder.confirmed(refused, 5), Grant::Unchanged);
}

#[test]
fn a_confirmation_holds_only_once_the_index_that_it_names_was_applied() {
    let mut holder = member(5);
    let [first, second, third] = [0, 250, 500].map(|at| holder.sent(ms(at)));
    assert_eq!(holder.confirmed(second, 9), Grant::Unchanged);
    assert_eq!(holder.confirmed(first, 7), Grant::Unchanged, "answers may overtake each other");
    assert_eq!(holder.confirmed(third, 12), Grant::Unchanged);
    assert_eq!(holder.applied(6, Standing::Member), Grant::Unchanged);
    assert_eq!(holder.applied(10, Standing::Member), Grant::Extend(ms(250 + 1_800)));
    assert_eq!(holder.applied(12, Standing::Member), Grant::Extend(ms(500 + 1_800)));
}

#[test]
fn a_node_that_finds_itself_down_stops_at_once_and_serves_again_by_a_later_confirmation() {
    let mut holder = member(5);
    let renewal = holder.sent(ms(0));
    let _ = holder.confirmed(renewal, 5);
    assert_eq!(holder.applied(6, Standing::Out), Grant::Revoke);
    let renewal = holder.sent(ms(5_000));
    assert_eq!(holder.confirmed(renewal, 8), Grant::Unchanged, "it is down");
    assert_eq!(holder.applied(8, Standing::Member), Grant::Extend(ms(6_800)));
}

#[test]
fn a_new_leader_gives_everybody_one_whole_lease_and_names_the_silent_until_they_are_down() {
    let mut keeper = Keeper::new(Timings::default());
    let members = [(NodeId(1), 11), (NodeId(2), 12)];
    keeper.members(ms(0), members);
    assert_eq!(keeper.heard(NodeId(1), 11, ms(0)), Heard::Unwatched, "it does not lead");
    keeper.elected(ms(100));
    keeper.members(ms(100), members);
    assert_eq!(keeper.wake_at(), ms(2_300));
    assert_eq!(keeper.heard(NodeId(1), 11, ms(900)), Heard::Counts);
    assert_eq!(keeper.heard(NodeId(1), 99, ms(901)), Heard::Unwatched, "another life");
    assert_eq!(keeper.due(ms(2_299)), []);
    assert_eq!(keeper.due(ms(2_300)), [(NodeId(2), 12)]);
    assert_eq!(keeper.heard(NodeId(2), 12, ms(2_301)), Heard::TooLate);
    assert_eq!(keeper.due(ms(2_302)), [(NodeId(2), 12)], "the proposal may have been lost");
    keeper.members(ms(2_400), [(NodeId(1), 11)]);
    assert_eq!(keeper.due(ms(2_400)), []);
    assert_eq!(keeper.wake_at(), ms(900 + 2_200));

    keeper.members(ms(3_000), [(NodeId(1), 11), (NodeId(2), 13)]);
    assert_eq!(keeper.heard(NodeId(2), 13, ms(3_001)), Heard::Counts, "its next life");
    keeper.deposed();
    assert_eq!((keeper.due(ms(99_000)), keeper.wake_at()), (vec![], Tick::NEVER));
}

#[test]
fn a_leader_that_stood_still_blames_nobody_for_it_and_takes_back_nothing_that_it_declared() {
    let mut keeper = Keeper::new(Timings::default());
    keeper.elected(ms(0));
    keeper.members(ms(0), [(NodeId(1), 11), (NodeId(2), 12)]);
    assert_eq!(keeper.heard(NodeId(1), 11, ms(1_000)), Heard::Counts);
    assert_eq!(keeper.due(ms(2_500)), [(NodeId(2), 12)]);
    keeper.paused(ms(9_000));
    assert_eq!(keeper.due(ms(9_000)), [(NodeId(2), 12)], "the proposal may be agreed on yet");
    assert_eq!(keeper.heard(NodeId(2), 12, ms(9_001)), Heard::TooLate);
    assert_eq!(keeper.due(ms(11_200)), [(NodeId(1), 11), (NodeId(2), 12)]);
}

/// A clock with its own origin and rate.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: u64,
    /// In parts per 10,000.
    rate: u64,
}

impl Clock {
    fn at(self, truth: u64) -> Tick {
        Tick(self.origin + truth * self.rate / 10_000)
    }
}

fn clock() -> impl Strategy<Value = Clock> {
    (0_u64..1 << 40, 9_100_u64..=10_900).prop_map(|(origin, rate)| Clock { origin, rate })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Times are microseconds of true time. Each renewal takes its ways to the leader and back; some never arrive.
    #[test]
    fn nobody_is_declared_down_while_its_lease_holds_whatever_clocks_and_ways_are_like(
        holders in clock(),
        keepers in clock(),
        renewals in vec((50_000_u64..900_000, 0_u64..3_000_000, 0_u64..3_000_000, any::<bool>()), 1..30),
    ) {
        let (timings, lease) = (Timings::default(), Lease::lapsed());
        let (mut holder, mut keeper) = (member(1), Keeper::new(timings));
        keeper.elected(keepers.at(0));
        keeper.members(keepers.at(0), [(NodeId(1), 1)]);
        // (true time, what happens, renewal)
        let (mut events, mut sent) = (Vec::new(), 0);
        for (number, (pause, there, back, lost)) in renewals.into_iter().enumerate() {
            sent += pause;
            events.push((sent, 0, number));
            if !lost {
                events.push((sent + there, 1, number));
                events.push((sent + there + back, 2, number));
            }
        }
        let end = sent + 20_000_000;
        events.extend((0..end / 10_000).map(|step| (step * 10_000, 3, 0)));
        events.sort_unstable();
        let (mut numbers, mut counted) = (Vec::new(), std::collections::BTreeSet::new());
        for (truth, what, number) in events {
            match what {
                0 => numbers.push(holder.sent(holders.at(truth))),
                1 if keeper.heard(NodeId(1), 1, keepers.at(truth)) == Heard::Counts => {
                    counted.insert(number);
                }
                2 if counted.contains(&number) => {
                    if let Grant::Extend(until) = holder.confirmed(numbers[number], 1) {
                        lease.extend_to(until);
                    }
                }
                _ => {}
            }
            if !keeper.due(keepers.at(truth)).is_empty() {
                prop_assert!(!lease.holds_at(holders.at(truth)), "two nodes could serve");
            }
        }
        prop_assert!(!keeper.due(keepers.at(end)).is_empty(), "silence is noticed in the end");
    }
}
