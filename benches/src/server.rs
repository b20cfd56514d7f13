//! A server as a child process on free ports and a data folder of its own, watched from outside: times of start and
//! end, memory, processor time, disk.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use azimuth_client::{Client, RetryPolicy};

const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    http_port: u16,
    grpc_port: u16,
    data: PathBuf,
    /// From the start of the process until it said that it is ready.
    pub start: Duration,
}

/// What a process takes, in bytes; from `/proc`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident now, mapped files included.
    pub resident: u64,
    /// Resident now, without mapped files.
    pub anonymous: u64,
    /// The highest `resident` so far.
    pub peak: u64,
}

impl Server {
    /// Starts `binary` on `data`, an existing folder, and waits until it is ready. Its log goes to `data/../server.log`.
    ///
    /// # Errors
    /// If it cannot be started, ends, or is not ready in time; with the end of its log.
    pub fn start(binary: &Path, data: &Path) -> io::Result<Server> {
        Self::start_with(binary, data, &[])
    }

    /// As [`Server::start`], with further environment variables.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(binary: &Path, data: &Path, variables: &[(&str, &str)]) -> io::Result<Server> {
        let (http_port, grpc_port, metrics_port) = (free_port()?, free_port()?, free_port()?);
        let log_path = data.with_file_name("server.log");
        let log = fs::File::options().create(true).append(true).open(&log_path)?;
        let begun = Instant::now();
        let child = Command::new(binary)
            .args(["serve", "--host", "127.0.0.1", "--scheme", "http", "--port", &http_port.to_string()])
            .env("PERSISTENCE_DATA_PATH", data)
            .env("GRPC_PORT", grpc_port.to_string())
            .env("PROMETHEUS_MONITORING_PORT", metrics_port.to_string())
            .env("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
            .env_remove("PORT")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Server { child, http_port, grpc_port, data: data.to_owned(), start: Duration::ZERO };
        while !server.is_ready() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended with {status}:\n{}", end_of(&log_path))));
            }
            if begun.elapsed() > START_MAX {
                return Err(io::Error::other(format!("not ready after {START_MAX:?}:\n{}", end_of(&log_path))));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.start = begun.elapsed();
        Ok(server)
    }

    /// The port of REST and GraphQL.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// A client with connections of its own.
    ///
    /// # Errors
    /// Outside of a tokio runtime.
    pub fn client(&self) -> azimuth_client::Result<Client> {
        Client::builder(format!("http://127.0.0.1:{}", self.http_port))
            .grpc_url(format!("http://127.0.0.1:{}", self.grpc_port))
            .timeout(Duration::from_secs(120))
            .retry(RetryPolicy::default())
            .build()
    }

    /// Ends the process at once, as a power loss would as far as the process is concerned.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks the process to end and returns how long it took.
    ///
    /// # Errors
    /// If it does not end in time or not with success.
    pub fn stop(mut self) -> io::Result<Duration> {
        let begun = Instant::now();
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(begun.elapsed()),
                Some(status) => return Err(io::Error::other(format!("the server ended with {status}"))),
                None if begun.elapsed() > STOP_MAX => return Err(io::Error::other("the server does not end")),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// What the process takes now.
    ///
    /// # Errors
    /// If it is gone.
    pub fn memory(&self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key));
            let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            number.unwrap_or(0) * 1024
        };
        Ok(Memory { resident: bytes("VmRSS:"), anonymous: bytes("RssAnon:"), peak: bytes("VmHWM:") })
    }

    /// Processor time that the process has used, all threads together.
    ///
    /// # Errors
    /// If it is gone.
    pub fn processor_time(&self) -> io::Result<Duration> {
        // Clock ticks are hundredths of a second on every Linux this runs on.
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        Ok(TICK * (ticks(11) + ticks(12)))
    }

    /// Share of one processor that the process takes over `span`, in percent.
    ///
    /// # Errors
    /// If it is gone.
    pub fn processor_percent(&self, span: Duration) -> io::Result<f64> {
        let before = self.processor_time()?;
        std::thread::sleep(span);
        Ok(self.processor_time()?.saturating_sub(before).as_secs_f64() / span.as_secs_f64() * 100.0)
    }

    /// Bytes that the data folder takes on the disk.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn disk_bytes(&self) -> io::Result<u64> {
        folder_bytes(&self.data)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> io::Result<bool> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.http_port));
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET /v1/.well-known/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut head = [0; 12];
            stream.read_exact(&mut head)?;
            Ok(&head == b"HTTP/1.1 200")
        };
        ask().unwrap_or(false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The blocks that the files below `folder` occupy, in bytes, without the server's `RESERVE`.
fn folder_bytes(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file may vanish between the listing and the look, as compaction removes files.
        let Ok(metadata) = entry.metadata() else { continue };
        if entry.file_name() == "RESERVE" {
            continue;
        }
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// The server to measure: what `AZIMUTH_BINARY` names, else what is checked out, built as the bench's own first step.
///
/// # Errors
/// If it cannot be built.
pub fn built_binary() -> io::Result<PathBuf> {
    if let Some(named) = std::env::var_os("AZIMUTH_BINARY") {
        return Ok(PathBuf::from(named));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "-p", "azimuth-server"]).status()?;
    if !built.success() {
        return Err(io::Error::other("the server cannot be built"));
    }
    // This program lies in target/release/deps.
    let folder = std::env::current_exe()?.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
    Ok(folder.join("azimuth"))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
