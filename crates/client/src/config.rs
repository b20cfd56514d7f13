//! The configuration of a collection: only what is set is sent, the server fills in its defaults.

use serde_json::{Map, Value, json};

/// A collection to be created.
///
/// ```
/// use azimuth_client::{CollectionConfig, DataType, Distance, Property, VectorIndex};
/// let config = CollectionConfig::new("Passage")
///     .property(Property::new("text", DataType::Text))
///     .property(Property::new("source", DataType::Text).tokenization("field"))
///     .unnamed_vector(VectorIndex::hnsw().distance(Distance::Cosine));
/// # let _ = config;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionConfig {
    body: Map<String, Value>,
}

impl CollectionConfig {
    /// A collection called `name`, with neither properties nor settings.
    pub fn new(name: impl Into<String>) -> CollectionConfig {
        CollectionConfig { body: Map::from_iter([("class".to_owned(), Value::String(name.into()))]) }
    }

    /// A collection from the JSON of the wire, for settings that have no method here.
    pub fn from_json(body: Map<String, Value>) -> CollectionConfig {
        CollectionConfig { body }
    }

    /// A text for people.
    pub fn description(self, description: impl Into<String>) -> CollectionConfig {
        self.set("description", Value::String(description.into()))
    }

    /// Adds a property.
    pub fn property(mut self, property: Property) -> CollectionConfig {
        let list = self.body.entry("properties").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(Value::Object(property.body));
        }
        self
    }

    /// One vector without a name, given by the client.
    pub fn unnamed_vector(self, index: VectorIndex) -> CollectionConfig {
        self.set("vectorizer", json!("none"))
            .set("vectorIndexType", json!(index.kind))
            .set("vectorIndexConfig", Value::Object(index.settings))
    }

    /// A vector called `name`, given by the client; a collection may have several.
    pub fn named_vector(mut self, name: impl Into<String>, index: VectorIndex) -> CollectionConfig {
        let vectors = self.body.entry("vectorConfig").or_insert_with(|| json!({}));
        let settings = Value::Object(index.settings);
        vectors[name.into()] =
            json!({"vectorizer": {"none": {}}, "vectorIndexType": index.kind, "vectorIndexConfig": settings});
        self
    }

    /// Keeps the objects of tenants apart; `auto_create` lets writes create tenants.
    pub fn multi_tenancy(self, auto_create: bool) -> CollectionConfig {
        self.set("multiTenancyConfig", json!({"enabled": true, "autoTenantCreation": auto_create}))
    }

    /// Makes [`crate::Filter::created`], [`crate::Subject::is_null`] and [`crate::Filter::length`] possible, in this order.
    pub fn index(self, timestamps: bool, null_state: bool, length: bool) -> CollectionConfig {
        let settings =
            json!({"indexTimestamps": timestamps, "indexNullState": null_state, "indexPropertyLength": length});
        self.set("invertedIndexConfig", settings)
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        self.body.get("class").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    fn set(mut self, key: &str, value: Value) -> CollectionConfig {
        self.body.insert(key.to_owned(), value);
        self
    }
}

/// The type of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataType {
    /// UTF-8 text.
    Text,
    /// A 64-bit whole number.
    Int,
    /// A double.
    Number,
    /// True or false.
    Boolean,
    /// An RFC 3339 date.
    Date,
    /// A UUID.
    Uuid,
    /// Base64 of any bytes; never indexed.
    Blob,
    /// `{latitude, longitude}` in degrees.
    GeoCoordinates,
    /// `{input, defaultCountry}`.
    PhoneNumber,
    /// A list of one of the scalar types.
    List(Box<DataType>),
    /// References to objects of the collection named.
    Reference(String),
}

impl DataType {
    /// A list of texts.
    pub fn texts() -> DataType {
        DataType::List(Box::new(DataType::Text))
    }

    fn wire_name(self) -> String {
        let name = match self {
            DataType::Text => "text",
            DataType::Int => "int",
            DataType::Number => "number",
            DataType::Boolean => "boolean",
            DataType::Date => "date",
            DataType::Uuid => "uuid",
            DataType::Blob => "blob",
            DataType::GeoCoordinates => "geoCoordinates",
            DataType::PhoneNumber => "phoneNumber",
            DataType::List(member) => return format!("{}[]", member.wire_name()),
            DataType::Reference(collection) => return collection,
        };
        name.to_owned()
    }
}

/// A property of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    body: Map<String, Value>,
}

impl Property {
    /// A property with the server's default settings for its type.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Property {
        let entries = [("name", Value::String(name.into())), ("dataType", json!([data_type.wire_name()]))];
        Property { body: entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() }
    }

    /// How text is cut: `word`, `lowercase`, `whitespace`, `field` or `trigram`.
    pub fn tokenization(self, tokenization: &str) -> Property {
        self.set("tokenization", json!(tokenization))
    }

    /// Whether filters may use it (the default).
    pub fn filterable(self, filterable: bool) -> Property {
        self.set("indexFilterable", json!(filterable))
    }

    /// Whether keyword search may use it (the default for text).
    pub fn searchable(self, searchable: bool) -> Property {
        self.set("indexSearchable", json!(searchable))
    }

    pub(crate) fn body(&self) -> &Map<String, Value> {
        &self.body
    }

    fn set(mut self, key: &str, value: Value) -> Property {
        self.body.insert(key.to_owned(), value);
        self
    }
}

/// How far apart two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// 1 - cosine similarity.
    Cosine,
    /// Minus the dot product.
    Dot,
    /// Squared Euclidean distance.
    L2Squared,
    /// Sum of absolute differences.
    Manhattan,
    /// Count of differing positions.
    Hamming,
}

impl Distance {
    fn wire_name(self) -> &'static str {
        match self {
            Distance::Cosine => "cosine",
            Distance::Dot => "dot",
            Distance::L2Squared => "l2-squared",
            Distance::Manhattan => "manhattan",
            Distance::Hamming => "hamming",
        }
    }
}

/// The index of one vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorIndex {
    kind: &'static str,
    settings: Map<String, Value>,
}

impl VectorIndex {
    /// A graph, the default.
    pub fn hnsw() -> VectorIndex {
        VectorIndex { kind: "hnsw", settings: Map::new() }
    }

    /// An exact scan, for small collections or tenants.
    pub fn flat() -> VectorIndex {
        VectorIndex { kind: "flat", settings: Map::new() }
    }

    /// How far apart two vectors are; cosine unless set.
    pub fn distance(self, distance: Distance) -> VectorIndex {
        self.setting("distance", distance.wire_name())
    }

    /// Any other setting by its name on the wire, for instance `efConstruction`.
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> VectorIndex {
        self.settings.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_is_sent() {
        let config = CollectionConfig::new("Book")
            .property(Property::new("title", DataType::Text).tokenization("field").searchable(false))
            .property(Property::new("tags", DataType::texts()))
            .property(Property::new("by", DataType::Reference("Author".into())).filterable(false))
            .unnamed_vector(VectorIndex::hnsw().distance(Distance::L2Squared).setting("efConstruction", 64));
        assert_eq!(config.name(), "Book");
        let expected = json!({
            "class": "Book",
            "properties": [
                {"name": "title", "dataType": ["text"], "tokenization": "field", "indexSearchable": false},
                {"name": "tags", "dataType": ["text[]"]},
                {"name": "by", "dataType": ["Author"], "indexFilterable": false},
            ],
            "vectorizer": "none",
            "vectorIndexType": "hnsw",
            "vectorIndexConfig": {"distance": "l2-squared", "efConstruction": 64},
        });
        assert_eq!(Value::Object(config.body().clone()), expected);
    }

    #[test]
    fn named_vectors_go_beside_each_other() {
        let config = CollectionConfig::new("Clip")
            .named_vector("image", VectorIndex::flat())
            .named_vector("sound", VectorIndex::hnsw().distance(Distance::Dot))
            .multi_tenancy(true)
            .index(true, false, true);
        let body = Value::Object(config.body().clone());
        assert_eq!(body["vectorConfig"]["image"]["vectorIndexType"], "flat");
        assert_eq!(body["vectorConfig"]["sound"]["vectorIndexConfig"], json!({"distance": "dot"}));
        assert!(body.get("vectorizer").is_none());
        assert_eq!(body["multiTenancyConfig"], json!({"enabled": true, "autoTenantCreation": true}));
        assert_eq!(body["invertedIndexConfig"]["indexPropertyLength"], true);
    }
}
