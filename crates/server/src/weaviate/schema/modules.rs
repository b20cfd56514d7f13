//! Settings of modules in classes: the defaults of vectorizers, which clients read back.

use azimuth_engine::schema::{Collection, DataType, Primitive, Property};
use serde_json::{Map, Value, json};

use crate::modules::vectorizer;

/// Adds the defaults of the vectorizers of a class to their settings.
pub(super) fn complete(collection: &mut Collection) {
    if let Some(name) = collection.vectors.unnamed.as_ref().map(|vector| vector.vectorizer.clone())
        && let Some(defaults) = vectorizer::defaults(&name)
    {
        let mut all = object(collection.module_config.as_deref());
        let given = all.remove(&name).and_then(|given| given.as_object().cloned()).unwrap_or_default();
        all.insert(name, Value::Object(completed(defaults, given)));
        collection.module_config = Some(Value::Object(all).to_string());
    }
    for vector in collection.vectors.named_mut() {
        if let Some(defaults) = vectorizer::defaults(&vector.vectorizer) {
            let given = object(vector.vectorizer_config.as_deref());
            vector.vectorizer_config = Some(Value::Object(completed(defaults, given)).to_string());
        }
    }
    let vectorizers = vectorizers(collection);
    for property in collection.properties.iter_mut().flatten() {
        complete_for(&vectorizers, property);
    }
}

/// The same for a property that is added to a class.
pub(super) fn complete_property(collection: &Collection, property: &mut Property) {
    complete_for(&vectorizers(collection), property);
}

/// The vectorizers of a class that are modules.
fn vectorizers(collection: &Collection) -> Vec<String> {
    let names = collection.vectors.iter().map(|(_, vector)| vector.vectorizer.clone());
    names.filter(|name| vectorizer::defaults(name).is_some()).collect()
}

fn complete_for(vectorizers: &[String], property: &mut Property) {
    if vectorizers.is_empty() || !matches!(property.data_type, DataType::Primitive { of: Primitive::Text, .. }) {
        return;
    }
    let mut all = object(property.module_config.as_deref());
    for name in vectorizers {
        let defaults =
            Map::from_iter([("skip".to_owned(), json!(false)), ("vectorizePropertyName".to_owned(), json!(false))]);
        let given = all.remove(name).and_then(|given| given.as_object().cloned()).unwrap_or_default();
        all.insert(name.clone(), Value::Object(completed(defaults, given)));
    }
    property.module_config = Some(Value::Object(all).to_string());
}

fn completed(mut defaults: Map<String, Value>, given: Map<String, Value>) -> Map<String, Value> {
    defaults.extend(given);
    defaults
}

fn object(text: Option<&str>) -> Map<String, Value> {
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    parsed.and_then(|value| value.as_object().cloned()).unwrap_or_default()
}
