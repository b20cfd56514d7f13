//! Vector searches: which vectors of the objects are compared with what, and how several distances become one.

use serde::{Deserialize, Serialize};

use crate::ids::VectorId;
use crate::object::Vector;

/// A vector search: the objects with the least distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Near {
    /// What is compared, 1 to [`TARGETS_MAX`]. One vector of the objects may stand here several times.
    pub targets: Vec<Target>,
    /// How the distances to several targets become one; of no effect for a single one.
    pub combination: Combination,
    /// Only hits within this distance (inclusive, with a slack of 1e-6).
    pub max_distance: Option<f32>,
}

/// One comparison of a vector search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Which vector of the objects.
    pub vector: VectorId,
    /// The query: `[dim]` for a single vector, `[rows, dim]` for a multi-vector.
    pub query: Vector,
    /// What the distance counts in [`Combination::Sum`] and [`Combination::RelativeScore`]; finite, may be 0 or negative.
    pub weight: f32,
}

/// How the distances to several targets become one.
///
/// Each target contributes its nearest objects as candidates: 10,000, or as many as the query wants if these are more.
/// So pages of one search never overlap, in a shard of up to 10,000 objects every page is exact, and the work is
/// bounded. (In Weaviate each target contributes as many as the page reaches, so that its pages repeat and omit
/// objects.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Combination {
    /// The least. Objects that lack a target take part with the others.
    #[default]
    Minimum,
    /// The weighted sum. Objects that lack a target drop out.
    Sum,
    /// The weighted sum after the distances to each target are brought to 0..=1 over the objects that take part.
    /// Objects that lack a target drop out. Weights are taken as they are.
    RelativeScore,
}

/// Most targets of a search.
pub const TARGETS_MAX: usize = 64;

/// Added to a distance threshold, so that a distance that was read from an answer matches again.
pub const DISTANCE_SLACK: f32 = 1e-6;

impl Near {
    /// The nearest to one plain vector.
    pub fn to(vector: VectorId, query: Vec<f32>, max_distance: Option<f32>) -> Self {
        let target = Target { vector, query: Vector::Single(query), weight: 1.0 };
        Self { targets: vec![target], combination: Combination::Minimum, max_distance }
    }

    /// The vectors that are compared, some perhaps several times.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = VectorId> {
        self.targets.iter().map(|target| target.vector)
    }
}
