//! Filters on values inside of objects: every wire gives the same answer, also after a restart, over several shards and
//! behind references.

use azimuth_client::Filter;
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use serde_json::{Value, json};

const PREVIEW: &str = "WEAVIATE_PREVIEW_NESTED_FILTERING";

fn post(server: &Server, path: &str, body: &Value) -> Value {
    let answer = raw_http::post(&server.http_address(), path, &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// Tools with one maker each and a list of parts.
fn fill(server: &Server) {
    let parts = json!([{"name": "label", "dataType": ["text"]}, {"name": "count", "dataType": ["int"]}]);
    let spec = json!([{"name": "maker", "dataType": ["text"]}, {"name": "at", "dataType": ["date"]}]);
    let properties = json!([
        {"name": "spec", "dataType": ["object"], "nestedProperties": spec},
        {"name": "parts", "dataType": ["object[]"], "nestedProperties": parts},
    ]);
    let class = json!({"class": "Tool", "properties": properties, "shardingConfig": {"desiredCount": 4}});
    post(server, "/v1/schema", &class);
    let of = json!({"name": "of", "dataType": ["Tool"]});
    post(server, "/v1/schema", &json!({"class": "Box", "properties": [of]}));
    let tools: Vec<Value> = (0..20)
        .map(|n| {
            let parts = json!([{"label": "blade", "count": n % 2}, {"label": "screw", "count": n % 4}]);
            let spec = json!({"maker": if n % 5 == 0 { "Acme Works" } else { "Bolt" }, "at": "2024-05-01T00:00:00Z"});
            json!({"class": "Tool", "id": id(n), "properties": {"spec": spec, "parts": parts}})
        })
        .collect();
    post(server, "/v1/batch/objects", &json!({"objects": tools}));
    let beacon = json!([{"beacon": format!("weaviate://localhost/Tool/{}", id(5))}]);
    post(server, "/v1/objects", &json!({"class": "Box", "id": id(1), "properties": {"of": beacon}}));
}

fn leaf(path: &str, operator: &str, field: &str, value: &Value) -> Value {
    json!({"path": [path], "operator": operator, field: value})
}

/// Matches over GraphQL, by the number of their ids.
fn by_graphql(server: &Server, filter: &Value) -> Vec<u64> {
    let text = graphql(filter);
    let query = format!("{{Get{{Tool(where:{text},limit:100){{_additional{{id}}}}}}}}");
    let answer = post(server, "/v1/graphql", &json!({ "query": query }));
    let hits = answer["data"]["Get"]["Tool"].as_array().unwrap_or_else(|| panic!("{filter}: {answer}"));
    let mut found: Vec<u64> =
        hits.iter().map(|hit| hit["_additional"]["id"].as_str().unwrap()[24..].parse().unwrap()).collect();
    found.sort_unstable();
    found
}

/// The filter as a GraphQL literal.
fn graphql(filter: &Value) -> String {
    match filter {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("operator", Value::String(operator)) => format!("operator:{operator}"),
                _ => format!("{name}:{}", graphql(value)),
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(graphql).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Number of matches by a dry run of a deletion over REST.
fn by_deletion(server: &Server, filter: &Value) -> u64 {
    let body = json!({"match": {"class": "Tool", "where": filter}, "dryRun": true});
    let answer = raw_http::request(
        &server.http_address(),
        "DELETE",
        "/v1/batch/objects",
        &[("Content-Type", "application/json")],
        body.to_string().as_bytes(),
    );
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str::<Value>(&answer.body).unwrap()["results"]["matches"].as_u64().unwrap()
}

fn check(server: &Server) {
    let both = json!({"operator": "And", "operands": [
        leaf("parts.label", "Equal", "valueText", &json!("screw")),
        leaf("parts.count", "Equal", "valueInt", &json!(3)),
    ]});
    let label = |at: usize, text: &str| leaf(&format!("parts[{at}].label"), "Equal", "valueText", &json!(text));
    for (filter, wanted) in [
        (leaf("spec.maker", "Equal", "valueText", &json!("acme")), vec![0, 5, 10, 15]),
        (leaf("spec.maker", "NotEqual", "valueText", &json!("bolt")), vec![0, 5, 10, 15]),
        (leaf("spec.at", "GreaterThan", "valueDate", &json!("2025-01-01T00:00:00Z")), vec![]),
        (both.clone(), vec![3, 7, 11, 15, 19]),
        (
            json!({"operator": "And", "operands": [both, label(1, "screw"), leaf("spec.maker", "Like", "valueText", &json!("w*"))]}),
            vec![15],
        ),
        (label(0, "screw"), vec![]),
        (leaf("parts.count", "LessThan", "valueInt", &json!(0)), vec![]),
        (leaf("spec", "IsNull", "valueBoolean", &json!(true)), vec![]),
    ] {
        assert_eq!(by_graphql(server, &filter), wanted, "{filter}");
        assert_eq!(by_deletion(server, &filter), wanted.len() as u64, "{filter}");
    }
    let path = json!({"path": ["of", "Tool", "spec.maker"], "operator": "Equal", "valueText": "works"});
    let query = format!("{{Get{{Box(where:{}){{_additional{{id}}}}}}}}", graphql(&path));
    let answer = post(server, "/v1/graphql", &json!({ "query": query }));
    assert_eq!(answer["data"]["Get"]["Box"], json!([{"_additional": {"id": id(1)}}]), "{answer}");
}

#[test]
fn every_wire_filters_by_values_inside_of_objects() {
    let mut server = Server::builder().variable(PREVIEW, "true").start();
    fill(&server);
    check(&server);
    server.kill();
    server.start_again();
    check(&server);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tools = server.client().collection("Tool").unwrap();
        let screws = || Filter::property("parts.label").equal("screw");
        let filter = Filter::all([screws(), Filter::property("parts.count").equal(3_i64)]);
        assert_eq!(tools.delete_where(filter, true).await.unwrap().matches, 5);
        assert_eq!(tools.delete_where(Filter::property("spec.maker").equal("acme"), true).await.unwrap().matches, 4);
    });
}

#[test]
fn without_the_preview_such_filters_are_refused() {
    let server = Server::start();
    fill(&server);
    let filter = graphql(&leaf("spec.maker", "Equal", "valueText", &json!("acme")));
    let query = format!("{{Get{{Tool(where:{filter}){{_additional{{id}}}}}}}}");
    let answer = post(&server, "/v1/graphql", &json!({ "query": query }));
    let text = answer["errors"][0]["message"].as_str().unwrap();
    assert!(text.contains("preview feature, disabled by default"), "{answer}");
}
