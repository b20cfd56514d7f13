//! `cargo xtask sanitize`: the tests of the vector index under a tool that watches every access to memory.
//!
//! AddressSanitizer runs with the project's own toolchain: reads and writes beyond an allocation or after its end, and
//! leaks. ThreadSanitizer and Miri want a nightly toolchain; when something is missing, the command says what. RocksDB is
//! prebuilt and not instrumented. Each tool has a target folder of its own below `target/sanitize`.

use std::path::Path;
use std::process::Command;

use crate::{Failure, cargo, process, setup};

/// Tests that are run unless others are named: the vector index, where nearly all unsafe code is.
const TESTS: &str = "vector::";

/// Tests by loom, which switches stacks by itself and takes no sanitizer.
const LOOM: &str = "interleavings";

/// The vector index under `tool`: `address`, `thread` or `miri`; the tests whose name holds `filter` if given.
pub(crate) fn run(root: &Path, tool: &str, filter: Option<&str>) -> Result<(), Failure> {
    setup::build(root)?;
    let filter = filter.unwrap_or(TESTS);
    match tool {
        "address" => address(root, filter),
        "thread" => thread(root, filter),
        "miri" => miri(root, filter),
        _ => Err(format!("no such tool: {tool}; there are address, thread and miri").into()),
    }
}

fn address(root: &Path, filter: &str) -> Result<(), Failure> {
    let host = host()?;
    let mut command = cargo::command(root, "test");
    // The flag is not stable; the sanitizer's runtime and the standard library that it needs come with every toolchain.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    command.args(["--target", &host]);
    process::run(tests(&mut command, root, "address", filter))
}

fn thread(root: &Path, filter: &str) -> Result<(), Failure> {
    let host = host()?;
    needs_nightly("rust-src")?;
    let mut command = nightly(root, "test");
    // The standard library has to be instrumented too: what it synchronises would be reported as a race.
    command.env("RUSTFLAGS", "-Zsanitizer=thread").args(["-Zbuild-std", "--release", "--target", &host]);
    process::run(tests(&mut command, root, "thread", filter))
}

fn miri(root: &Path, filter: &str) -> Result<(), Failure> {
    needs_nightly("miri")?;
    let mut command = nightly(root, "miri");
    // Temporary folders and files mapped into memory are the machine's.
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation").args(["test"]);
    process::run(tests(&mut command, root, "miri", filter))
}

/// The rest of the call: which tests, and where to build them.
fn tests<'a>(command: &'a mut Command, root: &Path, tool: &str, filter: &str) -> &'a mut Command {
    let target = root.join("target/sanitize").join(tool);
    command.arg("--target-dir").arg(target).args(["--package", "azimuth-engine", "--lib", "--", filter, "--skip", LOOM])
}

/// A call of the nightly toolchain's cargo. That of this process is in the way.
fn nightly(root: &Path, verb: &str) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(root).args(["run", "nightly", "cargo", verb]);
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
}

/// The machine's own target, which a sanitizer wants named: build scripts are not to be instrumented.
pub(crate) fn host() -> Result<String, Failure> {
    let text = process::output("rustc", &["--version", "--verbose"]).ok_or("rustc is missing")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not say what machine this is")?;
    if host.contains("-linux-gnu") || host.contains("-apple-darwin") {
        return Ok(host.to_owned());
    }
    Err(format!("there are no sanitizers for {host}").into())
}

/// Whether there is a nightly toolchain with that component; says how to get it else.
fn needs_nightly(component: &str) -> Result<(), Failure> {
    let advice = format!("rustup toolchain install nightly --profile minimal --component {component}");
    let listed = process::output("rustup", &["component", "list", "--installed", "--toolchain", "nightly"]);
    let listed = listed.ok_or_else(|| format!("there is no nightly toolchain: {advice}"))?;
    if listed.lines().any(|line| line.starts_with(component)) {
        return Ok(());
    }
    Err(format!("the nightly toolchain has no {component}: {advice}").into())
}
