//! Fuzz targets of objects in JSON, and of the texts that dates, ids, beacons and phones are.

use azimuth_fuzz::check;
use serde_json::{Value, json};

use super::{beacon, input};
use crate::app::objects::{convert_as_is, date, uuid_text};
use crate::weaviate::schema::samples;
use crate::weaviate::texts;

#[test]
fn properties_of_objects() {
    let catalog = samples::catalog();
    let object = json!({ "a": "x", "list": [{ "n": [1, 2] }] });
    let beacon = "weaviate://localhost/Author/00000000-0000-4000-8000-000000000001";
    let example = json!({
        "text": "a b", "int": 3, "number": -2.5, "boolean": true, "date": "2024-01-02T03:04:05Z",
        "uuid": "00000000-0000-4000-8000-000000000001", "geoCoordinates": { "latitude": 1.5, "longitude": 2 },
        "phoneNumber": { "input": "020 1234567", "defaultCountry": "nl" }, "blob": "aGk=", "texts": ["a"],
        "ints": [1, 2], "numbers": [1.5], "booleans": [true], "dates": ["2024-01-02T03:04:05.123456789+01:00"],
        "uuids": [], "object": object, "objects": [object], "author": [{ "beacon": beacon }], "related": null,
    });
    let book = catalog.find("Book").expect("a collection");
    let converted = convert_as_is(book, input::map(example.as_object().expect("an object").clone()));
    assert!(converted.is_ok(), "the example is refused: {converted:?}");
    check("object-properties", &[example.to_string().into_bytes()], move |bytes| {
        let Ok(Value::Object(given)) = serde_json::from_slice(bytes) else { return };
        let book = catalog.find("Book").expect("a collection");
        let given = input::map(given);
        if let Err(error) = convert_as_is(book, given.clone()) {
            let _ = texts::object(&error.into());
        }
        // A value that was read is shown like its input.
        assert_eq!(input::value(input::map_json(&given)).as_map(), Some(&given));
    });
}

#[test]
fn dates_ids_and_beacons() {
    let examples = [
        "2024-01-02T03:04:05Z",
        "1969-12-31T23:59:59,123456789-07:30",
        "00000000-0000-4000-8000-000000000001",
        "urn:uuid:00000000-0000-4000-8000-000000000001",
        "weaviate://localhost/Author/00000000-0000-4000-8000-000000000001",
        "http://localhost/00000000-0000-4000-8000-000000000001",
    ];
    check("value-texts", &examples.map(|text| text.as_bytes().to_vec()), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some(parsed) = date::parse(&text) {
            // A formatted date is parsed as the same date.
            assert_eq!(date::parse(&parsed.to_string()), Some(parsed), "{text:?}");
        }
        if let Some(id) = uuid_text::parse(&text) {
            assert_eq!(uuid_text::parse(&id.to_string()), Some(id));
        }
        if let Ok(parsed) = beacon::parse(&text) {
            let written = beacon::text(parsed.collection.as_deref(), parsed.id);
            assert_eq!(beacon::parse(&written), Ok(parsed), "{text:?}");
        }
        let _ = beacon::other_host(&text);
    });
}

#[test]
fn phone_numbers() {
    let examples = ["+31 20 1234567|", "020 1234567|nl", "(0)9 8-7;ext=1|DE"];
    let catalog = samples::catalog();
    check("phone", &examples.map(|text| text.as_bytes().to_vec()), move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (number, country) = text.split_once('|').unwrap_or((&text, ""));
        if let Value::Object(map) = json!({ "phoneNumber": { "input": number, "defaultCountry": country } }) {
            let _ = convert_as_is(catalog.find("Book").expect("a collection"), input::map(map));
        }
    });
}
