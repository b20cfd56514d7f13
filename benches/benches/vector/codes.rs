//! Every kind of codes on one graph and in a scan: bytes a vector, time to change over, queries a second, recall.

use std::path::Path;
use std::time::Instant;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::peers::{answers, ask, build, work_all};
use azimuth_benches::rounds::{Trial, alternate};
use azimuth_engine::vector::{Codes, IndexConfig, IndexKind, IndexStats, VectorIndex};

const EFS: [usize; 3] = [16, 64, 128];

/// As the server makes them of Weaviate's defaults; f32 first, to compare with.
fn kinds(rows: usize) -> [(&'static str, Codes); 8] {
    let (training_limit, rescore) = (rows.min(100_000), Some(20));
    [
        ("f32", Codes::None),
        ("int8, the default", Codes::Default),
        ("rq, 8 bits", Codes::Rotational { bits: 8, rescore }),
        ("sq", Codes::Scalar { training_limit, rescore }),
        ("rq, 4 bits", Codes::Rotational { bits: 4, rescore }),
        ("rq, 1 bit", Codes::Rotational { bits: 1, rescore: Some(512) }),
        ("bq", Codes::Binary { rescore: None }),
        ("pq", Codes::Product { segments: 0, centroids: 256, training_limit }),
    ]
}

/// Two tables: the graph, which stays the same while its codes change, and the scan.
pub(crate) fn codes(set: &AnnSet, rounds: usize, config: IndexConfig) {
    println!("\n## codes on one graph, {}; change: seconds to train and code all, beside a live index", set.name);
    table(set, rounds, config, &EFS);
    println!("\n## codes in a scan, {}", set.name);
    table(set, rounds, IndexConfig { kind: IndexKind::Flat, ..config }, &EFS[..1]);
}

fn table(set: &AnnSet, rounds: usize, config: IndexConfig, efs: &[usize]) {
    let (index, _) = build(set, config, Path::new(super::NOWHERE));
    for (name, codes) in kinds(set.rows().len()) {
        let begun = Instant::now();
        index.update_config(IndexConfig { codes, ..config });
        work_all(&index);
        let (seconds, stats) = (begun.elapsed().as_secs_f64(), index.stats());
        println!("{name}: change {seconds:.2} s, {}", bytes_of(&stats));
        let trial = |&ef: &usize| Trial::new(format!("    {}", label(&stats, ef)), &set.truth, asking(&index, ef));
        let mut trials: Vec<Trial<'_>> = efs.iter().map(trial).collect();
        for outcome in alternate(set, rounds, &mut trials) {
            println!("{}", outcome.line());
        }
    }
}

fn asking(index: &VectorIndex, ef: usize) -> impl FnMut(&[f32]) -> Vec<u32> {
    move |query| answers(index, &ask(query, Some(ef)))
}

fn label(stats: &IndexStats, ef: usize) -> String {
    if stats.levels.is_empty() { "scan".to_owned() } else { format!("ef {ef:4}") }
}

/// What must be in memory for a query; originals are read for the last candidates only, except by f32.
fn bytes_of(stats: &IndexStats) -> String {
    let each = |bytes: u64| bytes / stats.len.max(1) as u64;
    let originals =
        if stats.codes == "f32" { stats.memory.originals_bytes + stats.memory.originals_mapped_bytes } else { 0 };
    let resident = originals + stats.memory.codes_bytes + stats.memory.links_bytes + stats.memory.directory_bytes;
    format!("{} bytes a vector of codes, {} resident", each(stats.memory.codes_bytes), each(resident))
}
