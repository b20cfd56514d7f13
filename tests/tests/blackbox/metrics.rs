//! Prometheus metrics: on the REST port and on a port of their own, well-formed, moving, and with bounded labels.

use azimuth_client::{CollectionConfig, Object, Query, VectorIndex};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::{Server, free_port};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Samples by name with labels, after a check of everything that the text format demands.
fn parse(answer: &Answer) -> BTreeMap<String, f64> {
    assert_eq!(answer.status, 200);
    let media_type = answer.header("content-type").unwrap_or_default();
    assert!(media_type.starts_with("text/plain; version=0.0.4"), "Prometheus 3 refuses a scrape as {media_type:?}");
    assert!(answer.body.ends_with('\n'), "the last line ends");
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in answer.body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').expect("HELP or TYPE");
            let (name, text) = rest.split_once(' ').expect("a name and a text");
            match kind {
                "HELP" => assert!(!text.is_empty(), "{line}"),
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram"].contains(&text), "{line}");
                    assert_eq!(types.insert(name.to_owned(), text.to_owned()), None, "{name} has one type");
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let name = sample.split('{').next().expect("a name");
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        assert!(name.chars().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.filter(|family| types.get(*family).is_some_and(|kind| kind == "histogram"));
        let kind = types.get(family.unwrap_or(name)).unwrap_or_else(|| panic!("no TYPE before {line}"));
        assert!(kind != "counter" || name.ends_with("_total"), "a counter is called _total: {line}");
        assert_eq!(samples.insert(sample.to_owned(), value), None, "{sample} is there once");
    }
    samples
}

fn scrape(address: &str) -> BTreeMap<String, f64> {
    parse(&raw_http::get(address, "/metrics").expect("an answer"))
}

/// Sum of the samples that start with `name` and hold every part.
fn sum(samples: &BTreeMap<String, f64>, name: &str, parts: &[&str]) -> f64 {
    let fits = |sample: &&String| sample.starts_with(name) && parts.iter().all(|part| sample.contains(part));
    samples.keys().filter(fits).map(|sample| samples[sample]).sum()
}

#[test]
fn metrics_are_well_formed_and_move() {
    let port = free_port();
    let server = Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "secret")
        .variable("AUTHENTICATION_APIKEY_USERS", "admin")
        .variable("PROMETHEUS_MONITORING_ENABLED", "true")
        .variable("PROMETHEUS_MONITORING_PORT", &port.to_string())
        .start();
    let own_port = format!("127.0.0.1:{port}");
    let before = scrape(&own_port);
    assert_eq!(before["azimuth_ready"], 1.0);
    assert!(before["process_resident_memory_bytes"] > 1e6 && before["process_open_fds"] > 3.0);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client_builder().api_key("secret").build().expect("a client");
        let config = CollectionConfig::new("Thing").unnamed_vector(VectorIndex::hnsw());
        client.create_collection(&config).await.expect("a collection");
        let things = client.collection("Thing").expect("a good name");
        let objects: Vec<Object> =
            (1..=100_u128).map(|n| Object::with_id(Uuid::from_u128(n)).vector([n as f32, 1.0])).collect();
        things.insert_many(&objects, Default::default()).await.expect("a batch");
        things.search(Query::near_vector([1.0, 0.0]).limit(1)).await.expect("a search");
        client.collection("Nothing").expect("a good name").search(Query::list().limit(1)).await.expect_err("a refusal");
    });
    assert_eq!(raw_http::get(&server.http_address(), "/v1/meta").expect("an answer").status, 401);
    for address in [own_port.clone(), server.http_address()] {
        let after = scrape(&address);
        assert!(sum(&after, "azimuth_requests_total", &["wire=\"grpc\"", "status=\"OK\""]) >= 2.0, "{after:?}");
        assert!(sum(&after, "azimuth_requests_total", &["wire=\"grpc\"", "status=\"UNKNOWN\""]) >= 1.0, "{after:?}");
        assert!(sum(&after, "azimuth_requests_total", &["wire=\"rest\"", "method=\"POST\"", "status=\"200\""]) >= 1.0);
        assert!(sum(&after, "azimuth_requests_total", &["wire=\"rest\"", "status=\"401\""]) >= 1.0, "{after:?}");
        assert!(sum(&after, "azimuth_request_seconds_count", &["wire=\"grpc\""]) >= 3.0, "{after:?}");
        let of_group = |name: &str| after[&format!("{name}{{group=\"1\"}}")];
        assert_eq!((of_group("azimuth_collections"), of_group("azimuth_objects")), (1.0, 100.0));
        for (name, value) in before.iter().filter(|(name, _)| name.ends_with("_total")) {
            assert!(after[name] >= *value, "the counter {name} went back");
        }
        let applied = "azimuth_commands_applied_total{group=\"1\"}";
        assert!(after[applied] > before[applied]);
        replicas_are_visible(&before, &after);
    }
    let other = raw_http::get(&own_port, "/v1/meta").expect("an answer");
    assert_eq!(other.status, 404, "the port of metrics serves nothing else");
}

/// Checks that this node leads each group, and that writes since `before` are counted.
fn replicas_are_visible(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) {
    for group in [0, 1] {
        let of =
            |samples: &BTreeMap<String, f64>, name: &str| samples[&format!("azimuth_raft_{name}{{group=\"{group}\"}}")];
        let grown = |name: &str| of(after, name) - of(before, name);
        assert_eq!((of(after, "leader"), of(after, "feature_level")), (1.0, 2.0));
        assert!(of(after, "term") >= 1.0 && grown("last_log_index") >= 1.0);
        assert_eq!(of(after, "applied_index"), of(after, "last_log_index"), "every write was answered");
        assert!(of(after, "durable_index") <= of(after, "applied_index"));
        assert!(of(after, "purged_index") <= of(after, "durable_index"));
        assert!(grown("apply_seconds_count") >= 1.0 && grown("entry_seconds_count") >= 1.0);
        assert_eq!((of(after, "proposal_queue_bytes"), of(after, "proposals_overloaded_total")), (0.0, 0.0));
        assert!(of(after, "proposal_queue_bytes_max") > 0.0);
    }
    assert!(after["azimuth_raft_log_fsync_seconds_count"] > before["azimuth_raft_log_fsync_seconds_count"]);
    assert!(after["azimuth_raft_log_bytes"] > 0.0);
}

/// Name, type and labels of each metric, of a new server with a request over each wire.
#[test]
fn the_documentation_lists_all_metrics() {
    let documented = include_str!("../../../docs/metrics.md");
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<[String; 3]> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            [cells[0].to_owned(), cells[1].to_owned(), cells[2].replace('`', "")]
        })
        .collect();
    let server = Server::start();
    assert_eq!(raw_http::get(&server.http_address(), "/v1/meta").expect("an answer").status, 200);
    let answer = raw_http::get(&server.http_address(), "/metrics").expect("an answer");
    let samples = parse(&answer);
    let types = answer.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served = types.map(|(name, kind)| {
        let mut labels = BTreeSet::new();
        for sample in samples.keys() {
            let Some((of, pairs)) = sample.split_once('{') else { continue };
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| of.strip_suffix(end));
            if of == name || (kind == "histogram" && base == Some(name)) {
                let names = pairs.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, _)| label);
                labels.extend(names.filter(|label| *label != "le").map(str::to_owned));
            }
        }
        [name.to_owned(), kind.to_owned(), labels.into_iter().collect::<Vec<_>>().join(", ")]
    });
    let served: BTreeSet<_> = served.collect();
    assert!(documented.len() > 50 && documented == served, "{:#?}", documented.symmetric_difference(&served));
}

#[test]
fn labels_do_not_grow_with_what_clients_send() {
    let server = Server::start();
    let visit = |round: usize| {
        for number in 0..40 {
            let mark = format!("X{round}x{number}");
            let paths = [format!("/v1/objects/{mark}/{}", Uuid::from_u128(number)), format!("/{mark}.Service/{mark}")];
            for path in &paths {
                for media_type in ["application/json", "application/grpc", "application/grpc-web+proto"] {
                    let headers = [("Content-Type", media_type), ("X-Request-Id", &mark), ("User-Agent", &mark)];
                    // Whatever is answered, it is counted.
                    let _ = raw_http::request(&server.http_address(), &mark, path, &headers, b"");
                }
            }
        }
        let samples = scrape(&server.http_address());
        samples.into_keys().collect::<BTreeSet<_>>()
    };
    let first = visit(0);
    let second = visit(1);
    assert_eq!(first, second, "other requests, other samples");
    assert!(!first.iter().any(|sample| sample.contains("X0x")), "{first:?}");
    // Six histograms of 17 samples in each of two groups.
    assert!(first.len() < 400, "{} samples", first.len());
}

#[test]
fn without_monitoring_the_port_stays_closed() {
    let port = free_port();
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("PROMETHEUS_MONITORING_PORT", &port.to_string())
        .start();
    assert!(raw_http::get(&format!("127.0.0.1:{port}"), "/metrics").is_err());
    assert_eq!(scrape(&server.http_address())["azimuth_ready"], 1.0);
}
