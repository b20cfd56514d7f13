//! Generations: which of a group's RocksDB folders is the present one.
//!
//! A group's folder holds `gen-<n>` folders and the file `CURRENT`, which names the present one:
//! `azimuth-group 1 <n> <crc32c of the text before it, hex>\n`. It is replaced by rename, so that a crash at any step
//! leaves the old or the new generation, never a mix.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Version of the pointer file's format.
const FORMAT: u32 = 1;
const POINTER: &str = "CURRENT";
const POINTER_NEW: &str = "CURRENT.new";

/// The generations of one group.
#[derive(Debug, Clone)]
pub struct Generations {
    dir: PathBuf,
}

impl Generations {
    /// The generations below the group's folder `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// Folder of generation `n`.
    pub fn path(&self, n: u64) -> PathBuf {
        self.dir.join(format!("gen-{n}"))
    }

    /// The present generation; `None` if the group was never created.
    pub fn current(&self) -> Result<Option<u64>> {
        let path = self.dir.join(POINTER);
        match fs::read_to_string(&path) {
            Ok(text) => parse(&text).map(Some).ok_or_else(|| Error::Damaged(format!("{}: {text:?}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(Error::Damaged(format!("{}: not text", path.display())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All generations that have a folder, ascending.
    pub fn all(&self) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if let Some(n) = name.to_str().and_then(|name| name.strip_prefix("gen-")).and_then(|n| n.parse().ok()) {
                found.push(n);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Makes generation `n` the present one, durably. Its folder and files must already be synced by the caller, who
    /// has closed the group or replaces its state. The other generations are removed when the group is opened next.
    pub fn switch(&self, n: u64) -> Result<()> {
        let body = format!("azimuth-group {FORMAT} {n}");
        let new = self.dir.join(POINTER_NEW);
        let mut file = File::create(&new)?;
        file.write_all(format!("{body} {:08x}\n", crc32c::crc32c(body.as_bytes())).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(POINTER))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }

    /// Removes every generation but `keep`, and says how many.
    pub(crate) fn remove_others(&self, keep: u64) -> Result<usize> {
        let others: Vec<u64> = self.all()?.into_iter().filter(|&n| n != keep).collect();
        for &n in &others {
            fs::remove_dir_all(self.path(n))?;
        }
        Ok(others.len())
    }
}

/// A generation whose database is open. Everything that keeps the database open also holds this value, and drops it
/// after the database: a generation that was replaced leaves the disk with its last reader.
pub(super) struct OpenGeneration {
    generations: Generations,
    number: u64,
    replaced: AtomicBool,
}

impl OpenGeneration {
    pub(super) fn new(generations: Generations, number: u64) -> Self {
        Self { generations, number, replaced: AtomicBool::new(false) }
    }

    pub(super) fn generations(&self) -> &Generations {
        &self.generations
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes that another generation is the present one.
    pub(super) fn replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }
}

impl Drop for OpenGeneration {
    fn drop(&mut self) {
        if !*self.replaced.get_mut() {
            return;
        }
        let path = self.generations.path(self.number);
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "remove a replaced generation; the next start tries again");
        }
    }
}

fn parse(text: &str) -> Option<u64> {
    let (body, crc) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    let mut words = body.split(' ');
    let known = words.next()? == "azimuth-group" && words.next()?.parse() == Ok(FORMAT);
    known.then(|| words.next()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_survives_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let generations = Generations::new(dir.path());
        assert_eq!(generations.current().unwrap(), None);
        generations.switch(3).unwrap();
        assert_eq!(generations.current().unwrap(), Some(3));
        generations.switch(4).unwrap();
        assert_eq!(generations.current().unwrap(), Some(4));

        let text = fs::read(dir.path().join(POINTER)).unwrap();
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 0x11;
            fs::write(dir.path().join(POINTER), damaged).unwrap();
            assert!(matches!(generations.current(), Err(Error::Damaged(_))), "byte {at}");
        }
        fs::write(dir.path().join(POINTER), &text[..text.len() / 2]).unwrap();
        assert!(matches!(generations.current(), Err(Error::Damaged(_))));
    }
}
