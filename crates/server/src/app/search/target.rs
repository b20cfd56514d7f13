//! Target vectors: which vectors of a collection a search compares, how their distances become one, and how far hits
//! may be.

use azimuth_engine::object::Vector;
use azimuth_engine::query::{Combination, Near, Target};
use azimuth_engine::schema::{Collection, VectorConfig};
use azimuth_engine::vector::Distance;

/// A vector of the collection that a search compares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<'a> {
    /// Its name; empty for the unnamed one.
    pub(crate) name: &'a str,
    /// Its settings.
    pub(crate) config: &'a VectorConfig,
}

/// How the distances to several targets become one, as requests say it. Weights: one per target.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Method {
    /// The least.
    #[default]
    Minimum,
    /// The sum.
    Sum,
    /// The mean.
    Average,
    /// The weighted sum.
    Manual(Vec<f32>),
    /// The weighted sum of normalised distances.
    RelativeScore(Vec<f32>),
}

/// Why the vectors could not be chosen. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetError {
    /// The collection has several vectors and none was named.
    Missing,
    /// There is no vector of that name.
    Unknown(String),
}

/// Why a threshold cannot bound a search, or hits have no certainty. Front ends word it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ThresholdError {
    /// The threshold of that name is not a finite number.
    NotFinite {
        /// `distance` or `certainty`.
        name: &'static str,
        /// The number.
        value: f64,
    },
    /// Several vectors are compared: they have no certainty.
    SeveralTargets,
    /// The distance of the index has no certainty.
    NoCertainty(Distance),
}

impl Method {
    /// What the engine is told.
    pub(crate) fn combination(&self) -> Combination {
        match self {
            Self::Minimum => Combination::Minimum,
            Self::Sum | Self::Average | Self::Manual(_) => Combination::Sum,
            Self::RelativeScore(_) => Combination::RelativeScore,
        }
    }

    /// Weight of the target at `at` of `count`.
    pub(crate) fn weight(&self, at: usize, count: usize) -> f32 {
        match self {
            Self::Minimum | Self::Sum => 1.0,
            Self::Average => 1.0 / count.max(1) as f32,
            Self::Manual(weights) | Self::RelativeScore(weights) => weights.get(at).copied().unwrap_or_default(),
        }
    }
}

/// The search of `queries`, one for each of `chosen`.
pub(crate) fn near(chosen: &[Chosen<'_>], queries: Vec<Vector>, method: &Method, max_distance: Option<f32>) -> Near {
    let count = chosen.len();
    let pairs = chosen.iter().zip(queries).enumerate();
    let targets = pairs.map(|(at, (chosen, query))| {
        let weight = method.weight(at, count);
        Target { vector: chosen.config.id, query, weight }
    });
    Near { targets: targets.collect(), combination: method.combination(), max_distance }
}

/// A threshold as requests give it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Threshold {
    /// Farthest distance.
    pub(crate) distance: Option<f64>,
    /// Least certainty.
    pub(crate) certainty: Option<f64>,
}

/// The vectors that `names` mean, in their order. `default` is also the unnamed vector's name; a collection with a single
/// vector needs none.
///
/// # Errors
/// [`TargetError`]
pub(crate) fn resolve<'a>(collection: &'a Collection, names: &[String]) -> Result<Vec<Chosen<'a>>, TargetError> {
    if !names.is_empty() {
        return names.iter().map(|name| find(collection, name)).collect();
    }
    if let Some(unnamed) = &collection.vectors.unnamed {
        return Ok(vec![Chosen { name: "", config: unnamed }]);
    }
    let mut named = collection.vectors.iter();
    match (named.next(), named.next()) {
        (Some((name, config)), None) => Ok(vec![Chosen { name, config }]),
        _ => Err(TargetError::Missing),
    }
}

fn find<'a>(collection: &'a Collection, name: &str) -> Result<Chosen<'a>, TargetError> {
    let vectors = &collection.vectors;
    match (vectors.named.get_key_value(name), &vectors.unnamed) {
        (Some((name, config)), _) => Ok(Chosen { name, config }),
        (None, Some(unnamed)) if name == "default" => Ok(Chosen { name: "", config: unnamed }),
        (None, _) => Err(TargetError::Unknown(name.to_owned())),
    }
}

/// The farthest distance that a threshold allows.
///
/// # Errors
/// A threshold that is not finite, or a certainty of vectors that have none.
pub(crate) fn max_distance(chosen: &[Chosen<'_>], threshold: Threshold) -> Result<Option<f32>, ThresholdError> {
    for (name, value) in [("distance", threshold.distance), ("certainty", threshold.certainty)] {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(ThresholdError::NotFinite { name, value });
        }
    }
    match (threshold.distance, threshold.certainty) {
        (None, Some(certainty)) => {
            check_certainty(chosen)?;
            Ok(Some(narrow(2.0 * (1.0 - certainty))))
        }
        (distance, _) => Ok(distance.map(narrow)),
    }
}

/// A finite number as a finite f32: beyond its range there is no distance.
fn narrow(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// Whether hits have a certainty.
pub(crate) fn has_certainty(chosen: &[Chosen<'_>]) -> bool {
    check_certainty(chosen).is_ok() && !chosen.is_empty()
}

/// Refuses certainties where the distance has none, and of several targets.
///
/// # Errors
/// [`ThresholdError::SeveralTargets`], [`ThresholdError::NoCertainty`]
pub(crate) fn check_certainty(chosen: &[Chosen<'_>]) -> Result<(), ThresholdError> {
    match chosen {
        [] => Ok(()),
        [only] => match only.config.index.distance {
            Distance::Cosine => Ok(()),
            other => Err(ThresholdError::NoCertainty(other)),
        },
        _ => Err(ThresholdError::SeveralTargets),
    }
}

/// Certainty of a cosine distance.
pub(crate) fn certainty(distance: f32) -> f32 {
    1.0 - distance / 2.0
}
