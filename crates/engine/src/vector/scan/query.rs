//! A query made ready: checked, normalised, coded.

use crate::vector::distance::Kernels;
use crate::vector::quantize::CodedQuery;
use crate::vector::store::view::View;
use crate::vector::{DIM_MAX, Distance, VectorError};

/// A query as kernels want it.
pub(in crate::vector) struct Query {
    pub distance: Distance,
    /// `[dim]`, normalised under cosine.
    pub vector: Vec<f32>,
    /// Its code, if the view has codes.
    pub code: Option<CodedQuery>,
    /// Candidates to fetch by their codes, at least; 0 leaves the choice to the codes.
    pub rescore: Option<usize>,
}

impl Query {
    pub(in crate::vector) fn new(distance: Distance, vector: &[f32], view: &View) -> Self {
        let vector = prepare(distance, vector);
        let code = view.tables.codec().map(|codec| codec.prepare(&vector));
        Self { distance, vector, code, rescore: None }
    }

    /// Without codes that an exact scan cannot use.
    pub(in crate::vector) fn exact(distance: Distance, vector: &[f32], view: &View) -> Self {
        let mut query = Self::new(distance, vector, view);
        query.code = query.code.filter(CodedQuery::is_fine);
        query
    }
}

/// Checks what is promised of every vector.
pub(in crate::vector) fn check(vector: &[f32], dim: Option<usize>) -> Result<(), VectorError> {
    if let Some(expected) = dim
        && expected != vector.len()
    {
        return Err(VectorError::Dimension { expected, actual: vector.len() });
    }
    if vector.is_empty() || vector.len() > DIM_MAX {
        return Err(VectorError::DimensionRange(vector.len()));
    }
    match vector.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(VectorError::NotFinite(at)),
        None => Ok(()),
    }
}

/// The vector as it is stored and compared: normalised under cosine (a zero vector stays zero), unchanged else.
pub(in crate::vector) fn prepare(distance: Distance, vector: &[f32]) -> Vec<f32> {
    if distance != Distance::Cosine {
        return vector.to_vec();
    }
    let norm = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    if norm == 0.0 {
        return vec![0.0; vector.len()];
    }
    #[expect(clippy::cast_possible_truncation, reason = "within -1..=1")]
    vector.iter().map(|&value| (f64::from(value) / norm) as f32).collect()
}

/// From a kernel's value, which is no NaN, to the distance that callers see. It is finite: a product or a sum beyond the
/// range of f32 is the greatest or the least value of that range.
pub(in crate::vector) fn finish(distance: Distance, value: f32) -> f32 {
    match distance {
        Distance::Cosine => (1.0 + value).max(0.0),
        // Adding zero turns -0 into 0.
        Distance::Dot | Distance::L2Squared | Distance::Manhattan | Distance::Hamming => {
            value.clamp(f32::MIN, f32::MAX) + 0.0
        }
    }
}

/// Distance on the stored original.
///
/// # Safety
/// The slot's data are written (see `arena::tables`).
pub(in crate::vector) unsafe fn distance_at(kernels: &Kernels, query: &Query, view: &View, slot: u32) -> f32 {
    // SAFETY: handed on to the caller.
    let stored = unsafe { view.tables.original(slot) };
    finish(query.distance, kernels.pair(&query.vector, stored).min(f32::MAX))
}
