//! Aggregates against a naive model over random schemas and data: over one shard and eight, GraphQL and gRPC alike.

use std::collections::BTreeMap;

use azimuth_client::proto::weaviate::v1 as pb;
use azimuth_tests::notice;
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use pb::aggregate_reply::aggregations::aggregation::Aggregation as Shown;
use pb::aggregate_reply::group::grouped_by::Value as GroupValue;
use pb::aggregate_request::aggregation::{self as asked, Aggregation as Asked};
use pb::weaviate_client::WeaviateClient;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use tonic::transport::{Channel, Endpoint};

/// Most frequent values that are asked for.
const TOP: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Int,
    Number,
    Text,
    Bool,
    Date,
}

#[derive(Debug, Clone)]
struct Property {
    name: String,
    kind: Kind,
    list: bool,
}

/// One value; a date has seconds and the minutes of its offset.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Int(i64),
    Number(f64),
    Text(String),
    Bool(bool),
    Date(i64, i64),
}

/// The values of each property; none for one that is absent.
type Object = Vec<Vec<Item>>;

/// A date as RFC 3339; halves of seconds are medians.
fn date(seconds: f64, offset_minutes: i64) -> String {
    let local = seconds.floor() as i64 + offset_minutes * 60;
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    // Days of the civil calendar, counted by years.
    let (mut year, mut left) = (1970, days);
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = |year| if leap(year) { 366 } else { 365 };
    while left < 0 {
        year -= 1;
        left += length(year);
    }
    while left >= length(year) {
        left -= length(year);
        year += 1;
    }
    let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    let fraction = if seconds.fract() == 0.0 { "" } else { ".5" };
    let zone = match offset_minutes {
        0 => "Z".to_owned(),
        minutes => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}", month + 1, left + 1)
}

impl Kind {
    fn random(self, rng: &mut ChaCha8Rng) -> Item {
        match self {
            Self::Int => Item::Int(*[-7, 0, 1, 2, 3, 1_000].choose(rng).expect("a number")),
            Self::Number => Item::Number(*[-1.25, 0.0, 0.5, 2.0, 100.0].choose(rng).expect("a number")),
            Self::Text => {
                let text = *["", "Red", "red", "blue ink", "Ä", "long"].choose(rng).expect("a text");
                // Columns do not hold long values.
                Item::Text(if text == "long" { "x".repeat(400) } else { text.to_owned() })
            }
            Self::Bool => Item::Bool(rng.random_bool(0.6)),
            Self::Date => {
                let seconds = *[-14_000_000, 0, 1_600_000_000, 1_700_000_001].choose(rng).expect("a date");
                Item::Date(seconds, *[0, 0, 120, -330].choose(rng).expect("an offset"))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Number => "number",
            Self::Text => "text",
            Self::Bool => "boolean",
            Self::Date => "date",
        }
    }
}

impl Item {
    fn json(&self) -> Value {
        match self {
            Self::Int(value) => json!(value),
            Self::Number(value) => json!(value),
            Self::Text(text) => json!(text),
            Self::Bool(value) => json!(value),
            Self::Date(seconds, offset) => json!(date(*seconds as f64, *offset)),
        }
    }

    /// The value as a group shows it.
    fn text(&self) -> String {
        match self.json() {
            Value::String(text) => text,
            other => other.as_f64().map_or_else(|| other.to_string(), |number| number.to_string()),
        }
    }
}

/// How often each value occurs, by an order of its own.
fn frequencies<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<(K, usize)> {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts.into_iter().collect()
}

fn mode<K: Clone>(frequencies: &[(K, usize)]) -> Option<K> {
    let most = frequencies.iter().map(|(_, count)| count).max()?;
    frequencies.iter().find(|(_, count)| count == most).map(|(key, _)| key.clone())
}

/// The figures of values, under the names of GraphQL. `utc`: dates are shown without their offset.
fn figures(kind: Kind, items: &[Item], utc: bool) -> Value {
    let count = items.len();
    let nothing = |names: &[&str]| {
        let mut all: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        all.insert("count".to_owned(), json!(0));
        Value::Object(all)
    };
    match kind {
        Kind::Int | Kind::Number => {
            if items.is_empty() {
                return nothing(&["sum", "mean", "median", "mode", "minimum", "maximum"]);
            }
            let mut numbers: Vec<f64> = items
                .iter()
                .map(|item| match item {
                    Item::Int(value) => *value as f64,
                    Item::Number(value) => *value,
                    other => panic!("{other:?}"),
                })
                .collect();
            numbers.sort_by(f64::total_cmp);
            let sum: f64 = numbers.iter().sum();
            // Whole quarters, so that they can be ordered.
            let mode = mode(&frequencies(numbers.iter().map(|number| (number * 4.0) as i64)));
            json!({
                "count": count, "sum": sum, "mean": sum / count as f64,
                "median": (numbers[(count - 1) / 2] + numbers[count / 2]) / 2.0,
                "mode": mode.map(|mode| mode as f64 / 4.0), "minimum": numbers[0], "maximum": numbers[count - 1],
            })
        }
        Kind::Text => {
            let texts = items.iter().map(|item| if let Item::Text(text) = item { text.as_str() } else { "" });
            let mut frequent = frequencies(texts);
            frequent.sort_by(|(a, n), (b, m)| m.cmp(n).then(a.cmp(b)));
            frequent.truncate(TOP);
            json!({"count": count, "topOccurrences": frequent})
        }
        Kind::Bool => {
            let trues = items.iter().filter(|item| **item == Item::Bool(true)).count();
            let part = |of: usize| if count == 0 { Value::Null } else { json!(of as f64 / count as f64) };
            json!({
                "count": count, "totalTrue": trues, "totalFalse": count - trues,
                "percentageTrue": part(trues), "percentageFalse": part(count - trues),
            })
        }
        Kind::Date => {
            if items.is_empty() {
                return nothing(&["median", "mode", "minimum", "maximum"]);
            }
            let mut dates: Vec<(i64, i64)> = items
                .iter()
                .map(|item| match item {
                    Item::Date(seconds, offset) => (*seconds, if utc { 0 } else { *offset }),
                    other => panic!("{other:?}"),
                })
                .collect();
            dates.sort_unstable();
            let show = |(seconds, offset): (i64, i64)| date(seconds as f64, offset);
            let (low, high) = (dates[(count - 1) / 2], dates[count / 2]);
            let median = if low == high { show(low) } else { date((low.0 + high.0) as f64 / 2.0, 0) };
            json!({
                "count": count, "median": median, "mode": mode(&frequencies(dates.iter().copied())).map(show),
                "minimum": show(dates[0]), "maximum": show(dates[count - 1]),
            })
        }
    }
}

/// Groups by their value: the number of objects, and the figures of each property.
type Groups = BTreeMap<String, Value>;

fn expected(properties: &[Property], objects: &[&Object], by: Option<usize>, whole: bool) -> Groups {
    let mut groups: BTreeMap<String, Vec<&Object>> = BTreeMap::new();
    match by {
        None => _ = groups.insert(String::new(), objects.to_vec()),
        Some(by) => {
            for object in objects {
                let mut values: Vec<String> = object[by].iter().map(Item::text).collect();
                values.sort();
                values.dedup();
                values.into_iter().for_each(|value| groups.entry(value).or_default().push(object));
            }
        }
    }
    let group = |objects: &Vec<&Object>| {
        let mut shown = Map::new();
        shown.insert("objects".to_owned(), json!(objects.len()));
        for (n, property) in properties.iter().enumerate() {
            let items: Vec<Item> = objects.iter().flat_map(|object| object[n].clone()).collect();
            shown.insert(property.name.clone(), figures(property.kind, &items, whole && !property.list));
        }
        Value::Object(shown)
    };
    groups.iter().map(|(value, objects)| (value.clone(), group(objects))).collect()
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("a number"), b.as_f64().expect("a number"));
            (a - b).abs() <= 1e-9 * a.abs().max(1.0)
        }
        (a, b) => a == b,
    }
}

/// A random collection in both forms, and its model.
struct World {
    server: Server,
    grpc: WeaviateClient<Channel>,
    runtime: tokio::runtime::Runtime,
    properties: Vec<Property>,
    objects: Vec<Object>,
}

impl World {
    fn new(rng: &mut ChaCha8Rng) -> Self {
        let server = Server::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", server.grpc_port())).expect("an address");
        let grpc = WeaviateClient::new(runtime.block_on(async { endpoint.connect_lazy() }));
        let kinds = [Kind::Int, Kind::Number, Kind::Text, Kind::Bool, Kind::Date];
        let property = |n: usize, rng: &mut ChaCha8Rng| Property {
            name: format!("p{n}"),
            kind: *kinds.choose(rng).expect("a kind"),
            list: rng.random_bool(0.4),
        };
        let properties: Vec<Property> = (0..rng.random_range(3..8)).map(|n| property(n, rng)).collect();
        let mut world = Self { server, grpc, runtime, properties, objects: Vec::new() };
        for (class, shards) in [("One", 1), ("Eight", 8)] {
            let typed = |property: &Property| {
                let of = format!("{}{}", property.kind.name(), if property.list { "[]" } else { "" });
                json!({"name": property.name, "dataType": [of]})
            };
            let mut all: Vec<Value> = world.properties.iter().map(typed).collect();
            all.push(json!({"name": "k", "dataType": ["int"]}));
            let config = json!({
                "class": class, "vectorizer": "none", "properties": all, "shardingConfig": {"desiredCount": shards},
            });
            world.rest("POST", "/schema", &config);
        }
        // Few objects of a chunk are read by their rows, many by columns.
        let count = *[0, 3, 40, 300, 500].choose(rng).expect("a count");
        world.write((0..count).collect(), rng);
        let again = (0..count).filter(|_| rng.random_bool(0.2)).collect();
        world.write(again, rng);
        world
    }

    fn rest(&self, method: &str, path: &str, body: &Value) -> Value {
        let json = [("Content-Type", "application/json")];
        let body = body.to_string();
        let path = format!("/v1{path}");
        let answer = raw_http::request(&self.server.http_address(), method, &path, &json, body.as_bytes());
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    /// Writes objects anew, to both collections.
    fn write(&mut self, numbers: Vec<usize>, rng: &mut ChaCha8Rng) {
        let mut bodies = Vec::new();
        for n in numbers {
            let values = |property: &Property| -> Vec<Item> {
                if rng.random_bool(0.2) {
                    return Vec::new();
                }
                let count = if property.list { rng.random_range(0..4) } else { 1 };
                (0..count).map(|_| property.kind.random(rng)).collect()
            };
            let object: Object = self.properties.iter().map(values).collect();
            let mut shown = Map::from_iter([("k".to_owned(), json!(n % 10))]);
            for (property, items) in self.properties.iter().zip(&object).filter(|(_, items)| !items.is_empty()) {
                let items: Vec<Value> = items.iter().map(Item::json).collect();
                shown.insert(property.name.clone(), if property.list { Value::Array(items) } else { items[0].clone() });
            }
            bodies.push((n, shown));
            if n < self.objects.len() {
                self.objects[n] = object;
            } else {
                self.objects.push(object);
            }
        }
        for class in ["One", "Eight"] {
            for bodies in bodies.chunks(100) {
                let object = |(n, properties): &(usize, Map<String, Value>)| json!({"class": class, "id": format!("00000000-0000-4000-8000-{n:012}"), "properties": properties});
                let objects: Vec<Value> = bodies.iter().map(object).collect();
                let answer = self.rest("POST", "/batch/objects", &json!({ "objects": objects }));
                assert!(!answer.to_string().contains("FAILED"), "{answer}");
            }
        }
    }

    fn graphql(&self, class: &str, below: Option<i64>, by: Option<&str>) -> Groups {
        let figures = |property: &Property| {
            let figures = match property.kind {
                Kind::Int | Kind::Number => "count sum mean median mode minimum maximum".to_owned(),
                Kind::Text => format!("count topOccurrences(limit: {TOP}) {{ value occurs }}"),
                Kind::Bool => "count totalTrue totalFalse percentageTrue percentageFalse".to_owned(),
                Kind::Date => "count median mode minimum maximum".to_owned(),
            };
            format!("{} {{ {figures} }}", property.name)
        };
        let figures: Vec<String> = self.properties.iter().map(figures).collect();
        let mut arguments = Vec::new();
        arguments.extend(below.map(|k| format!("where: {{path: [\"k\"], operator: LessThan, valueInt: {k}}}")));
        arguments.extend(by.map(|by| format!("groupBy: [\"{by}\"]")));
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let query = format!(
            "{{ Aggregate {{ {class}{arguments} {{ meta {{ count }} groupedBy {{ value }} {} }} }} }}",
            figures.join(" ")
        );
        let answer = self.rest("POST", "/graphql", &json!({ "query": query }));
        let groups = answer["data"]["Aggregate"][class].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
        let group = |group: &Value| {
            let mut shown = Map::from_iter([("objects".to_owned(), group["meta"]["count"].clone())]);
            for property in &self.properties {
                let mut figures = group[&property.name].clone();
                if let Some(top) = figures.get_mut("topOccurrences") {
                    let pair = |of: &Value| json!([of["value"], of["occurs"]]);
                    *top = top.as_array().expect("a list").iter().map(pair).collect();
                }
                shown.insert(property.name.clone(), figures);
            }
            (group["groupedBy"]["value"].as_str().unwrap_or_default().to_owned(), Value::Object(shown))
        };
        groups.iter().map(group).collect()
    }

    fn grpc(&self, class: &str, below: Option<i64>, by: Option<&str>) -> Groups {
        let given = |property: &Property| {
            let aggregation = match property.kind {
                Kind::Int => Asked::Int(asked::Integer {
                    count: true,
                    sum: true,
                    mean: true,
                    mode: true,
                    median: true,
                    maximum: true,
                    minimum: true,
                    r#type: false,
                }),
                Kind::Number => Asked::Number(asked::Number {
                    count: true,
                    sum: true,
                    mean: true,
                    mode: true,
                    median: true,
                    maximum: true,
                    minimum: true,
                    r#type: false,
                }),
                Kind::Text => Asked::Text(asked::Text {
                    count: true,
                    top_occurences: true,
                    top_occurences_limit: Some(TOP as u32),
                    r#type: false,
                }),
                Kind::Bool => Asked::Boolean(asked::Boolean { count: true, ..Default::default() }),
                Kind::Date => Asked::Date(asked::Date {
                    count: true,
                    median: true,
                    mode: true,
                    maximum: true,
                    minimum: true,
                    r#type: false,
                }),
            };
            pb::aggregate_request::Aggregation { property: property.name.clone(), aggregation: Some(aggregation) }
        };
        let filters = below.map(|k| pb::Filters {
            operator: pb::filters::Operator::LessThan.into(),
            target: Some(pb::FilterTarget { target: Some(pb::filter_target::Target::Property("k".to_owned())) }),
            test_value: Some(pb::filters::TestValue::ValueInt(k)),
            ..Default::default()
        });
        let request = pb::AggregateRequest {
            collection: class.to_owned(),
            objects_count: true,
            aggregations: self.properties.iter().map(given).collect(),
            group_by: by
                .map(|by| pb::aggregate_request::GroupBy { collection: String::new(), property: by.to_owned() }),
            filters,
            ..Default::default()
        };
        let mut grpc = self.grpc.clone();
        let reply = self.runtime.block_on(async move { grpc.aggregate(request).await }).expect("a reply").into_inner();
        match reply.result {
            None => Groups::new(),
            Some(pb::aggregate_reply::Result::SingleResult(single)) => {
                let group = shown_group(single.objects_count, single.aggregations);
                Groups::from([(String::new(), group)])
            }
            Some(pb::aggregate_reply::Result::GroupedResults(grouped)) => {
                let group = |group: pb::aggregate_reply::Group| {
                    let value = match group.grouped_by.and_then(|by| by.value) {
                        Some(GroupValue::Text(text)) => text,
                        Some(GroupValue::Number(number)) => number.to_string(),
                        Some(GroupValue::Boolean(value)) => value.to_string(),
                        other => panic!("{other:?}"),
                    };
                    (value, shown_group(group.objects_count, group.aggregations))
                };
                grouped.groups.into_iter().map(group).collect()
            }
        }
    }
}

/// A group of gRPC under the names of GraphQL.
fn shown_group(count: Option<i64>, aggregations: Option<pb::aggregate_reply::Aggregations>) -> Value {
    let mut shown = Map::from_iter([("objects".to_owned(), json!(count))]);
    for one in aggregations.into_iter().flat_map(|all| all.aggregations) {
        let part = |part: Option<f64>| part.filter(|part| part.is_finite());
        let figures = match one.aggregation.expect("figures") {
            Shown::Int(of) => json!({
                "count": of.count, "sum": of.sum, "mean": of.mean, "median": of.median, "mode": of.mode,
                "minimum": of.minimum, "maximum": of.maximum,
            }),
            Shown::Number(of) => json!({
                "count": of.count, "sum": of.sum, "mean": of.mean, "median": of.median, "mode": of.mode,
                "minimum": of.minimum, "maximum": of.maximum,
            }),
            Shown::Text(of) => {
                let top: Vec<Value> = (of.top_occurences.into_iter().flat_map(|top| top.items))
                    .map(|item| json!([item.value, item.occurs]))
                    .collect();
                json!({"count": of.count, "topOccurrences": top})
            }
            Shown::Boolean(of) => json!({
                "count": of.count, "totalTrue": of.total_true, "totalFalse": of.total_false,
                "percentageTrue": part(of.percentage_true), "percentageFalse": part(of.percentage_false),
            }),
            Shown::Date(of) => json!({
                "count": of.count, "median": of.median, "mode": of.mode, "minimum": of.minimum,
                "maximum": of.maximum,
            }),
            Shown::Reference(of) => panic!("{of:?}"),
        };
        shown.insert(one.property, figures);
    }
    Value::Object(shown)
}

fn check(what: &str, got: &Groups, want: &Groups) {
    let keys = |groups: &Groups| groups.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(got), keys(want), "{what}");
    for (value, want) in want {
        assert!(same(&got[value], want), "{what}, group {value:?}: got {}, want {want}", got[value]);
    }
}

#[test]
fn aggregates_agree_with_a_model() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("AZIMUTH_SEED").unwrap_or(20_261_130);
    let seconds = number("AZIMUTH_FUZZ_SECONDS").unwrap_or(10);
    notice(&format!("aggregates: seed {seed} (AZIMUTH_SEED), {seconds} s (AZIMUTH_FUZZ_SECONDS)"));
    let since = std::time::Instant::now();
    for seed in seed.. {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let world = World::new(&mut rng);
        for _ in 0..6 {
            let below = rng.random_bool(0.5).then(|| rng.random_range(0..12));
            let by = rng.random_bool(0.5).then(|| rng.random_range(0..world.properties.len()));
            let chosen: Vec<&Object> = (world.objects.iter().enumerate())
                .filter(|(n, _)| below.is_none_or(|below| ((n % 10) as i64) < below))
                .map(|(_, object)| object)
                .collect();
            let want = expected(&world.properties, &chosen, by, below.is_none() && by.is_none());
            let by = by.map(|by| world.properties[by].name.as_str());
            for class in ["One", "Eight"] {
                let what = format!("seed {seed}, {class}, k < {below:?}, by {by:?}, {:?}", world.properties);
                check(&format!("GraphQL: {what}"), &world.graphql(class, below, by), &want);
                check(&format!("gRPC: {what}"), &world.grpc(class, below, by), &want);
            }
        }
        if since.elapsed().as_secs() >= seconds {
            break;
        }
    }
}
