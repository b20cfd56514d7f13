//! An object: id, properties, vectors; as it is written, and as it is read back.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::properties::{self, Properties};
use crate::proto::weaviate::v1 as pb;
use crate::vector::{DEFAULT_VECTOR, Vectors};

/// An object to be written. Its id is chosen by the client, so that a repeated write is the same write.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Identifies the object inside its collection (and tenant).
    pub id: Uuid,
    /// The properties by name.
    pub properties: Properties,
    /// The vectors by name.
    pub vectors: Vectors,
}

impl Object {
    /// An object with a random id and nothing in it.
    pub fn new() -> Object {
        Object::with_id(Uuid::new_v4())
    }

    /// An object with this id and nothing in it.
    pub fn with_id(id: Uuid) -> Object {
        Object { id, properties: Properties::new(), vectors: Vectors::none() }
    }

    /// Sets a property.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Object {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Sets the vector of a collection that has one vector without a name, or one called `default`.
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Object {
        self.vectors = self.vectors.with(DEFAULT_VECTOR, vector);
        self
    }

    /// Sets the vector called `name`.
    pub fn named_vector(mut self, name: impl Into<String>, vector: impl Into<Vec<f32>>) -> Object {
        self.vectors = self.vectors.with(name, vector);
        self
    }

    pub(crate) fn to_proto(&self, collection: &str, tenant: Option<&str>) -> Result<pb::BatchObject> {
        Ok(pb::BatchObject {
            uuid: self.id.to_string(),
            properties: Some(properties::encode(&self.properties)?),
            collection: collection.to_owned(),
            tenant: tenant.unwrap_or_default().to_owned(),
            vectors: self.vectors.to_proto(),
            ..pb::BatchObject::default()
        })
    }

    /// The body of POST, PUT and PATCH.
    pub(crate) fn to_json(&self, collection: &str, tenant: Option<&str>) -> Result<Value> {
        let mut body = json!({"class": collection, "id": self.id, "properties": self.properties});
        if let Some(tenant) = tenant {
            body["tenant"] = json!(tenant);
        }
        if let Some((name, vector)) = self.vectors.iter().find(|(_, vector)| vector.iter().any(|v| !v.is_finite())) {
            return Err(Error::Invalid(format!(
                "vector '{name}' of {} numbers: JSON has no NaN or infinity",
                vector.len()
            )));
        }
        let named: serde_json::Map<_, _> = self
            .vectors
            .iter()
            .filter(|(name, _)| *name != DEFAULT_VECTOR)
            .map(|(name, vector)| (name.to_owned(), json!(vector)))
            .collect();
        // Beside named vectors `default` is one of them; alone, it may be the unnamed one.
        match (self.vectors.get(DEFAULT_VECTOR), named.is_empty()) {
            (None, true) => {}
            (Some(vector), true) => body["vector"] = json!(vector),
            (None, false) => body["vectors"] = Value::Object(named),
            (Some(vector), false) => {
                body["vectors"] = Value::Object(named);
                body["vectors"][DEFAULT_VECTOR] = json!(vector);
            }
        }
        Ok(body)
    }
}

impl Default for Object {
    fn default() -> Object {
        Object::new()
    }
}

/// An object as the server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObject {
    /// Identifies the object inside its collection (and tenant).
    pub id: Uuid,
    /// The properties asked for; null where the object has none.
    pub properties: Properties,
    /// The vectors asked for.
    pub vectors: Vectors,
    /// When it was created, in Unix milliseconds, if asked for.
    pub created_ms: Option<i64>,
    /// When it was last written, in Unix milliseconds, if asked for.
    pub updated_ms: Option<i64>,
}

#[derive(Deserialize)]
struct RestObject {
    id: Uuid,
    #[serde(default)]
    properties: Option<Properties>,
    #[serde(default)]
    vector: Option<Vec<f32>>,
    #[serde(default)]
    vectors: Option<std::collections::BTreeMap<String, Value>>,
    #[serde(rename = "creationTimeUnix")]
    created_ms: Option<i64>,
    #[serde(rename = "lastUpdateTimeUnix")]
    updated_ms: Option<i64>,
}

impl StoredObject {
    pub(crate) fn from_json(body: &[u8]) -> Result<StoredObject> {
        let object: RestObject = serde_json::from_slice(body)
            .map_err(|error| Error::Protocol(format!("the object cannot be read: {error}")))?;
        let mut vectors = Vectors::none();
        if let Some(vector) = object.vector.filter(|vector| !vector.is_empty()) {
            vectors = vectors.with(DEFAULT_VECTOR, vector);
        }
        for (name, vector) in object.vectors.into_iter().flatten() {
            // A vector of several rows does not read as one row; it is left out, as in search answers.
            if let Ok(vector) = serde_json::from_value::<Vec<f32>>(vector) {
                vectors = vectors.with(name, vector);
            }
        }
        Ok(StoredObject {
            id: object.id,
            properties: object.properties.unwrap_or_default(),
            vectors,
            created_ms: object.created_ms,
            updated_ms: object.updated_ms,
        })
    }

    pub(crate) fn from_proto(
        properties: Option<pb::PropertiesResult>,
        metadata: &pb::MetadataResult,
    ) -> Result<StoredObject> {
        let fields = properties.and_then(|properties| properties.non_ref_props);
        Ok(StoredObject {
            id: id_of(metadata)?,
            properties: fields.map(properties::decode).transpose()?.unwrap_or_default(),
            vectors: Vectors::from_proto(&metadata.vectors, &metadata.vector_bytes)?,
            created_ms: metadata.creation_time_unix_present.then_some(metadata.creation_time_unix),
            updated_ms: metadata.last_update_time_unix_present.then_some(metadata.last_update_time_unix),
        })
    }
}

fn id_of(metadata: &pb::MetadataResult) -> Result<Uuid> {
    let id = if metadata.id_as_bytes.is_empty() {
        Uuid::parse_str(&metadata.id)
    } else {
        Uuid::from_slice(&metadata.id_as_bytes)
    };
    id.map_err(|error| Error::Protocol(format!("a hit with a bad id: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_travel_in_the_field_that_fits_the_collection() {
        let object = Object::with_id(Uuid::nil()).property("n", 1).vector([1.0, 0.5]);
        let body = object.to_json("Book", Some("t1")).expect("finite");
        assert_eq!(body["vector"], json!([1.0, 0.5]));
        assert_eq!(
            (&body["tenant"], &body["class"], &body["properties"]["n"]),
            (&json!("t1"), &json!("Book"), &json!(1))
        );
        let body = object.named_vector("title", [2.0]).to_json("Book", None).expect("finite");
        assert_eq!(body["vectors"], json!({"default": [1.0, 0.5], "title": [2.0]}));
        assert!(body.get("vector").is_none() && body.get("tenant").is_none());
        let message = Object::new().vector([f32::NAN]).to_json("Book", None);
        assert!(matches!(message, Err(Error::Invalid(_))));
    }

    #[test]
    fn both_wires_give_the_same_object() {
        let id = Uuid::from_u128(7);
        let body = json!({"class": "Book", "id": id, "properties": {"n": "x"}, "creationTimeUnix": 5,
            "lastUpdateTimeUnix": 6, "vectorWeights": null, "vector": [1.0]});
        let from_rest = StoredObject::from_json(body.to_string().as_bytes()).expect("good body");
        let metadata = pb::MetadataResult {
            id_as_bytes: id.as_bytes().to_vec().into(),
            creation_time_unix: 5,
            creation_time_unix_present: true,
            last_update_time_unix: 6,
            last_update_time_unix_present: true,
            vector_bytes: crate::vector::encode_vector(&[1.0]),
            ..pb::MetadataResult::default()
        };
        let text = pb::Value { kind: Some(pb::value::Kind::TextValue("x".into())) };
        let fields = pb::Properties { fields: [("n".to_owned(), text)].into() };
        let properties = pb::PropertiesResult { non_ref_props: Some(fields), ..pb::PropertiesResult::default() };
        assert_eq!(StoredObject::from_proto(Some(properties), &metadata), Ok(from_rest));
        assert!(matches!(StoredObject::from_json(b"{}"), Err(Error::Protocol(_))));
    }
}
