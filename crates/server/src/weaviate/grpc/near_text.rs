//! `near_text`, and hybrid searches without a vector: the module's vectors are put in, and a search by vectors is left.

use std::sync::Arc;

use azimuth_engine::schema::{Collection, ShardTable};
use tonic::Status;
use uuid::Uuid;

use super::near::targets_of;
use super::reply::f32_bytes;
use crate::app::App;
use crate::app::search::hybrid::ALPHA_DEFAULT;
use crate::app::search::near_text::{Move, NearText, NearTextError};
use crate::app::search::target::Chosen;
use crate::app::shards::ShardTarget;
use crate::auth::Permit;
use crate::modules::vectorizer::Vectorizer;
use crate::pb::weaviate::aggregate_request::Search as GivenSearch;
use crate::pb::weaviate::near_text_search::Move as GivenMove;
use crate::pb::weaviate::{
    AggregateRequest, Hybrid, NearTextSearch, NearVector, SearchRequest, Targets, VectorForTarget, Vectors,
};
use crate::weaviate::texts;

/// Where the vectors of a search are made.
pub(super) struct Place<'a> {
    pub(super) app: &'a App,
    pub(super) permit: &'a Permit,
    pub(super) collection: &'a Arc<Collection>,
    pub(super) shards: &'a ShardTable,
    pub(super) tenant: &'a str,
}

impl Place<'_> {
    /// Whether a vector of the collection has a vectorizer.
    pub(super) fn is_needed(&self) -> bool {
        Vectorizer::is_needed(self.collection)
    }

    /// The request with the vectors of its texts; `None` if it has no text to vectorise, or no vectorizer: then the request
    /// as it is leads to the refusal.
    pub(super) async fn resolve(&self, request: &SearchRequest) -> Result<Option<SearchRequest>, Status> {
        let others = [request.near_vector.is_some(), request.near_object.is_some(), request.bm25_search.is_some()];
        let is_alone = !others.contains(&true);
        match (&request.near_text, &request.hybrid_search) {
            (Some(near), None) if is_alone => {
                let Some(near_vector) = self.near_vector(near).await? else { return Ok(None) };
                Ok(Some(SearchRequest { near_text: None, near_vector: Some(near_vector), ..request.clone() }))
            }
            (None, Some(hybrid)) if is_alone => {
                let Some(hybrid) = self.hybrid(hybrid).await? else { return Ok(None) };
                Ok(Some(SearchRequest { hybrid_search: Some(Box::new(hybrid)), ..request.clone() }))
            }
            _ => Ok(None),
        }
    }

    /// The same for an aggregate.
    pub(super) async fn resolve_aggregate(
        &self,
        request: &AggregateRequest,
    ) -> Result<Option<AggregateRequest>, Status> {
        let search = match &request.search {
            Some(GivenSearch::NearText(near)) => self.near_vector(near).await?.map(GivenSearch::NearVector),
            Some(GivenSearch::Hybrid(hybrid)) => self.hybrid(hybrid).await?.map(GivenSearch::Hybrid),
            _ => None,
        };
        Ok(search.map(|search| AggregateRequest { search: Some(search), ..request.clone() }))
    }

    /// The search by vectors that a search by text is; `None` without a vectorizer.
    #[expect(deprecated, reason = "old clients still send the old field")]
    pub(super) async fn near_vector(&self, near: &NearTextSearch) -> Result<Option<NearVector>, Status> {
        let words = "explorer: get class: vectorize params: vectorize keywords: remote client vectorize";
        let (chosen, _) = targets_of(self.collection, near.targets.as_ref(), &near.target_vectors)?;
        let Some(vectors) = self.vectors(&chosen, &typed(near)?, words).await? else { return Ok(None) };
        Ok(Some(NearVector {
            vector_for_targets: vectors,
            targets: near.targets.clone().or_else(|| targets(&near.target_vectors)),
            certainty: near.certainty,
            distance: near.distance,
            selection: near.selection,
            ..NearVector::default()
        }))
    }

    /// The hybrid search with a vector; `None` if it has one, or needs none.
    #[expect(deprecated, reason = "old clients still send the old fields")]
    pub(super) async fn hybrid(&self, hybrid: &Hybrid) -> Result<Option<Hybrid>, Status> {
        let alpha = if hybrid.use_alpha_param {
            hybrid.alpha_param.map_or(ALPHA_DEFAULT, f64::from)
        } else {
            f64::from(hybrid.alpha)
        };
        let given = !hybrid.vectors.is_empty() || !hybrid.vector_bytes.is_empty() || !hybrid.vector.is_empty();
        if alpha <= 0.0 || given || hybrid.near_vector.is_some() {
            return Ok(None);
        }
        let near = match &hybrid.near_text {
            Some(near) => typed(near)?,
            None if hybrid.query.is_empty() => return Ok(None),
            None => NearText::of(&hybrid.query),
        };
        let words = "vectorize keywords: remote client vectorize";
        let (chosen, _) = targets_of(self.collection, hybrid.targets.as_ref(), &hybrid.target_vectors)?;
        let Some(mut vectors) = self.vectors(&chosen, &near, words).await? else { return Ok(None) };
        let mut hybrid = Hybrid { near_text: None, ..hybrid.clone() };
        match (vectors.as_mut_slice(), near == NearText::of(&hybrid.query)) {
            ([only], true) => hybrid.vectors = std::mem::take(&mut only.vectors),
            _ => hybrid.near_vector = Some(NearVector { vector_for_targets: vectors, ..NearVector::default() }),
        }
        Ok(Some(hybrid))
    }

    /// A vector for each target.
    async fn vectors(
        &self,
        chosen: &[Chosen<'_>],
        near: &NearText,
        words: &str,
    ) -> Result<Option<Vec<VectorForTarget>>, Status> {
        // A tenant that cannot be used is refused where the search is put together.
        let Ok(shards) = ShardTarget::new(self.collection.clone(), self.shards, self.tenant) else { return Ok(None) };
        let mut vectors: Vec<VectorForTarget> = Vec::with_capacity(chosen.len());
        for target in chosen {
            let vector = match self.app.near_text(self.permit, &shards, target, near).await {
                Ok(vector) => vector,
                Err(NearTextError::NoVectorizer) => return Ok(None),
                Err(error) => return Err(refused(error, words)),
            };
            let vectors_of = Vectors { vector_bytes: f32_bytes(&vector).into(), ..Vectors::default() };
            vectors.push(VectorForTarget {
                name: target.name.to_owned(),
                vectors: vec![vectors_of],
                ..VectorForTarget::default()
            });
        }
        Ok(Some(vectors))
    }
}

fn refused(error: NearTextError, words: &str) -> Status {
    match error {
        NearTextError::App(error) => super::status(error),
        NearTextError::Module(error) => Status::unknown(format!("{words}: {error}")),
        NearTextError::Invalid(text) => Status::unknown(text),
        NearTextError::NoVectorizer => Status::unknown(texts::VECTOR_SEARCH),
    }
}

fn targets(names: &[String]) -> Option<Targets> {
    (!names.is_empty()).then(|| Targets { target_vectors: names.to_vec(), ..Targets::default() })
}

fn typed(near: &NearTextSearch) -> Result<NearText, Status> {
    let moved = |given: &GivenMove| {
        let id = |text: &String| {
            Uuid::parse_str(text).map_err(|_| Status::unknown(format!("near_text: {text:?} is no uuid of an object")))
        };
        let objects = given.uuids.iter().map(id).collect::<Result<_, _>>()?;
        Ok::<_, Status>(Move { force: given.force, concepts: given.concepts.clone(), objects })
    };
    Ok(NearText {
        concepts: near.query.clone(),
        to: near.move_to.as_ref().map(moved).transpose()?,
        away: near.move_away.as_ref().map(moved).transpose()?,
    })
}
