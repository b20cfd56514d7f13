//! Kernels of the coarse codes: signs compared by counting, product codes by looking numbers up.

use std::slice;

use simsimd::BinarySimilarity;

use super::{PREFETCH_ROWS, Rows};

/// Centroids of a segment that a table has room for: a number is one byte.
pub(in crate::vector) const CENTROIDS: usize = 256;

/// `out[i]` = signs that differ, by simsimd's best.
///
/// # Safety
/// As [`score_codes`](super::Kernels::score_codes).
pub(super) unsafe fn signs(rows: Rows<'_>, query: &[u8], slots: &[u32], out: &mut [f32]) {
    let differing = |row: *const u8| {
        // SAFETY: the caller promises that every row has the query's length.
        let row = unsafe { slice::from_raw_parts(row, query.len()) };
        #[expect(clippy::cast_possible_truncation, reason = "at most 65,536 signs")]
        let differing = u8::hamming(query, row).expect("both slices have the same length") as f32;
        differing
    };
    // SAFETY: as the caller's.
    unsafe { rows_of(rows, query.len(), slots, out, differing) }
}

/// `out[i]` = sum of the numbers that the row's centroids have in `table`, `[segments, CENTROIDS]`.
///
/// # Safety
/// As [`score_codes`](super::Kernels::score_codes).
pub(super) unsafe fn table(rows: Rows<'_>, table: &[f32], slots: &[u32], out: &mut [f32]) {
    let segments: &[[f32; CENTROIDS]] = table.as_chunks().0;
    let sum = |row: *const u8| {
        // SAFETY: the caller promises that every row has a byte for each segment.
        let row = unsafe { slice::from_raw_parts(row, segments.len()) };
        let (four, rest) = segments.as_chunks::<4>();
        let (codes, codes_rest) = row.as_chunks::<4>();
        let mut sums = [0.0f32; 4];
        for (segments, codes) in four.iter().zip(codes) {
            for lane in 0..4 {
                sums[lane] += segments[lane][usize::from(codes[lane])];
            }
        }
        for (segment, &code) in rest.iter().zip(codes_rest) {
            sums[0] += segment[usize::from(code)];
        }
        ((sums[0] + sums[1]) + (sums[2] + sums[3])).min(f32::MAX)
    };
    // SAFETY: as the caller's.
    unsafe { rows_of(rows, segments.len(), slots, out, sum) }
}

/// # Safety
/// As [`score_codes`](super::Kernels::score_codes), for rows of `bytes`.
#[inline(always)]
unsafe fn rows_of(rows: Rows<'_>, bytes: usize, slots: &[u32], out: &mut [f32], value: impl Fn(*const u8) -> f32) {
    for &slot in slots.iter().take(PREFETCH_ROWS) {
        rows.prefetch(slot, bytes);
    }
    for (i, (&slot, out)) in slots.iter().zip(out.iter_mut()).enumerate() {
        if let Some(&ahead) = slots.get(i + PREFETCH_ROWS) {
            rows.prefetch(ahead, bytes);
        }
        // SAFETY: the caller promises that the slot is in range and its row is written.
        *out = value(unsafe { rows.row(slot) });
    }
}

/// `out[c]` = squared distance of `values` to centroid `c`. `centroids` is `[values.len(), CENTROIDS]`: all first
/// components, then all second ones.
pub(in crate::vector) fn squares_to_centroids(values: &[f32], centroids: &[f32], out: &mut [f32; CENTROIDS]) {
    assert_eq!(values.len() * CENTROIDS, centroids.len(), "a column for each component");
    #[cfg(target_arch = "x86_64")]
    if super::avx512_here() {
        // SAFETY: the machine has AVX-512.
        return unsafe { super::avx512::squares_to_centroids(values, centroids, out) };
    }
    squares_loop(values, centroids, out);
}

#[inline(always)]
pub(super) fn squares_loop(values: &[f32], centroids: &[f32], out: &mut [f32; CENTROIDS]) {
    *out = [0.0; CENTROIDS];
    for (&value, column) in values.iter().zip(centroids.as_chunks::<CENTROIDS>().0) {
        for (out, centroid) in out.iter_mut().zip(column) {
            let difference = value - centroid;
            *out += difference * difference;
        }
    }
}
