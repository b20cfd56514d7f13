//! How full the disk is. A full disk must stop writes before it stops the log: a log that cannot be written ends the
//! node, a refused write does not. Removals are taken longer than other writes, because they are the way out.

use std::path::Path;

/// Points below the limit at which writes are taken again, so that the answer does not flicker.
const HYSTERESIS_PERCENT: u8 = 2;

/// Removals are accepted while this much space is free, or this part of a small disk: the log needs the space for them.
const REMOVALS_FREE_BYTES_MIN: u64 = 16 << 20;
const REMOVALS_FREE_SHARE: u64 = 64;

/// Space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes of all of it.
    pub(crate) total_bytes: u64,
    /// Bytes that may still be written.
    pub(crate) free_bytes: u64,
    /// Percent of the space that a user may have that is in use.
    pub(crate) used_percent: u8,
}

/// Which writes are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Accepts {
    #[default]
    Everything,
    /// Only commands that remove something.
    Removals,
    Nothing,
}

/// How full the disk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Percent of the space that a user may have that is in use.
    pub used_percent: u8,
    /// Percent at which writes are refused.
    pub percent_max: u8,
    /// Bytes that may still be written.
    pub free_bytes: u64,
    accepts: Accepts,
}

impl DiskUse {
    /// Nothing is refused.
    pub(crate) fn new(percent_max: u8) -> Self {
        Self { used_percent: 0, percent_max, free_bytes: u64::MAX, accepts: Accepts::Everything }
    }

    /// Whether writes are refused.
    pub fn refuses(&self) -> bool {
        self.accepts != Accepts::Everything
    }

    /// Whether even writes that remove something are refused.
    pub fn refuses_removals(&self) -> bool {
        self.accepts == Accepts::Nothing
    }

    /// What follows from a new reading.
    pub(crate) fn read(self, space: Space) -> Self {
        let Space { used_percent, free_bytes, .. } = space;
        let limit = match self.refuses() {
            true => self.percent_max.saturating_sub(HYSTERESIS_PERCENT),
            false => self.percent_max,
        };
        let accepts = match self.percent_max < 100 && used_percent >= limit {
            false => Accepts::Everything,
            true if free_bytes >= space.removals_free_bytes_min() => Accepts::Removals,
            true => Accepts::Nothing,
        };
        Self { used_percent, percent_max: self.percent_max, free_bytes, accepts }
    }
}

impl Space {
    /// Space under `path`; `None` if the system does not say.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: `statvfs` is plain integers, for which zero is a value.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: `path` ends with zero and `stat` is ours to write; both outlive the call.
        if unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } != 0 {
            return None;
        }
        let used = u128::from(stat.f_blocks.saturating_sub(stat.f_bfree));
        let usable = used + u128::from(stat.f_bavail);
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some(Self {
            total_bytes: bytes(stat.f_blocks),
            free_bytes: bytes(stat.f_bavail),
            used_percent: u8::try_from((used * 100).div_ceil(usable.max(1))).unwrap_or(100),
        })
    }

    /// A disk of 100 MiB.
    #[cfg(test)]
    pub(crate) fn of_percent(used_percent: u8) -> Self {
        let free_bytes = u64::from(100 - used_percent) << 20;
        Self { total_bytes: 100 << 20, free_bytes, used_percent }
    }

    /// Bytes below which even removals are refused.
    pub(crate) fn removals_free_bytes_min(&self) -> u64 {
        REMOVALS_FREE_BYTES_MIN.min(self.total_bytes / REMOVALS_FREE_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(used_percent: u8) -> Space {
        Space::of_percent(used_percent)
    }

    #[test]
    fn refuses_at_the_limit_and_recovers_below_it() {
        let mut disk = DiskUse::new(90);
        for (used, refuses) in [(10, false), (89, false), (90, true), (89, true), (88, true), (87, false), (89, false)]
        {
            disk = disk.read(space(used));
            assert_eq!(disk.refuses(), refuses, "at {used} %");
            assert!(!disk.refuses_removals(), "at {used} %");
        }
        assert!(!DiskUse::new(100).read(space(100)).refuses());
    }

    #[test]
    fn removals_are_taken_as_long_as_the_log_has_room() {
        let disk = DiskUse::new(90);
        assert!(!disk.read(space(98)).refuses_removals());
        assert!(disk.read(space(99)).refuses_removals());
        assert!(disk.read(space(99)).refuses());
        assert!(!disk.read(space(99)).read(space(95)).refuses_removals());
    }

    #[test]
    fn the_system_says_how_full_it_is() {
        let space = Space::of(&std::env::temp_dir()).unwrap();
        assert!(space.used_percent <= 100 && space.free_bytes <= space.total_bytes);
        assert_eq!(Space::of(Path::new("/no/such/place")), None);
    }
}
