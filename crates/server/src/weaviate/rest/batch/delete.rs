//! DELETE `/batch/objects`: deletion by filter.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::app::objects::{delete, shard};
use crate::auth::{Access, Resource};
use crate::request_memory;
use crate::weaviate::filter::{self, FilterError};
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::rest::{decode, not_one_of};
use crate::weaviate::texts;

const OPERATORS: [&str; 15] = [
    "And",
    "Or",
    "Equal",
    "Like",
    "NotEqual",
    "GreaterThan",
    "GreaterThanEqual",
    "LessThan",
    "LessThanEqual",
    "WithinGeoRange",
    "IsNull",
    "ContainsAny",
    "ContainsAll",
    "ContainsNone",
    "Not",
];
/// Bytes of a verbose answer for each object.
const ANSWER_BYTES: usize = 512;
/// The time on the wire for a time of deletion that was not given: the year 1.
const NO_TIME_MS: i64 = -62_135_596_800_000;

/// DELETE `/batch/objects`.
pub(super) async fn delete(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let body = decode(req, "body", "models.BatchDelete")?;
    let refuse = |text: String| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text);
    let clause = body.get("match").ok_or_else(|| refuse("validate: empty match clause".to_owned()))?;
    let class = clause.get("class").and_then(Value::as_str).unwrap_or_default();
    if class.is_empty() {
        return Err(refuse("validate: empty match.class clause".to_owned()));
    }
    let condition = clause.get("where").ok_or_else(|| refuse("validate: empty match.where clause".to_owned()))?;
    check_operators(condition, 0, app.settings.filter_depth_max)?;
    let class = app.resolve(req.caller()?, class);
    let tenant = req.query.get("tenant").map(String::as_str).filter(|tenant| !tenant.is_empty());
    let permit = app.permit(req.caller()?, Access::Delete, Resource::objects(&class, tenant))?;
    let catalog = app.names(req.caller()?)?;
    let collection = catalog.find(&class).ok_or_else(|| refuse(format!("validate: failed to get class: {class}")))?;
    let active = shard::activate(app, &permit, collection, tenant).await?;
    let filter = filter::from_json(app, &catalog, collection, condition).map_err(|error| {
        refuse(match error {
            FilterError::Parse(text) => format!("validate: failed to parse where filter: {text}"),
            FilterError::Invalid(text) => format!("validate: invalid where filter: {text}"),
        })
    })?;
    let output = body.get("output").and_then(Value::as_str).unwrap_or("minimal");
    if !matches!(output, "minimal" | "verbose") {
        return Err(refuse(format!(
            "validate: invalid output: \"{output}\", possible values are: \"minimal\", \"verbose\""
        )));
    }
    let located = shard::targets_to_write(&active, collection, tenant);
    let (target, read_only) = located
        .map_err(|error| refuse(format!("batch delete objects: cannot find objects: {}", texts::route(&error))))?;
    let dry_run = body.get("dryRun").and_then(Value::as_bool).unwrap_or(false);
    let deleted = delete::matching(app, &permit, target, filter, dry_run, read_only).await?;
    request_memory::force(deleted.objects.len() * ANSWER_BYTES);
    Ok(Reply::ok(json!({
        "deletionTimeUnixMilli": body.get("deletionTimeUnixMilli").cloned().unwrap_or_else(|| Value::from(NO_TIME_MS)),
        "dryRun": dry_run,
        "match": {"class": collection.name, "where": echoed(condition)},
        "output": output,
        "results": results(&deleted, app.settings.query_maximum_results, dry_run, output == "verbose"),
    })))
}

fn results(deleted: &delete::Deleted, limit: usize, dry_run: bool, verbose: bool) -> Value {
    let failed = deleted.objects.iter().filter(|(_, gone)| !gone).count();
    let status = |gone: bool| match (dry_run, gone) {
        (true, _) => "DRYRUN",
        (false, true) => "SUCCESS",
        (false, false) => "FAILED",
    };
    let shown = deleted.objects.iter().filter(|(_, gone)| verbose || !gone);
    let object = |(id, gone): &(uuid::Uuid, bool)| {
        if deleted.read_only {
            // Such objects are shown without their ids.
            return json!({"errors": {"error": [{"message": texts::READ_ONLY}]}, "status": status(*gone)});
        }
        json!({"id": id.to_string(), "status": status(*gone)})
    };
    let objects: Vec<Value> = shown.map(object).collect();
    json!({
        "matches": deleted.matches,
        "limit": limit,
        "successful": if dry_run { 0 } else { deleted.objects.len() - failed },
        "failed": failed,
        "objects": if objects.is_empty() { Value::Null } else { Value::Array(objects) },
    })
}

/// Refuses words that are no operators, and conditions that are nested too deeply.
fn check_operators(condition: &Value, depth: usize, depth_max: usize) -> Result<(), Reply> {
    if depth > depth_max {
        let text = format!("validate: failed to parse where filter: nested deeper than {depth_max}");
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text));
    }
    if let Some(operator) = condition.get("operator").and_then(Value::as_str)
        && !OPERATORS.contains(&operator)
        && !operator.is_empty()
    {
        return Err(not_one_of("match.match.where.operator in body", &OPERATORS));
    }
    let operands = condition.get("operands").and_then(Value::as_array);
    operands.into_iter().flatten().try_for_each(|operand| check_operators(operand, depth + 1, depth_max))
}

/// A condition as answers show it: `operands` and `path` are there even when they were not given.
fn echoed(condition: &Value) -> Value {
    let mut map: Map<String, Value> = condition.as_object().cloned().unwrap_or_default();
    let operands = match map.remove("operands") {
        Some(Value::Array(operands)) => Value::Array(operands.iter().map(echoed).collect()),
        _ => Value::Null,
    };
    map.insert("operands".to_owned(), operands);
    map.entry("path").or_insert(Value::Null);
    Value::Object(map)
}
