//! int8 codes: what the walk compares instead of f32.
//!
//! A vector is rotated at random ([`Rotation`]), so that its energy is spread evenly over the components, and each
//! component is rounded to one of 255 steps. The step is first the largest component over 127, then corrected to
//! `dot(y, c) / dot(c, c)`, which makes the error orthogonal to the code and thereby the smallest this code allows.
//!
//! Row: `[dim_padded]` i8, then four f32: scale, squared norm of the vector, norm of the coding error, norm.

mod rotation;
#[cfg(test)]
mod tests;

pub(super) use rotation::{Rotation, splitmix};

use super::Distance;
use super::distance::{CODE_TRAILER_BYTES, CodeQuery};

/// One coded vector.
#[derive(Debug, Clone, Default)]
pub(super) struct Code {
    /// `[dim_padded]`.
    pub values: Vec<i8>,
    /// What one step is worth.
    pub scale: f32,
    /// Squared norm of the vector.
    pub norm_squared: f32,
    /// Norm of vector minus decoded vector.
    pub error: f32,
    /// Norm of the vector.
    pub norm: f32,
}

impl Code {
    /// Codes `vector`; `rotated` is scratch.
    pub(super) fn encode(&mut self, rotation: &Rotation, vector: &[f32], rotated: &mut Vec<f32>) {
        rotation.rotate(vector, rotated);
        let largest = rotated.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let norm_squared: f64 = vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an overflow is an infinite norm, which compares as farthest"
        )]
        {
            self.norm_squared = norm_squared as f32;
            self.norm = norm_squared.sqrt() as f32;
        }
        self.values.clear();
        let per_step = 127.0 / largest;
        if !per_step.is_finite() || per_step == 0.0 {
            self.values.resize(rotated.len(), 0);
            (self.scale, self.error) = (0.0, self.norm);
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "within 127 by the choice of the step")]
        self.values.extend(rotated.iter().map(|value| round(value * per_step) as i8));
        let (mut with_code, mut code_squared) = (0.0f64, 0.0f64);
        for (values, codes) in rotated.chunks(64).zip(self.values.chunks(64)) {
            let (mut dot, mut squared) = (0.0f32, 0.0f32);
            for (&value, &code) in values.iter().zip(codes) {
                dot += value * per_step * f32::from(code);
                squared += f32::from(code) * f32::from(code);
            }
            with_code += f64::from(dot);
            code_squared += f64::from(squared);
        }
        let scale = with_code / code_squared / f64::from(per_step);
        // The error is orthogonal to the code: its square is what the decoded vector lacks of the vector's.
        let error_squared = norm_squared - scale * scale * code_squared;
        #[expect(clippy::cast_possible_truncation, reason = "not larger than the components")]
        {
            self.scale = scale as f32;
            self.error = (error_squared.max(norm_squared * 1e-12)).sqrt() as f32;
        }
    }

    /// Writes the row.
    ///
    /// # Safety
    /// `place` is good for `dim_padded + 16` writes, and nobody reads it yet.
    pub(super) unsafe fn write(&self, place: *mut u8) {
        let trailer = [self.scale, self.norm_squared, self.error, self.norm];
        // SAFETY: the caller promises the room.
        unsafe {
            place.copy_from_nonoverlapping(self.values.as_ptr().cast(), self.values.len());
            place.add(self.values.len()).cast::<[f32; 4]>().write_unaligned(trailer);
        }
    }

    /// The view of this code that a walk compares.
    pub(super) fn query(&self, distance: Distance) -> CodeQuery<'_> {
        code_query(distance, &self.values, self.scale, self.norm_squared)
    }
}

/// A stored row as a query, for comparing two stored vectors.
pub(super) fn stored_query(distance: Distance, row: &[u8]) -> CodeQuery<'_> {
    let (code, trailer) = row.split_at(row.len() - CODE_TRAILER_BYTES);
    let trailer = Trailer::read(trailer);
    code_query(distance, bytemuck::cast_slice(code), trailer.scale, trailer.norm_squared)
}

fn code_query(distance: Distance, code: &[i8], scale: f32, norm_squared: f32) -> CodeQuery<'_> {
    match distance {
        Distance::L2Squared => CodeQuery { code, norm_weight: 1.0, offset: norm_squared, dot_weight: -2.0 * scale },
        Distance::Cosine | Distance::Dot | Distance::Manhattan | Distance::Hamming => {
            CodeQuery { code, norm_weight: 0.0, offset: 0.0, dot_weight: -scale }
        }
    }
}

/// The four numbers behind a code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trailer {
    pub scale: f32,
    pub norm_squared: f32,
    pub error: f32,
    pub norm: f32,
}

impl Trailer {
    /// Reads the last 16 bytes of `row`.
    pub(super) fn read(row: &[u8]) -> Self {
        let (_, last) = row.as_chunks::<4>();
        debug_assert!(last.is_empty(), "rows are whole words");
        let (words, _) = row[row.len() - CODE_TRAILER_BYTES..].as_chunks::<4>();
        let word = |i: usize| f32::from_ne_bytes(words[i]);
        Self { scale: word(0), norm_squared: word(1), error: word(2), norm: word(3) }
    }
}

/// To the nearest whole number, ties to even, without a call: values stay far below 2^22.
#[inline(always)]
fn round(value: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (value + MAGIC) - MAGIC
}
