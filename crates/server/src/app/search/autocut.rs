//! Autocut: keep the hits up to the n-th jump of their distances.

/// How many of the hits with these distances (ascending) or scores (descending) are kept for `jumps` jumps, at least 1.
///
/// Distances are scaled to 0..1; a jump ends at a position whose distance above the diagonal is a local maximum.
/// Equal distances have no jump.
pub(super) fn keep(distances: &[f32], jumps: usize) -> usize {
    let n = distances.len();
    let (Some(first), Some(last)) = (distances.first(), distances.last()) else { return 0 };
    if n == 1 {
        return 1;
    }
    let above: Vec<f32> = distances
        .iter()
        .enumerate()
        // Halves are subtracted, as the difference of two finite distances may be infinite.
        .map(|(i, distance)| (distance / 2.0 - first / 2.0) / (last / 2.0 - first / 2.0) - i as f32 / (n - 1) as f32)
        .collect();
    let is_jump = |i: usize| {
        let left = above[i] > above[i - 1];
        if i + 1 < n { left && above[i] > above[i + 1] } else { left && i >= 2 && above[i] > above[i - 2] }
    };
    (1..n).filter(|&i| is_jump(i)).nth(jumps.saturating_sub(1)).unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::keep;

    #[test]
    fn cuts_before_the_jump() {
        let check = |distances: &[f32], jumps, want| assert_eq!(keep(distances, jumps), want, "{distances:?} {jumps}");
        check(&[], 1, 0);
        check(&[0.5], 1, 1);
        check(&[0.5, 0.5, 0.5], 1, 3);
        check(&[0.1, 0.11, 0.12, 0.9, 0.91, 0.92], 1, 3);
        check(&[0.1, 0.11, 0.12, 0.9, 0.91, 0.92], 2, 6);
        check(&[0.1, 0.11, 0.5, 0.51, 0.9, 0.91], 2, 4);
        check(&[f32::MIN, f32::MIN, f32::MAX, f32::MAX], 1, 2);
    }
}
