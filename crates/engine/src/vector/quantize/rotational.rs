//! Codes after a random rotation, which spreads a vector's energy evenly over its components: 8, 4 or 1 bits each.
//!
//! At 4 and 1 bits the step is `|y|^2 / dot(y, c)`: the estimate of a product is then right on average over rotations, and
//! exact for the vector itself (RaBitQ, arXiv 2405.12497). Queries are in int8 whatever the rows are.
//!
//! Vectors far from the origin have little that tells them apart after rounding: for them a centre is taken off first, as
//! `scalar` does with its middle.

use super::bytes::{Bytes, Trailer, norm_squared, round};
use super::rotation::Rotation;
use crate::vector::Distance;

/// See the module.
#[derive(Debug)]
pub(in crate::vector) struct Rotational {
    rotation: Rotation,
    bits: u8,
    /// The rotation's.
    pub seed: u64,
    /// `[dim]`, or empty: what is taken off every vector.
    pub centre: Vec<f32>,
}

/// What is coded of a vector.
struct Centred {
    rotated: Vec<f32>,
    norm_squared: f64,
    /// The term under a product; 0 without a centre.
    product_term: f64,
}

impl Rotational {
    pub(in crate::vector) fn new(dim_padded: usize, bits: u8, seed: u64, centre: Vec<f32>) -> Self {
        Self { rotation: Rotation::new(dim_padded, seed), bits, seed, centre }
    }

    /// The part of every product that is the same.
    pub(in crate::vector) fn base(&self) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "an overflow compares as farthest")]
        let base = -norm_squared(&self.centre) as f32;
        base
    }

    /// `scratch` is scratch.
    fn centred(&self, vector: &[f32], scratch: &mut Vec<f32>) -> Centred {
        let mut rotated = std::mem::take(scratch);
        if self.centre.is_empty() {
            self.rotation.rotate(vector, &mut rotated);
            return Centred { rotated, norm_squared: norm_squared(vector), product_term: 0.0 };
        }
        let left: Vec<f32> = vector.iter().zip(&self.centre).map(|(value, centre)| value - centre).collect();
        self.rotation.rotate(&left, &mut rotated);
        let product = |(&left, &centre): (&f32, &f32)| f64::from(left) * f64::from(centre);
        let product_term = -left.iter().zip(&self.centre).map(product).sum::<f64>();
        Centred { rotated, norm_squared: norm_squared(&left), product_term }
    }

    /// Appends the row of `vector`.
    pub(in crate::vector) fn encode(
        &self,
        distance: Distance,
        vector: &[f32],
        scratch: &mut Vec<f32>,
        row: &mut Vec<u8>,
    ) {
        let coded = self.centred(vector, scratch);
        let term = self.term(distance, &coded);
        match self.bits {
            1 => encode_bits(&coded.rotated, coded.norm_squared, term, row),
            4 => encode_nibbles(&coded.rotated, coded.norm_squared, term, row),
            _ => Bytes { term, ..Bytes::of(&coded.rotated, coded.norm_squared) }.write(row),
        }
        *scratch = coded.rotated;
    }

    /// A query in int8.
    pub(in crate::vector) fn code(&self, distance: Distance, vector: &[f32]) -> Bytes {
        let coded = self.centred(vector, &mut Vec::new());
        Bytes { term: self.term(distance, &coded), ..Bytes::of(&coded.rotated, coded.norm_squared) }
    }

    /// Without a centre it counts under L2 only.
    fn term(&self, distance: Distance, coded: &Centred) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "an overflow compares as farthest")]
        match distance {
            Distance::L2Squared => coded.norm_squared as f32,
            _ if self.centre.is_empty() => coded.norm_squared as f32,
            _ => coded.product_term as f32,
        }
    }
}

/// The trailer of a code with these products: vector with code (per unit), code with itself.
fn trailer(norm_squared: f64, term: f32, with_code: f64, code_squared: f64) -> Trailer {
    #[expect(clippy::cast_possible_truncation, reason = "an overflow compares as farthest")]
    let narrow = |value: f64| value as f32;
    let norm = norm_squared.sqrt();
    if !(with_code > 0.0 && with_code.is_finite()) {
        return Trailer { scale: 0.0, term, error: narrow(norm), norm: narrow(norm) };
    }
    // Squared sine over squared cosine of the angle between vector and code.
    let lost = (norm_squared * code_squared / (with_code * with_code) - 1.0).max(1e-12);
    Trailer { scale: narrow(norm_squared / with_code), term, error: narrow(norm * lost.sqrt()), norm: narrow(norm) }
}

fn encode_bits(rotated: &[f32], norm_squared: f64, term: f32, row: &mut Vec<u8>) {
    let byte = |eight: &[f32; 8]| (0..8).fold(0u8, |byte, i| byte | u8::from(eight[i] > 0.0) << i);
    row.extend(rotated.as_chunks::<8>().0.iter().map(byte));
    let with_code: f64 = rotated.iter().map(|&value| f64::from(value.abs())).sum();
    #[expect(clippy::cast_precision_loss, reason = "a dimension")]
    trailer(norm_squared, term, with_code, rotated.len() as f64).write(row);
}

/// The best step of sixteen even ones for normally distributed components, in standard deviations.
const STEP_NORMAL: f64 = 0.3352;

fn encode_nibbles(rotated: &[f32], norm_squared: f64, term: f32, row: &mut Vec<u8>) {
    #[expect(clippy::cast_precision_loss, reason = "a dimension")]
    let deviation = (norm_squared / rotated.len() as f64).sqrt();
    let largest = rotated.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    // Half a step is one unit of the code: as large as the components need, or as the most of them like it.
    #[expect(clippy::cast_possible_truncation, reason = "a factor")]
    let tried = [15.0 / largest, (2.0 / (STEP_NORMAL * deviation)) as f32].map(|per_unit| {
        let units: Vec<u8> = rotated.iter().map(|value| unit(value * per_unit)).collect();
        let (with_code, code_squared) = products(rotated, &units);
        (with_code / code_squared.sqrt(), with_code, code_squared, units)
    });
    let [by_largest, by_most] = tried;
    let (_, with_code, code_squared, units) = if by_most.0 > by_largest.0 { by_most } else { by_largest };
    for block in units.as_chunks::<64>().0 {
        let (low, high) = block.split_at(32);
        row.extend(low.iter().zip(high).map(|(low, high)| low | high << 4));
    }
    trailer(norm_squared, term, with_code, code_squared).write(row);
}

/// The number of the nearest odd whole number within -15..=15: `2 * unit - 15`. NaN is 0.
fn unit(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let unit = round((value.clamp(-15.0, 15.0) + 15.0) * 0.5) as u8;
    unit.min(15)
}

/// Products of the components with the code, and of the code with itself.
fn products(rotated: &[f32], units: &[u8]) -> (f64, f64) {
    let (mut with_code, mut code_squared) = (0.0, 0.0);
    for (&value, &unit) in rotated.iter().zip(units) {
        let code = f64::from(2 * i32::from(unit) - 15);
        with_code += f64::from(value) * code;
        code_squared += code * code;
    }
    (with_code, code_squared)
}
