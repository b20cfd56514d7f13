//! Aliases: restarts and kill -9, many clients that move an alias under load, permits, and the REST search beside them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use serde_json::{Value, json};

fn ask(address: &str, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !key.is_empty() {
        headers.push(("Authorization", bearer.as_str()));
    }
    raw_http::request(address, method, &format!("/v1{path}"), &headers, body.as_bytes()).expect("an answer")
}

fn good(address: &str, method: &str, path: &str, body: &Value) -> Value {
    let answer = ask(address, method, path, "", body);
    assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.body);
    serde_json::from_str(&answer.body).unwrap_or(Value::Null)
}

#[test]
fn aliases_survive_kill_9_and_their_collections() {
    let mut server = Server::start();
    let address = server.http_address();
    good(&address, "POST", "/schema", &json!({"class": "One"}));
    good(&address, "POST", "/schema", &json!({"class": "Two"}));
    for (alias, class) in [("First", "One"), ("Moved", "One"), ("Gone", "Two"), ("Orphan", "Two")] {
        good(&address, "POST", "/aliases", &json!({"alias": alias, "class": class}));
    }
    good(&address, "PUT", "/aliases/Moved", &json!({"class": "Two"}));
    good(&address, "DELETE", "/aliases/Gone", &Value::Null);
    let expected = good(&address, "GET", "/aliases", &Value::Null);
    server.kill();
    server.start_again();
    let address = server.http_address();
    assert_eq!(good(&address, "GET", "/aliases", &Value::Null), expected);
    good(&address, "DELETE", "/schema/Two", &Value::Null);
    assert_eq!(ask(&address, "GET", "/schema/Orphan", "", &Value::Null).status, 404);
    server.kill();
    server.start_again();
    let address = server.http_address();
    assert_eq!(good(&address, "GET", "/aliases", &Value::Null), expected, "aliases stay without their collection");
    good(&address, "POST", "/schema", &json!({"class": "Two"}));
    assert_eq!(good(&address, "GET", "/schema/Orphan", &Value::Null)["class"], "Two");
}

/// An alias is the way to exchange a collection under load: no request may see anything else than one of the two.
#[test]
fn requests_beside_a_moving_alias_see_one_of_its_collections() {
    let server = Server::start();
    let address = server.http_address();
    for (class, n) in [("One", 1), ("Two", 2)] {
        good(&address, "POST", "/schema", &json!({"class": class, "properties": [{"name": "n", "dataType": ["int"]}]}));
        let id = "00000000-0000-4000-8000-000000000001";
        let object = json!({"class": class, "id": id, "properties": {"n": n}, "vector": [1, 0]});
        good(&address, "POST", "/objects", &object);
    }
    good(&address, "POST", "/aliases", &json!({"alias": "Current", "class": "One"}));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (address, done) = (&address, &done);
        let readers: Vec<_> = (0..4)
            .map(|reader| {
                scope.spawn(move || {
                    let mut seen = [false; 2];
                    while !(done.load(Ordering::Relaxed) && seen == [true, true]) {
                        let n = match reader % 3 {
                            0 => {
                                good(address, "GET", "/objects?class=Current", &Value::Null)["objects"][0]["properties"]
                                    ["n"]
                                    .clone()
                            }
                            1 => {
                                let path = "/objects/Current/00000000-0000-4000-8000-000000000001";
                                good(address, "GET", path, &Value::Null)["properties"]["n"].clone()
                            }
                            _ => {
                                let query = json!({"query": "{ Get { Current(nearVector: {vector: [1, 0]}) { n } } }"});
                                good(address, "POST", "/graphql", &query)["data"]["Get"]["Current"][0]["n"].clone()
                            }
                        };
                        match n.as_u64() {
                            Some(n @ 1..=2) => seen[n as usize - 1] = true,
                            _ => panic!("reader {reader} saw {n}"),
                        }
                    }
                })
            })
            .collect();
        for round in 0..60 {
            let class = if round % 2 == 0 { "Two" } else { "One" };
            good(address, "PUT", "/aliases/Current", &json!({"class": class}));
        }
        done.store(true, Ordering::Relaxed);
        let mut round = 0;
        // Readers end once they have seen both collections.
        while readers.iter().any(|reader| !reader.is_finished()) {
            let class = if round % 2 == 0 { "Two" } else { "One" };
            good(address, "PUT", "/aliases/Current", &json!({"class": class}));
            round += 1;
        }
    });
}

/// A batch is written to one of the collections, never to both.
#[test]
fn batches_beside_a_moving_alias_stay_whole() {
    let server = Server::start();
    let address = server.http_address();
    for class in ["One", "Two"] {
        good(&address, "POST", "/schema", &json!({"class": class}));
    }
    good(&address, "POST", "/aliases", &json!({"alias": "Current", "class": "One"}));
    let ids = (1..=2_000).map(|n| format!("00000000-0000-4000-8000-{n:012}"));
    let objects: Vec<_> = ids.map(|id| json!({"class": "Current", "id": id})).collect();
    let batch = json!({"objects": objects});
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (address, done) = (&address, &done);
        scope.spawn(move || {
            for class in ["Two", "One"].into_iter().cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                good(address, "PUT", "/aliases/Current", &json!({"class": class}));
            }
        });
        let mut seen = BTreeSet::new();
        let mut batches = 0;
        while batches < 40 || seen.len() < 2 {
            let answers = good(address, "POST", "/batch/objects", &batch);
            let written: BTreeSet<_> =
                answers.as_array().into_iter().flatten().map(|one| one["class"].as_str()).collect();
            let classes: Vec<_> = written.into_iter().flatten().collect();
            if classes.len() != 1 {
                done.store(true, Ordering::Relaxed);
                panic!("batch {batches} was written to {classes:?}");
            }
            seen.insert(classes[0].to_owned());
            batches += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn readers_may_use_aliases_and_not_change_them() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false")
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "a,r,n")
        .variable("AUTHENTICATION_APIKEY_USERS", "ada,rita,nobody")
        .variable("AUTHORIZATION_ADMINLIST_ENABLED", "true")
        .variable("AUTHORIZATION_ADMINLIST_USERS", "ada")
        .variable("AUTHORIZATION_ADMINLIST_READONLY_USERS", "rita")
        .start();
    let address = server.http_address();
    let status = |key: &str, method: &str, path: &str, body: Value| ask(&address, method, path, key, &body).status;
    assert_eq!(status("a", "POST", "/schema", json!({"class": "Book"})), 200);
    let alias = || json!({"alias": "Reading", "class": "Book"});
    assert_eq!(status("r", "POST", "/aliases", alias()), 403);
    assert_eq!(status("a", "POST", "/aliases", alias()), 200);
    assert_eq!(status("r", "PUT", "/aliases/Reading", json!({"class": "Book"})), 403);
    assert_eq!(status("r", "DELETE", "/aliases/Reading", Value::Null), 403);
    assert_eq!(status("n", "GET", "/aliases/Reading", Value::Null), 403);
    assert_eq!(ask(&address, "GET", "/aliases", "n", &Value::Null).body, r#"{"aliases":[]}"#);
    assert_eq!(status("r", "GET", "/aliases/Reading", Value::Null), 200);
    assert_eq!(status("r", "GET", "/objects?class=Reading", Value::Null), 200);
    assert_eq!(status("n", "GET", "/objects?class=Reading", Value::Null), 403);
    assert_eq!(status("r", "POST", "/objects", json!({"class": "Reading"})), 403);
    // The refusal names the collection, not its alias.
    let refusal = ask(&address, "POST", "/objects", "r", &json!({"class": "Reading"})).body;
    assert!(refusal.contains("collections/Book/"), "{refusal}");
}
