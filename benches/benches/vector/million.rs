//! Sizes beyond the caches, and the way to disk and back.

use std::time::Instant;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::clock::anonymous_bytes;
use azimuth_benches::peers::{BUILD_THREADS, answers, ask, build};
use azimuth_benches::rounds::{Trial, alternate};
use azimuth_engine::vector::{IndexConfig, IndexOptions, IndexStats, VectorIndex};

/// Build, save, memory, queries, reopen, queries again.
pub(crate) fn life(set: &AnnSet, rounds: usize, config: IndexConfig) {
    let n = set.rows().len();
    println!("\n## {} ({n} x {}): from empty to reopened", set.name, set.dim);
    let dir = tempfile::tempdir().expect("a folder");
    let before = anonymous_bytes();
    let (index, elapsed) = build(set, config, dir.path());
    println!(
        "built in {:.1} s by the clock, {:.1} s of processor time: {:.0} vectors a second with {BUILD_THREADS} threads",
        elapsed.wall.as_secs_f64(),
        elapsed.cpu.as_secs_f64(),
        n as f64 / elapsed.wall.as_secs_f64()
    );
    let begun = Instant::now();
    let report = index.save().expect("saved");
    println!(
        "saved in {:.2} s: {:.0} MB in {} files",
        begun.elapsed().as_secs_f64(),
        mb(report.written_bytes),
        report.files
    );
    let begun = Instant::now();
    let again = index.save().expect("saved");
    println!("saved again in {:.2} s: {:.0} MB written", begun.elapsed().as_secs_f64(), mb(again.written_bytes));
    show_memory(&index.stats(), n, anonymous_bytes().saturating_sub(before));
    queries(set, rounds, &index);
    drop(index);
    let begun = Instant::now();
    let (index, report) = VectorIndex::open(dir.path(), Some(set.dim), config, IndexOptions::default());
    let opened = begun.elapsed().as_secs_f64();
    let ids = index.live_ids().len();
    let listed = begun.elapsed().as_secs_f64();
    let first: Vec<&[f32]> = set.queries().take(1).collect();
    let found: usize = first.iter().map(|query| answers(&index, &ask(query, None)).len()).sum();
    println!(
        "reopened in {opened:.3} s ({} loaded, {} dropped), {ids} ids listed after {listed:.3} s, {found} hits after {:.3} s",
        report.loaded,
        report.dropped.len(),
        begun.elapsed().as_secs_f64()
    );
    queries(set, rounds, &index);
}

fn queries(set: &AnnSet, rounds: usize, index: &VectorIndex) {
    let trial = |ef| Trial::new(format!("ef {ef}"), &set.truth, move |query| answers(index, &ask(query, Some(ef))));
    let mut trials: Vec<Trial<'_>> = [32, 64, 128, 256].into_iter().map(trial).collect();
    alternate(set, rounds, &mut trials).iter().for_each(|outcome| println!("{}", outcome.line()));
}

fn show_memory(stats: &IndexStats, n: usize, anonymous: u64) {
    let each = |bytes: u64| bytes as f64 / n as f64;
    println!(
        "bytes a vector: codes {:.0}, links {:.0}, directory {:.0}, originals in memory {:.0}, behind the page cache {:.0}; anonymous memory {:.0}",
        each(stats.memory.codes_bytes),
        each(stats.memory.links_bytes),
        each(stats.memory.directory_bytes),
        each(stats.memory.originals_bytes),
        each(stats.memory.originals_mapped_bytes),
        each(anonymous)
    );
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
