//! The manifest of a snapshot: a receiver checks it before it takes the files, and checks each file against it.
//!
//! Stored and sent form: a [sealed](crate::seal) value that begins with `AZSNAP`, the version u16 (little-endian, 2) and
//! [`Manifest`] in postcard. Version 1 had no such beginning, and a snapshot of it is made anew. Names come from another
//! node, so they are checked before any of them becomes a path.

use azimuth_engine::ids::GroupId;
use azimuth_engine::replica::LogPosition;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::seal;

const MAGIC: &[u8; 6] = b"AZSNAP";
const VERSION: u16 = 2;

/// Files that a snapshot may have.
pub(crate) const FILES_MAX: usize = 100_000;

/// Bytes of an encoded manifest, at most: files times a name of 255 bytes, a size and a hash, and the rest.
pub(crate) const MANIFEST_BYTES_MAX: usize = 32 << 20;

/// Bytes of a file's name, at most.
const NAME_BYTES_MAX: usize = 255;

/// BLAKE3 of a file's content.
pub(crate) type Hash = [u8; 32];

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Name below `state/`.
    pub(crate) name: String,
    /// Size.
    pub(crate) bytes: u64,
    /// Hash of the content. A node hashes its own snapshot when the first reader asks for it, so that a snapshot
    /// without readers costs no more than its links.
    pub(crate) hash: Option<Hash>,
}

/// The content of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The cluster it belongs to.
    pub(crate) cluster: Uuid,
    /// The data directory that it was made in.
    pub(crate) store: Uuid,
    /// The group.
    pub(crate) group: GroupId,
    /// The last entry in it.
    pub(crate) position: Option<LogPosition>,
    /// The newest membership in it.
    pub(crate) membership: Option<(LogPosition, Vec<u8>)>,
    /// Its files, by name, ascending.
    pub(crate) files: Vec<FileEntry>,
}

impl Manifest {
    /// The stored form.
    ///
    /// # Errors
    /// The reason, as a text.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        postcard::to_extend(self, bytes).map(|bytes| seal::seal(&bytes)).map_err(|error| error.to_string())
    }

    /// Reads and checks the stored form.
    ///
    /// # Errors
    /// The reason, as a text.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(format!("a manifest of {} bytes", bytes.len()));
        }
        let value = seal::unseal(bytes).ok_or("the manifest fails its checksum")?;
        let rest = value.strip_prefix(MAGIC).ok_or("not a manifest of this format")?;
        let (version, rest) = rest.split_first_chunk().ok_or("the manifest is cut off")?;
        if u16::from_le_bytes(*version) != VERSION {
            return Err(format!("the manifest has format version {}", u16::from_le_bytes(*version)));
        }
        let manifest: Self = postcard::from_bytes(rest).map_err(|error| format!("manifest: {error}"))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks names, their order and the sizes.
    fn check(&self) -> Result<(), String> {
        if self.files.len() > FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
        if let Some(file) = self.files.iter().find(|file| !is_name(&file.name)) {
            return Err(format!("file name {:?}", file.name));
        }
        if !self.files.is_sorted_by(|one, next| one.name < next.name) {
            return Err("the file names are not in order".into());
        }
        self.bytes().map(|_| ()).ok_or_else(|| "the sizes are too large".into())
    }

    /// Bytes of all files; `None` when the sum has no u64.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.bytes))
    }

    /// Name of the snapshot: of the last entry in it.
    pub(crate) fn name(&self) -> String {
        self.position.map_or_else(|| "empty".into(), |at| format!("{}-{}-{}", at.index, at.term, at.node))
    }
}

/// Whether that is the name of a plain file inside a directory.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/fixtures/snapshot-manifest-2.bin");

    pub(crate) fn example() -> Manifest {
        let at = |index| LogPosition { term: 2, node: 5, index };
        let file = |name: &str, bytes, hash| FileEntry { name: name.into(), bytes, hash };
        Manifest {
            cluster: Uuid::from_u128(7),
            store: Uuid::from_u128(8),
            group: GroupId(3),
            position: Some(at(1 << 33)),
            membership: Some((at(12), vec![1, 2, 3])),
            files: vec![
                file("000012.sst", 1 << 40, Some(*blake3::hash(b"abc").as_bytes())),
                file("CURRENT", 16, None),
                file("MANIFEST-000005", 300, Some([9; 32])),
            ],
        }
    }

    /// `AZIMUTH_WRITE_FIXTURES=1` writes it; only ever for a new version, never to make this test pass.
    #[test]
    fn manifests_written_before_still_read() {
        let manifest = example();
        if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
            std::fs::write(FIXTURE, manifest.encode().unwrap()).unwrap();
        }
        let frozen = include_bytes!("fixtures/snapshot-manifest-2.bin");
        assert_eq!(Manifest::decode(frozen).unwrap(), manifest);
        assert_eq!(manifest.encode().unwrap(), frozen);
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", ".hidden", "ä", &"x".repeat(256)] {
            let mut manifest = example();
            manifest.files = vec![FileEntry { name: name.into(), bytes: 0, hash: None }];
            let error = Manifest::decode(&manifest.encode().unwrap()).unwrap_err();
            assert!(error.contains("file name"), "{name:?}: {error}");
        }
    }

    #[test]
    fn a_file_comes_once_and_sizes_add_up() {
        let decoded = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = example();
            change(&mut manifest);
            Manifest::decode(&manifest.encode().unwrap())
        };
        assert!(decoded(&|_| {}).is_ok());
        assert!(decoded(&|manifest| manifest.files[1].name = "000012.sst".into()).unwrap_err().contains("order"));
        assert!(decoded(&|manifest| manifest.files[1].bytes = u64::MAX).unwrap_err().contains("too large"));
        let mut later = seal::unseal(&example().encode().unwrap()).unwrap().to_vec();
        later[6] = 3;
        assert!(Manifest::decode(&seal::seal(&later)).unwrap_err().contains("version 3"));
    }
}
