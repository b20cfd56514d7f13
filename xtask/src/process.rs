//! Running other programs: with their output shown, captured, or kept for the moment they fail.

use crate::Failure;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a long silent step says that it is alive.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// Runs with inherited output; an unsuccessful end is an error that names the program.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| unstartable(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", display(command)).into()) }
}

/// The trimmed standard output of a program that ends well; `None` when it is missing or fails.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs with all output going to `log`, prints `progress()` now and then, and shows the log's end on failure.
pub(crate) fn run_logged(command: &mut Command, log: &Path, progress: impl Fn() -> String) -> Result<(), Failure> {
    let file = File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().map_err(|error| unstartable(command, &error))?;
    let started = Instant::now();
    let mut said = started;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            println!("  {} ({} s)", progress(), started.elapsed().as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(30)..].join("\n");
    Err(format!("{} ended with {status}; the end of {}:\n{tail}", display(command), log.display()).into())
}

fn unstartable(command: &Command, error: &std::io::Error) -> Failure {
    format!("cannot start {}: {error}", command.get_program().to_string_lossy()).into()
}

fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    line.join(" ")
}
