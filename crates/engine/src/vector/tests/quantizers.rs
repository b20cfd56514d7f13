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

/// All kinds one after the other on one graph; each must reach its share of what f32 finds at `ef` 64. The default codes
/// may lose 0.002, and where f32 itself is lost what luck is worth.
fn check(name: &str, config: IndexConfig, data: &Data, queries: &Data, floor: impl Fn(&str) -> f64) {
    let mut trial = Trial::new(config, data, queries);
    let plain = trial.recall(Codes::None, 64);
    assert_eq!(trial.index.stats().codes, "f32");
    println!("{name} {:?}: f32 {plain:.4}", config.distance);
    let mut below = Vec::new();
    for (kind, codes) in kinds(data.len() / 2) {
        let recall = trial.recall(codes, 64);
        let stats = trial.index.stats();
        println!(
            "    {kind}: {recall:.4} ({}, {} bytes a vector)",
            stats.codes,
            stats.memory.codes_bytes / stats.len as u64
        );
        assert!(stats.codes == name_of(kind) || codes == Codes::Default, "{kind}: {}", stats.codes);
        let least = if kind == "int8" { plain - 0.002 - 0.1 * (1.0 - plain) } else { floor(kind) * plain };
        if recall < least {
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
            check("clusters", config, &data, &queries, |kind| if kind == "bq" { 0.97 } else { 0.99 });
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
            // What one spike under cosine leaves to the others is beyond four bits; signs and steps of one size are for
            // data that suit them.
            let spike = name.starts_with("one dimension") && distance == Distance::Cosine;
            let floor = |kind: &str| match kind {
                "sq" | "bq" => 0.0,
                "rq4" | "rq1" if spike => 0.0,
                "rq8" | "pq" if spike => 0.8,
                _ => 0.95,
            };
            check(name, config(distance, m16()), data, &data.near(100, 0.05), floor);
        }
    }
}

#[test]
fn on_the_shared_set() {
    let (Some(data), Some(queries)) = (Data::shared("base.fbin"), Data::shared("query.fbin")) else { return };
    let queries = Data { dim: queries.dim, values: queries.values[..200 * queries.dim].to_vec() };
    let floor = |kind: &str| match kind {
        "rq8" => 0.997,
        "bq" => 0.97,
        "pq" => 0.98,
        _ => 0.99,
    };
    check("minilm-docs", config(Distance::Cosine, m16()), &data, &queries, floor);
}

/// Fewer candidates are fetched and read, fewer of the nearest are found; distances are true all the same.
#[test]
fn rescore_limits_count() {
    let data = Data::clustered(6, 6_000, 128, 30, 0.8);
    let queries = data.near(60, 0.3);
    for kind in [IndexKind::Hnsw(HnswConfig { ef: 16, ..m16() }), IndexKind::Flat] {
        let mut trial = Trial::new(IndexConfig { kind, ..config(Distance::L2Squared, m16()) }, &data, &queries);
        let mut last = 0.0;
        for (rescore, least) in [(0, 0.05), (30, 0.3), (600, 0.97)] {
            let recall = trial.recall(Codes::Rotational { bits: 1, rescore: Some(rescore) }, 16);
            println!("{kind:?}: {rescore} rescored, recall {recall:.3}");
            assert!(recall >= least && recall > last + 0.01, "{rescore}: {recall} after {last}");
            last = recall;
            let query = queries.row(3);
            for hit in trial.index.search(&ask(query, 10)).expect("fits") {
                assert_eq!(trial.index.distance_to(hit.doc_id, query), Some(hit.distance), "true distances");
            }
        }
        let within = trial.index.search_by_distance(data.row(5), 1e-3, None, 10).expect("fits");
        assert_eq!(within.first().map(|hit| hit.doc_id), Some(doc(5)), "what is asked by distance is exact");
    }
}

/// Training waits for its limit while vectors come, and not for ever when no more come.
#[test]
fn training_begins_at_its_limit_or_when_no_more_come() {
    let data = Data::clustered(6, 6_000, 24, 30, 0.8);
    let product = |training_limit| Codes::Product { segments: 6, centroids: 16, training_limit };
    let options = IndexOptions { graph_cutoff: 100, ..IndexOptions::default() };
    let open = |codes| {
        let config = IndexConfig { codes, ..config(Distance::L2Squared, m16()) };
        VectorIndex::open(Path::new("/nonexistent"), None, config, options).0
    };
    let insert = |index: &VectorIndex, range: std::ops::Range<usize>| {
        for i in range {
            index.insert(doc(i), data.row(i)).expect("fits");
        }
    };
    let early = open(product(500));
    insert(&early, 0..499);
    while early.stats().levels.is_empty() || early.stats().codes == "f32" {
        early.work(StepBudget { link_max: 1, repair_max: 1 });
    }
    assert_eq!(early.stats().codes, "int8", "the default codes serve until then");
    insert(&early, 499..500);
    while early.stats().codes == "int8" && early.pending_len() > 300 {
        early.work(StepBudget { link_max: 1, repair_max: 1 });
    }
    assert_eq!(early.stats().codes, "pq");
    let late = open(product(1_000_000));
    insert(&late, 0..600);
    work_all(&late, 1);
    assert_eq!(late.stats().codes, "int8", "fewer than forty for each centroid");
    insert(&late, 600..700);
    work_all(&late, 1);
    assert_eq!(late.stats().codes, "pq", "nothing waits, and there are enough");
    let scalar = open(Codes::Scalar { training_limit: 1_000_000, rescore: None });
    insert(&scalar, 0..600);
    work_all(&scalar, 1);
    assert_eq!(scalar.stats().codes, "sq");
}

/// Where codes cannot tell near from far the index compares f32.
#[test]
fn distances_that_codes_cannot_tell() {
    let data = Data::clustered(6, 3_000, 24, 30, 0.8);
    for distance in [Distance::Manhattan, Distance::Hamming] {
        let mut trial = Trial::new(config(distance, m16()), &data, &data);
        trial.exact.clear();
        for (kind, codes) in kinds(100) {
            trial.config.codes = codes;
            trial.index.update_config(trial.config);
            work_all(&trial.index, 2);
            let can = kind == "bq" || (kind == "pq" && distance == Distance::Manhattan);
            assert_eq!(trial.index.stats().codes, if can { kind } else { "f32" }, "{distance:?} {kind}");
        }
    }
}
