//! GraphQL: fields that are asked for several times are one field, at every depth.

use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use serde_json::{Value, json};

const ID: &str = "00000000-0000-4000-8000-000000000001";

fn post(server: &Server, path: &str, body: &Value) -> Value {
    let answer = raw_http::post(&server.http_address(), path, &body.to_string()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    if answer.body.is_empty() { Value::Null } else { serde_json::from_str(&answer.body).expect("JSON") }
}

fn start() -> Server {
    let server = Server::start();
    let inner = json!([{"name": "x", "dataType": ["int"]}, {"name": "y", "dataType": ["int"]}]);
    let object = json!([
        {"name": "a", "dataType": ["text"]},
        {"name": "i", "dataType": ["object"], "nestedProperties": inner},
        {"name": "l", "dataType": ["object[]"], "nestedProperties": inner},
    ]);
    post(&server, "/v1/schema", &json!({"class": "Other", "properties": [{"name": "n", "dataType": ["text"]}]}));
    let properties = json!([
        {"name": "n", "dataType": ["int"]},
        {"name": "t", "dataType": ["text"]},
        {"name": "o", "dataType": ["object"], "nestedProperties": object},
    ]);
    post(&server, "/v1/schema", &json!({"class": "F", "properties": properties}));
    post(&server, "/v1/schema/F/properties", &json!({"name": "r", "dataType": ["F"]}));
    post(&server, "/v1/schema/F/properties", &json!({"name": "m", "dataType": ["F", "Other"]}));
    let object = json!({"a": "A", "i": {"x": 1, "y": 2}, "l": [{"x": 3, "y": 4}, {"x": 5}]});
    let object = json!({"class": "F", "id": ID, "vector": [1, 0], "properties": {"n": 1, "t": "t1", "o": object}});
    post(&server, "/v1/objects", &object);
    for property in ["r", "m"] {
        let beacon = json!({"beacon": format!("weaviate://localhost/F/{ID}")});
        post(&server, &format!("/v1/objects/F/{ID}/references/{property}"), &beacon);
    }
    server
}

#[test]
fn fields_asked_for_twice_are_merged_at_every_depth() {
    let server = start();
    let check = |query: &str, want: Value| {
        let answer = post(&server, "/v1/graphql", &json!({ "query": query }));
        assert_eq!(answer["data"]["Get"]["F"], json!([want]), "{query}: {answer}");
    };
    let both = json!({"o": {"i": {"x": 1, "y": 2}}});
    check("fragment A on F{o{i{x}}} fragment B on F{o{i{y}}} {Get{F{...A ...B}}}", both.clone());
    check("fragment A on F{...B o{i{x}}} fragment B on F{o{i{y}}} {Get{F{...A}}}", both.clone());
    check("{Get{F{o{i{x}} o{i{y}}}}}", both.clone());
    check("{Get{F{... on F{o{i{x}}} ...{o{i{y}}}}}}", both.clone());
    check("{Get{F{o{i{x}}}} Get{F{o{i{y}}}}}", both.clone());
    check("{...R Get{F{o{i{x}}}}} fragment R on WeaviateObj{Get{...G}} fragment G on GetObjectsObj{F{o{i{y}}}}", both);
    check("{Get{F{o{i{x}} o{a i{y}}}}}", json!({"o": {"a": "A", "i": {"x": 1, "y": 2}}}));
    check("{Get{F{o{l{x}} o{l{y}}}}}", json!({"o": {"l": [{"x": 3, "y": 4}, {"x": 5, "y": null}]}}));
    check("{Get{F{b:o{i{x}} b:o{i{z:y}} o{a}}}}", json!({"b": {"i": {"x": 1, "z": 2}}, "o": {"a": "A"}}));
    check(
        "{Get{F{r{...on F{o{i{x}}}} r{...on F{o{i{y}} r{...on F{n}}}} r{...on F{r{...on F{t}}}}}}}",
        json!({"r": [{"o": {"i": {"x": 1, "y": 2}}, "r": [{"n": 1, "t": "t1"}]}]}),
    );
    check(
        "{Get{F{m{...on F{n} ...on Other{__typename}} m{...on F{t o{a}} __typename}}}}",
        json!({"m": [{"n": 1, "t": "t1", "o": {"a": "A"}, "__typename": "F"}]}),
    );
    check(
        "{Get{F{_additional{id} ...on F{_additional{creationTimeUnix @skip(if: true) id}} _additional{i:id}}}}",
        json!({"_additional": {"id": ID, "i": ID}}),
    );
    let grouped = "nearVector:{vector:[1,0]} groupBy:{path:[\"n\"],groups:1,objectsPerGroup:1}";
    check(
        &format!(
            "{{Get{{F({grouped}){{_additional{{group{{hits{{n _additional{{id}}}}}}}} ...on F{{_additional{{group{{count \
             hits{{t o{{i{{y}}}} _additional{{distance}}}} hits{{o{{i{{x}}}}}}}}}}}}}}}}}}"
        ),
        json!({"_additional": {"group": {"count": 1, "hits": [
            {"n": 1, "t": "t1", "o": null, "_additional": {"id": ID, "distance": 0.0}},
        ]}}}),
    );
    let answer =
        post(&server, "/v1/graphql", &json!({"query": "{Aggregate{F{meta{count}}} Aggregate{F{meta{c:count}}}}"}));
    assert_eq!(answer["data"]["Aggregate"]["F"], json!([{"meta": {"count": 1, "c": 1}}]), "{answer}");
}

#[test]
fn fields_that_cannot_be_one_are_told() {
    let server = start();
    let check = |query: &str, want: &[&str]| {
        let answer = post(&server, "/v1/graphql", &json!({ "query": query }));
        let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice).iter();
        let texts: Vec<&str> = errors.map(|error| error["message"].as_str().expect("a text")).collect();
        let end = ". Use different aliases on the fields to fetch both if this was intentional.";
        let want: Vec<String> = want.iter().map(|text| format!("{text}{end}")).collect();
        assert_eq!(texts, want, "{query}: {answer}");
    };
    check("{Get{F(limit:1){n} F(limit:2){n}}}", &["Fields \"F\" conflict because they have differing arguments"]);
    check("{Get{F{x:n x:t}}}", &["Fields \"x\" conflict because n and t are different fields"]);
    check(
        "fragment A on F{o{i{x}}} fragment B on F{o{i{x:y}}} {Get{F{...A ...B}}}",
        &[
            "Fields \"o\" conflict because subfields \"i\" conflict because subfields \"x\" conflict because x and y are \
           different fields",
        ],
    );
    check("{Get{F{...A x:t}}} fragment A on F{x:n}", &["Fields \"x\" conflict because n and t are different fields"]);
    check(
        "{Get{F{m{...on F{n} ...on Other{n}}}}}",
        &["Fields \"n\" conflict because they return conflicting types Int and String"],
    );
    check("{Get{F{m{...on F{x:t} ...on Other{x:n}}}}}", &[]);
    check(
        "{Get{F(limit:1 where:{path:[\"n\"] operator:Equal valueInt:1}){n} F(where:{path:[\"n\"] operator:Equal valueInt:1} limit:1){t}}}",
        &[],
    );
}

#[test]
fn documents_of_many_fragments_cost_little() {
    let server = start();
    let ask = |query: &str| post(&server, "/v1/graphql", &json!({ "query": query })).to_string();
    // Each level puts the next one in twice, in one place and in two.
    for (twice, end) in [("r{...N} ...N r{...N}", "\"n\":1"), ("a:r{...N} b:r{...N}", "more than")] {
        let mut doubling = "{Get{F{...F0}}}".to_owned();
        for level in 0..60 {
            let twice = twice.replace('N', &format!("F{}", level + 1));
            doubling += &format!(" fragment F{level} on F{{{twice}}}");
        }
        let answer = ask(&format!("{doubling} fragment F60 on F{{n}}"));
        assert!(answer.contains(end), "{answer}");
    }
    // Chains of fragments, each in a field of the one before, beside it, and deep inside of it.
    for (open, close) in [("r{", "}"), ("", ""), ("r{...on F{r{...on F{r{", "}}}}}")] {
        let mut chain = "{Get{F{...F0}}}".to_owned();
        for level in 0..900 {
            chain += &format!(" fragment F{level} on F{{{open}...F{}{close}}}", level + 1);
        }
        let answer = ask(&format!("{chain} fragment F900 on F{{n}}"));
        assert!(answer.contains("nested deeper than"), "{answer}");
    }
    // Many operations that share many fragments.
    let shared: String = (0..900).map(|n| format!(" ...F{n}")).collect();
    let operations: String = (0..90).map(|n| format!("query Q{n} {{Get{{F{{{shared}}}}}}}")).collect();
    let fragments: String = (0..900).map(|n| format!(" fragment F{n} on F{{n t}}")).collect();
    assert!(ask(&format!("{operations} {fragments}")).contains("more than"));
    let answer = ask("{Get{F{...A}}} fragment A on F{r{...on F{...B}}} fragment B on F{r{...on F{...A}}}");
    assert!(answer.contains("Cannot spread fragment"), "{answer}");
    let many = "n ".repeat(9_000);
    assert!(ask(&format!("{{Get{{F{{{many}}}}}}}")).contains("\"n\":1"));
}

#[test]
fn an_emptied_list_of_references_is_told_from_targets_that_are_gone() {
    let server = start();
    let get = || {
        let answer = post(&server, "/v1/graphql", &json!({"query": "{Get{F{r{...on F{n}} m{...on Other{n}}}}}"}));
        answer["data"]["Get"]["F"][0].clone()
    };
    assert_eq!(get(), json!({"r": [{"n": 1}], "m": null}));
    let path = format!("/v1/objects/F/{ID}/references/r");
    let json = [("Content-Type", "application/json")];
    let answer = raw_http::request(&server.http_address(), "PUT", &path, &json, b"[]").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(get(), json!({"r": [], "m": null}));
}
