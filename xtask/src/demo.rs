//! `cargo xtask demo`: a running server with real documents in it, and answers to real questions.
//!
//! The server goes on when the command has ended. Its process id, ports, data and log lie in the cache folder under
//! `demo/`; the embeddings lie there too, so that a second run computes none.

use crate::{Failure, cache, cargo, process, setup};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HTTP_PORT: u16 = 8080;
const GRPC_PORT: u16 = 50051;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A demo server that was left running.
struct Running {
    id: u32,
    http_port: u16,
    grpc_port: u16,
}

/// Everything from a bare machine to answers; `folder` holds the reader's own text or Markdown.
pub(crate) fn run(root: &Path, folder: Option<&Path>) -> Result<(), Failure> {
    let folder = folder.map(|folder| folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display())));
    let folder = folder.transpose()?;
    let started = Instant::now();
    println!("1. setting up");
    let python = setup::demo(root)?;
    println!("2. building the server");
    cargo::build_server(root)?;
    println!("3. starting it");
    end_server()?;
    let server = start_server(root)?;
    println!("   listening on 127.0.0.1:{} (REST, GraphQL, gRPC) and :{} (gRPC)", server.http_port, server.grpc_port);
    println!("4. documents");
    let mut load = script(root, &python, &server)?;
    load.args(["load", &root.to_string_lossy()]).args(folder);
    process::run(&mut load)?;
    println!("\nThat took {:.0} s. {}", started.elapsed().as_secs_f64(), hints(&server));
    Ok(())
}

/// Asks the running demo one more question.
pub(crate) fn ask(root: &Path, question: &str) -> Result<(), Failure> {
    let python = setup::demo(root)?;
    let server = running()?.ok_or("no demo server is running: start one with `cargo xtask demo`")?;
    process::run(script(root, &python, &server)?.args(["ask", question]))
}

/// Stops the demo's server.
pub(crate) fn stop() -> Result<(), Failure> {
    println!("{}", if end_server()? { "the demo server has stopped" } else { "no demo server is running" });
    Ok(())
}

fn hints(server: &Running) -> String {
    let http = server.http_port;
    format!(
        "The server runs on (process {id}).\n\n\
         Ask again     cargo xtask demo ask \"How do I filter by a property?\"\n\
         With curl     curl -s localhost:{http}/v1/meta\n\
         \x20             curl -s localhost:{http}/v1/graphql -H 'Content-Type: application/json' \\\n\
         \x20               -d '{{\"query\": \"{{ Get {{ Passage(limit: 2) {{ title text _additional {{ id }} }} }} }}\"}}'\n\
         With Python   pip install weaviate-client, then\n\
         \x20             weaviate.connect_to_local(port={http}, grpc_port={grpc}).collections.get(\"Passage\")\n\
         Stop it       cargo xtask demo stop",
        id = server.id,
        grpc = server.grpc_port,
    )
}

fn script(root: &Path, python: &Path, server: &Running) -> Result<Command, Failure> {
    let mut command = Command::new(python);
    command.arg(root.join("xtask/demo/demo.py")).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.env("PYTHONWARNINGS", "ignore::DeprecationWarning");
    command.env("AZIMUTH_HTTP_PORT", server.http_port.to_string()).env("AZIMUTH_DEMO_CACHE", demo_dir()?);
    command.env("AZIMUTH_GRPC_PORT", server.grpc_port.to_string());
    Ok(command)
}

fn start_server(root: &Path) -> Result<Running, Failure> {
    let dir = demo_dir()?;
    fs::create_dir_all(dir.join("data"))?;
    let http_port = free_port(HTTP_PORT, &[])?;
    let grpc_port = free_port(GRPC_PORT, &[http_port])?;
    let log_path = dir.join("server.log");
    let log = File::create(&log_path)?;
    let mut command = Command::new(target_dir(root).join("release/azimuth"));
    command.args(["serve", "--host", "127.0.0.1", "--scheme", "http", "--port", &http_port.to_string()]);
    command.env("GRPC_PORT", grpc_port.to_string()).env("PERSISTENCE_DATA_PATH", dir.join("data"));
    command.env("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true");
    // A process group of its own: an interrupt of this command does not reach the server.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    let server = Running { id: child.id(), http_port, grpc_port };
    fs::write(state_file()?, format!("{} {http_port} {grpc_port}\n", server.id))?;
    let since = Instant::now();
    while !is_ready(http_port) {
        if child.try_wait()?.is_some() || since.elapsed() > READY_TIMEOUT {
            let (log, data) = (log_path.display(), dir.join("data"));
            let text = format!("the server did not get ready: see {log}; to begin anew, remove {}", data.display());
            return Err(text.into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// Ends the server of an earlier run and waits for it; whether there was one.
fn end_server() -> Result<bool, Failure> {
    let Some(server) = running()? else { return Ok(false) };
    let id = server.id.to_string();
    process::run(Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]))?;
    let since = Instant::now();
    while is_azimuth(server.id) {
        if since.elapsed() > STOP_TIMEOUT {
            return Err(format!("the server (process {id}) does not end").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(state_file()?)?;
    Ok(true)
}

/// The server that an earlier run left, if its process is still one of ours.
fn running() -> Result<Option<Running>, Failure> {
    let Ok(state) = fs::read_to_string(state_file()?) else { return Ok(None) };
    let words: Vec<&str> = state.split_whitespace().collect();
    let [id, http_port, grpc_port] = words.as_slice() else { return Ok(None) };
    let server = Running { id: id.parse()?, http_port: http_port.parse()?, grpc_port: grpc_port.parse()? };
    Ok(is_azimuth(server.id).then_some(server))
}

/// Whether a process is there and runs our binary, and not another program that was given the same number.
fn is_azimuth(id: u32) -> bool {
    let state = match fs::read_to_string(format!("/proc/{id}/stat")) {
        Ok(stat) => stat,
        Err(_) => process::output("ps", &["-o", "pid=,comm=,stat=", "-p", &id.to_string()]).unwrap_or_default(),
    };
    let ended = state.split_whitespace().nth(2).is_some_and(|state| state.starts_with('Z'));
    state.contains("azimuth") && !ended
}

fn is_ready(port: u16) -> bool {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /v1/.well-known/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    answer().is_ok_and(|text| text.starts_with("HTTP/1.1 200"))
}

/// The wished port, or the next one that nobody uses.
fn free_port(wished: u16, taken: &[u16]) -> Result<u16, Failure> {
    let mut ports = (wished..wished.saturating_add(100)).filter(|port| !taken.contains(port));
    ports
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| format!("no port from {wished} on is free").into())
}

fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn state_file() -> Result<PathBuf, Failure> {
    Ok(demo_dir()?.join("server"))
}

fn demo_dir() -> Result<PathBuf, Failure> {
    Ok(cache::dir()?.join("demo"))
}
