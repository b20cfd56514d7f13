//! Searches asked together answer as each does by itself.

use roaring::RoaringTreemap;

use super::*;

/// Asks all at once and one by one: without a list, with two that several share, with a bound, and one that does not fit.
fn check_together(index: &VectorIndex, data: &Data, what: &str) {
    let queries = data.near(24, 0.2);
    let list = |keep: fn(usize) -> bool| -> RoaringTreemap {
        (0..data.len()).filter(|i| keep(*i)).map(|i| doc(i).0).chain([5, u64::MAX]).collect()
    };
    let lists = [list(|i| i % 50 == 0), list(|i| i % 3 == 0), RoaringTreemap::new()];
    let bound = index.search(&ask(queries.row(0), 5)).expect("the query fits").last().map(|hit| hit.distance);
    let mut requests = Vec::new();
    for (i, query) in queries.rows().enumerate() {
        let allow = lists.get(i % 5);
        let max_distance = bound.filter(|_| i % 4 == 0);
        requests.push(SearchRequest { allow, max_distance, ..ask(query, [1, 10, 64][i % 3]) });
    }
    let short = [1.0; 3];
    requests.insert(7, ask(&short, 10));
    let together = index.search_many(&requests);
    assert_eq!(together.len(), requests.len());
    for (i, (request, found)) in requests.iter().zip(together).enumerate() {
        assert_eq!(found, index.search(request), "{what}, request {i}");
    }
    assert!(index.search_many(&[]).is_empty());
}

#[test]
fn searches_together_answer_as_each_by_itself() {
    let data = Data::clustered(17, 6_000, 48, 40, 0.5);
    let flat = IndexConfig { distance: Distance::L2Squared, kind: IndexKind::Flat, codes: Codes::None, skip: false };
    let configs = [
        ("hnsw", config(Distance::Cosine, m16())),
        ("hnsw, f32", IndexConfig { codes: Codes::None, ..config(Distance::Dot, m16()) }),
        ("flat, f32", flat),
        ("flat, int8", IndexConfig { codes: Codes::Default, ..flat }),
    ];
    for (what, config) in configs {
        let index = open(config);
        check_together(&index, &data, &format!("{what}, empty"));
        fill(&index, &data);
        check_together(&index, &data, &format!("{what}, nothing linked"));
        while index.pending_len() > 3_000 {
            index.work(StepBudget::default());
        }
        check_together(&index, &data, &format!("{what}, half linked"));
        work_all(&index, 1);
        (0..data.len()).step_by(9).for_each(|i| assert!(index.delete(doc(i))));
        check_together(&index, &data, &format!("{what}, some deleted"));
    }
}
