//! Distances to several targets, made into one.

use serde::{Deserialize, Serialize};

use super::Combination;
use crate::ids::DocId;

/// An object and its distance to each target, in the targets' order; `None` where it is not known or not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The object's version.
    pub doc_id: DocId,
    /// One per target.
    pub distances: Vec<Option<f32>>,
}

/// The combined distances, ascending by (distance, doc id). Objects that the combination drops are left out.
///
/// `weights`: one per target.
pub fn combine(combination: Combination, weights: &[f32], objects: &[Measured]) -> Vec<(f32, DocId)> {
    let mut combined: Vec<(f32, DocId)> = match combination {
        Combination::Minimum => {
            let least = |object: &Measured| object.distances.iter().flatten().copied().min_by(f32::total_cmp);
            objects.iter().filter_map(|object| Some((least(object)?, object.doc_id))).collect()
        }
        Combination::Sum => complete(objects).map(|(doc_id, of)| (weighted(weights, &of), doc_id)).collect(),
        Combination::RelativeScore => relative(weights, objects),
    };
    combined.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    combined
}

/// The objects that have all targets.
fn complete(objects: &[Measured]) -> impl Iterator<Item = (DocId, Vec<f32>)> {
    objects.iter().filter_map(|object| {
        let distances: Option<Vec<f32>> = object.distances.iter().copied().collect();
        Some((object.doc_id, distances?))
    })
}

fn weighted(weights: &[f32], distances: &[f32]) -> f32 {
    let sum: f64 = weights.iter().zip(distances).map(|(weight, value)| f64::from(*weight) * f64::from(*value)).sum();
    #[expect(clippy::cast_possible_truncation, reason = "kept within the range of f32")]
    let sum = sum.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    sum
}

fn relative(weights: &[f32], objects: &[Measured]) -> Vec<(f32, DocId)> {
    let mut present: Vec<(DocId, Vec<f32>)> = complete(objects).collect();
    for target in 0..weights.len() {
        let all = || present.iter().filter_map(|(_, of)| of.get(target)).copied();
        let (Some(least), Some(greatest)) = (all().min_by(f32::total_cmp), all().max_by(f32::total_cmp)) else {
            return Vec::new();
        };
        for distance in present.iter_mut().filter_map(|(_, of)| of.get_mut(target)) {
            // Without a spread everything counts in full.
            *distance = if greatest > least { share(*distance, least, greatest) } else { 1.0 };
        }
    }
    present.into_iter().map(|(doc_id, of)| (weighted(weights, &of), doc_id)).collect()
}

/// Where a value lies between two others. Halves are compared, as the difference of two finite values may be none.
fn share(value: f32, least: f32, greatest: f32) -> f32 {
    (value / 2.0 - least / 2.0) / (greatest / 2.0 - least / 2.0)
}

/// The least weighted sum that an object outside all targets' candidate lists can have; `last` holds the distance of
/// the last candidate of each target. `None` when there is no such bound: with a negative weight a distant object has a
/// small sum.
pub(crate) fn least_unnamed(weights: &[f32], last: &[f32]) -> Option<f32> {
    weights.iter().all(|weight| *weight >= 0.0).then(|| weighted(weights, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(doc_id: u64, distances: &[Option<f32>]) -> Measured {
        Measured { doc_id: DocId(doc_id), distances: distances.to_vec() }
    }

    fn check(combination: Combination, weights: &[f32], objects: &[Measured], want: &[(f32, u64)]) {
        let got = combine(combination, weights, objects);
        let got: Vec<_> = got.into_iter().map(|(distance, doc_id)| (distance, doc_id.0)).collect();
        assert_eq!(got, want, "{combination:?} {weights:?}");
    }

    #[test]
    fn each_way_of_combining() {
        let objects = [
            object(1, &[Some(0.5), Some(2.0)]),
            object(2, &[Some(1.5), Some(1.0)]),
            object(3, &[None, Some(0.25)]),
            object(4, &[Some(1.0), Some(4.0)]),
        ];
        check(Combination::Minimum, &[1.0, 1.0], &objects, &[(0.25, 3), (0.5, 1), (1.0, 2), (1.0, 4)]);
        check(Combination::Sum, &[1.0, 1.0], &objects, &[(2.5, 1), (2.5, 2), (5.0, 4)]);
        check(Combination::Sum, &[-2.0, 0.5], &objects, &[(-2.5, 2), (0.0, 1), (0.0, 4)]);
        check(Combination::RelativeScore, &[3.0, 1.5], &objects, &[(0.5, 1), (3.0, 2), (3.0, 4)]);
    }

    #[test]
    fn without_a_spread_a_target_counts_in_full() {
        let objects = [object(7, &[Some(0.5), Some(2.0)])];
        check(Combination::RelativeScore, &[0.7, 0.2], &objects, &[(0.9, 7)]);
        check(Combination::RelativeScore, &[0.7, 0.2], &[object(7, &[None, Some(2.0)])], &[]);
        let far = [object(1, &[Some(f32::MIN), Some(f32::MAX)]), object(2, &[Some(f32::MAX), Some(f32::MIN)])];
        check(Combination::RelativeScore, &[0.5, 0.5], &far, &[(0.5, 1), (0.5, 2)]);
        check(Combination::Sum, &[f32::MAX, f32::MAX], &[object(1, &[Some(f32::MAX); 2])], &[(f32::MAX, 1)]);
        check(Combination::Minimum, &[1.0], &[], &[]);
    }
}
