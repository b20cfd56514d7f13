//! Engines that Python knows, in an environment that the bench installs itself.
//!
//! The environment lies in the project's cache folder (`AZIMUTH_CACHE_DIR`, else `XDG_CACHE_HOME/azimuth`, else
//! `~/.cache/azimuth`), named after its pins. What cannot be installed is reported in the tables, and fails nothing.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use azimuth_engine::vector::Distance;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BUILD_THREADS, Built, Engine, Graph, PASS_TIME_MIN, Pass};
use crate::ann::{AnnSet, K};

const SCRIPT: &str = include_str!("peers.py");
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The environment, and the present set in files that its processes read.
#[derive(Debug)]
pub struct Python {
    interpreter: PathBuf,
    files: Arc<TempDir>,
    told: Value,
}

impl Python {
    /// Installs what is missing and writes the set to files.
    ///
    /// # Errors
    /// There is no Python 3 with `venv`, or no room; a sentence.
    pub fn new(set: &AnnSet) -> Result<Self, String> {
        let interpreter = environment()?;
        let files = tempfile::tempdir().map_err(|error| error.to_string())?;
        let write = |name: &str, values: &[f32]| -> io::Result<PathBuf> {
            let path = files.path().join(name);
            let mut file = io::BufWriter::new(fs::File::create(&path)?);
            for value in values {
                file.write_all(&value.to_le_bytes())?;
            }
            file.flush()?;
            Ok(path)
        };
        let written = write("base", &set.base).and_then(|base| Ok((base, write("queries", &set.queries)?)));
        let (base, queries) = written.map_err(|error| format!("the set cannot be written to files: {error}"))?;
        fs::write(files.path().join("peers.py"), SCRIPT).map_err(|error| error.to_string())?;
        let metric = if set.distance == Distance::L2Squared { "l2" } else { "ip" };
        let told = json!({"do": "load", "base": base, "queries": queries, "dim": set.dim, "metric": metric});
        Ok(Self { interpreter, files: Arc::new(files), told })
    }

    /// A process with an engine: `hnswlib`, `faiss`, `faiss-sq8`, `usearch-f32`, `usearch-bf16` or `usearch-i8`.
    #[must_use]
    pub fn engine(&self, engine: &'static str, name: &str, graph: Graph) -> PythonEngine {
        PythonEngine {
            name: name.to_owned(),
            engine,
            graph,
            interpreter: self.interpreter.clone(),
            files: Arc::clone(&self.files),
            load: self.told.clone(),
            process: None,
        }
    }
}

/// One engine in its own process, which ends with it.
#[derive(Debug)]
pub struct PythonEngine {
    name: String,
    engine: &'static str,
    graph: Graph,
    interpreter: PathBuf,
    files: Arc<TempDir>,
    load: Value,
    process: Option<Process>,
}

impl Engine for PythonEngine {
    fn name(&self) -> &str {
        &self.name
    }

    fn build(&mut self, _: &AnnSet) -> Result<Built, String> {
        let mut process = Process::start(&self.interpreter, &self.files.path().join("peers.py"))?;
        process.ask(&self.load)?;
        let Graph { m, ef_construction } = self.graph;
        let told =
            json!({"do": "build", "engine": self.engine, "m": m, "efc": ef_construction, "threads": BUILD_THREADS});
        let answer = process.ask(&told)?;
        self.process = Some(process);
        Ok(Built { wall: answer.wall, cpu: answer.cpu, bytes: answer.bytes })
    }

    fn search(&mut self, set: &AnnSet, ef: usize) -> Result<Pass, String> {
        let process = self.process.as_mut().ok_or("not built")?;
        let seconds = PASS_TIME_MIN.as_secs_f64();
        let answer = process.ask(&json!({"do": "search", "ef": ef, "k": K, "seconds": seconds}))?;
        Ok(Pass {
            queries_per_second: answer.queries / answer.cpu,
            share: answer.cpu / answer.wall,
            recall: set.recall(&set.truth, &answer.ids),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Answer {
    missing: Option<String>,
    wall: f64,
    cpu: f64,
    bytes: u64,
    queries: f64,
    ids: Vec<Vec<u32>>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { missing: None, wall: 0.0, cpu: 0.0, bytes: 0, queries: 0.0, ids: Vec::new() }
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(interpreter: &Path, script: &Path) -> Result<Self, String> {
        let mut command = Command::new(interpreter);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("Python does not start: {error}"))?;
        let pipes = child.stdin.take().zip(child.stdout.take()).ok_or("no pipes")?;
        Ok(Self { child, input: pipes.0, output: BufReader::new(pipes.1) })
    }

    fn ask(&mut self, told: &Value) -> Result<Answer, String> {
        let mut line = String::new();
        writeln!(self.input, "{told}")
            .and_then(|()| self.output.read_line(&mut line))
            .map_err(|error| format!("its process ended: {error}"))?;
        let answer: Answer = serde_json::from_str(&line).map_err(|_| "its process ended".to_owned())?;
        match answer.missing {
            Some(why) => Err(format!("not installed ({why})")),
            None => Ok(answer),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::print_stderr, reason = "a bench talks to its reader")]
fn environment() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("AZIMUTH_CACHE_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("azimuth")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/azimuth")))
        .ok_or("no home folder: set AZIMUTH_CACHE_DIR")?;
    let mut hasher = DefaultHasher::new();
    REQUIREMENTS.hash(&mut hasher);
    let ready = cache.join("python").join(format!("bench-peers-{:016x}", hasher.finish()));
    let interpreter = |dir: &Path| dir.join("venv/bin/python");
    if ready.is_dir() {
        return Ok(interpreter(&ready));
    }
    eprintln!("installing the peers' Python environment (once) ..");
    let scratch = ready.with_extension("partial");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    run(Command::new("python3").args(["-m", "venv"]).arg(scratch.join("venv")))?;
    // One by one: a package that does not install here costs its own rows only.
    for package in REQUIREMENTS.lines().filter(|line| !line.trim().is_empty()) {
        let mut pip = Command::new(interpreter(&scratch));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", package]);
        if let Err(why) = run(&mut pip) {
            eprintln!("{package}: {why}");
        }
    }
    fs::rename(&scratch, &ready).map_err(|error| error.to_string())?;
    Ok(interpreter(&ready))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("python3 does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(text.lines().last().unwrap_or("failed").to_owned())
}
