//! Answers of filters, of vector searches and of `groupBy`: each test is a question that was once answered wrongly.

use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use serde_json::{Value, json};

fn id(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn call(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let answer =
        raw_http::request(&server.http_address(), method, path, &headers, body.to_string().as_bytes()).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

fn class(server: &Server, body: &Value) {
    let (status, answer) = call(server, "POST", "/v1/schema", body);
    assert_eq!(status, 200, "{answer}");
}

fn put(server: &Server, class: &str, n: u64, properties: &Value, more: &Value) {
    let mut body = json!({"class": class, "id": id(n), "properties": properties});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let (status, answer) = call(server, "POST", "/v1/objects", &body);
    assert_eq!(status, 200, "{answer}");
}

fn graphql(server: &Server, query: &str) -> Value {
    let (status, answer) = call(server, "POST", "/v1/graphql", &json!({"query": query}));
    assert_eq!(status, 200, "{query}: {answer}");
    answer
}

/// The `n` of the hits of a Get, in its order.
fn numbers(server: &Server, class: &str, arguments: &str) -> Vec<i64> {
    let answer = graphql(server, &format!("{{Get{{{class}({arguments}){{n}}}}}}"));
    let found = answer.pointer(&format!("/data/Get/{class}")).and_then(Value::as_array);
    let found = found.unwrap_or_else(|| panic!("{arguments}: {answer}"));
    found.iter().map(|object| object["n"].as_i64().unwrap()).collect()
}

/// The same for a filter, in ascending order.
fn filtered(server: &Server, class: &str, clause: &str) -> Vec<i64> {
    let mut found = numbers(server, class, &format!("where:{{{clause}}}"));
    found.sort_unstable();
    found
}

fn to(class: &str, n: u64) -> Value {
    json!({"beacon": format!("weaviate://localhost/{class}/{}", id(n))})
}

#[test]
fn filters_find_what_was_stored_before_an_index_was_taken_away() {
    let server = Server::start();
    let properties = json!([
        {"name": "n", "dataType": ["int"], "indexRangeFilters": true},
        {"name": "line", "dataType": ["text"]},
        {"name": "lines", "dataType": ["text[]"], "tokenization": "field"},
        {"name": "size", "dataType": ["number"], "indexRangeFilters": true},
    ]);
    class(&server, &json!({"class": "Plant", "vectorizer": "none", "properties": properties}));
    let write = |n: u64, line: &str| {
        call(&server, "DELETE", &format!("/v1/objects/Plant/{}", id(n)), &json!({}));
        let properties = json!({"n": n, "line": line, "lines": [line, "x"], "size": n as f64});
        put(&server, "Plant", n, &properties, &Value::Null);
    };
    write(1, "Tall fern");
    write(2, "small moss");
    let check = |names: [&str; 2]| {
        assert_eq!(filtered(&server, "Plant", r#"path:["line"],operator:Equal,valueText:"fern""#), [1, 3], "{names:?}");
        let like = r#"path:["line"],operator:Like,valueText:"f*n""#;
        assert_eq!(filtered(&server, "Plant", like), [1, 3], "{names:?}");
        assert_eq!(filtered(&server, "Plant", r#"path:["line"],operator:NotEqual,valueText:"tall fern""#), [2]);
        let any = r#"path:["lines"],operator:ContainsAny,valueText:["Tall fern"]"#;
        assert_eq!(filtered(&server, "Plant", any), [1], "{names:?}");
        assert_eq!(filtered(&server, "Plant", r#"path:["size"],operator:GreaterThan,valueNumber:1.5"#), [2, 3]);
        assert_eq!(filtered(&server, "Plant", r#"path:["n"],operator:Equal,valueInt:3"#), [3], "{names:?}");
    };
    write(3, "old fern");
    check(["", ""]);
    for (property, index) in
        [("line", "searchable"), ("lines", "searchable"), ("size", "rangeFilters"), ("n", "filterable")]
    {
        let path = format!("/v1/schema/Plant/properties/{property}/index/{index}");
        assert_eq!(call(&server, "DELETE", &path, &json!({})).0, 200);
        check([property, index]);
        // An object that is written again has entries of the new kind only, and is found once.
        write(3, "old fern");
        check([property, index]);
    }
    let property = json!({"name": "late", "dataType": ["text"]});
    assert_eq!(call(&server, "POST", "/v1/schema/Plant/properties", &property).0, 200);
    assert_eq!(filtered(&server, "Plant", r#"path:["late"],operator:NotEqual,valueText:"x""#), [1, 2, 3]);
}

#[test]
fn a_reference_is_a_class_and_an_id() {
    let server = Server::start();
    for name in ["Person", "Place"] {
        let properties = json!([{"name": "t", "dataType": ["text"]}]);
        class(&server, &json!({"class": name, "vectorizer": "none", "properties": properties}));
        put(&server, name, 1, &json!({"t": name}), &Value::Null);
    }
    let properties = json!([{"name": "n", "dataType": ["int"]}, {"name": "about", "dataType": ["Person", "Place"]}]);
    class(&server, &json!({"class": "Note", "vectorizer": "none", "properties": properties}));
    for (n, targets) in [
        (1, json!([to("Person", 1)])),
        (2, json!([to("Place", 1)])),
        (3, json!([to("Person", 1), to("Place", 1)])),
        (4, json!([])),
    ] {
        put(&server, "Note", n, &json!({"n": n, "about": targets}), &Value::Null);
    }
    let person = r#"path:["about","Person","t"],operator:Equal,valueText:"person""#;
    assert_eq!(filtered(&server, "Note", person), [1, 3]);
    assert_eq!(filtered(&server, "Note", r#"path:["about","Place","t"],operator:Equal,valueText:"place""#), [2, 3]);
    assert_eq!(filtered(&server, "Note", &format!("operator:Not,operands:[{{{person}}}]")), [2, 4]);
    let by_id = format!(r#"path:["about","Place","id"],operator:Equal,valueText:"{}""#, id(1));
    assert_eq!(filtered(&server, "Note", &by_id), [2, 3]);
    let counted = graphql(&server, &format!("{{Aggregate{{Note(where:{{{person}}}){{meta{{count}}}}}}}}"));
    assert_eq!(counted["data"]["Aggregate"]["Note"][0]["meta"]["count"], 2, "{counted}");
    let path = json!({"path": ["about", "Person", "t"], "operator": "Equal", "valueText": "person"});
    let (status, answer) =
        call(&server, "DELETE", "/v1/batch/objects", &json!({"match": {"class": "Note", "where": path}}));
    assert_eq!((status, &answer["results"]["successful"]), (200, &json!(2)), "{answer}");
    assert_eq!(filtered(&server, "Note", r#"path:["n"],operator:GreaterThan,valueInt:0"#), [2, 4]);
}

#[test]
fn combinations_apply_to_the_whole_path() {
    let server = Server::start();
    let properties = json!([{"name": "n", "dataType": ["int"]}, {"name": "s", "dataType": ["text"]}]);
    class(&server, &json!({"class": "T", "vectorizer": "none", "properties": properties}));
    let property = json!({"name": "r", "dataType": ["T"]});
    assert_eq!(call(&server, "POST", "/v1/schema/T/properties", &property).0, 200);
    for (n, line, targets) in [
        (1, "over the hills", json!([])),
        (2, "hills and lakes", json!([to("T", 1)])),
        (3, "along the river", json!([])),
        (4, "x", json!([to("T", 1), to("T", 3)])),
        (5, "y", json!([to("T", 4), to("T", 2)])),
    ] {
        put(&server, "T", n, &json!({"n": n, "s": line, "r": targets}), &Value::Null);
    }
    let check = |clause: &str, want: &[i64]| assert_eq!(filtered(&server, "T", clause), want, "{clause}");
    // The text has none of the tokens.
    check(r#"path:["s"],operator:NotEqual,valueText:"hills lakes""#, &[3, 4, 5]);
    check(r#"path:["s"],operator:NotEqual,valueText:"river""#, &[1, 2, 4, 5]);
    // Each member may be met by another target.
    check(r#"path:["r","T","n"],operator:ContainsAll,valueInt:[1,3]"#, &[4]);
    check(r#"path:["r","T","n"],operator:ContainsAny,valueInt:[1,3]"#, &[2, 4]);
    check(r#"path:["r","T","n"],operator:ContainsNone,valueInt:[1,3]"#, &[1, 3, 5]);
    check(r#"path:["r","T","n"],operator:ContainsNone,valueInt:[7]"#, &[1, 2, 3, 4, 5]);
    check(r#"path:["r","T","s"],operator:ContainsAll,valueText:["hills","river"]"#, &[4]);
    check(r#"path:["r","T","s"],operator:ContainsNone,valueText:["hills","lakes"]"#, &[1, 3]);
    check(r#"path:["r","T","r","T","n"],operator:ContainsAll,valueInt:[1,3]"#, &[5]);
    check(r#"path:["r","T","r","T","n"],operator:ContainsNone,valueInt:[3]"#, &[1, 2, 3, 4]);
    let ids = format!(r#"["{}","{}"]"#, id(1), id(3));
    check(&format!(r#"path:["r","T","id"],operator:ContainsAll,valueText:{ids}"#), &[4]);
    check(&format!(r#"path:["r","T","id"],operator:ContainsNone,valueText:{ids}"#), &[1, 3, 5]);
    // As in Weaviate, `NotEqual` needs one matching target, and `Not` excludes objects by all of their targets.
    check(r#"path:["r","T","n"],operator:NotEqual,valueInt:1"#, &[4, 5]);
    check(r#"operator:Not,operands:[{path:["r","T","n"],operator:Equal,valueInt:1}]"#, &[1, 3, 5]);
    check(
        r#"operator:And,operands:[{path:["r","T","n"],operator:Equal,valueInt:1},
            {path:["r","T","n"],operator:Equal,valueInt:3}]"#,
        &[4],
    );
}

#[test]
fn distances_are_finite_whatever_the_vectors_are() {
    let server = Server::start();
    for distance in ["dot", "l2-squared", "manhattan", "cosine", "hamming"] {
        let name = format!("Far{}", distance.replace('-', ""));
        let properties = json!([{"name": "n", "dataType": ["int"]}]);
        let config = json!({"distance": distance});
        let kind = |index: &str| {
            json!({"class": format!("{name}{index}"), "vectorizer": "none", "properties": properties,
            "vectorIndexType": index, "vectorIndexConfig": config})
        };
        for index in ["hnsw", "flat"] {
            class(&server, &kind(index));
            let name = format!("{name}{index}");
            let vectors = [[3e38, 3e38], [-3e38, -3e38], [3e38, -3e38], [0.0, 0.0], [1e-45, 1e-45], [1.0, -1.0]];
            for (n, vector) in vectors.iter().enumerate() {
                put(&server, &name, n as u64, &json!({"n": n}), &json!({"vector": vector}));
            }
            for query in ["3e38,3e38", "-3e38,3e38", "0,0", "1e-45,1e-45", "1,2"] {
                let query = format!("{{Get{{{name}(nearVector:{{vector:[{query}]}}){{n _additional{{distance}}}}}}}}");
                let answer = graphql(&server, &query);
                let hits = answer["data"]["Get"][&name].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
                let distances: Vec<f64> =
                    hits.iter().map(|hit| hit["_additional"]["distance"].as_f64().expect(&query)).collect();
                assert_eq!(distances.len(), vectors.len(), "{query}: {answer}");
                assert!(distances.is_sorted() && distances.iter().all(|d| d.abs() < 3.5e38), "{query}: {distances:?}");
            }
        }
    }
    let dot = numbers(&server, "Fardothnsw", "nearVector:{vector:[3e38,3e38]}");
    assert_eq!((dot[0], &dot[4..]), (0, &[1, 2][..]), "{dot:?}");
}

#[test]
fn pages_of_a_search_by_several_vectors_do_not_overlap() {
    const OBJECTS: u64 = 60;
    let server = Server::start();
    let vector =
        json!({"vectorizer": {"none": {}}, "vectorIndexType": "flat", "vectorIndexConfig": {"distance": "l2-squared"}});
    let properties = json!([{"name": "n", "dataType": ["int"]}, {"name": "odd", "dataType": ["boolean"]}]);
    class(&server, &json!({"class": "Pages", "properties": properties, "vectorConfig": {"a": vector, "b": vector}}));
    let at = |n: u64, salt: u64| ((n * 7_919 + salt * 104_729) % 1_000) as f64 / 250.0 - 2.0;
    let vector = |n: u64, salt: u64| [at(n, salt), at(n + 31, salt)];
    for n in 0..OBJECTS {
        let vectors = json!({"vectors": {"a": vector(n, 1), "b": vector(n, 2)}});
        put(&server, "Pages", n, &json!({"n": n, "odd": n % 2 == 1}), &vectors);
    }
    let square = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let parts = |n: u64| (square(vector(n, 1), [1.0, 0.0]), square(vector(n, 2), [0.0, 1.0]));
    let near = |method: &str| {
        format!(r#"nearVector:{{vectorPerTarget:{{a:[1,0],b:[0,1]}},targets:{{targetVectors:["a","b"],{method}}}}}"#)
    };
    type Combine = fn((f64, f64)) -> f64;
    let methods: [(&str, Option<Combine>); 5] = [
        ("combinationMethod:minimum", Some(|(a, b)| a.min(b))),
        ("combinationMethod:sum", Some(|(a, b)| a + b)),
        ("combinationMethod:average", Some(|(a, b)| a + b)),
        ("combinationMethod:manualWeights,weights:{a:0.2,b:3}", Some(|(a, b)| 0.2 * a + 3.0 * b)),
        ("combinationMethod:relativeScore,weights:{a:0.5,b:0.5}", None),
    ];
    for (method, combine) in methods {
        let near = near(method);
        let whole = numbers(&server, "Pages", &format!("limit:{OBJECTS},{near}"));
        if let Some(combine) = combine {
            let mut wanted: Vec<i64> = (0..OBJECTS as i64).collect();
            wanted.sort_by(|a, b| combine(parts(*a as u64)).total_cmp(&combine(parts(*b as u64))));
            assert_eq!(whole, wanted, "{method}");
        }
        for limit in [3, 5, 10] {
            let pages = (0..OBJECTS).step_by(limit);
            let page = |offset| numbers(&server, "Pages", &format!("limit:{limit},offset:{offset},{near}"));
            assert_eq!(pages.flat_map(page).collect::<Vec<_>>(), whole, "{method}, pages of {limit}");
        }
        let clause = r#"where:{path:["odd"],operator:Equal,valueBoolean:true}"#;
        let odd: Vec<i64> = (0..30)
            .step_by(5)
            .flat_map(|offset| numbers(&server, "Pages", &format!("limit:5,offset:{offset},{clause},{near}")))
            .collect();
        assert_eq!(odd.len(), 30, "{method}");
        if combine.is_some() {
            assert_eq!(odd, whole.iter().copied().filter(|n| n % 2 == 1).collect::<Vec<_>>(), "{method}");
        }
    }
}

#[test]
fn a_distance_drops_hits_after_the_jumps_were_counted() {
    let server = Server::start();
    let config = json!({"distance": "l2-squared", "skipDefaultQuantization": true});
    let properties = json!([{"name": "n", "dataType": ["int"]}]);
    class(
        &server,
        &json!({"class": "Cut", "vectorizer": "none", "properties": properties, "vectorIndexConfig": config}),
    );
    for (n, distance) in [0.003_f64, 0.014, 0.102, 0.154, 0.423, 0.518].iter().enumerate() {
        put(&server, "Cut", n as u64, &json!({"n": n}), &json!({"vector": [distance.sqrt()]}));
    }
    let found = |arguments: &str| numbers(&server, "Cut", arguments);
    assert_eq!(found("autocut:1,limit:50,nearVector:{vector:[0],distance:0.2}"), [0, 1, 2, 3]);
    assert_eq!(found("autocut:1,limit:50,nearVector:{vector:[0],distance:0.1}"), [0, 1]);
    assert_eq!(found("autocut:1,limit:50,nearVector:{vector:[0]}"), [0, 1, 2, 3]);
}

#[test]
fn groups_of_a_list_are_complete() {
    let server = Server::start();
    let properties = json!([
        {"name": "n", "dataType": ["int"]},
        {"name": "tags", "dataType": ["text[]"]},
        {"name": "sizes", "dataType": ["number[]"]},
        {"name": "to", "dataType": ["Tagged"]},
    ]);
    class(
        &server,
        &json!({"class": "Tagged", "vectorizer": "none", "properties": properties,
        "vectorIndexConfig": {"distance": "l2-squared"}}),
    );
    let rows: [(&[&str], &[f64]); 5] = [
        (&["a", "b"], &[1.5]),
        (&["c", "a"], &[2.5, 1.5]),
        (&["b"], &[]),
        (&["d", "b", "a"], &[2.5]),
        (&["a", "a"], &[1.5, 1.5]),
    ];
    for (n, (tags, sizes)) in rows.iter().enumerate() {
        let properties = json!({"n": n, "tags": tags, "sizes": sizes, "to": if n > 0 { json!([to("Tagged", 0), to("Tagged", 0)]) } else { json!([]) }});
        put(&server, "Tagged", n as u64, &properties, &json!({"vector": [n]}));
    }
    let groups = |property: &str, groups: usize, per_group: usize| -> Vec<(String, Vec<i64>)> {
        let answer = graphql(
            &server,
            &format!(
                r#"{{Get{{Tagged(nearVector:{{vector:[0]}} groupBy:{{path:["{property}"],groups:{groups},objectsPerGroup:{per_group}}})
                    {{_additional{{group{{count groupedBy{{value}} hits{{n}}}}}}}}}}}}"#
            ),
        );
        let of = |group: &Value| {
            let group = &group["_additional"]["group"];
            let hits: Vec<i64> =
                group["hits"].as_array().unwrap().iter().map(|hit| hit["n"].as_i64().unwrap()).collect();
            assert_eq!(group["count"], hits.len(), "{answer}");
            (group["groupedBy"]["value"].as_str().unwrap().to_owned(), hits)
        };
        answer["data"]["Get"]["Tagged"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(of).collect()
    };
    let want = |of: &[(&str, &[i64])]| -> Vec<(String, Vec<i64>)> {
        of.iter().map(|(value, hits)| ((*value).to_owned(), hits.to_vec())).collect()
    };
    assert_eq!(groups("tags", 2, 9), want(&[("a", &[0, 1, 3, 4]), ("b", &[0, 2, 3])]));
    assert_eq!(groups("tags", 1, 9), want(&[("a", &[0, 1, 3, 4])]));
    assert_eq!(groups("tags", 1, 2), want(&[("a", &[0, 1])]));
    assert_eq!(groups("tags", 9, 9), want(&[("a", &[0, 1, 3, 4]), ("b", &[0, 2, 3]), ("c", &[1]), ("d", &[3])]));
    assert_eq!(groups("sizes", 9, 9), want(&[("1.5", &[0, 1, 4]), ("2.5", &[1, 3]), ("", &[2])]));
    let beacon = format!("weaviate://localhost/Tagged/{}", id(0));
    assert_eq!(groups("to", 9, 9), want(&[("", &[0]), (beacon.as_str(), &[1, 2, 3, 4])]));
}

#[test]
fn hybrid_by_vector_alone_is_answered() {
    let server = Server::start();
    let properties = json!([{"name": "n", "dataType": ["int"]}, {"name": "text", "dataType": ["text"]}]);
    class(&server, &json!({"class": "Thing", "vectorizer": "none", "properties": properties}));
    let vectors = [json!([1, 0, 0]), json!([0.9, 0.3, 0]), json!([0.2, 1, 0]), Value::Null, json!([-1, 0.2, 0])];
    for (n, vector) in vectors.iter().enumerate() {
        let more = if vector.is_null() { json!({}) } else { json!({"vector": vector}) };
        put(&server, "Thing", n as u64, &json!({"n": n, "text": "a grey goose"}), &more);
    }
    let all = "{n _additional{id score distance explainScore}}";
    let ask = |hybrid: &str, more: &str| graphql(&server, &format!("{{Get{{Thing(hybrid:{{{hybrid}}}{more}){all}}}}}"));
    let query = r#"query:"grey goose",vector:[1,0.1,0.1],alpha:1"#;
    let answer = ask(query, "");
    let hits = answer["data"]["Get"]["Thing"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let found: Vec<i64> = hits.iter().map(|hit| hit["n"].as_i64().unwrap()).collect();
    assert_eq!(found, [0, 1, 2, 4], "what has no vector is not found");
    let scores: Vec<f32> =
        hits.iter().map(|hit| hit["_additional"]["score"].as_str().unwrap().parse().unwrap()).collect();
    // As recorded of Weaviate for these vectors.
    for (score, want) in scores.iter().zip([1.0, 0.989_957, 0.640_062_75, 0.0]) {
        assert!((score - want).abs() < 1e-4, "{scores:?}");
    }
    assert_eq!(hits[0]["_additional"]["distance"], Value::Null);
    let explained = hits[0]["_additional"]["explainScore"].as_str().unwrap();
    let start = format!("\nHybrid (Result Set vector,hybridVector) Document {}: original score 0.99", id(0));
    assert!(explained.starts_with(&start) && explained.ends_with("normalized score: 1"), "{explained}");

    let numbers_of = |hybrid: &str, more: &str| numbers(&server, "Thing", &format!("hybrid:{{{hybrid}}}{more}"));
    assert_eq!(numbers_of(query, " limit:2 offset:1"), [1, 2]);
    assert_eq!(numbers_of(query, " limit:0"), Vec::<i64>::new());
    assert_eq!(numbers_of(query, r#" where:{path:["n"],operator:GreaterThan,valueInt:0}"#), [1, 2, 4]);
    assert_eq!(numbers_of(query, " autocut:1"), [0, 1, 2], "by the jumps of the scores");
    assert_eq!(numbers_of(&format!("{query},maxVectorDistance:0.5"), ""), [0, 1]);
    assert_eq!(numbers_of(&format!("{query},fusionType:rankedFusion"), ""), [0, 1, 2, 4]);
    assert_eq!(
        numbers_of(r#"query:"x",alpha:1,properties:["none"],searches:[{nearVector:{vector:[1,0,0]}}]"#, ""),
        [0, 1, 2, 4]
    );
    let refused =
        |hybrid: &str, more: &str| ask(hybrid, more)["errors"][0]["message"].as_str().unwrap_or("answered").to_owned();
    let no_vector = refused(r#"query:"x",alpha:1"#, "");
    assert_eq!(no_vector, "VectorFromInput was called without vectorizer on class Thing for input x");
    assert_eq!(refused(query, r#" sort:[{path:["n"]}]"#), "hybrid search is not compatible with sort");
    assert!(refused(r#"query:"x",vector:[1,0],alpha:1"#, "").contains("vector lengths don't match"));
}

#[test]
fn nested_filters_are_refused_unless_the_setting_enables_them() {
    let ask = |server: &Server| {
        let nested =
            json!([{"name": "c", "dataType": ["object"], "nestedProperties": [{"name": "x", "dataType": ["int"]}]}]);
        class(server, &json!({"class": "Nested", "vectorizer": "none", "properties": nested}));
        graphql(server, r#"{Get{Nested(where:{path:["c.x"],operator:Equal,valueInt:1}){__typename}}}"#)
    };
    let plain = ask(&Server::start());
    let why = plain["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(why.contains("WEAVIATE_PREVIEW_NESTED_FILTERING=true to enable"), "{plain}");
    let asked = ask(&Server::builder().variable("WEAVIATE_PREVIEW_NESTED_FILTERING", "true").start());
    assert_eq!(asked, json!({"data": {"Get": {"Nested": []}}}));
}
