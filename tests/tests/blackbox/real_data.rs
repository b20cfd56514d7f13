//! 50,000 real passages with their embeddings: loaded through gRPC batches, searched while indexing runs, after it, with
//! filters, after kill -9 and a restart, and after a large deletion. Recall against the exact answers is the measure; the
//! times are printed, not judged.

use azimuth_client::{Client, Collection, CollectionConfig, DataType, Filter, Object, Property, Query, VectorIndex};
use azimuth_tests::dataset::{Dataset, Passage, recall};
use azimuth_tests::notice;
use azimuth_tests::server::Server;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

const NEAREST: usize = 10;
const RECALL_MIN: f64 = 0.99;
const FILTERED_RECALL_MIN: f64 = 0.98;
/// Queries with a filter, or after the deletion: their exact answers are computed here.
const EXACT_QUERIES: usize = 60;
/// Indexing 50,000 vectors on two shared processors ends well before this.
const INDEXING_TIMEOUT: Duration = Duration::from_secs(900);

fn identity(row: usize) -> Uuid {
    Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 | row as u128)
}

fn row_of(id: Uuid) -> usize {
    usize::try_from(id.as_u128() & 0xffff_ffff).expect("32 bits")
}

#[test]
fn minilm_passages_are_found_during_indexing_after_it_and_after_kill_9() {
    let Some(dataset) = Dataset::minilm_docs() else {
        notice("real data: skipped, the shared folder with the data set is not there (AZIMUTH_SHARED)");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = Server::start();
    runtime.block_on(async {
        let client = server.client();
        load(&client, &dataset).await;
        let collection = client.collection("Passage").expect("a good name");
        measure(&collection, &dataset, "right after loading").await;
        let since = Instant::now();
        wait_until_indexed(&collection).await;
        notice(&format!("real data: the index is complete {:.1} s later", since.elapsed().as_secs_f64()));
        measure(&collection, &dataset, "indexed").await;
        for package in packages_by_size(&dataset) {
            measure_filtered(&collection, &dataset, &package).await;
        }
        check_objects(&collection, &dataset).await;
    });
    server.kill();
    let since = Instant::now();
    server.start_again();
    notice(&format!("real data: ready {:.2} s after kill -9", since.elapsed().as_secs_f64()));
    runtime.block_on(async {
        let collection = server.client().collection("Passage").expect("a good name");
        measure(&collection, &dataset, "after kill -9").await;
        check_objects(&collection, &dataset).await;
        delete_largest_package(&collection, &dataset).await;
    });
}

async fn load(client: &Client, dataset: &Dataset) {
    let config = CollectionConfig::new("Passage")
        .property(Property::new("text", DataType::Text))
        .property(Property::new("source", DataType::Text).tokenization("field"))
        .property(Property::new("package", DataType::Text).tokenization("field"))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a new collection");
    let since = Instant::now();
    let mut batch = client.collection("Passage").expect("a good name").batch(Default::default());
    for (row, passage) in dataset.passages.iter().enumerate() {
        let object = Object::with_id(identity(row))
            .property("text", passage.text.as_str())
            .property("source", passage.source.as_str())
            .property("package", package(passage))
            .vector(dataset.base.row(row));
        batch.add(&object).await.expect("a batch is taken");
    }
    let report = batch.finish().await.expect("the last batches are taken");
    assert_eq!((report.objects, report.failures.len()), (dataset.passages.len() as u64, 0), "every object is stored");
    let seconds = since.elapsed().as_secs_f64();
    notice(&format!(
        "real data: {} objects in {seconds:.1} s, {:.0}/s",
        report.objects,
        report.objects as f64 / seconds
    ));
}

async fn measure(collection: &Collection, dataset: &Dataset, when: &str) {
    let (mut sum, mut times) = (0.0, Vec::new());
    for query in 0..dataset.queries.rows() {
        let since = Instant::now();
        let request = Query::near_vector(dataset.queries.row(query)).limit(NEAREST as u32).properties(["source"]);
        let hits = collection.search(request).await.expect("a search");
        times.push(since.elapsed());
        assert_eq!(hits.len(), NEAREST, "{when}: query {query} has too few hits");
        let distances: Vec<f32> = hits.iter().map(|hit| hit.distance.expect("a distance")).collect();
        assert!(distances.is_sorted(), "{when}: query {query} is answered out of order: {distances:?}");
        let found: Vec<usize> = hits.iter().map(|hit| row_of(hit.object.id)).collect();
        sum += recall(&found, dataset.nearest.row(query));
    }
    times.sort_unstable();
    let recall = sum / dataset.queries.rows() as f64;
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
    notice(&format!("real data: {when}: recall@{NEAREST} {recall:.4}, p50 {p50:.2} ms, p99 {p99:.2} ms"));
    assert!(recall >= RECALL_MIN, "{when}: recall@{NEAREST} is {recall}");
}

/// The package of documentation that a passage comes from: some hold half of all passages, some a handful.
fn package(passage: &Passage) -> &str {
    passage.source.split('/').next().filter(|package| !package.is_empty()).unwrap_or("of no package")
}

/// A large, a middling and a small one.
fn packages_by_size(dataset: &Dataset) -> [String; 3] {
    let mut sizes = BTreeMap::new();
    for passage in &dataset.passages {
        *sizes.entry(package(passage)).or_insert(0_usize) += 1;
    }
    let mut packages: Vec<(usize, &str)> = sizes.into_iter().map(|(package, size)| (size, package)).collect();
    packages.sort_unstable();
    let near = |share: f64| {
        let wanted = share * dataset.passages.len() as f64;
        let closest =
            packages.iter().min_by(|a, b| (a.0 as f64 - wanted).abs().total_cmp(&(b.0 as f64 - wanted).abs()));
        closest.expect("some package").1.to_owned()
    };
    [near(1.0), near(0.1), near(0.01)]
}

/// The rows nearest to a query among those that `keep` chooses, nearest first.
fn exact(dataset: &Dataset, query: usize, keep: impl Fn(&Passage) -> bool) -> Vec<u32> {
    let query = dataset.queries.row(query);
    let similarity = |row: usize| dataset.base.row(row).iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
    let kept = dataset.passages.iter().filter(|passage| keep(passage));
    let mut rows: Vec<(f32, u32)> = kept.map(|passage| (similarity(passage.id), passage.id as u32)).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    rows.into_iter().take(NEAREST).map(|(_, row)| row).collect()
}

async fn measure_filtered(collection: &Collection, dataset: &Dataset, wanted: &str) {
    let share = dataset.passages.iter().filter(|passage| package(passage) == wanted).count() as f64;
    let share = 100.0 * share / dataset.passages.len() as f64;
    let (mut sum, since) = (0.0, Instant::now());
    let mut searching = Duration::ZERO;
    for query in 0..EXACT_QUERIES {
        let filter = Filter::property("package").equal(wanted);
        let request = Query::near_vector(dataset.queries.row(query)).filter(filter).limit(NEAREST as u32);
        let start = Instant::now();
        let hits = collection.search(request).await.expect("a search");
        searching += start.elapsed();
        let found: Vec<usize> = hits.iter().map(|hit| row_of(hit.object.id)).collect();
        let stray = found.iter().find(|row| package(&dataset.passages[**row]) != wanted);
        assert_eq!(stray, None, "the filter let a stranger through");
        let nearest = exact(dataset, query, |passage| package(passage) == wanted);
        assert_eq!(found.len(), nearest.len(), "too few hits from {wanted}");
        sum += recall(&found, &nearest);
    }
    let recall = sum / EXACT_QUERIES as f64;
    let mean = searching.as_secs_f64() * 1e3 / EXACT_QUERIES as f64;
    notice(&format!(
        "real data: filter that lets {share:.1} % through: recall@{NEAREST} {recall:.4}, mean {mean:.2} ms ({:.1} s in all)",
        since.elapsed().as_secs_f64()
    ));
    assert!(recall >= FILTERED_RECALL_MIN, "{wanted}: recall@{NEAREST} is {recall}");
}

/// Deletes a good part of everything by a filter; the rest is found as well as before, and nothing of the deleted is.
async fn delete_largest_package(collection: &Collection, dataset: &Dataset) {
    let [largest, ..] = packages_by_size(dataset);
    let keep = |passage: &Passage| package(passage) != largest;
    let kept = dataset.passages.iter().filter(|passage| keep(passage)).count() as u64;
    let since = Instant::now();
    loop {
        let filter = Filter::property("package").equal(largest.as_str());
        let deleted = collection.delete_where(filter, false).await.expect("a deletion");
        assert_eq!(deleted.failed, 0, "some objects cannot be deleted");
        if deleted.matches == deleted.successful {
            break;
        }
        assert!(deleted.successful > 0, "the deletion makes no progress");
    }
    assert_eq!(collection.count(None).await.expect("a count"), kept);
    let mut sum = 0.0;
    for query in 0..EXACT_QUERIES {
        let request = Query::near_vector(dataset.queries.row(query)).limit(NEAREST as u32);
        let hits = collection.search(request).await.expect("a search");
        let found: Vec<usize> = hits.iter().map(|hit| row_of(hit.object.id)).collect();
        assert!(found.iter().all(|row| keep(&dataset.passages[*row])), "a deleted passage is found");
        assert_eq!(found.len(), NEAREST, "too few hits after the deletion");
        sum += recall(&found, &exact(dataset, query, keep));
    }
    let recall = sum / EXACT_QUERIES as f64;
    notice(&format!(
        "real data: {} objects deleted and searched around in {:.1} s: recall@{NEAREST} {recall:.4}",
        dataset.passages.len() as u64 - kept,
        since.elapsed().as_secs_f64()
    ));
    assert!(recall >= RECALL_MIN, "after the deletion: recall@{NEAREST} is {recall}");
}

async fn wait_until_indexed(collection: &Collection) {
    let since = Instant::now();
    while collection.vector_queue_size().await.expect("the state of the shards") > 0 {
        assert!(since.elapsed() < INDEXING_TIMEOUT, "indexing does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn check_objects(collection: &Collection, dataset: &Dataset) {
    assert_eq!(collection.count(None).await.expect("a count"), dataset.passages.len() as u64);
    for row in (0..dataset.passages.len()).step_by(4_999) {
        let object = collection.get(identity(row)).await.expect("an answer").expect("the object");
        let text = object.properties.get("text").and_then(serde_json::Value::as_str);
        assert_eq!(text, Some(dataset.passages[row].text.as_str()));
        assert_eq!(object.vectors.single(), Some(dataset.base.row(row)), "the vector comes back as it was sent");
    }
    let source = dataset.passages[0].source.as_str();
    let expected = dataset.passages.iter().filter(|passage| passage.source == source).count();
    let counted = collection.count(Some(Filter::property("source").equal(source))).await.expect("a count");
    assert_eq!(counted, expected as u64, "passages from {source}");
}
