//! Which vectors of a collection an object's vectors are.

use std::collections::BTreeMap;

use azimuth_engine::ids::VectorId;
use azimuth_engine::object::Vector;
use azimuth_engine::schema::Collection;

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

/// The vectors by id. An empty one is answered as `None`.
///
/// # Errors
/// A vector that the collection has no place for, in the wire's words.
pub(crate) fn assign(
    collection: &Collection,
    given: GivenVectors,
) -> Result<BTreeMap<VectorId, Option<Vector>>, String> {
    let mut vectors = BTreeMap::new();
    for (name, vector) in given.named {
        let config = (collection.vector(&name)).or_else(|| collection.vector("").filter(|_| name == DEFAULT));
        let Some(config) = config else {
            return Err(format!("collection {} does not have configuration for vector {name}", collection.name));
        };
        if config.multi != matches!(vector, Vector::Multi { .. }) && !is_empty(&vector) {
            return Err(format!(
                "vector {name} of collection {} {}",
                collection.name,
                if config.multi { "takes a list of vectors" } else { "takes a single vector" }
            ));
        }
        vectors.insert(config.id, Some(vector).filter(|vector| !is_empty(vector)));
    }
    if let Some(vector) = given.unnamed {
        let target = match (&collection.vectors.unnamed, collection.vectors.named.len()) {
            (Some(config), _) => config,
            (None, 1) => collection.vectors.named.values().next().ok_or_else(|| no_single(collection))?,
            (None, _) if vector.is_empty() => return Ok(vectors),
            (None, _) => return Err(no_single(collection)),
        };
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

fn no_single(collection: &Collection) -> String {
    format!("collection {} configuration does not have single vector index", collection.name)
}

fn is_empty(vector: &Vector) -> bool {
    match vector {
        Vector::Single(values) => values.is_empty(),
        Vector::Multi { rows, .. } => rows.is_empty(),
    }
}
