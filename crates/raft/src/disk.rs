//! How full the disk is. A full disk must stop writes before it stops the log: a log that cannot be written ends the
//! node, a refused write does not.

use std::path::Path;

/// Points below the limit at which writes are taken again, so that the answer does not flicker.
const HYSTERESIS_PERCENT: u8 = 2;

/// How full the disk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// Percent of the space that a user may have that is in use.
    pub used_percent: u8,
    /// Percent at which writes are refused.
    pub percent_max: u8,
    refuses: bool,
}

impl DiskUse {
    /// Nothing is refused.
    pub(crate) fn new(percent_max: u8) -> Self {
        Self { used_percent: 0, percent_max, refuses: false }
    }

    /// Whether writes are refused.
    pub fn refuses(&self) -> bool {
        self.refuses
    }

    /// What follows from a new reading.
    pub(crate) fn read(self, used_percent: u8) -> Self {
        let limit = match self.refuses {
            true => self.percent_max.saturating_sub(HYSTERESIS_PERCENT),
            false => self.percent_max,
        };
        Self { used_percent, percent_max: self.percent_max, refuses: self.percent_max < 100 && used_percent >= limit }
    }
}

/// Percent of the file system under `path` that is in use; `None` if the system does not say.
pub(crate) fn used_percent(path: &Path) -> Option<u8> {
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
    u8::try_from((used * 100).div_ceil(usable.max(1))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_the_limit_and_recovers_below_it() {
        let mut disk = DiskUse::new(90);
        for (used, refuses) in [(10, false), (89, false), (90, true), (89, true), (88, true), (87, false), (89, false)]
        {
            disk = disk.read(used);
            assert_eq!(disk.refuses(), refuses, "at {used} %");
        }
        assert!(!DiskUse::new(100).read(100).refuses());
    }

    #[test]
    fn the_system_says_how_full_it_is() {
        let used = used_percent(&std::env::temp_dir()).unwrap();
        assert!(used <= 100);
        assert_eq!(used_percent(Path::new("/no/such/place")), None);
    }
}
