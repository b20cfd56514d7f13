//! Distances on Earth.

use crate::object::Geo;

/// Mean radius of the Earth in metres, as Weaviate has it.
const EARTH_RADIUS_M: f64 = 6_371_000.0;

/// Great-circle distance in metres (haversine). Angles beyond their range wrap around.
pub(crate) fn distance_m(a: Geo, b: Geo) -> f64 {
    let radians = |geo: Geo| (f64::from(geo.latitude).to_radians(), f64::from(geo.longitude).to_radians());
    let ((lat_a, lon_a), (lat_b, lon_b)) = (radians(a), radians(b));
    let half = |difference: f64| (difference / 2.0).sin().powi(2);
    let h = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half(lon_b - lon_a);
    2.0 * EARTH_RADIUS_M * h.clamp(0.0, 1.0).sqrt().asin()
}

/// Latitudes outside of this range are farther than `max_m` from `center`; `None` when no such bound holds.
pub(crate) fn latitudes(center: Geo, max_m: f64) -> Option<(f32, f32)> {
    let latitude = f64::from(center.latitude);
    // A little wider, so that rounding never excludes what is exactly at the distance.
    let reach = (max_m / EARTH_RADIUS_M).to_degrees() * (1.0 + 1e-9) + 1e-5;
    if !(-90.0..=90.0).contains(&latitude) || !reach.is_finite() || reach >= 180.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounds of an f32 column, widened by a step")]
    let bounds = ((latitude - reach) as f32, (latitude + reach) as f32);
    Some((bounds.0.next_down(), bounds.1.next_up()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geo(latitude: f32, longitude: f32) -> Geo {
        Geo { latitude, longitude }
    }

    #[test]
    fn known_distances() {
        let check = |a: Geo, b: Geo, metres: f64, slack: f64| {
            let found = distance_m(a, b);
            assert!((found - metres).abs() <= slack, "{a:?} to {b:?}: {found}");
        };
        check(geo(53.55, 9.99), geo(53.55, 9.99), 0.0, 0.0);
        check(geo(53.55, 9.99), geo(53.5527, 10.0066), 1_137.0, 5.0);
        check(geo(-33.86, 151.2), geo(-33.86, -208.8), 0.0, 2.0);
        check(geo(0.0, 0.0), geo(0.0, 180.0), 20_015_087.0, 100.0);
    }

    #[test]
    fn the_band_holds_everything_within() {
        let center = geo(53.55, 9.99);
        for step in 0..1_000_u16 {
            let found = geo(53.0 + f32::from(step) * 0.001, 9.99);
            let (low, high) = latitudes(center, distance_m(center, found)).unwrap();
            assert!((low..=high).contains(&found.latitude), "{found:?}");
        }
    }
}
