//! The tier for every machine: simsimd, which picks NEON, SVE, AVX2 or plain C by itself, and loops for what it lacks.

use std::slice;

use simsimd::SpatialSimilarity;

use super::{CodeQuery, Distance, Kernels, RowKernel, Rows, RowsKernel, codes_loop, rows_loop};

/// The kernels of this tier.
pub(super) fn kernels(distance: Distance) -> Kernels {
    let (row, rows): (RowKernel, RowsKernel) = match distance {
        Distance::Cosine | Distance::Dot => (dot, dot_rows),
        Distance::L2Squared => (l2_squared, l2_squared_rows),
        Distance::Manhattan => (manhattan, manhattan_rows),
        Distance::Hamming => (hamming, hamming_rows),
    };
    Kernels { row, rows, codes, tier: "simsimd" }
}

/// Partial sums of the plain loops, enough for any vector unit.
const LANES: usize = 16;

/// Sum of `term` over both vectors in [`LANES`] partial sums, which the compiler turns into vector code.
///
/// # Safety
/// Both pointers are good for `len` reads.
#[inline(always)]
pub(super) unsafe fn sum_of(a: *const f32, b: *const f32, len: usize, term: impl Fn(f32, f32) -> f32) -> f32 {
    // SAFETY: the caller promises it.
    let (a, b) = unsafe { (slice::from_raw_parts(a, len), slice::from_raw_parts(b, len)) };
    let mut sums = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += term(a, b);
    }
    sums.iter().sum()
}

#[expect(clippy::cast_possible_truncation, reason = "simsimd widens an f32 sum")]
unsafe fn dot(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: the caller promises `len` readable values behind both.
    let (a, b) = unsafe { (slice::from_raw_parts(a, len), slice::from_raw_parts(b, len)) };
    -f32::dot(a, b).expect("both slices have the same length") as f32
}

#[expect(clippy::cast_possible_truncation, reason = "simsimd widens an f32 sum")]
unsafe fn l2_squared(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: the caller promises `len` readable values behind both.
    let (a, b) = unsafe { (slice::from_raw_parts(a, len), slice::from_raw_parts(b, len)) };
    f32::l2sq(a, b).expect("both slices have the same length") as f32
}

unsafe fn manhattan(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: as the caller's.
    unsafe { sum_of(a, b, len, |a, b| (a - b).abs()) }
}

unsafe fn hamming(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: as the caller's.
    unsafe { sum_of(a, b, len, |a, b| f32::from(u8::from(a != b))) }
}

macro_rules! rows_kernel {
    ($name:ident, $row:ident) => {
        unsafe fn $name(rows: Rows<'_>, query: &[f32], slots: &[u32], out: &mut [f32]) {
            // SAFETY: as the caller's.
            unsafe { rows_loop(rows, query, slots, out, |row| $row(query.as_ptr(), row, query.len())) }
        }
    };
}
rows_kernel!(dot_rows, dot);
rows_kernel!(l2_squared_rows, l2_squared);
rows_kernel!(manhattan_rows, manhattan);
rows_kernel!(hamming_rows, hamming);

unsafe fn codes(rows: Rows<'_>, query: &CodeQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let dot = |row: *const i8| {
        // SAFETY: the caller promises that every row holds a code of the query's length.
        let row = unsafe { slice::from_raw_parts(row, query.code.len()) };
        #[expect(clippy::cast_possible_truncation, reason = "65,536 products of int8 stay below 2^31")]
        let dot = i8::dot(query.code, row).expect("both slices have the same length") as i32;
        dot
    };
    // SAFETY: as the caller's.
    unsafe { codes_loop(rows, query, slots, out, dot) }
}
