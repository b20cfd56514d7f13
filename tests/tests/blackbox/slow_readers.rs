//! Clients that read slowly, and clients that stop reading or sending: the former get their whole answers.

use crate::replies::{MIB, begin, builder, fill, h2_get, http2, is_served, read};
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Sends a request for a list of so many objects of a MiB.
async fn ask(server: &Server, sender: &mut SendRequest<Bytes>, limit: usize) -> ResponseFuture {
    *sender = sender.clone().ready().await.expect("a connection");
    let path = format!("/v1/objects?class=Large&limit={limit}");
    sender.send_request(h2_get(server, &path), true).expect("a request").0
}

/// The body of an answer, once its head is there.
async fn body(answer: ResponseFuture) -> RecvStream {
    let answer = answer.await.expect("the head of an answer");
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

async fn list(server: &Server, sender: &mut SendRequest<Bytes>, limit: usize) -> RecvStream {
    body(ask(server, sender, limit).await).await
}

/// Reads 16 KiB of a body, or its rest, and makes room for as much. Frames may be much smaller.
async fn part(body: &mut RecvStream) -> Option<usize> {
    let mut bytes = 0;
    while bytes < 16 << 10 {
        let Some(part) = body.data().await else { break };
        let part = part.expect("a part of the body");
        let _ = body.flow_control().release_capacity(part.len());
        bytes += part.len();
    }
    (bytes > 0).then_some(bytes)
}

/// Reads what comes without making room for more, until the server resets the stream.
async fn is_reset(answer: ResponseFuture, what: &str) {
    let mut body = body(answer).await;
    loop {
        match body.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return assert!(error.is_reset() && !error.is_go_away(), "{what}: {error:?}"),
            None => panic!("{what}: the whole answer came without any room for it"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_read_one_after_the_other_come_whole() {
    let mut server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "5").start();
    fill(&server).await;
    let (mut sender, _driver) = http2(&server, 65_535).await;
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.push(list(&server, &mut sender, 2).await);
    }
    // Each takes longer than a stream may stand still.
    for (number, mut body) in bodies.into_iter().enumerate() {
        let mut bytes = 0;
        while let Some(read) = part(&mut body).await {
            bytes += read;
            sleep(Duration::from_millis(50)).await;
        }
        assert!(bytes > 2 * MIB, "answer {number}: {bytes} bytes came");
    }
    is_served(&mut server, "answers that are read one after the other").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_read_in_turns_come_whole() {
    let server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "2").start();
    fill(&server).await;
    let (mut sender, _driver) = http2(&server, 256 << 10).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(ask(&server, &mut sender, 1).await);
    }
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push((body(answer).await, 0));
    }
    // A round takes longer than a stream may stand still.
    loop {
        let mut ended = 0;
        for (body, bytes) in &mut bodies {
            let before = *bytes;
            while *bytes - before < 128 << 10 {
                let Some(read) = part(body).await else {
                    ended += 1;
                    break;
                };
                *bytes += read;
                sleep(Duration::from_millis(70)).await;
            }
        }
        if ended == bodies.len() {
            break;
        }
    }
    for (number, (_, bytes)) in bodies.iter().enumerate() {
        assert!(*bytes > MIB, "answer {number}: {bytes} bytes came");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_left_is_reset_beside_one_that_is_read() {
    let mut server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "2").start();
    fill(&server).await;
    let (mut sender, _driver) = http2(&server, 65_535).await;
    let older = tokio::spawn(is_reset(ask(&server, &mut sender, 3).await, "the older one"));
    let taken = ask(&server, &mut sender, 9).await;
    let younger = tokio::spawn(is_reset(ask(&server, &mut sender, 3).await, "the younger one"));
    let (mut taken, mut bytes) = (body(taken).await, 0);
    while let Some(read) = part(&mut taken).await {
        bytes += read;
        sleep(Duration::from_millis(10)).await;
    }
    assert!(bytes > 9 * MIB, "{bytes} bytes came");
    older.await.expect("a reset");
    younger.await.expect("a reset");
    let bytes = read(list(&server, &mut sender, 3).await).await.expect("the connection goes on");
    assert!(bytes > 3 * MIB, "{bytes} bytes came");
    is_served(&mut server, "streams that were reset").await;
}

/// Memory that was needed only to make an answer is free once the answer is made, also if none of it can be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_holds_no_more_than_the_answer() {
    let server = builder().variable("AZIMUTH_MEMORY_WAIT_SECONDS_MAX", "0").start();
    fill(&server).await;
    let (mut sender, _driver) = http2(&server, 0).await;
    let _untaken = list(&server, &mut sender, 10).await;
    let other = raw_http::get(&server.http_address(), "/v1/objects?class=Large&limit=10").expect("an answer");
    assert_eq!(other.status, 200, "{:.300}", other.body);
}

/// A connection over which few bytes come at a time, as over a slow link: the system of the client keeps little.
struct SlowLink {
    tcp: TcpStream,
    pause: Option<Pin<Box<Sleep>>>,
}

impl SlowLink {
    const PART_BYTES: usize = 16 << 10;
    const PAUSE: Duration = Duration::from_millis(30);

    async fn new(server: &Server) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 << 10).expect("a small buffer");
        let tcp = socket.connect(server.http_address().parse().expect("an address")).await.expect("a connection");
        Self { tcp, pause: None }
    }
}

impl AsyncRead for SlowLink {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        let mut part = buf.take(Self::PART_BYTES);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        // The part is the front of the buffer: these bytes were read.
        let bytes = part.filled().to_vec();
        buf.put_slice(&bytes);
        self.pause = (read > 0).then(|| Box::pin(sleep(Self::PAUSE)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SlowLink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_carries_whole_answers() {
    let server = builder().variable("AZIMUTH_STALL_SECONDS_MAX", "1").start();
    fill(&server).await;
    let over_http1 = async {
        let mut link = SlowLink::new(&server).await;
        let request = b"GET /v1/objects?class=Large&limit=6 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        link.write_all(request).await.expect("a request");
        let mut answer = Vec::new();
        link.read_to_end(&mut answer).await.expect("an answer");
        assert!(answer.len() > 6 * MIB, "{} bytes came over HTTP/1", answer.len());
    };
    // The client gives HTTP/2 all the room there is.
    let over_http2 = async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(64 << 20).initial_connection_window_size(256 << 20);
        let link = SlowLink::new(&server).await;
        let (mut sender, connection) = builder.handshake::<_, Bytes>(link).await.expect("HTTP/2");
        tokio::spawn(connection);
        let (one, other) = (list(&server, &mut sender, 3).await, list(&server, &mut sender, 3).await);
        for body in [tokio::spawn(read(one)), tokio::spawn(read(other))] {
            let bytes = body.await.expect("no panic").expect("a whole body");
            assert!(bytes > 3 * MIB, "{bytes} bytes came over HTTP/2");
        }
    };
    tokio::join!(over_http1, over_http2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_nothing_more_to_send_gets_its_answer() {
    let server = builder().start();
    fill(&server).await;
    let document = r#"{"query": "{ Get { Large(limit: 3) { text } } }"}"#;
    let graphql = format!(
        "POST /v1/graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{document}",
        document.len()
    );
    for (request, least) in [
        ("GET /v1/.well-known/ready HTTP/1.1\r\nHost: x\r\n\r\n", 0),
        ("GET /v1/meta HTTP/1.0\r\n\r\n", 10),
        ("GET /v1/objects?class=Large&limit=3 HTTP/1.1\r\nHost: x\r\n\r\n", 3 * MIB),
        (&graphql, 3 * MIB),
    ] {
        let mut stream = begin(&server, request);
        stream.shutdown(Shutdown::Write).expect("an end");
        let answer = raw_http::read_answer(&mut stream).unwrap_or_else(|error| panic!("{request}: {error}"));
        assert_eq!(answer.status, 200, "{request}: {:.300}", answer.body);
        assert!(answer.body.len() >= least, "{request}: {} bytes", answer.body.len());
    }
}
