//! The three wires, and the conversion of their answers into the model's form.

use azimuth_client::proto::weaviate::v1 as pb;
use pb::list_value::Kind as ListKind;
use pb::value::Kind as ValueKind;
use pb::weaviate_client::WeaviateClient;
use prost_types::value::Kind as StructKind;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::model::{Object, beacons};
use super::schema::{Schema, UNNAMED};
use super::step::Item;
use super::value::{Kind, nested};
use crate::raw_http;
use crate::server::Server;

/// A hit: the object as the wire shows it, and its distance.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    /// Its id.
    pub(super) id: Uuid,
    /// Its properties and vectors, without references.
    pub(super) object: Object,
    /// For searches by vector.
    pub(super) distance: Option<f64>,
}

/// Connections to a running server.
pub(super) struct Wires {
    address: String,
    grpc: WeaviateClient<Channel>,
    runtime: tokio::runtime::Runtime,
}

/// An answer of REST: status and body (`Null` without one).
pub(super) type Answer = (u16, Value);

impl Wires {
    /// Connects to the server.
    ///
    /// # Panics
    /// When no runtime can be made.
    pub(super) fn new(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let address = format!("http://127.0.0.1:{}", server.grpc_port());
        let endpoint = Endpoint::from_shared(address).expect("a local address");
        let channel = runtime.block_on(async { endpoint.connect_lazy() });
        Self { address: server.http_address(), grpc: WeaviateClient::new(channel), runtime }
    }

    /// A request to REST.
    ///
    /// # Errors
    /// When there is no answer, or one of 500 and more.
    pub(super) fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let headers = [("Content-Type", "application/json")];
        let answer = raw_http::request(&self.address, method, path, &headers, text.as_bytes())
            .map_err(|error| format!("{method} {path}: no answer: {error}"))?;
        if answer.status >= 500 {
            return Err(format!("{method} {path} {text}: {} {}", answer.status, answer.body));
        }
        Ok((answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null)))
    }

    /// `data` of a GraphQL answer, or the text of its errors.
    ///
    /// # Errors
    /// When there is no answer that GraphQL allows.
    pub(super) fn graphql(&self, query: &str) -> Result<Result<Value, String>, String> {
        let (status, answer) = self.rest("POST", "/v1/graphql", Some(&json!({ "query": query })))?;
        if let Some(errors) = answer.get("errors").filter(|errors| !errors.is_null()) {
            return Ok(Err(errors.to_string()));
        }
        match answer.get("data") {
            Some(data) if status == 200 => Ok(Ok(data.clone())),
            _ => Ok(Err(format!("{status} {answer}"))),
        }
    }

    /// A call of gRPC.
    pub(super) fn search(&self, request: pb::SearchRequest) -> Result<pb::SearchReply, tonic::Status> {
        let mut grpc = self.grpc.clone();
        self.runtime.block_on(async move { grpc.search(request).await }).map(tonic::Response::into_inner)
    }

    /// A call of gRPC.
    pub(super) fn aggregate(&self, request: pb::AggregateRequest) -> Result<pb::AggregateReply, tonic::Status> {
        let mut grpc = self.grpc.clone();
        self.runtime.block_on(async move { grpc.aggregate(request).await }).map(tonic::Response::into_inner)
    }

    /// A call of gRPC.
    pub(super) fn batch_objects(
        &self,
        request: pb::BatchObjectsRequest,
    ) -> Result<pb::BatchObjectsReply, tonic::Status> {
        let mut grpc = self.grpc.clone();
        self.runtime.block_on(async move { grpc.batch_objects(request).await }).map(tonic::Response::into_inner)
    }

    /// A call of gRPC.
    pub(super) fn batch_delete(&self, request: pb::BatchDeleteRequest) -> Result<pb::BatchDeleteReply, tonic::Status> {
        let mut grpc = self.grpc.clone();
        self.runtime.block_on(async move { grpc.batch_delete(request).await }).map(tonic::Response::into_inner)
    }
}

/// JSON as a GraphQL literal; the operators of filters are words there.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("operator", Value::String(word)) => format!("operator: {word}"),
                    _ => format!("{name}: {}", literal(value)),
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(literal).collect();
            format!("[{}]", values.join(", "))
        }
        value => value.to_string(),
    }
}

/// An object of REST in the model's form; references without `href`.
pub(super) fn from_rest(answer: &Value) -> Object {
    let mut object = Object::default();
    for (name, value) in answer["properties"].as_object().into_iter().flatten() {
        let mut value = value.clone();
        if let Value::Array(values) = &mut value {
            for value in values {
                if value.get("beacon").is_some() {
                    value.as_object_mut().map(|fields| fields.remove("href"));
                }
            }
        }
        object.properties.insert(name.clone(), value);
    }
    let vector = |value: &Value| -> Option<Vec<f32>> {
        value.as_array()?.iter().map(|part| part.as_f64().map(|part| part as f32)).collect()
    };
    if let Some(vector) = vector(&answer["vector"]) {
        object.vectors.insert(UNNAMED.to_owned(), vector);
    }
    for (name, value) in answer["vectors"].as_object().into_iter().flatten() {
        object.vectors.extend(vector(value).map(|vector| (name.clone(), vector)));
    }
    object
}

/// The fields that a GraphQL query selects of each object: everything but references.
pub(super) fn selection(schema: &Schema) -> String {
    let mut fields: Vec<String> = Vec::new();
    for (name, property) in &schema.properties {
        match property.kind {
            Kind::Reference(_) => {}
            Kind::Object => fields.push(format!("{name} {{ {} }}", nested().map(|(name, _)| name).join(" "))),
            Kind::Geo => fields.push(format!("{name} {{ latitude longitude }}")),
            _ => fields.push(name.clone()),
        }
    }
    let vectors = match schema.vectors.contains_key(UNNAMED) {
        true => "vector".to_owned(),
        false => format!("vectors {{ {} }}", schema.vectors.keys().cloned().collect::<Vec<_>>().join(" ")),
    };
    format!("{} _additional {{ id distance {vectors} }}", fields.join(" "))
}

/// An object of GraphQL; null values count as missing.
pub(super) fn from_graphql(answer: &Value) -> Option<Hit> {
    let additional = &answer["_additional"];
    let mut object = from_rest(additional);
    for (name, value) in answer.as_object()? {
        if name != "_additional" && !value.is_null() {
            let mut value = value.clone();
            if let Value::Object(fields) = &mut value {
                fields.retain(|_, value| !value.is_null());
            }
            object.properties.insert(name.clone(), value);
        }
    }
    object.vectors.retain(|_, vector| !vector.is_empty());
    Some(Hit { id: additional["id"].as_str()?.parse().ok()?, object, distance: additional["distance"].as_f64() })
}

/// An object of gRPC.
pub(super) fn from_grpc(result: &pb::SearchResult) -> Option<Hit> {
    let metadata = result.metadata.as_ref()?;
    let mut object = Object::default();
    let properties = result.properties.as_ref().and_then(|properties| properties.non_ref_props.as_ref());
    for (name, value) in properties.into_iter().flat_map(|properties| &properties.fields) {
        let value = from_value(value);
        if !value.is_null() {
            object.properties.insert(name.clone(), value);
        }
    }
    if !metadata.vector_bytes.is_empty() {
        object.vectors.insert(UNNAMED.to_owned(), floats(&metadata.vector_bytes));
    }
    for vector in &metadata.vectors {
        object.vectors.insert(vector.name.clone(), floats(&vector.vector_bytes));
    }
    let distance = metadata.distance_present.then(|| f64::from(metadata.distance));
    Some(Hit { id: metadata.id.parse().ok()?, object, distance })
}

fn from_fields(properties: &pb::Properties) -> Value {
    let fields: Map<String, Value> =
        properties.fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect();
    fields.into()
}

fn from_value(value: &pb::Value) -> Value {
    match &value.kind {
        Some(ValueKind::NumberValue(value)) => json!(value),
        Some(ValueKind::BoolValue(value)) => json!(value),
        Some(ValueKind::ObjectValue(value)) => from_fields(value),
        Some(
            ValueKind::DateValue(text)
            | ValueKind::UuidValue(text)
            | ValueKind::BlobValue(text)
            | ValueKind::TextValue(text),
        ) => json!(text),
        Some(ValueKind::IntValue(value)) => json!(value),
        Some(ValueKind::GeoValue(geo)) => {
            json!({ "latitude": f64::from(geo.latitude), "longitude": f64::from(geo.longitude) })
        }
        Some(ValueKind::ListValue(list)) => match &list.kind {
            Some(ListKind::NumberValues(values)) => {
                values.values.chunks_exact(8).map(|part| f64::from_le_bytes(eight(part))).collect()
            }
            Some(ListKind::IntValues(values)) => {
                values.values.chunks_exact(8).map(|part| i64::from_le_bytes(eight(part))).collect()
            }
            Some(ListKind::BoolValues(values)) => values.values.iter().copied().collect(),
            Some(ListKind::ObjectValues(values)) => values.values.iter().map(from_fields).collect(),
            Some(ListKind::DateValues(values)) => values.values.iter().cloned().collect(),
            Some(ListKind::UuidValues(values)) => values.values.iter().cloned().collect(),
            Some(ListKind::TextValues(values)) => values.values.iter().cloned().collect(),
            None => json!([]),
        },
        Some(ValueKind::PhoneValue(_) | ValueKind::NullValue(_)) | None => Value::Null,
    }
}

fn eight(part: &[u8]) -> [u8; 8] {
    std::array::from_fn(|at| part[at])
}

/// The numbers of packed bytes.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|part| f32::from_le_bytes([part[0], part[1], part[2], part[3]])).collect()
}

/// Numbers as packed bytes.
pub(super) fn bytes(vector: &[f32]) -> bytes::Bytes {
    vector.iter().flat_map(|part| part.to_le_bytes()).collect()
}

/// An object of a batch of gRPC. The schema decides between kinds that JSON does not distinguish.
pub(super) fn batch_object(schema: Option<&Schema>, (collection, id, object): &Item) -> pb::BatchObject {
    let mut properties = pb::batch_object::Properties::default();
    let mut plain = BTreeMap::new();
    let mut lists = Lists::default();
    for (name, value) in &object.properties {
        let kind = schema.and_then(|schema| schema.properties.get(name)).map(|property| &property.kind);
        match (kind, value) {
            (Some(Kind::Reference(targets)), Value::Array(_)) => refer(&mut properties, name, targets, value),
            (Some(Kind::Object), Value::Object(fields)) => {
                properties
                    .object_properties
                    .push(pb::ObjectProperties { prop_name: name.clone(), value: Some(object_value(fields)) });
            }
            (_, Value::Array(values)) => lists.push(name, kind.map(Kind::member), values),
            (_, value) => drop(plain.insert(name.clone(), struct_value(value))),
        }
    }
    properties.non_ref_properties = Some(prost_types::Struct { fields: plain.into_iter().collect() });
    properties.number_array_properties = lists.numbers;
    properties.int_array_properties = lists.ints;
    properties.text_array_properties = lists.texts;
    properties.boolean_array_properties = lists.booleans;
    properties.empty_list_props = lists.empty;
    let mut out = pb::BatchObject {
        uuid: id.to_string(),
        collection: collection.clone(),
        properties: Some(properties),
        ..Default::default()
    };
    for (name, vector) in &object.vectors {
        if name == UNNAMED {
            out.vector_bytes = bytes(vector);
        } else {
            out.vectors.push(pb::Vectors { name: name.clone(), vector_bytes: bytes(vector), ..Default::default() });
        }
    }
    out
}

fn refer(properties: &mut pb::batch_object::Properties, name: &str, targets: &[String], value: &Value) {
    let beacons = beacons(Some(value));
    let ids = |target: &str| {
        beacons.iter().filter(|(collection, _)| collection == target).map(|(_, id)| id.to_string()).collect()
    };
    if let [target] = targets {
        let uuids = ids(target);
        let single = pb::batch_object::SingleTargetRefProps { uuids, prop_name: name.to_owned() };
        properties.single_target_ref_props.push(single);
        return;
    }
    for target in targets {
        let uuids: Vec<String> = ids(target);
        if !uuids.is_empty() {
            properties.multi_target_ref_props.push(pb::batch_object::MultiTargetRefProps {
                uuids,
                prop_name: name.to_owned(),
                target_collection: target.clone(),
            });
        }
    }
}

fn object_value(fields: &Map<String, Value>) -> pb::ObjectPropertiesValue {
    let mut value = pb::ObjectPropertiesValue::default();
    let (mut plain, mut lists) = (BTreeMap::new(), Lists::default());
    for (name, field) in fields {
        match field {
            Value::Array(values) => lists.push(name, Some(&Kind::Number), values),
            field => drop(plain.insert(name.clone(), struct_value(field))),
        }
    }
    value.non_ref_properties = Some(prost_types::Struct { fields: plain.into_iter().collect() });
    value.number_array_properties = lists.numbers;
    value.empty_list_props = lists.empty;
    value
}

/// Lists by the type of their elements.
#[derive(Default)]
struct Lists {
    numbers: Vec<pb::NumberArrayProperties>,
    ints: Vec<pb::IntArrayProperties>,
    texts: Vec<pb::TextArrayProperties>,
    booleans: Vec<pb::BooleanArrayProperties>,
    empty: Vec<String>,
}

impl Lists {
    fn push(&mut self, name: &str, kind: Option<&Kind>, values: &[Value]) {
        let prop_name = name.to_owned();
        match values.first() {
            None => self.empty.push(prop_name),
            Some(Value::Bool(_)) => {
                let values = values.iter().filter_map(Value::as_bool).collect();
                self.booleans.push(pb::BooleanArrayProperties { values, prop_name });
            }
            Some(Value::Number(_)) if kind == Some(&Kind::Int) => {
                let values = values.iter().filter_map(Value::as_i64).collect();
                self.ints.push(pb::IntArrayProperties { values, prop_name });
            }
            Some(Value::Number(_)) => {
                let parts = values.iter().filter_map(Value::as_f64).flat_map(f64::to_le_bytes).collect();
                let list = pb::NumberArrayProperties { values_bytes: parts, prop_name, ..Default::default() };
                self.numbers.push(list);
            }
            Some(_) => {
                let values = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                self.texts.push(pb::TextArrayProperties { values, prop_name });
            }
        }
    }
}

fn struct_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => StructKind::NullValue(0),
        Value::Bool(value) => StructKind::BoolValue(*value),
        Value::Number(value) => StructKind::NumberValue(value.as_f64().unwrap_or(0.0)),
        Value::String(text) => StructKind::StringValue(text.clone()),
        Value::Array(values) => {
            StructKind::ListValue(prost_types::ListValue { values: values.iter().map(struct_value).collect() })
        }
        Value::Object(fields) => StructKind::StructValue(prost_types::Struct {
            fields: fields.iter().map(|(name, value)| (name.clone(), struct_value(value))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}
