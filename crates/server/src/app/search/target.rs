//! Target vectors: which vector of a collection a search means, and how far hits may be.

use azimuth_engine::schema::{Collection, VectorConfig};
use azimuth_engine::vector::Distance;

/// Why no single vector could be chosen. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetError {
    /// The collection has several vectors and none was named.
    Missing,
    /// There is no vector of that name.
    Unknown(String),
    /// Several vectors were named.
    Several,
}

/// A threshold as requests give it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Threshold {
    /// Farthest distance.
    pub(crate) distance: Option<f64>,
    /// Least certainty.
    pub(crate) certainty: Option<f64>,
}

/// The vector that `names` mean, with its name (empty for the unnamed one). `default` is also the unnamed vector's name;
/// a collection with a single vector needs none.
///
/// # Errors
/// [`TargetError`]
pub(crate) fn resolve<'a>(
    collection: &'a Collection,
    names: &[String],
) -> Result<(&'a str, &'a VectorConfig), TargetError> {
    let vectors = &collection.vectors;
    match names {
        [] => {
            if let Some(unnamed) = &vectors.unnamed {
                return Ok(("", unnamed));
            }
            let mut named = vectors.iter();
            match (named.next(), named.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(TargetError::Missing),
            }
        }
        [name] => match (vectors.named.get_key_value(name), &vectors.unnamed) {
            (Some((name, config)), _) => Ok((name, config)),
            (None, Some(unnamed)) if name == "default" => Ok(("", unnamed)),
            (None, _) => Err(TargetError::Unknown(name.clone())),
        },
        _ => Err(TargetError::Several),
    }
}

/// The farthest distance that a threshold allows.
///
/// # Errors
/// When a certainty is asked of a vector whose distance is not cosine.
pub(crate) fn max_distance(config: &VectorConfig, threshold: Threshold) -> Result<Option<f32>, String> {
    match (threshold.distance, threshold.certainty) {
        (None, Some(certainty)) => {
            check_certainty(config)?;
            Ok(Some((2.0 * (1.0 - certainty)) as f32))
        }
        (distance, _) => Ok(distance.map(|distance| distance as f32)),
    }
}

/// Refuses certainties where the distance has none.
///
/// # Errors
/// The text of the wire.
pub(crate) fn check_certainty(config: &VectorConfig) -> Result<(), String> {
    let name = match config.index.distance {
        Distance::Cosine => return Ok(()),
        Distance::Dot => "dot",
        Distance::L2Squared => "l2-squared",
        Distance::Manhattan => "manhattan",
        Distance::Hamming => "hamming",
    };
    Err(format!("can't compute and return certainty when vector index is configured with {name} distance"))
}

/// Certainty of a cosine distance.
pub(crate) fn certainty(distance: f32) -> f32 {
    1.0 - distance / 2.0
}
