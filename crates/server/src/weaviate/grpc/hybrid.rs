//! `hybrid_search`: a vector and a keyword search, fused.

use azimuth_engine::query::FusedSearch;
use azimuth_engine::schema::{Collection, ShardTable};
use tonic::Status;

use super::{keyword, near};
use crate::app::search::Ranking;
use crate::app::search::fusion::FusionKind;
use crate::app::search::hybrid::{self as app, ALPHA_DEFAULT, VectorPart};
use crate::app::search::keyword::KeywordError;
use crate::app::search::target::{self, Chosen, Threshold};
use crate::pb::weaviate::hybrid::{FusionType, Threshold as MaxDistance};
use crate::pb::weaviate::{Hybrid, NearVector};
use crate::weaviate::texts;

/// The search of a `hybrid_search`, and the vectors that it compares.
///
/// # Errors
/// When a module would be needed, or parts contradict each other.
pub(super) fn search<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    hybrid: &Hybrid,
    explain: bool,
) -> Result<(app::Hybrid, Vec<Chosen<'a>>), Status> {
    let alpha = alpha(hybrid);
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Status::unknown("alpha should be between 0.0 and 1.0"));
    }
    if hybrid.near_vector.as_ref().is_some_and(|near| near.selection.is_some()) {
        let why = "hybrid: selection must be set on the top-level hybrid search, not on the near_vector sub-search";
        return Err(Status::unknown(why));
    }
    let near = with_targets(hybrid);
    near::targets(collection, &near)?;
    let (mut vector, mut chosen) = (None, Vec::new());
    if alpha > 0.0 {
        let source = source(collection, hybrid)?;
        match near::near_vector(collection, &near)? {
            (Ranking::Vector(near), compared) => (vector, chosen) = (Some(VectorPart { near, source }), compared),
            _ => return Err(Status::unknown("hybrid: the sub-search is no search by a vector")),
        }
    }
    let distance = hybrid.threshold.as_ref().map(|MaxDistance::VectorDistance(distance)| f64::from(*distance));
    let max_distance = target::max_distance(&chosen, Threshold { distance, certainty: None })
        .map_err(|error| Status::unknown(texts::threshold(&error)))?;
    let keyword = if alpha < 1.0 {
        let operator = hybrid.bm25_search_operator.as_ref();
        match keyword::request(&hybrid.query, &hybrid.properties, operator).resolve(collection, false) {
            Ok(keyword) => Some(keyword),
            Err(KeywordError::NoQuery) => None,
            Err(error) => {
                let shard = shards.first().map_or("", |shard| shard.name.as_str());
                return Err(Status::unknown(texts::keyword_of_hybrid(&error, &collection.name, shard)));
            }
        }
    } else {
        None
    };
    let kind = match hybrid.fusion_type() {
        FusionType::Ranked => FusionKind::Ranked,
        FusionType::RelativeScore | FusionType::Unspecified => FusionKind::RelativeScore,
    };
    Ok((app::Hybrid { vector, keyword, alpha, kind, max_distance, explain }, chosen))
}

#[expect(deprecated, reason = "old clients still send the old field")]
fn alpha(hybrid: &Hybrid) -> f64 {
    if hybrid.use_alpha_param { hybrid.alpha_param.map_or(ALPHA_DEFAULT, f64::from) } else { f64::from(hybrid.alpha) }
}

/// Where the vector comes from.
#[expect(deprecated, reason = "old clients still send the old fields")]
fn source(collection: &Collection, hybrid: &Hybrid) -> Result<FusedSearch, Status> {
    let given = !hybrid.vectors.is_empty() || !hybrid.vector_bytes.is_empty() || !hybrid.vector.is_empty();
    let refused = |why: &str| Err(Status::unknown(why));
    match (hybrid.near_text.is_some(), hybrid.near_vector.is_some(), given) {
        (true, true, _) => refused("cannot combine nearText and nearVector in hybrid search"),
        (true, _, true) => refused("cannot combine nearText and query in hybrid search"),
        (_, true, true) => refused("cannot combine nearVector and vector in hybrid search"),
        (true, ..) => Err(Status::unknown(texts::no_vectorizer(&collection.name, "nearText"))),
        (false, false, false) => Err(Status::unknown(texts::no_query_vector(&collection.name, &hybrid.query))),
        (false, false, true) => match hybrid.vectors.len() {
            // Several vectors are for several targets, which `near_vector` gives.
            0 | 1 => Ok(FusedSearch::Vector),
            count => refused(&format!("hybrid: only 1 vector supported, found {count} vectors")),
        },
        (false, true, false) => match &hybrid.near_vector {
            Some(near) if near.distance.is_some() && near.certainty.is_some() => refused(
                "explorer: get class: vectorize search vector: found 'certainty' and 'distance' set in nearVector which \
                 are conflicting, choose one instead",
            ),
            _ => Ok(FusedSearch::VectorSearch),
        },
    }
}

/// The vectors of the search with its targets.
#[expect(deprecated, reason = "old clients still send the old fields")]
pub(super) fn with_targets(hybrid: &Hybrid) -> NearVector {
    let mut near = hybrid.near_vector.clone().unwrap_or_else(|| NearVector {
        vectors: hybrid.vectors.clone(),
        vector_bytes: hybrid.vector_bytes.clone(),
        vector: hybrid.vector.clone(),
        ..NearVector::default()
    });
    if hybrid.targets.is_some() {
        near.targets.clone_from(&hybrid.targets);
    }
    if !hybrid.target_vectors.is_empty() {
        near.target_vectors.clone_from(&hybrid.target_vectors);
    }
    near
}
