//! Distance kernels: f32 rows and codes, one row or a batch of rows at a time, chosen once per process.
//!
//! Two tiers: AVX-512 with VNNI by hand (`avx512`, which `cargo bench --bench vector -- scan` shows ahead of simsimd), and
//! simsimd, which dispatches by itself, everywhere else. Signs and product codes (`coarse`) need one tier only.
//! A smaller value is nearer in every kernel. Accumulation is in f32 over 16 or more partial sums.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod coarse;
mod portable;
#[cfg(test)]
mod tests;
mod trial;

pub(super) use coarse::{CENTROIDS, squares_to_centroids};
pub use trial::KernelTrial;

use std::sync::OnceLock;

use super::Distance;
use super::arena::Rows;

/// What a graph search knows of its query when it compares codes; the variant is that of the rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum CodeQuery<'a> {
    /// Rows of int8.
    Bytes(LinearQuery<'a>),
    /// Rows of four bits: in each 32 bytes the low halves are components 0 to 31 of a block of 64, the high halves the
    /// others. A half `u` stands for `2 * u - 15`.
    Nibbles(LinearQuery<'a>),
    /// Rows of single bits, component `i` in bit `i % 8` of byte `i / 8`: 1 if set, else -1.
    Bits(LinearQuery<'a>),
    /// Rows of signs and nothing else; the value is the number of signs that differ.
    Signs(&'a [u8]),
    /// Rows of centroid numbers; the value is the sum of `[segments, CENTROIDS]` at each segment's number.
    Table(&'a [f32]),
}

impl CodeQuery<'_> {
    /// Bytes of the rows that it can be compared with.
    pub(super) fn row_bytes(&self) -> usize {
        match self {
            Self::Bytes(query) => query.code.len() + CODE_TRAILER_BYTES,
            Self::Nibbles(query) => query.code.len() / 2 + CODE_TRAILER_BYTES,
            Self::Bits(query) => query.code.len() / 8 + CODE_TRAILER_BYTES,
            Self::Signs(signs) => signs.len(),
            Self::Table(table) => (table.len() / CENTROIDS).next_multiple_of(4),
        }
    }
}

/// A query whose value is linear in the row's code.
///
/// The value is `term_weight * term(row) + offset + dot_weight * scale(row) * dot(code, code(row))`.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearQuery<'a> {
    /// The query's code, whole blocks of 64 components.
    pub code: &'a [i8],
    /// What the row's own term counts.
    pub term_weight: f32,
    /// What does not depend on the row.
    pub offset: f32,
    /// The query's scale times -2 for L2, times -1 else.
    pub dot_weight: f32,
}

/// Bytes behind each code of a linear kind: scale, term, norm of the coding error, norm; four f32.
pub(super) const CODE_TRAILER_BYTES: usize = 16;

type RowKernel = unsafe fn(*const f32, *const f32, usize) -> f32;
type RowsKernel = unsafe fn(Rows<'_>, &[f32], &[u32], &mut [f32]);
type CodesKernel = unsafe fn(Rows<'_>, &LinearQuery<'_>, &[u32], &mut [f32]);

/// The kernels of this machine for one distance.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    row: RowKernel,
    rows: RowsKernel,
    bytes: CodesKernel,
    nibbles: CodesKernel,
    bits: CodesKernel,
    /// Which tier was chosen.
    pub tier: &'static str,
}

impl Kernels {
    /// The fastest kernels that this machine can run. Vectors under cosine must be normalised and are compared by `-dot`.
    pub(super) fn of(distance: Distance) -> Self {
        #[cfg(target_arch = "x86_64")]
        if avx512_here() {
            return avx512::kernels(distance);
        }
        portable::kernels(distance)
    }

    /// The tier that needs nothing of the machine.
    pub(super) fn portable(distance: Distance) -> Self {
        portable::kernels(distance)
    }

    /// Distance of two vectors of one length.
    pub(super) fn pair(&self, a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len(), "vectors of one index have one length");
        // SAFETY: both pointers are good for `len` reads, and `of` chose a tier that the machine has.
        unsafe { (self.row)(a.as_ptr(), b.as_ptr(), a.len()) }
    }

    /// `out[i]` = distance of `query` to the f32 row of `slots[i]`.
    ///
    /// # Safety
    /// Every slot is in range of `rows`, its row holds `query.len()` written f32, and nobody writes it meanwhile.
    #[inline]
    pub(super) unsafe fn score_rows(&self, rows: Rows<'_>, query: &[f32], slots: &[u32], out: &mut [f32]) {
        debug_assert!(out.len() >= slots.len());
        // SAFETY: handed on to the caller.
        unsafe { (self.rows)(rows, query, slots, out) }
    }

    /// `out[i]` = approximate distance of the query's code to the code of `slots[i]`.
    ///
    /// # Safety
    /// Every slot is in range of `rows`, its row holds a written code of the query's kind and length, with its trailer if
    /// the kind has one, and nobody writes it meanwhile.
    #[inline]
    pub(super) unsafe fn score_codes(&self, rows: Rows<'_>, query: &CodeQuery<'_>, slots: &[u32], out: &mut [f32]) {
        debug_assert!(out.len() >= slots.len());
        // SAFETY: handed on to the caller.
        unsafe {
            match query {
                CodeQuery::Bytes(query) => (self.bytes)(rows, query, slots, out),
                CodeQuery::Nibbles(query) => (self.nibbles)(rows, query, slots, out),
                CodeQuery::Bits(query) => (self.bits)(rows, query, slots, out),
                CodeQuery::Signs(query) => coarse::signs(rows, query, slots, out),
                CodeQuery::Table(query) => coarse::table(rows, query, slots, out),
            }
        }
    }
}

/// Loop over the rows of a batch with the next rows on their way from memory; `dot` is inlined into the caller's tier.
/// A row is `code_bytes` of code and the trailer.
///
/// # Safety
/// As [`Kernels::score_codes`].
#[inline(always)]
unsafe fn codes_loop(
    rows: Rows<'_>,
    query: &LinearQuery<'_>,
    code_bytes: usize,
    slots: &[u32],
    out: &mut [f32],
    dot: impl Fn(*const u8) -> i32,
) {
    let bytes = code_bytes + CODE_TRAILER_BYTES;
    for &slot in slots.iter().take(PREFETCH_ROWS) {
        rows.prefetch(slot, bytes);
    }
    for (i, (&slot, out)) in slots.iter().zip(out.iter_mut()).enumerate() {
        if let Some(&ahead) = slots.get(i + PREFETCH_ROWS) {
            rows.prefetch(ahead, bytes);
        }
        // SAFETY: the caller promises that the slot is in range and its row is written.
        let (row, scale, term) = unsafe {
            let row = rows.row(slot);
            let trailer = row.add(code_bytes).cast::<f32>();
            (row, trailer.read_unaligned(), trailer.add(1).read_unaligned())
        };
        #[expect(clippy::cast_precision_loss, reason = "the rounding is far below that of the code")]
        let dot = dot(row) as f32;
        let value = (query.term_weight * term + query.offset) + (query.dot_weight * scale) * dot;
        // NaN (an infinite norm minus another) becomes the farthest.
        *out = value.min(f32::MAX);
    }
}

/// As [`codes_loop`] for f32 rows.
///
/// # Safety
/// As [`Kernels::score_rows`].
#[inline(always)]
unsafe fn rows_loop(
    rows: Rows<'_>,
    query: &[f32],
    slots: &[u32],
    out: &mut [f32],
    distance: impl Fn(*const f32) -> f32,
) {
    let bytes = size_of_val(query);
    for &slot in slots.iter().take(PREFETCH_ROWS) {
        rows.prefetch(slot, bytes);
    }
    for (i, (&slot, out)) in slots.iter().zip(out.iter_mut()).enumerate() {
        if let Some(&ahead) = slots.get(i + PREFETCH_ROWS) {
            rows.prefetch(ahead, bytes);
        }
        // SAFETY: the caller promises that the slot is in range and its row is written.
        let row = unsafe { rows.row(slot) };
        *out = distance(row.cast()).min(f32::MAX);
    }
}

/// Rows requested from memory ahead of the one being compared.
const PREFETCH_ROWS: usize = 4;

#[cfg(target_arch = "x86_64")]
fn avx512_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
    })
}

/// Rotates in place by the fastest tier; see [`crate::vector::quantize`].
pub(super) fn hadamard(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if avx512_here() {
        // SAFETY: the machine has AVX-512.
        return unsafe { avx512::hadamard(values) };
    }
    hadamard_loop(values);
}

/// Walsh-Hadamard transform, not scaled. The length is a power of two, at least 16.
#[inline(always)]
fn hadamard_loop(values: &mut [f32]) {
    let mut half = 1;
    while half < 16 {
        for block in values.chunks_exact_mut(16) {
            let mut turned = [0.0f32; 16];
            for (i, turned) in turned.iter_mut().enumerate() {
                let (a, b) = (block[i & !half], block[i | half]);
                *turned = if i & half == 0 { a + b } else { a - b };
            }
            block.copy_from_slice(&turned);
        }
        half *= 2;
    }
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = (*low + *high, *low - *high);
            }
        }
        half *= 2;
    }
}
