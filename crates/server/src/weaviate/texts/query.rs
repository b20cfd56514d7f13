//! Texts about searches, filters, sort clauses and tenants.

use azimuth_engine::Error;
use azimuth_engine::error::{FilterError, IndexedPart, SortError, SortRefusal, ValueKind};
use azimuth_engine::vector::Distance;

use crate::app::search::keyword::KeywordError;
use crate::app::search::target::ThresholdError;
use crate::app::search::{Ranking, RankingKind, SearchError};
use crate::app::shards::RouteError;

/// Path of every error of a vector search.
pub(crate) const VECTOR_SEARCH: &str = "explorer: get class: concurrentTargetVectorSearch): explorer: get class";

const ONLY_STOPWORDS: &str = "invalid search term, only stopwords provided. Stopwords can be configured in \
                              class.invertedIndexConfig.stopwords";

/// Path of the errors of this kind of search, up to the cause.
pub(crate) fn search_path(ranking: &Ranking) -> &'static str {
    if ranking.is_search() { "explorer: get class" } else { "explorer: list class" }
}

/// Puts the path of a listing before the cause.
pub(crate) fn listing(collection: &str, why: &str) -> String {
    format!("explorer: list class: search: object search at index {}: {why}", collection.to_lowercase())
}

/// Puts the path of a vector search before the cause.
pub(crate) fn vector_search(collection: &str, why: &str) -> String {
    let index = collection.to_lowercase();
    format!("{VECTOR_SEARCH}: vector search: object vector search at index {index}: {why}")
}

/// Puts the path of a keyword search before the cause.
fn keyword_search(collection: &str, why: &str) -> String {
    format!("explorer: get class: vector search: {}", object_search(collection, why))
}

fn object_search(collection: &str, why: &str) -> String {
    format!("object search at index {}: {why}", collection.to_lowercase())
}

/// The refusal of a page.
pub(crate) fn refused_page(kind: RankingKind, why: &str) -> String {
    match kind {
        RankingKind::Listing => format!("explorer: list class: search: {why}"),
        RankingKind::Vector => format!("{VECTOR_SEARCH}: vector search: {why}"),
        RankingKind::Keyword => format!("explorer: get class: vector search: {why}"),
        RankingKind::Hybrid => why.to_owned(),
    }
}

/// The refusal of a keyword search; `shard` is the first one of the collection.
pub(crate) fn keyword(error: &KeywordError, collection: &str, shard: &str) -> String {
    match error {
        KeywordError::NoQuery => "keyword search (bm25) must have query set".to_owned(),
        KeywordError::NotSearchable(name) => format!(
            "Searching by property '{name}' requires inverted index. Is `indexSearchable` option of property '{name}' \
             enabled? Set it to `true` or leave empty"
        ),
        KeywordError::NoProperties => {
            keyword_search(collection, "No properties provided, and no indexed properties found in class")
        }
        KeywordError::SeveralGroups => {
            let why = "blockmaxwand: OPERATOR_AND_CROSS requires all searched properties to share the same tokenization \
                       and analyzer settings";
            let index = collection.to_lowercase();
            keyword_search(collection, &format!("local shard object search {index}_{shard}: {why}"))
        }
    }
}

/// The refusal of the keyword search of a hybrid search.
pub(crate) fn keyword_of_hybrid(error: &KeywordError, collection: &str, shard: &str) -> String {
    let index = collection.to_lowercase();
    let why = keyword(error, collection, shard);
    object_search(collection, &format!("local shard object search {index}_{shard}: {why}"))
}

/// The refusal of a hybrid search that lacks a vector.
pub(crate) fn no_query_vector(class: &str, query: &str) -> String {
    format!("VectorFromInput was called without vectorizer on class {class} for input {query}")
}

/// The refusal of a search that needs a vectorizer.
pub(crate) fn no_vectorizer(class: &str, search: &str) -> String {
    format!(
        "explorer: get class: vectorize search vector: could not vectorize input for collection {class} with search-type \
         {search}. Make sure a vectorizer module is configured for this collection"
    )
}

/// The refusal of a property that a class does not have.
pub(crate) fn no_such_property(property: &str, class: &str) -> String {
    format!(
        "no such prop with name '{property}' found in class '{class}' in the schema. Check your schema files for which \
         properties in this class are available"
    )
}

/// Why a request does not lead to a shard.
pub(crate) fn route(error: &RouteError) -> String {
    match error {
        RouteError::Missing(class) => {
            format!("class {class} has multi-tenancy enabled, but request was without tenant")
        }
        RouteError::Unexpected(class) => {
            format!("class {class} has multi-tenancy disabled, but request was with tenant")
        }
        RouteError::NotFound(tenant) => format!("tenant not found: {tenant:?}"),
        RouteError::Inactive(tenant) => format!("tenant not active: '{tenant}'"),
        RouteError::NoShard(class) => format!("class {class} has no shard"),
    }
}

/// The refusal of a threshold, or of certainties in the answer.
pub(crate) fn threshold(error: &ThresholdError) -> String {
    match error {
        ThresholdError::NotFinite { name, value } => format!("{name} must be a finite number, got {value}"),
        ThresholdError::SeveralTargets => "multiple target vectors are not supported with certainty".to_owned(),
        ThresholdError::NoCertainty(distance) => {
            let name = match distance {
                Distance::Cosine => "cosine",
                Distance::Dot => "dot",
                Distance::L2Squared => "l2-squared",
                Distance::Manhattan => "manhattan",
                Distance::Hamming => "hamming",
            };
            format!("can't compute and return certainty when vector index is configured with {name} distance")
        }
    }
}

/// The text of a search that was refused.
pub(super) fn search(error: &SearchError) -> String {
    let near_object = |why: &str| format!("{VECTOR_SEARCH}: vectorize search vector: nearObject params: {why}");
    match error {
        SearchError::Shard { error: error @ Error::Sort(_), .. } => {
            format!("invalid 'sort' parameter: {}", engine(error))
        }
        SearchError::Shard { error: error @ Error::Filter(FilterError::NotFilterable(_)), .. } => engine(error),
        SearchError::Shard { collection, shard, kind, error } => {
            let (index, why) = (collection.to_lowercase(), engine(error));
            match kind {
                RankingKind::Listing => {
                    listing(collection, &format!("local shard object search {index}_{shard}: {why}"))
                }
                RankingKind::Vector | RankingKind::Hybrid => {
                    vector_search(collection, &format!("shard {index}_{shard}: {why}"))
                }
                RankingKind::Keyword => {
                    keyword_search(collection, &format!("local shard object search {index}_{shard}: {why}"))
                }
            }
        }
        SearchError::NoObject => near_object("vector not found"),
        SearchError::NoVector(id) => near_object(&format!("nearObject search-object with id {id} has no vector")),
        SearchError::NoNamedVector(name) => near_object(&format!("vector not found for target: {name}")),
        SearchError::Follow(error) => format!("resolve references: {}", route(error)),
        SearchError::Read(error) => engine(error),
    }
}

/// The text of an error of the engine.
pub(super) fn engine(error: &Error) -> String {
    match error {
        Error::Filter(error) => filter(error),
        Error::Sort(errors) => errors.iter().map(sort).collect::<Vec<_>>().join(", "),
        Error::WrongDimension { multi, flat, given, expected, .. } => match (flat, multi) {
            (true, _) => format!("vector search: {given} vs {expected}: vector lengths don't match"),
            (false, multi) => format!(
                "{}vector search: knn search: distance between entrypoint and query node: {expected} vs {given}: \
                 vector lengths don't match",
                if *multi { "multi " } else { "" }
            ),
        },
        other => other.to_string(),
    }
}

fn filter(error: &FilterError) -> String {
    const RESOLVE: &str = "resolve doc ids for prop/value pair";
    match error {
        FilterError::NoSuchProperty { property, collection } => no_such_property(property, collection),
        FilterError::NotFilterable(name) => format!(
            "Filtering by property '{name}' requires inverted index. Is `indexFilterable` option of property '{name}' \
             enabled? Set it to `true` or leave empty"
        ),
        FilterError::NotIndexed { property, part } => {
            let suffix = match part {
                IndexedPart::Values => "",
                IndexedPart::Nulls => "_nullState",
                IndexedPart::Lengths => "_propertyLength",
            };
            format!("{RESOLVE}: bucket for prop {property}{suffix} not found - is it indexed?")
        }
        FilterError::NullsNotIndexed => format!(
            "{RESOLVE}: Nullstate must be indexed to be filterable! Add `indexNullState: true` to the \
             invertedIndexConfig"
        ),
        FilterError::LengthsNotIndexed(class) => format!(
            "{RESOLVE}: Property length must be indexed to be filterable! add `IndexPropertyLength: true` to the \
             invertedIndexConfig in {class}.  Geo-coordinates, phone numbers and data blobs are not supported by \
             property length."
        ),
        FilterError::TimesNotIndexed(class) => format!(
            "{RESOLVE}: Timestamps must be indexed to be filterable! Add `IndexTimestamps: true` to the \
             InvertedIndexConfig in {class}"
        ),
        FilterError::NullLength(name) => {
            format!("failed to extract length of prop, unsupported type 'schema.DataType' for length of prop '{name}'")
        }
        FilterError::OnlyStopwords => ONLY_STOPWORDS.to_owned(),
        FilterError::OnlyStopwordsIn(at) => format!("nested query: nested clause at pos {at}: {ONLY_STOPWORDS}"),
        FilterError::OnlyCountable(name) => format!("reference property '{name}' can only be counted"),
        FilterError::WrongOperator { operator, kind } => {
            let of = if *kind == ValueKind::Text { "text".to_owned() } else { go_type(kind) };
            format!("operator {operator} cannot be used on {of} properties")
        }
        FilterError::WrongKind { wanted, given } => {
            let (type_name, given) = (go_type(wanted), go_type(given));
            match wanted {
                ValueKind::Text | ValueKind::Uuid => format!("expected value to be {type_name}, got '{given}'"),
                _ => format!("expected value to be {type_name}, got {given}"),
            }
        }
        FilterError::NotAList { wanted, given } => {
            format!("value type should be []{} but is {}", go_type(wanted), go_type(given))
        }
        FilterError::NotAGeoRange(given) => format!("WithinGeoRange needs a geo range, got {}", go_type(given)),
        FilterError::NotAPlace(name) => format!("property '{name}' holds no geo coordinates"),
        FilterError::NotAUuid(text) => format!("parse uuid filter value: invalid UUID length: {}", text.len()),
        FilterError::NotATime(text) => format!("expected value to be timestamp, got '{text}'"),
        FilterError::WrongTimeKind(given) => {
            format!("expected value to be string or time.Time, got '{}'", go_type(given))
        }
        FilterError::TimeOutOfRange(time) => format!("time {time} is out of range"),
    }
}

fn sort(error: &SortError) -> String {
    let SortError { position, reason } = error;
    let why = match reason {
        SortRefusal::NoProperty => "path parameter cannot be empty".to_owned(),
        SortRefusal::NoSuchProperty { property, collection } => no_such_property(property, collection),
        SortRefusal::Uuid(name) => format!(
            "prop \"{name}\" is of type uuid/uuid[]: sorting by uuid is currently not supported - if you believe it \
             should be, please open a feature request on github.com/weaviate/weaviate"
        ),
        SortRefusal::Reference { property, target } => format!(
            "sorting by reference not supported, property \"{property}\" is a ref prop to the class \"{target}\""
        ),
    };
    format!("sort parameter at position {position}: {why}")
}

/// The type that a kind of values has in Go.
fn go_type(kind: &ValueKind) -> String {
    let name = match kind {
        ValueKind::Int | ValueKind::Reference => "int",
        ValueKind::Number => "float64",
        ValueKind::Bool => "bool",
        ValueKind::Date => "time.Time",
        ValueKind::Text | ValueKind::Uuid | ValueKind::Blob => "string",
        ValueKind::Geo => "geo range",
        ValueKind::Phone => "phone number",
        ValueKind::Object => "object",
        ValueKind::List(of) => return format!("[]{}", go_type(of)),
    };
    name.to_owned()
}

/// The refusal of a search by its tenant.
pub(crate) fn refused_tenant(collection: &str, ranking: &Ranking, error: &RouteError) -> String {
    let explain = match ranking.kind() {
        RankingKind::Listing => listing,
        RankingKind::Vector => vector_search,
        RankingKind::Keyword => keyword_search,
        RankingKind::Hybrid => object_search,
    };
    explain(collection, &route(error))
}

#[cfg(test)]
mod tests {
    use azimuth_engine::ids::{CollectionId, ShardId, ShardKey};

    use super::*;

    #[test]
    fn filters_are_refused_in_the_words_of_the_wire() {
        let check = |error: FilterError, want: &str| assert_eq!(engine(&Error::Filter(error)), want);
        let list = |of: ValueKind| ValueKind::List(Box::new(of));
        check(
            FilterError::NotFilterable("size".to_owned()),
            "Filtering by property 'size' requires inverted index. Is `indexFilterable` option of property 'size' enabled? \
             Set it to `true` or leave empty",
        );
        for (part, suffix) in
            [(IndexedPart::Values, ""), (IndexedPart::Nulls, "_nullState"), (IndexedPart::Lengths, "_propertyLength")]
        {
            let want =
                format!("resolve doc ids for prop/value pair: bucket for prop at{suffix} not found - is it indexed?");
            check(FilterError::NotIndexed { property: "at".to_owned(), part }, &want);
        }
        let wrong = |wanted, given| FilterError::WrongKind { wanted, given };
        check(wrong(ValueKind::Text, ValueKind::Int), "expected value to be string, got 'int'");
        check(wrong(ValueKind::Uuid, ValueKind::Bool), "expected value to be string, got 'bool'");
        check(wrong(ValueKind::Number, list(ValueKind::Text)), "expected value to be float64, got []string");
        let operator = |kind| FilterError::WrongOperator { operator: "Like".to_owned(), kind };
        check(operator(ValueKind::Text), "operator Like cannot be used on text properties");
        check(operator(ValueKind::Uuid), "operator Like cannot be used on string properties");
        check(operator(ValueKind::Date), "operator Like cannot be used on time.Time properties");
        check(
            FilterError::NotAList { wanted: ValueKind::Reference, given: ValueKind::Geo },
            "value type should be []int but is geo range",
        );
        check(FilterError::WrongTimeKind(ValueKind::Bool), "expected value to be string or time.Time, got 'bool'");
        check(FilterError::NotAUuid("abc".to_owned()), "parse uuid filter value: invalid UUID length: 3");
    }

    #[test]
    fn a_refused_search_names_its_shard_unless_the_request_alone_is_wrong() {
        let shard = |listing, error| SearchError::Shard {
            collection: "Book".to_owned(),
            shard: "s1".to_owned(),
            kind: if listing { RankingKind::Listing } else { RankingKind::Vector },
            error,
        };
        let unknown = Error::UnknownShard(ShardKey { collection: CollectionId(1), shard: ShardId(2) });
        let why = "shard 2 of collection 1 does not exist";
        assert_eq!(
            search(&shard(true, unknown.clone())),
            format!(
                "explorer: list class: search: object search at index book: local shard object search book_s1: {why}"
            )
        );
        assert_eq!(
            search(&shard(false, unknown)),
            format!("{VECTOR_SEARCH}: vector search: object vector search at index book: shard book_s1: {why}")
        );
        let clauses = vec![SortError { position: 1, reason: SortRefusal::NoProperty }];
        assert_eq!(
            search(&shard(false, Error::Sort(clauses))),
            "invalid 'sort' parameter: sort parameter at position 1: path parameter cannot be empty"
        );
        let lengths = |flat, multi| Error::WrongDimension { vector: String::new(), multi, flat, given: 3, expected: 2 };
        assert_eq!(engine(&lengths(true, false)), "vector search: 3 vs 2: vector lengths don't match");
        assert_eq!(
            engine(&lengths(false, true)),
            "multi vector search: knn search: distance between entrypoint and query node: 2 vs 3: vector lengths don't \
             match"
        );
    }
}
