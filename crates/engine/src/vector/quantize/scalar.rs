//! Scalar codes: one middle and one step for all components of all vectors, trained on the least and the greatest.
//!
//! What is coded is the vector minus the middle. Under L2 nothing else changes, and the term of a row is the squared norm of
//! that. A product is `x'y' + m sum(x') + m sum(y') + dim m^2`, so there the term is `-m sum(x')`.

use super::bytes::{Bytes, Trailer, norm_squared, round};
use super::codec::padded;
use crate::vector::Distance;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct Scalar {
    /// Between the least and the greatest component.
    pub middle: f32,
    /// What one step is worth; 0 if all components are one.
    pub step: f32,
}

impl Scalar {
    /// For components between these two.
    pub(in crate::vector) fn between(least: f32, greatest: f32) -> Self {
        // In halves, because the whole may overflow.
        let (least, greatest) = (least / 2.0, greatest / 2.0);
        Self { middle: least + greatest, step: (greatest - least) / 127.0 }
    }

    fn centred(&self, vector: &[f32]) -> Vec<f32> {
        let mut centred = Vec::with_capacity(padded(vector.len()));
        centred.extend(vector.iter().map(|value| value - self.middle));
        centred.resize(padded(vector.len()), 0.0);
        centred
    }

    fn term(&self, distance: Distance, centred: &[f32], squared: f64) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "an overflow compares as farthest")]
        match distance {
            Distance::L2Squared => squared as f32,
            _ => (-f64::from(self.middle) * centred.iter().map(|&value| f64::from(value)).sum::<f64>()) as f32,
        }
    }

    /// Appends the row of `vector`.
    pub(in crate::vector) fn encode(&self, distance: Distance, vector: &[f32], row: &mut Vec<u8>) {
        let centred = self.centred(vector);
        let squared = norm_squared(&centred);
        let per_step = if self.step > 0.0 { 1.0 / self.step } else { 0.0 };
        let mut error_squared = 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        row.extend(centred.iter().map(|&value| {
            let code = round((value * per_step).clamp(-127.0, 127.0)) as i8;
            let lost = f64::from(value) - f64::from(self.step) * f64::from(code);
            error_squared += lost * lost;
            code.cast_unsigned()
        }));
        #[expect(clippy::cast_possible_truncation, reason = "an overflow compares as farthest")]
        let (error, norm) = (error_squared.sqrt() as f32, squared.sqrt() as f32);
        Trailer { scale: self.step, term: self.term(distance, &centred, squared), error, norm }.write(row);
    }

    /// A query in int8 with a step of its own.
    pub(in crate::vector) fn code(&self, distance: Distance, vector: &[f32]) -> Bytes {
        let centred = self.centred(vector);
        let squared = norm_squared(&centred);
        Bytes { term: self.term(distance, &centred, squared), ..Bytes::of(&centred, squared) }
    }

    /// The part of every product that is the same.
    pub(in crate::vector) fn base(&self, dim: usize) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a dimension")]
        let dim = dim as f32;
        -dim * self.middle * self.middle
    }
}
