//! The model: the objects that the server must hold after the steps so far, in plain maps.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::filter::{Filter, Refused};
use super::schema::{Property, Schema, Space, UNNAMED};
use super::value::{Kind, Tokenization};

/// All collections, and whether auto-schema is on.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// By name.
    pub classes: BTreeMap<String, Class>,
    /// Whether auto-schema adds unknown properties and collections for objects.
    pub auto_schema: bool,
}

/// A collection with its objects.
#[derive(Debug, Clone)]
pub struct Class {
    /// Its configuration.
    pub schema: Schema,
    /// By id.
    pub objects: BTreeMap<Uuid, Object>,
}

/// An object. Values have the form in which the server answers them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Without those that are null.
    pub properties: BTreeMap<String, Value>,
    /// By name of the vector.
    pub vectors: BTreeMap<String, Vec<f32>>,
}

/// The required result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out.
    Taken,
    /// It is refused and changes nothing.
    Refused,
}

/// How a single object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
    /// A new object; refused where the id is taken.
    Post,
    /// All of an object; refused where there is none.
    Put,
    /// Some properties; `Null` removes one; references are added. Refused where there is no object.
    Patch,
    /// Part of a batch: the object is made or replaced.
    Upsert,
}

impl World {
    /// Creates a collection.
    pub fn create(&mut self, schema: &Schema) -> Fate {
        let known = |target: &String| *target == schema.name || self.classes.contains_key(target);
        let targets = schema.properties.values().all(|property| match &property.kind {
            Kind::Reference(targets) => targets.iter().all(known),
            _ => true,
        });
        if !targets || self.classes.contains_key(&schema.name) {
            return Fate::Refused;
        }
        self.classes.insert(schema.name.clone(), Class { schema: schema.clone(), objects: BTreeMap::new() });
        Fate::Taken
    }

    /// Adds a property.
    pub fn add_property(&mut self, collection: &str, name: &str, property: &Property) -> Fate {
        let known = match &property.kind {
            Kind::Reference(targets) => targets.iter().all(|target| self.classes.contains_key(target)),
            _ => true,
        };
        match self.classes.get_mut(collection) {
            Some(class) if known && !class.schema.properties.contains_key(name) => {
                class.schema.properties.insert(name.to_owned(), property.clone());
                Fate::Taken
            }
            _ => Fate::Refused,
        }
    }

    /// Writes an object and returns the required result; extends the schema for an accepted object. References are
    /// looked up in `before`: a batch does not see itself.
    pub fn write(&mut self, before: &Self, how: Write, collection: &str, id: Uuid, object: &Object) -> Fate {
        if how != Write::Patch && !self.classes.contains_key(collection) && self.auto_schema && how != Write::Put {
            if !self.fits(before, &made_up(collection, object), object) {
                return Fate::Refused;
            }
            let schema = made_up(collection, object);
            self.classes.insert(collection.to_owned(), Class { schema, objects: BTreeMap::new() });
        }
        let Some(class) = self.classes.get(collection) else { return Fate::Refused };
        let there = class.objects.contains_key(&id);
        match how {
            Write::Post if there => return Fate::Refused,
            Write::Put | Write::Patch if !there => return Fate::Refused,
            _ => {}
        }
        let mut schema = class.schema.clone();
        for (name, value) in &object.properties {
            if !schema.properties.contains_key(name) {
                if !self.auto_schema {
                    return Fate::Refused;
                }
                schema.properties.insert(name.clone(), Property::new(kind_of(value)));
            }
        }
        if !self.fits(before, &schema, object) {
            return Fate::Refused;
        }
        let Some(class) = self.classes.get_mut(collection) else { return Fate::Refused };
        class.schema = schema;
        if how == Write::Patch {
            if let Some(stored) = class.objects.get_mut(&id) {
                merge(&class.schema, stored, object);
            }
        } else {
            let mut object = object.clone();
            object.properties.retain(|_, value| !value.is_null());
            class.objects.insert(id, object);
        }
        Fate::Taken
    }

    /// Whether values have the kinds of their properties, and references targets.
    fn fits(&self, before: &Self, schema: &Schema, object: &Object) -> bool {
        let exists = |(collection, id): &(String, Uuid)| {
            before.classes.get(collection).is_some_and(|class| class.objects.contains_key(id))
        };
        object.properties.iter().all(|(name, value)| match schema.properties.get(name).map(|property| &property.kind) {
            _ if value.is_null() => true,
            Some(Kind::Reference(_)) => value.is_array() && beacons(Some(value)).iter().all(exists),
            Some(kind) => kind_fits(kind, value),
            None => false,
        })
    }

    /// The ids of the objects that a filter finds, in order of the ids; all without one.
    ///
    /// # Errors
    /// [`Refused`] where the server must refuse the filter, or has no such collection.
    pub fn find(&self, collection: &str, filter: Option<&Filter>) -> Result<Vec<Uuid>, Refused> {
        let class = self.classes.get(collection).ok_or(Refused)?;
        let Some(filter) = filter else { return Ok(class.objects.keys().copied().collect()) };
        // A refusal does not depend on the objects.
        filter.matches(self, &class.schema, Uuid::nil(), &Object::default())?;
        let mut found = Vec::new();
        for (id, object) in &class.objects {
            if filter.matches(self, &class.schema, *id, object)? {
                found.push(*id);
            }
        }
        Ok(found)
    }

    /// The object.
    pub fn object(&self, collection: &str, id: Uuid) -> Option<&Object> {
        self.classes.get(collection)?.objects.get(&id)
    }
}

impl Object {
    /// As REST takes it.
    pub fn json(&self, collection: &str, id: Uuid) -> Value {
        let mut json = json!({ "class": collection, "id": id, "properties": self.properties });
        let mut named = Map::new();
        for (name, vector) in &self.vectors {
            if name == UNNAMED {
                json["vector"] = json!(vector);
            } else {
                named.insert(name.clone(), json!(vector));
            }
        }
        if !named.is_empty() {
            json["vectors"] = named.into();
        }
        json
    }
}

/// The targets of a reference property: collection and id of each.
pub fn beacons(value: Option<&Value>) -> Vec<(String, Uuid)> {
    let Some(Value::Array(values)) = value else { return Vec::new() };
    values.iter().filter_map(|value| parse_beacon(value["beacon"].as_str()?)).collect()
}

/// A reference as a value.
pub fn beacon(collection: &str, id: Uuid) -> Value {
    json!({ "beacon": format!("weaviate://localhost/{collection}/{id}") })
}

fn parse_beacon(text: &str) -> Option<(String, Uuid)> {
    let (collection, id) = text.strip_prefix("weaviate://localhost/")?.split_once('/')?;
    Some((collection.to_owned(), id.parse().ok()?))
}

fn merge(schema: &Schema, stored: &mut Object, patch: &Object) {
    for (name, value) in &patch.properties {
        let reference = schema.properties.get(name).is_some_and(|property| matches!(property.kind, Kind::Reference(_)));
        match (value, stored.properties.get_mut(name)) {
            (Value::Null, _) => {
                stored.properties.remove(name);
            }
            (Value::Array(more), Some(Value::Array(there))) if reference => there.extend(more.iter().cloned()),
            (value, _) => {
                stored.properties.insert(name.clone(), value.clone());
            }
        }
    }
    stored.vectors.extend(patch.vectors.clone());
}

/// The collection that auto-schema makes for an object.
fn made_up(name: &str, object: &Object) -> Schema {
    let dimensions = object.vectors.get(UNNAMED).map_or(3, Vec::len);
    let space = Space { index: "hnsw".to_owned(), metric: "cosine".to_owned(), dimensions };
    Schema {
        name: name.to_owned(),
        properties: object
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), Property::new(kind_of(value))))
            .collect(),
        vectors: BTreeMap::from([(UNNAMED.to_owned(), space)]),
        null_state: false,
        property_length: false,
    }
}

/// The kind that auto-schema derives from a value.
pub fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Number(_) => Kind::Number,
        Value::String(text) if text.parse::<Uuid>().is_ok() => Kind::Uuid,
        Value::String(text) if is_date(text) => Kind::Date,
        Value::Array(values) => Kind::List(Box::new(values.first().map_or(Kind::Text(Tokenization::Word), kind_of))),
        _ => Kind::Text(Tokenization::Word),
    }
}

fn is_date(text: &str) -> bool {
    text.len() >= 20 && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T'
}

fn kind_fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Text(_) | Kind::Blob => value.is_string(),
        Kind::Int => value.is_i64(),
        Kind::Number => value.is_number(),
        Kind::Bool => value.is_boolean(),
        Kind::Date => value.as_str().is_some_and(is_date),
        Kind::Uuid => value.as_str().is_some_and(|text| text.parse::<Uuid>().is_ok()),
        Kind::Geo => value.get("latitude").is_some(),
        Kind::Object => value.is_object() && value.get("latitude").is_none(),
        Kind::List(of) => value.as_array().is_some_and(|values| values.iter().all(|value| kind_fits(of, value))),
        Kind::Reference(_) => false,
    }
}
