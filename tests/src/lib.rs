//! What the black-box suites stand on: real server processes, raw HTTP, real data, other programs.
//!
//! The suites are in `tests/blackbox`, one module a topic; Python and JavaScript parts lie in `python/` and `js/`, the
//! replay of recorded conversations in `golden/`. They know the server by its wire and its data folder only.

#![allow(clippy::print_stderr, reason = "suites report what they measured, also where the test runner captures output")]

pub mod dataset;
pub mod histories;
pub mod program;
pub mod raw_http;
pub mod raw_tls;
pub mod server;
pub mod service;
pub mod stateful;

use std::path::{Path, PathBuf};

/// The folder with recordings and data sets, which lies outside the repository: `AZIMUTH_SHARED`, else `../shared`.
pub fn shared_folder() -> Option<PathBuf> {
    let named = std::env::var_os("AZIMUTH_SHARED").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| workspace_root().join("../shared"));
    folder.join("data").is_dir().then_some(folder)
}

/// The folder of the workspace's `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Says something to the person who runs the tests, past the runner's capture.
pub fn notice(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Waits until something is so, looking again and again.
///
/// # Panics
/// When it is not so after two minutes: the suites share the machine with others.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < std::time::Duration::from_secs(120), "waited two minutes for {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
