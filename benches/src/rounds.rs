//! Several ways to answer the same queries, measured in turn, so that what else runs on the machine meets all of them.

use crate::ann::AnnSet;
use crate::clock::{Clock, Spread};

type Search<'a> = Box<dyn FnMut(&[f32]) -> Vec<u32> + 'a>;

/// One way.
pub struct Trial<'a> {
    name: String,
    truth: &'a [Vec<u32>],
    search: Search<'a>,
}

/// What came out for one way.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The trial's.
    pub name: String,
    /// Queries a second of processor time, over the rounds.
    pub queries_per_second: Spread,
    /// Mean recall.
    pub recall: f64,
}

impl<'a> Trial<'a> {
    /// `search` gives rows; `truth` what they should be.
    pub fn new(name: impl Into<String>, truth: &'a [Vec<u32>], search: impl FnMut(&[f32]) -> Vec<u32> + 'a) -> Self {
        Self { name: name.into(), truth, search: Box::new(search) }
    }
}

/// Every trial once a round, after one round that is not counted.
pub fn alternate(set: &AnnSet, rounds: usize, trials: &mut [Trial<'_>]) -> Vec<Outcome> {
    let mut rates = vec![Vec::new(); trials.len()];
    let mut recalls = vec![0.0; trials.len()];
    for round in 0..=rounds {
        for ((trial, rates), recall) in trials.iter_mut().zip(&mut rates).zip(&mut recalls) {
            let clock = Clock::start();
            let answers: Vec<Vec<u32>> = set.queries().map(&mut trial.search).collect();
            let seconds = clock.elapsed().cpu.as_secs_f64();
            if round > 0 {
                rates.push(answers.len() as f64 / seconds);
                *recall = set.recall(trial.truth, &answers);
            }
        }
    }
    let outcome = |((trial, rates), recall): ((&Trial<'_>, Vec<f64>), f64)| Outcome {
        name: trial.name.clone(),
        queries_per_second: Spread::of(&rates),
        recall,
    };
    trials.iter().zip(rates).zip(recalls).map(outcome).collect()
}

impl Outcome {
    /// `name  median (min..max) QPS  recall`
    #[must_use]
    pub fn line(&self) -> String {
        let Spread { median, min, max } = self.queries_per_second;
        format!("{:34} {median:9.0} QPS ({min:.0}..{max:.0})  recall {:.4}", self.name, self.recall)
    }
}
