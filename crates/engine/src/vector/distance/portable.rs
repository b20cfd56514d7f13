//! The tier for every machine: simsimd, which picks NEON, SVE, AVX2 or plain C by itself, and loops for what it lacks.

use std::slice;

use simsimd::SpatialSimilarity;

use super::{Distance, Kernels, LinearQuery, RowKernel, Rows, RowsKernel, codes_loop, rows_loop};

/// The kernels of this tier.
pub(super) fn kernels(distance: Distance) -> Kernels {
    let (row, rows): (RowKernel, RowsKernel) = match distance {
        Distance::Cosine | Distance::Dot => (dot, dot_rows),
        Distance::L2Squared => (l2_squared, l2_squared_rows),
        Distance::Manhattan => (manhattan, manhattan_rows),
        Distance::Hamming => (hamming, hamming_rows),
    };
    Kernels { row, rows, bytes, nibbles, bits, tier: "simsimd" }
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

/// Products of int8 of one length.
#[expect(clippy::cast_possible_truncation, reason = "65,536 products of int8 stay below 2^31")]
fn dot_of_bytes(a: &[i8], b: &[i8]) -> i32 {
    i8::dot(a, b).expect("both slices have the same length") as i32
}

unsafe fn bytes(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let len = query.code.len();
    // SAFETY: the caller promises that every row holds a code of the query's length.
    let dot = |row: *const u8| dot_of_bytes(query.code, unsafe { slice::from_raw_parts(row.cast(), len) });
    // SAFETY: as the caller's.
    unsafe { codes_loop(rows, query, len, slots, out, dot) }
}

/// Components unpacked at once.
const UNPACKED: usize = 1024;

unsafe fn nibbles(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let len = query.code.len();
    let dot = |row: *const u8| {
        // SAFETY: the caller promises that every row holds half a byte for each component of the query.
        let row = unsafe { slice::from_raw_parts(row, len / 2) };
        let mut values = [0i8; UNPACKED];
        let parts = query.code.chunks(UNPACKED).zip(row.chunks(UNPACKED / 2));
        parts
            .map(|(query, packed)| {
                for (packed, values) in packed.chunks_exact(32).zip(values.chunks_exact_mut(64)) {
                    let (low, high) = values.split_at_mut(32);
                    for ((&packed, low), high) in packed.iter().zip(low).zip(high) {
                        *low = ((packed & 15) << 1) as i8 - 15;
                        *high = ((packed >> 4) << 1) as i8 - 15;
                    }
                }
                dot_of_bytes(query, &values[..query.len()])
            })
            .sum()
    };
    // SAFETY: as the caller's.
    unsafe { codes_loop(rows, query, len / 2, slots, out, dot) }
}

/// The eight bits of a byte as 1 and -1.
static SIGNS: [[i8; 8]; 256] = signs_of_bytes();

const fn signs_of_bytes() -> [[i8; 8]; 256] {
    let mut signs = [[-1; 8]; 256];
    let mut i = 0;
    while i < 256 * 8 {
        if (i / 8) >> (i % 8) & 1 == 1 {
            signs[i / 8][i % 8] = 1;
        }
        i += 1;
    }
    signs
}

unsafe fn bits(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let len = query.code.len();
    let dot = |row: *const u8| {
        // SAFETY: the caller promises that every row holds a bit for each component of the query.
        let row = unsafe { slice::from_raw_parts(row, len / 8) };
        let mut values = [0i8; UNPACKED];
        let parts = query.code.chunks(UNPACKED).zip(row.chunks(UNPACKED / 8));
        parts
            .map(|(query, packed)| {
                for (&packed, values) in packed.iter().zip(values.as_chunks_mut::<8>().0) {
                    *values = SIGNS[usize::from(packed)];
                }
                dot_of_bytes(query, &values[..query.len()])
            })
            .sum()
    };
    // SAFETY: as the caller's.
    unsafe { codes_loop(rows, query, len / 8, slots, out, dot) }
}
