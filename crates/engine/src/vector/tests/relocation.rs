//! Vectors that move into free slots, beside everything else: each document is there once at every moment.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use roaring::RoaringTreemap;

use super::data::{naive, normal};
use super::*;
use crate::vector::arena::State;
use crate::vector::quantize::splitmix;
use crate::vector::scan::exact::is_live;
use crate::vector::store::view::View;

const DIM: usize = 16;

/// A vector that follows from its document; some are equal.
fn vector_of(doc: u64) -> Vec<f32> {
    let own = if splitmix(doc).is_multiple_of(16) { doc % 4 } else { doc };
    (0..DIM as u64).map(|j| normal(own << 8 ^ j ^ 0x3170_0000_0000_0000)).collect()
}

fn small() -> HnswConfig {
    HnswConfig { m: 8, ef_construction: 48, ef: 96, ..HnswConfig::default() }
}

fn options() -> IndexOptions {
    IndexOptions { graph_cutoff: 100, ..IndexOptions::default() }
}

fn settings(codes: Codes) -> IndexConfig {
    IndexConfig { codes, ..config(Distance::L2Squared, small()) }
}

const NOWHERE: &str = "/nonexistent";

fn filled(dir: &Path, codes: Codes, docs: std::ops::Range<u64>) -> VectorIndex {
    let (index, _) = VectorIndex::open(dir, None, settings(codes), options());
    for doc in docs {
        index.insert(DocId(doc), &vector_of(doc)).expect("fits");
    }
    work_all(&index, 1);
    index
}

/// Deletes `count` of the documents, in an order that follows from the seed.
fn thin(index: &VectorIndex, model: &mut RoaringTreemap, seed: u64, count: usize) {
    let mut docs: Vec<u64> = model.iter().collect();
    docs.sort_unstable_by_key(|&doc| splitmix(doc ^ seed << 40));
    for doc in docs.into_iter().take(count) {
        assert!(index.delete(DocId(doc)) && model.remove(doc));
    }
}

fn view_of(index: &VectorIndex) -> Arc<View> {
    index.core().expect("it is not empty").store.view()
}

/// Small enough that every stage is met between two steps.
const BIT: StepBudget = StepBudget { link_max: 16, repair_max: 700 };

/// The documents that a scan of the view comes upon.
fn shown(index: &VectorIndex, view: &View) -> Vec<u64> {
    let store = &index.core().expect("it is not empty").store;
    let live = store.shown(view).filter(|&slot| is_live(&view.tables, slot));
    let mut docs: Vec<u64> = live.map(|slot| view.tables.doc(slot).load(Ordering::Relaxed)).collect();
    docs.sort_unstable();
    docs
}

fn ids(hits: &[Neighbor]) -> Vec<u64> {
    let mut ids: Vec<u64> = hits.iter().map(|hit| hit.doc_id.0).collect();
    ids.sort_unstable();
    ids
}

/// Every way to ask answers with exactly the documents of the model. Returns the recall of graph searches.
fn check(index: &VectorIndex, model: &RoaringTreemap, salt: u64, what: &str) -> f64 {
    let all: Vec<u64> = model.iter().collect();
    assert_eq!((index.len() as u64, &index.live_ids()), (model.len(), model), "{what}");
    assert_eq!(shown(index, &view_of(index)), all, "{what}: a scan meets each once");
    let query = vector_of(splitmix(salt));
    let within = index.search_by_distance(&query, f32::MAX, None, usize::MAX).expect("fits");
    assert_eq!(ids(&within), all, "{what}: everything by distance");
    let some: RoaringTreemap = model.iter().filter(|&doc| splitmix(doc ^ salt).is_multiple_of(5)).collect();
    let allowed = |k| index.search(&SearchRequest { allow: Some(&some), ..ask(&query, k) }).expect("fits");
    assert_eq!(ids(&allowed(usize::MAX)), some.iter().collect::<Vec<_>>(), "{what}: everything allowed");
    for doc in some.iter().take(3) {
        let distance = index.distance_to(DocId(doc), &query).expect("it is there");
        let exact = naive(Distance::L2Squared, &query, &vector_of(doc));
        assert!((f64::from(distance) - exact).abs() < 1e-4 * exact.max(1.0), "{what}: document {doc}");
    }
    let many: RoaringTreemap = model.iter().filter(|doc| !some.contains(*doc)).collect();
    let request = SearchRequest { ef: Some(40), allow: Some(&many), ..ask(&query, 20) };
    let mut filtered = ids(&index.search(&request).expect("fits"));
    filtered.dedup();
    assert!(filtered.len() == 20.min(many.len() as usize), "{what}: as many as there are, each once: {filtered:?}");
    assert!(filtered.into_iter().all(|doc| many.contains(doc)), "{what}: only what is allowed");
    let mut exact: Vec<(f64, u64)> =
        all.iter().map(|&doc| (naive(Distance::L2Squared, &query, &vector_of(doc)), doc)).collect();
    exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut found = 0.0;
    for (k, ef) in [(10, 60), (40, 40)] {
        let request = SearchRequest { ef: Some(ef), ..ask(&query, k) };
        let hits = index.search(&request).expect("fits");
        assert_eq!(index.search_many(&[request, request]), [Ok(hits.clone()), Ok(hits.clone())], "{what}");
        assert_eq!(hits.len(), k.min(all.len()), "{what}: as many as there are");
        let mut once = ids(&hits);
        once.dedup();
        assert!(once.len() == hits.len() && once.iter().all(|&doc| model.contains(doc)), "{what}: {hits:?}");
        for hit in &hits {
            let exact = naive(Distance::L2Squared, &query, &vector_of(hit.doc_id.0));
            assert!((f64::from(hit.distance) - exact).abs() < 1e-4 * exact.max(1.0), "{what}: {hit:?} {exact}");
        }
        let truth: Vec<(f64, usize)> = exact.iter().take(k).map(|&(distance, doc)| (distance, doc as usize)).collect();
        found += data::recall(&truth, &hits) / 2.0;
    }
    found
}

/// How often views were seen that hide nothing, arriving slots, leaving slots.
#[derive(Debug, Default)]
struct Seen([usize; 3]);

impl Seen {
    fn note(&mut self, view: &View) {
        self.0[of_view(view)] += 1;
    }
}

fn of_view(view: &View) -> usize {
    match view.hidden {
        State::TARGET => 1,
        State::SOURCE => 2,
        _ => 0,
    }
}

/// The recall of graph searches at each kind of view, over the same state saved and opened, and over that once it is
/// repaired: sums, and of how many.
#[derive(Debug, Default)]
struct Recall([([f64; 3], u64); 3]);

const QUERIES: u64 = 6;

fn sum_of_walks(index: &VectorIndex, model: &RoaringTreemap, what: &str) -> f64 {
    (0..QUERIES).map(|query| check(index, model, query << 20, what)).sum()
}

/// A step at a time, with changes in between and everything asked after each; saved and opened again at every stage.
fn step_by_step(seed: u64, codes: &[Codes]) {
    println!("seed {seed} {codes:?}");
    let dir = tempfile::tempdir().expect("a folder");
    let mut codes = codes.iter().copied().cycle();
    let first = codes.next().expect("codes are given");
    let index = filled(dir.path(), first, 0..6_400);
    let mut model: RoaringTreemap = (0..6_400).collect();
    let (mut seen, mut recall, mut moved) = (Seen::default(), Recall::default(), 0);
    let (mut next, mut present) = (6_400, first);
    for round in 0..2u64 {
        let half = model.len() as usize / 2;
        thin(&index, &mut model, seed ^ round, half);
        let mut step = 0u64;
        loop {
            let progress = index.work(BIT);
            moved += progress.moved;
            step += 1;
            let what = format!("seed {seed}, round {round}, step {step}");
            seen.note(&view_of(&index));
            check(&index, &model, seed ^ step, &what);
            let word = splitmix(seed << 32 ^ round << 24 ^ step);
            if step < 400 && word.is_multiple_of(4) {
                thin(&index, &mut model, word, 3);
            }
            if step < 400 && word % 16 == 1 {
                for _ in 0..5 {
                    index.insert(DocId(next), &vector_of(next)).expect("fits");
                    model.insert(next);
                    next += 1;
                }
            }
            if step.is_multiple_of(7) {
                let filter_strategy =
                    if step.is_multiple_of(2) { FilterStrategy::Acorn } else { FilterStrategy::Sweeping };
                let kind = IndexKind::Hnsw(HnswConfig { filter_strategy, ..small() });
                index.update_config(IndexConfig { kind, ..settings(present) });
            }
            if step < 400 && word % 64 == 2 {
                present = codes.next().expect("they come again");
                index.update_config(settings(present));
            }
            if word % 8 == 3 {
                index.save().expect("saved");
                let (opened, report) = VectorIndex::open(dir.path(), None, settings(present), options());
                assert_eq!(report.dropped, Vec::<String>::new(), "{what}");
                let saved = sum_of_walks(&opened, &model, &format!("{what}, opened"));
                work_all(&opened, 1);
                let repaired = sum_of_walks(&opened, &model, &format!("{what}, opened and repaired"));
                let (sums, count) = &mut recall.0[of_view(&view_of(&index))];
                *count += QUERIES;
                for (sum, walks) in sums.iter_mut().zip([sum_of_walks(&index, &model, &what), saved, repaired]) {
                    *sum += walks;
                }
            }
            if !progress.more {
                break;
            }
        }
        let store = &index.core().expect("it is not empty").store;
        let high = store.high(&store.view()) as usize;
        assert!(high < index.len() + 256.max(high / 8) + 64, "seed {seed}: {high} slots for {}", index.len());
    }
    println!("seed {seed}: {moved} moved, {seen:?}, {recall:?}");
    assert!(moved > 1_000 && seen.0.iter().all(|&count| count > 5), "seed {seed}: {moved} moved, {seen:?}");
    for ([moving, saved, at_rest], count) in recall.0 {
        let slack = 0.02 * count as f64;
        assert!(count > 0 && saved >= moving - slack && moving >= at_rest - slack, "seed {seed}: {recall:?}");
    }
}

#[test]
fn every_stage_holds_each_document_once() {
    for seed in 1..=3 {
        step_by_step(seed, &[Codes::Default]);
    }
    step_by_step(4, &[Codes::None]);
}

#[test]
fn codes_may_change_while_vectors_move() {
    let kinds = [
        Codes::Default,
        Codes::Rotational { bits: 4, rescore: Some(60) },
        Codes::None,
        Codes::Product { segments: 8, centroids: 16, training_limit: 200 },
        Codes::Scalar { training_limit: 200, rescore: Some(60) },
    ];
    for seed in 11..=13 {
        step_by_step(seed, &kinds);
    }
}

/// Whoever holds a view while others go on finds in it what was there, each document once.
#[test]
fn a_view_shows_each_document_once_as_long_as_it_is_held() {
    let seed = 21;
    let index = filled(Path::new(NOWHERE), Codes::Default, 0..2_000);
    let mut model: RoaringTreemap = (0..2_000).collect();
    thin(&index, &mut model, seed, 1_200);
    let all: Vec<u64> = model.iter().collect();
    let mut seen = Seen::default();
    loop {
        let held = view_of(&index);
        seen.note(&held);
        let hidden = held.hidden;
        // As far as it goes with this view held: to the next stage that waits for it.
        for _ in 0..40 {
            index.work(BIT);
            assert_eq!(shown(&index, &held), all, "seed {seed}: a view that hides {hidden}");
            let map = index.core().expect("it is not empty").store.docs.read();
            assert!(all.iter().all(|&doc| map.get(doc).is_some_and(|slot| is_live(&held.tables, slot))), "seed {seed}");
        }
        drop(held);
        if !index.work(BIT).more {
            break;
        }
    }
    assert!(seen.0.iter().all(|&count| count > 0), "{seen:?}");
}

/// A document that is deleted on its way is gone at once, and its two slots come free.
#[test]
fn a_document_on_its_way_can_be_deleted() {
    for seed in 31..=36 {
        let index = filled(Path::new(NOWHERE), Codes::Default, 0..1_500);
        let mut model: RoaringTreemap = (0..1_500).collect();
        thin(&index, &mut model, seed, 700);
        let mut deleted = 0;
        loop {
            let more = index.work(StepBudget { link_max: 16, repair_max: 300 }).more;
            let moving: Vec<u32> = {
                let writer = index.core().expect("it is not empty").store.writer.lock();
                writer.relocations.slots.keys().copied().collect()
            };
            let view = view_of(&index);
            for slot in moving.into_iter().filter(|&slot| splitmix(u64::from(slot) ^ seed).is_multiple_of(7)).take(4) {
                let doc = view.tables.doc(slot).load(Ordering::Relaxed);
                if model.remove(doc) {
                    assert!(index.delete(DocId(doc)), "seed {seed}");
                    deleted += 1;
                    assert_eq!(
                        (index.delete(DocId(doc)), index.distance_to(DocId(doc), &vector_of(doc))),
                        (false, None)
                    );
                    // It may come again, as something else.
                    if doc.is_multiple_of(2) {
                        index.insert(DocId(doc), &vector_of(doc)).expect("fits");
                        model.insert(doc);
                    }
                }
            }
            drop(view);
            check(&index, &model, seed, &format!("seed {seed}, {deleted} deleted on their way"));
            if !more {
                break;
            }
        }
        assert!(deleted > 10, "seed {seed}: {deleted}");
        let left: Vec<u64> = model.iter().collect();
        thin(&index, &mut model, seed, left.len());
        work_all(&index, 1);
        let memory = index.stats().memory;
        assert_eq!((memory.originals_bytes, memory.links_bytes, index.stats().tombstones), (0, 0, 0), "seed {seed}");
    }
}

/// Everything is deleted in the middle of a move, and others come.
#[test]
fn an_index_may_be_emptied_while_vectors_move() {
    for stop_after in 1..40 {
        let index = filled(Path::new(NOWHERE), Codes::Default, 0..900);
        let mut model: RoaringTreemap = (0..900).collect();
        thin(&index, &mut model, 41, 500);
        for _ in 0..stop_after {
            index.work(BIT);
        }
        thin(&index, &mut model, 42, 400);
        if stop_after % 2 == 0 {
            work_all(&index, 1);
            assert_eq!(index.stats().memory.originals_bytes, 0);
        }
        for doc in 2_000..2_300 {
            index.insert(DocId(doc), &vector_of(doc)).expect("fits");
            model.insert(doc);
        }
        work_all(&index, 1);
        check(&index, &model, stop_after, &format!("emptied after {stop_after} steps"));
    }
}

/// What is written and read while half of everything goes, again and again. Documents that stay are in every exact answer.
#[test]
fn threads_do_not_see_vectors_move() {
    let seed = 51;
    let dir = tempfile::tempdir().expect("a folder");
    let index = filled(dir.path(), Codes::Default, 0..3_000);
    let stays = |doc: u64| doc.is_multiple_of(8);
    let kept: RoaringTreemap = (0..3_000).filter(|&doc| stays(doc)).collect();
    let (stop, index) = (AtomicBool::new(false), &index);
    let stopped = || stop.load(Ordering::Acquire);
    let moved = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (stopped, kept) = (&stopped, &kept);
        for searcher in 0..2u64 {
            scope.spawn(move || {
                let (mut turn, mut found) = (0u64, 0);
                while !stopped() {
                    turn += 1;
                    let doc = 8 * (splitmix(seed ^ searcher << 40 ^ turn) % 375);
                    let query = vector_of(doc);
                    let once = |hits: &[Neighbor]| {
                        let mut docs = ids(hits);
                        docs.dedup();
                        assert_eq!(docs.len(), hits.len(), "each once");
                        docs.into_iter().filter(|doc| kept.contains(*doc)).count() as u64
                    };
                    let all = index.search_by_distance(&query, f32::MAX, None, usize::MAX).expect("fits");
                    assert_eq!(once(&all), kept.len(), "every document that stays");
                    let request = SearchRequest { allow: Some(kept), ..ask(&query, 375) };
                    let allowed = index.search(&request).expect("fits");
                    assert_eq!(once(&allowed), kept.len(), "every one that is allowed");
                    let walked = index.search(&SearchRequest { ef: Some(64), ..ask(&query, 20) }).expect("fits");
                    once(&walked);
                    assert_eq!(walked.len(), 20, "as many as asked for");
                    let filtered = SearchRequest { ef: Some(64), allow: Some(kept), ..ask(&query, 5) };
                    let filtered = index.search(&filtered).expect("fits");
                    // The query is a document that stays.
                    found += [&walked, &filtered].into_iter().filter(|hits| hits[0].distance < 1e-6).count() as u64;
                    assert!(index.distance_to(DocId(doc), &query).is_some_and(|distance| distance < 1e-6));
                }
                println!("walks found {found} of {}", 2 * turn);
                // These vectors have no clusters, and the graph is thin: at rest graph searches find some 99 in 100.
                assert!(found * 100 >= 2 * turn * 96, "{found} of {}", 2 * turn);
            });
        }
        scope.spawn(move || {
            while !stopped() {
                index.save().expect("saved");
                let (opened, report) = VectorIndex::open(dir.path(), None, settings(Codes::Default), options());
                assert_eq!(report.dropped, Vec::<String>::new());
                assert!(kept.is_subset(&opened.live_ids()), "what stays is in every saved state");
            }
        });
        let (work, moved) = (StepBudget { link_max: 16, repair_max: 500 }, &moved);
        let step = move || {
            let progress = index.work(work);
            moved.fetch_add(progress.moved, Ordering::Relaxed);
            progress.more
        };
        for _ in 0..2 {
            scope.spawn(move || while step() || !stopped() {});
        }
        let settled = || while step() || index.pending_len() > 0 {};
        let mut next = 3_000;
        let mut come = |count: u64| {
            let docs = next..next + count;
            docs.clone().for_each(|doc| index.insert(DocId(doc), &vector_of(doc)).expect("fits"));
            next = docs.end;
            docs
        };
        let go = |docs: &[u64]| docs.iter().for_each(|&doc| assert!(index.delete(DocId(doc))));
        for (round, codes) in [Codes::Default, Codes::None, Codes::Default].into_iter().enumerate() {
            index.update_config(settings(codes));
            let docs: Vec<u64> =
                if round == 0 { (0..3_000).filter(|&doc| !stays(doc)).collect() } else { come(2_600).collect() };
            settled();
            for part in docs.chunks(650) {
                go(part);
                // Others are linked while vectors move.
                let guests: Vec<u64> = (0..20).flat_map(|_| come(3).inspect(|_| _ = step())).collect();
                settled();
                go(&guests);
            }
        }
        stop.store(true, Ordering::Release);
    });
    let moved = moved.into_inner();
    println!("seed {seed}: {moved} moved");
    assert!(moved > 300, "{moved}");
    assert_eq!(index.live_ids(), kept);
}

/// Vectors, codes, links and files of what was deleted are given back.
#[test]
fn memory_and_files_are_given_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let data = Data::clustered(61, 9_000, 2_000, 40, 0.5);
    let hnsw = HnswConfig { m: 8, ef_construction: 32, ..HnswConfig::default() };
    let config = config(Distance::Cosine, hnsw);
    let (index, _) = VectorIndex::open(dir.path(), None, config, options());
    fill(&index, &data);
    work_all(&index, 2);
    let whole = index.memory();
    index.save().expect("saved");
    let of = |dir: &Path, ending: &str| {
        let files = fs::read_dir(dir).expect("the folder").map(|entry| entry.expect("an entry").path());
        files.filter(|path| path.extension().is_some_and(|found| found == ending)).count()
    };
    assert_eq!((of(dir.path(), "vec"), of(dir.path(), "code")), (5, 5));
    let mut model: RoaringTreemap = (0..data.len()).map(|i| doc(i).0).collect();
    for _ in 0..6 {
        thin(&index, &mut model, 62, 1_000);
        work_all(&index, 1);
    }
    let half = index.memory();
    println!("{whole:?}\n{half:?}");
    let per_vector = |part: u64, of: u64| part as f64 / of as f64;
    let parts = |memory: IndexMemory| {
        [memory.codes_bytes, memory.links_bytes, memory.originals_bytes + memory.originals_mapped_bytes]
    };
    for (before, after) in parts(whole).into_iter().zip(parts(half)) {
        assert!(per_vector(after, 3_000) < 1.2 * per_vector(before, 9_000), "{whole:?} {half:?}");
    }
    index.save().expect("saved");
    assert_eq!((of(dir.path(), "vec"), of(dir.path(), "code")), (2, 2), "chunks beyond are gone");
    let queries = data.near(20, 0.1);
    let answers: Vec<_> = queries.rows().map(|query| index.search(&ask(query, 10)).expect("fits")).collect();
    let (opened, report) = VectorIndex::open(dir.path(), None, config, options());
    assert_eq!((report.loaded, report.dropped), (3_000, vec![]));
    for (query, answer) in queries.rows().zip(answers) {
        assert_eq!(opened.search(&ask(query, 10)).expect("fits"), answer);
    }
    // It grows into new chunks again, and saves those.
    for index in [&index, &opened] {
        for (i, vector) in data.rows().enumerate().take(4_000) {
            index.insert(DocId(1 + i as u64), vector).expect("fits");
        }
        work_all(index, 2);
        index.save().expect("saved");
        let again = VectorIndex::open(dir.path(), None, config, options());
        assert_eq!((again.1.loaded, again.1.dropped), (7_000, vec![]));
        for (i, vector) in data.rows().enumerate().take(4_000).step_by(97) {
            assert!(again.0.distance_to(DocId(1 + i as u64), vector).is_some_and(|distance| distance < 1e-5), "{i}");
        }
    }
}

/// Updates use free slots again; nothing moves, and what was compacted stays as it is.
#[test]
fn steady_updates_move_nothing() {
    let index = filled(Path::new(NOWHERE), Codes::Default, 0..6_000);
    let mut next = 6_000;
    let order: Vec<u64> = (0..3_000).map(|i| i * 7_919 % 6_000).collect();
    let mut moved = 0;
    for part in order.chunks(100) {
        for &doc in part {
            assert!(index.delete(DocId(doc)));
            index.insert(DocId(next), &vector_of(next)).expect("fits");
            next += 1;
        }
        loop {
            let progress = index.work(StepBudget::default());
            moved += progress.moved;
            if !progress.more {
                break;
            }
        }
    }
    assert_eq!(moved, 0);
    let mut model = index.live_ids();
    thin(&index, &mut model, 71, 3_000);
    let mut sum = StepReport::default();
    for _ in 0..10_000 {
        let progress = index.work(StepBudget::default());
        sum.moved += progress.moved;
        if !progress.more {
            break;
        }
        sum.freed += 1;
    }
    assert!(sum.moved > 0 && sum.moved <= 3_000 && sum.freed < 9_999, "{sum:?}");
    for _ in 0..10 {
        assert_eq!(index.work(StepBudget::default()), StepReport::default(), "it is done");
    }
}
