//! `hybrid_search` with all the weight on the vector, made into `near_vector`.

use azimuth_engine::schema::Collection;
use tonic::Status;

use super::near;
use crate::app::search::Ranking;
use crate::app::search::fusion::{self, Fusion};
use crate::app::search::target::{self, Chosen, Threshold};
use crate::pb::weaviate::hybrid::{FusionType, Threshold as MaxDistance};
use crate::pb::weaviate::{Hybrid, NearVector, SearchRequest};
use crate::weaviate::texts;

/// A hybrid search by vector alone.
pub(super) struct Fused {
    near: NearVector,
    /// Hits farther than this are dropped.
    max_distance: Option<f32>,
    pub(super) fusion: Fusion,
}

/// The search by vector that a hybrid search with `alpha` 1 is; `None` when none is asked for.
///
/// # Errors
/// When keyword search or a module would be needed, or parts contradict each other.
#[expect(deprecated, reason = "old clients still send the old fields")]
pub(super) fn near_vector(collection: &Collection, request: &SearchRequest) -> Result<Option<Fused>, Status> {
    let Some(hybrid) = &request.hybrid_search else { return Ok(None) };
    if request.near_vector.is_some() || request.near_object.is_some() {
        return Err(Status::unknown("hybrid and a near search cannot be combined, choose one"));
    }
    let alpha = if hybrid.use_alpha_param {
        hybrid.alpha_param.map_or(fusion::ALPHA_DEFAULT, f64::from)
    } else {
        f64::from(hybrid.alpha)
    };
    if !(0.0..=1.0).contains(&alpha) {
        return Err(Status::unknown("alpha should be between 0.0 and 1.0"));
    }
    if !request.sort_by.is_empty() {
        return Err(Status::unknown("sorting cannot be combined with search"));
    }
    if alpha < 1.0 {
        // Errors in the rest of the request are reported first.
        return Ok(None);
    }
    if hybrid.selection.is_some() {
        return Err(Status::unknown("hybrid: diversity selection (MMR) is not supported yet"));
    }
    let given = !hybrid.vectors.is_empty() || !hybrid.vector_bytes.is_empty() || !hybrid.vector.is_empty();
    match (hybrid.near_text.is_some(), hybrid.near_vector.is_some(), given) {
        (true, true, _) => return Err(Status::unknown("cannot combine nearText and nearVector in hybrid search")),
        (true, _, true) => return Err(Status::unknown("cannot combine nearText and query in hybrid search")),
        (_, true, true) => return Err(Status::unknown("cannot combine nearVector and vector in hybrid search")),
        (true, ..) => {
            return Err(Status::unknown(format!(
                "explorer: get class: vectorize search vector: could not vectorize input for collection {} with \
                 search-type nearText. Make sure a vectorizer module is configured for this collection",
                collection.name
            )));
        }
        (false, false, false) => return Err(Status::unknown(fusion::no_vector(&collection.name, &hybrid.query))),
        _ => {}
    }
    let result_set = if given { "hybridVector" } else { "nearVector" };
    let ranked = hybrid.fusion_type() == FusionType::Ranked;
    let max_distance = hybrid.threshold.as_ref().map(|MaxDistance::VectorDistance(distance)| *distance);
    Ok(Some(Fused { near: with_targets(hybrid), max_distance, fusion: Fusion { ranked, result_set } }))
}

/// The vectors of the search with its targets.
#[expect(deprecated, reason = "old clients still send the old fields")]
fn with_targets(hybrid: &Hybrid) -> NearVector {
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

impl Fused {
    /// How the hits are ranked, and the vectors that are compared.
    pub(super) fn ranking<'a>(&self, collection: &'a Collection) -> Result<(Ranking, Vec<Chosen<'a>>), Status> {
        let (mut ranking, chosen) = near::near_vector(collection, &self.near)?;
        if let (Some(distance), Ranking::Vector(near)) = (self.max_distance, &mut ranking) {
            let threshold = Threshold { distance: Some(distance.into()), certainty: None };
            near.max_distance =
                target::max_distance(&chosen, threshold).map_err(|error| Status::unknown(texts::threshold(&error)))?;
        }
        Ok((ranking, chosen))
    }
}
