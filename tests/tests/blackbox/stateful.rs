//! Random sequences of requests against a model; see [`azimuth_tests::stateful`].
//!
//! Some seconds in every run; `cargo xtask fuzz stateful` goes on for longer.

use azimuth_tests::notice;
use azimuth_tests::stateful::{Settings, run};
use std::path::PathBuf;
use std::time::Duration;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn random_requests_agree_with_a_model() {
    let seed = number("AZIMUTH_SEED").unwrap_or(20_261_129);
    let seconds = number("AZIMUTH_FUZZ_SECONDS").unwrap_or(10);
    let corpus = std::env::var_os("AZIMUTH_FUZZ_CORPUS").map(|folder| PathBuf::from(folder).join("stateful"));
    notice(&format!("stateful: seed {seed} (AZIMUTH_SEED), {seconds} s (AZIMUTH_FUZZ_SECONDS)"));
    let settings = Settings { seed, duration: Duration::from_secs(seconds), corpus };
    match run(&settings) {
        Ok(report) => {
            let counts: Vec<String> = report.counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            notice(&format!(
                "stateful: {} sequences, {}; {} requests of noise, ready within {} ms",
                report.sequences,
                counts.join(", "),
                report.noise,
                report.ready_ms_max
            ));
        }
        Err(finding) => panic!("{finding}"),
    }
}
