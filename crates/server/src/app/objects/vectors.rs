//! Which vectors of a collection an object's vectors are.

use std::collections::BTreeMap;

use azimuth_engine::ids::VectorId;
use azimuth_engine::object::Vector;
use azimuth_engine::schema::{Collection, VectorConfig};
use azimuth_engine::vector::{DIM_MAX, ROWS_MAX};

use super::VectorError;

/// The name under which callers may also give the unnamed vector.
const DEFAULT: &str = "default";

/// Vectors as they were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenVectors {
    /// The one without a name; empty is none.
    pub(crate) unnamed: Option<Vec<f32>>,
    /// The named ones; empty is none.
    pub(crate) named: BTreeMap<String, Vector>,
}

impl GivenVectors {
    /// Whether there are any, empty ones included.
    pub(super) fn are_given(&self) -> bool {
        self.unnamed.is_some() || !self.named.is_empty()
    }
}

/// The vectors by id. An empty one is answered as `None`.
///
/// # Errors
/// A vector that the collection has no place for.
pub(crate) fn assign(
    collection: &Collection,
    given: GivenVectors,
) -> Result<BTreeMap<VectorId, Option<Vector>>, VectorError> {
    let mut vectors = BTreeMap::new();
    for (name, vector) in given.named {
        let config = named(collection, &name, &vector)?;
        vectors.insert(config.id, Some(vector).filter(|vector| !is_empty(vector)));
    }
    if let Some(vector) = given.unnamed {
        let Some(target) = unnamed(collection, &vector)? else { return Ok(vectors) };
        let vector = Some(Vector::Single(vector)).filter(|vector| !is_empty(vector));
        // On a collection with a named vector the unnamed one wins, on one without it `vectors.default` does.
        if target.id != VectorId::UNNAMED {
            vectors.insert(target.id, vector);
        } else {
            vectors.entry(target.id).or_insert(vector);
        }
    }
    Ok(vectors)
}

/// The dimensions of those vectors that [`assign`] would answer.
///
/// # Errors
/// As [`assign`].
pub(super) fn dimensions(
    collection: &Collection,
    given: &GivenVectors,
) -> Result<BTreeMap<VectorId, usize>, VectorError> {
    let mut dimensions = BTreeMap::new();
    for (name, vector) in &given.named {
        let config = named(collection, name, vector)?;
        dimensions.insert(
            config.id,
            match vector {
                Vector::Single(values) => values.len(),
                Vector::Multi { dim, .. } => *dim as usize,
            },
        );
    }
    if let Some(vector) = &given.unnamed
        && let Some(target) = unnamed(collection, vector)?
        && (target.id != VectorId::UNNAMED || !dimensions.contains_key(&target.id))
    {
        dimensions.insert(target.id, vector.len());
    }
    dimensions.retain(|_, dimension| *dimension > 0);
    Ok(dimensions)
}

/// The vector of the collection to which a named vector belongs.
fn named<'a>(collection: &'a Collection, name: &str, vector: &Vector) -> Result<&'a VectorConfig, VectorError> {
    let config = (collection.vector(name)).or_else(|| collection.vector("").filter(|_| name == DEFAULT));
    let Some(config) = config else {
        return Err(VectorError::Unknown { collection: collection.name.clone(), vector: name.to_owned() });
    };
    if config.multi != matches!(vector, Vector::Multi { .. }) && !is_empty(vector) {
        let (collection, vector) = (collection.name.clone(), name.to_owned());
        return Err(VectorError::WrongKind { collection, vector, multi: config.multi });
    }
    match vector {
        Vector::Single(values) => check_dimension(values.len())?,
        Vector::Multi { dim, rows } => {
            check_dimension(*dim as usize)?;
            let count = rows.len() / (*dim).max(1) as usize;
            if count > ROWS_MAX {
                return Err(VectorError::TooMany(count));
            }
        }
    }
    Ok(config)
}

/// Refuses vectors that no index accepts, empty ones apart.
fn check_dimension(dimension: usize) -> Result<(), VectorError> {
    if dimension > DIM_MAX { Err(VectorError::TooLong(dimension)) } else { Ok(()) }
}

/// The vector of the collection to which the unnamed vector belongs; `None` for an empty one without a place.
fn unnamed<'a>(collection: &'a Collection, vector: &[f32]) -> Result<Option<&'a VectorConfig>, VectorError> {
    check_dimension(vector.len())?;
    match (&collection.vectors.unnamed, collection.vectors.named.len()) {
        (Some(config), _) => Ok(Some(config)),
        (None, 1) => Ok(collection.vectors.named.values().next()),
        (None, _) if vector.is_empty() => Ok(None),
        (None, _) => Err(VectorError::NoUnnamed(collection.name.clone())),
    }
}

fn is_empty(vector: &Vector) -> bool {
    match vector {
        Vector::Single(values) => values.is_empty(),
        Vector::Multi { rows, .. } => rows.is_empty(),
    }
}
