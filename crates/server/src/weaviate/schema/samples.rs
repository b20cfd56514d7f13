//! Collections with a property of every kind, for tests.

use azimuth_engine::ids::{CollectionId, PropertyId};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::Collection;
use serde_json::{Value, json};

use super::decode::decode_class;
use crate::settings::Settings;

/// The collections `Book`, which refers to `Author` and itself, and `Author`.
///
/// # Panics
/// When one of them is refused.
pub(crate) fn catalog() -> Catalog {
    let author = json!({ "class": "Author", "properties": [{ "name": "name", "dataType": ["text"] }] });
    let mut catalog: Catalog = [made(&Catalog::default(), &author, 1)].into_iter().collect();
    let mut all = vec![made(&Catalog::default(), &author, 1)];
    all.push(made(&catalog, &book(), 2));
    catalog = all.into_iter().collect();
    catalog
}

fn made(catalog: &Catalog, class: &Value, id: u32) -> Collection {
    let mut collection = decode_class(&Settings::of_tests(), catalog, class).expect("a good class");
    collection.id = CollectionId(id);
    for (number, property) in (1..).zip(collection.properties.iter_mut().flatten()) {
        property.id = PropertyId(number);
    }
    collection
}

fn book() -> Value {
    let kinds = [
        "text",
        "int",
        "number",
        "boolean",
        "date",
        "uuid",
        "geoCoordinates",
        "phoneNumber",
        "blob",
        "text[]",
        "int[]",
        "number[]",
        "boolean[]",
        "date[]",
        "uuid[]",
    ];
    let mut properties: Vec<Value> =
        kinds.iter().map(|kind| json!({ "name": kind.replace("[]", "s"), "dataType": [kind] })).collect();
    let nested = json!([
        { "name": "a", "dataType": ["text"] },
        { "name": "list", "dataType": ["object[]"], "nestedProperties": [{ "name": "n", "dataType": ["int[]"] }] },
    ]);
    properties.push(json!({ "name": "object", "dataType": ["object"], "nestedProperties": nested }));
    properties.push(json!({ "name": "objects", "dataType": ["object[]"], "nestedProperties": nested }));
    properties.push(json!({ "name": "author", "dataType": ["Author"] }));
    properties.push(json!({ "name": "related", "dataType": ["Author", "Book"] }));
    let inverted = json!({ "indexNullState": true, "indexPropertyLength": true, "indexTimestamps": true });
    let multi = json!({ "vectorizer": { "none": {} }, "vectorIndexConfig": { "multivector": { "enabled": true } } });
    let vectors = json!({ "a": { "vectorizer": { "none": {} } }, "m": multi });
    json!({ "class": "Book", "properties": properties, "invertedIndexConfig": inverted, "vectorConfig": vectors })
}
