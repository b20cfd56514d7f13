//! The choice against a naive one that compares each candidate with all chosen ones anew.

use azimuth_engine::ids::DocId;
use azimuth_engine::object::{Object, Properties, Vectors};
use azimuth_engine::query::Score;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::*;

const VECTOR: VectorId = VectorId::UNNAMED;

fn hit(n: u128, distance: Option<f32>, score: Option<f32>, vector: Option<Vec<f32>>) -> Hit {
    let vectors = vector.map(|vector| (VECTOR, Vector::Single(vector))).into_iter().collect::<Vectors>();
    let (id, properties) = (Uuid::from_u128(n), Properties::new());
    let object = Object { id, created_ms: 0, updated_ms: 0, properties, vectors };
    let score = score.map(|value| Box::new(Score { value, explanation: Vec::new() }));
    Hit { doc_id: DocId(0), distance, score, object }
}

fn ids(hits: &[Hit]) -> Vec<u128> {
    hits.iter().map(|hit| hit.object.id.as_u128()).collect()
}

fn diversity(limit: usize, balance: f32) -> Diversity {
    Diversity { limit, balance, vector: VECTOR, distance: Distance::L2Squared }
}

fn squares(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Positions in `from`, by the definition.
fn naive(from: &[(f32, Vec<f32>)], limit: usize, balance: f32) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < limit.min(from.len()) {
        let score = |at: usize| {
            let nearest =
                chosen.iter().map(|&other| squares(&from[at].1, &from[other].1)).fold(f32::INFINITY, f32::min);
            match chosen.is_empty() {
                true => -from[at].0,
                false => (1.0 - balance) * nearest - balance * from[at].0,
            }
        };
        let left = (0..from.len()).filter(|at| !chosen.contains(at));
        let best = left.reduce(|best, at| if score(at) > score(best) { at } else { best });
        chosen.extend(best);
    }
    chosen
}

#[test]
fn choices_are_those_of_the_definition() {
    for seed in 0..200 {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(0..30);
        // Few values, so that some candidates are equal.
        let mut whole = |range: std::ops::Range<i32>| rng.random_range(range) as f32;
        let mut from: Vec<(f32, Vec<f32>)> =
            (0..count).map(|_| (whole(0..9), vec![whole(-3..3), whole(-3..3), whole(-3..3)])).collect();
        from.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (limit, balance) = (rng.random_range(1..12), [0.0, 0.25, 0.5, 0.75, 1.0][rng.random_range(0..5)]);
        let expected: Vec<u128> = naive(&from, limit, balance).into_iter().map(|at| at as u128).collect();
        let pool = (0_u128..).zip(&from);
        let hits = pool.map(|(n, (distance, vector))| hit(n, Some(*distance), None, Some(vector.clone()))).collect();
        let found = diversity(limit, balance).choose(hits, true).expect("no interrupt");
        assert_eq!(ids(&found), expected, "seed {seed}");
    }
}

#[test]
fn hits_without_the_vector_keep_their_position() {
    let on = |at: f32| Some(vec![at, 0.0]);
    let hits = || {
        vec![
            hit(0, None, Some(0.9), on(0.0)),
            hit(1, None, Some(0.8), None),
            hit(2, None, Some(0.7), on(0.1)),
            hit(3, None, Some(0.2), on(5.0)),
            hit(4, None, Some(0.1), None),
        ]
    };
    let choose = |limit| ids(&diversity(limit, 0.0).choose(hits(), false).expect("no interrupt"));
    assert_eq!(choose(5), [0, 1, 3, 2, 4]);
    assert_eq!(choose(3), [0, 1, 3]);
    assert_eq!(choose(1), [0]);
    let without = vec![hit(0, None, Some(0.5), None), hit(1, None, Some(0.4), None)];
    assert_eq!(ids(&diversity(9, 0.5).choose(without, false).expect("no interrupt")), [0, 1]);
}

#[test]
fn scores_are_relative_to_the_hits_that_have_the_vector() {
    // Scores of 10 and 9 are as far apart as 1 and 0: nearness to the query outweighs the distance of 0.4.
    let hits = vec![
        hit(0, None, Some(10.0), Some(vec![0.0])),
        hit(1, None, Some(9.9), Some(vec![0.1])),
        hit(2, None, Some(9.0), Some(vec![0.6])),
        hit(3, None, Some(0.0), None),
    ];
    let found = diversity(3, 0.5).choose(hits, false).expect("no interrupt");
    assert_eq!(ids(&found), [0, 1, 2]);
}
