//! Stateful fuzzing: random sequences of requests over every wire, held against a model after each step.
//!
//! [`run`] makes steps from a seed ([`step`]), carries each out against a real server and a naive model ([`play`],
//! [`model`], [`filter`]), and compares every answer ([`check`]). Beside the steps, [`noise`] sends malformed requests
//! and requests that it gives up, and asks whether the server is ready. A sequence that ends in a difference is made as
//! short as it gets and kept as a file of the corpus, which the next run repeats first. Nothing here depends on time: a
//! seed gives the same steps again.

mod check;
pub mod filter;
mod meaning;
pub mod model;
mod noise;
mod play;
mod query;
pub mod schema;
pub mod step;
pub mod value;
mod wire;

pub use play::{Finding, Player};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::notice;
use step::Step;

/// Steps against one server; then a new one with another seed begins.
const STEPS_MAX: usize = 1_500;

/// How long a sequence that fails is made shorter.
const SHRINKING: Duration = Duration::from_secs(180);

/// Options of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The seed of the first sequence; those that follow have the next ones.
    pub seed: u64,
    /// Sequences are begun and continued for so long; each runs at least to its tenth step.
    pub duration: Duration,
    /// Sequences that failed before, as files: repeated first, and where a new one is put.
    pub corpus: Option<PathBuf>,
}

/// Counts of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Sequences, each from an empty server.
    pub sequences: u64,
    /// Steps by kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// Requests of the noise.
    pub noise: u64,
    /// The longest answer time of the readiness probe, in milliseconds.
    pub ready_ms_max: u128,
}

/// Runs sequences until the time is over.
///
/// # Errors
/// The first difference between server and model: the seed, the difference in words, and the shortest sequence that
/// shows it.
pub fn run(settings: &Settings) -> Result<Report, String> {
    let mut report = Report::default();
    for path in settings.corpus.iter().flat_map(|folder| kept(folder)) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        // A file of an older form cannot be repeated any more.
        let Ok((auto_schema, steps)) = serde_json::from_str::<(bool, Vec<Step>)>(&text) else { continue };
        if let Err(finding) = repeat(auto_schema, &steps) {
            return Err(format!("{} fails again: {finding}", path.display()));
        }
    }
    let since = Instant::now();
    let mut said = since;
    for seed in settings.seed.. {
        if since.elapsed() >= settings.duration {
            break;
        }
        let auto_schema = !seed.is_multiple_of(4);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut player = Player::new(auto_schema);
        player.make_noise(seed);
        let mut steps = Vec::new();
        while steps.len() < STEPS_MAX && (since.elapsed() < settings.duration || steps.len() < 10) {
            let step = Step::random(&player.world, &mut random);
            steps.push(step.clone());
            let outcome = player.play(&step);
            if let Err(finding) = outcome {
                drop(player);
                return Err(describe(settings, seed, auto_schema, steps, &finding));
            }
            if said.elapsed() > Duration::from_secs(15) {
                said = Instant::now();
                let total: u64 = report.counts.values().sum::<u64>() + steps.len() as u64;
                notice(&format!("  stateful: seed {seed}, {total} steps ({} s)", since.elapsed().as_secs()));
            }
        }
        let outcome = player.play(&Step::CheckAll);
        if let Err(finding) = outcome {
            drop(player);
            steps.push(Step::CheckAll);
            return Err(describe(settings, seed, auto_schema, steps, &finding));
        }
        let (noise, ready_ms) = player.stop_noise();
        report.sequences += 1;
        report.noise += noise;
        report.ready_ms_max = report.ready_ms_max.max(ready_ms);
        for (kind, count) in &player.counts {
            *report.counts.entry(kind).or_default() += count;
        }
    }
    Ok(report)
}

/// Carries steps out against a new server.
///
/// # Errors
/// The difference found after one of the steps.
pub fn repeat(auto_schema: bool, steps: &[Step]) -> Result<(), Finding> {
    let mut player = Player::new(auto_schema);
    for step in steps {
        player.play(step)?;
    }
    player.play(&Step::CheckAll)
}

/// The failing sequences of a corpus, in order of their names.
fn kept(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    paths
}

/// The report of a failure, after its sequence was made shorter.
fn describe(settings: &Settings, seed: u64, auto_schema: bool, steps: Vec<Step>, finding: &Finding) -> String {
    notice(&format!("stateful: seed {seed}, step {}: {finding}\nmaking the sequence shorter ..", steps.len()));
    let length = steps.len();
    let (steps, shortest) = shrink(auto_schema, steps);
    let mut text = format!("seed {seed} (AZIMUTH_SEED), {length} steps: {finding}\n");
    match shortest {
        Some(shortest) => {
            let lines: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            let auto = if auto_schema { "on" } else { "off" };
            text.push_str(&format!("with auto-schema {auto}, these {} steps:\n{}\n", steps.len(), lines.join("\n")));
            text.push_str(&format!("end with: {shortest}\n"));
        }
        None => text.push_str("the steps alone do not show it again: it depends on timing or on the noise\n"),
    }
    if let Some(folder) = &settings.corpus {
        let path = folder.join(format!("{seed}.json"));
        let bytes = serde_json::to_vec(&(auto_schema, &steps)).unwrap_or_default();
        match fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes)) {
            Ok(()) => text.push_str(&format!("kept as {}\n", path.display())),
            Err(error) => text.push_str(&format!("{} cannot be written: {error}\n", path.display())),
        }
    }
    text
}

/// Leaves out steps as long as the sequence ends in a difference. Returns all steps and `None` when there is no
/// difference on repetition.
fn shrink(auto_schema: bool, mut steps: Vec<Step>) -> (Vec<Step>, Option<Finding>) {
    let since = Instant::now();
    let Err(mut finding) = repeat(auto_schema, &steps) else { return (steps, None) };
    // A difference other than the found one would lead away from it.
    let kind = |finding: &Finding| finding.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let mut part = steps.len() / 2;
    while part > 0 && since.elapsed() < SHRINKING {
        let mut at = 0;
        while at < steps.len() && since.elapsed() < SHRINKING {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + part).min(steps.len()));
            match repeat(auto_schema, &fewer) {
                Err(still) if kind(&still) == kind(&finding) => (steps, finding) = (fewer, still),
                _ => at += part,
            }
        }
        part /= 2;
    }
    (steps, Some(finding))
}
