//! When a schedule is to fire: pure functions of its spec.
//!
//! Cron lines are matched against the wall clock of their zone, and a matching wall clock time is then looked up: one that
//! a change of clocks skips stands for the first instant after the gap, one that is repeated for the first of the two.

use std::sync::Arc;

use callboard_types::{CallError, ErrorKind, Millis};
use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::machine::schedules::{Next, Overlap, Schedule, Spec, When};

/// The last instant of the year 9999. Nothing is due later.
pub(crate) const LAST: Millis = Millis(253_402_300_799_999);
/// Occurrences that are counted one by one. Of more, the rest is passed over without being counted.
const COUNTED_MAX: u64 = 10_000;
/// The longest gap or fold of any zone's clocks: islands have skipped whole days.
const CLOCK_CHANGE_MAX: TimeDelta = TimeDelta::hours(48);
const NICKNAMES: [&str; 6] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"];

/// The times of one schedule.
#[derive(Debug)]
pub(crate) struct Times {
    rule: Rule,
    /// The first occurrence is at this time or later.
    from: Millis,
    ends_at: Millis,
    jitter_ms: u32,
    seed: u64,
}

#[derive(Debug)]
enum Rule {
    Once(Millis),
    Every { base: Millis, interval: i64 },
    Cron { cron: Box<Cron>, zone: Tz },
}

/// What follows an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What comes next.
    pub(crate) next: Option<Next>,
    /// How many were passed over.
    pub(crate) missed: u64,
}

impl Times {
    /// The times of a spec of a schedule of this name, which was given the spec at `since`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] says what is wrong with the cron line or its time zone.
    pub(crate) fn of(
        system: &str,
        name: &str,
        spec: &Spec,
        since: Millis,
    ) -> Result<Self, CallError> {
        let from = spec.starts_at.unwrap_or(Millis(i64::MIN));
        let rule = match &spec.when {
            When::At(at) => Rule::Once(*at),
            When::After(delay) => Rule::Once(since.plus(i64::try_from(*delay).unwrap_or(i64::MAX))),
            When::Every(interval) => {
                let interval = i64::try_from(*interval).unwrap_or(i64::MAX).max(1);
                // Without a start the first one is an interval away.
                let base = spec.starts_at.unwrap_or_else(|| since.plus(interval));
                Rule::Every { base, interval }
            }
            When::Cron { line, zone } => {
                Rule::Cron { cron: Box::new(parse(line)?), zone: parse_zone(zone)? }
            }
        };
        let seed = xxh3_64_with_seed(name.as_bytes(), xxh3_64_with_seed(system.as_bytes(), 0));
        let ends_at = spec.ends_at.unwrap_or(LAST).min(LAST);
        Ok(Self { rule, from, ends_at, jitter_ms: spec.jitter_ms, seed })
    }

    /// The times of a schedule that is there: its spec was checked when it was made.
    pub(crate) fn of_schedule(schedule: &Schedule) -> Option<(Spec, Self)> {
        let spec = schedule.spec();
        let mut times =
            Self::of(schedule.system(), schedule.name(), &spec, schedule.since()).ok()?;
        // The first time was computed before the schedule was agreed on: what counts from then on goes by it, or it
        // would come twice.
        let rule = (&mut times.rule, schedule.next());
        if let (Rule::Once(time) | Rule::Every { base: time, .. }, Some(next)) = rule {
            *time = next.nominal;
        }
        Some((spec, times))
    }

    /// The first time of a schedule that is made now.
    pub(crate) fn first(&self, now: Millis) -> Option<Next> {
        let first = match self.rule {
            Rule::Once(at) => Some(at).filter(|at| *at >= self.from && *at <= self.ends_at),
            _ => self.after(now),
        };
        first.map(|nominal| self.put_off(nominal))
    }

    /// The first time of a schedule that repeats which is later than `after`, without jitter.
    pub(crate) fn after(&self, after: Millis) -> Option<Millis> {
        let after = after.max(self.from.plus(-1));
        let next = match &self.rule {
            Rule::Once(at) => (*at > after).then_some(*at),
            Rule::Every { base, interval } => {
                let passed = after.0.saturating_sub(base.0);
                let steps = if passed < 0 { 0 } else { passed / interval + 1 };
                Some(base.plus(steps.saturating_mul(*interval)))
            }
            Rule::Cron { cron, zone } => next_match(cron, *zone, after),
        };
        next.filter(|next| *next <= self.ends_at)
    }

    /// Puts an occurrence off, by as much at every attempt.
    fn put_off(&self, nominal: Millis) -> Next {
        let jitter_ms = if self.jitter_ms == 0 {
            0
        } else {
            let drawn = xxh3_64_with_seed(&nominal.0.to_le_bytes(), self.seed);
            u32::try_from(drawn % (u64::from(self.jitter_ms) + 1)).unwrap_or(self.jitter_ms)
        };
        Next { nominal, jitter_ms }
    }

    /// What follows an occurrence that ended at `now`.
    pub(crate) fn after_end(&self, overlap: Overlap, nominal: Millis, now: Millis) -> Step {
        if overlap == Overlap::Allow {
            let next = self.after(nominal).map(|next| self.put_off(next));
            return Step { next, missed: 0 };
        }
        let (passed, latest, next) = self.pass(nominal, now);
        match (overlap, latest) {
            (Overlap::Queue, Some(latest)) => Step { next: Some(latest), missed: passed - 1 },
            _ => Step { next, missed: passed },
        }
    }

    /// What follows an occurrence that nobody fired, if at `now` everything that is older than `window` milliseconds is
    /// too late. The occurrence is counted. Of those that are late and not too late, the latest is made up for; with
    /// [`Overlap::Allow`] all of them.
    pub(crate) fn after_miss(&self, spec: &Spec, nominal: Millis, now: Millis) -> Step {
        let window = i64::try_from(spec.window_ms).unwrap_or(i64::MAX);
        let (passed, _, next) = self.pass(nominal, now.plus(-window).plus(-1));
        let missed = passed + 1;
        let Some(first) = next.filter(|next| due(*next) <= now && spec.overlap != Overlap::Allow)
        else {
            return Step { next, missed };
        };
        let (passed, latest, _) = self.pass(first.nominal, now);
        Step { next: Some(latest.unwrap_or(first)), missed: missed + passed }
    }

    /// What follows a pause that ends at `now`, if the occurrence was not due when it began.
    pub(crate) fn after_pause(&self, nominal: Millis, now: Millis) -> Step {
        if due(self.put_off(nominal)) > now {
            return Step { next: Some(self.put_off(nominal)), missed: 0 };
        }
        let (passed, _, next) = self.pass(nominal, now);
        Step { next, missed: passed + 1 }
    }

    /// How many follow `nominal` that are due at `now` or before, the latest of them, and the first that is not.
    fn pass(&self, nominal: Millis, now: Millis) -> (u64, Option<Next>, Option<Next>) {
        let (mut passed, mut latest, mut at) = (0, None, nominal);
        // Intervals are counted without walking them; those whose jitter may matter are left to the walk.
        if let Rule::Every { interval, .. } = self.rule {
            let until = now.0.saturating_sub(self.jitter_ms.into()).min(self.ends_at.0);
            let steps = (until.saturating_sub(at.0) / interval).max(0);
            if steps > 0 {
                (passed, at) = (steps.unsigned_abs(), at.plus(steps * interval));
                latest = Some(self.put_off(at));
            }
        }
        let mut walked = 0;
        loop {
            let next = self.after(at).map(|next| self.put_off(next));
            let Some(due_next) = next.filter(|next| due(*next) <= now) else {
                return (passed, latest, next);
            };
            (passed, walked, latest, at) = (passed + 1, walked + 1, next, due_next.nominal);
            if walked == COUNTED_MAX {
                let far = now.plus(-i64::from(self.jitter_ms) - 1);
                at = at.max(far);
            }
        }
    }
}

/// When an occurrence is due.
fn due(next: Next) -> Millis {
    next.nominal.plus(next.jitter_ms.into())
}

/// Reads a cron line: five or six fields, or a nickname.
fn parse(line: &str) -> Result<Cron, CallError> {
    let fields = line.split_whitespace().count();
    let nickname = line.trim_start().starts_with('@');
    if nickname && !NICKNAMES.contains(&line.trim().to_ascii_lowercase().as_str())
        || !nickname && fields != 5 && fields != 6
    {
        let text = format!(
            "\"{}\" is not a cron line: write five fields (minute, hour, day of month, month, day of week), six with \
             seconds first, or one of @hourly, @daily, @weekly, @monthly, @yearly",
            shown(line)
        );
        return Err(CallError::new(ErrorKind::InvalidArgument, text));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(line).map_err(|error| {
        let text = format!("the cron line \"{}\" is wrong: {error}", shown(line));
        CallError::new(ErrorKind::InvalidArgument, text)
    })
}

/// Finds a time zone; UTC without a name.
fn parse_zone(name: &str) -> Result<Tz, CallError> {
    if name.is_empty() {
        return Ok(Tz::UTC);
    }
    name.parse().map_err(|_| {
        let text = format!(
            "there is no time zone \"{}\"; name one of the IANA database, for example Europe/Berlin, or none for UTC",
            shown(name)
        );
        CallError::new(ErrorKind::InvalidArgument, text)
    })
}

fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

/// The first instant later than `after` at which the zone's wall clock matches.
fn next_match(cron: &Cron, zone: Tz, after: Millis) -> Option<Millis> {
    let after = DateTime::from_timestamp_millis(after.0)?;
    let mut wall = zone.from_utc_datetime(&after.naive_utc()).naive_local();
    loop {
        // The wall clock as if it were UTC's, which has neither gaps nor repetitions.
        let found = cron.find_next_occurrence(&Utc.from_utc_datetime(&wall), false).ok()?;
        wall = found.naive_utc();
        let instant = instant_of(zone, wall)?;
        // Within a repeated hour the wall clock is back where it was: those times have passed.
        if instant > after {
            return Some(Millis(instant.timestamp_millis()));
        }
    }
}

/// The instant that a wall clock time of a zone stands for.
fn instant_of(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(instant) => Some(instant.to_utc()),
        MappedLocalTime::Ambiguous(first, _) => Some(first.to_utc()),
        MappedLocalTime::None => end_of_gap(zone, wall),
    }
}

/// The first instant after the gap in which the wall clock never shows `wall`.
fn end_of_gap(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    let is_past = |instant: NaiveDateTime| zone.from_utc_datetime(&instant).naive_local() > wall;
    // Seconds since `low`: the clock is before the gap at 0 and past it at the end.
    let low = wall.checked_sub_signed(CLOCK_CHANGE_MAX)?;
    let (mut before, mut past) = (0, 2 * CLOCK_CHANGE_MAX.num_seconds());
    while past - before > 1 {
        let middle = before.midpoint(past);
        let reached = is_past(low.checked_add_signed(Duration::seconds(middle))?);
        if reached { past = middle } else { before = middle }
    }
    Some(low.checked_add_signed(Duration::seconds(past))?.and_utc())
}

/// When a spec would fire.
///
/// # Errors
/// As [`Times::of`].
pub(crate) fn preview(spec: &Spec, after: Millis, count: usize) -> Result<Vec<Millis>, CallError> {
    let times = Times::of("", "", spec, after)?;
    let count =
        spec.max_firings.map_or(count, |most| count.min(usize::try_from(most).unwrap_or(count)));
    let mut at = times.first(after).map(|next| next.nominal);
    let mut found = Vec::new();
    while let Some(time) = at.filter(|_| found.len() < count) {
        found.push(time);
        at = times.after(time);
    }
    Ok(found)
}

/// What the end of an own occurrence leads to.
pub(crate) fn after_end(schedule: &Arc<Schedule>, number: u64, now: Millis) -> Step {
    let none = Step { next: None, missed: 0 };
    let own = schedule.next().filter(|next| next.number == number);
    let (Some(own), Some((spec, times))) = (own, Times::of_schedule(schedule)) else {
        return none;
    };
    if spec.is_one_shot() { none } else { times.after_end(spec.overlap, own.nominal, now) }
}

#[cfg(test)]
mod tests;
