//! What the machine itself must have: a C++ compiler and libclang for RocksDB, Python with venv, Node.js for one suite.
//!
//! As root on a Debian-like system the missing packages are installed; elsewhere the exact command is named.

use crate::{Failure, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A need, and the Debian packages that fill it.
struct Tool {
    name: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

/// For compiling the workspace.
const BUILD: [Tool; 2] = [
    Tool {
        name: "a C++ compiler",
        packages: &["g++"],
        present: || runs("c++", "--version") && runs("cc", "--version"),
    },
    Tool { name: "libclang", packages: &["libclang-dev"], present: libclang_is_there },
];

/// For the demo and the official Python clients.
const PYTHON: [Tool; 1] =
    [Tool { name: "Python 3 with venv", packages: &["python3", "python3-venv"], present: python_is_there }];

/// For the official JavaScript client.
const NODE: [Tool; 1] = [Tool {
    name: "Node.js with npm",
    packages: &["nodejs", "npm"],
    present: || runs("node", "--version") && runs("npm", "--version"),
}];

/// What a command needs beyond Rust.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To build.
    Build,
    /// To build and to run Python.
    Demo,
    /// All of it.
    Tests,
}

/// Installs what is missing, or fails with the command that would.
pub(crate) fn ensure(need: Need) -> Result<(), Failure> {
    let missing: Vec<&Tool> = tools(need).into_iter().filter(|tool| !(tool.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages).copied().collect();
    let by_hand = format!("sudo apt-get update && sudo apt-get install -y {}", packages.join(" "));
    if !is_root() || !runs("apt-get", "--version") {
        return Err(format!("missing: {}. On Debian or Ubuntu: {by_hand}", names.join(", ")).into());
    }
    println!("installing {} ..", packages.join(", "));
    let log = std::env::temp_dir().join(format!("azimuth-apt-{}.log", std::process::id()));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        process::run_logged(&mut command, &log, || format!("apt-get {}", arguments[0]))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat())?;
    fs::remove_file(&log)?;
    match missing.iter().find(|tool| !(tool.present)()) {
        None => Ok(()),
        Some(tool) => Err(format!("{} is still missing after: {by_hand}", tool.name).into()),
    }
}

fn tools(need: Need) -> Vec<&'static Tool> {
    match need {
        Need::Build => BUILD.iter().collect(),
        Need::Demo => BUILD.iter().chain(&PYTHON).collect(),
        Need::Tests => BUILD.iter().chain(&PYTHON).chain(&NODE).collect(),
    }
}

fn runs(program: &str, argument: &str) -> bool {
    process::output(program, &[argument]).is_some()
}

fn is_root() -> bool {
    process::output("id", &["-u"]).as_deref() == Some("0")
}

fn python_is_there() -> bool {
    process::output("python3", &["-c", "import ensurepip, venv, sys; assert sys.version_info >= (3, 10)"]).is_some()
}

/// Whether bindgen will find libclang, by the rules of its loader: `LIBCLANG_PATH`, else the usual folders.
fn libclang_is_there() -> bool {
    if let Some(path) = std::env::var_os("LIBCLANG_PATH") {
        return holds_libclang(Path::new(&path)) || Path::new(&path).is_file();
    }
    let llvm = folders("/usr/lib").chain(folders("/usr/local")).filter(|dir| name_starts(dir, "llvm"));
    let nested = llvm.map(|dir| dir.join("lib"));
    let multiarch = folders("/usr/lib").filter(|dir| dir.to_string_lossy().ends_with("-linux-gnu"));
    let plain = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/opt/llvm/lib"].map(PathBuf::from);
    nested.chain(multiarch).chain(plain).any(|dir| holds_libclang(&dir))
}

fn holds_libclang(dir: &Path) -> bool {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files.map(|file| file.file_name().to_string_lossy().into_owned()).any(|name| {
        let library =
            name.starts_with("libclang.") || (name.starts_with("libclang-") && !name.starts_with("libclang-cpp"));
        library && (name.contains(".so") || name.ends_with(".dylib"))
    })
}

fn folders(dir: &str) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
}

fn name_starts(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}
