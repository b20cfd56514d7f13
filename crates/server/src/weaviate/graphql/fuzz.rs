//! Fuzz target of GraphQL: lexer, parser, checks against a schema, variables and the tree of fields.

use azimuth_fuzz::check;
use serde_json::json;

use super::document::read;
use super::introspect;
use super::schema::Schema;
use crate::weaviate::schema::samples;

const DOCUMENTS: [&str; 6] = [
    r#"query Q($n: Int = 3) { Get { Book(limit: $n, where: {path: ["text"], operator: Equal, valueText: "a"}) { text } } }"#,
    r#"{ Get { Book(nearVector: {vector: [1, -2.5e3, 0], targetVectors: ["a"]}, groupBy: {path: ["int"], groups: 2, objectsPerGroup: 1}) { ...F } } } fragment F on Book { int geoCoordinates { latitude } }"#,
    r#"{ Aggregate { Book(where: {operator: And, operands: [{path: ["id"], operator: Like, valueText: "*"}]}) { meta { count } } } }"#,
    r#"{ a: Get { Book(sort: [{path: ["date"], order: desc}], after: "", limit: 1) { _additional { id vectors { a } } related { ... on Author { name } } } } __typename @include(if: true) }"#,
    "{ __schema { types { name fields { name args { name type { kind ofType { name } } } } } } }",
    r#"{ Get { Book(nearObject: {id: "00000000-0000-4000-8000-000000000001", distance: 1}, autocut: 2) { text texts ints object { a list { n } } phoneNumber { input } } } } # """end"""#,
];

#[test]
fn documents() {
    let catalog = Schema::from(samples::catalog());
    let variables = json!({ "n": 4, "t": "text", "list": [1, "a", null] });
    for document in DOCUMENTS {
        let fields = read(&catalog, document, None, Some(&variables));
        assert!(fields.is_ok(), "an example is refused: {document}: {:?}", fields.err());
    }
    check("graphql", &DOCUMENTS.map(|text| text.as_bytes().to_vec()), move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(fields) = read(&catalog, &text, None, Some(&variables)) else { return };
        for field in &fields {
            if field.name.starts_with("__") {
                let _ = introspect::answer(&catalog, field);
            }
        }
    });
}
