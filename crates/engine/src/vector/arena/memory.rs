//! A run of bytes that stays where it is: small ones from the heap, large ones from the system, saved ones from a file.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::File;
use std::io;
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions};

/// Bytes at a 64-byte boundary, zero at first. Shared by readers and writers through raw pointers; who may touch which
/// byte when is the business of [`Tables`](super::Tables).
pub(in crate::vector) struct Memory {
    start: NonNull<u8>,
    len: usize,
    backing: Backing,
}

enum Backing {
    Heap(Layout),
    Anonymous(MmapMut),
    /// Private: writes stay in memory, the file never changes.
    File(#[expect(dead_code, reason = "keeps the mapping")] MmapMut),
}

// SAFETY: the memory has one owner and no thread affinity.
unsafe impl Send for Memory {}
// SAFETY: shared access goes through raw pointers whose users keep to the rules of `Tables`.
unsafe impl Sync for Memory {}

/// From this size on memory comes from the system page by page, so that what is never touched costs nothing.
const SYSTEM_BYTES_MIN: usize = 128 << 10;

/// From this size on large pages are asked for: a graph search jumps all over the memory, and each jump to another
/// small page costs a look into the page tables. At most one such page is taken before it is needed.
#[cfg(target_os = "linux")]
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// No system that this runs on has larger pages, unless asked.
#[cfg(target_os = "linux")]
const SYSTEM_PAGE_BYTES_MAX: usize = 64 << 10;

impl Memory {
    /// `len` zero bytes.
    pub(in crate::vector) fn zeroed(len: usize) -> Self {
        if len >= SYSTEM_BYTES_MIN
            && let Ok(mut map) = MmapMut::map_anon(len)
        {
            let start = NonNull::new(map.as_mut_ptr()).expect("a mapping is never at address 0");
            #[cfg(target_os = "linux")]
            if len >= LARGE_PAGE_BYTES {
                // Where the system has none, graph searches are slower and nothing else.
                let _ = map.advise(memmap2::Advice::HugePage);
            }
            return Self { start, len, backing: Backing::Anonymous(map) };
        }
        let layout = Layout::from_size_align(len.max(1), 64).expect("a chunk is far below isize::MAX");
        // SAFETY: the layout has at least one byte.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, len, backing: Backing::Heap(layout) }
    }

    /// `len` bytes of a file from `offset`, which is a multiple of the page size. Clean pages are the page cache's.
    ///
    /// # Errors
    /// Those of the mapping. The file must already be known to be long enough.
    pub(in crate::vector) fn mapped(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        // SAFETY: a private mapping; files of a saved state are never changed in place, only replaced.
        let mut map = unsafe { MmapOptions::new().offset(offset).len(len).map_copy(file)? };
        let start = NonNull::new(map.as_mut_ptr()).expect("a mapping is never at address 0");
        Ok(Self { start, len, backing: Backing::File(map) })
    }

    /// First byte. Writing through it is for those who may, see [`Tables`](super::Tables).
    pub(in crate::vector) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Length in bytes.
    pub(in crate::vector) fn len(&self) -> usize {
        self.len
    }

    /// Gives the room of what lies from `from` on back to the system, as far as it came from there page by page. It reads as
    /// anything afterwards, and may be written again.
    ///
    /// # Safety
    /// No thread reads or writes there meanwhile, and the content is not needed any more.
    pub(in crate::vector) unsafe fn give_back(&self, from: usize) {
        #[cfg(target_os = "linux")]
        if let Backing::Anonymous(map) = &self.backing
            && let from = from.next_multiple_of(SYSTEM_PAGE_BYTES_MAX)
            && from < self.len
        {
            // SAFETY: the caller has no use for these bytes. Where the system refuses, they stay.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, self.len - from) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = from;
    }

    /// Whether clean pages lie in the page cache.
    pub(in crate::vector) fn is_mapped(&self) -> bool {
        matches!(self.backing, Backing::File(_))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Backing::Heap(layout) = self.backing {
            // SAFETY: allocated in `zeroed` with this layout, freed once.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}
