//! The fuzz target of classes.

use azimuth_fuzz::check;
use serde_json::{Value, json};

use super::{decode_class, samples};
use crate::settings::Settings;

#[test]
fn classes() {
    let catalog = samples::catalog();
    let settings = Settings::of_tests();
    let config =
        json!({ "distance": "dot", "ef": 100, "pq": { "enabled": false }, "rq": { "enabled": true, "bits": 8 } });
    let example = json!({
        "class": "New", "description": "d", "vectorIndexType": "hnsw", "vectorIndexConfig": config, "vectorizer": "none",
        "properties": [
            { "name": "p", "dataType": ["text"], "tokenization": "field", "indexSearchable": false },
            { "name": "o", "dataType": ["object[]"], "nestedProperties": [{ "name": "n", "dataType": ["int"] }] },
            { "name": "r", "dataType": ["Author", "New"] },
        ],
        "invertedIndexConfig": { "bm25": { "b": 0.5, "k1": 1 }, "stopwords": { "preset": "en", "additions": ["x"] } },
        "replicationConfig": { "factor": 1 }, "shardingConfig": { "desiredCount": 1 },
        "multiTenancyConfig": { "enabled": false }, "objectTtlConfig": { "enabled": true, "defaultTtl": 60 },
    });
    check("class", &[example.to_string().into_bytes()], move |bytes| {
        let Ok(class) = serde_json::from_slice::<Value>(bytes) else { return };
        let _ = decode_class(&settings, &catalog, &class);
    });
}
