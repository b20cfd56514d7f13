//! `azimuth serve`: listeners, connections, start and stop.
//!
//! The ports open before data is loaded: the process is live at once and ready when a query works. SIGTERM and SIGINT
//! stop new connections, let running requests end for some seconds, make everything durable and exit with 0. A node
//! that can no longer keep its promises ends the process with 1.

mod answer;
mod body;
mod connection;
mod cors;
mod files;
mod flow;
mod large;
mod log;
mod otlp;
mod peers;
mod reply;
mod router;
mod socket;
mod streams;
mod tls;
mod trace;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use azimuth_raft::{Node, NodeOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::app::App;
use crate::auth::Auth;
use crate::settings::{self, Flags, Settings, TlsFiles};
use crate::{malloc, metrics, weaviate};
use connection::Connections;
use otlp::Exporter;
use router::Router;
use tls::Certificate;

/// How long running requests may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(8);
/// The same after a failure of the node, when the process must end.
const FAILURE_DRAIN: Duration = Duration::from_secs(1);
/// A process that must end and has not after this time is aborted.
const FAILURE_END: Duration = Duration::from_secs(10);
/// Open connections to the port of metrics.
const METRICS_CONNECTIONS_MAX: usize = 64;

/// Runs the server until it is told to stop.
pub(crate) fn run(flags: &Flags) -> ExitCode {
    log::init();
    malloc::configure();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("start threads: {error}")),
    };
    let result = runtime.block_on(serve(flags));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    tracing::error!(error, "azimuth ends");
    ExitCode::FAILURE
}

async fn serve(flags: &Flags) -> Result<(), String> {
    let stop = Stop::listen()?;
    let settings = Settings::from_environment(flags)?;
    let auth = Auth::from_environment()?;
    let [tls, grpc_tls] = certificates(&settings)?;
    tokio::spawn(auth.clone().watch_file());
    let app = App::new(settings, auth, weaviate::schema::CONVENTIONS);
    metrics::register(&app)?;
    tokio::spawn(malloc::give_back());
    let host = app.settings.host;
    let (exporter, sending) = Exporter::from_environment()?.unzip();
    let connections_max = files::connections_max(app.settings.connections_max);
    let connections = Connections::new(Router::new(app.clone(), exporter)?, connections_max, &app.settings);
    // All ports are bound before the first request is taken: a process that cannot have one takes none.
    let http = bind(SocketAddr::new(host, app.settings.port)).await?;
    let grpc = bind(SocketAddr::new(host, app.settings.grpc_port)).await?;
    let metrics = match app.settings.metrics_port {
        Some(port) => Some(bind(SocketAddr::new(host, port)).await?),
        None => None,
    };
    let secure = [tls.is_some(), grpc_tls.is_some()];
    tokio::spawn(connections.clone().accept(http, tls));
    tokio::spawn(connections.clone().accept(grpc, grpc_tls));
    if let Some(listener) = metrics {
        let router = Router::metrics_only(app.clone())?;
        tokio::spawn(Connections::new(router, METRICS_CONNECTIONS_MAX, &app.settings).accept(listener, None));
    }
    let (port, grpc_port) = (app.settings.port, app.settings.grpc_port);
    settings::unsupported::report();
    tracing::info!(%host, port, grpc_port, tls = secure[0], grpc_tls = secure[1], "listening");
    let result = life(&app, &connections, stop).await;
    drop(connections);
    if let Some(sending) = sending {
        sending.close().await;
    }
    result
}

/// TLS of the REST port and of the gRPC port, with a task for each certificate that follows its files.
fn certificates(settings: &Settings) -> Result<[Option<TlsAcceptor>; 2], String> {
    if settings.scheme == "https" && settings.tls.is_none() {
        return Err("--scheme https needs --tls-certificate and --tls-key, or AZIMUTH_TLS_CERT_FILE and \
                    AZIMUTH_TLS_KEY_FILE"
            .to_owned());
    }
    let acceptor = |files: &TlsFiles| {
        let certificate = Certificate::read(files)?;
        tokio::spawn(certificate.clone().watch());
        certificate.acceptor()
    };
    let tls = settings.tls.as_ref().map(acceptor).transpose()?;
    let grpc_tls = settings.grpc_tls.as_ref().map(acceptor).transpose()?;
    Ok([tls.clone(), grpc_tls.or(tls)])
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))
}

/// The signals that ask the process to end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From now on the signals end the process in order, not at once.
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("wait for signals: {error}"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// From opening the data to closing it.
async fn life(app: &Arc<App>, connections: &Connections, mut stop: Stop) -> Result<(), String> {
    let mut options = NodeOptions::new(&app.settings.data_path);
    options.disk_used_percent_max = app.settings.disk_used_percent_max;
    options.index_bytes_max = app.settings.index_bytes_max;
    options.background_threads = app.settings.index_threads;
    app.follow(options.progress.subscribe());
    let node = tokio::select! {
        node = Node::start(options) => {
            node.map_err(|error| format!("open the data in {}: {error}", app.settings.data_path.display()))?
        }
        () = stop.told() => return Ok(()),
    };
    let ready_until_told = async {
        app.attach(node.clone()).await.map_err(|error| format!("bring the schema up to date: {error}"))?;
        tracing::info!("ready");
        std::future::pending::<Result<(), String>>().await
    };
    tokio::select! {
        fatal = node.fatal() => {
            end_by_itself();
            node.clone().abandon();
            // Requests that met the failure get their answers; nothing else is waited for.
            connections.drain(FAILURE_DRAIN).await;
            return Err(fatal.to_string());
        }
        result = ready_until_told => return result,
        () = stop.told() => {}
    }
    tracing::info!("stopping: running requests end first");
    app.stop();
    connections.drain(DRAIN).await;
    node.shutdown().await.map_err(|error| error.to_string())?;
    tracing::info!("stopped");
    Ok(())
}

/// Ends the process after a while, even if storage that does not answer holds up the orderly end.
fn end_by_itself() {
    std::thread::spawn(|| {
        std::thread::sleep(FAILURE_END);
        std::process::abort();
    });
}
