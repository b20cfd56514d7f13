//! The one table that a load test ends with.
//!
//! What it quotes of the peers was measured on 2026-11-20 and -21 with the same data on 2 virtual processors, elsewhere.

use std::fmt::Write;
use std::time::Duration;

use crate::meter::Rate;

/// Rows that say what was measured, what came out, and what is known of the peers.
#[derive(Debug)]
pub struct PeerTable {
    rows: Vec<Vec<String>>,
}

impl PeerTable {
    /// A table with nothing but its head.
    pub fn new() -> PeerTable {
        let head = ["", "Azimuth, this run", "Weaviate 1.39.0, elsewhere", "Milvus 2.3.5, elsewhere"];
        PeerTable { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    /// Adds a row and shows it at once, for whoever watches.
    #[allow(clippy::print_stderr, reason = "a bench talks to its reader")]
    pub fn add(&mut self, what: &str, ours: &str, weaviate: &str, milvus: &str) {
        eprintln!("{what}: {ours}");
        self.rows.push([what, ours, weaviate, milvus].map(str::to_owned).to_vec());
    }

    /// The table in Markdown, aligned for reading as it is.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, width) in widths.iter().enumerate() {
                write!(text, "| {:<width$} ", cell(row, column)).expect("writing to a string cannot fail");
            }
            text += "|\n";
            if number == 0 {
                for width in &widths {
                    write!(text, "| {} ", "-".repeat(*width)).expect("writing to a string cannot fail");
                }
                text += "|\n";
            }
        }
        text
    }
}

impl Default for PeerTable {
    fn default() -> PeerTable {
        PeerTable::new()
    }
}

/// `1,234 /s, p50 0.80 ms, p99 1.20 ms, recall .998`
pub fn rate(rate: &Rate) -> String {
    let recall = format!("{:.4}", rate.mean);
    format!("{:.0}/s, p50 {}, p99 {}, recall {recall}", rate.per_second, time(rate.p50), time(rate.p99))
}

/// A time in the unit that keeps it short.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.1 {
        format!("{:.2} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// Bytes in MB, that is millions.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
