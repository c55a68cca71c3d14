//! What time it is, by most voters. Two pure machines; renewals carry what they exchange.
//!
//! * [`Clocks`]: the leader's side. Each renewal says what its sender's wall clock showed when it was sent. The leader
//!   takes it down beside its own monotonic clock when it arrives, and hands out the median of the voters.
//! * [`Follower`]: the node's side. It takes what it is handed down beside its own monotonic clock when that arrives.
//!
//! Both take a time for later than it was by as long as the message took, never for earlier. So what comes out is never
//! ahead of what most voters' clocks say, and behind it by no more than the fastest of the last few messages each way.

use std::collections::{BTreeMap, VecDeque};

use callboard_types::{NodeId, Tick};

/// Newest messages of which the fastest counts. At four renewals a second, two seconds' worth.
const SAMPLES: usize = 8;
/// Answers that took longer say too little, in microseconds.
const ANSWER_US_MAX: u64 = 1_000_000;

/// By how much Unix time is ahead of a monotonic clock, in microseconds, as the last few messages say.
#[derive(Clone, Debug, Default)]
struct Offset(VecDeque<i64>);

impl Offset {
    /// Takes down that a clock showed `wall_us` no later than at `at`.
    fn note(&mut self, wall_us: i64, at: Tick) {
        let ticks = i64::try_from(at.0).unwrap_or(i64::MAX);
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(wall_us.saturating_sub(ticks));
    }

    /// The one that was underway for the shortest time.
    fn best(&self) -> Option<i64> {
        self.0.iter().max().copied()
    }
}

/// The clocks of nodes, as the node that leads hears of them.
#[derive(Clone, Debug, Default)]
pub struct Clocks(BTreeMap<NodeId, Offset>);

impl Clocks {
    /// A renewal arrived that says what its sender's clock showed; 0 says nothing.
    pub fn heard(&mut self, node: NodeId, wall_us: i64, arrived: Tick) {
        if wall_us != 0 {
            self.0.entry(node).or_default().note(wall_us, arrived);
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

    /// What time it is at a tick, in microseconds since 1970; None until a majority of the voters was heard. If an even
    /// number was, `before` has a vote too: what the time would be by what the receiver was told so far. Without that it is
    /// the earlier one of the middle two: late is better than early.
    #[must_use]
    pub fn time(
        &self,
        voters: impl IntoIterator<Item = NodeId>,
        at: Tick,
        before: Option<i64>,
    ) -> Option<i64> {
        let ticks = i64::try_from(at.0).unwrap_or(i64::MAX);
        let all: Vec<Option<i64>> =
            voters.into_iter().map(|voter| self.0.get(&voter).and_then(Offset::best)).collect();
        let mut known: Vec<i64> = all.iter().flatten().copied().collect();
        if known.len() * 2 <= all.len() {
            return None;
        }
        if known.len().is_multiple_of(2) {
            known.extend(before.map(|time| time.saturating_sub(ticks)));
        }
        known.sort_unstable();
        let median = known[(known.len() - 1) / 2];
        Some(median.saturating_add(ticks))
    }
}

/// What a node was handed.
#[derive(Clone, Debug, Default)]
pub struct Follower(Offset);

impl Follower {
    /// An answer arrived that says what time it is; 0 says nothing. Returns by how much Unix time is ahead of the monotonic
    /// clock now, in microseconds.
    pub fn told(&mut self, time_us: i64, sent: Tick, arrived: Tick) -> Option<i64> {
        if time_us != 0 && arrived.micros_since(sent) <= ANSWER_US_MAX {
            self.0.note(time_us, arrived);
        }
        self.0.best()
    }
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
            clocks.heard(node, sent + ahead, Tick(at));
        }
    }

    #[test]
    fn one_clock_that_is_wrong_moves_nothing() {
        for wrong in [HOUR_US, -HOUR_US] {
            let mut clocks = Clocks::default();
            heard(&mut clocks, 10_000, [(5_000_000, 0), (5_000_000 + wrong, 0), (5_000_000, 0)]);
            assert_eq!(clocks.time(VOTERS, Tick(10_500), None), Some(5_010_500));
            let mut two = clocks.clone();
            two.retain(|node| node != NodeId(3));
            let right = if wrong > 0 { 5_010_500 } else { 5_010_498 };
            assert_eq!(two.time(VOTERS, Tick(10_500), Some(5_010_498)), Some(right));
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
        assert_eq!(clocks.time(VOTERS, Tick(1_000_000), None), Some(6_000_000 - 800_000));
        heard(&mut clocks, 1_250_000, [(5_000_000, 200), (5_000_000, 900_000), (5_000_000, 500)]);
        assert_eq!(clocks.time(VOTERS, Tick(1_250_000), None), Some(6_250_000 - 300));
        for at in 1..=SAMPLES as u64 {
            heard(&mut clocks, 2_000_000 + at, [(4_000_000, 7), (4_000_000, 7), (4_000_000, 7)]);
        }
        let set_back = clocks.time(VOTERS, Tick(3_000_000), None);
        assert_eq!(set_back, Some(7_000_000 - 7), "what is old is forgotten");
    }

    #[test]
    fn nobody_knows_the_time_before_most_voters_were_heard() {
        let mut clocks = Clocks::default();
        clocks.heard(NodeId(1), 7, Tick(1));
        clocks.heard(NodeId(2), 0, Tick(1));
        clocks.heard(NodeId(9), 7, Tick(1));
        assert_eq!(clocks.time(VOTERS, Tick(1), None), None);
        assert_eq!(
            clocks.time([NodeId(1)], Tick(1), None),
            Some(7),
            "alone it is its own majority"
        );
        assert_eq!(clocks.time([NodeId(1), NodeId(9)], Tick(1), None), Some(7));
        clocks.heard(NodeId(3), 3, Tick(1));
        assert_eq!(clocks.time(VOTERS, Tick(1), None), Some(3), "late is better than early");
        clocks.retain(|node| node != NodeId(3));
        assert_eq!(clocks.time(VOTERS, Tick(1), None), None);
    }

    #[test]
    fn a_node_goes_by_the_fastest_of_the_last_answers() {
        let mut follower = Follower::default();
        assert_eq!(follower.told(0, Tick(1), Tick(2)), None);
        assert_eq!(follower.told(5_000, Tick(1), Tick(1_000)), Some(4_000));
        assert_eq!(follower.told(5_000, Tick(1), Tick(2_000)), Some(4_000));
        assert_eq!(follower.told(7_500, Tick(1), Tick(3_000)), Some(4_500));
        let late = Tick(ANSWER_US_MAX + 2);
        assert_eq!(follower.told(9_000_000_000, Tick(1), late), Some(4_500), "it took too long");
    }
}
