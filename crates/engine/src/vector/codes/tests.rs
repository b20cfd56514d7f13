//! Codes against f64: distances within the error that the trailer states.

use super::*;
use crate::vector::arena::Rows;
use crate::vector::distance::Kernels;

fn vector(seed: u64, dim: usize, size: impl Fn(usize) -> f32) -> Vec<f32> {
    (0..dim)
        .map(|i| {
            let word = splitmix(seed.wrapping_mul(0x1000_0001).wrapping_add(i as u64));
            ((word >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * size(i)
        })
        .collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn rotation_keeps_products() {
    for dim in [1usize, 3, 64, 100, 384, 768, 1000, 1536] {
        let rotation = Rotation::new(dim.next_multiple_of(64), 7);
        let (a, b) = (vector(1, dim, |_| 1.0), vector(2, dim, |_| 1.0));
        let (mut ra, mut rb) = (Vec::new(), Vec::new());
        rotation.rotate(&a, &mut ra);
        rotation.rotate(&b, &mut rb);
        assert!((dot(&a, &b) - dot(&ra, &rb)).abs() < 1e-4 * dot(&a, &a).max(dot(&b, &b)), "dim {dim}");
    }
}

#[test]
fn a_rotation_spreads_a_spike() {
    let rotation = Rotation::new(384, 7);
    let mut spike = vec![0.0; 384];
    spike[17] = 1.0;
    let mut rotated = Vec::new();
    rotation.rotate(&spike, &mut rotated);
    let largest = rotated.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(largest < 0.5, "{largest}");
}

#[test]
fn approximate_distance_is_within_the_stated_error() {
    for (dim, distance) in
        [(5usize, Distance::L2Squared), (100, Distance::Dot), (384, Distance::Dot), (768, Distance::L2Squared)]
    {
        let padded = dim.next_multiple_of(64);
        let rotation = Rotation::new(padded, 3);
        let kernels = [Kernels::of(distance), Kernels::portable(distance)];
        for seed in 0..50 {
            let size = |i: usize| if i == 0 && seed % 3 == 0 { 1000.0 } else { 0.01 + (seed as f32) };
            let (a, b) = (vector(seed, dim, size), vector(seed + 1000, dim, |_| 1.0));
            let (mut ca, mut cb, mut scratch) = (Code::default(), Code::default(), Vec::new());
            ca.encode(&rotation, &a, &mut scratch);
            cb.encode(&rotation, &b, &mut scratch);
            let mut row = vec![0u8; padded + CODE_TRAILER_BYTES];
            // SAFETY: the row has the room.
            unsafe { cb.write(row.as_mut_ptr()) };
            let exact = match distance {
                Distance::L2Squared => dot(&a, &a) + dot(&b, &b) - 2.0 * dot(&a, &b),
                _ => -dot(&a, &b),
            };
            let slack = 2.0 * f64::from(ca.error * cb.norm + cb.error * ca.norm)
                + 1e-5 * f64::from(ca.norm * ca.norm + cb.norm * cb.norm);
            let bases = [row.as_ptr()];
            let mut values = Vec::new();
            for kernels in kernels {
                let mut out = [0.0];
                // SAFETY: slot 0 is the row.
                unsafe { kernels.score_codes(Rows::new(&bases, 0, row.len()), &ca.query(distance), &[0], &mut out) };
                assert!(
                    (f64::from(out[0]) - exact).abs() <= slack,
                    "{} dim {dim} seed {seed}: {} {exact} {slack}",
                    kernels.tier,
                    out[0]
                );
                values.push(out[0]);
            }
            assert_eq!(values[0], values[1], "tiers agree to the bit");
        }
    }
}

#[test]
fn zero_vector_has_a_zero_code() {
    let (mut code, mut scratch) = (Code::default(), Vec::new());
    code.encode(&Rotation::new(64, 1), &[0.0; 10], &mut scratch);
    assert_eq!((code.scale, code.norm, code.error), (0.0, 0.0, 0.0));
    assert!(code.values.iter().all(|&value| value == 0) && code.values.len() == 64);
}
