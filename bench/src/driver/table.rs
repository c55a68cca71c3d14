//! The table of results: what was asked beside what was measured.

use std::fmt::Write;

use serde::Serialize;

use crate::{error::Error, measure::Report};

/// Whether a row reaches what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It does.
    Met,
    /// It does not.
    Missed,
    /// Nothing is asked; the figure is for comparison.
    Info,
    /// It could not be measured, or calls failed.
    Failed,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// What is asked; empty if nothing is.
    pub(crate) asked: String,
    /// What came of it.
    pub(crate) measured: String,
    /// Throughput as a multiple of the echo's.
    pub(crate) times_echo: Option<f64>,
    /// Median latency in microseconds.
    pub(crate) p50_us: Option<f64>,
    /// 99th percentile of latency in microseconds.
    pub(crate) p99_us: Option<f64>,
    /// CPU time of the node in microseconds per call.
    pub(crate) node_us: Option<f64>,
    /// Whether it is enough.
    pub(crate) verdict: Verdict,
}

impl Row {
    /// A line with nothing but a figure.
    pub(crate) fn figure(name: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            asked: String::new(),
            measured: measured.into(),
            times_echo: None,
            p50_us: None,
            p99_us: None,
            node_us: None,
            verdict: Verdict::Info,
        }
    }

    /// A line with the throughput and latencies of a load.
    pub(crate) fn load(name: impl Into<String>, report: &Report) -> Self {
        Self {
            p50_us: Some(report.p50_us),
            p99_us: Some(report.p99_us),
            ..Self::figure(name, format!("{}/s", thousands(report.per_second)))
        }
    }

    /// Adds the ratio to the baseline.
    pub(crate) fn beside_echo(mut self, report: &Report, echo: &Report) -> Self {
        self.times_echo = Some(report.per_second / echo.per_second);
        self
    }

    /// Adds the node's CPU time per call.
    pub(crate) fn with_node_us(mut self, node_us: Option<f64>) -> Self {
        self.node_us = node_us;
        self
    }

    /// Adds what is asked and whether it is met.
    pub(crate) fn asks(mut self, asked: impl Into<String>, met: bool) -> Self {
        self.asked = asked.into();
        self.verdict = if met { Verdict::Met } else { Verdict::Missed };
        self
    }
}

/// All lines of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds lines.
    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    /// Adds a line for a row that could not be measured.
    pub(crate) fn fail(&mut self, name: &str, error: &Error) {
        self.rows.push(Row { verdict: Verdict::Failed, ..Row::figure(name, error.to_string()) });
    }

    /// True if a row could not be measured.
    pub(crate) fn has_failures(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Failed)
    }

    /// The table for people.
    pub(crate) fn to_text(&self, quick: bool) -> String {
        let head = ["row", "asked", "measured", "x echo", "p50 us", "p99 us", "CPU us/call", ""];
        let mut cells = vec![head.map(String::from)];
        cells.extend(self.rows.iter().map(cells_of));
        let mut widths = [0; 8];
        for line in &cells {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.lines().next().unwrap_or_default().chars().count());
            }
        }
        let mut text = String::new();
        for line in &cells {
            let mut out = String::new();
            for (column, (width, cell)) in widths.iter().zip(line).enumerate() {
                let cell = cell.lines().next().unwrap_or_default();
                let padded = if (3..7).contains(&column) {
                    write!(out, "{cell:>width$}  ")
                } else {
                    write!(out, "{cell:<width$}  ")
                };
                padded.expect("writing to a string cannot fail");
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        for row in self.rows.iter().filter(|row| row.measured.contains('\n')) {
            text.push_str(&format!("\n{}:\n{}\n", row.name, row.measured));
        }
        if quick {
            text.push_str("\nQuick figures: too short and too small to publish.\n");
        }
        text
    }
}

fn cells_of(row: &Row) -> [String; 8] {
    let number = |value: Option<f64>| value.map(thousands).unwrap_or_default();
    [
        row.name.clone(),
        row.asked.clone(),
        row.measured.clone(),
        row.times_echo.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        number(row.p50_us),
        number(row.p99_us),
        row.node_us.map(|us| format!("{us:.1}")).unwrap_or_default(),
        match row.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::Info => "",
            Verdict::Failed => "FAILED",
        }
        .into(),
    ]
}

/// A number rounded to whole units, with commas.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(0.4), "0");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(thousands(1_000.0), "1,000");
        assert_eq!(thousands(-1_234_567.2), "-1,234,567");
    }

    #[test]
    fn the_table_says_what_was_missed_and_what_failed() {
        let mut table = Table::default();
        table.extend(vec![
            Row::figure("fast", "10/s").asks("≥ 5/s", true),
            Row::figure("slow", "3/s").asks("≥ 5/s", false),
        ]);
        assert!(!table.has_failures());
        table.fail("broken", &Error::failed("the node ended\nits log"));
        assert!(table.has_failures());

        let text = table.to_text(false);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name));
        assert!(line("fast").is_some_and(|line| line.ends_with("met")));
        assert!(line("slow").is_some_and(|line| line.ends_with("MISSED")));
        assert!(line("broken ").is_some_and(|line| line.ends_with("FAILED")));
        assert!(text.contains("broken:\nthe node ended\nits log"));
    }
}
