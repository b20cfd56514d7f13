//! int8 with a step of its own for each vector, and what stands behind the code in a row.

use crate::vector::distance::CODE_TRAILER_BYTES;

/// One vector in int8. The step is first the largest component over 127, then corrected to `dot(y, c) / dot(c, c)`, which
/// makes the error orthogonal to the code and thereby the smallest this code allows.
#[derive(Debug, Clone, Default)]
pub(in crate::vector) struct Bytes {
    /// `[dim_padded]`.
    pub values: Vec<i8>,
    /// What one step is worth.
    pub scale: f32,
    /// What the vector adds to a value by itself, see [`Trailer`].
    pub term: f32,
    /// Norm of vector minus decoded vector.
    pub error: f32,
    /// Norm of the vector.
    pub norm: f32,
}

impl Bytes {
    /// Codes `components`, `[dim_padded]`, which have this squared norm; it becomes the term.
    pub(in crate::vector) fn of(components: &[f32], norm_squared: f64) -> Self {
        let largest = components.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an overflow is an infinite norm, which compares as farthest"
        )]
        let (term, norm) = (norm_squared as f32, norm_squared.sqrt() as f32);
        let per_step = 127.0 / largest;
        if !per_step.is_finite() || per_step == 0.0 {
            return Self { values: vec![0; components.len()], scale: 0.0, term, error: norm, norm };
        }
        #[expect(clippy::cast_possible_truncation, reason = "within 127 by the choice of the step")]
        let values: Vec<i8> = components.iter().map(|value| round(value * per_step) as i8).collect();
        let (mut with_code, mut code_squared) = (0.0f64, 0.0f64);
        for (components, codes) in components.chunks(64).zip(values.chunks(64)) {
            let (mut dot, mut squared) = (0.0f32, 0.0f32);
            for (&value, &code) in components.iter().zip(codes) {
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
        let (scale, error) = (scale as f32, error_squared.max(norm_squared * 1e-12).sqrt() as f32);
        Self { values, scale, term, error, norm }
    }

    /// Appends the row.
    pub(in crate::vector) fn write(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(bytemuck::cast_slice(&self.values));
        Trailer { scale: self.scale, term: self.term, error: self.error, norm: self.norm }.write(row);
    }
}

/// The four numbers behind a code of a linear kind.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct Trailer {
    /// What one step is worth.
    pub scale: f32,
    /// What the vector adds to a value by itself: its squared norm, or see `scalar`.
    pub term: f32,
    /// Norm of the coding error.
    pub error: f32,
    /// Norm of what was coded.
    pub norm: f32,
}

impl Trailer {
    /// Reads the last 16 bytes of `row`.
    #[inline(always)]
    pub(in crate::vector) fn read(row: &[u8]) -> Self {
        let (words, _) = row[row.len() - CODE_TRAILER_BYTES..].as_chunks::<4>();
        let word = |i: usize| f32::from_ne_bytes(words[i]);
        Self { scale: word(0), term: word(1), error: word(2), norm: word(3) }
    }

    /// Appends the 16 bytes.
    pub(in crate::vector) fn write(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(bytemuck::cast_slice(&[self.scale, self.term, self.error, self.norm]));
    }
}

/// The sum of squares.
pub(in crate::vector) fn norm_squared(vector: &[f32]) -> f64 {
    vector.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}

/// To the nearest whole number, ties to even, without a call: values stay far below 2^22.
#[inline(always)]
pub(in crate::vector) fn round(value: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (value + MAGIC) - MAGIC
}
