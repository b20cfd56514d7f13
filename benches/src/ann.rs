//! Vectors with exact answers, for benches of the index in process.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use azimuth_engine::vector::Distance;
use simsimd::SpatialSimilarity;

/// A set of vectors, queries, and the nearest of each query.
#[derive(Debug)]
pub struct AnnSet {
    /// For tables.
    pub name: &'static str,
    /// Cosine (all normalised) or L2.
    pub distance: Distance,
    /// Components of a vector.
    pub dim: usize,
    /// `[n, dim]`.
    pub base: Vec<f32>,
    /// `[queries, dim]`.
    pub queries: Vec<f32>,
    /// For each query the rows of its nearest, nearest first.
    pub truth: Vec<Vec<u32>>,
}

/// Answers kept for each query.
pub const K: usize = 10;

impl AnnSet {
    /// Rows of the base.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.base.chunks_exact(self.dim)
    }

    /// The queries.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.queries.chunks_exact(self.dim)
    }

    /// The folder with the real data set: `AZIMUTH_SHARED`, else `../shared` beside the workspace.
    pub fn folder() -> PathBuf {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        env::var_os("AZIMUTH_SHARED").map_or_else(beside, PathBuf::from).join("data/minilm-docs")
    }

    /// 50,000 passages of documentation, all-MiniLM-L6-v2; `None` if the folder is absent.
    pub fn real() -> Option<Self> {
        let folder = Self::folder();
        let (dim, base) = read_fbin(&folder.join("base.fbin"))?;
        let (_, queries) = read_fbin(&folder.join("query.fbin"))?;
        let mut set = Self { name: "minilm-docs", distance: Distance::Cosine, dim, base, queries, truth: Vec::new() };
        set.truth = set.exact(|_| true);
        Some(set)
    }

    /// `n` rows around `clusters` centres, 128 components, L2.
    pub fn clustered(n: usize, clusters: usize) -> Self {
        let dim = 128;
        let mut noise = Noise(42);
        let centres: Vec<f32> = (0..clusters * dim).map(|_| noise.normal()).collect();
        let mut row = |rows: &mut Vec<f32>| {
            let cluster = noise.below(clusters);
            rows.extend(centres[cluster * dim..(cluster + 1) * dim].iter().map(|centre| centre + noise.normal() * 0.6));
        };
        let (mut base, mut queries) = (Vec::new(), Vec::new());
        (0..n).for_each(|_| row(&mut base));
        (0..500).for_each(|_| row(&mut queries));
        let mut set =
            Self { name: "clustered-128", distance: Distance::L2Squared, dim, base, queries, truth: Vec::new() };
        set.truth = set.exact(|_| true);
        set
    }

    /// The nearest rows of every query among those that `allowed` lets through, computed with simsimd.
    pub fn exact(&self, allowed: impl Fn(u32) -> bool + Sync) -> Vec<Vec<u32>> {
        let queries: Vec<&[f32]> = self.queries().collect();
        let nearest = |query: &[f32]| {
            let distance = |row: &[f32]| match self.distance {
                Distance::L2Squared => f32::l2sq(query, row),
                _ => f32::dot(query, row).map(|dot| -dot),
            };
            let mut all: Vec<(f64, u32)> = (0u32..)
                .zip(self.rows())
                .filter(|&(i, _)| allowed(i))
                .map(|(i, row)| (distance(row).expect("one length"), i))
                .collect();
            let k = K.min(all.len());
            if k < all.len() {
                all.select_nth_unstable_by(k, |a, b| a.0.total_cmp(&b.0));
            }
            all.truncate(k);
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all.into_iter().map(|(_, i)| i).collect::<Vec<u32>>()
        };
        std::thread::scope(|scope| {
            let halves = queries.chunks(queries.len().div_ceil(2));
            let workers: Vec<_> = halves
                .map(|half| scope.spawn(|| half.iter().map(|query| nearest(query)).collect::<Vec<_>>()))
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
        })
    }

    /// Runs all queries on one thread, several times over. A query's time is its best: others use the machine too.
    pub fn measure(&self, truth: &[Vec<u32>], mut search: impl FnMut(&[f32]) -> Vec<u32>) -> Outcome {
        let mut best = vec![Duration::MAX; self.queries().len()];
        let (mut found, mut wanted) = (0, 0);
        for _ in 0..ROUNDS {
            for ((query, truth), best) in self.queries().zip(truth).zip(&mut best) {
                let begun = Instant::now();
                let answer = search(query);
                *best = begun.elapsed().min(*best);
                found += answer.iter().filter(|row| truth.contains(row)).count();
                wanted += truth.len();
            }
        }
        let seconds = best.iter().sum::<Duration>().as_secs_f64();
        Outcome {
            queries_per_second: best.len() as f64 / seconds,
            recall: found as f64 / f64::from(wanted.max(1) as u32),
        }
    }
}

/// Rounds of a measurement.
const ROUNDS: usize = 5;

/// What a measurement gives.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// On one thread.
    pub queries_per_second: f64,
    /// Mean recall@[`K`].
    pub recall: f64,
}

/// The format of big-ann-benchmarks: u32 n, u32 dim, then n * dim f32.
fn read_fbin(path: &std::path::Path) -> Option<(usize, Vec<f32>)> {
    let bytes = fs::read(path).ok()?;
    let (words, _) = bytes.as_chunks::<4>();
    let dim = u32::from_le_bytes(*words.get(1)?) as usize;
    Some((dim, words[2..].iter().map(|&word| f32::from_le_bytes(word)).collect()))
}

/// Reproducible noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn normal(&mut self) -> f32 {
        let mut uniform = || ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let (a, b) = (uniform(), uniform());
        ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
    }
}
