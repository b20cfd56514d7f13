//! How an import shows how far it is: a bar on a terminal, a line every few seconds otherwise.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::complain;

const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_EVERY: Duration = Duration::from_millis(200);

/// Where an import stands: bytes read of the input, records stored since the start of this run.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total_bytes: u64,
    read_bytes: Arc<AtomicU64>,
    started: Instant,
    shown: Instant,
}

impl Progress {
    /// `read_bytes` is counted by the reader of the input, which has `total_bytes`.
    pub(super) fn new(total_bytes: u64, read_bytes: Arc<AtomicU64>) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{wide_bar} {percent:>3} %  {msg}  {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total_bytes).with_style(style)
        });
        let now = Instant::now();
        Progress { bar, total_bytes, read_bytes, started: now, shown: now }
    }

    /// Called often; shows something now and then.
    pub(super) fn stand(&mut self, records: u64) {
        let every = if self.bar.is_some() { BAR_EVERY } else { LINE_EVERY };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let read = self.read_bytes.load(Ordering::Relaxed);
        let text = format!("{records} objects, {:.0}/s", self.rate(records));
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.set_position(read);
            }
            None => complain(format!("{text}, {} % of the input", read * 100 / self.total_bytes.max(1))),
        }
    }

    /// Shows a line without disturbing the bar.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => complain(text),
        }
    }

    /// Takes the bar away and says how many objects a second were stored.
    pub(super) fn end(&self, records: u64) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.rate(records)
    }

    fn rate(&self, records: u64) -> f64 {
        // Records of one run are far below 2^53.
        records as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}
