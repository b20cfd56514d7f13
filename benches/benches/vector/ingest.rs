//! The time that single searches take while vectors are inserted and linked at full speed.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::peers::{answers, ask};
use azimuth_engine::ids::DocId;
use azimuth_engine::vector::{IndexConfig, IndexOptions, StepBudget, VectorIndex};
use hdrhistogram::Histogram;

/// Vectors waiting for the graph at which the writer waits too, as the server makes it wait.
const PENDING_MAX: usize = 10_000;

/// One thread inserts, one links, one asks; then the same questions with nothing else going on.
pub(crate) fn ingest(set: &AnnSet, config: IndexConfig) {
    println!("\n## latency while inserting, {} (one thread inserts, one links, one asks)", set.name);
    let (index, _) = VectorIndex::open(Path::new(super::NOWHERE), Some(set.dim), config, IndexOptions::default());
    let (inserted, linked) = (AtomicBool::new(false), AtomicBool::new(false));
    let queries: Vec<&[f32]> = set.queries().collect();
    let mut during = Histogram::<u64>::new(3).expect("three digits are possible");
    let (mut pending, mut searches) = (0, 0usize);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (doc, row) in (0..).zip(set.rows()) {
                while index.pending_len() >= PENDING_MAX {
                    std::thread::yield_now();
                }
                index.insert(DocId(doc), row).expect("the row fits");
            }
            inserted.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while index.work(StepBudget::default()).more || !inserted.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            linked.store(true, Ordering::Release);
        });
        while !linked.load(Ordering::Acquire) {
            let asked = Instant::now();
            black_box(answers(&index, &ask(queries[searches % queries.len()], None)));
            record(&mut during, asked);
            searches += 1;
            pending = pending.max(index.pending_len());
        }
    });
    let rate = set.rows().len() as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} vectors a second until linked, {searches} searches meanwhile, at most {pending} pending");
    show("while inserting", &during);
    let mut after = Histogram::<u64>::new(3).expect("three digits are possible");
    for query in queries.iter().cycle().take(5 * queries.len()) {
        let asked = Instant::now();
        black_box(answers(&index, &ask(query, None)));
        record(&mut after, asked);
    }
    show("afterwards", &after);
}

fn record(times: &mut Histogram<u64>, since: Instant) {
    times.record(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)).expect("it grows as needed");
}

fn show(name: &str, times: &Histogram<u64>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
    println!("{name:16} p50 {:.3} ms  p99 {:.3} ms  p99.9 {:.3} ms", at(0.5), at(0.99), at(0.999));
}
