//! Vectors with exact answers, for benches of the index in process.

use std::path::{Path, PathBuf};
use std::{env, fs};

use azimuth_engine::vector::Distance;
use simsimd::SpatialSimilarity;

/// A set of vectors, queries, and the nearest of each query.
#[derive(Debug)]
pub struct AnnSet {
    /// For tables.
    pub name: String,
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
        let name = "minilm-docs".to_owned();
        Some(Self { name, distance: Distance::Cosine, dim, base, queries, truth: Vec::new() }.with_truth())
    }

    /// A set from files in the format of big-ann-benchmarks. Under cosine rows and queries are normalised.
    ///
    /// # Errors
    /// A file cannot be read, or the two do not fit each other; a sentence.
    pub fn from_files(base: &Path, queries: &Path, distance: Distance) -> Result<Self, String> {
        let read = |path: &Path| read_fbin(path).ok_or_else(|| format!("{} cannot be read as .fbin", path.display()));
        let ((dim, mut base_rows), (queries_dim, mut query_rows)) = (read(base)?, read(queries)?);
        if dim == 0 || dim != queries_dim {
            return Err(format!("rows have {dim} components, queries {queries_dim}"));
        }
        if distance == Distance::Cosine {
            base_rows.chunks_exact_mut(dim).chain(query_rows.chunks_exact_mut(dim)).for_each(normalise);
        }
        let name = base.file_stem().map_or_else(|| "data".into(), |stem| stem.to_string_lossy()).into_owned();
        Ok(Self { name, distance, dim, base: base_rows, queries: query_rows, truth: Vec::new() }.with_truth())
    }

    /// 768 components from the real set: each row is a passage and the one after it side by side, as embeddings of two
    /// fields would be. Every hundredth pair is taken out and becomes a query.
    pub fn pairs(&self) -> Self {
        let dim = 2 * self.dim;
        let (mut base, mut queries) = (Vec::new(), Vec::new());
        for (i, pair) in self.base.windows(dim).step_by(self.dim).enumerate() {
            let place = if i % 100 == 50 { &mut queries } else { &mut base };
            place.extend_from_slice(pair);
        }
        base.chunks_exact_mut(dim).chain(queries.chunks_exact_mut(dim)).for_each(normalise);
        Self { name: "pairs-768".to_owned(), distance: Distance::Cosine, dim, base, queries, truth: Vec::new() }
            .with_truth()
    }

    /// `n` rows of the real set's dimension: each lies between two passages that are near in the documents, at a random
    /// place, with noise of a tenth of its norm. The queries are the first `queries` of this set.
    pub fn between(&self, n: usize, queries: usize) -> Self {
        let mut noise = Noise(4242);
        let rows: Vec<&[f32]> = self.rows().collect();
        let by = 0.1 / (self.dim as f32).sqrt();
        let mut base = Vec::with_capacity(n * self.dim);
        for _ in 0..n {
            let first = noise.below(rows.len());
            let second = (first + 1 + noise.below(40)) % rows.len();
            let weight = 0.2 + 0.6 * (noise.below(1000) as f32 / 1000.0);
            let begun = base.len();
            base.extend(rows[first].iter().zip(rows[second]).map(|(a, b)| weight * a + (1.0 - weight) * b));
            let row = &mut base[begun..];
            normalise(row);
            row.iter_mut().for_each(|value| *value += by * noise.normal());
            normalise(row);
        }
        let queries = self.queries[..queries.min(self.queries().len()) * self.dim].to_vec();
        let name = format!("between-{n}");
        Self { name, distance: Distance::Cosine, dim: self.dim, base, queries, truth: Vec::new() }.with_truth()
    }

    /// `n` rows around `clusters` centres, L2, and 500 queries of the same kind.
    pub fn clustered(n: usize, clusters: usize, dim: usize) -> Self {
        let mut noise = Noise(42);
        let centres: Vec<f32> = (0..clusters * dim).map(|_| noise.normal()).collect();
        let mut row = |rows: &mut Vec<f32>| {
            let cluster = noise.below(clusters);
            rows.extend(centres[cluster * dim..(cluster + 1) * dim].iter().map(|centre| centre + noise.normal() * 0.6));
        };
        let (mut base, mut queries) = (Vec::new(), Vec::new());
        (0..n).for_each(|_| row(&mut base));
        (0..500).for_each(|_| row(&mut queries));
        let name = format!("clustered-{dim}");
        Self { name, distance: Distance::L2Squared, dim, base, queries, truth: Vec::new() }.with_truth()
    }

    fn with_truth(mut self) -> Self {
        self.truth = self.exact(|_| true);
        self
    }

    /// Share of `truth` that the answers hold.
    pub fn recall(&self, truth: &[Vec<u32>], answers: &[Vec<u32>]) -> f64 {
        let found =
            truth.iter().zip(answers).map(|(truth, answer)| truth.iter().filter(|row| answer.contains(row)).count());
        let wanted: usize = truth.iter().map(Vec::len).sum();
        found.sum::<usize>() as f64 / wanted.max(1) as f64
    }

    /// Everything but rows and answers.
    pub fn without_rows(&self) -> Self {
        let (name, queries) = (self.name.clone(), self.queries.clone());
        Self { name, distance: self.distance, dim: self.dim, base: Vec::new(), queries, truth: Vec::new() }
    }

    /// For each query all rows, nearest first.
    pub fn orders(&self) -> impl Iterator<Item = Vec<u32>> {
        self.queries().map(|query| {
            let mut order: Vec<(f64, u32)> =
                self.rows().zip(0..).map(|(row, i)| (self.distance_between(query, row), i)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0));
            order.into_iter().map(|(_, i)| i).collect()
        })
    }

    fn distance_between(&self, query: &[f32], row: &[f32]) -> f64 {
        match self.distance {
            Distance::L2Squared => f32::l2sq(query, row).expect("one length"),
            _ => -f32::dot(query, row).expect("one length"),
        }
    }

    /// The nearest rows of every query among those that `allowed` lets through, computed with simsimd.
    pub fn exact(&self, allowed: impl Fn(u32) -> bool + Sync) -> Vec<Vec<u32>> {
        let queries: Vec<&[f32]> = self.queries().collect();
        let nearest = |query: &[f32]| {
            let mut all: Vec<(f64, u32)> = (0u32..)
                .zip(self.rows())
                .filter(|&(i, _)| allowed(i))
                .map(|(i, row)| (self.distance_between(query, row), i))
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
}

/// The format of big-ann-benchmarks: u32 n, u32 dim, then n * dim f32.
fn read_fbin(path: &Path) -> Option<(usize, Vec<f32>)> {
    let bytes = fs::read(path).ok()?;
    let (words, _) = bytes.as_chunks::<4>();
    let dim = u32::from_le_bytes(*words.get(1)?) as usize;
    Some((dim, words[2..].iter().map(|&word| f32::from_le_bytes(word)).collect()))
}

fn normalise(row: &mut [f32]) {
    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|value| *value /= norm);
    }
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
