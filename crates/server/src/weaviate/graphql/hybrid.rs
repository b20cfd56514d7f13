//! `hybrid`: a vector and a keyword search, fused.

use azimuth_engine::query::FusedSearch;
use azimuth_engine::schema::{Collection, ShardTable};
use serde_json::{Value, json};

use super::near::{names, near_vector};
use super::{FieldError, keyword};
use crate::app::search::Ranking;
use crate::app::search::fusion::FusionKind;
use crate::app::search::hybrid::{ALPHA_DEFAULT, Hybrid, VectorPart};
use crate::app::search::keyword::KeywordError;
use crate::app::search::target::{self, Chosen, TargetError, Threshold};
use crate::weaviate::texts;

/// The search of a `hybrid` argument, and the vectors that it compares.
pub(super) fn search<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    hybrid: &Value,
    explain: bool,
) -> Result<(Hybrid, Vec<Chosen<'a>>), FieldError> {
    let alpha = hybrid.get("alpha").and_then(Value::as_f64).unwrap_or(ALPHA_DEFAULT);
    if !(0.0..=1.0).contains(&alpha) {
        return Err(refused("alpha should be between 0.0 and 1.0"));
    }
    if names(hybrid).is_empty() && sub_search(hybrid, "nearVector").is_some_and(|near| !names(near).is_empty()) {
        return Err(refused("targetVectors need to be set in the hybrid search to be handled correctly"));
    }
    // Whatever the weight: without a target nothing can be searched.
    if let Err(TargetError::Missing) = target::resolve(collection, &names(hybrid)) {
        let why = "multiple vectorizers configuration found, please specify target vector name";
        return Err(FieldError(why.to_owned()));
    }
    let (mut vector, mut chosen) = (None, Vec::new());
    if alpha > 0.0 {
        let (part, compared) = vector_part(collection, shards, hybrid)?;
        (vector, chosen) = (Some(part), compared);
    }
    let threshold = Threshold { distance: hybrid.get("maxVectorDistance").and_then(Value::as_f64), certainty: None };
    let max_distance =
        target::max_distance(&chosen, threshold).map_err(|error| FieldError(texts::threshold(&error)))?;
    let keyword = if alpha < 1.0 {
        match keyword::request(hybrid, "bm25SearchOperator").resolve(collection, false) {
            Ok(keyword) => Some(keyword),
            Err(KeywordError::NoQuery) => None,
            Err(error) => {
                let shard = shards.first().map_or("", |shard| shard.name.as_str());
                return Err(FieldError(texts::keyword_of_hybrid(&error, &collection.name, shard)));
            }
        }
    } else {
        None
    };
    let kind = match hybrid.get("fusionType").and_then(Value::as_str) {
        Some("rankedFusion") => FusionKind::Ranked,
        _ => FusionKind::RelativeScore,
    };
    Ok((Hybrid { vector, keyword, alpha, kind, max_distance, explain }, chosen))
}

/// The vector search, by a vector or by one of the sub-searches.
fn vector_part<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    hybrid: &Value,
) -> Result<(VectorPart, Vec<Chosen<'a>>), FieldError> {
    if sub_search(hybrid, "nearText").is_some() {
        return Err(match sub_search(hybrid, "nearVector") {
            Some(_) => refused("hybrid search cannot have both nearText and nearVector parameters"),
            None => FieldError(texts::no_vectorizer(&collection.name, "nearText")),
        });
    }
    let vector = hybrid.get("vector").filter(|vector| vector.as_array().is_none_or(|list| !list.is_empty()));
    let mut near = match (vector, sub_search(hybrid, "nearVector")) {
        (Some(_), Some(_)) => return Err(refused("cannot have both vector and nearVectorParams")),
        (Some(Value::Object(per_target)), None) => json!({"vectorPerTarget": per_target}),
        (Some(vector), None) => json!({"vector": vector}),
        (None, Some(near)) => near.clone(),
        (None, None) => {
            let query = hybrid.get("query").and_then(Value::as_str).unwrap_or_default();
            return Err(FieldError(texts::no_query_vector(&collection.name, query)));
        }
    };
    for name in ["targets", "targetVectors"] {
        if let (Some(given), Some(near)) = (hybrid.get(name), near.as_object_mut()) {
            near.insert(name.to_owned(), given.clone());
        }
    }
    let source = if vector.is_some() { FusedSearch::Vector } else { FusedSearch::VectorSearch };
    match near_vector(collection, shards, &near)? {
        (Ranking::Vector(near), chosen) => Ok((VectorPart { near, source }, chosen)),
        _ => Err(refused("the sub-search is no search by a vector")),
    }
}

/// The sub-search of that name.
pub(super) fn sub_search<'h>(hybrid: &'h Value, name: &str) -> Option<&'h Value> {
    let searches = match hybrid.get("searches") {
        Some(Value::Array(searches)) => searches.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    searches.iter().find_map(|search| search.get(name)).filter(|found| !found.is_null())
}

fn refused(why: &str) -> FieldError {
    FieldError(format!("failed to extract hybrid params: {why}"))
}
