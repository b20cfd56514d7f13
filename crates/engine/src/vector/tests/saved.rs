//! The saved state: round trips, damage, old formats.

use std::fs;

use super::*;

fn graph() -> IndexConfig {
    config(Distance::Cosine, m16())
}

fn options() -> IndexOptions {
    IndexOptions { graph_cutoff: 20, ..IndexOptions::default() }
}

fn hits_of(index: &VectorIndex, data: &Data) -> Vec<Vec<Hit>> {
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
    assert!(stats.originals_mapped_bytes > 0 && stats.tombstones == 10 && stats.pending == 100, "{stats:?}");
    let (opened, report) = VectorIndex::open(dir.path(), Some(2_000), graph(), options());
    assert_eq!(report, OpenReport { loaded: 2_590, dropped: vec![] });
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

/// No flipped byte and no cut is trusted, wherever it is.
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
    assert_eq!(files.len(), 3);
    let reopen = || VectorIndex::open(dir.path(), None, graph(), options());
    for file in &files {
        let bytes = fs::read(file).expect("readable");
        for step in 0..60 {
            let at = bytes.len() * step / 60;
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (step % 8);
            fs::write(file, &damaged).expect("written");
            let (opened, report) = reopen();
            assert_eq!((report.dropped.len(), opened.len()), (1, 0), "byte {at} of {}", file.display());
            fs::write(file, &bytes[..at]).expect("written");
            assert_eq!(reopen().1.dropped.len(), 1, "cut at {at} of {}", file.display());
        }
        fs::remove_file(file).expect("removed");
        let (opened, report) = reopen();
        assert!(opened.is_empty() && (report.dropped.len() == 1 || file.ends_with("MANIFEST")));
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
    assert_eq!(open(None, IndexConfig { codes: Codes::None, ..graph() }).dropped.len(), 1);
    assert_eq!(open(None, IndexConfig { kind: IndexKind::Flat, ..graph() }).dropped.len(), 1);
    let changed = graph().updated(&config(Distance::Dot, HnswConfig { m: 9, ef: 7, ..m16() }));
    assert_eq!(open(None, changed).loaded, 100);
}

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/vector/tests/fixtures/v1");

fn fixture_data() -> Data {
    Data::clustered(2026, 40, 4, 5, 0.5)
}

/// Every later version opens what this one wrote, or says that it cannot.
#[test]
fn frozen_fixture_opens() {
    let (index, report) = VectorIndex::open(Path::new(FIXTURE), Some(4), graph(), options());
    assert_eq!(report, OpenReport { loaded: 39, dropped: vec![] });
    let data = fixture_data();
    for (i, vector) in data.rows().enumerate() {
        let distance = index.distance_to(doc(i), vector);
        assert_eq!(distance.is_some(), i != 7, "{i}");
        assert!(distance.is_none_or(|distance| distance < 1e-6));
    }
    assert_eq!(index.stats().pending, 5);
}

/// Writes the fixture anew: set `AZIMUTH_WRITE_FIXTURE` when the format's version goes up, and keep the old ones.
#[test]
fn fixture_is_what_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = if std::env::var_os("AZIMUTH_WRITE_FIXTURE").is_some() { Path::new(FIXTURE) } else { dir.path() };
    let (index, _) = VectorIndex::open(dir.path(), None, graph(), options());
    drop(index);
    let (index, _) = VectorIndex::open(out, None, graph(), options());
    let data = fixture_data();
    for (i, vector) in data.rows().enumerate().take(35) {
        index.insert(doc(i), vector).expect("fits");
    }
    work_all(&index, 1);
    for (i, vector) in data.rows().enumerate().skip(35) {
        index.insert(doc(i), vector).expect("fits");
    }
    index.delete(doc(7));
    assert_eq!(index.save().expect("saved").files, 3);
}
