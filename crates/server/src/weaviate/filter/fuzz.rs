//! Fuzz targets of filters: from JSON and protobuf down to the engine's filter.

use azimuth_fuzz::check;
use prost::Message;
use serde_json::{Value, json};

use super::resolve::{self, Kinds};
use super::{grpc, json as from_json};
use crate::pb::weaviate::filter_target::Target;
use crate::pb::weaviate::filters::{Operator, TestValue};
use crate::pb::weaviate::{FilterReferenceMultiTarget, FilterTarget, Filters, GeoCoordinatesFilter, TextArray};
use crate::weaviate::schema::samples;

const DEPTH: usize = 64;

#[test]
fn clauses_of_json() {
    let catalog = samples::catalog();
    let geo = json!({ "geoCoordinates": { "latitude": 1.5, "longitude": 2 }, "distance": { "max": 1000 } });
    let examples = [
        json!({ "operator": "Equal", "path": ["text"], "valueText": "a" }),
        json!({ "operator": "ContainsAny", "path": ["ints"], "valueIntArray": [1, 2] }),
        json!({ "operator": "WithinGeoRange", "path": ["geoCoordinates"], "valueGeoRange": geo }),
        json!({ "operator": "GreaterThan", "path": ["len(texts)"], "valueInt": 2 }),
        json!({ "operator": "LessThan", "path": ["date"], "valueDate": "2024-01-02T03:04:05.5+01:00" }),
        json!({ "operator": "And", "operands": [
            { "operator": "Not", "operands": [{ "operator": "IsNull", "path": ["uuid"], "valueBoolean": true }] },
            { "operator": "Like", "path": ["author", "Author", "name"], "valueText": "*x?" },
            { "operator": "NotEqual", "path": ["_creationTimeUnix"], "valueText": "1700000000000" },
        ] }),
    ];
    check("filter-json", &examples.map(|clause| clause.to_string().into_bytes()), move |bytes| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
        let Ok(clause) = from_json::clause(&value, DEPTH) else { return };
        let book = catalog.find("Book").expect("a collection");
        let _ = resolve::filter(&catalog, book, &clause, Kinds::Strict);
    });
}

#[test]
fn clauses_of_protobuf() {
    let catalog = samples::catalog();
    let property = |name: &str| FilterTarget { target: Some(Target::Property(name.to_owned())) };
    let leaf = |operator: Operator, target: FilterTarget, value: TestValue| Filters {
        operator: operator.into(),
        target: Some(target),
        test_value: Some(value),
        ..Filters::default()
    };
    let through = Target::MultiTarget(Box::new(FilterReferenceMultiTarget {
        on: "related".to_owned(),
        target: Some(Box::new(property("text"))),
        target_collection: "Book".to_owned(),
    }));
    let texts = TextArray { values: vec!["a".to_owned(), "b".to_owned()] };
    let geo = GeoCoordinatesFilter { latitude: 1.0, longitude: 2.0, distance: 3.0 };
    let leaves = vec![
        leaf(Operator::Equal, property("int"), TestValue::ValueInt(3)),
        leaf(Operator::LessThan, property("number"), TestValue::ValueNumber(f64::NAN)),
        leaf(Operator::WithinGeoRange, property("geoCoordinates"), TestValue::ValueGeo(geo)),
        leaf(Operator::ContainsAll, property("texts"), TestValue::ValueTextArray(texts)),
        leaf(Operator::Like, FilterTarget { target: Some(through) }, TestValue::ValueText("a*".to_owned())),
    ];
    let all = Filters { operator: Operator::And.into(), filters: leaves.clone(), ..Filters::default() };
    let not = Filters { operator: Operator::Not.into(), filters: vec![all], ..Filters::default() };
    let examples: Vec<Vec<u8>> = leaves.iter().chain([&not]).map(Message::encode_to_vec).collect();
    check("filter-protobuf", &examples, move |bytes| {
        let Ok(filters) = Filters::decode(bytes) else { return };
        let book = catalog.find("Book").expect("a collection");
        let Ok(clause) = grpc::clause(&catalog, book, &filters, DEPTH) else { return };
        let _ = resolve::filter(&catalog, book, &clause, Kinds::Coerced);
    });
}
