//! The same queries over and over, for a profiler: `perf record -D 12000 -e cpu-clock <the bench's binary> walk --seconds 10`.

use std::path::Path;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::clock::{Clock, Spread};
use azimuth_benches::peers::{answers, ask, build};
use azimuth_engine::vector::{IndexConfig, SearchRequest};

use super::filter::Filter;

/// Repeats the queries until as many seconds of processor time are used up.
pub(crate) fn walk(set: &AnnSet, seconds: f64, ef: usize, filter: Option<&Filter>, config: IndexConfig) {
    let (index, _) = build(set, config, Path::new(super::NOWHERE));
    let truth = filter.map_or(&set.truth, |filter| &filter.truth);
    println!("\n## walking, {}, ef {ef}, filter {:?}", set.name, filter.map(|filter| &filter.name));
    let (whole, mut rates, mut recall) = (Clock::start(), Vec::new(), 0.0);
    while whole.elapsed().cpu.as_secs_f64() < seconds {
        let clock = Clock::start();
        let request = |(number, query)| {
            let allow = filter.map(|filter| filter.list(number));
            answers(&index, &SearchRequest { allow, ..ask(query, Some(ef)) })
        };
        let found: Vec<Vec<u32>> = set.queries().enumerate().map(request).collect();
        rates.push(found.len() as f64 / clock.elapsed().cpu.as_secs_f64());
        recall = set.recall(truth, &found);
    }
    let Spread { median, min, max } = Spread::of(&rates);
    println!("{median:.0} QPS ({min:.0}..{max:.0}), {:.1} us a query, recall {recall:.4}", 1e6 / median);
}
