//! HTTP/1.1 by hand, for requests that no client library would send.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long one read or write may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as text, without transfer coding.
    pub body: String,
    /// The same as it came.
    pub bytes: Vec<u8>,
}

/// A request, as a server sees it.
#[derive(Debug, Clone)]
pub struct Message {
    /// First line and headers.
    pub head: String,
    /// The body, of the length that the head names.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `GET path`.
pub fn get(address: &str, path: &str) -> io::Result<Answer> {
    send(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
}

/// `POST path` with a JSON body.
pub fn post(address: &str, path: &str, body: &str) -> io::Result<Answer> {
    request(address, "POST", path, &[("Content-Type", "application/json")], body.as_bytes())
}

/// Any method with headers and a body of known length.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    send(address, &[head.as_bytes(), body].concat())
}

/// Sends bytes as they are and reads one answer.
///
/// # Errors
/// When nobody listens, when the connection ends without an answer, or when none comes in a minute.
pub fn send(address: &str, bytes: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(address)?;
    // A server may answer and close before it has read a body that it refuses; its answer counts all the same.
    let _ = stream.write_all(bytes);
    read_answer(&mut stream)
}

/// An open connection for a conversation by hand.
pub fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one answer, by its length, its chunks, or to the end of the connection.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        if read_more(stream, &mut bytes)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without an answer"));
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut body = bytes.split_off(head_end + 4);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: String::new(), bytes: Vec::new() };
    let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let chunked = answer.header("transfer-encoding") == Some("chunked");
    loop {
        let complete = length.is_some_and(|length| body.len() >= length) || (chunked && body.ends_with(b"0\r\n\r\n"));
        if complete || matches!(status, 204 | 304) || read_more(stream, &mut body)? == 0 {
            break;
        }
    }
    let body = if chunked { unchunk(&body) } else { body };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    answer.bytes = body;
    Ok(answer)
}

/// Reads one request.
///
/// # Errors
/// When the connection ends before it is whole.
pub fn read_message(stream: &mut TcpStream) -> io::Result<Message> {
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended inside a request");
    let mut bytes = Vec::new();
    let head_end = loop {
        match find(&bytes, b"\r\n\r\n") {
            Some(at) => break at,
            None if read_more(stream, &mut bytes)? == 0 => return Err(ended()),
            None => {}
        }
    };
    let mut body = bytes.split_off(head_end + 4);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    while body.len() < length.unwrap_or(0) {
        if read_more(stream, &mut body)? == 0 {
            return Err(ended());
        }
    }
    Ok(Message { head, body })
}

fn read_more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut part = [0; 16 * 1024];
    let count = loop {
        match stream.read(&mut part) {
            // A signal, as for a child that ended, is no news about the connection.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.extend_from_slice(&part[..count]);
    Ok(count)
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line_end) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line_end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        let start = line_end + 2;
        body.extend_from_slice(&bytes[start..bytes.len().min(start + size)]);
        bytes = &bytes[bytes.len().min(start + size + 2)..];
    }
    body
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn reads_answers_by_length_and_by_chunks() {
        for (text, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc"),
            ("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            let answering = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).expect("a request") > 0);
                stream.write_all(text.as_bytes()).expect("an answer");
            });
            let answer = get(&address, "/").expect("an answer");
            assert_eq!((answer.status, answer.body.as_str()), (200, body));
            answering.join().expect("the thread ends");
        }
    }
}
