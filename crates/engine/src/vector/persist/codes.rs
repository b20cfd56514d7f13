//! Loading saved codes. They may be missing or damaged: the originals are all that is needed to make them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::files::open_checked;
use super::load::{column, open_list};
use super::save::SavedCodes;
use super::{Found, codec_name, codes_name};
use crate::vector::arena::{Codecs, Memory};
use crate::vector::quantize::{Codec, SavedCodec};

/// Codes of all chunks.
#[derive(Default)]
pub(super) struct LoadedCodes {
    pub codecs: Codecs,
    /// One for each chunk; none if there are no codes.
    pub columns: Vec<Arc<Memory>>,
    /// For the next save.
    pub saved: Option<SavedCodes>,
}

/// The codes of a state whose `chunks` are open and checked.
///
/// # Errors
/// One sentence that says why they cannot be used.
pub(super) fn load_codes(dir: &Path, found: &Found, chunks: &[File]) -> Result<LoadedCodes, String> {
    let manifest = &found.manifest;
    if let Some(codec) = &found.within {
        let codec = make(found, codec)?;
        let (stride, full) = (codec.stride(), manifest.layout().chunk_slots());
        let columns = chunks
            .iter()
            .enumerate()
            .map(|(number, file)| column(file, found.chunk_sections(number).codes, full * stride).map(Arc::new));
        let columns = columns.collect::<Result<Vec<_>, String>>()?;
        return Ok(LoadedCodes { codecs: Codecs { present: Some(Arc::new(codec)), next: None }, columns, saved: None });
    }
    let Some(codes) = &manifest.codes else { return Ok(LoadedCodes::default()) };
    let mut bytes = Vec::new();
    let mut file = open_checked(&dir.join(codec_name(codes.codec)), codes.codec)?;
    file.read_to_end(&mut bytes).map_err(|error| format!("the codec cannot be read: {error}"))?;
    let saved: SavedCodec = postcard::from_bytes(&bytes).map_err(|_| "the codec is damaged".to_owned())?;
    let codec = make(found, &saved)?;
    let (stride, full) = (codec.stride(), manifest.layout().chunk_slots());
    if codes.chunks.len() != manifest.chunks.len() {
        return Err("the saved state has codes for another number of chunks".to_owned());
    }
    let mut wanted = Vec::new();
    for (number, &file) in codes.chunks.iter().enumerate() {
        let (name, bytes) = (codes_name(number, file), (manifest.slots_of(number) * stride) as u64);
        if file.bytes != bytes {
            return Err(format!("{name} should have {bytes} bytes, the manifest says {}", file.bytes));
        }
        wanted.push((name, file, bytes));
    }
    let files = open_list(dir, &wanted)?;
    let columns = files.iter().zip(&wanted).map(|(file, (_, of, _))| {
        let bytes = usize::try_from(of.bytes).map_err(|_| "the codes are too large".to_owned())?;
        column(file, (0, bytes), full * stride).map(Arc::new)
    });
    let columns = columns.collect::<Result<Vec<_>, String>>()?;
    let chunks = codes.chunks.iter().map(|&file| (file, 0)).collect();
    let saved = Some(SavedCodes { codec: codes.codec, made: 0, chunks });
    Ok(LoadedCodes { codecs: Codecs { present: Some(Arc::new(codec)), next: None }, columns, saved })
}

fn make(found: &Found, saved: &SavedCodec) -> Result<Codec, String> {
    let manifest = &found.manifest;
    let codec = Codec::load(manifest.distance, manifest.dim as usize, saved);
    codec.ok_or_else(|| "the saved codes are impossible".to_owned())
}
