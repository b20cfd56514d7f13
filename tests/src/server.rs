//! A real `azimuth serve` process with ports and a data folder of its own.
//!
//! [`Server`] ends its process by id when it is dropped. The data folder and the log go with it, unless the test
//! fails: then both stay, and the log's place is printed.

use azimuth_client::{Client, RetryPolicy};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

use crate::{notice, raw_http};

/// How long a start or an orderly end may take before the test fails. Generous: several servers share two processors.
const PATIENCE: Duration = Duration::from_secs(120);

/// Settings of a [`Server`], by the environment names of its manual.
#[derive(Clone, Debug, Default)]
pub struct ServerBuilder {
    variables: Vec<(String, String)>,
}

/// A running server, or one that was stopped and can be started again on the same data.
#[derive(Debug)]
pub struct Server {
    process: Option<Child>,
    http_port: u16,
    grpc_port: u16,
    folder: Option<TempDir>,
    variables: Vec<(String, String)>,
}

impl ServerBuilder {
    /// Sets an environment variable of the process.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready in time; the message holds the end of its log.
    pub fn start(self) -> Server {
        let folder = tempfile::Builder::new().prefix("azimuth-").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        let mut server =
            Server { process: None, http_port: 0, grpc_port: 0, folder: Some(folder), variables: self.variables };
        server.start_again();
        server
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
        let mut process = self.process.take().expect("a running server");
        let id = process.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]).status().expect("a shell");
        assert!(asked.success(), "no process to end");
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = process.try_wait().expect("the server's exit status") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
        panic!("the server ignores SIGTERM for {} s", PATIENCE.as_secs());
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

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// What the processes have logged so far, all starts together.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// A client that reports the first failure instead of trying again.
    pub fn client(&self) -> Client {
        Client::builder(format!("http://{}", self.http_address()))
            .grpc_url(format!("http://127.0.0.1:{}", self.grpc_port))
            .retry(RetryPolicy::never())
            .build()
            .expect("a client for a local address")
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the log file");
        let arguments = ["serve", "--host", "127.0.0.1", "--scheme", "http", "--port"];
        let mut command = Command::new(binary());
        command.args(arguments).arg(self.http_port.to_string()).env("GRPC_PORT", self.grpc_port.to_string());
        command.env("PERSISTENCE_DATA_PATH", self.data()).env_remove("PORT");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log file")).stderr(log);
        self.process = Some(command.spawn().expect("start the server"));
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let answer = raw_http::get(&self.http_address(), "/v1/.well-known/ready");
            if answer.is_ok_and(|answer| answer.status == 200) {
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
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("the address of a bound socket").port()
}
