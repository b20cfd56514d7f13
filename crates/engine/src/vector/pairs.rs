//! Distances of pairs of vectors outside of an index, as its searches would show them.

use super::Distance;
use super::distance::Kernels;
use super::scan::query::{finish, prepare};

/// Compares vectors with each other.
pub struct Pairs {
    distance: Distance,
    kernels: Kernels,
}

impl Pairs {
    /// Compares by this distance.
    #[must_use]
    pub fn new(distance: Distance) -> Self {
        Self { distance, kernels: Kernels::of(distance) }
    }

    /// The vector in the form that [`Pairs::between`] takes: normalised under cosine.
    #[must_use]
    pub fn prepare(&self, vector: &[f32]) -> Vec<f32> {
        prepare(self.distance, vector)
    }

    /// The distance of two prepared vectors. Vectors of different lengths are as far apart as can be.
    #[must_use]
    pub fn between(&self, a: &[f32], b: &[f32]) -> f32 {
        if a.len() != b.len() {
            return f32::MAX;
        }
        finish(self.distance, self.kernels.pair(a, b).min(f32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_the_distances_of_searches() {
        let check = |distance, a: &[f32], b: &[f32], expected: f32| {
            let pairs = Pairs::new(distance);
            let found = pairs.between(&pairs.prepare(a), &pairs.prepare(b));
            assert!((found - expected).abs() < 1e-6, "{distance:?} {a:?} {b:?}: {found}");
        };
        check(Distance::Cosine, &[2.0, 0.0], &[0.0, 9.0], 1.0);
        check(Distance::Cosine, &[2.0, 0.0], &[7.0, 0.0], 0.0);
        check(Distance::Cosine, &[0.0, 0.0], &[7.0, 0.0], 1.0);
        check(Distance::Dot, &[2.0, 1.0], &[3.0, 1.0], -7.0);
        check(Distance::L2Squared, &[2.0, 1.0], &[3.0, 3.0], 5.0);
        check(Distance::Manhattan, &[2.0, 1.0], &[3.0, 3.0], 3.0);
        check(Distance::Hamming, &[2.0, 1.0], &[2.0, 3.0], 1.0);
        assert_eq!(Pairs::new(Distance::Dot).between(&[1.0], &[1.0, 2.0]), f32::MAX);
    }
}
