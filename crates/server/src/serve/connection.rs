//! Connections: accepted, limited in number and in time, served as HTTP/1 or HTTP/2, drained at the end.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::router::Router;

/// A client has this long to send the head of a request.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// A client has this long to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1_000;
/// Pause after the system refused to accept, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everything that connections share.
#[derive(Clone)]
pub(super) struct Connections {
    router: Router,
    tls: Option<TlsAcceptor>,
    permits: Arc<Semaphore>,
    /// Becomes true when the server stops; each connection holds a receiver for as long as it lives.
    stopping: Arc<watch::Sender<bool>>,
}

impl Connections {
    pub(super) fn new(router: Router, tls: Option<TlsAcceptor>, permits: Arc<Semaphore>) -> Self {
        Self { router, tls, permits, stopping: Arc::new(watch::channel(false).0) }
    }

    /// Accepts until the server stops. Above the limit, clients wait in the system's queue.
    pub(super) async fn accept(self, listener: TcpListener) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told(&mut stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let this = self.clone();
                    tokio::spawn(async move {
                        this.serve(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        match &self.tls {
            None => self.serve_stream(stream).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve_stream(stream).await,
                _ => tracing::debug!("a TLS handshake failed"),
            },
        }
    }

    async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX).adaptive_window(true);
        let service = TowerToHyperService::new(self.router.clone());
        let mut stopping = self.stopping.subscribe();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = told(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    /// Stops accepting, lets requests end, and returns when all have or the time is over.
    pub(super) async fn drain(&self, limit: Duration) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(limit, self.stopping.closed()).await.is_err() {
            tracing::warn!("some requests had not ended when their time was over");
        }
    }
}

/// Returns once the server stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that nobody can tell any more, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
