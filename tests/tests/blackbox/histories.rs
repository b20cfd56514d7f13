//! Several clients at once, with kills; see [`azimuth_tests::histories`].
//!
//! Some seconds in every run; `cargo xtask fuzz histories` goes on for longer.

use azimuth_tests::{histories, notice};
use std::time::Duration;

#[test]
fn concurrent_clients_lose_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("AZIMUTH_SEED").unwrap_or(20_261_129);
    let seconds = number("AZIMUTH_FUZZ_SECONDS").unwrap_or(8);
    notice(&format!("histories: seed {seed} (AZIMUTH_SEED), {seconds} s (AZIMUTH_FUZZ_SECONDS)"));
    match histories::run(seed, Duration::from_secs(seconds)) {
        Ok(report) => notice(&format!(
            "histories: {} calls of {} clients, {} kills, {} reads of shared objects explained",
            report.calls,
            histories::CLIENTS,
            report.kills,
            report.reads
        )),
        Err(finding) => panic!("seed {seed}: {finding}"),
    }
}
