//! Codes against f64: distances within the error that is stated, kernels of both tiers alike.

use super::*;
use crate::vector::arena::Rows;
use crate::vector::distance::Kernels;
use crate::vector::quantize::rotation::Rotation;
use crate::vector::quantize::{Training, splitmix};

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

fn exact(distance: Distance, a: &[f32], b: &[f32]) -> f64 {
    match distance {
        Distance::L2Squared => dot(a, a) + dot(b, b) - 2.0 * dot(a, b),
        Distance::Manhattan => a.iter().zip(b).map(|(&a, &b)| f64::from((a - b).abs())).sum(),
        _ => -dot(a, b),
    }
}

/// The value of one row by both tiers, which agree to the bit.
fn score(distance: Distance, query: &CodeQuery<'_>, row: &[u8]) -> f32 {
    assert_eq!(query.row_bytes(), row.len());
    let bases = [row.as_ptr()];
    let [first, second] = [Kernels::of(distance), Kernels::portable(distance)].map(|kernels| {
        let mut out = [0.0];
        // SAFETY: slot 0 is the row.
        unsafe { kernels.score_codes(Rows::new(&bases, 0, row.len()), query, &[0], &mut out) };
        out[0]
    });
    assert_eq!(first, second, "tiers agree to the bit");
    first
}

fn trained(distance: Distance, dim: usize, kind: CodeKind, sample: &[Vec<f32>]) -> Codec {
    match kind {
        CodeKind::Scalar => {
            let values = || sample.iter().flatten().copied();
            let scalar = Scalar::between(values().fold(f32::MAX, f32::min), values().fold(f32::MIN, f32::max));
            Codec::scalar(distance, dim, scalar)
        }
        CodeKind::Product { segments, centroids } => {
            let mut training = Training::new(dim, segments as usize, centroids as usize, 5);
            while let Some(components) = training.next_segment() {
                let part: Vec<f32> = sample.iter().flat_map(|row| row[components.clone()].iter().copied()).collect();
                training.train(&part);
            }
            Codec::product(distance, dim, kind, training.finish().expect("all segments are trained"))
        }
        CodeKind::Rotational { .. } | CodeKind::Signs => {
            Codec::untrained(distance, dim, kind, 3).expect("needs no training")
        }
    }
}

fn row_of(codec: &Codec, vector: &[f32]) -> Vec<u8> {
    let mut row = Vec::new();
    codec.encode(vector, &mut Vec::new(), &mut row);
    assert_eq!(row.len(), codec.stride());
    row
}

const KINDS: [CodeKind; 6] = [
    CodeKind::Rotational { bits: 8 },
    CodeKind::Rotational { bits: 4 },
    CodeKind::Rotational { bits: 1 },
    CodeKind::Scalar,
    CodeKind::Signs,
    CodeKind::Product { segments: 5, centroids: 16 },
];

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

/// The codec, and the same around a centre.
fn around_too(codec: Codec) -> Vec<Codec> {
    let centred = codec.around(vector(77, codec.dim, |_| 3.0));
    [Some(codec), centred].into_iter().flatten().collect()
}

/// Fine codes never leave the bound; the others leave the likely one in few cases. A vector far from the others is among
/// those coded, and what scalar codes were trained on covers only some of the components.
#[test]
fn values_are_within_the_stated_error() {
    for (dim, distance) in [
        (5usize, Distance::L2Squared),
        (100, Distance::Dot),
        (384, Distance::Dot),
        (768, Distance::L2Squared),
        (2100, Distance::Dot),
    ] {
        let size = |seed: u64, i: usize| if i == 0 && seed.is_multiple_of(3) { 1000.0 } else { 0.01 + seed as f32 };
        let vectors: Vec<Vec<f32>> = (0..50).map(|seed| vector(seed, dim, |i| size(seed, i) + 0.5)).collect();
        for kind in [
            CodeKind::Rotational { bits: 8 },
            CodeKind::Rotational { bits: 4 },
            CodeKind::Rotational { bits: 1 },
            CodeKind::Scalar,
        ] {
            for codec in around_too(trained(distance, dim, kind, &vectors[10..40])) {
                let mut unlikely = 0;
                for (seed, stored) in vectors.iter().enumerate() {
                    let query = vector(seed as u64 + 1000, dim, |_| 1.0);
                    let (row, coded) = (row_of(&codec, stored), codec.prepare(&query));
                    let value = f64::from(score(distance, &coded.view(), &row));
                    let error = (value - exact(distance, stored, &query)).abs();
                    if let Some(worst) = coded.worst_error() {
                        let bound = f64::from(worst.of(&row));
                        assert!(error <= bound, "{kind:?} dim {dim} seed {seed}: {error} {bound}");
                    }
                    let rounding = 1e-5 * (dot(stored, stored) + dot(&query, &query));
                    unlikely += usize::from(error > f64::from(coded.likely_error(&row)) + rounding);
                }
                // What scalar codes were not trained for is cut off: that error has a direction.
                let most = if kind == CodeKind::Scalar { 3 } else { 1 };
                assert!(dim < 64 || unlikely <= most, "{kind:?} dim {dim}: {unlikely}");
            }
        }
    }
}

/// The estimate of coarse rotational codes is exact for the vector itself, up to the query's own coding.
#[test]
fn a_vector_is_nearest_to_itself() {
    for bits in [8, 4, 1] {
        let codec = trained(Distance::L2Squared, 256, CodeKind::Rotational { bits }, &[]);
        let stored = vector(4, 256, |_| 1.0);
        let value = score(Distance::L2Squared, &codec.prepare(&stored).view(), &row_of(&codec, &stored));
        assert!(f64::from(value).abs() < 0.02 * dot(&stored, &stored), "{bits}: {value}");
    }
}

#[test]
fn signs_count_what_differs() {
    let codec = trained(Distance::Cosine, 70, CodeKind::Signs, &[]);
    let (a, b) = (vector(1, 70, |_| 1.0), vector(2, 70, |_| 1.0));
    let differing = a.iter().zip(&b).filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count();
    assert_eq!(score(Distance::Cosine, &codec.prepare(&a).view(), &row_of(&codec, &b)), differing as f32);
    let binary = |bits: u32| (0..70).map(|i| f32::from(u8::from(i % bits == 0))).collect::<Vec<f32>>();
    let value = score(Distance::Cosine, &codec.prepare(&binary(2)).view(), &row_of(&codec, &binary(4)));
    assert_eq!(value, 17.0, "0 and 1 differ too");
}

/// As many centroids as different vectors: nothing is lost. Segments need not be of one length.
#[test]
fn product_codes_of_few_vectors_are_exact() {
    let sample: Vec<Vec<f32>> = (0..40).map(|i| vector(i % 8, 17, |_| 1.0)).collect();
    for distance in [Distance::L2Squared, Distance::Dot, Distance::Manhattan] {
        let kind = CodeKind::Product { segments: 5, centroids: 256 };
        let codec = trained(distance, 17, kind, &sample);
        let query = vector(99, 17, |_| 2.0);
        let coded = codec.prepare(&query);
        for stored in &sample {
            let value = f64::from(score(distance, &coded.view(), &row_of(&codec, stored)));
            let expected = exact(distance, stored, &query);
            assert!((value - expected).abs() < 1e-4, "{distance:?} {value} {expected}");
        }
    }
}

#[test]
fn zero_vectors_are_like_others() {
    for kind in KINDS {
        let sample: Vec<Vec<f32>> = (0..20).map(|i| vector(i, 10, |_| 1.0)).collect();
        let codec = trained(Distance::L2Squared, 10, kind, &sample);
        let (zero, other) = (vec![0.0; 10], vector(7, 10, |_| 1.0));
        for (a, b) in [(&zero, &zero), (&zero, &other), (&other, &zero)] {
            assert!(score(Distance::L2Squared, &codec.prepare(a).view(), &row_of(&codec, b)).is_finite(), "{kind:?}");
        }
    }
}

#[test]
fn huge_and_tiny_components_are_never_nan() {
    for kind in KINDS {
        for size in [1e-40f32, 1e-30, 1e30, 3e38] {
            let sample: Vec<Vec<f32>> = (0..20).map(|i| vector(i, 70, |_| size)).collect();
            let codec = trained(Distance::Dot, 70, kind, &sample);
            let query = codec.prepare(&sample[3]);
            for stored in &sample {
                assert!(!score(Distance::Dot, &query.view(), &row_of(&codec, stored)).is_nan(), "{kind:?} {size}");
            }
        }
    }
}

#[test]
fn what_is_saved_codes_alike() {
    let sample: Vec<Vec<f32>> = (0..60).map(|i| vector(i, 20, |_| 1.0)).collect();
    for kind in KINDS {
        let codec = trained(Distance::Dot, 20, kind, &sample);
        let bytes = postcard::to_stdvec(&codec.saved()).expect("plain data");
        let saved: SavedCodec = postcard::from_bytes(&bytes).expect("what was written");
        let loaded = Codec::load(Distance::Dot, 20, &saved).expect("what was saved");
        assert_eq!(loaded.kind(), kind);
        for vector in &sample {
            assert_eq!(row_of(&loaded, vector), row_of(&codec, vector), "{kind:?}");
        }
        let wrong = [
            SavedCodec { steps: vec![f32::NAN, 1.0], centroids: vec![f32::NAN; 20 * CENTROIDS], ..saved.clone() },
            SavedCodec { steps: vec![1.0], centroids: vec![1.0], ..saved.clone() },
        ];
        let trained = kind.is_trained();
        assert!(wrong.iter().all(|wrong| Codec::load(Distance::Dot, 20, wrong).is_none() == trained), "{kind:?}");
    }
    assert!(
        Codec::load(
            Distance::Dot,
            20,
            &SavedCodec {
                kind: CodeKind::Rotational { bits: 3 },
                seed: 1,
                centre: vec![],
                steps: vec![],
                centroids: vec![]
            }
        )
        .is_none()
    );
}
