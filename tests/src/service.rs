//! A service as modules call it: embeddings, chat, scores, all made from the words of the request.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Length of the vectors.
pub const DIMENSIONS: usize = 16;

/// A request that the service got.
#[derive(Clone, Debug)]
pub struct Request {
    /// Such as `/v1/embeddings`.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The texts to vectorise.
    pub fn texts(&self) -> Vec<String> {
        match self.body.get("input").or_else(|| self.body.get("text")) {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    }
}

/// A running service; its thread ends with the process.
#[derive(Clone, Debug)]
pub struct Service {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    failures: Arc<Mutex<VecDeque<u16>>>,
}

impl Service {
    /// Starts the service on a free port.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("the address of a bound socket"));
        let service = Self { address, requests: Arc::default(), failures: Arc::default() };
        let this = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let this = this.clone();
                std::thread::spawn(move || this.serve(stream));
            }
        });
        service
    }

    /// Such as `http://127.0.0.1:1234`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next requests are answered with these statuses.
    ///
    /// # Panics
    /// When a thread of the service panicked.
    pub fn fail(&self, statuses: &[u16]) {
        self.failures.lock().expect("no panic").extend(statuses);
    }

    /// The requests since the last call.
    ///
    /// # Panics
    /// When a thread of the service panicked.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.requests.lock().expect("no panic"))
    }

    fn serve(&self, mut stream: TcpStream) {
        let Some(request) = read(&stream) else { return };
        let failure = self.failures.lock().expect("no panic").pop_front();
        let (status, answer) = match failure {
            Some(status) => (status, json!({"error": {"message": format!("refused with {status}")}})),
            None => (200, answer(&request)),
        };
        self.requests.lock().expect("no panic").push(request);
        let body = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // A client that is gone needs no answer.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body: serde_json::from_slice(&body).ok()? })
}

fn answer(request: &Request) -> Value {
    let vectors: Vec<Vec<f32>> = request.texts().iter().map(|text| vector(text)).collect();
    let text = |name: &str| request.body.get(name).and_then(Value::as_str).unwrap_or_default();
    match request.path.as_str() {
        "/v1/embeddings" => {
            // The last one first: the index tells which text a vector belongs to.
            let data = vectors.iter().enumerate().rev();
            let data: Vec<Value> = data.map(|(index, vector)| json!({"index": index, "embedding": vector})).collect();
            json!({"data": data})
        }
        "/api/embed" => json!({"embeddings": vectors}),
        "/vectors" => json!({"vector": vectors.first()}),
        "/rerank" => {
            let query = vector(text("query"));
            let documents = request.body.get("documents").and_then(Value::as_array).into_iter().flatten();
            let score = |document: &Value| {
                let product = vector(document.as_str().unwrap_or_default()).into_iter().zip(&query).map(|(a, b)| a * b);
                json!({"document": document, "score": product.sum::<f32>()})
            };
            json!({"scores": documents.map(score).collect::<Vec<_>>()})
        }
        "/v1/chat/completions" => {
            let prompt = request.body.pointer("/messages/0/content").and_then(Value::as_str).unwrap_or_default();
            json!({"choices": [{"message": {"role": "assistant", "content": format!("answer to: {prompt}")}}]})
        }
        "/api/generate" => json!({"response": format!("answer to: {}", text("prompt"))}),
        _ => json!({}),
    }
}

/// The vector of a text: each word has a place, texts with the same words have the same vector.
pub fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.01; DIMENSIONS];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = word.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        vector[hash % DIMENSIONS] += 1.0;
    }
    vector
}
