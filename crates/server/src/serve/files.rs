//! How many files the process may have open, and how many of them are for connections.

/// Files that are kept for storage, logs and listeners where there are enough.
const KEPT_MAX: usize = 2_304;

/// Raises the limit of open files as far as the process may, and cuts `connections_max` to the connections that the
/// limit allows: a connection beyond the limit would not be refused but wait in the system's queue.
pub(super) fn connections_max(connections_max: usize) -> usize {
    let Some(files_max) = raise() else { return connections_max };
    let possible = possible(files_max);
    if possible < connections_max {
        tracing::warn!(
            files_max,
            connections_max = possible,
            "the limit of open files (ulimit -n) allows fewer connections than AZIMUTH_CONNECTIONS_MAX ({connections_max})"
        );
    }
    possible.min(connections_max)
}

/// Connections that fit beside storage: a quarter of few files, all but [`KEPT_MAX`] of many.
fn possible(files_max: usize) -> usize {
    (files_max - (files_max / 4 * 3).min(KEPT_MAX)).max(1)
}

/// Raises the limit for this process to the hard limit. Returns the limit.
fn raise() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes to `limit` and nothing else.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: reads `raised` and nothing else.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    Some(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::possible;

    #[test]
    fn connections_share_files_with_storage() {
        assert_eq!([0, 256, 1_024, 65_536].map(possible), [1, 64, 256, 63_232]);
        assert!(possible(usize::MAX) > 1 << 40);
    }
}
