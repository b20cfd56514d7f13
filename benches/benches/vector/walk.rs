//! One index, one `ef`, over and over: to be run under a profiler, which shows where a query's time goes.

use std::path::Path;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::clock::{Clock, Spread};
use azimuth_benches::peers::{answers, ask, build};
use azimuth_engine::vector::{IndexConfig, SearchRequest};
use roaring::RoaringTreemap;

use super::filter::chosen;

/// Passes over the queries until as many seconds of processor time are used up.
pub(crate) fn walk(set: &AnnSet, seconds: f64, ef: usize, percent: Option<f64>, config: IndexConfig) {
    let (index, _) = build(set, config, Path::new(super::NOWHERE));
    let allow: Option<RoaringTreemap> = percent
        .map(|percent| (0u32..).take(set.rows().len()).filter(|&row| chosen(row, percent)).map(u64::from).collect());
    let truth = percent.map_or_else(|| set.truth.clone(), |percent| set.exact(|row| chosen(row, percent)));
    println!("\n## walking, {}, ef {ef}, filter {percent:?}", set.name);
    let (whole, mut rates, mut recall) = (Clock::start(), Vec::new(), 0.0);
    while whole.elapsed().cpu.as_secs_f64() < seconds {
        let clock = Clock::start();
        let request = |query| SearchRequest { allow: allow.as_ref(), ..ask(query, Some(ef)) };
        let found: Vec<Vec<u32>> = set.queries().map(|query| answers(&index, &request(query))).collect();
        rates.push(found.len() as f64 / clock.elapsed().cpu.as_secs_f64());
        recall = set.recall(&truth, &found);
    }
    let Spread { median, min, max } = Spread::of(&rates);
    println!("{median:.0} QPS ({min:.0}..{max:.0}), {:.1} us a query, recall {recall:.4}", 1e6 / median);
}
