//! `azimuth serve`: listeners, connections, start and stop.
//!
//! The ports open before data is loaded: the process is live at once and ready when a query works. SIGTERM and SIGINT
//! stop new connections, let running requests end for some seconds, make everything durable and exit with 0. A node
//! that can no longer keep its promises ends the process with 1.

mod connection;
mod router;
mod tls;
mod trace;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use azimuth_raft::{Node, NodeOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::auth::Auth;
use crate::indexing::Indexing;
use crate::settings::{Flags, Settings};
use connection::Connections;
use router::Router;

/// How long running requests may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(8);

/// Runs the server until it is told to stop.
pub(crate) fn run(flags: &Flags) -> ExitCode {
    trace::init();
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
    let settings = Settings::from_environment(flags)?;
    let auth = Auth::from_environment()?;
    let tls = tls::acceptor(settings.tls_certificate.as_deref(), settings.tls_key.as_deref())?;
    if flags.scheme == "https" && tls.is_none() {
        return Err("--scheme https needs AZIMUTH_TLS_CERT_FILE and AZIMUTH_TLS_KEY_FILE".to_owned());
    }
    let app = App::new(settings, auth);
    tokio::spawn(app.auth.clone().watch_file());
    let permits = Arc::new(Semaphore::new(app.settings.connections_max));
    let connections = Connections::new(Router::new(app.clone()), tls, permits);
    let host = app.settings.host;
    for port in [app.settings.port, app.settings.grpc_port] {
        let listener = bind(SocketAddr::new(host, port)).await?;
        tokio::spawn(connections.clone().accept(listener));
    }
    if let Some(port) = app.settings.metrics_port {
        let listener = bind(SocketAddr::new(host, port)).await?;
        tokio::spawn(
            Connections::new(Router::metrics_only(app.clone()), None, Arc::new(Semaphore::new(64))).accept(listener),
        );
    }
    tracing::info!(%host, port = app.settings.port, grpc_port = app.settings.grpc_port, "listening");
    life(&app, &connections).await
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))
}

/// From opening the data to closing it.
async fn life(app: &Arc<App>, connections: &Connections) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("wait for SIGTERM: {error}"))?;
    let options = NodeOptions::new(&app.settings.data_path);
    let start = Node::start(options);
    let node = tokio::select! {
        node = start => node.map_err(|error| error.to_string())?,
        _ = terminate.recv() => return Ok(()),
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    let indexing = Indexing::start(node.data().state(), app.settings.index_threads)
        .map_err(|error| format!("start background threads: {error}"))?;
    let attach = app.attach(node.clone());
    let fatal = tokio::select! {
        fatal = node.fatal() => Some(fatal.to_string()),
        attached = attach => attached.err().map(|error| error.to_string()),
    };
    let fatal = match fatal {
        Some(fatal) => Some(fatal),
        None => {
            tracing::info!("ready");
            tokio::select! {
                fatal = node.fatal() => Some(fatal.to_string()),
                _ = terminate.recv() => None,
                _ = tokio::signal::ctrl_c() => None,
            }
        }
    };
    if let Some(fatal) = fatal {
        return Err(fatal);
    }
    tracing::info!("stopping: running requests end first");
    connections.drain(DRAIN).await;
    let stopped = tokio::task::spawn_blocking(move || indexing.stop()).await;
    if stopped.is_err() {
        tracing::error!("background threads did not end");
    }
    let data = node.data().state().clone();
    match tokio::task::spawn_blocking(move || data.save_indexes()).await {
        Ok(Ok(())) => {}
        other => tracing::warn!(?other, "save vector indexes; they are rebuilt at the next start"),
    }
    node.shutdown().await.map_err(|error| error.to_string())?;
    tracing::info!("stopped");
    Ok(())
}
