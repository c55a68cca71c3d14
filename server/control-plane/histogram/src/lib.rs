//! The part of the `base2histogram` crate that openraft uses, in 64 numbers.
//!
//! The crate of that name builds lookup tables for all its sixteen resolutions at its first use, and openraft uses one
//! of them at every start: 26 MiB that stay, half of what a whole idle node may take. This one has one bucket per power
//! of two and no tables. It goes when openraft, or the crate, does without them.

use std::{fmt, marker::PhantomData};

const BUCKETS: usize = u64::BITS as usize + 1;

/// Counts values by their number of bits, so that percentiles are right within a factor of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    buckets: [u64; BUCKETS],
    slots: PhantomData<T>,
}

/// What a histogram says about its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many there are.
    pub samples: u64,
    /// Half of the values are at most this.
    pub p50: u64,
    /// 90 % of the values are at most this.
    pub p90: u64,
    /// 99 % of the values are at most this.
    pub p99: u64,
    /// 99.9 % of the values are at most this.
    pub p99_9: u64,
}

/// Named histograms, one line each.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    lines: Vec<(String, PercentileStats)>,
}

// === impl Histogram ===

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self { buckets: [0; BUCKETS], slots: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        let bits = (u64::BITS - value.leading_zeros()) as usize;
        self.buckets[bits] = self.buckets[bits].saturating_add(count);
    }

    /// Sums the values up.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count)),
            p50: self.per_mille(500),
            p90: self.per_mille(900),
            p99: self.per_mille(990),
            p99_9: self.per_mille(999),
        }
    }

    /// The upper end of the bucket in which the share of the values is reached; 0 without values.
    fn per_mille(&self, share: u128) -> u64 {
        let total: u128 = self.buckets.iter().map(|count| u128::from(*count)).sum();
        let wanted = (total * share).div_ceil(1_000);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += u128::from(*count);
            wanted > 0 && seen >= wanted
        });
        match reached {
            None | Some(0) => 0,
            Some(bits) => u64::MAX >> (BUCKETS - 1 - bits),
        }
    }
}

// === impl PercentileStats ===

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9 } = self;
        write!(f, "[samples: {samples}, P50: {p50}, P90: {p90}, P99: {p99}, P99.9: {p99_9}]")
    }
}

// === impl AsciiChart ===

impl AsciiChart {
    /// No lines yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a histogram.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "openraft hands it over")]
    pub fn add<T>(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.lines.push((name.to_owned(), histogram.percentile_stats()));
        self
    }

    /// All that there is to show.
    #[must_use]
    pub fn detailed(&self) -> impl fmt::Display {
        let lines = self.lines.iter().map(|(name, stats)| format!("{name}: {stats}\n"));
        lines.collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_factor_of_two() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats(), PercentileStats::default());
        (0..1_000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!(
            stats,
            PercentileStats { samples: 1_000, p50: 511, p90: 1_023, p99: 1_023, p99_9: 1_023 }
        );
        histogram.record_n(u64::MAX, 2_000);
        assert_eq!(histogram.percentile_stats().p50, u64::MAX);
    }

    #[test]
    fn a_histogram_stays_small() {
        assert!(size_of::<Histogram>() < 1024);
    }
}
