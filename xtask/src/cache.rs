//! The cache folder outside the clone: what is expensive to make and the same for every checkout.
//!
//! `$AZIMUTH_CACHE_DIR`, else `$XDG_CACHE_HOME/azimuth`, else `~/.cache/azimuth`. Every entry's folder carries the
//! hash or version of what it was made from, so an entry is complete or absent and never out of date; all of it may
//! be deleted at any time.

use crate::Failure;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The cache folder; not created.
pub(crate) fn dir() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("AZIMUTH_CACHE_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("azimuth")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/azimuth")))
        .ok_or_else(|| "no home folder: set AZIMUTH_CACHE_DIR".into())
}

/// Makes an entry unless it is there: `make` fills a scratch folder, which takes the entry's name only when it is whole.
/// Processes that want the same entry wait for one another.
pub(crate) fn entry(
    kind: &str,
    key: &str,
    make: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    let parent = dir()?.join(kind);
    let ready = parent.join(key);
    if ready.is_dir() {
        return Ok(ready);
    }
    fs::create_dir_all(&parent)?;
    let lock = File::create(parent.join(format!("{key}.lock")))?;
    lock.lock()?;
    if !ready.is_dir() {
        let scratch = parent.join(format!("{key}.partial"));
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        fs::create_dir_all(&scratch)?;
        make(&scratch)?;
        fs::rename(&scratch, &ready)?;
    }
    Ok(ready)
}

/// Removes an entry that has lost the file it is about.
pub(crate) fn discard_unless(kind: &str, key: &str, file: &str) -> Result<(), Failure> {
    let entry = dir()?.join(kind).join(key);
    if entry.is_dir() && !entry.join(file).is_file() {
        fs::remove_dir_all(entry)?;
    }
    Ok(())
}

/// FNV-1a over the parts, as sixteen hex digits: names a cache entry after what it was made from.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_tell_contents_and_boundaries_apart() {
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a", "b"]), key(&["b", "a"]));
        assert_eq!(key(&[]).len(), 16);
    }
}
