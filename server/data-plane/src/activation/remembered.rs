//! Ends of deliveries of which no outcome is stored: to volatile and snapshot actors, to read-only actions, and refusals.
//!
//! Whoever waits for the end of a chain asks for them, and a repeated delivery finds them. Kept for a short time, in memory
//! only.

use std::collections::VecDeque;

use callboard_types::Tick;

use crate::call::Outcome;

/// How long an end is remembered, in milliseconds.
pub const REMEMBERED_MS: u64 = 30_000;
/// Ends that one activation remembers.
const REMEMBERED_MAX: usize = 256;
/// Their payloads together, in bytes; the newest is remembered whatever its size.
const REMEMBERED_BYTES_MAX: usize = 256 * 1_024;

#[derive(Debug)]
struct Ended {
    request_id: String,
    at: Tick,
    outcome: Outcome,
    bytes: usize,
}

/// What one activation remembers, the oldest first.
#[derive(Debug, Default)]
pub struct Remembered {
    ends: VecDeque<Ended>,
    bytes: usize,
}

impl Remembered {
    /// Remembers how a delivery ended.
    pub fn add(&mut self, request_id: &str, outcome: &Outcome, now: Tick) {
        let bytes = request_id.len()
            + match outcome {
                Ok(reply) => reply.payload.data.len(),
                Err(error) => error.size(),
            };
        self.bytes += bytes;
        let (request_id, outcome) = (request_id.to_owned(), outcome.clone());
        self.ends.push_back(Ended { request_id, at: now, outcome, bytes });
        while self.ends.len() > 1
            && (self.ends.len() > REMEMBERED_MAX || self.bytes > REMEMBERED_BYTES_MAX)
        {
            self.drop_oldest();
        }
        self.prune(now);
    }

    /// How a delivery ended.
    #[must_use]
    pub fn find(&self, request_id: &str) -> Option<&Outcome> {
        let mut ends = self.ends.iter().rev();
        ends.find(|end| end.request_id == request_id).map(|end| &end.outcome)
    }

    /// Forgets what is too old.
    pub fn prune(&mut self, now: Tick) {
        while self.ends.front().is_some_and(|end| end.at.plus_millis(REMEMBERED_MS) <= now) {
            self.drop_oldest();
        }
    }

    /// True if nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.ends.pop_front() {
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Payload, Reply};

    #[test]
    fn what_is_remembered_is_bounded_in_count_bytes_and_time() {
        let reply = |bytes: usize| {
            let payload = Payload { data: vec![0; bytes].into(), ..Payload::default() };
            Ok(Reply { payload, ..Reply::default() })
        };
        let mut ends = Remembered::default();
        (0..=REMEMBERED_MAX).for_each(|n| ends.add(&n.to_string(), &reply(1), Tick(1)));
        assert!(ends.find("0").is_none() && ends.find("1").is_some());
        ends.add("big", &reply(REMEMBERED_BYTES_MAX + 1), Tick(1));
        assert!(ends.find("big").is_some() && ends.find("256").is_none());
        ends.prune(Tick(1).plus_millis(REMEMBERED_MS));
        assert!(ends.is_empty() && ends.bytes == 0);
    }
}
