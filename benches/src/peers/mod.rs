//! Engines side by side: every one builds over the same set and answers the same queries on one thread.
//!
//! `ours` and `hnsw_rs` run in this process; hnswlib, faiss and usearch run in Python processes (`python`, `peers.py`),
//! one engine a process, and answer all queries in one call of theirs, so that Python costs them nothing.

mod hnsw_rs;
mod ours;
mod python;

pub use hnsw_rs::HnswRs;
pub use ours::{Ours, answers, ask, build, config, work_all};
pub use python::{Python, PythonEngine};

use std::time::Duration;

use crate::ann::AnnSet;

/// Threads that build.
pub const BUILD_THREADS: usize = 2;

/// Processor time that a pass takes at least: the queries are asked over and over until it is used up.
pub const PASS_TIME_MIN: Duration = Duration::from_millis(120);

/// Settings of the graph that all engines share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graph {
    /// Links a node keeps above level 0.
    pub m: usize,
    /// Candidates while building.
    pub ef_construction: usize,
}

/// What building took.
#[derive(Debug, Clone, Copy)]
pub struct Built {
    /// Seconds by the wall clock with [`BUILD_THREADS`].
    pub wall: f64,
    /// Seconds of processor time over all threads.
    pub cpu: f64,
    /// Growth of anonymous memory, with the vectors where the engine keeps them there.
    pub bytes: u64,
}

/// Whole passes over the queries on one thread.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Queries a second of processor time.
    pub queries_per_second: f64,
    /// Processor time by wall time: 1 when nobody else wanted the processor.
    pub share: f64,
    /// Mean recall.
    pub recall: f64,
}

/// An engine that a comparison can ask.
pub trait Engine {
    /// For tables; unique in a comparison.
    fn name(&self) -> &str;

    /// Builds over the set, once.
    ///
    /// # Errors
    /// The engine is not installed, or failed; a sentence.
    fn build(&mut self, set: &AnnSet) -> Result<Built, String>;

    /// Passes over the queries; only after [`build`](Self::build).
    ///
    /// # Errors
    /// The engine failed; a sentence.
    fn search(&mut self, set: &AnnSet, ef: usize) -> Result<Pass, String>;
}

/// A pass of an engine in this process.
pub(crate) fn pass_here(set: &AnnSet, mut search: impl FnMut(&[f32]) -> Vec<u32>) -> Pass {
    let clock = crate::clock::Clock::start();
    let mut queries = 0u32;
    let answers = loop {
        let answers: Vec<Vec<u32>> = set.queries().map(&mut search).collect();
        queries += u32::try_from(answers.len()).unwrap_or(u32::MAX);
        if clock.elapsed().cpu >= PASS_TIME_MIN || answers.is_empty() {
            break answers;
        }
    };
    let elapsed = clock.elapsed();
    Pass {
        queries_per_second: f64::from(queries) / elapsed.cpu.as_secs_f64(),
        share: elapsed.cpu.as_secs_f64() / elapsed.wall.as_secs_f64(),
        recall: set.recall(&set.truth, &answers),
    }
}
