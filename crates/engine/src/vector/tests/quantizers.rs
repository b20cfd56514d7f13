//! Every kind of codes: recall beside plain f32 on one graph, live changes from each to each.

use super::data::exact;
use super::*;

const RESCORE: Option<usize> = Some(20);

/// As the server makes them of Weaviate's defaults.
fn kinds(training_limit: usize) -> [(&'static str, Codes); 7] {
    [
        ("int8", Codes::Default),
        ("rq8", Codes::Rotational { bits: 8, rescore: RESCORE }),
        ("rq4", Codes::Rotational { bits: 4, rescore: RESCORE }),
        ("rq1", Codes::Rotational { bits: 1, rescore: Some(512) }),
        ("sq", Codes::Scalar { training_limit, rescore: RESCORE }),
        ("bq", Codes::Binary { rescore: None }),
        ("pq", Codes::Product { segments: 0, centroids: 256, training_limit }),
    ]
}

/// What [`IndexStats`] says of codes made by these settings.
fn name_of(kind: &str) -> &str {
    if kind == "rq8" { "int8" } else { kind }
}

struct Trial<'a> {
    index: VectorIndex,
    config: IndexConfig,
    queries: &'a Data,
    exact: Vec<Vec<(f64, usize)>>,
}

impl<'a> Trial<'a> {
    fn new(config: IndexConfig, data: &Data, queries: &'a Data) -> Self {
        let index = open(config);
        fill(&index, data);
        work_all(&index, 2);
        let exact = queries.rows().map(|query| exact(config.distance, data, query, 10, |_| true)).collect();
        Self { index, config, queries, exact }
    }

    /// Changes to these codes and measures.
    fn recall(&mut self, codes: Codes, ef: usize) -> f64 {
        self.config.codes = codes;
        self.index.update_config(self.config);
        work_all(&self.index, 2);
        let found = self.queries.rows().zip(&self.exact).map(|(query, exact)| {
            let hits = self.index.search(&SearchRequest { ef: Some(ef), ..ask(query, 10) }).expect("fits");
            assert_eq!(hits.len(), 10);
            data::recall(exact, &hits)
        });
        found.sum::<f64>() / self.exact.len() as f64
    }
}

/// All kinds one after the other on one graph; each must reach its share of what f32 finds at `ef` 64.
fn check(name: &str, config: IndexConfig, data: &Data, queries: &Data, floor: impl Fn(&str) -> f64) {
    let mut trial = Trial::new(config, data, queries);
    let plain = trial.recall(Codes::None, 64);
    assert_eq!(trial.index.stats().codes, "f32");
    println!("{name} {:?}: f32 {plain:.4}", config.distance);
    let mut below = Vec::new();
    for (kind, codes) in kinds(data.len() / 2) {
        let recall = trial.recall(codes, 64);
        let stats = trial.index.stats();
        println!("    {kind}: {recall:.4} ({}, {} bytes a vector)", stats.codes, stats.codes_bytes / stats.len as u64);
        assert!(stats.codes == name_of(kind) || codes == Codes::Default, "{kind}: {}", stats.codes);
        if recall < floor(kind) * plain {
            below.push(format!("{kind}: {recall} of {plain}"));
        }
    }
    assert!(below.is_empty(), "{name} {:?}: {below:?}", config.distance);
}

#[test]
fn on_clusters() {
    let data = Data::clustered(5, 10_000, 96, 100, 0.5);
    let queries = data.near(100, 0.2);
    for distance in [Distance::Cosine, Distance::Dot, Distance::L2Squared] {
        for kind in [IndexKind::Hnsw(m16()), IndexKind::Flat] {
            let config = IndexConfig { kind, ..config(distance, m16()) };
            check("clusters", config, &data, &queries, |_| 0.5);
        }
    }
}

#[test]
fn on_badly_scaled_data() {
    let dim = 96;
    let plain = Data::clustered(8, 6_000, dim, 200, 0.6);
    let change = |f: &dyn Fn(usize, usize, f32) -> f32| {
        let values = plain.values.iter().enumerate().map(|(i, &value)| f(i / dim, i % dim, value)).collect();
        Data { dim, values }
    };
    let sets = [
        ("one dimension a thousand times larger", change(&|_, j, value| if j == 7 { value * 1000.0 } else { value })),
        ("heavy tails", change(&|_, _, value| value * value * value * value.abs())),
        ("tiny and huge norms", change(&|i, _, value| value * 10f32.powi((i % 9) as i32 - 4))),
        ("far from the origin", change(&|_, _, value| value + 50.0)),
        (
            "zeros and duplicates",
            change(&|i, j, value| match i % 10 {
                0 => 0.0,
                1 => (j % 3) as f32,
                _ => value,
            }),
        ),
    ];
    for (name, data) in &sets {
        for distance in [Distance::Cosine, Distance::L2Squared] {
            check(name, config(distance, m16()), data, &data.near(100, 0.05), |_| 0.0);
        }
    }
}

#[test]
fn on_the_shared_set() {
    let (Some(data), Some(queries)) = (Data::shared("base.fbin"), Data::shared("query.fbin")) else { return };
    let queries = Data { dim: queries.dim, values: queries.values[..200 * queries.dim].to_vec() };
    check("minilm-docs", config(Distance::Cosine, m16()), &data, &queries, |_| 0.5);
}
