//! `cargo xtask fuzz`: fuzz targets for the requested time, with a corpus that stays in the cache folder.
//!
//! A target of a decoder is an ordinary test in a module called `fuzz`; here it is built with the compiler's counters
//! of coverage and `--cfg fuzzing`, by which libFuzzer drives it. `stateful` and `histories` start real servers and
//! send them random requests. Failing inputs are kept in the corpus, and the next run tries them first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Failure, cache, cargo, process, sanitize, setup};

/// Seconds for each target unless the command line gives another number.
const SECONDS: u64 = 60;

/// Packages with targets of decoders, and which of their test binaries holds them.
const PACKAGES: [(&str, &str); 3] =
    [("azimuth-engine", "--lib"), ("azimuth-raft", "--lib"), ("azimuth-server", "--bins")];

/// Suites of the black-box tests that run for a given time.
const SUITES: [&str; 2] = ["stateful", "histories"];

/// Where LLVM counts: each edge, with the operands of comparisons, so that a constant is found.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// The parsed command line.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    target: Option<&'a str>,
    seconds: u64,
    seed: Option<u64>,
}

/// Runs the target whose name holds a word; all of them, one after the other, without one.
pub(crate) fn run(root: &Path, words: &[&str]) -> Result<(), Failure> {
    let request = request(words)?;
    let corpus = cache::dir()?.join("fuzz");
    std::fs::create_dir_all(&corpus)?;
    println!("corpus: {}", corpus.display());
    setup::build(root)?;
    let wanted = |name: &str| request.target.is_none_or(|target| name.contains(target));
    let mut count = 0;
    if SUITES.iter().any(|suite| wanted(suite)) {
        cargo::build_server(root)?;
        for suite in SUITES.iter().filter(|suite| wanted(suite)) {
            count += 1;
            let mut command = cargo::command(root, "test");
            command.args(["--package", "azimuth-tests", "--test", "blackbox", &format!("{suite}::")]);
            command.args(["--", "--nocapture", "--test-threads=1"]);
            start(&mut command, suite, &request, &corpus)?;
        }
    }
    // A name of a suite alone needs no build with counters.
    if !request.target.is_some_and(|target| SUITES.contains(&target)) {
        for (package, kind) in PACKAGES {
            for name in targets(root, package, kind)?.iter().filter(|name| wanted(name)) {
                count += 1;
                let mut command = instrumented(root, package, kind)?;
                command.args(["--", "--exact", name, "--nocapture", "--test-threads=1"]);
                start(&mut command, name, &request, &corpus)?;
            }
        }
    }
    if count == 0 {
        return Err(format!("no target is called `{}`", request.target.unwrap_or_default()).into());
    }
    println!("{count} targets without a finding");
    Ok(())
}

fn request<'a>(words: &[&'a str]) -> Result<Request<'a>, Failure> {
    let mut request = Request { target: None, seconds: SECONDS, seed: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().and_then(|value| value.parse().ok());
            value.ok_or_else(|| Failure::from(format!("{word} needs a number")))
        };
        match *word {
            "--seconds" => request.seconds = number()?,
            "--seed" => request.seed = Some(number()?),
            word if word.starts_with('-') => return Err(format!("fuzz has no option {word}").into()),
            word if request.target.is_none() => request.target = Some(word),
            word => return Err(format!("fuzz takes one target, not also `{word}`").into()),
        }
    }
    Ok(request)
}

/// Runs one target; its output is the progress that is shown.
fn start(command: &mut Command, name: &str, request: &Request<'_>, corpus: &PathBuf) -> Result<(), Failure> {
    println!("--- {name}: {:?}", Duration::from_secs(request.seconds));
    command.env("AZIMUTH_FUZZ_SECONDS", request.seconds.to_string()).env("AZIMUTH_FUZZ_CORPUS", corpus);
    if let Some(seed) = request.seed {
        command.env("AZIMUTH_SEED", seed.to_string());
    }
    process::run(command)
}

/// `cargo test` of a package with the counters. The target is named, so that build scripts have none.
fn instrumented(root: &Path, package: &str, kind: &str) -> Result<Command, Failure> {
    let mut command = cargo::command(root, "test");
    command.env("RUSTFLAGS", FLAGS).args(["--target", &sanitize::host()?]);
    command.arg("--target-dir").arg(root.join("target/fuzz")).args(["--package", package, kind]);
    Ok(command)
}

/// The names of a package's targets.
fn targets(root: &Path, package: &str, kind: &str) -> Result<Vec<String>, Failure> {
    let mut command = instrumented(root, package, kind)?;
    let output = command.args(["fuzz::", "--", "--list"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the targets of {package} cannot be built").into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_anywhere() {
        let request = |words: &[&'static str]| request(words).map_err(|failure| failure.to_string());
        let wanted = Request { target: Some("stateful"), seconds: 1800, seed: Some(7) };
        assert_eq!(request(&["--seed", "7", "stateful", "--seconds", "1800"]), Ok(wanted));
        assert_eq!(request(&[]), Ok(Request { target: None, seconds: SECONDS, seed: None }));
        assert_eq!(request(&["--seconds"]), Err("--seconds needs a number".to_owned()));
        assert_eq!(request(&["--second", "1"]), Err("fuzz has no option --second".to_owned()));
        assert_eq!(request(&["a", "b"]), Err("fuzz takes one target, not also `b`".to_owned()));
    }
}
