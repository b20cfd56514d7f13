//! `cargo xtask test`: everything set up, everything built, every test run.

use crate::{Failure, cargo, process, setup};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the test runners reported.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs the tests whose name holds `filter`, all without one; ends with one line `N passed, N failed`.
///
/// Without a filter the black-box tests run a second time, with servers that pass every read of a shard through its encoded
/// form, as reads of another node's shards are.
pub(crate) fn run(root: &Path, filter: Option<&str>) -> Result<(), Failure> {
    setup::everything(root)?;
    cargo::build_server(root)?;
    process::run(cargo::command(root, "test").args(["--workspace", "--no-run"]))?;
    let mut counts = Counts::default();
    let mut command = cargo::command(root, "test");
    let mut success = counts.add_all(command.args(["--workspace", "--no-fail-fast"]).args(filter))?;
    if filter.is_none() {
        println!("\nblack-box tests with encoded reads (AZIMUTH_ENCODE_READS=true)");
        let mut command = cargo::command(root, "test");
        command.args(["--package", "azimuth-tests", "--test", "blackbox"]).env("AZIMUTH_ENCODE_READS", "true");
        success &= counts.add_all(&mut command)?;
    }
    println!("\n{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.ignored);
    match (success, counts.passed) {
        (false, _) => Err("some tests failed".into()),
        (true, 0) => Err(format!("no test is called `{}`", filter.unwrap_or_default()).into()),
        (true, _) => Ok(()),
    }
}

impl Counts {
    /// Runs a command and adds its results. Returns whether the command succeeded.
    fn add_all(&mut self, command: &mut Command) -> Result<bool, Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        for line in BufReader::new(child.stdout.take().ok_or("no pipe from cargo")?).lines() {
            let line = line?;
            println!("{line}");
            self.add(&line);
        }
        Ok(child.wait()?.success())
    }

    /// Adds what a `test result:` line of the standard test runner says; other lines say nothing.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let result = result.split_once(". ").map_or(result, |(_, counts)| counts);
        for part in result.split(';') {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn adds_up_result_lines_and_nothing_else() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        counts.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.50s");
        counts.add("running 9 tests");
        counts.add("5 passed");
        assert_eq!(counts, Counts { passed: 5, failed: 4, ignored: 1 });
    }
}
