//! From a line of JSON to an object. The same line gives the same id in every run, so that a repeated import replaces
//! what an earlier one stored.

use azimuth_client::Object;
use serde_json::{Map, Value};
use uuid::Uuid;

/// How the lines of one import become objects.
pub(super) struct Shape {
    /// The field that identifies a line.
    pub(super) id_field: String,
    /// The property that keeps the value of that field.
    pub(super) id_property: Option<String>,
    namespace: Uuid,
}

impl Shape {
    pub(super) fn new(collection: &str, id_field: String, id_property: Option<String>) -> Shape {
        let name = format!("azimuth:import:{collection}");
        Shape { id_field, id_property, namespace: Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()) }
    }

    /// The object that `line` (record number `record`, from 0) describes.
    ///
    /// A line is either `{"properties": {..}, "vector": [..], "vectors": {"name": [..]}}`, the form of the wire, or flat: every
    /// field is a property, except the id field, `vector` and `vectors`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the line.
    pub(super) fn object(&self, line: &[u8], record: u64) -> Result<Object, String> {
        let mut fields = match serde_json::from_slice(line) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("the line is no JSON object".to_owned()),
            Err(error) => return Err(format!("the line is no JSON: {error}")),
        };
        let id_value = fields.remove(&self.id_field);
        let mut object = Object::with_id(self.id(id_value.as_ref(), record)?);
        if let Some(vector) = fields.remove("vector") {
            object = object.vector(numbers("vector", vector)?);
        }
        match fields.remove("vectors") {
            None | Some(Value::Null) => {}
            Some(Value::Object(named)) => {
                for (name, vector) in named {
                    let vector = numbers(&name, vector)?;
                    object = object.named_vector(name, vector);
                }
            }
            Some(_) => return Err("`vectors` is no object of vectors by name".to_owned()),
        }
        object.properties = match fields.remove("properties") {
            Some(Value::Object(properties)) => properties,
            Some(other) => std::iter::once(("properties".to_owned(), other)).chain(fields).collect(),
            None => fields,
        };
        self.keep_id(&mut object.properties, id_value);
        Ok(object)
    }

    /// A UUID stays what it is; another id, or the record's number, is hashed together with the collection's name.
    fn id(&self, value: Option<&Value>, record: u64) -> Result<Uuid, String> {
        let text = match value {
            None | Some(Value::Null) => format!("record {record}"),
            Some(Value::String(text)) => match Uuid::parse_str(text) {
                Ok(id) => return Ok(id),
                Err(_) => text.clone(),
            },
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(format!("`{}` is neither text nor a number", self.id_field)),
        };
        Ok(Uuid::new_v5(&self.namespace, text.as_bytes()))
    }

    fn keep_id(&self, properties: &mut Map<String, Value>, id_value: Option<Value>) {
        // `id` itself is reserved on the wire, any other field stays a property of its name.
        let own_name = (self.id_field != "id").then_some(&self.id_field);
        if let (Some(name), Some(value)) = (self.id_property.as_ref().or(own_name), id_value) {
            properties.insert(name.clone(), value);
        }
    }
}

fn numbers(name: &str, value: Value) -> Result<Vec<f32>, String> {
    serde_json::from_value(value).map_err(|_| format!("vector '{name}' is no list of numbers"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(shape: &Shape, line: &Value) -> Result<Object, String> {
        shape.object(line.to_string().as_bytes(), 7)
    }

    #[test]
    fn the_same_line_has_the_same_id_and_other_collections_other_ids() {
        let book = Shape::new("Book", "id".to_owned(), None);
        let id = |shape: &Shape, line: Value| object(shape, &line).expect("a good line").id;
        assert_eq!(id(&book, json!({"id": 1})), id(&book, json!({"id": 1, "text": "changed"})));
        assert_ne!(id(&book, json!({"id": 1})), id(&book, json!({"id": 2})));
        assert_ne!(id(&book, json!({"id": 1})), id(&Shape::new("Film", "id".to_owned(), None), json!({"id": 1})));
        let uuid = Uuid::from_u128(5);
        assert_eq!(id(&book, json!({"id": uuid})), uuid);
        assert_eq!(id(&book, json!({})), book.object(b"{\"x\": 1}", 7).expect("a good line").id);
        assert_ne!(id(&book, json!({})), book.object(b"{}", 8).expect("a good line").id);
    }

    #[test]
    fn flat_lines_and_lines_in_the_form_of_the_wire_give_the_same_object() {
        let shape = Shape::new("Book", "id".to_owned(), None);
        let flat = object(&shape, &json!({"id": "a", "title": "T", "n": 3, "vector": [1, 2.5]})).expect("a good line");
        let wire = json!({"id": "a", "class": "Other", "properties": {"title": "T", "n": 3}, "vector": [1, 2.5]});
        assert_eq!(object(&shape, &wire).expect("a good line"), flat);
        assert_eq!(flat.vectors.single(), Some(&[1.0, 2.5][..]));
        assert!(!flat.properties.contains_key("id"), "reserved on the wire");
    }

    #[test]
    fn the_id_is_kept_as_a_property_where_the_wire_allows_it() {
        let own = Shape::new("Book", "isbn".to_owned(), None);
        assert_eq!(object(&own, &json!({"isbn": 5})).expect("a good line").properties["isbn"], 5);
        let renamed = Shape::new("Book", "id".to_owned(), Some("number".to_owned()));
        let kept = object(&renamed, &json!({"id": 5, "a": 1})).expect("a good line").properties;
        assert_eq!(Value::Object(kept), json!({"number": 5, "a": 1}));
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let shape = Shape::new("Book", "id".to_owned(), None);
        for bad in [json!([1]), json!({"id": [1]}), json!({"vector": "x"}), json!({"vectors": [1]})] {
            assert!(object(&shape, &bad).is_err(), "{bad}");
        }
        assert!(shape.object(b"{\"a\":", 0).is_err());
        assert!(shape.object(&[0xff, b'{'], 0).is_err());
    }
}
