//! Several concurrent clients, and the states that each object may have afterwards.
//!
//! Every client works on objects of its own and on shared ones, over REST and gRPC, while one more deletes by filter
//! and the process is killed now and then. The checked rules:
//!
//! - **own objects**: a read after an acknowledged write finds that write; deleted objects stay away; a deletion by
//!   filter never takes an object whose newest version does not match;
//! - **merges**: clients that change different properties of one object never undo each other;
//! - **references**: of those added to one list by all clients, none is lost and none occurs twice;
//! - **registers**: a read of a shared object finds a write that had begun before the read ended and that no other write
//!   had replaced before the read began.
//!
//! A call without an answer may have been carried out or not, at any later time.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::raw_http;
use crate::server::Server;

/// Clients beside the one that deletes by filter.
pub const CLIENTS: u64 = 5;

/// Shared objects of each kind.
const SHARED: u64 = 6;

/// Objects of its own that a client works on.
const OWN: u64 = 12;

/// References that a client adds, at most: the list is read whole each time.
const REFERENCES_MAX: u64 = 120;

/// A value, and the time when it was written or read; `None` is "no object".
#[derive(Debug, Clone)]
struct Event {
    begin: Instant,
    /// The time of the answer; never for a call without one.
    end: Option<Instant>,
    value: Option<u64>,
}

/// Writes and reads of one shared object.
#[derive(Debug, Default)]
struct Register {
    writes: Vec<Event>,
    reads: Vec<Event>,
}

/// A client's knowledge of an object or property that it alone writes.
#[derive(Debug, Clone, Default)]
struct Known {
    acknowledged: Option<u64>,
    /// Writes sent since, without an answer.
    open: Vec<Option<u64>>,
}

impl Known {
    fn allows(&self, found: Option<u64>) -> bool {
        found == self.acknowledged || self.open.contains(&found)
    }

    /// Fixes the value that a client read: a restarted server carries out no earlier call any more, so the value stays.
    fn settle(&mut self, found: Option<u64>) {
        *self = Self { acknowledged: found, open: Vec::new() };
    }
}

/// State that all clients share.
struct Shared {
    /// Address of the server; another one after each start.
    address: Mutex<String>,
    over: AtomicBool,
    /// How often the process was killed.
    kills: AtomicU64,
    calls: AtomicU64,
    registers: Mutex<BTreeMap<u64, Register>>,
    finding: Mutex<Option<String>>,
}

/// A client and its knowledge of the objects.
struct Client {
    number: u64,
    shared: Arc<Shared>,
    random: ChaCha8Rng,
    count: u64,
    own: BTreeMap<u64, Known>,
    merged: BTreeMap<u64, Known>,
    /// References that were certainly added, and those that may have been added.
    references: (u64, u64),
}

/// Why a client stops: the server gave no answer, or a wrong one.
enum Stop {
    NoAnswer,
    Wrong(String),
}

/// Counts of a run.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Calls with an answer.
    pub calls: u64,
    /// How often the process was killed.
    pub kills: u64,
    /// Reads of shared objects that were checked.
    pub reads: usize,
}

/// Runs all clients for that time, with a kill every few seconds.
///
/// # Errors
/// The violated rule, in words.
///
/// # Panics
/// When the server cannot be started or is not ready.
pub fn run(seed: u64, duration: Duration) -> Result<Report, String> {
    let mut server = Server::start();
    let shared = Arc::new(Shared {
        address: Mutex::new(server.http_address()),
        over: AtomicBool::new(false),
        kills: AtomicU64::new(0),
        calls: AtomicU64::new(0),
        registers: Mutex::default(),
        finding: Mutex::default(),
    });
    prepare(&shared)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = Client::new(number, &shared, random.random());
            std::thread::spawn(move || {
                client.work();
                client
            })
        })
        .collect();
    let sweeper = {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || sweep(&shared))
    };
    let since = Instant::now();
    while since.elapsed() < duration && lock(&shared.finding).is_none() {
        std::thread::sleep(Duration::from_millis(random.random_range(300..3_000)));
        if !server.is_running() {
            return Err(format!("the server ended by itself:\n{}", server.log()));
        }
        server.kill();
        server.start_again();
        *lock(&shared.address) = server.http_address();
        shared.kills.fetch_add(1, Ordering::Release);
    }
    shared.over.store(true, Ordering::Release);
    let mut clients: Vec<Client> = clients.into_iter().filter_map(|client| client.join().ok()).collect();
    // The result of the sweeper's thread is not needed.
    let _ = sweeper.join();
    if let Some(finding) = lock(&shared.finding).take() {
        return Err(finding);
    }
    if clients.len() as u64 != CLIENTS {
        return Err("a client panicked".to_owned());
    }
    for client in &mut clients {
        if let Err(Stop::Wrong(finding)) = client.final_look() {
            return Err(finding);
        }
    }
    check_references(&shared, &clients)?;
    let reads = lock(&shared.registers)
        .iter()
        .map(|(number, register)| check_register(*number, register))
        .sum::<Result<usize, String>>()?;
    let calls = shared.calls.load(Ordering::Acquire);
    Ok(Report { calls, kills: shared.kills.load(Ordering::Acquire), reads })
}

/// The schema, and the shared objects that are merged into.
fn prepare(shared: &Shared) -> Result<(), String> {
    let mut properties = vec![
        json!({ "name": "value", "dataType": ["int"] }),
        json!({ "name": "doomed", "dataType": ["boolean"] }),
        json!({ "name": "list", "dataType": ["History"] }),
    ];
    properties.extend((0..CLIENTS).map(|client| json!({ "name": format!("c{client}"), "dataType": ["int"] })));
    let class = json!({ "class": "History", "properties": properties });
    let mut bodies = vec![("/v1/schema", class)];
    let mut ids: Vec<Uuid> = (0..SHARED).map(merge_id).collect();
    ids.push(list_id());
    ids.extend((0..CLIENTS).map(target_id));
    bodies.extend(ids.iter().map(|id| ("/v1/objects", json!({ "class": "History", "id": id }))));
    for (path, body) in bodies {
        let address = lock(&shared.address).clone();
        let answer = raw_http::post(&address, path, &body.to_string()).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{path} {body}: {answer:?}"));
        }
    }
    Ok(())
}

fn id(kind: u128, number: u64) -> Uuid {
    Uuid::from_u128(kind << 96 | 0x4000_8000_0000_0000_0000 | u128::from(number))
}

fn merge_id(number: u64) -> Uuid {
    id(1, number)
}

fn list_id() -> Uuid {
    id(2, 0)
}

fn target_id(client: u64) -> Uuid {
    id(3, client)
}

fn register_id(number: u64) -> Uuid {
    id(4, number)
}

fn own_id(client: u64, number: u64) -> Uuid {
    id(5, client << 32 | number)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes doomed objects, again and again, sometimes as a dry run.
fn sweep(shared: &Shared) {
    let clause = json!({ "path": ["doomed"], "operator": "Equal", "valueBoolean": true });
    while !shared.over.load(Ordering::Acquire) {
        let body = json!({ "match": { "class": "History", "where": clause } }).to_string();
        let address = lock(&shared.address).clone();
        let headers = [("Content-Type", "application/json")];
        if raw_http::request(&address, "DELETE", "/v1/batch/objects", &headers, body.as_bytes()).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Client {
    fn new(number: u64, shared: &Arc<Shared>, seed: u64) -> Self {
        Self {
            number,
            shared: Arc::clone(shared),
            random: ChaCha8Rng::seed_from_u64(seed),
            count: 0,
            own: BTreeMap::new(),
            merged: BTreeMap::new(),
            references: (0, 0),
        }
    }

    fn work(&mut self) {
        while !self.shared.over.load(Ordering::Acquire) {
            let outcome = match self.random.random_range(0..10) {
                0..3 => self.merge(),
                3..6 => self.own_object(),
                6 if self.references.0 + self.references.1 < REFERENCES_MAX => self.refer(),
                _ => self.register(),
            };
            match outcome {
                Ok(()) => {}
                Err(Stop::NoAnswer) => std::thread::sleep(Duration::from_millis(20)),
                Err(Stop::Wrong(finding)) => {
                    lock(&self.shared.finding).get_or_insert(format!("client {}: {finding}", self.number));
                    return;
                }
            }
        }
    }

    /// Checks once more everything that this client alone wrote.
    fn final_look(&mut self) -> Result<(), Stop> {
        for number in self.own.keys().copied().collect::<Vec<_>>() {
            self.look_at_own(number)?;
        }
        for number in self.merged.keys().copied().collect::<Vec<_>>() {
            self.look_at_merged(number)?;
        }
        for number in 0..SHARED {
            self.read_register(number)?;
        }
        Ok(())
    }

    /// A call; 5xx is wrong unless the server is going away.
    fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), Stop> {
        let address = lock(&self.shared.address).clone();
        let text = body.map(Value::to_string).unwrap_or_default();
        let headers = [("Content-Type", "application/json")];
        let answer = raw_http::request(&address, method, path, &headers, text.as_bytes());
        let Ok(answer) = answer else { return Err(Stop::NoAnswer) };
        if answer.status == 503 {
            return Err(Stop::NoAnswer);
        }
        if answer.status >= 500 {
            return Err(Stop::Wrong(format!("{method} {path} {text}: {} {}", answer.status, answer.body)));
        }
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        Ok((answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null)))
    }

    fn read(&mut self, id: Uuid) -> Result<Option<Value>, Stop> {
        match self.call("GET", &format!("/v1/objects/History/{id}"), None)? {
            (200, answer) => Ok(Some(answer["properties"].clone())),
            (404, _) => Ok(None),
            (status, answer) => Err(Stop::Wrong(format!("read {id}: {status} {answer}"))),
        }
    }

    fn upsert(&mut self, id: Uuid, properties: &Value) -> Result<(), Stop> {
        let body = json!({ "objects": [{ "class": "History", "id": id, "properties": properties }] });
        match self.call("POST", "/v1/batch/objects", Some(&body))? {
            (200, answer) if answer[0]["result"]["status"] == "SUCCESS" => Ok(()),
            (status, answer) => Err(Stop::Wrong(format!("write {body}: {status} {answer}"))),
        }
    }

    /// A value that no earlier write of any client used.
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.number << 40 | self.count
    }

    /// Changes the property that belongs to this client in an object that belongs to all.
    fn merge(&mut self) -> Result<(), Stop> {
        let (number, value) = (self.random.random_range(0..SHARED), self.next());
        let (id, name) = (merge_id(number), format!("c{}", self.number));
        self.merged.entry(number).or_default().open.push(Some(value));
        let body = json!({ "class": "History", "id": id, "properties": { name: value } });
        match self.call("PATCH", &format!("/v1/objects/History/{id}"), Some(&body))? {
            (204, _) => self.merged.entry(number).or_default().settle(Some(value)),
            (status, answer) => return Err(Stop::Wrong(format!("PATCH {body}: {status} {answer}"))),
        }
        self.look_at_merged(number)
    }

    fn look_at_merged(&mut self, number: u64) -> Result<(), Stop> {
        let (id, name) = (merge_id(number), format!("c{}", self.number));
        let found = self.read(id)?.ok_or_else(|| Stop::Wrong(format!("shared object {id} is gone")))?;
        let found = found[&name].as_u64();
        let known = self.merged.entry(number).or_default();
        if !known.allows(found) {
            return Err(Stop::Wrong(format!("{name} of {id} is {found:?}, known is {known:?}")));
        }
        Ok(())
    }

    /// Writes a doomed version, then one that is not doomed, or deletes; each time the object must have the last
    /// acknowledged state.
    fn own_object(&mut self) -> Result<(), Stop> {
        let number = self.random.random_range(0..OWN);
        let id = own_id(self.number, number);
        if self.random.random_bool(0.5) {
            let value = self.next();
            // The sweeper may delete the object at once: then there is none.
            self.own.entry(number).or_default().open.extend([Some(value), None]);
            self.upsert(id, &json!({ "value": value, "doomed": true }))?;
        }
        if self.random.random_bool(0.3) {
            self.own.entry(number).or_default().open.push(None);
            match self.call("DELETE", &format!("/v1/objects/History/{id}"), None)? {
                (204, _) => self.own.entry(number).or_default().settle(None),
                (status, answer) => return Err(Stop::Wrong(format!("DELETE {id}: {status} {answer}"))),
            }
        } else {
            let value = self.next();
            self.own.entry(number).or_default().open.push(Some(value));
            self.upsert(id, &json!({ "value": value, "doomed": false }))?;
            self.own.entry(number).or_default().settle(Some(value));
        }
        self.look_at_own(number)
    }

    fn look_at_own(&mut self, number: u64) -> Result<(), Stop> {
        let id = own_id(self.number, number);
        let found = self.read(id)?.and_then(|properties| properties["value"].as_u64());
        let known = self.own.entry(number).or_default();
        if !known.allows(found) {
            return Err(Stop::Wrong(format!("own object {id} is {found:?}, known is {known:?}")));
        }
        Ok(())
    }

    /// Adds a reference to the list that all add to.
    fn refer(&mut self) -> Result<(), Stop> {
        let beacon = format!("weaviate://localhost/History/{}", target_id(self.number));
        self.references.1 += 1;
        let path = format!("/v1/objects/History/{}/references/list", list_id());
        match self.call("POST", &path, Some(&json!({ "beacon": beacon })))? {
            (200, _) => {
                self.references = (self.references.0 + 1, self.references.1 - 1);
                Ok(())
            }
            (status, answer) => Err(Stop::Wrong(format!("{path}: {status} {answer}"))),
        }
    }

    /// Writes, deletes or reads an object that all write.
    fn register(&mut self) -> Result<(), Stop> {
        let number = self.random.random_range(0..SHARED);
        let way = self.random.random_range(0..10);
        if way < 5 {
            return self.read_register(number);
        }
        let value = if way == 9 { None } else { Some(self.next()) };
        let index = {
            let mut registers = lock(&self.shared.registers);
            let writes = &mut registers.entry(number).or_default().writes;
            writes.push(Event { begin: Instant::now(), end: None, value });
            writes.len() - 1
        };
        let id = register_id(number);
        match value {
            Some(value) => self.upsert(id, &json!({ "value": value }))?,
            None => match self.call("DELETE", &format!("/v1/objects/History/{id}"), None)? {
                (204, _) => {}
                (status, answer) => return Err(Stop::Wrong(format!("DELETE {id}: {status} {answer}"))),
            },
        }
        if let Some(event) =
            lock(&self.shared.registers).get_mut(&number).and_then(|register| register.writes.get_mut(index))
        {
            event.end = Some(Instant::now());
        }
        Ok(())
    }

    fn read_register(&mut self, number: u64) -> Result<(), Stop> {
        let begin = Instant::now();
        let found = self.read(register_id(number))?;
        let value = found.and_then(|properties| properties["value"].as_u64());
        let event = Event { begin, end: Some(Instant::now()), value };
        lock(&self.shared.registers).entry(number).or_default().reads.push(event);
        Ok(())
    }
}

/// Number of reads of a shared object that its writes explain.
fn check_register(number: u64, register: &Register) -> Result<usize, String> {
    // At first there was no object.
    let Some(start) = register.writes.iter().chain(&register.reads).map(|event| event.begin).min() else {
        return Ok(0);
    };
    let nothing = Event { begin: start, end: Some(start), value: None };
    let writes: Vec<&Event> = register.writes.iter().chain([&nothing]).collect();
    for read in &register.reads {
        let read_end = read.end.unwrap_or(read.begin);
        let explains = |write: &&&Event| {
            let replaced = |by: &&&Event| {
                // A write that began after another one was answered, and was answered before the read began.
                write.end.is_some_and(|end| by.begin > end) && by.end.is_some_and(|end| end < read.begin)
            };
            write.value == read.value && write.begin <= read_end && writes.iter().find(replaced).is_none()
        };
        if writes.iter().find(explains).is_none() {
            let since = |at: Instant| at.duration_since(start).as_millis();
            let shown = |event: &Event| {
                format!("{:?} from {} to {:?} ms", event.value, since(event.begin), event.end.map(since))
            };
            let near: Vec<String> = writes.iter().rev().take(12).map(|write| shown(write)).collect();
            return Err(format!(
                "shared object {number}: no write explains the read {}; the newest writes:\n{}",
                shown(read),
                near.join("\n")
            ));
        }
    }
    Ok(register.reads.len())
}

/// Each client's references are in the list as often as it added them.
fn check_references(shared: &Shared, clients: &[Client]) -> Result<(), String> {
    let address = lock(&shared.address).clone();
    let path = format!("/v1/objects/History/{}", list_id());
    let answer = raw_http::get(&address, &path).map_err(|error| error.to_string())?;
    let object: Value = serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
    let list = object["properties"]["list"].as_array().cloned().unwrap_or_default();
    for client in clients {
        let target = target_id(client.number).to_string();
        let found = list.iter().filter(|entry| entry["beacon"].as_str().is_some_and(|text| text.ends_with(&target)));
        let (found, (certain, open)) = (found.count() as u64, client.references);
        if found < certain || found > certain + open {
            return Err(format!(
                "{found} references of client {}: {certain} were acknowledged, {open} are open",
                client.number
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: Instant, from: u64, to: Option<u64>, value: Option<u64>) -> Event {
        let then = |ms: u64| at + Duration::from_millis(ms);
        Event { begin: then(from), end: to.map(then), value }
    }

    #[test]
    fn a_read_needs_a_write_that_nothing_replaced() {
        let at = Instant::now();
        let writes = vec![event(at, 0, Some(1), Some(1)), event(at, 2, Some(3), Some(2)), event(at, 6, None, None)];
        let check = |read: Event| check_register(0, &Register { writes: writes.clone(), reads: vec![read] }).is_ok();
        assert!(check(event(at, 4, Some(5), Some(2))), "the newest write");
        assert!(!check(event(at, 4, Some(5), Some(1))), "a write that was replaced");
        assert!(check(event(at, 2, Some(5), Some(1))), "a read that began before the replacement was answered");
        assert!(!check(event(at, 4, Some(5), None)), "a deletion that began after the read ended");
        assert!(check(event(at, 7, Some(8), None)), "a deletion without an answer");
        assert!(!check(event(at, 4, Some(5), Some(3))), "a value that was never written");
    }
}
