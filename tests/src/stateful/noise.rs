//! The requests of other clients beside the steps: malformed requests, calls that are given up, and readiness probes.
//!
//! None of these requests changes stored data: bodies of writes are cut short, so that the server cannot read them.

use azimuth_client::proto::weaviate::v1 as pb;
use pb::weaviate_client::WeaviateClient;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tonic::transport::Endpoint;

use super::play::Player;
use super::schema::collection;
use crate::raw_http;

/// Sends requests until the run ends; returns their number, or the answer that must not be.
type Worker = fn(&Place, &mut ChaCha8Rng) -> Result<u128, String>;

/// Requests that the noise starts from: method, path, body.
const REQUESTS: [(&str, &str, &str); 9] = [
    ("POST", "/v1/objects", r#"{"class":"Alpha","id":"00000000-0000-4000-8000-000000000001","properties":{"p0":[1]}}"#),
    (
        "POST",
        "/v1/batch/objects",
        r#"{"objects":[{"class":"Alpha","properties":{"p0":{"latitude":1,"longitude":2}}}]}"#,
    ),
    ("POST", "/v1/batch/references", r#"[{"from":"weaviate://localhost/Alpha/1/p0","to":"weaviate://localhost/x"}]"#),
    ("DELETE", "/v1/batch/objects", r#"{"match":{"class":"Alpha","where":{"operator":"Equal","path":["p0"]}}}"#),
    ("POST", "/v1/schema", r#"{"class":"Alpha","properties":[{"name":"p0","dataType":["text"]}]}"#),
    ("PUT", "/v1/schema/Alpha", r#"{"class":"Alpha","vectorIndexConfig":{"ef":100}}"#),
    ("PUT", "/v1/objects/Alpha/00000000-0000-4000-8000-000000000001", r#"{"class":"Alpha","vector":[1,2,3]}"#),
    (
        "PATCH",
        "/v1/objects/Alpha/00000000-0000-4000-8000-000000000001",
        r#"{"class":"Alpha","vectors":{"a":[[1],[2]]}}"#,
    ),
    ("POST", "/v1/graphql", r#"{"query":"{ Get { Alpha { p0 } } }","variables":{"x":[1]}}"#),
];

const DOCUMENTS: [&str; 4] = [
    r#"query Q($n: Int = 3) { Get { Alpha(limit: $n, where: {path: ["p0"], operator: Equal, valueText: "a"}) { p0 } } }"#,
    r#"{ Get { Beta(nearVector: {vector: [1, -2.5e3, 0]}, groupBy: {path: ["p1"], groups: 2}) { ...F } } } fragment F on Beta { p1 }"#,
    r#"{ Aggregate { Gamma(where: {operator: And, operands: [{path: ["id"], operator: Like, valueText: "*"}]}) { meta { count } } } }"#,
    r#"{ a: Get { Delta(sort: [{path: ["p2"], order: desc}], after: "", limit: 1) { _additional { id vector } } } __typename }"#,
];

/// The results of the noise.
#[derive(Debug, Default)]
struct Heard {
    requests: u64,
    ready_ms_max: u128,
    finding: Option<String>,
}

/// Addresses of the server; nothing while it is restarted.
type Place = Option<(String, u16)>;

/// Threads that make noise until this is dropped.
pub(super) struct Noise {
    place: Arc<Mutex<Place>>,
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Noise {
    fn start(seed: u64) -> Self {
        let (place, heard) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Heard::default())));
        let over = Arc::new(AtomicBool::new(false));
        let workers: [Worker; 3] = [ask_ready, malformed, given_up];
        let threads = workers.into_iter().enumerate().map(|(number, work)| {
            let (place, heard, over) = (Arc::clone(&place), Arc::clone(&heard), Arc::clone(&over));
            let mut random = ChaCha8Rng::seed_from_u64(seed ^ number as u64);
            std::thread::spawn(move || {
                while !over.load(Ordering::Acquire) {
                    let before = lock(&place).clone();
                    let outcome = if before.is_some() { work(&before, &mut random) } else { Ok(0) };
                    // A request that failed while the server went away is no finding.
                    let counts = before.is_some() && *lock(&place) == before;
                    let mut heard = lock(&heard);
                    match outcome {
                        Ok(ms) => heard.ready_ms_max = heard.ready_ms_max.max(ms),
                        Err(finding) if counts => drop(heard.finding.get_or_insert(finding)),
                        Err(_) => {}
                    }
                    heard.requests += 1;
                    drop(heard);
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        });
        let threads = threads.collect();
        Self { place, heard, over, threads }
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // The error of `join` says only that the thread panicked.
            let _ = thread.join();
        }
    }
}

impl Player {
    /// Begins to make noise.
    pub(super) fn make_noise(&mut self, seed: u64) {
        self.noise = Some(Noise::start(seed));
        self.noise_here(true);
    }

    /// Sets the address to which the noise is sent; `None` sends nothing.
    pub(super) fn noise_here(&self, here: bool) {
        let Some(noise) = &self.noise else { return };
        *lock(&noise.place) = here.then(|| (self.server.http_address(), self.server.grpc_port()));
    }

    /// The failure that the noise found.
    pub(super) fn noise_finding(&self) -> Option<String> {
        lock(&self.noise.as_ref()?.heard).finding.take()
    }

    /// Ends the noise. Returns the number of requests, and the longest wait for readiness in milliseconds.
    pub(super) fn stop_noise(&mut self) -> (u64, u128) {
        let Some(noise) = self.noise.take() else { return (0, 0) };
        let heard = lock(&noise.heard);
        (heard.requests, heard.ready_ms_max)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the server is ready; it must be, all the time.
fn ask_ready(place: &Place, _: &mut ChaCha8Rng) -> Result<u128, String> {
    let Some((address, _)) = place else { return Ok(0) };
    let since = Instant::now();
    match raw_http::get(address, "/v1/.well-known/ready") {
        Ok(answer) if answer.status == 200 => Ok(since.elapsed().as_millis()),
        answer => Err(format!("ready: {answer:?}")),
    }
}

/// A request that cannot be right, or a document of GraphQL with a few bytes changed.
fn malformed(place: &Place, random: &mut ChaCha8Rng) -> Result<u128, String> {
    let Some((address, _)) = place else { return Ok(0) };
    let (method, path, body) = *REQUESTS.choose(random).unwrap_or(&REQUESTS[0]);
    let body = if path == "/v1/graphql" {
        let document = DOCUMENTS.choose(random).copied().unwrap_or_default();
        serde_json::json!({ "query": mutated(document, random) }).to_string().into_bytes()
    } else {
        // A body without its end is not JSON, whatever else is changed in it.
        let mut bytes = body.as_bytes()[..random.random_range(0..body.len())].to_vec();
        if random.random_bool(0.3) {
            bytes.extend((0..random.random_range(0..30)).map(|_| random.random_range(b'"'..=b'[')));
            bytes.push(b'{');
        }
        bytes
    };
    let headers = [("Content-Type", "application/json")];
    match raw_http::request(address, method, path, &headers, &body) {
        Ok(answer) if answer.status < 500 => Ok(0),
        answer => Err(format!("{method} {path} {:?}: {answer:?}", String::from_utf8_lossy(&body))),
    }
}

/// The text with some characters changed, doubled, taken out or put elsewhere.
fn mutated(text: &str, random: &mut ChaCha8Rng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..random.random_range(0..5) {
        let at = random.random_range(0..chars.len());
        let to = (at + random.random_range(0..12)).min(chars.len());
        match random.random_range(0..4) {
            0 => {
                chars[at] =
                    ['{', '}', '"', '$', '.', '9', '\u{0}', 'é', '(', '\\'].choose(random).copied().unwrap_or('{');
            }
            1 => drop(chars.drain(at..to)),
            2 => {
                let part: Vec<char> = chars[at..to].to_vec();
                chars.splice(at..at, part);
            }
            _ => chars.reverse(),
        }
        if chars.is_empty() {
            break;
        }
    }
    chars.into_iter().collect()
}

/// A call that its client gives up.
fn given_up(place: &Place, random: &mut ChaCha8Rng) -> Result<u128, String> {
    let Some((address, port)) = place else { return Ok(0) };
    if random.random_bool(0.5) {
        let (method, path, body) = *REQUESTS.choose(random).unwrap_or(&REQUESTS[0]);
        let mut stream = raw_http::connect(address).map_err(|error| format!("connect: {error}"))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The body never comes to its end, so nothing is written.
        let sent = [head.as_bytes(), &body.as_bytes()[..body.len() / 2]].concat();
        let _ = stream.write_all(&sent[..random.random_range(1..sent.len())]);
        return Ok(0);
    }
    let request = pb::SearchRequest {
        collection: collection(random).to_owned(),
        limit: 100,
        uses_127_api: true,
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut client = WeaviateClient::new(endpoint.connect_lazy());
        let patience = Duration::from_micros(random.random_range(50..3_000));
        // The outcome does not matter: the caller is gone by then.
        let _ = tokio::time::timeout(patience, client.search(request)).await;
    });
    Ok(0)
}
