//! What the processes of a measurement tell the driver: events, one JSON object per line of standard output, and the
//! report of a load.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::error::Error;

/// A line that a process prints for the driver.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A server is bound.
    Listening {
        /// host:port.
        address: String,
    },
    /// The host's types are registered.
    Registered,
    /// Warm-up is over; what follows counts.
    Measuring,
    /// The measured time is over. Calls in flight are still awaited.
    Measured,
    /// The process is done.
    Done(Box<Report>),
}

/// The result of a load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Calls that succeeded inside the measured time.
    pub(crate) calls: u64,
    /// Calls that failed at any time, warm-up included.
    pub(crate) errors: u64,
    /// How often each error came, by its text, a few of them.
    pub(crate) error_kinds: BTreeMap<String, u64>,
    /// The measured time.
    pub(crate) seconds: f64,
    /// Calls per second.
    pub(crate) per_second: f64,
    /// Median latency in microseconds.
    pub(crate) p50_us: f64,
    /// 99th percentile of latency in microseconds.
    pub(crate) p99_us: f64,
    /// Largest latency in microseconds.
    pub(crate) max_us: f64,
    /// Calls that succeeded in each full interval of [`INTERVAL`].
    pub(crate) intervals: Vec<u64>,
}

impl Report {
    /// Calls per second in the slowest interval, or over the whole time if it was shorter than one.
    pub(crate) fn slowest_per_second(&self) -> f64 {
        self.intervals
            .iter()
            .min()
            .map_or(self.per_second, |calls| *calls as f64 / INTERVAL.as_secs_f64())
    }
}

/// How finely a long load is resolved in time, to show what expiry and checkpoints do.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// How many different errors a report carries.
const ERROR_KINDS_MAX: usize = 8;

/// Collects the outcome of calls. One per generator, however many callers it has.
pub(crate) struct Recorder {
    latencies: Histogram<u64>,
    measured_from: Option<Instant>,
    measured_until: Option<Instant>,
    errors: u64,
    error_kinds: BTreeMap<String, u64>,
    intervals: Vec<u64>,
}

impl Recorder {
    /// An empty recorder that counts nothing until [`Recorder::start`].
    pub(crate) fn new() -> Self {
        Self {
            latencies: Histogram::new_with_bounds(1, 120_000_000_000, 3)
                .expect("the bounds are valid constants"),
            measured_from: None,
            measured_until: None,
            errors: 0,
            error_kinds: BTreeMap::new(),
            intervals: Vec::new(),
        }
    }

    /// Begins the measured time and says so.
    pub(crate) fn start(&mut self, now: Instant) -> Result<(), Error> {
        self.measured_from = Some(now);
        emit(&Event::Measuring)
    }

    /// Ends the measured time and says so.
    pub(crate) fn stop(&mut self, now: Instant) -> Result<(), Error> {
        self.measured_until = Some(now);
        emit(&Event::Measured)
    }

    /// Notes a success.
    pub(crate) fn success(&mut self, started: Instant, ended: Instant) {
        let Some(from) = self.measured_from else {
            return;
        };
        if self.measured_until.is_some() {
            return;
        }
        let nanos = u64::try_from((ended - started).as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(nanos);
        let interval = ((ended - from).as_secs() / INTERVAL.as_secs()) as usize;
        if self.intervals.len() <= interval {
            self.intervals.resize(interval + 1, 0);
        }
        self.intervals[interval] += 1;
    }

    /// Notes a failure.
    pub(crate) fn failure(&mut self, error: impl Display) {
        self.errors += 1;
        let text = error.to_string();
        if self.error_kinds.len() < ERROR_KINDS_MAX || self.error_kinds.contains_key(&text) {
            *self.error_kinds.entry(text).or_default() += 1;
        }
    }

    /// What came of it.
    pub(crate) fn report(&self) -> Report {
        let seconds = match (self.measured_from, self.measured_until) {
            (Some(from), Some(until)) => (until - from).as_secs_f64(),
            _ => 0.0,
        };
        let full = (seconds / INTERVAL.as_secs_f64()) as usize;
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        Report {
            calls: self.latencies.len(),
            errors: self.errors,
            error_kinds: self.error_kinds.clone(),
            seconds,
            per_second: self.latencies.len() as f64 / seconds.max(1e-9),
            p50_us: micros(self.latencies.value_at_quantile(0.5)),
            p99_us: micros(self.latencies.value_at_quantile(0.99)),
            max_us: micros(self.latencies.max()),
            intervals: self.intervals.iter().take(full).copied().collect(),
        }
    }
}

/// The monotonic clock. Measuring real time is what this program is for.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator is not a machine that is handed time, and microseconds are too coarse for it"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Prints an event.
pub(crate) fn emit(event: &Event) -> Result<(), Error> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()?;
    Ok(())
}

/// Prints a text for people.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a line for people to standard error. A closed standard error is no reason to stop.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Returns when standard input is at its end.
pub(crate) async fn stdin_closed() {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    while matches!(input.read(&mut ignored).await, Ok(count) if count > 0) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_inside_the_measured_time_count() {
        let mut recorder = Recorder::new();
        let start = now();
        recorder.success(start, start + Duration::from_millis(1));
        recorder.start(start).expect("standard output is open");
        for millis in 1..=100 {
            recorder.success(start, start + Duration::from_millis(millis));
        }
        recorder.stop(start + Duration::from_secs(2)).expect("standard output is open");
        recorder.success(start, start + Duration::from_secs(3));
        recorder.failure("REFUSED");

        let report = recorder.report();
        assert_eq!(report.calls, 100);
        assert_eq!(report.errors, 1);
        assert!((report.per_second - 50.0).abs() < 1e-6);
        assert!((report.p50_us - 50_000.0).abs() < 100.0);
        assert!((report.p99_us - 99_000.0).abs() < 200.0);
    }

    #[test]
    fn a_stall_shows_as_the_slowest_interval() {
        let mut recorder = Recorder::new();
        let start = now();
        recorder.start(start).expect("standard output is open");
        for second in [1, 2, 3, 11, 21, 22, 31] {
            let ended = start + Duration::from_secs(second);
            recorder.success(ended, ended);
        }
        recorder.stop(start + Duration::from_secs(35)).expect("standard output is open");
        let report = recorder.report();
        assert_eq!(report.intervals, [3, 1, 2]);
        assert!((report.slowest_per_second() - 0.1).abs() < 1e-9);
    }
}
