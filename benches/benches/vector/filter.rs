//! Filtered search at every selectivity, with filters that know nothing of the query and one that is against it.

use std::path::Path;

use azimuth_benches::ann::AnnSet;
use azimuth_benches::peers::{answers, ask, build};
use azimuth_benches::rounds::{Trial, alternate};
use azimuth_engine::vector::{IndexConfig, SearchRequest};
use roaring::RoaringTreemap;

const PERCENTS: [f64; 10] = [0.01, 0.1, 1.0, 5.0, 10.0, 17.0, 25.0, 50.0, 75.0, 99.0];

/// Per cent of the rows, the nearest ones, that filters against the query exclude.
const EXCLUDED: [f64; 3] = [2.0, 10.0, 50.0];

const EF: usize = 64;

/// One filter for all queries, or one for each.
pub(crate) struct Filter {
    pub(crate) name: String,
    lists: Vec<RoaringTreemap>,
    pub(crate) truth: Vec<Vec<u32>>,
}

impl Filter {
    /// That of the query with this number.
    pub(crate) fn list(&self, query: usize) -> &RoaringTreemap {
        &self.lists[query % self.lists.len()]
    }
}

/// Filters of every share, in turn with the search without one.
pub(crate) fn filters(set: &AnnSet, rounds: usize, config: IndexConfig) {
    println!("\n## filtered, {} (ef {EF}); the last column is the rate beside the search without a filter", set.name);
    let (index, _) = build(set, config, Path::new(super::NOWHERE));
    let independent = PERCENTS.iter().map(|&percent| independent(set, percent));
    let against = EXCLUDED.iter().map(|&excluded| against(set, excluded));
    let filters: Vec<Filter> = independent.chain(against).collect();
    let mut trials = vec![Trial::new("no filter", &set.truth, |query| answers(&index, &ask(query, Some(EF))))];
    for filter in &filters {
        let mut number = 0;
        let index = &index;
        trials.push(Trial::new(filter.name.clone(), &filter.truth, move |query| {
            let allow = filter.list(number);
            number += 1;
            answers(index, &SearchRequest { allow: Some(allow), ..ask(query, Some(EF)) })
        }));
    }
    let outcomes = alternate(set, rounds, &mut trials);
    let unfiltered = outcomes[0].queries_per_second.median;
    for outcome in outcomes {
        println!("{}  {:.2}x", outcome.line(), outcome.queries_per_second.median / unfiltered);
    }
}

/// Whether a row is among `percent` chosen at random.
fn chosen(row: u32, percent: f64) -> bool {
    f64::from(row.wrapping_mul(2_654_435_761) >> 8) < percent / 100.0 * f64::from(1 << 24)
}

/// The same rows for every query.
pub(crate) fn independent(set: &AnnSet, percent: f64) -> Filter {
    let rows = (0u32..).take(set.rows().len());
    let list = rows.filter(|&row| chosen(row, percent)).map(u64::from).collect();
    let truth = set.exact(|row| chosen(row, percent));
    Filter { name: format!("{percent} %"), lists: vec![list], truth }
}

/// For each query a filter that excludes so many per cent of the rows, those nearest to it, as a filter for another language
/// or topic would.
pub(crate) fn against(set: &AnnSet, excluded: f64) -> Filter {
    let n = set.rows().len();
    let (mut lists, mut truth) = (Vec::new(), Vec::new());
    for order in set.orders() {
        let left = &order[(n as f64 * excluded / 100.0) as usize..];
        truth.push(left[..azimuth_benches::ann::K.min(left.len())].to_vec());
        // Of the rest a quarter, so that the list is not simply the complement.
        let rest = left.iter().enumerate().filter(|&(i, _)| i < azimuth_benches::ann::K || i % 4 == 0);
        lists.push(rest.map(|(_, &row)| u64::from(row)).collect());
    }
    Filter { name: format!("without the nearest {excluded} %, 1/4 of the rest"), lists, truth }
}
