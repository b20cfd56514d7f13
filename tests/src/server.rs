//! A real `azimuth serve` process with ports and a data folder of its own.
//!
//! [`Server`] ends its process by id when it is dropped. The data folder and the log go with it, unless the test
//! fails: then both stay, and the log's place is printed.

use azimuth_client::{Client, ClientBuilder, RetryPolicy};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

use crate::raw_http::{self, Answer};
use crate::{notice, raw_tls};

/// How long a start or an orderly end may take before the test fails. Generous: several servers share two processors.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settings of a [`Server`], by the environment names of its manual.
#[derive(Clone, Debug, Default)]
pub struct ServerBuilder {
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    data: Option<PathBuf>,
    authority: Option<Vec<u8>>,
    port_by_environment: bool,
}

/// A running server, or one that was stopped and can be started again on the same data.
#[derive(Debug)]
pub struct Server {
    process: Option<Child>,
    http_port: u16,
    grpc_port: u16,
    folder: Option<TempDir>,
    settings: ServerBuilder,
}

impl ServerBuilder {
    /// Sets an environment variable of the process.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a flag of `azimuth serve`, or its value.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Keeps the data in this folder, which the caller owns.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Both ports speak TLS, with a certificate that this authority (PEM) has signed.
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// Tells the process its port by `$PORT` instead of `--port`.
    pub fn port_by_environment(mut self) -> Self {
        self.port_by_environment = true;
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready in time; the message holds the end of its log.
    pub fn start(self) -> Server {
        let mut server = self.stopped();
        server.start_again();
        server
    }

    /// Starts a server that must not get ready, and gives what it said when it had ended by itself.
    ///
    /// # Panics
    /// When it gets ready, or says that it ended well.
    pub fn start_refused(self) -> String {
        let mut server = self.stopped();
        (server.http_port, server.grpc_port) = (free_port(), free_port());
        server.spawn();
        let status = server.wait_for_end();
        assert!(!status.success(), "a refused start ended with {status}:\n{}", server.log());
        server.log()
    }

    /// The server with its folders, not running yet.
    pub fn stopped(self) -> Server {
        let folder = tempfile::Builder::new().prefix("azimuth-").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        Server { process: None, http_port: 0, grpc_port: 0, folder: Some(folder), settings: self }
    }
}

impl Server {
    /// Anonymous access, everything else as it comes.
    pub fn start() -> Self {
        Self::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").start()
    }

    /// A server with settings; without any, a key is needed by nobody and anonymous access is off.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts the stopped server on the same data, with new ports, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start_again(&mut self) {
        if let Err(reason) = self.try_start_again() {
            panic!("{reason}");
        }
    }

    /// As [`Server::start_again`], but gives the reason when the server ends instead: the end of its log.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        assert!(self.process.is_none(), "the server runs already");
        for _ in 0..5 {
            (self.http_port, self.grpc_port) = (free_port(), free_port());
            self.spawn();
            match self.wait_until_ready() {
                // Another process took the port between the look and the use.
                Err(reason) if reason.contains("in use") => {}
                outcome => return outcome,
            }
        }
        Err("no free port in five attempts".to_owned())
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself; then there is nothing to kill, and waiting gives its status.
            let _ = process.kill();
            process.wait().expect("the server's exit status");
        }
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    ///
    /// # Panics
    /// When it runs on.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_end()
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)))
    }

    /// The process id.
    ///
    /// # Panics
    /// When the server is stopped.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }

    /// `host:port` of REST, GraphQL and gRPC.
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.http_port)
    }

    /// The port of REST, GraphQL and gRPC.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The port that gRPC clients expect to be a second one.
    pub fn grpc_port(&self) -> u16 {
        self.grpc_port
    }

    /// `GET path`, over TLS where the server speaks it.
    pub fn get(&self, path: &str) -> io::Result<Answer> {
        match &self.settings.authority {
            None => raw_http::get(&self.http_address(), path),
            Some(pem) => raw_tls::get(&self.http_address(), path, pem),
        }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.settings.data.clone().unwrap_or_else(|| self.path().join("data"))
    }

    /// What the processes have logged so far, all starts together.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// A client that reports the first failure instead of trying again.
    pub fn client(&self) -> Client {
        self.client_builder().build().expect("a client for a local address")
    }

    /// The same, to be changed before it is built.
    pub fn client_builder(&self) -> ClientBuilder {
        let scheme = if self.settings.authority.is_some() { "https" } else { "http" };
        let mut builder = Client::builder(format!("{scheme}://127.0.0.1:{}", self.http_port))
            .grpc_url(format!("{scheme}://127.0.0.1:{}", self.grpc_port))
            .retry(RetryPolicy::never());
        if let Some(pem) = &self.settings.authority {
            builder = builder.certificate_pem(pem.clone());
        }
        builder
    }

    /// Sends a signal to the process by its id, such as `TERM`.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &id]).status().expect("a shell");
        assert!(sent.success(), "no process to signal");
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// When it runs on.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a running server");
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = process.try_wait().expect("the server's exit status") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
        panic!("the server runs on after {} s:\n{}", PATIENCE.as_secs(), self.log_end());
    }

    /// A value of `/proc/<id>/status` in MiB, such as `VmHWM`, the most memory that the process ever had.
    pub fn memory_mib(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
    }

    /// Starts the process, without waiting for anything. The ports are new ones.
    pub fn spawn_only(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        (self.http_port, self.grpc_port) = (free_port(), free_port());
        self.spawn();
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the log file");
        let (port, settings) = (self.http_port.to_string(), &self.settings);
        let mut command = Command::new(binary());
        command.arg("serve").args(&settings.arguments).env_remove("PORT");
        // Variables that configure the tests are not settings of the server.
        let of_tests = std::env::vars_os().map(|(name, _)| name);
        of_tests.filter(|name| name.to_string_lossy().starts_with("AZIMUTH_")).for_each(|name| {
            command.env_remove(name);
        });
        if !settings.arguments.iter().any(|argument| argument.starts_with("--host")) {
            command.args(["--host", "127.0.0.1"]);
        }
        if settings.port_by_environment {
            command.env("PORT", port)
        } else {
            command.args(["--port", &port])
        };
        command.env("GRPC_PORT", self.grpc_port.to_string()).env("PERSISTENCE_DATA_PATH", self.data());
        command.envs(settings.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log file")).stderr(log);
        self.process = Some(command.spawn().expect("start the server"));
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if self.get("/v1/.well-known/ready").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if !self.is_running() {
                self.kill();
                return Err(format!("the server ended instead of getting ready:\n{}", self.log_end()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        Err(format!("the server is not ready after {} s:\n{}", PATIENCE.as_secs(), self.log_end()))
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().expect("the folder stays until the server is dropped").path()
    }

    fn log_path(&self) -> PathBuf {
        self.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            notice(&format!("the test failed: data and log are kept in {}", kept.display()));
        }
    }
}

/// The server binary: `AZIMUTH_BINARY`, else the one in the target folder of this test.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    let named = std::env::var_os("AZIMUTH_BINARY").map(PathBuf::from);
    let path = named.unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the path of this test");
        test.ancestors().nth(2).expect("target/release/deps holds the test").join("azimuth")
    });
    assert!(path.is_file(), "{} is missing: run `cargo xtask test`, which builds it", path.display());
    path
}

/// A port that is free now.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("the address of a bound socket").port()
}
