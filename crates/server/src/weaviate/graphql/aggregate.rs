//! `Aggregate`: the number of objects. Other metrics are refused by name.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::FieldError;
use super::arguments;
use super::document::Field;
use crate::app::shards::ShardTarget;
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::weaviate::texts;

/// Answers a class.
pub(super) async fn class(app: &Arc<App>, caller: &Caller, class: &Field) -> Result<Value, FieldError> {
    let refuse = |error: AppError| FieldError(texts::app(&error));
    let catalog = app.names(caller).map_err(refuse)?;
    let Some(collection) = catalog.find(&class.name).cloned() else {
        let text = format!("Cannot query field {:?} on type \"AggregateObjectsObj\".", class.name);
        return Err(FieldError(text));
    };
    let resource = Resource::objects(&collection.name, None);
    let permit = app.permit(caller, Access::Read, resource).map_err(refuse)?;
    if let Some(limit) = arguments::int(class, "objectLimit") {
        let searched = ["nearVector", "nearObject", "hybrid"].iter().any(|name| class.argument(name).is_some());
        if limit <= 0 {
            return Err(FieldError("objectLimit must be a positive integer".to_owned()));
        }
        if !searched {
            return Err(FieldError("objectLimit can only be used with a near<Media> or hybrid filter".to_owned()));
        }
    }
    for argument in ["objectLimit", "groupBy", "nearVector", "nearObject", "hybrid"] {
        if class.argument(argument).is_some() {
            return Err(FieldError(format!("aggregating with {argument} is not supported yet")));
        }
    }
    let filter = arguments::filter(app, &catalog, &collection, class)?;
    let tenant = arguments::text(class, "tenant").unwrap_or_default();
    let shards = catalog.shards(collection.id);
    let shard_target = ShardTarget::new(collection, shards, &tenant)
        .map_err(|error| FieldError(format!("aggregate: {}", texts::route(&error))))?;
    let shard = shard_target.first().name.clone();
    let count = app.count(&permit, shard_target, filter).await.map_err(|error| {
        let why = texts::app(&error);
        FieldError(format!("aggregate: shard {shard}: retrieve doc IDs from searcher: {why}"))
    })?;
    let mut group = Map::new();
    for field in &class.fields {
        match field.name.as_str() {
            "meta" => {
                let of_meta = |field: &Field| match field.name.as_str() {
                    "count" => json!(count),
                    _ => json!(format!("Aggregate{}MetaObject", class.name)),
                };
                let meta = field.fields.iter().map(|field| (field.key.clone(), of_meta(field)));
                group.insert(field.key.clone(), meta.collect());
            }
            "groupedBy" => {
                group.insert(field.key.clone(), Value::Null);
            }
            "__typename" => {
                group.insert(field.key.clone(), json!(format!("Aggregate{}", class.name)));
            }
            name => {
                return Err(FieldError(format!("aggregating the property {name:?} is not supported yet")));
            }
        }
    }
    Ok(json!([group]))
}
