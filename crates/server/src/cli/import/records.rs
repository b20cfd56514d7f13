//! Reading what is to be imported: a record a line, and a row of the vector file for each record.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// Lines above this size are refused.
const LINE_BYTES_MAX: usize = 64 << 20;
const BUFFER_BYTES: usize = 1 << 20;
const DIMENSION_MAX: u32 = 65_535;

/// The lines of a text file that may be compressed with gzip, whatever its name is.
pub(super) struct Lines {
    reader: Box<dyn BufRead>,
    /// Bytes taken from the file so far, for the progress bar; of a compressed file, compressed ones.
    taken: Arc<AtomicU64>,
    file_bytes: u64,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Lines> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: file, taken: taken.clone() };
        let mut plain = BufReader::with_capacity(BUFFER_BYTES, counted);
        let compressed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = if compressed {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Lines { reader, taken, file_bytes, line: Vec::new() })
    }

    /// The next line that is not blank, without its end; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            if self.line.len() > LINE_BYTES_MAX {
                return Err(io::Error::other(format!("a line has more than {LINE_BYTES_MAX} bytes")));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(self.line.trim_ascii()));
            }
        }
    }

    /// The size of the file, and a counter of the bytes taken from it.
    pub(super) fn extent(&self) -> (u64, Arc<AtomicU64>) {
        (self.file_bytes, self.taken.clone())
    }
}

struct Counted {
    inner: File,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A file of vectors: u32 count, u32 dimension, then count x dimension f32, all little-endian.
#[derive(Debug)]
pub(super) struct VectorFile {
    reader: BufReader<File>,
    rows: u64,
    dimension: usize,
    next_row: u64,
    row: Vec<u8>,
}

impl VectorFile {
    /// Opens the file to read from row `first`.
    ///
    /// # Errors
    /// If the head does not fit the file's size, or there is no such row.
    pub(super) fn open(path: &Path, first: u64) -> io::Result<VectorFile> {
        let mut file = File::open(path)?;
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(|_| io::Error::other("it is shorter than its head of 8 bytes"))?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (rows, dimension) = (u64::from(word(0)), word(4));
        if dimension == 0 || dimension > DIMENSION_MAX {
            return Err(io::Error::other(format!("{dimension} dimensions; expected 1 to {DIMENSION_MAX}")));
        }
        let row_bytes = u64::from(dimension) * 4;
        let (expected, found) = (8 + rows * row_bytes, file.metadata()?.len());
        if expected != found {
            return Err(io::Error::other(format!(
                "{rows} vectors of {dimension} dimensions take {expected} bytes, but the file has {found}"
            )));
        }
        if first > rows {
            return Err(io::Error::other(format!("asked for row {first} of {rows}")));
        }
        file.seek(SeekFrom::Start(8 + first * row_bytes))?;
        let dimension = usize::try_from(dimension).map_err(io::Error::other)?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(VectorFile { reader, rows, dimension, next_row: first, row: vec![0; dimension * 4] })
    }

    /// The next vector; an error behind the last one.
    pub(super) fn next(&mut self) -> io::Result<Vec<f32>> {
        if self.next_row >= self.rows {
            return Err(io::Error::other(format!("there are only {} vectors for more records", self.rows)));
        }
        self.reader.read_exact(&mut self.row)?;
        self.next_row += 1;
        let (values, _) = self.row.as_chunks::<4>();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(bytes).expect("written");
        file
    }

    fn all_lines(path: &Path) -> Vec<String> {
        let mut lines = Lines::open(path).expect("opened");
        let mut all = Vec::new();
        while let Some(line) = lines.next().expect("read") {
            all.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
        }
        all
    }

    #[test]
    fn lines_are_the_same_plain_and_compressed() {
        let text = "{\"a\":1}\n\n  \r\n{\"a\":2}\r\n{\"a\":3}";
        let mut zipped = Vec::new();
        let mut encoder = flate2::write::GzEncoder::new(&mut zipped, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("compressed");
        encoder.finish().expect("compressed");
        let expected = ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"];
        assert_eq!(all_lines(file(text.as_bytes()).path()), expected);
        assert_eq!(all_lines(file(&zipped).path()), expected);
        let torn = file(&zipped[..zipped.len() - 12]);
        let mut lines = Lines::open(torn.path()).expect("opened");
        let end =
            std::iter::repeat_with(|| lines.next().map(|line| line.is_some())).find(|line| !matches!(line, Ok(true)));
        assert!(matches!(end, Some(Err(_))), "a torn file is not a short one");
    }

    fn fbin(rows: u32, dimension: u32, values: &[f32]) -> tempfile::NamedTempFile {
        let mut bytes = [rows.to_le_bytes(), dimension.to_le_bytes()].concat();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        file(&bytes)
    }

    #[test]
    fn rows_come_in_order_from_any_first_one() {
        let vectors = fbin(3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut from_one = VectorFile::open(vectors.path(), 1).expect("opened");
        assert_eq!((from_one.rows(), from_one.dimension()), (3, 2));
        assert_eq!(from_one.next().expect("a row"), [3.0, 4.0]);
        assert_eq!(from_one.next().expect("a row"), [5.0, 6.0]);
        assert!(from_one.next().is_err());
        assert!(VectorFile::open(vectors.path(), 4).is_err());
    }

    #[test]
    fn a_head_that_lies_is_refused() {
        for bad in [fbin(4, 2, &[0.0; 6]), fbin(3, 0, &[]), fbin(1, 70_000, &[0.0; 2]), fbin(u32::MAX, 65_535, &[0.0])]
        {
            assert!(VectorFile::open(bad.path(), 0).is_err());
        }
        assert!(VectorFile::open(file(&[1, 2, 3]).path(), 0).is_err());
    }
}
