//! `bm25`: keyword searches.

use azimuth_engine::query::{Keyword, KeywordOperator};
use azimuth_engine::schema::{Collection, ShardTable};
use serde_json::Value;

use super::FieldError;
use crate::app::search::keyword::{self, KeywordRequest};
use crate::weaviate::texts;

/// The search of a `bm25` argument.
pub(super) fn bm25(
    collection: &Collection,
    shards: &ShardTable,
    bm25: &Value,
    explain: bool,
) -> Result<Keyword, FieldError> {
    let shard = shards.first().map_or("", |shard| shard.name.as_str());
    let resolved = request(bm25, "searchOperator").resolve(collection, explain);
    resolved.map_err(|error| FieldError(texts::keyword(&error, &collection.name, shard)))
}

/// The parts of a keyword search; `operator` names the argument with the operator.
pub(super) fn request(given: &Value, operator: &str) -> KeywordRequest {
    let properties = match given.get("properties") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    let query = given.get("query").and_then(Value::as_str).unwrap_or_default().to_owned();
    KeywordRequest { query, properties, operator: given.get(operator).map(operator_of) }
}

fn operator_of(given: &Value) -> KeywordOperator {
    match given.get("operator").and_then(Value::as_str) {
        Some("And") => KeywordOperator::And,
        Some("AndCross") => KeywordOperator::AndCross,
        _ => keyword::or(given.get("minimumOrTokensMatch").and_then(Value::as_i64).unwrap_or(0)),
    }
}
