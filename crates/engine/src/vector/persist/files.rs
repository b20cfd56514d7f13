//! Writing and checking the files of a state.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;

use super::{FileRef, Found, MAGIC, MANIFEST, Manifest, Manifest1, Section, VERSION, VERSION_1};

/// Writes sections in order and keeps the checksum.
pub(super) struct SectionWriter {
    file: BufWriter<File>,
    at: u64,
    crc32c: u32,
}

impl SectionWriter {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 20, File::create(path)?), at: 0, crc32c: 0 })
    }

    /// Moves to the start of a section, which is not behind.
    pub(super) fn begin(&mut self, section: Section) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.at < section.0 {
            let missing = usize::try_from(section.0 - self.at).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write(&ZEROS[..missing])?;
        }
        debug_assert_eq!(self.at, section.0, "sections come in order");
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.at += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Makes the file durable.
    pub(super) fn finish(self, save: u64) -> io::Result<FileRef> {
        let (bytes, crc32c) = (self.at, self.crc32c);
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(FileRef { save, bytes, crc32c })
    }
}

/// Opens a file and checks length and checksum.
pub(super) fn open_checked(path: &Path, expected: FileRef) -> Result<File, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let describe = |error: io::Error| format!("{name} cannot be read: {error}");
    let file = File::open(path).map_err(describe)?;
    let bytes = file.metadata().map_err(describe)?.len();
    if bytes != expected.bytes {
        return Err(format!("{name} has {bytes} bytes instead of {}", expected.bytes));
    }
    if bytes == 0 {
        return Ok(file);
    }
    // SAFETY: files of a saved state are never changed in place.
    let map = unsafe { Mmap::map(&file) }.map_err(describe)?;
    // Advice only: a machine that ignores it reads slower.
    let _ = map.advise(memmap2::Advice::Sequential);
    if crc32c::crc32c(&map) != expected.crc32c {
        return Err(format!("{name} is damaged (checksum)"));
    }
    Ok(file)
}

/// Puts a manifest in force.
pub(super) fn write_manifest(dir: &Path, manifest: &Manifest) -> io::Result<u64> {
    let body = postcard::to_stdvec(manifest).map_err(io::Error::other)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend(body);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let new = dir.join("MANIFEST.new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    // The files that the manifest names must be found after a crash before the manifest is.
    sync_dir(dir)?;
    fs::rename(&new, dir.join(MANIFEST))?;
    sync_dir(dir)?;
    Ok(bytes.len() as u64)
}

/// The manifest in force; `None` if there is none.
pub(super) fn read_manifest(dir: &Path) -> Result<Option<Found>, String> {
    let bytes = match fs::read(dir.join(MANIFEST)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{MANIFEST} cannot be read: {error}")),
    };
    let damaged = || format!("{MANIFEST} is damaged");
    let (content, crc32c) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    let (magic, rest) = content.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if *magic != MAGIC || crc32c::crc32c(content) != u32::from_le_bytes(*crc32c) {
        return Err(damaged());
    }
    let version = u32::from_le_bytes(*version);
    if !matches!(version, VERSION | VERSION_1) {
        return Err(format!("{MANIFEST} has format version {version}, this program writes {VERSION}"));
    }
    let (length, body) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    if u32::from_le_bytes(*length) as usize != body.len() {
        return Err(damaged());
    }
    let found = if version == VERSION_1 {
        postcard::from_bytes::<Manifest1>(body).map(Found::from)
    } else {
        postcard::from_bytes(body).map(|manifest| Found { manifest, within: None })
    };
    found.map(Some).map_err(|_| damaged())
}

/// Removes what `named` does not name of the files that saves write.
pub(super) fn remove_others(dir: &Path, named: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let ours = [".vec", ".graph", ".code", ".codec"].iter().any(|ending| name.ends_with(ending))
            || name == MANIFEST
            || name == "MANIFEST.new";
        if ours && !named.iter().any(|named| named == name) {
            fs::remove_file(dir.join(name))?;
        }
    }
    Ok(())
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
