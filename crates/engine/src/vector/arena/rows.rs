//! Rows of one stride, found by slot across chunks.

/// One column of the chunks: `bases[slot >> shift] + (slot & mask) * stride` is the row of `slot`.
#[derive(Debug, Clone, Copy)]
pub(in crate::vector) struct Rows<'a> {
    bases: &'a [*const u8],
    shift: u32,
    stride: usize,
}

impl<'a> Rows<'a> {
    pub(in crate::vector) fn new(bases: &'a [*const u8], shift: u32, stride: usize) -> Self {
        Self { bases, shift, stride }
    }

    /// First byte of the row.
    ///
    /// # Safety
    /// `slot >> shift` is below the number of chunks, and the chunk has the slot.
    #[inline(always)]
    pub(in crate::vector) unsafe fn row(&self, slot: u32) -> *const u8 {
        let offset = (slot & ((1 << self.shift) - 1)) as usize * self.stride;
        // SAFETY: the caller promises that chunk and row exist.
        unsafe { self.bases.get_unchecked((slot >> self.shift) as usize).add(offset) }
    }

    /// Asks for the first `bytes` of the row. Harmless for a slot that is out of range.
    #[inline(always)]
    pub(in crate::vector) fn prefetch(&self, slot: u32, bytes: usize) {
        let Some(base) = self.bases.get((slot >> self.shift) as usize) else { return };
        let row = base.wrapping_add((slot & ((1 << self.shift) - 1)) as usize * self.stride);
        let mut at = 0;
        while at < bytes {
            prefetch(row.wrapping_add(at));
            at += 64;
        }
    }
}

/// Asks for one cache line; any address is allowed.
#[inline(always)]
pub(in crate::vector) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and cannot fault.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
