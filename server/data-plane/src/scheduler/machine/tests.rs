//! A scripted list of what is due, and a clock that the test turns.

use std::collections::BTreeMap;

use bytes::Bytes;
use callboard_types::ErrorKind;

use super::*;

/// The cluster's schedules, as one node's copy shows them.
#[derive(Default)]
struct Stage {
    due: BTreeMap<DueCursor, Occurrence>,
    firings: Firings,
    now: i64,
    elsewhere: bool,
}

fn occurrence(schedule: u64, due: i64, number: u64) -> Occurrence {
    Occurrence {
        at: DueCursor { due: Millis(due), schedule },
        generation: 1,
        number,
        name: "s".into(),
        target: ActorId::parse("default", "Counter", "a").expect("a valid name"),
        action: "add".into(),
        argument: (String::new(), String::new(), Bytes::new()),
        metadata: Vec::new(),
        accept_only: false,
    }
}

impl Stage {
    fn with(due: &[(u64, i64)]) -> Self {
        let mut stage = Self::default();
        for (schedule, at) in due {
            stage.add(occurrence(*schedule, *at, 1));
        }
        stage
    }

    fn add(&mut self, one: Occurrence) {
        self.due.insert(one.at, one);
        self.firings.look_again();
    }

    fn now(&self) -> Now {
        let micros = u64::try_from(self.now).expect("the clock is not negative") * 1_000;
        Now { tick: Tick(micros), wall: Millis(self.now) }
    }

    /// Reads everything that is due at a time, two at a time, and returns the schedules that are fired.
    fn at(&mut self, millis: i64) -> Vec<(u64, u64)> {
        self.now = millis;
        if self.firings.is_stale() || self.firings.next_pause() <= self.now().tick {
            self.firings.begin_pass(self.now());
        }
        let mut fired = Vec::new();
        loop {
            let (after, most) = self.firings.next_page(2);
            let above = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
            let due = self.due.range(above).map(|(_, one)| one.clone());
            let page: Vec<_> =
                due.take_while(|one| one.at.due <= Millis(millis)).take(most).collect();
            let last = page.len() < most;
            let elsewhere = self.elsewhere;
            let fires = self.firings.walk(self.now(), page, last, |one| match one.at.schedule {
                777 if millis < 10_000 => Place::Unknown,
                666 => Place::Hopeless(CallError::new(ErrorKind::UnknownType, "no such type")),
                _ if elsewhere => Place::NotMine,
                _ => Place::Mine,
            });
            fired.extend(fires.iter().map(|fire| (fire.occurrence.at.schedule, fire.ticket)));
            if last || most == 0 {
                return fired;
            }
        }
    }

    fn schedules_at(&mut self, millis: i64) -> Vec<u64> {
        self.at(millis).into_iter().map(|(schedule, _)| schedule).collect()
    }

    fn over(&mut self, ticket: u64) {
        self.firings.answered(self.now(), ticket, Ending::Over(None), 0);
    }

    fn again(&mut self, ticket: u64) {
        self.firings.answered(self.now(), ticket, Ending::Again, 0);
    }

    /// The cluster agrees on every end, and this node's copy shows it if `shown`.
    fn agree(&mut self, shown: bool) -> Vec<Gone> {
        let ends = self.firings.take_ends(100);
        if shown {
            let ended = |one: &Occurrence| ends.iter().any(|end| Name::from(end) == one.into());
            self.due.retain(|_, one| !ended(one));
        }
        self.firings.agreed(self.now(), &ends)
    }
}

#[test]
fn what_is_due_is_fired_once_in_order_and_never_early() {
    let mut stage = Stage::with(&[(1, 100), (2, 50), (3, 100), (4, 101)]);
    assert!(stage.at(49).is_empty());
    assert_eq!(stage.schedules_at(50), [2]);
    assert_eq!(stage.schedules_at(100), [1, 3]);
    stage.firings.look_again();
    assert!(stage.at(100).is_empty(), "they are under way");
    assert_eq!(stage.schedules_at(200), [4]);
}

#[test]
fn an_end_that_is_agreed_on_but_not_shown_yet_fires_nothing_again() {
    let mut stage = Stage::with(&[(1, 10)]);
    let ticket = stage.at(10)[0].1;
    stage.over(ticket);
    let gone = stage.agree(false);
    assert_eq!((gone.len(), gone[0].request_id.as_str()), (1, "schedule-1-1-1"));
    assert!(stage.at(500).is_empty());
    stage.due.clear();
    stage.firings.look_again();
    stage.at(600);
    assert!(stage.firings.known.is_empty(), "what is gone is forgotten");
    stage.add(occurrence(1, 700, 2));
    assert_eq!(stage.schedules_at(700), [1], "its next occurrence is another one");
}

#[test]
fn an_occurrence_is_tried_again_after_growing_pauses_while_it_is_due() {
    let mut stage = Stage::with(&[(1, 10)]);
    let mut at = 10;
    let mut pauses = Vec::new();
    let mut ticket = stage.at(at)[0].1;
    for _ in 0..12 {
        stage.again(ticket);
        let began = at;
        ticket = loop {
            at += 1;
            if let Some((_, ticket)) = stage.at(at).first() {
                break *ticket;
            }
        };
        pauses.push(at - began);
    }
    assert_eq!(pauses[..3], [10, 20, 40]);
    assert_eq!(pauses[11], 2_500);
    stage.again(ticket);
    stage.due.clear();
    stage.firings.look_again();
    assert!(stage.at(at + 10_000).is_empty(), "its schedule's own policy ended it");
    assert!(stage.firings.known.is_empty() && stage.firings.next_pause() == Tick::NEVER);
}

#[test]
fn what_another_node_fires_is_taken_over_when_its_shard_comes_here() {
    let mut stage = Stage::with(&[(1, 10), (2, 20)]);
    stage.elsewhere = true;
    assert!(stage.at(30).is_empty());
    stage.elsewhere = false;
    assert!(stage.at(40).is_empty(), "nothing says that the view changed");
    stage.firings.look_again();
    assert_eq!(stage.schedules_at(50), [1, 2]);
}

#[test]
fn an_occurrence_that_can_never_be_fired_ends_with_the_reason_and_holds_nobody_up() {
    let mut stage = Stage::with(&[(666, 10), (7, 11)]);
    assert_eq!(stage.schedules_at(20), [7]);
    let ends = stage.firings.take_ends(10);
    assert_eq!(ends[0].error.as_ref().map(|error| error.kind), Some(ErrorKind::UnknownType));
    assert!(stage.firings.agreed(stage.now(), &ends).is_empty(), "nobody has heard of it");
}

#[test]
fn ends_that_nobody_heard_are_told_again_before_later_ones() {
    let mut stage = Stage::with(&[(1, 10), (2, 10), (3, 10)]);
    let tickets = stage.at(10);
    stage.over(tickets[0].1);
    stage.over(tickets[1].1);
    let ends = stage.firings.take_ends(10);
    stage.over(tickets[2].1);
    stage.firings.not_agreed(ends);
    let told: Vec<u64> = stage.firings.take_ends(10).iter().map(|end| end.schedule).collect();
    assert_eq!(told, [1, 2, 3]);
}

#[test]
fn without_room_the_walk_stops_and_goes_on_where_it_was() {
    let due: Vec<(u64, i64)> = (1..=FIRINGS_MAX as u64 + 10).map(|n| (n + 1_000, 10)).collect();
    let mut stage = Stage::with(&due);
    let fired = stage.at(20);
    assert_eq!(fired.len(), FIRINGS_MAX);
    assert!(stage.at(30).is_empty());
    fired.iter().take(10).for_each(|(_, ticket)| stage.over(*ticket));
    assert_eq!(stage.at(40).len(), 10);
    assert_eq!(stage.firings.oldest_ms(stage.now()), 30);
}

#[test]
fn ends_that_the_cluster_does_not_take_keep_new_occurrences_from_being_fired() {
    let due: Vec<(u64, i64)> = (1..=ENDS_MAX as u64 + 10).map(|n| (n + 1_000, 10)).collect();
    let mut stage = Stage::with(&due);
    let fired = stage.at(20);
    fired.iter().for_each(|(_, ticket)| stage.over(*ticket));
    assert!(stage.at(30).is_empty());
    let ends = stage.firings.take_ends(20);
    assert!(stage.at(30).is_empty(), "they are on their way only");
    stage.firings.agreed(stage.now(), &ends);
    assert_eq!(stage.at(40).len(), 10);
}

#[test]
fn a_clock_that_was_set_back_fires_what_was_walked_past_when_its_time_comes() {
    let mut stage = Stage::with(&[(1, 1_000)]);
    assert_eq!(stage.schedules_at(5_000), [1]);
    stage.add(occurrence(2, 3_000, 1));
    stage.firings.stale = false;
    assert!(stage.at(2_000).is_empty());
    assert!(stage.firings.is_stale());
    assert_eq!(stage.schedules_at(3_000), [2]);
}

#[test]
fn attempts_carry_the_due_time_until_it_is_too_old_and_say_so() {
    let stage = Stage::with(&[(1, 0)]);
    let created = |at: i64| {
        let mut firings = Firings::default();
        let now = Now { tick: Tick(0), wall: Millis(at) };
        firings.begin_pass(now);
        let page = vec![stage.due.values().next().expect("one").clone()];
        let fire = firings.walk(now, page, true, |_| Place::Mine).remove(0);
        firings.answered(now, fire.ticket, Ending::Over(None), 0);
        let ends = firings.take_ends(1);
        (fire.created_at.0, firings.agreed(now, &ends)[0].restamped)
    };
    assert_eq!(created(RESTAMPED_AGE_MS), (0, false));
    assert_eq!(created(RESTAMPED_AGE_MS + 1), (0, true));
    assert_eq!(created(RESTAMP_AGE_MS + 1), (RESTAMP_AGE_MS + 1, true));
}

#[test]
fn an_occurrence_of_an_unknown_type_is_looked_at_again_until_it_is_known() {
    let mut stage = Stage::with(&[(777, 1_000)]);
    assert!(stage.at(1_000).is_empty());
    assert!(!stage.firings.has_ends(), "a view may lag");
    for _ in 0..9 {
        let wake = stage.firings.next_pause();
        assert!(wake > stage.now().tick && wake < Tick::NEVER);
        let millis = i64::try_from(wake.0 / 1_000).expect("early");
        if !stage.schedules_at(millis).is_empty() {
            break;
        }
    }
    assert_eq!(
        (stage.now, stage.firings.has_ends()),
        (10_000, false),
        "it is fired once it is known"
    );
}
