//! `bm25_search`: keyword searches.

use azimuth_engine::query::{Keyword, KeywordOperator};
use azimuth_engine::schema::{Collection, ShardTable};
use tonic::Status;

use crate::app::search::keyword::{self, KeywordRequest};
use crate::pb::weaviate::search_operator_options::Operator;
use crate::pb::weaviate::{Bm25, SearchOperatorOptions};
use crate::weaviate::texts;

/// The search of a `bm25_search`.
///
/// # Errors
/// When it has no query, or names a property that is not searchable.
pub(super) fn bm25(
    collection: &Collection,
    shards: &ShardTable,
    given: &Bm25,
    explain: bool,
) -> Result<Keyword, Status> {
    let shard = shards.first().map_or("", |shard| shard.name.as_str());
    let request = request(&given.query, &given.properties, given.search_operator.as_ref());
    let resolved = request.resolve(collection, explain);
    resolved.map_err(|error| Status::unknown(texts::keyword(&error, &collection.name, shard)))
}

/// The parts of a keyword search. The first letter of a property's name may be in upper case.
pub(super) fn request(query: &str, properties: &[String], operator: Option<&SearchOperatorOptions>) -> KeywordRequest {
    let properties = properties.iter().map(|name| lower_first(name)).collect();
    KeywordRequest { query: query.to_owned(), properties, operator: operator.map(operator_of) }
}

fn operator_of(given: &SearchOperatorOptions) -> KeywordOperator {
    match given.operator() {
        Operator::And => KeywordOperator::And,
        Operator::AndCross => KeywordOperator::AndCross,
        Operator::Or | Operator::Unspecified => keyword::or(given.minimum_or_tokens_match.map_or(0, i64::from)),
    }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
