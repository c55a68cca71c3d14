//! What time it is, by most voters. Three pure machines; renewals carry what they exchange.
//!
//! * [`Trips`]: the node's side. How long its renewals take to the leader and back.
//! * [`Clocks`]: the leader's side. Each renewal says what its sender's wall clock showed when it was sent. The leader
//!   takes it down beside its own monotonic clock when it arrives, and hands out the median of the voters.
//! * [`Follower`]: the node's side. It takes what it is handed down beside its own monotonic clock when that arrives.
//!
//! Both sides take a time for later than it was by as long as the message took, never for earlier. So what comes out is
//! never ahead of what most voters' clocks say, and behind it by no more than the fastest of the last few messages each
//! way. How much that may be is known too, as in Cristian's algorithm: no message took longer than its round trip.

use std::collections::{BTreeMap, VecDeque};

use callboard_types::{NodeId, Tick};

/// Newest messages of which the fastest counts. At four renewals a second, four seconds' worth.
const SAMPLES: usize = 16;
/// Newest round trips of which the fastest counts. The leader still has the renewal of each among its samples: besides
/// these, no more are under way than are sent within a lease, by the defaults of both.
const TRIPS: usize = 4;
/// Round trips that took longer do not count, in microseconds: more renewals than the leader keeps are under way then.
const TRIP_US_MAX: u64 = 1_000_000;
/// What is taken for the way of renewals whose sender does not know, in microseconds: the default lease, as no
/// sender waits longer.
const TRIP_UNKNOWN_US: i64 = 2_000_000;

/// What time it is, in microseconds since 1970, or by how much that is ahead of a monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// It is not earlier than this,
    pub time_us: i64,
    /// and later by at most this.
    pub error_us: i64,
}

impl Reading {
    fn latest(self) -> i64 {
        self.time_us.saturating_add(self.error_us)
    }
}

/// By how much Unix time is ahead of a monotonic clock, in microseconds, as the last few messages say.
#[derive(Clone, Debug, Default)]
struct Offset(VecDeque<i64>);

impl Offset {
    /// Takes down that a clock showed `wall_us` no later than at `at`.
    fn note(&mut self, wall_us: i64, at: Tick) {
        push(&mut self.0, SAMPLES, wall_us.saturating_sub(at.micros()));
    }

    /// The one that was underway for the shortest time.
    fn best(&self) -> Option<i64> {
        self.0.iter().max().copied()
    }
}

/// What is known of one node's clock.
#[derive(Clone, Debug, Default)]
struct Clock {
    offset: Offset,
    /// What the renewals took at the most; 0 if that is unknown.
    trip_us: u64,
}

impl Clock {
    fn read(&self) -> Option<Reading> {
        let error_us = match i64::try_from(self.trip_us) {
            Ok(1..TRIP_UNKNOWN_US) => self.trip_us.cast_signed(),
            _ => TRIP_UNKNOWN_US,
        };
        self.offset.best().map(|time_us| Reading { time_us, error_us })
    }
}

/// The clocks of nodes, as the node that leads hears of them; None of those whose version does not say what they show.
#[derive(Clone, Debug, Default)]
pub struct Clocks(BTreeMap<NodeId, Option<Clock>>);

impl Clocks {
    /// A renewal arrived that says what its sender's clock showed, 0 if it does not, and [how long it takes](Trips).
    pub fn heard(&mut self, node: NodeId, wall_us: i64, trip_us: u64, arrived: Tick) {
        let clock = self.0.entry(node).or_default();
        if wall_us != 0 {
            let clock = clock.get_or_insert_default();
            clock.offset.note(wall_us, arrived);
            clock.trip_us = trip_us;
        }
    }

    /// Keeps only those of members.
    pub fn retain(&mut self, is_member: impl Fn(NodeId) -> bool) {
        self.0.retain(|node, _| is_member(*node));
    }

    /// The receiver began or ceased to lead: what it heard as long as others led may be old.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What time it is at a tick; None until a majority of the voters whose versions say was heard. If an even number was,
    /// `before` has a vote too: what the time would be by what the receiver was told so far. Without that it is the earlier
    /// one of the middle two: late is better than early.
    #[must_use]
    pub fn time(
        &self,
        voters: impl IntoIterator<Item = NodeId>,
        at: Tick,
        before: Option<Reading>,
    ) -> Option<Reading> {
        let clocks = voters.into_iter().filter_map(|voter| match self.0.get(&voter) {
            Some(clock) => clock.as_ref().map(Clock::read),
            None => Some(None),
        });
        let all: Vec<Option<Reading>> = clocks.collect();
        let mut known: Vec<Reading> = all.iter().flatten().copied().collect();
        if known.len() * 2 <= all.len() {
            return None;
        }
        if known.len().is_multiple_of(2) {
            let offset = |time: Reading| time.time_us.saturating_sub(at.micros());
            known.extend(before.map(|time| Reading { time_us: offset(time), ..time }));
        }
        let median = |mut all: Vec<i64>| {
            all.sort_unstable();
            all[(all.len() - 1) / 2]
        };
        let earliest = median(known.iter().map(|known| known.time_us).collect());
        let latest = median(known.iter().map(|known| known.latest()).collect());
        let time_us = earliest.saturating_add(at.micros());
        Some(Reading { time_us, error_us: latest.saturating_sub(earliest) })
    }
}

/// What a node was handed: by how much Unix time is ahead of its monotonic clock, at least and at most.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    least: Offset,
    most: VecDeque<i64>,
}

impl Follower {
    /// An answer arrived that says what time it is, if that is above 0. Returns by how much Unix time is ahead of the
    /// monotonic clock now, in microseconds.
    pub fn told(&mut self, time: Reading, sent: Tick, arrived: Tick) -> Option<Reading> {
        if time.time_us > 0 {
            self.least.note(time.time_us, arrived);
            push(&mut self.most, SAMPLES, time.latest().saturating_sub(sent.micros()));
        }
        let least = self.least.best()?;
        // Clocks that were set meanwhile leave nothing between the two.
        let most = self.most.iter().min().copied().unwrap_or(least).max(least);
        Some(Reading { time_us: least, error_us: most.saturating_sub(least) })
    }
}

/// How long the last renewals of a node took until the leader's answer was back.
#[derive(Clone, Debug, Default)]
pub struct Trips {
    leader: u64,
    took: VecDeque<u64>,
}

impl Trips {
    /// An answer of this leader came back after so many microseconds. True if it is the first of a row: the next renewal
    /// can tell the leader what it could not know of this one.
    pub fn answered(&mut self, leader: u64, took_us: u64) -> bool {
        if leader != std::mem::replace(&mut self.leader, leader) || took_us > TRIP_US_MAX {
            self.took.clear();
        }
        if took_us <= TRIP_US_MAX {
            push(&mut self.took, TRIPS, took_us.max(1));
        }
        self.took.len() == 1
    }

    /// A renewal was not confirmed. Which ones the leader heard last is uncertain now.
    pub fn failed(&mut self) {
        self.took.clear();
    }

    /// The fastest of them, in microseconds; 0 if none is known.
    #[must_use]
    pub fn fastest(&self) -> u64 {
        self.took.iter().min().copied().unwrap_or_default()
    }
}

fn push<T>(last: &mut VecDeque<T>, at_most: usize, new: T) {
    if last.len() == at_most {
        last.pop_front();
    }
    last.push_back(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;
    const VOTERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    /// Each node's clock is ahead of the leader's monotonic one by so much, and its message took so long.
    fn heard(clocks: &mut Clocks, at: u64, all: [(i64, u64); 3]) {
        for (node, (ahead, took)) in VOTERS.into_iter().zip(all) {
            let sent = i64::try_from(at - took).expect("small");
            clocks.heard(node, sent + ahead, 2 * took, Tick(at));
        }
    }

    fn time(clocks: &Clocks, at: u64) -> Option<i64> {
        clocks.time(VOTERS, Tick(at), None).map(|time| time.time_us)
    }

    fn exact(time_us: i64) -> Reading {
        Reading { time_us, error_us: 0 }
    }

    #[test]
    fn one_clock_that_is_wrong_moves_nothing() {
        for wrong in [HOUR_US, -HOUR_US] {
            let mut clocks = Clocks::default();
            heard(&mut clocks, 10_000, [(5_000_000, 7), (5_000_000 + wrong, 7), (5_000_000, 7)]);
            let three = Reading { time_us: 5_010_493, error_us: 14 };
            assert_eq!(clocks.time(VOTERS, Tick(10_500), None), Some(three));
            let mut two = clocks.clone();
            two.retain(|node| node != NodeId(3));
            let before = Some(Reading { time_us: 5_010_491, error_us: 20 });
            let right = Reading { time_us: if wrong > 0 { 5_010_493 } else { 5_010_491 }, ..three };
            let told = two.time(VOTERS, Tick(10_500), before).expect("most were heard");
            assert_eq!(told.time_us, right.time_us);
            assert!((right.error_us..=20).contains(&told.error_us), "{told:?}");
        }
    }

    #[test]
    fn the_time_is_never_ahead_and_slow_messages_count_only_until_a_faster_one() {
        let mut clocks = Clocks::default();
        heard(
            &mut clocks,
            1_000_000,
            [(5_000_000, 900_000), (5_000_000, 800_000), (5_000_000, 300)],
        );
        assert_eq!(time(&clocks, 1_000_000), Some(6_000_000 - 800_000));
        heard(&mut clocks, 1_250_000, [(5_000_000, 200), (5_000_000, 900_000), (5_000_000, 500)]);
        assert_eq!(time(&clocks, 1_250_000), Some(6_250_000 - 300));
        for at in 1..=SAMPLES as u64 {
            heard(&mut clocks, 2_000_000 + at, [(4_000_000, 7), (4_000_000, 7), (4_000_000, 7)]);
        }
        assert_eq!(time(&clocks, 3_000_000), Some(7_000_000 - 7), "what is old is forgotten");
    }

    #[test]
    fn what_slow_messages_hide_is_known() {
        const AHEAD: i64 = 5_000_000;
        // Of three voters two are far away; whatever their messages took each way, the time is between the bounds.
        for (there, back) in [(50_000, 0), (0, 50_000), (25_000, 25_000), (50_000, 50_000)] {
            let (mut clocks, mut trips) = (Clocks::default(), Trips::default());
            for at in [1_000_000, 1_250_000, 1_500_000] {
                for (node, there, trip) in
                    [(1, 10, 20), (2, there, there + back), (3, there, there + back)]
                {
                    let known = if at == 1_000_000 { 0 } else { trip };
                    clocks.heard(NodeId(node), at + AHEAD, known, Tick(at as u64 + there));
                }
                trips.answered(1, there + back);
            }
            assert_eq!(trips.fastest(), there + back);
            let now = 2_000_000 + AHEAD;
            let told = clocks.time(VOTERS, Tick(2_000_000), None).expect("all were heard");
            assert!(told.time_us <= now && now <= told.latest(), "{told:?}");
            assert!(told.error_us <= 100_000, "{told:?}");
            // A follower whose monotonic clock shows the same.
            let (sent, arrived) = (Tick(2_000_000 - there), Tick(2_000_000 + back));
            let known = Follower::default().told(told, sent, arrived).expect("told");
            assert!(known.time_us <= AHEAD && AHEAD <= known.latest(), "{known:?}");
        }
    }

    #[test]
    fn voters_that_cannot_know_yet_how_far_they_are_count_as_far() {
        let mut clocks = Clocks::default();
        VOTERS.iter().for_each(|voter| clocks.heard(*voter, 7, 0, Tick(1)));
        let error = |clocks: &Clocks| clocks.time(VOTERS, Tick(1), None).map(|time| time.error_us);
        assert_eq!(error(&clocks), Some(TRIP_UNKNOWN_US));
        clocks.heard(NodeId(1), 7, 5, Tick(1));
        assert_eq!(error(&clocks), Some(TRIP_UNKNOWN_US));
        clocks.heard(NodeId(2), 7, 6, Tick(1));
        assert_eq!(error(&clocks), Some(6), "most know");
        clocks.heard(NodeId(2), 7, u64::MAX, Tick(1));
        assert_eq!(error(&clocks), Some(TRIP_UNKNOWN_US), "whatever it says");
    }

    #[test]
    fn nobody_knows_the_time_before_most_voters_were_heard() {
        let mut clocks = Clocks::default();
        clocks.heard(NodeId(1), 7, 1, Tick(1));
        clocks.heard(NodeId(9), 7, 1, Tick(1));
        assert_eq!(time(&clocks, 1), None);
        let of = |voters: &[NodeId]| {
            clocks.time(voters.iter().copied(), Tick(1), None).map(|time| time.time_us)
        };
        assert_eq!(of(&[NodeId(1)]), Some(7), "alone it is its own majority");
        assert_eq!(of(&[NodeId(1), NodeId(9)]), Some(7));
        clocks.heard(NodeId(3), 3, 1, Tick(1));
        assert_eq!(time(&clocks, 1), Some(3), "late is better than early");
        clocks.retain(|node| node != NodeId(3));
        assert_eq!(time(&clocks, 1), None);
    }

    #[test]
    fn voters_of_a_version_that_does_not_say_are_not_waited_for() {
        let mut clocks = Clocks::default();
        clocks.heard(NodeId(1), 7, 1, Tick(1));
        clocks.heard(NodeId(2), 0, 0, Tick(1));
        assert_eq!(time(&clocks, 1), None, "one of two that may say");
        clocks.heard(NodeId(3), 0, 0, Tick(1));
        assert_eq!(time(&clocks, 1), Some(7));
        // Upgraded.
        clocks.heard(NodeId(2), 9, 1, Tick(1));
        clocks.heard(NodeId(3), 9, 1, Tick(1));
        assert_eq!(time(&clocks, 1), Some(9));
    }

    #[test]
    fn a_node_goes_by_the_fastest_of_the_last_answers() {
        let mut follower = Follower::default();
        let mut told =
            |time_us, sent, arrived| follower.told(exact(time_us), Tick(sent), Tick(arrived));
        let known = |time_us, error_us| Some(Reading { time_us, error_us });
        assert_eq!(told(0, 1, 2), None);
        assert_eq!(told(-1, 1, 2), None);
        assert_eq!(told(5_000, 1, 1_000), known(4_000, 999));
        assert_eq!(told(5_000, 1, 2_000), known(4_000, 999));
        assert_eq!(told(7_500, 2_700, 3_000), known(4_500, 300));
        assert_eq!(told(9_000, 3_100, 1_900_000), known(4_500, 300), "it says little");
        assert_eq!(told(9_000, 3_900, 4_000), known(5_000, 0), "set meanwhile");
    }

    #[test]
    fn a_node_knows_its_way_to_one_leader_and_only_while_all_is_answered() {
        let mut trips = Trips::default();
        assert_eq!(trips.fastest(), 0);
        assert!(trips.answered(1, 0), "the first");
        assert!(!trips.answered(1, 700));
        assert_eq!(trips.fastest(), 1);
        (0..TRIPS).for_each(|_| assert!(!trips.answered(1, 700)));
        assert_eq!(trips.fastest(), 700, "what is old is forgotten");
        assert!(trips.answered(2, 900), "another leader");
        assert_eq!(trips.fastest(), 900);
        trips.failed();
        assert_eq!(trips.fastest(), 0);
        assert!(trips.answered(2, 5));
        assert!(!trips.answered(2, TRIP_US_MAX + 1));
        assert_eq!(trips.fastest(), 0, "as good as failed");
    }
}
