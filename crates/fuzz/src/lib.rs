//! Fuzz targets: a target is a test that calls [`check`] with examples and a closure.
//!
//! In an ordinary test run the closure gets the examples and some thousand changed ones, the same in every run, in the
//! time of a unit test. `cargo xtask fuzz` builds the same tests with `--cfg fuzzing` and the compiler's counters of
//! coverage; then libFuzzer drives the closure for the requested time. A target reports a failure by a panic.
//!
//! | variable | what |
//! | --- | --- |
//! | `AZIMUTH_SEED` | the seed of the changes; a failure prints it |
//! | `AZIMUTH_FUZZ_SECONDS` | goes on for so long instead of a fixed number of inputs |
//! | `AZIMUTH_FUZZ_CORPUS` | a folder outside the repository: inputs of `NAME/` are tried first, failing ones are kept there |

#![warn(missing_docs)]
#![allow(clippy::print_stderr, reason = "a failing target says how to repeat it")]

#[cfg(fuzzing)]
mod libfuzzer;
mod mutate;

use std::fs;
use std::path::PathBuf;

/// Inputs of an ordinary run beside the examples.
#[cfg(not(fuzzing))]
const INPUTS: u64 = 3_000;

/// The seed of an ordinary run.
#[cfg(not(fuzzing))]
const SEED: u64 = 20_261_129;

/// Longest input.
const BYTES_MAX: usize = 1 << 16;

/// Tries `target` on the examples and on inputs derived from them.
///
/// # Panics
/// When the target does, after the input was shown.
#[cfg(not(fuzzing))]
pub fn check(name: &str, examples: &[Vec<u8>], target: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    use rand::SeedableRng;
    use std::time::{Duration, Instant};

    let seed = number("AZIMUTH_SEED").unwrap_or(SEED);
    let seconds = number("AZIMUTH_FUZZ_SECONDS");
    let mut inputs = examples.to_vec();
    inputs.extend(kept(name));
    if inputs.is_empty() {
        inputs.push(Vec::new());
    }
    inputs.iter().for_each(|input| try_one(name, seed, input, &target));
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let since = Instant::now();
    for count in 0.. {
        let is_over = match seconds {
            Some(seconds) => since.elapsed() >= Duration::from_secs(seconds),
            None => count >= INPUTS,
        };
        if is_over {
            break;
        }
        let input = mutate::changed(&inputs, &mut random);
        try_one(name, seed, &input, &target);
    }
}

/// Hands the target to libFuzzer, which ends the process when it is through.
#[cfg(fuzzing)]
pub fn check(name: &str, examples: &[Vec<u8>], target: impl Fn(&[u8]) + Send + Sync + 'static) {
    libfuzzer::run(name, examples, Box::new(target));
}

#[cfg(not(fuzzing))]
fn try_one(name: &str, seed: u64, input: &[u8], target: &(impl Fn(&[u8]) + std::panic::RefUnwindSafe)) {
    let outcome = std::panic::catch_unwind(|| target(input));
    if let Err(panic) = outcome {
        eprintln!("target {name}, seed {seed} (AZIMUTH_SEED), input of {} bytes: {}", input.len(), shown(input));
        if let Some(folder) = folder(name) {
            let path = folder.join(format!("failed-{seed}-{}", input.len()));
            let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
            eprintln!("{}: {}", path.display(), kept.map_or_else(|error| error.to_string(), |()| "kept".to_owned()));
        }
        std::panic::resume_unwind(panic);
    }
}

/// The input as Rust writes it.
#[cfg(not(fuzzing))]
fn shown(input: &[u8]) -> String {
    let start = &input[..input.len().min(2_000)];
    format!("b\"{}\"", start.escape_ascii())
}

/// Inputs of the corpus.
#[cfg(not(fuzzing))]
fn kept(name: &str) -> Vec<Vec<u8>> {
    let entries = folder(name).and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Where the corpus of a target is.
fn folder(name: &str) -> Option<PathBuf> {
    std::env::var_os("AZIMUTH_FUZZ_CORPUS").map(|folder| PathBuf::from(folder).join(name))
}

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[cfg(all(test, not(fuzzing)))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn every_example_is_tried_and_many_changed_ones() {
        let (same, other) = (AtomicU64::new(0), AtomicU64::new(0));
        super::check("self", &[b"abcdef".to_vec(), b"xyz".to_vec()], |input| {
            let counter = if input == b"abcdef" || input == b"xyz" { &same } else { &other };
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert!(same.load(Ordering::Relaxed) >= 2 && other.load(Ordering::Relaxed) > super::INPUTS / 2);
    }

    #[test]
    #[should_panic(expected = "found")]
    fn a_byte_behind_a_check_is_found() {
        super::check("self", &[b"magic0".to_vec()], |input| {
            assert!(!(input.starts_with(b"magic") && input.get(5) == Some(&0xff)), "found");
        });
    }
}
