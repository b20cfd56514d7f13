//! Searches by text: the vector that a module makes of concepts, moved towards or away from others.

use azimuth_engine::object::Vector;
use azimuth_engine::query::{Include, Projection};
use azimuth_engine::schema::Collection;
use uuid::Uuid;

use super::target::Chosen;
use crate::app::access::check_target;
use crate::app::shards::ShardTarget;
use crate::app::{App, AppError};
use crate::auth::{Access, Permit};
use crate::modules::ModuleError;
use crate::modules::vectorizer::{Use, Vectorizer};

/// Concepts and objects of one request.
const PARTS_MAX: usize = 1_000;

/// Texts to search with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NearText {
    /// Each has a vector; the mean of the vectors is searched with.
    pub(crate) concepts: Vec<String>,
    /// The vector is moved towards these.
    pub(crate) to: Option<Move>,
    /// The vector is moved away from these.
    pub(crate) away: Option<Move>,
}

/// Concepts and objects that a vector is moved towards, or away from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Move {
    /// How far: 0 to 1.
    pub(crate) force: f32,
    pub(crate) concepts: Vec<String>,
    /// Objects of the collection; those that are not there, or have no vector, do not count.
    pub(crate) objects: Vec<Uuid>,
}

/// Why a text has no vector. Front ends word it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NearTextError {
    /// The vector of the collection has no vectorizer.
    NoVectorizer,
    /// The module did not answer.
    Module(ModuleError),
    /// The request cannot be carried out as it is.
    Invalid(String),
    /// The request failed as a whole.
    App(AppError),
}

impl From<AppError> for NearTextError {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl NearText {
    /// A search with a single text.
    pub(crate) fn of(text: &str) -> Self {
        Self { concepts: vec![text.to_owned()], ..Self::default() }
    }

    fn validate(&self) -> Result<(), NearTextError> {
        let invalid = |text: String| Err(NearTextError::Invalid(text));
        if self.concepts.is_empty() {
            return invalid("nearText needs at least one concept".to_owned());
        }
        let mut parts = self.concepts.len();
        for moved in self.to.iter().chain(&self.away) {
            if !(0.0..=1.0).contains(&moved.force) {
                return invalid(format!("force must be between 0 and 1: got {}", moved.force));
            }
            parts = parts.saturating_add(moved.concepts.len()).saturating_add(moved.objects.len());
        }
        if parts > PARTS_MAX {
            return invalid(format!("nearText has {parts} concepts and objects; at most {PARTS_MAX} are allowed"));
        }
        Ok(())
    }
}

impl App {
    /// The vector of a text for one of the vectors of a collection, whose objects the caller may read.
    ///
    /// # Errors
    /// [`NearTextError`]
    pub(crate) async fn near_text(
        &self,
        permit: &Permit,
        shards: &ShardTarget,
        chosen: &Chosen<'_>,
        near: &NearText,
    ) -> Result<Vec<f32>, NearTextError> {
        check_target(permit, Access::Read, shards)?;
        let collection: &Collection = &shards.collection;
        let vectorizer = Vectorizer::of(collection, chosen.config).ok_or(NearTextError::NoVectorizer)?;
        near.validate()?;
        let moves = || near.to.iter().chain(&near.away);
        let texts: Vec<String> =
            near.concepts.iter().chain(moves().flat_map(|moved| &moved.concepts)).cloned().collect();
        let vectors = self.modules.vectorize(&vectorizer, &texts, Use::Query).await;
        let vectors: Vec<Vec<f32>> = vectors.into_iter().collect::<Result<_, _>>().map_err(NearTextError::Module)?;
        let mut vectors = vectors.into_iter();
        let mut next = |count: usize| vectors.by_ref().take(count).collect::<Vec<_>>();
        let mut vector = mean(&next(near.concepts.len()))?;
        for (moved, towards) in near.to.iter().map(|to| (to, true)).chain(near.away.iter().map(|away| (away, false))) {
            let mut targets = next(moved.concepts.len());
            targets.extend(self.vectors_of(shards, chosen, &moved.objects).await?);
            if !targets.is_empty() {
                let target = mean(&targets)?;
                step(&mut vector, &target, moved.force, towards)?;
            }
        }
        Ok(vector)
    }

    /// The vector of an object for the first of `chosen`; `None` without such an object or vector.
    ///
    /// # Errors
    /// The error of the read.
    pub(crate) async fn vector_of(
        &self,
        permit: &Permit,
        shards: &ShardTarget,
        chosen: &[Chosen<'_>],
        id: Uuid,
    ) -> Result<Option<Vec<f32>>, AppError> {
        check_target(permit, Access::Read, shards)?;
        let Some(chosen) = chosen.first() else { return Ok(None) };
        Ok(self.vectors_of(shards, chosen, &[id]).await?.pop())
    }

    /// The vectors of objects of the collection.
    async fn vectors_of(
        &self,
        shards: &ShardTarget,
        chosen: &Chosen<'_>,
        objects: &[Uuid],
    ) -> Result<Vec<Vec<f32>>, AppError> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let id = chosen.config.id;
        let wanted: Vec<_> = objects.iter().map(|object| (shards.of(*object), *object)).collect();
        let include = Include { properties: Projection::None, vectors: vec![id], ..Include::default() };
        let found = self.read(move |shards| shards.get_each(&wanted, &include)).await?;
        let vector = |object: azimuth_engine::object::Object| match object.vectors.into_iter().next() {
            Some((_, Vector::Single(values))) => Some(values),
            _ => None,
        };
        Ok(found.into_iter().flatten().filter_map(vector).collect())
    }
}

fn different() -> NearTextError {
    NearTextError::Invalid("the vectors of the concepts and objects have different lengths".to_owned())
}

fn mean(vectors: &[Vec<f32>]) -> Result<Vec<f32>, NearTextError> {
    let mut sum = vectors.first().cloned().unwrap_or_default();
    for vector in vectors.iter().skip(1) {
        if vector.len() != sum.len() {
            return Err(different());
        }
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    let count = vectors.len().max(1) as f32;
    sum.iter_mut().for_each(|value| *value /= count);
    Ok(sum)
}

/// Moves `vector` half of the way, times `force`, towards `target` or away from it.
fn step(vector: &mut [f32], target: &[f32], force: f32, towards: bool) -> Result<(), NearTextError> {
    if vector.len() != target.len() {
        return Err(different());
    }
    let part = force * 0.5;
    for (value, target) in vector.iter_mut().zip(target) {
        *value = if towards { *value * (1.0 - part) + target * part } else { *value + part * (*value - target) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_move_half_of_the_way_at_full_force() {
        assert_eq!(mean(&[vec![1.0, 3.0], vec![3.0, 5.0]]), Ok(vec![2.0, 4.0]));
        assert_eq!(mean(&[vec![1.0], vec![1.0, 2.0]]), Err(different()));
        let moved = |force: f32, towards: bool| {
            let mut vector = vec![1.0, 0.0];
            step(&mut vector, &[0.0, 1.0], force, towards).map(|()| vector)
        };
        assert_eq!(moved(1.0, true), Ok(vec![0.5, 0.5]));
        assert_eq!(moved(0.5, true), Ok(vec![0.75, 0.25]));
        assert_eq!(moved(1.0, false), Ok(vec![1.5, -0.5]));
        assert_eq!(moved(0.0, false), Ok(vec![1.0, 0.0]));
    }

    #[test]
    fn requests_have_limits() {
        let moved = |force| NearText { to: Some(Move { force, ..Move::default() }), ..NearText::of("a") };
        assert!(moved(1.0).validate().is_ok());
        for wrong in [moved(1.5), moved(f32::NAN), NearText::default()] {
            assert!(matches!(wrong.validate(), Err(NearTextError::Invalid(_))), "{wrong:?}");
        }
        let many = NearText { concepts: vec!["a".to_owned(); PARTS_MAX + 1], ..NearText::default() };
        assert!(many.validate().is_err());
    }
}
