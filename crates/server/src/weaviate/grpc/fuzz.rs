//! Fuzz targets of gRPC's messages: objects of a batch, targets of a search, and the cost of a message before it is read.

use azimuth_fuzz::check;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::{batch, codec, search};
use crate::app::objects::convert_as_is;
use crate::pb::weaviate::batch_object::{Properties, SingleTargetRefProps};
use crate::pb::weaviate::vectors::VectorType;
use crate::pb::weaviate::{
    BatchObject, Bm25, Hybrid, IntArrayProperties, NearVector, NumberArrayProperties, ObjectProperties,
    ObjectPropertiesValue, SearchOperatorOptions, SearchRequest, Targets, Vectors,
};
use crate::weaviate::schema::samples;
use crate::weaviate::texts;

fn fields() -> Option<Struct> {
    let value = |kind| Value { kind: Some(kind) };
    let fields = [
        ("text".to_owned(), value(Kind::StringValue("a".to_owned()))),
        ("int".to_owned(), value(Kind::NumberValue(3.0))),
        ("boolean".to_owned(), value(Kind::BoolValue(true))),
        ("uuid".to_owned(), value(Kind::NullValue(0))),
    ];
    Some(Struct { fields: fields.into_iter().collect() })
}

fn multi() -> Vectors {
    let rows: Vec<u8> = [2_u16.to_le_bytes().to_vec(), 1.0_f32.to_le_bytes().repeat(4)].concat();
    let kind = VectorType::MultiFp32.into();
    Vectors { name: "m".to_owned(), vector_bytes: rows.into(), r#type: kind, ..Vectors::default() }
}

#[test]
fn objects_of_a_batch() {
    let catalog = samples::catalog();
    let numbers: Vec<u8> = 1.5_f64.to_le_bytes().repeat(3);
    let nested = ObjectPropertiesValue { non_ref_properties: fields(), ..ObjectPropertiesValue::default() };
    let properties = Properties {
        non_ref_properties: fields(),
        single_target_ref_props: vec![SingleTargetRefProps {
            uuids: vec!["00000000-0000-4000-8000-000000000001".to_owned()],
            prop_name: "author".to_owned(),
        }],
        number_array_properties: vec![NumberArrayProperties {
            values_bytes: numbers,
            prop_name: "numbers".to_owned(),
            ..NumberArrayProperties::default()
        }],
        int_array_properties: vec![IntArrayProperties { values: vec![1, -2], prop_name: "ints".to_owned() }],
        object_properties: vec![ObjectProperties { value: Some(nested), prop_name: "object".to_owned() }],
        empty_list_props: vec!["texts".to_owned()],
        ..Properties::default()
    };
    let example = BatchObject {
        uuid: "00000000-0000-4000-8000-000000000001".to_owned(),
        collection: "Book".to_owned(),
        properties: Some(properties),
        vectors: vec![multi()],
        ..BatchObject::default()
    };
    assert!(batch::draft(&catalog, example.clone()).is_ok(), "the example is refused");
    check("grpc-object", &[example.encode_to_vec()], move |bytes| {
        let _ = codec::cost(bytes);
        let Ok(object) = BatchObject::decode(bytes) else { return };
        let Ok(draft) = batch::draft(&catalog, object) else { return };
        let book = catalog.find("Book").expect("a collection");
        if let Err(error) = convert_as_is(book, draft.properties) {
            let _ = texts::object(&error.into());
        }
    });
}

#[test]
fn vectors_as_bytes() {
    check("grpc-vector", &[multi().vector_bytes.to_vec(), 1.0_f32.to_le_bytes().repeat(3)], |bytes| {
        let _ = (batch::floats(bytes), batch::rows(bytes));
    });
}

#[test]
fn targets_of_a_search() {
    let catalog = samples::catalog();
    let single = Vectors { name: "a".to_owned(), vector_bytes: vec![0; 12].into(), ..Vectors::default() };
    let targets = Targets { target_vectors: vec!["a".to_owned(), "m".to_owned()], ..Targets::default() };
    let near = NearVector { vectors: vec![single.clone(), multi()], targets: Some(targets), ..NearVector::default() };
    let example = SearchRequest {
        collection: "Book".to_owned(),
        near_vector: Some(near),
        limit: 5,
        uses_127_api: true,
        ..SearchRequest::default()
    };
    let (query, properties) = ("a b".to_owned(), vec!["text^2".to_owned()]);
    let operator = SearchOperatorOptions { operator: 1, minimum_or_tokens_match: Some(2) };
    let bm25 = Bm25 { query: query.clone(), properties: properties.clone(), search_operator: Some(operator) };
    let keyword = SearchRequest { near_vector: None, bm25_search: Some(Box::new(bm25)), ..example.clone() };
    let hybrid = Hybrid { query, properties, alpha_param: Some(0.5), use_alpha_param: true, ..Hybrid::default() };
    let hybrid = Hybrid { vectors: vec![single], fusion_type: 1, ..hybrid };
    let hybrid = SearchRequest { near_vector: None, hybrid_search: Some(Box::new(hybrid)), ..example.clone() };
    let examples = [example, keyword, hybrid].map(|example| example.encode_to_vec());
    check("grpc-search", &examples, move |bytes| {
        let _ = codec::cost(bytes);
        if let Ok(request) = SearchRequest::decode(bytes) {
            let book = catalog.find("Book").expect("a collection");
            let _ = search::ranking(book, catalog.shards(book.id), &request);
        }
    });
}
