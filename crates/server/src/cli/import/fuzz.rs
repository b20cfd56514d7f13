//! Fuzz targets of the files that `azimuth import` reads.

use std::io::Write;

use azimuth_fuzz::check;

use super::object::Shape;
use super::records::{Lines, VectorFile};

#[test]
fn lines() {
    let shape = Shape::new("Book", "id".to_owned(), Some("key".to_owned()));
    let examples = [
        r#"{"id": 7, "title": "a", "vector": [1, -2.5e3], "vectors": {"a": [1]}}"#,
        r#"{"properties": {"title": "a", "n": [1, null]}, "id": "00000000-0000-4000-8000-000000000001"}"#,
    ];
    check("import-line", &examples.map(|line| line.as_bytes().to_vec()), move |bytes| {
        let first = shape.object(bytes, 3);
        let again = shape.object(bytes, 3);
        assert_eq!(first.map(|object| object.id), again.map(|object| object.id), "the same line has the same id");
    });
}

/// Fewer inputs reach a file's content than in memory, but the reader is as it is used.
#[test]
fn files() {
    let rows: Vec<u8> = [2_u32.to_le_bytes().to_vec(), 3_u32.to_le_bytes().to_vec(), vec![0; 24]].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"{\"a\": 1}\n{\"a\": 2}\n").expect("memory");
    let packed = gzip.finish().expect("memory");
    check("import-file", &[rows, packed, b"{}\n\n{}".to_vec()], |bytes| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("a small file");
        if let Ok(mut vectors) = VectorFile::open(file.path(), 0) {
            for _ in 0..vectors.rows().min(1_000) {
                assert_eq!(vectors.next().expect("a row that the head names").len(), vectors.dimension());
            }
        }
        if let Ok(mut lines) = Lines::open(file.path()) {
            while let Ok(Some(_)) = lines.next() {}
        }
    });
}
