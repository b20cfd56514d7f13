//! Fuzz targets of REST: bodies, paths and queries.

use azimuth_fuzz::check;
use http::Method;

use super::{json, models, query, route, segments};

/// Names of models with a body of each.
const BODIES: [(&str, &str); 5] = [
    (
        "models.Class",
        r#"{"class":"A","properties":[{"name":"p","dataType":["text"],"nestedProperties":[{"name":"n","dataType":["int"]}]}],
        "vectorConfig":{"a":{"vectorizer":{"none":{}}}},"invertedIndexConfig":{"bm25":{"b":0.5}},"replicationConfig":{"factor":1}}"#,
    ),
    (
        "models.Object",
        r#"{"class":"A","id":"00000000-0000-4000-8000-000000000001","properties":{"p":[1,2.5,"a\u00e9"]},"vector":[1,-2e3],
        "vectors":{"a":[[1],[2]]},"creationTimeUnix":1}"#,
    ),
    ("models.SingleRef", r#"{"beacon":"weaviate://localhost/A/00000000-0000-4000-8000-000000000001"}"#),
    (
        "models.BatchDelete",
        r#"{"match":{"class":"A","where":{"operator":"Equal","path":["p"],"valueInt":3}},"dryRun":true}"#,
    ),
    ("models.Property", r#"{"name":"p","dataType":["text"],"tokenization":"word","indexFilterable":true}"#),
];

#[test]
fn bodies() {
    let examples = BODIES.map(|(_, body)| body.as_bytes().to_vec());
    check("rest-body", &examples, |bytes| {
        let free = models::shape("");
        let Ok(value) = json::parse(bytes, free) else { return };
        // A parsed value survives writing and parsing; numbers keep their text.
        let text = value.to_string();
        assert_eq!(json::parse(text.as_bytes(), free).expect("what was written is JSON"), value, "{text}");
        for (model, _) in BODIES {
            let _ = json::parse(bytes, models::shape(model)).map(|value| models::check(model, value));
        }
    });
}

#[test]
fn paths_and_queries() {
    let examples = [
        "/v1/objects/Book/00000000-0000-4000-8000-000000000001?include=vector,classification&limit=5",
        "/v1/schema/Book//properties/title/index/searchable/",
        "/v1/objects?class=A%20B&after=&sort=a%2Cb&order=asc;desc&a+b=%zz%",
    ];
    check("rest-path", &examples.map(|path| path.as_bytes().to_vec()), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (path, rest) = text.split_once('?').unwrap_or((&text, ""));
        let _ = query(rest);
        if let Some(segments) = segments(path) {
            for method in [Method::GET, Method::POST, Method::DELETE, Method::PATCH] {
                let _ = route::find(&method, &segments);
            }
        }
    });
}
