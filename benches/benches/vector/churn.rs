//! Half of the vectors deleted and inserted anew in random order, beside a graph built in one go.

use std::path::Path;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::clock::Clock;
use azimuth_benches::peers::{ask, build, work_all};
use azimuth_benches::rounds::{Trial, alternate};
use azimuth_engine::ids::DocId;
use azimuth_engine::vector::{IndexConfig, VectorIndex};

/// Documents deleted, or inserted, before background work catches up.
const PART: usize = 500;

/// Half updated; then half deleted for good, beside a graph over what is left.
pub(crate) fn churn(set: &AnnSet, rounds: usize, config: IndexConfig) {
    println!("\n## churn, {}", set.name);
    let n = set.rows().len() as u64;
    let (fresh, _) = build(set, config, Path::new(super::NOWHERE));
    let (updated, _) = build(set, config, Path::new(super::NOWHERE));
    // A permutation: the step has no factor in common with the number of rows.
    let step = (7_919..).find(|step| !n.is_multiple_of(*step)).unwrap_or(1);
    let order: Vec<u64> = (0..n).map(|i| i * step % n).filter(|i| i % 2 == 0).collect();
    let rows: Vec<&[f32]> = set.rows().collect();
    let clock = Clock::start();
    for part in order.chunks(PART) {
        for &row in part {
            assert!(updated.delete(DocId(row)));
        }
        work_all(&updated);
        for &row in part {
            updated.insert(DocId(row + n), rows[row as usize]).expect("the row fits");
        }
        work_all(&updated);
    }
    let elapsed = clock.elapsed();
    println!(
        "{} updated in {:.1} s ({:.1} s of processor time), {} tombstones left",
        order.len(),
        elapsed.wall.as_secs_f64(),
        elapsed.cpu.as_secs_f64(),
        updated.stats().tombstones
    );
    let odd =
        AnnSet { base: rows.iter().skip(1).step_by(2).flat_map(|row| row.to_vec()).collect(), ..set.without_rows() };
    let (fresh_half, _) = build(&odd, config, Path::new(super::NOWHERE));
    let (deleted, _) = build(set, config, Path::new(super::NOWHERE));
    for part in order.chunks(PART) {
        for &row in part {
            assert!(deleted.delete(DocId(row)));
        }
        work_all(&deleted);
    }
    println!("{} deleted, {} tombstones left", order.len(), deleted.stats().tombstones);
    for (name, index) in [("fresh, half", &fresh_half), ("half deleted", &deleted)] {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let bytes = index.memory().resident_bytes() as f64 / index.len().max(1) as f64;
        println!("{name}: {bytes:.0} resident bytes a vector");
    }
    let half_truth = set.exact(|row| row % 2 == 1);
    // Rows by document: `doc % modulus * factor + offset`.
    let mut trials = Vec::new();
    for ef in [64, 128] {
        for (name, index, truth, row_of) in [
            ("fresh, all", &fresh, &set.truth, (n, 1, 0)),
            ("half updated", &updated, &set.truth, (n, 1, 0)),
            ("fresh, half", &fresh_half, &half_truth, (n, 2, 1)),
            ("half deleted", &deleted, &half_truth, (n, 1, 0)),
        ] {
            let search = move |query: &[f32]| rows_of(index, query, ef, row_of);
            trials.push(Trial::new(format!("{name}, ef {ef}"), truth, search));
        }
    }
    alternate(set, rounds, &mut trials).iter().for_each(|outcome| println!("{}", outcome.line()));
}

fn rows_of(index: &VectorIndex, query: &[f32], ef: usize, (modulus, factor, offset): (u64, u64, u64)) -> Vec<u32> {
    let hits = index.search(&ask(query, Some(ef))).expect("the query fits");
    hits.iter().map(|hit| u32::try_from(hit.doc_id.0 % modulus * factor + offset).expect("a row")).collect()
}
