//! Real data: the 50,000 passages of `minilm-docs` with their embeddings, queries and exact answers.
//!
//! The files have the format of big-ann-benchmarks: two little-endian u32, rows and columns, then the rows.

use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shared_folder;

/// Vectors of one length, row after row.
#[derive(Debug)]
pub struct Matrix<T> {
    /// Values of one row.
    pub columns: usize,
    values: Vec<T>,
}

impl<T> Matrix<T> {
    /// One row, `columns` values.
    pub fn row(&self, row: usize) -> &[T] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns
    }
}

/// A passage of documentation.
#[derive(Debug, Deserialize)]
pub struct Passage {
    /// Row of its embedding.
    pub id: usize,
    /// The manual that it was taken from.
    pub source: String,
    /// 80 to 200 words.
    pub text: String,
}

/// Passages, embeddings, queries, and for each query the exact nearest rows.
#[derive(Debug)]
pub struct Dataset {
    /// Embeddings of the passages, unit length.
    pub base: Matrix<f32>,
    /// Embeddings of the queries.
    pub queries: Matrix<f32>,
    /// Rows of `base`, nearest first by cosine.
    pub nearest: Matrix<u32>,
    /// The texts, in the order of `base`.
    pub passages: Vec<Passage>,
}

impl Dataset {
    /// Reads `minilm-docs`; `None` where the shared folder is not there.
    ///
    /// # Panics
    /// When its files are there and damaged.
    pub fn minilm_docs() -> Option<Self> {
        let folder = shared_folder()?.join("data/minilm-docs");
        let passages: Vec<Passage> = gunzip(&folder.join("texts.jsonl.gz"))
            .lines()
            .map(|line| serde_json::from_str(line).expect("a passage a line"))
            .collect();
        let dataset = Self {
            base: matrix(&folder.join("base.fbin"), f32::from_le_bytes),
            queries: matrix(&folder.join("query.fbin"), f32::from_le_bytes),
            nearest: matrix(&folder.join("groundtruth.ibin"), u32::from_le_bytes),
            passages,
        };
        assert_eq!(dataset.passages.len(), dataset.base.rows(), "a text for each embedding");
        assert_eq!(dataset.nearest.rows(), dataset.queries.rows(), "an exact answer for each query");
        Some(dataset)
    }
}

/// Share of the exact nearest `found.len()` rows among those found.
pub fn recall(found: &[usize], nearest: &[u32]) -> f64 {
    let wanted = &nearest[..found.len().min(nearest.len())];
    let hits = found.iter().filter(|row| wanted.iter().any(|near| **row == *near as usize)).count();
    hits as f64 / wanted.len().max(1) as f64
}

fn matrix<T>(path: &PathBuf, read: fn([u8; 4]) -> T) -> Matrix<T> {
    let bytes = fs::read(path).expect("a file of the data set");
    let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    let (rows, columns) = (u32::from_le_bytes(word(0)) as usize, u32::from_le_bytes(word(4)) as usize);
    assert_eq!(bytes.len(), 8 + 4 * rows * columns, "{} has the length that its head names", path.display());
    let values = (0..rows * columns).map(|value| read(word(8 + 4 * value))).collect();
    Matrix { columns, values }
}

fn gunzip(path: &Path) -> String {
    let output = Command::new("gzip").arg("-dc").arg(path).stdin(Stdio::null()).output().expect("gzip");
    assert!(output.status.success(), "{} is damaged", path.display());
    String::from_utf8(output.stdout).expect("UTF-8 texts")
}

#[cfg(test)]
mod tests {
    use super::recall;

    #[test]
    fn recall_counts_hits_among_as_many_exact_answers() {
        assert_eq!(recall(&[1, 2, 3, 4], &[4, 3, 9, 1, 2]), 0.75);
        assert_eq!(recall(&[7], &[7, 8]), 1.0);
        assert_eq!(recall(&[], &[7, 8]), 0.0);
    }
}
