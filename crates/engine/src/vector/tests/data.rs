//! Vectors to test with, and the exact answer.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::*;
use crate::vector::quantize::splitmix;

/// `[n, dim]`, row after row.
pub(super) struct Data {
    pub dim: usize,
    pub values: Vec<f32>,
}

impl Data {
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Normal noise around `clusters` normal centres; `spread` is the noise's share.
    pub(super) fn clustered(seed: u64, n: usize, dim: usize, clusters: usize, spread: f32) -> Self {
        let mut values = Vec::with_capacity(n * dim);
        for i in 0..n as u64 {
            let cluster = splitmix(seed ^ i << 8) % clusters as u64;
            for j in 0..dim as u64 {
                let centre = normal(0xce47 ^ cluster << 32 ^ j);
                values.push(centre + spread * normal(seed.rotate_left(40) ^ i << 20 ^ j));
            }
        }
        Self { dim, values }
    }

    /// Queries: the first `n` rows, each disturbed by noise of `by` times its own size.
    pub(super) fn near(&self, n: usize, by: f32) -> Self {
        let mut values = self.values[..n * self.dim].to_vec();
        for (i, row) in values.chunks_exact_mut(self.dim).enumerate() {
            let size = (row.iter().map(|value| value * value).sum::<f32>() / self.dim as f32).sqrt();
            for (j, value) in row.iter_mut().enumerate() {
                *value += by * size * normal(0x9e4_0000_0000 ^ (i as u64) << 16 ^ j as u64);
            }
        }
        Self { dim: self.dim, values }
    }

    /// A file of the shared set; `None`, with a notice, where it is absent.
    pub(super) fn shared(name: &str) -> Option<Self> {
        let folder = std::env::var_os("AZIMUTH_SHARED")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
        let path = folder.join("data/minilm-docs").join(name);
        let mut bytes = Vec::new();
        if let Err(error) = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)) {
            println!("skipped: {} cannot be read ({error}); set AZIMUTH_SHARED", path.display());
            return None;
        }
        let words: Vec<[u8; 4]> = bytes.as_chunks().0.to_vec();
        let dim = u32::from_le_bytes(words[1]) as usize;
        Some(Self { dim, values: words[2..].iter().map(|&word| f32::from_le_bytes(word)).collect() })
    }
}

/// Standard normal from a counter.
pub(super) fn normal(counter: u64) -> f32 {
    let uniform = |word: u64| ((word >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let (a, b) = (uniform(splitmix(counter)), uniform(splitmix(counter ^ 0x5bf0_3635_0000_0000)));
    ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

/// The distance in f64, by Weaviate's formulas.
pub(super) fn naive(distance: Distance, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs().map(|(x, y)| f(x, y)).sum::<f64>();
    match distance {
        Distance::Cosine => {
            let norms = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
            if norms > 0.0 { (1.0 - sum(&|x, y| x * y) / norms).max(0.0) } else { 1.0 }
        }
        Distance::Dot => -sum(&|x, y| x * y),
        Distance::L2Squared => sum(&|x, y| (x - y) * (x - y)),
        Distance::Manhattan => sum(&|x, y| (x - y).abs()),
        Distance::Hamming => sum(&|x, y| if x == y { 0.0 } else { 1.0 }),
    }
}

/// The `k` smallest distances to the rows that `allowed` lets through.
pub(super) fn exact(
    distance: Distance,
    data: &Data,
    query: &[f32],
    k: usize,
    allowed: impl Fn(usize) -> bool,
) -> Vec<(f64, usize)> {
    let mut all: Vec<(f64, usize)> =
        data.rows().enumerate().filter(|&(i, _)| allowed(i)).map(|(i, row)| (naive(distance, query, row), i)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

/// Share of the answers that are as near as the exact ones.
pub(super) fn recall(exact: &[(f64, usize)], hits: &[Neighbor]) -> f64 {
    let Some(&(bound, _)) = exact.last() else { return if hits.is_empty() { 1.0 } else { 0.0 } };
    let near = hits.iter().filter(|hit| f64::from(hit.distance) <= bound + 1e-6 * bound.abs().max(1e-3)).count();
    near.min(exact.len()) as f64 / exact.len() as f64
}
