//! The tier for AVX-512 with VNNI: 64 int8 products an instruction, loops kept inside one function per batch.

use std::arch::x86_64::{
    __m128, __m128i, __m512, __m512i, _mm_add_epi32, _mm_add_ps, _mm_add_ss, _mm_cvtepi32_ps, _mm_cvtss_f32,
    _mm_min_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_mul_ps, _mm_set1_epi32, _mm_set1_ps, _mm_shuffle_ps, _mm_storeu_ps,
    _mm_sub_epi32, _mm_sub_ps, _mm_unpacklo_ps, _mm256_add_epi32, _mm256_castps256_ps128, _mm256_castsi256_si128,
    _mm256_extractf128_ps, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256, _mm256_srli_epi16,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castpd256_pd512, _mm512_castps_pd,
    _mm512_castps512_ps256, _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_dpbusd_epi32,
    _mm512_extractf64x4_pd, _mm512_extracti64x4_epi64, _mm512_fmadd_ps, _mm512_inserti64x4, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_maskz_loadu_ps, _mm512_maskz_mov_epi8, _mm512_reduce_add_epi32, _mm512_set1_epi8,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_sub_ps, _mm512_xor_si512,
};

use super::coarse::{CENTROIDS, squares_loop};
use super::portable::sum_of;
use super::{
    CODE_TRAILER_BYTES, Distance, Kernels, LinearQuery, RowKernel, Rows, RowsKernel, codes_loop, hadamard_loop,
    rows_loop,
};

/// The kernels of this tier; the machine must have AVX-512 F, BW and VNNI.
pub(super) fn kernels(distance: Distance) -> Kernels {
    let (row, rows): (RowKernel, RowsKernel) = match distance {
        Distance::Cosine | Distance::Dot => (dot, dot_rows),
        Distance::L2Squared => (l2_squared, l2_squared_rows),
        Distance::Manhattan => (manhattan, manhattan_rows),
        Distance::Hamming => (hamming, hamming_rows),
    };
    Kernels { row, rows, bytes, nibbles, bits, tier: "avx512vnni" }
}

const LANES: usize = 16;

/// Sum over both vectors with four accumulators; the tail is loaded under a mask.
///
/// # Safety
/// AVX-512 F; both pointers are good for `len` reads.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn accumulate(a: *const f32, b: *const f32, len: usize, step: impl Fn(__m512, __m512, __m512) -> __m512) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 4];
    let mut i = 0;
    while i + 4 * LANES <= len {
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `i + 64 <= len`, so all four loads lie inside.
            let (a, b) =
                unsafe { (_mm512_loadu_ps(a.add(i + lane * LANES)), _mm512_loadu_ps(b.add(i + lane * LANES))) };
            *sum = step(a, b, *sum);
        }
        i += 4 * LANES;
    }
    while i < len {
        let mask = if len - i >= LANES { u16::MAX } else { (1 << (len - i)) - 1 };
        // SAFETY: the mask covers what is left of both vectors.
        let (a, b) = unsafe { (_mm512_maskz_loadu_ps(mask, a.add(i)), _mm512_maskz_loadu_ps(mask, b.add(i))) };
        sums[0] = step(a, b, sums[0]);
        i += LANES;
    }
    let half = half_of(sums);
    let pairs = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
}

/// Four partial sums in which all of `sums` are.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn half_of([a, b, c, d]: [__m512; 4]) -> __m128 {
    let sum = _mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d));
    let upper = _mm512_castpd_ps(_mm512_castpd256_pd512(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sum))));
    let sum = _mm512_castps512_ps256(_mm512_add_ps(sum, upper));
    _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum))
}

/// As [`accumulate`] for four rows at a time, which share the loads of the query; the same sums in the same order.
///
/// # Safety
/// AVX-512 F; all pointers are good for `len` reads.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn accumulate_four(
    query: *const f32,
    rows: [*const f32; 4],
    len: usize,
    step: impl Fn(__m512, __m512, __m512) -> __m512,
) -> __m128 {
    let mut sums = [[_mm512_setzero_ps(); 4]; 4];
    let mut i = 0;
    while i + 4 * LANES <= len {
        for lane in 0..4 {
            let at = i + lane * LANES;
            // SAFETY: `i + 64 <= len`, so this load and the rows' lie inside.
            let query = unsafe { _mm512_loadu_ps(query.add(at)) };
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: as above.
                sums[lane] = step(query, unsafe { _mm512_loadu_ps(row.add(at)) }, sums[lane]);
            }
        }
        i += 4 * LANES;
    }
    while i < len {
        let mask = if len - i >= LANES { u16::MAX } else { (1 << (len - i)) - 1 };
        // SAFETY: the mask covers what is left of the query and of the rows.
        let query = unsafe { _mm512_maskz_loadu_ps(mask, query.add(i)) };
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: as above.
            sums[0] = step(query, unsafe { _mm512_maskz_loadu_ps(mask, row.add(i)) }, sums[0]);
        }
        i += LANES;
    }
    let [a, b, c, d] = sums.map(|sums| half_of(sums));
    let (ab, cd) =
        (_mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a)), _mm_add_ps(_mm_movelh_ps(c, d), _mm_movehl_ps(d, c)));
    _mm_add_ps(_mm_shuffle_ps::<0b10_00_10_00>(ab, cd), _mm_shuffle_ps::<0b11_01_11_01>(ab, cd))
}

/// What of a long row is requested ahead: the rest is fetched by the processor's own prefetcher once the row is being read, and
/// more requests than it can hold would only wait for each other.
const ASKED_BYTES_MAX: usize = 512;

/// Whether rows lie one behind the other: then the processor's own prefetcher is ahead of what could be asked for.
fn is_run(slots: &[u32]) -> bool {
    let ends = slots.first().zip(slots.last());
    ends.is_some_and(|(&first, &last)| slots.len() >= RUN_MIN && last.wrapping_sub(first) as usize == slots.len() - 1)
        && slots.is_sorted()
}

/// Rows one behind the other from which on they are taken as a run.
const RUN_MIN: usize = 16;

/// Four rows at a time as long as there are as many; what is left goes one by one.
///
/// # Safety
/// AVX-512 F; as [`Kernels::score_rows`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn rows_by_four(
    rows: Rows<'_>,
    query: &[f32],
    slots: &[u32],
    out: &mut [f32],
    four: impl Fn([*const f32; 4]) -> __m128,
    one: impl Fn(*const f32) -> f32,
) {
    if is_run(slots) {
        for (&slot, out) in slots.iter().zip(out.iter_mut()) {
            // SAFETY: the caller promises that the slot is in range and its row written.
            *out = one(unsafe { rows.row(slot) }.cast()).min(f32::MAX);
        }
        return;
    }
    let bytes = size_of_val(query).min(ASKED_BYTES_MAX);
    let (fours, rest) = slots.as_chunks::<4>();
    if let Some(first) = fours.first() {
        first.iter().for_each(|&slot| rows.prefetch(slot, bytes));
    }
    for (i, (slots_of_four, out)) in fours.iter().zip(out.as_chunks_mut::<4>().0).enumerate() {
        for &ahead in slots.iter().skip(4 * i + 4).take(4) {
            rows.prefetch(ahead, bytes);
        }
        // SAFETY: the caller promises that the slots are in range and their rows written.
        let starts = slots_of_four.map(|slot| unsafe { rows.row(slot) }.cast());
        // The second operand wins over NaN, which becomes the farthest.
        let values = _mm_min_ps(four(starts), _mm_set1_ps(f32::MAX));
        // SAFETY: four f32.
        unsafe { _mm_storeu_ps(out.as_mut_ptr(), values) };
    }
    if !rest.is_empty() {
        // SAFETY: as the caller's.
        unsafe { rows_loop(rows, query, rest, &mut out[4 * fours.len()..], one) };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn dot(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: as the caller's.
    -unsafe { accumulate(a, b, len, |a, b, sum| _mm512_fmadd_ps(a, b, sum)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn l2_squared(a: *const f32, b: *const f32, len: usize) -> f32 {
    let step = |a, b, sum| {
        let difference = _mm512_sub_ps(a, b);
        _mm512_fmadd_ps(difference, difference, sum)
    };
    // SAFETY: as the caller's.
    unsafe { accumulate(a, b, len, step) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn dot_rows(rows: Rows<'_>, query: &[f32], slots: &[u32], out: &mut [f32]) {
    let (start, len) = (query.as_ptr(), query.len());
    let step = |a, b, sum| _mm512_fmadd_ps(a, b, sum);
    // SAFETY: as the caller's.
    let four = |rows| _mm_sub_ps(_mm_set1_ps(-0.0), unsafe { accumulate_four(start, rows, len, step) });
    // SAFETY: as the caller's.
    unsafe { rows_by_four(rows, query, slots, out, four, |row| dot(start, row, len)) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn l2_squared_rows(rows: Rows<'_>, query: &[f32], slots: &[u32], out: &mut [f32]) {
    let (start, len) = (query.as_ptr(), query.len());
    let step = |a, b, sum| {
        let difference = _mm512_sub_ps(a, b);
        _mm512_fmadd_ps(difference, difference, sum)
    };
    // SAFETY: as the caller's.
    let four = |rows| unsafe { accumulate_four(start, rows, len, step) };
    // SAFETY: as the caller's.
    unsafe { rows_by_four(rows, query, slots, out, four, |row| l2_squared(start, row, len)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn manhattan(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: as the caller's.
    unsafe { sum_of(a, b, len, |a, b| (a - b).abs()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn hamming(a: *const f32, b: *const f32, len: usize) -> f32 {
    // SAFETY: as the caller's.
    unsafe { sum_of(a, b, len, |a, b| f32::from(u8::from(a != b))) }
}

macro_rules! rows_kernel {
    ($name:ident, $row:ident) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        unsafe fn $name(rows: Rows<'_>, query: &[f32], slots: &[u32], out: &mut [f32]) {
            // SAFETY: as the caller's.
            unsafe { rows_loop(rows, query, slots, out, |row| $row(query.as_ptr(), row, query.len())) }
        }
    };
}
rows_kernel!(manhattan_rows, manhattan);
rows_kernel!(hamming_rows, hamming);

/// Codes come in whole 64-byte blocks. VNNI multiplies unsigned by signed bytes, so the row is moved up by 128 and the
/// query's sum taken off again.
///
/// # Safety
/// As [`bytes`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn bytes_one_by_one(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let len = query.code.len();
    assert!(len.is_multiple_of(64), "codes are padded to whole blocks");
    let sign = _mm512_set1_epi8(i8::MIN);
    let step = |row: *const u8, at: usize, sum: __m512i| {
        // SAFETY: `at + 64 <= len`, and both hold `len` bytes.
        let (row, query) =
            unsafe { (_mm512_loadu_si512(row.add(at).cast()), _mm512_loadu_si512(query.code.as_ptr().add(at).cast())) };
        _mm512_dpbusd_epi32(sum, _mm512_xor_si512(row, sign), query)
    };
    // SAFETY: the query holds `len` bytes.
    let surplus = 128 * unsafe { sum_of_bytes(query.code) };
    let dot = |row: *const u8| {
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut at = 0;
        while at + 128 <= len {
            even = step(row, at, even);
            odd = step(row, at + 64, odd);
            at += 128;
        }
        if at < len {
            even = step(row, at, even);
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd)).wrapping_sub(surplus)
    };
    // SAFETY: as the caller's.
    unsafe { codes_loop(rows, query, len, slots, out, dot) }
}

/// Four rows at a time: a block of the query is loaded once for all of them, and their sums are taken together. What is
/// left at the end goes one by one.
///
/// # Safety
/// AVX-512 F, BW and VNNI; as [`Kernels::score_codes`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn bytes(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let len = query.code.len();
    assert!(len.is_multiple_of(64), "codes are padded to whole blocks");
    let row_bytes = (len + CODE_TRAILER_BYTES).min(CODE_ASKED_BYTES_MAX);
    let sign = _mm512_set1_epi8(i8::MIN);
    // SAFETY: the query holds `len` bytes.
    let surplus = _mm_set1_epi32(128 * unsafe { sum_of_bytes(query.code) });
    let (fours, _) = slots.as_chunks::<4>();
    slots.iter().take(4 * FOURS_AHEAD).for_each(|&slot| rows.prefetch(slot, row_bytes));
    for (i, (four, out)) in fours.iter().zip(out.as_chunks_mut::<4>().0).enumerate() {
        for &ahead in slots.iter().skip(4 * (i + FOURS_AHEAD)).take(4) {
            rows.prefetch(ahead, row_bytes);
        }
        // SAFETY: the caller promises that the slots are in range.
        let starts = four.map(|slot| unsafe { rows.row(slot) });
        let mut sums = [_mm512_setzero_si512(); 4];
        let mut at = 0;
        while at < len {
            // SAFETY: `at + 64 <= len`, which query and rows hold.
            let query = unsafe { _mm512_loadu_si512(query.code.as_ptr().add(at).cast()) };
            for (sum, start) in sums.iter_mut().zip(starts) {
                // SAFETY: as above.
                let row = unsafe { _mm512_loadu_si512(start.add(at).cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(row, sign), query);
            }
            at += 64;
        }
        let dots = _mm_sub_epi32(sums_of_four(sums), surplus);
        // SAFETY: rows have a trailer, which begins with scale and term.
        let trailer = |row: *const u8| unsafe { row.add(len).cast::<__m128>().read_unaligned() };
        let (ab, cd) = (
            _mm_unpacklo_ps(trailer(starts[0]), trailer(starts[1])),
            _mm_unpacklo_ps(trailer(starts[2]), trailer(starts[3])),
        );
        let (scales, terms) = (_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
        let constant = _mm_add_ps(_mm_mul_ps(_mm_set1_ps(query.term_weight), terms), _mm_set1_ps(query.offset));
        let weights = _mm_mul_ps(_mm_set1_ps(query.dot_weight), scales);
        let values = _mm_add_ps(constant, _mm_mul_ps(weights, _mm_cvtepi32_ps(dots)));
        // The second operand wins over NaN, which becomes the farthest.
        let values = _mm_min_ps(values, _mm_set1_ps(f32::MAX));
        // SAFETY: four f32.
        unsafe { _mm_storeu_ps(out.as_mut_ptr(), values) };
    }
    let rest = 4 * fours.len();
    if rest < slots.len() {
        // SAFETY: as the caller's.
        unsafe { bytes_one_by_one(rows, query, &slots[rest..], &mut out[rest..]) };
    }
}

/// What of a code is requested ahead, see [`ASKED_BYTES_MAX`].
const CODE_ASKED_BYTES_MAX: usize = 256;

/// Groups of four rows requested from memory ahead of the one being compared.
const FOURS_AHEAD: usize = 2;

/// The sum of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn sums_of_four(of: [__m512i; 4]) -> __m128i {
    let [a, b, c, d] = of.map(|sum| _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)));
    let pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs))
}

/// Sum of `2 * u - surplus_weight` times the query, where `unpack` gives 64 unsigned bytes `u` of the row's block.
///
/// # Safety
/// AVX-512 F, BW and VNNI; as [`Kernels::score_codes`], for rows of `code_bytes`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn packed_rows(
    rows: Rows<'_>,
    query: &LinearQuery<'_>,
    (code_bytes, surplus_weight): (usize, i32),
    slots: &[u32],
    out: &mut [f32],
    unpack: impl Fn(*const u8, usize) -> __m512i,
) {
    assert!(query.code.len().is_multiple_of(64), "codes are padded to whole blocks");
    let blocks = query.code.len() / 64;
    // SAFETY: whole blocks, as asserted.
    let surplus = surplus_weight * unsafe { sum_of_bytes(query.code) };
    let step = |row: *const u8, block: usize, sum: __m512i| {
        // SAFETY: the query holds `blocks` blocks.
        let query = unsafe { _mm512_loadu_si512(query.code.as_ptr().add(block * 64).cast()) };
        _mm512_dpbusd_epi32(sum, unpack(row, block), query)
    };
    let dot = |row: *const u8| {
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut block = 0;
        while block + 2 <= blocks {
            even = step(row, block, even);
            odd = step(row, block + 1, odd);
            block += 2;
        }
        if block < blocks {
            even = step(row, block, even);
        }
        (2 * _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd))).wrapping_sub(surplus)
    };
    // SAFETY: as the caller's.
    unsafe { codes_loop(rows, query, code_bytes, slots, out, dot) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn nibbles(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let low = _mm512_set1_epi8(15);
    let unpack = |row: *const u8, block: usize| {
        // SAFETY: a row has 32 bytes for each block of the query.
        let packed = unsafe { _mm256_loadu_si256(row.add(block * 32).cast()) };
        let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(packed), _mm256_srli_epi16::<4>(packed));
        _mm512_and_si512(both, low)
    };
    // SAFETY: as the caller's.
    unsafe { packed_rows(rows, query, (query.code.len() / 2, 15), slots, out, unpack) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn bits(rows: Rows<'_>, query: &LinearQuery<'_>, slots: &[u32], out: &mut [f32]) {
    let ones = _mm512_set1_epi8(1);
    let unpack = |row: *const u8, block: usize| {
        // SAFETY: a row has 8 bytes for each block of the query.
        let set = unsafe { row.add(block * 8).cast::<u64>().read_unaligned() };
        _mm512_maskz_mov_epi8(set, ones)
    };
    // SAFETY: as the caller's.
    unsafe { packed_rows(rows, query, (query.code.len() / 8, 1), slots, out, unpack) }
}

/// Sum of whole 64-byte blocks.
///
/// # Safety
/// AVX-512 F and VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn sum_of_bytes(bytes: &[i8]) -> i32 {
    let ones = _mm512_set1_epi8(1);
    let mut sum = _mm512_setzero_si512();
    for block in bytes.chunks_exact(64) {
        // SAFETY: the block has 64 bytes.
        sum = _mm512_dpbusd_epi32(sum, ones, unsafe { _mm512_loadu_si512(block.as_ptr().cast()) });
    }
    _mm512_reduce_add_epi32(sum)
}

/// As [`super::hadamard`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn hadamard(values: &mut [f32]) {
    hadamard_loop(values);
}

/// As [`super::squares_to_centroids`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn squares_to_centroids(values: &[f32], centroids: &[f32], out: &mut [f32; CENTROIDS]) {
    squares_loop(values, centroids, out);
}
