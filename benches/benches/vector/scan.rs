//! What the machine allows: kernels beside simsimd, both beside the bandwidth of its memory.

use std::hint::black_box;
use std::path::Path;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::clock::{Clock, Spread};
use azimuth_benches::peers::{Graph, answers, ask, build, config};
use azimuth_benches::rounds::{Trial, alternate};
use azimuth_engine::vector::{Codes, IndexConfig, IndexKind, KernelTrial};
use simsimd::SpatialSimilarity;

/// Beyond every cache.
const BUFFER_BYTES: usize = 1 << 30;

/// Bytes a second that one thread reads: sums over a buffer beyond every cache.
fn bandwidth(rounds: usize) -> Spread {
    let buffer: Vec<u64> = (0..(BUFFER_BYTES / 8) as u64).collect();
    let rates: Vec<f64> = (0..rounds)
        .map(|_| {
            let clock = Clock::start();
            let mut lanes = [0u64; 32];
            for block in buffer.as_chunks::<32>().0 {
                for (lane, value) in lanes.iter_mut().zip(block) {
                    *lane ^= value;
                }
            }
            black_box(lanes);
            BUFFER_BYTES as f64 / clock.elapsed().cpu.as_secs_f64()
        })
        .collect();
    Spread::of(&rates)
}

/// Scans of the whole set.
pub(crate) fn scans(set: &AnnSet, rounds: usize) {
    let (n, dim) = (set.rows().len() as f64, set.dim as f64);
    println!("\n## exact scan of {n} x {dim} ({})", set.name);
    let Spread { median, min, max } = bandwidth(rounds);
    println!("memory, one thread: {:.1} GB/s ({:.1}..{:.1})", median / 1e9, min / 1e9, max / 1e9);
    let trial = KernelTrial::new(set.distance, set.dim, set.base.clone());
    let bytes: Vec<i8> = set.base.iter().map(|value| (value * 500.0).clamp(-127.0, 127.0) as i8).collect();
    let index = |codes| {
        let config = IndexConfig { kind: IndexKind::Flat, ..config(set, Graph { m: 16, ef_construction: 128 }, codes) };
        build(set, config, Path::new(super::NOWHERE)).0
    };
    let (flat, flat_codes) = (index(Codes::None), index(Codes::Default));
    let mut trials: Vec<(f64, Trial<'_>)> = vec![
        (4.0 * dim, Trial::new("flat, f32", &set.truth, |query| answers(&flat, &ask(query, None)))),
        (dim, Trial::new("flat, int8 with bounds", &set.truth, |query| answers(&flat_codes, &ask(query, None)))),
    ];
    for (tier, name) in trial.tiers().into_iter().enumerate() {
        for (what, codes) in [("f32", false), ("int8 codes", true)] {
            let (trial, mut values) = (&trial, Vec::new());
            let kernel = move |query: &[f32]| {
                if codes {
                    trial.score_codes(tier, query, &mut values);
                } else {
                    trial.score_rows(tier, query, &mut values);
                }
                black_box(&values);
                Vec::new()
            };
            let bytes = if codes { dim + 16.0 } else { 4.0 * dim };
            trials.push((bytes, Trial::new(format!("kernel {name}, {what}"), &[], kernel)));
        }
    }
    let f32_loop = |query: &[f32]| {
        black_box(set.rows().map(|row| f32::dot(query, row).expect("one length")).sum::<f64>());
        Vec::new()
    };
    let int8_loop = |query: &[f32]| {
        let query: Vec<i8> = query.iter().map(|value| (value * 500.0).clamp(-127.0, 127.0) as i8).collect();
        black_box(bytes.chunks_exact(set.dim).map(|row| i8::dot(&query, row).expect("one length")).sum::<f64>());
        Vec::new()
    };
    trials.push((4.0 * dim, Trial::new("simsimd f32 dot, bare loop", &[], f32_loop)));
    trials.push((dim, Trial::new("simsimd int8 dot, bare loop", &[], int8_loop)));
    let (sizes, mut trials): (Vec<f64>, Vec<Trial<'_>>) = trials.into_iter().unzip();
    for (bytes, outcome) in sizes.into_iter().zip(alternate(set, rounds, &mut trials)) {
        let qps = outcome.queries_per_second;
        println!(
            "{:32} {:8.0} QPS ({:.0}..{:.0})  {:6.1} ns a vector  {:5.1} GB/s",
            outcome.name,
            qps.median,
            qps.min,
            qps.max,
            1e9 / qps.median / n,
            qps.median * n * bytes / 1e9
        );
    }
}
