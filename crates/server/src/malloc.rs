//! Memory that was freed goes back to the system.
//!
//! The C library's allocator, which RocksDB uses too, keeps what is freed for itself: a burst of queries over thousands of
//! collections leaves a heap of which half is in use. Here it is told to use few heaps, and to give back what is free
//! whenever there was work.

use std::time::Duration;

/// How often there is a look at whether something was done.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const INTERVAL: Duration = Duration::from_secs(10);

/// So much processor time since the last time makes it worth giving memory back: who does less frees little.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const BUSY_MIN: Duration = Duration::from_millis(500);

/// Heaps of the allocator at most, for a machine of so many processors. Threads share them; beyond the number of
/// processors more heaps only mean more that is free in each.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn heaps_max(processors: usize) -> libc::c_int {
    libc::c_int::try_from(processors.max(2)).unwrap_or(libc::c_int::MAX)
}

/// Tells the allocator how to keep memory. To be called before there are threads; where it does not apply, it does nothing.
pub(crate) fn configure() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // Blocks of RocksDB's write buffers from the system instead of a heap were tried: loading took a fifth more
        // processor time.
        // SAFETY: sets a parameter of the allocator; no memory is passed.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps_max(processors)) };
    }
}

/// Gives free memory back for as long as it is polled, after each time of work.
pub(crate) async fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let mut at_last = Duration::ZERO;
        loop {
            tokio::time::sleep(INTERVAL).await;
            if processor_time().saturating_sub(at_last) < BUSY_MIN {
                continue;
            }
            let begun = std::time::Instant::now();
            // SAFETY: touches only memory that nobody holds.
            let trim = || unsafe { libc::malloc_trim(0) };
            if tokio::task::spawn_blocking(trim).await.is_ok() {
                tracing::debug!(took = ?begun.elapsed(), "free memory went back to the system");
            }
            at_last = processor_time();
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    std::future::pending::<()>().await;
}

/// Processor time of this process so far.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time` and nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
