//! The text of an object that a vectorizer turns into a vector.
//!
//! The name of the class comes first, in words, then the values of the properties in the order of their names: texts, or
//! all properties that the settings name. An object without any text is vectorised by the name of its class.

use azimuth_engine::object::{Properties, Value};
use azimuth_engine::schema::{Collection, DataType, Primitive};
use serde_json::Value as Json;

/// Which parts of objects make up their text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Corpus {
    /// Whether the name of the class is part of it.
    class_name: bool,
    /// Whether the text is in lower case.
    lower_case: bool,
    /// The properties, ordered by name, and whether their name stands before their value.
    properties: Vec<(String, bool)>,
}

impl Corpus {
    /// The parts that the settings of a vectorizer and of the properties name; `module` is the name of the vectorizer.
    pub(crate) fn new(collection: &Collection, module: &str, settings: &Json) -> Self {
        let flag = |name: &str, default: bool| settings.get(name).and_then(Json::as_bool).unwrap_or(default);
        let named = settings.get("properties").and_then(Json::as_array).filter(|named| !named.is_empty());
        let mut properties = Vec::new();
        for property in collection.properties() {
            let own = property.module_config.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
            let own = |name: &str| own.as_ref()?.get(module)?.get(name)?.as_bool();
            let is_part = match named {
                Some(named) => named.iter().any(|name| name.as_str() == Some(&property.name)),
                None => is_text(&property.data_type) && !own("skip").unwrap_or(false),
            };
            if is_part {
                properties.push((property.name.clone(), own("vectorizePropertyName").unwrap_or(false)));
            }
        }
        properties.sort();
        Self { class_name: flag("vectorizeClassName", true), lower_case: flag("lowerCaseInput", false), properties }
    }

    /// The text of an object of the class.
    pub(crate) fn text(&self, class: &str, properties: &Properties) -> String {
        let mut parts = Vec::new();
        if self.class_name {
            parts.push(words(class));
        }
        for (name, with_name) in &self.properties {
            let Some(value) = properties.get(name) else { continue };
            let values = if let Value::List(values) = value { values.as_slice() } else { std::slice::from_ref(value) };
            for text in values.iter().filter_map(text_of) {
                let text = if self.lower_case { text.to_lowercase() } else { text };
                parts.push(if *with_name { format!("{} {text}", words(name)) } else { text });
            }
        }
        if parts.is_empty() {
            parts.push(words(class));
        }
        parts.join(" ")
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Primitive { of: Primitive::Text, .. })
}

/// A value as text; `None` for values that have none.
fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Date(date) => date.to_string(),
        Value::Uuid(id) => id.to_string(),
        Value::Phone(phone) => phone.input.clone(),
        Value::Geo(geo) => format!("{} {}", geo.latitude, geo.longitude),
        Value::Null | Value::Blob(_) | Value::Object(_) | Value::List(_) | Value::References(_) => return None,
    })
}

/// A value as text, the members of a list with commas between; `None` for values that have none.
pub(crate) fn shown(value: &Value) -> Option<String> {
    match value {
        Value::List(values) => Some(values.iter().filter_map(text_of).collect::<Vec<_>>().join(", ")),
        value => text_of(value),
    }
}

/// A name in camel case as words in lower case: `SuperCar2` is `super car 2`.
fn words(name: &str) -> String {
    #[derive(PartialEq, Clone, Copy)]
    enum Class {
        Lower,
        Upper,
        Digit,
        Other,
    }
    let class = |c: char| match c {
        c if c.is_lowercase() => Class::Lower,
        c if c.is_uppercase() => Class::Upper,
        c if c.is_numeric() => Class::Digit,
        _ => Class::Other,
    };
    let chars: Vec<char> = name.chars().collect();
    let mut words = String::with_capacity(name.len() + 8);
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| class(chars[before]));
        let begins = match (before, class(c)) {
            (None, _) => false,
            (Some(Class::Upper), Class::Lower) => false,
            // The last of several upper-case letters begins the word of the lower-case letters behind it.
            (Some(Class::Upper), Class::Upper) => chars.get(at + 1).is_some_and(|next| class(*next) == Class::Lower),
            (Some(before), now) => before != now,
        };
        if begins {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use azimuth_engine::schema::Property;
    use serde_json::json;

    use super::*;
    use crate::weaviate::schema::samples;

    #[test]
    fn names_become_words() {
        for (name, want) in [
            ("Book", "book"),
            ("SuperCar", "super car"),
            ("HTMLParser", "html parser"),
            ("Car2", "car 2"),
            ("my_name", "my _ name"),
            ("", ""),
        ] {
            assert_eq!(words(name), want);
        }
    }

    #[test]
    fn the_text_follows_the_settings() {
        let catalog = samples::catalog();
        let mut collection = (**catalog.find("Book").expect("a class")).clone();
        let text = |name: &str, config: Option<Json>| Property {
            name: name.to_owned(),
            module_config: config.map(|config| json!({"text2vec-openai": config}).to_string()),
            ..collection.property("text").expect("a property").clone()
        };
        let properties = vec![
            text("title", None),
            text("secret", Some(json!({"skip": true}))),
            text("authorName", Some(json!({"vectorizePropertyName": true}))),
            collection.property("int").expect("a property").clone(),
        ];
        collection.properties = Some(properties);
        let mut values = Properties::default();
        for (name, value) in [
            ("title", Value::Text("The Sea".to_owned())),
            ("secret", Value::Text("no".to_owned())),
            ("authorName", Value::List(vec![Value::Text("Ann".to_owned()), Value::Text("Bo".to_owned())])),
            ("int", Value::Int(7)),
        ] {
            values.insert(name.to_owned(), value);
        }
        let check = |settings: Json, want: &str| {
            let corpus = Corpus::new(&collection, "text2vec-openai", &settings);
            assert_eq!(corpus.text("MyBook", &values), want, "{settings}");
        };
        check(json!({}), "my book author name Ann author name Bo The Sea");
        check(json!({"vectorizeClassName": false}), "author name Ann author name Bo The Sea");
        check(json!({"vectorizeClassName": false, "lowerCaseInput": true}), "author name ann author name bo the sea");
        check(json!({"vectorizeClassName": false, "properties": ["title", "int"]}), "7 The Sea");
        check(json!({"vectorizeClassName": false, "properties": ["nothing"]}), "my book");
    }
}
