//! The saved state: round trips, damage, old formats.

use std::fs;

use super::*;

fn graph() -> IndexConfig {
    config(Distance::Cosine, m16())
}

fn options() -> IndexOptions {
    IndexOptions { graph_cutoff: 20, ..IndexOptions::default() }
}

fn hits_of(index: &VectorIndex, data: &Data) -> Vec<Vec<Neighbor>> {
    data.near(20, 0.1).rows().map(|query| index.search(&ask(query, 5)).expect("fits")).collect()
}

/// Several chunks, deleted and waiting vectors.
fn saved(dir: &Path) -> (VectorIndex, Data) {
    let (index, _) = VectorIndex::open(dir, None, graph(), options());
    let data = Data::clustered(77, 5_000, 2_000, 20, 0.5);
    for (i, vector) in data.rows().enumerate().take(2_500) {
        index.insert(doc(i), vector).expect("fits");
    }
    work_all(&index, 2);
    for (i, vector) in data.rows().enumerate().take(2_600).skip(2_500) {
        index.insert(doc(i), vector).expect("fits");
    }
    for i in 40..50 {
        assert!(index.delete(doc(i)));
    }
    index.save().expect("saved");
    (index, data)
}

#[test]
fn round_trip() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, data) = saved(dir.path());
    let stats = index.stats();
    assert!(stats.memory.originals_mapped_bytes > 0 && stats.tombstones == 10 && stats.pending == 100, "{stats:?}");
    let (opened, report) = VectorIndex::open(dir.path(), Some(2_000), graph(), options());
    assert_eq!(report, LoadReport { loaded: 2_590, dropped: vec![] });
    assert_eq!(opened.live_ids(), index.live_ids());
    assert_eq!(hits_of(&opened, &data), hits_of(&index, &data));
    let again = opened.stats();
    assert_eq!((again.levels, again.pending, again.tombstones), (stats.levels, 100, 10));
    // It goes on living: the next save writes only what changed.
    work_all(&opened, 1);
    let second = opened.save().expect("saved");
    assert!(second.written_bytes < 3_000_000, "{second:?}");
    assert_eq!(VectorIndex::open(dir.path(), None, graph(), options()).1.dropped, Vec::<String>::new());
    assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), second.files);
}

#[test]
fn small_index_has_no_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().join("not yet");
    let (index, _) = VectorIndex::open(&at, None, graph(), IndexOptions::default());
    fill(&index, &Data::clustered(1, 500, 8, 4, 0.3));
    work_all(&index, 1);
    assert_eq!(index.flush_and_close().expect("nothing to do"), SaveReport::default());
    assert!(!at.exists());
}

/// No flipped byte and no cut is trusted, wherever it is. Damaged codes are made anew, anything else drops the state.
#[test]
fn damage_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, _) = VectorIndex::open(dir.path(), None, graph(), options());
    let data = Data::clustered(5, 60, 8, 4, 0.5);
    fill(&index, &data);
    work_all(&index, 1);
    index.save().expect("saved");
    let good = hits_of(&index, &data);
    let files: Vec<_> =
        fs::read_dir(dir.path()).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(files.len(), 5);
    let reopen = || VectorIndex::open(dir.path(), None, graph(), options());
    let check = |file: &Path, what: &str| {
        let (opened, report) = reopen();
        let of_codes = file.extension().is_some_and(|ending| ending == "code" || ending == "codec");
        let expected = if of_codes { 60 } else { 0 };
        assert_eq!((report.dropped.len(), opened.len()), (1, expected), "{what} of {}", file.display());
        if of_codes {
            assert_eq!((opened.stats().codes, hits_of(&opened, &data)), ("f32", good.clone()));
            work_all(&opened, 1);
            assert_eq!((opened.stats().codes, hits_of(&opened, &data)), ("int8", good.clone()));
        }
    };
    for file in &files {
        let bytes = fs::read(file).expect("readable");
        for step in 0..60 {
            let at = bytes.len() * step / 60;
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (step % 8);
            fs::write(file, &damaged).expect("written");
            check(file, &format!("byte {at}"));
            fs::write(file, &bytes[..at]).expect("written");
            check(file, &format!("cut at {at}"));
        }
        fs::remove_file(file).expect("removed");
        let (opened, report) = reopen();
        assert!(report.dropped.len() == 1 || (file.ends_with("MANIFEST") && opened.is_empty()));
        fs::write(file, &bytes).expect("written");
    }
    let (opened, report) = reopen();
    assert_eq!((report.loaded, hits_of(&opened, &data)), (60, good));
}

/// After damage the caller inserts everything, and the next save replaces what was there.
#[test]
fn damaged_state_is_rebuilt() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, _) = VectorIndex::open(dir.path(), None, graph(), options());
    let data = Data::clustered(5, 100, 8, 4, 0.5);
    fill(&index, &data);
    work_all(&index, 1);
    index.save().expect("saved");
    fs::write(dir.path().join("MANIFEST"), b"AZIMVEC").expect("written");
    let (opened, report) = VectorIndex::open(dir.path(), None, graph(), options());
    assert_eq!(report.dropped, ["MANIFEST is damaged"]);
    fill(&opened, &data);
    work_all(&opened, 1);
    opened.save().expect("saved");
    assert_eq!(VectorIndex::open(dir.path(), None, graph(), options()).1.loaded, 100);
}

#[test]
fn another_setting_is_not_the_same_index() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, _) = VectorIndex::open(dir.path(), None, graph(), options());
    fill(&index, &Data::clustered(5, 100, 8, 4, 0.5));
    work_all(&index, 1);
    index.flush_and_close().expect("saved");
    let open = |dim, config| VectorIndex::open(dir.path(), dim, config, options()).1;
    assert_eq!(open(Some(8), graph()).loaded, 100);
    assert_eq!(open(Some(9), graph()).dropped, ["the saved state has another dimension than the collection"]);
    assert_eq!(open(None, config(Distance::Dot, m16())).dropped.len(), 1);
    assert_eq!(open(None, config(Distance::Cosine, HnswConfig { m: 8, ..m16() })).dropped.len(), 1);
    assert_eq!(open(None, IndexConfig { codes: Codes::None, ..graph() }).loaded, 100, "codes change while it lives");
    assert_eq!(open(None, IndexConfig { kind: IndexKind::Flat, ..graph() }).dropped.len(), 1);
    let changed = graph().updated(&config(Distance::Dot, HnswConfig { m: 9, ef: 7, ..m16() }));
    assert_eq!(open(None, changed).loaded, 100);
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vector/tests/fixtures");

fn fixture_data() -> Data {
    Data::clustered(2026, 40, 4, 5, 0.5)
}

fn product() -> IndexConfig {
    IndexConfig { codes: Codes::Product { segments: 2, centroids: 4, training_limit: 30 }, ..graph() }
}

/// Every later version opens what the earlier ones wrote, or says that it cannot; and goes on from there.
#[test]
fn frozen_fixtures_open() {
    for (name, config, codes) in [("v1", graph(), "int8"), ("v2", graph(), "int8"), ("v2-pq", product(), "pq")] {
        let dir = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(Path::new(FIXTURES).join(name)).expect("the fixture") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
        }
        for _ in 0..2 {
            let (index, report) = VectorIndex::open(dir.path(), Some(4), config, options());
            assert_eq!(report, LoadReport { loaded: 39, dropped: vec![] }, "{name}");
            let data = fixture_data();
            for (i, vector) in data.rows().enumerate() {
                let distance = index.distance_to(doc(i), vector);
                assert_eq!(distance.is_some(), i != 7, "{i}");
                assert!(distance.is_none_or(|distance| distance < 1e-6));
                let nearest = index.search(&ask(vector, 1)).expect("fits");
                assert!(i == 7 || nearest.first().is_some_and(|hit| hit.doc_id == doc(i)), "{name} {i}: {nearest:?}");
            }
            assert_eq!((index.stats().pending, index.stats().codes), (5, codes), "{name}");
            index.save().expect("saved");
        }
    }
}

/// Writes the fixtures anew: set `AZIMUTH_WRITE_FIXTURE` when the format's version goes up, and keep the old ones.
#[test]
fn fixtures_are_what_is_written() {
    for (name, config) in [("v2", graph()), ("v2-pq", product())] {
        let dir = tempfile::tempdir().expect("a folder");
        let write = std::env::var_os("AZIMUTH_WRITE_FIXTURE").is_some();
        let out = if write { Path::new(FIXTURES).join(name) } else { dir.path().to_owned() };
        let (index, _) = VectorIndex::open(&out, None, config, options());
        let data = fixture_data();
        for (i, vector) in data.rows().enumerate().take(35) {
            index.insert(doc(i), vector).expect("fits");
        }
        work_all(&index, 1);
        for (i, vector) in data.rows().enumerate().skip(35) {
            index.insert(doc(i), vector).expect("fits");
        }
        index.delete(doc(7));
        assert_eq!(index.save().expect("saved").files, 5);
    }
}

/// Codes that changed are written again, the vectors are not.
#[test]
fn a_change_of_codes_leaves_the_vectors_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let (index, _) = VectorIndex::open(dir.path(), None, graph(), options());
    let data = Data::clustered(5, 300, 64, 4, 0.5);
    fill(&index, &data);
    work_all(&index, 1);
    index.save().expect("saved");
    let vectors = |dir: &Path| {
        let names = fs::read_dir(dir).expect("the folder").map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".vec")).collect::<Vec<_>>()
    };
    let before = vectors(dir.path());
    let binary = IndexConfig { codes: Codes::Binary { rescore: None }, ..graph() };
    index.update_config(binary);
    assert_eq!(index.stats().codes, "int8");
    work_all(&index, 2);
    assert_eq!(index.stats().codes, "bq");
    index.save().expect("saved");
    assert_eq!(vectors(dir.path()), before);
    let hits = hits_of(&index, &data);
    drop(index);
    let (opened, report) = VectorIndex::open(dir.path(), None, binary, options());
    assert_eq!((report.dropped, opened.stats().codes, hits_of(&opened, &data)), (vec![], "bq", hits));
    opened.update_config(IndexConfig { codes: Codes::None, ..graph() });
    work_all(&opened, 1);
    assert_eq!((opened.stats().codes, opened.stats().memory.codes_bytes), ("f32", 0));
    opened.save().expect("saved");
    let f32_only = IndexConfig { codes: Codes::None, ..graph() };
    assert_eq!(VectorIndex::open(dir.path(), None, f32_only, options()).0.stats().codes, "f32");
}
