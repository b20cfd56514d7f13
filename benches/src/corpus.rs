//! Documents with vectors, queries, and the exact answers to them.
//!
//! `minilm-docs` (real text, real embeddings) where the shared folder is found, otherwise clustered vectors from a seed.
//! Besides its text a document carries properties for filters: `bucket`, 0 to 99, and `half`, 0 or 1, both independent of
//! the text, so that a filter's selectivity is known and says nothing about the vectors.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use uuid::Uuid;

/// Answers that recall is measured against.
pub const K: usize = 10;
const SEED: u64 = 7;

/// Rows of `dimension` f32.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Values in one row.
    pub dimension: usize,
    values: Vec<f32>,
}

impl Rows {
    /// Row `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dimension..(index + 1) * self.dimension]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// The text of one document.
#[derive(Debug, Clone, Deserialize)]
pub struct Passage {
    /// Where it comes from.
    pub source: String,
    /// The passage itself.
    pub text: String,
}

/// Documents, queries and exact answers.
#[derive(Debug)]
pub struct Corpus {
    /// What the data is, for the reader of the table.
    pub name: String,
    /// Unit vectors of the documents.
    pub vectors: Rows,
    /// Texts of the documents.
    pub passages: Vec<Passage>,
    /// Unit vectors of the queries.
    pub queries: Rows,
}

impl Corpus {
    /// At most `documents_max` documents and `queries_max` queries.
    ///
    /// # Errors
    /// If the data is there but cannot be read.
    pub fn load(documents_max: usize, queries_max: usize) -> io::Result<Corpus> {
        match minilm_folder() {
            Some(folder) => minilm(&folder, documents_max, queries_max),
            None => Ok(synthetic(documents_max, queries_max)),
        }
    }

    /// The property `bucket` of document `index`.
    pub fn bucket(index: usize) -> u64 {
        // Multiplication by an odd constant spreads neighbours over all buckets; texts of one source are neighbours.
        ((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 100
    }

    /// The property `half` of document `index`.
    pub fn half(index: usize) -> u64 {
        Corpus::bucket(index) % 2
    }

    /// The id of document `index`: random to look at, as clients choose them, the same in every run.
    pub fn id(index: usize) -> Uuid {
        let random = ChaCha8Rng::seed_from_u64(index as u64).random::<u64>();
        Uuid::from_u64_pair(random & !0xf000 | 0x4000, 1 << 63 | index as u64)
    }

    /// The document that [`Corpus::id`] gave this id.
    pub fn index(id: Uuid) -> usize {
        (id.as_u64_pair().1 & 0xffff_ffff) as usize
    }

    /// The [`K`] nearest documents of each query among those that `admit` lets through, nearest first.
    pub fn exact(&self, admit: impl Fn(usize) -> bool + Sync) -> Vec<Vec<usize>> {
        let admitted: Vec<usize> = (0..self.vectors.len()).filter(|index| admit(*index)).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let queries: Vec<usize> = (0..self.queries.len()).collect();
        let share = queries.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let work = |part: &[usize]| part.iter().map(|query| self.nearest(*query, &admitted)).collect::<Vec<_>>();
            let parts: Vec<_> = queries.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
            parts.into_iter().flat_map(|part| part.join().expect("arithmetic does not panic")).collect()
        })
    }

    fn nearest(&self, query: usize, admitted: &[usize]) -> Vec<usize> {
        let query = self.queries.row(query);
        let mut scored: Vec<(f32, usize)> =
            admitted.iter().map(|index| (-dot(query, self.vectors.row(*index)), *index)).collect();
        let by_score = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0);
        if scored.len() > K {
            scored.select_nth_unstable_by(K - 1, by_score);
            scored.truncate(K);
        }
        scored.sort_unstable_by(by_score);
        scored.into_iter().map(|(_, index)| index).collect()
    }
}

/// Share of the exact answers that were found.
pub fn recall(found: &[usize], exact: &[usize]) -> f64 {
    if exact.is_empty() {
        return 1.0;
    }
    exact.iter().filter(|index| found.contains(index)).count() as f64 / exact.len() as f64
}

/// Sums in eight lanes, which the compiler turns into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

fn minilm_folder() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let shared = std::env::var_os("AZIMUTH_SHARED").map_or_else(|| workspace.join("../shared"), PathBuf::from);
    Some(shared.join("data/minilm-docs")).filter(|folder| folder.is_dir())
}

fn minilm(folder: &Path, documents_max: usize, queries_max: usize) -> io::Result<Corpus> {
    let vectors = fbin(&folder.join("base.fbin"), documents_max)?;
    let queries = fbin(&folder.join("query.fbin"), queries_max)?;
    let texts = BufReader::new(GzDecoder::new(File::open(folder.join("texts.jsonl.gz"))?));
    let passages = texts
        .lines()
        .take(vectors.len())
        .map(|line| serde_json::from_str(&line?).map_err(io::Error::other))
        .collect::<io::Result<Vec<Passage>>>()?;
    if passages.len() != vectors.len() {
        return Err(io::Error::other(format!("{} texts for {} vectors", passages.len(), vectors.len())));
    }
    Ok(Corpus { name: format!("minilm-docs, {} x {}", vectors.len(), vectors.dimension), vectors, passages, queries })
}

/// u32 count, u32 dimension, then rows of f32, all little-endian.
fn fbin(path: &Path, rows_max: usize) -> io::Result<Rows> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut word = || -> io::Result<usize> {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(io::Error::other)
    };
    let (count, dimension) = (word()?, word()?);
    let mut bytes = vec![0; count.min(rows_max) * dimension * 4];
    reader.read_exact(&mut bytes)?;
    let (values, _) = bytes.as_chunks::<4>();
    Ok(Rows { dimension, values: values.iter().map(|value| f32::from_le_bytes(*value)).collect() })
}

/// 384-d vectors in clusters of about 100, and texts of random words; queries come from the same clusters.
fn synthetic(documents: usize, queries: usize) -> Corpus {
    const DIMENSION: usize = 384;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let clusters = documents.div_ceil(100).max(1);
    let centres = Rows { dimension: DIMENSION, values: noise(&mut random, clusters * DIMENSION) };
    let mut around = |count: usize| {
        let mut values = Vec::with_capacity(count * DIMENSION);
        for _ in 0..count {
            let centre = centres.row(random.random_range(0..clusters));
            let spread = noise(&mut random, DIMENSION);
            let row: Vec<f32> = centre.iter().zip(&spread).map(|(centre, spread)| centre + 0.6 * spread).collect();
            let length = dot(&row, &row).sqrt();
            values.extend(row.iter().map(|value| value / length));
        }
        Rows { dimension: DIMENSION, values }
    };
    let (vectors, queries) = (around(documents), around(queries));
    let passages = (0..documents)
        .map(|index| {
            let words: Vec<String> = (0..120).map(|_| format!("w{}", random.random_range(0..20_000_u32))).collect();
            Passage { source: format!("source{}", index % 2000), text: words.join(" ") }
        })
        .collect();
    let name = format!("synthetic clusters (seed {SEED}), {documents} x {DIMENSION}");
    Corpus { name, vectors, passages, queries }
}

fn noise(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    // The sum of four uniform values is close enough to a normal one here.
    (0..count).map(|_| (0..4).map(|_| random.random_range(-1.0..1.0_f32)).sum::<f32>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_documents() {
        for index in [0, 1, 255, 49_999, 1_000_000] {
            let id = Corpus::id(index);
            assert_eq!(Corpus::index(id), index);
            assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122), "{id}");
        }
        assert_ne!(Corpus::id(1).as_bytes()[..4], Corpus::id(2).as_bytes()[..4]);
    }

    #[test]
    fn exact_answers_are_those_of_a_full_sort() {
        let corpus = synthetic(500, 20);
        let admit = |index: usize| !index.is_multiple_of(3);
        for (query, found) in corpus.exact(admit).iter().enumerate() {
            let mut all: Vec<usize> = (0..500).filter(|index| admit(*index)).collect();
            let score = |index: usize| {
                let (a, b) = (corpus.queries.row(query), corpus.vectors.row(index));
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            all.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
            assert!(recall(found, &all[..K]) > 0.99, "query {query}, seed {SEED}");
            assert_eq!(found.len(), K);
        }
    }

    #[test]
    fn filters_admit_the_share_that_they_say() {
        let share = |admit: fn(usize) -> bool| (0..50_000).filter(|index| admit(*index)).count();
        assert!((400..600).contains(&share(|index| Corpus::bucket(index) == 0)));
        assert!((24_000..26_000).contains(&share(|index| Corpus::half(index) == 0)));
    }
}
