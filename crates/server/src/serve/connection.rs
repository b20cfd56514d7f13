//! Connections: accepted, limited in number and in time, served as HTTP/1 or HTTP/2, drained at the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::peers::{Connection, Peers};
use super::router::Router;
use super::socket::Socket;
use super::streams::Streams;
use crate::metrics;
use crate::settings::Settings;

/// A client has this long to finish the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1_000;
/// Requests of a connection that were cancelled before they were handled, and that are kept at once. Callers whose
/// deadlines end together reach the library's own limit (20); [`Connection::given_up`] bounds the cost of calls that
/// are given up.
const TAKEN_BACK_MAX: usize = 4 * STREAMS_MAX as usize;
/// Streams that may end by an error of the peer in the life of a connection, which of a proxy is long.
const STREAM_ERRORS_MAX: usize = 10_000;
/// A silent HTTP/2 client is asked this often whether it is still there, and has [`PONG_TIMEOUT`] to answer: peers that
/// were frozen or cut off do not keep their connections.
const PING_EVERY: Duration = Duration::from_secs(60);
const PONG_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client may send on one stream, and on all of a connection, before it is read. Fixed: to measure the path costs
/// a ping for each request.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// An idle connection that makes room for another one has this long to close gracefully.
const REPLACED_TIME: Duration = Duration::from_secs(1);
/// Pause after the system refused to accept, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everything that connections share.
#[derive(Clone)]
pub(super) struct Connections {
    router: Router,
    permits: Arc<Semaphore>,
    peers: Arc<Peers>,
    times: Times,
    /// Becomes true when the server stops; each connection holds a receiver for as long as it lives.
    stopping: Arc<watch::Sender<bool>>,
}

/// How long connections wait for their peers.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// A client has this long to send the head of a request, also of the next one on the same connection.
    idle_max: Duration,
    /// A client has this long to take something of an answer.
    stall_max: Duration,
}

impl Connections {
    /// `connections_max` over all peers; one peer gets three quarters of them, or the number in the settings.
    pub(super) fn new(router: Router, connections_max: usize, settings: &Settings) -> Self {
        let connections_max = connections_max.clamp(1, Semaphore::MAX_PERMITS);
        let of_peer = |set: Option<usize>, default: usize| match set {
            None => default,
            Some(0) => usize::MAX,
            Some(max) => max,
        };
        let peers = Peers::new(
            of_peer(settings.peer_connections_max, (connections_max / 4 * 3).max(1)),
            of_peer(Some(settings.peer_requests_max), usize::MAX),
        );
        let times = Times { idle_max: settings.idle_max, stall_max: settings.stall_max };
        let permits = Arc::new(Semaphore::new(connections_max));
        Self { router, permits, peers, times, stopping: Arc::new(watch::channel(false).0) }
    }

    /// Accepts until the server stops. Above the limit, clients wait in the system's queue.
    pub(super) async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told(&mut stopping) => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    let (this, tls) = (self.clone(), tls.clone());
                    tokio::spawn(async move {
                        this.connected(stream, address.ip(), tls).await;
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

    async fn connected(&self, stream: TcpStream, address: IpAddr, tls: Option<TlsAcceptor>) {
        let Some(connection) = self.peers.connect(address) else {
            tracing::debug!(peer = %address, "a connection is refused: all that the peer may have have requests");
            return;
        };
        metrics::CONNECTIONS.inc();
        let socket = Socket::new(stream, connection.clone(), self.times.stall_max);
        // When the connection ends, the answers that HTTP still holds are dropped.
        self.serve(socket, &connection, tls).await;
        self.peers.disconnect(&connection);
        metrics::CONNECTIONS.dec();
    }

    async fn serve(&self, socket: Socket, connection: &Arc<Connection>, tls: Option<TlsAcceptor>) {
        if let Err(error) = socket.set_nodelay() {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        let Some(tls) = tls else { return self.serve_stream(socket, connection).await };
        let mut stopping = self.stopping.subscribe();
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(socket)) => handshake,
            () = told(&mut stopping) => return,
            () = connection.closed() => return,
        };
        drop(stopping);
        match handshake {
            Ok(Ok(stream)) => self.serve_stream(stream, connection).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    fn builder(&self) -> auto::Builder<Streams> {
        let mut builder = auto::Builder::new(Streams { stall_max: self.times.stall_max });
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.times.idle_max);
        // Where the socket shows whether the client is gone, a client may close its sending side and wait for the answer.
        builder.http1().half_close(cfg!(target_os = "linux"));
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
        builder.http2().initial_stream_window_size(STREAM_WINDOW_BYTES);
        builder.http2().initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        builder.http2().keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_TIMEOUT);
        builder.http2().max_pending_accept_reset_streams(TAKEN_BACK_MAX);
        builder.http2().max_local_error_reset_streams(STREAM_ERRORS_MAX);
        builder
    }

    async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, at: &Arc<Connection>) {
        let (router, connection) = (self.router.clone(), at.clone());
        let service = service_fn(move |request| router.clone().answer(request, connection.clone()));
        let mut stopping = self.stopping.subscribe();
        let builder = self.builder();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let Times { idle_max, stall_max } = self.times;
        let silent = async {
            tokio::time::sleep(idle_max).await;
            if at.was_asked() {
                std::future::pending::<()>().await;
            }
        };
        // The limit of time inside HTTP/1 begins once the version of HTTP is known, which takes the client's first bytes.
        let in_order = tokio::select! {
            result = connection.as_mut() => return ended(result),
            () = silent => Some(idle_max),
            () = at.closed() => Some(if at.is_idle() { REPLACED_TIME } else { idle_max }),
            () = stalled(at, stall_max) => return tracing::debug!("a connection is closed: the peer takes no answers"),
            () = told(&mut stopping) => None,
        };
        connection.as_mut().graceful_shutdown();
        let Some(time) = in_order else { return ended(connection.await) };
        if let Ok(result) = tokio::time::timeout(time, connection).await {
            ended(result);
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

fn ended<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Returns once the peer gives HTTP/2 no room for small answers, whose streams are not watched any more.
async fn stalled(connection: &Connection, stall_max: Duration) {
    let pause = stall_max / 2;
    loop {
        tokio::time::sleep(pause).await;
        connection.refill(pause);
        if connection.is_stalled(stall_max) {
            return;
        }
    }
}

/// Returns once the server stops.
async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that nobody can tell any more, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
