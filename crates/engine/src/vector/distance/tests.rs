//! Every tier against f64, at lengths around the block sizes.

use super::*;
use crate::vector::quantize::splitmix;

fn vector(seed: u64, dim: usize, whole: bool) -> Vec<f32> {
    (0..dim)
        .map(|i| {
            let value = (splitmix(seed << 32 | i as u64) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            if whole { (value * 3.0).round() } else { value }
        })
        .collect()
}

fn reference(distance: Distance, a: &[f32], b: &[f32]) -> f64 {
    let terms = a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    match distance {
        Distance::Cosine | Distance::Dot => -terms.map(|(a, b)| a * b).sum::<f64>(),
        Distance::L2Squared => terms.map(|(a, b)| (a - b) * (a - b)).sum(),
        Distance::Manhattan => terms.map(|(a, b)| (a - b).abs()).sum(),
        Distance::Hamming => terms.map(|(a, b)| if a == b { 0.0 } else { 1.0 }).sum(),
    }
}

const ALL: [Distance; 5] =
    [Distance::Cosine, Distance::Dot, Distance::L2Squared, Distance::Manhattan, Distance::Hamming];

#[test]
fn tiers_agree_with_f64() {
    for distance in ALL {
        for dim in (1..70).chain([100, 127, 128, 129, 384, 768, 1000, 1536, 3072]) {
            let whole = distance == Distance::Hamming;
            let (a, b) = (vector(1, dim, whole), vector(2, dim, whole));
            let expected = reference(distance, &a, &b);
            for kernels in [Kernels::of(distance), Kernels::portable(distance)] {
                let tolerance = 1e-6 * dim as f64;
                let pair = kernels.pair(&a, &b);
                assert!((f64::from(pair) - expected).abs() <= tolerance, "{distance:?} {dim} {}: {pair}", kernels.tier);
                let rows: Vec<f32> = [&a, &b, &a, &b, &b].into_iter().flatten().copied().collect();
                let mut out = [0.0; 7];
                let bases = [rows.as_ptr().cast::<u8>()];
                // SAFETY: there are five rows.
                unsafe { kernels.score_rows(Rows::new(&bases, 3, dim * 4), &a, &[1, 0, 3, 4, 2, 0, 1], &mut out) };
                let twin = kernels.pair(&a, &a);
                assert_eq!(out, [pair, twin, pair, pair, twin, twin, pair], "one row and a batch give the same value");
            }
        }
    }
}

/// Rows one behind the other are compared by another loop than scattered ones; the values are the same to the bit.
#[test]
fn runs_and_scattered_rows_have_the_same_values() {
    const ROWS: usize = 37;
    for distance in ALL {
        let whole = distance == Distance::Hamming;
        for dim in [1, 16, 70, 384] {
            let rows: Vec<f32> = (0..ROWS as u64).flat_map(|seed| vector(seed, dim, whole)).collect();
            let query = vector(99, dim, whole);
            let bases = [rows.as_ptr().cast::<u8>()];
            let kernels = Kernels::of(distance);
            let score = |slots: &[u32]| {
                let mut out = vec![0.0; slots.len()];
                // SAFETY: the slots are below the number of rows.
                unsafe { kernels.score_rows(Rows::new(&bases, 31, dim * 4), &query, slots, &mut out) };
                out
            };
            let run: Vec<u32> = (0..ROWS as u32).collect();
            // As long as a run and with its ends, but in another order.
            let mut scattered = run.clone();
            scattered[1..ROWS - 1].reverse();
            let (in_run, apart) = (score(&run), score(&scattered));
            for (&slot, &value) in scattered.iter().zip(&apart) {
                assert_eq!(value, in_run[slot as usize], "{distance:?} {dim} slot {slot}");
                assert_eq!(value, kernels.pair(&query, &rows[slot as usize * dim..][..dim]), "{distance:?} {dim}");
            }
        }
    }
}

#[test]
fn overflow_is_far_and_never_nan() {
    for distance in ALL {
        for kernels in [Kernels::of(distance), Kernels::portable(distance)] {
            let (a, b) = ([3e38f32; 40], [-3e38f32; 40]);
            let mut out = [0.0];
            let bases = [b.as_ptr().cast::<u8>()];
            // SAFETY: slot 0 is `b`.
            unsafe { kernels.score_rows(Rows::new(&bases, 0, 160), &a, &[0], &mut out) };
            assert!(!out[0].is_nan() && out[0] > 0.0, "{distance:?} {}", out[0]);
        }
    }
}

#[test]
fn hadamard_twice_is_the_length() {
    let mut values = vector(9, 128, false);
    let before = values.clone();
    hadamard(&mut values);
    let mut plain = before.clone();
    hadamard_loop(&mut plain);
    assert_eq!(values, plain);
    hadamard(&mut values);
    for (after, before) in values.iter().zip(before) {
        assert!((after - before * 128.0).abs() < 1e-3);
    }
}
