//! Tenants: random requests held against a model, over restarts and kill -9; memory of inactive tenants; many of them;
//! activation by many requests at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azimuth_tests::notice;
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

fn ask(address: &str, method: &str, path: &str, body: &Value) -> std::io::Result<Answer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    raw_http::request(address, method, &format!("/v1{path}"), &[("Content-Type", "application/json")], body.as_bytes())
}

/// A request whose answer is a success.
fn good(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let answer = ask(&server.http_address(), method, path, body).expect("an answer");
    assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.body);
    serde_json::from_str(&answer.body).unwrap_or(Value::Null)
}

fn metric(server: &Server, name: &str) -> u64 {
    let answer = raw_http::get(&server.http_address(), "/metrics").expect("metrics");
    let sum = answer.body.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    sum.map(|(_, value)| value.parse::<f64>().expect("a number") as u64).sum()
}

/// Waits until a condition holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn class(name: &str, automatic: bool) -> Value {
    json!({
        "class": name,
        "vectorizer": "none",
        "properties": [{"name": "n", "dataType": ["int"]}, {"name": "label", "dataType": ["text"]}],
        "multiTenancyConfig": {
            "enabled": true, "autoTenantCreation": automatic, "autoTenantActivation": automatic,
        },
    })
}

fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A direction of its own for each object.
fn vector(n: u64) -> [f64; 2] {
    let angle = (n as f64 + 1.0) * 0.01;
    [angle.cos(), angle.sin()]
}

fn object(class: &str, tenant: &str, n: u64, version: u64) -> Value {
    json!({
        "class": class, "tenant": tenant, "id": id(n), "vector": vector(n),
        "properties": {"n": n, "label": format!("version {version}")},
    })
}

/// A tenant of the model: whether it is active, and the versions of its objects.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tenant {
    active: bool,
    objects: BTreeMap<u64, u64>,
}

/// A server and the model of its tenants.
struct World {
    server: Server,
    /// Whether writes create tenants, and all requests activate them.
    automatic: bool,
    tenants: BTreeMap<String, Tenant>,
    random: ChaCha8Rng,
    versions: u64,
}

const NAMES: u64 = 12;
const OBJECTS: u64 = 30;

impl World {
    fn new(seed: u64, automatic: bool) -> Self {
        let server = Server::start();
        good(&server, "POST", "/schema", &class("Room", automatic));
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { server, automatic, tenants: BTreeMap::new(), random, versions: 0 }
    }

    fn name(&mut self) -> String {
        format!("t{}", self.random.random_range(0..NAMES))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        ask(&self.server.http_address(), method, path, body).expect("an answer")
    }

    /// The refusal of a request that names the tenant; a tenant that the request may use is active afterwards.
    fn refusal(&mut self, name: &str, creates: bool) -> Option<String> {
        let automatic = self.automatic;
        match self.tenants.get_mut(name) {
            None if automatic && creates => {
                self.tenants.insert(name.to_owned(), Tenant { active: true, ..Tenant::default() });
                None
            }
            None => Some(format!("tenant not found: \\\"{name}\\\"")),
            Some(tenant) if tenant.active => None,
            Some(tenant) if automatic => {
                tenant.active = true;
                None
            }
            Some(_) => Some(format!("tenant not active: '{name}'")),
        }
    }

    fn check(&self, what: &str, answer: &Answer, refusal: Option<&str>) -> bool {
        match refusal {
            None => assert!(answer.status < 300, "{what}: {} {}", answer.status, answer.body),
            Some(text) => assert!(answer.body.contains(text), "{what}: wanted {text}, got {}", answer.body),
        }
        refusal.is_none()
    }

    fn step(&mut self) {
        let name = self.name();
        match self.random.random_range(0..100) {
            0..8 => {
                let status = *["HOT", "COLD"].choose(&mut self.random).expect("one of two");
                let body = json!([{"name": name, "activityStatus": status}]);
                assert_eq!(self.ask("POST", "/schema/Room/tenants", &body).status, 200);
                let tenant = Tenant { active: status == "HOT", ..Tenant::default() };
                self.tenants.entry(name).or_insert(tenant);
            }
            8..28 => self.switch(),
            28..34 => {
                assert_eq!(self.ask("DELETE", "/schema/Room/tenants", &json!([name])).status, 200);
                self.tenants.remove(&name);
            }
            34..60 => self.write(&name),
            60..66 => self.remove(&name),
            66..78 => self.read_one(&name),
            78..90 => self.search(&name),
            _ => self.list(&name),
        }
    }

    /// Changes the status of several tenants at once: of all, or of none if one does not exist.
    fn switch(&mut self) {
        let mut names: Vec<String> = (0..self.random.random_range(1..4)).map(|_| self.name()).collect();
        names.sort();
        names.dedup();
        let active = self.random.random_bool(0.4);
        let status = if active { "ACTIVE" } else { "INACTIVE" };
        let body: Vec<Value> = names.iter().map(|name| json!({"name": name, "activityStatus": status})).collect();
        let answer = self.ask("PUT", "/schema/Room/tenants", &Value::Array(body));
        if names.iter().all(|name| self.tenants.contains_key(name)) {
            assert_eq!(answer.status, 200, "{}", answer.body);
            names.iter().for_each(|name| self.tenants.get_mut(name).expect("it exists").active = active);
        } else {
            assert_eq!(answer.status, 422, "{}", answer.body);
        }
    }

    fn write(&mut self, name: &str) {
        let count = self.random.random_range(1..8);
        let written: Vec<u64> = (0..count).map(|_| self.random.random_range(0..OBJECTS)).collect();
        self.versions += 1;
        let version = self.versions;
        let objects: Vec<Value> = written.iter().map(|n| object("Room", name, *n, version)).collect();
        let refusal = self.refusal(name, true);
        let answer = self.ask("POST", "/batch/objects", &json!({"objects": objects}));
        assert_eq!(answer.status, 200);
        if self.check("write", &answer, refusal.as_deref()) {
            assert!(!answer.body.contains("FAILED"), "{}", answer.body);
            let tenant = self.tenants.get_mut(name).expect("it exists");
            tenant.objects.extend(written.into_iter().map(|n| (n, version)));
        }
    }

    fn remove(&mut self, name: &str) {
        let n = self.random.random_range(0..OBJECTS);
        let refusal = self.refusal(name, false);
        let answer = self.ask("DELETE", &format!("/objects/Room/{}?tenant={name}", id(n)), &Value::Null);
        if self.check("delete", &answer, refusal.as_deref()) {
            self.tenants.get_mut(name).expect("it exists").objects.remove(&n);
        }
    }

    fn read_one(&mut self, name: &str) {
        let n = self.random.random_range(0..OBJECTS);
        let refusal = self.refusal(name, false);
        let answer = self.ask("GET", &format!("/objects/Room/{}?tenant={name}", id(n)), &Value::Null);
        let known = self.tenants.get(name).and_then(|tenant| tenant.objects.get(&n));
        match (refusal, known) {
            (Some(refusal), _) => _ = self.check("get", &answer, Some(&refusal)),
            (None, None) => assert_eq!(answer.status, 404, "{}", answer.body),
            (None, Some(version)) => {
                assert!(answer.body.contains(&format!("\"version {version}\"")), "{name} {n}: {}", answer.body);
            }
        }
    }

    /// The nearest objects by a vector, and the count.
    fn search(&mut self, name: &str) {
        let n = self.random.random_range(0..OBJECTS);
        let refusal = self.refusal(name, false);
        let [x, y] = vector(n);
        let query = format!(
            "{{ Get {{ Room(tenant: \"{name}\", limit: 3, nearVector: {{vector: [{x}, {y}]}}) {{ n label }} }}
                Aggregate {{ Room(tenant: \"{name}\") {{ meta {{ count }} }} }} }}"
        );
        let answer = self.ask("POST", "/graphql", &json!({ "query": query }));
        if let Some(refusal) = refusal {
            self.check("search", &answer, Some(&refusal.replace('"', "\\\"").replace("\\\\\"", "\\\"")));
            return;
        }
        let found: Value = serde_json::from_str(&answer.body).expect("JSON");
        let objects = &self.tenants[name].objects;
        assert_eq!(found["data"]["Aggregate"]["Room"][0]["meta"]["count"], objects.len(), "{name}: {}", answer.body);
        let mut nearest: Vec<u64> = objects.keys().copied().collect();
        nearest.sort_by_key(|m| (m.abs_diff(n), *m));
        let hits = found["data"]["Get"]["Room"].as_array().expect("hits").clone();
        assert_eq!(hits.len(), objects.len().min(3), "{name}: {}", answer.body);
        for hit in &hits {
            let m = hit["n"].as_u64().expect("a number");
            assert_eq!(hit["label"], format!("version {}", objects[&m]), "{name}");
        }
        if let Some(hit) = hits.first() {
            let distance = hit["n"].as_u64().expect("a number").abs_diff(n);
            assert_eq!(distance, nearest[0].abs_diff(n), "{name}, near {n}: {}", answer.body);
        }
    }

    fn list(&mut self, name: &str) {
        let refusal = self.refusal(name, false);
        let answer = self.ask("GET", &format!("/objects?class=Room&limit=100&tenant={name}"), &Value::Null);
        if self.check("list", &answer, refusal.as_deref()) {
            let found: Value = serde_json::from_str(&answer.body).expect("JSON");
            let label = |object: &Value| object["properties"]["label"].as_str().expect("a label").to_owned();
            let labels: Vec<String> = found["objects"].as_array().expect("a list").iter().map(label).collect();
            let known = self.tenants[name].objects.values().map(|version| format!("version {version}"));
            assert_eq!(labels, known.collect::<Vec<_>>(), "{name}");
        }
    }

    /// Statuses of all tenants.
    fn check_statuses(&self) {
        let list = good(&self.server, "GET", "/schema/Room/tenants", &Value::Null);
        let shown: BTreeMap<&str, bool> = (list.as_array().expect("a list").iter())
            .map(|tenant| (tenant["name"].as_str().expect("a name"), tenant["activityStatus"] == "HOT"))
            .collect();
        let known: BTreeMap<&str, bool> =
            self.tenants.iter().map(|(name, tenant)| (name.as_str(), tenant.active)).collect();
        assert_eq!(shown, known);
    }

    /// Kills the server while a change of tenants is on the way, which has happened afterwards or has not.
    fn kill_within_a_change(&mut self) {
        let name = self.name();
        let (method, body, after) = match self.random.random_range(0..3) {
            0 => ("DELETE", json!([name]), None),
            1 => {
                let body = json!([{"name": name, "activityStatus": "COLD"}]);
                ("PUT", body, self.tenants.get(&name).map(|tenant| Tenant { active: false, ..tenant.clone() }))
            }
            _ => {
                let tenant = self.tenants.get(&name).cloned();
                let new = Tenant { active: true, ..Tenant::default() };
                ("POST", json!([{ "name": name }]), Some(tenant.unwrap_or(new)))
            }
        };
        let address = self.server.http_address();
        let sent = std::thread::spawn(move || ask(&address, method, "/schema/Room/tenants", &body).is_ok());
        let pause = Duration::from_micros(self.random.random_range(0..3_000));
        std::thread::sleep(pause);
        self.server.kill();
        let answered = sent.join().expect("a request");
        self.server.start_again();
        let shown = self.ask("GET", &format!("/schema/Room/tenants/{name}"), &Value::Null);
        let shown = (shown.status == 200).then(|| shown.body.contains("HOT"));
        let before = self.tenants.get(&name).cloned();
        let is = |tenant: &Option<Tenant>| tenant.as_ref().map(|tenant| tenant.active) == shown;
        let now = if answered || !is(&before) { after } else { before };
        assert!(is(&now), "{method} of {name}, answered: {answered}, shown: {shown:?}, wanted: {now:?}");
        match now {
            Some(tenant) => _ = self.tenants.insert(name, tenant),
            None => _ = self.tenants.remove(&name),
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn random_requests_on_tenants_agree_with_a_model() {
    let seed = number("AZIMUTH_SEED").unwrap_or(20_261_130);
    let seconds = number("AZIMUTH_FUZZ_SECONDS").unwrap_or(10);
    notice(&format!("tenants: seed {seed} (AZIMUTH_SEED), {seconds} s (AZIMUTH_FUZZ_SECONDS)"));
    let since = Instant::now();
    for seed in seed.. {
        println!("seed {seed}");
        let mut world = World::new(seed, seed.is_multiple_of(2));
        for round in 0..4 {
            (0..150).for_each(|_| world.step());
            world.check_statuses();
            match round {
                0 | 2 => world.kill_within_a_change(),
                1 => {
                    world.server.terminate();
                    world.server.start_again();
                }
                _ => {}
            }
            world.check_statuses();
        }
        if since.elapsed() > Duration::from_secs(seconds) {
            break;
        }
    }
}

#[test]
fn an_inactive_tenant_leaves_memory_and_a_deleted_one_comes_back_empty() {
    let mut server = Server::start();
    good(&server, "POST", "/schema", &class("Room", false));
    good(&server, "POST", "/schema/Room/tenants", &json!([{"name": "a"}, {"name": "b"}]));
    for tenant in ["a", "b"] {
        let objects: Vec<Value> = (0..200).map(|n| object("Room", tenant, n, 1)).collect();
        good(&server, "POST", "/batch/objects", &json!({"objects": objects}));
        let query =
            format!("{{ Get {{ Room(tenant: \"{tenant}\", nearVector: {{vector: [1, 0]}}, limit: 1) {{ n }} }} }}");
        let found = good(&server, "POST", "/graphql", &json!({ "query": query }));
        assert_eq!(found["data"]["Get"]["Room"][0]["n"], 0);
    }
    let bytes = metric(&server, "azimuth_vector_index_bytes{");
    assert_eq!(metric(&server, "azimuth_shards_loaded"), 2);
    let set = |server: &Server, tenant: &str, status: &str| {
        good(server, "PUT", "/schema/Room/tenants", &json!([{"name": tenant, "activityStatus": status}]));
    };
    set(&server, "a", "INACTIVE");
    until("one tenant in memory", || metric(&server, "azimuth_shards_loaded") == 1);
    until("the index of one tenant in memory", || {
        metric(&server, "azimuth_vector_index_bytes{") <= bytes / 2 + bytes / 8
    });
    set(&server, "b", "INACTIVE");
    until("no tenant in memory", || metric(&server, "azimuth_shards_loaded") == 0);
    until("no index in memory", || metric(&server, "azimuth_vector_indexes_loaded") == 0);
    server.kill();
    server.start_again();
    let nodes = good(&server, "GET", "/nodes/Room?output=verbose", &Value::Null);
    assert_eq!(nodes["nodes"][0]["stats"], json!({"objectCount": 0, "shardCount": 0}), "{nodes}");
    assert_eq!(metric(&server, "azimuth_shards_loaded"), 0, "inactive tenants stay on the disk");

    set(&server, "a", "ACTIVE");
    good(&server, "DELETE", "/schema/Room/tenants", &json!(["b"]));
    good(&server, "POST", "/schema/Room/tenants", &json!([{"name": "b"}]));
    let count = |tenant: &str| {
        let query = format!("{{ Aggregate {{ Room(tenant: \"{tenant}\") {{ meta {{ count }} }} }} }}");
        good(&server, "POST", "/graphql", &json!({ "query": query }))["data"]["Aggregate"]["Room"][0]["meta"]["count"]
            .clone()
    };
    assert_eq!((count("a"), count("b")), (json!(200), json!(0)));
    let answer = ask(&server.http_address(), "GET", &format!("/objects/Room/{}?tenant=b", id(3)), &Value::Null);
    assert_eq!(answer.expect("an answer").status, 404);
}

#[test]
fn requests_at_once_activate_a_tenant() {
    let server = Server::start();
    good(&server, "POST", "/schema", &class("Room", true));
    let (address, done) = (server.http_address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let switcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let body = json!([{"name": "a", "activityStatus": "INACTIVE"}]);
                // The tenant may not exist yet.
                let answer = ask(&address, "PUT", "/schema/Room/tenants", &body).expect("an answer");
                assert!(matches!(answer.status, 200 | 422), "{}", answer.body);
            }
        });
        let readers: Vec<_> = (0..6_u64)
            .map(|reader| {
                let address = &address;
                scope.spawn(move || {
                    for round in 0..40 {
                        let n = reader * 100 + round;
                        let answer = ask(address, "POST", "/objects", &object("Room", "a", n, 1)).expect("an answer");
                        // Deactivated again between the activation and the check.
                        let refused = |answer: &Answer| answer.body.contains("tenant not active: 'a'");
                        if refused(&answer) {
                            continue;
                        }
                        assert_eq!(answer.status, 200, "{}", answer.body);
                        let path = format!("/objects/Room/{}?tenant=a", id(n));
                        let answer = ask(address, "GET", &path, &Value::Null).expect("an answer");
                        assert!(answer.status == 200 || refused(&answer), "{n}: {} {}", answer.status, answer.body);
                    }
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
        done.store(true, Ordering::Release);
        switcher.join().expect("the switcher");
    });
    let tenants = good(&server, "GET", "/schema/Room/tenants", &Value::Null);
    assert_eq!(tenants.as_array().expect("a list").len(), 1, "{tenants}");
}

#[test]
fn of_many_tenants_few_are_in_memory() {
    const TENANTS: usize = 10_000;
    const USED: usize = 50;
    let mut server = Server::start();
    good(&server, "POST", "/schema", &class("Room", false));
    let before = server.memory_mib("VmRSS");
    let since = Instant::now();
    let names: Vec<String> = (0..TENANTS).map(|n| format!("tenant-{n}")).collect();
    for names in names.chunks(1_000) {
        let body: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        good(&server, "POST", "/schema/Room/tenants", &Value::Array(body));
    }
    let created = since.elapsed();
    let grown = server.memory_mib("VmRSS").saturating_sub(before);
    for name in &names[..USED] {
        let objects: Vec<Value> = (0..3).map(|n| object("Room", name, n, 1)).collect();
        good(&server, "POST", "/batch/objects", &json!({"objects": objects}));
    }
    assert!(metric(&server, "azimuth_shards_loaded") <= USED as u64);
    let since = Instant::now();
    let list = good(&server, "GET", "/schema/Room/tenants", &Value::Null);
    assert_eq!(list.as_array().expect("a list").len(), TENANTS);
    let listed = since.elapsed();
    server.kill();
    let since = Instant::now();
    server.start_again();
    let started = since.elapsed();
    assert!(metric(&server, "azimuth_shards_loaded") <= USED as u64);
    let one = good(&server, "GET", &format!("/objects/Room/{}?tenant={}", id(2), names[7]), &Value::Null);
    assert_eq!(one["properties"]["n"], 2);
    notice(&format!(
        "{TENANTS} tenants: created in {created:?}, {grown} MiB, listed in {listed:?}, started after kill -9 in {started:?}"
    ));
    assert!(grown < 100, "{grown} MiB for {TENANTS} tenants");
}
